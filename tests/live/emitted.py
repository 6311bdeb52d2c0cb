"""Everything that the gateways of a test run emit, searched for what they may never emit.

Emitted is what leaves the process or is kept to be read: the technical log (standard output and error), the trail with
its index, exported files, what collectors got of traces and metrics, and the metrics page. The store is not: it holds
sealed factors and the text of filed statements, by design.

What may not be there: passwords, second factors' secrets and codes, passes, tokens, invitations, recovery codes, keys
and hashes, each by its form where it has one and by its value where it was seen; values of hidden columns of the
demonstration's people; and the words that tests type as values in statements (`zqxj…q`, `Canary-…`).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

from gateway.demo import data
from gateway.demo.actor import Authenticator
from gateway.demo.company import Company
from gateway.demo.stage import Gateway

FORMS = re.compile(
    rb"gwp_[a-z2-7]{32}|gwt_[a-z2-7]{52}|\$argon2id\$|SCRAM-SHA-256\$\d|PRIVATE KEY|otpauth://"
    rb"|(?<![a-z0-9-])(?:[a-z2-7]{4}-){3}[a-z2-7]{4}(?![a-z0-9-])|zqxj\d+q|Canary-\d+",
    re.IGNORECASE,
)
"""Secrets that can be told by their form, and the words that tests use as values."""
_PIECES = re.compile(rb"[A-Za-z0-9@.+_-]{9,80}")
_ANSWERS = frozenset({"token", "password", "secret", "uri", "invitation", "recovery_codes", "witness_token"})
_BLOCK = 1 << 20


@cache
def hidden_values() -> frozenset[bytes]:
    """What only the database may know of the demonstration's people: accounts, numbers, addresses, notes' words."""
    columns = re.findall(
        r"^    (\w+) ", data.SCHEMA.partition("public.employees (")[2].partition(");")[0], re.MULTILINE
    )
    wanted = [columns.index(name) for name in ("email", "phone", "iban", "nir")]
    people = [row for sizes in (data.SMALL, data.Sizes()) for row in data.generate(sizes, 2026).employees]
    return frozenset(str(row[n]).encode() for row in people for n in wanted if row[n] and len(str(row[n])) > 8)


@dataclass
class Emitted:
    """One run's gateways, what they must not say, and what was found all the same."""

    secrets: dict[bytes, str] = field(default_factory=dict)
    codes: set[bytes] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)
    scanned: int = 0
    due: bool = False
    _places: list[tuple[Path, Path]] = field(default_factory=list)
    _seen: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def forbid(self, value: str | bytes, what: str) -> None:
        """That value is a secret from now on."""
        value = value.encode() if isinstance(value, str) else value
        if len(value) >= 8:
            self.secrets[value] = what

    def watch(self, company: Path, log: Path) -> None:
        """Look at what the gateway emits whose files are in that directory."""
        if (company, log) not in self._places:
            self._places.append((company, log))

    def scan(self) -> list[str]:
        """Search what is new. Returns all leaks of the run so far."""
        self.due = False
        for company, log in self._places:
            self._learn(company)
            for path in self._files(company, log):
                try:
                    facts = path.stat()
                    if self._seen.get(path) == (facts.st_size, facts.st_mtime_ns):
                        continue
                    self._seen[path] = facts.st_size, facts.st_mtime_ns
                    content = b"".join(_content(path))
                except FileNotFoundError:
                    continue
                self.search(content, str(path))
        return self.leaks

    def search(self, content: bytes, where: str) -> None:
        """Search one piece."""
        self.scanned += len(content)
        found = {f"a secret by its form, {match[:4]!r}…" for match in FORMS.findall(content)}
        found |= {what for value, what in self.secrets.items() if value in content}
        values = hidden_values()
        found |= {f"a hidden value, {piece[:6]!r}…" for piece in set(_PIECES.findall(content)) if piece in values}
        found |= {"a code" for code in self.codes if re.search(rb"[\"' =]" + code + rb"[\"' &]", content)}
        self.leaks += sorted(f"{what} in {where}" for what in found)

    def answered(self, response: httpx2.Response) -> None:
        """Remember the secrets of an answer of the API, and of a page: its cookie, and what its forms prove."""
        for cookie in response.headers.get_list("set-cookie"):
            for value in re.findall(r"^__Host-gateway-[a-z0-9_-]+=([\w-]{43});", cookie):
                self.forbid(value, "a browser's cookie")
        if response.headers.get("content-type", "").startswith("text/html"):
            with contextlib.suppress(httpx2.StreamError):
                for value in re.findall(r'name="form" value="([\w-]{43})"', response.text):
                    self.forbid(value, "what a page's form proves")
        if not response.headers.get("content-type", "").startswith("application/json"):
            return
        try:
            answer = json.loads(response.content)
        except (httpx2.StreamError, ValueError):
            return
        if not isinstance(answer, dict):
            return
        for name in _ANSWERS & answer.keys():
            for value in answer[name] if isinstance(answer[name], list) else [answer[name]]:
                self.forbid(str(value), f"an answer's {name}")

    def page(self, company: Company) -> None:
        """Search the metrics page of a gateway that runs."""
        address = f"http://127.0.0.1:{company.ports['ops']}/metrics"
        try:
            with httpx2.Client(trust_env=False, timeout=5) as client:
                self.search(client.get(address).content, address)
        except httpx2.HTTPError:
            return

    def _learn(self, company: Path) -> None:
        kept = company / "passwords.json"
        for login, entry in (json.loads(kept.read_text()) if kept.exists() else {}).items():
            self.forbid(entry["password"], f"the password of {login}")
        for name in ("master.key", "backend.password", "witness.token", "state/audit.key", "state/audit.key.next"):
            path = company / name
            if path.exists():
                for line in path.read_text().split():
                    if len(line) > 20 or name.endswith("password"):
                        self.forbid(line, name)
        homes = (company, company.parent)
        for path in {found for home in homes for found in (*home.glob("*.authenticator"), *home.glob("*/*.json"))}:
            try:
                kept = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            if isinstance(kept, dict) and isinstance(kept.get("secret"), str):
                self.forbid(kept["secret"], f"a second factor ({path.stem})")

    def _files(self, company: Path, log: Path) -> Iterator[Path]:
        yield log
        for path in (company / "state").rglob("*"):
            if path.is_file() and not path.name.startswith(("gateway.sqlite", "audit.key")):
                yield path
        yield from (path for path in company.parent.rglob("exported*") if path.is_file())


