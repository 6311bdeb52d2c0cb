"""The trail on disk read by another implementation: Go's checksum database, whose formats the C2SP specifications are.

It opens the checkpoint, reads the tiles, makes every proof anew from them, and computes the roots from the leaves; what
it makes must be what the gateway makes, byte for byte.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.checkpoint import Signer, open_checkpoint
from gateway.audit.cosignature import Cosigner
from gateway.audit.log import FileLog
from gateway.audit.segment import read_batches, segments_of
from gateway.audit.tiles import TileReader
from gateway.audit.tree import consistency_proof, inclusion_proof

pytestmark = pytest.mark.live

ORIGIN = "gateway.example/go"
RECORDS = 1_400
Reader = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Asks the program, which Debian's Go compiles from Debian's source of the library."""
    place = tmp_path_factory.mktemp("go")
    program = place / "tlog"
    source = Path(__file__).parent / "programs" / "tlog.go"
    environment = {
        **os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(place / "cache"),
        "GOFLAGS": "", "CGO_ENABLED": "0",
    }  # fmt: skip
    subprocess.run(["go", "build", "-o", str(program), str(source)], check=True, timeout=300, env=environment)

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        done = subprocess.run([str(program)], input=json.dumps(request), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return ask


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.generate(ORIGIN)


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    directory = tmp_path_factory.mktemp("trail") / "trail"
    log = FileLog.open(
        directory, origin=ORIGIN, key=signer, clock=lambda: datetime.now(UTC), segment_bytes=256 << 10, reserve_bytes=0
    )
    for number in range(RECORDS):
        log.append({"kind": "login", "login": f"é{number}", "reason": "x" * (number % 300)})
    log.close()
    return directory


def test_go_reads_the_trail_and_makes_the_same_proofs(read: Reader, trail: Path, signer: Signer) -> None:
    leaves = [
        leaf for first, path in segments_of(trail) for batch in read_batches(path, first) for leaf in batch.leaves
    ]
    note = (trail / "checkpoint").read_bytes().decode()
    head = open_checkpoint(note, signer.verifier)
    assert head.size == len(leaves) > 5 * 256
    records = [0, 1, 255, 256, 257, 1023, 1024, head.size - 1]
    sizes = [1, 2, 3, 255, 256, 257, 511, 1024, 1025, head.size - 1, head.size]
    pairs = [(old, new) for old in sizes for new in sizes if old <= new]
    cosigner = Cosigner.generate("witness.example/w1")

    said = read(
        {
            "directory": str(trail),
            "verifier": signer.verifier.text,
            "signer": signer.text(),
            "witness": cosigner.verifier.text,
            "cosigned": cosigner.cosigned(note, 1_795_000_000),
            "records": records,
            "pairs": pairs,
            "leaves": [leaf.decode() for leaf in leaves],
        }
    )

    assert (said["Size"], said["Root"]) == (head.size, text(head.root))
    assert said["Roots"][-1] == text(head.root)
    nodes = TileReader(trail, head.size).node
    assert said["Records"] == [[text(h) for h in inclusion_proof(index, head.size, nodes)] for index in records]
    assert said["Trees"] == [[text(h) for h in consistency_proof(old, new, nodes)] for old, new in pairs]
    assert said["Note"] == note
    assert said["Timestamp"] == 1_795_000_000


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
