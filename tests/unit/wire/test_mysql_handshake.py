"""The connection phase of the MySQL protocol: what is offered, agreed, and refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError
from gateway.wire.mysql import handshake as hs
from gateway.wire.mysql.base import Capability
from gateway.wire.mysql.results import (
    parse_ok,
)

PLAIN = Capability.PROTOCOL_41


def refusal(act: Callable[[], object]) -> str:
    """The code with which `act` is refused."""
    with pytest.raises(GatewayError) as refused:
        act()
    assert refused.value.refusal.fatal
    return refused.value.code


def response(**given: object) -> bytes:
    """A client's answer to the greeting, with something else in it."""
    usual = {
        "capabilities": hs.OFFERED,
        "max_packet": 1 << 24,
        "charset": 45,
        "user": b"alice",
        "auth": b"a" * 32,
        "database": b"shop",
        "plugin": "caching_sha2_password",
        "attributes": {b"_pid": b"1"},
    }
    return hs.encode_handshake_response(hs.HandshakeResponse(**{**usual, **given}))  # type: ignore[arg-type]


def test_what_a_client_announces_beyond_the_offer_is_not_agreed() -> None:
    bold = hs.OFFERED | Capability.LOCAL_FILES | Capability.QUERY_ATTRIBUTES | Capability.CAPABILITY_EXTENSION
    login = hs.decode_login(response(capabilities=bold), hs.OFFERED)
    assert login.capabilities == hs.OFFERED


def test_a_client_asks_for_tls_with_the_first_32_bytes_of_its_answer() -> None:
    request = hs.encode_ssl_request(hs.OFFERED)
    assert hs.decode_login(request, hs.OFFERED) == hs.SSLRequest(hs.OFFERED, hs.MAX_PACKET, 45)
    assert refusal(lambda: hs.decode_login(request, hs.OFFERED & ~Capability.SSL)) == "protocol-violation"


def test_a_mariadb_client_may_name_flags_of_its_own_in_the_filler_and_none_is_agreed() -> None:
    whole = response(capabilities=hs.OFFERED & ~Capability.LONG_PASSWORD)
    marked = whole[:28] + b"\x1f\0\0\0" + whole[32:]
    login = hs.decode_login(marked, hs.OFFERED)
    assert isinstance(login, hs.HandshakeResponse)
    assert login.user == b"alice"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "protocol-violation"),
        (response()[:31], "protocol-violation"),
        (response()[:33], "protocol-violation"),
        (response()[:-1], "protocol-violation"),
        (response() + b"x", "protocol-violation"),
        (response(capabilities=hs.OFFERED & ~Capability.PROTOCOL_41), "feature-not-supported"),
        (response(capabilities=hs.OFFERED & ~Capability.SECURE_CONNECTION), "feature-not-supported"),
        (response(capabilities=hs.OFFERED & ~Capability.PLUGIN_AUTH), "feature-not-supported"),
        (response(capabilities=hs.OFFERED | Capability.COMPRESS), "feature-not-supported"),
        (response(capabilities=hs.OFFERED | Capability.ZSTD_COMPRESSION_ALGORITHM), "feature-not-supported"),
        (response()[:20] + b"x" + response()[21:], "protocol-violation"),
        (response()[:31] + b"x" + response()[32:], "protocol-violation"),
        (response(attributes={b"a": b"b" * 20_000}), "protocol-violation"),
        (response(attributes={b"%d" % n: b"" for n in range(129)}), "protocol-violation"),
        (response(attributes={})[:-1] + b"\x08\x01a\x01b\x01a\x01c", "protocol-violation"),
        (response(attributes={})[:-1] + b"\x02\x01a", "protocol-violation"),
        (response(attributes={})[:-1] + b"\x02\x03a", "protocol-violation"),
        (response(attributes={})[:-1] + b"\xff", "protocol-violation"),
        (response(plugin="p" * 65), "protocol-violation"),
        (response(plugin="é"), "protocol-violation"),
    ],
)
def test_a_malformed_answer_to_the_greeting_is_refused(body: bytes, code: str) -> None:
    assert refusal(lambda: hs.decode_login(body, hs.OFFERED)) == code


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"", "protocol-violation"),
        (b"\x20\0\0", "protocol-violation"),
        (b"\x20\0\0\0", "protocol-violation"),
        (b"\x1f\0\0\1", "protocol-violation"),
        (b"GET ", "protocol-violation"),
        (b"\x16\3\1\2", "protocol-violation"),
        (b"\1\0\1\1", "message-too-large"),
    ],
)
def test_the_first_packet_of_a_client_is_of_a_possible_length(header: bytes, code: str) -> None:
    assert hs.first_packet_length(b"\x20\0\0\1") == 36
    assert refusal(lambda: hs.first_packet_length(header)) == code


