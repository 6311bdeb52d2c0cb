"""A draft as a policy file and a file of cases.

INVARIANT: a name of the target's cannot end the line, the string or the comment that it stands in: outside comments it
is plain or in double quotes with escapes (YAML 1.2, 5.7 and 7.3.1), inside comments everything unprintable is spelled.
So the text means what the draft says, whatever somebody called a table, and no terminal obeys it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from string import Template

from gateway.cli.scaffold import Draft, Judged
from gateway.errors import GatewayError
from gateway.policy.cases import parse_cases
from gateway.policy.classify import Proposal
from gateway.policy.load import parse_policy
from gateway.policy.shapes import LARGEST
from gateway.sql.fit import check_against

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SPOKEN = re.compile(r"[^\s.\"'`#{}\[\],:&*!|>%@]+")


def quote(text: str) -> str:
    """The text as a YAML scalar on one line."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_escaped(c) if c in '"\\' or _unprintable(c) else c for c in text) + '"'


def spoken(text: str) -> str:
    """The text as part of a comment: one line, nothing unprintable, not without end."""
    shown = "".join(_escaped(c) if _unprintable(c) else c for c in text[:300])
    return shown if len(text) <= 300 else f"{shown}…"


def vetted(draft: Draft, tests: str = "") -> str:
    """The policy's text, once it was read back and compared with the catalog.

    Raises `GatewayError`: `policy-invalid` when the draft has no relation or is not what a gateway would take,
    `request-invalid` when it is too large.
    """
    if not draft.entries:
        raise GatewayError(
            "policy-invalid", "no relation can be proposed", hint="name another column of customers with --customer"
        )
    text = policy_text(draft, tests)
    if len(text.encode()) > LARGEST:
        raise GatewayError(
            "request-invalid", "the proposal is larger than a policy may be", hint="name fewer schemas with --schema"
        )
    policy = parse_policy(text, "the proposal")
    faults = [one.message for one in check_against(policy, draft.catalog) if one.severity == "error"]
    if faults:
        raise GatewayError("policy-invalid", f"the proposal does not fit the target: {'; '.join(faults)}")
    return text


def cases_beside(out: Path, target: str) -> Path:
    """Where the cases of a policy at `out` go. Raises `GatewayError("request-invalid")` when one of the two exists."""
    stem = out.stem if re.fullmatch(r"[A-Za-z0-9_.-]+", out.stem) else target
    cases = out.with_name(f"{stem}_test.yaml")
    for path in (out, cases):
        if os.path.lexists(path):
            raise GatewayError(
                "request-invalid",
                f"`{path}` exists",
                hint="name another file with --out; `gateway policy diff` compares the two",
            )
    return cases


def write(draft: Draft, out: Path, cases: Path) -> str:
    """Write the policy to `out` and its cases to `cases`, neither over anything; the policy's text.

    Raises `GatewayError`: `request-invalid` when a file cannot be made, else as `vetted`.
    """
    text, of_cases = vetted(draft, cases.name), cases_text(draft)
    parse_cases(of_cases, "the proposed cases")
    for path, content in ((out, text), (cases, of_cases)):
        written_new(path, content)
    return text


