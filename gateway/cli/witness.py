"""`gateway audit witness`: what a security team runs elsewhere, against the gateway or a copy of the trail's hashes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from gateway.audit.checkpoint import Verifier
from gateway.audit.cosignature import Cosigner
from gateway.audit.witness import TAMPERING, Copy, Finding, Memory, Source, evidence_keeper, load_memory, look, saver
from gateway.cli.client import TIMEOUT_S, Server, transport_to, write_private
from gateway.cli.output import FAILED, TAMPERED, Ended, emit_facts, emit_json, emit_line, say
from gateway.cli.setup import setup
from gateway.errors import GatewayError
from gateway.settings import Secret, seconds

_LARGEST = 1 << 20
_HOOK_S = 30.0
_REPEAT_S = 3600
"""An alarm that lasts is told again that often."""


class Remote:
    """The log below an https:// prefix; `token` goes to that address only."""

    def __init__(self, prefix: str, ca: Path | None, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._prefix = prefix.rstrip("/")
        self._client = httpx2.Client(
            headers=headers,
            timeout=TIMEOUT_S,
            trust_env=False,
            follow_redirects=False,
            transport=transport_to(Server(prefix, ca)),
        )

    def read(self, path: Path) -> bytes:
        """See `witness.Source`."""
        try:
            with self._client.stream("GET", f"{self._prefix}/{path.as_posix()}") as response:
                if response.status_code == 404:
                    raise FileNotFoundError(2, f"`{path}` is not there")
                if response.status_code != 200:
                    raise OSError(5, f"`{path}` was answered with status {response.status_code}")
                data = b""
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > _LARGEST:
                        raise OSError(27, f"`{path}` is too large")
                return data
        except httpx2.TransportError as error:
            raise OSError(101, f"`{self._prefix}` cannot be reached: {type(error).__name__}") from error


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(witness)


def witness(
    source: Annotated[str, typer.Argument(help="https://GATEWAY:8443/v1/audit/tlog, or a directory with a copy.")],
    state: Annotated[Path, typer.Option(help="File in which the witness remembers; back it up.")],
    key: Annotated[
        str | None, typer.Option(help="The log's public key, or a file with it; for the first look.")
    ] = None,
    token: Annotated[Path | None, typer.Option(help="File (0600) with the gateway's `audit.witness_token`.")] = None,
    cosign: Annotated[
        str | None, typer.Option(help="Cosign under this name; the key is made beside the state.")
    ] = None,
    silence: Annotated[str, typer.Option(help="Alarm when there is no new head for that long.")] = "15m",
    every: Annotated[str, typer.Option(help="How often to look.")] = "30s",
    once: Annotated[
        bool, typer.Option("--once", help="Look once: 0 well, 3 tampering, 1 silence; for timers.")
    ] = False,
    alarm: Annotated[Path | None, typer.Option(help="Program to run when an alarm begins, lasts, ends.")] = None,
) -> None:
    """Remember the trail's signed heads elsewhere; alarm when one does not continue the last, or none comes."""
    try:
        silence_s, every_s = seconds(silence), seconds(every)
        first = Verifier.parse(_text(key)) if key is not None else None
        cosigner = _cosigner(state, cosign) if cosign is not None else None
        log = _source(source, token)
        told: tuple[str, int] = ("", 0)
        while True:
            now = int(time.time())
            memory = load_memory(state)
            before = memory.alarm if memory is not None else ""
            keep = evidence_keeper(state, lambda: int(time.time()))
            found = look(log, memory, first, now, silence_s, saver(state), cosigner, keep)
            _show(found, once)
            if found.alarm != before or (found.alarm and now - told[1] >= _REPEAT_S and not once):
                told = (found.alarm, now)
                _tell(alarm, found)
            if once:
                raise Ended(TAMPERED if found.alarm in TAMPERING else FAILED if found.alarm else 0)
            time.sleep(every_s)
    except ValueError as error:
        raise GatewayError("configuration-invalid", f"the witness cannot look: {error}") from error
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{error.filename or state}`: {error.strerror}") from error


def _source(source: str, token: Path | None) -> Source:
    if source.startswith("https://"):
        secret = Secret(file=token.absolute()).read().decode() if token is not None else ""
        return Remote(source, setup().ca, secret)
    if "://" in source:
        raise GatewayError("configuration-invalid", "a log is looked at over https:// or in a directory")
    return Copy(Path(source))


def _cosigner(state: Path, name: str) -> Cosigner:
    """The witness's own key, made at the first use; its public half lies beside it for who verifies cosignatures."""
    path = state.with_name(f"{state.name}.key")
    if not path.exists():
        made = Cosigner.generate(name)
        write_private(path, made.text() + "\n")
        write_private(path.with_name(f"{path.name}.pub"), made.verifier.text + "\n")
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} can be read by others; make it 0600")
    cosigner = Cosigner.parse(path.read_text(encoding="utf-8"))
    if cosigner.verifier.name != name:
        raise ValueError(f"{path} is the key of `{cosigner.verifier.name}`")
    return cosigner


def _text(key: str) -> str:
    return Path(key).read_text(encoding="utf-8") if Path(key).is_file() else key


def _facts(found: Finding) -> dict[str, object]:
    memory, head = found.memory, found.memory.head
    return {
        "alarm": found.alarm,
        "what": found.what,
        "origin": memory.key.name,
        "size": head.size if head is not None else 0,
        "root": head.root.hex() if head is not None else "",
        "grew": _moment(memory),
        "key": memory.key.text,
    }


def _moment(memory: Memory) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(memory.grew))


def _show(found: Finding, once: bool) -> None:
    facts = _facts(found)
    if setup().as_json:
        (emit_json if once else emit_line)(facts)
    elif once or found.alarm:
        emit_facts((name.ljust(6), value) for name, value in facts.items())
    if found.alarm:
        say(f"ALARM ({found.alarm}): {found.what}")


def _tell(program: Path | None, found: Finding) -> None:
    """Run the program with what is wrong as its argument (`resolved` when nothing is) and the facts on its stdin."""
    if program is None:
        return
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own program, without a shell
            [os.fspath(program.absolute()), found.alarm or "resolved"],
            input=json.dumps(_facts(found)).encode(),
            timeout=_HOOK_S,
            check=False,
            capture_output=True,
        )
        if done.returncode:
            say(f"`{program}` ended with status {done.returncode}")
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"`{program}` could not be run: {type(error).__name__}")
