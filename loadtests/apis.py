"""`python -m loadtests http`: the HTTP engine beside nginx and bare mitmproxy, on the same road to the same API.

The API is nginx with static files over TLS. In front of it, each with TLS on both sides and one process that works:
nginx as a reverse proxy; mitmdump, of the installed mitmproxy, as one; the gateway with everything on (pass, ticket,
trail, 10 of 30 fields masked), and the same with two processes that speak HTTP. wrk asks over connections that stay
open, in rounds in which every road is walked once, so that whatever else the machine does falls on all; what is printed
are medians. All share the cores, so what compares roads is the CPU of a proxy for one request, its children's included.
At last a long NDJSON answer is read through the gateway, and the most memory that its processes had.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.demo.ports import free_port
from gateway.demo.postgres import DemoError, EmbeddedPostgres
from gateway.demo.stage import Gateway
from gateway.demo.tls import LOOPBACK, ServerTls, make_server_tls
from gateway.engines.http_sessions import token_of
from loadtests.answers import MASKS, element
from loadtests.ground import database, opened_by_alice, prepared_company
from loadtests.processes import children, cpu_seconds, peak_mib, raise_descriptor_limit, reset_peak

SIZES = {"1 KB": 1_000, "100 KB": 100_000}
CLIENTS = (1, 8, 32)
_PATH = "/companies/42/items{}"
_NGINX = """daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/json;
  types {{ application/json json; application/x-ndjson ndjson; }}
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
  {upstream}
  server {{ listen 127.0.0.1:{port} ssl; location / {{ {location} }} }}
}}
"""
_REQUESTS = re.compile(r"(\d+) requests in ")
_RATE = re.compile(r"Requests/sec: +([0-9.]+)")
_HALF = re.compile(r"50% +([0-9.]+)(us|ms|s)")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)")


@dataclass
class Road:
    """One way to the API: its port, its process, and what requests show there."""

    name: str
    port: int
    pid: int | None = None
    headers: tuple[str, ...] = ()

    def cpu_s(self) -> float:
        """What its processes have used until now."""
        return sum(cpu_seconds(pid) for pid in self.pids())

    def pids(self) -> list[int]:
        """All of its processes."""
        return [self.pid, *children(self.pid)] if self.pid is not None else []


@dataclass
class Found:
    """What the rounds gave: requests a second, CPU of the proxy and median latency, each a list."""

    rate: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    half_us: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds the medians are taken of")
    parser.add_argument("--seconds", type=int, default=3, help="how long each road is walked in a round")
    parser.add_argument("--stream-mb", type=int, default=500, help="how long the NDJSON answer is")
    given = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        raise DemoError("wrk was not found", "install it with `apt-get install wrk`")
    raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-http-")))
        root.chmod(0o711)
        tls = make_server_tls(root / "api-tls", "API", LOOPBACK)
        files = _files(root / "files", given.stream_mb)
        postgres = stack.enter_context(database(root / "database", 1_000, _tell))
        api = stack.enter_context(_nginx(root / "api", tls, f"root {files};"))
        roads = [
            Road("direct", api.port),
            stack.enter_context(_nginx(root / "nginx", tls, *_reverse(api.port, tls))),
            stack.enter_context(_mitmdump(root / "mitmdump", api.port, tls)),
            *(stack.enter_context(_gateway(root / f"gateway-{n}", postgres, api.port, tls, n)) for n in (1, 2)),
        ]
        _report(_measured(roads, given.rounds, given.seconds))
        if given.stream_mb:
            for road in (roads[1], roads[2], roads[3]):
                _stream(road, given.stream_mb)
    return 0


def _measured(roads: list[Road], rounds: int, seconds: int) -> dict[tuple[str, int, str], Found]:
    found: dict[tuple[str, int, str], Found] = {}
    for road in roads:
        _wrk(road, _PATH.format("/1 KB"), 2, 1)
    for number in range(rounds):
        for size in SIZES:
            for clients in CLIENTS:
                _tell(f"round {number + 1} of {rounds}: {size}, {clients} clients")
                turn = number % len(roads)
                for road in roads[turn:] + roads[:turn]:
                    before = road.cpu_s()
                    count, rate, half = _wrk(road, _PATH.format(f"/{size}"), clients, seconds)
                    one = found.setdefault((size, clients, road.name), Found())
                    one.rate.append(rate)
                    one.half_us.append(half)
                    one.cpu_us.append((road.cpu_s() - before) / count * 1e6)
    return found


def _report(found: Mapping[tuple[str, int, str], Found]) -> None:
    roads = list(dict.fromkeys(name for _, _, name in found))
    print(f"{'answer, connections, road':<38} {'requests/s':>11} {'median':>10} {'CPU a request':>14}")
    for size in SIZES:
        for clients in CLIENTS:
            for road in roads:
                one = found[size, clients, road]
                cpu = f"{statistics.median(one.cpu_us):11,.0f} µs" if road != "direct" else ""
                print(f"{size:>7}, {clients:>2}, {road:<24} {statistics.median(one.rate):11,.0f} "
                      f"{statistics.median(one.half_us):7,.0f} µs {cpu:>14}")  # fmt: skip
            mine, bare = found[size, clients, "gateway"], found[size, clients, "mitmdump"]
            two = found[size, clients, "gateway, 2 workers"]
            print(
                f"{'':>13}gateway / mitmdump: {_ratio(mine.rate, bare.rate):.2f} of its requests/s, "
                f"{_ratio(bare.cpu_us, mine.cpu_us):.2f} per core; 2 workers / 1: {_ratio(two.rate, mine.rate):.2f}"
            )


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median of the rounds' ratios: both of a round met the same machine."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def _wrk(road: Road, path: str, clients: int, seconds: int) -> tuple[int, float, float]:
    """Requests, requests a second, and the median latency in µs. Raises `DemoError` for any answer but 200."""
    headers = [word for header in road.headers for word in ("-H", header)]
    url = f"https://localhost:{road.port}{path.replace(' ', '-')}"
    said = subprocess.run(
        ["wrk", "-t", "1", "-c", str(clients), "-d", f"{seconds}s", "--timeout", "20s", "--latency", *headers, url],
        capture_output=True, text=True, check=True, timeout=seconds + 60,
    ).stdout  # fmt: skip
    count, rate, half = _REQUESTS.search(said), _RATE.search(said), _HALF.search(said)
    if count is None or rate is None or half is None or not int(count[1]) or _BAD.search(said) or "errors" in said:
        raise DemoError(f"the road `{road.name}` does not lead to the API: {said}", "")
    return int(count[1]), float(rate[1]), float(half[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[half[2]]


def _stream(road: Road, megabytes: int) -> None:
    """Read the long answer, and print how fast it came and the memory of each process of the road, and before that."""
    for pid in road.pids():
        reset_peak(pid)
    had = [round(peak_mib(pid)) for pid in road.pids()]
    began, before = time.monotonic(), road.cpu_s()
    headers = [word for header in road.headers for word in ("-H", header)]
    said = subprocess.run(
        ["curl", "-q", "-sS", "-k", "--http1.1", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", *headers,
         f"https://localhost:{road.port}/companies/42/stream.ndjson"],
        capture_output=True, text=True, check=True, timeout=1800,
    ).stdout.split()  # fmt: skip
    if said[0] != "200":
        raise DemoError(f"the long answer did not come by the road `{road.name}`: {said}", "")
    took, peaks = time.monotonic() - began, [round(peak_mib(pid)) for pid in road.pids()]
    print(f"NDJSON, {megabytes} MB, {road.name:<10} {megabytes / took:7,.1f} MB/s of the API's, {int(said[1]) >> 20} "
          f"MB came; {road.cpu_s() - before:.1f} s of CPU; peak memory {' + '.join(map(str, peaks))} MB, "
          f"{' + '.join(map(str, had))} MB before")  # fmt: skip


def _files(directory: Path, megabytes: int) -> Path:
    """What the API answers: a document of each size, and lines of that many megabytes in all."""
    place = directory / "companies" / "42"
    (place / "items").mkdir(parents=True)
    one = element()
    for name, size in SIZES.items():
        items = [element(n) for n in range(max(1, round(size / len(json.dumps(one)))))]
        (place / "items" / name.replace(" ", "-")).write_text(json.dumps({"total": len(items), "items": items}))
    block = "".join(f"{json.dumps(element(n))}\n" for n in range(1000)).encode()
    with (place / "stream.ndjson").open("wb") as file:
        while file.tell() < megabytes << 20:
            file.write(block)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def _reverse(port: int, tls: ServerTls) -> tuple[str, str]:
    upstream = f"upstream api {{ server 127.0.0.1:{port}; keepalive 64; }}"
    verified = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {tls.ca}; proxy_ssl_name localhost;"
    through = (
        'proxy_pass https://api; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;'
    )
    return f"{through} {verified} proxy_ssl_server_name on;", upstream


@contextlib.contextmanager
def _nginx(directory: Path, tls: ServerTls, location: str, upstream: str = "") -> Iterator[Road]:
    """nginx with one process that works."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        raise DemoError("nginx was not found", "install it with `apt-get install nginx-light`")
    directory.mkdir()
    port = free_port()
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(
        directory=directory, certificate=tls.certificate, key=tls.key, port=port, location=location, upstream=upstream,
        user="user root;" if directory.owner() == "root" else "",
    ))  # fmt: skip
    with _running("nginx", [program, "-p", str(directory), "-c", str(config)], directory, port) as road:
        yield road


