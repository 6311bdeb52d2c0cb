"""SCRAM-SHA-256, both halves, against the RFC's own exchange and against each other."""

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.errors import GatewayError
from gateway.wire.auth import (
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    ScramClient,
    ScramServer,
    ScramVerifier,
    make_nonce,
    make_verifier,
    md5_password,
    mock_verifier,
    saslprep,
    tls_server_end_point,
)

# RFC 7677 section 3: user `user`, password `pencil`.
RFC_CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
RFC_SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
RFC_SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")

Sha2 = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

BINDING = b"\x11" * 32
VERIFIER = ScramVerifier.parse(make_verifier("pencil", 4096, RFC_SALT))


def server(binding: bytes | None = None, mechanism: str = SCRAM_SHA_256) -> ScramServer:
    return ScramServer(VERIFIER, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", channel_binding=binding, mechanism=mechanism)


def exchange(ours: ScramServer, theirs: ScramClient) -> tuple[bool, bool]:
    """Whether the server accepts the client, and the client the server."""
    accepted, final = ours.final(theirs.respond(ours.first(theirs.first())))
    return accepted, theirs.verify(final)


def test_the_server_answers_the_exchange_of_rfc_7677() -> None:
    ours = server()
    assert ours.first(RFC_CLIENT_FIRST) == RFC_SERVER_FIRST
    assert ours.final(RFC_CLIENT_FINAL) == (True, RFC_SERVER_FINAL)


def test_the_client_proves_what_rfc_7677_proves() -> None:
    client = ScramClient("pencil", "rOprNGfwEbeRWgbNEkqO")
    client.first()
    # The RFC's client names its user, ours leaves that to the start-up packet: put the RFC's words in its mouth.
    client._bare = RFC_CLIENT_FIRST.removeprefix(b"n,,")
    assert client.respond(RFC_SERVER_FIRST) == RFC_CLIENT_FINAL
    assert client.verify(RFC_SERVER_FINAL)


def test_a_verifier_is_kept_in_postgresqls_form() -> None:
    stored = make_verifier("pencil", 4096, RFC_SALT)
    assert stored.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert str(ScramVerifier.parse(stored)) == stored


def test_two_verifiers_of_one_secret_have_different_salts() -> None:
    assert make_verifier("pencil") != make_verifier("pencil")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "md5f2e61c4e7f0d6d3a2b1f7b1a7c3b1c2d",
        "SCRAM-SHA-256$0:c2FsdA==$c2FsdA==:c2FsdA==",
        "SCRAM-SHA-256$4096:c2FsdA==$c2FsdA==:c2FsdA==",
        str(VERIFIER)[:-2],
        str(VERIFIER) + "\n",
        str(VERIFIER).replace("W22Z", "é22Z"),
    ],
)
def test_a_damaged_verifier_is_refused(text: str) -> None:
    with pytest.raises(GatewayError) as refused:
        ScramVerifier.parse(text)
    assert refused.value.code == "protocol-violation"


@pytest.mark.parametrize(
    ("password", "binding", "mechanism", "accepted"),
    [
        ("pencil", None, SCRAM_SHA_256, True),
        ("pencil ", None, SCRAM_SHA_256, False),
        ("", None, SCRAM_SHA_256, False),
        ("pencil", BINDING, SCRAM_SHA_256_PLUS, True),
        ("crayon", BINDING, SCRAM_SHA_256_PLUS, False),
    ],
)
def test_the_right_password_and_no_other_is_accepted(
    password: str, binding: bytes | None, mechanism: str, accepted: bool
) -> None:
    client = ScramClient(password, make_nonce(), binding)
    assert client.mechanism == mechanism
    assert exchange(server(binding, mechanism), client) == (accepted, accepted)


def test_a_client_bound_to_another_certificate_is_refused() -> None:
    client = ScramClient("pencil", make_nonce(), b"\x22" * 32)
    assert exchange(server(BINDING, SCRAM_SHA_256_PLUS), client) == (False, False)


