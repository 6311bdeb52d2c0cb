"""No byte of a canary leaves, whatever the upstream answers and however its bytes arrive: the corpus of answers."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest
from answering import Withheld, answer, array, field, in_chunks, route, rule, seen
from ruamel.yaml import YAML

from gateway.http.headers import USUAL
from gateway.policy.http_rules import AnswerRule, Route

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CORPUS = Path(__file__).parents[2] / "corpus" / "http" / "answers.yaml"
GROUPS = YAML(typ="safe").load(CORPUS)
CASES = [(group["rule"], case) for group in GROUPS for case in group["cases"]]
PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda text: brotli.compress(text, quality=5),
    "zstd": zstd.compress,
}


def rule_of(given: dict[str, Any]) -> AnswerRule:
    fields = []
    for at, mask in given.get("fields", {}).items():
        options = dict(mask) if isinstance(mask, dict) else {"mask": mask}
        of = options.pop("type", "text")
        fields.append(field(at, options, of))
    return rule(
        given["media"],
        *fields,
        customer=given.get("customer"),
        arrays=tuple(array(of["path"], of["customer"], of.get("count")) for of in given.get("arrays", ())),
        headers=tuple(given.get("headers", ())),
        content_types=tuple(given.get("content_types", ())),
        statuses=frozenset(given.get("statuses", [200])),
    )


RULES = {id(group["rule"]): rule_of(group["rule"]) for group in GROUPS}
"""One rule for all cases of a group, as a policy has one for all answers."""


def body_of(case: dict[str, Any]) -> bytes:
    body = case.get("body", "").encode()
    if case.get("raw"):
        body = body.decode("unicode_escape").encode("latin-1")
    part, times, end = case.get("repeat", ("", 0, ""))
    body += (part * times + end).encode()
    return PACK[case["pack"]](body) if "pack" in case else body


def head_of(case: dict[str, Any], media: str) -> list[tuple[bytes, bytes]]:
    usual = {"Content-Type": USUAL[media][0]} if USUAL[media] else {}
    usual |= {"Content-Encoding": case["pack"]} if "pack" in case else {}
    given = usual | case.get("headers", {})
    return [(name.encode(), value.encode()) for name, value in given.items() if value]


def given(of: Route, case: dict[str, Any], body: bytes, size: int) -> tuple[bytes, bytes, str]:
    """Every byte that leaves, the body of it, and the code that ended it."""
    try:
        out = answer(
            of,
            head_of(case, of.answers[0].media),
            case.get("status", 200),
            method=case.get("method", "GET"),
            routes=(of,),
        )
    except Withheld as fault:
        return seen(fault), b"", fault.refusal.code
    came, fault = in_chunks(out, (body[at : at + size] for at in range(0, len(body), size)))
    if fault is None:
        return seen(out, came), came, ""
    of_somebody = of.answers[0].media == "json" and of.answers[0].customer is not None
    assert not of_somebody or seen(fault) == seen(Withheld.not_found())
    # what operators are told of what nobody can read
    return seen(out, came) + seen(fault), came, fault.refusal.detail.partition(":")[0] or fault.refusal.code


@pytest.mark.parametrize(("by", "case"), CASES, ids=lambda part: part.get("id", ""))
def test_what_an_answer_carries_leaves_only_as_the_rule_says(by: dict[str, Any], case: dict[str, Any]) -> None:
    of = route(RULES[id(by)])
    body = body_of(case)

    for size in (1, 7, 1 << 14) if len(body) < 4096 else (1 << 14,):
        everything, came, code = given(of, case, body, size)

        assert b"CANARY" not in everything
        assert b"canary" not in everything.lower()
        assert code == case.get("withheld", "")
        wanted = case.get("partly", "") if code else case["sent"]
        assert came == wanted.encode()


def test_the_corpus_is_what_it_says() -> None:
    names = [case["id"] for _, case in CASES]

    assert len(names) == len(set(names))
    assert len(names) >= 150
    assert all(case["why"] for _, case in CASES)
    assert all(("sent" in case) != ("withheld" in case) for _, case in CASES)
    assert sum("CANARY" in str(case) for _, case in CASES) > 0.8 * len(CASES)


def test_without_the_rules_the_canaries_would_leave() -> None:
    """The corpus bites: passed as they are, most of its answers carry one."""
    carried = sum(
        b"CANARY" in body_of({name: part for name, part in case.items() if name != "pack"}) for _, case in CASES
    )

    assert carried > 100
