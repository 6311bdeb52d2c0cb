"""The authentication plugins of the MySQL wire, both halves: what proves, what does not, and what is refused.

The answers are compared with those of PyMySQL, a client of its own descent.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pymysql import _auth as reference

from gateway.errors import GatewayError
from gateway.wire.mysql import handshake as hs
from gateway.wire.mysql.auth import (
    CACHING_SHA2,
    CLEAR,
    NATIVE,
    ClientAuth,
    Judged,
    ServerAuth,
    Verifier,
    native_response,
    sha2_response,
)

NONCE = bytes(range(65, 85))
OTHER = bytes(range(85, 105))
SECRET = b"a pass of 128 bits"
OK = b"\0\0\0\2\0\0\0"


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as refused:
        act()
    return refused.value.code


def respond(plugin: str, secret: bytes = SECRET, nonce: bytes = NONCE) -> bytes:
    return (native_response if plugin == NATIVE else sha2_response)(secret, nonce)


@pytest.mark.parametrize("secret", [b"x", SECRET, "pä".encode(), b"\xff" * 300])
@pytest.mark.parametrize("nonce", [NONCE, OTHER])
def test_the_answers_are_those_of_another_client(secret: bytes, nonce: bytes) -> None:
    assert native_response(secret, nonce) == reference.scramble_native_password(secret, nonce)
    assert sha2_response(secret, nonce) == reference.scramble_caching_sha2(secret, nonce)


def test_a_verifier_has_the_documented_hash() -> None:
    # `SELECT PASSWORD('password')` in the manual's chapter on password hashing
    assert Verifier.of(b"password").sha1.hex() == "2470c0c06dee42fd1618bb99005adca2ec9d1e19"


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
def test_a_verifier_knows_its_secret_for_this_nonce_and_nothing_else(plugin: str) -> None:
    verifier = Verifier.of(SECRET)
    answer = respond(plugin)
    assert verifier.knows(plugin, NONCE, answer)
    assert verifier.is_of(SECRET)
    flipped = bytes((answer[0] ^ 1,)) + answer[1:]
    for wrong in (b"", answer[:-1], answer + b"x", flipped, respond(plugin, b"another"), respond(plugin, nonce=OTHER)):
        assert not verifier.knows(plugin, NONCE, wrong)
    other = NATIVE if plugin == CACHING_SHA2 else CACHING_SHA2
    assert not verifier.knows(other, NONCE, answer)
    assert not verifier.is_of(SECRET + b"x")


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
def test_a_mock_verifier_knows_nothing_even_when_the_answer_is_right(plugin: str) -> None:
    real = Verifier.of(SECRET)
    mock = Verifier(real.sha1, real.sha256, mock=True)
    assert not mock.knows(plugin, NONCE, respond(plugin))
    assert not mock.is_of(SECRET)


def test_a_hash_of_the_secret_is_no_answer() -> None:
    # what somebody has who stole the verifier
    verifier = Verifier.of(SECRET)
    for stolen in (verifier.sha1, verifier.sha256):
        assert not verifier.knows(NATIVE, NONCE, stolen)
        assert not verifier.knows(CACHING_SHA2, NONCE, stolen)


VERIFIERS = (Verifier.of(b"first"), Verifier.of(SECRET))


def server(plugin: str, **given: bool) -> ServerAuth:
    return ServerAuth(plugin, NONCE, VERIFIERS, **{"secure": True, **given})


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
def test_who_answers_rightly_at_once_is_proven(plugin: str) -> None:
    judged = server(plugin).start(plugin, respond(plugin))
    assert judged == Judged(b"" if plugin == NATIVE else b"\1\3", proven=1)


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
@pytest.mark.parametrize("answer", [b"", b"x", b"x" * 20, b"x" * 32])
def test_who_does_not_is_not(plugin: str, answer: bytes) -> None:
    assert server(plugin).start(plugin, answer) == Judged()


@pytest.mark.parametrize(("wanted", "chosen"), [(NATIVE, CACHING_SHA2), (CACHING_SHA2, NATIVE), (NATIVE, "dialog")])
def test_who_comes_with_another_plugin_is_told_to_switch(wanted: str, chosen: str) -> None:
    half = server(wanted)
    # whatever came for the other plugin is not looked at
    judged = half.start(chosen, respond(wanted))
    assert judged == Judged(hs.encode_auth_switch(wanted, NONCE), more=True)
    assert half.go_on(respond(wanted)).proven == 1


def test_clear_text_is_asked_for_and_told_to_whoever_judges_it() -> None:
    for chosen in (CLEAR, CACHING_SHA2):
        half = server(CLEAR)
        assert half.start(chosen, b"hello\0") == Judged(hs.encode_auth_switch(CLEAR, NONCE), more=True)
        assert half.go_on(b"password123456\0") == Judged(password=b"password123456")


def test_who_proves_nothing_by_sha2_is_asked_for_the_password() -> None:
    half = server(CACHING_SHA2, ask_password=True)
    assert half.start(CACHING_SHA2, b"x" * 32) == Judged(b"\1\4", more=True)
    assert half.go_on(b"password123456\0") == Judged(password=b"password123456")
    # who has no password has none to tell
    assert server(CACHING_SHA2, ask_password=True).start(CACHING_SHA2, b"") == Judged()


@pytest.mark.parametrize("body", [b"", b"pass", b"pa\0ss\0", b"\0\0", b"\2", b"p" * 1024 + b"\0"])
def test_a_password_is_one_string_and_not_a_request_for_a_key(body: bytes) -> None:
    for plugin in (CLEAR, CACHING_SHA2):
        half = server(plugin, ask_password=True)
        assert half.start(CACHING_SHA2, b"x" * 32).more
        assert refusal(lambda half=half: half.go_on(body)) == "protocol-violation"  # type: ignore[misc]


def test_no_password_is_asked_for_on_a_line_that_is_not_secure() -> None:
    assert refusal(lambda: server(CLEAR, secure=False)) == "tls-required"
    assert refusal(lambda: server(CACHING_SHA2, secure=False, ask_password=True)) == "tls-required"
    assert server(CACHING_SHA2, secure=False).start(CACHING_SHA2, b"x" * 32) == Judged()


def test_each_step_of_the_server_is_taken_once() -> None:
    half = server(NATIVE)
    half.start(NATIVE, b"")
    assert refusal(lambda: half.start(NATIVE, respond(NATIVE))) == "protocol-violation"
    assert refusal(lambda: half.go_on(respond(NATIVE))) == "protocol-violation"
    assert refusal(lambda: server(NATIVE).go_on(respond(NATIVE))) == "protocol-violation"
    switched = server(CACHING_SHA2)
    switched.start(NATIVE, b"")
    switched.go_on(b"wrong")
    assert refusal(lambda: switched.go_on(respond(CACHING_SHA2))) == "protocol-violation"
    with pytest.raises(ValueError, match="unknown plugin"):
        server("dialog")


def client(*, secure: bool = True) -> ClientAuth:
    return ClientAuth(SECRET, secure=secure)


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
def test_the_client_answers_the_plugin_that_the_target_prefers(plugin: str) -> None:
    assert client().start(plugin, NONCE) == (plugin, respond(plugin))


def test_a_preference_for_another_plugin_is_answered_by_ours_and_a_switch_to_one_we_speak_followed() -> None:
    half = client()
    assert half.start("auth_gssapi_client", NONCE) == (CACHING_SHA2, respond(CACHING_SHA2))
    assert half.respond(hs.encode_auth_switch(NATIVE, OTHER)) == respond(NATIVE, nonce=OTHER)
    assert refusal(lambda: half.respond(hs.encode_auth_switch(CACHING_SHA2, NONCE))) == "protocol-violation"
    assert half.accepts(OK)


@pytest.mark.parametrize("plugin", ["client_ed25519", CLEAR, "dialog", "sha256_password", "auth_gssapi_client"])
def test_a_switch_to_a_plugin_that_is_not_spoken_is_refused_with_its_name(plugin: str) -> None:
    half = client()
    half.start(CACHING_SHA2, NONCE)
    with pytest.raises(GatewayError, match=plugin) as refused:
        half.respond(hs.encode_auth_switch(plugin, NONCE))
    assert refused.value.code == "feature-not-supported"


def test_the_password_goes_to_a_target_over_a_secure_line_only() -> None:
    half = client()
    half.start(CACHING_SHA2, NONCE)
    assert half.respond(b"\1\4") == SECRET + b"\0"
    open_half = client(secure=False)
    open_half.start(CACHING_SHA2, NONCE)
    assert refusal(lambda: open_half.respond(b"\1\4")) == "tls-required"


def test_a_target_that_knows_the_password_already_needs_nothing() -> None:
    half = client(secure=False)
    half.start(CACHING_SHA2, NONCE)
    assert half.respond(b"\1\3") is None
    assert refusal(lambda: half.respond(b"\1\4")) == "protocol-violation"
    assert half.accepts(OK)


@pytest.mark.parametrize(
    ("plugin", "body", "code"),
    [
        (CACHING_SHA2, b"", "protocol-violation"),
        (CACHING_SHA2, b"\1", "feature-not-supported"),
        (CACHING_SHA2, b"\1\5", "feature-not-supported"),
        (CACHING_SHA2, b"\1-----BEGIN PUBLIC KEY-----", "feature-not-supported"),
        (CACHING_SHA2, b"\2next_factor\0", "protocol-violation"),
        (CACHING_SHA2, b"\xfb/etc/passwd", "protocol-violation"),
        (CACHING_SHA2, b"\xfe", "feature-not-supported"),
        (CACHING_SHA2, b"\xfemysql_native_password\0short\0", "protocol-violation"),
        (NATIVE, b"\1\4", "protocol-violation"),
        (NATIVE, b"\1\3", "protocol-violation"),
    ],
)
def test_a_target_that_goes_on_otherwise_gets_nothing(plugin: str, body: bytes, code: str) -> None:
    half = client()
    half.start(plugin, NONCE)
    assert refusal(lambda: half.respond(body)) == code


def test_the_client_is_in_order_too() -> None:
    assert refusal(lambda: client().respond(b"\1\4")) == "protocol-violation"
    assert not client().accepts(OK)
    half = client()
    half.start(NATIVE, NONCE)
    assert refusal(lambda: half.start(NATIVE, NONCE)) == "protocol-violation"
    assert refusal(lambda: ClientAuth(b"a\0b", secure=True)) == "protocol-violation"
    assert refusal(lambda: client().start(NATIVE, NONCE[:-1])) == "protocol-violation"


def test_a_password_that_is_empty_is_never_hashed() -> None:
    empty = ClientAuth(b"", secure=False)
    assert empty.start(CACHING_SHA2, NONCE) == (CACHING_SHA2, b"")
    assert empty.respond(hs.encode_auth_switch(NATIVE, OTHER)) == b""


@pytest.mark.parametrize("plugin", [NATIVE, CACHING_SHA2])
@pytest.mark.parametrize("preferred", [NATIVE, CACHING_SHA2, "other"])
@pytest.mark.parametrize(("secret", "known"), [(SECRET, True), (b"wrong", False)], ids=["right", "wrong"])
@pytest.mark.parametrize("ask", [False, True])
def test_the_two_halves_understand_each_other(
    plugin: str, preferred: str, secret: bytes, known: bool, ask: bool
) -> None:
    ours, theirs = ClientAuth(secret, secure=True), server(plugin, ask_password=ask)
    judged = theirs.start(*ours.start(preferred, NONCE))
    while judged.more:
        answer = ours.respond(judged.send)
        assert answer is not None
        judged = theirs.go_on(answer)
    if known:
        assert judged.proven == 1
        assert not judged.send or ours.respond(judged.send) is None
    else:
        assert judged.proven is None
        assert judged.password == (secret if ask and plugin == CACHING_SHA2 else None)
