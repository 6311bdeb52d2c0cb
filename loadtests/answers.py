"""What it costs to mask the answers of HTTP APIs: `python -m loadtests.answers`; nothing is started, no network used.

Documents of 1 KB and 100 KB (30 fields in each element, ten of them masked, five not named), and streams of NDJSON and
CSV whose memory is measured. `--stream-mb 500` is the length of the streams. Times are of this process alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable

from gateway.http.answer import Answer
from gateway.policy.http_rules import AnswerRule, ArrayRule, FieldRule, Route
from gateway.policy.kinds import checked

KEY = bytes(range(32))
MASKS = [
    ("pseudonym", {"domain": "last_name"}, "text", "Durand"),
    ("pseudonym", {"domain": "token"}, "text", "E-100042"),
    ("pseudonym", {"domain": "integer"}, "bigint", 100042),
    ("email", {}, "text", "jean.durand@example.com"),
    ("digits", {}, "text", "06 12 34 56 78"),
    ("partial", {"keep_start": 4, "keep_end": 3}, "text", "FR7630006000011234567890189"),
    ("bucket", {"size": 1000}, "numeric(10,2)", 3245.5),
    ("year", {}, "date", "1984-02-29"),
    ("initials", {}, "text", "Jean Durand"),
    ("redact", {}, "text", "a note"),
]
MEDIA = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}


def rule(media: str, above: tuple[str, ...] = ()) -> AnswerRule:
    """Fifteen fields in clear and ten masked."""
    fields = [FieldRule((*above, f"plain{n}"), checked("clear", {})) for n in range(15)]
    fields += [FieldRule((*above, f"masked{n}"), checked(kind, of), t) for n, (kind, of, t, _) in enumerate(MASKS)]
    customer, arrays = (("company",), ()) if not above else (None, (ArrayRule(("items",), ("company",), ("total",)),))
    return AnswerRule(frozenset({200}), media, customer, tuple(fields), arrays)


def element() -> dict[str, object]:
    """Thirty fields and the customer."""
    made: dict[str, object] = {"company": 42}
    made |= {f"plain{n}": f"value {n}" for n in range(15)}
    made |= {f"masked{n}": value for n, (_, _, _, value) in enumerate(MASKS)}
    return made | {f"hidden{n}": "not named" for n in range(5)}


def opened(by: AnswerRule) -> Answer:
    """An answer that begins."""
    head = ((b"Content-Type", MEDIA[by.media].encode()),)
    return Answer(Route("r", "GET", ("items",), answers=(by,)), "GET", 200, head, customers=("42",), key=KEY)


def best(work: Callable[[], object], times: int) -> float:
    """The shortest of so many, in milliseconds of this process."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found) * 1000


def document(size: int, by: AnswerRule) -> None:
    """Print what a document of about that many bytes costs."""
    one = len(json.dumps(element()))
    body = json.dumps({"total": 9, "items": [element()] * max(1, round(size / one))}).encode()

    def work() -> None:
        out = opened(by)
        out.feed(body)
        out.finish()

    cost = best(work, 200 if size < 10_000 else 50)
    parse = best(lambda: json.loads(body), 50)
    print(f"json    {len(body):>9,} bytes  {cost:8.3f} ms  ({cost / parse:.1f} times reading it with json.loads)")


def stream(media: str, megabytes: int) -> None:
    """Print how quickly a stream of so many megabytes passes, and the most memory that this process ever had."""
    values = element()
    line = json.dumps(values) if media == "ndjson" else ",".join(map(str, values.values()))
    block = (line + "\n").encode() * ((1 << 16) // len(line) + 1)
    out = opened(rule(media))
    if media == "csv":
        out.feed((",".join(values) + "\n").encode())
    came, began = 0, time.process_time()
    while came < megabytes << 20:
        for at in range(0, len(block), 1 << 14):
            out.feed(block[at : at + (1 << 14)])
        came += len(block)
    out.finish()
    seconds = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = came / seconds / (1 << 20)
    records = out.rows / seconds
    print(f"{media:<7} {came >> 20:>6} MB  {rate:8.1f} MB/s  {records:10,.0f} records/s  {memory:6.0f} MB of memory")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stream-mb", type=int, default=50)
    given = parser.parse_args()
    for media in ("ndjson", "csv"):
        stream(media, given.stream_mb)
    by = rule("json", ("items", "*"))
    for size in (1_000, 100_000):
        document(size, by)


if __name__ == "__main__":
    main()
