"""The doctor's look at one target: reached as the gateway reaches it, then asked what the backend role may do.

INVARIANT: the backend role must be unable to do harm by itself: the gateway's refusals are the first wall, the role's
missing rights are the second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from gateway.cli.doctor_observed import loaded, softened, unprotected
from gateway.cli.finding import FAIL, OK, WARN, Finding, failed
from gateway.config import Config
from gateway.engines.targets import connection_settings
from gateway.engines.upstream import Upstream
from gateway.errors import GatewayError
from gateway.policy.schema import Policy, WriteRule
from gateway.sql.fit import check_against
from gateway.sql.postgres import load_catalog
from gateway.target_settings import Target

OLDEST = 130_000
HARMLESS_SETTINGS = frozenset({"default_transaction_read_only", "log_statement", "log_min_duration_statement"})

_POWERS = {
    "rolsuper": "nosuperuser",
    "rolbypassrls": "nobypassrls",
    "rolcreatedb": "nocreatedb",
    "rolcreaterole": "nocreaterole",
    "rolreplication": "noreplication",
}
_GRAVE_ROLES = (
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_write_all_data",
    "pg_database_owner",
    "pg_create_subscription",
    "pg_maintain",
)
_WIDE_ROLES = ("pg_read_all_data", "pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_signal_backend")

# one row per relation outside the system schemas on which the role could change anything, at most ten
_WRITABLE = """
select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
       pg_has_role(c.relowner, 'USAGE') as owned
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
       or has_any_column_privilege(c.oid, 'INSERT, UPDATE') or pg_has_role(c.relowner, 'USAGE'))
order by 1 limit 10
"""
_CREATE = """
select quote_ident(nspname) as name from pg_namespace
where nspname !~ '^pg_' and nspname <> 'information_schema' and has_schema_privilege(oid, 'CREATE') order by 1 limit 10
"""
_READABLE = """
select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where n.nspname = %s and c.relname = %s and a.attname = %s and has_schema_privilege(n.oid, 'USAGE')
  and has_column_privilege(c.oid, a.attnum, 'SELECT')
"""
_COLUMN_RIGHTS = """
select a.attname, has_column_privilege(c.oid, a.attnum, 'UPDATE'), has_column_privilege(c.oid, a.attnum, 'INSERT')
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where n.nspname = %s and c.relname = %s and a.attnum > 0 and not a.attisdropped
"""
_TABLE_RIGHTS = """
select has_table_privilege(c.oid, 'DELETE'), has_table_privilege(c.oid, 'TRUNCATE, TRIGGER')
from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = %s and c.relname = %s
"""
_SETTINGS = """
select distinct split_part(setting, '=', 1) as name
from pg_db_role_setting s, unnest(s.setconfig) as setting
where s.setrole in (0, (select oid from pg_roles where rolname = current_user))
  and s.setdatabase in (0, (select oid from pg_database where datname = current_database())) order by 1
