"""The embedded directory: `people.yaml`, with argon2id hashes.

    people:
      - id: p-001              # stable, never used again for somebody else
        login: alice
        name: Alice Martin
        teams: [support]
        password: $argon2id$v=19$m=65536,t=3,p=1$…     # `gateway people hash`
        email: alice@example.com                       # optional
        active: true                                   # optional

Logins are compared as `access/names.py` says; ids exactly. An invalid file, a second person with the same id or folded
login included, makes the directory unavailable: it never answers from an older reading.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.access.documents import Document, Entry
from gateway.access.names import fold_login
from gateway.access.passwords import dummy_hash, is_hash, verify_password
from gateway.errors import GatewayError, Refusal
from gateway.model import Principal
from gateway.ports import Heard


@dataclass(frozen=True, slots=True)
class _People:
    by_login: dict[str, Principal]
    by_id: dict[str, Principal]
    hashes: dict[str, str] = field(repr=False)
    dummy: str = field(repr=False)


class FileDirectory:
    """`ports.Directory` over a people file; every method may read the file and blocks while it does."""

    def __init__(self, path: Path, *, recheck_s: float = 0.1) -> None:
        self._document = Document(path, _parse, "directory-unavailable", recheck_s=recheck_s)
        self.outage: Refusal | None = None
        """Why the file could not be read when it was last asked about live people."""

    def find(self, login: str) -> Principal | None:
        """The person of that login, or None. Raises `GatewayError("directory-unavailable")`."""
        return self._document.get().by_login.get(fold_login(login))

    def by_id(self, person: str) -> Principal | None:
        """The person of that stable id, or None. Raises `GatewayError("directory-unavailable")`."""
        return self._document.get().by_id.get(person)

    def recent(self, people: Collection[str]) -> Mapping[str, Heard | Refusal]:
        """The people as the file has them now, or why it cannot be read."""
        try:
            by_id = self._document.get().by_id
        except GatewayError as error:
            self.outage = error.refusal
            return dict.fromkeys(people, error.refusal)
        self.outage = None
        return {one: Heard(by_id.get(one), math.inf) for one in people}

    def close(self) -> None:
        """Nothing is held."""

    def check_password(self, login: str, password: str) -> Principal | None:
        """The active person when the password is right, else None after the same work."""
        people = self._document.get()
        person = people.by_login.get(fold_login(login))
        known = person is not None and person.active
        right = verify_password(people.hashes[person.id] if person is not None and known else people.dummy, password)
        return person if known and right else None


def _parse(document: Entry) -> _People:
    by_login: dict[str, Principal] = {}
    by_id: dict[str, Principal] = {}
    hashes: dict[str, str] = {}
    for entry in document.entries("people", "a person"):
        id_, written = entry.text("id", limit=128), entry.text("login", limit=64)
        login = fold_login(written)
        if not login:
            raise entry.error(f"`{written}` cannot be a login")
        if id_ in by_id:
            raise entry.error(f"a second person has the id `{id_}`")
        if login in by_login:
            raise entry.error(f"a second person has the login `{login}`")
        stored = entry.text("password", limit=512)
        if not is_hash(stored):
            raise entry.error(f"the password of `{login}` is not an argon2id hash; see `gateway people hash`")
        person = Principal(
            id=id_,
            login=login,
            name=entry.text("name", login, limit=256),
            teams=frozenset(entry.texts("teams")),
            email=entry.text("email", "", limit=320),
            active=entry.flag("active", True),
        )
        entry.finish()
        by_login[login] = by_id[id_] = person
        hashes[id_] = stored
    return _People(by_login, by_id, hashes, dummy_hash(hashes.values()))
