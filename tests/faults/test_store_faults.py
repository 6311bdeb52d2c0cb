"""The store of a gateway frozen, killed, cut off, failed over and put back: what is new is refused, and all comes back
by itself; what was revoked never does.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from gateway_fixture import House, eventually, small_payroll
from nodes import call, open_nodes, sign_in
from quorum_servers import SETTINGS, Cluster, Node, Proxy, cluster, until

from gateway.demo import data
from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres, find_binaries
from gateway.errors import CODES

pytestmark = [pytest.mark.faults, pytest.mark.live]

DEADLINE_S, GRACE_S = 2.0, 3.0
OUT = CODES["store-unavailable"]


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedPostgres]:
    with small_payroll(data.generate(data.SMALL, 2026), 2026) as server:
        yield server


@pytest.fixture(scope="module")
def store() -> Iterator[Node]:
    directory = Path(tempfile.mkdtemp(prefix="gateway-store-"))
    node = Node(directory / "server", find_binaries(tls=True), settings=SETTINGS, name="store")
    directory.chmod(0o711)
    try:
        node.start()
        yield node
    finally:
        node.thaw()
        node.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def road(store: Node) -> Iterator[Proxy]:
    proxy = Proxy(store.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def house(
    target: EmbeddedPostgres, store: Node, road: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    place = tmp_path_factory.mktemp("store")
    settings = {"port": road.port, "deadline": DEADLINE_S, "grace": GRACE_S}
    with open_nodes(place, target, "one_node", count=1, store=store, **settings) as (house,):
        house.actor("alice")
        yield house


def frozen(store: Node, road: Proxy) -> Callable[[], None]:
    store.freeze()
    return store.thaw


def killed(store: Node, road: Proxy) -> Callable[[], None]:
    store.kill()

    def back() -> None:
        store.preferred_port = store.port
        store.start()
        road.target = store.port

    return back


def held_up(store: Node, road: Proxy) -> Callable[[], None]:
    road.blocked = True

    def back() -> None:
        road.blocked = False

    return back


def hung_up(store: Node, road: Proxy) -> Callable[[], None]:
    before, road.target = road.target, 1
    road.hang_up()

    def back() -> None:
        road.target = before

    return back


@contextmanager
def answering(house: House) -> Iterator[list[float]]:
    """Ask how the gateway is, meanwhile; the seconds of each answer."""
    took: list[float] = []
    done = threading.Event()

    def ask() -> None:
        with httpx2.Client(trust_env=False, timeout=20) as client:
            while not done.is_set():
                began = time.monotonic()
                client.get(f"http://127.0.0.1:{house.company.ports['ops']}/healthz")
                took.append(time.monotonic() - began)
                time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        done.set()
        thread.join()


# somebody else each time, who has codes left: nobody has to wait for one
@pytest.mark.parametrize(("fault", "login"), [(frozen, "amir"), (killed, "bob"), (held_up, "bea"), (hung_up, "carol")])
def test_without_its_store_a_gateway_gives_no_new_access_and_ends_what_there_is_after_the_grace(
    house: House, store: Node, road: Proxy, fault: Callable[[Node, Proxy], Callable[[], None]], login: str
) -> None:
    opened = house.actor("alice").open(TICKET)
    someone = house.actor(login)
    with _connected(house, opened) as connection:
        code = someone.code()
        back = fault(store, road)
        began = time.monotonic()
        try:
            with answering(house) as took:
                # those that come at the same time are refused at the same time
                with ThreadPoolExecutor(6) as pool:
                    answers = list(pool.map(lambda _: sign_in(house, login, code), range(6)))
                assert {(one.status_code, one.json()["code"]) for one in answers} == {(OUT.http, "store-unavailable")}
                assert time.monotonic() - began < 3 * DEADLINE_S + 1
                with pytest.raises(psycopg.OperationalError) as refused:
                    _connected(house, opened)
                assert "store" in str(refused.value)
                assert _readiness(house) == 503
                eventually(lambda: _refusal(connection) is not None, patience_s=GRACE_S + DEADLINE_S + 2)
                assert _refusal(connection) in ("store-unavailable", "closed")
            # nothing of that waited on the loop
            assert max(took) < DEADLINE_S
        finally:
            back()
    eventually(lambda: _works(house, opened), patience_s=10)
    eventually(lambda: _readiness(house) == 200, patience_s=5)
    assert sign_in(house, login, someone.code()).status_code == 200


def test_a_short_outage_cuts_nobody(house: House, store: Node, road: Proxy) -> None:
    opened = house.actor("alice").open(TICKET)
    with _connected(house, opened) as connection:
        store.freeze()
        time.sleep(GRACE_S / 3)
        assert connection.execute("select 1").fetchone() == (1,)
        store.thaw()
        time.sleep(GRACE_S)
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_start_without_the_store_is_refused_and_says_so(house: House, store: Node, road: Proxy) -> None:
    house.gateway.stop()
    back = hung_up(store, road)
    try:
        with pytest.raises(Exception, match="store"):
            house.gateway.start()
    finally:
        back()
    house.gateway.start()
    assert sign_in(house, "alice", house.actor("alice").code()).status_code == 200


def test_a_gateway_that_is_frozen_holds_up_no_other(target: EmbeddedPostgres, store: Node, tmp_path: Path) -> None:
    with open_nodes(tmp_path, target, "frozen_node", store=store, deadline=DEADLINE_S) as (one, other):
        alice = one.actor("alice")
        stop, thread = _busy(one)
        time.sleep(0.3)
        assert one.gateway.pid is not None
        os.kill(one.gateway.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            code = alice.code()
            waited = time.monotonic() - began
            # whatever it held is let go of by the server's own timeouts
            eventually(lambda: sign_in(other, "alice", code).status_code == 200, patience_s=4 * DEADLINE_S + 2)
            assert time.monotonic() - began - waited < 4 * DEADLINE_S + 2
        finally:
            os.kill(one.gateway.pid, signal.SIGCONT)
            stop.set()
            thread.join()


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def _hosts(servers: Cluster) -> tuple[str, ...]:
    return tuple(f"127.0.0.1:{node.port}" for node in servers.nodes)


def test_the_store_fails_over_and_work_goes_on(target: EmbeddedPostgres, servers: Cluster, tmp_path: Path) -> None:
    more: dict[str, Any] = {"hosts": _hosts(servers), "deadline": 3.0, "grace": 30.0, "tls": "off", "ca": None}
    with open_nodes(tmp_path, target, "failing_over", count=1, store=servers.a, **more) as (house,):
        opened = house.actor("alice").open(TICKET)
        with _connected(house, opened) as connection:
            until(lambda: _standing(servers))
            servers.a.kill()
            assert sign_in(house, "bob", "000000").status_code == OUT.http
            servers.b.promote()
            servers.b.set(synchronous_standby_names="")
            eventually(lambda: _works(house, opened), patience_s=20)
            assert connection.execute("select 1").fetchone() == (1,)
        assert not [record for record in house.records() if record["kind"] == "store.restored"]


def test_a_standby_that_had_not_got_a_revocation_does_not_bring_the_grant_back(
    target: EmbeddedPostgres, servers: Cluster, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"hosts": _hosts(servers), "deadline": 3.0, "grace": 60.0, "tls": "off", "ca": None}
    with open_nodes(tmp_path, target, "lossy", count=1, store=servers.a, **more) as (house,):
        alice = house.actor("alice")
        kept = alice.open(TICKET)
        until(lambda: _standing(servers))
        # commits wait for nobody any more, and the standbys hear of nothing
        servers.a.set(synchronous_standby_names="")
        for standby in (servers.b, servers.c):
            standby.set(primary_conninfo="host=127.0.0.1 port=1")
        until(lambda: servers.streaming() == [])
        alice.revoke(kept["grant"], "enough")
        servers.a.kill()
        servers.b.promote()
        servers.b.set(synchronous_standby_names="")
        eventually(lambda: _has(house, "store.restored"), patience_s=20)
        assert not _works(house, kept)
        assert _states(servers.b, "lossy") == {kept["grant"]: "revoked"}
        opened = alice_opens(house)
        assert _works(house, opened)


def alice_opens(house: House) -> dict[str, Any]:
    """Signed in anew: all sign-ins ended, and codes of the time before are not taken."""
    alice = house.actor("alice")
    for _ in range(4):
        if sign_in(house, "alice", code := alice.code()).status_code == 200:
            break
        assert code
    alice.sign_in()
    return alice.open(TICKET)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_an_old_backup_brings_nothing_back(
    target: EmbeddedPostgres, store: Node, tmp_path: Path, running: bool
) -> None:
    with open_nodes(tmp_path, target, "old_backup", store=store, deadline=DEADLINE_S, grace=60.0) as houses:
        one, other = houses
        alice, amir = one.actor("alice"), one.actor("amir")
        kept = alice.open(TICKET)
        token = sign_in(one, "amir", amir.code()).json()["token"]
        store.stop()
        backup = store.directory / "backup"
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(store.data, backup)
        _own(backup, store)
        _restart(store)
        eventually(lambda: _works(other, kept))
        # what is lost by the backup: a revocation, a sign-out, a used code, a reset
        alice.revoke(kept["grant"], "enough")
        eventually(lambda: call(one, "/sign-out", {}, token=token).status_code == 204)
        code = alice.code()
        assert sign_in(one, "alice", code).status_code == 200
        with httpx2.HTTPTransport(uds=str(one.company.state / "admin.sock")) as transport:
            client = httpx2.Client(transport=transport, base_url="http://local/v1", timeout=20)
            assert client.post("/people/amir/reset-factor").is_success
            client.close()
        if not running:
            for house in houses:
                house.gateway.stop()
        store.stop()
        shutil.rmtree(store.data)
        backup.rename(store.data)
        _restart(store)
        if not running:
            for house in houses:
                house.gateway.start()
        eventually(lambda: any(_has(house, "store.restored") for house in houses), patience_s=15)
        eventually(lambda: sign_in(other, "alice", "000000").status_code == 401, patience_s=15)
        for house in houses:
            assert not _works(house, kept)
            assert call(house, "/grants", token=token).status_code == 401
            assert sign_in(house, "alice", code).status_code == 401
        assert _states(store, "old_backup")[kept["grant"]] == "revoked"
        reset = next(record for record in one.records() if record["kind"] == "factor.reset")
        factors = [person for (person,) in store.sql("select person from gateway_store.factors", database="old_backup")]
        assert reset["person"] not in factors


def _connected(house: House, opened: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(**house.login_as(opened["user"], opened["password"]), autocommit=True)


def _works(house: House, opened: dict[str, Any]) -> bool:
    try:
        with _connected(house, opened) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _refusal(connection: psycopg.Connection[Any]) -> str | None:
    """The code with which the session was ended, or `closed` when that was heard of before."""
    try:
        connection.execute("select 1")
    except psycopg.Error as error:
        detail = error.diag.message_detail or ""
        return detail.removeprefix("code: ") or "closed"
    return None


def _readiness(house: House) -> int:
    with httpx2.Client(trust_env=False, timeout=20) as client:
        return client.get(f"http://127.0.0.1:{house.company.ports['ops']}/readyz").status_code


def _has(house: House, kind: str) -> bool:
    return any(record["kind"] == kind for record in house.records())


def _states(server: EmbeddedPostgres, database: str) -> dict[str, str]:
    return dict(server.sql("select id, state from gateway_store.grants", database=database))


def _standing(servers: Cluster) -> bool:
    """Whether the standbys have all that the primary has."""
    behind = servers.a.sql(
        "select count(*) from pg_stat_replication where replay_lsn < pg_current_wal_lsn()", database="postgres"
    )
    return behind == [(0,)]


def _restart(store: Node) -> None:
    store.preferred_port = store.port
    store.start()


def _own(directory: Path, store: Node) -> None:
    """Give a copy of the data to whom they belong."""
    facts = store.data.stat()
    for path in (directory, *directory.rglob("*")):
        os.chown(path, facts.st_uid, facts.st_gid)
    directory.chmod(0o700)


def _busy(house: House) -> tuple[threading.Event, threading.Thread]:
    """Sign-ins that fail, one after the other: each is a transaction."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                sign_in(house, "bob" if number % 2 else "carol", "000000")
            except httpx2.HTTPError:
                return

    thread = threading.Thread(target=work)
    thread.start()
    return stop, thread
