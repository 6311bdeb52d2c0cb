"""What the gate and the process that speaks HTTP say to one another, over a socket that they have from birth.

    length: u32, big-endian · message: MessagePack (msgspec), at most `LIMIT` bytes

The process asks with `Begin`, `Extend` and `Settle`, each answered in its own time; the gate says `Cut` when it must.
The socket is one of a pair that has no name and that a child inherits: nobody else can speak on it. INVARIANT: what
comes from the process is only believed to be what clients and targets said; it decides nothing and gets no secret but
the credential of a request that was permitted, the key of its masks, and the private keys that TLS needs.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from gateway.errors import Refusal
from gateway.policy.http_rules import AnswerRule, HttpRules
from gateway.policy.schema import Mask

LIMIT = 32 << 20
_LENGTH = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """One message."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A target as the process needs to know it: its name, and where its API is and what it is met with.

    `chain` and `private_key` (PEM) are what an API is shown that asks for a certificate; `prefix` is what people's
    paths begin with.
    """

    name: str
    host: str
    port: int
    authority: str
    tls: bool
    ca: str
    timeout_s: float
    idle_s: float
    prefix: str
    chain: bytes
    private_key: bytes


class Listening(msgspec.Struct, frozen=True, array_like=True):
    """A listening socket: its descriptor, and the certificate and key (files) of each server name that has its own."""

    descriptor: int
    names: tuple[tuple[str, str, str], ...]


class Setup(Message, frozen=True):
    """The first message to the process. A listening socket is named by its place in `listening`."""

    places: tuple[Place, ...]
    listening: tuple[Listening, ...]
    certificate: str
    key: str
    ciphers: str
    shared: bool = False
    """Whether other processes accept on the same sockets."""


class Renewed(Message, frozen=True):
    """What an API is shown from its next connection on."""

    target: str
    chain: bytes
    private_key: bytes


class Ready(Message, frozen=True):
    """The process accepts clients."""


class Rules(Message, frozen=True):
    """The rules of a policy, before the first permit under them; `digest` is the policy's."""

    digest: str
    rules: HttpRules


class Forget(Message, frozen=True):
    """No permit under those rules is left, and none will come before they are said again."""

    digest: str


class Begin(Message, frozen=True):
    """A request came in. `secret` is what it showed to prove who sends it; its `headers` are without that.

    `listener` and `server_name` (TLS's, empty for none) say which connection it came by. `target` is empty until the
    gate's process has found which one is meant, and took its prefix off the `path`.
    """

    number: int
    listener: int
    server_name: str
    secret: str
    address: str
    tls: str
    application: str
    method: str
    path: str
    authority: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    version: str
    target: str = ""


class Permitted(Message, frozen=True):
    """The request may go on, to `target`, as this and nothing else. `headers` are all but Host and framing.

    `answers` are what it may be answered with, where that is not what the route says: of an operation of GraphQL.
    `permit` numbers it from here on; `digest`, `route`, `customers`, `key` and `reveal` say what of the answer may
    leave, `window_rows` and `window_bytes` how much of it has been announced. With `writes`, its end is waited for.
    Where its answer may go on, the next page is one of `cursor`, sealed by `seal`; `base` is where the client asked.
    """

    number: int
    permit: int
    target: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    digest: str
    route: str
    customers: tuple[str, ...]
    key: bytes
    reveal: frozenset[str]
    window_rows: int
    window_bytes: int
    writes: bool
    answers: tuple[AnswerRule, ...] = ()
    base: str = ""
    cursor: str = ""
    seal: bytes = b""


class Denied(Message, frozen=True):
    """The request is refused. Its client may be shown this: the refusal is on record."""

    number: int
    code: str
    message: str
    hint: str


class Shown(Message, frozen=True):
    """A page of the gateway's own is the answer; nothing of the request goes anywhere."""

    number: int
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Extend(Message, frozen=True):
    """More than was announced wants to leave: so many rows and bytes in all.

    Of a WebSocket, `bytes_in` is what the client wants to send in all, and `digest` of all that has passed.
    """

    permit: int
    rows: int
    bytes: int
    bytes_in: int = 0
    digest: str = ""


class Extended(Message, frozen=True):
    """What is announced now, in all."""

    permit: int
    rows: int
    bytes: int
    bytes_in: int = 0


class Settle(Message, frozen=True):
    """The request ended: see `Outcome`. `http` is the status that the client got, 0 for none; `code` why not more.

    `unproven` says that the API did not accept the gateway's credential. Of a WebSocket, `rows_in` and `bytes_in` are
    what the client sent, and `digest` is of all that passed.
    """

    permit: int
    status: str
    http: int
    code: str
    rows: int
    bytes: int
    unproven: bool = False
    rows_in: int = 0
    bytes_in: int = 0
    digest: str = ""


class Settled(Message, frozen=True):
    """The end is on record, if `durable`."""

    permit: int
    durable: bool


class Cut(Message, frozen=True):
    """Nothing more of that permit's answer may leave."""

    permit: int
    code: str
    message: str
    hint: str


class Fault(Message, frozen=True):
    """Something of the process's own went wrong: an exception's type, and the way to it; no text of it."""

    what: str
    way: tuple[str, ...]


ToProcess = Setup | Renewed | Rules | Forget | Permitted | Denied | Shown | Extended | Settled | Cut
ToGate = Ready | Begin | Extend | Settle | Fault

T = TypeVar("T")


def refusal_of(message: Denied | Cut) -> Refusal:
    """The refusal that a message carries."""
    return Refusal(message.code, message.message, message.hint)


class Channel(asyncio.Protocol):
    """One end. `take` gets each message; `lost` is called once, when the other end is gone or speaks nonsense."""

    def __init__(self, kind: Any, take: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()
        self._take, self._lost = take, lost
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]  # a stream's

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._held += data
        at = 0
        while len(self._held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held, at)
            if length > LIMIT:
                self.close()
                return
            end = at + _LENGTH.size + length
            if len(self._held) < end:
                break
            try:
                message = self._decoder.decode(memoryview(self._held)[at + _LENGTH.size : end].tobytes())
            except msgspec.MsgspecError:
                self.close()
                return
            at = end
            self._take(message)
        del self._held[:at]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """See `asyncio.Protocol`."""
        self._lost()

    def send(self, message: Message) -> None:
        """Say something; where nobody listens any more, `lost` was or will be called."""
        data = self._encoder.encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_LENGTH.pack(len(data)) + data)

    def close(self) -> None:
        """Say no more and hear no more."""
        if self._transport is not None:
            self._transport.abort()


def frozen(rules: T) -> T:
    """Rules as they were sent: options of masks, whose type the message cannot tell, as they were before."""

    def again(value: Any) -> Any:
        if isinstance(value, Mask):
            return _mask(value.kind, value.options)
        if isinstance(value, tuple):
            return tuple(again(one) for one in value)
        if hasattr(value, "__dataclass_fields__"):
            return type(value)(
                **{name: again(getattr(value, name)) for name, one in value.__dataclass_fields__.items() if one.init}
            )
        return value

    found: T = again(rules)
    return found


def _mask(kind: str, options: Any) -> Mask:
    return Mask(kind, tuple((name, _option(option)) for name, option in options))


def _option(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_option(one) for one in value)
    # the only mapping among options is the mask of a path, of a `json` mask
    return _mask(**value) if isinstance(value, dict) else value
