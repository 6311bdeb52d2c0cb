"""Which settings a user may change or read.

INVARIANT: nothing here changes what a statement of ours means, how long it may run or a transaction wait beyond the
policy's bounds, or what a plan costs; nor, where one statement was approved, what the text of it means; and no value of
the gateway's own settings can be read. A setting that is pinned may be set to its pinned value, because drivers do so
at start-up.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sql.postgres.tree import words
from gateway.sql.statement import View

_ANY = words("""
    application_name datestyle intervalstyle timezone extra_float_digits bytea_output xmlbinary jit client_min_messages
    default_transaction_deferrable transaction_deferrable
    check_function_bodies escape_string_warning geqo
    """)
_FIXED = {
    "client_encoding": frozenset({"utf8", "utf-8", "unicode"}),
    "standard_conforming_strings": frozenset({"on", "true", "1", "yes"}),
    "default_transaction_read_only": frozenset({"on", "true", "1", "yes"}),
    "transaction_read_only": frozenset({"on", "true", "1", "yes"}),
    "row_security": frozenset({"on", "true", "1", "yes"}),
    "synchronize_seqscans": frozenset({"on", "off"}),
}
_READ_ONLY = frozenset({"default_transaction_read_only", "transaction_read_only"})
_OFF = frozenset({"off", "false", "0", "no"})
MEANING = {
    "datestyle": frozenset({"iso"}),
    "intervalstyle": frozenset({"postgres"}),
    "timezone": frozenset[str](),
    "bytea_output": frozenset({"hex"}),
    "xmlbinary": frozenset({"base64"}),
}
"""What a constant may be taken for, or a value be as text: where that must stay, only these values may be set."""
_ISOLATION = frozenset({"serializable", "repeatable read", "read committed", "read uncommitted"})
_SHOWN = words("""
    server_version server_version_num server_encoding lc_collate lc_ctype lc_messages lc_monetary lc_numeric lc_time
    integer_datetimes max_identifier_length max_index_keys in_hot_standby default_with_oids search_path
    default_tablespace default_table_access_method default_text_search_config password_encryption
    is_superuser role block_size segment_size max_connections max_function_args work_mem
    maintenance_work_mem shared_buffers effective_cache_size temp_buffers plan_cache_mode xmloption
    max_parallel_workers_per_gather max_parallel_workers max_worker_processes seq_page_cost random_page_cost
    cpu_tuple_cost cpu_index_tuple_cost cpu_operator_cost enable_seqscan enable_indexscan enable_indexonlyscan
    enable_bitmapscan enable_tidscan enable_sort enable_hashagg enable_hashjoin enable_mergejoin enable_nestloop
    enable_material transform_null_equals array_nulls cursor_tuple_fraction tcp_keepalives_idle ssl wal_level
    hot_standby max_prepared_transactions max_standby_streaming_delay icu_validation_level
    """)
_TIMEOUTS = {
    "statement_timeout": "statement_timeout_ms",
    "lock_timeout": "statement_timeout_ms",
    "idle_in_transaction_session_timeout": "idle_in_transaction_timeout_ms",
}
"""Times that the policy bounds, by its limits' names: 0, which is for ever, is beyond them."""
READABLE = (
    _ANY
    | _SHOWN
    | frozenset(_FIXED)
    | frozenset(_TIMEOUTS)
    | {"transaction_isolation", "default_transaction_isolation"}
)
_LONGEST_VALUE = 200
_UNITS_MS = {"": 1, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def canonical(name: str) -> str:
    """A setting's name as the server compares it."""
    return name.lower()


def readable(name: str) -> bool:
    """Whether SHOW and current_setting may answer it."""
    return canonical(name) in READABLE


def changeable(name: str, values: Sequence[str], view: View) -> bool:
    """Whether the setting may be given these values (several for a list, as in `search_path`)."""
    name = canonical(name)
    if any(len(value) > _LONGEST_VALUE or not value.isprintable() for value in values):
        return False
    if name == "search_path":
        # A schema that is named again is looked into once.
        wanted = dict.fromkeys(value for value in values if value not in {"$user", "pg_catalog"})
        return tuple(wanted) == view.search_path
    if len(values) != 1 and name != "datestyle":
        return False
    value = values[0].lower() if values else ""
    if view.fixed and name in MEANING and (len(values) != 1 or value not in MEANING[name]):
        return False
    if name in _READ_ONLY and view.write:
        return value in _FIXED[name] | _OFF
    if name in _FIXED:
        return value in _FIXED[name]
    if name in {"transaction_isolation", "default_transaction_isolation"}:
        return value in _ISOLATION
    if name in _TIMEOUTS:
        milliseconds = _milliseconds(value)
        return milliseconds is not None and 0 < milliseconds <= getattr(view.policy.limits, _TIMEOUTS[name])
    return name in _ANY


def resettable(name: str) -> bool:
    """Whether the setting may be reset: the pinned ones go back to their pins."""
    name = canonical(name)
    return (
        name in _ANY or name in _FIXED or name in _TIMEOUTS or name in {"search_path", "default_transaction_isolation"}
    )


def _milliseconds(value: str) -> int | None:
    digits = value.rstrip("abcdefghijklmnopqrstuvwxyz ").strip()
    unit = value[len(digits) :].strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12 or unit not in _UNITS_MS:
        return None
    return int(digits) * _UNITS_MS[unit]
