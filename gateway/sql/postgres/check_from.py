"""The check of one SELECT: each relation is what the evidence says, each condition inside is the user's."""

from __future__ import annotations

from collections.abc import Iterable

import postgast
from postgast import pg_query_pb2 as pb

from gateway.errors import GatewayError
from gateway.sql.postgres import check_aggregates, sources
from gateway.sql.postgres.catalogs import SYSTEM_COLUMNS
from gateway.sql.postgres.evidence import Evidence, evidence
from gateway.sql.postgres.proof import NOTHING, Clause, Env, Leaf, Proof, Stack, conjuncts, pair, require, unproven
from gateway.sql.postgres.tree import Message, Refused, concrete, same, texts, words
from gateway.sql.postgres.versions import SINCE

_MOST_PROVEN = 1_000
_PROVEN_BYTES = 2 * 1024**2
_SAFE_COLUMNS = words("int2 int4 int8 numeric text varchar bpchar bool date timestamp timestamptz uuid")
SAFE_CASTS = _SAFE_COLUMNS | {"name", "char"}
# What the derived table of a relation that is written yields besides its columns: which row each is.
_IDENTITY = postgast.parse('SELECT t.tableoid AS "gateway table", t.ctid AS "gateway row"').stmts[0].stmt
_DERIVED = frozenset({"target_list", "from_clause", "where_clause", "limit_offset", "limit_option", "op"})
_SOURCES = frozenset({pb.RangeSubselect, pb.RangeFunction, pb.JsonTable})
_COMPARING: dict[int, frozenset[str]] = {
    pb.AEXPR_OP: frozenset({"=", "<", ">", "<=", ">=", "<>"}),
    pb.AEXPR_IN: frozenset({"=", "<>"}),
    pb.AEXPR_BETWEEN: frozenset({"BETWEEN"}),
    pb.AEXPR_OP_ANY: frozenset({"="}),
}


