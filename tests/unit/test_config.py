"""One configuration file, read strictly, with every mistake at its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.audit_settings import AuditIndex
from gateway.config import Config, load_config, schema, settings
from gateway.errors import GatewayError
from gateway.settings import Secret, seconds, size
from gateway.store_settings import Store

GOOD = """\
origin: gateway-1
state: state
tls: {certificate: a.pem, key: b.pem}
master_key: {file: master.key}
directory: {path: people.yaml}
tickets: {path: tickets.yaml}
policies: policies
targets:
  payroll: {host: 127.0.0.1, database: payroll, user: ro, password: {env: PGPW}, tls: off}
listen:
  postgres: {host: 127.0.0.1, login_timeout: 5s}
"""


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    return load_config(path, environ)


def test_a_file_gives_values_and_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.targets["payroll"].port == 5432
    assert config.listen.postgres.login_timeout == 5.0
    assert config.listen.api.port == 8443
    assert config.audit.window_rows == 1000


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.directory.path == tmp_path / "people.yaml"
    assert config.audit_path == tmp_path / "state" / "audit"
    assert config.source == tmp_path / "gateway.yaml"


def test_a_relative_path_to_the_file_means_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("gateway.yaml"), {})
    assert config.source == tmp_path / "gateway.yaml"
    assert config.state == tmp_path / "state"


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        (("origin: gateway-1", "origin: 'a b'"), ":1:1:", "`origin`"),
        (("policies: policies", "policies: policies\nbogus: 1"), ":8:1:", "`bogus`"),
        (("login_timeout: 5s", "login_timeout: 5"), ":11:", "a duration is a number and a unit"),
        (("host: 127.0.0.1, database", "host: 10.0.0.1, database"), ":9:", "`tls: off` is for a target on a loopback"),
        (("  postgres: {host: 127.0.0.1", "  postgres: {tls: off, host: 0.0.0.0"), ":11:", "loopback host only"),
        (("password: {env: PGPW}", "password: hunter2"), ":9:", "password"),
        (("password: {env: PGPW}", "password: {}"), ":9:", "{env: NAME} or {file: path} or {credential: NAME}"),
        (("  payroll:", "  Pay Roll:"), ":", "lower case letters"),
        (("listen:", "listen:\n  ops: {host: 0.0.0.0}"), ":11:", "loopback"),
        (("state: state", "state: state\nstate: other"), ":3:1", "duplicate key"),
        (("origin: gateway-1", "origin: [unclosed"), ":", "expected"),
    ],
)
def test_a_mistake_is_named_at_its_place(tmp_path: Path, change: tuple[str, str], where: str, says: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(GatewayError) as caught:
        load(tmp_path, GOOD.replace(*change))
    assert caught.value.code == "configuration-invalid"
    assert f"gateway.yaml{where}" in str(caught.value)
    assert says in str(caught.value)


def test_a_secret_written_as_text_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as caught:
        load(tmp_path, GOOD.replace("password: {env: PGPW}", "password: hunter2"))
    assert "hunter2" not in str(caught.value)


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as caught:
        load(tmp_path, GOOD.replace("origin: gateway-1", "origin: 'a b'").replace("port", "prt") + "bogus: 1\n")
    assert len(str(caught.value).splitlines()) == 2


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD, GATEWAY_LISTEN__POSTGRES__PORT="6000", GATEWAY_AUDIT__WINDOW_ROWS="7")
    assert config.listen.postgres.port == 6000
    assert config.audit.window_rows == 7


@pytest.mark.parametrize("name", ["GATEWAY_LISTEN__POSTGRES__NOPE", "GATEWAY_ORIGIN__X"])
def test_an_override_of_what_does_not_exist_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GatewayError, match=r"nope|origin"):
        load(tmp_path, GOOD, **{name: "1"})


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as caught:
        load_config(tmp_path / "none.yaml", {})
    assert "gateway init" in caught.value.refusal.hint


def test_a_secret_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"s3cret\n")
    path.chmod(0o644)
    with pytest.raises(GatewayError, match="can be read by others"):
        Secret(file=path).read()
    path.chmod(0o600)
    assert Secret(file=path).read() == b"s3cret"


def test_an_empty_or_missing_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    with pytest.raises(GatewayError, match="is empty"):
        Secret(file=path).read()
    monkeypatch.delenv("GATEWAY_TEST_SECRET", raising=False)
    with pytest.raises(GatewayError, match="is not set"):
        Secret(env="GATEWAY_TEST_SECRET").read()


@pytest.mark.parametrize(("text", "value"), [("250ms", 0.25), ("30s", 30), ("15m", 900), ("8h", 28800), ("1d", 86400)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1.5s", "1 s", "1w", 5, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a duration"):
        seconds(text)


@pytest.mark.parametrize(("text", "value"), [("512B", 512), ("64KiB", 65536), ("1MiB", 1048576), ("1GiB", 1 << 30)])
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "5", "5KB", "5 MiB", 5])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="a size"):
        size(text)


def test_every_setting_has_one_name_and_the_schema_knows_it() -> None:
    names = [name for name, _ in settings()]
    assert len(names) == len(set(names))
    assert {name.split(".")[0] for name in names} == set(schema()["properties"]) - {"source"}


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "postgres"},
        {"kind": "postgres", "host": "db", "database": "d", "user": "u"},
        {"kind": "postgres", "host": "db", "database": "d", "user": "u", "password": {"env": "P"}, "tls": "off"},
        {"host": "db"},
        {"kind": "mysql"},
    ],
)
def test_an_index_elsewhere_is_named_whole_and_reached_by_tls(given: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        AuditIndex.model_validate(given)


STORES = [
    {"kind": "postgres"},
    {"kind": "postgres", "hosts": ("db:5432",), "database": "d", "user": "u"},
    {"kind": "postgres", "hosts": ("db:5432",), "database": "d", "user": "u", "password": {"env": "P"}, "tls": "off"},
    {"kind": "postgres", "hosts": ("db",), "database": "d", "user": "u", "password": {"env": "P"}},
    {"hosts": ("db:5432",)},
    {"kind": "sqlite", "user": "u"},
    {"kind": "redis"},
    {"deadline": "31s"},
    {"grace": "6m"},
]


@pytest.mark.parametrize("given", STORES)
def test_a_store_elsewhere_is_named_whole_and_reached_by_tls(given: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Store.model_validate(given)


def test_the_servers_of_a_store_are_told_apart_with_their_ports() -> None:
    store = Store(
        kind="postgres", hosts=("127.0.0.1:6000", "[::1]:6001"), database="d", user="u", password=Secret(env="P"),
        tls="off",
    )  # fmt: skip
    assert store.places() == [("127.0.0.1", 6000), ("::1", 6001)]


EXPORTS = [
    ("{kind: otlp, url: 'http://collector.example.com/v1/logs'}", "https, or http to a loopback host"),
    ("{kind: otlp, url: 'https://a:b@collector.example.com/v1/logs'}", "no user, query or fragment"),
    ("{kind: https, url: 'https://collector.example.com/v1?token=x'}", "no user, query or fragment"),
    ("{kind: https, url: 'https://c.example.com/', headers: {Host: {env: X}}}", "not a header that may be set"),
    ("{kind: https, url: 'https://c.example.com/', headers: {'A: b': {env: X}}}", "not a header that may be set"),
    ("{kind: https, url: 'https://c.example.com/', headers: {A: secret}}", "headers.A"),
    ("{kind: syslog, host: siem.example.com, tls: 'off'}", "loopback host only"),
    ("{kind: syslog, host: siem.example.com, verify: false}", "verify"),
    ("{kind: syslog, host: siem.example.com, certificate: a.crt}", "given together"),
    ("{kind: file, path: x, kinds: [logn]}", "no kind of record is `logn`"),
    ("{kind: file, path: x, kinds: []}", "one kind at least"),
    ("{kind: file, path: x, format: cef}", "format"),
    ("{kind: pigeon}", "pigeon"),
]


@pytest.mark.parametrize(("settings", "reason"), EXPORTS)
def test_an_export_that_would_be_unsafe_or_useless_is_refused_with_its_place(
    tmp_path: Path, settings: str, reason: str
) -> None:
    with pytest.raises(GatewayError, match=re.escape(reason)) as refused:
        load(tmp_path, f"{GOOD}exports:\n  siem: {settings}\n")
    assert re.search(r":\d+:\d+: `exports.siem", refused.value.refusal.message)


@pytest.mark.parametrize("name", ["Siem", "../siem", "a b", ""])
def test_an_export_is_named_as_a_file_may_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(GatewayError, match="an export's name"):
        load(tmp_path, f"{GOOD}exports:\n  '{name}': {{kind: file, path: x}}\n")


def test_a_credential_is_what_the_service_manager_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(GatewayError, match="no service manager"):
        Secret(credential="master").read()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(GatewayError, match="cannot be read"):
        Secret(credential="master").read()
    path = tmp_path / "master"
    path.write_bytes(b"s3cret\n")
    path.chmod(0o440)
    assert Secret(credential="master").read() == b"s3cret"
    path.chmod(0o444)
    with pytest.raises(GatewayError, match="read by others"):
        Secret(credential="master").read()


@pytest.mark.parametrize("name", ["../master", "a/b", "", ".", "-x"])
def test_a_credential_is_named_and_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="credential"):
        Secret(credential=name)
