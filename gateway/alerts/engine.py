"""The rules at work: records go in, in their order, and events come out. Pure; what it remembers can be kept and given
back, so that a restart forgets nothing.

INVARIANT: an event rests on durable records alone, and the same records give the same events; only silence, which is
the lack of records, is judged by a clock.
INVARIANT: what is remembered is bounded: by the time that rules look back, and by `_MOST` names for each rule.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from gateway.alerts.rules import HOST, Rule

Seen = list[Any]
"""A record that counts: its time in seconds since 1970, its index, the hash of its leaf in hexadecimal."""

_MOST = 20_000
_EVIDENCE = 100
_SESSION_KINDS = ("session.begin", "login")
_SESSION_FIELDS = ("person", "login", "teams", "target", "ticket_system", "ticket", "customers", "address")
_SESSIONS = 50_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a rule found. `about` names whose it is, `records` are (index, leaf hash) it rests on."""

    rule: str
    severity: str
    about: str
    title: str
    at: float
    person: str
    records: tuple[tuple[int, str], ...]


class _Memory(msgspec.Struct):
    """All that rules remember: what they counted, by rule and name; whose the sessions are; when a record last came."""

    seen: dict[str, dict[str, list[Seen]]] = msgspec.field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    last: float = 0.0
    silent: dict[str, float] = msgspec.field(default_factory=dict)


