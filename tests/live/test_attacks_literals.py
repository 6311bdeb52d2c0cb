"""What a person types as a value is nowhere afterwards: not in the trail, its index, the store, the log, the metrics.

Each place of a value has a word of its own, so that a failure names the place. Identifiers (names of relations and
columns, cursors, settings), the client's own name and the reason of a request are recorded by design and not here.
"""

from __future__ import annotations

import contextlib
import itertools
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from gateway_fixture import House, eventually, open_house
from raw_client import Raw, query

from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError
from gateway.wire import postgres as wire

_NUMBERS = itertools.count(71_000_101, 7)
WORD, NUMBER = "zqxj", "{n}"

STATEMENTS = {
    "a comparison": "select id from employees where status = '{w}'",
    "an exact search": "select id from employees where email = '{w}@example.org'",
    "a list": "select id from employees where email in ('{w}@a', 'x{w}')",
    "a number": "select id from employees where id = {n}",
    "a negative number": "select -{n}, +{n}, {n}.5, {n}e1, 1e-{n}",
    "an output value": "select '{w}'",
    "an output value with a cast": "select '{w}'::text, text '{w}', cast('{w}' as varchar), date '{w}'",
    "a dollar quote": "select $${w}$$, $tag${w}$tag$",
    "an escape string": r"select E'{w}\n{w}'",
    "a Unicode string": "select U&'{w}'",
    "a national string": "select N'{w}'",
    "continued strings": "select 'a'\n'{w}'",
    "a bit string": "select B'{w}', X'{w}'",
    "a LIKE": "select id from employees where last_name like '%{w}%' escape '!'",
    "a regular expression": "select id from employees where last_name ~* '{w}'",
    "an interval": "select now() - interval '{n} days', interval '{w}'",
    "an array": "select array['{w}'], '{{{w}}}'::text[]",
    "JSON": """select '{{"a": "{w}"}}'::jsonb -> '{w}'""",
    "VALUES": "values ('{w}', {n})",
    "a CTE": "with x as (select '{w}' as a) select * from x where a = '{w}'",
    "a LIMIT": "select id from employees limit {n} offset {n}",
    "a FETCH FIRST": "select id from employees fetch first {n} rows only",
    "a function's argument": "select upper('{w}'), substr('{w}', {n}), to_char(now(), '{w}')",
    "an ORDER BY": "select id from employees order by '{w}'::text, id = {n}",
    "a CASE": "select case when status = '{w}' then '{w}' else '{w}' end from employees",
    "EXPLAIN": "explain select id from employees where status = '{w}'",
    "a comment": "select 1 /* {w} {n} */ -- {w}",
    "a nested comment": "select /* a /* {w} */ {w} */ 1",
    "a comment with a quote": "select 1 /* it's {w} */",
    "a cast that fails": "select '{w}'::int",
    "a cast that names": "select '{w}'::regclass",
    "other casts that name": "select '{w}'::regtype, '{w}'::regproc, '{w}'::regrole, '{{{w}}}'::regclass[]",
    "a cast that names after one that does": "select 'employees'::regclass, cast('{w}' as regnamespace)",
    "an error of the target": "select ('{w}' || id)::int from employees",
    "several statements": "select '{w}'; select '{w}'",
    "a PREPARE": "prepare p1 as select '{w}'::text, id from employees where id = $1",
    "an EXECUTE": "execute p1({n})",
    "an EXECUTE of nothing": "execute p2('{w}', {n})",
    "a DECLARE": "declare c1 cursor with hold for select id from employees where status = '{w}'",
    "a FETCH": "fetch {n} from c1",
    "a COPY": "copy (select id from employees where status = '{w}') to stdout with (format csv, null '{w}')",
    "a COPY's options": "copy (select 1) to stdout with (format csv, delimiter '{w}', quote '{w}', escape '{w}')",
    "a COPY from": "copy employees from '/tmp/{w}' with (null '{w}')",
    "a COPY program": "copy employees to program 'echo {w}'",
    "a setting": "set application_name to 'gateway tests'; set search_path to '{w}'",
    "a setting's number": "set statement_timeout to {n}",
    "a setting that is refused": "set session_authorization to '{w}'",
    "a time zone": "set time zone '{w}'",
    "a role": "set role '{w}'",
    "a hidden column": "select notes from employees where notes like '{w}%'",
    "an unknown relation": "select * from nothing where a = '{w}' and b = {n}",
    "an unknown function": "select nothing('{w}', {n})",
    "a refused function": "select pg_read_file('{w}')",
    "a refused function's setting": "select current_setting('{w}'), set_config('{w}', '{w}', true)",
    "an INSERT": "insert into employees (last_name) values ('{w}')",
    "an UPDATE": "update employees set last_name = '{w}' where id = {n}",
    "a DELETE": "delete from employees where last_name = '{w}'",
    "a DO": "do $$ begin raise notice '{w}'; end $$",
    "a CALL": "call nothing('{w}')",
    "a NOTIFY": "notify c, '{w}'",
    "a COMMENT": "comment on table employees is '{w}'",
    "a role with a password": "create role x password '{w}'",
    "a password": "alter user x with password '{w}'",
    "a server's option": "create server s foreign data wrapper f options (password '{w}')",
    "a label": "security label on table employees is '{w}'",
    "a domain": "create domain d as text default '{w}' check (value <> '{w}')",
    "a default": "create table t (a text default '{w}')",
    "a two-phase name": "prepare transaction '{w}'",
    "a syntax error behind it": "select '{w}' frm employees wher",
    "a syntax error before it": "selec id frm employees where a = '{w}' and b = {n}",
    "an unterminated string": "select id from employees where last_name = '{w}",
    "an unterminated string in a list": "select 'a', 'b{w}, {n}",
    "an unterminated dollar quote": "select $x$ {w}",
    "an unterminated identifier": 'select "{w}',
    "an unterminated comment": "select 1 /* {w}",
    "a stray quote": "select it's {w} and {n}",
    "a value without quotes": "{w} {n}",
    "a value behind a semicolon": "select 1; {w}",
    "an error with a percent sign": "select 100% '{w}'",
    "a psql variable": "select id from employees where email = :'{w}'",
    "a password as a statement": "hunter{w} correct horse",
    "junk after a number": "select {n}{w}",
    "odd spacing": "select\t'{w}'\f\v;\r\n select\n{n}",
    "full width": "select ＇{w}＇",
    "curly quotes": "select id from employees where last_name = ‘{w}’",
    "a long text": "select id from employees where last_name = '{w}' and status in (" + "'x', " * 300 + "'{w}')",
    "a long text that cannot be read": "select id from employees where ((last_name = '{w}' and " + "'x', " * 300,
    "a text beyond the limit": "select '{w}', '" + "x" * 300_000 + "'",
    "too many brackets": "select " + "(" * 3000 + "'{w}'" + ")" * 3000,
}


