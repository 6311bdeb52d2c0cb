"""What a target's own log says ran there, joined with the trail: what bypassed the gateway, and what it cannot show.

A session's record `session.connected` names the process of the target that served it, as the target told the gateway,
and the address that the connection came from, as the kernel did. Each line of the target's log names both. So what
belongs to a session is settled by what nobody who sends a statement can choose: neither by the text, nor by the name
that a program gives itself. In a session, a statement of the log and one of the trail are the same when their texts
without literals are and the one ran while the other was under way.

    beside      a statement of another role in the target's database
    unrecorded  one of the gateway's role that no session or no statement of the trail accounts for
    unseen      one of the trail that ended well and is not in the log
    missing     lines that the log once had: the server numbers those of each process

What this cannot see: who may change the server's settings can have it say nothing of him (`silent` are connections
that said nothing); and a log without any line of a process does not show that one is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from hashlib import sha256
from itertools import takewhile
from statistics import median
from typing import Any

from gateway.audit.target_log import Backend, Process, TargetLog, Told
from gateway.sql.postgres.introspect import catalog_queries
from gateway.sql.postgres.logged import Logged, read_logged

TOLERANCE_S = 2.0
_RUNS = ("simple", "execute", "function", "")
_OPEN = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """A statement that something is wrong with: `what` is `beside`, `unrecorded` or `unseen`, `why` the reason."""

    what: str
    why: str
    time: datetime
    role: str
    sql: str
    relations: tuple[str, ...] = ()
    address: str = ""
    application: str = ""
    session: str = ""
    record: int | None = None

    def row(self) -> dict[str, Any]:
        """The finding as an answer shows it."""
        shown = {
            "what": self.what, "time": self.time.isoformat(), "role": self.role, "address": self.address,
            "application": self.application, "session": self.session, "record": self.record, "why": self.why,
            "relations": list(self.relations), "sql": self.sql,
        }  # fmt: skip
        return {name: value for name, value in shown.items() if value not in (None, "", [])}


@dataclass(slots=True)
class Reconciled:
    """The result. `count` are the statements of the log that could touch data; `untied` the sessions of that time of
    which the trail does not know the process; `silent` the connections of other roles, by role, that said nothing.
    """

    since: datetime
    until: datetime
    count: int = 0
    matched: int = 0
    known: int = 0
    missing: int = 0
    untied: int = 0
    skew: timedelta = timedelta(0)
    silent: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def number(self, what: str) -> int:
        """How many findings are of that kind."""
        return sum(finding.what == what for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether log and trail say the same."""
        return not (self.findings or self.missing or self.untied)


@dataclass(slots=True)
class _Recorded:
    index: int
    time: datetime
    text: str
    cut: str
    read: Logged
    ended: datetime = _OPEN
    status: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Under what a statement of the log is found to be this one."""
        return (f"sha256 {self.cut}",) if self.cut else self.read.spellings[:1]

    @property
    def loose(self) -> bool:
        """Whether another text may have run: it could not be read, or is of several that a name stood for."""
        return not self.cut and (not self.read.spellings or "; " in self.text)

    def may_be(self, read: Logged) -> bool:
        """Whether a loose one may be that statement of the log."""
        return not self.read.spellings or any(spelling in self.text for spelling in read.spellings)


@dataclass(slots=True)
class _Session:
    id: str
    begun: datetime
    connected: datetime | None = None
    pid: int = 0
    address: str = ""
    ended: datetime = _OPEN
    statements: list[_Recorded] = field(default_factory=list)


class Trail:
    """The sessions of one target, as the records of a stretch of the trail tell of them."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.sessions: dict[str, _Session] = {}
        self.served: set[tuple[str, str]] = set()
        """Roles and databases that the gateway's connections were of."""
        self._begun: dict[int, _Recorded] = {}

    def take(self, record: Mapping[str, Any]) -> None:
        """The next record."""
        kind, time = record["kind"], datetime.fromisoformat(record["time"])
        if kind == "session.begin" and record.get("target") == self._target:
            self.sessions[record["session"]] = _Session(record["session"], time)
            return
        session = self.sessions.get(record.get("session", ""))
        if session is None:
            if kind == "session.connected" and record.get("target") == self._target:
                session = self.sessions[record["session"]] = _Session(record["session"], time)
            else:
                return
        if kind == "session.connected":
            session.connected, session.pid = time, record["backend"]
            session.address = record.get("backend_address", "")
            self.served.add((record["backend_role"], record["backend_database"]))
        elif kind == "session.end":
            session.ended = time
        elif kind == "statement.begin" and record.get("protocol", "") in _RUNS:
            name = "rewritten" if "rewritten" in record else "sql"
            text, cut = record.get(name, ""), record.get("truncated", {}).get(name, {}).get("sha256", "")
            recorded = _Recorded(record["index"], time, text, cut, Logged() if cut else _read(text))
            self._begun[record["index"]] = recorded
            session.statements.append(recorded)
        elif kind == "statement.end":
            self._end(record.get("begin"), time, record.get("status", ""))
        elif kind == "statement.unknown":
            self._end(record.get("begin"), time, "unknown")

    def _end(self, begin: int | None, time: datetime, status: str) -> None:
        recorded = self._begun.pop(begin, None) if begin is not None else None
        if recorded is not None:
            recorded.ended, recorded.status = time, status


