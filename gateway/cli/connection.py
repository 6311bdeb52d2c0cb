"""What `gateway open` does with a pass: hands it to a client's environment, a pgpass line or a service entry.

The formats are libpq's: section 32.16 (the password file), 32.17 (the service file) and 32.15 (environment) of the
PostgreSQL 15 manual. INVARIANT: a file of the person's keeps every line that is not ours.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.cli.client import write_private

SYSTEM_ROOTS = "system"
"""libpq's word (since 16) for the system's own authorities."""

TOKEN = "gwh_"  # noqa: S105 - what passes for HTTP begin with; see `engines/http_sessions.py`

_FOREIGN = re.compile(
    "PG(HOST|HOSTADDR|PORT|DATABASE|USER|PASSWORD|PASSFILE|SERVICE|SERVICEFILE|OPTIONS|SSL.*|REQUIRE.*|CHANNELBINDING"
    "|GSS.*|KRB.*|TARGETSESSIONATTRS|LOADBALANCEHOSTS|OAUTH.*)"
)
_PROGRAMS = frozenset({"mariadb", "mycli"})
_OURS = frozenset({"GATEWAY_PASSWORD", "GATEWAY_OTP"})


@dataclass(frozen=True, slots=True)
class Connection:
    """How to connect, for as long as the pass lives. `customer` joins several with commas.

    `write` says that the grant is for writing too; `statement` is the digest of the only statement that may write.
    """

    target: str
    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    sslmode: str
    sslrootcert: str
    customer: str
    customers: tuple[str, ...]
    ticket: str
    grant: str
    expires_at: str
    write: bool = False
    statement: str = ""
    engine: str = "postgres"
    prefix: str = ""

    @property
    def url(self) -> str:
        """Where an API is reached."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}{self.prefix}"

    @property
    def token(self) -> str:
        """What a request to an API shows as its Bearer token: user and password in one word (base64url)."""
        return TOKEN + urlsafe_b64encode(f"{self.user}:{self.password}".encode()).decode().rstrip("=")

    @property
    def service(self) -> str:
        """The name of the service entry."""
        return f"gateway-{self.target}"

    def uri(self, *, with_password: bool) -> str:
        """The connection URI that libpq and its bindings take."""
        secret = f":{quote(self.password, safe='')}" if with_password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        options = f"sslmode={self.sslmode}"
        if self.sslmode != "disable":
            options += f"&sslrootcert={quote(self.sslrootcert, safe='/')}"
        return (
            f"postgresql://{quote(self.user, safe='')}{secret}@{host}:{self.port}/"
            f"{quote(self.database, safe='')}?{options}"
        )

    def _addresses(self) -> dict[str, str]:
        if self.engine == "http":
            return {"url": self.url, "token": self.token}
        if self.engine == "mysql":
            secret = quote(self.password, safe="")
            host = f"[{self.host}]" if ":" in self.host else self.host
            return {"uri": f"mysql://{quote(self.user, safe='')}:{secret}@{host}:{self.port}/{self.database}"}
        return {"uri": self.uri(with_password=True)}

    def options_file(self) -> str:
        """The content of a file for `--defaults-file` of MySQL's and MariaDB's programs."""
        password = self.password.replace("\\", "\\\\").replace('"', '\\"')
        lines = [
            "[client]", f"host={self.host}", f"port={self.port}", "protocol=tcp", f"user={self.user}",
            f'password="{password}"', "default-character-set=utf8mb4",
        ]  # fmt: skip
        if self.sslrootcert != SYSTEM_ROOTS:
            lines.append(f"ssl-ca={self.sslrootcert}")
        # whose certificate it is: by the name that was connected to, in the words of either family of programs
        lines += ["loose-ssl-verify-server-cert", "loose-ssl-mode=VERIFY_IDENTITY"]
        return "\n".join([*lines, "[mysql]", f"database={self.database}", ""])

    def as_json(self) -> dict[str, Any]:
        """What `--output json` prints."""
        return {
            "target": self.target,
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "customer": self.customer,
            "customers": list(self.customers),
            "ticket": self.ticket,
            "grant": self.grant,
            "expires_at": self.expires_at,
            "write": self.write,
            "statement": self.statement,
            **self._addresses(),
        }


