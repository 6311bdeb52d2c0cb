"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, server and client, as PostgreSQL speaks them.

RFC 5802 (SCRAM), RFC 7677 (SHA-256), RFC 5929 section 4 (tls-server-end-point), RFC 4013 (SASLprep); the stored
form of a verifier is PostgreSQL's `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. Like PostgreSQL, the
user name inside the exchange is ignored (the start-up packet's counts), authorization identities and mandatory
extensions are refused, and a password that SASLprep refuses is used as it is.

INVARIANT: a proof is compared in constant time, and an exchange against a mock verifier runs like a real one and
never succeeds. What cannot be read raises `GatewayError("protocol-violation")`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from gateway.errors import GatewayError
from gateway.wire.postgres_base import violation

SCRAM_SHA_256: Final = "SCRAM-SHA-256"
SCRAM_SHA_256_PLUS: Final = "SCRAM-SHA-256-PLUS"
DEFAULT_ITERATIONS: Final = 4096
MAX_ITERATIONS: Final = 1_000_000
"""More is refused from a target: the hashing happens while other sessions wait."""

_SALT_BYTES: Final = 16
_BINDING: Final = b"p=tls-server-end-point"
_NONCE: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")
_ITERATIONS: Final = re.compile(rb"[1-9][0-9]{0,9}")
_ATTRIBUTE: Final = re.compile(rb"[A-Za-z]=[^\x00,]*")

Token = Callable[[int], bytes]
"""Returns that many random bytes."""


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """What a server keeps instead of a password. With `mock` no proof is ever accepted."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes
    mock: bool = False

    @classmethod
    def parse(cls, text: str) -> ScramVerifier:
        """The verifier in PostgreSQL's stored form. Raises: `GatewayError` `protocol-violation`."""
        match = re.fullmatch(r"SCRAM-SHA-256\$([1-9][0-9]{0,9}):([^$:]+)\$([^$:]+):([^$:]+)", text)
        if match is None:
            raise violation("the stored verifier is malformed")
        salt, stored, server = (_unbase64(part.encode("utf-8", "replace"), "verifier") for part in match.groups()[1:])
        if len(stored) != 32 or len(server) != 32:
            raise violation("the stored verifier is malformed")
        return cls(int(match[1]), salt, stored, server)

    def __str__(self) -> str:
        """PostgreSQL's stored form."""
        return (
            f"{SCRAM_SHA_256}${self.iterations}:{_base64(self.salt)}"
            f"${_base64(self.stored_key)}:{_base64(self.server_key)}"
        )


def make_verifier(
    secret: str, iterations: int = DEFAULT_ITERATIONS, salt: bytes | None = None, *, token: Token = secrets.token_bytes
) -> str:
    """The stored form of a verifier for `secret`."""
    salt = token(_SALT_BYTES) if salt is None else salt
    salted = _salted_password(secret, salt, iterations)
    stored_key, server_key = hashlib.sha256(_client_key(salted)).digest(), _server_key(salted)
    return str(ScramVerifier(iterations, salt, stored_key, server_key))


def mock_verifier(user: str, secret: bytes, iterations: int = DEFAULT_ITERATIONS) -> ScramVerifier:
    """A verifier for somebody who has none: the same salt for the same user each time, and never a success.

    `secret` is the server's own; without it nobody can tell these salts from real ones (RFC 5802 section 9).
    """
    name = user.encode("utf-8", "surrogatepass")
    salt, stored, server = (_hmac(secret, what + name) for what in (b"salt\0", b"stored\0", b"server\0"))
    return ScramVerifier(iterations, salt[:_SALT_BYTES], stored, server, mock=True)


def known_to(secret: str, verifiers: Sequence[ScramVerifier]) -> int | None:
    """The place of the verifier that knows a secret which was shown in clear; None when none does.

    Takes the time of one PBKDF2 where all have one salt. Mock verifiers cost the same and know nothing.
    """
    salted: dict[tuple[bytes, int], bytes] = {}
    found = None
    for place, verifier in enumerate(verifiers):
        key = verifier.salt, verifier.iterations
        if key not in salted:
            salted[key] = hashlib.sha256(_client_key(_salted_password(secret, *key))).digest()
        if hmac.compare_digest(salted[key], verifier.stored_key) and not verifier.mock:
            found = place
    return found


def make_nonce(token: Token = secrets.token_bytes) -> str:
    """A nonce of 144 bits, printable and without a comma."""
    return _base64(token(18))


class ScramServer:
    """The server's half: `first`, then `final`, each once.

    `channel_binding` is the hash of the certificate in use (`tls_server_end_point`) when SCRAM-SHA-256-PLUS was
    offered, else None. `mechanism` is what the client chose. `others` are further passwords that the client may know;
    after `final`, `proven` is the place of the one that it does, 0 for `verifier` itself.
    """

    __slots__ = ("_auth", "_binding", "_gs2", "_mechanism", "_nonce", "_verifiers", "proven")

    def __init__(
        self,
        verifier: ScramVerifier,
        *,
        nonce: str,
        channel_binding: bytes | None,
        mechanism: str = SCRAM_SHA_256,
        others: Sequence[ScramVerifier] = (),
    ) -> None:
        if mechanism not in (SCRAM_SHA_256, SCRAM_SHA_256_PLUS):
            raise violation("the client chose a mechanism that was not offered")
        if mechanism == SCRAM_SHA_256_PLUS and channel_binding is None:
            raise violation("the client chose a mechanism that was not offered")
        self._verifiers = (verifier, *others)
        self.proven = 0
        self._nonce = nonce.encode("ascii")
        self._binding = channel_binding
        self._mechanism = mechanism
        self._gs2 = b""
        self._auth = b""

    def first(self, client_first: bytes) -> bytes:
        """The server-first message.

        Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for an authorization identity or a
        mandatory extension.
        """
        if self._auth:
            raise violation("the SCRAM exchange is out of order")
        flag, comma, rest = client_first.partition(b",")
        authzid, comma2, bare = rest.partition(b",")
        if not comma or not comma2:
            raise violation("the SCRAM message is malformed")
        self._check_binding_flag(flag)
        if authzid:
            raise GatewayError("feature-not-supported", "an authorization identity is not supported", fatal=True)
        attributes = _attributes(bare)
        if attributes[0][0] == b"m":
            raise GatewayError("feature-not-supported", "a mandatory SCRAM extension is not supported", fatal=True)
        if [name for name, _ in attributes[:2]] != [b"n", b"r"]:
            raise violation("the SCRAM message is malformed")
        nonce = attributes[1][1]
        if not _NONCE.fullmatch(nonce):
            raise violation("the SCRAM nonce is malformed")
        self._gs2 = flag + b",,"
        self._nonce = nonce + self._nonce
        salt = _base64(self._verifiers[0].salt).encode()
        answer = b"r=%b,s=%b,i=%d" % (self._nonce, salt, self._verifiers[0].iterations)
        self._auth = bare + b"," + answer
        return answer

    def final(self, client_final: bytes) -> tuple[bool, bytes]:
        """Whether the client knows the password, and the server-final message.

        After a failure the message is an error attribute; PostgreSQL sends an ErrorResponse in its place.
        """
        if not self._auth:
            raise violation("the SCRAM exchange is out of order")
        without_proof, comma, proof_part = client_final.rpartition(b",")
        if not comma or not proof_part.startswith(b"p="):
            raise violation("the SCRAM message has no proof")
        proof = _unbase64(proof_part[2:], "proof")
        attributes = _attributes(without_proof)
        if len(proof) != 32 or [name for name, _ in attributes[:2]] != [b"c", b"r"]:
            raise violation("the SCRAM message is malformed")
        auth, self._auth = self._auth + b"," + without_proof, b""
        bound = self._gs2 + (self._binding or b"" if self._mechanism == SCRAM_SHA_256_PLUS else b"")
        # PostgreSQL compares the base64 text; decoding first would accept several spellings of one binding.
        if not hmac.compare_digest(attributes[0][1], base64.b64encode(bound)):
            return False, b"e=channel-bindings-dont-match"
        if not hmac.compare_digest(attributes[1][1], self._nonce):
            raise violation("the SCRAM nonce does not match")
        told = self._verifiers[0]
        for place, verifier in enumerate(self._verifiers):
            # the client was told one salt and one count: what was made with others cannot be proven here
            if (verifier.salt, verifier.iterations) != (told.salt, told.iterations):
                continue
            signature = _hmac(verifier.stored_key, auth)
            stored_key = hashlib.sha256(_xor(proof, signature)).digest()
            # INVARIANT: `mock` is judged after the comparison, so that both take the same time.
            right = hmac.compare_digest(stored_key, verifier.stored_key)
            if right and not verifier.mock:
                self.proven = place
                return True, b"v=" + base64.b64encode(_hmac(verifier.server_key, auth))
        return False, b"e=invalid-proof"

    def _check_binding_flag(self, flag: bytes) -> None:
        plus = self._mechanism == SCRAM_SHA_256_PLUS
        if flag == b"n":
            wrong = plus
        elif flag == b"y":
            # FAIL CLOSED: the client could bind and was told that we could not: somebody edits our offer.
            wrong = plus or self._binding is not None
        elif flag == _BINDING:
            wrong = not plus
        else:
            raise violation("the SCRAM channel binding is malformed or of an unknown type")
        if wrong:
            raise violation("the SCRAM channel binding does not fit the chosen mechanism")


class ScramClient:
    """The client's half: `first`, `respond`, `verify`, each once.

    `channel_binding` is the hash of the server's certificate over TLS, else None; `mechanisms` is what the server
    offers. `salted`, when given, is the caller's own cache for this password, from (salt, iterations) to the salted
    password: it saves the 4096 rounds at each further connection. A server that asks for fewer than
    `least_iterations` is refused: an impostor would get a proof that is cheap to guess from (RFC 7677 section 4).
    """

    __slots__ = (
        "_auth", "_bare", "_binding", "_gs2", "_least", "_nonce", "_password", "_salted", "_signature", "mechanism",
    )  # fmt: skip

    def __init__(
        self,
        password: str,
        nonce: str,
        channel_binding: bytes | None = None,
        mechanisms: Sequence[str] = (SCRAM_SHA_256, SCRAM_SHA_256_PLUS),
        *,
        salted: MutableMapping[tuple[bytes, int], bytes] | None = None,
        least_iterations: int = DEFAULT_ITERATIONS,
    ) -> None:
        if channel_binding is not None and SCRAM_SHA_256_PLUS in mechanisms:
            self.mechanism, self._gs2, self._binding = SCRAM_SHA_256_PLUS, _BINDING + b",,", channel_binding
        elif SCRAM_SHA_256 in mechanisms:
            self._gs2 = b"n,," if channel_binding is None else b"y,,"
            self.mechanism, self._binding = SCRAM_SHA_256, b""
        else:
            raise GatewayError("feature-not-supported", "no offered SASL mechanism is supported", fatal=True)
        self._password = password
        self._nonce = nonce.encode("ascii")
        self._salted = {} if salted is None else salted
        self._least = least_iterations
        self._bare = b""
        self._auth = b""
        self._signature = b""

    def first(self) -> bytes:
        """The client-first message; the user name in it is empty, as libpq's is."""
        self._bare = b"n=,r=" + self._nonce
        return self._gs2 + self._bare

    def respond(self, server_first: bytes) -> bytes:
        """The client-final message. Raises: `GatewayError` `protocol-violation`."""
        if not self._bare or self._auth:
            raise violation("the SCRAM exchange is out of order")
        attributes = _attributes(server_first)
        if [name for name, _ in attributes[:3]] != [b"r", b"s", b"i"]:
            raise violation("the SCRAM message is malformed")
        nonce, salt64, count = (value for _, value in attributes[:3])
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce) or not _NONCE.fullmatch(nonce):
            raise violation("the SCRAM nonce does not match")
        salt = _unbase64(salt64, "salt")
        if not salt or not _ITERATIONS.fullmatch(count) or not self._least <= int(count) <= MAX_ITERATIONS:
            raise violation("the SCRAM iteration count is out of range")
        key = (salt, int(count))
        salted = self._salted.get(key)
        if salted is None:
            salted = self._salted[key] = _salted_password(self._password, *key)
        without_proof = b"c=%b,r=%b" % (base64.b64encode(self._gs2 + self._binding), nonce)
        self._auth = b",".join((self._bare, server_first, without_proof))
        client_key = _client_key(salted)
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), self._auth))
        self._signature = _hmac(_server_key(salted), self._auth)
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, server_final: bytes) -> bool:
        """Whether the server has proven that it knows the verifier. Raises: `GatewayError` `protocol-violation`."""
        if not self._signature:
            raise violation("the SCRAM exchange is out of order")
        signature, self._signature = self._signature, b""
        name, value = _attributes(server_final)[0]
        if name == b"e":
            return False
        if name != b"v":
            raise violation("the SCRAM message is malformed")
        return hmac.compare_digest(_unbase64(value, "signature"), signature)


