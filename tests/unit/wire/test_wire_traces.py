"""What real clients and a real server said to each other, read and written by the codec."""

from base64 import b64decode

import pytest
from wire_trace import Describer, Line, connections

from gateway.wire import postgres as pg
from gateway.wire.auth import ScramClient, ScramServer, ScramVerifier, make_verifier

CONNECTIONS = connections()
each_connection = pytest.mark.parametrize("lines", CONNECTIONS.values(), ids=CONNECTIONS)


@each_connection
def test_every_message_reads_as_the_trace_says_and_is_written_back_byte_for_byte(lines: list[Line]) -> None:
    describer = Describer()
    for line in lines:
        text, again = describer.describe(line.side, line.data)
        assert text == line.text
        assert again is None or again == line.data, text


@each_connection
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_the_stream_of_each_side_is_cut_into_its_messages(lines: list[Line], size: int) -> None:
    for side in "FB":
        # A start-up packet is untyped; its first byte is 0, as its length is under 2 ** 24.
        messages = [line.data for line in lines if line.side == side and line.data[0]]
        stream, framer = b"".join(messages), pg.Framer()
        cut = [message for at in range(0, len(stream), size) for message in framer.feed(stream[at : at + size])]
        assert [pg.frame(kind, body) for kind, body in cut] == messages
        assert framer.pending == 0


def scram_of(lines: list[Line]) -> list[bytes]:
    """The SCRAM messages of a connection: first ones, client-final and, unless it was refused, server-final."""
    names = ("SASLInitialResponse", "AuthenticationSASLContinue", "SASLResponse", "AuthenticationSASLFinal")
    return [line.text.rpartition(" ")[2].encode() for line in lines if line.text.startswith(names)]


EXCHANGES = {name: messages for name, lines in CONNECTIONS.items() if (messages := scram_of(lines))}


@pytest.mark.parametrize("messages", EXCHANGES.values(), ids=EXCHANGES)
def test_our_server_judges_the_recorded_proofs_as_postgresql_did(messages: list[bytes]) -> None:
    client_first, server_first, client_final = messages[:3]
    theirs = dict(part.split(b"=", 1) for part in server_first.split(b","))
    client_nonce = client_first.rpartition(b"r=")[2]
    verifier = _verifier_with_salt(theirs[b"s"], int(theirs[b"i"]))
    server = ScramServer(verifier, nonce=theirs[b"r"].removeprefix(client_nonce).decode(), channel_binding=None)

    assert server.first(client_first) == server_first
    accepted, answer = server.final(client_final)

    assert accepted == (len(messages) == 4)
    assert not accepted or answer == messages[3]


@pytest.mark.parametrize("messages", [m for m in EXCHANGES.values() if b",,n=," in m[0]])
def test_our_client_sends_what_libpq_sent(messages: list[bytes]) -> None:
    password = "pencil" if len(messages) == 4 else "crayon"
    client = ScramClient(password, messages[0].rpartition(b"r=")[2].decode(), None, ["SCRAM-SHA-256"])

    assert client.first() == messages[0]
    assert client.respond(messages[1]) == messages[2]
    assert len(messages) < 4 or client.verify(messages[3])


def _verifier_with_salt(salt: bytes, iterations: int) -> ScramVerifier:
    return ScramVerifier.parse(make_verifier("pencil", iterations, b64decode(salt)))
