"""A Redis server that says anything at all: it is refused in time, and breaks nothing but itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.quick.line import CODE, Ear, Line
from gateway.redis_settings import Redis

SAID = {
    "nested without end": b"*1\r\n" * 200_000, "a length that is none": b"$abc\r\n", "a number that is none": b":x\r\n",
    "a count that is none": b"*x\r\n", "a negative length": b"$-5\r\nabc", "a type that is none": b"?x\r\n",
    "an empty line": b"\r\n", "a thousand million elements": b"*1000000000\r\n",
    "a length beyond all": b"$99999999999\r\n",
    "a number beyond all": b":" + b"9" * 5000 + b"\r\n", "nothing": b"$-1\r\n", "a list": b"*2\r\n+a\r\n+b\r\n",
    "bytes that are no text": b"$4\r\n\xff\xfe\xfd\xfc\r\n", "an error that is no text": b"-ERR \xff\xfe\r\n",
    "a newer protocol": b"%1\r\n+a\r\n+b\r\n", "another node": b"-MOVED 1 evil:1\r\n", "silence": b"",
}  # fmt: skip


@asynccontextmanager
async def saying(said: bytes) -> AsyncIterator[Redis]:
    """A server that answers each command with that."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                # a command is an array of bulk strings
                count = int((await reader.readline())[1:] or b"0")
                for _ in range(count):
                    await reader.readexactly(int((await reader.readline())[1:]) + 2)
                if not count:
                    return
                writer.write(said)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield Redis.model_validate({"host": f"127.0.0.1:{port}", "tls": "off", "deadline": "500ms"})
    finally:
        server.close()


async def answered(question: Awaitable[Any]) -> tuple[str, str, Any]:
    """The code and the words of a refusal, or the answer; late is neither."""
    try:
        async with asyncio.timeout(10):
            return "", "", await question
    except GatewayError as error:
        return error.code, error.refusal.message, None


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
async def test_whatever_it_says_is_refused_in_time(said: bytes) -> None:
    async with saying(said) as settings:
        for question in (lambda line: line.facts(), lambda line: line.run("return 1", ["a"])):
            line = Line(settings)
            code, message, answer = await answered(question(line))
            # to a script a list is an answer; what is in it is for whoever asked to make out
            assert code == CODE or answer == [b"a", b"b"]
            assert "evil" not in message
            await line.close()
        ear = Ear(settings)
        code, _, _ = await answered(ear.open("news"))
        assert code in (CODE, "")
        if not code:
            assert (await answered(ear.hear(0.1)))[0] in (CODE, "")
        await ear.close()
