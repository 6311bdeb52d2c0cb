"""Bodies out of their content coding, within bounds (RFC 9110 section 8.4; gzip RFC 1952, zlib RFC 1950, Brotli RFC
7932, Zstandard RFC 8878 with the window of RFC 9659).

INVARIANT: what one chunk decodes to comes in pieces of bounded size, and all of it together is bounded by what came: a
bomb ends the answer before it is held. One stream is one body: a second member, or anything behind the end, is refused.

The libraries of `br` and `zstd` come with the HTTP engine; without them those codings are unknown ones.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from gateway.http.withheld import Limits, Withheld

PIECE = 1 << 16
"""Bytes that a decoder gives at once where it can be told."""

_ZSTD_WINDOW_LOG = 23
"""8 MiB: what RFC 9659 lets the coding ask for."""


class _Stream(Protocol):
    """One coding. `decode` gives pieces; then `ended` says whether the coding's end came, `extra` whether more did."""

    ended: bool
    extra: bool

    def decode(self, chunk: bytes) -> Iterator[bytes]: ...


class Decoder:
    """A body's coding taken off, chunk by chunk.

    Raises: Withheld for a coding that is not known here; and from its methods.
    """

    def __init__(self, coding: str, limits: Limits) -> None:
        self._limits = limits
        self._read = self._made = 0
        self._stream: _Stream | None = None
        if coding == "identity":
            return
        make = _STREAMS.get(coding)
        stream = make() if make is not None else None
        if stream is None:
            raise Withheld.not_allowed("is encoded in a way that is not read here")
        self._stream = stream

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces of what that chunk holds."""
        stream = self._stream
        if stream is None:
            yield chunk
            return
        self._read += len(chunk)
        for piece in self._pieces(stream, chunk):
            self._made += len(piece)
            if self._made > self._limits.slack_bytes + self._limits.ratio * self._read:
                raise Withheld.too_large("it is packed too tightly")
            yield piece

    def finish(self) -> None:
        """The body is over: so must be its coding. A body without any byte has none."""
        if self._stream is not None and self._read and not self._stream.ended:
            raise Withheld.unreadable("its encoding ends too early")

    @staticmethod
    def _pieces(stream: _Stream, chunk: bytes) -> Iterator[bytes]:
        if stream.ended and chunk:
            raise Withheld.unreadable("something is behind the end of its encoding")
        try:
            yield from stream.decode(chunk)
        except (ValueError, zlib.error):
            raise Withheld.unreadable("its encoding is damaged") from None
        if stream.extra:
            raise Withheld.unreadable("something is behind the end of its encoding")


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self.ended = self.extra = False

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        while not self._inflate.eof:
            piece = self._inflate.decompress(chunk, PIECE)
            chunk = self._inflate.unconsumed_tail
            if piece:
                yield piece
            if not chunk and len(piece) < PIECE:
                break
        self.ended = self._inflate.eof
        self.extra = bool(self._inflate.unused_data)


class _Brotli:
    def __init__(self) -> None:
        import brotli

        if not hasattr(brotli.Decompressor, "can_accept_more_data"):
            # FAIL CLOSED: versions before 1.2 cannot be told how much to make at once.
            raise ImportError
        self._decoder = brotli.Decompressor()
        self._error = brotli.error
        self.ended = self.extra = False

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while not self.ended:
                piece = self._decoder.process(chunk, output_buffer_limit=PIECE)
                chunk = b""
                self.ended = self._decoder.is_finished()
                if piece:
                    yield piece
                elif self._decoder.can_accept_more_data():
                    # before that, all input can be taken while output still waits
                    break
        except self._error:
            raise ValueError from None


class _Zstd:
    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        self._decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
        self._error = zstd.ZstdError
        self.ended = self.extra = False

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while not self._decoder.eof:
                piece = self._decoder.decompress(chunk, PIECE)
                chunk = b""
                if piece:
                    yield piece
                if self._decoder.needs_input:
                    break
        except self._error:
            raise ValueError from None
        self.ended = self._decoder.eof
        self.extra = bool(self._decoder.unused_data)


def _brotli() -> _Stream | None:
    try:
        return _Brotli()
    except ImportError:
        return None


def _zstd() -> _Stream | None:
    try:
        return _Zstd()
    except ImportError:
        return None


_STREAMS: dict[str, Callable[[], _Stream | None]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
    "br": _brotli,
    "zstd": _zstd,
}
