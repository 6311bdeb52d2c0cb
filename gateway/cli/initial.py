"""`gateway init`: everything that a first start needs, written once and never over anything.

INVARIANT: a file that exists stays as it is, and secrets are created for their owner only, from the first byte on.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from gateway import certificates
from gateway.cli.output import emit_json, emit_text, say
from gateway.cli.setup import setup
from gateway.errors import GatewayError

_TARGET = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9:]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9:])?")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write; made when it is missing.")] = Path(),
    target: Annotated[str, typer.Option(help="A name for the database behind the gateway.")] = "main",
    host: Annotated[list[str] | None, typer.Option(help="A name by which clients will reach the gateway.")] = None,
) -> None:
    """Write a commented configuration, a policy, example files, a master key and a certificate."""
    if not _TARGET.fullmatch(target):
        raise typer.BadParameter("a target's name is lower case letters, digits, `_` and `-`")
    for name in host or ():
        if not _HOST.fullmatch(name):
            raise typer.BadParameter(f"`{name}` is not the name of a host")
    hosts = list(dict.fromkeys([*_hosts(), *(host or ())]))
    written, kept = write(directory, target, hosts)
    if setup().as_json:
        emit_json({"written": [str(path) for path in written], "kept": [str(path) for path in kept]})
    for path in written:
        say(f"wrote  {path}")
    for path in kept:
        say(f"kept   {path} (it was there)")
    if not setup().as_json:
        _show_next_steps(directory, target)


def write(directory: Path, target: str, hosts: list[str]) -> tuple[list[Path], list[Path]]:
    """Write what is missing; returns what was written and what was there. Raises `GatewayError`."""
    words = {"origin": f"{hosts[-1]}/{target}", "target": target}
    issued: list[certificates.Issued] = []

    def pem(part: str) -> Callable[[], bytes]:
        def text() -> bytes:
            if not issued:
                issued.append(certificates.issue(f"gateway {hosts[-1]}", hosts))
            return bytes(getattr(issued[0], part))

        return text

    def template(name: str) -> Callable[[], bytes]:
        return lambda: Template(_template(name)).substitute(words).encode()

    plan: list[tuple[str, int, Callable[[], bytes]]] = [
        ("gateway.yaml", 0o644, template("gateway.yaml")),
        (f"policies/{target}.yaml", 0o644, template("policy.yaml")),
        ("people.yaml", 0o600, template("people.yaml")),
        ("tickets.yaml", 0o644, template("tickets.yaml")),
        ("master.key", 0o600, lambda: secrets.token_hex(32).encode() + b"\n"),
    ]
    # the three belong together: with one of them there, none is made
    chain = [("ca.crt", 0o644, pem("ca")), ("server.crt", 0o644, pem("certificate")), ("server.key", 0o600, pem("key"))]
    there = [directory / name for name, _, _ in chain if (directory / name).exists()]
    if not there:
        plan += chain
    written: list[Path] = []
    kept: list[Path] = list(there)
    try:
        (directory / "policies").mkdir(parents=True, exist_ok=True)
        (directory / "state").mkdir(mode=0o700, exist_ok=True)
        for name, mode, text in plan:
            (written if _create(directory / name, mode, text) else kept).append(directory / name)
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{error.filename}`: {error.strerror}") from error
    return written, kept


def _create(path: Path, mode: int, text: Callable[[], bytes]) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(text())
    return True


def _template(name: str) -> str:
    return resources.files("gateway.cli").joinpath("templates", name).read_text(encoding="utf-8")


def _hosts() -> list[str]:
    name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "gateway"
    full = socket.getfqdn()
    whole = [full] if full.startswith(f"{name}.") and _HOST.fullmatch(full) else []
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", name, *whole]))


def _show_next_steps(directory: Path, target: str) -> None:
    config = directory / "gateway.yaml"
    steps = [
        f"Make a role for the gateway in the database, with SELECT on what `policies/{target}.yaml` will name:",
        "    create role gateway_ro login password '…'; grant select on … to gateway_ro;",
        "    (deploy/postgres/backend-role.sql does that, and takes away what it need not have)",
        f"    its password goes into {directory / (target + '.password')} (chmod 600)",
        f"Say in {config} where the database is.",
        f"Say in {directory / 'policies' / (target + '.yaml')} who may see what;",
        f"    `gateway policy scaffold {target}` proposes that from the database",
        f"Name people in {directory / 'people.yaml'} (`gateway people hash` hashes), tickets in tickets.yaml.",
        f"gateway doctor --config {config}",
        f"gateway serve --config {config}",
        f"gateway people invite LOGIN --local --config {config}      # the first administrator, on this machine",
        f"gateway people enrol --config {config}                     # as that person",
    ]
    number = 0
    emit_text("Next:")
    for step in steps:
        if step.startswith("    "):
            emit_text(f"  {step}")
        else:
            number += 1
            emit_text(f" {number}. {step}")