@pytest.fixture(scope="module")
def quiet(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway that nobody else uses."""
    with open_house(tmp_path_factory.mktemp("quiet"), postgres) as house:
        yield house


class Canaries:
    """A word and a number of its own for each place."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}
        self._count = itertools.count(101)

    def word(self, place: str) -> str:
        word = f"{WORD}{next(self._count)}q"
        self.places[word] = place
        return word

    def number(self, place: str) -> str:
        number = str(next(_NUMBERS))
        self.places[number] = place
        return number

    def fill(self, place: str, text: str) -> str:
        return text.format(w=self.word(place), n=self.number(f"{place} (number)"))


def test_no_value_that_was_typed_is_anywhere_afterwards(quiet: House) -> None:
    canaries = Canaries()
    with Raw(quiet) as raw:
        raw.log_in(options="-c application_name=tests")
        for place, text in STATEMENTS.items():
            raw.query(canaries.fill(f"simple: {place}", text))
        for place, text in STATEMENTS.items():
            filled = canaries.fill(f"extended: {place}", text)
            raw.send(wire.encode_parse(b"", filled) + wire.encode_bind(b"", b"") + wire.encode_execute(b"", 0))
            raw.send(wire.encode_sync())
            raw.until_ready()
        for place, values, formats in bound(canaries):
            raw.send(wire.encode_parse(b"", "select id from employees where email = $1"))
            raw.send(wire.encode_bind(b"", b"", values, formats) + wire.encode_execute(b"", 0) + wire.encode_sync())
            assert raw.until_ready(), place
        raw.send(query(canaries.fill("bytes that are not UTF-8", "select '{w}").encode() + b"\xff'"))
        assert raw.last_words()
    log_ins(quiet, canaries)
    api(quiet, canaries)
    eventually(lambda: quiet.sessions() == 0)
    read_the_trail(quiet)
    metrics = httpx2.get(f"http://127.0.0.1:{quiet.company.ports['ops']}/metrics", trust_env=False).text
    quiet.gateway.stop()
    seen = {"the metrics": metrics.encode()}
    seen |= {str(path): path.read_bytes() for path in files(quiet)}
    assert any("audit" in name and b"statement.refused" in data for name, data in seen.items())
    assert any(name.endswith("audit-index.sqlite") for name in seen)
    found = {
        f"{place} in {Path(name).name}"
        for word, place in canaries.places.items()
        for name, data in seen.items()
        if word.encode() in data or word.upper().encode() in data
    }
    assert not found, "\n".join(sorted(found))


def files(house: House) -> Iterator[Path]:
    """Everything that the gateway has written."""
    yield house.gateway.log
    for path in house.company.state.rglob("*"):
        if path.is_file():
            yield path


def bound(canaries: Canaries) -> Iterator[tuple[str, list[bytes], list[int]]]:
    yield "text", [canaries.word("a bound text").encode()], []
    yield "binary", [canaries.word("a bound binary").encode()], [1]
    yield "too many", [canaries.word("a bound value too many").encode(), struct.pack(">q", 5)], []


def log_ins(house: House, canaries: Canaries) -> None:
    """Secrets in the wrong places."""
    for place, user, password in [
        ("a password as the user name", f"P%ss {canaries.word('user: a password')}!", "x"),
        ("a password as the ticket", f"alice+ {canaries.word('user: a bad ticket')}!", "x"),
        ("a wrong pass", "alice", canaries.word("a wrong pass")),
        ("a wrong direct password", "alice+SUP-1423", canaries.word("a wrong password") + "123456"),
        ("an unknown person's password", "nobody+SUP-1423", canaries.word("a stranger's password") + "123456"),
    ]:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**house.login_as(user, password)).close()
        assert place
    for name in ("client_encoding", "search_path", "session_authorization", "DateStyle", "TimeZone"):
        with contextlib.suppress(AssertionError, GatewayError), Raw(house) as raw:
            raw.log_in(**{name: f"{canaries.word(f'start-up {name}')}%"})
    with contextlib.suppress(AssertionError, GatewayError), Raw(house) as raw:
        raw.log_in(options=f"-c work_mem={canaries.word('start-up options')}")


