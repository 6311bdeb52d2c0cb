"""A machine-gun of refused statements ends its sessions and keeps its person out; others go on working."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from gateway_fixture import House, open_house
from raw_client import Raw, code_of, query

from gateway.demo.company import FOREIGN_TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.floods import MOST
from gateway.wire import postgres as wire


@pytest.fixture(scope="module")
def flooded(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("flooded"), postgres) as house:
        yield house


def test_a_flood_of_refusals_is_ended_recorded_and_kept_out_while_others_work(flooded: House) -> None:
    flooded.opened("amir", FOREIGN_TICKET)
    trail = flooded.follow()
    with flooded.connect("amir", FOREIGN_TICKET) as other, Raw(flooded) as raw, Raw(flooded) as second:
        raw.log_in()
        second.log_in()
        began = time.monotonic()
        raw.send(query("select * from secrets") * (MOST + 100))
        answered = 0
        error: dict[str, str] = {}
        while (message := raw.message()) is not None:
            if message[0] == wire.ERROR_RESPONSE:
                error = wire.parse_error_fields(message[1])
                answered += error["S"] == "ERROR"
            if answered == 700:
                assert other.execute("select count(*) from companies").fetchone() == (1,)
                answered += 1
        took = time.monotonic() - began
        assert (error["S"], code_of(error)) == ("FATAL", "too-many-refusals")
        assert took > 25, "half of them were slowed down"

        # what else the person has open ends with its next refusal, and works until then
        assert any(kind == wire.DATA_ROW for kind, _ in second.query("select 1"))
        second.send(query("select * from secrets"))
        assert code_of(second.last_words()) == "too-many-refusals"
        with pytest.raises(psycopg.OperationalError, match="statements were refused"):
            flooded.connect()
        assert other.execute("select count(*) from companies").fetchone() == (1,)

    records = list(trail.news())
    floods = [one for one in records if one["kind"] == "refusals.flood"]
    assert [(one["login"], one["count"]) for one in floods] == [("alice", MOST)]
    refused = [one for one in records if one["kind"] == "statement.refused"]
    assert len(refused) == MOST + 1
    ended = [one["login"] for one in records if one.get("code") == "too-many-refusals" and one["kind"] == "session.end"]
    assert ended == ["alice", "alice"]
