"""What entries say: Active Directory's and others' attributes, names, groups, and the settings that lead there."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.access.directory.ldap_codec import Found, Question, encoded
from gateway.access.directory.ldap_people import Reader, normal, problem_of
from gateway.access.directory.ldap_wire import EXPIRED, PPOLICY, policy_error
from gateway.directory_settings import LdapDirectory
from gateway.errors import GatewayError

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
GUID = uuid.UUID("7b95f0d5-a3ed-486c-919c-077b8c9731f2")
PEOPLE, GROUPS = "OU=Staff,DC=corp,DC=example,DC=com", "OU=Teams,DC=corp,DC=example,DC=com"


def settings(**changes: Any) -> LdapDirectory:
    plain: dict[str, Any] = {
        "kind": "ldap",
        "flavour": "active-directory",
        "servers": ["ldaps://dc1.corp.example.com"],
        "bind": "CN=gateway,DC=corp,DC=example,DC=com",
        "password": {"env": "X"},
        "people": {"base": PEOPLE},
        "groups": {"base": GROUPS},
    }
    return LdapDirectory(**(plain | changes))


def entry(dn: str = f"CN=Martin\\, Alice,{PEOPLE}", **attributes: Any) -> Found:
    """As Active Directory answers a search, with what a user has there."""
    plain = {
        "sAMAccountName": "Alice.Martin",
        "objectGUID": GUID.bytes_le,
        "displayName": "Alice Martin",
        "mail": "alice@example.com",
        "userAccountControl": "512",
        "accountExpires": "9223372036854775807",
        "pwdLastSet": "133773120000000000",
    } | attributes
    return Found(
        dn,
        {
            name.lower(): tuple(
                one if isinstance(one, bytes) else str(one).encode()
                for one in (value if isinstance(value, list) else [value])
            )
            for name, value in plain.items()
            if value is not None
        },
    )


def test_a_user_of_active_directory() -> None:
    person = Reader(settings()).person(entry(), frozenset({"support"}), NOW)
    assert person is not None
    assert (person.id, person.login, person.name) == (str(GUID), "alice.martin", "Alice Martin")
    assert (person.email, person.active, person.teams) == ("alice@example.com", True, {"support"})


def ticks(when: datetime) -> str:
    return str(int((when - datetime(1601, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1) * 10))


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"userAccountControl": "514"}, "disabled"),
        ({"userAccountControl": "66050"}, "disabled"),
        ({"userAccountControl": "66048"}, ""),
        ({"userAccountControl": "on"}, "cannot be read"),
        ({"userAccountControl": ["512", "512"]}, "cannot be read"),
        ({"userAccountControl": b"\xff"}, ""),
        ({"accountExpires": ticks(NOW - timedelta(seconds=1))}, "expired"),
        ({"accountExpires": ticks(NOW + timedelta(seconds=1))}, ""),
        ({"accountExpires": "0"}, ""),
        ({"accountExpires": "never"}, "cannot be read"),
        ({"pwdLastSet": "0"}, "must be changed"),
        ({"pwdReset": "true"}, "must be changed"),
        ({"pwdReset": "maybe"}, "cannot be read"),
        ({"nsAccountLock": "TRUE"}, "locked"),
        ({"loginDisabled": "FALSE"}, ""),
        ({"pwdAccountLockedTime": "000001010000Z"}, "locked"),
        ({"pwdAccountLockedTime": "20261128115900Z"}, ""),
        ({"pwdAccountLockedTime": "yesterday"}, "cannot be read"),
        ({"shadowExpire": "-1"}, ""),
        ({"shadowExpire": "0"}, "expired"),
        ({"shadowExpire": "999999"}, ""),
        ({"pwdEndTime": "20261128120000.0Z"}, "expired"),
        ({"pwdStartTime": "20261128120001Z"}, "not valid yet"),
    ],
)
def test_the_state_of_an_account(attributes: dict[str, Any], says: str) -> None:
    if attributes.get("userAccountControl") == b"\xff":
        says = "cannot be read"
    problem = problem_of(entry(**attributes), NOW)
    assert says in problem
    assert bool(problem) == bool(says)


@pytest.mark.parametrize(
    "attributes",
    [
        {"objectGUID": None},
        {"objectGUID": [GUID.bytes_le, GUID.bytes]},
        {"objectGUID": b"short"},
        {"sAMAccountName": None},
        {"sAMAccountName": ["alice", "bob"]},
        {"sAMAccountName": ["alice", b"\xff\xfe"]},
        {"sAMAccountName": "alice+SUP-1"},
        {"sAMAccountName": " "},
    ],
)
def test_who_does_not_say_who_he_is_is_nobody(attributes: dict[str, Any]) -> None:
    assert Reader(settings()).person(entry(**attributes), frozenset(), NOW) is None


def test_an_id_is_asked_for_in_its_bytes_and_what_is_none_is_not_asked_for() -> None:
    reader = Reader(settings())
    assert "(objectGUID=\\d5\\f0\\95\\7b\\ed\\a3\\6c\\48\\91\\9c\\07\\7b\\8c\\97\\31\\f2)" in reader.by_ids([str(GUID)])
    for wrong in ("*", "", str(GUID).upper(), f"{{{GUID}}}", GUID.hex, f"{GUID})(a=*"):
        assert reader.by_ids([wrong]) == ""
    question = Question(PEOPLE, reader.by_ids([str(GUID)]), ("x",), "SUBTREE", 2, 3)
    assert GUID.bytes_le in encoded(question)
    free = Reader(settings(people={"base": PEOPLE, "id": "employeeNumber"}))
    assert "(employeeNumber=\\2a\\29\\28)" in free.by_ids(["*)("])


def test_addresses_count_only_where_there_is_one_and_not_at_all_where_that_is_said() -> None:
    both = entry(mail=["alice@example.com", "bob@example.com"], employeeNumber="4711")
    found = Reader(settings()).person(both, frozenset(), NOW)
    assert found is not None
    assert (found.email, found.human) == ("", "")
    people = {"base": PEOPLE, "email": "none", "human": "employeeNumber"}
    other = Reader(settings(people=people)).person(entry(employeeNumber="4711"), frozenset(), NOW)
    assert other is not None
    assert (other.email, other.human) == ("", "4711")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("cn=Support,ou=x", "CN=support, OU=X", True),
        ("cn=a\\,b,ou=x", "cn=a\\2cb,ou=x", True),
        ("cn=a\\,b,ou=x", "cn=a,cn=b,ou=x", False),
        ("cn=s\\c3\\bcd,ou=x", "cn=süd,ou=x", True),
        ("cn=ſupport,ou=x", "cn=support,ou=x", False),
        ("cn=ｓupport,ou=x", "cn=support,ou=x", False),
        ("cn=SÜD,ou=x", "cn=süd,ou=x", False),
        ("cn=a+sn=b,ou=x", "sn=B+cn=A,ou=x", True),
        ("cn=a+sn=b,ou=x", "cn=a,ou=x", False),
        ("cn=a  b,ou=x", "cn=a b,ou=x", True),
    ],
)
def test_names_are_compared_as_directories_do_and_no_letter_passes_for_another(
    one: str, other: str, same: bool
) -> None:
    assert (normal(one) == normal(other) != ()) == same
    assert normal(one) != ()


@pytest.mark.parametrize("name", ["", " ", "support", "cn=a,b", "=a", "cn=a,,ou=x", "1=2", "cn=a,ou=x,"])
def test_what_is_no_name_is_none(name: str) -> None:
    assert normal(name) == ()


def in_groups(groups: dict[str, list[str]], *direct: str, **changes: Any) -> frozenset[str]:
    """The teams of somebody with these memberships, where these groups have those."""
    reader = Reader(settings(groups={"base": GROUPS, **changes}))
    asked: list[str] = []

    def search(base: str, filter_: str, attributes: Iterable[str]) -> list[Found]:
        asked.append(filter_)
        assert base == GROUPS
        assert filter_.startswith("(&(objectClass=group)(|(distinguishedName=")
        return [
            Found(dn, {"memberof": tuple(one.encode() for one in above)})
            for dn, above in groups.items()
            if f"(distinguishedName={dn})" in filter_
        ]

    alice = entry(memberOf=list(direct))
    return reader.teams([alice], search)[alice.dn]


def test_groups_elsewhere_deleted_or_of_another_kind_give_no_team_and_cycles_end() -> None:
    tier, support = f"CN=Tier1,OU=Deep,{GROUPS}", f"CN=Support,{GROUPS}"
    foreign = "CN=Admins,DC=corp,DC=example,DC=com"
    groups = {tier: [support, foreign], support: [tier, f"OU=Odd,{GROUPS}"], f"OU=Odd,{GROUPS}": []}
    assert in_groups(groups, tier, foreign, f"CN=Gone,{GROUPS}", "garbage") == {"support"}
    assert in_groups(groups, tier, nested=False) == set()
    assert in_groups(groups, tier, teams={"first": tier}) == {"support", "first"}


def test_two_entries_of_one_name_are_in_no_team() -> None:
    reader = Reader(settings(groups={"base": GROUPS, "nested": False}))
    twins = [entry(memberOf=f"CN=Support,{GROUPS}"), entry(f"CN=MARTIN\\2c Alice,{PEOPLE}", memberOf=[])]
    assert set(reader.teams(twins, lambda *_: []).values()) == {frozenset()}


def test_a_part_of_the_members_is_no_answer() -> None:
    reader = Reader(settings(groups={"base": GROUPS, "by": "member"}))
    alice = entry()
    part = Found(f"CN=Big,{GROUPS}", {"member;range=0-1499": (alice.dn.encode(),)})
    assert reader.teams([alice], lambda *_: [part]) == {alice.dn: frozenset()}
    hidden = reader.person(entry(userAccountControl=None), frozenset(), NOW)
    assert hidden is not None
    assert not hidden.active


@pytest.mark.parametrize(
    ("controls", "says"),
    [
        ({}, ""),
        ({PPOLICY: {"value": b"\x30\x00"}}, ""),
        ({PPOLICY: {"value": b"\x30\x03\x81\x01\x02"}}, "must be changed"),
        ({PPOLICY: {"value": b"\x30\x08\xa0\x03\x80\x01\x05\x81\x01\x00"}}, "expired"),
        ({PPOLICY: {"value": b"\x30\x05\xa0\x03\x80\x01\x05"}}, ""),
        ({PPOLICY: {"value": b"\x30\x03\x81\x01\x09"}}, "refuses"),
        ({PPOLICY: {"value": b"\x30\x7f\x81"}}, "not understood"),
        ({PPOLICY: {"value": b"\x31\x00"}}, "not understood"),
        ({EXPIRED: {"value": b"0"}}, "expired"),
    ],
)
def test_what_a_bind_says_beside_its_result(controls: dict[str, Any], says: str) -> None:
    assert says in policy_error(controls)
    assert bool(policy_error(controls)) == bool(says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"servers": ["http://x"]}, "a server is"),
        ({"servers": ["ldaps://user@x"]}, "a server is"),
        ({"servers": ["ldaps://x/dc=x"]}, "a server is"),
        ({"servers": []}, "at least 1"),
        ({"servers": ["ldap://dc1.corp.example.com"], "tls": "off"}, "loopback"),
        ({"servers": ["ldaps://localhost"], "tls": "off"}, "loopback"),
        ({"bind": ""}, "go together"),
        ({"password": None}, "go together"),
        ({"bind": "", "password": None}, "signs in"),
        ({"certificate": "x.pem"}, "go together"),
        ({"timeout": "31s"}, "200ms to 30s"),
        ({"people": {"base": "corp.example.com"}}, "distinguished name"),
        ({"people": {"base": PEOPLE, "filter": "objectClass=x"}}, "one expression"),
        ({"people": {"base": PEOPLE, "filter": "(a=b)(c=d)"}}, "one expression"),
        ({"people": {"base": PEOPLE, "filter": "(a=b))(|(c=d)"}}, "one expression"),
        ({"people": {"base": PEOPLE, "login": "uid=*)(a"}}, "pattern"),
        ({"verify": False}, "Extra inputs"),
    ],
)
def test_settings_that_would_not_do_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(**changes)


def test_a_base_that_is_no_name_is_refused_at_the_start() -> None:
    with pytest.raises(GatewayError):
        Reader(settings(groups={"base": "dc=x,,dc=y"}))
