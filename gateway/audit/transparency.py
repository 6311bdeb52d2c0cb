"""What a customer may know of the accesses to his data: who, when, why, which categories; nobody's private data.

A report (`reports.py`) without records: these hold names of staff and, around them, other customers' accesses. Instead,
each access comes with the place and the hash of the record that began it, and the way from there to the signed head.

What it proves, to the customer, with the public key alone: those records are in the log, unchanged, and cannot be
exchanged later; and the gateway took note of this very document, so it cannot be denied or given out in two versions.
What is only attested by that: what the records say, and that these are all. An auditor can show either, since the
document is made from all records of the time, which an export proves complete.

INVARIANT: a person is a number within the document and the teams; no login, name, address or id of a person is in it,
no statement's text, and no record of another customer.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from gateway.audit import pages
from gateway.audit.bundle import FORMAT, PROOF, Contents, json_bytes
from gateway.audit.encode import record_of
from gateway.audit.export import from_file
from gateway.audit.tree import inclusion_proof, leaf_hash, node_hash, verify_inclusion
from gateway.audit.verify import Problem, Report, cover, open_head

NAME = "transparency"
_SEEN = {"columns_clear": "read", "columns_masked": "read masked", "columns_revealed": "read in clear",
         "columns_aggregated": "summed up", "columns_written": "changed",
         "unmasked": "read as it is, as a document"}  # fmt: skip
_PURPOSE = "support for the ticket"
_COLUMNS = ("no", "from", "until", "staff", "teams", "purpose", "granted", "data", "rows")


def contents(
    customer: str, records: Path, report: Report, categories: Mapping[str, Mapping[str, str]], version: str
) -> Contents:
    """The document over an export that was found whole. `categories` are names of categories by target and column."""
    with records.open("rb") as file:
        line = json.loads(file.readline())
        sessions, hashes = _sessions(file, line, customer)
    nodes = _nodes(line, report.signed_size, hashes)
    staff: dict[str, int] = {}
    accesses = [{"access": number, **_access(one, categories, staff)} for number, one in enumerate(sessions, 1)]
    evidence = [
        {"access": number, "record": one["index"], "hash": nodes(0, one["index"]).hex(),
         "path": [_text(step) for step in inclusion_proof(one["index"], report.signed_size, nodes)]}
        for number, one in enumerate(sessions, 1)
        if one["index"] < report.signed_size
    ]  # fmt: skip
    about = {
        "format": FORMAT, "framework": NAME, "version": version, "origin": report.origin, "customer": customer,
        "since": line["since"], "until": line["until"], "signed": report.signed_size, "root": report.root,
        "checkpoint": line["checkpoint"],
    }  # fmt: skip
    made = {"data/accesses.json": json_bytes(accesses), "data/evidence.json": json_bytes(evidence)}
    made["index.html"] = _page(about, accesses).encode()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}
    return Contents(json_bytes({**about, "files": digests}), made)


def check(place: Path, manifest: Mapping[str, Any], proven: Report, public_key: str) -> Report:
    """What a customer can check of it, beside the signature of the document itself."""
    proof = json.loads((place / PROOF).read_text(encoding="utf-8"))
    rotations = [one["leaf"].encode() for one in proof.get("rotations", [])]
    size, root = open_head(manifest["checkpoint"], public_key, rotations)
    problems = []
    if (size, root.hex()) != (manifest["signed"], manifest["root"]):
        problems.append(Problem(None, "the signed head is not the one that the document names"))
    evidence = json.loads((place / "data" / "evidence.json").read_text(encoding="utf-8"))
    accesses = json.loads((place / "data" / "accesses.json").read_text(encoding="utf-8"))
    for one in evidence:
        path = [base64.b64decode(step, validate=True) for step in one["path"]]
        if not verify_inclusion(one["record"], size, bytes.fromhex(one["hash"]), path, root):
            problems.append(Problem(one["record"], "the record of an access is not in the signed log"))
    if _page(manifest, accesses).encode() != (place / "index.html").read_bytes():
        problems.append(Problem(None, "the page does not say what the data say"))
    if [one["access"] for one in accesses] != list(range(1, len(accesses) + 1)):
        problems.append(Problem(None, "an access is missing from the list"))
    notes = (
        f"{len(accesses)} accesses to customer {manifest['customer']}; {len(evidence)} are in the signed log",
        "what these records say, and that there are no others, is the gateway's word: an auditor can show it",
    )
    return Report(proven.origin, size, size, root.hex(), tuple(problems), notes, proven.record)


def _sessions(file: Any, line: Mapping[str, Any], customer: str) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The customer's sessions with what was done in each, and the hashes of all leaves."""
    sessions: dict[str, dict[str, Any]] = {}
    begun: dict[tuple[str, str], dict[str, Any]] = {}
    hashes: list[bytes] = []
    for _, leaves, _ in from_file(file, line["first"], line["end"]):
        for leaf in leaves:
            hashes.append(leaf_hash(leaf))
            record = record_of(leaf)
            kind, session = record["kind"], record.get("session", "")
            if kind == "session.begin" and customer in record.get("customers", ()):
                sessions[session] = {**record, "done": {}, "sent": {}, "statements": 0, "rows": 0, "until": ""}
            found = sessions.get(session)
            if found is None:
                continue
            if kind == "statement.begin":
                found["statements"] += 1
                begun[session, record["statement"]] = found
                for name in _SEEN:
                    found["done"].setdefault(name, set()).update(record.get(name, ()))
                # a request that names no customer may be about any of the ticket's
                if record.get("recipient") and customer in record.get("sent_for", (customer,)):
                    found["sent"].setdefault(record["recipient"], set()).update(record.get("categories", ()))
            elif kind in ("statement.end", "statement.unknown"):
                found["rows"] += record.get("rows", 0)
                begun.pop((session, record["statement"]), None)
            elif kind == "session.end":
                found["until"] = record["time"]
    return list(sessions.values()), hashes


