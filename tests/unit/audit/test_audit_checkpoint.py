"""Signed tree heads, against the vector of Go's sumdb/note, which the C2SP specification describes."""

import base64
import stat

import pytest

from gateway.audit.checkpoint import (
    Checkpoint,
    Signer,
    Verifier,
    create_signer,
    head_of,
    load_signer,
    note_parts,
    open_checkpoint,
    open_note,
    signature_line,
    verifier_path,
)
from gateway.audit.cosignature import CosignatureVerifier, Cosigner

GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SPECIFIED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501
"""The example of c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature, whose keys are not published."""


def test_keys_and_signatures_are_those_of_the_reference_implementation():
    signer = Signer.parse(GO_SIGNER)
    assert signer.verifier.text == GO_VERIFIER
    assert signer.text() == GO_SIGNER
    assert signer.sign(GO_TEXT) == GO_NOTE
    assert open_note(GO_NOTE, Verifier.parse(GO_VERIFIER)) == GO_TEXT


def test_any_changed_character_of_a_key_is_refused():
    for i in range(len(GO_VERIFIER)):
        changed = GO_VERIFIER[:i] + chr(ord(GO_VERIFIER[i]) + 1) + GO_VERIFIER[i + 1 :]
        with pytest.raises(ValueError):
            Verifier.parse(changed)
    for i in range(1, len(GO_VERIFIER)):
        with pytest.raises(ValueError):
            Verifier.parse(GO_VERIFIER[:i])


def test_any_changed_byte_of_a_note_is_refused():
    verifier = Verifier.parse(GO_VERIFIER)
    note = GO_NOTE.encode()
    for i in range(len(note)):
        changed = bytes([*note[:i], note[i] ^ 1, *note[i + 1 :]])
        with pytest.raises(ValueError):
            open_note(changed.decode(), verifier)


def test_signatures_of_others_are_ignored_but_do_not_count():
    verifier, stranger = Verifier.parse(GO_VERIFIER), Signer.generate("stranger")
    line = stranger.sign(GO_TEXT).rpartition("\n\n")[2]
    assert open_note(GO_NOTE + line, verifier) == GO_TEXT
    with pytest.raises(ValueError, match="not signed by"):
        open_note(stranger.sign(GO_TEXT), verifier)


