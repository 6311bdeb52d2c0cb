"""What to write instead of what is refused, and whom to ask for more.

INVARIANT: advice depends on the name that the person wrote and on nothing of the target, so that what exists and what
does not are answered alike.
"""

from __future__ import annotations

from gateway.sql.postgres import settings
from gateway.sql.postgres.tree import words

RELATION = (
    "list what you may see with \\d or `select * from information_schema.tables`;"
    " the owner of the data can name further relations in the policy"
)
_CATALOG = (
    "catalogs of statistics, of other sessions, of definitions and of the server's files are not shown;"
    " pg_class, pg_attribute, pg_constraint, pg_index and information_schema are"
)
_FUNCTION = (
    "built-in functions that compute from their arguments alone are allowed;"
    " the owner of the data can vouch for one of the target's own under `functions` in the policy"
)
# ruff: noqa: E501 - a row reads best on one line
_FUNCTIONS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("pg_sleep",), "wait in your client: a statement that waits holds a connection"),
    (("pg_cancel_backend", "pg_terminate_backend"), "cancel your own statement with your client, in psql with Ctrl-C"),
    (("pg_advisory", "pg_try_advisory"), "locks are not taken here, since nothing is written; leave it out"),
    (("nextval", "setval", "currval", "lastval", "pg_sequence_last_value"), "sequences are neither moved nor read here; `select max(id)` tells what is in use"),
    (("set_config",), "settings that may be changed can be given a constant value: `set timezone = 'UTC'`"),
    (("pg_read_", "pg_ls_", "pg_stat_file", "pg_relation_filepath", "pg_relation_filenode", "pg_current_logfile"), "nothing of the server's files is shown here"),
    (("lo_", "loread", "lowrite"), "large objects are not shown here; ask the owner of the data for the document"),
    (("query_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml", "cursor_to_xml", "ts_stat", "ts_rewrite", "dblink"), "it would run what is inside a text or a name; write that query itself, with `row_to_json(x)` for a document"),
    (("xml", "xpath"), "XML is not processed here; select the column as it is and take it apart in your client"),
    (("jsonb_populate_record",), "name the columns: `jsonb_to_record(document) as r(a int, b text)`"),
    (("json_populate_record",), "name the columns: `json_to_record(document) as r(a int, b text)`"),
    (("setseed",), "for a sample that can be drawn again, use `order by md5(id::text) limit n`"),
    (("pg_stat_", "pg_stats", "pg_lock_status", "pg_blocking_pids"), "statistics and other sessions would tell about hidden rows"),
    (("inet_client_", "inet_server_", "pg_postmaster_start_time", "pg_conf_load_time"), "where and since when the server runs is not shown; your client's host and port are the gateway's"),
    (("current_query",), "your client has the text; the trail has it too"),
    (("pg_notify", "pg_listening_channels"), "notifications are not passed on here"),
    (("to_regproc", "to_regrole", "to_regoper", "to_regcollation"), "names are looked up for relations and types alone: `to_regclass('employees')`"),
)  # fmt: skip
_CHANGEABLE = (
    "application_name, datestyle, intervalstyle, timezone, extra_float_digits, bytea_output, client_min_messages,"
    " lock_timeout, statement_timeout, idle_in_transaction_session_timeout and the isolation level may be changed;"
    " the gateway pins what its guarantees depend on"
)
_READABLE = "`select name, setting from pg_settings` lists the settings that are shown"
_KINDS = {
    "XmlExpr": "an XML expression",
    "XmlSerialize": "XMLSERIALIZE",
    "RangeTableFunc": "XMLTABLE",
    "RangeTableSample": "TABLESAMPLE",
    "CurrentOfExpr": "WHERE CURRENT OF",
    "SetToDefault": "DEFAULT",
    "MergeSupportFunc": "MERGE_ACTION",
    "LockingClause": "a locking clause",
    "RangeVar": "a bare relation",
}
_XML = words("XmlExpr XmlSerialize RangeTableFunc")


def relation(schema: str, name: str) -> str:
    """The hint for a relation that does not exist, or is not shown."""
    system = schema in {"pg_catalog", "information_schema"} or (not schema and name.startswith("pg_"))
    return _CATALOG if system else RELATION


def function(name: str) -> str:
    """The hint for a function that is not allowed; `name` may be qualified."""
    bare = name.rpartition(".")[2]
    return next((hint for starts, hint in _FUNCTIONS if bare.startswith(starts)), _FUNCTION)


def changed_setting(name: str, *, fixed: bool) -> str:
    """The hint for a setting that may not be given this value; `fixed` where one statement was approved."""
    if fixed and name in settings.MEANING:
        return "this grant is for one statement, which must mean what it meant when it was approved; read elsewhere"
    if name == "search_path":
        return "it stays as the policy has it; write `schema.name` for what is elsewhere"
    if name == "timezone":
        return "name the zone, or give its hours as a number: `set timezone = 'Europe/Paris'`"
    if name in {"role", "session_authorization"}:
        return "a session has the one role that it was opened with; DISCARD ALL resets everything else"
    if name in {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}:
        return f"a time between 1ms and the policy's own limit is allowed: `set {name} = '5s'`"
    return _CHANGEABLE


def shown_setting(_name: str) -> str:
    """The hint for a setting that is not shown."""
    return _READABLE


def kind(name: str) -> tuple[str, str]:
    """How a kind of node is spoken of, and the hint for it."""
    if name in _XML:
        return _KINDS[name], function("xml")
    return _KINDS.get(
        name, f"`{name}`"
    ), "write the query without it, and tell the gateway's operators that you need it"