def tls_server_end_point(certificate: bytes) -> bytes | None:
    """The channel binding data of a DER certificate: its hash by its own signature's hash (RFC 5929 section 4.1).

    MD5 and SHA-1 become SHA-256. None where the signature has no such hash (Ed25519): then there is no binding.
    """
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    if name not in hashlib.algorithms_guaranteed or name.startswith("shake"):
        return None
    return hashlib.new(name, certificate).digest()


def saslprep(password: str) -> str:
    """The password as PostgreSQL prepares it: ASCII as it is, else SASLprep, else as it is.

    The tables are those of Unicode 3.2 and are asked about the text before its normalisation, as PostgreSQL's
    `pg_saslprep` does; otherwise the same password would hash differently here and there.
    """
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    if not mapped or any(map(_prohibited, mapped)):
        return password
    if any(map(stringprep.in_table_d1, mapped)) and not (
        stringprep.in_table_d1(mapped[0])
        and stringprep.in_table_d1(mapped[-1])
        and not any(map(stringprep.in_table_d2, mapped))
    ):
        return password
    return unicodedata.normalize("NFKC", mapped)


def md5_password(user: str, password: str, salt: bytes) -> str:
    """The answer to AuthenticationMD5Password. For old targets only, and only where the operator says so."""
    inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()


def _prohibited(char: str) -> bool:
    return (
        stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
        or stringprep.in_table_a1(char)
    )


def _attributes(message: bytes) -> list[tuple[bytes, bytes]]:
    parts = message.split(b",")
    if not all(map(_ATTRIBUTE.fullmatch, parts)):
        raise violation("the SCRAM message is malformed")
    return [(part[:1], part[2:]) for part in parts]


def _salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", saslprep(password).encode("utf-8", "surrogatepass"), salt, iterations)


def _client_key(salted: bytes) -> bytes:
    return _hmac(salted, b"Client Key")


def _server_key(salted: bytes) -> bytes:
    return _hmac(salted, b"Server Key")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(32)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unbase64(text: bytes, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise violation(f"the SCRAM {what} is not base64") from None
