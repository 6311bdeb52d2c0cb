"""The relations that generated queries read: their declarations, masks and scopes, as one table.

Everything else is made from it: the statements that create a database, the policy, a catalog for tests without a
server, and what the grammar may name. Columns without a mask are hidden, and the grammar never names them on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sql.catalog import Catalog, Column, Relation

HIDDEN = ""
CLEAR = "clear"
CUSTOMERS = ("42", "43")
# Addresses that exact searches ask for: of the first customer, of the second, of somebody else's, of nobody.
EMAILS = ("ann@a.example", "bob@b.example", "ann@other.example", "eve@c.example", "nobody@x.example")


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its declared type, what the grammar takes it for, and its mask as policies write it."""

    name: str
    declared: str
    kind: str
    mask: str = CLEAR

    @property
    def shown(self) -> bool:
        """Whether the policy names it."""
        return self.mask != HIDDEN


@dataclass(frozen=True, slots=True)
class Source:
    """A relation: `scope` as policies write it, `rows` as the condition on rows of CUSTOMERS, `key` a unique column."""

    name: str
    oid: int
    scope: str
    rows: str
    key: str
    fields: tuple[Field, ...]
    relkind: str = "r"
    inherits: str = ""

    @property
    def shown(self) -> tuple[Field, ...]:
        """The columns that the policy names, in the order of the relation."""
        return tuple(one for one in self.fields if one.shown)


def _source(name: str, oid: int, scope: str, rows: str, text: str, **more: str) -> Source:
    fields = []
    for line in filter(None, map(str.strip, text.splitlines())):
        column, declared, kind, *mask = (part.strip() for part in line.split("|"))
        fields.append(Field(column, declared, kind, mask[0] if mask else CLEAR))
    return Source(name, oid, scope, rows, more.pop("key", fields[0].name), tuple(fields), **more)


_MINE = "in (42, 43)"
SOURCES = (
    _source(
        "companies",
        17000,
        "id = ticket.customer",
        f"id {_MINE}",
        """
        id | integer | int
        name | text | text
        plan | character varying(12) | text
        since | date | date
        phone | text | text | {mask: digits}
        margin | integer | int |
        """,
    ),
    _source(
        "employees",
        17010,
        "company_id = ticket.customer",
        f"company_id {_MINE}",
        """
        id | integer | int
        company_id | integer | int
        manager_id | integer | int
        name | text | text | {mask: pseudonym, domain: last_name}
        first | character varying(20) | text | {mask: initials}
        email | text | text | {mask: email, search: exact}
        salary | integer | int | {mask: bucket, size: 10000}
        rate | numeric(8,2) | num | {mask: bucket, size: 10}
        status | text | text
        mood | public.mood | mood
        born | date | date | {mask: year}
        hired | timestamp with time zone | ts | {mask: month}
        score | double precision | float
        iban | character varying(34) | text | {mask: partial, keep_start: 2, keep_end: 2}
        notes | text | text |
        tags | text[] | texts
        badge | uuid | uuid
        active | boolean | bool
        ip | inet | inet | {mask: truncate_ip}
        profile | jsonb | json | {mask: json, paths: {a: clear, b.c: clear, s: {mask: redact}}}
        secret | integer | int |
        """,
    ),
    _source(
        "payslips",
        17020,
        "employee_id in public.employees.id",
        f"employee_id in (select id from employees where company_id {_MINE})",
        """
        id | bigint | int
        employee_id | integer | int
        net | integer | int | {mask: 'null'}
        period | date | date
        paid | date | date | {mask: month}
        bonus | numeric(10,2) | num
        status | text | text
        lines | integer[] | ints
        doc | jsonb | json
        remark | text | text |
        """,
    ),
    _source(
        "Order Lines",
        17030,
        "'\"Customer\" = ticket.customer'",
        f'"Customer" {_MINE}',
        """
        Order Id | integer | int
        Customer | integer | int
        select | text | text
        qty | smallint | int
        price | numeric(10,2) | num
        note | character varying(30) | text | {mask: redact}
        buyer | integer | int | {mask: pseudonym, domain: integer}
        hidden | text | text |
        """,
    ),
    _source(
        "countries",
        17040,
        "none",
        "true",
        """
        code | text | text
        label | text | text
        population | bigint | int | {mask: bucket, size: 1000000}
        budget | integer | int |
        """,
    ),
    _source(
        "events",
        17050,
        "company_id = ticket.customer",
        f"company_id {_MINE}",
        """
        id | bigint | int
        company_id | integer | int
        at | date | date
        kind | text | text
        detail | text | text | {mask: redact}
        hint | text | text |
        """,
        relkind="p",
    ),
    _source(
        "people",
        17060,
        "company_id = ticket.customer",
        f"company_id {_MINE}",
        """
        id | integer | int
        company_id | integer | int
        name | text | text
        born | date | date | {mask: year}
        """,
    ),
    _source(
        "staff",
        17070,
        "company_id = ticket.customer",
        f"company_id {_MINE}",
        """
        id | integer | int
        company_id | integer | int
        name | text | text
        born | date | date | {mask: year}
        badge | uuid | uuid
        code | text | text |
        """,
        inherits="people",
    ),
)
BY_NAME = {source.name: source for source in SOURCES}


def quote(name: str) -> str:
    """A name as SQL always takes it."""
    return '"' + name.replace('"', '""') + '"'


def policy_text() -> str:
    """The policy file."""
    lines = [
        "target: grammar",
        "access:",
        "  teams: [support]",
        "  ticket: {projects: [SUP], states: [open]}",
        "  duration: {default: 1h, max: 8h}",
        "  approvers: {teams: [security], count: 1}",
        "limits: {exact_searches_per_hour: 60}",
        "tables:",
    ]
    for source in SOURCES:
        lines += [f"  public.{source.name}:", f"    scope: {source.scope}", "    columns:"]
        lines += [f"      {one.name}: {one.mask}" for one in source.shown]
    return "\n".join(lines) + "\n"


_BASES = {
    "integer": ("int4", "N"),
    "bigint": ("int8", "N"),
    "smallint": ("int2", "N"),
    "text": ("text", "S"),
    "character varying": ("varchar", "S"),
    "date": ("date", "D"),
    "timestamp with time zone": ("timestamptz", "D"),
    "numeric": ("numeric", "N"),
    "double precision": ("float8", "N"),
    "public.mood": ("public.mood", "E"),
    "text[]": ("text[]", "A"),
    "integer[]": ("int4[]", "A"),
    "uuid": ("uuid", "U"),
    "boolean": ("bool", "B"),
    "inet": ("inet", "I"),
    "jsonb": ("jsonb", "U"),
}
# Of the real ones, those that generated texts are near to.
_CALLS = frozenset(
    {"current_setting", "hash_record", "nextval", "regclass", "_regclass", "mood", "name", "text", "date"}
)


def catalog() -> Catalog:
    """The catalog of a database with these relations and one that is hidden, for tests without a server."""
    relations = {}
    for source in SOURCES:
        columns = tuple(
            Column(one.name, number, one.declared, *_BASES[one.declared.partition("(")[0]])
            for number, one in enumerate(source.fields, 1)
        )
        made = Relation("public", source.name, source.oid, source.relkind, columns)
        relations[made.qualified] = made
    secrets = Relation("public", "secrets", 17900, "r", (Column("word", 1, "text", "text", "S"),))
    return Catalog(
        relations={**relations, secrets.qualified: secrets},
        types=frozenset({"public.mood", *relations}),
        calls=_CALLS,
        row_calls=frozenset({"hash_record", "row_to_json"}),
        server_version=150018,
    )
