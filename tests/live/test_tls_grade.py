"""Every TLS listener of a gateway is graded A by testssl.sh; `make tls-grade` runs this alone and prints what it found.

Old versions and suites without forward secrecy are tried again with Python's own client, which needs no testssl.sh.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from http_house import HttpHouse, open_http_house
from tls_grade import Findings, Grade, grade, look

from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

GOOD: Findings = {
    **dict.fromkeys(("SSLv2", "SSLv3", "TLS1", "TLS1_1"), ("OK", "not offered")),
    "TLS1_2": ("OK", "offered"),
    "TLS1_3": ("OK", "offered with final"),
    "cert_trust": ("OK", "Ok via SAN"), "cert_chain_of_trust": ("OK", "passed."),
    "cert_expirationStatus": ("OK", "396 >= 60 days"), "cert_signatureAlgorithm": ("OK", "ECDSA with SHA256"),
    "cert_keySize": ("OK", "EC 256 bits"), "cert_revocation": ("HIGH", "Neither CRL nor OCSP URI provided"),
    "HSTS_time": ("OK", "730 days (=63072000 seconds) > 15552000 seconds"),
    "cipher-tls1_2_xc02b": ("OK", "TLS 1.2   xc02b   ECDHE-ECDSA-AES128-GCM-SHA256     ECDH 253   AESGCM      128   "),
    "cipher-tls1_3_x1302": ("OK", "TLS 1.3   x1302   TLS_AES_256_GCM_SHA384            ECDH 253   AESGCM      256   "),
}  # fmt: skip


@pytest.mark.parametrize(("name", "finding", "why"), [
    ("TLS1", ("LOW", "offered (deprecated)"), "TLS1 is offered"), ("TLS1_3", ("OK", "not offered"), "TLS1_3 is not"),
    ("SSLv3", None, "SSLv3 is offered, or was not looked for"), ("HSTS_time", ("LOW", "not offered"), "HSTS"),
    ("HSTS_time", ("LOW", "1 days (=86400 seconds)"), "HSTS"), ("ROBOT", ("CRITICAL", "VULNERABLE"), "ROBOT"),
    ("cert_chain_of_trust", ("HIGH", "failed"), "cert_chain"), ("cert_keySize", None, "cert_keySize"),
    ("cipher-tls1_2_x2f", ("LOW", "TLS 1.2   x2f     AES128-SHA                        RSA 2048   AES         128   "),
     "AES128-SHA has no forward secrecy"),
    ("cipher-tls1_2_xc013", ("OK", "TLS 1.2   xc013   ECDHE-RSA-AES128-SHA              ECDH 253   AES         128   "),
     "ECDHE-RSA-AES128-SHA is not authenticated"),
])  # fmt: skip
def test_what_stands_against_an_a_is_told(name: str, finding: tuple[str, str] | None, why: str) -> None:
    found = {key: value for key, value in GOOD.items() if key != name} | ({name: finding} if finding else {})
    told = grade(found, https=True)
    assert told.letter == "F"
    assert any(one.startswith(why) for one in told.against), told


def test_what_is_as_it_should_be_is_an_a() -> None:
    assert grade(GOOD, https=True) == Grade("A", 92, ())
    assert grade({}, https=False).letter == "F"


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("tls"), postgres) as place:
        yield place


def listeners(place: HttpHouse) -> dict[str, tuple[int, str]]:
    """Each TLS listener: its port, and what comes before TLS on it."""
    ports = place.house.company.ports
    return {"API": (ports["api"], ""), "HTTP": (place.ports["backoffice"], ""),
            "PostgreSQL": (ports["postgres"], "postgres")}  # fmt: skip


@pytest.mark.skipif(shutil.which("testssl") is None, reason="testssl.sh is missing: deploy/prepare.sh debian testssl")
def test_every_listener_is_graded_a(place: HttpHouse, tmp_path: Path) -> None:
    wanted = listeners(place)

    def graded(name: str) -> Grade:
        port, protocol = wanted[name]
        return grade(look(port, place.ca, tmp_path, protocol=protocol), https=not protocol)

    with ThreadPoolExecutor(len(wanted)) as threads:
        found = dict(zip(wanted, threads.map(graded, wanted), strict=True))
    for name, one in found.items():
        print(f"{name:<12} {one.letter} ({one.score} of 100) {'; '.join(one.against)}")
    assert {name: (one.letter, one.against) for name, one in found.items()} == dict.fromkeys(wanted, ("A", ()))


def by_starttls(sock: socket.socket) -> None:
    """PostgreSQL's SSLRequest."""
    sock.sendall(struct.pack(">ii", 8, 80877103))
    assert sock.recv(1) == b"S"


@pytest.mark.parametrize("listener", ["API", "HTTP", "PostgreSQL"])
@pytest.mark.parametrize(("version", "ciphers", "good"), [
    ("TLSv1", "ALL:@SECLEVEL=0", False), ("TLSv1_1", "ALL:@SECLEVEL=0", False),
    ("TLSv1_2", "kRSA:@SECLEVEL=0", False), ("TLSv1_2", "aNULL:eNULL:@SECLEVEL=0", False),
    ("TLSv1_2", "ECDHE+SHA:ECDHE+SHA256:!AESGCM:!CHACHA20:!AESCCM:@SECLEVEL=0", False), ("TLSv1_2", "kDHE", False),
    ("TLSv1_2", "ECDHE+AESGCM", True), ("TLSv1_2", "ECDHE+CHACHA20", True), ("TLSv1_3", "", True),
], ids=["1.0", "1.1", "RSA", "NULL", "CBC", "DHE", "AESGCM", "CHACHA20", "1.3"])  # fmt: skip
def test_a_listener_shakes_hands_with_forward_secrecy_or_not_at_all(
    place: HttpHouse, listener: str, version: str, ciphers: str, good: bool
) -> None:
    port, protocol = listeners(place)[listener]
    before: Callable[[socket.socket], None] = by_starttls if protocol else lambda _: None
    context = ssl.create_default_context(cafile=str(place.ca))
    with warnings.catch_warnings():
        # what nobody should use any more is what is tried
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    if ciphers:
        context.set_ciphers(ciphers)

    def shaken() -> tuple[str | None, bool]:
        with socket.create_connection(("localhost", port), timeout=10) as sock:
            before(sock)
            with context.wrap_socket(sock, server_hostname="localhost") as secured:
                return secured.version(), secured.session is not None and secured.session.has_ticket

    if good:
        assert shaken()[0] == version.replace("_", ".")
        if listener != "API":
            # a browser may resume; nobody else does, and a ticket's key would open what was recorded
            assert shaken()[1] is False
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shaken()
