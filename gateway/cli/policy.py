"""`gateway policy check | diff | explain | scaffold | test`: what policies say and what a first one could say.

Worked out on files and targets' catalogs, without a running gateway; `scaffold` alone reads rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import FAILED, REFUSED, Ended, emit_facts, emit_json, emit_text, moment, say, show_refusal
from gateway.cli.setup import configuration, setup
from gateway.config import Config
from gateway.policy.difference import WIDER

if TYPE_CHECKING:
    from gateway.cli.scaffold_http import HttpDraft

app = typer.Typer()

_UNPROTECTED = "NONE: the target is observed; all runs as it is, and what follows is only recorded"

Paths = Annotated[
    list[Path] | None, typer.Argument(help="Policy files or directories; `policies` of the configuration otherwise.")
]


@app.command()
def check(
    paths: Paths = None,
    target: Annotated[bool, typer.Option("--target", help="Compare with the targets' catalogs as well.")] = False,
) -> None:
    """Read policies and say what is wrong with them, with file, line and column."""
    from gateway.cli.judging import checked

    found = checked(_chosen(paths), configuration("--target") if target else None)
    if setup().as_json:
        emit_json(found)
    else:
        for one in found:
            if "digest" in one:
                emit_text(f"ok    {one['source']}: target `{one['target']}`, digest {one['digest']}")
                if one["warning"]:
                    emit_text(f"warn  {one['source']}: {one['warning']}")
            else:
                emit_text(f"{'info' if one['ok'] else 'fail'}  {one['message']}")
    if not all(one["ok"] for one in found):
        raise Ended(FAILED)


@app.command("test")
def run_cases(
    paths: Paths = None,
    target: Annotated[bool, typer.Option("--target", help="Judge statements, by the targets' catalogs.")] = False,
) -> None:
    """Run the cases beside the policies."""
    from gateway.cli.judging import tested

    results = tested(_chosen(paths), configuration("--target") if target else None)
    failed = [one for one in results if one["wrong"]]
    if setup().as_json:
        emit_json(results)
    else:
        for one in failed:
            emit_text(f"fail  {one['source']}:{one['line']}: {one['name']}")
            for sentence in one["wrong"]:
                emit_text(f"      {sentence}")
        emit_text(f"{len(results) - len(failed)} of {len(results)} cases are as they should be")
    unjudged = sum(one["statement"] and not one["judged"] for one in results)
    if unjudged:
        say(f"{unjudged} of them also name a statement, which --target judges")
    if failed:
        raise Ended(FAILED)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The policy file in force.")],
    new: Annotated[Path, typer.Argument(help="The policy file to come.")],
    wider: Annotated[bool, typer.Option("--wider", help="Fail when anything becomes visible or allowed.")] = False,
) -> None:
    """Say what becomes visible or allowed that was not, and what no longer is."""
    from gateway.cli.judging import compared

    found = compared(old, new)
    if setup().as_json:
        emit_json(found)
    else:
        for one in found:
            emit_text(f"{one['effect']:9} {one['what']}: {one['old'] or 'nothing'} -> {one['new'] or 'nothing'}")
        if not found:
            emit_text("the two say the same")
    if wider and any(one["effect"] == WIDER for one in found):
        raise Ended(FAILED)


@app.command()
def explain(
    query: Annotated[
        str | None,
        typer.Argument(help="A statement, or with --request a policy file; without, only the access is explained."),
    ] = None,
    person: Annotated[str | None, typer.Option(help="A login of the directory.")] = None,
    teams: Annotated[list[str] | None, typer.Option("--team", help="Somebody of this team, instead.")] = None,
    ticket: Annotated[str | None, typer.Option(help="A ticket of the ticket source.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Which target; needed when there are several.")] = None,
    reveal: Annotated[list[str] | None, typer.Option(help="schema.table.column in clear, as if approved.")] = None,
    request: Annotated[
        str | None, typer.Option(help="A request such as 'GET /companies/42', by a policy file.")
    ] = None,
    customers: Annotated[list[str] | None, typer.Option("--customer", help="With --request: the ticket's.")] = None,
    headers: Annotated[list[str] | None, typer.Option("--header", help="With --request: 'name: value'.")] = None,
    body: Annotated[str, typer.Option(help="With --request: its body; JSON unless a header says otherwise.")] = "",
) -> None:
    """Say what a person with a ticket may do, and what a statement becomes; or what a request becomes."""
    from gateway.cli.judging import explained

    if request is not None:
        _explain_request(query, request, (customers or [], headers or [], body))
        return
    if customers or headers or body:
        raise typer.BadParameter("--customer, --header and --body go with --request")

    config = configuration("directory, tickets and target")
    if (person is None) == (not teams):
        raise typer.BadParameter("name a person (--person) or teams (--team)")
    who = (person, teams or [])
    answer, refusal = explained(config, target or _only(config), who, ticket, reveal or [], query)
    if setup().as_json:
        emit_json(answer)
    else:
        _show(answer)
    if refusal is not None:
        if not setup().as_json:
            show_refusal(refusal)
        raise Ended(REFUSED)


@app.command()
def scaffold(
    target: Annotated[str, typer.Argument(help="A target of the configuration; of an HTTP target any name.")],
    schemas: Annotated[list[str] | None, typer.Option("--schema", help="A schema to read (public).")] = None,
    customer: Annotated[str, typer.Option(help="What names the customer: schema.table.column, or a parameter.")] = "",
    sample: Annotated[int, typer.Option(min=1, max=10_000, help="Rows to look at in each table.")] = 500,
    out: Annotated[Path | None, typer.Option(help="A file for the policy; its cases go beside it.")] = None,
    openapi: Annotated[Path | None, typer.Option(help="An OpenAPI document, of an HTTP target.")] = None,
    graphql: Annotated[Path | None, typer.Option(help="A schema of GraphQL (SDL), of an HTTP target.")] = None,
) -> None:
    """Propose a first policy: from a catalog and a sample of rows, none of which is kept, or an API's schema."""
    from gateway.cli.scaffold import drafted
    from gateway.cli.scaffold_text import cases_beside, vetted, write

    if out is not None and out.name.endswith("_test.yaml"):
        raise typer.BadParameter("a file called *_test.yaml holds cases, not a policy")
    if openapi is not None and graphql is not None:
        raise typer.BadParameter("--openapi and --graphql give a policy each")
    if openapi is not None:
        _scaffold_routes(target, openapi, customer, out)
        return
    if graphql is not None:
        _scaffold_operations(target, graphql, customer, out)
        return
    cases = cases_beside(out, target) if out is not None else None
    draft = drafted(configuration("the target"), target, tuple(schemas or ["public"]), customer, sample)
    text = vetted(draft) if out is None or cases is None else write(draft, out, cases)
    files = [str(path) for path in (out, cases) if path is not None]
    if setup().as_json:
        emit_json(draft.as_json() | ({"written": files} if files else {"policy": text}))
    elif not files:
        emit_text(text.rstrip("\n"))
    for name in files:
        say(f"wrote  {name}")
    if draft.customer.guessed:
        say(f"the customer is `{draft.customer.relation}.{draft.customer.column}`, guessed {draft.customer.guessed}")
    masks = [one.mask for judged in draft.entries for one in judged.columns]
    clear = sum(mask is not None and mask["mask"] == "clear" for mask in masks)
    hidden = sum(mask is None for mask in masks)
    say(
        f"{len(draft.entries)} relations proposed: {clear} columns clear, {len(masks) - clear - hidden} masked,"
        f" {hidden} left out; {len(draft.others)} relations need `scope:`, {len(draft.left_out)} names are left out"
    )


