"""What goes out means what came in: each kind of operand below each kind of operator, and back to text."""

from __future__ import annotations

import random
import re

import postgast
import pytest

from gateway.sql.postgres.deparse import LOOK, Loose, deparse
from gateway.sql.postgres.tree import same, walk

OPERANDS = """
    a + b | a = b | a like b | a not like b | a ilike b | a similar to b | a not similar to b | a between b and c
    a not between 1 and 2 | a between symmetric b and c | a in (1, 2) | a not in (1, 2) | a is distinct from b
    a is not distinct from b | a = any (b) | a < all (b) | not a | a and b | a or b | a is null | a is not null
    a is true | a is not unknown | case when a then b end | coalesce(a, b) | greatest(a, b) | nullif(a, b)
    array[1, 2] | array(select 1) | select 1 | exists (select 1) | a in (select 1) | a = any (select 1)
    a <> all (select 1) | a not in (select 1) | row(1, 2) | (1, 2) | a::int | - a | -1 | f(a) | count(*)
    count(*) filter (where a) | sum(a) over () | a collate "C" | a at time zone 'x' | $1 | a | a.b | 1 | 'x' | '$2'
    date '2020-01-01' | interval '1' day | current_date | extract(year from a) | (a).b | a[1] | @ a
    a operator(pg_catalog.+) b | grouping(a) | a is normalized | true | int '1' | position('a' in b) | a -> 'b'
    mode() within group (order by a) | substring(a from 1) | trim(both from a) | overlay(a placing b from 1)
    normalize(a) | collation for (a) | localtimestamp(3) | ((a or b) is null) is true | (array(select a or b))[1] like c
"""
QUERIES = """
    (X) + 1 | 1 + (X) | (X) = d | d = (X) | - (X) | @ (X) | (X) like d | d like (X) | d like e escape (X)
    (X) similar to d | d similar to (X) | (X) between 1 and 2 | d between (X) and 2 | d between 1 and (X)
    (X) in (1, 2) | d in ((X), 2) | (X) is distinct from d | d is distinct from (X) | (X) is not distinct from d
    d is not distinct from (X) | (X) = any (d) | d = any ((X)) | not (X) | (X) and d | d and (X) | (X) or d
    (X) is null | (X) is not null | (X) is true | (X) is not true | (X) is unknown | (X)::int | cast((X) as int)
    (X) collate "C" | (X) at time zone 'x' | d at time zone (X) | (X)[1] | d[(X)] | d[(X):2] | (X).f | ((X)).*
    case (X) when 1 then 2 end | case when (X) then 1 end | case when d then (X) else (X) end | f((X)) | f(a => (X))
    (X) in (select 1) | (X) = any (select 1) | ((X), 1) in (select 1, 2) | row((X), 1) | array[(X)]
    coalesce((X), 1) | extract(year from (X)) | sum(1) over (partition by (X) order by (X))
    count(*) filter (where (X)) | array_agg(1 order by (X)) | position((X) in d) | substring(d from (X) for 2)
    trim((X) from d) | ((X), a) overlaps (c, d) | f(variadic (X)) | 1 from t where (X) | 1 from t join u on (X)
    1 from t having (X) | 1 from t group by (X) | 1 from t order by (X) desc nulls last | 1 limit (X) | 1 offset (X)
    distinct on ((X)) 1 | (X) as x | 1 from f((X)) | 1 from t group by rollup ((X), d)
"""


def listed(text: str) -> list[str]:
    return [one.strip() for line in text.strip().splitlines() for one in line.split(" | ")]


def again(sql: str) -> str:
    """The text of the text's own tree."""
    tree, loose = postgast.parse(sql), Loose()
    for message in walk(tree):
        if type(message) in LOOK:
            LOOK[type(message)](message, loose)
    return deparse(tree, loose)


@pytest.mark.parametrize("query", listed(QUERIES))
def test_every_operand_keeps_its_place_below_an_operator(query: str) -> None:
    tried = 0
    for operand in listed(OPERANDS):
        sql = f"select {query.replace('(X)', f'({operand})')}"
        try:
            tree = postgast.parse(sql)
        except postgast.PgQueryError:
            continue
        tried += 1
        assert same(tree, postgast.parse(again(sql))), again(sql)

    assert tried > 50


def test_so_does_every_operand_of_an_operand() -> None:
    chance, operands, queries = random.Random(0), listed(OPERANDS), listed(QUERIES)
    between = [query for query in queries if not re.search(r"from|limit|offset|distinct on| as x|order", query)]
    tried = 0
    for _ in range(4000):
        inner = chance.choice(between).replace("(X)", f"({chance.choice(operands)})")
        sql = f"select {chance.choice(queries).replace('(X)', f'({inner})')}"
        try:
            tree = postgast.parse(sql)
        except postgast.PgQueryError:
            continue
        tried += 1
        assert same(tree, postgast.parse(again(sql))), again(sql)

    assert tried > 3000


@pytest.mark.parametrize("alias", ['"x y"', '"select"', '"a""b"', "plain", '"; drop table t; --"'])
def test_the_alias_of_using_keeps_its_quotes(alias: str) -> None:
    sql = f"select 1 from a join b using (id) as {alias}"

    assert same(postgast.parse(sql), postgast.parse(again(sql)))


def test_a_dollar_sign_in_a_literal_is_no_place_for_an_operand() -> None:
    assert again("select (a or b) is null, '$1 $2 $3', $4") == "SELECT (a OR b) IS NULL, '$1 $2 $3', $4"
