"""What exports and traces cost: `python -m loadtests outgoing [ROUNDS]`.

One gateway, restarted with each setting in turn and measured by pgbench's select-only, each time right after a run with
nothing, so that whatever else the machine does falls on both. Everything shares the cores: client, gateway, database,
the exporting process and, where there is one, the receiver (a process that reads, and keeps nothing).
"""

from __future__ import annotations

import re
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

import httpx2
from ruamel.yaml import YAML

from gateway.demo.ports import free_port
from gateway.demo.tls import ServerTls, make_server_tls
from gateway.exports.cursor import exports_path
from loadtests.ground import GatewayRoad, database
from loadtests.measures import Bench, Numbers, select_only

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
    """Each setting right after a run with nothing: `ratio` is of those two."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        _tell(f"round {number + 1} of {rounds}")
        for name, wanted in settings.items():
            base = _run(road, bench, {})
            numbers = _run(road, bench, wanted)
            found[name]["ratio"].append(numbers["tps"] / base["tps"])
            for what in ("tps", "cpu_us"):
                found["nothing"][what].append(base[what])
                found[name][what].append(numbers[what])
            for sink in wanted.get("exports", {}):
                if sink != "dead":
                    found[name]["behind_s"].append(_caught_up(road))
    return found


def _run(road: GatewayRoad, bench: Bench, settings: dict[str, Any]) -> Numbers:
    _configure(road, settings)
    select_only(bench, road.road, "simple", 1, 1)
    return select_only(bench, road.road, "simple", CLIENTS, SECONDS)


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


def _caught_up(road: GatewayRoad) -> float:
    """How long the sink takes to have all that the run recorded."""
    assert road.gateway is not None
    url = f"http://127.0.0.1:{road.gateway.company.ports['ops']}/metrics"
    began = time.monotonic()
    while time.monotonic() - began < 120:
        with httpx2.Client(trust_env=False, timeout=10) as client:
            text = client.get(url).text
        (lag,) = re.findall(r"^gateway_export_lag_records\S* (\S+)$", text, re.MULTILINE)
        if float(lag) < 100:
            return time.monotonic() - began
        time.sleep(0.25)
    return float("inf")


def _report(found: dict[str, dict[str, list[float]]]) -> None:
    print(f"select-only, simple, {CLIENTS} clients: medians, and of the ratios to a run with nothing just before")
    for name, numbers in found.items():
        middle = {what: statistics.median(values) for what, values in numbers.items()}
        line = f"  {name:24} {middle['tps']:8,.0f} /s {middle['cpu_us']:6.1f} µs of the gateway's CPU each"
        if "ratio" in middle:
            line += f"  {middle['ratio']:.2f}"
        if "behind_s" in middle:
            line += f"  caught up {middle['behind_s']:.1f} s after"
        print(line)


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
