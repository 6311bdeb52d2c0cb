"""One connection to one LDAP server: how it is made, what it is protected by, and how much it may cost.

ldap3 encodes and decodes (RFC 4511); sockets and TLS are our own, because ldap3 verifies no certificate unless told to,
bounds each read and not the whole answer, and never how long an answer is.

INVARIANT: nothing but the StartTLS request goes over a connection before its certificate and name are verified.
INVARIANT: an operation ends within its deadline, however slowly the server sends, and reads no more than its limit.
INVARIANT: a referral is never followed, an alias never dereferenced: the server that is configured answers, or nobody.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.strategy.sync import SyncStrategy

from gateway.access.directory.ldap_codec import (
    DONE,
    ENTRY,
    REFERENCE,
    Found,
    Incoming,
    Question,
    done,
    encoded,
    entry,
    framed,
)
from gateway.directory_settings import LdapDirectory
from gateway.errors import GatewayError

PPOLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
"""Password policy (draft-behera-ldap-password-policy-10): asked for with a bind, answered with what is wrong."""
EXPIRED = "2.16.840.1.113730.3.4.4"
"""Password expired (draft-vchu-ldap-pwd-policy-00): the bind was good for a change of the password only."""
_START_TLS = "1.3.6.1.4.1.1466.20037"
_SUCCESS, _SIZE_LIMIT, _NO_SUCH_OBJECT = 0, 4, 32
_OUT = frozenset({1, 2, 7, 8, 10, 13, 51, 52, 80})
"""Results that are about the server: operationsError, protocolError, authMethodNotSupported, strongerAuthRequired,
referral, confidentialityRequired, busy, unavailable, other. All but these and success are about the question: who asks
an odd one must not make the server be taken for out.
"""
_WRONG = frozenset({19, 32, 48, 49, 50, 53})
"""Results of a bind that are about the person: constraintViolation, noSuchObject, inappropriateAuthentication,
invalidCredentials, insufficientAccessRights, unwillingToPerform (RFC 4511, appendix A).
"""


class Unreachable(Exception):
    """The server cannot be asked, with why; never with what was sent or came. `refused` when it let us not in."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


class Unanswered(Exception):
    """The server is there, and did not answer this question."""


class TooMany(Exception):
    """More entries match than the question may have. It says nothing about the server."""


class _Socket:
    """What ldap3 takes for a socket: reads and writes within the deadline and the limit of the operation."""

    def __init__(self, inner: socket.socket, monotonic: Callable[[], float]) -> None:
        self.inner, self._monotonic = inner, monotonic
        self._until, self._left = 0.0, 0

    def allow(self, until: float, limit: int) -> None:
        """Begin an operation."""
        self._until, self._left = until, limit

    def recv(self, size: int) -> bytes:
        self.inner.settimeout(self._remaining())
        data = self.inner.recv(min(size, max(self._left, 0) + 1))
        self._left -= len(data)
        if self._left < 0:
            raise OSError("its answer is larger than `answer_limit`")
        return data

    def sendall(self, data: bytes) -> None:
        self.inner.settimeout(self._remaining())
        self.inner.sendall(data)

    def shutdown(self, how: int) -> None:
        self.inner.shutdown(how)

    def close(self) -> None:
        self.inner.close()

    def _remaining(self) -> float:
        left = self._until - self._monotonic()
        if left <= 0:
            raise TimeoutError("it does not answer in time")
        return left


class _Strategy(SyncStrategy):  # type: ignore[misc]  # ldap3 has no types
    """ldap3's synchronous strategy over a socket that is there already."""

    def open(self, reset_usage: bool = True, read_server_info: bool = True) -> None:  # noqa: ARG002
        self._outstanding: dict[int, Any] = {}
        self.connection.closed = False
        self._start_listen()


