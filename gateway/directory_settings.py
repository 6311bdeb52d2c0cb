"""`directory` of gateway.yaml: people in a file, in an LDAP directory (RFC 4511), or of an OpenID Connect provider.

INVARIANT: what goes to a directory is protected by TLS 1.2 or later with the server's certificate and name verified;
only to a server on this machine may it go without.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.oidc_settings import OidcDirectory
from gateway.settings import Bytes, Model, Seconds, Secret, is_loopback

_ATTRIBUTE = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"
Attribute = Annotated[str, Field(pattern=_ATTRIBUTE)]


def _filter(text: str) -> str:
    """Balanced parentheses around the whole: what it is put beside cannot be changed by it."""
    depth = 0
    for place, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth < 0 or (depth == 0 and place < len(text) - 1):
            break
    else:
        if depth == 0 and len(text) > 2 and text.isprintable():
            return text
    raise ValueError("a filter is one expression in parentheses: `(objectClass=person)`")


def _dn(text: str) -> str:
    if not re.fullmatch(r"\s*[A-Za-z][A-Za-z0-9-]*\s*=.+", text) or not text.isprintable():
        raise ValueError("a distinguished name is written like `ou=people,dc=example,dc=com`")
    return text


def _server(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("ldaps", "ldap") or not url.hostname or url.username or url.path.strip("/"):
        raise ValueError(
            "a server is `ldaps://host`, or `ldap://host` for StartTLS, with a port if it is not the usual"
        )
    if url.query or url.fragment or (url.port is not None and url.port == 0):
        raise ValueError("a server's address ends with its port")
    return text.rstrip("/")


Filter = Annotated[str, AfterValidator(_filter)]
Dn = Annotated[str, AfterValidator(_dn)]
Server = Annotated[str, AfterValidator(_server)]


class FileDirectory(Model):
    """People in a YAML file."""

    kind: Literal["file"] = "file"
    path: Path


class People(Model):
    """Where people are and which attributes say what; "" takes what the directory's `flavour` usually has.

    `email` and `human` must be attributes that people cannot change of themselves: an address may make a ticket theirs,
    and accounts of which either is the same are one person's, who does not approve his own request with the other.
    """

    base: Dn
    filter: Filter | Literal[""] = ""
    login: Attribute | Literal[""] = ""
    id: Attribute | Literal[""] = ""
    name: Attribute | Literal[""] = ""
    email: Attribute | Literal["", "none"] = ""
    human: Attribute | Literal[""] = ""


class Groups(Model):
    """Which groups are teams: those right below `base`, by their `cn` in lower case, and those that `teams` names.

    `by: memberof` reads memberships from the people, `by: member` from the attribute `member` of the groups.
    """

    base: Dn
    filter: Filter | Literal[""] = ""
    by: Literal["memberof", "member"] = "memberof"
    member: Attribute = "member"
    nested: bool = True
    teams: dict[str, Dn] = Field(default_factory=dict)


class LdapDirectory(Model):
    """People in an LDAP directory. Servers are asked in their order, the next one when one is out."""

    kind: Literal["ldap"]
    flavour: Literal["rfc", "active-directory"] = "rfc"
    servers: tuple[Server, ...] = Field(min_length=1, max_length=8)
    tls: Literal["verify-full", "off"] = "verify-full"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    bind: str = ""
    password: Secret | None = None
    people: People
    groups: Groups
    timeout: Seconds = 3.0
    page: int = Field(default=500, ge=1, le=1000)
    answer_limit: Bytes = 16 * 1024**2

    @model_validator(mode="after")
    def _fits(self) -> LdapDirectory:
        plain = [one for one in self.servers if not is_loopback(urlsplit(one).hostname or "")]
        if self.tls == "off" and (plain or any(one.startswith("ldaps:") for one in self.servers)):
            raise ValueError("`tls: off` is for `ldap://` servers on a loopback host only")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        if bool(self.bind) != (self.password is not None):
            raise ValueError("`bind` and `password` go together")
        if not self.bind and self.certificate is None:
            raise ValueError("the gateway signs in to the directory: with `bind` and `password`, or with a certificate")
        if self.tls == "off" and self.certificate is not None:
            raise ValueError("a certificate is shown by TLS")
        if not 0.2 <= self.timeout <= 30:
            raise ValueError("`timeout` is 200ms to 30s")
        return self


KINDS: tuple[type[Model], ...] = (FileDirectory, LdapDirectory, OidcDirectory)

Directory = Annotated[
    FileDirectory | LdapDirectory | OidcDirectory,
    Field(discriminator="kind"),
    BeforeValidator(
        lambda value: {"kind": "file", **value} if isinstance(value, dict) else value,
        json_schema_input_type=FileDirectory | LdapDirectory | OidcDirectory,
    ),
]
