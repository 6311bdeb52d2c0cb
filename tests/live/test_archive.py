"""The archive against an S3 server: what is there cannot be replaced, and the trail can be had again from it.

moto keeps objects in memory, refuses to delete a locked version, and knows conditional puts; it checks no signature and
enforces no right, so what a credential may do is not tested here.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from s3_server import S3, s3_server

from gateway.audit.ageing import freeze
from gateway.audit.archive import Taken, Unfit, newest_head, restore
from gateway.audit.bucket import Bucket
from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.audit.pruning import keep_pruning, leaf_of_record, pruning_record, remove_pruned
from gateway.audit.search import Query, Search
from gateway.audit.segment import Disk, segments_of
from gateway.audit.verify import verify_log
from gateway.custody.archiving import Archiver
from gateway.errors import GatewayError

ORIGIN = "gateway.example/archive"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


class World:
    """A trail of some segments, and its archiver into a bucket of its own."""

    def __init__(self, server: S3, directory: Path, bucket: str) -> None:
        self.server, self.directory, self.name = server, directory, server.bucket(bucket)
        self.key, self.running, self.told = Signer.generate(ORIGIN), 1e6, list[str]()
        self.now = datetime.now(UTC)
        self.log = self.open()
        self.write(2000)
        self.bucket = Bucket(server.settings(bucket), ORIGIN)
        self.archiver = self.archives()

    def open(self, **options: Any) -> FileLog:
        return FileLog.open(
            self.directory / "trail", origin=ORIGIN, key=self.key, clock=lambda: datetime.now(UTC),
            segment_bytes=256 << 10, reserve_bytes=0, interval_s=30.0, **options,
        )  # fmt: skip

    def archives(self) -> Archiver:
        return Archiver(
            self.bucket, self.log, self.directory / "archive.json", 365 * 86400.0, lambda: self.now,
            lambda what, **_: self.told.append(what), lambda: self.running,
        )  # fmt: skip

    def write(self, count: int) -> None:
        for number in range(count):
            self.log.append({"kind": "statement.begin", "session": "S", "statement": f"Q{number}", "sql": "x" * 200})
            self.log.append({"kind": "statement.end", "session": "S", "statement": f"Q{number}"})
        self.log.flush()

    def archive(self) -> Any:
        return asyncio.run(self.archiver.archive())

    def restored(self, name: str = "restored", given: Any = None) -> tuple[Any, Path]:
        place = self.directory / name
        place.mkdir()
        return restore(self.bucket.get, newest_head(self.bucket), given or self.key.verifier, place), place

    def full(self, name: str) -> str:
        return f"{ORIGIN}/{name}"

    def prune(self, to: int) -> None:
        index = self.log.append(pruning_record(self.log.directory, self.log.signed_size, to, self.now, "rule")).index
        self.log.flush()
        head = self.log.checkpoint()
        leaf = leaf_of_record(self.log.directory, index)
        remove_pruned(self.log.directory, keep_pruning(self.log.directory, leaf, head, Disk()), Disk())


@pytest.fixture
def world(server: S3, tmp_path: Path) -> Iterator[World]:
    found = World(server, tmp_path, f"b{time.monotonic_ns()}")
    yield found
    found.bucket.close()
    found.log.close()


def test_a_trail_that_was_archived_is_restored_and_verifies(world: World) -> None:
    done = world.archive()
    assert done.size == world.log.durable_size
    world.log.checkpoint()
    shutil.copy(world.log.directory / "checkpoint", world.directory / "witness")
    restored, place = world.restored()
    report = verify_log(place, world.key.verifier.text, witness=world.directory / "witness")
    assert report.ok, report.problems
    assert (report.signed_size, report.root) == (done.size, restored.head.root.hex())
    assert report.size == done.size
    search = Search(place, restored.key)
    assert search.count(Query()) == done.size
    search.close()
    # and it can be gone on with
    log = FileLog.open(place, origin=ORIGIN, key=world.key, clock=lambda: datetime.now(UTC), reserve_bytes=0)
    log.close()
    assert verify_log(place, world.key.verifier.text).ok


def test_only_what_is_new_is_put(world: World) -> None:
    sealed = len(segments_of(world.log.directory)) - 1
    assert world.archiver._segments() == 0, "nothing is signed yet"
    world.log.checkpoint()
    assert world.archiver._segments() == sealed
    assert world.archiver._segments() == 0
    first = world.archive()
    world.write(50)
    second = world.archive()
    assert second.size > first.size
    assert second.added <= 8
    segments = [key for key in world.server.keys(world.name) if "/segments/" in key]
    assert len(segments) == len(segments_of(world.log.directory)) - 1


def test_nothing_that_is_archived_can_be_deleted_or_unlocked(world: World) -> None:
    world.archive()
    client = world.server.client
    for key in world.server.keys(world.name):
        held = client.head_object(Bucket=world.name, Key=key)
        assert held["ObjectLockMode"] == "COMPLIANCE"
        assert held["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=365)
        with pytest.raises(ClientError) as error:
            client.delete_object(Bucket=world.name, Key=key, VersionId=held["VersionId"])
        assert error.value.response["Error"]["Code"] == "AccessDenied"
        with pytest.raises(ClientError):
            client.delete_object(
                Bucket=world.name, Key=key, VersionId=held["VersionId"], BypassGovernanceRetention=True
            )


def test_nothing_is_put_in_the_place_of_another_object(world: World) -> None:
    world.archive()
    name = world.server.keys(world.name)[0].removeprefix(f"{ORIGIN}/")
    with pytest.raises(Taken):
        world.bucket.put(name, b"another", world.now + timedelta(days=1))


def test_without_what_it_remembers_the_archiver_finds_everything_there(world: World) -> None:
    first = world.archive()
    keys = world.server.keys(world.name)
    for content in (None, b"", b"{", b"[]", b'{"size": 1, "objects": {"x": 3}}'):
        (world.directory / "archive.json").unlink()
        if content is not None:
            (world.directory / "archive.json").write_bytes(content)
        world.archiver = world.archives()
        assert world.archive().size == first.size
        assert world.server.keys(world.name) == keys
    assert world.restored()[0].head.size == first.size


class Broken:
    """A bucket that is gone after so many puts, the last of them done or not."""

    def __init__(self, bucket: Bucket, puts: int, *, done: bool) -> None:
        self._bucket, self._puts, self._done = bucket, puts, done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)

    def put(self, name: str, data: bytes, until: datetime) -> None:
        self._puts -= 1
        if self._puts >= 0 or self._done:
            self._bucket.put(name, data, until)
        if self._puts < 0:
            raise GatewayError("archive-unavailable", "it is gone")


@pytest.mark.parametrize("done", [False, True])
def test_an_archiving_that_was_broken_off_anywhere_is_gone_on_with(world: World, done: bool) -> None:
    puts = 0
    while True:
        world.archiver = world.archives()
        world.archiver._bucket = Broken(world.bucket, puts, done=done)
        world.write(1)
        try:
            world.archive()
            break
        except GatewayError:
            # what was remembered is lost with the process each other time
            if puts % 2:
                (world.directory / "archive.json").unlink(missing_ok=True)
        puts += 1
        if puts % 4 == 0:
            world.archiver = world.archives()
            done_size = world.archive().size
            restored, place = world.restored(f"r{puts}")
            assert restored.head.size == done_size
            assert verify_log(place, world.key.verifier.text).ok
    assert puts > 4


def test_a_foreign_object_in_a_segments_place_is_not_taken_for_it(world: World) -> None:
    world.server.overwrite(world.full("segments/" + "0" * 20 + ".cold"), b"something else", world.name)
    with pytest.raises(GatewayError) as error:
        world.archive()
    assert "another object" in error.value.refusal.message


@pytest.mark.parametrize("kind", ["segments", "manifest", "listing", "checkpoint", "open.cold"])
def test_an_archive_that_was_changed_is_not_restored(world: World, kind: str) -> None:
    world.archive()
    key = next(key for key in world.server.keys(world.name) if kind in key)
    data = bytearray(world.server.client.get_object(Bucket=world.name, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    world.server.overwrite(key, bytes(data), world.name)
    with pytest.raises((Unfit, FileNotFoundError)):
        world.restored()


def test_a_listing_names_no_file_outside_the_trail(world: World) -> None:
    """Even one that the log's own key signed."""
    from gateway.audit.archive import head_folder, listing_name, manifest_text, part_of

    size = world.archive().size + 1
    for name in ("../../evil", "segments/../../evil.cold", "/etc/passwd", f"{head_folder(3)}/checkpoint", "lock"):
        listing = json.dumps({"first": 0, "objects": [{"name": name, "sha256": "0" * 64, "bytes": 1}]}).encode()
        note = world.key.sign(manifest_text(ORIGIN, size, listing)).encode()
        given = {f"{head_folder(size)}/manifest": note,
                 f"{head_folder(size)}/{listing_name(part_of('', listing).sha256)}": listing}  # fmt: skip
        place = world.directory / f"place{abs(hash(name))}"
        place.mkdir()
        with pytest.raises(Unfit):
            restore(given.__getitem__, size, world.key.verifier, place)
        assert list(place.iterdir()) == []


