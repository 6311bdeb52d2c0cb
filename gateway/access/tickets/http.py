"""The one HTTP client of all remote sources: what it sends, what it takes, and how long it waits.

It speaks to one origin, which the configuration names: a path is made of segments that are quoted each, so that nothing
in a ticket's id can lead elsewhere, and redirects are told, never followed. The environment's proxies do not count.

INVARIANT: an answer is bounded in bytes and in time, arrives as it is (a compressed one is refused), and is JSON in
which no name stands twice and no number is infinite.
FAIL CLOSED: whatever else comes is `ticket-source-unavailable`. Its detail is for operators, and holds neither what was
sent nor what came.
"""

from __future__ import annotations

import base64
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from gateway import __version__
from gateway.access.answers import Unfit, parse_json, read_answer, trusting
from gateway.errors import GatewayError
from gateway.settings import Secret
from gateway.ticket_settings import Remote

T = TypeVar("T")
K = TypeVar("K")

LONGEST_PAUSE_S = 60.0
"""However long a source asks to be left alone, it is tried again after that."""
SHORTEST_PAUSE_S = 1.0
_AT_ONCE = 8

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the status, the headers by lower-case name, and the JSON of a 2xx."""

    status: int
    headers: Mapping[str, str]
    json: Any = None


class Client:
    """Safe to use from several threads; every call blocks for little more than `timeout`."""

    def __init__(
        self,
        settings: Remote,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._monotonic, self._clock = settings, monotonic, clock
        self._origin = _origin(settings.url)
        self._paused_until = float("-inf")
        self._bearer: tuple[str, float] | None = None
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"ask-{settings.system}")
        self._http = httpx2.Client(
            verify=trusting(settings.ca, f"`{settings.system}`"),
            trust_env=False,
            proxy=settings.proxy,
            follow_redirects=False,
            timeout=settings.timeout,
            limits=httpx2.Limits(max_connections=2 * _AT_ONCE, max_keepalive_connections=_AT_ONCE),
            headers={
                "user-agent": f"gateway/{__version__}",
                "accept-encoding": "identity",
                "accept": "application/json",
            },
        )

    def get(self, *segments: str, params: Params = (), headers: Mapping[str, str] | None = None) -> Answer:
        """Ask. Raises `GatewayError("ticket-source-unavailable")`."""
        return self.send("GET", segments, params=params, headers=headers)

    def send(
        self, method: str, segments: Sequence[str], *, params: Params = (), body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Send one request, signed in, and take its answer; 2xx, 304, 404, 410 and redirects are answers."""
        answer = self._exchange(method, segments, params, body, {**(headers or {}), **self._signed_in()})
        if answer.status == 401:
            self._bearer = None
        if answer.status in (304, 404, 410) or 200 <= answer.status < 400:
            return answer
        raise unavailable(self._settings, f"{method} was answered with {answer.status}")

    def all_of(self, function: Callable[[K], T], keys: Iterable[K]) -> dict[K, T]:
        """The function's answer for each, a few at a time. Raises the first `GatewayError`."""
        wanted = list(keys)
        return dict(zip(wanted, self._pool.map(function, wanted), strict=True))

    def close(self) -> None:
        """Join the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._http.close()

    def _signed_in(self) -> dict[str, str]:
        settings = self._settings
        if settings.auth == "oauth":
            return {"authorization": f"Bearer {self.borrowed(self._client_credentials)}"}
        if settings.auth not in ("basic", "bearer"):
            return {}
        secret = self.secret(settings.token)
        if settings.auth == "basic":
            return {"authorization": "Basic " + base64.b64encode(settings.user.encode() + b":" + secret).decode()}
        return {"authorization": f"Bearer {secret.decode()}"}

    def secret(self, kept: Secret | None) -> bytes:
        """What is kept there. A secret that cannot be read is an outage, and where it lies is for operators."""
        assert kept is not None, "the settings see to it"
        try:
            return kept.read()
        except GatewayError as error:
            raise unavailable(self._settings, error.refusal.message) from error

    def borrowed(self, fetch: Callable[[], tuple[str, float]]) -> str:
        """A token that is fetched when there is none or it is about to end; `fetch` gives it and its life in s."""
        with self._lock:
            now = self._monotonic()
            if self._bearer is None or now >= self._bearer[1]:
                token, life_s = fetch()
                if not token or not token.isascii() or not token.isprintable():
                    raise unavailable(self._settings, "the token that it gave is none")
                self._bearer = token, now + min(max(life_s - 60, 5), 3600)
            return self._bearer[0]

    def _client_credentials(self) -> tuple[str, float]:
        oauth = self._settings.oauth
        assert oauth is not None
        form = {
            "grant_type": "client_credentials",
            "client_id": oauth.client_id,
            "client_secret": self.secret(oauth.client_secret).decode(),
        }
        answer = self._exchange("POST", oauth.token_path.strip("/").split("/"), (), form, {}, from_root=True)
        found = answer.json if isinstance(answer.json, dict) else {}
        life = found.get("expires_in", 300)
        token, seconds = found.get("access_token"), float(life) if isinstance(life, int | float) else 300.0
        if answer.status != 200 or not isinstance(token, str):
            raise unavailable(self._settings, f"no token was given: {answer.status}")
        return token, seconds

    def _exchange(
        self, method: str, segments: Sequence[str], params: Params, body: Any, headers: Mapping[str, str],
        *, from_root: bool = False,
    ) -> Answer:  # fmt: skip
        left = self._paused_until - self._monotonic()
        if left > 0:
            raise unavailable(self._settings, f"it asked to be left alone for another {math.ceil(left)} s")
        base = self._origin if from_root else self._settings.url
        url = base + "".join("/" + _segment(one) for one in segments)
        url += "?" + urlencode(params, quote_via=quote) if params else ""
        sent: dict[str, Any] = {"data": body} if from_root else {"json": body} if body is not None else {}
        try:
            with self._http.stream(method, url, headers=dict(headers), **sent) as response:
                data = self._read(response)
                answer_headers = {name.lower(): value for name, value in response.headers.items()}
                status = response.status_code
        except httpx2.TimeoutException as error:
            raise unavailable(self._settings, "it does not answer in time") from error
        except httpx2.ConnectError as error:
            raise unavailable(self._settings, f"it cannot be reached: {str(error)[:200]}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, UnicodeError) as error:
            # their texts may quote what was sent, the secret among it
            raise unavailable(self._settings, f"asking it failed: {type(error).__name__}") from None
        finally:
            self._http.cookies.clear()
        self._heed(status, answer_headers)
        answer = Answer(status, answer_headers)
        return Answer(status, answer_headers, self._parsed(data)) if 200 <= status < 300 and data else answer

    def _read(self, response: httpx2.Response) -> bytes:
        settings, encoding = self._settings, response.headers.get("content-encoding", "identity")
        most, seconds = settings.answer_limit, settings.timeout
        try:
            return read_answer(encoding, response.iter_raw(), most, "`answer_limit`", seconds, self._monotonic)
        except Unfit as error:
            raise unavailable(settings, str(error)) from error

    def _heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Leave a source alone that asks for it, or that has no requests left for us."""
        spent = status == 403 and (headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers)
        if status not in (429, 503) and not spent:
            return
        asked = _seconds(headers.get("retry-after", ""), self._clock())
        if asked is None and headers.get("x-ratelimit-reset", "").isdigit():
            asked = float(headers["x-ratelimit-reset"][:12]) - self._clock().timestamp()
        pause = min(max(asked or SHORTEST_PAUSE_S, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        self._paused_until = self._monotonic() + pause
        raise unavailable(self._settings, f"it asks to be left alone ({status}), for {math.ceil(pause)} s now")

    def _parsed(self, data: bytes) -> Any:
        try:
            return parse_json(data)
        except ValueError as error:
            raise unavailable(self._settings, f"its answer is not the JSON it should be: {error}") from error


def unavailable(settings: Remote, detail: str) -> GatewayError:
    """That the source cannot be asked, and why, for operators."""
    return GatewayError(
        "ticket-source-unavailable",
        f"the ticket source `{settings.system}` cannot be asked",
        "tell an operator",
        detail,
    )


def _segment(text: str) -> str:
    # quoting leaves dots alone, and a server may resolve them
    if text in ("", ".", "..") or any(ord(char) < 33 or ord(char) == 127 for char in text):
        raise GatewayError("internal-error", "a path to a ticket source has a part that leads elsewhere")
    return quote(text, safe="")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _seconds(header: str, now: datetime) -> float | None:
    """Retry-After (RFC 9110, 10.2.3): seconds, or a date."""
    if header.isascii() and header.isdigit():
        return float(header[:12])
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