def test_a_client_that_was_told_we_cannot_bind_though_we_can_is_refused() -> None:
    client = ScramClient("pencil", make_nonce(), BINDING, [SCRAM_SHA_256])
    assert client.first().startswith(b"y,,")
    with pytest.raises(GatewayError, match="channel binding"):
        server(BINDING).first(client.first())


def test_a_client_that_could_bind_is_accepted_where_binding_was_not_offered() -> None:
    assert exchange(server(), ScramClient("pencil", make_nonce(), BINDING, [SCRAM_SHA_256])) == (True, True)


def test_a_client_without_binding_may_stay_without_it() -> None:
    assert exchange(server(BINDING), ScramClient("pencil", make_nonce())) == (True, True)


def test_a_binding_flag_that_was_changed_on_the_way_spoils_the_exchange() -> None:
    ours, client = server(), ScramClient("pencil", make_nonce(), BINDING, [SCRAM_SHA_256])
    tampered = b"n" + client.first()[1:]
    assert ours.final(client.respond(ours.first(tampered)))[0] is False


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", ""])
def test_a_mechanism_that_was_not_offered_is_refused(mechanism: str) -> None:
    with pytest.raises(GatewayError, match="not offered"):
        server(None, mechanism)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "protocol-violation"),
        (b"n", "protocol-violation"),
        (b"n,,", "protocol-violation"),
        (b"n,,r=abc", "protocol-violation"),
        (b"n,,n=user", "protocol-violation"),
        (b"n,,n=user,r=", "protocol-violation"),
        (b"n,,n=user,r=a b", "protocol-violation"),
        (b"n,,n=user,r=\xc3\xa9", "protocol-violation"),
        (b"n,,n=us\0er,r=abc", "protocol-violation"),
        (b"n,,n=user,r=abc,", "protocol-violation"),
        (b"x,,n=user,r=abc", "protocol-violation"),
        (b"p=tls-unique,,n=user,r=abc", "protocol-violation"),
        (b"p=tls-server-end-point,,n=user,r=abc", "protocol-violation"),
        (b"n,a=root,n=user,r=abc", "feature-not-supported"),
        (b"n,,m=future,n=user,r=abc", "feature-not-supported"),
    ],
)
def test_a_malformed_first_message_is_refused(message: bytes, code: str) -> None:
    with pytest.raises(GatewayError) as refused:
        server().first(message)
    assert refused.value.code == code


@pytest.mark.parametrize("flag", [b"n", b"y"])
def test_plus_without_binding_data_is_refused(flag: bytes) -> None:
    with pytest.raises(GatewayError, match="channel binding"):
        server(BINDING, SCRAM_SHA_256_PLUS).first(flag + b",,n=,r=abc")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"p=",
        RFC_CLIENT_FINAL.rpartition(b",")[0],
        RFC_CLIENT_FINAL[:-1],
        RFC_CLIENT_FINAL + b",x=1",
        RFC_CLIENT_FINAL.replace(b"p=dHzb", b"p=d zb"),
        RFC_CLIENT_FINAL.replace(b"$k0", b"$k1"),
        RFC_CLIENT_FINAL.replace(b"c=biws,", b""),
    ],
)
def test_a_malformed_final_message_is_refused(message: bytes) -> None:
    ours = server()
    ours.first(RFC_CLIENT_FIRST)
    with pytest.raises(GatewayError) as refused:
        ours.final(message)
    assert refused.value.code == "protocol-violation"


def test_no_single_flipped_bit_of_a_proof_is_accepted() -> None:
    head, _, proof = RFC_CLIENT_FINAL.rpartition(b",p=")
    raw = base64.b64decode(proof)
    for bit in range(256):
        ours = server()
        ours.first(RFC_CLIENT_FIRST)
        flipped = (int.from_bytes(raw) ^ 1 << bit).to_bytes(32)
        assert ours.final(head + b",p=" + base64.b64encode(flipped)) == (False, b"e=invalid-proof")


