"""What exports and traces cost: `python -m loadtests outgoing [ROUNDS]`.

One gateway at a time, restarted with each setting in turn and measured by pgbench's select-only, so that whatever else
the machine does falls on all settings. Everything shares the cores: client, gateway, database, the exporting process
and, where there is one, the receiver (a process that reads and answers, and keeps nothing).
"""

from __future__ import annotations

import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.demo.postgres import free_port
from gateway.demo.tls import ServerTls, make_server_tls
from gateway.exports.cursor import cursor_path, exports_path, read_cursor
from loadtests.ground import GatewayRoad, database
from loadtests.measures import Bench, select_only

CLIENTS, SECONDS = 16, 4
_ROWS = 10_000


def main(arguments: list[str]) -> int:
    """Print the figures."""
    rounds = int(arguments[0]) if arguments else 5
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        root = Path(name)
        root.chmod(0o711)
        with database(root / "database", _ROWS, _tell) as postgres:
            assert postgres.pid is not None
            scratch = root / "scratch"
            scratch.mkdir()
            bench = Bench(postgres.binaries.directory / "pgbench", scratch, postgres.pid)
            tls = make_server_tls(root / "tls", "receiver")
            road = GatewayRoad(root / "gateway", postgres, False, _tell)
            road.start()
            try:
                with receiver(tls) as port:
                    _report(_measured(road, bench, _settings(root, tls, port), rounds))
            finally:
                road.stop()
    return 0


def _settings(root: Path, tls: ServerTls, port: int) -> dict[str, dict[str, Any]]:
    dead = free_port()
    syslog = {"kind": "syslog", "host": "localhost", "port": port, "ca": str(tls.ca), "start": "now"}
    lines = {"kind": "file", "path": str(root / "lines"), "start": "now"}
    nobody = {"kind": "otlp", "url": f"http://localhost:{dead}/v1/logs", "start": "now"}
    return {
        "nothing": {},
        "a file": {"exports": {"lines": lines}},
        "a file of OCSF": {"exports": {"events": {**lines, "path": str(root / "events"), "format": "ocsf"}}},
        "syslog over TLS, OCSF": {"exports": {"siem": {**syslog, "format": "ocsf"}}},
        "a dead collector": {"exports": {"dead": nobody}},
        "traces, 1 in 100": {"telemetry": {"url": f"http://localhost:{dead}", "traces": 0.01}},
        "traces, all": {"telemetry": {"url": f"http://localhost:{dead}", "traces": 1.0}},
    }


def _measured(
    road: GatewayRoad, bench: Bench, settings: dict[str, dict[str, Any]], rounds: int
) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        _tell(f"round {number + 1} of {rounds}")
        names = [*settings][number % len(settings) :] + [*settings][: number % len(settings)]
        for name in names:
            _configure(road, settings[name])
            select_only(bench, road.road, "simple", 1, 1)
            numbers = select_only(bench, road.road, "simple", CLIENTS, SECONDS)
            for what, value in numbers.items():
                found[name][what].append(value)
            for sink in settings[name].get("exports", {}):
                if sink != "dead":
                    found[name]["behind_s"].append(_caught_up(road, sink))
    return found


def _configure(road: GatewayRoad, settings: dict[str, Any]) -> None:
    assert road.gateway is not None
    road.stop()
    path = road.gateway.company.config
    yaml = YAML()
    config = yaml.load(path)
    for group in ("exports", "telemetry"):
        config.pop(group, None)
    config.update(settings)
    yaml.dump(config, path)
    for cursor in exports_path(road.gateway.company.state).glob("*.json"):
        # `start: now` is for sinks that have none
        cursor.unlink()
    road.restart()


def _caught_up(road: GatewayRoad, sink: str) -> float:
    """How long the sink takes to have all that the run recorded."""
    assert road.gateway is not None
    state = road.gateway.company.state
    began = time.monotonic()
    last = -1
    while time.monotonic() - began < 60:
        time.sleep(0.25)
        cursor = read_cursor(cursor_path(exports_path(state), sink))
        if cursor is not None and cursor.next == last:
            return time.monotonic() - began
        last = cursor.next if cursor is not None else -1
    return float("inf")


def _report(found: dict[str, dict[str, list[float]]]) -> None:
    base = statistics.median(found["nothing"]["tps"])
    print(f"select-only, simple, {CLIENTS} clients, medians")
    for name, numbers in found.items():
        tps = statistics.median(numbers["tps"])
        late = f", caught up {statistics.median(numbers['behind_s']):.1f} s after" if numbers["behind_s"] else ""
        print(f"  {name:24} {tps:8,.0f} /s  {tps / base:.2f}{late}")


@contextmanager
def receiver(tls: ServerTls) -> Iterator[int]:
    """A process that takes TLS connections and reads them to their end."""
    port = free_port()
    command = [sys.executable, "-P", "-c", "from loadtests.outgoing import drain; drain()", str(port)]
    command += [str(tls.certificate), str(tls.key)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], env={"PYTHONPATH": str(Path(__file__).parents[1])}
    )
    try:
        time.sleep(1.0)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def drain() -> None:
    """The receiver's life."""
    port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            line, _ = listener.accept()
            threading.Thread(target=_read, args=(context, line), daemon=True).start()


def _read(context: ssl.SSLContext, line: socket.socket) -> None:
    try:
        with context.wrap_socket(line, server_side=True) as inner:
            while inner.recv(1 << 18):
                pass
    except OSError:
        return


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
