"""What an LDAP entry says about a person: who it is, whether the account may be used, and in which teams it is.

A person is the value of an attribute that the server makes and never gives again: entryUUID (RFC 4530), or Active
Directory's objectGUID. A name, a place in the tree or a login may change; the person stays. An entry that says who it
is twice, or not at all, is nobody.

Accounts: `userAccountControl`, `accountExpires` and `pwdLastSet` ([MS-ADTS] 2.2.16, [MS-ADA1]), `shadowExpire`
(RFC 2307), `nsAccountLock` and `loginDisabled`, `pwdReset`, `pwdStartTime`, `pwdEndTime` and an administrator's
`pwdAccountLockedTime` (draft-behera-ldap-password-policy-10). An account that is locked for a while, after wrong
passwords, is not inactive: whoever guesses passwords would cut sessions with it. The server refuses its sign-ins.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ldap3.utils.conv import escape_filter_chars

from gateway.access.directory.ldap_codec import Found
from gateway.access.names import fold_login
from gateway.directory_settings import LdapDirectory
from gateway.errors import GatewayError
from gateway.model import Principal

Name = tuple[tuple[str, str], ...]
"""A distinguished name to be compared: (type, value) from the entry to the root."""
Search = Callable[[str, str, Iterable[str]], list[Found]]
"""Finds the entries below a base that match a filter, with these attributes."""

DEEPEST = 16
"""Groups within groups; what is nested deeper gives no team."""
BATCH = 100
"""Values of one filter."""
_DISABLED = 0x2
_FOR_EVER = "000001010000Z"
_EPOCH_AD = datetime(1601, 1, 1, tzinfo=UTC)
_STATES = (
    "userAccountControl", "accountExpires", "pwdLastSet", "shadowExpire", "nsAccountLock", "loginDisabled", "pwdReset",
    "pwdAccountLockedTime", "pwdStartTime", "pwdEndTime",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flavour:
    """What a kind of directory calls things."""

    people: str
    login: str
    id: str
    name: str
    groups: str
    dn: str
    guid: bool


FLAVOURS = {
    "rfc": Flavour(
        people="(objectClass=person)",
        login="uid",
        id="entryUUID",
        name="cn",
        groups="(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=groupOfMembers))",
        dn="entryDN",
        guid=False,
    ),
    "active-directory": Flavour(
        people="(&(objectCategory=person)(objectClass=user))",
        login="sAMAccountName",
        id="objectGUID",
        name="displayName",
        groups="(objectClass=group)",
        dn="distinguishedName",
        guid=True,
    ),
}


class Reader:
    """The directory's settings with the flavour's names in place of what is left out."""

    def __init__(self, settings: LdapDirectory) -> None:
        flavour, people, groups = FLAVOURS[settings.flavour], settings.people, settings.groups
        self._settings, self._flavour = settings, flavour
        self.people, self._groups = people.filter or flavour.people, groups.filter or flavour.groups
        self._login, self._id = people.login or flavour.login, people.id or flavour.id
        self._name = people.name or flavour.name
        self._email = "" if people.email == "none" else people.email or "mail"
        self._human = people.human
        self._binary = self._id.lower() == "objectguid"
        self._base = normal(groups.base)
        if not self._base or not all(map(normal, groups.teams.values())):
            raise GatewayError("configuration-invalid", "a name in `directory.groups` is no distinguished name")
        self._named = {normal(dn): team for team, dn in groups.teams.items()}
        wanted = (self._login, self._id, self._name, self._email, self._human, "memberOf", *_STATES)
        self.attributes = tuple(dict.fromkeys(name for name in wanted if name))

    def by_login(self, login: str) -> str:
        """The filter for a folded login."""
        return f"(&{self.people}({self._login}={escape_filter_chars(login)}))"

    def by_ids(self, ids: Collection[str]) -> str:
        """The filter for these ids; "" where none of them can be one."""
        terms = "".join(f"({self._id}={value})" for one in ids if (value := self._id_value(one)))
        return f"(&{self.people}(|{terms}))" if terms else ""

    def id_of(self, entry: Found) -> str:
        """Who the entry is, "" for nobody."""
        values = entry.all(self._id)
        if len(values) != 1:
            return ""
        if self._binary:
            return str(uuid.UUID(bytes_le=values[0])) if len(values[0]) == 16 else ""
        text = "".join(entry.texts(self._id))
        return text.lower() if self._id.lower() == "entryuuid" else text if len(text) <= 128 else ""

    def login_of(self, entry: Found) -> str:
        """The entry's folded login, "" where it has none, or several."""
        values = entry.texts(self._login)
        return fold_login(values[0]) if len(values) == 1 == len(entry.all(self._login)) else ""

    def person(self, entry: Found, teams: frozenset[str], now: datetime) -> Principal | None:
        """The person; None for an entry that does not say who it is, or by which one login it goes."""
        id_, login = self.id_of(entry), self.login_of(entry)
        if not id_ or not login:
            return None
        problem = problem_of(entry, now)
        if self._flavour.guid and not entry.all("userAccountControl"):
            # FAIL CLOSED: every account there has it, so it is hidden from the gateway
            problem = "its `userAccountControl` cannot be read"
        return Principal(
            id=id_,
            login=login,
            name=_shown(self._only(entry, self._name) or login),
            teams=teams,
            email=self._only(entry, self._email),
            active=not problem,
            inactive_because=problem,
            human=self._only(entry, self._human),
        )

    def teams(self, entries: Collection[Found], search: Search) -> dict[str, frozenset[str]]:
        """The teams of these people by their entries' names, as the groups stand now."""
        people: dict[Name, Found] = {}
        twice: set[Name] = {()}
        for entry in entries:
            name = normal(entry.dn)
            twice |= {name} if name in people else set()
            people[name] = entry
        for name in twice:
            # FAIL CLOSED: whose groups they are cannot be told
            people.pop(name, None)
        if self._settings.groups.by == "member":
            parents = self._from_groups(people, search)
        else:
            parents = self._from_people(people, search)
        teams = dict.fromkeys((entry.dn for entry in entries), frozenset[str]())
        # most people are in the same groups as many others
        known: dict[frozenset[Name], frozenset[str]] = {}
        for name, entry in people.items():
            direct = frozenset(parents.get(name, ()))
            if direct not in known:
                known[direct] = self._teams_of(direct, parents)
            teams[entry.dn] = known[direct]
        return teams

    def _from_people(self, people: Mapping[Name, Found], search: Search) -> dict[Name, set[Name]]:
        """Who is in which groups, the groups' own memberships included where they are nested."""
        parents = {name: self._members_of(entry) for name, entry in people.items()}
        written: dict[Name, str] = {}
        for entry in people.values():
            written |= {normal(dn): dn for dn in entry.texts("memberOf")}
        if not self._settings.groups.nested:
            return parents
        known: set[Name] = set()
        groups: set[Name] = set()
        ahead = _all(parents.values())
        for _ in range(DEEPEST):
            if not ahead:
                break
            known |= ahead
            for group in self._find(self._flavour.dn, [written[name] for name in sorted(ahead)], ["memberOf"], search):
                name = normal(group.dn)
                groups.add(name)
                parents[name] = self._members_of(group)
                written |= {normal(dn): dn for dn in group.texts("memberOf")}
            ahead = _all(parents.get(name, set()) for name in ahead) - known
        return {name: above & groups for name, above in parents.items()}

    def _from_groups(self, people: Mapping[Name, Found], search: Search) -> dict[Name, set[Name]]:
        """The same, asked of the groups from the people upwards."""
        member = self._settings.groups.member
        parents: dict[Name, set[Name]] = {}
        ahead = {name: entry.dn for name, entry in people.items()}
        known = set(ahead)
        for _ in range(DEEPEST):
            if not ahead:
                break
            found = self._find(member, list(ahead.values()), [member], search)
            for group in found:
                # where a part is given, it is under another name (`member;range=0-1499`), and is as good as nothing
                for dn in group.texts(member):
                    parents.setdefault(normal(dn), set()).add(normal(group.dn))
            ahead = {normal(group.dn): group.dn for group in found if normal(group.dn) not in known}
            known |= set(ahead)
            if not self._settings.groups.nested:
                break
        return parents

    def _find(self, attribute: str, dns: list[str], wanted: list[str], search: Search) -> list[Found]:
        """The groups below the base in whose attribute one of these names stands."""
        found = []
        for start in range(0, len(dns), BATCH):
            terms = "".join(f"({attribute}={escape_filter_chars(dn)})" for dn in dns[start : start + BATCH])
            found += search(self._settings.groups.base, f"(&{self._groups}(|{terms}))", wanted)
        return [group for group in found if self._is_below(normal(group.dn))]

    def _members_of(self, entry: Found) -> set[Name]:
        return {name for dn in entry.texts("memberOf") if self._is_below(name := normal(dn))}

    def _teams_of(self, direct: frozenset[Name], parents: Mapping[Name, set[Name]]) -> frozenset[str]:
        """The teams of all groups that lead up from these, cycles and all."""
        seen: set[Name] = set()
        ahead = set(direct)
        for _ in range(DEEPEST):
            seen |= ahead
            ahead = _all(parents.get(name, set()) for name in ahead) - seen
        return frozenset(team for name in seen if (team := self._team(name)))

    def _team(self, group: Name) -> str:
        """The team that a group is, "" for a group that is none."""
        if group in self._named:
            return self._named[group]
        if len(group) == len(self._base) + 1 and group[0][0] == "cn":
            return group[0][1]
        return ""

    def _is_below(self, name: Name) -> bool:
        return len(name) > len(self._base) and name[-len(self._base) :] == self._base

    def _only(self, entry: Found, attribute: str) -> str:
        """The attribute's value where it has exactly one that is printable, else ""."""
        values = entry.texts(attribute) if attribute else []
        return values[0] if len(values) == 1 and len(values[0]) <= 320 and values[0].isprintable() else ""

    def _id_value(self, person: str) -> str:
        """An id as it stands in a filter, "" for what cannot be one."""
        if self._id.lower() not in ("entryuuid", "objectguid"):
            return escape_filter_chars(person) if 0 < len(person) <= 128 else ""
        try:
            found = uuid.UUID(person)
        except ValueError:
            return ""
        if str(found) != person:
            return ""
        return "".join(f"\\{byte:02x}" for byte in found.bytes_le) if self._binary else person


