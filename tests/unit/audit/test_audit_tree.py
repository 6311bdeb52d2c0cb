"""The Merkle tree against the vectors of Certificate Transparency's reference implementation (RFC 6962, RFC 9162)."""

import hashlib

import pytest

from gateway.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    frontier_of,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [bytes.fromhex(text) for text in (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip
INCLUSION = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
}
CONSISTENCY = {
    (1, 1): (),
    (1, 8): INCLUSION[0, 8],
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


def root_of(leaves):
    """RFC 6962, 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


def nodes_over(leaves):
    return lambda level, number: root_of(leaves[number << level : (number + 1) << level])


def test_the_empty_tree_and_the_published_hashes():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root() == EMPTY_ROOT
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size):
    tree = Frontier()
    for leaf in LEAVES[:size]:
        tree.push(leaf_hash(leaf))
    assert tree.root() == ROOTS[size - 1]
    assert frontier_of(size, nodes_over(LEAVES)).root() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index, size):
    proof = inclusion_proof(index, size, nodes_over(LEAVES))
    assert [digest.hex() for digest in proof] == list(INCLUSION[index, size])
    assert verify_inclusion(index, size, leaf_hash(LEAVES[index]), proof, ROOTS[size - 1])


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old, new):
    proof = consistency_proof(old, new, nodes_over(LEAVES))
    assert [digest.hex() for digest in proof] == list(CONSISTENCY[old, new])
    assert verify_consistency(old, new, ROOTS[old - 1], ROOTS[new - 1], proof)


def test_every_proof_of_every_small_tree_verifies_and_no_wrong_one_does():
    leaves = [bytes([i]) * 5 for i in range(20)]
    nodes = nodes_over(leaves)
    roots = [root_of(leaves[:size]) for size in range(21)]
    for size in range(1, 21):
        for index in range(size):
            proof = inclusion_proof(index, size, nodes)
            digest = leaf_hash(leaves[index])
            assert verify_inclusion(index, size, digest, proof, roots[size])
            assert not verify_inclusion(index, size, leaf_hash(b"other"), proof, roots[size])
            assert not verify_inclusion(index, size, digest, proof, roots[size - 1])
            assert not verify_inclusion(index, size, digest, [*proof, digest], roots[size])
            assert not verify_inclusion(index, size, digest, proof[:-1], roots[size]) or not proof
            if size > 1:
                assert not verify_inclusion((index + 1) % size, size, digest, proof, roots[size])
        for old in range(size + 1):
            proof = consistency_proof(old, size, nodes)
            assert verify_consistency(old, size, roots[old], roots[size], proof)
            if 0 < old < size:
                assert not verify_consistency(old, size, roots[old - 1], roots[size], proof)
                assert not verify_consistency(old, size, roots[old], roots[size - 1], proof)
                assert not verify_consistency(old, size, roots[old], roots[size], proof[:-1])
                assert not verify_consistency(old, size, roots[old], roots[size], [*proof, roots[1]])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index, size):
    with pytest.raises(ValueError):
        inclusion_proof(index, size, nodes_over(LEAVES))
    assert not verify_inclusion(index, size, ROOTS[0], [], ROOTS[0])


def test_there_is_no_consistency_with_a_larger_tree():
    with pytest.raises(ValueError):
        consistency_proof(4, 3, nodes_over(LEAVES))
    assert not verify_consistency(4, 3, ROOTS[3], ROOTS[2], [])


def test_a_tree_of_other_sizes_of_subtrees_is_refused():
    with pytest.raises(ValueError):
        Frontier(3, [ROOTS[0]])
    with pytest.raises(ValueError):
        Frontier(1, [b"short"])
