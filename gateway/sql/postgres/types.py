"""The types that a user's text may name.

INVARIANT: an allowed type is written out as `pg_catalog.x`, or is an enumeration of a column that the policy shows.
Types whose input or output functions look names up in the catalog (`regclass` and its kin) are judged by `guards.py`;
row types of relations are never allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sql.postgres.tree import words

BUILT_IN = words("""
    int2 int4 int8 float4 float8 numeric money bool text varchar bpchar char name bytea uuid json jsonb jsonpath
    date time timetz timestamp timestamptz interval inet cidr macaddr macaddr8 bit varbit oid xid xid8 cid tid
    int2vector oidvector point line lseg box path polygon circle tsvector tsquery unknown record void pg_lsn
    int4range int8range numrange tsrange tstzrange daterange
    int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange
    anyarray
    """)

# What functions take or return and no value has; only their numbers may be asked for.
PSEUDO = words("trigger event_trigger internal cstring any anyelement anynonarray anyenum anyrange language_handler")

# Their text forms are names of the catalog.
NAMING = frozenset(
    {"regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole", "regoper", "regoperator"}
    | {"regcollation", "regconfig", "regdictionary"}
)

# Their oids and those of their arrays, from `pg_type.dat`: a parameter that a client declares so is looked up when it
# is bound, before any statement of ours is run, so a protocol engine must not pass such a declaration on.
NAMING_OIDS = frozenset({
    *(24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191),
    *(1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192),
})  # fmt: skip

# The oids, from the same source, of built-in types that look nothing up, and those of their arrays. Not `oid`: a bigint
# that is compared with one is converted, and fails where it is too large.
_DECLARABLE_OIDS = frozenset({
    *(16, 17, 18, 19, 20, 21, 22, 23, 25, 27, 28, 29, 114, 142, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774),
    *(790, 829, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700, 2950, 3220, 3614, 3615, 3802),
    *(3904, 3906, 3908, 3910, 3912, 3926, 4072, 4451, 4532, 4533, 4534, 4535, 4536, 5069),
    *(143, 199, 271, 629, 651, 719, 775, 791, 1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1010, 1011, 1012, 1014),
    *(1015, 1016, 1017, 1018, 1019, 1020, 1021, 1022, 1027, 1040, 1041, 1115, 1182, 1183, 1185, 1187, 1231, 1270, 1561),
    *(1563, 2951, 3221, 3643, 3645, 3807, 3905, 3907, 3909, 3911, 3913, 3927, 4073),
    *(6150, 6151, 6152, 6153, 6155, 6157),
})  # fmt: skip

_INFORMATION_SCHEMA = frozenset({"sql_identifier", "character_data", "cardinal_number", "yes_or_no", "time_stamp"})


def declared(oids: Sequence[int]) -> tuple[int, ...]:
    """What a target is told of the types that a client declares its parameters to be; 0 lets it find out itself.

    A row type would name the columns of its relation, a domain or a catalog's row type look things up.
    """
    return tuple(oid if oid in _DECLARABLE_OIDS else 0 for oid in oids)


def resolved(names: Sequence[str], search_path: Sequence[str], enumerations: frozenset[str]) -> tuple[str, str] | None:
    """The type's schema and name when the user may name it, else None. Enumerations are given as `schema.name`."""
    if len(names) == 1:
        name = names[0]
        if _built_in(name):
            return ("pg_catalog", name)
        for schema in search_path:
            if f"{schema}.{name}" in enumerations:
                return (schema, name)
        return None
    if len(names) != 2:
        return None
    schema, name = names
    if schema == "pg_catalog" and _built_in(name):
        return (schema, name)
    if schema == "information_schema" and name in _INFORMATION_SCHEMA:
        return (schema, name)
    return (schema, name) if f"{schema}.{name}" in enumerations else None


def naming(names: Sequence[str]) -> str:
    """The name of the catalog-naming type that this is, or nothing."""
    plain = names[-1] if len(names) == 1 or (len(names) == 2 and names[0] == "pg_catalog") else ""
    return plain if plain in NAMING else ""


def _built_in(name: str) -> bool:
    return name in BUILT_IN or (name.startswith("_") and name[1:] in BUILT_IN)