def read_the_trail(house: House) -> None:
    """As an auditor, so that the index is made."""
    carol = house.actor("carol")
    carol.sign_in()
    context = ssl.create_default_context(cafile=str(house.company.tls.ca))
    url = f"https://localhost:{house.company.ports['api']}/v1/audit/records"
    answer = httpx2.get(url, verify=context, headers={"authorization": f"Bearer {carol._token}"}, trust_env=False)
    assert answer.json()["total"] > len(STATEMENTS)


def api(house: House, canaries: Canaries) -> None:
    """The API's bodies, heads and paths."""
    context = ssl.create_default_context(cafile=str(house.company.tls.ca))
    with httpx2.Client(base_url=f"https://localhost:{house.company.ports['api']}", verify=context) as client:
        word = canaries.word
        for body in [
            {"login": "alice", "password": word("API: a password"), "otp": word("API: a code")},
            {"login": f"{word('API: a password as login')} !", "password": "x", "otp": "000000"},
            {"login": "alice", "password": {"a": word("API: an odd password")}, "otp": "1"},
            {word("API: a field's name"): "alice"},
        ]:
            assert client.post("/v1/sign-in", json=body).status_code in (401, 422, 400)
        house.actor("alice").sign_in()
        token = {"authorization": f"Bearer {house.actor('alice')._token}"}
        for body in [
            {"ticket": f"{word('API: a ticket')} !"},
            {"ticket": "SUP-1423", "target": word("API: a target")},
            {"ticket": "SUP-1423", "target": "payroll", "duration_s": word("API: a duration")},
            {"ticket": "SUP-1423", "target": word("API: a target"), "reveal": [f"public.{word('API: a column')}.a"]},
        ]:
            assert client.post("/v1/open", json=body, headers=token).status_code >= 400
        client.post("/v1/sign-in", content=f'{{"password": "{word("API: broken JSON")}')
        client.get("/v1/whoami", headers={"authorization": f"Bearer {word('API: a token')}"})
        client.get(f"/v1/{word('API: a path')}", params={"q": word("API: a query")})
        client.post(
            "/v1/enrol/begin",
            json={"login": "alice", "password": word("API: enrol password"), "invitation": word("API: an invitation")},
        )
