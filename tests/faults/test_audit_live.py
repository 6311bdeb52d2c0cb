"""Reading, proving and verifying a trail while it is being written."""

import threading
import time
from datetime import UTC, datetime

import pytest

from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.audit.search import Query, Search
from gateway.audit.segment import segments_of
from gateway.audit.verify import proof_bytes, verify_log, verify_proof
from gateway.errors import GatewayError

pytestmark = pytest.mark.faults

ORIGIN = "gateway.example/live"


def test_a_trail_verifies_proves_and_answers_at_any_moment_of_its_writing(tmp_path):
    key, trail = Signer.generate(ORIGIN), tmp_path / "trail"
    log = FileLog.open(
        trail,
        origin=ORIGIN,
        key=key,
        clock=lambda: datetime.now(UTC),
        segment_bytes=256 << 10,
        reserve_bytes=0,
        interval_s=0.005,
    )
    stop = threading.Event()
    appended = []

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            log.append({"kind": "statement.begin", "session": "S", "statement": f"Q{number}", "login": "alice"})
            receipt = log.append({"kind": "statement.end", "session": "S", "statement": f"Q{number}"})
            if number % 7 == 0:
                log.flush()
                appended.append(receipt.index)
                stop.wait(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    inside = Search(trail, key.verifier, durable=lambda: log.durable_size, database=tmp_path / "inside.sqlite")
    outside = Search(trail, key.verifier, database=tmp_path / "outside.sqlite")
    proofs = 0
    try:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            report = verify_log(trail, key.verifier.text)
            assert report.ok, report.problems
            assert report.size >= report.signed_size
            known = appended[-1] if appended else 0
            assert inside.show(known)["index"] == known
            before = log.signed_size
            assert before <= outside.count(Query()) <= log.durable_size
            try:
                (tmp_path / "proof").write_bytes(proof_bytes(outside.prove(outside.count(Query()) - 1)))
                assert verify_proof(tmp_path / "proof", key.verifier.text).ok
                proofs += 1
            except GatewayError as error:
                assert error.code == "not-found"  # noqa: PT017
    finally:
        stop.set()
        writer.join()
        log.close()
        inside.close()
        outside.close()
    report = verify_log(trail, key.verifier.text)
    assert report.ok, report.problems
    assert report.notes == ()
    assert proofs > 3
    assert len(segments_of(trail)) > 1