class Engine:
    """The rules over one trail."""

    def __init__(self, rules: Iterable[Rule], origin: str, memory: bytes = b"") -> None:
        """`memory` is what another one's `memory` was. Raises `ValueError` for anything else."""
        self._rules = tuple(rules)
        self._origin = origin
        self._by_kind: dict[str, list[Rule]] = {}
        for rule in self._rules:
            if rule.silent is not None:
                continue
            for kind in {*rule.kind, *(rule.after.kind if rule.after else ())}:
                self._by_kind.setdefault(str(kind), []).append(rule)
        try:
            self._memory = msgspec.json.decode(memory, type=_Memory) if memory else _Memory()
        except msgspec.MsgspecError as error:
            raise ValueError("what the rules remembered cannot be read") from error
        names = {rule.name for rule in self._rules}
        self._memory.seen = {name: kept for name, kept in self._memory.seen.items() if name in names}

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of records that rules look at, and those that say whose a session is."""
        return frozenset({*self._by_kind, *_SESSION_KINDS, "session.end"})

    def memory(self) -> bytes:
        """What is remembered."""
        return msgspec.json.encode(self._memory)

    def heard(self, at: float) -> None:
        """A record of that time came, of whatever kind."""
        self._memory.last = max(self._memory.last, at)
        self._memory.silent.clear()

    def take(self, record: Mapping[str, Any], leaf_hash: str) -> list[Event]:
        """The events that this record completes."""
        at = datetime.fromisoformat(record["time"]).timestamp()
        whole = self._with_session(record)
        seen: Seen = [at, record["index"], leaf_hash]
        found = []
        for rule in self._by_kind.get(record["kind"], ()):
            about = self._about(rule, whole)
            if about is None:
                continue
            evidence = self._judge(rule, about, whole, seen)
            if evidence:
                found.append(self._event(rule, about, whole, at, evidence))
        return found

    def tick(self, now: float) -> list[Event]:
        """The events of a moment at which nothing came, and a chance to forget what is too old."""
        found = []
        for rule in self._rules:
            self._forget(rule, now)
            if rule.silent is None or not self._memory.last or now - self._memory.last < rule.silent:
                continue
            if rule.name not in self._memory.silent:
                self._memory.silent[rule.name] = now
                about = f"origin={self._origin}"
                found.append(Event(rule.name, rule.severity, about, rule.title, now, "", ()))
        return found

    def _judge(self, rule: Rule, about: str, record: Mapping[str, Any], seen: Seen) -> list[Seen]:
        """What the rule rests on now; empty while it finds nothing."""
        kept = self._memory.seen.setdefault(rule.name, {}).setdefault(about, [])
        at = seen[0]
        if rule.after is not None and rule.after.fits(record):
            kept.append(seen)
            del kept[: -rule.after.at_least]
        if not rule.fits(record):
            return []
        if rule.after is not None:
            before = [one for one in kept if at - one[0] <= rule.within and one[1] != seen[1]]
            if len(before) < rule.after.at_least:
                return []
            kept.clear()
            return [*before, seen]
        if rule.absent is not None:
            last = kept[-1][0] if kept else at
            kept[:] = [seen]
            return [seen] if at - last >= rule.absent else []
        if rule.outside is not None:
            if rule.outside.contain(datetime.fromisoformat(record["time"])):
                return []
            # once for a while: somebody who works at night opens more than one session
            known = bool(kept) and at - kept[-1][0] <= rule.within
            kept[:] = [kept[-1] if known else seen]
            return [] if known else [seen]
        if rule.peers is not None:
            return self._peers(rule, about, record, seen)
        if rule.distinct is not None:
            return self._distinct(rule, record, seen, kept)
        kept.append(seen)
        kept[:] = [one for one in kept if at - one[0] <= rule.within][-rule.at_least :]
        if len(kept) < rule.at_least:
            return []
        evidence = list(kept)
        kept.clear()
        return evidence

    def _distinct(self, rule: Rule, record: Mapping[str, Any], seen: Seen, kept: list[Seen]) -> list[Seen]:
        assert rule.distinct is not None
        field = rule.distinct.field
        value = record.get(field) if field != HOST else str(record.get("address", "")).rpartition(":")[0] or None
        values = [str(one) for one in (value if isinstance(value, list) else [value]) if one is not None]
        kept[:] = [one for one in kept if seen[0] - one[0] <= rule.within and one[3] not in values]
        kept.extend([*seen, one] for one in values)
        if len(kept) < rule.distinct.at_least:
            return []
        evidence = [one[:3] for one in kept]
        kept.clear()
        return evidence

    def _peers(self, rule: Rule, about: str, record: Mapping[str, Any], seen: Seen) -> list[Seen]:
        """Sums of a day, as [time, index, hash, sum, whether it was told]; the day is that of the record."""
        assert rule.peers is not None
        everybody = self._memory.seen[rule.name]
        day = seen[0] // 86_400
        mine = everybody[about]
        total, told = (mine[0][3], mine[0][4]) if mine and mine[0][0] // 86_400 == day else (0, False)
        total += int(record.get(rule.peers.field, 0))
        others = [
            kept[0][3] for name, kept in everybody.items() if name != about and kept and kept[0][0] // 86_400 == day
        ]
        usual = statistics.median(others) if others else 0
        found = not told and total >= max(rule.peers.at_least, rule.peers.times * usual)
        mine[:] = [[*seen, total, told or found]]
        return [seen] if found else []

    def _event(self, rule: Rule, about: str, record: Mapping[str, Any], at: float, evidence: list[Seen]) -> Event:
        title = rule.title.format_map(_Shown(record))
        records = tuple((one[1], one[2]) for one in evidence[-_EVIDENCE:])
        return Event(rule.name, rule.severity, about, title, at, str(record.get("person", "")), records)

    def _about(self, rule: Rule, record: Mapping[str, Any]) -> str | None:
        """Whose the record is to that rule; None when it does not say."""
        parts = [f"{name}={record[name]}" for name in rule.by if record.get(name) not in (None, "")]
        return " ".join(parts) if len(parts) == len(rule.by) else None

    def _with_session(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record with whose its session is, where it does not say so itself."""
        session, kind = record.get("session"), record["kind"]
        if not session:
            return record
        sessions = self._memory.sessions
        if kind in _SESSION_KINDS and record.get("decision") != "deny":
            sessions[session] = {name: record[name] for name in _SESSION_FIELDS if name in record}
            while len(sessions) > _SESSIONS:
                del sessions[next(iter(sessions))]
        known = sessions.get(session)
        if kind == "session.end":
            sessions.pop(session, None)
        return {**known, **record} if known else record

    def _forget(self, rule: Rule, now: float) -> None:
        everybody = self._memory.seen.get(rule.name)
        if not everybody:
            return
        longest = max(rule.within, 86_400.0 if rule.peers else 0.0)
        if rule.absent is None:
            for name in [name for name, kept in everybody.items() if not kept or now - kept[-1][0] > longest]:
                del everybody[name]
        while len(everybody) > _MOST:
            del everybody[next(iter(everybody))]


class _Shown(dict[str, Any]):
    """A record for a title: what it does not have is `?`, lists are joined."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        super().__init__(record)

    def __missing__(self, key: str) -> str:
        return "?"

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        return ", ".join(map(str, value)) if isinstance(value, list) else value