def reconcile(
    trail: Trail, log: TargetLog, served: Iterable[tuple[str, str]], *,
    known: Iterable[str] = (), nat: bool = False, tolerance_s: float = TOLERANCE_S,
) -> Reconciled:  # fmt: skip
    """Join the two. `served` are the gateway's roles and databases; roles in `known` are counted and not found fault
    with; with `nat`, addresses are not compared, because the target sees others than the gateway.
    """
    result = Reconciled(log.since, log.until, missing=log.missing)
    served, known = set(served), set(known)
    databases = {database for _, database in served}
    ours: list[Backend] = []
    for backend in log.backends:
        process = backend.process
        if process.database and process.database not in databases:
            continue
        if (process.role, process.database) in served:
            ours.append(backend)
        else:
            _beside(result, backend, process.role in known)
    _join(result, trail, ours, nat=nat, tolerance=timedelta(seconds=tolerance_s))
    result.findings.sort(key=lambda finding: finding.time)
    return result


def _beside(result: Reconciled, backend: Backend, known: bool) -> None:
    if not backend.statements and not known:
        role = backend.process.role
        result.silent[role] = result.silent.get(role, 0) + 1
    for told in backend.statements:
        read = _reading(told)
        if read.idle:
            continue
        result.count += 1
        if known:
            result.known += 1
        else:
            result.findings.append(_found("beside", "another role ran it", backend.process, told, read))


_Tied = list[tuple[Backend, _Session]]


@dataclass(slots=True)
class _Match:
    """A way to account for the statements of the gateway's connections, if the clocks are `skew` apart."""

    skew: timedelta
    seen: dict[int, int] = field(default_factory=dict)
    matched: int = 0
    left: list[tuple[Backend, _Session, Told, Logged]] = field(default_factory=list)


def _join(result: Reconciled, trail: Trail, ours: list[Backend], *, nat: bool, tolerance: timedelta) -> None:
    tied: _Tied = []
    for backend, session in _ties(trail, ours, nat=nat):
        if session is not None:
            tied.append((backend, session))
            continue
        for told, read in _working(backend):
            result.count += 1
            if not (set(read.spellings) & _own()):
                why = "no session of the trail had this connection"
                result.findings.append(_found("unrecorded", why, backend.process, told, read))
    gaps = [gap for backend, session in tied for gap in _gaps(backend, session)]
    guesses = {timedelta(0), timedelta(seconds=median(gaps)) if gaps else timedelta(0)}
    # the order of equal statements tells how far the clocks are apart, unless the log begins in their midst
    tries = [_matched(tied, guess, tolerance) for guess in sorted(guesses, key=abs)]
    best = max(tries, key=lambda one: one.matched)
    result.skew, result.matched = best.skew, best.matched
    result.count += best.matched + len(best.left)
    for backend, session, told, read in best.left:
        why = "no statement of its session in the trail accounts for it"
        result.findings.append(replace(_found("unrecorded", why, backend.process, told, read), session=session.id))
    _unseen(result, trail, best.seen, {session.id for _, session in tied}, tolerance)


def _ties(trail: Trail, ours: list[Backend], *, nat: bool) -> Iterator[tuple[Backend, _Session | None]]:
    """Each process of the gateway's role with the session that it served; None for one that served none.

    A process serves one session; where its number and address came back, the nearest in time.
    """
    connected: dict[tuple[int, str], list[_Session]] = defaultdict(list)
    for session in trail.sessions.values():
        if session.connected is not None:
            connected[session.pid, "" if nat else session.address].append(session)
    for backend in sorted(ours, key=lambda one: one.process.started):
        process = backend.process
        sessions = connected.get((process.pid, "" if nat else process.address), [])
        nearest = min(sessions, key=lambda one: abs((one.connected or one.begun) - process.started), default=None)
        if nearest is not None:
            sessions.remove(nearest)
        yield backend, nearest


