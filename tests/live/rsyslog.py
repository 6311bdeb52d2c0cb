"""rsyslog on loopback, with TLS, as the receiver that people really have."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.ports import free_port
from gateway.demo.tls import ServerTls

_CONFIG = """
global(
  workDirectory="{directory}"
  maxMessageSize="64k"
  defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}"
  parser.escapeControlCharactersOnReceive="off"
)
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")
template(name="parts" type="string"
  string="%syslogfacility%|%syslogseverity%|%app-name%|%msgid%|%structured-data%|%msg%\\n")
ruleset(name="all") {{ action(type="omfile" file="{directory}/received" template="parts") }}
"""


@dataclass
class Rsyslog:
    """The daemon, and what it wrote."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes]

    def received(self) -> list[list[str]]:
        """The parts of each message: facility, severity, application, id, structured data, text."""
        path = self.directory / "received"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [line.split("|", 5) for line in lines]


@contextlib.contextmanager
def rsyslog(directory: Path, tls: ServerTls) -> Iterator[Rsyslog]:
    """Start it; stop it by its pid."""
    directory.mkdir(parents=True)
    port = free_port(0)
    config = directory / "rsyslog.conf"
    config.write_text(
        _CONFIG.format(directory=directory, ca=tls.ca, certificate=tls.certificate, key=tls.key, port=port)
    )
    command = ["rsyslogd", "-n", "-f", str(config), "-i", str(directory / "pid")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.1)
        yield Rsyslog(directory, port, process)
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()
