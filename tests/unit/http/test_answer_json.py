"""What of a JSON document leaves: named fields only, of the ticket's customers only, counted as they are left."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from answering import Withheld, answer, array, field, in_chunks, left, rule

from gateway.policy.http_rules import AnswerRule


def of(document: Any, by: AnswerRule, **more: Any) -> Any:
    return json.loads(left(by, document, **more))


def test_what_is_not_named_does_not_leave() -> None:
    by = rule("json", field("$.id"), field("$.address.city"), field("$.jobs[*].title"), field("$.tags[*]"))

    made = of(
        {
            "iban": "X",
            "id": 1,
            "address": {"street": "X", "city": "Lyon"},
            "jobs": [{"title": "clerk", "salary": "X"}, {"salary": "X"}],
            "tags": ["a", "b"],
            "Id": "X",
            "id ": "X",
        },
        by,
    )

    assert made == {"id": 1, "address": {"city": "Lyon"}, "jobs": [{"title": "clerk"}, {}], "tags": ["a", "b"]}


@pytest.mark.parametrize("shape", [{"X": "X"}, ["X"], [["X"]], [{"X": "X"}]])
def test_a_value_of_another_shape_is_null(shape: Any) -> None:
    by = rule("json", field("$.id"), field("$.name", "initials"), field("$.o.p"), field("$.a[*].b"), field("$.t[*]"))
    document = {"id": shape, "name": shape, "o": {"p": shape}, "a": [{"b": shape}, shape], "t": [shape]}

    made = left(by, document)

    assert b"X" not in made
    assert json.loads(made)["id"] is None
    assert json.loads(made)["t"] == [None]


@pytest.mark.parametrize("scalar", ["X", 5, True, None])
def test_a_scalar_where_an_object_or_an_array_is_named_is_null(scalar: Any) -> None:
    by = rule("json", field("$.o.p"), field("$.a[*].b"))

    assert of({"o": scalar, "a": scalar}, by) == {"o": None, "a": None}
    assert of({"o": [scalar], "a": [scalar]}, by) == {"o": None, "a": [None]}


def test_names_leave_in_the_order_of_the_policy() -> None:
    by = rule("json", field("$.b"), field("$.a"))

    assert left(by, '{"a":1,"b":2}') == left(by, '{"b":2,"a":1}') == b'{"b":2,"a":1}'


def test_a_missing_field_stays_missing_unless_its_mask_makes_the_same_of_everything() -> None:
    by = rule("json", field("$.a"), field("$.b", "initials"), field("$.c", "redact"), field("$.d", "null"))

    assert of({}, by) == {"c": "***", "d": None}
    assert of({"c": {"x": 1}, "d": [1]}, by) == {"c": "***", "d": None}


@pytest.mark.parametrize(
    ("by", "body"),
    [
        (rule("json", field("$.a")), [1]),
        (rule("json", field("$.a")), "null"),
        (rule("json", field("$.a")), "1"),
        (rule("json", field("$[*].a")), {"a": 1}),
        (rule("json", field("$")), {"a": 1}),
        (rule("json", field("$")), [1]),
        (rule("json"), [1]),
    ],
)
def test_a_root_of_another_kind_is_withheld(by: AnswerRule, body: Any) -> None:
    with pytest.raises(Withheld) as fault:
        left(by, body)
    assert fault.value.refusal.code == "answer-unreadable"


def test_a_scalar_root_leaves_under_its_mask() -> None:
    assert left(rule("json", field("$", "initials")), '"Jean Dupont"') == b'"J.D."'
    assert left(rule("json", field("$")), "12.50") == b"12.50"


def test_arrays_of_arrays_are_masked_below() -> None:
    by = rule("json", field("$[*][*].name", "initials"))

    assert of([[{"name": "Jean Dupont", "x": 1}], [], "X"], by) == [[{"name": "J.D."}], [], None]


# whose it is


@pytest.mark.parametrize("whose", ['"42"', "42"])
def test_a_document_of_the_ticket_s_customer_leaves(whose: str) -> None:
    by = rule("json", field("$.id"), customer="$.company.id")

    assert left(by, f'{{"id": 1, "company": {{"id": {whose}}}}}') == b'{"id":1}'


@pytest.mark.parametrize(
    "company",
    ['{"id": 43}', '{"id": "042"}', '{"id": 42.0}', '{"id": 4.2e1}', '{"id": " 42"}', '{"id": "42\\u0000"}',
     '{"id": null}', '{"id": [42]}', '{"id": {"id": 42}}', '{"id": true}', "{}", "null", "42", '"42"',
     '[{"id": 42}]', '{"Id": 42}',
     '{"id": "٤٢"}', '{"id": ""}', '{"id": "42,43"}'],
)  # fmt: skip
def test_a_document_of_another_or_of_nobody_is_as_if_it_were_missing(company: str) -> None:
    by = rule("json", field("$.id"), customer="$.company.id")

    with pytest.raises(Withheld) as fault:
        left(by, f'{{"id": 1, "company": {company}}}')

    assert (fault.value.status, fault.value.refusal.code) == (404, "not-found")


def test_several_customers_of_a_ticket_are_all_its() -> None:
    by = rule("json", field("$.items[*].id"), arrays=(array("$.items", "$.c"),))

    made = of({"items": [{"id": n, "c": n} for n in (1, 2, 3)]}, by, customers=("1", "3"))

    assert made == {"items": [{"id": 1}, {"id": 3}]}


def test_without_customers_everything_belongs_to_others() -> None:
    by = rule("json", field("$.items[*].id"), arrays=(array("$.items", "$.c"),))

    assert of({"items": [{"id": 1, "c": ""}, {"id": 2}]}, by, customers=()) == {"items": []}


def test_elements_of_others_are_left_out_and_what_counts_them_is_what_is_left() -> None:
    by = rule("json", field("$.data.items[*].id"), arrays=(array("$.data.items", "$.company", "$.meta.total"),))
    document = {
        "meta": {"total": 900, "pages": 45},
        "data": {
            "items": [{"id": 1, "company": 42}, {"id": 2, "company": 43}, {"id": 3}, "X", {"id": 4, "company": "42"}]
        },
    }

    out = answer(by)
    out.feed(json.dumps(document).encode())

    assert json.loads(out.finish()) == {"data": {"items": [{"id": 1}, {"id": 4}]}, "meta": {"total": 2}}
    assert out.rows == 2


@pytest.mark.parametrize("items", [None, "X", {"X": 1}, "missing"])
@pytest.mark.parametrize("total", [900, "900", None, {"n": 900}, [900]])
def test_a_count_tells_nothing_when_there_is_no_array(items: Any, total: Any) -> None:
    by = rule("json", field("$.items[*].id"), arrays=(array("$.items", "$.company", "$.total"),))
    document = {"total": total} | ({} if items == "missing" else {"items": items})

    assert of(document, by)["total"] == 0


def test_a_count_that_is_named_as_a_field_too_is_still_what_is_left() -> None:
    by = rule("json", field("$.total"), field("$.items[*].id"), arrays=(array("$.items", "$.c", "$.total"),))

    assert of({"total": 900, "items": [{"id": 1, "c": 42}]}, by) == {"total": 1, "items": [{"id": 1}]}
    assert of({"items": []}, by) == {"items": []}


def test_filters_nest_and_each_count_is_of_its_own_place() -> None:
    by = rule(
        "json",
        field("$.teams[*].name"),
        field("$.teams[*].people[*].id"),
        arrays=(
            array("$.teams", "$.c", "$.teams_total"),
            array("$.teams[*].people", "$.c", "$.teams[*].people_total"),
        ),
    )
    document = {
        "teams_total": 9,
        "teams": [
            {"name": "a", "c": 42, "people_total": 9, "people": [{"id": 1, "c": 42}, {"id": 2, "c": 43}]},
            {"name": "b", "c": 43, "people_total": 9, "people": [{"id": 3, "c": 42}]},
            {"name": "c", "c": 42, "people_total": 9, "people": []},
            {"name": "d", "c": 42, "people_total": 9, "people": [{"id": 4, "c": 42}, {"id": 5, "c": 42}]},
        ],
    }

    assert of(document, by) == {
        "teams": [
            {"name": "a", "people": [{"id": 1}], "people_total": 1},
            {"name": "c", "people": [], "people_total": 0},
            {"name": "d", "people": [{"id": 4}, {"id": 5}], "people_total": 2},
        ],
        "teams_total": 3,
    }


def test_a_count_that_leaves_before_the_elements_waits_for_all_of_them() -> None:
    by = rule(
        "json",
        field("$.total"),
        field("$.teams[*].size"),
        field("$.teams[*].people[*].id"),
        arrays=(array("$.teams[*].people", "$.c", "$.teams[*].size"), array("$.teams", "$.c", "$.total")),
    )
    teams = [{"c": 42, "size": 9, "people": [{"id": 1, "c": 42}]} for _ in range(3)]

    made = of({"total": 9, "teams": teams}, by)

    assert made["total"] == 3
    assert [team["size"] for team in made["teams"]] == [1, 1, 1]


def test_a_count_above_nested_arrays_is_of_all_that_is_left() -> None:
    by = rule("json", field("$.teams[*].people[*].id"), arrays=(array("$.teams[*].people", "$.c", "$.total"),))
    document = {
        "total": 99,
        "teams": [{"people": [{"id": 1, "c": 42}, {"id": 2, "c": 1}]}, {"people": [{"id": 3, "c": 42}]}],
    }

    assert of(document, by)["total"] == 2


def test_a_root_array_is_filtered() -> None:
    by = rule("json", field("$[*].id"), arrays=(array("$", "$.c"),))

    assert of([{"id": 1, "c": 42}, {"id": 2, "c": 43}], by) == [{"id": 1}]


def test_scalars_can_be_customers_themselves() -> None:
    by = rule("json", field("$.companies[*]"), arrays=(array("$.companies", "$", "$.total"),))

    assert of({"companies": [41, "42", 42, None], "total": 4}, by) == {"companies": ["42", 42], "total": 2}


def test_a_filtered_array_without_named_fields_shows_no_field() -> None:
    by = rule("json", arrays=(array("$.items", "$.c", "$.total"),))

    assert of({"items": [{"c": 42, "x": "X"}, {"c": 1}], "total": 2}, by) == {"items": [{}], "total": 1}


def test_the_memory_for_a_document_is_bounded_whatever_its_values_are() -> None:
    by = rule("json", field("$.a[*].x"))
    for part in (b"{}", b"[]", b"1", b'{"x":1}', b'{"x":[]}'):
        body = b'{"a":[' + b",".join([part] * ((8 << 20) // (len(part) + 1) - 16)) + b"]}"
        tracemalloc.start()
        came, fault = in_chunks(answer(by), [body])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert fault is not None
        assert fault.refusal.code == "answer-too-large"
        assert peak < 24 << 20
    body = b'{"a":[' + b",".join([b'{"x":1}'] * 50_000) + b"]}"
    tracemalloc.start()
    came, fault = in_chunks(answer(by), [body])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert came == body
    # a hundred times a value's text; two values are counted for each of these objects
    assert peak < 50_000 * 2 * 300


@pytest.mark.parametrize(
    ("by", "document", "rows"),
    [
        (rule("json", field("$.id")), {"id": 1}, 1),
        (rule("json", field("$[*].id")), [], 0),
        (rule("json", field("$[*].id")), [{}, {}, {}], 3),
        (rule("json", field("$.items[*].id")), {"items": [{}, {}]}, 2),
        (rule("json", field("$.items[*].id")), {"items": []}, 1),
        (rule("json", field("$.a[*].b[*].c")), {"a": [{"b": [{}, {}, {}]}, {"b": [{}]}]}, 6),
        (rule("json", field("$.ibans[*]")), {"ibans": [1, 2, 3]}, 3),
        (rule("json", field("$[*]")), [1, 2, 3], 3),
        (rule("json", field("$.items[*].tags[*]")), {"items": [{"tags": [1, 2, 3]}, {}]}, 2),
        (rule("json", field("$[*].id"), arrays=(array("$", "$.c"),)), [{"c": 42}, {"c": 43}], 1),
    ],
)
def test_the_records_that_leave_are_counted(by: AnswerRule, document: Any, rows: int) -> None:
    out = answer(by)
    assert out.feed(json.dumps(document).encode()) == b""
    out.finish()
    assert out.rows == rows


# what a grant reveals


def test_a_grant_reveals_what_it_names_and_the_policy_lets_it() -> None:
    by = rule(
        "json",
        field("$.people[*].iban", "null", reveal=True),
        field("$.people[*].name", "initials", reveal=True),
        field("$.people[*].nir", "redact"),
    )
    document = {"people": [{"iban": "FR76", "name": "Jean Dupont", "nir": "1840"}]}

    assert of(document, by) == {"people": [{"iban": None, "name": "J.D.", "nir": "***"}]}
    revealed = frozenset({"$.people[*].iban", "$.people[*].nir", "$.name"})
    assert of(document, by, reveal=revealed) == {"people": [{"iban": "FR76", "name": "J.D.", "nir": "***"}]}
    assert of(document, by) == {"people": [{"iban": None, "name": "J.D.", "nir": "***"}]}


def test_what_is_revealed_is_still_a_scalar() -> None:
    by = rule("json", field("$.iban", "null", reveal=True))

    assert of({"iban": {"X": 1}}, by, reveal=frozenset({"$.iban"})) == {"iban": None}


# rules that contradict themselves


@pytest.mark.parametrize(
    "by",
    [
        rule("json", field("$.a"), field("$.a.b")),
        rule("json", field("$.a.b"), field("$.a")),
        rule("json", field("$.a"), field("$.a")),
        rule("json", field("$.a[*]"), field("$.a.b")),
        rule("json", field("$"), field("$.a")),
        rule("json", field("$.a"), arrays=(array("$.a", "$.c"),)),
        rule("json", arrays=(array("$.a", "$.c"), array("$.a", "$.d"))),
        rule("json", arrays=(array("$.a", "$.c", "$.b[*].n"),)),
        rule("json", arrays=(array("$.a", "$.c", "$.a[*].n"),)),
        rule("json", arrays=(array("$.a", "$.c", "$"),)),
        rule("json", arrays=(array("$.a", "$.c", "$.a"),)),
        rule("json", arrays=(array("$.a", "$.c", "$.n"), array("$.b", "$.c", "$.n"))),
        rule("json", field("$.a", "year", "text")),
        rule("xml", field("$.a"), content_types=("application/json",)),
        rule("csv", field("$.a.b"), content_types=("application/json",)),
        rule("csv", field("$.a"), field("$.a"), content_types=("application/json",)),
        rule("csv", field("$.a"), customer="$.b.c", content_types=("application/json",)),
    ],
)
def test_a_rule_that_contradicts_itself_shows_nothing(by: AnswerRule) -> None:
    with pytest.raises(Withheld) as fault:
        answer(by)
    assert fault.value.refusal.code == "policy-invalid"


def test_a_rule_is_made_into_functions_once() -> None:
    from gateway.http.leaving import leaving

    by = rule("json", field("$.a"))

    assert leaving(by) is leaving(by)
    assert leaving(by) is not leaving(rule("json", field("$.a")))