def test_an_exchange_cannot_be_replayed_or_reordered() -> None:
    ours = server()
    with pytest.raises(GatewayError, match="out of order"):
        ours.final(RFC_CLIENT_FINAL)
    ours.first(RFC_CLIENT_FIRST)
    with pytest.raises(GatewayError, match="out of order"):
        ours.first(RFC_CLIENT_FIRST)
    ours.final(RFC_CLIENT_FINAL)
    with pytest.raises(GatewayError, match="out of order"):
        ours.final(RFC_CLIENT_FINAL)


def test_a_mock_verifier_is_the_same_for_the_same_user_and_another_for_another() -> None:
    assert mock_verifier("mallory", b"k" * 32) == mock_verifier("mallory", b"k" * 32)
    assert mock_verifier("mallory", b"k" * 32).salt != mock_verifier("trudy", b"k" * 32).salt
    assert mock_verifier("mallory", b"k" * 32).salt != mock_verifier("mallory", b"l" * 32).salt


def test_a_mock_verifier_looks_like_a_real_one_and_never_accepts() -> None:
    mock, real = mock_verifier("mallory", b"k" * 32), VERIFIER
    assert (mock.iterations, len(mock.salt)) == (real.iterations, len(real.salt))
    doomed = ScramVerifier(real.iterations, real.salt, real.stored_key, real.server_key, mock=True)
    for verifier in (mock, doomed):
        ours = ScramServer(verifier, nonce="abc", channel_binding=None)
        assert exchange(ours, ScramClient("pencil", "def")) == (False, False)


def test_a_client_may_know_any_of_several_passwords_and_it_is_told_which() -> None:
    others = [ScramVerifier.parse(make_verifier(secret, 4096, RFC_SALT)) for secret in ("crayon", "chalk")]
    for place, secret in enumerate(["pencil", "crayon", "chalk"]):
        ours = ScramServer(VERIFIER, nonce="abc", channel_binding=None, others=others)
        assert exchange(ours, ScramClient(secret, "def")) == (True, True)
        assert ours.proven == place
    ours = ScramServer(VERIFIER, nonce="abc", channel_binding=None, others=others)
    assert exchange(ours, ScramClient("ink", "def")) == (False, False)
    assert ours.proven == 0


def test_what_cannot_be_proven_in_the_exchange_is_passed_over() -> None:
    mock = ScramVerifier(4096, RFC_SALT, VERIFIER.stored_key, VERIFIER.server_key, mock=True)
    salted = ScramVerifier.parse(make_verifier("crayon", 4096, b"another salt...."))
    counted = ScramVerifier.parse(make_verifier("crayon", 4097, RFC_SALT))
    last = ScramVerifier.parse(make_verifier("chalk", 4096, RFC_SALT))
    for secret, proven in (("pencil", False), ("crayon", False), ("chalk", True)):
        ours = ScramServer(mock, nonce="abc", channel_binding=None, others=[salted, counted, last])
        assert exchange(ours, ScramClient(secret, "def")) == (proven, proven)
        assert ours.proven == (3 if proven else 0)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"r=other,s=c2FsdA==,i=4096",
        b"r=mine,s=c2FsdA==,i=4096",
        b"r=mine+,s=c2FsdA==,i=0",
        b"r=mine+,s=c2FsdA==,i=-1",
        b"r=mine+,s=c2FsdA==,i=1000001",
        b"r=mine+,s=c2FsdA==,i=" + b"9" * 5000,
        b"r=mine+,s=,i=4096",
        b"r=mine+,s=*,i=4096",
        b"s=c2FsdA==,r=mine+,i=4096",
        b"m=x,r=mine+,s=c2FsdA==,i=4096",
    ],
)
def test_a_client_refuses_a_server_that_talks_nonsense(message: bytes) -> None:
    client = ScramClient("pencil", "mine", least_iterations=1)
    client.first()
    with pytest.raises(GatewayError) as refused:
        client.respond(message)
    assert refused.value.code == "protocol-violation"


