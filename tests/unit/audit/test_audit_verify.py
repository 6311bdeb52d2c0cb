"""The verifier: an honest trail passes, and each way of falsifying one is found and named."""

import ast
import base64
import hashlib
import json
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import segment, verify
from gateway.audit.checkpoint import Checkpoint, Signer
from gateway.audit.search import Search
from gateway.audit.segment import COMMIT_TAG, HEADER_BYTES, Header, assemble, read_batches, read_header, segments_of
from gateway.audit.tree import Frontier, leaf_hash
from gateway.audit.verify import proof_bytes, verify_log, verify_proof


@pytest.fixture
def honest(open_log, trail, records):
    """A trail of some segments and batches, cleanly closed; the batches of one record begin at index 1."""
    begin, end = records
    log = open_log()
    for i in range(20):
        log.append(begin(i))
        log.append(end(i))
        log.flush()
    for i in range(20, 500):
        log.append(begin(i))
        log.append(end(i))
    log.flush()
    log.checkpoint()
    shutil.copy(trail / "checkpoint", trail.with_name("witness"))
    log.append(begin(500))
    log.close()
    assert len(segments_of(trail)) == 2
    return trail


def first_problem(trail, key, **options):
    report = verify_log(trail, key.verifier.text, **options)
    assert not report.ok
    return report.problems[0]


def rewrite(trail, change):
    """What somebody with the disk, but without the key, can do: write the segments anew, consistent in themselves."""
    batches = [batch.leaves for first, path in segments_of(trail) for batch in read_batches(path, first)]
    leaves = [leaf for batch in batches for leaf in batch]
    # in pairs, whatever batches the writer happened to make
    batches = change([leaves[:1], *(leaves[i : i + 2] for i in range(1, len(leaves), 2))])
    origin = read_header(segments_of(trail)[0][1], 0).origin
    for _, path in segments_of(trail):
        path.unlink()
    tree = Frontier()
    data = Header(origin, tree, 0).encoded()
    for leaves in batches:
        data += assemble(leaves, len(data), tree)[0]
    (trail / "segments" / f"{0:020d}.log").write_bytes(data)
    return tree


