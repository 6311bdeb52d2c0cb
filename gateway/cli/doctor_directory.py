"""What the doctor asks of an LDAP directory: every server, and the places where people and groups are."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.access.directory.ldap import LdapDirectory
from gateway.cli.finding import FAIL, OK, WARN, Finding, failed
from gateway.directory_settings import LdapDirectory as Settings
from gateway.errors import GatewayError


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings about it, each server on its own."""
    try:
        directory = LdapDirectory(settings)
    except GatewayError as error:
        yield failed("directory", error)
        return
    try:
        yield from _servers(directory)
        yield _people(directory)
    finally:
        directory.close()
    if settings.certificate is not None and settings.bind:
        yield Finding("directory", WARN, "a certificate is shown, and the password counts", "leave one of them out")
    if settings.tls == "off":
        yield Finding("directory", WARN, "passwords go to it in clear, on this machine", "use TLS: `tls: verify-full`")


def _servers(directory: LdapDirectory) -> Iterator[Finding]:
    for address, problem in directory.servers.examine().items():
        what = f"directory {address}"
        if problem:
            yield Finding(what, FAIL, problem, "without it there is less to fall back on; with none nobody gets in")
        else:
            yield Finding(what, OK, "lets the gateway in")


def _people(directory: LdapDirectory) -> Finding:
    try:
        seen, usable, teams = directory.survey()
    except GatewayError as error:
        return failed(
            "directory", error, "check `directory.people` and `directory.groups`, and what the gateway may read"
        )
    if not usable:
        return Finding(
            "directory", FAIL, f"of {seen} people looked at, none has an id and one login that the gateway can read",
            "check `directory.people`, and what the gateway may read; try `gateway directory test LOGIN`",
        )  # fmt: skip
    if not teams:
        return Finding(
            "directory", WARN, f"of {seen} people looked at, none is in a team",
            "check `directory.groups`; try `gateway directory test LOGIN`",
        )  # fmt: skip
    return Finding("directory", OK, f"{usable} of {seen} people looked at can sign in; teams: {', '.join(teams[:5])}")
