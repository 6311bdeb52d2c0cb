"""What a view shows of the system catalogs: allow-listed columns, and rows of what the policy names.

INVARIANT: no name, number, size, statistic, definition or text that concerns a hidden relation or column is shown.

Every function here returns SQL text in which all names are qualified.
"""

from __future__ import annotations

from gateway.sql.statement import View

_FIRST_NORMAL_OID = 16384  # access/transam.h


def shown_sql(qualified: str, view: View) -> str | None:
    """The derived table for a catalog relation, None when it is not shown."""
    return None


def schemas(view: View) -> tuple[str, ...]:
    """The schemas that exist for the view."""
    named = {name.rpartition(".")[0] for name in view.policy.tables}
    return (*sorted(named | set(view.policy.schemas)), "pg_catalog", "information_schema")


def names_relation(schema: str, name: str, view: View) -> bool:
    """Whether a possibly unqualified name is that of a relation which the view shows."""
    if schema in {"pg_catalog", "information_schema"}:
        return shown_sql(f"{schema}.{name}", view) is not None
    if not schema and name.startswith("pg_"):
        return shown_sql(f"pg_catalog.{name}", view) is not None
    if schema:
        return f"{schema}.{name}" in visible(view)
    # An unqualified name is looked up by the server here: only when its first match is one that we show.
    for candidate in view.search_path:
        if view.catalog.relation(f"{candidate}.{name}") is not None:
            return f"{candidate}.{name}" in visible(view)
    return False


def visible(view: View) -> dict[str, int]:
    """The relations that exist for the view, with their oids."""
    found = {}
    for name in view.policy.tables:
        relation = view.catalog.relation(name)
        if relation is not None:
            found[name] = relation.oid
    return found


def relation_visible(oid: str, view: View) -> str:
    """The condition that `oid` is a relation's that the view shows."""
    return f"({oid} OPERATOR(pg_catalog.<) '{_FIRST_NORMAL_OID}' OR {_among(oid, visible(view).values())})"


def built_in(oid: str, _view: View) -> str:
    """The condition that `oid` belongs to PostgreSQL itself."""
    return f"({oid} OPERATOR(pg_catalog.<) '{_FIRST_NORMAL_OID}')"


def anything(oid: str, _view: View) -> str:
    """The condition that `oid` is one."""
    return f"({oid} IS NOT NULL)"


def type_visible(oid: str, view: View) -> str:
    return built_in(oid, view)


def function_visible(oid: str, view: View) -> str:
    return built_in(oid, view)


def schema_visible(oid: str, view: View) -> str:
    return built_in(oid, view)


def index_visible(oid: str, view: View) -> str:
    return built_in(oid, view)


def constraint_visible(oid: str, view: View) -> str:
    return built_in(oid, view)


def _among(oid: str, oids: object) -> str:
    listed = ", ".join(f"'{one}'" for one in oids)  # type: ignore[attr-defined]
    return f"{oid} OPERATOR(pg_catalog.=) ANY (CAST(ARRAY[{listed}] AS pg_catalog.oid[]))"
