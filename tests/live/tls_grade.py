"""What testssl.sh finds at a TLS listener, as a grade.

testssl.sh before 3.2, such as Debian 12's, gives none, so it is made of the findings here, after SSL Labs' "SSL Server
Rating Guide" (2009r): 30 points for protocols, 30 for the key exchange, 40 for ciphers; from 80 on it is A. What
caps a grade there fails here: this is about "A or better" and knows nothing between A and F.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Findings = dict[str, tuple[str, str]]
"""Severity and words of each finding, by its id."""

_CIPHER = re.compile(r"TLS 1\.[23] +x\w+ +(\S+) +(\S+) (\d+) +(\S+) +(\d+) ")
_AEAD = frozenset({"AESGCM", "ChaCha20", "AESCCM", "AESCCM8"})
_OLD = ("SSLv2", "SSLv3", "TLS1", "TLS1_1")
_TRUST = ("cert_trust", "cert_chain_of_trust", "cert_expirationStatus", "cert_signatureAlgorithm", "cert_keySize")
_NOT_OURS = frozenset({"cert_revocation", "engine_problem", "sessionresumption_ticket"})
"""What is about the authority that the test made, about the openssl that testssl.sh was given, or about a check that it
could not make: whether tickets exist is another finding."""
_HSTS_S = 15_552_000


@dataclass(frozen=True, slots=True)
class Grade:
    """`score` of 100, and everything that stands against an A."""

    letter: str
    score: int
    against: tuple[str, ...]


def look(port: int, ca: Path, directory: Path, *, protocol: str = "") -> Findings:
    """All that testssl.sh finds at that port of loopback; it takes a minute. `protocol` is for its `--starttls`."""
    found = directory / f"{port}.json"
    what = ["-p", "-E", "-f", "-U", "-S", *([] if protocol else ["-h"])]
    starttls = ["--starttls", protocol] if protocol else []
    ran = subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1",
         "--add-ca", str(ca), "--jsonfile", str(found), *starttls, *what, f"localhost:{port}"],
        capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert found.exists(), ran.stdout[-2000:] + ran.stderr[-2000:]
    return {one["id"]: (one["severity"], one["finding"]) for one in json.loads(found.read_text())}


def grade(findings: Findings, *, https: bool) -> Grade:
    """The grade of what was found."""
    suites = [match for _, text in findings.values() if (match := _CIPHER.match(text + " "))]
    against = (*_against(findings, https=https), *_against_suites(suites))
    versions = [100 if name == "TLS1_3" else 95 for name in ("TLS1_2", "TLS1_3") if _offered(findings, name)]
    bits = [int(suite[5]) for suite in suites]
    if not versions or not bits:
        return Grade("F", 0, (*against, "nothing is offered"))
    strengths = [100 if many >= 256 else 80 if many >= 128 else 20 for many in bits]
    keys = min(90 if int(suite[3]) >= 224 else 40 for suite in suites)
    score = 0.3 * _middle(versions) + 0.3 * keys + 0.4 * _middle(strengths)
    return Grade("A" if score >= 80 and not against else "F", round(score), against)


def _against(findings: Findings, *, https: bool) -> Iterator[str]:
    """What caps the grade."""
    for name in ("TLS1_2", "TLS1_3"):
        if not _offered(findings, name):
            yield f"{name} is not offered"
    for name in _OLD:
        if findings.get(name, ("", ""))[1] != "not offered":
            yield f"{name} is offered, or was not looked for"
    for name in _TRUST:
        if findings.get(name, ("", ""))[0] != "OK":
            yield f"{name}: {findings.get(name, ('', 'was not looked for'))[1]}"
    if https:
        words = re.search(r"=(\d+) seconds", findings.get("HSTS_time", ("", ""))[1])
        if words is None or int(words[1]) < _HSTS_S:
            yield "HSTS is not set for half a year"
    for name, (severity, text) in findings.items():
        if severity not in {"OK", "INFO"} and name not in _NOT_OURS:
            yield f"{name}: {severity}, {text}"


def _against_suites(suites: Sequence[re.Match[str]]) -> Iterator[str]:
    for name, exchange, _, cipher, _ in (suite.groups() for suite in suites):
        if exchange not in {"ECDH", "DH"}:
            yield f"{name} has no forward secrecy"
        if cipher not in _AEAD:
            yield f"{name} is not authenticated encryption"


def _offered(findings: Findings, name: str) -> bool:
    return findings.get(name, ("", ""))[1].startswith("offered")


def _middle(values: Sequence[int]) -> float:
    return (max(values) + min(values)) / 2
