"""RFC 5424 messages over TLS (RFC 5425), each with its length in front (octet counting, RFC 6587 3.4.1).

    <PRI>1 TIMESTAMP HOSTNAME gateway PROCID MSGID [record@PEN index="…" id="…" kind="…" origin="…"] BOM JSON

PRI is the facility and a severity by what happened, MSGID the kind of record, the message the record or its event.

What TCP can say is less than an acknowledgement: `settle` waits until the peer's kernel has confirmed every byte and
the connection is still open; what the peer's program had read and not kept when it died is not noticed. Therefore the
cursor stays two seconds behind, and everything from there on is sent again after a connection was lost.

INVARIANT: what a record says cannot begin another message: frames are counted, and the header takes printable ASCII.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.exports.sink import Message, SendFailed
from gateway.otlp import why

_NOT_PRINTABLE = re.compile(r"[^!-~]")
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "]": "\\]"})
_BOM = b"\xef\xbb\xbf"
_NOTICE, _WARNING, _INFORMATIONAL = 5, 4, 6
_LOOK_S, _LOOKS = 0.02, 16
_ALERTS = frozenset(
    {
        *("refusals.flood", "log.recovery", "statement.unknown", "clock.step", "factor.reset"),
        *("break_glass.opened", "break_glass.overdue", "security.alert"),
    }
)


def message_of(message: Message, facility: int, enterprise: int, hostname: str, process: str) -> bytes:
    """One syslog message, without its frame."""
    record = message.record
    kind = str(record.get("kind", "-"))
    if record.get("decision") == "deny" or kind in _ALERTS:
        severity = _WARNING
    else:
        severity = _INFORMATIONAL if kind.startswith(("statement.", "log.heartbeat")) else _NOTICE
    data = " ".join(
        f'{name}="{str(record.get(name, "")).translate(_ESCAPED)}"' for name in ("index", "id", "kind", "origin")
    )
    head = (
        f"<{facility * 8 + severity}>1 {_header(str(record.get('time', '')), 32)} {_header(hostname, 255)} gateway"
        f" {_header(process, 128)} {_header(kind, 32)} [record@{enterprise} {data}] "
    )
    return head.encode() + _BOM + message.body


def frame_of(message: bytes) -> bytes:
    """The message with its length in front."""
    return b"%d %s" % (len(message), message)


def _header(text: str, most: int) -> str:
    return _NOT_PRINTABLE.sub("_", text)[:most] or "-"


class SyslogOut:
    """See `sink.Out`. `context` None: no TLS."""

    holdback_s = 2.0

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        facility: int,
        enterprise: int,
        timeout_s: float,
        hostname: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = host, port
        self._context, self._timeout_s, self._monotonic = context, timeout_s, monotonic
        self._facts: tuple[Any, ...] = facility, enterprise, hostname or socket.gethostname(), str(os.getpid())
        self._line: socket.socket | None = None

    def send(self, messages: Sequence[Message]) -> int:
        """Hand them to the kernel."""
        data = b"".join(frame_of(message_of(message, *self._facts)) for message in messages)
        try:
            line = self._connected()
            view, moved = memoryview(data), self._monotonic()
            while view:
                try:
                    done = line.send(view[:65536])
                except (TimeoutError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    done = 0
                if done:
                    view, moved = view[done:], self._monotonic()
                elif self._monotonic() - moved > self._timeout_s:
                    raise TimeoutError("it takes nothing")
                else:
                    self._alive(line)
        except OSError as error:
            raise self._failed(error) from error
        return 0

    def settle(self) -> None:
        """Wait until the other side's kernel has everything, as long as that goes on."""
        line = self._line
        if line is None:
            return
        try:
            left, moved = _unconfirmed(line), self._monotonic()
            while left:
                time.sleep(_LOOK_S)
                self._alive(line)
                now = _unconfirmed(line)
                if now < left:
                    moved = self._monotonic()
                elif self._monotonic() - moved > self._timeout_s:
                    raise TimeoutError("it takes nothing")
                left = now
            self._alive(line)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the connection, with TLS's farewell where that goes at once."""
        line, self._line = self._line, None
        if line is None:
            return
        try:
            line.settimeout(0.2)
            if isinstance(line, ssl.SSLSocket):
                line.unwrap()
        except (OSError, ValueError):
            pass  # the other side is gone, or does not answer: there is nothing left to say to it
        finally:
            line.close()

    def _connected(self) -> socket.socket:
        if self._line is not None:
            return self._line
        line = socket.create_connection(self._address, self._timeout_s)
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._context is not None:
                line = self._context.wrap_socket(line, server_hostname=self._address[0])
            line.settimeout(min(1.0, self._timeout_s))
        except BaseException:
            line.close()
            raise
        self._line = line
        return line

    def _alive(self, line: socket.socket) -> None:
        """Whether the other side has closed; whatever it says is thrown away. Raises `OSError`."""
        line.setblocking(False)
        try:
            for _ in range(_LOOKS):
                if not line.recv(4096):
                    break
            else:
                return  # a torrent of words is life
            raise ConnectionResetError("it closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        finally:
            line.settimeout(min(1.0, self._timeout_s))

    def _failed(self, error: OSError) -> SendFailed:
        line, self._line = self._line, None
        if line is not None:
            line.close()
        reason = str(error) if _is_ours(error) else why(error)
        return SendFailed(reason or "no answer in time", rewind=True)


def _is_ours(error: OSError) -> bool:
    return isinstance(error, TimeoutError | ConnectionResetError) and not error.errno


def _unconfirmed(line: socket.socket) -> int:
    """Bytes that the other side's kernel has not confirmed yet (tcp(7), SIOCOUTQ)."""
    buffer = bytearray(4)
    fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, buffer)
    return int(struct.unpack("i", buffer)[0])
