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
MASKS: list[tuple[str, dict[str, object], str, Callable[[int], object]]] = [
    ("pseudonym", {"domain": "last_name"}, "text", lambda n: f"Durand{n % 97}"),
    ("pseudonym", {"domain": "token"}, "text", lambda n: f"E-{100042 + n}"),
    ("pseudonym", {"domain": "integer"}, "bigint", lambda n: 100042 + n),
    ("email", {}, "text", lambda n: f"jean.durand{n}@example.com"),
    ("digits", {}, "text", lambda n: f"06 12 34 {n // 100 % 100:02} {n % 100:02}"),
    ("partial", {"keep_start": 4, "keep_end": 3}, "text", lambda n: f"FR76300060000112345678{n % 100000:05}"),
    ("bucket", {"size": 1000}, "numeric(10,2)", lambda n: 3245.5 + 100 * (n % 97)),
    ("year", {}, "date", lambda n: f"19{n % 90 + 10}-02-{n % 28 + 1:02}"),
    ("initials", {}, "text", lambda n: f"{'JMALC'[n % 5]}ean Durand"),
    ("redact", {}, "text", lambda n: f"a note {n}"),
]
MEDIA = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv"}


def rule(media: str, above: tuple[str, ...] = ()) -> AnswerRule:
    """Fifteen fields in clear and ten masked."""
    fields = [FieldRule((*above, f"plain{n}"), checked("clear", {})) for n in range(15)]
    fields += [FieldRule((*above, f"masked{n}"), checked(kind, of), t) for n, (kind, of, t, _) in enumerate(MASKS)]
    customer, arrays = (("company",), ()) if not above else (None, (ArrayRule(("items",), ("company",), ("total",)),))
    return AnswerRule(frozenset({200}), media, customer, tuple(fields), arrays)


def element(number: int = 0) -> dict[str, object]:
    """Thirty fields and the customer; what is masked differs from one number to the next."""
    made: dict[str, object] = {"company": 42}
    made |= {f"plain{n}": f"value {n}" for n in range(15)}
    made |= {f"masked{n}": value(number) for n, (_, _, _, value) in enumerate(MASKS)}
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
    body = json.dumps({"total": 9, "items": [element(n) for n in range(max(1, round(size / one)))]}).encode()

    def work() -> None:
        out = opened(by)
        out.feed(body)
        out.finish()

    cost = best(work, 200 if size < 10_000 else 50)
    parse = best(lambda: json.loads(body), 50)
    print(f"json    {len(body):>9,} bytes  {cost:8.3f} ms  ({cost / parse:.1f} times reading it with json.loads)")


def stream(media: str, megabytes: int) -> None:
    """Print how quickly a stream of so many megabytes passes, and the most memory that this process ever had."""
    values = [element(n) for n in range(100)]
    lines = [json.dumps(one) if media == "ndjson" else ",".join(map(str, one.values())) for one in values]
    block = "".join(f"{line}\n" for line in lines).encode()
    out = opened(rule(media))
    if media == "csv":
        out.feed((",".join(values[0]) + "\n").encode())
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
