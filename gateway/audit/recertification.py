"""The result of a review of access as a file that proves itself: `gateway audit verify` checks it, offline.

    manifest.json     which review, and the SHA-256 of the result
    review.json       the result: each right, who answered what, and what became of it
    proof.json        that the log holds the record of the closing, with the digest of the result

The signature is the log's own, as with reports (`reports.py`): the record of the closing has the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.audit.bundle import FORMAT, Contents, json_bytes, problem
from gateway.audit.verify import Report

NAME, RESULT = "recertification", "review.json"
_OUTCOMES = ("kept", "restored", "withdrawn")


def contents(review: str, document: bytes, version: str) -> Contents:
    """The files of a result, besides its proof."""
    about = {"format": FORMAT, "framework": NAME, "version": version, "review": review}
    digests = {RESULT: hashlib.sha256(document).hexdigest()}
    return Contents(json_bytes({**about, "files": digests}), {RESULT: document})


def check(place: Path, manifest: Mapping[str, Any], proven: Report) -> Report:
    """The result against the record of the closing, and against itself."""
    record, document = proven.record or {}, (place / RESULT).read_bytes()
    if (record.get("kind"), record.get("move"), record.get("state")) != ("access.review", "close", "closed"):
        return problem(proven, "the record in the log is not that a review of access was closed")
    if record.get("digest") != hashlib.sha256(document).hexdigest() or record.get("review") != manifest["review"]:
        return problem(proven, "the record in the log is of another result")
    lines = json.loads(document)["lines"]
    counts = {name: sum(line["outcome"] == name for line in lines) for name in _OUTCOMES}
    if (record.get("count"), record.get("withdrawn")) != (len(lines), counts["withdrawn"]):
        return problem(proven, "the result has not as many lines as the record says")
    for line in lines:
        kept = line["outcome"] != "withdrawn"
        if line["decided_by"] == line["person"] or (kept and line["decision"] != "keep"):
            return problem(proven, f"line {line['number']} was kept by nobody else")
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    return replace(proven, notes=(*proven.notes, f"the result of the review `{manifest['review']}`: {said}"))
