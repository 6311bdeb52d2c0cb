"""OpenLDAP's slapd as a company has it: TLS, people, groups, the memberof and ppolicy overlays, an account to read.

Debian's slapd, on a free port, in a directory of its own, stopped by pid. `admin` changes what is inside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ldap3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway import certificates
from gateway.demo.ports import free_port

BASE = "dc=example,dc=com"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
READER = f"cn=gateway,{BASE}"
READER_PASSWORD = "reader-secret"
_ADMIN, _ADMIN_PASSWORD = f"cn=admin,{BASE}", "admin-secret"
_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile {place}/slapd.pid
argsfile {place}/slapd.args
TLSCACertificateFile {place}/clients.pem
TLSCertificateFile {place}/server.pem
TLSCertificateKeyFile {place}/server.key
TLSVerifyClient try
authz-regexp "cn=gateway.client" "{reader}"
localSSF 256
security simple_bind={strength}
database mdb
suffix {base}
rootdn {admin}
rootpw {password}
directory {place}/data
maxsize 134217728
index objectClass,uid,cn,member,mail,entryUUID eq
limits dn.exact="{reader}" size=unlimited
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree={base} by dn.exact="{reader}" read by self write by * none
overlay memberof
memberof-refint TRUE
overlay ppolicy
ppolicy_default cn=default,ou=policies,{base}
"""


