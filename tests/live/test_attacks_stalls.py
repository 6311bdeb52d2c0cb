"""Nobody's statements hold everybody else up: neither one text nor a burst of them.

Sessions whose reasons cannot be confirmed for some seconds are cut, so who could hold the event loop could end the
sessions of all others.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from gateway_fixture import House
from raw_client import Raw, query

from gateway.wire import postgres as wire

BOUND_S = 0.8
"""Of the gateway's own work, so that what else the machine does counts for nothing."""

PATIENCE_S = 8.0
"""Of the clock: who waits for others without working holds everybody up as well."""


class Pulse:
    """Asks for the gateway's health again and again.

    `worst` is the most that its process worked while one answer was awaited, `longest` the longest wait; seconds both.
    """

    def __init__(self, house: House) -> None:
        self.worst = 0.0
        self.longest = 0.0
        self._pid = house.gateway.pid
        self._url = f"http://127.0.0.1:{house.company.ports['ops']}/healthz"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        with httpx2.Client(trust_env=False, timeout=60) as client:
            while not self._over.wait(0.02):
                asked, worked = time.monotonic(), worked_s(self._pid)
                assert client.get(self._url).status_code == 200
                self.worst = max(self.worst, worked_s(self._pid) - worked)
                self.longest = max(self.longest, time.monotonic() - asked)

    def kept_its_bounds(self) -> bool:
        return self.worst < BOUND_S and self.longest < PATIENCE_S

    def __str__(self) -> str:
        return f"everybody waited {self.longest:.1f} s, of which the gateway worked {self.worst:.1f} s"


def worked_s(pid: int) -> float:
    """Seconds of processor time that a process has had (proc(5): `stat`, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def pulse(house: House) -> Iterator[Pulse]:
    found = Pulse(house)
    yield found
    found.stop()


BURSTS = {
    "settings": [
        f"select {n}," + ",".join("current_setting(x)" for _ in range(22)) + " from employees" for n in range(150)
    ],
    "conditions": [
        f"select a{n}.id from employees a{n}, employees b{n} where 1={n} and "
        + " and ".join(f"a{n}.id+1={k}" for k in range(20))
        for n in range(300)
    ],
}


@pytest.mark.parametrize("what", BURSTS)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_burst_of_new_texts_leaves_everybody_else_a_turn(
    house: House, pulse: Pulse, what: str, protocol: str
) -> None:
    texts = [f"{text} -- {protocol}" for text in BURSTS[what]]
    with Raw(house) as raw:
        raw.log_in()
        if protocol == "simple":
            raw.send(b"".join(map(query, texts)))
            answers = [raw.until_ready() for _ in texts]
        else:
            raw.send(b"".join(wire.encode_parse(b"", text) for text in texts) + wire.encode_sync())
            answers = [raw.until_ready()]
    pulse.stop()

    assert len(answers) == (len(texts) if protocol == "simple" else 1)
    assert pulse.kept_its_bounds(), str(pulse)


SINGLE = {
    "comments in a list": "select * from employees a,/**/" + ",/**/".join(f"employees b{n}" for n in range(23)),
    "line comments in a list": "select * from employees a,--\n" + ",--\n".join(f"employees b{n}" for n in range(23)),
    "names in other letters": "select * from employees a," + ",".join(f"employees é{n}" for n in range(24)),
}


@pytest.mark.parametrize("what", SINGLE)
def test_one_text_is_not_analysed_where_everybody_waits(house: House, pulse: Pulse, what: str) -> None:
    with Raw(house) as raw:
        raw.log_in().query(f"{SINGLE[what]} limit 0")
    pulse.stop()

    assert pulse.kept_its_bounds(), str(pulse)
