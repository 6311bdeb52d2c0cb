"""The revisions of the store: frozen, in one line, and from every version on the same tables with all rows kept."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from access_world import PEER, START, World, proves
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.access.service import SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import Grant, RequestState, Session
from gateway.store import access, schema
from gateway.store.database import Database
from gateway.store.migrate import HEAD, migrate, standing
from tests.unit.store.old_stores import (
    Old,
    kept_in,
    lay_down,
    named,
    old_stores,
    sqlite_rows,
    sqlite_shape,
    without_alembics,
)

VERSIONS = Path(schema.__file__).with_name("migrations") / "versions"
RELEASED = {
    "r0001_first.py": "af35c109f41e5d1a60422051036c79eeb3feaaff18df7260283573f7fc268019",
    "r0002_writing.py": "8f0bf4788877b2e9196a4dd81995835e2216782c20ee919089ef33bc4479cc26",
    "r0003_summaries.py": "3b075000530da0156cb086f51deee089412127a5d556a5477a4c009032caeb10",
    "r0004_acts.py": "49997e30c24810fe508f3a8d5f6cea26a53e8be48ba968135a498456fa8a1736",
    "r0005_break_glass.py": "9f8b0812e0b117a628295f16cafd30d6c0be0b0b47fd6ed00193dc5e2471788d",
    "r0006_alerts.py": "a1cbd0239ae931feca0625231f4c7d1a723f7fa6ee8f2ce7031b1a305e3e13f9",
    "r0007_sealing.py": "e377fbeeb37e8adeb16cc3af30a4d8950d7875ae04772ef99102b332b65a5d76",
    "r0008_ticket_comments.py": "dc19f0eb137483fb7cfd4aa6d1de8103e7ce1e151934dd070bbb56aeb0be6993",
    "r0009_holds.py": "304203da2e903700b577b317e93671cbcb21aede6b0b612370ea212688688bc2",
    "r0010_standing.py": "6259bb0cbff392599cce7db93f60c70db46750deef5fc6d9a35a238055856f08",
    "r0011_changes.py": "5d660e8e40d958b399febb26242ea7e7eb756ef753089504b829ac34ed2e0c9d",
    "r0012_provider_people.py": "558ded2859f9f1e377a3604773fd6008132d90373cb0a9f93619c8d5665c1259",
    "r0013_master_root.py": "f6a63cdde058b0f22206569b2d1e9b7682f8583a9c36ffc176c087ec2244d62a",
    "r0014_security_keys.py": "9d70731eb742f8f1f974b5e6015e86826d2181f2a21d8a7d6ed819ed55964e2c",
    "r0015_alembic.py": "c0d5c2c9173e7f9e3519097922ccaf3aa9e6b1d3ce34ec95da0a53d7eb221cce",
}  # fmt: skip
"""SHA-256 of each revision. INVARIANT: a line is added here, and never changed."""
OLD = old_stores("sqlite")
LAST_STEP = 14


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.sqlite"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store of this program."""
    path = tmp_path_factory.mktemp("fresh") / "gateway.sqlite"
    Database(path).close()
    return path


def script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    return ScriptDirectory.from_config(config)


def made(path: Path, to: int) -> None:
    """A new store, by the revisions up to that one."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        assert migrate(connection, to) == to
    engine.dispose()


def test_a_revision_that_was_released_is_never_changed() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VERSIONS.glob("r*.py")}
    assert found == RELEASED


def test_revisions_are_one_line_without_a_gap() -> None:
    line = [(one.revision, one.down_revision) for one in script().walk_revisions()]
    numbers = [f"{number:04}" for number in range(HEAD + 1)]
    assert line[::-1] == [(numbers[at], numbers[at - 1] if at > 1 else None) for at in range(1, HEAD + 1)]
    assert script().get_heads() == [numbers[HEAD]]
    assert [path.name.split("_")[0] for path in sorted(VERSIONS.glob("r*.py"))] == [f"r{one}" for one in numbers[1:]]


def test_a_revision_knows_nothing_of_the_program_as_it_is_now() -> None:
    allowed = {"__future__", "alembic", "sqlalchemy"}
    for path in VERSIONS.glob("r*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
                assert {str(name).split(".")[0] for name in names} <= allowed, path.name


def test_there_is_a_store_of_every_revision() -> None:
    """See `keep_store.py` for the newest one."""
    assert {old.version for old in OLD} == set(range(1, HEAD + 1))


def test_the_tables_are_what_the_revisions_make(fresh: Path, path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{fresh}")
    with engine.connect() as connection:
        # but for defaults: alembic takes an empty text for another one; the shapes below have them
        options = {"compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []
    engine.dispose()
    other = sa.create_engine(f"sqlite:///{path}")
    schema.metadata.create_all(other)
    other.dispose()
    assert without_alembics(sqlite_shape(fresh)) == sqlite_shape(path)


@pytest.mark.parametrize("old", [one for one in OLD if not one.path.stem.endswith("a")], ids=named)
def test_a_revision_makes_what_the_program_of_its_time_made(old: Old, path: Path, tmp_path: Path) -> None:
    lay_down(old, path)
    made(tmp_path / "made", old.version)
    assert without_alembics(sqlite_shape(tmp_path / "made")) == without_alembics(sqlite_shape(path))


@pytest.mark.parametrize("old", OLD, ids=named)
def test_an_old_store_is_brought_up_and_keeps_its_rows(old: Old, path: Path, fresh: Path) -> None:
    lay_down(old, path)
    before = sqlite_rows(path)
    # one came from an older version, with nothing in what was new in its own
    assert all(before.values()) or old.path.stem == "sqlite-14a"
    Database(path).close()
    assert sqlite_shape(path) == sqlite_shape(fresh)
    after = sqlite_rows(path)
    assert kept_in(before, after)
    assert after["alembic_version"] == [{"version_num": f"{HEAD:04}"}]
    assert path.stat().st_mode & 0o777 == 0o600
    # and once more, with nothing to do
    Database(path).close()
    assert sqlite_rows(path) == after


def opened(world: World, old: Old) -> None:
    """The old store's Alice is here, with the secrets that she was given then."""
    world.secrets["alice"] = old.secrets["totp"]
    world.time.advance(120)


