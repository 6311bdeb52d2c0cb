"""People in an LDAP directory (RFC 4511), OpenLDAP and Active Directory among them.

Theory of operation. Who signs in is searched for with the gateway's own rights, and the password is then tried by a
bind as the entry that was found, over a connection of its own ("search, then bind"). People whose sessions live are
asked about all at once, by their ids, by a thread of this module's, each time the watcher wants to know (`recent`);
it waits for the answer a moment, and not for a server that is slow or out.

INVARIANT: a login that two entries have is nobody's; so is an id that two entries have.
INVARIANT: nothing is tried as a password that is empty, overlong or has a NUL.
FAIL CLOSED: what no server answers is `directory-unavailable`; what was last heard grows old meanwhile.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gateway.access.directory.ldap_codec import Found
from gateway.access.directory.ldap_people import BATCH, Reader
from gateway.access.directory.ldap_servers import Servers, unavailable
from gateway.access.directory.ldap_wire import TooMany, Wire
from gateway.access.names import fold_login
from gateway.access.passwords import MAX_PASSWORD
from gateway.directory_settings import LdapDirectory as Settings
from gateway.errors import GatewayError, Refusal
from gateway.model import Principal
from gateway.ports import Clock, Heard

WAIT_S = 0.25
"""How long who asks about live people waits for the answer, before he gets the last one."""
_SILENCE_S = 5.0
"""While nobody is asked about, the servers are asked for a sign of life that often."""
_MOST_GROUPS = 5000
_SAMPLES = 32

News = Callable[[str, Mapping[str, Any]], None]
"""Takes a record's kind and fields; called from any thread."""
Report = Callable[[str, BaseException], None]
"""Takes the part and what befell it, for the technical log; called from any thread."""


