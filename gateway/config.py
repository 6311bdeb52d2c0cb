"""`gateway.yaml` as values: one model for the file, the environment and the flags.

Precedence: flag, then `GATEWAY_…` environment variable, then the file, then the default. A secret is written as
`{env: NAME}` or `{file: path}` and never as text, so that the file can be shown to anyone. Relative paths are
relative to the file. Everything unknown is refused with the file, line and column.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from gateway import directory_settings
from gateway.directory_settings import Directory
from gateway.errors import GatewayError
from gateway.factor_settings import SecondFactor
from gateway.http_settings import CREDENTIALS, HttpTarget
from gateway.outgoing import AnySink, FileSink, HttpsSink, OtlpSink, SyslogSink, Telemetry
from gateway.redis_settings import Redis
from gateway.settings import Bytes, Seconds, Secret, is_loopback, seconds, size
from gateway.settings import Model as _Model
from gateway.store_settings import Store
from gateway.ticket_settings import KINDS, Remote, Tickets

__all__ = ["Bytes", "Config", "Seconds", "Secret", "load_config", "schema", "seconds", "settings", "size"]

ENVIRONMENT_PREFIX = "GATEWAY_"
M = TypeVar("M", bound=BaseModel)


class Listener(_Model):
    """One listening socket. `port` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


class DatabaseListener(Listener):
    """Where clients of a database connect. `tls: off` is for loopback only."""

    tls: Literal["required", "off"] = "required"
    max_connections: int = Field(default=500, ge=1, le=100_000)
    max_connections_per_person: int = Field(default=100, ge=1, le=100_000)
    login_timeout: Seconds = 30.0
    idle_timeout: Seconds = 3600.0

    @model_validator(mode="after")
    def _plain_stays_home(self) -> DatabaseListener:
        if self.tls == "off" and not self.loopback:
            raise ValueError("`tls: off` is for a loopback host only")
        return self


class PostgresListener(DatabaseListener):
    """Where PostgreSQL clients connect."""

    port: int = Field(default=6432, ge=0, le=65535)


class MysqlListener(DatabaseListener):
    """Where clients of MySQL and MariaDB connect, if a target is one; over TLS always, since the password travels."""

    port: int = Field(default=3307, ge=0, le=65535)
    tls: Literal["required"] = "required"


class ApiListener(Listener):
    """Where the HTTPS API answers; always with TLS."""

    port: int = Field(default=8443, ge=0, le=65535)


class OpsListener(Listener):
    """Health and metrics; loopback only, since it asks for no authentication."""

    port: int = Field(default=9464, ge=0, le=65535)

    @model_validator(mode="after")
    def _loopback_only(self) -> OpsListener:
        if not self.loopback:
            raise ValueError("the operations port answers on a loopback host only")
        return self


class Listen(_Model):
    """All listening sockets."""

    postgres: PostgresListener = PostgresListener()
    mysql: MysqlListener = MysqlListener()
    api: ApiListener = ApiListener()
    ops: OpsListener = OpsListener()


class Tls(_Model):
    """The gateway's own certificate; `ca` is what clients verify it with (printed by `gateway open`)."""

    certificate: Path
    key: Path
    ca: Path | None = None


class Target(_Model):
    """A database behind the gateway. `tls` towards it is `verify-full`, or `off` on loopback only."""

    engine: Literal["postgres"] = "postgres"
    host: str
    port: int = Field(default=5432, ge=1, le=65535)
    database: str
    user: str
    password: Secret
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    connect_timeout: Seconds = 10.0
    spare_connections: int = Field(default=2, ge=0, le=64)

    @property
    def unix(self) -> bool:
        """Whether `host` is a directory with a socket."""
        return self.host.startswith("/")

    @model_validator(mode="after")
    def _plain_stays_home(self) -> Target:
        if self.tls == "off" and not self.unix and not Listener(host=self.host, port=self.port).loopback:
            raise ValueError("`tls: off` is for a target on a loopback host or a local socket only")
        return self