class Wire:
    """A connection; used by one thread at a time. Everything raises `Unreachable`, after which it is closed."""

    def __init__(
        self, settings: LdapDirectory, server: str, context: ssl.SSLContext | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings, self._monotonic, self._context = settings, monotonic, context
        url = urlsplit(server)
        self._host, self._implicit = url.hostname or "", url.scheme == "ldaps"
        self._port = url.port or (636 if self._implicit else 389)
        self.closed = False
        self._socket: _Socket | None = None
        self._ldap: Any = ldap3.Connection(
            ldap3.Server(self._host, self._port, get_info=ldap3.NONE),
            client_strategy=ldap3.SYNC,
            auto_referrals=False,
            auto_range=False,
            auto_escape=False,
            auto_encode=False,
            check_names=False,
            raise_exceptions=False,
            return_empty_attributes=False,
        )
        strategy = _Strategy(self._ldap)
        self._ldap.strategy = strategy
        for name in ("send", "open", "get_response", "post_send_single_response", "post_send_search"):
            setattr(self._ldap, name, getattr(strategy, name))
        self._until = monotonic() + settings.timeout
        self._guarded(self._connect)

    def sign_in(self) -> None:
        """Bind as the gateway."""
        settings = self._settings
        if settings.bind:
            assert settings.password is not None
            try:
                secret = settings.password.read()
            except GatewayError as error:
                self.close()
                raise Unreachable(error.refusal.message, refused=True) from error
            result, _ = self._bind_as(settings.bind, secret)
        else:
            self._allow()
            result = self._guarded(self._external)
        if result != _SUCCESS:
            self.close()
            raise Unreachable(f"it does not accept the gateway's sign-in ({result})", refused=True)

    def is_right(self, dn: str, password: bytes) -> tuple[bool, str]:
        """Whether a bind with that name and password succeeds for all purposes; "" or what the server adds.

        The connection has that person's rights afterwards, or nobody's: nothing else is asked over it.
        """
        if not dn or not password:
            # FAIL CLOSED: a bind without a password succeeds, as nobody (RFC 4513, 5.1.2)
            return False, ""
        result, controls = self._bind_as(dn, password)
        said = policy_error(controls)
        if result == _SUCCESS:
            return not said, said
        if result in _WRONG:
            return False, said
        raise self._answered("a bind", result)

    def search(
        self, base: str, filter_: str, attributes: Iterable[str], *, most: int, scope: str = "SUBTREE"
    ) -> list[Found]:
        """The entries that match, page by page. Raises `Unanswered`, and `TooMany` where there are more than `most`."""
        self._allow()
        found: list[Found] = []
        question = self._question(base, filter_, attributes, scope, most)
        while True:
            result, entries, cookie = self._guarded(self._page, question)
            found += entries
            if len(found) > most or result == _SIZE_LIMIT:
                # FAIL CLOSED: what is left out could be what forbids, so a part of an answer is none
                if cookie:
                    self.close()
                raise TooMany
            if result != _SUCCESS:
                raise self._answered("a search", result)
            if not cookie:
                return found
            question = replace(question, cookie=cookie)

    def sample(self, base: str, filter_: str, attributes: Iterable[str]) -> list[Found]:
        """A few of the entries that match."""
        self._allow()
        question = self._question(base, filter_, attributes, "SUBTREE", _HANDFUL)
        result, entries, _ = self._guarded(self._page, question)
        if result not in (_SUCCESS, _SIZE_LIMIT):
            raise self._answered("a search", result)
        found: list[Found] = entries
        return found

    def close(self) -> None:
        """Let go of the socket; nothing is sent."""
        self.closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()

    def _answered(self, what: str, result: int) -> Exception:
        self.close()
        if result == _NO_SUCH_OBJECT:
            return Unanswered("it does not have what `directory` names, or hides it from the gateway")
        return (Unreachable if result in _OUT else Unanswered)(f"{what} was answered with {result}")

    def _allow(self) -> None:
        self._until = self._monotonic() + self._settings.timeout
        if self._socket is not None:
            self._socket.allow(self._until, self._settings.answer_limit)

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result, whatever goes wrong in it as `Unreachable`."""
        try:
            return function(*arguments)
        except Unreachable:
            self.close()
            raise
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Unreachable(f"its certificate is not accepted: {error.verify_message}", refused=True) from None
        except (TimeoutError, LDAPExceptionError, OSError, EOFError) as error:
            self.close()
            late = self._monotonic() >= self._until or isinstance(error, TimeoutError)
            why = "it does not answer in time" if late else _why(error)
            raise Unreachable(why) from None
        except Exception as error:
            # FAIL CLOSED: bytes that ldap3 stumbles over are no answer; its texts may quote what was sent
            self.close()
            raise Unreachable(f"its answer was not understood: {type(error).__name__}") from None

    def _connect(self) -> None:
        raw = self._dial()
        if self._implicit:
            self._use(self._protected(raw))
        else:
            self._use(raw)
            if self._context is not None:
                self._start_tls(raw)

    def _dial(self) -> socket.socket:
        """A socket to the first of the server's addresses that answers, within the deadline for all of them."""
        last: OSError = TimeoutError()
        for family, kind, protocol, _, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            left = self._until - self._monotonic()
            if left <= 0:
                break
            raw = socket.socket(family, kind, protocol)
            try:
                raw.settimeout(left)
                raw.connect(address)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                raw.close()
                last = error
            else:
                return raw
        raise last

    def _use(self, raw: socket.socket) -> None:
        self._socket = _Socket(raw, self._monotonic)
        self._socket.allow(self._until, self._settings.answer_limit)
        self._ldap.socket = self._socket
        if self._ldap.closed:
            self._ldap.open()

    def _start_tls(self, raw: socket.socket) -> None:
        self._ldap.extended(_START_TLS)
        if self._ldap.result["result"] != _SUCCESS:
            # FAIL CLOSED: who strips StartTLS gets nothing
            raise Unreachable("it does not offer StartTLS", refused=True)
        self._use(self._protected(raw))

    def _protected(self, raw: socket.socket) -> ssl.SSLSocket:
        assert self._context is not None
        try:
            # the handshake as a whole is bounded by the timeout
            raw.settimeout(max(0.001, self._until - self._monotonic()))
            return self._context.wrap_socket(raw, server_hostname=self._host)
        except BaseException:
            raw.close()
            raise

    def _bind_as(self, dn: str, password: bytes) -> tuple[int, dict[str, Any]]:
        self._allow()
        bound: tuple[int, dict[str, Any]] = self._guarded(self._bind, dn, password)
        return bound

    def _bind(self, dn: str, password: bytes) -> tuple[int, dict[str, Any]]:
        ldap = self._ldap
        ldap.authentication, ldap.user, ldap.password = ldap3.SIMPLE, dn, password
        try:
            ldap.bind(read_server_info=False, controls=[(PPOLICY, False, None)])
        finally:
            # ldap3 keeps what it sent last
            ldap.password = ldap.request = None
        return int(ldap.result["result"]), ldap.result.get("controls") or {}

    def _external(self) -> int:
        ldap = self._ldap
        ldap.authentication, ldap.sasl_mechanism, ldap.sasl_credentials = ldap3.SASL, ldap3.EXTERNAL, ()
        ldap.bind(read_server_info=False)
        return int(ldap.result["result"])

    def _page(self, question: Question) -> tuple[int, list[Found], bytes]:
        """Ask, and take all that comes: result, entries, and the cookie of the next page."""
        assert self._socket is not None
        number = self._ldap.server.next_message_id()
        self._socket.sendall(framed(number, encoded(question)))
        incoming, found = Incoming(self._socket.recv), []
        while True:
            of, body = incoming.message()
            if of != number or body[0] not in (ENTRY, REFERENCE, DONE):
                raise ValueError
            if body[0] == ENTRY:
                found.append(entry(body))
            elif body[0] == DONE:
                incoming.finish()
                result, cookie = done(body, self._ldap.strategy.decode_response_fast)
                return result, found, cookie

    def _question(self, base: str, filter_: str, attributes: Iterable[str], scope: str, most: int) -> Question:
        # for a handful the server's own limit serves, and no cursor has to be kept there
        paged = most > _HANDFUL
        return Question(
            base, filter_, tuple(attributes), scope, 0 if paged else most + 1, max(1, int(self._settings.timeout)),
            self._settings.page if paged else 0,
        )  # fmt: skip


_HANDFUL = 10


def policy_error(controls: dict[str, Any]) -> str:
    """What a bind's controls say against the person, "" for nothing.

    PasswordPolicyResponseValue ::= SEQUENCE { warning [0] CHOICE OPTIONAL, error [1] ENUMERATED OPTIONAL }
    """
    if EXPIRED in controls:
        return "the password has expired"
    if PPOLICY not in controls:
        return ""
    value = (controls[PPOLICY] or {}).get("value") or b""
    if len(value) < 2 or value[0] != 0x30 or value[1] != len(value) - 2:
        # FAIL CLOSED
        return "what the password policy says was not understood"
    rest = bytes(value[2:])
    while len(rest) >= 2:
        tag, content, rest = rest[0], rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        if tag == 0x81:
            number = content[0] if len(content) == 1 else -1
            return _POLICY_ERRORS.get(number, "the password policy refuses it")
    return ""


_POLICY_ERRORS = {
    0: "the password has expired",
    1: "the account is locked",
    2: "the password must be changed",
}


def context_of(settings: LdapDirectory) -> ssl.SSLContext | None:
    """What verifies the servers; None without TLS. Raises `GatewayError("configuration-invalid")`."""
    if settings.tls == "off":
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise GatewayError(
            "configuration-invalid", "the certificates of `directory` cannot be read", "they are PEM files", str(error)
        ) from error
    return context


def _why(error: BaseException) -> str:
    """An operating system's words; ldap3's are not repeated, as they may quote."""
    text = str(error)
    for ours in ("its answer is larger than `answer_limit`", "it does not answer in time"):
        if ours in text:
            return ours
    if isinstance(error, LDAPExceptionError | EOFError):
        return f"the exchange broke off: {type(error).__name__}"
    return f"it cannot be reached: {(getattr(error, 'strerror', None) or type(error).__name__)[:200]}"
