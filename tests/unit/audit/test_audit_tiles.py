"""Tiles and entry bundles as c2sp.org/tlog-tiles lays them out."""

import pytest

from gateway.audit.segment import Disk
from gateway.audit.tiles import WIDTH, TileWriter, entry_bundle, tile_path
from gateway.audit.tree import Frontier, leaf_hash


def layout(directory):
    """How many tiles there are of each level and width."""
    found = {}
    for path in (path for path in (directory / "tile").rglob("*") if path.is_file()):
        level = int(path.relative_to(directory / "tile").parts[0])
        width = int(path.name) if path.parent.name.endswith(".p") else WIDTH
        assert path.stat().st_size == 32 * width
        found[level, width] = found.get((level, width), 0) + 1
    return found


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (70_000, {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}),
        (256, {(0, 256): 1, (1, 1): 1}),
        (1, {(0, 1): 1}),
        (0, {}),
    ],
)
def test_a_tree_has_the_tiles_of_the_specifications_examples(tmp_path, size, expected):
    writer = TileWriter(tmp_path, Disk())
    writer.add(leaf_hash(number.to_bytes(4, "big")) for number in range(size))
    writer.write()
    assert layout(tmp_path) == expected


def test_the_path_of_a_tile_is_the_specifications(tmp_path):
    assert tile_path(tmp_path, 0, 1_234_067) == tmp_path / "tile/0/x001/x234/067"
    assert tile_path(tmp_path, 2, 0, 17) == tmp_path / "tile/2/000.p/17"
    assert tile_path(tmp_path, 1, 1_000) == tmp_path / "tile/1/x001/000"


def test_partial_tiles_of_signed_sizes_stay_until_the_full_one_is_signed(tmp_path):
    writer = TileWriter(tmp_path, Disk())
    for step in (3, 5, 240):
        writer.add([leaf_hash(b"")] * step)
        writer.write()
        writer.discard_old()
    assert layout(tmp_path) == {(0, 3): 1, (0, 8): 1, (0, 248): 1}
    writer.add([leaf_hash(b"")] * 20)
    writer.write()
    assert (0, 8) in layout(tmp_path), "the checkpoint that needs the full tile is not there yet"
    writer.discard_old()
    assert layout(tmp_path) == {(0, 256): 1, (0, 12): 1, (1, 1): 1}
    again = TileWriter(tmp_path, Disk())
    assert again.resume(268, root(268))
    again.add([leaf_hash(b"")] * 250)
    again.write()
    again.discard_old()
    assert layout(tmp_path) == {(0, 256): 2, (0, 6): 1, (1, 1): 1, (1, 2): 1}


def root(size):
    tree = Frontier()
    for _ in range(size):
        tree.push(leaf_hash(b""))
    return tree.root()


def test_an_entry_bundle_has_each_length_before_its_leaf():
    assert entry_bundle([b"{}", b"", b"x" * 300]) == b"\0\x02{}" + b"\0\0" + b"\x01\x2c" + b"x" * 300
    with pytest.raises(OverflowError):
        entry_bundle([bytes(65_536)])