def test_a_manifest_by_another_key_is_not_believed(world: World) -> None:
    world.archive()
    with pytest.raises(Unfit):
        world.restored(given=Signer.generate(ORIGIN).verifier)


def test_a_head_that_a_crash_left_half_is_passed_over(world: World) -> None:
    done = world.archive()
    world.server.overwrite(world.full(f"heads/{done.size + 9:020d}/checkpoint"), b"half", world.name)
    assert newest_head(world.bucket) == done.size


def test_a_pruned_and_cold_trail_is_archived_and_restored(world: World) -> None:
    world.archive()
    segments = segments_of(world.log.directory)
    assert len(segments) > 3
    freeze(segments[2][1], Disk())
    world.prune(segments[2][0])
    done = world.archive()
    restored, place = world.restored()
    assert restored.first == segments[2][0]
    report = verify_log(place, world.key.verifier.text)
    assert report.ok, report.problems
    assert (report.first, report.signed_size) == (segments[2][0], done.size)
    # also when the archive was begun after the pruning, and all that was known is lost
    (world.directory / "archive.json").unlink()
    world.name = world.server.bucket(f"c{time.monotonic_ns()}")
    world.bucket.close()
    world.bucket = Bucket(world.server.settings(world.name), ORIGIN)
    world.archiver = world.archives()
    world.write(10)
    world.archive()
    _, again = world.restored("again")
    assert verify_log(again, world.key.verifier.text).ok


