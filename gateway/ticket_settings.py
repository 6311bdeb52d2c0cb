"""`tickets` of gateway.yaml: one source or a list of them, each of a kind, each answering for projects of its own.

A ticket's id starts with a project's key, which says who is asked. `projects` names what the key stands for at the
source: a repository, a table, a class; a list means that keys are the same there.

INVARIANT: no two sources answer for the same id, and what a pattern matches is matched in bounded time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.settings import Bytes, Model, Seconds, Secret

PATTERN_INPUT = 256
"""Longest text that a pattern is tried on; longer texts do not match."""

_PROJECT = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_SYSTEM = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")
_PATH = re.compile(r"[A-Za-z0-9_ :/@-]{1,64}(\.[A-Za-z0-9_ :/@-]{1,64}){0,7}")
_ATOM = r"(?:\\[dws.\-+*?()\[\]{}|^$\\/]|\[\^?\]?(?:[^\]\\\[]|\\.)+\]|[^\\\[\](){}*+?|^$])"
_PIECE = _ATOM + r"(?:[*+?]|\{\d{1,3}(?:,\d{1,3})?\})?"
_SIMPLE = re.compile(rf"\^?(?:{_PIECE})*\((?:{_PIECE})+\)(?:{_PIECE})*\$?")
_LOOSE = re.compile(r"(?<!\\)[*+]|(?<!\\)\{\d+,\d+\}")


def _pattern(text: str) -> str:
    """A pattern of pieces in a row with one group: no alternatives, nothing repeated that repeats inside."""
    if len(text) > 200 or not _SIMPLE.fullmatch(text):
        raise ValueError("a pattern is a row of characters, classes and `* + ? {n}`, with one group: `customer:(\\d+)`")
    if len(_LOOSE.findall(text)) > 3:
        raise ValueError("a pattern repeats at three places at the most")
    try:
        re.compile(text, re.ASCII)
    except re.error as error:
        raise ValueError(f"not a pattern: {error}") from error
    return text


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("a field is names with dots between them: `customfield_10042.value`")
    return text


def _keys(value: object) -> object:
    return {key: key for key in value} if isinstance(value, list) and all(isinstance(k, str) for k in value) else value


def _projects(projects: dict[str, str]) -> dict[str, str]:
    for key in projects:
        if not _PROJECT.fullmatch(key):
            raise ValueError(f"a project's key is upper case letters, digits and `_`: `{key}`")
    return projects


def _url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("https", "http") or not url.hostname or url.username or url.query or url.fragment:
        raise ValueError("it is https://host/ with a path at the most")
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("`http:` is for a source on this machine only")
    return text.rstrip("/")


Url = Annotated[str, AfterValidator(_url)]
Path_ = Annotated[str, AfterValidator(_path)]
Projects = Annotated[dict[str, str], BeforeValidator(_keys), AfterValidator(_projects)]


class Taken(Model):
    """Where a value is found on a ticket, and which part of it counts."""

    field: Path_
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None


class CustomerField(Taken):
    """The customer. A ticket that names several is refused unless `several`."""

    several: bool = False


class Assignee(Model):
    """Whose login the ticket's assignee is: `people` maps accounts to logins, the others go by login or e-mail."""

    by: Literal["login", "email", "people"] = "login"
    people: dict[str, str] = Field(default_factory=dict)


class Webhook(Model):
    """How news of the source is proven; `window` is how old or early a signed moment may be."""

    secret: Secret
    window: Seconds = 300.0


class OAuth(Model):
    """Client credentials (RFC 6749, 4.4), at the source's own host."""

    token_path: str = Field(pattern=r"^/[A-Za-z0-9._/-]{1,128}$")
    client_id: str
    client_secret: Secret


class _Source(Model):
    system: str

    def claims(self) -> frozenset[str] | None:
        """The projects that it answers for; None for all that no other source has."""
        raise NotImplementedError


class FileTickets(_Source):
    """Tickets in a YAML or JSON file; without `projects` it answers for all that no other source does."""

    kind: Literal["file"] = "file"
    system: Annotated[str, Field(min_length=1, max_length=64)] = "tickets"
    path: Path
    projects: Projects | None = None

    def claims(self) -> frozenset[str] | None:
        """See above."""
        return None if self.projects is None else frozenset(self.projects)


class Remote(_Source):
    """What all sources have that are asked over HTTP."""

    PROJECT_TO: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9_]{1,64}")
    """What a project may stand for."""
    AUTHS: ClassVar[tuple[str, ...]] = ("basic", "bearer")

    system: Annotated[str, Field(pattern=_SYSTEM.pattern)]
    url: Url
    projects: Projects = Field(min_length=1)
    auth: Literal["basic", "bearer", "token", "app", "oauth"] = "bearer"
    user: str = ""
    token: Secret | None = None
    oauth: OAuth | None = None
    customer: CustomerField
    assignee: Assignee = Assignee()
    team: Taken | None = None
    states: dict[str, str] = Field(default_factory=dict)
    poll_interval: Seconds = 3.0
    timeout: Seconds = 3.0
    answer_limit: Bytes = 1024**2
    ca: Path | None = None
    proxy: Url | None = None
    webhook: Webhook | None = None
    comment: Literal["off", "login", "team"] = "off"

    def claims(self) -> frozenset[str] | None:
        """See above."""
        return frozenset(self.projects)

    @model_validator(mode="after")
    def _fits(self) -> Remote:
        if self.auth not in self.AUTHS:
            raise ValueError(f"`auth` is one of {', '.join(self.AUTHS)} here")
        if (self.auth == "oauth") != (self.oauth is not None):
            raise ValueError("`auth: oauth` and `oauth` go together")
        if self.auth == "basic" and not self.user:
            raise ValueError("`auth: basic` needs `user`")
        if self.auth != "oauth" and self.token is None:
            raise ValueError("the source needs a `token`")
        if not 0.2 <= self.poll_interval <= 60 or not 0.2 <= self.timeout <= 30:
            raise ValueError("`poll_interval` is 200ms to 60s, `timeout` 200ms to 30s")
        for key, scope in self.projects.items():
            if not self.PROJECT_TO.fullmatch(scope):
                raise ValueError(f"`{key}` cannot stand for `{scope}` here")
        return self


