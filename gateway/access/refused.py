"""Refused log-ins, enrolments, webhooks from one place: the first are a record each, what a flood adds one a minute.

Whoever has no account at all may fail as often as the network lets him, and each record costs the disk what an honest
one does. So from one address (an IPv6 /64) `EACH` refusals for one reason in a minute are recorded as they come;
further ones are counted, and when the minute is over, or the process stops, the last of them is recorded with how many
there were and the logins that were tried. So the first and the last of a flood are on record, and its size is; only a
crash forgets the counts of its last minute.

INVARIANT: what is counted here is refused; nothing that was let in is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.access.lockout import network_of

EACH = 20
"""Refused log-ins of one address for one reason in a minute that are a record each."""
_MINUTE_S = 60.0
_PLACES = 10_000
_UNPROVEN = ("authentication-failed", "too-many-attempts")
_LOGINS = 50
"""How many different logins the record of a flood names; `count` tells that there were more tries."""

Fields = Mapping[str, Any]
_Key = tuple[str, ...]


class _Place:
    __slots__ = ("began", "count", "held", "last", "logins")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = self.held = 0
        self.last: Fields = {}
        self.logins: set[str] = set()


class RefusedLogins:
    """The counts of this process. `append` takes a record's kind and fields, and waits for nothing."""

    def __init__(self, append: Callable[[str, Fields], Any], monotonic: Callable[[], float]) -> None:
        self._append, self._monotonic = append, monotonic
        self._places: dict[_Key, _Place] = {}

    def is_one_of_many(self, kind: str, host: str, fields: Fields) -> bool:
        """Whether a refusal of that kind with those fields is only counted; else it is the caller's to record."""
        now, code = self._monotonic(), fields["code"]
        # a reason after proof names tickets, of which there are as many as somebody makes up
        reason = fields["reason"] if code in _UNPROVEN else ""
        key = kind, network_of(host), fields.get("method", ""), code, reason
        place = self._places.get(key)
        if place is not None and now - place.began >= _MINUTE_S:
            self._close(key, place)
            place = None
        if place is None:
            if len(self._places) >= _PLACES:
                self.flush(0.0)
            place = self._places[key] = _Place(now)
        place.count += 1
        if place.count <= EACH:
            return False
        place.held, place.last = place.held + 1, fields
        login = fields.get("login")
        if login and len(place.logins) < _LOGINS:
            place.logins.add(login)
        return True

    def flush(self, older_than_s: float = _MINUTE_S) -> None:
        """Record what was counted in minutes that are over. Raises `GatewayError("audit-not-writable")`."""
        now = self._monotonic()
        for key, place in list(self._places.items()):
            if now - place.began >= older_than_s:
                self._close(key, place)

    def _close(self, key: _Key, place: _Place) -> None:
        del self._places[key]
        if place.held:
            logins = {"logins": sorted(place.logins)} if place.logins else {}
            self._append(key[0], {**place.last, "count": place.held, **logins})
