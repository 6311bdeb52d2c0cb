"""The text of a proposal: what it says of each column, and that no name of the target's gets out of its place."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.scaffold import Draft, Judged
from gateway.cli.scaffold_text import cases_text, policy_text, vetted
from gateway.errors import GatewayError
from gateway.policy.classify import Proposal
from gateway.policy.load import parse_policy
from gateway.policy.paths import Customer, Way
from gateway.sql.catalog import Catalog

CUSTOMERS = Judged(
    "public.customers",
    (
        Proposal("id", "customer", "what a ticket names", {"mask": "clear"}),
        Proposal("email", "e-mail address", "by its values", {"mask": "email", "search": "exact"}, 0.987, 300, True),
        Proposal("notes", "free text", "by its name", None, 0.001, 300),
    ),
    Way("id"),
)


def draft(**changes: Any) -> Draft:
    parts: dict[str, Any] = {
        "target": "main",
        "schemas": ("public",),
        "rows": 500,
        "customer": Customer("public.customers", "id", "by its name"),
        "example": "42",
        "entries": (CUSTOMERS,),
        "others": (),
        "left_out": (),
        "catalog": Catalog(),
    }
    return Draft(**(parts | changes))


def test_each_column_says_why_with_the_share_that_matched() -> None:
    lines = [line.strip() for line in policy_text(draft()).splitlines()]
    assert "id: clear  # customer: what a ticket names" in lines
    assert (
        "email: {mask: email, search: exact}  # e-mail address: by its values; 99 % of 300 sampled values" in lines
    )  # fmt: skip
    assert "# notes: left out; free text: by its name; less than 1 % of 300 sampled values" in lines
    assert "public.customers: [email]" in lines


HOSTILE = "x\ntarget: other\n  public.secrets:\u2028    scope: none #\x1b[2J\x9b\u202e"


def test_a_hostile_name_stays_in_its_comment() -> None:
    others = Judged(
        'public.a"b: {c',
        (Proposal("- d: &e", HOSTILE, HOSTILE, {"mask": "clear"}), Proposal("#f", HOSTILE, HOSTILE)),
        None,
        "needs it",
        HOSTILE,
        problem=HOSTILE,
    )
    text = policy_text(draft(others=(others,), left_out=((HOSTILE, HOSTILE),)))
    assert list(parse_policy(text).tables) == ["public.customers"]
    assert text.isprintable() or set(text) - {"\n"} == {one for one in text if one.isprintable()}
    assert [line for line in text.splitlines() if "secrets" in line and not line.lstrip().startswith("#")] == []


@pytest.mark.parametrize(
    "name", ["null", "true", "1", "a: b", "- x", "&a", "*a", "!!str", "%T", "{x}", "é", "y\u202ez"]
)
def test_a_hostile_name_that_a_policy_can_have_means_itself(name: str) -> None:
    entry = Judged(f"public.{name}", (Proposal(name, "x", HOSTILE, {"mask": "clear"}),), Way(name, others=(HOSTILE,)))
    policy = parse_policy(policy_text(draft(entries=(CUSTOMERS, entry))))
    table = policy.tables[f"public.{name}"]
    assert (list(table.columns), table.scope.column) == ([name], name)
    assert "cases:" in cases_text(draft(entries=(entry,)))


def test_a_draft_without_a_relation_is_no_policy() -> None:
    with pytest.raises(GatewayError, match="no relation can be proposed"):
        vetted(draft(entries=()))


def test_without_a_configuration_there_is_no_target(terminal: Any) -> None:
    said = terminal.run("policy", "scaffold", "main")
    assert (said.code, said.out) == (78, "")
    assert "there is no configuration for the target" in said.err
    assert "hint: " in said.err