class _Pace:
    """How long it took about people who exist; about others it takes as long as one of those, by chance."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=_SAMPLES)

    def level(self, begun: float, now: float, *, known: bool) -> None:
        """Take in a time, or wait for what is missing to one."""
        if known:
            self._took.append(now - begun)
        elif self._took:
            time.sleep(max(0.0, begun + random.choice(self._took) - now))  # noqa: S311 - no secret


class LdapDirectory:
    """`ports.Directory` over LDAP; every method but `recent` blocks. `close` when nobody asks any more."""

    def __init__(
        self,
        settings: Settings,
        *,
        news: News = lambda _, __: None,
        report: Report = lambda _, __: None,
        clock: Clock = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nobody yet. Raises `GatewayError("configuration-invalid")`."""
        self.settings, self.servers = settings, Servers(settings, monotonic=monotonic)
        self._reader = Reader(settings)
        self._news, self._report, self._clock, self._monotonic = news, report, clock, monotonic
        self._found, self._tried = _Pace(), _Pace()
        self._turn = threading.Condition()
        self._wanted: frozenset[str] = frozenset()
        self._heard: dict[str, tuple[Principal | None, float]] = {}
        self._asked = self._answered = 0
        self._outage: Refusal | None = None
        self._down_at = self._spoke_at = float("-inf")
        self._stopped = False
        self._thread: threading.Thread | None = None

    def find(self, login: str) -> Principal | None:
        """The person of that login, or None. Raises `GatewayError("directory-unavailable")`."""
        begun = self._monotonic()
        entry = self._entry(fold_login(login))
        person = None if entry is None else self._people([entry])[0]
        self._found.level(begun, self._monotonic(), known=person is not None)
        return person

    def by_id(self, person: str) -> Principal | None:
        """The person of that stable id, or None. Raises `GatewayError("directory-unavailable")`."""
        return self._by_ids([person])[person]

    def check_password(self, login: str, password: str) -> Principal | None:
        """The active person when the password is right, else None after about the same time."""
        begun = self._monotonic()
        entry = self._entry(fold_login(login))
        person = None if entry is None else self._people([entry])[0]
        plausible = 0 < len(password) <= MAX_PASSWORD and "\0" not in password
        if entry is None or person is None or not person.active or not plausible:
            # somebody who is nobody, so that it takes a bind as well
            dn = f"{self.settings.people.base.partition('=')[0]}={secrets.token_hex(8)},{self.settings.people.base}"
            self.servers.try_password(dn, secrets.token_hex(16).encode())
            self._tried.level(begun, self._monotonic(), known=False)
            return None
        right, _ = self.servers.try_password(entry.dn, password.encode("utf-8", "surrogatepass"))
        self._tried.level(begun, self._monotonic(), known=True)
        return person if right else None

    def survey(self) -> tuple[int, int, list[str]]:
        """Of a page of people: how many they are, how many can sign in, and their teams. Raises as `find`."""
        base, reader = self.settings.people.base, self._reader
        entries = self.servers.ask(lambda wire: wire.sample(base, reader.people, reader.attributes))
        people = self._people(entries)
        usable = [person for person in people if person is not None and person.active]
        return len(people), len(usable), sorted({team for person in usable for team in person.teams})

    def recent(self, people: Collection[str]) -> Mapping[str, Heard | Refusal]:
        """What was last heard of these people; why nothing was, of those about whom nobody answered yet."""
        with self._turn:
            self._wanted = frozenset(people)
            self._heard = {one: heard for one, heard in self._heard.items() if one in self._wanted}
            self._asked += 1
            turn = self._asked
            self._begin()
            self._turn.notify_all()
            if people and self._outage is None:
                self._turn.wait_for(lambda: self._answered >= turn or self._stopped, WAIT_S)
            outage = self._outage
            found: dict[str, Heard | Refusal] = {}
            for one in people:
                if one in self._heard:
                    found[one] = Heard(*self._heard[one], outage)
                elif outage is not None:
                    found[one] = outage
            return found

    @property
    def outage(self) -> Refusal | None:
        """Why the directory could not be asked the last time."""
        return self._outage

    def close(self) -> None:
        """Stop asking and join the threads."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.servers.close()

    def _entry(self, login: str) -> Found | None:
        """The one entry of that folded login; what the server takes for it and we do not is another."""
        if not login:
            # the same work as for somebody: whether a text can be a login is nothing to be learnt from the time
            login = secrets.token_hex(8)
        try:
            found = self.servers.ask(partial(self._search_people, filter_=self._reader.by_login(login), most=1))
        except TooMany:
            return None
        return found[0] if len(found) == 1 and self._reader.login_of(found[0]) == login else None

    def _by_ids(self, ids: Collection[str]) -> dict[str, Principal | None]:
        ordered = sorted(ids)
        entries: list[Found] = []
        for start in range(0, len(ordered), BATCH):
            filter_ = self._reader.by_ids(ordered[start : start + BATCH])
            if filter_:
                entries += self._whole(partial(self._search_people, filter_=filter_, most=2 * BATCH))
        found: dict[str, Principal | None] = dict.fromkeys(ordered)
        twice: set[str] = set()
        for person in self._people(entries):
            if person is not None and person.id in found:
                twice |= {person.id} if found[person.id] is not None else set()
                found[person.id] = person
        return found | dict.fromkeys(twice)

    def _people(self, entries: list[Found]) -> list[Principal | None]:
        """The people that the entries are, with their teams."""

        def search(base: str, filter_: str, attributes: Iterable[str]) -> list[Found]:
            return self._whole(lambda wire: wire.search(base, filter_, attributes, most=_MOST_GROUPS))

        teams, now = self._reader.teams(entries, search), self._clock()
        return [self._reader.person(entry, teams[entry.dn], now) for entry in entries]

    def _search_people(self, wire: Wire, *, filter_: str, most: int) -> list[Found]:
        return wire.search(self.settings.people.base, filter_, self._reader.attributes, most=most)

    def _whole(self, question: Callable[[Wire], list[Found]]) -> list[Found]:
        try:
            return self.servers.ask(question)
        except TooMany as error:
            raise unavailable("more entries match than there may be") from error

    def _begin(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="directory", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._stopped or self._answered < self._asked)
                if self._stopped:
                    return
                turn, wanted = self._asked, self._wanted
            self._ask(wanted)
            with self._turn:
                self._answered = turn
                self._turn.notify_all()

    def _ask(self, wanted: Collection[str]) -> None:
        asked_at = self._monotonic()
        if not wanted and self._outage is None and asked_at - self._spoke_at < _SILENCE_S:
            return
        try:
            # with nobody to ask about, for somebody who is not there: a sign of life
            found = self._by_ids(wanted or ["00000000-0000-0000-0000-000000000000"])
        except GatewayError as error:
            self._is_down(error)
            return
        except Exception as error:
            # FAIL CLOSED: without this the thread would die, and nobody would hear of it
            self._report("directory", error)
            self._is_down(unavailable(f"its answer was not understood: {type(error).__name__}"))
            return
        self._spoke_at = self._monotonic()
        with self._turn:
            for one in wanted:
                before, person = self._heard.get(one), found[one]
                # the same object while nothing changes: who compares need not judge again
                self._heard[one] = (before[0] if before and before[0] == person else person, asked_at)
        self._is_up()

    def _is_down(self, error: GatewayError) -> None:
        with self._turn:
            first, self._outage = self._outage is None, error.refusal
            if first:
                self._down_at = self._monotonic()
        if first:
            self._report("directory", error)
            fields = {"state": "down", "code": error.code, "reason": error.refusal.message}
            self._news("directory.source", fields)

    def _is_up(self) -> None:
        with self._turn:
            was, self._outage = self._outage, None
        if was is not None:
            self._news("directory.source", {"state": "up", "duration_s": int(self._monotonic() - self._down_at)})
