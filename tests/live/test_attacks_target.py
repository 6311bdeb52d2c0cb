"""A target that lies, stalls or floods while the gateway connects to it: refused in time, and never believed.

The server is a script on a loopback socket; `Upstream` is the gateway's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.engines.upstream import Upstream
from gateway.errors import GatewayError
from gateway.settings import Secret
from gateway.target_settings import Target
from gateway.wire import auth
from gateway.wire import postgres as wire

PASSWORD = "the backend's password"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def body(reader: asyncio.StreamReader) -> bytes:
    """The body of the gateway's next typed message."""
    head = await reader.readexactly(5)
    return await reader.readexactly(int.from_bytes(head[1:], "big") - 4)


async def start_up(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)


async def scram(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, password: str = PASSWORD) -> bytes:
    """The exchange up to the server's last word, which is returned unsent."""
    writer.write(wire.encode_auth_sasl([auth.SCRAM_SHA_256]))
    verifier = auth.ScramVerifier.parse(auth.make_verifier(password))
    server = auth.ScramServer(verifier, nonce=auth.make_nonce(), channel_binding=None)
    initial = wire.decode_sasl_initial_response(await body(reader))
    writer.write(wire.encode_auth_sasl_continue(server.first(initial.data or b"")))
    _, final = server.final(await body(reader))
    return final


READY = wire.encode_ready(b"I")
OK = wire.encode_auth_ok()


async def honest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await start_up(reader)
    writer.write(wire.encode_auth_sasl_final(await scram(reader, writer)) + OK + READY)
    await reader.read()


def says(*parts: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await start_up(reader)
        writer.write(b"".join(parts))
        await reader.read()

    return script


def proves(signature: bytes | None, *parts: bytes) -> Script:
    """A server that takes the exchange to its end and then says this instead of its proof."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await start_up(reader)
        await scram(reader, writer)
        writer.write((wire.encode_auth_sasl_final(signature) if signature is not None else b"") + b"".join(parts))
        await reader.read()

    return script


LIES: dict[str, Script] = {
    "ready at once": says(READY),
    "ok at once": says(OK, READY),
    "a password in clear": says(wire.encode_auth_cleartext()),
    "md5": says(wire.frame(wire.AUTHENTICATION, b"\0\0\0\5salt")),
    "kerberos": says(wire.frame(wire.AUTHENTICATION, b"\0\0\0\2")),
    "no mechanism that is known": says(wire.encode_auth_sasl(["OAUTHBEARER"])),
    "a continuation of nothing": says(wire.encode_auth_sasl_continue(b"r=x,s=AAAA,i=4096")),
    "an end of nothing": says(wire.encode_auth_sasl_final(b"v=AAAA"), OK, READY),
    "ready before the proof": proves(None, READY),
    "ok before the proof": proves(None, OK, READY),
    "a wrong proof": proves(b"v=" + b"A" * 43 + b"=", OK, READY),
    "an empty proof": proves(b"v=", OK, READY),
    "an error for a proof": proves(b"e=other-error", OK, READY),
    "ready behind a wrong proof": proves(b"v=" + b"A" * 43 + b"=", READY),
    "a nonce of its own": says(
        wire.encode_auth_sasl([auth.SCRAM_SHA_256]), wire.encode_auth_sasl_continue(b"r=x,s=AAAA,i=4096")
    ),
    "a million rounds": says(
        wire.encode_auth_sasl([auth.SCRAM_SHA_256]), wire.encode_auth_sasl_continue(b"r=x,s=AAAA,i=999999999")
    ),
    "a row": says(wire.encode_data_row(["x"])),
    "a length under four": says(b"R\0\0\0\3"),
    "a length of two gigabytes": says(b"R\x7f\xff\xff\xff"),
    "bytes of another protocol": says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "nothing": says(),
    "half a message": says(b"R\0\0\0\x08\0\0"),
    "an error": says(wire.encode_error("FATAL", "28P01", "password 4111 is wrong")),
}


def ask(script: Script, tmp_path: Path, asks: Callable[[Upstream], Awaitable[None]], patience_s: float = 8.0) -> None:
    """Serve that script and ask it through an `Upstream` of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await script(reader, writer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        secret = tmp_path / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        target = Target(
            host="127.0.0.1", port=port, database="d", user="u", password=Secret(file=secret), tls="off",
            connect_timeout=1.0, spare_connections=1,
        )  # fmt: skip
        upstream = Upstream("payroll", target, {"search_path": "public"})
        try:
            async with asyncio.timeout(patience_s):
                await asks(upstream)
        finally:
            upstream.close()
            server.close()

    asyncio.run(main())


async def refused(upstream: Upstream) -> None:
    with pytest.raises(GatewayError) as caught:
        await upstream.acquire()
    assert "4111" not in caught.value.refusal.message


def test_a_target_that_proves_itself_is_believed(tmp_path: Path) -> None:
    async def asks(upstream: Upstream) -> None:
        (await upstream.acquire()).close()

    ask(honest, tmp_path, asks)


@pytest.mark.parametrize("lie", LIES)
def test_a_target_that_does_not_prove_itself_is_not_believed(tmp_path: Path, lie: str) -> None:
    ask(LIES[lie], tmp_path, refused, 5.0)


@pytest.mark.parametrize(
    "flood",
    [wire.encode_notice("NOTICE", "00000", "x" * 1000), wire.encode_parameter_status("p", "x" * 1000)],
    ids=["notices", "parameters"],
)
def test_a_flood_during_the_start_up_ends_with_the_time_out(tmp_path: Path, flood: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await start_up(reader)
        while True:
            writer.write(flood * 100)
            await writer.drain()

    tracemalloc.start()
    try:
        ask(script, tmp_path, refused)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024**2
    finally:
        tracemalloc.stop()


def test_a_spare_connection_that_was_begun_before_the_pins_changed_is_not_lent(tmp_path: Path) -> None:
    began: list[bytes] = []
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.append(await start_up(reader))
        if len(began) == 2:
            await go_on.wait()
        writer.write(wire.encode_auth_sasl_final(await scram(reader, writer)) + OK + READY)
        await reader.read()

    async def asks(upstream: Upstream) -> None:
        (await upstream.acquire()).close()
        while len(began) < 2:  # noqa: ASYNC110 (polls for milliseconds)
            await asyncio.sleep(0.01)
        upstream.repin({"search_path": "other"})
        go_on.set()
        await asyncio.sleep(0.2)
        (await upstream.acquire()).close()
        await asyncio.sleep(0.05)

    ask(script, tmp_path, asks)
    assert [b"other" in packet for packet in began[:3]] == [False, False, True]