class Slapd:
    """One server. `ports["ldap"]` is StartTLS's, `ports["ldaps"]` that of TLS from the start."""

    def __init__(self, place: Path, issued: certificates.Issued | None = None, *, plain: bool = False) -> None:
        self.place = place
        self.issued = issued or certificates.issue("Directory", ["localhost"])
        self.ports = {"ldap": free_port(), "ldaps": free_port()}
        (place / "data").mkdir(parents=True)
        (place / "ca.pem").write_bytes(self.issued.ca)
        # who shows a certificate of this authority is the account that reads
        (place / "clients.pem").write_bytes(_client_of(place))
        (place / "server.pem").write_bytes(self.issued.certificate)
        (place / "server.key").write_bytes(self.issued.key)
        (place / "reader.password").write_text(READER_PASSWORD)
        (place / "reader.password").chmod(0o600)
        conf = _CONF.format(
            place=place, base=BASE, admin=_ADMIN, password=_ADMIN_PASSWORD, reader=READER, strength=0 if plain else 128
        )
        (place / "slapd.conf").write_text(conf)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, and wait until it answers."""
        local = str(self.place / "ldapi").replace("/", "%2F")
        urls = f"ldap://127.0.0.1:{self.ports['ldap']}/ ldaps://127.0.0.1:{self.ports['ldaps']}/ ldapi://{local}/"
        with (self.place / "slapd.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/slapd", "-d", "0", "-f", str(self.place / "slapd.conf"), "-h", urls],
                stdout=log, stderr=log, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            assert self.process.poll() is None, (self.place / "slapd.log").read_text()
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as local_socket:
                local_socket.connect(str(self.place / "ldapi"))
                return
            assert time.monotonic() < deadline, "slapd does not answer"
            time.sleep(0.05)

    @contextlib.contextmanager
    def admin(self) -> Iterator[Any]:
        """A connection that may change everything."""
        server = ldap3.Server(f"ldapi://{self.place}/ldapi", get_info=ldap3.NONE, connect_timeout=2)
        connection = ldap3.Connection(server, _ADMIN, _ADMIN_PASSWORD, auto_bind=True, raise_exceptions=True)
        try:
            yield connection
        finally:
            connection.unbind()

    def add(self, dn: str, classes: list[str], attributes: Mapping[str, Any]) -> None:
        """Put an entry there."""
        with self.admin() as admin:
            admin.add(dn, classes, dict(attributes))

    def person(self, login: str, password: str = "", base: str = PEOPLE, **attributes: Any) -> str:
        """Put a person there; the name of the entry."""
        dn = f"uid={login},{base}"
        facts = {"cn": login.title(), "sn": login, "mail": f"{login}@example.com", **attributes}
        if password:
            facts["userPassword"] = password
        self.add(dn, ["inetOrgPerson", "shadowAccount"], facts)
        return dn

    def group(self, name: str, members: list[str], base: str = GROUPS) -> str:
        """Put a group there; the name of the entry."""
        dn = f"cn={name},{base}"
        self.add(dn, ["groupOfNames"], {"member": [READER, *members]})
        return dn

    def change(self, dn: str, **attributes: Any) -> None:
        """Set attributes; None takes one away, `add_…` and `del_…` change single values."""
        changes: dict[str, Any] = {}
        for name, value in attributes.items():
            values = [] if value is None else value if isinstance(value, list) else [value]
            if name.startswith("add_"):
                changes[name[4:]] = [(ldap3.MODIFY_ADD, values)]
            elif name.startswith("del_"):
                changes[name[4:]] = [(ldap3.MODIFY_DELETE, values)]
            else:
                changes[name] = [(ldap3.MODIFY_REPLACE, values)]
        with self.admin() as admin:
            admin.modify(dn, changes)

    def remove(self, dn: str) -> None:
        """Take an entry away."""
        with self.admin() as admin:
            admin.delete(dn)

    def settings(self, *others: Slapd, scheme: str = "ldaps", **changes: Any) -> dict[str, Any]:
        """`directory` of gateway.yaml for this server, and for others after it."""
        return {
            "kind": "ldap",
            "servers": [f"{scheme}://localhost:{one.ports[scheme]}" for one in (self, *others)],
            "ca": str(self.place / "ca.pem"),
            "bind": READER,
            "password": {"file": str(self.place / "reader.password")},
            "people": {"base": PEOPLE},
            "groups": {"base": GROUPS},
            "timeout": "1s",
            **changes,
        }

    def kill(self) -> None:
        """End it without warning."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)
            self.process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still meanwhile: connections are taken by the system, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # a thread on another processor goes on for a moment, and may answer
        tasks = Path(f"/proc/{self.process.pid}/task")
        while any((one / "stat").read_text().rpartition(")")[2].split()[0] != "T" for one in tasks.iterdir()):
            time.sleep(0.001)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def furnish(self) -> None:
        """The tree, the account that reads, and the password policy."""
        with self.admin() as admin:
            admin.add(BASE, ["dcObject", "organization"], {"dc": "example", "o": "Example"})
            for name in ("people", "groups", "policies"):
                admin.add(f"ou={name},{BASE}", ["organizationalUnit"], {"ou": name})
            admin.add(
                READER, ["organizationalRole", "simpleSecurityObject"], {"userPassword": READER_PASSWORD}
            )  # fmt: skip
            admin.add(
                f"cn=default,ou=policies,{BASE}",
                ["person", "pwdPolicy"],
                {"sn": "default", "pwdAttribute": "userPassword", "pwdLockout": "TRUE", "pwdMaxFailure": 5,
                 "pwdLockoutDuration": 3, "pwdMustChange": "TRUE"},
            )  # fmt: skip


def _client_of(place: Path) -> bytes:
    """Write `client.pem` and `client.key`; their authority."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("clients", "gateway.client")]
    now = datetime.now(UTC)

    def sign(which: int, *, ca: bool) -> bytes:
        return (
            x509.CertificateBuilder()
            .subject_name(names[which])
            .issuer_name(names[0])
            .public_key(keys[which].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(keys[0], hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    (place / "client.pem").write_bytes(sign(1, ca=False))
    (place / "client.key").write_bytes(
        keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return sign(0, ca=True)


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Slapd]:
    """A furnished server."""
    place = Path(tempfile.mkdtemp(prefix="gateway-slapd-"))
    server = Slapd(place / "slapd", **options)
    try:
        server.start()
        server.furnish()
        yield server
    finally:
        server.kill()
        shutil.rmtree(place, ignore_errors=True)
