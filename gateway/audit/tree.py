"""The Merkle tree of RFC 6962, section 2.1 (unchanged in RFC 9162): hashes, growth, proofs and their verification.

Pure: nothing here reads a file. Proofs are made over `Nodes`, a function that returns the hash of a complete
subtree, so that they can be made from tiles without reading leaves.

INVARIANT: leaf and node hashes carry different prefixes (0x00, 0x01), so neither can be passed off as the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()

Nodes = Callable[[int, int], bytes]
"""`nodes(level, n)`: the hash over the leaves `n * 2**level` up to `(n + 1) * 2**level`, all of which must exist."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree, remembered as the roots of its complete subtrees, the largest first (at most 64 hashes)."""

    __slots__ = ("size", "subtrees")

    def __init__(self, size: int = 0, subtrees: Iterable[bytes] = ()) -> None:
        self.size = size
        self.subtrees = list(subtrees)
        if len(self.subtrees) != size.bit_count() or any(len(digest) != 32 for digest in self.subtrees):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees of 32 bytes")

    def push(self, digest: bytes) -> None:
        """Add the hash of the next leaf."""
        subtrees, size = self.subtrees, self.size
        while size & 1:
            digest = hashlib.sha256(b"\x01" + subtrees.pop() + digest).digest()
            size >>= 1
        subtrees.append(digest)
        self.size += 1

    def root(self) -> bytes:
        """The root hash of the tree as it stands."""
        if not self.subtrees:
            return EMPTY_ROOT
        digest = self.subtrees[-1]
        for left in self.subtrees[-2::-1]:
            digest = node_hash(left, digest)
        return digest

    def copy(self) -> Frontier:
        """An independent tree of the same leaves."""
        return Frontier(self.size, self.subtrees)


def frontier_of(size: int, nodes: Nodes) -> Frontier:
    """The tree of the first `size` leaves, from its complete subtrees."""
    subtrees, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            subtrees.append(nodes(level, start >> level))
            start += 1 << level
    return Frontier(size, subtrees)


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of the first `size` leaves (RFC 6962, 2.1.1).

    Raises `ValueError` when there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    return _path(index, 0, size, nodes)


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """The hashes that show that the first `old` leaves are unchanged in the tree of `new` (RFC 6962, 2.1.2).

    Raises `ValueError` unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"no tree of {old} leaves precedes one of {new}")
    if old in (0, new):
        return []
    return _subproof(old, 0, new, True, nodes)


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf whose hash is `leaf` is number `index` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            digest = node_hash(sibling, digest)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            digest = node_hash(digest, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and digest == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `old` leaves is a prefix of the tree of `new` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            newer = node_hash(newer, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and older == old_root and newer == new_root


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _root(start: int, end: int, nodes: Nodes) -> bytes:
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return nodes(level, start >> level)
    middle = start + _split(count)
    return node_hash(_root(start, middle, nodes), _root(middle, end, nodes))


def _path(index: int, start: int, end: int, nodes: Nodes) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, nodes), _root(middle, end, nodes)]
    return [*_path(index, middle, end, nodes), _root(start, middle, nodes)]


def _subproof(old: int, start: int, end: int, whole: bool, nodes: Nodes) -> list[bytes]:
    if old == end:
        return [] if whole else [_root(start, end, nodes)]
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(old, start, middle, whole, nodes), _root(middle, end, nodes)]
    return [*_subproof(old, middle, end, False, nodes), _root(start, middle, nodes)]
