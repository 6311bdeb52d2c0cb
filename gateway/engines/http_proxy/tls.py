"""TLS of the process, both ways: 1.2 and 1.3, forward secrecy and AEAD only (RFC 9325); to APIs, verified by name."""

from __future__ import annotations

import ipaddress
from typing import Any

from cryptography import x509
from mitmproxy.tls import TlsData
from OpenSSL import SSL, crypto

from gateway.engines.http_channel import Place, Setup

_ALPN = (b"h2", b"http/1.1")
_NO_PARTIAL_WILDCARDS = 0x4
_NEVER_CHECK_SUBJECT = 0x20


def client_context(ciphers: str, certificate: str, key: str) -> SSL.Context:
    """What clients meet. Raises: SSL.Error for a certificate that cannot be used."""
    context = _context(SSL.TLS_SERVER_METHOD, ciphers)
    context.use_certificate_chain_file(certificate)
    context.use_privatekey_file(key)
    context.check_privatekey()
    context.set_alpn_select_callback(_choose)
    return context


def target_context(setup: Setup, place: Place) -> SSL.Context:
    """How an API is met. Raises: SSL.Error for an authority that cannot be read, or a certificate that is none."""
    context = _context(SSL.TLS_CLIENT_METHOD, setup.ciphers)
    if place.ca:
        context.load_verify_locations(place.ca)
    else:
        context.set_default_verify_paths()
    context.set_verify(SSL.VERIFY_PEER)
    context.set_alpn_protos(list(_ALPN))
    if place.chain:
        own, *issuers = x509.load_pem_x509_certificates(place.chain)
        context.use_certificate(own)
        for issuer in issuers:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, place.private_key, b""))
        context.check_privatekey()
    return context


def accept(start: TlsData, context: SSL.Context) -> None:
    """Begin TLS with a client."""
    start.ssl_conn = SSL.Connection(context)
    start.ssl_conn.set_accept_state()


def connect(start: TlsData, context: SSL.Context, host: str, *, upgrades: bool = False) -> None:
    """Begin TLS with an API, which has to prove that it is `host`; a WebSocket `upgrades` from HTTP/1.1 only."""
    connection = SSL.Connection(context)
    if upgrades:
        connection.set_alpn_protos([b"http/1.1"])
    lib: Any = getattr(SSL, "_lib")  # noqa: B009 - pyOpenSSL has no public way to bind the name
    param = lib.SSL_get0_param(connection._ssl)
    lib.X509_VERIFY_PARAM_set_hostflags(param, _NO_PARTIAL_WILDCARDS | _NEVER_CHECK_SUBJECT)
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        name = host.encode("idna")
        connection.set_tlsext_host_name(name)
        bound = lib.X509_VERIFY_PARAM_set1_host(param, name, len(name))
    else:
        bound = lib.X509_VERIFY_PARAM_set1_ip(param, packed, len(packed))
    if bound != 1:
        # FAIL CLOSED: without the name any certificate of the authority would do
        raise SSL.Error("the name of the target cannot be bound")
    connection.set_connect_state()
    start.ssl_conn = connection


def _context(method: int, ciphers: str) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION
    )
    context.set_cipher_list(ciphers.encode())
    return context


def _choose(_: SSL.Connection, offers: list[bytes]) -> Any:
    return next((one for one in _ALPN if one in offers), SSL.NO_OVERLAPPING_PROTOCOLS)
