"""Questions about a log that begins at a later record: what is there is found, what went is said."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.audit.ageing import freeze
from gateway.audit.asking import Narrow
from gateway.audit.export import check_export
from gateway.audit.pruning import keep_pruning, pruning_record, remove_pruned
from gateway.audit.search import Query, Search
from gateway.audit.segment import Disk, read_batches, segments_of
from gateway.audit.verify import verify_export, verify_proof
from gateway.errors import GatewayError

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.fixture
def world(open_log, trail, key, records):
    """A log with five segments and its search; `prune` lets the first two go."""
    begin, end = records
    log = open_log()
    for i in range(1800):
        log.append(begin(i))
        log.append(end(i, begin=1 + 2 * i))
        if i % 100 == 0:
            log.flush()
    log.flush()
    log.checkpoint()
    search = Search(trail, key.verifier, durable=lambda: log.durable_size)

    class World:
        to = segments_of(trail)[2][0]

        def keep(self):
            index = log.append(pruning_record(trail, log.signed_size, self.to, NOW, "audit.retention 1d")).index
            log.flush()
            head = log.checkpoint()
            leaves = {
                i: leaf
                for first, path in segments_of(trail)
                for batch in read_batches(path, first)
                for i, leaf in enumerate(batch.leaves, batch.first)
            }
            return keep_pruning(trail, leaves[index], head, Disk())

        def prune(self):
            pruning = self.keep()
            search.renew()
            remove_pruned(trail, pruning, Disk())

    world = World()
    world.log, world.search, world.trail, world.key = log, search, trail, key
    yield world
    search.close()


def exported(world, tmp_path, **span):
    _, pieces = world.search.export("person", Narrow(person="alice"), now=NOW, **span)
    path = tmp_path / "export"
    path.write_bytes(b"".join(pieces))
    return path


def test_what_is_kept_is_found_and_what_went_is_told(world):
    moment = datetime.fromisoformat(world.search.show(world.to + 50)["time"])
    assert world.search.notes(Query()) == []
    world.prune()
    search, to = world.search, world.to
    assert search.count(Query()) == world.log.durable_size - to
    assert search.show(to)["index"] == to
    with pytest.raises(GatewayError) as error:
        search.show(to - 1)
    assert error.value.code == "not-found"
    assert "was pruned" in error.value.refusal.message
    (note,) = search.notes(Query())
    assert f"begins at record {to}" in note
    assert search.notes(Query(since=moment)) == []
    assert search.notes(Query(since=moment - timedelta(days=1))) == [note]
    answer = search.ask("person", Narrow(person="alice"), now=NOW)
    assert answer["first"] == to
    assert note in answer["notes"]
    assert note not in search.ask("person", Narrow(person="alice"), now=NOW, since=moment)["notes"]


def test_every_number_is_there_in_a_pruned_log(world):
    world.prune()
    rows = {row["what"]: row["value"] for row in world.search.ask("whole", Narrow(), now=NOW)["rows"]}
    assert rows["every number there"] is True


def test_an_export_of_a_pruned_log_proves_itself(world, tmp_path):
    moment = datetime.fromisoformat(world.search.show(world.to + 50)["time"])
    world.prune()
    for span in ({}, {"since": moment}, {"until": moment}, {"since": moment - timedelta(days=2)}):
        path = exported(world, tmp_path, **span)
        report = check_export(path, world.key.verifier.text)
        assert report.ok, report.problems
        told = any("was pruned" in note for note in report.notes)
        assert told == (span.get("since") != moment)


@pytest.mark.parametrize("change", ["none", "other", "later", "kind"])
def test_an_export_may_not_claim_a_beginning_that_was_not_recorded(world, tmp_path, change):
    world.prune()
    line, *rest = exported(world, tmp_path).read_bytes().split(b"\n")
    first = json.loads(line)
    leaf = json.loads(first["pruned"]["leaf"])
    if change == "none":
        del first["pruned"]
    elif change == "other":
        first["pruned"]["index"] -= 1
    elif change == "later":
        leaf["to"] += 1
    else:
        # a record that is in the tree, and says nothing of the kind
        first["pruned"] = {name: json.loads(line)["pruned"][name] for name in ("index", "leaf", "path")}
        leaf["kind"] = "log.heartbeat"
    if change in ("later", "kind"):
        first["pruned"]["leaf"] = json.dumps(leaf, separators=(",", ":"), sort_keys=True)
    path = tmp_path / "changed"
    path.write_bytes(b"\n".join([json.dumps(first, separators=(",", ":"), ensure_ascii=False).encode(), *rest]))
    assert not verify_export(path, world.key.verifier.text).ok


def test_a_stretch_that_begins_later_than_the_log_is_not_explained_by_its_pruning(world, tmp_path):
    world.prune()
    moment = datetime.fromisoformat(world.search.show(world.to + 50)["time"])
    pruned = json.loads(exported(world, tmp_path).read_bytes().split(b"\n")[0])["pruned"]
    line, *rest = exported(world, tmp_path, since=moment).read_bytes().split(b"\n")
    first = json.loads(line) | {"pruned": pruned, "fence": json.loads(line)["fence"][1:]}
    path = tmp_path / "changed"
    path.write_bytes(b"\n".join([json.dumps(first, separators=(",", ":"), ensure_ascii=False).encode(), *rest]))
    assert "does not say that the log begins" in verify_export(path, world.key.verifier.text).problems[0].what


def test_proofs_and_bundles_of_what_is_kept(world, tmp_path):
    before = world.search.bundle(world.to // 256 + 2, 256)
    world.prune()
    path = tmp_path / "proof"
    from gateway.audit.verify import proof_bytes

    path.write_bytes(proof_bytes(world.search.prove(world.to)))
    assert verify_proof(path, world.key.verifier.text).ok
    assert world.search.bundle(world.to // 256 + 2, 256) == before
    with pytest.raises(GatewayError) as error:
        world.search.bundle(0, 256)
    assert error.value.code == "not-found"


def test_an_index_of_before_the_pruning_is_made_anew(world):
    assert world.search.count(Query()) == world.log.durable_size
    pruning = world.keep()
    world.search.close()
    remove_pruned(world.trail, pruning, Disk())
    assert world.search.count(Query()) == world.log.durable_size - world.to


def test_an_index_in_use_answers_until_the_new_one_is_there(world):
    world.search.catch_up()
    pruning = world.keep()
    assert world.search.show(0)["index"] == 0
    remove_pruned(world.trail, pruning, Disk())
    with pytest.raises(GatewayError) as error:
        world.search.show(0)
    assert error.value.code == "not-found"
    world.search.renew()
    assert world.search.count(Query()) == world.log.durable_size - world.to
    assert not list(world.trail.parent.glob("*.new*"))


def test_cold_records_are_found_and_shown(world):
    found = world.search.search(Query(limit=1000, newest_first=False))
    for _, path in segments_of(world.trail)[:-1]:
        freeze(path, Disk())
    assert world.search.search(Query(limit=1000, newest_first=False)) == found
    assert world.search.rebuild() == world.log.durable_size