@contextlib.contextmanager
def _mitmdump(directory: Path, port: int, tls: ServerTls) -> Iterator[Road]:
    """mitmproxy as a reverse proxy, with nothing added."""
    directory.mkdir()
    own, both = free_port(), directory / "server.pem"
    both.touch(0o600)
    both.write_bytes(tls.key.read_bytes() + tls.certificate.read_bytes())
    options = {"confdir": str(directory), "ssl_verify_upstream_trusted_ca": str(tls.ca), "stream_large_bodies": "1m",
               "flow_detail": "0"}  # fmt: skip
    command = [str(Path(sys.executable).with_name("mitmdump")), "-q", "--mode", f"reverse:https://localhost:{port}",
               "--listen-host", "127.0.0.1", "-p", str(own), "--certs", f"*={both}",
               *(word for name, value in options.items() for word in ("--set", f"{name}={value}"))]  # fmt: skip
    with _running("mitmdump", command, directory, own) as road:
        yield road


@contextlib.contextmanager
def _running(name: str, command: list[str], directory: Path, port: int) -> Iterator[Road]:
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 30
            while subprocess.run(["curl", "-q", "-sk", "-o", "/dev/null", f"https://localhost:{port}/"],
                                 check=False, timeout=30).returncode:  # fmt: skip
                if process.poll() is not None or time.monotonic() > deadline:
                    raise DemoError(f"{name} did not start", (directory / "log").read_text()[-1000:])
                time.sleep(0.1)
            yield Road(name, port, process.pid)
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def _gateway(directory: Path, postgres: EmbeddedPostgres, port: int, tls: ServerTls, workers: int) -> Iterator[Road]:
    """The gateway with the API behind it, and the pass that alice got for her ticket."""
    company = prepared_company(directory, postgres, tls=True)
    yaml, own = YAML(), free_port()
    # policies know no anchors
    yaml.representer.ignore_aliases = lambda *_: True
    config = yaml.load(company.config)
    config["http"] = {"workers": workers}
    config["targets"]["api"] = {
        "engine": "http", "url": f"https://localhost:{port}", "ca": str(tls.ca), "listen": {"port": own},
    }  # fmt: skip
    yaml.dump(config, company.config)
    yaml.dump(_policy(), directory / "policies" / "api.yaml")
    gateway = Gateway(company, directory.with_suffix(".log"))
    gateway.start()
    try:
        opened = opened_by_alice(company, "api", _tell)
        shown = f"Authorization: Bearer {token_of(opened['user'], opened['password'])}"
        name = "gateway" if workers == 1 else f"gateway, {workers} workers"
        yield Road(name, own, gateway.pid, (shown,))
    finally:
        gateway.stop()


