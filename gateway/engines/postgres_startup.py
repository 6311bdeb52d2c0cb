"""What a PostgreSQL client asks for at start-up, and what of it the target gets.

A client's parameters never travel to a target that is protected: the few that are free are validated and set by a
statement of ours, everything else is refused with its name. That is said once the person is known, because a target
that is observed gets them as they came; only who and where is the gateway's to say on either.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import GatewayError

_FREE = {"application_name": "application_name", "timezone": "TimeZone", "datestyle": "DateStyle",
         "intervalstyle": "IntervalStyle", "extra_float_digits": "extra_float_digits",
         "bytea_output": "bytea_output", "lc_messages": ""}  # fmt: skip
_MEANING = frozenset({"TimeZone", "DateStyle", "IntervalStyle", "bytea_output"})
_VALUE = re.compile(r"^[A-Za-z0-9 _./+:,<>-]{1,64}$")
_ENCODINGS = frozenset({"utf8", "utf-8", "unicode", "sql_ascii", "'utf-8'", "'utf8'"})
_PUBLIC = re.compile(r'\s*(?:(?:"\$user"|\$user)\s*,\s*)?(?:"public"|(?i:public))\s*')
_OPTION = re.compile(r"^(?:-c\s*|--)([A-Za-z_.-]+)=(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Wishes:
    """A client's start-up parameters, judged. `restore` is the SQL that sets the free ones (empty for none).

    `apart` is the same without those that a statement's meaning depends on.
    `only_public`: it asks for the search path `public`, as many do, which can be had where it is the target's own.
    `refused` is why a protected target cannot be had with what it asks for, None when it can; `given` is what an
    observed target gets.
    """

    user: str
    database: str
    application: str
    restore: str
    apart: str = ""
    only_public: bool = False
    refused: GatewayError | None = None
    given: Mapping[str, str] = field(default_factory=dict)


def judge_startup(parameters: dict[str, str]) -> Wishes:
    """What the client may have of what it asks for; `setting-not-allowed` for everything that is not free is in it.

    Raises `GatewayError` `protocol-violation` without a user, `feature-not-supported` for replication.
    """
    rest = {name: value for name, value in parameters.items() if not name.startswith("_pq_.")}
    user = rest.pop("user", "")
    if not user:
        raise GatewayError("protocol-violation", "the start-up packet names no user", fatal=True)
    database = rest.pop("database", "") or user
    if rest.pop("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise GatewayError("feature-not-supported", "replication is not available here", fatal=True)
    try:
        restore, apart, application, only_public = _settings(rest)
    except GatewayError as refused:
        application = _plain("application_name", rest.get("application_name", ""))
        return Wishes(user, database, application, "", refused=refused, given=rest)
    return Wishes(user, database, application, restore, apart, only_public, given=rest)


def _settings(given: Mapping[str, str]) -> tuple[str, str, str, bool]:
    """`restore` and `apart` of `Wishes`, the application's name, whether the search path `public` is wanted."""
    rest = dict(given)
    options = rest.pop("options", "")
    settings = {**rest, **_options(options)}
    free: dict[str, str] = {}
    only_public = False
    for name, value in settings.items():
        lower = name.lower()
        if lower == "client_encoding":
            if value.lower() not in _ENCODINGS:
                raise GatewayError(
                    "setting-not-allowed",
                    # a refusal is recorded word for word, so the value is not in it
                    "the client encoding is not available; only UTF8 is",
                    hint="set PGCLIENTENCODING=UTF8 in the client",
                    fatal=True,
                )
        elif lower == "search_path" and _PUBLIC.fullmatch(value):
            only_public = True
        elif lower not in _FREE:
            raise GatewayError(
                "setting-not-allowed",
                f"the setting `{name[:64]}` may not be given at start-up",
                hint=f"these may: {', '.join(sorted(key for key in _FREE if _FREE[key]))}",
                fatal=True,
            )
        elif _FREE[lower]:
            free[_FREE[lower]] = _plain(lower, value)
    application = free.get("application_name", "")
    statements = {name: f"SET {name} TO '{value}'" for name, value in sorted(free.items()) if value}
    apart = "; ".join(statement for name, statement in statements.items() if name not in _MEANING)
    return "; ".join(statements.values()), apart, application, only_public


def _plain(name: str, value: str) -> str:
    if name == "application_name":
        return re.sub(r"[^A-Za-z0-9 _./+:,-]", "?", value)[:63]
    if value and not _VALUE.match(value):
        raise GatewayError(
            "setting-not-allowed", f"the value of the setting `{name}` has characters that are not allowed", fatal=True
        )
    return value


def _options(text: str) -> dict[str, str]:
    """`-c name=value` and `--name=value` pairs of the `options` parameter; backslash escapes as libpq writes them."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise GatewayError("setting-not-allowed", "the start-up options cannot be read", fatal=True) from error
    found: dict[str, str] = {}
    index = 0
    while index < len(words):
        word = words[index]
        if word == "-c" and index + 1 < len(words):
            index += 1
            word = f"-c{words[index]}"
        match = _OPTION.match(word)
        if match is None:
            named = re.match(r"--?[A-Za-z_.-]{1,64}", word)
            shown = f"the start-up option `{named[0]}`" if named else "one of the start-up options"
            raise GatewayError("setting-not-allowed", f"{shown} is not allowed", fatal=True)
        found[match[1].replace("-", "_")] = match[2]
        index += 1
    return found