class MysqlTarget(_Model):
    """A database of MySQL or MariaDB. `tls` towards it is `verify-full`, or `off` on loopback only."""

    engine: Literal["mysql"]
    host: str
    port: int = Field(default=3306, ge=1, le=65535)
    database: str
    user: str
    password: Secret
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    connect_timeout: Seconds = 10.0
    pseudonyms_of: str = ""

    @model_validator(mode="after")
    def _plain_stays_home(self) -> MysqlTarget:
        if self.tls == "off" and not Listener(host=self.host, port=self.port).loopback:
            raise ValueError("`tls: off` is for a target on a loopback host only")
        return self


def _engine(target: object) -> object:
    return target.get("engine", "postgres") if isinstance(target, dict) else getattr(target, "engine", None)


AnyTarget = Annotated[
    Annotated[Target, Tag("postgres")] | Annotated[MysqlTarget, Tag("mysql")] | Annotated[HttpTarget, Tag("http")],
    Discriminator(_engine),
]


class Roles(_Model):
    """Which teams administer the gateway, which read the trail, and which confirm what nobody may do to it alone.

    Without `custodians`, auditors confirm each other's acts.
    """

    administrators: frozenset[str] = frozenset()
    auditors: frozenset[str] = frozenset()
    custodians: frozenset[str] = frozenset()


class Replica(_Model):
    """PostgreSQL servers of which a quorum has to acknowledge each record. `tls: off` is for loopback hosts only."""

    hosts: tuple[Annotated[str, Field(pattern=r"^[^\s:/]+:\d{1,5}$|^\[[0-9A-Fa-f:]+\]:\d{1,5}$")], ...] = Field(
        min_length=1
    )
    database: str = "gateway_audit"
    user: str
    password: Secret
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    deadline: Annotated[Seconds, Field(ge=1.0, le=30.0)] = 5.0

    @model_validator(mode="after")
    def _plain_stays_home(self) -> Replica:
        names = [host.rpartition(":")[0].strip("[]") for host in self.hosts]
        if self.tls == "off" and not all(Listener(host=name, port=0).loopback for name in names):
            raise ValueError("`tls: off` is for servers on loopback hosts only")
        return self


class AuditIndex(_Model):
    """Where the search index of the trail is: a file below `state`, or a PostgreSQL database that gateways share."""

    kind: Literal["sqlite", "postgres"] = "sqlite"
    host: str = ""
    port: int = Field(default=5432, ge=1, le=65535)
    database: str = ""
    user: str = ""
    password: Secret | None = None
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    connect_timeout: Seconds = 5.0

    @model_validator(mode="after")
    def _whole(self) -> AuditIndex:
        given = (self.host, self.database, self.user, self.password)
        if self.kind == "postgres" and not all(given):
            raise ValueError("an index in PostgreSQL needs host, database, user and password")
        if self.kind == "sqlite" and any(given):
            raise ValueError("host, database, user and password are of `kind: postgres`")
        local = self.host.startswith("/") or not self.host or Listener(host=self.host, port=self.port).loopback
        if self.tls == "off" and not local:
            raise ValueError("`tls: off` is for an index on a loopback host or a local socket only")
        return self


class Archive(_Model):
    """A bucket of S3-compatible storage, with object lock, that gets copies of the trail; locked for `audit.retention`.

    `mode: governance` is for trying things out: who has the right to can delete such objects.
    """

    endpoint: str = Field(pattern=r"^https?://[^/?#@]+/?$")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*)?$")
    region: str = "us-east-1"
    access_key: Secret
    secret_key: Secret
    ca: Path | None = None
    mode: Literal["compliance", "governance"] = "compliance"

    @model_validator(mode="after")
    def _plain_stays_home(self) -> Archive:
        host = urlsplit(self.endpoint).hostname or ""
        if self.endpoint.startswith("http:") and not Listener(host=host, port=0).loopback:
            raise ValueError("an archive is reached over https://, or on a loopback host")
        return self


