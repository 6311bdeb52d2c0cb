"""Who a sign-in is of, as the answers of several routes have it."""

from __future__ import annotations

from typing import Any

from gateway.access.values import SignIn
from gateway.console import schemas
from gateway.console.context import Parts


def me_fields(of: Parts, signin: SignIn) -> dict[str, Any]:
    """The fields of `schemas.WhoamiAnswer`."""
    roles = {"administrator": "administrators", "auditor": "auditors", "custodian": "custodians"}
    return {
        "person": schemas.person(signin),
        "roles": [name for name, role in roles.items() if of.access.is_member(signin.principal, role)],
        "factor": signin.factor,
        "factor_at": signin.factor_at,
        "expires_at": signin.expires_at,
    }