def _all(sets: Iterable[set[Name]]) -> set[Name]:
    return {name for names in sets for name in names}


def problem_of(entry: Found, now: datetime) -> str:
    """Why the account may not be used at the moment, "" when it may. What cannot be read is a reason."""
    values = {name: entry.texts(name) for name in _STATES if entry.all(name)}
    for name, check in _CHECKS.items():
        if name not in values:
            continue
        try:
            problem = check(values[name][0] if len(values[name]) == 1 else "", now)
        except (ValueError, OverflowError):
            # FAIL CLOSED
            problem = f"its `{name}` cannot be read"
        if problem:
            return problem
    return ""


def _control(text: str, _: datetime) -> str:
    return "the account is disabled" if int(text) & _DISABLED else ""


def _expires_ad(text: str, now: datetime) -> str:
    ticks = int(text)
    if ticks in (0, 0x7FFFFFFFFFFFFFFF):
        return ""
    return "the account has expired" if ticks < (now - _EPOCH_AD) / timedelta(microseconds=1) * 10 else ""


def _expires_shadow(text: str, now: datetime) -> str:
    days = int(text)
    return "the account has expired" if days >= 0 and now.timestamp() >= days * 86400 else ""


def _must_change_ad(text: str, _: datetime) -> str:
    return "the password must be changed" if int(text) == 0 else ""


