"""A real Roundup tracker (PyPI), its classic template, behind its own WSGI handler in a process of its own."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from gateway_fixture import eventually

from gateway.demo.ports import free_port

PASSWORD = "adminpw"
_SERVE = """
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server
from roundup.cgi.wsgi_handler import RequestDispatcher
class Quiet(WSGIRequestHandler):
    def log_message(self, *_): pass
make_server("127.0.0.1", int(sys.argv[2]), RequestDispatcher(sys.argv[1]), handler_class=Quiet).serve_forever()
"""


class Tracker:
    """Its REST interface as its administrator uses it."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{port}"
        headers = {"x-requested-with": "rest", "origin": self.url, "referer": f"{self.url}/"}
        self._client = httpx2.Client(base_url=f"{self.url}/rest/data", auth=("admin", PASSWORD), headers=headers)

    def make(self, class_: str, **fields: Any) -> str:
        answer = self._client.post(f"/{class_}", json=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["id"])

    def change(self, class_: str, number: str, **fields: Any) -> None:
        etag = self._client.get(f"/{class_}/{number}").json()["data"]["@etag"]
        answer = self._client.patch(f"/{class_}/{number}", json=fields, headers={"if-match": etag})
        assert answer.status_code == 200, answer.text

    def messages(self, number: str) -> list[str]:
        found = self._client.get(f"/issue/{number}").json()["data"]["attributes"]["messages"]
        return [self._client.get(f"/msg/{one['id']}/content").json()["data"]["data"] for one in found]

    def retire(self, designator: str) -> None:
        admin(self.home, "retire", designator)

    def answers(self) -> bool:
        try:
            return self._client.get("/status").status_code == 200
        except httpx2.TransportError:
            return False

    def close(self) -> None:
        self._client.close()


def admin(home: Path, *command: str, answer: str = "") -> None:
    program = Path(sys.executable).parent / "roundup-admin"
    done = subprocess.run(
        [program, "-i", str(home), *command], capture_output=True, text=True, input=answer, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


@contextlib.contextmanager
def roundup(home: Path) -> Iterator[Tracker]:
    """A tracker that answers."""
    port = free_port()
    admin(home, "install", "classic", "sqlite")
    config = home / "config.ini"
    text = re.sub(r"(?m)^#web = .*$", f"web = http://127.0.0.1:{port}/", config.read_text())
    # no messages are sent from here: the detectors' mail goes into a file
    text = re.sub(r"(?m)^#domain = .*$", "domain = example.com", text)
    config.write_text(text)
    for detector in (home / "detectors").glob("nosyreaction.py"):
        detector.unlink()
    admin(home, "initialise", PASSWORD)
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(home), str(port)], stderr=subprocess.DEVNULL)
    tracker = Tracker(home, port)
    try:
        eventually(tracker.answers)
        yield tracker
    finally:
        tracker.close()
        process.terminate()
        process.wait(10)