class Audit(_Model):
    """The trail. `reserve` is disk space kept back so that the closing record can always be written."""

    path: Path | None = None
    segment_size: Bytes = 64 * 1024**2
    reserve: Bytes = 64 * 1024**2
    window_rows: int = Field(default=1000, ge=1)
    window_bytes: Bytes = 1024**2
    heartbeat: Seconds = 300.0
    literals_days: int = Field(default=90, ge=1, le=3650)
    witness_token: Secret | None = None
    index: AuditIndex = AuditIndex()
    replica: Replica | None = None
    retention: Seconds = 365 * 86400.0
    hot: Seconds = 90 * 86400.0
    archive: Archive | None = None

    @model_validator(mode="after")
    def _beats(self) -> Audit:
        if self.heartbeat < 1:
            raise ValueError("a heartbeat comes once a second at the most")
        if self.retention < 86400:
            raise ValueError("records are kept for a day at the least")
        return self


Severity = Literal["low", "medium", "high", "critical"]
Department = Literal["security", "engineering", "legal", "communication"]


class Mail(_Model):
    """An address that is told of security events by SMTP. `tls: off` is for a server on a loopback host only."""

    kind: Literal["mail"]
    name: str = Field(pattern="^[a-z][a-z0-9-]{0,62}$")
    severity: Severity = "medium"
    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "off"] = "starttls"
    ca: Path | None = None
    user: str = ""
    password: Secret | None = None
    sender: str
    to: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _plain_stays_home(self) -> Mail:
        if self.tls == "off" and not Listener(host=self.host, port=self.port).loopback:
            raise ValueError("`tls: off` is for a server on a loopback host only")
        return self


class Webhook(_Model):
    """An address that is told of security events by HTTP. The address is a secret: who has it can write there."""

    kind: Literal["webhook", "slack", "pagerduty"]
    name: str = Field(pattern="^[a-z][a-z0-9-]{0,62}$")
    severity: Severity = "medium"
    url: Secret
    secret: Secret | None = None
    ca: Path | None = None

    @model_validator(mode="after")
    def _keyed(self) -> Webhook:
        if self.kind != "slack" and self.secret is None:
            raise ValueError("`secret` is needed: what signs a webhook, or the routing key of an event service")
        return self


Sink = Annotated[Mail | Webhook, Field(discriminator="kind")]


def _signed_by(severity: str) -> tuple[Department, ...]:
    everybody: tuple[Department, ...] = ("security", "engineering", "legal", "communication")
    return everybody[: ("low", "medium", "high", "critical").index(severity) + 1]