def test_an_archive_over_a_change_of_key(world: World) -> None:
    first = world.key.verifier
    world.log.close()
    following = Signer.generate(ORIGIN)
    world.log = world.open(next_key=following)
    world.key = following
    world.archiver = world.archives()
    world.archive()
    for number, given in enumerate((first, following.verifier)):
        restored, place = world.restored(f"r{number}", given)
        assert restored.key == following.verifier
        assert verify_log(place, given.text).ok


def test_locks_are_made_longer_before_they_end(world: World) -> None:
    world.archive()
    world.now += timedelta(days=350)
    world.write(5)
    world.archive()
    for key in world.server.keys(world.name):
        if "/segments/" in key or "/hashes/" in key:
            held = world.server.client.head_object(Bucket=world.name, Key=key)
            assert held["ObjectLockRetainUntilDate"] > world.now + timedelta(days=360)


def test_a_bucket_without_a_lock_gets_nothing(world: World) -> None:
    plain = world.server.bucket(f"p{time.monotonic_ns()}", lock=False)
    world.bucket.close()
    world.bucket = Bucket(world.server.settings(plain), ORIGIN)
    world.archiver = world.archives()
    with pytest.raises(GatewayError) as error:
        world.archive()
    assert "no object lock" in error.value.refusal.message
    assert world.server.keys(plain) == []


def test_an_archive_that_cannot_be_reached_is_told_and_recorded_after_a_day(world: World) -> None:
    world.bucket.close()
    settings = world.server.settings(world.name).model_copy(update={"endpoint": "http://127.0.0.1:1"})
    world.bucket = Bucket(settings, ORIGIN)

    async def days() -> list[int]:
        world.log.close()
        world.log = log = world.open(loop=asyncio.get_running_loop())
        world.archiver = world.archives()
        sizes = [log.size]
        for hours in (1, 30, 1):
            world.running += hours * 3600
            with pytest.raises(GatewayError) as error:
                await world.archiver.archive()
            assert error.value.code == "archive-unavailable"
            await world.archiver._tell_late(str(error.value))
            sizes.append(log.size)
        await asyncio.to_thread(log.close)
        return [size - sizes[0] for size in sizes]

    assert asyncio.run(days()) == [0, 0, 1, 1]
    search = Search(world.log.directory, world.key.verifier, durable=lambda: world.log.durable_size)
    (record,) = search.search(Query(kind="archive.late"))
    assert record["duration_s"] > 86400
    assert record["archived"] == 0
    search.close()


def test_the_environment_has_no_say_in_where_the_trail_goes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    bucket = Bucket(world.server.settings(world.name), ORIGIN)
    assert bucket.check() == ""
    bucket.close()
