"""The tree on disk as C2SP tiles (c2sp.org/tlog-tiles): `tile/<L>/<N>[.p/<W>]`, 256 hashes each.

Tiles are derived from the leaves and make proofs cheap; entry bundles are not kept, because the segments hold the
entries: `entry_bundle` makes them. Full tiles never change. A partial one stays for each size that was signed, until
the full one is there and a checkpoint needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.audit.segment import Disk
from gateway.audit.tree import frontier_of

WIDTH = 256
_HEIGHT = 8
_AT_ONCE = 64


def tile_path(directory: Path, level: int, number: int, width: int = WIDTH) -> Path:
    """Where the tile lies. `level` counts tiles (8 tree levels each); `width` below 256 is a partial tile."""
    digits = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        digits = f"x{number % 1000:03d}/{digits}"
    path = directory / "tile" / str(level) / digits
    return path if width == WIDTH else path.with_name(path.name + ".p") / str(width)


class TileWriter:
    """Turns the stream of leaf hashes into tiles. `size` is the number of leaves that it has taken in."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._levels: list[list[bytes]] = [[]]
        self._full: list[tuple[int, int, bytes]] = []
        self._partial: set[Path] = set()
        self.size = 0

    def add(self, digests: Iterable[bytes]) -> None:
        """Take in the hashes of further leaves."""
        for digest in digests:
            self._push(0, digest)
            self.size += 1

    def write(self) -> None:
        """Write the tiles for the current size. Full ones are durable afterwards. Raises `OSError`."""
        while self._full:
            tiles = [(tile_path(self._directory, level, number), data) for level, number, data in self._full[:_AT_ONCE]]
            for path, _ in tiles:
                self._make_room(path)
            self._disk.replace_all(tiles)
            del self._full[: len(tiles)]
        for level, digests in enumerate(self._levels):
            if digests:
                path = self._partial_path(level)
                if path not in self._partial:
                    self._make_room(path)
                    self._disk.replace(path, b"".join(digests), durable=False)
                    self._partial.add(path)

    def discard_old(self) -> None:
        """Remove the partial tiles that a full one has replaced; for after a checkpoint that needs it is in place."""
        growing = {self._partial_path(level).parent for level, digests in enumerate(self._levels) if digests}
        old = {path for path in self._partial if path.parent not in growing}
        for path in old:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in old}:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        self._partial -= old

    def resume(self, size: int, root: bytes) -> bool:
        """Start from the tiles on disk for that size, when they are there and give that root."""
        levels: list[list[bytes]] = [[]]
        try:
            if frontier_of(size, TileReader(self._directory, size).node).root() != root:
                return False
            level = 0
            while size >> _HEIGHT * level:
                number, width = divmod(size >> _HEIGHT * level, WIDTH)
                data = tile_path(self._directory, level, number, width).read_bytes() if width else b""
                levels[level:] = [[data[i : i + 32] for i in range(0, 32 * width, 32)], []]
                level += 1
        except (OSError, ValueError):
            return False
        self._levels, self.size = levels, size
        self._partial = set((self._directory / "tile").glob("**/*.p/*"))
        self._discard_torn()
        return True

    def restart(self) -> None:
        """Start from the empty tree; what is on disk will be written over."""
        self._levels, self._full, self.size = [[]], [], 0
        self._partial = set((self._directory / "tile").glob("**/*.p/*"))
        for path in self._partial:
            path.unlink(missing_ok=True)
        self._partial.clear()

    def _discard_torn(self) -> None:
        """Remove what is no beginning of a tile that grows: partial tiles are not flushed, so a crash can tear them."""
        growing = {self._partial_path(level).parent: b"".join(row) for level, row in enumerate(self._levels) if row}
        for path in list(self._partial):
            data = path.read_bytes()
            if path.name != str(len(data) // 32) or not growing.get(path.parent, b"").startswith(data) or not data:
                path.unlink()
                self._partial.discard(path)

    def _push(self, level: int, digest: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
        digests = self._levels[level]
        digests.append(digest)
        if len(digests) == WIDTH:
            self._full.append((level, self.size >> _HEIGHT * (level + 1), b"".join(digests)))
            self._levels[level] = []
            self._push(level + 1, _subtree_root(digests))

    def _partial_path(self, level: int) -> Path:
        number, width = divmod(self.size >> _HEIGHT * level, WIDTH)
        return tile_path(self._directory, level, number, width)

    def _make_room(self, path: Path) -> None:
        if not path.parent.exists():
            for parent in reversed(path.relative_to(self._directory).parents):
                (self._directory / parent).mkdir(mode=0o700, exist_ok=True)


class TileReader:
    """The hashes of complete subtrees in the tree of `size` leaves, read from tiles.

    `read` gives the content of the file at a path below the directory, and raises `FileNotFoundError`.
    """

    def __init__(self, directory: Path, size: int, read: Callable[[Path], bytes] = Path.read_bytes) -> None:
        self._directory = directory
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, number: int) -> bytes:
        """The hash over the leaves `number * 2**level` up to `(number + 1) * 2**level`.

        Raises `ValueError` when the tile is missing or too short, or the subtree is not complete.
        """
        if (number + 1) << level > self._size:
            raise ValueError(f"the subtree {number} of level {level} is not complete at {self._size} leaves")
        row, height = divmod(level, _HEIGHT)
        first = number << height
        tile = self._tile(row, first // WIDTH)
        at = first % WIDTH
        hashes = [tile[32 * i : 32 * (i + 1)] for i in range(at, at + (1 << height))]
        if any(len(digest) != 32 for digest in hashes):
            raise ValueError(f"tile {row}/{first // WIDTH} is too short")
        return _subtree_root(hashes)

    def _tile(self, row: int, number: int) -> bytes:
        tile = self._tiles.get((row, number))
        if tile is None:
            complete, width = divmod(self._size >> _HEIGHT * row, WIDTH)
            wanted = WIDTH if number < complete else width
            for path in (tile_path(self._directory, row, number, wanted), tile_path(self._directory, row, number)):
                try:
                    tile = self._read(path)
                    break
                except FileNotFoundError:
                    continue
            if tile is None:
                raise ValueError(f"tile {row}/{number} is missing")
            self._tiles[row, number] = tile
        return tile


def entry_bundle(leaves: Iterable[bytes]) -> bytes:
    """The entry bundle (`tile/entries/<N>[.p/<W>]`) of up to 256 leaves: each with its length before it, 16 bits."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def _subtree_root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]