def _scaffold_routes(target: str, document: Path, customer: str, out: Path | None) -> None:
    from datetime import UTC, datetime

    from gateway.cli.openapi import read
    from gateway.cli.scaffold_http import drafted

    _propose(drafted(target, read(document), customer, datetime.now(UTC).date()), "routes", out)


def _scaffold_operations(target: str, document: Path, customer: str, out: Path | None) -> None:
    from datetime import UTC, datetime

    from gateway.cli.graphql_schema import read
    from gateway.cli.scaffold_graphql import drafted

    _propose(drafted(target, read(document), customer, datetime.now(UTC).date()), "operations", out)


def _propose(draft: HttpDraft, what: str, out: Path | None) -> None:
    from gateway.cli.scaffold_text import written_new

    if out is not None:
        written_new(out, draft.text)
    if setup().as_json:
        emit_json(draft.as_json() | ({"written": [str(out)]} if out is not None else {"policy": draft.text}))
    elif out is None:
        emit_text(draft.text.rstrip("\n"))
    if out is not None:
        say(f"wrote  {out}")
    if draft.guessed:
        say(f"the customer is what `{draft.customer}` names, guessed by its name")
    clear, masked, hidden = draft.counts
    say(
        f"{len(draft.routes)} {what} proposed: {clear} fields clear, {masked} masked, {hidden} left out;"
        f" {len(draft.left_out)} {what} are left out"
    )


