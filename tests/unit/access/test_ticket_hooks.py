"""Webhooks: which are believed to come from the source, what becomes of them, and what is recorded of the others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from gateway.access.tickets.hooks import Hooks
from gateway.access.tickets.sources import open_sources
from gateway.errors import Refusal
from gateway.model import Peer
from gateway.ticket_settings import Tickets

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
SECRET = b"the secret of the webhook"
WHSEC = b"whsec_" + base64.b64encode(b"a key of thirty-two bytes, or so")
PEER = Peer("203.0.113.7:4711")
STAMP = str(int(NOW.timestamp()))

Sent = tuple[dict[str, str], bytes]


def mac(text: bytes, secret: bytes = SECRET) -> bytes:
    return hmac.new(secret, text, hashlib.sha256).digest()


def jira(at: datetime = NOW, secret: bytes = SECRET) -> Sent:
    body = json.dumps({"timestamp": int(at.timestamp() * 1000), "issue": {"key": "A-7"}}).encode()
    return {"x-hub-signature": f"sha256={mac(body, secret).hex()}"}, body


def github(_: datetime = NOW, secret: bytes = SECRET) -> Sent:
    body = json.dumps({"issue": {"number": 7}, "repository": {"full_name": "Acme/a"}}).encode()
    return {"x-hub-signature-256": f"sha256={mac(body, secret).hex()}"}, body


def zendesk(at: datetime = NOW, secret: bytes = SECRET) -> Sent:
    stamp, body = at.strftime("%Y-%m-%dT%H:%M:%SZ"), json.dumps({"detail": {"id": "7"}}).encode()
    proof = base64.b64encode(mac(stamp.encode() + body, secret)).decode()
    return {"x-zendesk-webhook-signature": proof, "x-zendesk-webhook-signature-timestamp": stamp}, body


def gitlab(_: datetime = NOW, secret: bytes = SECRET) -> Sent:
    body = json.dumps({"object_attributes": {"iid": 7}, "project": {"path_with_namespace": "acme/a"}}).encode()
    return {"x-gitlab-token": secret.decode()}, body


def gitlab_signed(at: datetime = NOW, secret: bytes = WHSEC) -> Sent:
    _, body = gitlab()
    stamp = str(int(at.timestamp()))
    key = base64.b64decode(secret[6:]) if secret.startswith(b"whsec_") else secret
    proof = base64.b64encode(mac(f"m1.{stamp}.".encode() + body, key)).decode()
    return {"webhook-id": "m1", "webhook-timestamp": stamp, "webhook-signature": f"v1,AAAA v1,{proof}"}, body


def own(at: datetime = NOW, secret: bytes = SECRET) -> Sent:
    stamp, body = str(int(at.timestamp())), json.dumps({"id": "A-7"}).encode()
    proof = mac(stamp.encode() + b"." + body, secret).hex()
    return {"x-gateway-timestamp": stamp, "x-gateway-signature": f"sha256={proof}"}, body


SCHEMES: dict[str, tuple[Callable[..., Sent], dict[str, Any], bytes]] = {
    "jira": (jira, {"kind": "jira", "projects": ["A"]}, SECRET),
    "github": (github, {"kind": "github", "projects": {"A": "acme/a"}}, SECRET),
    "zendesk": (zendesk, {"kind": "zendesk", "projects": ["A"]}, SECRET),
    "gitlab": (gitlab, {"kind": "gitlab", "projects": {"A": "acme/a"}}, SECRET),
    "gitlab-signed": (gitlab_signed, {"kind": "gitlab", "projects": {"A": "acme/a"}}, WHSEC),
    "roundup": (own, {"kind": "roundup", "projects": {"A": "issue"}}, SECRET),
}
WITHOUT_MOMENT = {"github", "gitlab"}
"""A token does not even cover the body: GitLab's signing token is better."""


class Porch:
    """Hooks for one source, with what they made it ask and what was recorded."""

    def __init__(self, directory: Path, settings: Mapping[str, Any], secret: bytes) -> None:
        path = directory / "hook.secret"
        path.write_bytes(secret)
        path.chmod(0o600)
        full = {
            "system": "source", "url": "https://example.com", "token": {"env": "NONE"}, "customer": {"field": "a"},
            "webhook": {"secret": {"file": str(path)}}, **settings,
        }  # fmt: skip
        self.records: list[tuple[str, Mapping[str, Any]]] = []
        self.hinted: list[str] = []
        self.sources = open_sources(TypeAdapter(Tickets).validate_python(full))
        self.source = self.sources.remote["source"]
        self.source.hint = self._hint  # type: ignore[method-assign]
        self.seconds = 0.0
        self.hooks = Hooks(
            self.sources.remote, lambda k, f: self.records.append((k, f)), lambda: NOW, lambda: self.seconds
        )

    def _hint(self, ids: Iterable[str]) -> None:
        self.hinted += ids

    def send(self, sent: Sent, system: str = "source") -> Refusal | None:
        return self.hooks.receive(system, sent[0], sent[1], PEER)


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def porch(scheme: str, tmp_path: Path) -> Any:
    found = Porch(tmp_path, *SCHEMES[scheme][1:])
    yield found
    found.sources.close()


def refused(porch: Porch, sent: Sent, system: str = "source") -> str:
    """The recorded reason."""
    before = len(porch.hinted)
    refusal = porch.send(sent, system)
    assert refusal is not None
    assert refusal.code == "authentication-failed"
    assert len(porch.hinted) == before
    kind, fields = porch.records[-1]
    assert (kind, fields["decision"], fields["address"]) == ("ticket.hook", "deny", PEER.address)
    return str(fields["reason"])


