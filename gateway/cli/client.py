"""The command line's side of the HTTPS API, and what it keeps between two commands.

Kept in the person's state directory (XDG_STATE_HOME, `~/.local/state` without it), mode 0600 in a directory of
mode 0700: where the gateway is (`server.json`), the sign-in's token for 15 minutes (`session.json`), and the
authority's certificate (`ca.pem`) for database clients to verify the gateway with.

INVARIANT: the token is sent to the address that issued it and to no other, over verified TLS only. Proxy and netrc
settings of the environment are not read: neither may see or replace the token.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gateway import __version__
from gateway.config import Config
from gateway.errors import CODES, GatewayError, Refusal

TIMEOUT_S = 30.0
_LONG_S = 120.0
"""The last piece of an export follows when its answer was worked out again."""
KEEP_S = 15 * 60
"""How long a sign-in is kept: what is worth stealing needs a second factor no older than this anyway."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API is and what it is verified with; `ca` None means the system's own authorities."""

    url: str
    ca: Path | None


class ApiRefused(GatewayError):
    """The API's refusal; `request` is the access request that waits because of it, if there is one."""

    def __init__(self, refusal: Refusal, request: Mapping[str, Any] | None) -> None:
        super().__init__(refusal.code, refusal.message, refusal.hint)
        self.request = request


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The person's own directory, made when it is missing. Raises `GatewayError("configuration-invalid")`."""
    base = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = base / "gateway"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.stat().st_uid != os.geteuid() or path.stat().st_mode & 0o077:
            raise GatewayError("configuration-invalid", f"`{path}` can be used by others", hint=f"chmod 700 {path}")
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{path}` cannot be used: {error.strerror}") from error
    return path


def write_private(path: Path, text: str) -> None:
    """Write that file, for its owner only, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_kept(path: Path) -> dict[str, Any] | None:
    """A JSON object that `write_private` wrote, or None when there is none to be had."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def find_server(url: str | None, ca: Path | None, config: Config | None, environ: Mapping[str, str]) -> Server:
    """Where the gateway is: flag, the configuration given, environment, or the last one signed in to.

    Raises `GatewayError("configuration-invalid")`.
    """
    chosen, chosen_ca = url, ca
    if chosen is None and config is not None:
        api = config.listen.api
        host = "localhost" if api.host in ("0.0.0.0", "::") else api.host  # noqa: S104 - compared, not bound
        chosen = f"https://{f'[{host}]' if ':' in host else host}:{api.port}"
        chosen_ca = chosen_ca or config.tls.ca
    chosen = chosen or environ.get("GATEWAY_URL")
    chosen_ca = chosen_ca or (Path(environ["GATEWAY_CA"]) if environ.get("GATEWAY_CA") else None)
    if chosen is None or chosen_ca is None:
        kept = read_kept(state_directory(environ) / "server.json") or {}
        if chosen is None and kept:
            chosen = str(kept["url"])
        if chosen_ca is None and chosen == kept.get("url") and kept.get("ca"):
            chosen_ca = Path(kept["ca"])
    if chosen is None:
        raise GatewayError(
            "configuration-invalid",
            "it is not known where the gateway is",
            hint="name it: --url https://gateway.example:8443 (or GATEWAY_URL), with --ca for its own authority",
        )
    parts = urlsplit(chosen)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise GatewayError("configuration-invalid", f"`{chosen}` is not an https:// address of a gateway")
    return Server(chosen.rstrip("/"), chosen_ca.resolve() if chosen_ca else None)


def remember_server(server: Server, environ: Mapping[str, str]) -> None:
    """Keep where the gateway is for the next command."""
    kept = {"url": server.url, "ca": str(server.ca) if server.ca else None}
    write_private(state_directory(environ) / "server.json", json.dumps(kept))


def remember_token(server: Server, answer: Mapping[str, Any], environ: Mapping[str, str]) -> datetime:
    """Keep a sign-in for the next commands, as long as its second factor is recent; returns until when."""
    recent = datetime.fromisoformat(answer["factor_at"]) + timedelta(seconds=KEEP_S)
    until = min(recent, datetime.fromisoformat(answer["expires_at"]))
    kept = {
        "url": server.url,
        "token": answer["token"],
        "login": answer["person"]["login"],
        "expires_at": until.isoformat(),
    }
    write_private(state_directory(environ) / "session.json", json.dumps(kept))
    return until


def kept_token(server: Server, environ: Mapping[str, str], now: datetime | None = None) -> tuple[str, str] | None:
    """(login, token) of a sign-in at that gateway that is not over yet, or None."""
    kept = read_kept(state_directory(environ) / "session.json")
    if kept is None or kept.get("url") != server.url:
        return None
    try:
        over = datetime.fromisoformat(kept["expires_at"]) <= (now or datetime.now(UTC))
        return None if over else (str(kept["login"]), str(kept["token"]))
    except (KeyError, TypeError, ValueError):
        return None


def forget_token(environ: Mapping[str, str]) -> None:
    """Drop the kept sign-in."""
    (state_directory(environ) / "session.json").unlink(missing_ok=True)


class Api:
    """A connection to the API, with or without a sign-in. `transport` is for tests and for the local socket.

    `renew`, where it is set, gives the token of a new sign-in once, when a second factor is refused as too old: what
    was refused is then asked for again.
    """

    def __init__(self, server: Server, token: str | None = None, transport: httpx2.BaseTransport | None = None) -> None:
        self.renew: Callable[[Refusal], str] | None = None
        headers = {"User-Agent": f"gateway/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.server = server
        self._client = httpx2.Client(
            base_url=f"{server.url}/v1",
            headers=headers,
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
            transport=transport or transport_to(server),
        )

    def get(self, path: str, **params: Any) -> Any:
        """The answer to GET; parameters that are None are left out."""
        return self.call("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to POST; fields that are None are left out."""
        return self.call("POST", path, json={n: v for n, v in (body or {}).items() if v is not None})

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of the answer. Raises `ApiRefused` and `GatewayError("gateway-unavailable")`."""
        with self._reaching():
            response = self._client.request(method, path, **options)
        if response.is_success:
            return self._decoded(response)
        refused = _refused(response)
        if self._renewed(refused):
            return self.call(method, path, **options)
        raise refused

    def stream(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The objects of an NDJSON answer as they come. Raises as `call`."""
        chosen = {name: value for name, value in params.items() if value is not None}
        # the gateway gives a sign of life well within this time, so silence means that it is gone
        timeout = httpx2.Timeout(TIMEOUT_S)
        with self._reaching(), self._client.stream("GET", path, params=chosen, timeout=timeout) as response:
            if response.is_success:
                for line in response.iter_lines():
                    if line.strip():
                        yield json.loads(line)
                return
            response.read()
            refused = _refused(response)
        if not self._renewed(refused):
            raise refused
        yield from self.stream(path, **params)

    def download(self, path: str, **params: Any) -> Iterator[bytes]:
        """The bytes of a long answer as they come. Raises as `call`."""
        chosen = {name: value for name, value in params.items() if value is not None}
        timeout = httpx2.Timeout(TIMEOUT_S, read=_LONG_S)
        with self._reaching(), self._client.stream("GET", path, params=chosen, timeout=timeout) as response:
            if response.is_success:
                yield from response.iter_bytes()
                return
            response.read()
            refused = _refused(response)
        if not self._renewed(refused):
            raise refused
        yield from self.download(path, **params)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _renewed(self, refused: GatewayError) -> bool:
        """Whether a new sign-in took the place of one whose second factor is too old."""
        renew, self.renew = self.renew, None
        if renew is None or refused.code != "second-factor-required":
            self.renew = renew
            return False
        self._client.headers["Authorization"] = f"Bearer {renew(refused.refusal)}"
        return True

    def _decoded(self, response: httpx2.Response) -> Any:
        if response.status_code == 204:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise GatewayError("gateway-unavailable", f"`{self.server.url}` does not answer like a gateway") from error

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise GatewayError("gateway-unavailable", f"the gateway at `{self.server.url}` did not answer") from error
        except httpx2.TransportError as error:
            hint = "is it running, and is the address right?"
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                hint = "name the authority that signed its certificate: --ca ca.pem (or GATEWAY_CA)"
            raise GatewayError(
                "gateway-unavailable", f"the gateway at `{self.server.url}` cannot be reached", hint
            ) from error


def transport_to(server: Server) -> httpx2.BaseTransport:
    """The road to that gateway: TLS, its certificate verified."""
    return httpx2.HTTPTransport(verify=_verifying(server.ca), trust_env=False)


def _verifying(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise GatewayError("configuration-invalid", f"`{ca}` is not a readable PEM certificate") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _refused(response: httpx2.Response) -> GatewayError:
    try:
        problem = response.json()
        code, message = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return GatewayError("gateway-unavailable", f"the gateway answered with status {response.status_code}")
    hint = str(problem.get("hint", ""))
    mistakes = [f"`{item['field']}`: {item['message']}" for item in problem.get("errors", [])]
    if mistakes:
        message = f"{message} ({'; '.join(mistakes)})"
    if problem.get("instance"):
        hint = f"{hint} ({problem['instance']})"
    if code not in CODES:
        # a newer gateway than this command line
        code, message = "internal-error", f"{message} ({code})"
    return ApiRefused(Refusal(code, message, hint), problem.get("request"))
