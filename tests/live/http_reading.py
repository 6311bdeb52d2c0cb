"""Clients of the HTTP tests that count what they get, and what the trail announced of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from gateway_fixture import awaited, eventually
from http_house import OFFICE, HttpHouse


class Reader:
    """A client that counts the bytes of a body that streams."""

    def __init__(self, place: HttpHouse, path: str, shown: str) -> None:
        context = ssl.create_default_context(cafile=str(place.ca))
        context.set_alpn_protocols(["http/1.1"])
        sock = socket.create_connection(("localhost", place.ports[OFFICE]), timeout=20)
        self.sock = context.wrap_socket(sock, server_hostname="localhost")
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {shown}\r\n\r\n".encode())
        self.got = bytearray()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def read(self, enough: int) -> None:
        """Until there is that much, or the end."""
        with contextlib.suppress(OSError):
            while len(self.got) < enough:
                data = self.sock.recv(65536)
                if not data:
                    return
                self.got += data

    def rows(self) -> int:
        """The whole lines that came."""
        return self.got.count(b'"}\n')


def is_alive(pid: int) -> bool:
    """Whether the process runs: not when it only waits for its parent to notice its end."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def process(place: HttpHouse) -> int:
    """The HTTP process, once there is one."""
    eventually(lambda: len(place.pids()) == 1)
    return place.pids()[0]


def announced(place: HttpHouse, statement: str) -> tuple[int, int]:
    """Rows and bytes that the trail announced for a statement."""
    windows = [
        record
        for record in place.house.records()
        if record["kind"] in ("statement.begin", "statement.window") and record.get("statement") == statement
    ]
    return windows[-1]["window_rows"], windows[-1]["window_bytes"]


class Streams:
    """A client of HTTP/2 that says when its windows grow. `data` is what came, by stream; `ended` how each ended."""

    def __init__(self, place: HttpHouse, shown: str, target: str = OFFICE) -> None:
        context = ssl.create_default_context(cafile=str(place.ca))
        context.set_alpn_protocols(["h2"])
        sock = socket.create_connection(("localhost", place.ports[target]), timeout=20)
        self.sock = context.wrap_socket(sock, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=False))
        self.h2.initiate_connection()
        self.shown, self.data, self.ended = shown, {}, {}
        self.statuses: dict[int, int] = {}
        self.gone = False
        self.flush()

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        """Send what is to be sent."""
        try:
            self.sock.sendall(self.h2.data_to_send())
        except OSError:
            self.gone = True

    def ask(self, path: str, method: str = "GET", *, more: tuple[tuple[str, str], ...] = (), end: bool = True) -> int:
        """A request's head; the number of its stream."""
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")]
        self.h2.send_headers(stream, [*head, ("authorization", f"Bearer {self.shown}"), *more], end_stream=end)
        self.data[stream] = bytearray()
        self.flush()
        return stream

    def read(self, seconds: float, *, growing: bool, until: Callable[[], bool] = lambda: False) -> None:
        """Take what comes for that long, or `until`; with `growing`, the windows grow by what came."""
        self.sock.settimeout(0.1)
        left = round(seconds / 0.1)
        while left and not self.gone and not until():
            try:
                came = self.sock.recv(65536)
            except TimeoutError:
                left -= 1
                continue
            except OSError:
                came = b""
            if not came:
                self.gone = True
                return
            for event in self.h2.receive_data(came):
                if isinstance(event, h2.events.ResponseReceived):
                    self.statuses[event.stream_id] = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    self.data[event.stream_id] += event.data
                    if growing:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended[event.stream_id] = "whole"
                elif isinstance(event, h2.events.StreamReset):
                    self.ended[event.stream_id] = "reset"
            self.flush()


def resident_kib(pid: int) -> int:
    """The memory of a process that is in use."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def change_policy(place: HttpHouse, old: str, new: str, target: str = OFFICE) -> None:
    """Rewrite an API's policy, let the gateway read it, and wait until it has."""
    path = place.house.company.directory / "policies" / f"{target}.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    trail = place.house.follow()
    assert place.house.gateway.pid is not None
    os.kill(place.house.gateway.pid, signal.SIGHUP)
    awaited(trail, lambda one: one["kind"] == "policy.change", 15)