def from_answer(answer: Mapping[str, Any], keep: Path) -> Connection:
    """The API's answer as a connection; the authority's certificate is kept in that directory for the client."""
    root = SYSTEM_ROOTS
    if answer.get("ca"):
        pem = str(answer["ca"])
        path = keep / f"ca-{hashlib.sha256(pem.encode()).hexdigest()[:12]}.pem"
        write_private(path, pem)
        root = str(path)
    customers = tuple(answer["customers"])
    return Connection(
        target=answer["target"],
        host=answer["host"],
        port=answer["port"],
        database=answer["database"],
        user=answer["user"],
        password=answer["password"],
        sslmode=answer["sslmode"],
        sslrootcert=root,
        customer=",".join(customers),
        customers=customers,
        ticket=answer["ticket"],
        grant=answer["grant"],
        expires_at=answer["expires_at"],
        write=answer.get("write", False),
        statement=answer.get("statement", ""),
        engine=answer.get("engine", "postgres"),
        prefix=answer.get("prefix", ""),
    )


def child_environment(opened: Connection, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a client: its own without what would lead elsewhere, plus the connection."""
    kept = {name: value for name, value in environ.items() if not _FOREIGN.fullmatch(name) and name not in _OURS}
    if opened.engine == "mysql":
        return kept | {
            "MYSQL_HOST": opened.host, "MYSQL_TCP_PORT": str(opened.port), "MYSQL_PWD": opened.password,
        }  # fmt: skip
    kept |= {
        "PGHOST": opened.host,
        "PGPORT": str(opened.port),
        "PGDATABASE": opened.database,
        "PGUSER": opened.user,
        "PGPASSWORD": opened.password,
        "PGSSLMODE": opened.sslmode,
    }
    if opened.sslmode != "disable":
        kept["PGSSLROOTCERT"] = opened.sslrootcert
    return kept


def save_options(opened: Connection, directory: Path) -> Path:
    """Keep what MySQL's and MariaDB's programs need, the pass included, where only its owner reads it."""
    path = directory / f"my-{opened.target}.cnf"
    write_private(path, opened.options_file())
    return path


def with_options(child: tuple[str, ...], path: Path) -> tuple[str, ...]:
    """A program of MySQL's or MariaDB's with that file as its only one; any other as it is."""
    program = Path(child[0]).name
    known = program in _PROGRAMS or program.startswith(("mariadb-", "mysql"))
    return (child[0], f"--defaults-file={path}", *child[1:]) if known else child


def save_pgpass(opened: Connection, environ: Mapping[str, str]) -> Path:
    """Put the pass into the password file in place of the last one for the same connection; returns the file."""
    path = _file(environ, "PGPASSFILE", ".pgpass")
    key = ":".join(_escaped(part) for part in (opened.host, str(opened.port), opened.database, opened.user)) + ":"
    lines = [line for line in _lines(path) if not line.startswith(key)]
    # the first line that fits wins, so ours goes before any wildcard
    write_private(path, "\n".join([f"{key}{_escaped(opened.password)}", *lines]) + "\n")
    return path


def save_service(opened: Connection, environ: Mapping[str, str]) -> Path:
    """Put a section without the password into the service file in place of the last one; returns the file."""
    path = _file(environ, "PGSERVICEFILE", ".pg_service.conf")
    kept: list[str] = []
    ours = False
    for line in _lines(path):
        if line.lstrip().startswith("["):
            ours = line.strip() == f"[{opened.service}]"
        if not ours:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    section = [
        f"[{opened.service}]",
        f"host={opened.host}",
        f"port={opened.port}",
        f"dbname={opened.database}",
        f"user={opened.user}",
        f"sslmode={opened.sslmode}",
    ]
    if opened.sslmode != "disable":
        section.append(f"sslrootcert={opened.sslrootcert}")
    write_private(path, "\n".join([*kept, *([""] if kept else []), *section]) + "\n")
    return path


def _file(environ: Mapping[str, str], variable: str, name: str) -> Path:
    # a symbolic link stays one: what it leads to is replaced
    return Path(environ.get(variable) or Path(environ.get("HOME") or Path.home()) / name).resolve()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:")