def written_new(path: Path, content: str) -> None:
    """Write a file that was not there. Raises `GatewayError("request-invalid")` when it cannot be made."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise GatewayError("request-invalid", f"`{path}` cannot be written: {error.strerror}") from None


def policy_text(draft: Draft, tests: str = "") -> str:
    """The policy as YAML; `tests` is the name of the file of cases beside it."""
    return "\n".join([*_head(draft), *_tables(draft), *_others(draft), *_reveal(draft), *_tests(tests)]) + "\n"


def cases_text(draft: Draft) -> str:
    """Cases that the policy must decide as they say."""
    return "\n".join(_cases(draft)) + "\n"


def _head(draft: Draft) -> Iterator[str]:
    customer = draft.customer
    how = f"guessed {customer.guessed}" if customer.guessed else "as it was given"
    yield f"# A first policy of `{draft.target}`, proposed from its catalog and up to {draft.rows} rows of each table."
    yield "# It is a draft: read every line before it goes into force. What was not understood is left out, so hidden."
    yield f"# The customer is {spoken(customer.relation)}.{spoken(customer.column)}: {how}."
    yield "# Percentages say which part of the sampled values looks like what the column was taken for."
    template = resources.files("gateway.cli").joinpath("templates", "policy.yaml").read_text(encoding="utf-8")
    head = template.partition("# One entry per table")[0]
    yield Template(head[head.index("target:") :].rstrip("\n") + "\n").substitute(target=draft.target)
    if draft.schemas != ("public",):
        yield "# Where names without a schema are looked up."
        yield f"schemas: [{', '.join(map(quote, draft.schemas))}]"
        yield ""


def _tables(draft: Draft) -> Iterator[str]:
    yield "tables:"
    for judged in draft.entries:
        assert judged.way is not None
        yield f"  {quote(judged.relation)}:"
        yield f"    scope: {_scope(judged.way.scope)}"
        if judged.way.others:
            others = spoken(", ".join(judged.way.others))
            yield f"    # leads to the customer as well: {others}; choose the one that says whose row it is"
        if judged.problem:
            yield f"    # {spoken(judged.problem)}; judged by names alone"
        yield "    columns:"
        yield from _columns(judged, "      ")
        yield ""


def _columns(judged: Judged, indent: str) -> Iterator[str]:
    for one in judged.columns:
        if one.mask is None:
            yield f"{indent}# {quote(one.name)}: left out; {_reason(one)}"
        else:
            yield f"{indent}{quote(one.name)}: {_mask(one)}  # {_reason(one)}"


def _reason(one: Proposal) -> str:
    text = f"{one.what}: {one.why}"
    if one.share is not None and one.count:
        percent = 100 * one.share
        shown = f"{percent:.0f}" if percent >= 1 or not percent else "less than 1"
        text += f"; {shown} % of {one.count} sampled values"
    return spoken(text)


def _mask(one: Proposal) -> str:
    assert one.mask is not None
    if set(one.mask) == {"mask"}:
        return _value(one.mask["mask"])
    return "{" + ", ".join(f"{name}: {_value(value)}" for name, value in one.mask.items()) + "}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote(value) if isinstance(value, str) else str(value)


def _scope(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z_][\w.]* (?:= ticket[.]customer|in [\w.]+)", text, re.ASCII) else quote(text)


def _others(draft: Draft) -> Iterator[str]:
    if draft.others:
        yield "  # Not proposed. Write what is missing and take the comment signs away, or leave them hidden."
    for judged in draft.others:
        yield "  #"
        hint = f"; `{spoken(judged.hint)}` may be the customer, by its name" if judged.hint else ""
        harmless = "; nothing personal was seen in it: it may be a reference table" if judged.harmless else ""
        yield f"  # {spoken(judged.relation)}: {judged.note}{hint}{harmless}{_trouble(judged)}"
        if not judged.shown:
            continue
        yield f"  # {quote(judged.relation)}:"
        yield f"  #   scope: {'none' if judged.harmless else '…'}"
        yield "  #   columns:"
        yield from (f"  # {line}" for line in _columns(judged, "    "))
    if draft.left_out:
        yield "  #"
        yield "  # Left out:"
        yield from (f"  #   {spoken(name)}: {spoken(reason)}" for name, reason in draft.left_out)
    yield ""


def _trouble(judged: Judged) -> str:
    return f"; {spoken(judged.problem)}" if judged.problem else ""


def _reveal(draft: Draft) -> Iterator[str]:
    found = {one.relation: [c.name for c in one.shown if c.reveal] for one in draft.entries}
    found = {name: columns for name, columns in found.items() if columns}
    if found:
        yield "# What an approved request may ask to see in clear."
        yield "reveal:"
        yield from (f"  {quote(name)}: [{', '.join(map(quote, columns))}]" for name, columns in found.items())
        yield ""


def _tests(tests: str) -> Iterator[str]:
    if tests:
        yield f"tests: {quote(tests)}"


def _cases(draft: Draft) -> Iterator[str]:
    alice = "    person: {login: alice, teams: [support]}"
    ticket = f"    ticket: {{id: SUP-1, status: open, assignee: alice, customers: [{quote(draft.example)}]}}"
    yield f"# What the policy of `{draft.target}` must decide; `gateway policy test` runs it."
    yield "cases:"
    yield "  - name: support with an open ticket of her own reads at once, masked"
    yield from (alice, ticket, "    expect: approved")
    columns = list(_notable(draft))
    if columns:
        yield "    columns:"
        yield from (f"      {quote(name)}: {quote(shown)}" for name, shown in columns)
    yield ""
    yield "  - name: the customer's own rows can be counted"
    yield from (alice, ticket, "    expect: approved")
    schema, _, name = draft.customer.relation.partition(".")
    counted = f"select count(*) from {_identifier(schema)}.{_identifier(name)}"  # noqa: S608
    yield f"    sql: {quote(counted)}"
    yield f"    then: {{relations: [{quote(draft.customer.relation)}]}}"
    yield ""
    revealed = next(
        (f"{one.relation}.{c.name}" for one in draft.entries for c in one.shown if c.reveal and _short(one, c)), ""
    )
    if revealed:
        yield "  - name: seeing it in clear needs somebody of security"
        yield from (alice, ticket, f"    reveal: [{quote(revealed)}]", "    expect: approval")
        yield ""
    yield from ("  - name: no ticket, no access", alice, "    expect: ticket-required", "")
    yield from (
        "  - name: a closed ticket is no reason",
        alice,
        ticket.replace("status: open", "status: closed"),
        "    expect: ticket-closed",
        "",
    )
    yield from ("  - name: nobody writes", alice, ticket, "    write: true", "    expect: read-only")


def _notable(draft: Draft) -> Iterable[tuple[str, str]]:
    """One column of each mask, and one that is hidden, by their full names where a case can write them."""
    found: dict[str, str] = {}
    for judged in draft.entries:
        for one in judged.columns:
            shown = one.mask["mask"] if one.mask is not None else "hidden"
            if _short(judged, one):
                found.setdefault(shown, f"{judged.relation}.{one.name}")
    return [(name, shown) for shown, name in found.items()]


def _short(judged: Judged, one: Proposal) -> bool:
    return all(_SPOKEN.fullmatch(part) for part in (*judged.relation.split("."), one.name))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE


def _escaped(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
