"""Settings that a session may make, by name and value, and constants that clients ask for when they connect.

INVARIANT: what runs is written here from checked parts; a setting that could change what a text means is refused.
"""

from __future__ import annotations

import re

from gateway.errors import GatewayError
from gateway.sql.mysql.lexer import unquoted
from gateway.sql.statement import View
from gateway.sql.tree.writing import string

_CHARSETS = frozenset({"utf8", "utf8mb3", "utf8mb4"})
_COLLATION = re.compile(r"utf8(?:mb[34])?_[a-z0-9_]{1,40}")
_ZONE = re.compile(r"SYSTEM|UTC|[+-]\d\d:\d\d|[A-Za-z]+(?:/[A-Za-z_+-]+){0,2}")
_ISOLATION = frozenset({"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED"})
_UNSAFE_MODES = frozenset({
    "ANSI", "ANSI_QUOTES", "PIPES_AS_CONCAT", "NO_BACKSLASH_ESCAPES", "HIGH_NOT_PRECEDENCE", "IGNORE_SPACE", "DB2",
    "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL", "MYSQL323", "MYSQL40", "NO_UNSIGNED_SUBTRACTION", "REAL_AS_FLOAT",
    "PAD_CHAR_TO_FULL_LENGTH", "EMPTY_STRING_IS_NULL", "TIME_ROUND_FRACTIONAL",
})  # fmt: skip
_MODE = re.compile(r"[A-Z_,]{0,400}")
_QUIET = frozenset({
    "foreign_key_checks", "unique_checks", "sql_safe_updates", "sql_auto_is_null", "sql_notes", "sql_warnings",
    "net_write_timeout", "net_read_timeout", "wait_timeout", "interactive_timeout", "sql_quote_show_create",
    "character_set_results", "character_set_client", "character_set_connection", "collation_connection",
    "max_allowed_packet", "lock_wait_timeout", "innodb_lock_wait_timeout", "sql_big_selects", "profiling",
    "information_schema_stats_expiry", "session_track_schema", "session_track_gtids", "session_track_state_change",
    "session_track_system_variables", "session_track_transaction_info", "show_old_temporals", "net_buffer_length",
})  # fmt: skip
"""Taken without any effect here: they are about writing, about waiting, or already what clients set them to."""
_NOTHING = "DO 0"
_KINDS = frozenset({"PASSWORD", "ROLE", "DEFAULT", "STATEMENT", "RESOURCE", "GLOBAL", "PERSIST", "PERSIST_ONLY"})
_READABLE = frozenset({
    "auto_increment_increment", "autocommit", "character_set_client", "character_set_connection",
    "character_set_database", "character_set_results", "character_set_server", "collation_connection",
    "collation_database", "collation_server", "default_storage_engine", "have_ssl", "init_connect",
    "interactive_timeout", "license", "lower_case_table_names", "max_allowed_packet", "net_buffer_length",
    "net_write_timeout", "performance_schema", "port", "protocol_version", "query_cache_size", "query_cache_type",
    "read_only", "sql_auto_is_null", "sql_mode", "storage_engine", "system_time_zone", "time_zone",
    "transaction_isolation",
    "transaction_read_only", "tx_isolation", "tx_read_only", "version", "version_comment", "version_compile_machine",
    "version_compile_os", "wait_timeout",
})  # fmt: skip
_ELSEWHERE = {
    "mysql": {
        "tx_isolation": "@@transaction_isolation", "tx_read_only": "@@transaction_read_only",
        "query_cache_size": "'0'", "query_cache_type": "'OFF'", "storage_engine": "@@default_storage_engine",
    },
    "mariadb": {
        "transaction_isolation": "@@tx_isolation", "transaction_read_only": "@@tx_read_only",
        "storage_engine": "@@default_storage_engine",
    },
}  # fmt: skip
"""What stands for a variable that a server does not have."""
_OURS = {"init_connect": "''", "port": "3306", "have_ssl": "'YES'", "performance_schema": "'OFF'",
         "sql_auto_is_null": "0"}  # fmt: skip
"""What is said for variables that are about the target's own set-up."""
_SCOPED = frozenset({"session", "local"})
_FUNCTIONS = frozenset({"database", "schema", "version", "connection_id", "now"})
_ZONES_THERE = re.compile(r"CONVERT_TZ \( '[\d :-]{1,30}' , '\w{1,30}' , '\w{1,30}' \) IS NOT NULL", re.IGNORECASE)
"""How Django asks whether a server knows time zones by name."""
_PEOPLE = frozenset({"user", "current_user", "session_user", "system_user"})


