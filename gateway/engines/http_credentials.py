"""How the gateway proves itself to its APIs: by a header that is fixed, or by a token that it fetches.

INVARIANT: a fixed credential, and what tokens are fetched with, is read at the start: what cannot be read stops that,
and not the first request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.engines.http_tokens import Tokens, asked
from gateway.errors import Refusal
from gateway.http_settings import HttpTarget, OAuthCredential

Headers = tuple[tuple[str, str], ...]


class Credentials:
    """Those of all targets; the event loop's thread only. Raises `GatewayError("configuration-invalid")`."""

    def __init__(self, targets: Mapping[str, HttpTarget], report: Callable[[str, BaseException], None]) -> None:
        self._fixed: dict[str, Headers] = {}
        self._tokens: dict[str, Tokens] = {}
        for name, target in targets.items():
            given = target.credentials
            if isinstance(given, OAuthCredential):
                asked(given)
                self._tokens[name] = Tokens(given, report)
            else:
                self._fixed[name] = (given.header(),) if given is not None else ()

    async def headers(self, target: str) -> Headers | Refusal:
        """What a request to that target shows, or why there is nothing to show."""
        tokens = self._tokens.get(target)
        if tokens is None:
            return self._fixed[target]
        found = await tokens.token()
        return found if isinstance(found, Refusal) else (("authorization", f"Bearer {found}"),)

    def refused(self, target: str, shown: Headers) -> None:
        """The API did not accept that."""
        tokens = self._tokens.get(target)
        if tokens is not None:
            for _, value in shown:
                tokens.refused(value.removeprefix("Bearer "))
