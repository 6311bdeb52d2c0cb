"""Which values of a statement may tell who somebody is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.policy.load import load_policy
from gateway.sql.postgres.parse import parse
from gateway.sql.postgres.subjects import arguments, conceals, subjects
from gateway.sql.statement import Limits

POLICY = load_policy(Path(__file__).parents[3] / "policies" / "payroll.yaml")


def found(text: str) -> list[str | int]:
    return list(subjects(parse(text, Limits()).tree, POLICY))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT id FROM employees WHERE email = 'a@x.fr'", ["a@x.fr"]),
        ("SELECT id FROM public.employees e WHERE 'a@x.fr' = e.email AND status = 'active'", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE email IN ('a@x.fr', 'b@x.fr') LIMIT 5", ["a@x.fr", "b@x.fr"]),
        ("SELECT id FROM employees WHERE email = ANY ('{a@x.fr,b@x.fr}')", ["{a@x.fr,b@x.fr}"]),
        ("SELECT id FROM employees WHERE email = $1 AND department = $2 OFFSET $3", [1]),
        ("SELECT id FROM employees WHERE lower(email) = lower('A@x.fr')", ["A@x.fr"]),
        ("SELECT id FROM employees WHERE email || '' = 'a@x.fr'", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE email = 'a' || '@x' || '.fr'", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE starts_with(email, 'a@x.fr')", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE (email, id) = ('a@x.fr', 7)", ["a@x.fr", "7"]),
        ("SELECT id FROM employees WHERE email = $$a@x.fr$$ -- b@x.fr", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE email = U&'a\\0040x.fr'", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE email = E'a\\x40x.fr'", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE email = 'a@x.fr'::varchar", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE nir = 185057800608436", ["185057800608436"]),
        ("SELECT id FROM employees WHERE CASE email WHEN 'a@x.fr' THEN true END", ["a@x.fr"]),
        # not beside an identifier by name, and yet about one
        ("SELECT t.id FROM employees AS t(a, b, c, d, e) WHERE e = 'a@x.fr'", ["a@x.fr"]),
        ("SELECT 1 FROM employees JOIN (VALUES ('a@x.fr')) AS v(email) USING (email)", ["a@x.fr"]),
        ("WITH v(e) AS (SELECT 'a@x.fr') SELECT id FROM employees, v WHERE e = email", ["a@x.fr"]),
        ("SELECT id FROM (SELECT id, email AS e FROM employees) AS s WHERE s.e = 'a@x.fr'", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE email = (SELECT 'a@x.fr')", ["a@x.fr"]),
        ("SELECT id FROM employees WHERE employees::text = 'a@x.fr'", ["a@x.fr"]),
        # written
        ("UPDATE employees SET email = 'a@x.fr', status = 'left' WHERE id = 3", ["a@x.fr"]),
        ("INSERT INTO employees (id, email, status) VALUES (1, 'a@x.fr', 'new'), ($1, $2, $3)", [2, "a@x.fr"]),
        ("INSERT INTO employees VALUES (1, 'a@x.fr')", ["a@x.fr"]),
        (
            "INSERT INTO employees (id, email) VALUES (1, 'a@x.fr') ON CONFLICT (id) DO UPDATE SET email = 'b@x.fr'",
            ["b@x.fr", "a@x.fr"],
        ),
        ("UPDATE employees SET status = CASE WHEN email = 'a@x.fr' THEN 'x' END WHERE id = 3", ["a@x.fr", "x"]),
        ("UPDATE companies SET plan = (SELECT 'x' FROM employees WHERE email = 'a@x.fr')", ["a@x.fr"]),
        ("DELETE FROM employees WHERE email = 'a@x.fr'", ["a@x.fr"]),
        ("DECLARE c CURSOR FOR SELECT id FROM employees WHERE email = 'a@x.fr'", ["a@x.fr"]),
        ("PREPARE q AS SELECT id FROM employees WHERE email = $1", [1]),
        ("COPY (SELECT id FROM employees WHERE email = 'a@x.fr') TO STDOUT", ["a@x.fr"]),
        ("EXPLAIN SELECT id FROM employees WHERE email = 'a@x.fr'", ["a@x.fr"]),
        # about nobody
        ("SELECT email FROM employees WHERE status = 'active' AND department IN ('hr', $1) LIMIT 100000", []),
        ("SELECT name FROM companies WHERE name = 'a@x.fr'", []),
        ("SELECT count(*) FROM employees", []),
    ],
)
def test_values_that_may_tell_who_somebody_is(text: str, expected: list[str | int]) -> None:
    assert found(text) == expected


def test_a_long_chain_is_walked_once() -> None:
    chain = " || ".join(["status"] * 500)

    assert found(f"SELECT id FROM employees WHERE {chain} = 'a@x.fr'") == ["a@x.fr"]


def test_what_an_execute_brings_is_told_apart() -> None:
    tree = parse("EXECUTE q('a@x.fr', 3, now()); EXPLAIN EXECUTE r('b' || '@x.fr')", Limits()).tree

    assert sorted(arguments(tree)) == [("a@x.fr", "3", ""), ("b@x.fr",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT id FROM employees WHERE id = $1", False),
        ("SELECT id FROM employees WHERE id = 1", True),
        ("SELECT id FROM employees -- alice@x.fr", True),
        ("SELECT id FROM employees /* alice@x.fr */", True),
        ("SELECT id FROM employees WHERE email = $$alice$$", True),
        ("SELECT id FROM employees WHERE email = ‘alice’", True),
        ("SET application_name TO alice", True),
        ("SELECT id, email FROM employees", False),
    ],
)
def test_whether_a_text_conceals_something(text: str, expected: bool) -> None:
    assert conceals(parse(text, Limits())) is expected