def test_a_proven_hook_makes_the_source_be_asked(scheme: str, porch: Porch) -> None:
    assert porch.send(SCHEMES[scheme][0]()) is None
    assert porch.hinted == ["A-7"]
    assert porch.records == []


def test_a_hook_with_another_secret_is_refused(scheme: str, porch: Porch) -> None:
    wrong = b"whsec_" + base64.b64encode(b"x" * 32) if scheme == "gitlab-signed" else b"another"
    assert refused(porch, SCHEMES[scheme][0](NOW, wrong)) == "its signature is wrong"


@pytest.mark.parametrize("scheme", sorted(SCHEMES.keys() - {"gitlab"}), indirect=True)
def test_a_hook_with_another_body_is_refused(scheme: str, porch: Porch) -> None:
    headers, body = SCHEMES[scheme][0]()
    assert refused(porch, (headers, body.replace(b"7", b"8"))) == "its signature is wrong"


def test_a_hook_without_proof_is_refused(scheme: str, porch: Porch) -> None:
    refused(porch, ({}, SCHEMES[scheme][0]()[1]))


@pytest.mark.parametrize("junk", ["", "sha256=", "sha256=zz", "sha1=00", "v1,", "%%%", "é", "0" * 10_000])
def test_a_hook_with_junk_for_proof_is_refused(scheme: str, porch: Porch, junk: str) -> None:
    headers, body = SCHEMES[scheme][0]()
    refused(porch, (dict.fromkeys(headers, junk), body))


@pytest.mark.parametrize("late_s", [-301, 301, 86_400 * 365, -86_400])
@pytest.mark.parametrize("scheme", sorted(SCHEMES.keys() - WITHOUT_MOMENT), indirect=True)
def test_a_hook_of_another_time_is_refused(scheme: str, porch: Porch, late_s: int) -> None:
    assert "its moment" in refused(porch, SCHEMES[scheme][0](NOW - timedelta(seconds=late_s)))


@pytest.mark.parametrize("scheme", ["gitlab-signed", "roundup", "zendesk"], indirect=True)
def test_a_moment_that_is_not_signed_is_none(scheme: str, porch: Porch) -> None:
    headers, body = SCHEMES[scheme][0](NOW - timedelta(hours=1))
    moved = {name: (STAMP if "timestamp" in name else value) for name, value in headers.items()}
    refused(porch, (moved, body))


def test_the_same_hook_again_has_no_effect(scheme: str, porch: Porch) -> None:
    sent = SCHEMES[scheme][0]()
    assert porch.send(sent) is None
    for _ in range(3):
        # the vendor may not have had our answer: it is told that all is well
        assert porch.send(sent) is None
    assert porch.hinted == ["A-7"]
    assert [fields["reason"] for _, fields in porch.records] == ["it was sent before"] * 3


def test_headers_that_are_not_signed_do_not_make_it_another_hook(porch: Porch, scheme: str) -> None:
    headers, body = SCHEMES[scheme][0]()
    for delivery in ("1", "2"):
        porch.send(({**headers, "x-github-delivery": delivery, "x-atlassian-webhook-identifier": delivery}, body))
    assert porch.hinted == ["A-7"]


@pytest.fixture
def plain(tmp_path: Path) -> Any:
    found = Porch(tmp_path, {"kind": "roundup", "projects": {"A": "issue", "B": "task"}}, SECRET)
    yield found
    found.sources.close()


def signed(body: bytes) -> Sent:
    proof = mac(STAMP.encode() + b"." + body).hex()
    return {"x-gateway-timestamp": STAMP, "x-gateway-signature": f"sha256={proof}"}, body


HOSTILE = [
    b"", b"null", b"[]", b"42", b'"A-7"', b"{", b"[" * 100_000, b'{"id": NaN}', b'{"id": "A-7", "id": "A-8"}', b"\xff",
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:20]))
def test_a_proven_hook_that_is_no_json_object_is_refused(plain: Porch, body: bytes) -> None:
    assert "JSON" in refused(plain, signed(body))


@pytest.mark.parametrize(
    ("named", "hinted"),
    [
        ("A-7", ["A-7"]), (7, ["A-7", "B-7"]), ("7", ["A-7", "B-7"]), ("B-7", ["B-7"]), ("C-7", []), ("../7", []),
        ("A-07", []), ("a-7", []), (["A-7"], []), ({"a": 1}, []), (True, []), (7.5, []), ("٧", []), ("A-7\n", ["A-7"]),
    ],
)  # fmt: skip
def test_only_ids_of_the_source_are_hints(plain: Porch, named: Any, hinted: list[str]) -> None:
    assert plain.send(signed(json.dumps({"id": named}).encode())) is None
    assert plain.hinted == hinted


def test_unknown_systems_are_refused_as_wrong_proofs_are(plain: Porch) -> None:
    right, wrong = own(), own(NOW, b"another")
    assert plain.send(right, "unknown") == plain.send(wrong)
    assert [fields.get("ticket_system") for _, fields in plain.records] == ["", "source"]


def test_a_flood_of_refused_hooks_is_a_record_each_and_then_counted(plain: Porch) -> None:
    for _ in range(500):
        plain.send(({}, b"x"))
    assert len(plain.records) == 20
    plain.seconds = 61.0
    plain.hooks.flush()
    assert len(plain.records) == 21
    assert plain.records[-1][1]["count"] == 480
    assert "logins" not in plain.records[-1][1]


def test_a_secret_that_cannot_be_read_is_our_fault_and_lets_nothing_in(plain: Porch, tmp_path: Path) -> None:
    (tmp_path / "hook.secret").unlink()
    assert refused(plain, own()) == "The configuration cannot be used."