def select(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    require(not after.HasField("into_clause") and not after.locking_clause, "a SELECT that writes or locks")
    require(before.HasField("with_clause") == after.HasField("with_clause"), "WITH appeared or vanished")
    if after.HasField("with_clause"):
        env = _with(before.with_clause, after.with_clause, env, stack)
    require(len(before.from_clause) == len(after.from_clause), "the FROM clause changed")
    leaves: list[Leaf] = []
    clauses: list[Clause] = []
    reach: list[Leaf] = []
    proof.around = before
    for one, other in zip(before.from_clause, after.from_clause, strict=True):
        reach += _item(proof, one, other, env, leaves, clauses, stack)
    proof.around = None
    if before.HasField("where_clause"):
        require(after.HasField("where_clause"), "WHERE vanished")
        clauses.append(Clause(before.where_clause, after.where_clause, reach))
    _justify(proof, leaves, clauses, env, stack)
    pair(before, after, env, stack, "with_clause", "from_clause")


def _with(before: Message, after: Message, env: Env, stack: Stack) -> Env:
    require(len(before.ctes) == len(after.ctes) and before.recursive == after.recursive, "WITH changed")
    so_far = env
    everyone = env | {node.common_table_expr.ctename for node in after.ctes}
    for one, other in zip(before.ctes, after.ctes, strict=True):
        old, new = one.common_table_expr, other.common_table_expr
        require(new.ctequery.WhichOneof("node") == "select_stmt", "a WITH item that writes")
        stack.append((old.ctequery, new.ctequery, everyone if after.recursive else so_far))
        pair(old, new, NOTHING, stack, "ctequery")
        so_far = so_far | {new.ctename}
    return everyone


def _item(
    proof: Proof, one: Message, other: Message, env: Env, leaves: list[Leaf], clauses: list[Clause], stack: Stack
) -> list[Leaf]:
    """Prove one FROM item; returns the leaves that a WHERE above may take rows from."""
    before, after = concrete(one), concrete(other)
    if type(before) is pb.JoinExpr:
        require(type(after) is pb.JoinExpr, "a join became something else")
        named = not (after.using_clause or after.is_natural) or "=" not in proof.view.catalog.operators
        require(named, "the target redefines `=`")
        first = len(leaves)
        left = _item(proof, before.larg, after.larg, env, leaves, clauses, stack)
        right = _item(proof, before.rarg, after.rarg, env, leaves, clauses, stack)
        pair(before, after, env, stack, "larg", "rarg")
        keeps_left = before.jointype in {pb.JOIN_INNER, pb.JOIN_LEFT}
        keeps_right = before.jointype in {pb.JOIN_INNER, pb.JOIN_RIGHT}
        if before.HasField("quals"):
            require(after.HasField("quals"), "ON vanished")
            reach = (left if keeps_right else []) + (right if keeps_left else [])
            clauses.append(Clause(before.quals, after.quals, reach))
        if before.HasField("alias"):
            for leaf in leaves[first:]:
                leaf.alias = ""
            return []
        return (left if keeps_left else []) + (right if keeps_right else [])
    if type(before) is pb.RangeVar:
        leaf = _relation(proof, before, after, env)
    elif type(before) is pb.RangeFunction and (prescribed := sources.partition_source(before, proof.view)) is not None:
        require(same(prescribed, after), "a function in FROM is not the derived table that it should be")
        argument = sources.partition_argument(before)
        stack.append((argument, argument, env))
        leaf = Leaf(before.alias.aliasname)
    elif type(before) is pb.RangeFunction and (listed := sources.listing_source(before, proof.view)) is not None:
        require(same(listed, after), "a listing is not the one that is shown")
        leaf = Leaf(before.alias.aliasname)
    else:
        require(type(before) in _SOURCES and type(before) is type(after), "a FROM item of an unknown kind")
        since = SINCE.get(type(after), (0, ""))[0]
        require(proof.view.catalog.server_version >= since * 10_000, "a FROM item that this server would call")
        spread = sources.unnested(before) if type(before) is pb.RangeFunction else None
        pair(spread or before, after, env, stack)
        leaf = Leaf(before.alias.aliasname)
    leaves.append(leaf)
    return [leaf]


def _relation(proof: Proof, before: Message, after: Message, env: Env) -> Leaf:
    alias = before.alias.aliasname or before.relname
    require(not before.catalogname, "a relation of a named database")
    if not before.schemaname and before.relname in env:
        require(type(after) is pb.RangeVar and same(before, after), "a visible WITH item became something else")
        return Leaf(alias)
    require(type(after) is pb.RangeSubselect and not after.lateral, "a relation is not in a derived table")
    named = same(before.alias, after.alias) if before.HasField("alias") else not after.alias.colnames
    require(named and after.alias.aliasname == alias, "the alias of a derived table changed")
    select = concrete(after.subquery)
    require(type(select) is pb.SelectStmt, "a derived table that does not read")
    require({described.name for described, _ in select.ListFields()} <= _DERIVED, "a derived table has more to it")
    require(select.op == pb.SETOP_NONE and len(select.from_clause) == 1, "a derived table reads more than one relation")
    try:
        meant = evidence(before.schemaname, before.relname, proof.view)
    except GatewayError as error:
        raise Refused(error.refusal) from error
    if meant is None:
        raise unproven("a relation that does not exist for the view")
    source = concrete(select.from_clause[0])
    require(type(source) is pb.RangeVar and not source.catalogname, "a derived table reads no relation")
    require(
        (source.schemaname, source.relname, source.inh) == (meant.schema, meant.name, before.inh), "another relation"
    )
    require(source.alias.aliasname == "t" and not source.alias.colnames, "the inner alias changed")
    columns = list(select.target_list)
    marked = before.location == proof.marked
    if marked:
        require(same(_IDENTITY.select_stmt, _identity(columns[-2:])), "a row that is written has no identity")
        columns = columns[:-2]
    more = next((at for at, one in enumerate(columns) if one.res_target.name not in meant.values), len(columns))
    if more < len(columns):
        # INVARIANT: not among the texts that were proven before, since what is around decides.
        check_aggregates.yields(proof, proof.around, before, meant, columns[more:])
        _complete(proof, meant, _compared(columns[:more], meant), alias, renamed=False)
    elif marked:
        _complete(proof, meant, _compared(columns, meant), alias, renamed=False)
    else:
        _columns(proof, select, meant, alias, source.location, renamed=bool(before.alias.colnames))
    inside = conjuncts(select.where_clause) if select.HasField("where_clause") else []
    needed = len(meant.conditions)
    stated = len(inside) >= needed and _rows(proof, select, meant, inside, source.location)
    require(stated, f"the rows of `{meant.name}` are not the view's")
    offset = select.limit_offset.a_const
    fenced = offset.WhichOneof("val") == "ival" and offset.ival.ival == 0
    require(fenced if meant.fenced else not select.HasField("limit_offset"), "the fence is not where it should be")
    return Leaf(alias, meant, inside[needed:], renamed=bool(before.alias.colnames))


def _identity(columns: list[Message]) -> Message:
    made = pb.SelectStmt()
    made.CopyFrom(_IDENTITY.select_stmt)
    del made.target_list[:]
    for column in columns:
        made.target_list.append(column)
    return made


def _rows(proof: Proof, select: Message, meant: Evidence, inside: list[Message], start: int) -> bool:
    """Whether the first conditions are those of the evidence.

    Their text is compared before their trees: from the place of the relation to the next AND, or to OFFSET, equal text
    is an equal tree, because the parser was there in the same state and saw the same tokens.
    """
    if len(inside) == len(meant.conditions):
        stop = select.limit_offset.a_const.location
        if meant.fenced and proof.raw[start:stop] == meant.rows_alone + b" OFFSET ":
            return True
    elif meant.rows_first and proof.raw.startswith(meant.rows_first + b" AND ", start):
        return True
    return all(map(same, meant.conditions, inside))


def _columns(proof: Proof, select: Message, meant: Evidence, alias: str, stop: int, *, renamed: bool) -> None:
    """Prove the target list; one whose text was proven before is not compared again (see `_rows` for the reason)."""
    start = select.target_list[0].res_target.location if select.target_list else stop
    text = proof.raw[start:stop]
    shown = meant.proven.get(text)
    if shown is None:
        shown = _compared(select.target_list, meant)
        if len(meant.proven) < min(_MOST_PROVEN, _PROVEN_BYTES // max(1, len(text))):
            meant.proven[text] = shown
    _complete(proof, meant, shown, alias, renamed=renamed)


def _complete(proof: Proof, meant: Evidence, shown: frozenset[str], alias: str, *, renamed: bool) -> None:
    """Require each column that the user's statement may name."""
    whole = proof.everything or renamed or alias in proof.alone
    for name in meant.values:
        wanted = name in proof.words or (whole and name not in SYSTEM_COLUMNS)
        require(name in shown or not wanted, "a column is missing")


def _compared(target_list: Iterable[Message], meant: Evidence) -> frozenset[str]:
    """The columns that a target list shows, each proven to be what the view shows."""
    targets = iter(target_list)
    target = next(targets, None)
    shown = set()
    for name, value in meant.values.items():
        if target is not None and target.res_target.name == name:
            require(same(value, target.res_target.val), f"column `{name}` is not what the view shows")
            require(not target.res_target.indirection, f"column `{name}` has more to it")
            shown.add(name)
            target = next(targets, None)
    require(target is None, "a derived table shows a column that the view does not")
    return frozenset(shown)


def _justify(proof: Proof, leaves: list[Leaf], clauses: list[Clause], env: Env, stack: Stack) -> None:
    """Prove that what was put into derived tables is what conditions of this SELECT say."""
    left = {id(condition): (leaf, condition) for leaf in leaves for condition in leaf.inside}
    for clause in clauses:
        before, after = conjuncts(clause.user), conjuncts(clause.outgoing)
        require(len(before) == len(after), "the number of conditions changed")
        for one, other in zip(before, after, strict=True):
            replaced = other.a_const.boolval.boolval and not one.a_const.boolval.boolval
            for key, (leaf, condition) in list(left.items()):
                if not any(leaf is reached for reached in clause.reach):
                    continue
                if _stands_for(proof, condition, one, leaf, leaves, replaced, env, stack):
                    del left[key]
                    if replaced:
                        proof.moved.add(one.a_expr.location)
                    break
            else:
                require(not replaced, "a condition vanished")
    require(not left, "a derived table has a condition that is not the user's")


def _stands_for(
    proof: Proof,
    inner: Message,
    user: Message,
    leaf: Leaf,
    leaves: list[Leaf],
    replaced: bool,
    env: Env,
    stack: Stack,
) -> bool:
    """Whether the inner condition is the user's, on the column itself, and may be there."""
    if (
        inner.WhichOneof("node") != "a_expr"
        or user.WhichOneof("node") != "a_expr"
        or leaf.relation is None
        or leaf.renamed
    ):
        return False
    mine, theirs = inner.a_expr, user.a_expr
    operator = texts(theirs.name)
    if mine.kind != theirs.kind or texts(mine.name) != operator or not operator:
        return False
    if operator[-1] not in _COMPARING.get(mine.kind, ()) or (
        len(operator) == 1 and operator[0] in proof.view.catalog.operators
    ):
        return False
    for side, across in (("lexpr", "rexpr"), ("rexpr", "lexpr")):
        column, reference = concrete(getattr(theirs, side)), concrete(getattr(mine, side))
        if type(column) is not pb.ColumnRef or type(reference) is not pb.ColumnRef:
            continue
        name = _own_column(column, leaf, leaves)
        searching = operator[-1] == "=" and mine.kind in {pb.AEXPR_OP, pb.AEXPR_IN}
        allowed = leaf.relation.searched if replaced else leaf.relation.clear
        if not name or texts(reference.fields) != ("t", name) or name not in allowed or (replaced and not searching):
            return False
        constants, originals = getattr(mine, across), getattr(theirs, across)
        kind = leaf.relation.kinds.get(name)
        if replaced and kind not in _SAFE_COLUMNS:
            kind = None
        if not _constant(proof, constants, kind) or not _alike(constants, originals):
            return False
        stack.append((originals, constants, env))
        return True
    return False


def _own_column(column: Message, leaf: Leaf, leaves: list[Leaf]) -> str:
    """The column of `leaf` that a reference names without any doubt."""
    names = texts(column.fields)
    if not names or leaf.relation is None:
        return ""
    if len(names) == 1:
        others = [one for one in leaves if one is not leaf]
        certain = all(
            one.relation is not None and not one.renamed and names[0] not in one.relation.values for one in others
        )
        return names[0] if certain else ""
    if len(names) == 3 and names[0] != leaf.relation.schema:
        return ""
    namesakes = [one for one in leaves if one.alias == names[-2]]
    return names[-1] if len(names) <= 3 and len(namesakes) == 1 and namesakes[0] is leaf else ""


def _constant(proof: Proof, node: Message, column: str | None) -> bool:
    """Whether comparing a column of that type with it cannot fail; None for one that is never converted."""
    message = concrete(node)
    if type(message) is pb.List:
        return all(_constant(proof, item, column) for item in message.items)
    casts = []
    while type(message) is pb.TypeCast:
        casts.append(message.type_name)
        message = concrete(message.arg)
    kinds = {(texts(one.names) or ("",))[-1] for one in casts}
    if len(casts) > 1 or not kinds <= SAFE_CASTS or (column is not None and column not in _SAFE_COLUMNS):
        return False
    if type(message) is not pb.ParamRef:
        return type(message) is pb.A_Const
    arrays = any(one.array_bounds for one in casts)
    return proof.declared_safely and not arrays and kinds <= {"text", "varchar", "bpchar"} and column != "numeric"


def _alike(one: Message, other: Message) -> bool:
    """Equal but for the qualification of type names, which the walk proves afterwards."""
    a, b = concrete(one), concrete(other)
    if type(a) is not type(b):
        return False
    if type(a) is pb.List:
        return len(a.items) == len(b.items) and all(map(_alike, a.items, b.items))
    if type(a) is pb.TypeCast:
        return (texts(a.type_name.names) or ("",))[-1] == (texts(b.type_name.names) or ("",))[-1] and _alike(
            a.arg, b.arg
        )
    return same(a, b)