def edited(leaf, **fields):
    return json.dumps(json.loads(leaf) | fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def renumbered(batches):
    count, result = 0, []
    for leaves in batches:
        result.append([edited(leaf, index=count + i) for i, leaf in enumerate(leaves)])
        count += len(leaves)
    return result


def test_an_honest_trail_passes_with_and_without_witness(honest, key):
    for options in ({}, {"witness": honest.with_name("witness")}):
        report = verify_log(honest, key.verifier.text, **options)
        assert report.ok, report.problems
        assert report.size == report.signed_size == 1003
        assert report.notes == ()


def test_a_running_trail_passes(open_log, trail, key, records):
    begin, _ = records
    log = open_log()
    for i in range(50):
        log.append(begin(i))
    log.flush()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    assert report.size == 51


@pytest.mark.parametrize("number", [0, 1, 7, 40, 500, 1002])
def test_an_edited_byte_names_its_record(honest, key, number):
    for first, path in segments_of(honest):
        for batch in read_batches(path, first):
            if batch.first <= number < batch.size:
                data = bytearray(path.read_bytes())
                at = batch.offsets[number - batch.first]
                data[at + 20] ^= 1
                path.write_bytes(data)
    assert first_problem(honest, key).record == number


@pytest.mark.parametrize("tiles", [True, False])
def test_an_edit_with_everything_but_the_signature_made_to_fit_is_found(honest, key, tiles):
    def change(batches):
        return [
            [edited(leaf, login="mallory") if b'"index":33,' in leaf else leaf for leaf in batch] for batch in batches
        ]

    rewrite(honest, change)
    if not tiles:
        shutil.rmtree(honest / "tile")
    problem = first_problem(honest, key)
    # without tiles nothing in the directory tells which one it was
    assert problem.record == (33 if tiles else 0)
    assert "signed" in problem.what


@pytest.mark.parametrize(
    ("change", "record"),
    [
        (lambda batches: [*batches[:10], *batches[11:]], 19),
        (lambda batches: [*batches[:10], batches[10], batches[10], *batches[11:]], 21),
        (lambda batches: [*batches[:10], batches[11], batches[10], *batches[12:]], 19),
        (lambda batches: [[leaf for leaf in batch if b'"index":5,' not in leaf] for batch in batches], 5),
    ],
    ids=["removed", "doubled", "swapped", "one record removed"],
)
def test_removed_doubled_and_swapped_records_are_named(honest, key, change, record):
    rewrite(honest, change)
    assert first_problem(honest, key).record == record


def test_a_removal_that_renumbers_the_rest_is_found(honest, key):
    rewrite(honest, lambda batches: renumbered([*batches[:10], *batches[11:]]))
    problem = first_problem(honest, key)
    assert problem.record is not None
    assert problem.record >= 1


def test_a_trail_cut_at_a_commit_is_shorter_than_what_was_signed(honest, key):
    tree = rewrite(honest, lambda batches: batches[:12])
    problem = first_problem(honest, key)
    assert problem.record == tree.size
    assert "1003 records were signed" in problem.what


def test_a_missing_segment_is_found(honest, key):
    (first, path), (second, _) = segments_of(honest)
    path.unlink()
    assert first_problem(honest, key).record == first
    assert second > 0


def test_an_older_copy_passes_alone_but_not_before_a_witness(honest, open_log, trail, key, records, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(honest, old)
    begin, _ = records
    log = open_log()
    log.append(begin(1))
    log.close()
    shutil.copy(trail / "checkpoint", tmp_path / "newer")

    assert verify_log(old, key.verifier.text).ok
    assert verify_log(trail, key.verifier.text, witness=tmp_path / "newer").ok
    problem = first_problem(old, key, witness=tmp_path / "newer")
    assert problem.record == 1003


def test_a_fork_signed_by_the_key_itself_does_not_fit_the_witness(honest, key):
    def change(batches):
        return [
            [edited(leaf, login="mallory") if b'"index":33,' in leaf else leaf for leaf in batch] for batch in batches
        ]

    tree = rewrite(honest, change)
    shutil.rmtree(honest / "tile")
    head = Checkpoint(key.verifier.name, tree.size, tree.root())
    (honest / "checkpoint").write_text(key.sign(head.text()))
    assert "witness" in first_problem(honest, key, witness=honest.with_name("witness")).what


def test_another_key_and_a_missing_or_changed_checkpoint_are_found(honest, key):
    stranger = Signer.generate(key.verifier.name)
    assert "not signed by this key" in first_problem(honest, stranger).what
    note = (honest / "checkpoint").read_text()
    (honest / "checkpoint").write_text(note.replace("1003", "1002"))
    assert "signature" in first_problem(honest, key).what
    (honest / "checkpoint").unlink()
    assert "missing" in first_problem(honest, key).what


def test_bytes_behind_the_last_commit_are_found(honest, key):
    _, path = segments_of(honest)[-1]
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    problem = first_problem(honest, key)
    assert problem.record == 1003
    assert "after its last commit" in problem.what


def test_a_changed_tile_is_told_from_a_changed_record(honest, key):
    path = honest / "tile" / "0" / "001"
    data = bytearray(path.read_bytes())
    data[32 * 4] ^= 1
    path.write_bytes(data)
    problem = first_problem(honest, key)
    assert problem.record == 256 + 4
    assert "tile was changed" in problem.what


def test_a_changed_tile_is_found_while_the_gateway_runs(open_log, trail, key, records):
    begin, _ = records
    log = open_log()
    for i in range(300):
        log.append(begin(i))
    log.flush()
    log.checkpoint()
    assert verify_log(trail, key.verifier.text).ok
    for name, at in (("tile/0/000", 7), ("tile/0/001.p/45", 3)):
        data = (trail / name).read_bytes()
        (trail / name).write_bytes(data[: 32 * at] + bytes(32) + data[32 * at + 32 :])
        assert first_problem(trail, key).record == at + 256 * name.count("001")
        (trail / name).write_bytes(data)
    assert verify_log(trail, key.verifier.text).ok


def test_a_missing_tile_and_a_strange_file_are_found(honest, key):
    (honest / "tile" / "0" / "001").rename(honest / "elsewhere")
    assert "tile/0/001 is missing" in first_problem(honest, key).what
    (honest / "elsewhere").rename(honest / "tile" / "0" / "001")
    (honest / "tile" / "0" / "777").write_bytes(bytes(8192))
    assert "tile/0/777" in first_problem(honest, key).what
    (honest / "tile" / "0" / "777").unlink()
    (honest / "segments" / "notes.txt").write_text("x")
    assert "notes.txt" in first_problem(honest, key).what


def test_a_header_that_hides_an_open_statement_is_found(open_log, trail, key, records):
    begin, end = records
    log = open_log()
    log.append(begin(0, session="long"))
    for i in range(1, 500):
        log.append(begin(i))
        log.append(end(i))
    log.close()
    assert verify_log(trail, key.verifier.text).ok
    first, path = segments_of(trail)[1]
    header = read_header(path, first)
    assert header.scan_from == 1
    data = path.read_bytes()
    path.write_bytes(Header(header.origin, header.frontier, first).encoded() + data[HEADER_BYTES:])
    assert first_problem(trail, key).record == first


@pytest.mark.parametrize(
    "change",
    [
        lambda leaf: leaf.replace(b'":', b'": ', 1),
        lambda leaf: edited(leaf, v=2),
        lambda leaf: edited(leaf, origin="other"),
        lambda leaf: edited(leaf, time="2020-01-01T00:00:00.000000Z"),
        lambda leaf: edited(leaf, x=1.5),
        lambda leaf: b"[]",
        lambda leaf: b"[" * 9_000,
        lambda leaf: b'{"a":"\\ud800"}',
        lambda leaf: b'{"a":"\xed\xa0\x80"}',
        lambda leaf: edited(leaf, v=True),
        lambda leaf: edited(leaf, index="1003"),
        lambda leaf: leaf[:-1] + b',"v":1}',
    ],
)
def test_a_leaf_that_an_honest_writer_would_not_write_is_named_even_beyond_the_signature(honest, key, change):
    def append(batches):
        last = batches[-1][-1]
        return [*batches, [change(edited(last, index=1003, time="2099-01-01T00:00:00.000000Z"))]]

    rewrite(honest, append)
    assert first_problem(honest, key).record == 1003


def test_an_empty_commit_is_found(honest, key):
    rewrite(honest, lambda batches: [*batches[:5], [], *batches[5:]])
    assert not verify_log(honest, key.verifier.text).ok


def test_a_malformed_key_is_the_callers_fault(honest):
    for text in ("", "x", "name+00000000+AAAA", "name+zz+" + base64.b64encode(bytes(33)).decode()):
        with pytest.raises(ValueError):
            verify_log(honest, text)


def test_proofs_verify_offline_and_name_their_record(honest, key, tmp_path):
    search = Search(honest, key.verifier)
    for index in (0, 33, 255, 256, 1002):
        file = tmp_path / "proof.json"
        file.write_bytes(proof_bytes(search.prove(index)))
        report = verify_proof(file, key.verifier.text)
        assert report.ok, report.problems
        assert report.record == search.show(index)
        assert report.signed_size == 1003
    search.close()


@pytest.mark.parametrize(
    "change",
    [
        {"index": 34},
        {"index": "33"},
        {"path": []},
        {"path": ["x"]},
        {"leaf": "{}"},
        {"leaf": 5},
        {"leaf": "\ud800"},
        {"index": True},
        {"format": "gateway-audit-proof/2"},
        {"extra": 1},
        {"checkpoint": ""},
    ],
)
def test_a_proof_of_anything_else_is_refused(honest, key, tmp_path, change):
    search = Search(honest, key.verifier)
    file = tmp_path / "proof.json"
    file.write_bytes(proof_bytes(search.prove(33) | change))
    search.close()
    assert not verify_proof(file, key.verifier.text).ok
    file.write_bytes(b"not json")
    assert not verify_proof(file, key.verifier.text).ok


def test_the_verifier_stands_alone():
    tree = ast.parse(Path(verify.__file__).read_text())
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


def run_alone(tmp_path, *arguments):
    """The file copied elsewhere, under an interpreter without site packages."""
    copy = shutil.copy(verify.__file__, tmp_path / "verify.py")
    return subprocess.run(
        [sys.executable, "-I", "-S", copy, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )


def test_a_copy_of_the_file_alone_verifies_a_trail_and_a_proof(honest, key, tmp_path):
    search = Search(honest, key.verifier, database=tmp_path / "index.sqlite")
    (tmp_path / "proof.json").write_bytes(proof_bytes(search.prove(33)))
    search.close()
    (tmp_path / "key").write_text(key.verifier.text + "\n")
    for what in (honest, tmp_path / "proof.json"):
        for public in (key.verifier.text, tmp_path / "key"):
            done = run_alone(tmp_path, what, "--key", public)
            assert (done.returncode, done.stderr) == (0, ""), done
            assert done.stdout.endswith("verified\n")
    assert run_alone(tmp_path, honest, "--key", "nonsense").returncode == 2
    assert run_alone(tmp_path, tmp_path / "nothing", "--key", key.verifier.text).returncode == 2
    witness = honest.with_name("witness")
    assert run_alone(tmp_path, honest, "--key", key.verifier.text, "--witness", witness).returncode == 0

    _, path = segments_of(honest)[0]
    data = bytearray(path.read_bytes())
    data[data.index(b'"index":77,') + 3] ^= 1
    path.write_bytes(data)
    done = run_alone(tmp_path, honest, "--key", key.verifier.text)
    assert done.returncode == 3
    assert "TAMPERED: record 77: " in done.stdout


def test_many_processes_find_what_one_finds(open_log, trail, key, records):
    begin, end = records
    log = open_log()
    for i in range(1_800):
        log.append(begin(i))
        log.append(end(i))
    log.close()
    assert len(segments_of(trail)) > 4
    assert verify_log(trail, key.verifier.text, jobs=3) == verify_log(trail, key.verifier.text)
    first, path = segments_of(trail)[3]
    batch = next(read_batches(path, first))
    data = bytearray(path.read_bytes())
    data[batch.offsets[0] + 30] ^= 1
    path.write_bytes(data)
    report = verify_log(trail, key.verifier.text, jobs=3)
    assert report == verify_log(trail, key.verifier.text)
    assert report.problems[0].record == first


def test_signatures_are_judged_as_others_judge_them():
    """Against another implementation, and the forms that RFC 8032 refuses."""
    order = 2**252 + 27742317777372353535851937790883648493
    for number in range(20):
        private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        public = private.public_key().public_bytes_raw()
        message = b"m" * number
        signature = private.sign(message)
        assert verify._verifies(public, message, signature)
        for at in range(0, 64, 7):
            changed = bytes([*signature[:at], signature[at] ^ 1 << number % 8, *signature[at + 1 :]])
            assert not verify._verifies(public, message, changed)
        assert not verify._verifies(public, message + b"x", signature)
        assert not verify._verifies(public, message, signature[:-1])
        scalar = int.from_bytes(signature[32:], "little") + order
        assert not verify._verifies(public, message, signature[:32] + scalar.to_bytes(32, "little")), "malleable"
    # RFC 8032, 7.1, test 3
    public = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    signature = bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    assert verify._verifies(public, bytes.fromhex("af82"), signature)
    assert verify._point((2**255 - 19).to_bytes(32, "little")) is None, "y is not reduced"
    assert verify._point((2).to_bytes(32, "little")) is None, "not on the curve"
    assert verify._point((1 | 1 << 255).to_bytes(32, "little")) is None, "minus zero"


def test_a_point_of_small_order_is_no_key_of_a_log():
    neutral = b"\1" + bytes(31)
    name = "log.example"
    digest = hashlib.sha256(name.encode() + b"\n\1" + neutral).digest()[:4].hex()
    line = f"{name}+{digest}+{base64.b64encode(bytes([1]) + neutral).decode()}"
    with pytest.raises(ValueError, match="malformed"):
        verify._Key.parse(line)


def test_writer_and_verifier_describe_the_same_format():
    assert (verify._HEADER.format, verify._FRAME.format, verify._COMMIT.format, verify._HEADER_BYTES) == (
        segment._HEADER.format,
        segment.FRAME.format,
        segment.COMMIT.format,
        segment.HEADER_BYTES,
    )
    tree = Frontier()
    data, hashes, root = assemble([b"{}"], 4096, tree)
    assert hashes == [leaf_hash(b"{}")]
    frame = b"leaf" + struct.pack(">I", 2)
    assert data.startswith(frame + struct.pack(">I", zlib.crc32(frame + b"{}")) + b"{}" + COMMIT_TAG)
    assert data.endswith(struct.pack(">QQ", 4096, 1) + root)


STRINGS = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\ :{},-0\n\x7f\u2028'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=6,
)
LOOSER = (
    *[("", space) for space in " \t\n\r"],
    *[
        ("0", "-0"),
        ("0", "0.0"),
        ("a", "\\u0061"),
        ("/", "\\/"),
        ("{", '{"a":1,'),
        ("}", ',"a":1}'),
        ("\x7f", "\\u007f"),
    ],
    *[("}", ',"z":{"b":1,"a":2}}'), ("}", ',"z":{"b":1,"b":2}}'), ("[", '["a",')],
)


@given(st.dictionaries(STRINGS, VALUES, max_size=5), st.data())
def test_the_short_way_to_tell_the_one_spelling_says_what_encoding_anew_says(record, data):
    text = json.dumps(record, ensure_ascii=False, sort_keys=data.draw(st.booleans()), separators=(",", ":"))
    old, new = data.draw(st.sampled_from([("", ""), *LOOSER]))
    at = text.find(old, data.draw(st.integers(0, len(text))))
    if at >= 0:
        text = text[:at] + new + text[at + len(old) :]
    try:
        read, end = verify._decode(text)
    except ValueError:
        return
    if end == len(text):
        assert verify._is_canonical(text, read) == (verify._encode(read) == text), text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        *[('{"a":1,"b":"x y: -0","c":[true,"{"]}', True), ('{"a":1, "b":2}', False), ('{"a":1,"b":2\t}', False)],
        *[('{"b":1,"a":2}', False), ('{"a":1,"a":1}', False), ('{"a":1,"a:":1}', True), ('{"a":-0}', False)],
        *[
            ('{"a":{"c":1,"b":1}}', False),
            ('[{"b":1,"a":1}]', False),
            ('{"a":"\\u0062"}', False),
            ('{"a":"\\n"}', True),
        ],
    ],
)
def test_one_spelling(text, canonical):
    assert verify._is_canonical(text, json.loads(text)) is canonical
