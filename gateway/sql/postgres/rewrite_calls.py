"""Names that could call something: functions, casts, and references to a column that PostgreSQL may take for a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import advice, functions, guards, settings, types
from gateway.sql.postgres.attributes import may_call
from gateway.sql.postgres.tree import Message, Node, copied, fill, parts, refuse, set_names, texts

if TYPE_CHECKING:
    from gateway.sql.postgres.rewrite import Env, Rewriter, Stack
    from gateway.sql.statement import View


def column(self: Rewriter, _holder: Message, message: Message, _env: Env, _stack: Stack) -> None:
    if len(message.fields) > 3:
        refuse(
            "statement-not-supported",
            "a column with a database name is not supported",
            "write `schema.table.column`, or an alias of the table",
            location=message.location,
        )
    columns = texts(message.fields) or ()
    if len(message.fields) == 3 and message.location in self.certain:
        del message.fields[0]
    if len(columns) >= 2 and may_call(columns[-1], self.items.get(columns[-2], ()), self.lens.view.catalog):
        _refuse_function(columns[-1], message.location)


def indirection(self: Rewriter, _holder: Message, message: Message, env: Env, stack: Stack) -> None:
    for part in message.indirection:
        if part.WhichOneof("node") == "string":
            name = part.string.sval
            # FAIL CLOSED: `(x).name` calls the function `name` on x; only names of columns may stand here, those that
            # the statement gives itself included.
            known = name in self.lens.column_names or name in guards.FIELDS or name in self.mentions.given
            if not known or may_call(name, (), self.lens.view.catalog):
                _refuse_function(name, -1)
    stack.extend((part, env) for part in parts(message))


def function(self: Rewriter, holder: Message, message: Message, env: Env, stack: Stack) -> None:
    if message.location in self.guarded:
        holder.CopyFrom(self.guarded[message.location])
        return
    names = texts(message.funcname) or ()
    schema, name = _resolve_function(self, names)
    if not schema:
        _refuse_function(".".join(names), message.location)
    set_names(message.funcname, (schema, name))
    if schema == "pg_catalog" and name in functions.MINDING_CASE and guards.caseless(message, self.lens.caseless):
        refuse(
            "function-not-allowed",
            f"function `{name}` of citext is not allowed here, and the built-in one distinguishes between cases",
            f"cast the column to text to use that one: `{name}(column::text)`",
            name=name,
            location=message.location,
        )
    if schema == "pg_catalog" and name == functions.AGE and len(message.args) == 1:
        point = message.args[0]
        stack.append((point, env))
        today = Node()
        today.sqlvalue_function.op, today.sqlvalue_function.typmod = pb.SVFOP_CURRENT_DATE, -1
        message.args.insert(0, today)
        return
    if schema == "pg_catalog" and name in guards.FUNCTIONS:
        guard = guards.function_guard(name, message, self.lens.view)
        if guard is None:
            _refuse_guarded(name, message, self.lens.view)
        _apply(self, holder, message, guard, message.args[0] if message.args else None, env)
        return
    stack.extend((part, env) for part in parts(message))


def _resolve_function(self: Rewriter, names: tuple[str, ...]) -> tuple[str, str]:
    vouched = self.lens.view.policy.functions
    if len(names) == 1:
        name = names[0]
        if name in functions.ALLOWED or name in guards.FUNCTIONS:
            return ("pg_catalog", name)
        for schema in self.lens.view.search_path:
            if f"{schema}.{name}" in vouched:
                return (schema, name)
    elif len(names) == 2:
        schema, name = names
        if schema == "pg_catalog" and (name in functions.ALLOWED or name in guards.FUNCTIONS):
            return (schema, name)
        if schema == "information_schema" and name == "_pg_expandarray":
            return (schema, name)
        if f"{schema}.{name}" in vouched:
            return (schema, name)
    return ("", "")


def _apply(
    self: Rewriter, holder: Message, message: Message, guard: guards.Guard, hole: Message | None, env: Env
) -> None:
    """Put a guarded call or cast in the form that its guard prescribes."""
    if guard.instead is not None:
        if guard.hole is not None:
            self.visit([(guard.hole, env)])
        holder.CopyFrom(guard.instead)
        return
    self.visit([(part, env) for part in parts(message) if type(part) is not pb.TypeName])
    if guard.argument and guard.condition is not None and hole is not None:
        hole.CopyFrom(_judged(guard.condition, hole, hole))
        return
    made = copied(holder)
    if guard.result:
        made = guards.cast_to(made, guard.result)
    if guard.condition is not None and hole is not None:
        made = _judged(guard.condition, hole, made)
    holder.CopyFrom(made)


def _judged(condition: Message, hole: Message, value: Message) -> Message:
    """The value where the condition on the hole holds, else NULL."""
    case = Node()
    when = case.case_expr.args.add().case_when
    when.expr.CopyFrom(condition)
    fill(when.expr, hole)
    when.result.CopyFrom(value)
    return case


def _refuse_function(name: str, location: int) -> NoReturn:
    refuse(
        "function-not-allowed",
        f"function `{name}` is not allowed here",
        advice.function(name),
        name=name,
        location=location,
    )


def _refuse_guarded(name: str, call: Message, view: View) -> NoReturn:
    """Refuse a call that is allowed in another form than this one; what it was called with is a value, and not told."""
    setting = call.args[0].a_const.sval.sval if call.args else ""
    if name == "current_setting" and setting and not settings.readable(setting):
        refuse(
            "function-not-allowed",
            f"function `{name}` may not read this setting",
            advice.shown_setting(setting),
            name=name,
            location=call.location,
        )
    if name == "set_config" and setting:
        refuse(
            "function-not-allowed",
            f"function `{name}` may not change this setting, or not this way",
            advice.changed_setting(settings.canonical(setting), fixed=view.fixed),
            name=name,
            location=call.location,
        )
    refuse(
        "function-not-allowed",
        f"function `{name}` is not allowed here with such arguments",
        "give it a column, a parameter or a constant that names what you may see",
        name=name,
        location=call.location,
    )


def cast(self: Rewriter, holder: Message, message: Message, env: Env, stack: Stack) -> None:
    naming = types.naming(texts(message.type_name.names) or ())
    if naming:
        guard = guards.cast_guard(naming, message, self.lens.view)
        if guard is None:
            # What is cast is a literal, and a refusal is recorded word for word.
            code = "relation-not-available" if naming == "regclass" else "type-not-allowed"
            refuse(
                code,
                f"what is cast to `{naming}` does not exist, or is not available to you",
                advice.RELATION
                if naming == "regclass"
                else f"`{naming}` takes a column, a number or a built-in's name",
                name=naming,
                location=message.location,
            )
        set_names(message.type_name.names, ("pg_catalog", naming))
        _apply(self, holder, message, guard, message.arg, env)
        return
    stack.append((message.arg, env))
    stack.append((message.type_name, env))