def _explain_request(file: str | None, request: str, given: tuple[list[str], list[str], str]) -> None:
    from gateway.cli.judging_http import asked, explained_request
    from gateway.policy.load import load_policy

    customers, headers, body = given
    if file is None or not customers:
        raise typer.BadParameter("--request needs a policy file, and the ticket's --customer")
    named = dict(_header(one) for one in headers)
    answer, refusal = explained_request(load_policy(Path(file)), asked(request, named, body), tuple(customers))
    if setup().as_json:
        emit_json(answer)
    else:
        _show_request(answer)
    if refusal is not None:
        if not setup().as_json:
            show_refusal(refusal)
        raise Ended(REFUSED)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise typer.BadParameter("a --header is 'name: value'")
    return name, value.strip()


def _show_request(answer: dict[str, Any]) -> None:
    emit_facts(
        [
            ("target", answer["target"]),
            ("policy", answer["policy"]),
            ("request", answer["request"]),
            ("route", answer.get("route")),
            ("customer", answer.get("customer")),
            ("recorded", answer.get("shape")),
            *(("leaves", one) for one in answer.get("leaves", [])),
            ("websocket", answer.get("websocket")),
        ]
    )
    for one in answer.get("answers", []):
        emit_text("")
        emit_facts(
            [
                ("answer", f"{one['statuses']} {one['media']}"),
                ("scope", one["scope"]),
                ("clear", one["fields_clear"]),
                ("masked", one["fields_masked"]),
                ("revealable", one["fields_revealable"]),
            ]
        )
    if answer.get("rewritten"):
        emit_text("")
        emit_text(answer["rewritten"])


def _chosen(paths: list[Path] | None) -> list[Path]:
    return paths or [configuration("the policies").policies]


def _only(config: Config) -> str:
    if len(config.targets) == 1:
        return next(iter(config.targets))
    raise typer.BadParameter(f"name one: --target {' | '.join(sorted(config.targets))}")


def _show(answer: dict[str, Any]) -> None:
    emit_facts(
        [
            ("target", answer["target"]),
            ("policy", answer["policy"]),
            ("protection", _UNPROTECTED if answer["mode"] == "observe" else None),
            ("person", answer["person"]),
            ("access", answer["access"]),
            *(("because", reason) for reason in answer.get("reasons", [])),
            ("approvers", answer.get("approvers")),
            ("until", moment(answer["expires_at"]) if "expires_at" in answer else None),
            ("statement", answer.get("statement")),
            ("reads", answer.get("relations")),
            ("clear", answer.get("columns_clear")),
            ("masked", answer.get("columns_masked")),
            ("revealed", answer.get("columns_revealed")),
            ("aggregated", answer.get("columns_aggregated")),
            ("rows", answer.get("scope")),
            ("searches", answer.get("searches")),
            *(("notice", notice) for notice in answer.get("notices", [])),
        ]
    )
    if answer.get("rewritten"):
        emit_text("")
        emit_text(answer["rewritten"])
