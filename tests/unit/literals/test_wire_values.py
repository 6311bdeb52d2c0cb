"""Values on PostgreSQL's wire: whatever a client does with names and portals, what ran is what is told."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from literal_world import World

from gateway.admitted import Admitted
from gateway.engines.postgres_flow import Flow, Names
from gateway.engines.postgres_requests import Requests
from gateway.errors import GatewayError
from gateway.sql.said import KEPT
from gateway.wire import postgres as wire

LOOK = "SELECT id FROM people WHERE email = $1"


class Client:
    """A client's messages, taken by a session; the target's answers are what the test says."""

    def __init__(self, world: World) -> None:
        self.world, self.inside = world, world.enter()
        self.queue: deque[Flow] = deque()
        self.requests = Requests(world.gate, self.inside, self.queue, restore="")

    def send(self, *messages: bytes) -> None:
        async def take() -> None:
            for message in messages:
                self.requests.take(message[0], message[5:], [])

        self.world.run(take())

    def answered(self, *, failed: bool = False) -> None:
        """The target's answer to all up to the first Sync that is open."""
        if failed:
            self.requests.failed(nothing_due=False)
        self.requests.synced()

    def ran(self) -> list[dict[str, Any]]:
        """The begin records so far."""
        mine = (one for kind in ("statement.begin", "statement.refused") for one in self.world.records(kind))
        return sorted((one for one in mine if one["session"] == self.inside.session.id), key=lambda one: one["index"])

    def token(self, value: str) -> str:
        found = self.world.ask(self.world.enter(), "SELECT id FROM people WHERE email = $1", value)["subjects"]
        assert isinstance(found, str)
        return found


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def bind(portal: bytes, statement: bytes, *values: bytes | None) -> bytes:
    return wire.encode_bind(portal, statement, values)


def run(portal: bytes = b"") -> bytes:
    return wire.encode_execute(portal)


SYNC = wire.encode_sync()


def test_each_run_of_a_batch_has_its_own_values(client: Client) -> None:
    values = [b"p%d@x.fr" % n for n in range(20)]
    client.send(
        wire.encode_parse(b"s", LOOK), *(one for value in values for one in (bind(b"", b"s", value), run())), SYNC
    )

    ran = client.ran()
    assert [client.world.opened(one)["values"] for one in ran] == [[f"$1 = {value.decode()}"] for value in values]
    assert len({one["subjects"] for one in ran}) == 20


def test_a_bind_that_fails_does_not_hide_the_one_before(client: Client) -> None:
    client.send(wire.encode_parse(b"s", LOOK), bind(b"p", b"s", b"hers@x.fr"), SYNC)
    client.answered()
    # there is such a portal already: the target refuses this one, and keeps the first
    client.send(bind(b"p", b"s", b"decoy@x.fr"), SYNC)
    client.answered(failed=True)
    client.send(run(b"p"), SYNC)

    [ran] = client.ran()
    assert client.token("hers@x.fr") in ran["subjects"].split(" ")
    assert {"$1 = hers@x.fr", "$1 = decoy@x.fr"} <= set(client.world.opened(ran)["values"])


def test_a_bind_that_may_have_failed_does_not_either(client: Client) -> None:
    client.send(wire.encode_parse(b"s", LOOK), bind(b"p", b"s", b"hers@x.fr"), SYNC)
    # sent ahead, before anything was answered
    client.send(bind(b"p", b"s", b"decoy@x.fr"), SYNC, run(b"p"), SYNC)

    [ran] = client.ran()
    assert client.token("hers@x.fr") in ran["subjects"].split(" ")


def test_nor_do_binds_after_one_that_fails_in_the_same_batch(client: Client) -> None:
    decoys = [b"decoy%d@x.fr" % n for n in range(20)]
    client.send(wire.encode_parse(b"s", LOOK), bind(b"p", b"s", b"hers@x.fr"))
    client.send(*(bind(b"p", b"s", decoy) for decoy in decoys), SYNC)
    client.answered(failed=True)
    client.send(run(b"p"), SYNC)

    [ran] = client.ran()
    assert client.token("hers@x.fr") in ran["subjects"].split(" ")
    assert "$1 = hers@x.fr" in client.world.opened(ran)["values"]


def test_what_is_too_much_to_keep_apart_is_said_to_be_missing(client: Client) -> None:
    client.send(wire.encode_parse(b"s", LOOK))
    client.send(*(bind(b"p", b"s", b"decoy%d@x.fr" % n) for n in range(60)), bind(b"p", b"s", b"hers@x.fr"), SYNC)
    client.answered(failed=True)
    client.send(run(b"p"), SYNC)

    [ran] = client.ran()
    assert client.world.opened(ran)["incomplete"]
    assert ran["sealed"].endswith(".cut")
    assert ran["subjects"].split(" ")[-1].startswith("+")


