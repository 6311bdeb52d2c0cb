"""The LDAP directory against a real OpenLDAP: who is who, whose password is right, which teams, what is refused."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import slapd as slapd_server
from slapd import BASE, GROUPS, PEOPLE, Slapd

from gateway.access.directory.ldap import LdapDirectory
from gateway.access.directory.ldap_codec import _kept, _kept_entry
from gateway.access.directory.ldap_servers import Servers
from gateway.directory_settings import LdapDirectory as Settings
from gateway.errors import GatewayError, Refusal
from gateway.ports import Heard


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with slapd_server.running() as server:
        alice, bob = server.person("alice", "alice-secret"), server.person("bob", "bob-secret")
        server.person("carol", "carol-secret")
        server.group("support", [alice])
        leads = server.group("leads", [bob])
        server.group("approvers", [leads])
        server.group("everybody", [f"cn=approvers,{GROUPS}", f"cn=support,{GROUPS}"])
        server.change(leads, add_member=f"cn=everybody,{GROUPS}")
        yield server


@pytest.fixture
def directory(slapd: Slapd) -> Iterator[LdapDirectory]:
    directory = LdapDirectory(Settings(**slapd.settings()))
    yield directory
    directory.close()


@pytest.fixture
def opened(slapd: Slapd) -> Iterator[Callable[..., LdapDirectory]]:
    made: list[LdapDirectory] = []

    def open_(*others: Slapd, **changes: Any) -> LdapDirectory:
        made.append(LdapDirectory(Settings(**slapd.settings(*others, **changes))))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def unavailable(question: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as raised:
        question()
    assert raised.value.code == "directory-unavailable"
    return raised.value.refusal.detail


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_a_person_is_found_and_proves_the_password_by_either_kind_of_tls(
    opened: Callable[..., LdapDirectory], scheme: str
) -> None:
    directory = opened(scheme=scheme)
    alice = directory.find("Alice")
    assert alice is not None
    assert (alice.login, alice.name, alice.email, alice.active) == ("alice", "Alice", "alice@example.com", True)
    assert len(alice.id) == 36
    assert directory.check_password("alice", "alice-secret") == alice == directory.by_id(alice.id)
    for wrong in ("", "alice-secret\0", "bob-secret", "alice-secret " * 200):
        assert directory.check_password("alice", wrong) is None
    assert directory.find("nobody") is None
    assert directory.check_password("nobody", "alice-secret") is None


@pytest.mark.parametrize("by", ["memberof", "member"])
def test_teams_are_the_groups_that_lead_up_from_somebody_through_a_cycle_too(
    opened: Callable[..., LdapDirectory], by: str
) -> None:
    directory = opened(groups={"base": GROUPS, "by": by})
    found = {login: directory.find(login) for login in ("alice", "bob", "carol")}
    everybody = {"everybody", "leads", "approvers"}
    assert {login: person and set(person.teams) for login, person in found.items()} == {
        "alice": {"support"} | everybody, "bob": everybody, "carol": set(),
    }  # fmt: skip


@pytest.mark.parametrize("by", ["memberof", "member"])
def test_without_nesting_only_the_groups_count_that_somebody_is_in(
    opened: Callable[..., LdapDirectory], by: str
) -> None:
    directory = opened(groups={"base": GROUPS, "by": by, "nested": False})
    bob = directory.find("bob")
    assert bob is not None
    assert bob.teams == {"leads"}


def test_only_groups_right_below_the_base_are_teams_and_those_that_are_named(
    slapd: Slapd, opened: Callable[..., LdapDirectory]
) -> None:
    dave = slapd.person("dave", "dave-secret")
    slapd.add(f"ou=other,{GROUPS}", ["organizationalUnit"], {"ou": "other"})
    hidden = slapd.group("Support", [dave], base=f"ou=other,{GROUPS}")
    slapd.group("support", [dave], base=BASE)
    slapd.group("Ops\\, Night", [dave])
    assert teams(opened(), "dave") == {"ops, night"}
    named = {"base": GROUPS, "teams": {"helpers": hidden.upper()}}
    assert teams(opened(groups=named), "dave") == {"ops, night", "helpers"}


def teams(directory: LdapDirectory, login: str) -> set[str]:
    person = directory.find(login)
    assert person is not None
    return set(person.teams)


@pytest.mark.parametrize("by", ["memberof", "member"])
def test_hundreds_of_groups_and_deep_ones(slapd: Slapd, opened: Callable[..., LdapDirectory], by: str) -> None:
    base = f"ou={by},{BASE}"
    slapd.add(base, ["organizationalUnit"], {"ou": by})
    erin = slapd.person(f"erin-{by}", "erin-secret")
    for number in range(250):
        slapd.group(f"g{number}", [erin], base=base)
    below = f"cn=g0,{base}"
    for level in range(14):
        below = slapd.group(f"level{level}", [below], base=base)
    directory = opened(groups={"base": base, "by": by}, page=50, timeout="5s")
    assert teams(directory, f"erin-{by}") == {f"g{n}" for n in range(250)} | {f"level{n}" for n in range(14)}


@pytest.mark.parametrize(
    "login",
    ["*", "alice)(uid=*", "*)(objectClass=*", "alice\0", "\\2a", "a" * 300, "al\u0131ce", "uid=alice," + PEOPLE, ""],
)  # fmt: skip
def test_a_login_is_never_part_of_the_filter(directory: LdapDirectory, login: str) -> None:
    assert directory.find(login) is None
    assert directory.check_password(login, "alice-secret") is None


def test_logins_fold_as_everywhere_and_homoglyphs_are_others(slapd: Slapd, directory: LdapDirectory) -> None:
    assert directory.find("ＡＬＩＣＥ") == directory.find("alice")
    slapd.person("аlice", "other-secret", mail="other@example.com")
    other, alice = directory.find("аlice"), directory.find("alice")
    assert other is not None
    assert alice is not None
    assert other.id != alice.id
    assert directory.check_password("аlice", "alice-secret") is None


def test_a_login_that_is_an_address_and_one_that_is_there_twice(
    slapd: Slapd, opened: Callable[..., LdapDirectory]
) -> None:
    slapd.person("frank@example.com", "frank-secret")
    directory = opened()
    assert directory.check_password("Frank@Example.com", "frank-secret") is not None
    slapd.add(f"ou=more,{PEOPLE}", ["organizationalUnit"], {"ou": "more"})
    first = slapd.person("grace", "grace-secret")
    assert directory.find("grace") is not None
    for place in range(4):
        unit = f"ou=u{place},{PEOPLE}"
        slapd.add(unit, ["organizationalUnit"], {"ou": f"u{place}"})
        slapd.person("grace", "mallory-secret", base=unit)
        assert directory.find("grace") is None
        assert directory.check_password("grace", "mallory-secret") is None
    assert directory.find("alice") is not None
    # by the id the person is still himself
    slapd.change(first, uid=["grace", "hopper"])
    assert directory.find("hopper") is None


def test_an_id_outlives_the_login_and_a_new_account_of_that_login_is_somebody_else(
    slapd: Slapd, directory: LdapDirectory
) -> None:
    dn = slapd.person("heidi", "heidi-secret")
    before = directory.find("heidi")
    assert before is not None
    with slapd.admin() as admin:
        admin.modify_dn(dn, "uid=heidrun")
    after = directory.by_id(before.id)
    assert after is not None
    assert (after.id, after.login) == (before.id, "heidrun")
    slapd.person("heidi", "new-secret")
    again = directory.find("heidi")
    assert again is not None
    assert again.id != before.id
    for wrong in ("", "*", before.id.upper(), f"{before.id})(uid=*", "0" * 200):
        assert directory.by_id(wrong) is None


YESTERDAY = datetime.now(UTC) - timedelta(days=1)
STATES = [
    ("shadow expired", {"shadowExpire": str(int(YESTERDAY.timestamp() // 86400))}, "expired"),
    ("shadow zero", {"shadowExpire": "0"}, "expired"),
    ("locked by an administrator", {"pwdAccountLockedTime": "000001010000Z"}, "locked"),
    ("password reset", {"pwdReset": "TRUE"}, "must be changed"),
    ("valid no more", {"pwdEndTime": f"{YESTERDAY:%Y%m%d%H%M%S}Z"}, "expired"),
    ("not valid yet", {"pwdStartTime": "20990101000000Z"}, "not valid yet"),
]


@pytest.mark.parametrize(("state", "says"), [row[1:] for row in STATES], ids=[row[0] for row in STATES])
def test_an_account_that_may_not_be_used_is_inactive_and_its_password_is_wrong(
    slapd: Slapd, directory: LdapDirectory, state: dict[str, str], says: str
) -> None:
    login = f"ivan{abs(hash(says + str(state))) % 10**8}"
    dn = slapd.person(login, "ivan-secret")
    assert directory.check_password(login, "ivan-secret") is not None
    slapd.change(dn, **state)
    person = directory.find(login)
    assert person is not None
    assert not person.active
    assert says in person.inactive_because
    assert directory.check_password(login, "ivan-secret") is None


def test_guessing_locks_an_account_for_a_while_and_ends_no_session(slapd: Slapd, directory: LdapDirectory) -> None:
    slapd.person("judy", "judy-secret")
    for _ in range(6):
        assert directory.check_password("judy", "guess") is None
    assert directory.check_password("judy", "judy-secret") is None
    judy = directory.find("judy")
    assert judy is not None
    assert judy.active


def test_live_people_are_asked_about_at_once_and_a_removal_is_heard_of(slapd: Slapd, directory: LdapDirectory) -> None:
    mike = slapd.person("mike", "mike-secret")
    team = slapd.group("mikes", [mike])
    person = directory.find("mike")
    assert person is not None
    first = heard(directory, person.id)
    assert first.person == person
    again = heard(directory, person.id)
    assert again.person is first.person
    assert again.at > first.at
    slapd.change(team, del_member=mike)
    after = heard(directory, person.id)
    assert after.person is not None
    assert after.person.teams == set()
    slapd.remove(mike)
    assert heard(directory, person.id).person is None


def heard(directory: LdapDirectory, people: Collection[str] | str, person: str = "") -> Heard:
    person = person or str(people)
    found = directory.recent([people] if isinstance(people, str) else people)[person]
    assert isinstance(found, Heard)
    return found


def test_many_live_people_who_do_not_change_are_not_understood_anew_each_time(
    slapd: Slapd, directory: LdapDirectory
) -> None:
    for number in range(130):
        slapd.person(f"many{number}")
    people = {person.id for n in range(130) if (person := directory.find(f"many{n}"))}
    assert len(people) == 130
    wait_for(lambda: len(directory.recent(people)) == 130)
    before = _kept.cache_info().misses, _kept_entry.cache_info().misses
    first = {one: heard(directory, people, one) for one in people}
    slapd.change(f"uid=many7,{PEOPLE}", cn="Changed")
    second = {one: heard(directory, people, one) for one in people}
    assert (_kept.cache_info().misses, _kept_entry.cache_info().misses) == (before[0], before[1] + 1)
    assert sum(first[one].person is not second[one].person for one in people) == 1


def test_frozen_it_refuses_new_people_soon_keeps_nobody_waiting_and_is_back_by_itself(
    slapd: Slapd, opened: Callable[..., LdapDirectory]
) -> None:
    news: list[tuple[str, dict[str, Any]]] = []
    directory = opened()
    directory._news = lambda kind, fields: news.append((kind, dict(fields)))
    person = directory.find("alice")
    assert person is not None
    assert heard(directory, person.id).person == person
    with slapd.frozen():
        started = time.monotonic()
        old = heard(directory, person.id)
        assert time.monotonic() - started < 0.9
        assert old.person == person
        wait_for(lambda: directory.outage is not None)
        started = time.monotonic()
        assert "does not answer" in unavailable(lambda: directory.find("alice"))
        assert unavailable(lambda: directory.check_password("alice", "alice-secret")) != ""
        held = heard(directory, person.id)
        assert time.monotonic() - started < 0.9
        assert held.outage is not None
        assert held.at == heard(directory, person.id).at
        assert isinstance(directory.recent(["00000000-0000-4000-8000-000000000000"]).popitem()[1], Refusal)
    wait_for(lambda: directory.recent([person.id]) and directory.outage is None)
    assert heard(directory, person.id).at > held.at
    assert [fields["state"] for kind, fields in news if kind == "directory.source"] == ["down", "up"]


def wait_for(done: Callable[[], object], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_next_server_is_asked_when_one_is_killed_and_the_first_again_when_it_is_back(
    slapd: Slapd, opened: Callable[..., LdapDirectory]
) -> None:
    with slapd_server.running(issued=slapd.issued) as second:
        second.person("nina", "nina-secret")
        directory = LdapDirectory(Settings(**second.settings(slapd)))
        try:
            assert directory.find("nina") is not None
            second.kill()
            assert directory.find("nina") is None
            assert directory.check_password("alice", "alice-secret") is not None
            assert list(directory.servers.outages()) == [f"ldaps://localhost:{second.ports['ldaps']}"]
            second.start()
            wait_for(lambda: not directory.servers.outages())
            assert directory.find("nina") is not None
            with second.frozen():
                begun = time.monotonic()
                assert directory.check_password("alice", "alice-secret") is not None
                assert time.monotonic() - begun < 6
        finally:
            directory.close()


def test_a_certificate_of_another_authority_or_for_another_name_is_not_accepted(
    slapd: Slapd, opened: Callable[..., LdapDirectory], tmp_path: Path
) -> None:
    from gateway import certificates

    (tmp_path / "other.pem").write_bytes(certificates.issue("Other", ["localhost"]).ca)
    for scheme in ("ldaps", "ldap"):
        stranger = opened(scheme=scheme, ca=str(tmp_path / "other.pem"))
        assert "certificate is not accepted" in unavailable(lambda of=stranger: of.find("alice"))  # type: ignore[misc]
        address = [f"{scheme}://127.0.0.1:{slapd.ports[scheme]}"]
        misnamed = opened(scheme=scheme, servers=address)
        assert "certificate is not accepted" in unavailable(lambda of=misnamed: of.find("alice"))  # type: ignore[misc]


def test_the_gateway_signs_in_by_a_certificate_and_without_any_right_sees_nobody(
    slapd: Slapd, opened: Callable[..., LdapDirectory], tmp_path: Path
) -> None:
    shown = {name: str(slapd.place / f"client.{end}") for name, end in (("certificate", "pem"), ("key", "key"))}
    for scheme in ("ldaps", "ldap"):
        directory = opened(bind="", password=None, scheme=scheme, **shown)
        assert directory.check_password("alice", "alice-secret") is not None
    (tmp_path / "secret").write_text("alice-secret")
    (tmp_path / "secret").chmod(0o600)
    alice = opened(bind=f"uid=alice,{PEOPLE}", password={"file": str(tmp_path / "secret")})
    assert "does not have what" in unavailable(lambda: alice.find("alice"))
    assert alice.servers.outages() == {}


def test_a_wrong_password_of_the_gateway_is_an_outage_and_not_hammered(
    slapd: Slapd, opened: Callable[..., LdapDirectory], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("wrong")
    secret.chmod(0o600)
    directory = opened(password={"file": str(secret)})
    assert "does not accept the gateway's sign-in" in unavailable(lambda: directory.find("alice"))
    asked: list[str] = []
    check = Servers.check
    directory.servers.check = lambda address: (asked.append(address), check(directory.servers, address))[1]  # type: ignore[method-assign]
    time.sleep(1.5)
    assert asked == []


class Hostile:
    """Answers on a port with what it is told, and keeps what it was sent."""

    def __init__(self, *answers: bytes, pause_s: float = 0.0, again: bool = False) -> None:
        self._answers, self._pause_s, self._again = answers, pause_s, again
        self.got: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        try:
            with client:
                for answer in self._answers:
                    self.got.append(client.recv(65536))
                    if answer[:1] not in (b"", b"\x30", b"H"):
                        answer = message(self.got[-1], answer)
                    if self._pause_s:
                        for byte in answer:
                            client.sendall(bytes([byte]))
                            time.sleep(self._pause_s)
                    else:
                        client.sendall(answer)
                while self._again:
                    client.sendall(self._answers[-1])
                self.got.append(client.recv(65536))
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()
        self._thread.join(2)


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Callable[..., tuple[Hostile, LdapDirectory]]]:
    made: list[Any] = []
    (tmp_path / "secret").write_text("reader-secret")
    (tmp_path / "secret").chmod(0o600)

    def meet(*answers: bytes, tls: str = "off", **how: Any) -> tuple[Hostile, LdapDirectory]:
        server = Hostile(*answers, **how)
        settings = Settings(
            kind="ldap", servers=(f"ldap://127.0.0.1:{server.port}",), tls=tls, bind=f"cn=gateway,{BASE}",
            password={"file": tmp_path / "secret"}, people={"base": PEOPLE}, groups={"base": GROUPS}, timeout=0.5,
            answer_limit=1 << 20,
        )  # fmt: skip
        directory = LdapDirectory(settings)
        made.extend((directory, server))
        return server, directory

    yield meet
    for one in made:
        one.close()


def message(question: bytes, operation: bytes) -> bytes:
    head = 2 + (question[1] & 0x7F if question[1] > 127 else 0)
    body = question[head : head + 2 + question[head + 1]] + operation
    return b"\x30" + length(len(body)) + body


def length(size: int) -> bytes:
    return bytes([size]) if size < 128 else b"\x84" + size.to_bytes(4, "big")


def result(tag: int, code: int, more: bytes = b"") -> bytes:
    body = b"\x0a\x01" + bytes([code]) + b"\x04\x00\x04\x00" + more
    return bytes([tag]) + length(len(body)) + body


BOUND = result(0x61, 0)
REFERRAL = b"\xa3\x1e\x04\x1cldap://evil.example.com/dc=x"


def test_who_strips_starttls_gets_no_password(hostile: Callable[..., tuple[Hostile, LdapDirectory]]) -> None:
    server, directory = hostile(result(0x78, 2), tls="verify-full")
    assert "StartTLS" in unavailable(lambda: directory.find("alice"))
    assert all(b"reader-secret" not in one and b"cn=gateway" not in one for one in server.got)


@pytest.mark.parametrize(
    ("answers", "how", "says"),
    [
        ((BOUND, result(0x65, 10, REFERRAL)), {}, "answered with 10"),
        ((result(0x61, 10, REFERRAL),), {}, "not understood"),
        ((BOUND,), {"pause_s": 0.1}, "does not answer in time"),
        ((BOUND, result(0x65, 0)), {"pause_s": 0.06}, "does not answer in time"),
        ((b"\x30\x84\x7f\xff\xff\xff" + b"\0" * 4096,), {"again": True}, "larger than `answer_limit`"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), {}, ""),
        ((b"\x30\x03\x02\x01\x01",), {}, "not understood"),
        ((b"\x30\x80\0\0\0\0",), {}, ""),
        ((b"",), {}, "does not answer in time"),
    ],
    ids=["referral", "referral at sign-in", "a byte at a time", "the same for an answer", "endless", "http", "empty",
         "indefinite", "silent"],
)  # fmt: skip
def test_a_server_that_misbehaves_is_out_and_within_bounds(
    hostile: Callable[..., tuple[Hostile, LdapDirectory]], answers: tuple[bytes, ...], how: dict[str, Any], says: str
) -> None:
    _, directory = hostile(*answers, **how)
    begun = time.monotonic()
    assert says in unavailable(lambda: directory.find("alice"))
    assert time.monotonic() - begun < 2.5
    begun = time.monotonic()
    unavailable(lambda: directory.find("alice"))
    assert time.monotonic() - begun < 0.45


@pytest.mark.parametrize(("code", "out"), [(3, False), (11, False), (21, False), (53, False), (51, True), (80, True)])
def test_who_asks_an_odd_question_does_not_make_the_server_be_out(
    hostile: Callable[..., tuple[Hostile, LdapDirectory]], code: int, out: bool
) -> None:
    _, directory = hostile(BOUND, result(0x65, code))
    assert f"answered with {code}" in unavailable(lambda: directory.find("alice"))
    assert bool(directory.servers.outages()) == out


def test_the_time_does_not_tell_whether_somebody_exists(directory: LdapDirectory) -> None:
    def took(login: str, password: str) -> float:
        begun = time.perf_counter()
        directory.check_password(login, password)
        directory.find(login)
        return time.perf_counter() - begun

    for _ in range(8):
        took("alice", "alice-secret")
    known, unknown = (
        sorted(took(login, secret) for _ in range(9))[4]
        for login, secret in (("alice", "alice-secret"), ("nobody", "x"))
    )
    assert 0.4 < unknown / known < 2.5
