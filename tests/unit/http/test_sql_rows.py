"""Rows that a server masked itself: counted, read strictly, and nothing beside them."""

from __future__ import annotations

import json

import pytest

from gateway.http.answer import Answer, Withheld
from gateway.policy.http_dialects import route

ROUTE = route("statement", "POST", (), "clickhouse")
META = '"meta":[{"name":"id","type":"Int64"},{"name":"s","type":"String"}]'
DOCUMENT = f'{{{META},"data":[[1,"a"],[2,"b"]],"rows":2,"rows_before_limit_at_least":7,"statistics":{{"rows_read":7}}}}'


def left(body: str, form: str = "JSONCompact", status: int = 200, media: str = "application/json") -> tuple[str, int]:
    headers = [(b"content-type", f"{media}; charset=UTF-8".encode()), (b"x-clickhouse-format", form.encode()),
               (b"x-clickhouse-summary", b'{"read_rows":"7"}')]  # fmt: skip
    answer = Answer(ROUTE, "POST", status, headers, customers=("42",), key=None)
    out = b"".join([*(answer.feed(body[at : at + 7].encode()) for at in range(0, len(body), 7)), answer.finish()])
    assert not {name for name, _ in answer.head()[1]} & {"x-clickhouse-summary", "x-clickhouse-format"}
    return out.decode(), answer.rows


def test_of_a_document_the_columns_and_rows_leave_and_nothing_else() -> None:
    out, rows = left(DOCUMENT)

    assert rows == 2
    assert json.loads(out) == {
        "meta": [{"name": "id", "type": "Int64"}, {"name": "s", "type": "String"}],
        "data": [[1, "a"], [2, "b"]],
        "rows": 2,
    }


def test_rows_that_come_line_by_line_leave_so() -> None:
    out, rows = left(
        '{"id":"12345678901234567890","s":1.10}\n{"id":2,"s":null}\n', "JSONEachRow", media="application/x-ndjson"
    )

    assert out == '{"id":"12345678901234567890","s":1.10}\n{"id":2,"s":null}\n'
    assert rows == 2
    assert left('[1,"a"]\n[2,"b"]', "JSONCompactEachRow") == ('[1,"a"]\n[2,"b"]\n', 2)


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ("Code: 395. DB::Exception: CANARY", "JSONCompact"),
        ('{"exception":"Code: 395. CANARY"}', "JSONCompact"),
        (f'{{{META},"data":[[1,"a"],[2]]}}', "JSONCompact"),
        (f'{{{META},"data":[{{"id":1,"s":"a"}}]}}', "JSONCompact"),
        (f'{{{META},"data":[[1,"a"]]}}', "JSON"),
        (f'{{{META},"data":[{{"id":1,"t":"a"}}]}}', "JSON"),
        (f'{{{META},"data":[{{"id":1,"id":2}}]}}', "JSON"),
        (f"{DOCUMENT}Code: 395. CANARY", "JSONCompact"),
        ('{"meta":[{"name":1,"type":"x"}],"data":[]}', "JSON"),
        ("[]", "JSON"),
        ("null", "JSONEachRow"),
        ('[1]\n{"exception":"CANARY"}\n', "JSONCompactEachRow"),
        ('{"id":1}\n{"exception":"CANARY"}\n', "JSONEachRow"),
        ('{"id":1}\nCode: 395. DB::Exception: CANARY', "JSONEachRow"),
        ("[1,2]\n[1]\n", "JSONCompactEachRow"),
        (DOCUMENT, "TabSeparated"),
        (DOCUMENT, ""),
    ],
)
def test_what_is_no_row_ends_the_answer(body: str, form: str) -> None:
    with pytest.raises(Withheld) as caught:
        left(body, form)

    assert caught.value.refusal.code in {"answer-unreadable", "answer-not-allowed"}
    assert "CANARY" not in repr(caught.value.refusal)


@pytest.mark.parametrize("status", [201, 204, 206, 302, 400, 401, 403, 404, 500, 503])
def test_the_words_of_an_error_never_leave(status: int) -> None:
    with pytest.raises(Withheld) as caught:
        left("Code: 47. DB::Exception: CANARY", status=status, media="text/plain")

    assert "CANARY" not in repr(caught.value.refusal)
