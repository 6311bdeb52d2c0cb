"""What must hold between the parts of a policy file, once each part is well-formed by itself."""

from __future__ import annotations

from typing import Any

from gateway.policy import http_consistency, kinds, shapes
from gateway.policy.shapes import Reading


def judge(read: dict[str, Any], reading: Reading) -> None:
    """Note the faults of a policy whose parts do not fit together."""
    if "http" in read:
        if "dialect" in read:
            reading.fault(("dialect",), "an HTTP target's routes say their `dialect` themselves")
        http_consistency.judge(read, reading)
        if "tables" in read:
            _judge_scopes(read["tables"], reading)
            _judge_reveal(read, reading)
            _judge_categories(read, reading)
            _judge_searches(read, reading)
        _judge_access(read["access"], http_consistency.reveals(read) or bool(read.get("reveal")), reading)
        return
    if "tables" not in read:
        reading.fault((), "`tables` is missing, or `http` for an HTTP target: nothing would exist")
        return
    _judge_types(read["tables"], reading)
    _judge_scopes(read["tables"], reading)
    _judge_reveal(read, reading)
    _judge_access(read["access"], bool(read.get("reveal")), reading)
    _judge_searches(read, reading)
    _judge_categories(read, reading)
    _judge_aggregates(read, reading)
    _judge_writes(read, reading)
    if read.get("dialect", "postgres") != "postgres":
        _judge_dialect(read, reading)


def _judge_dialect(read: dict[str, Any], reading: Reading) -> None:
    """What only PostgreSQL has so far."""
    if "functions" in read:
        reading.fault(("functions",), f"`functions` is not available with `dialect: {read['dialect']}`: leave it out")
    if read.get("mode", "protect") != "protect" and read["dialect"] == "clickhouse":
        reading.fault(("mode",), f"a target with `dialect: {read['dialect']}` is protected; it cannot be observed")
    if "schemas" not in read:
        reading.fault(("dialect",), "`schemas` must name the databases, as the first of which the target is opened")


def _judge_types(tables: dict[str, Any], reading: Reading) -> None:
    for name, table in tables.items():
        for column, rule in table["columns"].items():
            if rule.type:
                reading.fault(
                    ("tables", name, "columns", column), "`type` is for SQL over HTTP: a database's catalog tells it"
                )


def _judge_scopes(tables: dict[str, Any], reading: Reading) -> None:
    for name, table in tables.items():
        at = ("tables", name, "scope")
        trail, scope = [name], table["scope"]
        while scope.kind == "follows":
            if scope.other in trail:
                reading.fault(at, f"the scope goes in a circle: {' -> '.join([*trail, scope.other])}")
                break
            if scope.other not in tables:
                reading.fault(at, f"`{scope.other}` is not in this policy{shapes.nearest(scope.other, tables)}")
                break
            trail.append(scope.other)
            scope = tables[scope.other]["scope"]
        else:
            if scope.kind == "none" and len(trail) > 1:
                reading.fault(
                    at, f"`{trail[-1]}` has `scope: none`, so following it leaves all rows; write `scope: none` here"
                )


def _judge_reveal(read: dict[str, Any], reading: Reading) -> None:
    tables = read["tables"]
    for name, columns in read.get("reveal", {}).items():
        if name not in tables:
            reading.fault(("reveal", name), f"`{name}` is not in this policy{shapes.nearest(name, tables)}")
            continue
        named = tables[name]["columns"]
        for index, column in enumerate(columns):
            at = ("reveal", name, index)
            if column not in named:
                reading.fault(at, f"`{name}` has no column `{column}` in this policy{shapes.nearest(column, named)}")
            elif named[column].mask.kind == "clear":
                reading.fault(at, f"`{column}` is clear already")


def _judge_access(access: dict[str, Any], reveals: bool, reading: Reading) -> None:
    if access["duration"]["default"] > access["duration"]["max"]:
        reading.fault(("access", "duration", "default"), "the default duration is longer than the maximum")
    if "break_glass" in access:
        _judge_break_glass(access, reading)
    if "approvers" not in access and (reveals or access.get("auto_approve", "never") == "never"):
        reading.fault(("access",), "`approvers` is missing: some requests need one, and nobody could approve them")


def _judge_break_glass(access: dict[str, Any], reading: Reading) -> None:
    if "approvers" not in access:
        reading.fault(("access", "break_glass"), "`approvers` is missing: nobody could review what was done")
    for index, team in enumerate(access["break_glass"]["teams"]):
        if team not in access["teams"]:
            near = shapes.nearest(team, access["teams"])
            reading.fault(("access", "break_glass", "teams", index), f"`{team}` is not in `access.teams`{near}")