def _content(path: Path) -> Iterable[bytes]:
    """The file up to where only zeros follow: segments are allocated ahead."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
            if not block.strip(b"\0"):
                return


EMITTED = Emitted()
"""This run's."""


def follow_everything() -> Callable[[], None]:
    """From here on, note every gateway that starts, every secret that the API hands out, every code that is used."""
    start, stop, kill = Gateway.start, Gateway.stop, Gateway.kill
    send, spend = httpx2.Client.send, Authenticator.spend

    def started(self: Gateway, **options: Any) -> None:
        hidden_values()
        EMITTED.watch(self.company.directory, self.log)
        start(self, **options)

    def stopped(self: Gateway, **options: Any) -> None:
        if self.pid is not None:
            EMITTED.page(self.company)
        stop(self, **options)
        EMITTED.due = True

    def killed(self: Gateway) -> None:
        kill(self)
        EMITTED.due = True

    def sent(self: httpx2.Client, *arguments: Any, **options: Any) -> httpx2.Response:
        response = send(self, *arguments, **options)
        if not options.get("stream"):
            EMITTED.answered(response)
        return response

    def spent(self: Authenticator, waiting: Callable[[float], object]) -> str:
        code = spend(self, waiting)
        EMITTED.codes.add(code.encode())
        return code

    def restore() -> None:
        Gateway.start, Gateway.stop, Gateway.kill = start, stop, kill  # type: ignore[method-assign]
        httpx2.Client.send, Authenticator.spend = send, spend  # type: ignore[method-assign]

    Gateway.start, Gateway.stop, Gateway.kill = started, stopped, killed  # type: ignore[method-assign]
    httpx2.Client.send, Authenticator.spend = sent, spent  # type: ignore[method-assign]
    return restore
