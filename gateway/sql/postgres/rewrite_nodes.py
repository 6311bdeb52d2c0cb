"""Operators, literals and clauses of an expression: each judged, and qualified where the syntax lets it be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import advice, guards
from gateway.sql.postgres.names import output_name
from gateway.sql.postgres.tree import Message, parts, refuse, set_names, texts
from gateway.sql.postgres.versions import SINCE

if TYPE_CHECKING:
    from gateway.sql.postgres.rewrite import Env, Rewriter, Stack

_DIGITS = frozenset("0123456789.eE+-")
# What an operator written in words, or none, is short for.
_IMPLIED = {
    "BETWEEN": ("<=", ">="),
    "NOT BETWEEN": ("<", ">"),
    "BETWEEN SYMMETRIC": ("<=", ">="),
    "NOT BETWEEN SYMMETRIC": ("<", ">"),
}


def operator(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    same_kind = guards.compared(message)
    if same_kind is not None:
        message.CopyFrom(same_kind)
    names = texts(message.name) or ()
    for implied in _IMPLIED.get(names[-1], names[-1:]):
        _judge_operator(self, (*names[:-1], implied), message.location)
    stack.extend((part, env) for part in parts(message))


def equality(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.HasField("arg"):
        _judge_operator(self, ("=",), message.location)
    stack.extend((part, env) for part in parts(message))


def number(_self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    if message.WhichOneof("val") == "fval" and not set(message.fval.fval) <= _DIGITS:
        # FAIL CLOSED: servers before 16 read `0xffffffffff` and `1_000_000_000_000` as a number and a name.
        refuse(
            "statement-not-supported",
            "a number of this form is not supported here",
            "write it in plain decimal digits",
            location=message.location,
        )


def sub_link(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    # `x IN (SELECT …)` is `= ANY` without saying so.
    implied = ("=",) if message.sub_link_type == pb.ANY_SUBLINK else ()
    _judge_operator(self, texts(message.oper_name) or implied, message.location)
    stack.extend((part, env) for part in parts(message))


def sort(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    _judge_operator(self, texts(message.use_op) or (), message.location)
    stack.append((message.node, env))


def _judge_operator(self: Rewriter, names: tuple[str, ...], location: int) -> None:
    if not names:
        return
    schema, name = names if len(names) == 2 else ("", names[-1])
    if len(names) > 2 or schema not in {"", "pg_catalog"} or (not schema and name in self.lens.view.catalog.operators):
        refuse(
            "operator-not-allowed",
            f"operator `{'.'.join(names)}` is not allowed here",
            f"only built-in operators are, and where a target has its own of that name: `OPERATOR(pg_catalog.{name})`",
            name=name,
            location=location,
        )


def collation(_self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    # A bare name that no built-in collation has would be looked up among the target's, and be there or not.
    names = texts(message.collname) or ()
    if len(names) > 2 or (len(names) == 2 and names[0] != "pg_catalog"):
        written = ".".join(names)
        refuse(
            "type-not-allowed",
            f"collation `{written}` is not allowed here",
            "use a built-in one",
            name=written,
            location=message.location,
        )
    set_names(message.collname, ("pg_catalog", *names[-1:]))
    stack.append((message.arg, env))


def column_definition(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.constraints or message.HasField("raw_default"):
        refuse(
            "statement-not-supported",
            f"constraints of the column `{message.colname}` are not supported here",
            "give names and types alone: `as r(a int, b text)`",
            name=message.colname,
            location=message.location,
        )
    self.type_name(message.type_name)
    if message.HasField("coll_clause"):
        stack.append((message.coll_clause, env))


def default(self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    if not self.defaults:
        spoken, hint = advice.kind("SetToDefault")
        refuse("statement-not-supported", f"{spoken} is not supported here", hint, location=message.location)


def sampled(_self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    refuse(
        "statement-not-supported",
        "TABLESAMPLE is not supported here",
        "use `order by random() limit n`",
        location=message.location,
    )


def output(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.name or not message.HasField("val"):
        stack.extend((part, env) for part in parts(message))
        return
    if guards.names_output(message.val, self.guarded):
        message.name = output_name(message.val)
    stack.append((message.val, env))


def newer(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    first, name = SINCE[type(message)]
    if self.lens.view.catalog.server_version < first * 10_000:
        # FAIL CLOSED: an older server would call any function of that name.
        refuse(
            "statement-not-supported",
            f"{name} needs PostgreSQL {first}, and this target is older",
            "use the functions of json and jsonb, as in `document ->> 'key'` or `jsonb_path_query(document, '$.a')`",
            location=getattr(message, "location", -1),
        )
    stack.extend((part, env) for part in parts(message))
