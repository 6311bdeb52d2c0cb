"""SELECTs of search engines: what is refused and how, what goes on, and that no change of it is proven."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.errors import GatewayError, Refusal
from gateway.policy.load import load_policy
from gateway.sql.declared import declared
from gateway.sql.rooms import analyse, normalise, telling
from gateway.sql.statement import Limits, Plan, View
from gateway.sql.tree.flat_check import prove
from gateway.sql.tree.grammar import GRAMMARS
from gateway.sql.tree.parameters import filled
from gateway.sql.tree.reading import read

CORPUS = Path(__file__).parents[2] / "corpus" / "search"
POLICY = load_policy(CORPUS / "shop.yaml")
DIALECTS = ("elasticsearch", "opensearch")


def view(dialect: str, *, customers: tuple[str, ...] = ("42",), **more: Any) -> View:
    policy = replace(POLICY, dialect=dialect)
    return View(policy, declared(policy), customers, search_path=policy.schemas, **more)


def cases(name: str) -> list[Any]:
    read = YAML(typ="safe").load(CORPUS / f"{name}.yaml")
    return [
        pytest.param(dialect, one, id=f"{dialect}-{number}")
        for number, one in enumerate(read)
        for dialect in one["dialects"]
    ]


def plan(sql: str, dialect: str = "elasticsearch", **more: Any) -> Plan:
    found = analyse(sql, view(dialect, **more))
    assert isinstance(found, Plan), found
    return found


def refused(sql: str, dialect: str = "elasticsearch", **more: Any) -> Refusal:
    found = analyse(sql, view(dialect, **more))
    assert isinstance(found, Refusal), found
    return found


@pytest.mark.parametrize(("dialect", "one"), cases("attacks"))
def test_an_attack_is_refused_with_its_code(dialect: str, one: dict[str, str]) -> None:
    refusal = refused(one["sql"], dialect)

    assert refusal.code == one["code"], refusal
    assert refusal.hint


@pytest.mark.parametrize(("dialect", "one"), cases("legitimate"))
def test_what_runs_has_the_customers_condition_and_proofs_of_it(dialect: str, one: dict[str, str]) -> None:
    found = plan(one["sql"], dialect)

    if found.relations != ("main.countries",):
        assert re.search(r" WHERE \(\([`\"](?:company_id|id|customer)[`\"] = (?:42|'42')\)\)", found.rewritten)
        assert found.guards in {("scope",), ("lowest", "highest", "counted", "present")}
    assert ("count(" in one["sql"] or "max(" in one["sql"] or "sum(" in one["sql"]) == (len(found.guards) == 4)


def test_a_masked_column_goes_on_as_it_is_and_is_known_by_its_place() -> None:
    found = plan("select status, email as e, upper(status) as u from employees as x where x.id > 1 order by u limit 3")

    assert found.rewritten == (
        'SELECT "status" AS "gateway_1", "email" AS "gateway_2", upper("status") AS "gateway_3",'
        ' "company_id" AS "gateway_scope" FROM "employees" WHERE (("company_id" = 42)) AND ("id" > 1)'
        ' ORDER BY upper("status") LIMIT 3'
    )
    assert found.outputs == (("status", "status"), ("e", "email"), ("u", ""))
    assert found.columns_masked == ("main.employees.email",)
    assert found.columns_clear == ("main.employees.id", "main.employees.status")
    assert found.scope == ("main.employees: company_id = ticket.customer",)


def test_a_revealed_column_is_as_clear_as_any() -> None:
    reveal = frozenset({("main.employees", "email")})
    found = plan("select upper(email) as e from employees where email like 'a%'", reveal=reveal)

    assert found.columns_revealed == ("main.employees.email",)


def test_several_customers_have_rows_and_no_groups() -> None:
    both = ("42", "7")
    assert '(("company_id" = 42) OR ("company_id" = 7))' in plan("select id from employees", customers=both).rewritten
    assert refused("select count(*) from employees", customers=both).code == "statement-not-supported"
    assert plan("select count(*) as n from countries", customers=both).guards == ()


@pytest.mark.parametrize("customer", ["", "42 or 1=1", "042", "4.2", "' or ''='"])
def test_a_customer_that_is_none_of_the_column_is_refused(customer: str) -> None:
    assert refused("select id from companies", customers=(customer,)).code == "customer-invalid"


def test_without_a_customer_nothing_runs() -> None:
    assert refused("select id from companies", customers=()).code in {"customer-invalid", "statement-not-supported"}


def test_what_is_written_for_a_record_has_no_literal() -> None:
    policy = replace(POLICY, dialect="elasticsearch")
    text = "select id from employees where email = 'alice@example.com'"

    assert normalise(text, policy) == 'SELECT "id" FROM "employees" WHERE ("email" = ?)'
    assert telling(text, policy) == ("alice@example.com",)


@pytest.mark.parametrize(
    ("dialect", "value", "written"),
    [("elasticsearch", "it's \\", "'it''s \\'"), ("opensearch", "it's \\", "'it''s \\\\'"),
     ("opensearch", b"-1.5", "-1.5"), ("elasticsearch", None, "NULL"), ("elasticsearch", True, "TRUE"),
     ("elasticsearch", False, "FALSE")],
)  # fmt: skip
def test_a_parameter_stands_in_its_place(dialect: str, value: Any, written: str) -> None:
    assert filled("select ?, '?' from x", [value], dialect) == f"select  {written} , '?' from x"


@pytest.mark.parametrize("values", [[], [1, 2], [["x"]], [{"a": 1}]])
def test_parameters_that_do_not_fit_are_refused(values: list[Any]) -> None:
    with pytest.raises(GatewayError):
        filled("select ? from x", [str(one) if isinstance(one, int) else one for one in values], "elasticsearch")


ASKED = [
    "select id, email, status as s from employees as e where e.status = 'open' or s = 'x' order by e.id desc limit 3",
    "select status, count(*) as n from employees where id < 3 group by status having count(*) > 1 order by n",
    "select customer, note from notes where id in (1, 2) and not id = 3",
    "select code, case when code = 'FR' then 'a' else 'b' end as c from countries",
]


def mutants(text: str) -> Iterator[str]:
    """The text with one word left out, said twice, or otherwise."""
    others = {
        "42": "7",
        "=": "<>",
        "AND": "OR",
        "OR": "AND",
        "MIN": "MAX",
        "MAX": "MIN",
        "COUNT": "MAX",
        "LIMIT": "OFFSET",
    }
    for match in re.finditer(r"[`\"][^`\"]*[`\"]|'(?:[^']|'')*'|\w+|[^\w\s]", text):
        word, start, end = match[0], match.start(), match.end()
        yield text[:start] + text[end:]
        if word != ",":
            # a reader passes over a second comma, and no server does
            yield text[:end] + " " + word + text[end:]
        if word in others:
            yield text[:start] + others[word] + text[end:]
        if word[0] in '`"':
            for name in ("notes", "salary", "employees", "id", "company_id", "gateway_1", "hidden"):
                if name != word[1:-1]:
                    yield text[:start] + word[0] + name + word[0] + text[end:]
        if word[0] == "'":
            yield text[:start] + "'y'" + text[end:]
        if word.isdigit():
            yield text[:start] + str(int(word) + 1) + text[end:]
    yield text + " UNION ALL SELECT * FROM employees"
    yield text + "; SELECT 1"


SAME = re.compile(r"\s+|[()]|\bAS\b|[`\"](?=\w)|(?<=\w)[`\"]|\bTHEN\b", re.IGNORECASE)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("sql", ASKED, ids=range(len(ASKED)))
def test_every_single_change_of_what_goes_out_is_found(sql: str, dialect: str) -> None:
    found, grammar = plan(sql, dialect), GRAMMARS[dialect]
    asked = read(sql, grammar, Limits())

    def proven(text: str, outputs: Any = found.outputs, guards: Any = found.guards) -> bool:
        try:
            prove(text, outputs, guards, asked, view(dialect), grammar)
        except GatewayError:
            return False
        return True

    assert proven(found.rewritten)
    missed = [
        mutant
        for mutant in dict.fromkeys(mutants(found.rewritten))
        # quotes, parentheses and AS around the person's own parts change nothing
        if SAME.sub("", mutant) != SAME.sub("", found.rewritten) and proven(mutant)
    ]
    assert missed == []
    assert not proven(found.rewritten, (*found.outputs, ("x", "id")))
    assert not proven(found.rewritten, tuple((name, "id") for name, _ in found.outputs))
    assert not found.guards or not proven(found.rewritten, guards=())
