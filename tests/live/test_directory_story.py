"""People of an LDAP directory at a real gateway: in with password and code, out when the directory says so, and what
happens when it stands still, dies, and comes back.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest
import slapd as slapd_server
from gateway_fixture import House, awaited, change_yaml, eventually, open_house
from slapd import GROUPS, PEOPLE, Slapd

from gateway.demo.company import TARGET, TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError

GRACE_S = 8.0


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Slapd, Slapd]]:
    """Two servers with the same certificate; the second one knows nobody in particular."""
    with slapd_server.running() as first, slapd_server.running(issued=first.issued) as second:
        yield first, second


@pytest.fixture(scope="module")
def scene(
    postgres: EmbeddedPostgres, servers: tuple[Slapd, Slapd], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, Slapd]]:
    slapd = servers[0]
    for login in ("alice", "amir", "bob", "carol"):
        slapd.person(login)
    dn = {login: f"uid={login},{PEOPLE}" for login in ("alice", "amir", "bob", "carol")}
    first_line = slapd.group("first-line", [dn["alice"], dn["amir"]])
    slapd.group("Support", [first_line])
    slapd.group("security", [dn["bob"]])
    slapd.group("audit", [dn["carol"]])
    settings = {"directory": slapd.settings(), "grace": f"{int(GRACE_S)}s"}
    with open_house(tmp_path_factory.mktemp("directory"), postgres, settings=settings) as house:
        for login, name in dn.items():
            # a password that an administrator sets has to be changed; here it is as if that was done
            slapd.change(name, userPassword=house.company.passwords[login])
            slapd.change(name, pwdReset=None)
        yield house, slapd


@contextlib.contextmanager
def inside(house: House, login: str = "alice", *, again: bool = False) -> Iterator[psycopg.Connection[Any]]:
    # what a change means for who is signed in, the watcher tells in its next round
    eventually(lambda: _opens(house, login, again=again))
    with house.connect(login) as connection:
        assert connection.execute("select count(*) from employees").fetchone()
        yield connection


def _opens(house: House, login: str, *, again: bool) -> bool:
    try:
        house.opened(login, again=again)
    except GatewayError as error:
        if error.code not in ("person-inactive", "directory-unavailable"):
            raise
        return False
    return True


def cut_after(connection: psycopg.Connection[Any], start: float, within_s: float = 15.0) -> float:
    """The seconds until the session is cut, though idle."""
    deadline = start + within_s
    while time.monotonic() < deadline:
        if connection.pgconn.socket >= 0:
            with contextlib.suppress(psycopg.OperationalError):
                connection.pgconn.consume_input()
        if connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            return time.monotonic() - start
        time.sleep(0.02)
    raise AssertionError(f"after {within_s} s it goes on")


def sign_in_refused(house: House, login: str) -> str:
    """The code of the refusal, with the right password and a code of no moment: what is in the way is found first."""
    context = ssl.create_default_context(cafile=house.company.tls.ca)
    with httpx2.Client(verify=context, trust_env=False, timeout=20) as client:
        answer = client.post(
            f"https://localhost:{house.company.ports['api']}/v1/sign-in",
            json={"login": login, "password": house.company.passwords[login], "otp": "000000"},
        )
    assert not answer.is_success
    return str(answer.json()["code"])


def readiness(house: House) -> tuple[int, dict[str, str]]:
    with httpx2.Client(trust_env=False, timeout=10) as client:
        answer = client.get(f"http://127.0.0.1:{house.company.ports['ops']}/readyz")
    return answer.status_code, answer.json()["missing"]


def test_a_removal_from_a_group_within_the_team_cuts_the_session_at_once(scene: tuple[House, Slapd]) -> None:
    house, slapd = scene
    group, alice = f"cn=first-line,{GROUPS}", f"uid=alice,{PEOPLE}"
    with inside(house) as connection:
        follower = house.follow()
        slapd.change(group, del_member=alice)
        assert cut_after(connection, time.monotonic()) < 1.5
        ended = awaited(follower, lambda record: record["kind"] == "session.end")
        assert ended["code"] == "access-ended"
        with pytest.raises(psycopg.Error):
            house.connect("alice")
    slapd.change(group, add_member=alice)
    with inside(house, again=True) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ({"shadowExpire": "1"}, {"shadowExpire": None}),
        ({"pwdAccountLockedTime": "000001010000Z"}, {"pwdAccountLockedTime": None}),
        ({"pwdReset": "TRUE"}, {"pwdReset": None}),
    ],
    ids=["expired", "locked", "password to be changed"],
)
def test_an_account_that_may_not_be_used_any_more_cuts_and_signs_nobody_in(
    scene: tuple[House, Slapd], change: dict[str, Any], back: dict[str, Any]
) -> None:
    house, slapd = scene
    alice = f"uid=alice,{PEOPLE}"
    with inside(house, again=True) as connection:
        slapd.change(alice, **change)
        assert cut_after(connection, time.monotonic()) < 1.5
        follower = house.follow()
        assert sign_in_refused(house, "alice") == "authentication-failed"
        login = awaited(follower, lambda record: record["kind"] == "login")
        assert login["code"] == "authentication-failed"
        assert login["reason"] not in ("wrong password", "unknown person")
    slapd.change(alice, **back)


def test_frozen_it_lets_nobody_new_in_and_who_is_in_goes_on_for_the_grace(scene: tuple[House, Slapd]) -> None:
    house, slapd = scene
    with inside(house, again=True) as connection:
        follower = house.follow()
        with slapd.frozen():
            start = time.monotonic()
            down = awaited(follower, lambda record: record["kind"] == "directory.source", patience_s=8)
            assert (down["state"], down["code"]) == ("down", "directory-unavailable")
            assert connection.execute("select 1").fetchone() == (1,)
            begun = time.monotonic()
            with pytest.raises(psycopg.Error) as caught:
                house.connect("alice")
            assert "directory-unavailable" in str(caught.value)
            assert time.monotonic() - begun < 1.5
            assert readiness(house) == (503, {"directory": "the directory cannot be asked"})
            assert house.metric("gateway_directory_down") == 1
            after = cut_after(connection, start)
            assert GRACE_S - 1.5 < after < GRACE_S + 2
            assert sign_in_refused(house, "alice") == "directory-unavailable"
        up = awaited(follower, lambda record: record["kind"] == "directory.source")
        assert up["state"] == "up"
        assert up["duration_s"] >= 1
    eventually(lambda: readiness(house) == (200, {}))
    with inside(house, again=True):
        pass


def test_killed_and_started_again_within_the_grace_it_cuts_nobody(scene: tuple[House, Slapd]) -> None:
    house, slapd = scene
    with inside(house, again=True) as connection:
        slapd.kill()
        eventually(lambda: readiness(house)[0] == 503)
        time.sleep(2)
        assert connection.execute("select 1").fetchone() == (1,)
        slapd.start()
        eventually(lambda: readiness(house) == (200, {}))
        time.sleep(GRACE_S)
        assert connection.execute("select 1").fetchone() == (1,)
        # what changed while nobody could be asked counts as soon as somebody can
        slapd.kill()
        slapd.start()
        slapd.change(f"uid=alice,{PEOPLE}", shadowExpire="1")
        assert cut_after(connection, time.monotonic()) < 3
    slapd.change(f"uid=alice,{PEOPLE}", shadowExpire=None)


def test_a_renamed_person_loses_the_session_and_the_one_who_gets_the_login_gets_nothing(
    scene: tuple[House, Slapd],
) -> None:
    house, slapd = scene
    with inside(house, again=True) as connection:
        with slapd.admin() as admin:
            admin.modify_dn(f"uid=alice,{PEOPLE}", "uid=alicia")
        assert cut_after(connection, time.monotonic()) < 1.5
        other = slapd.person("alice", house.company.passwords["alice"])
        slapd.change(f"cn=first-line,{GROUPS}", add_member=other)
        with pytest.raises(psycopg.Error):
            house.connect("alice")
        # the authenticator is that of the person who had the login before
        assert house.command("alice", "login", "alice", otp=True).returncode != 0
    slapd.remove(other)
    with slapd.admin() as admin:
        admin.modify_dn(f"uid=alicia,{PEOPLE}", "uid=alice")


def test_the_commands_show_what_is_understood(scene: tuple[House, Slapd]) -> None:
    house, _ = scene
    shown = house.command("root", "directory", "test", "Alice", "--output", "json")
    assert shown.returncode == 0, shown.stderr
    facts = json.loads(shown.stdout)
    assert (facts["login"], facts["teams"], facts["active"]) == ("alice", ["first-line", "support"], True)
    missing = house.command("root", "directory", "test", "alice)(uid=*")
    assert missing.returncode != 0
    assert "nobody" in missing.stderr
    explained = house.command("root", "policy", "explain", "--person", "alice", "--ticket", TICKET, "--target", TARGET)
    assert explained.returncode == 0, explained.stderr
    assert "approved" in explained.stdout


def test_the_doctor_asks_every_server(scene: tuple[House, Slapd], servers: tuple[Slapd, Slapd]) -> None:
    house, slapd = scene
    said = house.command("root", "doctor").stdout
    assert f"directory ldaps://localhost:{slapd.ports['ldaps']}: lets the gateway in" in said
    assert "can sign in; teams: " in said
    other = servers[1]
    change_yaml(house.company.config, lambda tree: tree["directory"].update(slapd.settings(other)))
    try:
        with other.frozen():
            said = house.command("root", "doctor").stdout.lower()
        assert f"fail  directory ldaps://localhost:{other.ports['ldaps']}: it does not answer in time" in said
    finally:
        change_yaml(house.company.config, lambda tree: tree["directory"].update(slapd.settings()))
