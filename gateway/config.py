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

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from gateway import directory_settings
from gateway.alert_settings import Alerts
from gateway.audit_settings import Audit
from gateway.directory_settings import Directory
from gateway.errors import GatewayError
from gateway.factor_settings import SecondFactor
from gateway.http_settings import CREDENTIALS, HttpTarget, HttpWorkers, faults
from gateway.listener_settings import Listen
from gateway.outgoing import AnySink, FileSink, HttpsSink, OtlpSink, SyslogSink, Telemetry
from gateway.redis_settings import Redis
from gateway.settings import Bytes, Seconds, Secret
from gateway.settings import Model as _Model
from gateway.store_settings import Store
from gateway.target_settings import AnyTarget, MysqlTarget, Target
from gateway.ticket_settings import KINDS, Remote, Tickets

ENVIRONMENT_PREFIX = "GATEWAY_"
M = TypeVar("M", bound=BaseModel)


class Tls(_Model):
    """The gateway's own certificate; `ca` is what clients verify it with (printed by `gateway open`)."""

    certificate: Path
    key: Path
    ca: Path | None = None


class Roles(_Model):
    """Which teams administer the gateway, which read the trail, and which confirm what nobody may do to it alone.

    Without `custodians`, auditors confirm each other's acts.
    """

    administrators: frozenset[str] = frozenset()
    auditors: frozenset[str] = frozenset()
    custodians: frozenset[str] = frozenset()


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
    http: HttpWorkers = HttpWorkers()
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
        unclear = [_at(("targets", name, "listen", setting), reason) for name, setting, reason in faults(self.apis)]
        if unclear:
            raise ValidationError.from_exception_data("Config", unclear)
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


def _at(location: tuple[str, ...], reason: str) -> InitErrorDetails:
    """A fault that shows only when several parts are seen together, at its own place in the file."""
    return InitErrorDetails(type=PydanticCustomError("unclear", "{reason}", {"reason": reason}), loc=location, input="")


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
        if prefix.startswith(("tickets.", "directory.", "targets.")):
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