def _policy() -> dict[str, Any]:
    """Fifteen fields in clear and ten masked; five are not named."""

    def fields(above: str) -> dict[str, Any]:
        masked = {
            f"{above}.masked{n}": {"mask": kind, **options, "type": of}
            for n, (kind, options, of, _) in enumerate(MASKS)
        }
        return {f"{above}.plain{n}": "clear" for n in range(15)} | masked

    items = {
        "media": "json",
        "fields": {"$.total": "clear", **fields("$.items[*]")},
        "arrays": {"$.items": {"customer": "$.company", "count": "$.total"}},
    }
    lines = {"media": "ndjson", "customer": "$.company", "fields": fields("$")}
    company = {"path": {"company": "integer"}, "customer": "path.company"}
    return {
        "target": "api",
        "access": {
            "teams": ["support"],
            "ticket": {"projects": ["SUP"], "states": ["open", "in_progress"]},
            "duration": {"default": "8h", "max": "8h"},
            "auto_approve": "masked_reads",
            "approvers": {"teams": ["security"]},
        },
        "http": {
            "routes": {
                "small": {"get": "/companies/{company}/items/1-KB", **company, "answers": {200: items}},
                "large": {"get": "/companies/{company}/items/100-KB", **company, "answers": {200: items}},
                "stream": {"get": "/companies/{company}/stream.ndjson", **company, "answers": {200: lines}},
            }
        },
    }


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
