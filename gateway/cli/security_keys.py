"""The command line's side of security keys: it shows a page and a code, waits, and collects what came of it."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from gateway.cli.client import Api
from gateway.cli.output import clean, say
from gateway.errors import GatewayError

_EVERY_S = 1.0


def through_page(api: Api, begun: dict[str, Any]) -> dict[str, Any]:
    """What came of the ceremony. Raises `GatewayError` when it was refused or ran out."""
    url = str(begun["url"])
    if urlsplit(url).scheme != "https":
        raise GatewayError("gateway-unavailable", "the gateway named a page that is not https")
    say(f"open {clean(url)}")
    say(f"and type the code {clean(str(begun['code']))} there; then use your key")
    if sys.stdin.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(url)
    until = datetime.fromisoformat(begun["expires_at"])
    with Console(stderr=True).status("waiting for the key (interrupt to stop)"):
        while True:
            found: dict[str, Any] = api.post("/key/collect", {"collect": begun["collect"]})
            if found["state"] != "waiting":
                return found
            if datetime.now(UTC) >= until:
                raise GatewayError("session-expired", "nobody used a key in time", "begin again")
            time.sleep(_EVERY_S)
