"""Signed tree heads, against the vector of Go's sumdb/note, which the C2SP specification describes."""

import base64
import stat

import pytest

from gateway.audit.checkpoint import (
    Checkpoint,
    Signer,
    Verifier,
    create_signer,
    load_signer,
    open_checkpoint,
    open_note,
    verifier_path,
)

GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


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
        "log.example\n1\n" + base64.b64encode(bytes(32)).decode() + "\nextension\n",
        "log.example\n1\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_of_this_log_is_refused(text):
    signer = Signer.generate("log.example")
    with pytest.raises(ValueError):
        open_checkpoint(signer.sign(text), signer.verifier)


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