@pytest.mark.parametrize("final", [b"e=other-error", b"v=" + base64.b64encode(b"\0" * 32)])
def test_a_client_does_not_trust_a_server_without_the_right_signature(final: bytes) -> None:
    client = ScramClient("pencil", "mine", least_iterations=1)
    client.first()
    client.respond(b"r=mine+,s=c2FsdA==,i=4096")
    assert client.verify(final) is False


def test_a_server_that_skips_the_exchange_is_not_trusted() -> None:
    client = ScramClient("pencil", "mine", least_iterations=1)
    client.first()
    with pytest.raises(GatewayError, match="out of order"):
        client.verify(b"v=")


def test_a_client_refuses_when_nothing_that_it_knows_is_offered() -> None:
    with pytest.raises(GatewayError) as refused:
        ScramClient("pencil", "mine", None, ["SCRAM-SHA-256-PLUS", "OAUTHBEARER"])
    assert refused.value.code == "feature-not-supported"


def test_the_salted_password_is_computed_once_for_each_salt() -> None:
    salted: dict[tuple[bytes, int], bytes] = {}
    for _ in range(2):
        assert exchange(server(), ScramClient("pencil", make_nonce(), salted=salted)) == (True, True)
    assert list(salted) == [(RFC_SALT, 4096)]


# RFC 4013 section 3, then where PostgreSQL differs from it: ASCII is not looked at, what is refused stays raw.
@pytest.mark.parametrize(
    ("given", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", "\u0007"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("pass\u00a0word", "pass word"),
        ("a\u200bb", "a b"),
        ("\u00ad", "\u00ad"),
        ("\u00adé\u0007", "\u00adé\u0007"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\u0627a\u0628", "\u0627a\u0628"),
        ("\u2168\U0001f511", "\u2168\U0001f511"),
        ("", ""),
    ],
)
def test_passwords_are_prepared_as_postgresql_prepares_them(given: str, prepared: str) -> None:
    assert saslprep(given) == prepared


def test_two_spellings_of_one_password_prove_the_same() -> None:
    verifier = ScramVerifier.parse(make_verifier("caf\u00e9", salt=RFC_SALT))
    ours = ScramServer(verifier, nonce="abc", channel_binding=None)
    assert exchange(ours, ScramClient("cafe\u0301", "def")) == (True, True)


def certificate(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, algorithm: Sha2 | None) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1))
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


@pytest.mark.parametrize(("algorithm", "size"), [(hashes.SHA256(), 32), (hashes.SHA384(), 48), (hashes.SHA512(), 64)])
def test_the_binding_is_the_certificates_hash_by_its_own_algorithm(algorithm: Sha2, size: int) -> None:
    der = certificate(ec.generate_private_key(ec.SECP256R1()), algorithm)
    digest = hashes.Hash(algorithm)
    digest.update(der)
    bound = tls_server_end_point(der)
    assert bound == digest.finalize()
    assert len(bound) == size


def test_a_certificate_whose_signature_names_no_hash_gives_no_binding() -> None:
    assert tls_server_end_point(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None
    assert tls_server_end_point(b"not a certificate") is None


def test_the_md5_answer_is_the_documented_one() -> None:
    # PostgreSQL documentation: concat('md5', md5(concat(md5(concat(password, username)), random-salt)))
    assert md5_password("alice", "pencil", b"\x01\x02\x03\x04") == "md537cba386e8b90f1e3941a0e792722253"


def test_a_server_that_asks_for_few_rounds_gets_no_proof() -> None:
    client = ScramClient("pencil", "mine")
    client.first()
    with pytest.raises(GatewayError, match="iteration count"):
        client.respond(b"r=mineyours,s=c2FsdA==,i=4095")