@pytest.mark.parametrize(
    "note", ["", "\n", GO_TEXT, GO_TEXT + "\n", GO_NOTE[:-1], GO_NOTE + "x", GO_NOTE * 200, "\0" + GO_NOTE]
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises(ValueError):
        open_note(note, Verifier.parse(GO_VERIFIER))


def test_a_checkpoint_comes_back_as_it_was_signed():
    signer = Signer.generate("gateway.example/payroll")
    head = Checkpoint("gateway.example/payroll", 20_852_163, bytes(range(32)))
    note = signer.sign(head.text())
    assert note.splitlines()[:3] == ["gateway.example/payroll", "20852163", base64.b64encode(bytes(range(32))).decode()]
    assert open_checkpoint(note, signer.verifier) == head


@pytest.mark.parametrize(
    "text",
    [
        "other.example\n1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "log.example\n01\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "log.example\n-1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "log.example\n١\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "log.example\n1\n" + base64.b64encode(bytes(31)).decode() + "\n",
        "log.example\n1\n" + base64.b64encode(bytes(32)).decode() + "\nextension\n\nnot empty\n",
        "log.example\n99999999999999999999\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "log.example\n1\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_of_this_log_is_refused(text):
    signer = Signer.generate("log.example")
    with pytest.raises(ValueError):
        open_checkpoint(signer.sign(text), signer.verifier)


def test_extension_lines_are_signed_and_ignored():
    signer = Signer.generate("log.example")
    text = "log.example\n1\n" + base64.b64encode(bytes(32)).decode() + "\nextension 1\nextension 2\n"
    assert open_checkpoint(signer.sign(text), signer.verifier) == Checkpoint("log.example", 1, bytes(32))
    with pytest.raises(ValueError, match="does not fit"):
        open_checkpoint(signer.sign(text).replace("extension 2", "extension 3"), signer.verifier)


def test_sixteen_signatures_of_any_size_are_accepted_and_any_malformed_one_refused():
    signer = Signer.generate("log.example")
    others = "".join(signature_line(f"w{i}.example", bytes([6, 6, 6, i]) + bytes(5_000)) for i in range(15))
    note = signer.sign("text\n")
    assert open_note(note + others, signer.verifier) == "text\n"
    for line in (
        "— \u2003.example AAAAAAA=",
        "— w.example AAAA",
        "— w.example",
        "- w.example AAAAAAA=",
        "— a+b AAAAAAA=",
    ):
        with pytest.raises(ValueError):
            open_note(f"{note}{line}\n", signer.verifier)


def test_the_example_of_the_signed_note_specification_verifies():
    verifier = Verifier.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    signature = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    note = f"This is an example message.\n\n— example.com/foo {signature}\n"
    assert open_note(note, verifier) == "This is an example message.\n"
    with pytest.raises(ValueError):
        open_note(note.replace("example message", "exampie message"), verifier)


def test_the_example_of_the_checkpoint_and_cosignature_specifications_is_read():
    text, signatures = note_parts(SPECIFIED)
    assert head_of(text, "example.com/behind-the-sofa").size == 20_852_163
    (_, key_id, blob), (name, _, cosignature) = signatures
    assert (key_id.hex(), len(blob)) == ("033de0ae", 64)
    # a cosignature begins with its time
    assert (name, len(cosignature)) == ("witness.example.com/w1", 72)
    assert int.from_bytes(cosignature[:8], "big") == 1_679_315_147


def test_a_cosignature_is_one_of_this_checkpoint_at_this_time_only():
    cosigner, other = Cosigner.generate("w.example/1"), Cosigner.generate("w.example/1")
    note = cosigner.cosigned(SPECIFIED, 1_700_000_000)
    verifier = CosignatureVerifier.parse(cosigner.verifier.text)
    assert verifier.cosigned_at(note) == 1_700_000_000
    assert other.verifier.cosigned_at(note) is None
    assert verifier.cosigned_at(cosigner.cosigned(note, 1_700_000_001)) == 1_700_000_001, "the newer in its place"
    assert note_parts(note)[1][:2] == note_parts(SPECIFIED)[1], "the signatures of others stay"
    with pytest.raises(ValueError, match="does not fit"):
        verifier.cosigned_at(note.replace("20852163", "20852164"))
    blob = note_parts(note)[1][-1][2]
    later = (1_700_000_009).to_bytes(8, "big") + blob[8:]
    with pytest.raises(ValueError, match="does not fit"):
        verifier.cosigned_at(SPECIFIED + signature_line(verifier.name, verifier.key_id + later))


def test_a_cosigning_key_does_not_load_as_a_logs_key_nor_the_other_way_round():
    cosigner, signer = Cosigner.generate("w.example/1"), Signer.generate("w.example/1")
    assert Cosigner.parse(cosigner.text()).verifier == cosigner.verifier
    for load, text in ((Signer.parse, cosigner.text()), (Verifier.parse, cosigner.verifier.text),
                       (Cosigner.parse, signer.text()), (CosignatureVerifier.parse, signer.verifier.text)):  # fmt: skip
        with pytest.raises(ValueError):
            load(text)


def test_key_files_are_private_and_never_replaced(tmp_path):
    path = tmp_path / "audit.key"
    signer = create_signer(path, "log.example")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signer(path).verifier.text == signer.verifier.text
    assert verifier_path(path).read_text().strip() == signer.verifier.text
    with pytest.raises(FileExistsError):
        create_signer(path, "log.example")
    path.chmod(0o640)
    with pytest.raises(ValueError, match="0600"):
        load_signer(path)


def test_a_signing_key_does_not_show_itself():
    signer = Signer.generate("log.example")
    # the last of five fields; its base64 may have a plus of its own
    secret = signer.text().split("+", 4)[4]
    assert secret not in repr(signer)
    with pytest.raises(ValueError) as failure:
        Signer.parse(signer.text()[:-3])
    assert secret[:8] not in str(failure.value)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b"])
def test_names_that_would_not_parse_are_refused(name):
    with pytest.raises(ValueError):
        Signer.generate(name)
