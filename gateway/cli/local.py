"""The road to the gateway that runs on this machine, for its own user: `admin.sock` in its state directory."""

from __future__ import annotations

import httpx2

from gateway.cli.client import Api, Server
from gateway.config import Config
from gateway.errors import GatewayError


def local_api(config: Config) -> Api:
    """A connection to it. Raises `GatewayError("gateway-unavailable")` when none runs."""
    from gateway.console.serve import local_path

    path = local_path(config)
    if not path.is_socket():
        raise GatewayError("gateway-unavailable", "no gateway runs here", "start it first: gateway serve")
    return Api(Server("http://local", None), transport=httpx2.HTTPTransport(uds=str(path)))
