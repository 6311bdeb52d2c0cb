"""The directory that the configuration names; in a server, with what it has to tell going into the trail."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.access.directory.file import FileDirectory
from gateway.access.directory.ldap import LdapDirectory, Report
from gateway.access.keys import Keys
from gateway.directory_settings import Directory as Settings
from gateway.directory_settings import FileDirectory as FileSettings
from gateway.directory_settings import LdapDirectory as LdapSettings
from gateway.errors import GatewayError
from gateway.ports import Clock, Trail
from gateway.record import event
from gateway.store.database import Database

if TYPE_CHECKING:
    # what is of an identity provider is imported where one is: its libraries are large
    from gateway.access.directory.oidc.logins import Logins
    from gateway.access.directory.oidc.people import OidcPeople
    from gateway.access.service import Access


def open_directory(settings: Settings) -> FileDirectory | LdapDirectory:
    """The directory; nobody is asked yet. Raises `GatewayError("configuration-invalid")`, and `request-invalid` for an
    identity provider, which speaks about nobody who is not just signing in.
    """
    if not isinstance(settings, FileSettings | LdapSettings):
        raise GatewayError(
            "request-invalid", "the identity provider is asked about nobody from here", "name teams instead (--team)"
        )  # fmt: skip
    return FileDirectory(settings.path) if isinstance(settings, FileSettings) else LdapDirectory(settings)


def serve_directory(
    settings: Settings, trail: Trail, report: Report, *, keys: Keys, database: Database, clock: Clock
) -> FileDirectory | LdapDirectory | OidcPeople:
    """The same in a running event loop; what its own threads have to tell comes through it. Raises as above."""
    if isinstance(settings, FileSettings):
        return FileDirectory(settings.path)
    if not isinstance(settings, LdapSettings):
        from gateway.access.directory.oidc.people import OidcPeople
        from gateway.access.directory.oidc.provider import Provider

        return OidcPeople(
            settings, Provider(settings, clock), keys=keys, database=database,
            note=lambda kind, **fields: trail.append(event(kind, **fields)), report=report, clock=clock,
            token=secrets.token_bytes,
        )  # fmt: skip
    loop = asyncio.get_running_loop()

    def from_thread(function: Callable[..., Any]) -> Callable[..., None]:
        def tell(*arguments: Any) -> None:
            # a loop that is closed has nobody left to tell
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(function, *arguments)

        return tell

    return LdapDirectory(
        settings,
        news=from_thread(lambda kind, fields: trail.append(event(kind, **fields))),
        report=from_thread(report),
    )


def logins_of(directory: FileDirectory | LdapDirectory | OidcPeople, access: Access) -> Logins | None:
    """What signs people in at an identity provider; None where they have passwords here."""
    if isinstance(directory, FileDirectory | LdapDirectory):
        return None
    from gateway.access.directory.oidc.logins import Logins

    return Logins(directory, access)


def work_of(directory: FileDirectory | LdapDirectory | OidcPeople) -> list[Coroutine[Any, Any, None]]:
    """What has to run beside it on the loop, until cancelled."""
    return [] if isinstance(directory, FileDirectory | LdapDirectory) else [directory.keep()]