def _must_change(text: str, _: datetime) -> str:
    return "the password must be changed" if _flag(text) else ""


def _locked(text: str, _: datetime) -> str:
    return "the account is locked" if _flag(text) else ""


def _locked_since(text: str, _: datetime) -> str:
    _moment(text) if text != _FOR_EVER else None
    return "the account is locked" if text == _FOR_EVER else ""


def _begins(text: str, now: datetime) -> str:
    return "the account is not valid yet" if now < _moment(text) else ""


def _ends(text: str, now: datetime) -> str:
    return "the account has expired" if now >= _moment(text) else ""


_CHECKS: dict[str, Callable[[str, datetime], str]] = {
    "userAccountControl": _control,
    "accountExpires": _expires_ad,
    "nsAccountLock": _locked,
    "loginDisabled": _locked,
    "pwdAccountLockedTime": _locked_since,
    "shadowExpire": _expires_shadow,
    "pwdStartTime": _begins,
    "pwdEndTime": _ends,
    "pwdLastSet": _must_change_ad,
    "pwdReset": _must_change,
}


def _flag(text: str) -> bool:
    if text.upper() not in ("TRUE", "FALSE"):
        raise ValueError
    return text.upper() == "TRUE"


def _moment(text: str) -> datetime:
    """GeneralizedTime in UTC (RFC 4517, 3.3.13), to the second."""
    match = re.fullmatch(r"(\d{14})(?:[.,]\d{1,9})?Z", text)
    if match is None:
        raise ValueError
    return datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)


@lru_cache(maxsize=20_000)
def normal(dn: str) -> Name:
    """The name (RFC 4514) to be compared; () for what is none, and that is below nothing.

    Types and ASCII letters are compared without case, as all directories do; other letters exactly, so that no letter
    that only looks or folds like another makes one group into another.
    """
    parts = [_part(part) for part in _split(dn, ",")] if dn.strip() else []
    return tuple(parts) if all(kind for kind, _ in parts) else ()


def _part(text: str) -> tuple[str, str]:
    """One relative name; of several values, as one that no single value is like. ("", "") for what is none."""
    values = []
    for one in _split(text, "+"):
        kind, equals, value = one.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+", kind.strip()):
            return "", ""
        values.append((kind.strip().lower(), _value(value)))
    values.sort()
    return "+".join(kind for kind, _ in values), "\0".join(value for _, value in values)


def _split(text: str, separator: str) -> list[str]:
    """The pieces between separators that are not escaped."""
    pieces, begin, place = [], 0, 0
    while place < len(text):
        if text[place] == separator:
            pieces.append(text[begin:place])
            begin = place + 1
        place += 2 if text[place] == "\\" else 1
    return [*pieces, text[begin:]]


def _value(text: str) -> str:
    """The value without its escapes (RFC 4514, 2.4), in lower case as far as it is ASCII, spaces made one."""
    plain = re.sub(rb"\\([0-9A-Fa-f]{2}|.)", _unescaped, text.strip().encode(), flags=re.DOTALL)
    shown = re.sub(" +", " ", plain.decode("utf-8", "backslashreplace")).strip()
    return "".join(char.lower() if char.isascii() else char for char in shown)


def _unescaped(match: re.Match[bytes]) -> bytes:
    found = match[1]
    return bytes([int(found, 16)]) if len(found) == 2 else found


def _shown(text: str) -> str:
    return text[:256] if text.isprintable() else ""
