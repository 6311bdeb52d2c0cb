"""What an identity provider says becomes a person with teams, or a refusal that says what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.access.directory.oidc.claims import facts_of, person_of, provider_factor_at
from gateway.access.directory.oidc.id_token import Untrue
from gateway.oidc_settings import OidcDirectory, ProviderFactor

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def settings(**changes: Any) -> OidcDirectory:
    return OidcDirectory(
        **{
            "kind": "oidc", "issuer": "https://id.example", "client_id": "gateway", "client_secret": {"env": "X"},
            "redirect_url": "https://gw.example:8443/v1/login/callback", **changes,
        }
    )  # fmt: skip


def claims(**changes: Any) -> dict[str, Any]:
    found = {"sub": "s-1", "preferred_username": "Alice", "name": "Alice Martin", "groups": ["support"], **changes}
    return {name: value for name, value in found.items() if value is not ...}


def test_a_person_is_issuer_and_subject_whatever_the_name() -> None:
    one = facts_of(claims(), settings())
    renamed = facts_of(claims(preferred_username="bob", email="b@example.test"), settings())
    elsewhere = facts_of(claims(), settings(issuer="https://other.example"))
    assert (one.login, one.name, one.teams) == ("alice", "Alice Martin", frozenset({"support"}))
    assert one.person == renamed.person == person_of("https://id.example", "s-1")
    assert elsewhere.person != one.person


@pytest.mark.parametrize("verified", [..., False, "true", 1])
def test_an_address_that_was_not_verified_is_none(verified: object) -> None:
    assert facts_of(claims(email="bob@example.test", email_verified=verified), settings()).email == ""
    assert facts_of(claims(email="a@example.test", email_verified=True), settings()).email == "a@example.test"


@pytest.mark.parametrize("login", [..., 7, "", "alice+SUP-1", "a b", "../x", "x" * 65, ["alice"], "\u202ealice"])
def test_a_login_that_is_none_is_refused(login: object) -> None:
    with pytest.raises(Untrue, match="preferred_username"):
        facts_of(claims(preferred_username=login), settings())


def test_logins_are_folded_so_that_no_two_spellings_are_two_people() -> None:
    assert facts_of(claims(preferred_username="ＡLICE"), settings()).login == "alice"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"groups": ...}, "sent no claim `groups`"),
        ({"groups": "support"}, "not a list of texts"),
        ({"groups": {"support": True}}, "not a list of texts"),
        ({"groups": [["support"]]}, "not a list of texts"),
        ({"groups": [1]}, "not a list of texts"),
        ({"groups": None}, "not a list of texts"),
        ({"groups": ["x"] * 2001}, "more than 2000"),
        ({"groups": [f"g{n}" for n in range(201)]}, "more than 200 teams"),
        ({"groups": ["a\nb"]}, "cannot be a team's name"),
        ({"groups": [""]}, "cannot be a team's name"),
        ({"groups": ..., "_claim_names": {"groups": "src1"}}, "too many"),
        ({"groups": ["support"], "_claim_names": {"groups": "src1"}}, "too many"),
        ({"groups": ..., "hasgroups": True}, "too many"),
    ],
)
def test_groups_that_are_not_a_plain_list_are_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Untrue, match=reason):
        facts_of(claims(**change), settings())


def test_groups_stand_for_teams_where_the_settings_say_so() -> None:
    mapped = settings(teams={"5f3a": "support", "77": "security"})
    assert facts_of(claims(groups=["5f3a", "support", "9"]), mapped).teams == {"support"}
    assert facts_of(claims(groups=[]), mapped).teams == frozenset()


ACCEPTED = ProviderFactor(amr=frozenset({"mfa"}), acr=frozenset({"phr"}), max_age=300.0)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"amr": ["pwd", "mfa"]}, True),
        ({"acr": "phr"}, True),
        ({"amr": ["pwd"]}, False),
        ({"acr": "1"}, False),
        ({}, False),
        ({"amr": ["mfa"], "auth_time": ...}, False),
        ({"amr": ["mfa"], "auth_time": -301}, False),
        ({"amr": ["mfa"], "auth_time": 31}, False),
        ({"amr": ["mfa"], "auth_time": 20}, True),
    ],
)
def test_the_provider_s_factor_counts_when_it_is_listed_and_fresh(change: dict[str, Any], counts: bool) -> None:
    offset = change.get("auth_time", 0)
    found = {**change}
    if offset is ...:
        found.pop("auth_time")
    else:
        found["auth_time"] = int(NOW.timestamp()) + offset
    at = provider_factor_at(found, ACCEPTED, NOW)
    assert (at is not None) is counts
    assert at is None or NOW - timedelta(seconds=300) <= at <= NOW
    assert provider_factor_at(found, ProviderFactor(), NOW) is None


@pytest.mark.parametrize("change", [{"amr": "mfa"}, {"amr": [1]}, {"acr": ["phr"]}, {"acr": "phr", "auth_time": "now"}])
def test_a_factor_of_a_wrong_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Untrue):
        provider_factor_at(change, ACCEPTED, NOW)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"issuer": "http://id.example"}, "issuer"),
        ({"issuer": "https://u:p@id.example"}, "issuer"),
        ({"issuer": "https://id.example/?x=1"}, "issuer"),
        ({"redirect_url": "https://gw.example/elsewhere"}, "redirect_url"),
        ({"redirect_url": "http://127.0.0.1/v1/login/callback"}, "redirect_url"),
        ({"redirect_url": "https://gw.example/v1/login/callback?next=x"}, "redirect_url"),
        ({"redirect_url": None, "device_flow": False}, "device_flow"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"hosts": ["https://x.example"]}, "hosts"),
        ({"hosts": ["*"]}, "hosts"),
        ({"valid_for": "9h"}, "valid_for"),
        ({"refresh_interval": "2h"}, "refresh_interval"),
        ({"factor": {"amr": ["mfa"], "max_age": "2h"}}, "max_age"),
        ({"scopes": ["a b"]}, "scope"),
        ({"client_secret": "text"}, "client_secret"),
    ],
)
def test_settings_that_would_be_unsafe_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(**change)


def test_the_openid_scope_is_asked_for_whatever_the_settings_say() -> None:
    assert settings(scopes=("profile", "openid")).asks == ("openid", "profile")
