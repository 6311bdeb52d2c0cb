"""The process: its sockets, its connections, and the one channel to the gate.

INVARIANT: when the channel is gone, so is the process, at once: nothing is released that nobody records.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import socket
import time
from typing import Any

import uvloop
from OpenSSL import SSL

from gateway.engines import http_channel as ipc
from gateway.engines.http_proxy import tls
from gateway.engines.http_proxy.door import Door, make_options
from gateway.engines.http_proxy.places import Front, Reached
from gateway.engines.http_proxy.reply import Reply
from gateway.errors import Refusal
from gateway.http import leaving
from gateway.policy.http_rules import HttpRules
from gateway.telemetry import way_to

MOST_CONNECTIONS, MOST_OF_ONE_HOST = 512, 128
_BACKLOG = 128
_PR_SET_PDEATHSIG = 1


class Process:
    """See the module. It is the `Gate` of its doors."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._channel = ipc.Channel(ipc.ToProcess, self._take, end)
        self._options = make_options()
        self._doors: set[Door] = set()
        self._places: dict[str, Reached] = {}
        self._rules: dict[str, HttpRules] = {}
        self._begun: dict[int, asyncio.Future[Reply | Refusal | ipc.Shown]] = {}
        self._replies: dict[int, Reply] = {}
        self._extending: dict[int, asyncio.Future[None]] = {}
        self._settling: dict[int, asyncio.Future[bool]] = {}
        self._number = 0

    async def run(self) -> None:
        """Serve until the gate is gone."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.fault(context.get("exception") or RuntimeError("loop")))
        await loop.create_unix_connection(lambda: self._channel, sock=self._sock)
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for door in tuple(self._doors):
                door.tick(now)

    def next_number(self) -> int:
        """A number for the next request."""
        self._number += 1
        return self._number

    async def begin(self, message: ipc.Begin) -> Reply | Refusal | ipc.Shown:
        """Ask the gate for a request."""
        waiting = self._begun[message.number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send(message)
            found: Reply | Refusal | ipc.Shown = await waiting
            return found
        finally:
            self._begun.pop(message.number, None)

    async def extend(self, reply: Reply, rows: int, size: int, bytes_in: int) -> None:
        """Have more announced. Whether it was, the reply's window or its refusal says."""
        if reply.refusal is not None:
            return
        number = reply.permit.permit
        waiting = self._extending[number] = asyncio.get_running_loop().create_future()
        self._channel.send(ipc.Extend(number, rows, size, bytes_in, reply.digest))
        try:
            await waiting
        finally:
            self._extending.pop(number, None)

    async def settle(self, reply: Reply) -> bool:
        """Tell how a request ended; of a write, wait until that is on record."""
        number = reply.permit.permit
        message = ipc.Settle(
            number, reply.outcome(), reply.status, reply.code, reply.rows, reply.bytes, reply.unproven, reply.rows_in,
            reply.bytes_in, reply.digest,
        )  # fmt: skip
        waiting = self._settling[number] = asyncio.get_running_loop().create_future()
        self._channel.send(message)
        if not reply.permit.writes:
            # its record rides the next commit
            return True
        done: bool = await waiting
        return done

    def fault(self, error: BaseException) -> None:
        """Tell the gate of a fault."""
        self._channel.send(ipc.Fault(type(error).__name__, tuple(way_to(error))))

    def _take(self, message: Any) -> None:
        match message:
            case ipc.Setup():
                asyncio.get_running_loop().create_task(self._listen(message)).add_done_callback(self._listening)
            case ipc.Renewed():
                try:
                    self._places[message.target].renew(message.chain, message.private_key)
                except (SSL.Error, ValueError) as error:
                    # what cannot be used is not shown: the one of before is
                    self.fault(error)
            case ipc.Rules():
                self._rules[message.digest] = ipc.frozen(message.rules)
            case ipc.Forget():
                rules = self._rules.pop(message.digest, None)
                if rules is not None:
                    leaving.forget(answer for route in rules.routes for answer in route.answers)
            case ipc.Permitted():
                self._permitted(message)
            case ipc.Shown():
                waiting = self._begun.get(message.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            case ipc.Denied():
                waiting = self._begun.get(message.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(ipc.refusal_of(message))
            case ipc.Extended():
                reply = self._replies.get(message.permit)
                if reply is not None:
                    reply.window_rows, reply.window_bytes = message.rows, message.bytes
                    reply.window_in = message.bytes_in
                self._done(message.permit)
            case ipc.Cut():
                reply = self._replies.get(message.permit)
                if reply is not None:
                    reply.refusal = reply.refusal or ipc.refusal_of(message)
                    waits = message.permit in self._extending
                    self._done(message.permit)
                    if not waits:
                        reply.cut()
            case ipc.Settled():
                self._replies.pop(message.permit, None)
                settling = self._settling.pop(message.permit, None)
                if settling is not None and not settling.done():
                    settling.set_result(message.durable)

    def _permitted(self, message: ipc.Permitted) -> None:
        reply = Reply(message, self._rules[message.digest], self._places[message.target].place.prefix)
        self._replies[message.permit] = reply
        waiting = self._begun.get(message.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)
        else:
            # its client left meanwhile; nothing was forwarded
            self._channel.send(ipc.Settle(message.permit, "error", 0, "", 0, 0))

    def _done(self, permit: int) -> None:
        waiting = self._extending.get(permit)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _listen(self, setup: ipc.Setup) -> None:
        usual = tls.client_context(setup.ciphers, setup.certificate, setup.key)
        self._places.update((place.name, Reached(setup, place)) for place in setup.places)
        for number, listening in enumerate(setup.listening):
            sock = socket.socket(fileno=listening.descriptor)
            sock.setblocking(False)
            named = {name: tls.client_context(setup.ciphers, *files) for name, *files in listening.names}
            welcome = self._welcome(number, Front(usual, named))
            # one process would take a whole backlog at once: it takes two, and leaves the others to the others
            await asyncio.start_server(welcome, sock=sock, backlog=1 if setup.shared else _BACKLOG)
            sock.listen(_BACKLOG)
        gc.collect()
        gc.freeze()
        self._channel.send(ipc.Ready())

    def _listening(self, task: asyncio.Task[None]) -> None:
        if task.exception() is not None:
            end()

    def _welcome(self, listener: int, front: Front) -> Any:
        async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            same = sum(door.client.peername[0] == peer[0] for door in self._doors) if peer else MOST_OF_ONE_HOST
            if len(self._doors) >= MOST_CONNECTIONS or same >= MOST_OF_ONE_HOST:
                writer.transport.abort()
                return
            door = Door(
                reader, writer, gate=self, listener=listener, front=front, places=self._places, options=self._options
            )
            self._doors.add(door)
            try:
                await door.handle_client()
            finally:
                self._doors.discard(door)

        return welcome


def end() -> None:
    """End at once, whatever is under way."""
    os._exit(1)


def main(descriptor: int) -> None:
    """Serve on the channel with that descriptor."""
    # a gate that is killed takes this process along, even one that is busy: prctl(2)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # what mitmproxy logs quotes what people send
    logging.disable(logging.CRITICAL)
    uvloop.run(Process(socket.socket(fileno=descriptor)).run())