def test_a_parse_that_fails_does_not_hide_the_text_before(client: Client) -> None:
    client.send(wire.encode_parse(b"s", "SELECT id FROM people WHERE email = 'hers@x.fr.'"), SYNC)
    client.answered()
    client.send(wire.encode_parse(b"s", "SELECT id FROM people WHERE email = 'decoy@x.fr.'"), SYNC)
    client.answered(failed=True)
    client.send(bind(b"", b"s"), run(), SYNC)

    [ran] = client.ran()
    texts = client.world.opened(ran)["texts"]
    assert any("hers@x.fr." in text for text in texts)
    assert client.token("hers@x.fr.") in ran["subjects"].split(" ")


def test_a_portal_that_is_run_in_pieces_is_told_each_time(client: Client) -> None:
    client.send(wire.encode_parse(b"s", LOOK), bind(b"p", b"s", b"hers@x.fr"))
    client.send(*(wire.encode_execute(b"p", 5) for _ in range(3)), SYNC)

    assert [client.world.opened(one)["values"] for one in client.ran()] == [["$1 = hers@x.fr"]] * 3


def test_what_sql_prepared_is_run_by_the_protocol_with_its_values(client: Client) -> None:
    client.send(wire.encode_query(f"PREPARE q AS {LOOK}"), bind(b"", b"q", b"hers@x.fr"), run(), SYNC)

    ran = client.ran()[-1]
    assert client.token("hers@x.fr") in ran["subjects"].split(" ")
    assert client.world.opened(ran)["values"] == ["$1 = hers@x.fr"]


def test_what_the_protocol_prepared_is_run_by_sql_with_its_values(client: Client) -> None:
    client.send(wire.encode_parse(b"q", LOOK), SYNC)
    client.answered()
    client.send(wire.encode_query("EXECUTE q('hers@x.fr')"))

    ran = client.ran()[-1]
    assert client.token("hers@x.fr") in ran["subjects"].split(" ")


def test_the_text_of_a_statement_comes_with_its_values(client: Client) -> None:
    text = f"{LOOK} AND city = 'Lyon.' -- a note"
    client.send(wire.encode_parse(b"", text), bind(b"", b"", b"hers@x.fr"), run(), SYNC)

    [ran] = client.ran()
    assert client.world.opened(ran) | {"record": 0, "time": "", "login": ""} == {
        "record": 0, "time": "", "login": "", "texts": [text], "values": ["$1 = hers@x.fr"], "incomplete": False,
    }  # fmt: skip


def test_declared_types_say_what_a_binary_value_is(client: Client) -> None:
    text = "SELECT id FROM people WHERE email = $1 AND id = $2"
    binary = wire.encode_bind(b"", b"", [b"anna", (1_634_627_173).to_bytes(4, "big")], [1])
    client.send(wire.encode_parse(b"", text, (25, 23)), binary, run(), SYNC)

    [ran] = client.ran()
    assert client.world.opened(ran)["values"] == ["$1 = anna", "$2 = 1634627173"]


def test_a_refused_call_of_a_function_tells_its_arguments(client: Client) -> None:
    body = (1_255).to_bytes(4, "big") + b"\0\0\0\1\0\0\0\x0ahers@x.fr.\0\0"
    client.send(wire.frame(wire.FUNCTION_CALL, body))

    [refused] = client.ran()
    assert (refused["kind"], refused["code"]) == ("statement.refused", "statement-not-allowed")
    assert b"hers@x.fr.".hex() in client.world.opened(refused)["values"][0]


def test_a_statement_refused_for_its_parameters_types_is_told(client: Client) -> None:
    client.send(wire.encode_parse(b"", f"{LOOK} AND city = 'Lyon'", (2205,)), SYNC)

    [refused] = client.ran()
    assert refused["code"] == "type-not-allowed"
    assert "Lyon" in client.world.opened(refused)["texts"][0]


def test_values_that_many_portals_hold_are_bounded_by_the_sessions_end(client: Client) -> None:
    client.send(wire.encode_parse(b"s", LOOK))
    portals = [bind(b"p%d" % n, b"s", b"x" * KEPT) for n in range(300)]
    with pytest.raises(GatewayError, match="too many prepared statements or portals") as raised:
        client.send(*portals)
    assert raised.value.refusal.fatal


def test_values_of_one_portal_do_not_pile_up(client: Client) -> None:
    client.send(wire.encode_parse(b"s", LOOK))
    for _ in range(600):
        client.send(bind(b"", b"s", b"x" * KEPT), run(), SYNC)
        client.answered()

    assert isinstance(client.inside, Admitted)
    assert kept(client.requests._names) <= 2 * KEPT


def kept(names: Names) -> int:
    return sum(len(bound.raw) for judged in names._known.values() for bound in judged.said.bound)
