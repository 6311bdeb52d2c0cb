"""Statement text in, plan or refusal out: parse, rewrite, check, in that order and none left out.

INVARIANT: a plan is returned only when `check.unproven` found nothing to say about the outgoing text.
"""

from __future__ import annotations

from dataclasses import replace

import postgast

from gateway.errors import Refusal
from gateway.sql.postgres import check
from gateway.sql.postgres.deparse import deparse
from gateway.sql.postgres.lens import lens_of
from gateway.sql.postgres.parse import canonical_normalised, fingerprint, normalised, parse
from gateway.sql.postgres.rewrite import Rewriter
from gateway.sql.postgres.statements import Settled, settle
from gateway.sql.postgres.subjects import arguments, conceals, subjects
from gateway.sql.postgres.tree import Refused
from gateway.sql.statement import Limits, Plan, View


def analyse(text: str, view: View) -> Plan | Refusal:
    """What may run for a text that came from a client, or why nothing may. Pure and deterministic; never raises."""
    try:
        return _plan(text, view)
    except Refused as refused:
        return _placed(refused, text)
    except Exception as error:  # FAIL CLOSED: a fault of ours must not let a statement pass, nor end the session.
        return fault(error)


def fault(error: Exception) -> Refusal:
    """The refusal for a fault inside the analysis; tests replace this to see the fault itself."""
    return Refusal(
        "internal-error",
        "the statement could not be analysed; nothing was sent",
        "report the statement to the gateway's operators",
        detail=f"{type(error).__name__}: {error}",
    )


def normalise(text: str, limits: Limits | None = None) -> str:
    """The text without literals and comments, for the record of a refusal; empty when it cannot be read."""
    try:
        return normalised(parse(text, limits or Limits()))
    except (Refused, postgast.PgQueryError):
        return ""


def _plan(text: str, view: View) -> Plan:
    parsed = parse(text, view.limits)
    if not parsed.tree.stmts:
        return Plan("", (), (), "", "", "", conceals=bool(text.strip()))
    before = normalised(parsed)
    # what the user wrote: the rewriting changes the tree
    said = conceals(parsed), subjects(parsed.tree, view.policy), arguments(parsed.tree)
    mark = fingerprint(text)
    rewriter = Rewriter(lens_of(view))
    settled = [settle(statement.stmt, rewriter) for statement in parsed.tree.stmts]
    write = next((one.write for one in settled if one.write is not None), None)
    if write is not None and len(settled) > 1:
        raise Refused(
            Refusal(
                "statement-not-allowed",
                f"{write.verb} may not stand in one message with other statements",
                "send each statement on its own; BEGIN and COMMIT around them may be",
            )
        )
    rewritten = deparse(parsed.tree, rewriter.loose)
    outgoing = check.prove(text, rewritten, view)
    made = _made(rewritten, before, canonical_normalised(outgoing), mark, settled, rewriter)
    return replace(made, conceals=said[0], subjects=said[1], arguments=said[2])


def _made(rewritten: str, before: str, after: str, mark: str, settled: list[Settled], rewriter: Rewriter) -> Plan:
    found = rewriter.found
    return Plan(
        rewritten=rewritten,
        kinds=tuple(one.kind for one in settled),
        verbs=tuple(one.verb for one in settled),
        normalised=before,
        rewritten_normalised=after,
        fingerprint=mark,
        relations=tuple(found.relations),
        columns_clear=tuple(found.columns["clear"]),
        columns_masked=tuple(found.columns["masked"]),
        columns_revealed=tuple(found.columns["revealed"]),
        scope=tuple(found.scope),
        raw_uses=tuple(found.raw_uses),
        notices=tuple(found.notices.values()),
        defines=tuple(pair for one in settled for pair in one.defines),
        uses=tuple(pair for one in settled for pair in one.uses),
        repin=any(one.repin for one in settled),
        write=next((one.write for one in settled if one.write is not None), None),
    )


def _placed(refused: Refused, text: str) -> Refusal:
    if refused.location < 0:
        return refused.refusal
    position = len(text.encode(errors="replace")[: refused.location].decode(errors="ignore")) + 1
    found = refused.refusal
    return Refusal(found.code, found.message, found.hint, found.detail, found.name, position, found.fatal)
