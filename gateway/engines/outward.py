"""What connections to targets of every engine have in common: the TLS that they must use, and how a failure is told."""

from __future__ import annotations

import ssl

from gateway.errors import GatewayError
from gateway.target_settings import MysqlTarget, Target


def unavailable(message: str, detail: str = "") -> GatewayError:
    """The refusal of a target that cannot be used; `detail` is for the technical log."""
    return GatewayError(
        "target-unavailable", message, hint="operators: `gateway doctor` says what is wrong", detail=detail
    )


def tls_context(target: Target | MysqlTarget) -> ssl.SSLContext | None:
    """What verifies the target, its name included; None where it is reached without TLS.

    Raises: GatewayError `configuration-invalid`.
    """
    if target.tls == "off":
        return None
    try:
        context = ssl.create_default_context(cafile=target.ca)
    except (OSError, ssl.SSLError) as error:
        raise GatewayError("configuration-invalid", f"the target's CA `{target.ca}` cannot be read: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
