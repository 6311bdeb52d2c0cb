"""The one HTTP client for the identity provider: where it goes, what it takes, and how long it waits.

INVARIANT: it goes to the issuer's own host and to those that the settings list, over verified TLS (http on this machine
only), and follows no redirect: neither the discovery document nor an answer can lead it elsewhere.
INVARIANT: an answer is bounded in bytes and in time, arrives as it is (a compressed one is refused), and is JSON in
which no name stands twice.
FAIL CLOSED: whatever else comes is `directory-unavailable`. Its detail is for operators, and holds neither what was
sent nor what came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from gateway import __version__
from gateway.access.answers import Unfit, parse_json, read_answer, trusting
from gateway.errors import GatewayError
from gateway.oidc_settings import OidcDirectory, is_secure, place_of

AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the status, and the JSON of a 200 or a 4xx, None where there is none."""

    status: int
    json: Any = None


class Web:
    """Safe to use from several threads; every call blocks for little more than `timeout`."""

    def __init__(self, settings: OidcDirectory, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises `GatewayError("configuration-invalid")` for an authority that cannot be read."""
        self._settings, self._monotonic = settings, monotonic
        listed = {place_of(f"https://{host}") for host in settings.hosts}
        self._places = {place_of(settings.issuer)} | listed
        self._http = httpx2.Client(
            verify=trusting(settings.ca, "the identity provider"),
            trust_env=False,
            follow_redirects=False,
            timeout=settings.timeout,
            limits=httpx2.Limits(max_connections=2 * AT_ONCE, max_keepalive_connections=AT_ONCE),
            headers={
                "user-agent": f"gateway/{__version__}",
                "accept-encoding": "identity",
                "accept": "application/json",
            },
        )

    def leads_there(self, url: object) -> bool:
        """Whether the gateway may ask that address."""
        return isinstance(url, str) and len(url) <= 2048 and is_secure(url) and place_of(url) in self._places

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask. Raises `GatewayError("directory-unavailable")`."""
        return self._exchange("GET", url, headers or {}, None)

    def post(self, url: str, form: str, headers: Mapping[str, str]) -> Answer:
        """Send a form. Raises `GatewayError("directory-unavailable")`."""
        return self._exchange("POST", url, {**headers, "content-type": "application/x-www-form-urlencoded"}, form)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        if not self.leads_there(url):
            raise unavailable("an address is not of the issuer's host, nor of `directory.hosts`")
        try:
            with self._http.stream(method, url, headers=dict(headers), content=body) as response:
                data = self._read(response)
                status = response.status_code
        except httpx2.TimeoutException as error:
            raise unavailable("it does not answer in time") from error
        except httpx2.ConnectError as error:
            raise unavailable(f"it cannot be reached: {str(error)[:200]}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, UnicodeError) as error:
            # their texts may quote what was sent, the client's secret among it
            raise unavailable(f"the exchange failed: {type(error).__name__}") from error
        if status == 200:
            return Answer(status, self._parsed(data))
        if 400 <= status < 500 and status != 429:
            try:
                return Answer(status, parse_json(data))
            except ValueError:
                return Answer(status)
        raise unavailable(f"{method} was answered with {status}")

    def _read(self, response: httpx2.Response) -> bytes:
        encoding, pieces = response.headers.get("content-encoding", "identity"), response.iter_raw()
        most, seconds = self._settings.answer_limit, self._settings.timeout
        try:
            return read_answer(encoding, pieces, most, "`directory.answer_limit`", seconds, self._monotonic)
        except Unfit as error:
            raise unavailable(str(error)) from error

    def _parsed(self, data: bytes) -> Any:
        try:
            return parse_json(data)
        except ValueError as error:
            raise unavailable(f"its answer is not the JSON it should be: {error}") from error


def unavailable(detail: str) -> GatewayError:
    """That the provider cannot be asked, and why, for operators."""
    return GatewayError(
        "directory-unavailable",
        "the identity provider cannot be asked",
        "try again in a moment; `gateway doctor` tells operators more",
        detail,
    )