def _judge_categories(read: dict[str, Any], reading: Reading) -> None:
    seen: dict[str, str] = {}
    for category, columns in read.get("categories", {}).items():
        for index, column in enumerate(columns):
            at = ("categories", category, index)
            relation, _, name = column.rpartition(".")
            if relation not in read["tables"] or name not in read["tables"][relation]["columns"]:
                reading.fault(at, f"`{column}` is not in this policy")
            if column in seen:
                reading.fault(at, f"`{column}` is in the category `{seen[column]}` already")
            seen[column] = category


def _judge_searches(read: dict[str, Any], reading: Reading) -> None:
    if "exact_searches_per_hour" in read.get("limits", {}):
        return
    for name, table in read["tables"].items():
        for column, rule in table["columns"].items():
            if rule.search:
                # FAIL CLOSED: without a budget, equality on the raw value can be asked until it is guessed.
                at = ("tables", name, "columns", column)
                reading.fault(at, "`search: exact` needs a budget: set `limits.exact_searches_per_hour`")


def _judge_aggregates(read: dict[str, Any], reading: Reading) -> None:
    for name, table in read["tables"].items():
        for column, rule in table["columns"].items():
            if rule.aggregate is None:
                continue
            at, subject = ("tables", name, "columns", column), rule.aggregate.subject
            if "aggregates_per_hour" not in read.get("limits", {}):
                # FAIL CLOSED: without a budget, sums over groups that differ in one person can be asked of everybody.
                reading.fault(at, "`aggregate` needs a budget: set `limits.aggregates_per_hour`")
            if subject == column or subject not in table["columns"]:
                near = shapes.nearest(subject, table["columns"])
                reading.fault(
                    at, f"the `subject` of `aggregate` must be another column named here, not `{subject}`{near}"
                )


def _judge_writes(read: dict[str, Any], reading: Reading) -> None:
    tables, write = read["tables"], read.get("write", {})
    if write and "approvers" not in read["access"]:
        reading.fault(("write",), "`access.approvers` is missing: whatever writes needs the approval of somebody else")
    for name, rule in write.items():
        if name not in tables:
            reading.fault(("write", name), f"`{name}` is not in this policy{shapes.nearest(name, tables)}")
            continue
        if not (rule.get("update") or rule.get("insert") or rule.get("delete")):
            reading.fault(("write", name), "nothing is allowed here: name columns to `update` or `insert`, or `delete`")
        for verb in ("update", "insert"):
            for index, column in enumerate(rule.get(verb, ())):
                problem = _not_writable(tables, name, column, verb)
                if problem:
                    reading.fault(("write", name, verb, index), problem)


def _not_writable(tables: dict[str, Any], name: str, column: str, verb: str) -> str:
    """Why a policy may not let a column be written; empty when it may."""
    table, named = tables[name], tables[name]["columns"]
    if column not in named:
        return f"there is no column `{column}` in this policy{shapes.nearest(column, named)}"
    rule = named[column]
    if kinds.KINDS[rule.mask.kind].keyed or rule.mask.kind == "json":
        # FAIL CLOSED: who may choose a value and see its pseudonym learns whose pseudonym that is elsewhere
        return f"`{column}` is masked with a key: who may write it could look pseudonyms up"
    if rule.aggregate is not None:
        # FAIL CLOSED: in a group whose other values one has written, a sum tells the last one
        return f"`{column}` is aggregated: who may write it could tell single values from sums"
    for one, other in named.items():
        if other.aggregate is not None and other.aggregate.subject == column:
            # FAIL CLOSED: one person's values would count as those of as many as make a group
            return f"`{column}` says whose the values of the aggregated `{one}` are: people could be invented"
        if other.aggregate is not None and verb == "insert":
            # FAIL CLOSED: rows whose value is known, by their DEFAULT, would fill a group up around one person
            return f"rows count in the groups of the aggregated `{one}`: who may insert some could fill a group up"
    if verb == "update" and column == table["scope"].column:
        return f"`{column}` says whose row it is: an UPDATE could move rows to other customers"
    for other, one in tables.items():
        scope = one["scope"]
        if scope.kind == "follows" and (scope.other, scope.other_column) == (name, column):
            # FAIL CLOSED: who may choose a value chooses which rows of the other relation are the customer's
            return f"the scope of `{other}` follows `{column}`: who may write it could see other customers' rows there"
    return ""