GREETED = hs.encode_greeting(hs.Greeting("8.0.40", 1, b"n" * 20, hs.OFFERED, "caching_sha2_password"))
AT = GREETED.index(b"\0") + 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "protocol-violation"),
        (b"\x09" + GREETED[1:], "feature-not-supported"),
        (GREETED[:-1], "protocol-violation"),
        (GREETED + b"x", "protocol-violation"),
        (GREETED[: AT + 20] + b"\x14" + GREETED[AT + 21 :], "protocol-violation"),
        (GREETED[: AT + 4] + b"\0" + GREETED[AT + 5 :], "protocol-violation"),
        (GREETED[: AT + 43] + b"x" + GREETED[AT + 44 :], "protocol-violation"),
    ],
)
def test_a_malformed_greeting_is_refused(body: bytes, code: str) -> None:
    assert refusal(lambda: hs.parse_greeting(body)) == code


@pytest.mark.parametrize(
    "greeting",
    [
        hs.Greeting("8", 1, b"n" * 20, hs.OFFERED | Capability.LOCAL_FILES, "p"),
        hs.Greeting("8", 1, b"n" * 20, hs.OFFERED | Capability.COMPRESS, "p"),
        hs.Greeting("8", 1, b"n" * 20, hs.OFFERED & ~Capability.CONNECT_ATTRS, "p"),
        hs.Greeting("8", 1, b"n" * 19, hs.OFFERED, "p"),
        hs.Greeting("8", 1, b"n" * 19 + b"\0", hs.OFFERED, "p"),
    ],
    ids=["files", "compression", "layout", "short-nonce", "nul-in-nonce"],
)
def test_no_greeting_is_made_that_offers_what_is_not_there(greeting: hs.Greeting) -> None:
    with pytest.raises(ValueError, match=r"has not 20|is offered"):
        hs.encode_greeting(greeting)


def test_a_nonce_has_no_byte_that_ends_it_and_comes_from_what_is_given() -> None:
    assert hs.make_nonce(lambda count: bytes(range(256))[:count].ljust(count, b"\0")) == bytes(range(1, 21))
    many = b"".join(hs.make_nonce() for _ in range(200))
    assert not set(many) & {0, 0x24}
    assert max(many) < 128
    assert len(set(many)) > 100


def test_what_is_agreed_with_a_target_is_never_more_than_is_wanted_and_there() -> None:
    everything = 0xFFFFFFFF
    greeting = hs.parse_greeting(GREETED)._replace(capabilities=everything)
    agreed = hs.agree(greeting, everything, tls=True)
    assert agreed == hs.TOWARDS_TARGETS
    forbidden = Capability.LOCAL_FILES | Capability.MULTI_STATEMENTS | Capability.COMPRESS | Capability.QUERY_ATTRIBUTES
    assert not agreed & forbidden
    assert not hs.agree(greeting, everything, tls=False) & Capability.SSL
    plain = greeting._replace(capabilities=everything & ~Capability.SSL)
    assert refusal(lambda: hs.agree(plain, everything, tls=True)) == "tls-required"


def test_change_user_is_read_as_far_as_it_goes() -> None:
    whole = hs.ChangeUser(b"bob", b"x" * 20, b"db", 45, "mysql_native_password", {b"a": b"b"})
    body = hs.encode_change_user(whole, hs.OFFERED)
    assert hs.decode_change_user(body, hs.OFFERED) == whole
    short = hs.ChangeUser(b"bob", b"", b"", None, "", {})
    assert hs.decode_change_user(hs.encode_change_user(short, hs.OFFERED), hs.OFFERED) == short
    for broken in (b"", b"bob", b"bob\0", b"bob\0\5abc", b"bob\0\0db", b"bob\0\0db\0\1", body[:-1], body + b"x"):
        assert refusal(lambda broken=broken: hs.decode_change_user(broken, hs.OFFERED)) == "protocol-violation"  # type: ignore[misc]


def test_what_a_stranger_announces_is_kept_nowhere() -> None:
    # an enumeration of flags remembers every combination that it ever made, for ever
    flags = 0xFFFFFFFF & ~(Capability.COMPRESS | Capability.ZSTD_COMPRESSION_ALGORITHM)
    login = hs.decode_login(response(capabilities=flags), hs.OFFERED)
    assert type(login.capabilities) is int
    assert type(hs.parse_greeting(GREETED).capabilities) is int
    assert type(parse_ok(b"\0\0\0\xff\xbf\0\0", PLAIN).status) is int
