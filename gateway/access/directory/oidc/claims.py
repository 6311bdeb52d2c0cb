"""What true claims say about a person: who that is, the login, and the teams.

The person is the pair of issuer and subject (OpenID Connect Core 1.0, section 5.7: no other claim is stable, and an
e-mail address never is an identity). The login is what people are called by, from a claim that the settings choose; it
has to be one that people cannot change themselves.

FAIL CLOSED: a claim that is not what it should be is refused, never guessed at: a text is no list of groups, and what a
provider left out because it was too long (Entra's "groups overage") is not an empty list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.access.directory.oidc.id_token import SKEW_S, Untrue, seconds_of
from gateway.access.keys import base32
from gateway.access.names import fold_login
from gateway.oidc_settings import OidcDirectory, ProviderFactor

MOST_GROUPS = 2000
MOST_TEAMS = 200
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Facts:
    """A person as the provider states it now. `person` is the stable id; `email` only where it was verified."""

    person: str
    issuer: str
    subject: str
    login: str
    name: str
    email: str
    teams: frozenset[str]


def person_of(issuer: str, subject: str) -> str:
    """The stable id of an issuer's subject: the same for ever, and another one at another issuer."""
    return "oidc-" + base32(hashlib.sha256(f"{issuer}\n{subject}".encode()).digest()[:20])


def facts_of(claims: Mapping[str, Any], settings: OidcDirectory) -> Facts:
    """What the claims say. Raises `Untrue` with the reason."""
    subject = str(claims["sub"])
    written = claims.get(settings.login_claim)
    login = fold_login(written) if isinstance(written, str) else ""
    if not login:
        raise Untrue(f"the provider's claim `{settings.login_claim}` is not a login")
    name = claims.get("name")
    email = claims.get("email") if claims.get("email_verified") is True else ""
    return Facts(
        person_of(settings.issuer, subject),
        settings.issuer,
        subject,
        login,
        name[:256] if isinstance(name, str) and name.isprintable() and name.strip() else login,
        email if isinstance(email, str) and len(email) <= 320 and email.isprintable() else "",
        teams_of(claims, settings),
    )


def has_groups(claims: Mapping[str, Any], settings: OidcDirectory) -> bool:
    """Whether the claims say anything about groups, an overage included."""
    return settings.groups_claim in claims or _overage(claims, settings.groups_claim)


def teams_of(claims: Mapping[str, Any], settings: OidcDirectory) -> frozenset[str]:
    """The teams that the groups stand for. Raises `Untrue` with the reason."""
    name = settings.groups_claim
    if _overage(claims, name):
        raise Untrue(
            f"the provider left `{name}` out because there are too many: let it send only the groups that are "
            "assigned to this application"
        )
    if name not in claims:
        raise Untrue(f"the provider sent no claim `{name}`: ask for the scope that has it")
    groups = claims[name]
    if not isinstance(groups, list) or not all(isinstance(one, str) for one in groups):
        raise Untrue(f"the provider's claim `{name}` is not a list of texts")
    if len(groups) > MOST_GROUPS:
        raise Untrue(f"the provider's claim `{name}` has more than {MOST_GROUPS} entries")
    if settings.teams:
        return frozenset(settings.teams[one] for one in groups if one in settings.teams)
    teams = frozenset(groups)
    if len(teams) > MOST_TEAMS:
        raise Untrue(f"somebody is in more than {MOST_TEAMS} teams: say in `directory.teams` which groups are teams")
    if not all(0 < len(one) <= _LONGEST_NAME and one.isprintable() for one in teams):
        raise Untrue(f"the provider's claim `{name}` has an entry that cannot be a team's name")
    return teams


def provider_factor_at(claims: Mapping[str, Any], factor: ProviderFactor, now: datetime) -> datetime | None:
    """When the person proved a second factor to the provider, where that counts; None where it does not.

    It counts when the token names an accepted method or class, and says that the login was just now: a session at the
    provider that is hours old proves no presence. Raises `Untrue` for claims of a wrong type.
    """
    methods, level = claims.get("amr"), claims.get("acr")
    if methods is not None and (not isinstance(methods, list) or not all(isinstance(one, str) for one in methods)):
        raise Untrue("the ID token's `amr` is not a list of texts")
    if level is not None and not isinstance(level, str):
        raise Untrue("the ID token's `acr` is not a text")
    if not factor.amr.intersection(methods or ()) and level not in factor.acr:
        return None
    at = seconds_of(claims, "auth_time")
    if at is None:
        return None
    moment = datetime.fromtimestamp(at, UTC)
    early, late = moment - timedelta(seconds=SKEW_S), moment + timedelta(seconds=factor.max_age)
    return min(moment, now) if early <= now <= late else None


def _overage(claims: Mapping[str, Any], name: str) -> bool:
    names = claims.get("_claim_names")
    return (isinstance(names, Mapping) and name in names) or claims.get("hasgroups") not in (None, False)