async def the_program_works(world: World, old: Old) -> None:
    """The old pass, an old request that waited, a sign-in with the old factor, a new grant and its pass."""

    async def admitted(user: str, secret: str) -> Session | Refusal:
        challenge = world.access.challenge(user, "payroll", PEER, tls=True)
        return await world.access.admit_pass(challenge, proves(challenge, secret), PEER)

    assert isinstance(await admitted(old.secrets["user"], old.secrets["pass"]), Session)
    assert isinstance(await admitted(old.secrets["user"], "gwp_" + "a" * 32), Refusal)
    alice = await world.sign_in("alice")
    (waiting,) = [one for one in await asked(world, alice) if one.state is RequestState.PENDING]
    bob = await world.sign_in("bob")
    given = await world.access.approve(bob, waiting.id, "", PEER)
    assert not isinstance(given, Refusal), given
    grants = await world.access.grants(alice)
    assert not isinstance(grants, Refusal)
    assert {grant.ticket_id for grant in grants} == {"SUP-1423", "SUP-1424"}
    for grant in grants:
        assert isinstance(await world.access.revoke(alice, grant.id, "done", PEER), Grant)
    assert world.access.challenge(old.secrets["user"], "payroll", PEER, tls=True).pass_id is None
    fresh = await world.access.open(alice, target="payroll", ticket="SUP-1423", peer=PEER)
    assert not isinstance(fresh, Refusal), fresh
    assert isinstance(await admitted(fresh.user, fresh.secret), Session)


async def asked(world: World, signin: SignIn) -> list[Any]:
    found = await world.access.requests(signin)
    assert not isinstance(found, Refusal)
    return found


@pytest.mark.parametrize("old", OLD, ids=named)
def test_the_program_works_on_an_old_store(old: Old, path: Path) -> None:
    lay_down(old, path)
    world = World(path)
    opened(world, old)
    asyncio.run(the_program_works(world, old))
    world.restart()
    assert len(world.database.run_now(access.load, START + timedelta(minutes=10))[0]) == 1
    world.close()


@pytest.mark.parametrize(
    "stamp", ["0016", "9999", "0000", "15", "00015", "0015x", "", "head", "-001", "٠٠١٥", "9" * 5000, b"0015"]
)
def test_a_store_with_another_revision_is_refused_and_left_as_it_is(path: Path, fresh: Path, stamp: Any) -> None:
    shutil.copy(fresh, path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (stamp,))
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(GatewayError) as raised:
        Database(path)
    assert raised.value.code == "configuration-invalid"
    assert f"revision {str(stamp)[:32] or 'none'};" in raised.value.refusal.message
    assert path.read_bytes() == before


@pytest.mark.parametrize("stamps", [[], ["0014", "0015"]])
def test_a_store_with_no_revision_or_two_is_refused(stamps: list[str]) -> None:
    with pytest.raises(GatewayError) as raised:
        standing(stamps, LAST_STEP)
    assert raised.value.code == "configuration-invalid"


@pytest.mark.parametrize("step", [0, -1, 15, 99])
def test_a_store_with_a_number_that_no_program_of_before_gave_is_refused(step: int) -> None:
    with pytest.raises(GatewayError) as raised:
        standing(None, step)
    assert raised.value.code == "configuration-invalid"


def test_programs_of_before_refuse_the_store(fresh: Path) -> None:
    """What they ask is the highest number of `schema_version`; theirs is 14 at most."""
    connection = sqlite3.connect(fresh)
    assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (LAST_STEP + 1,)
    connection.close()


@pytest.mark.parametrize("version", [3, 9, 13])
def test_an_upgrade_that_fails_leaves_the_store_as_it_was(path: Path, version: int) -> None:
    """Somebody has put a table where a later revision wants its own."""
    (old,) = (one for one in OLD if one.version == version)
    lay_down(old, path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE ceremonies (page TEXT)")
    connection.commit()
    connection.close()
    before = sqlite_shape(path), sqlite_rows(path)
    with pytest.raises(GatewayError) as raised:
        Database(path)
    assert raised.value.code == "store-unavailable"
    assert (sqlite_shape(path), sqlite_rows(path)) == before


def test_nobody_goes_back(fresh: Path, path: Path) -> None:
    shutil.copy(fresh, path)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "gateway.store:migrations")
        with pytest.raises(AttributeError, match="downgrade"):
            command.downgrade(config, "0014")
    engine.dispose()


def test_alembic_is_imported_only_where_there_is_something_to_do(fresh: Path, path: Path) -> None:
    shutil.copy(fresh, path)
    program = (
        "import json, sys, gateway.cli, gateway.store.opening\n"
        "from gateway.store.database import Database\n"
        "Database(sys.argv[1]).close()\n"
        "print(json.dumps('alembic' in sys.modules))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) is False
