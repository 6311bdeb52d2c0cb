"""The made certificates satisfy a strict verifier, for the names they were made for and no others."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from gateway.demo.tls import ServerTls, make_server_tls


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"), "Test", ("localhost", "127.0.0.1", "::1"))


def handshake(tls: ServerTls, name: str, ca: Path) -> None:
    """A whole TLS handshake in memory. Raises `ssl.SSLError` when the client does not trust the server."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls.certificate, tls.key)
    client = ssl.create_default_context(cafile=str(ca))
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_strict_client_trusts_it_under_its_names(tls: ServerTls, name: str) -> None:
    handshake(tls, name, tls.ca)


def test_under_another_name_it_is_not_trusted(tls: ServerTls) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(tls, "gateway.example.com", tls.ca)


def test_another_authority_of_the_same_name_does_not_do(tls: ServerTls, tmp_path: Path) -> None:
    other = make_server_tls(tmp_path, "Test")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tls, "localhost", other.ca)


def test_the_key_is_for_its_owner_only_also_when_made_again(tmp_path: Path) -> None:
    first = make_server_tls(tmp_path, "Test").key.read_bytes()
    again = make_server_tls(tmp_path, "Test")
    assert again.key.read_bytes() != first
    assert stat.S_IMODE(again.key.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "server.crt", "server.key"]
