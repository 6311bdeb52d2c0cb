"""Traces and metrics of a running gateway: whole trees of spans with the database's conventions, and nothing secret."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from gateway_fixture import eventually, open_house
from receivers import Collector, server_side, values

from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.tls import make_server_tls


def test_a_session_is_a_trace_with_its_login_and_its_statements(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    tls = make_server_tls(tmp_path / "tls", "collector")
    collector = Collector(server_side(tls))
    telemetry = {"url": collector.url, "ca": str(tls.ca), "traces": 1.0, "metrics": "1s"}
    with open_house(tmp_path / "house", postgres, settings={"telemetry": telemetry}) as house:
        with house.connect() as connection:
            connection.execute("select id, email from employees where last_name = 'Canary-4711'").fetchall()
            with pytest.raises(psycopg.Error):
                connection.execute("select notes from employees where last_name = 'Canary-4712'")
            with pytest.raises(psycopg.Error):
                connection.execute("create table canary4715 (id int)")
            with pytest.raises(psycopg.Error):
                connection.execute("select 1 / (length(last_name) - length(last_name)) from employees")
            connection.execute("select id from employees where id = %s", (4713,), prepare=True).fetchall()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**{**house.parameters(), "password": "Canary-4714"})
        eventually(lambda: sum(span.name == "session" for span in collector.spans()) == 1)
        eventually(lambda: sum(span.name == "login" for span in collector.spans()) == 2)
        eventually(lambda: collector.metrics().get("gateway_statements_permitted") is not None)
        eventually(
            lambda: (
                collector.metrics()["gateway_statements_permitted"].gauge.data_points[0].as_double
                == house.metric("gateway_statements_permitted")
            )
        )
        house.gateway.stop()
        records = house.records()
    spans = collector.spans()
    collector.stop()
    (session,) = [span for span in spans if span.name == "session"]
    logins = {span.trace_id == session.trace_id: span for span in spans if span.name == "login"}
    assert session.parent_span_id == logins[True].span_id
    assert logins[False].status.message == "authentication-failed"
    mine = [span for span in spans if span.trace_id == session.trace_id]
    statements = [span for span in mine if span.parent_span_id == session.span_id]
    by_status = {values(span.attributes).get("error.type", ""): span for span in statements}
    assert {"", "read-only", "42703", "22012"} <= by_status.keys()
    good = next(span for span in statements if "email" in values(span.attributes).get("db.query.text", ""))
    facts = values(good.attributes)
    assert facts["db.system.name"] == "postgresql"
    assert facts["db.namespace"] == "payroll"
    assert facts["db.operation.name"].upper() == "SELECT"
    assert facts["db.collection.name"] == "public.employees"
    assert "$1" in facts["db.query.text"]
    children = {span.name: span for span in mine if span.parent_span_id == good.span_id}
    assert children.keys() == {"analyse", "append", "upstream", "settle"}
    assert all(
        span.end_time_unix_nano >= span.start_time_unix_nano >= good.start_time_unix_nano for span in children.values()
    )
    # the trail names the trace, from the log-in on
    traced = {record["kind"] for record in records if record.get("trace") == session.trace_id.hex()}
    assert {"login", "session.begin", "statement.begin", "statement.refused"} <= traced
    said = b"".join(body for _, body in collector.bodies)
    for secret in ("Canary", "4713", "alice", "SUP-1423", house.opened()["password"]):
        assert secret.encode() not in said, secret


def test_a_dead_collector_of_traces_is_told_once_and_changes_nothing(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    collector = Collector()
    collector.stop()
    telemetry = {"url": collector.url, "traces": 1.0, "metrics": "1s"}
    with open_house(tmp_path / "house", postgres, settings={"telemetry": telemetry}) as house:
        for _ in range(3):
            with house.connect() as connection:
                assert connection.execute("select count(*) from employees").fetchone() is not None
        eventually(lambda: b"the collector took nothing: connection refused" in house.gateway.log.read_bytes())
        house.gateway.stop()
        assert house.gateway.log.read_bytes().count(b"the collector took nothing") == 1


def test_without_an_address_there_are_no_traces(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_house(tmp_path / "house", postgres) as house:
        with house.connect() as connection:
            connection.execute("select id from employees").fetchall()
        assert not any("trace" in record for record in house.records())