"""


def examine(name: str, target: Target, config: Config) -> Iterator[Finding]:
    """All findings about that target."""
    check = f"target {name}"
    try:
        target.password.read()
    except GatewayError as error:
        yield failed(check, error, f"put the role's password where `targets.{name}.password` says (chmod 600)")
        return
    try:
        asyncio.run(_probe(name, target))
    except GatewayError as error:
        yield failed(check, error, f"correct `targets.{name}`, or mend the database's pg_hba.conf")
        return
    how = (
        "a local socket"
        if target.unix
        else "TLS, certificate verified"
        if target.tls == "verify-full"
        else "plain text"
    )
    yield Finding(check, OK, f"reached over {how}; the role proved itself by SCRAM-SHA-256")
    if target.tls == "off" and not target.unix:
        yield Finding(check, WARN, "the connection to the target is plain text on loopback", "set `tls: verify-full`")
    try:
        with psycopg.connect(**connection_settings(target), autocommit=True) as connection:
            yield from _server(check, connection)
            policy = loaded(name, config)
            written = policy.write if isinstance(policy, Policy) else {}
            warning = policy.warning if isinstance(policy, Policy) else ""
            yield from unprotected(check, warning, target, config.databases, config)
            yield from softened(warning, _role(check, target, connection, written))
            if isinstance(policy, Policy):
                yield from _policy(check, policy, connection)
                for relation, rule in written.items():
                    yield from softened(warning, _rights(check, target, policy, relation, rule, connection))
            else:
                for line in policy.message.splitlines():
                    yield Finding(check, FAIL, line, policy.hint or "`gateway policy check` reads it again")
    except psycopg.Error as error:
        yield Finding(check, FAIL, f"asking the target failed: {type(error).__name__} {error.sqlstate or ''}".rstrip())


async def _probe(name: str, target: Target) -> None:
    upstream = Upstream(name, target.model_copy(update={"spare_connections": 0}), {})
    try:
        await upstream.probe()
    finally:
        upstream.close()


def _rows(connection: psycopg.Connection[Any], query: str, *values: object) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), values or None).fetchall()


def _server(check: str, connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    version = connection.info.server_version
    shown = f"PostgreSQL {version // 10000}.{version % 10000}"
    if version < OLDEST:
        yield Finding(check, FAIL, f"{shown} is too old", "use PostgreSQL 13 or newer")
    else:
        yield Finding(check, OK, shown)
    if not _rows(connection, "select 1 where to_regprocedure('pg_catalog.sha256(bytea)') is not null"):
        yield Finding(check, FAIL, "it has no sha256(): keyed masks cannot be computed", "use PostgreSQL 13 or newer")
    before = time.time()
    there = float(_rows(connection, "select extract(epoch from clock_timestamp())")[0][0])
    apart = there - (before + time.time()) / 2
    if abs(apart) > 5:
        yield Finding(check, WARN, f"its clock is {apart:+.0f} s apart from this machine's", "run NTP on both")
    encoding = _rows(connection, "show server_encoding")[0][0]
    if encoding != "UTF8":
        yield Finding(check, WARN, f"its encoding is {encoding}; the gateway speaks UTF-8", "use a UTF8 database")


def _role(
    check: str, target: Target, connection: psycopg.Connection[Any], write: Mapping[str, WriteRule]
) -> Iterator[Finding]:
    role = sql.Identifier(target.user).as_string(connection)
    found = len(clean := list(_excess(check, role, connection, write)))
    yield from clean
    if not any(finding.level == FAIL for finding in clean):
        what = "write what the policy says, and" if write else "read and"
        yield Finding(check, OK, f"the role {role} can {what} do no harm" + (" beyond the above" if found else ""))


def _rights(
    check: str, target: Target, policy: Policy, relation: str, rule: WriteRule, connection: psycopg.Connection[Any]
) -> Iterator[Finding]:
    """What the role lacks, or has beyond, on a relation that the policy lets be written."""
    role = sql.Identifier(target.user).as_string(connection)
    name = sql.Identifier(*_split(relation)).as_string(connection)
    scope = policy.tables[relation].scope.column
    wanted = {
        "update": set(rule.update),
        "insert": rule.insert | ({scope} if rule.insert and scope else set()),
    }
    given: dict[str, set[str]] = {"update": set(), "insert": set()}
    for column, updates, inserts in _rows(connection, _COLUMN_RIGHTS, *_split(relation)):
        given["update"] |= {column} if updates else set()
        given["insert"] |= {column} if inserts else set()
    for right, columns in wanted.items():
        for level, which, verb in ((FAIL, columns - given[right], "grant"), (WARN, given[right] - columns, "revoke")):
            if which:
                listed = ", ".join(sql.Identifier(one).as_string(connection) for one in sorted(which))
                lacks = "cannot" if verb == "grant" else "can, and the policy does not let anybody,"
                way = "to" if verb == "grant" else "from"
                yield Finding(
                    check,
                    level,
                    f"the role {role} {lacks} {right} {listed} of {name}",
                    f"{verb} {right} ({listed}) on {name} {way} {role};",
                )
    for deletes, more in _rows(connection, _TABLE_RIGHTS, *_split(relation)):
        if deletes != rule.delete:
            verb, way = ("revoke", "from") if deletes else ("grant", "to")
            level, lacks = (WARN, "can, and the policy does not let anybody,") if deletes else (FAIL, "cannot")
            yield Finding(
                check, level, f"the role {role} {lacks} delete rows of {name}", f"{verb} delete on {name} {way} {role};"
            )
        if more:
            message = f"the role {role} can truncate {name}, or put triggers on it"
            yield Finding(check, FAIL, message, f"revoke truncate, trigger on {name} from {role}, public;")


def _excess(
    check: str, role: str, connection: psycopg.Connection[Any], write: Mapping[str, WriteRule]
) -> Iterator[Finding]:
    powers = _rows(connection, f"select {', '.join(_POWERS)} from pg_roles where rolname = current_user")[0]  # noqa: S608
    excess = [name for name, given in zip(_POWERS, powers, strict=True) if given]
    if excess:
        yield Finding(
            check,
            FAIL,
            f"the role {role} has {', '.join(name.removeprefix('rol') for name in excess)}",
            f"alter role {role} {' '.join(_POWERS[name] for name in excess)};",
        )
        if "rolsuper" in excess:
            # everything below is true of a superuser, and says nothing more
            return
    member = [
        row[0]
        for row in _rows(
            connection,
            "select rolname from pg_roles where rolname <> current_user and pg_has_role(oid, 'MEMBER')"
            " and (rolsuper or rolname = any(%s)) order by 1",
            [*_GRAVE_ROLES, *_WIDE_ROLES],
        )
    ]
    for other in member:
        level = WARN if other in _WIDE_ROLES else FAIL
        quoted = sql.Identifier(other).as_string(connection)
        yield Finding(check, level, f"the role {role} is a member of {quoted}", f"revoke {quoted} from {role};")
    writable = _rows(connection, _WRITABLE)
    owned = [name for name, owner in writable if owner]
    by_policy = {sql.Identifier(*_split(name)).as_string(connection).replace('"', "") for name in write}
    written = [name for name, owner in writable if not owner and name.replace('"', "") not in by_policy]
    if owned:
        yield Finding(
            check,
            FAIL,
            f"the role {role} owns {', '.join(owned)}",
            f"alter table {owned[0]} owner to …; an owner can do everything",
        )
    if written:
        yield Finding(
            check,
            FAIL,
            f"the role {role} can change {', '.join(written)}",
            f"revoke insert, update, delete, truncate, trigger on {', '.join(written)} from {role}, public;",
        )
    creates = [row[0] for row in _rows(connection, _CREATE)]
    if creates:
        yield Finding(
            check,
            FAIL,
            f"the role {role} can create objects in schema {', '.join(creates)}",
            f"revoke create on schema {', '.join(creates)} from {role}, public;",
        )
    database = sql.Identifier(connection.info.dbname).as_string(connection)
    for right, level in (("CREATE", FAIL), ("TEMPORARY", WARN)):
        if _rows(connection, "select 1 where has_database_privilege(current_database(), %s)", right):
            yield Finding(
                check,
                level,
                f"the role {role} has {right} on the database",
                f"revoke {right.lower()} on database {database} from {role}, public;",
            )
    settings = [row[0] for row in _rows(connection, _SETTINGS) if row[0] not in HARMLESS_SETTINGS]
    if settings:
        yield Finding(
            check,
            WARN,
            f"settings are attached to the role {role} or its database: {', '.join(settings)}",
            f"alter role {role} reset all; the gateway pins what it depends on",
        )


def _policy(check: str, policy: Policy, connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    found = check_against(policy, load_catalog(lambda text: _rows(connection, text)))
    errors = [one for one in found if one.severity == "error"]
    for one in errors:
        yield Finding(check, FAIL, f"the policy does not fit: {one.message}", f"correct {policy.source}")
    for one in found:
        if one.severity == "warning":
            yield Finding(check, WARN, one.message, f"take it out of `write` in {policy.source}")
    hidden = sum(one.severity == "info" for one in found)
    if not errors:
        more = f"; {hidden} relations or columns are not named, so hidden" if hidden else ""
        yield Finding(check, OK, f"the policy fits the database ({len(policy.tables)} relations){more}")
    unreadable = [
        f"{table}.{column}"
        for table, rule in policy.tables.items()
        for column in rule.columns
        if not _rows(connection, _READABLE, *_split(table), column)
    ]
    missing = sorted({column.rpartition(".")[0] for column in unreadable})
    if missing and not errors:
        yield Finding(
            check,
            FAIL,
            f"the role cannot read {', '.join(missing)}",
            f"grant usage on the schema and select on {', '.join(missing)} to the role",
        )


def _split(qualified: str) -> tuple[str, str]:
    schema, _, name = qualified.partition(".")
    return schema, name
