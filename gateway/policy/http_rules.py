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

PLACES = ("path", "query", "header", "body", "argument")
VALUES = ("string", "integer", "number", "boolean", "date", "uuid")
MEDIA = ("json", "ndjson", "csv", "unmasked", "empty")
RESERVED = ".gateway"
"""The first segment of the gateway's own pages on a target's address: no route begins with it."""
STREAMED = frozenset({"ndjson", "csv"})
"""What is masked line by line as it passes."""


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

    In a body, `path` is the field's path; in an `argument` of a GraphQL operation, the path in the arguments. None of a
    route's is `none`: it is about no customer (reference data).
    """

    place: str
    name: str = ""
    path: JsonPath = ()


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of an answer: its mask, the type that the mask reads it as (as PostgreSQL spells it).

    `reveal` lets an approved request see it in clear. `identifier` says that its value tells who somebody is. `label`
    is what grants and records call it where that is not its path: in an answer of GraphQL, clients name the fields.
    `category` is the category of data that it is, as a customer is told of it; empty for none.
    """

    path: JsonPath
    mask: Mask
    type: str = "text"
    reveal: bool = False
    identifier: bool = False
    label: str = ""
    category: str = ""


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
class TypedRule:
    """A member `key` of the objects at `path` that leaves of objects of the type `type` only: theirs is the rule."""

    path: JsonPath
    key: str
    type: str


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """What an answer with one of `statuses` may hold. `media` is one of `MEDIA`; `content_types` are those allowed
    (empty for the usual of the media).

    `customer`, where it is not None, is the path of the field that says whose the document is (for NDJSON and CSV: of
    each line): another customer's is as if it were missing. Of CSV, a path has one step: the column's name.
    `headers` are further response headers that leave, beside those that always may. `max_bytes` bounds what is read
    at once; what streams (`ndjson`, `csv`, `unmasked`) is bounded line by line instead, 0 for the budgets' bounds.

    Of an answer of GraphQL (`media` is `graphql`, made for one operation and in no policy), paths begin in its `data`;
    `also` are further fields like `customer`, `objects` are single objects that are null when they are another's, and
    `typed` are members that only objects of one type have.
    """

    statuses: frozenset[int]
    media: str
    customer: JsonPath | None = None
    fields: tuple[FieldRule, ...] = ()
    arrays: tuple[ArrayRule, ...] = ()
    content_types: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    max_bytes: int = 8 << 20
    also: tuple[JsonPath, ...] = ()
    objects: tuple[ArrayRule, ...] = ()
    typed: tuple[TypedRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Argument:
    """One value in the arguments of a field, at `path` from the arguments: `("input", "iban")`.

    `kind` is how GraphQL writes it: `id` (text or whole number in, text out), `enum` (a name), or empty for the usual
    of the value's type.
    """

    path: JsonPath
    value: Value
    kind: str = ""
    required: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class FieldArguments:
    """The arguments of one field of an operation; `path` is empty for those of the root field."""

    path: JsonPath
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class OwnedRule:
    """An array or a single object that belongs to customers. `customers` are paths from the element, one for each type
    of it; `count` is as in `ArrayRule`.
    """

    path: JsonPath
    customers: tuple[JsonPath, ...]
    count: JsonPath | None = None


@dataclass(frozen=True, slots=True)
class GraphqlOperation:
    """One root field that may be asked for. `kind` is `query` or `mutation`; `approval` is as in `Route`.

    Paths begin at the root field's value. Beside names and `*` they have steps such as `<Employee>`: what follows
    exists where the object is of that type. `customers` are the arguments that say whose data it is about, `owners` the
    fields that do.
    """

    kind: str
    field: str
    approval: str = ""
    customers: tuple[CustomerOf, ...] = ()
    owners: tuple[JsonPath, ...] = ()
    arguments: tuple[FieldArguments, ...] = ()
    fields: tuple[FieldRule, ...] = ()
    arrays: tuple[OwnedRule, ...] = ()
    objects: tuple[OwnedRule, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphqlRules:
    """The operations of a route that takes GraphQL. `types` are those whose names fragments may have besides.

    A request has `root_fields` at most, `selections` fields in all once its fragments are in their places, `depth`
    levels of them, and `max_bytes` of body.
    """

    operations: tuple[GraphqlOperation, ...]
    types: tuple[str, ...] = ()
    root_fields: int = 4
    selections: int = 200
    depth: int = 8
    max_bytes: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request: a method and a template of a path, `("companies", "{company_id}", "employees")`.

    `path` gives each placeholder's value. `customer` None: about no customer. `approval` is empty for what only reads,
    `statement` when somebody else must approve this very request, `request` when a grant for writing is enough.
    `also` are further places that name customers, all of which must be the ticket's too. `websocket` lets the
    connection become one, `subprotocols` are what its messages may be agreed to follow. `graphql` has the operations of
    a route that takes GraphQL; what such a route writes, shows and is about depends on the operation. `dialect` says
    that it takes a SELECT in that SQL over the policy's tables, which say whose each row is; `catalog` is Trino's that
    has them.
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
    subprotocols: tuple[str, ...] = ()
    also: tuple[CustomerOf, ...] = ()
    graphql: GraphqlRules | None = None
    dialect: str = ""
    catalog: str = ""

    @property
    def writes(self) -> bool:
        """Whether it changes anything at the target."""
        return bool(self.approval)

    @property
    def approvals(self) -> frozenset[str]:
        """The ways in which its writing is approved; of GraphQL, that of its mutations."""
        operations = self.graphql.operations if self.graphql is not None else ()
        return frozenset({self.approval, *(one.approval for one in operations)} - {""})


@dataclass(frozen=True, slots=True)
class HttpRules:
    """The routes of an HTTP target. `direction` is `inbound` (to an API of ours) or `outbound` (to a sub-processor).

    `recipient` is who gets what leaves, of an outbound target.
    """

    routes: tuple[Route, ...]
    direction: str = "inbound"
    recipient: str = ""