class Alerts(_Model):
    """Security events: rules of one's own, which teams are which departments, who must sign what, who is told.

    Without `departments`, the administrators' teams are security, and security alone signs.
    """

    rules: Path | None = None
    departments: dict[Department, frozenset[str]] = Field(default_factory=dict)
    sign_offs: dict[Severity, tuple[Department, ...]] = Field(default_factory=dict)
    sinks: tuple[Sink, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Alerts:
        if self.departments and "security" not in self.departments:
            raise ValueError("`departments` must say which teams are `security`: they look into cases and close them")
        for severity in ("low", "medium", "high", "critical"):
            for department in self.needed(severity):
                if self.departments and not self.departments.get(department):
                    raise ValueError(
                        f"a case of severity `{severity}` needs the signature of `{department}`, which has no team: "
                        "name one in `departments`, or say in `sign_offs` who signs"
                    )
        if len({sink.name for sink in self.sinks}) != len(self.sinks):
            raise ValueError("two sinks have the same name")
        return self

    def needed(self, severity: Severity) -> tuple[Department, ...]:
        """The departments that sign a case of that severity."""
        return self.sign_offs.get(severity) or (_signed_by(severity) if self.departments else ("security",))


class Limits(_Model):
    """Bounds on what one client may send or hold."""

    message: Bytes = 2 * 1024**2
    statement: Bytes = 256 * 1024
    client_buffer: Bytes = 1024**2


class Config(_Model):
    """The whole file."""

    origin: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]{0,127}$")
    state: Path
    store: Store = Store()
    redis: Redis | None = None
    listen: Listen = Listen()
    tls: Tls
    master_key: Secret
    former_master_keys: tuple[Secret, ...] = ()
    directory: Directory
    tickets: Tickets
    policies: Path
    targets: dict[str, AnyTarget] = Field(min_length=1)
    roles: Roles = Roles()
    second_factor: SecondFactor = SecondFactor()
    audit: Audit = Audit()
    alerts: Alerts = Alerts()
    exports: dict[str, AnySink] = Field(default={})
    telemetry: Telemetry = Telemetry()
    limits: Limits = Limits()
    watch_interval: Seconds = 0.5
    grace: Annotated[Seconds, Field(ge=1.0, le=3600.0)] = 300.0
    log_format: Literal["json", "human", "auto"] = "auto"
    source: Path | None = None

    @property
    def audit_path(self) -> Path:
        """The trail's directory: `audit.path`, or `audit` below the state directory."""
        return self.audit.path or self.state / "audit"

    @property
    def databases(self) -> dict[str, Target]:
        """The targets that are databases of PostgreSQL."""
        return {name: target for name, target in self.targets.items() if isinstance(target, Target)}

    @property
    def mysql(self) -> dict[str, MysqlTarget]:
        """The targets that are databases of MySQL or MariaDB."""
        return {name: target for name, target in self.targets.items() if isinstance(target, MysqlTarget)}

    @property
    def apis(self) -> dict[str, HttpTarget]:
        """The targets that are APIs over HTTP."""
        return {name: target for name, target in self.targets.items() if isinstance(target, HttpTarget)}

    @model_validator(mode="after")
    def _targets_have_names(self) -> Config:
        for name in self.targets:
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name):
                raise ValueError(f"a target's name is lower case letters, digits, `_` and `-`: `{name}`")
        for name, sharing in (self.apis | self.mysql).items():
            if sharing.pseudonyms_of and sharing.pseudonyms_of not in self.targets:
                raise ValueError(f"`{name}` shares the pseudonyms of `{sharing.pseudonyms_of}`, which is no target")
        for name in self.exports:
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name):
                raise ValueError(f"an export's name is lower case letters, digits, `_` and `-`: `{name}`")
        if self.redis is not None and self.store.kind != "postgres":
            raise ValueError("`redis` is for gateways that share a store: `store.kind` has to be `postgres`")
        slowest = max(
            [self.watch_interval, *(one.poll_interval + one.timeout for one in self.tickets if isinstance(one, Remote))]
        )
        if isinstance(self.directory, directory_settings.LdapDirectory):
            slowest = max(slowest, self.watch_interval + self.directory.timeout)
        if slowest >= self.grace:
            raise ValueError("`grace` is longer than what `watch_interval`, `poll_interval` and `timeout` may take")
        return self