def canonical(command: list[str], view: View) -> str:
    """The statement that runs for a SET. Raises: GatewayError `setting-not-allowed`."""
    rest = command[1:]
    if not rest:
        raise GatewayError("syntax-error", "SET names nothing")
    upper = [word.upper() for word in rest]
    if upper[0] in _KINDS:
        raise GatewayError("setting-not-allowed", f"SET {upper[0]} is the owner's", "leave it out")
    if upper[0] == "NAMES" and "," in upper:
        at = upper.index(",")
        canonical(["SET", *rest[:at]], view)
        return canonical(["SET", *rest[at + 1 :]], view)
    if upper[0] == "NAMES":
        _charset(rest[1:])
        return "SET NAMES utf8mb4"
    if upper[:2] in (["CHARACTER", "SET"], ["CHAR", "SET"]) or upper[0] == "CHARSET":
        _charset(rest[1 if upper[0] == "CHARSET" else 2 :])
        return "SET NAMES utf8mb4"
    if upper[0] == "TRANSACTION" or upper[:2] in (["SESSION", "TRANSACTION"], ["LOCAL", "TRANSACTION"]):
        return _transaction(upper, write=view.write)
    made = [_assigned(one, view) for one in _assignments(rest)]
    kept = [one for one in made if one]
    return f"SET {', '.join(kept)}" if kept else _NOTHING


def constants(command: list[str], dialect: str) -> str | None:
    """A SELECT of system variables, constants and the functions that clients begin with; None for any other."""
    rest = command[1:]
    if len(rest) > 2 and rest[-2].upper() == "LIMIT" and rest[-1].isdigit():
        rest = rest[:-2]
    parts: list[str] = []
    interesting = False
    for one in _separated(rest):
        made = _constant(one, dialect)
        if made is None:
            return None
        interesting = interesting or made[1]
        parts.append(made[0])
    return f"SELECT {', '.join(parts)}" if parts and interesting else None


def variable(name: str) -> bool:
    """Whether that system variable may be read."""
    return name.lower() in _READABLE


def shown(dialect: str) -> list[tuple[str, str]]:
    """The variables that SHOW VARIABLES tells, and the expression of each."""
    return [(name, _value(name, dialect)) for name in sorted(_READABLE)]


def _value(name: str, dialect: str) -> str:
    return _OURS.get(name) or _ELSEWHERE[dialect].get(name) or f"@@{name}"


def _constant(part: list[str], dialect: str) -> tuple[str, bool] | None:
    alias = ""
    if len(part) > 2 and part[-2].upper() == "AS":
        alias, part = unquoted(part[-1]), part[:-2]
    if part[:1] == ["@@"]:
        rest = part[1:]
        if len(rest) == 3 and rest[1] == "." and rest[0].lower() in (*_SCOPED, "global"):
            rest = rest[2:]
        if len(rest) != 1:
            return None
        if not variable(unquoted(rest[0])):
            raise GatewayError("setting-not-allowed", f"the variable `{unquoted(rest[0])[:64]}` cannot be read here")
        return f"{_value(unquoted(rest[0]).lower(), dialect)} AS {_name(alias or ''.join(part))}", True
    lower = [one.lower() for one in part]
    if lower[:1] == ["current_user"] and len(part) == 1:
        lower += ["(", ")"]
    if len(lower) == 3 and lower[1:] == ["(", ")"] and lower[0] in _FUNCTIONS | _PEOPLE:
        value = "'gateway'" if lower[0] in _PEOPLE else f"{lower[0]}()"
        return f"{value} AS {_name(alias or ''.join(part))}", True
    if len(part) == 11 and _ZONES_THERE.fullmatch(" ".join(part)):
        return f"{' '.join(part)} AS {_name(alias or ' '.join(part))}", True
    if len(part) == 1 and re.fullmatch(r"\d{1,18}", part[0]):
        return f"{part[0]} AS {_name(alias or part[0])}", False
    return None


def _name(text: str) -> str:
    if not text or len(text) > 128 or any(one in text for one in "`\\") or not text.isprintable():
        raise GatewayError("statement-not-supported", "a column's name would be odd", "give it an alias")
    return f"`{text}`"


def _charset(rest: list[str]) -> None:
    name = unquoted(rest[0]).lower() if rest else ""
    collated = len(rest) == 3 and rest[1].upper() == "COLLATE" and _COLLATION.fullmatch(unquoted(rest[2]).lower())
    if name == "default" and len(rest) == 1:
        return
    if name not in _CHARSETS or not (len(rest) == 1 or collated):
        raise GatewayError("setting-not-allowed", "that character set is not available; only UTF-8 is",
                           "SET NAMES utf8mb4")  # fmt: skip


