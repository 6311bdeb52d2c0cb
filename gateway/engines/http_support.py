"""Whether this interpreter can serve HTTP targets; everything else of the gateway runs on all that it supports."""

from __future__ import annotations

import importlib.util
import sys

OLDEST = (3, 12)
"""The Python that mitmproxy needs: of those for older ones, some let CR LF in HTTP/2 headers through to the target."""


def unsupported() -> str:
    """Why not; empty when it can."""
    if sys.version_info < OLDEST:
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"HTTP targets need Python 3.12 or later; this is {running}"
    if importlib.util.find_spec("mitmproxy") is None:
        return "HTTP targets need the package mitmproxy, which is not installed"
    return ""
