"""What a policy says of an HTTP target: which requests exist, whose data each is about, and what answers may hold.

Frozen values, as in `schema.py`. INVARIANT: what is not named does not exist: no route, no parameter, no field of a
body, no field of an answer, no header.

A path of a field is a tuple of its steps from the document's root: a name, or `*` for every element of an array.
`$.employees[*].iban` is `("employees", "*", "iban")`; the root is `()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.policy.schema import Mask

JsonPath = tuple[str, ...]

PLACES = ("path", "query", "header", "body")
VALUES = ("string", "integer", "number", "boolean", "date", "uuid")
MEDIA = ("json", "ndjson", "csv", "unmasked", "empty")


@dataclass(frozen=True, slots=True)
class Value:
    """What one value that a client sends may be: its type (one of `VALUES`) and its bounds, inclusive.

    `pattern` is a regular expression that must match the whole text; `choices` are the only texts allowed, empty for
    any. Texts have `max_length` characters at most.
    """

    type: str = "string"
    minimum: int | None = None
    maximum: int | None = None
    max_length: int = 256
    pattern: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query, or one request header that is passed on. `repeated` lets it come more than once."""

    name: str
    value: Value
    required: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class BodyField:
    """One field of a request's body. Every object on the way to it exists only by the fields below it.

    `mask` is what it becomes before it leaves, for outbound targets; None passes it as it is. `category` is the
    category of data that it is, as a customer is told of it; empty for none. `nullable` lets it be null in JSON.
    """

    path: JsonPath
    value: Value
    required: bool = False
    mask: Mask | None = None
    category: str = ""
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class BodyRule:
    """A request's body. `media` is `json`, `form` (URL-encoded), or `passed`: forwarded as it came.

    Of a required field, everything on the way to it is required too; in a list, every element has it.
    """

    media: str
    fields: tuple[BodyField, ...] = ()
    max_bytes: int = 1 << 20
    content_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomerOf:
    """Where a request says whose data it is about: in `place` (one of `PLACES`), there under `name`.

    In a body, `path` is the field's path. None of a route's is `none`: it is about no customer (reference data).
    """

    place: str
    name: str = ""
    path: JsonPath = ()


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of an answer: its mask, the type that the mask reads it as (as PostgreSQL spells it).

    `reveal` lets an approved request see it in clear. `identifier` says that its value tells who somebody is.
    """

    path: JsonPath
    mask: Mask
    type: str = "text"
    reveal: bool = False
    identifier: bool = False


@dataclass(frozen=True, slots=True)
class ArrayRule:
    """An array whose elements belong to customers: those whose `customer` (a path from the element) is not one of the
    ticket's are left out, silently. `count` is the path, from the root, of what counts the elements, and becomes the
    number of those that are left; None for nothing.
    """

    path: JsonPath
    customer: JsonPath
    count: JsonPath | None = None


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """What an answer with one of `statuses` may hold. `media` is one of `MEDIA`; `content_types` are those allowed
    (empty for the usual of the media).

    `customer`, where it is not None, is the path of the field that says whose the document is (for NDJSON and CSV: of
    each line): another customer's is as if it were missing. Of CSV, a path has one step: the column's name.
    `headers` are further response headers that leave, beside those that always may. `max_bytes` bounds what is read
    at once; what streams (`ndjson`, `csv`, `unmasked`) is bounded line by line instead, 0 for the budgets' bounds.
    """

    statuses: frozenset[int]
    media: str
    customer: JsonPath | None = None
    fields: tuple[FieldRule, ...] = ()
    arrays: tuple[ArrayRule, ...] = ()
    content_types: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    max_bytes: int = 8 << 20


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request: a method and a template of a path, `("companies", "{company_id}", "employees")`.

    `path` gives each placeholder's value. `customer` None: about no customer. `approval` is empty for what only reads,
    `statement` when somebody else must approve this very request, `request` when a grant for writing is enough.
    `also` are further places that name customers, all of which must be the ticket's too. `websocket` lets the
    connection become one. `dialect` says that it takes a SELECT in that SQL over the policy's tables, which say whose
    each row is.
    """

    name: str
    method: str
    template: tuple[str, ...]
    path: dict[str, Value] = field(default_factory=dict)
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: BodyRule | None = None
    customer: CustomerOf | None = None
    answers: tuple[AnswerRule, ...] = ()
    approval: str = ""
    websocket: bool = False
    also: tuple[CustomerOf, ...] = ()
    dialect: str = ""

    @property
    def writes(self) -> bool:
        """Whether it changes anything at the target."""
        return bool(self.approval)


@dataclass(frozen=True, slots=True)
class HttpRules:
    """The routes of an HTTP target. `direction` is `inbound` (to an API of ours) or `outbound` (to a sub-processor).

    `recipient` is who gets what leaves, of an outbound target.
    """

    routes: tuple[Route, ...]
    direction: str = "inbound"
    recipient: str = ""