def _transaction(upper: list[str], *, write: bool) -> str:
    scope, rest = ("SESSION ", upper[2:]) if upper[0] != "TRANSACTION" else ("", upper[1:])
    kept = []
    for part in _separated(rest):
        said = " ".join(part)
        if (said.startswith("ISOLATION LEVEL ") and said.removeprefix("ISOLATION LEVEL ") in _ISOLATION) or (
            write and said in ("READ WRITE", "READ ONLY")
        ):
            kept.append(said)
        elif said == "READ WRITE":
            raise GatewayError("read-only", "the grant is for reading", "ask for writing: gateway open TICKET --write")
        elif said != "READ ONLY":
            raise GatewayError("setting-not-allowed", "a transaction of this kind is not available")
    return f"SET {scope}TRANSACTION {', '.join(kept)}" if kept else _NOTHING


def _assignments(rest: list[str]) -> list[tuple[str, list[str]]]:
    found = []
    for part in _separated(rest):
        words = list(part)
        if words[:1] == ["@@"]:
            words = words[1:]
            if len(words) > 2 and words[1] == ".":
                words = [words[0], *words[2:]]
        if words and words[0].lower() in ("global", "persist", "persist_only"):
            raise GatewayError("setting-not-allowed", "a global setting is the owner's")
        if len(words) > 2 and words[0].lower() in _SCOPED:
            words = words[1:]
        if words[:1] == ["@"] or len(words) < 3:
            raise GatewayError("setting-not-allowed", "variables of one's own are not available", "write the value")
        if words[1] == ":" and words[2] == "=":
            words = [words[0], "=", *words[3:]]
        if words[1] != "=":
            raise GatewayError("syntax-error", "SET takes name = value")
        found.append((unquoted(words[0]).lower(), words[2:]))
    return found


def _assigned(assignment: tuple[str, list[str]], view: View) -> str:
    name, value = assignment
    text = unquoted(value[0]) if len(value) == 1 else "".join(value)
    if name == "autocommit" and text.upper() in ("0", "1", "ON", "OFF"):
        return f"autocommit = {int(text.upper() in ('1', 'ON'))}"
    if name == "time_zone" and view.fixed:
        raise GatewayError("setting-not-allowed", "the approved statement means what it meant when it was approved",
                           "leave time_zone as it is")  # fmt: skip
    if name == "time_zone" and len(text) <= 64 and _ZONE.fullmatch(text):
        return f"time_zone = {string(text)}"
    if name == "sql_mode":
        _judge_mode(value)
        return ""
    if name in ("transaction_isolation", "tx_isolation") and text.upper().replace("-", " ") in _ISOLATION:
        return f"{name} = {string(text.upper())}"
    if name in ("transaction_read_only", "tx_read_only") and view.write and text.upper() in ("0", "1", "ON", "OFF"):
        known = "tx_read_only" if view.policy.dialect == "mariadb" else "transaction_read_only"
        return f"{known} = {int(text.upper() in ('1', 'ON'))}"
    if name in ("transaction_read_only", "tx_read_only"):
        if text.upper() in ("1", "ON"):
            return ""
        raise GatewayError("read-only", "the grant is for reading", "START TRANSACTION READ ONLY")
    if name == "sql_select_limit" and re.fullmatch(r"[0-9]{1,19}|DEFAULT", text.upper()):
        return f"sql_select_limit = {text.upper()}"
    if name == "optimizer_switch" and text.lower() in ("semijoin=off", "default"):
        return ""
    if name in _QUIET and (len(value) == 1 or value[0] in ("+", "-", "@@")):
        if name.startswith("character_set") and text.lower() not in (*_CHARSETS, "null", "binary", "default"):
            raise GatewayError("setting-not-allowed", "that character set is not available; only UTF-8 is")
        return ""
    raise GatewayError("setting-not-allowed", f"the setting `{name[:64]}` may not be changed, or not to that value")


def _judge_mode(value: list[str]) -> None:
    """What a client asks for is taken when it does not change what a text means; the pinned mode stays."""
    if len(value) > 1 and value[0].upper() not in ("CONCAT", "REPLACE", "@@"):
        raise GatewayError("setting-not-allowed", "sql_mode takes the names of modes in quotes")
    said = ",".join(unquoted(one) for one in value if one[:1] in "'\"") if len(value) > 1 else unquoted(value[0])
    modes = said.upper().replace(" ", "")
    if not _MODE.fullmatch(modes) or _UNSAFE_MODES & set(modes.split(",")):
        raise GatewayError("setting-not-allowed", "that sql_mode would give statements another meaning",
                           "leave ANSI_QUOTES, PIPES_AS_CONCAT and NO_BACKSLASH_ESCAPES out")  # fmt: skip


def _separated(rest: list[str]) -> list[list[str]]:
    """The parts between commas that no parentheses are around."""
    parts: list[list[str]] = [[]]
    depth = 0
    for word in rest:
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