def load_config(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of that file under the environment's overrides.

    `GATEWAY_LISTEN__POSTGRES__PORT=6000` overrides `listen.postgres.port`: two underscores go one level down.
    Raises `GatewayError("configuration-invalid")` whose message has one line per mistake, each `file:line:column`.
    """
    environ = os.environ if environ is None else environ
    tree = _read(path, "`gateway init` writes a commented configuration to start from")
    data = _plain(tree)
    for keys, value in _overrides(environ):
        _set(data, keys, value)
    data["source"] = str(path.resolve())
    resolved: Config = _resolved(_validated(Config, data, tree, path), path.resolve().parent)
    return resolved


def read_model(path: Path, model: type[M]) -> M:
    """A YAML file that is one `model`. Raises `GatewayError("configuration-invalid")` as `load_config` does."""
    tree = _read(path, "")
    return _validated(model, _plain(tree), tree, path)


def _read(path: Path, hint: str) -> CommentedMap:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(
            "configuration-invalid",
            f"`{path}` cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}",
            hint=hint,
        ) from error
    yaml = YAML(typ="rt")
    try:
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
        raise GatewayError("configuration-invalid", f"{where}: {error.problem}") from error
    if not isinstance(tree, CommentedMap):
        raise GatewayError("configuration-invalid", f"{path}:1:1: the file must be a mapping")
    return tree


def _validated(model: type[M], data: dict[str, Any], tree: CommentedMap, path: Path) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            line, column = _position(tree, problem["loc"])
            where = ".".join(str(part) for part in _written(problem["loc"]))
            lines.append(f"{path}:{line}:{column}: `{where}`: {problem['msg'].removeprefix('Value error, ')}")
        raise GatewayError("configuration-invalid", "\n".join(lines)) from error


def _written(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A fault's place as the file has it: without the kind of a target, which is no level there."""
    of_target = location[:1] == ("targets",) and location[2:3] in (("postgres",), ("mysql",), ("http",))
    return (*location[:2], *location[3:]) if of_target else location


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    return Config.model_json_schema()


def settings() -> list[tuple[str, str]]:
    """Every setting as (dotted name, default as JSON or `required`), for the documentation and its test."""
    return sorted(dict(_settings(Config, "")).items())


def _settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if name == "source":
            continue
        dotted = f"{prefix}{name}"
        nested = _nested(field.annotation)
        if prefix.startswith(("tickets.", "directory.")):
            # each kind has parts of its own, which may be left out
            nested = next(filter(None, map(_nested, get_args(field.annotation))), nested)
        if name == "tickets":
            yield from {one: said for kind in reversed(KINDS) for one, said in _settings(kind, "tickets.")}.items()
        elif name == "directory" and not prefix:
            kinds = reversed(directory_settings.KINDS)
            yield from {one: said for kind in kinds for one, said in _settings(kind, "directory.")}.items()
        elif name == "targets":
            for one in (HttpTarget, MysqlTarget, Target):
                yield from _settings(one, "targets.NAME.")
            for credential in CREDENTIALS:
                yield from _settings(credential, "targets.NAME.credentials.")
        elif name == "exports":
            for kind in (FileSink, SyslogSink, HttpsSink, OtlpSink):
                yield from _settings(kind, "exports.NAME.")
        elif nested is not None and nested is not Secret:
            yield from _settings(nested, f"{dotted}.")
        else:
            default = "required" if field.is_required() else json.dumps(field.default, default=str)
            if isinstance(field.default, frozenset):
                default = "[]"
            if field.default_factory is dict:
                default = "{}"
            yield dotted, default


def _nested(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    # YAML 1.2 reads `off` as text; a bare `false` for `tls` means the same to a person
    return node


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[list[str], str]]:
    reserved = {"GATEWAY_CONFIG", "GATEWAY_PASSWORD", "GATEWAY_OTP", "GATEWAY_URL", "GATEWAY_CA", "GATEWAY_LOGIN"}
    for name, value in sorted(environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in reserved and "__" in name:
            yield name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"), value


def _set(data: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        inner = data.setdefault(key, {})
        if not isinstance(inner, dict):
            raise GatewayError("configuration-invalid", f"the environment overrides `{'.'.join(keys)}`: no group")
        data = inner
    data[keys[-1]] = int(value) if value.isdigit() else value


def _position(tree: Any, location: tuple[int | str, ...]) -> tuple[int, int]:
    line, column = 1, 1
    for part in location:
        if isinstance(tree, CommentedMap) and part in tree:
            line, column = (n + 1 for n in tree.lc.key(part))
            tree = tree[part]
        elif isinstance(tree, CommentedSeq) and isinstance(part, int) and part < len(tree):
            line, column = (n + 1 for n in tree.lc.item(part))
            tree = tree[part]
    return line, column


def _resolved(model: Any, base: Path) -> Any:
    if isinstance(model, Path):
        return model if model.is_absolute() else base / model
    if isinstance(model, BaseModel):
        changes = {name: _resolved(getattr(model, name), base) for name in type(model).model_fields}
        return model.model_copy(update=changes)
    if isinstance(model, dict):
        return {key: _resolved(value, base) for key, value in model.items()}
    if isinstance(model, tuple):
        return tuple(_resolved(value, base) for value in model)
    return model