class Jira(Remote):
    """Jira Cloud or Server; a project's key is Jira's own."""

    AUTHS = ("basic", "bearer")
    kind: Literal["jira"]
    server: bool = False

    @model_validator(mode="after")
    def _own_keys(self) -> Jira:
        if any(key != scope for key, scope in self.projects.items()):
            raise ValueError("`projects` is a list of Jira's own keys")
        return self


class Zendesk(Remote):
    """Zendesk; one project, whose key is put before the numbers: `projects: [ZD]`."""

    AUTHS = ("basic", "bearer", "oauth")
    kind: Literal["zendesk"]
    projects: Projects = Field(min_length=1, max_length=1)


class GitHub(Remote):
    """GitHub issues; `projects: {API: acme/api}`. With `auth: app`, `token` is the app's private key."""

    PROJECT_TO = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/(?!\.\.?$)[A-Za-z0-9._-]{1,100}")
    AUTHS = ("bearer", "app")
    kind: Literal["github"]
    url: Url = "https://api.github.com"
    app: str = Field(default="", pattern=r"^[A-Za-z0-9.]{0,64}$")
    installation: int = 0

    @model_validator(mode="after")
    def _app(self) -> GitHub:
        if (self.auth == "app") != bool(self.app and self.installation):
            raise ValueError("`auth: app` needs `app` and `installation`")
        return self


class GitLab(Remote):
    """GitLab issues; `projects: {WEB: group/project}`. `auth: token` sends PRIVATE-TOKEN."""

    PROJECT_TO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}){1,10}")
    AUTHS = ("token", "bearer")
    kind: Literal["gitlab"]
    auth: Literal["basic", "bearer", "token", "app", "oauth"] = "token"


class ServiceNow(Remote):
    """ServiceNow; `projects: {INC: incident}`, and ids are ServiceNow's own: `INC0010023`."""

    AUTHS = ("basic", "bearer", "oauth")
    kind: Literal["servicenow"]


class Roundup(Remote):
    """Roundup; `projects: {ISS: issue}` names the class."""

    AUTHS = ("basic", "bearer")
    kind: Literal["roundup"]


class HttpTickets(Remote):
    """Any JSON over HTTP: `path` with `{number}` and `{project}` (what the key stands for), and where fields are."""

    AUTHS = ("basic", "bearer", "token", "oauth")
    PROJECT_TO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
    kind: Literal["http"]
    path: str = Field(pattern=r"^/[A-Za-z0-9._/{}-]{1,256}$")
    header: str = Field(default="", pattern=r"^[A-Za-z0-9-]{0,64}$")
    id: Taken
    title: Path_ | None = None
    status: Path_
    account: Path_ | None = None
    updated: Path_ | None = None

    @model_validator(mode="after")
    def _template(self) -> HttpTickets:
        if self.path.count("{number}") != 1 or re.search(r"[{}]", re.sub(r"\{(number|project)\}", "", self.path)):
            raise ValueError("`path` has `{number}` once, and `{project}` where there are several")
        if len(self.projects) > 1 and "{project}" not in self.path:
            raise ValueError("with several projects `path` has `{project}`")
        if ".." in self.path or "//" in self.path:
            raise ValueError("`path` goes straight to the ticket")
        if (self.auth == "token") != bool(self.header):
            raise ValueError("`auth: token` and `header` go together")
        return self


Source = Annotated[
    FileTickets | Jira | Zendesk | GitHub | GitLab | ServiceNow | Roundup | HttpTickets, Field(discriminator="kind")
]
KINDS: tuple[type[_Source], ...] = (FileTickets, Jira, Zendesk, GitHub, GitLab, ServiceNow, Roundup, HttpTickets)


def _listed(value: Any) -> Any:
    found = value if isinstance(value, list | tuple) else [value]
    return [{"kind": "file", **one} if isinstance(one, dict) else one for one in found]


def _apart(sources: tuple[_Source, ...]) -> tuple[_Source, ...]:
    names = [source.system for source in sources]
    if len(set(names)) != len(names):
        raise ValueError("two sources have the same `system`")
    claimed = [project for source in sources for project in source.claims() or ()]
    if len(set(claimed)) != len(claimed):
        raise ValueError("two sources answer for the same project")
    if sum(source.claims() is None for source in sources) > 1:
        raise ValueError("of several files all but one name their `projects`")
    return sources


Tickets = Annotated[
    tuple[Source, ...],
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=Source | list[Source]),
    AfterValidator(_apart),
]