def _access(
    session: Mapping[str, Any], categories: Mapping[str, Mapping[str, str]], staff: dict[str, int]
) -> dict[str, Any]:
    """One access as the customer sees it."""
    named = categories.get(session["target"], {})
    person = staff.setdefault(session["person"], len(staff) + 1)
    seen = {
        what: sorted({named.get(column, _readable(column)) for column in session["done"].get(name, ())})
        for name, what in _SEEN.items()
    }
    approved = "in an emergency, reviewed afterwards" if session.get("break_glass") else (
        "approved by somebody else" if session.get("approvers") else "by rule: masked, this customer only"
    )  # fmt: skip
    others = len(session.get("customers", ())) - 1
    return {
        "from": session["time"], "until": session["until"], "staff": person, "teams": session.get("teams", []),
        "purpose": f"{_PURPOSE} {session['ticket']}", "granted": approved, "statements": session["statements"],
        "rows": session["rows"], "with_other_customers": others > 0,
        **{what: found for what, found in seen.items() if found},
        **({"sent": {to: sorted(what) for to, what in sorted(session["sent"].items())}} if session["sent"] else {}),
    }  # fmt: skip


def _readable(column: str) -> str:
    """`public.employees.first_name`, or `employees.$[*].first_name` of an API, as `employees: first name`.

    A media type stays as it is.
    """
    if "/" in column:
        return column
    route, of_route, path = column.partition(".$")
    if of_route:
        name = path.rpartition(".")[2] if "." in path else path.strip("[*]")
        return f"{route.replace('_', ' ')}: {name.replace('_', ' ')}" if name else route
    _, _, rest = column.partition(".")
    relation, _, name = rest.partition(".")
    return f"{relation}: {name.replace('_', ' ')}" if name else column


def _nodes(line: Mapping[str, Any], size: int, hashes: list[bytes]) -> Callable[[int, int], bytes]:
    """The tree's nodes, from the leaves of the stretch and the hashes on either side of it."""
    first, end = line["first"], line["end"]
    known: dict[tuple[int, int], bytes] = {}
    for pieces, given in ((cover(0, first), line["left"]), (cover(end, size), line["right"])):
        known |= {piece: base64.b64decode(digest) for piece, digest in zip(pieces, given, strict=True)}

    def node(level: int, number: int) -> bytes:
        found: bytes | None = known.get((level, number))
        if found is None:
            if level == 0:
                return bytes(hashes[number - first])
            found = node_hash(node(level - 1, 2 * number), node(level - 1, 2 * number + 1))
            known[level, number] = found
        return found

    return node


def _page(about: Mapping[str, Any], accesses: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        {
            "no": number, "from": _minute(one["from"]), "until": _minute(one["until"]), "staff": f"no. {one['staff']}",
            "teams": one["teams"], "purpose": one["purpose"], "granted": one["granted"],
            "data": "; ".join(_told(one)),
            "rows": one["rows"],
        }
        for number, one in enumerate(accesses, 1)
    ]  # fmt: skip
    span = f"from {about['since'] or 'the beginning'} until before {about['until'] or 'the making of this document'}"
    parts = [
        f'<p class="soft">Customer {escape(about["customer"])}, {escape(span)} (UTC); from the audit trail '
        f"<code>{escape(about['origin'])}</code></p>",
        f"<p>{len(rows)} {'access' if len(rows) == 1 else 'accesses'} by staff.</p>",
        pages.table(_COLUMNS, rows) if rows else "",
        "<h2>What this is</h2>",
        '<p class="note">Each access was made by one person with a second factor, for a ticket about this customer. A '
        "person has a number, which means something in this document only. Rows are those that left, as sums and lists "
        "alike; where a ticket was about several customers, they are counted for all of them together. Data that is "
        "masked was shown as a placeholder, a part, or a pseudonym. What was sent to another company is named with who "
        "received it; it was masked in the same ways before it left, and was on record before.</p>",
        '<p class="note">Check it with <code>gateway audit verify FILE.zip --key KEY</code>, with the public key from '
        "somewhere else than this file. That proves that the record of each access is in the signed log, unchanged, "
        "and that the gateway took note of this very document. What the records say in detail, and that there are no "
        "others, is the word of whoever runs the gateway; an auditor can show it from the records.</p>",
    ]
    return pages.document("Who accessed your data", parts)


def _told(access: Mapping[str, Any]) -> list[str]:
    """What was done with which data, and to whom it was sent."""
    seen = [f"{what}: {', '.join(access[what])}" for what in _SEEN.values() if access.get(what)]
    sent = [f"sent to {to}: {', '.join(what) or 'no data'}" for to, what in access.get("sent", {}).items()]
    return seen + sent


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
