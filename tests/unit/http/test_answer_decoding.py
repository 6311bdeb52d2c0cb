"""Content codings come off within bounds, or the answer is withheld."""

from __future__ import annotations

import builtins
import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
from answering import JSON, Limits, Withheld, answer, field, in_chunks, rule

from gateway.http.decoding import PIECE, Decoder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
LIMITS = Limits()
TEXT = b'{"id": "' + random.Random(1).randbytes(20_000).hex().encode() + b'", "x": "CANARY"}'


def decoded(coding: str, packed: bytes, size: int = 1 << 20, limits: Limits = LIMITS) -> bytes:
    decoder = Decoder(coding, limits)
    made = [piece for at in range(0, len(packed), size) for piece in decoder.decode(packed[at : at + size])]
    decoder.finish()
    return b"".join(made)


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("coding", PACKED)
def test_a_body_is_the_same_however_its_coding_was_cut(coding: str, size: int) -> None:
    assert decoded(coding, PACKED[coding](TEXT), size) == TEXT
    assert decoded(coding, PACKED[coding](b"")) == b""


def test_identity_is_no_coding() -> None:
    assert decoded("identity", TEXT, 100) == TEXT


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-1],
        lambda packed: packed[: len(packed) // 2],
        lambda packed: packed + b"x",
        lambda packed: packed + packed,
        lambda packed: packed + b"\0" * 512,
        lambda packed: b"x" + packed,
        lambda packed: packed[:-1] + bytes([packed[-1] ^ 0xFF]),
        lambda packed: b"\xff" * 64,
        lambda packed: TEXT,
    ],
    ids=["cut", "half", "trailing", "twice", "padded", "leading", "flipped", "noise", "plain"],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_damaged_coding_is_withheld(coding: str, damage: Callable[[bytes], bytes], size: int) -> None:
    with pytest.raises(Withheld) as fault:
        decoded(coding, damage(PACKED[coding](TEXT)), size)
    assert fault.value.refusal.code == "answer-unreadable"


def test_a_checksum_that_lies_is_withheld() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-8] ^= 1
    with pytest.raises(Withheld):
        decoded("gzip", bytes(packed))
    with pytest.raises(Withheld):
        decoded("deflate", zlib.compress(TEXT)[2:-4])


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_a_bomb_ends_the_answer_before_it_is_held(coding: str, size: int) -> None:
    bomb = PACKED[coding](bytes(64 << 20))
    limits = Limits(slack_bytes=1 << 20, ratio=10)
    tracemalloc.start()
    with pytest.raises(Withheld) as fault:
        decoded(coding, bomb, size, limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert fault.value.refusal.code == "answer-too-large"
    assert peak < 8 << 20


@pytest.mark.parametrize("coding", PACKED)
def test_pieces_are_of_bounded_size(coding: str) -> None:
    decoder = Decoder(coding, Limits(ratio=1 << 20))
    pieces = list(decoder.decode(PACKED[coding](bytes(16 << 20))))

    assert sum(map(len, pieces)) == 16 << 20
    assert max(map(len, pieces)) <= 4 * PIECE


def test_a_window_beyond_that_of_the_standard_is_withheld() -> None:
    wide = zstd.compress(
        bytes(12 << 20),
        options={zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0},
    )
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    streamed = compressor.compress(random.Random(1).randbytes(1 << 16) * 2) + compressor.flush()
    assert len(wide) < 1 << 16
    with pytest.raises(Withheld) as fault:
        decoded("zstd", streamed)
    assert fault.value.refusal.code == "answer-unreadable"


@pytest.mark.parametrize(
    "coding",
    ["compress", "x-compress", "lzma", "gzip, gzip", "gzip,br", "br, identity, gzip", "gzip;q=1", "utf-8", "GZIP2", "*",
     "aes128gcm", "dcb", "exi", "pack200-gzip"],
)  # fmt: skip
def test_an_unknown_coding_or_several_are_withheld(coding: str) -> None:
    by = rule("json", field("$.id"))

    with pytest.raises(Withheld) as fault:
        answer(by, (*JSON, (b"Content-Encoding", coding.encode())))

    assert fault.value.refusal.code == "answer-not-allowed"
    with pytest.raises(Withheld):
        answer(by, (*JSON, (b"Content-Encoding", b"gzip"), (b"content-encoding", b"gzip")))


@pytest.mark.parametrize("coding", ["gzip", "GZip", "x-gzip", "identity, gzip", " gzip ,", "identity", ""])
def test_one_coding_is_read_however_it_is_spelled(coding: str) -> None:
    out = answer(rule("json", field("$.id")), (*JSON, (b"Content-Encoding", coding.encode())))
    body = b'{"id":1}'

    came, fault = in_chunks(out, [gzip.compress(body) if "gz" in coding.lower() else body])

    assert (came, fault) == (body, None)
    assert "content-encoding" not in dict(out.head()[1])


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_a_coding_whose_library_is_missing_is_an_unknown_one(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] in {"brotli", "backports", "compression"}:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Withheld) as fault:
        Decoder(coding, Limits())
    assert fault.value.refusal.code == "answer-not-allowed"


def test_a_brotli_that_cannot_be_bounded_is_an_unknown_coding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brotli, "Decompressor", type("Decompressor", (), {}))
    with pytest.raises(Withheld):
        Decoder("br", Limits())


def test_a_document_is_bounded_before_and_behind_its_coding() -> None:
    by = rule("json", field("$.id"), max_bytes=1000)
    limits = Limits(slack_bytes=1000)
    headers = (*JSON, (b"Content-Encoding", b"gzip"))
    for body in (gzip.compress(b" " * 1001), gzip.compress(random.Random(1).randbytes(5000))):
        came, fault = in_chunks(
            answer(by, headers, limits=limits), [body[at : at + 10] for at in range(0, len(body), 10)]
        )
        assert (came, fault and fault.refusal.code) == (b"", "answer-too-large")
    # nothing at all, packed for ever: it never becomes a byte
    stored = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0\0\0\xff\xff" * 1000
    came, fault = in_chunks(answer(by, headers, limits=limits), [stored])
    assert (came, fault and fault.refusal.code) == (b"", "answer-too-large")