def _gaps(backend: Backend, session: _Session) -> Iterator[float]:
    """How much later than in the trail each statement is in the log, if only their order counts."""
    waiting: dict[str, list[_Recorded]] = defaultdict(list)
    for recorded in reversed(session.statements):
        for key in recorded.keys:
            waiting[key].append(recorded)
    for told, read in _working(backend):
        found = next((waiting[key] for key in _keys(read) if waiting[key]), None)
        if found is not None:
            yield (told.time - found.pop().time).total_seconds()


def _matched(tied: _Tied, skew: timedelta, tolerance: timedelta) -> _Match:
    match = _Match(skew)
    for backend, session in tied:
        by_key: dict[str, list[_Recorded]] = defaultdict(list)
        loose: list[_Recorded] = []
        for recorded in session.statements:
            for key in recorded.keys:
                by_key[key].append(recorded)
            if recorded.loose:
                loose.append(recorded)
        for told, read in _working(backend):
            at = told.time - skew
            same = [one for key in _keys(read) for one in _under_way(by_key.get(key, []), at, tolerance)]
            found = next((one for one in same if one.index not in match.seen), None)
            if found is None and told.source == "audit":
                # pgaudit tells each statement of one text by itself
                found = next((one for one in same if match.seen[one.index] < read.statements), None)
            if found is None and told.again:
                # it goes on with what it began
                found = next(iter(same), None)
            if found is None:
                unused = (one for one in _under_way(loose, at, tolerance) if one.index not in match.seen)
                found = next((one for one in unused if one.may_be(read)), None)
            if found is None:
                match.left.append((backend, session, told, read))
            else:
                match.matched += 1
                match.seen[found.index] = match.seen.get(found.index, 0) + 1
    return match


def _under_way(recorded: list[_Recorded], at: datetime, tolerance: timedelta) -> list[_Recorded]:
    """Those that ran at that moment; who was over before it is taken out, because the next moment is a later one."""
    while recorded and recorded[0].ended is not _OPEN and recorded[0].ended + tolerance < at:
        recorded.pop(0)
    begun = takewhile(lambda one: one.time - tolerance <= at, recorded)
    return [one for one in begun if one.ended is _OPEN or at <= one.ended + tolerance]


def _unseen(result: Reconciled, trail: Trail, seen: Mapping[int, int], joined: set[str], tolerance: timedelta) -> None:
    begins, ends = result.since - result.skew + tolerance, result.until - result.skew - tolerance
    for session in trail.sessions.values():
        if session.connected is None:
            result.untied += bool(session.statements) and session.begun < ends and session.ended > begins
            continue
        for one in session.statements:
            if one.index in seen or one.status != "ok" or one.read.idle or not begins < one.time < ends:
                continue
            why = "its connection is in the log, the statement is not"
            if session.id not in joined:
                why = "no line of its connection is in the log"
            role = next(iter(sorted(role for role, _ in trail.served)), "")
            result.findings.append(
                Finding(
                    "unseen", why, one.time, role, one.text, one.read.relations, session=session.id, record=one.index
                )
            )


def _found(what: str, why: str, process: Process, told: Told, read: Logged) -> Finding:
    return Finding(
        what, why, told.time, process.role, read.spellings[0] if read.spellings else "",
        tuple(dict.fromkeys((*read.relations, *told.objects))), process.address, told.application,
    )  # fmt: skip


def _working(backend: Backend) -> Iterator[tuple[Told, Logged]]:
    """The statements of a process that could touch data."""
    for told in backend.statements:
        read = _reading(told)
        if not read.idle:
            yield told, read


def _reading(told: Told) -> Logged:
    """What can be told of a statement, whichever of its texts it is: it is idle only if all are."""
    readings = [_read(text) for text in told.texts]
    spellings = tuple(dict.fromkeys(spelling for read in readings for spelling in read.spellings))
    relations = tuple(dict.fromkeys(relation for read in readings for relation in read.relations))
    return Logged(spellings, all(read.idle for read in readings), max(read.statements for read in readings), relations)


def _keys(read: Logged) -> Iterator[str]:
    for spelling in read.spellings:
        yield spelling
        yield f"sha256 {sha256(spelling.encode()).hexdigest()}"


_read = lru_cache(4096)(read_logged)


@cache
def _own() -> frozenset[str]:
    """The gateway's own questions about the target's catalog, which it asks outside of any session."""
    return frozenset(spelling for text in catalog_queries().values() for spelling in _read(text).spellings)
