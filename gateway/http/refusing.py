"""How the judge of requests says no: each way in one sentence, and never with a value of the request's.

INVARIANT: what a client made up is named only where it reads like a name; everything else is told by what it is.
"""

from __future__ import annotations

import re

from gateway.errors import GatewayError

_NAME = re.compile(r"[A-Za-z_][A-Za-z_.\[\]-]{0,39}")


def malformed(what: str) -> GatewayError:
    """Two readers could understand the request differently, or it is no request at all."""
    return GatewayError("protocol-violation", what, "write it in its one plain form")


def not_allowed(what: str, hint: str = "") -> GatewayError:
    """The request is understood, and something in it is not in the policy."""
    return GatewayError("request-not-allowed", what, hint)


def too_large(what: str) -> GatewayError:
    """The request is beyond a bound."""
    return GatewayError("message-too-large", what)


def no_route() -> GatewayError:
    """Nothing of the policy is met by that method and path."""
    return GatewayError("route-not-available", "there is no such request here")


def shown(kind: str, name: str) -> str:
    """A name of the client's for a message: as it is where it cannot be a value, else only what it is."""
    return f"the {kind} `{name}`" if _NAME.fullmatch(name) else f"a {kind}"
