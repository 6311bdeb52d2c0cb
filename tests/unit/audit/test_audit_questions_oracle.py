"""The questions against an oracle: the same answers, worked out from all records in plain Python."""

from collections import Counter, defaultdict
from datetime import timedelta

import pytest

from gateway.audit.asking import Narrow
from gateway.audit.index import utc_text
from gateway.audit.search import Query
from gateway.errors import GatewayError
from loadtests.questions import ORIGIN, START, opened, records

SIZE = 6_000
STEP_S = 60
NOW = START + timedelta(days=400)
SPANS = [(None, None), (0.25, 0.5), (0.9, None), (None, 0.3), (0.5, 0.501)]


@pytest.fixture(scope="module")
def made(tmp_path_factory, open_search):
    """A made-up log and its records, each completed by what its session says."""
    from gateway.audit.checkpoint import Signer

    place, key = tmp_path_factory.mktemp("oracle") / "audit", Signer.generate(ORIGIN)
    log = opened(place, key, STEP_S)
    for record in records(SIZE, seed=7):
        log.append(record)
    log.close()
    search = open_search(place, key.verifier)
    found = []
    for offset in range(0, SIZE + 10, 1000):
        found += search.search(Query(limit=1000, offset=offset, newest_first=False))
    sessions = {}
    for record in found:
        if record.get("session") and "login" in record:
            sessions.setdefault(record["session"], {k: record[k] for k in ("person", "login", "ticket") if k in record})
    full = [{**sessions.get(record.get("session"), {}), **record} for record in found]
    yield search, full
    search.close()


@pytest.fixture(params=SPANS, ids=str)
def span(request, made):
    """A search, a stretch of time, and the records of it."""
    search, full = made
    times = [START + timedelta(seconds=STEP_S * SIZE * part) if part is not None else None for part in request.param]
    since, until = times
    inside = [
        record for record in full
        if (since is None or record["time"] >= utc_text(since)) and (until is None or record["time"] < utc_text(until))
    ]  # fmt: skip
    return search, {"since": since, "until": until}, inside


def ask(span, question, **narrow):
    search, times, _ = span
    answer = search.ask(question, Narrow(**narrow), now=NOW, limit=1000, **times)
    rows = list(answer["rows"])
    while len(rows) < answer["total"]:
        page = search.ask(question, Narrow(**narrow), now=NOW, limit=1000, offset=len(rows), **times)
        rows += page["rows"]
    return rows


def ends(inside):
    return {record["begin"]: record for record in inside if record["kind"] == "statement.end"}


def test_the_stretch_is_the_one_of_that_time(span):
    search, times, inside = span
    answer = search.ask("denials", Narrow(), now=NOW, **times)
    assert [answer["first"], answer["end"]] == [inside[0]["index"], inside[-1]["index"] + 1]


@pytest.mark.parametrize("customer", ["1", "42", "77", "399"])
def test_customers(span, customer):
    _, _, inside = span
    statements, rows, ended = Counter(), Counter(), ends(inside)
    for record in inside:
        if record["kind"] == "statement.begin" and customer in record["customers"]:
            group = record["person"], record["ticket"]
            statements[group] += 1
            rows[group] += ended[record["index"]]["rows"] if record["index"] in ended else 0
    told = {
        (row["person"], row["ticket"]): (row["statements"], row["rows"])
        for row in ask(span, "customer", customer=customer)
    }
    assert told == {group: (statements[group], rows[group]) for group in statements}


@pytest.mark.parametrize("login", ["person3", "person7", "p-11", "nobody"])
def test_people(span, login):
    _, _, inside = span
    person = login.replace("person", "p-")
    wanted = [r["index"] for r in inside if r.get("person") == person or r.get("by") == person]
    assert [row["record"] for row in ask(span, "person", person=login)] == wanted


@pytest.mark.parametrize(
    ("question", "fits"),
    [
        ("reveals", lambda r: r["kind"] == "statement.begin" and "columns_revealed" in r),
        ("writes", lambda r: r["kind"] == "statement.begin" and "columns_written" in r),
        ("transmissions", lambda r: r["kind"] == "statement.begin" and "recipient" in r),
        ("subject", lambda r: r["kind"] == "search.exact"),
        ("readers", lambda r: r["kind"] == "audit.read"),
        ("resets", lambda r: r["kind"] == "factor.reset"),
        ("factors", lambda r: r.get("reason") in ("replayed code", "wrong code")),
    ],
)
@pytest.mark.parametrize("narrow", [{}, {"person": "person3"}, {"person": "person8"}])
def test_lists(span, question, fits, narrow):
    _, _, inside = span
    wanted = {r["index"] for r in inside if fits(r) and narrow.get("person", r.get("login")) == r.get("login")}
    assert {row["record"] for row in ask(span, question, **narrow)} == wanted


def test_transmissions_by_customer_and_recipient(span, made):
    _, _, inside = span
    sent = [r for r in inside if r["kind"] == "statement.begin" and "recipient" in r]
    customers = [r["customers"][0] for r in made[1] if "recipient" in r]
    assert len({*customers}) > 3
    for narrow in (
        *({"customer": one} for one in [*customers[:3], "9999"]),
        *({"recipient": one} for one in ("Mailer Inc.", "Signer SA", "Mailer")),
        {"customer": customers[0], "recipient": "Signer SA"},
    ):
        wanted = [
            r["index"] for r in sent
            if narrow.get("customer") in (None, *r["customers"]) and narrow.get("recipient") in (None, r["recipient"])
        ]  # fmt: skip
        assert [row["record"] for row in ask(span, "transmissions", **narrow)] == wanted


def test_the_largest(span):
    _, _, inside = span
    begun, ended = {r["index"] for r in inside if r["kind"] == "statement.begin"}, ends(inside)
    wanted = sorted((end["rows"] for begin, end in ended.items() if begin in begun and end["rows"]), reverse=True)
    assert [row["rows"] for row in ask(span, "largest")] == wanted


def test_denials_by_person_and_rule(span):
    _, _, inside = span
    wanted = Counter((r["login"], r["code"], r.get("target")) for r in inside if r.get("decision") == "deny")
    assert {(row["login"], row["code"], row.get("target")): row["records"] for row in ask(span, "denials")} == wanted


def test_holders(made):
    search, full = made
    for part in (0.2, 0.5, 1.1):
        until = START + timedelta(seconds=STEP_S * SIZE * part)
        grants = defaultdict(list)
        for record in full:
            if record["kind"] == "grant" and record["time"] < utc_text(until):
                grants[record["grant"]].append(record)
        wanted = {
            grant for grant, told in grants.items()
            if told[-1]["state"] == "active" and told[0]["expires_at"] > until.isoformat()
        }  # fmt: skip
        answer = search.ask("holders", Narrow(), now=NOW, until=until, limit=1000)
        assert {row["grant"] for row in answer["rows"]} == wanted
        assert wanted or part < 0.3


def test_who_stops_does_not_wait_until_a_long_log_is_taken_in(made, tmp_path, open_search, monkeypatch):
    search, full = made
    # how many records a batch of the log has depends on the machine
    monkeypatch.setattr("gateway.audit.following.COMMIT_EVERY", 10)
    other = open_search(search._directory, search._verifier, database=tmp_path / "other.sqlite")
    other._index.closing = True
    with pytest.raises(GatewayError) as stopped:
        other.catch_up()
    assert stopped.value.refusal.code == "shutting-down"
    other.close()
    assert other.ask("whole", Narrow(), now=NOW)["end"] == len(full)
    other.close()
