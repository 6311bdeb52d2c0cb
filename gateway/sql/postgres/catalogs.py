"""What a view shows of the system catalogs: allow-listed columns, and rows of what the policy names.

INVARIANT: no name, number, size, statistic, definition or text that concerns a hidden relation or column is shown.
A column that could do so is NULL, a relation that could only do so is empty, and everything else is not on the list.

Every function here returns SQL text in which all names are qualified; conditions take an SQL expression for an oid.
Specification: PostgreSQL manual, chapters 53 (catalogs), 54 (views) and 37 (information schema), versions 13 to 18.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway.sql.postgres import settings
from gateway.sql.postgres.conditions import (
    FIRST_NORMAL_OID,
    attribute,
    built_in,
    class_visible,
    composite_visible,
    constraint_rows,
    constraint_visible,
    function_visible,
    index_rows,
    index_visible,
    listed,
    named,
    partition_key_rows,
    schemas,
    type_visible,
    visible,
)
from gateway.sql.postgres.tree import words
from gateway.sql.statement import View

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_COLUMN = re.compile(r"(?P<name>\w+)(?:@(?P<first>\d+)(?:-(?P<last>\d+))?)?(?:=(?P<value>.+))?")


@dataclass(frozen=True, slots=True)
class System:
    """A catalog relation: its columns (`name`, `name@first-last` server versions, `name=value`) and its rows."""

    columns: str
    rows: Callable[[View], str]


# What every table has and no star shows. The number of the transaction that wrote a row tells of others' work.
SYSTEM_COLUMNS = {"tableoid": "t.tableoid", "xmin": "CAST('0' AS pg_catalog.xid)"}

# ruff: noqa: S608 - made of the constants below and of quoted names of the policy


def shown_sql(qualified: str, view: View) -> str | None:
    """The derived table for a catalog relation, None when it is not shown."""
    schema, _, name = qualified.partition(".")
    if qualified in EMPTY:
        if name in _VIEWS:
            return f"SELECT t.* FROM {schema}.{name} AS t WHERE false"
        nothing = "CAST(NULL AS pg_catalog.oid) AS tableoid, CAST(NULL AS pg_catalog.xid) AS xmin"
        return f"SELECT t.*, {nothing} FROM {schema}.{name} AS t WHERE false"
    system = SYSTEMS.get(qualified)
    if system is None:
        return None
    major = view.catalog.server_version // 10_000
    targets = []
    for written in system.columns.split():
        match = _COLUMN.fullmatch(written)
        if match is None:
            raise ValueError(f"column {written!r} of {qualified}")
        if major and match["first"] and not int(match["first"]) <= major <= int(match["last"] or 999):
            continue
        value = f"t.{match['name']}"
        if match["value"] in _JUDGED:
            value = _JUDGED[match["value"]](view)
        elif match["value"]:
            value = _VALUES[match["value"]].format(match["name"])
        targets.append(f"{value} AS {match['name']}")
    if schema == "pg_catalog" and name not in _VIEWS:
        targets += [f"{value} AS {name}" for name, value in SYSTEM_COLUMNS.items()]
    rows = system.rows(view)
    # The fence: no expression of the user's may run on a row that is not shown, where it could fail or not.
    where = f" WHERE {rows} OFFSET 0" if rows else ""
    return f"SELECT {', '.join(targets)} FROM {schema}.{name} AS t{where}"


def spellings(view: View) -> list[str]:
    """The names, qualified and not, with quotes and where they can be without, of all relations that the view shows."""
    found = set()
    for qualified in (*visible(view), *SYSTEMS, *EMPTY):
        schema, _, name = qualified.partition(".")
        quoted = f'"{name.replace(chr(34), 2 * chr(34))}"'
        plain = [quoted, name] if _PLAIN_NAME.fullmatch(name) else [quoted]
        if names_relation("", name, view):
            found.update(plain)
        if _PLAIN_NAME.fullmatch(schema):
            found.update(f"{schema}.{one}" for one in plain)
            found.add(f'"{schema}".{quoted}')
    return sorted(found)


def names_relation(schema: str, name: str, view: View) -> bool:
    """Whether a possibly unqualified name is that of a relation which the view shows, or of one whose number it may."""
    if schema in {"pg_catalog", "information_schema"}:
        return f"{schema}.{name}" in SYSTEMS or f"{schema}.{name}" in EMPTY or f"{schema}.{name}" in _NUMBERED
    if not schema and name.startswith("pg_"):
        return names_relation("pg_catalog", name, view)
    if schema:
        return f"{schema}.{name}" in visible(view)
    # The server looks an unqualified name up itself here: allowed when what it finds first is something that we show.
    for candidate in view.search_path:
        if view.catalog.relation(f"{candidate}.{name}") is not None:
            return f"{candidate}.{name}" in visible(view)
    return False


def _attribute_rows(view: View) -> str:
    return (
        f"({attribute('t.attrelid', 't.attnum', view)} OR {index_visible('t.attrelid', view)}"
        f" OR {composite_visible('t.attrelid', view)})"
    )


def _by_oid(condition: Callable[[str, View], str], *columns: str) -> Callable[[View], str]:
    return lambda view: " AND ".join(condition(f"t.{column}", view) for column in columns)


def _fixed(condition: str) -> Callable[[View], str]:
    return lambda _view: condition


def _in_schema(schema: str, name: str) -> Callable[[View], str]:
    def rows(view: View) -> str:
        system = listed(f"t.{schema}", ("pg_catalog", "information_schema"))
        return f"({system} OR {named(f't.{schema}', f't.{name}', visible(view))})"

    return rows


def _column_of(schema: str, table: str, column: str) -> Callable[[View], str]:
    def rows(view: View) -> str:
        names = [f"{name}.{one}" for name in visible(view) for one in view.policy.tables[name].columns]
        system = listed(f"t.{schema}", ("pg_catalog", "information_schema"))
        whole = f"pg_catalog.concat(CAST(t.{schema} AS pg_catalog.text), '.', CAST(t.{table} AS pg_catalog.text))"
        return f"({system} OR {named(whole, f't.{column}', names)})"

    return rows


def _constraint_named(view: View, *, of_table: bool = False) -> str:
    """The condition on a row that names a constraint. A schema can have several of the same name: all, or its own."""
    same = (
        "SELECT FROM pg_catalog.pg_constraint AS k"
        " JOIN pg_catalog.pg_namespace AS g ON g.oid OPERATOR(pg_catalog.=) k.connamespace"
        " JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) k.conrelid"
        " WHERE CAST(k.conname AS pg_catalog.text) OPERATOR(pg_catalog.=) CAST(t.constraint_name AS pg_catalog.text)"
        " AND CAST(g.nspname AS pg_catalog.text) OPERATOR(pg_catalog.=) CAST(t.constraint_schema AS pg_catalog.text)"
    )
    if of_table:
        same += " AND CAST(c.relname AS pg_catalog.text) OPERATOR(pg_catalog.=) CAST(t.table_name AS pg_catalog.text)"
        return f"EXISTS ({same} AND {constraint_rows('k', view)})"
    return (
        f"EXISTS ({same} AND {constraint_rows('k', view)}) AND NOT EXISTS ({same} AND NOT {constraint_rows('k', view)})"
    )


def _constraint_of_table(view: View) -> str:
    return _constraint_named(view, of_table=True)


def _index_named(view: View) -> str:
    return (
        "EXISTS (SELECT FROM pg_catalog.pg_class AS k"
        " JOIN pg_catalog.pg_namespace AS g ON g.oid OPERATOR(pg_catalog.=) k.relnamespace"
        " WHERE k.relname OPERATOR(pg_catalog.=) t.indexname AND g.nspname OPERATOR(pg_catalog.=) t.schemaname"
        f" AND {index_visible('k.oid', view)})"
    )


def _target_s_own(condition: str, otherwise: str) -> str:
    """The condition for a relation of the target itself, so that it is not evaluated for all else."""
    return f"CASE WHEN t.oid OPERATOR(pg_catalog.<) '{FIRST_NORMAL_OID}' THEN {otherwise} ELSE {condition} END"


def _has_keys(view: View) -> str:
    return (
        "EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.contype OPERATOR(pg_catalog.=) 'f'"
        " AND t.oid OPERATOR(pg_catalog.=) ANY (ARRAY[k.conrelid, k.confrelid])"
        f" AND {constraint_rows('k', view)})"
    )


def _inherits(oid: str, own: str, other: str, view: View) -> str:
    """The condition that a relation which the view shows is on the other side of an inheritance."""
    return (
        f"EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.{own} OPERATOR(pg_catalog.=) {oid}"
        f" AND {class_visible(f'h.{other}', view)})"
    )


def _has_index(view: View) -> str:
    return (
        "EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid OPERATOR(pg_catalog.=) t.oid"
        f" AND {index_rows('i', view)})"
    )


# What would tell of relations, indexes and constraints that are not shown, as it would be without them.
_JUDGED: dict[str | None, Callable[[View], str]] = {
    "keys": lambda view: _target_s_own(_has_keys(view), "false"),
    "indexes": lambda view: _target_s_own(_has_index(view), "t.relhasindex"),
    "children": lambda view: _target_s_own(_inherits("t.oid", "inhparent", "inhrelid", view), "false"),
    "parents": lambda view: _target_s_own(_inherits("t.oid", "inhrelid", "inhparent", view), "false"),
    "inherited": lambda view: (
        f"CASE WHEN {_inherits('t.attrelid', 'inhrelid', 'inhparent', view)} THEN t.attinhcount ELSE '0' END"
    ),
    "parent": lambda view: f"CASE WHEN {constraint_visible('t.conparentid', view)} THEN t.conparentid ELSE '0' END",
}

_VIEWS = words("""
    pg_roles pg_user pg_settings pg_tables pg_views pg_matviews pg_indexes pg_timezone_names pg_timezone_abbrevs
    pg_replication_slots
    """)

_VALUES = {
    "text": "CAST(NULL AS pg_catalog.text)",
    "texts": "CAST(NULL AS pg_catalog.text[])",
    "oids": "CAST(NULL AS pg_catalog.oid[])",
    "acl": "CAST(NULL AS pg_catalog.aclitem[])",
    "tree": "CAST(NULL AS pg_catalog.pg_node_tree)",
    "int2": "CAST(NULL AS pg_catalog.int2)",
    "time": "CAST(NULL AS pg_catalog.timestamptz)",
    "none": "CAST('0' AS pg_catalog.oid)",
    "xid": "CAST('0' AS pg_catalog.xid)",
    "zero": "CAST('0' AS pg_catalog.int4)",
    "zero2": "CAST('0' AS pg_catalog.int2)",
    "unknown": "CAST('-1' AS pg_catalog.float4)",
    "unlimited": "CAST('-1' AS pg_catalog.int4)",
    "false": "false",
    "stars": "CAST('********' AS pg_catalog.text)",
    # A value of a catalog-naming type, compared with a text, would look that text up.
    "number": "CAST(t.{0} AS pg_catalog.oid)",
    "dash": "CAST(NULL AS information_schema.character_data)",
}

SYSTEMS: dict[str, System] = {
    "pg_catalog.pg_class": System(
        """oid relname relnamespace reltype reloftype relowner relam relfilenode=none reltablespace relpages=zero
        reltuples=unknown relallvisible=zero relallfrozen@18=zero reltoastrelid=none relhasindex=indexes relisshared
        relpersistence relkind relnatts=int2 relchecks=zero2 relhasrules=false relhastriggers=keys
        relhassubclass=children relrowsecurity=false relforcerowsecurity=false relispopulated relreplident
        relispartition=parents relrewrite=none relfrozenxid=xid relminmxid=xid relacl=acl reloptions=texts
        relpartbound=tree""",
        lambda view: f"({class_visible('t.oid', view)} OR {composite_visible('t.oid', view)})",
    ),
    "pg_catalog.pg_attribute": System(
        """attrelid attname atttypid attstattarget=int2 attlen attnum attndims attcacheoff@13-17=unlimited atttypmod
        attbyval attalign attstorage attcompression@14 attnotnull atthasdef atthasmissing=false attidentity
        attgenerated attisdropped attislocal attinhcount=inherited attcollation attacl=acl attoptions=texts
        attfdwoptions=texts""",
        _attribute_rows,
    ),
    "pg_catalog.pg_attrdef": System(
        "oid adrelid adnum adbin=tree", lambda view: attribute("t.adrelid", "t.adnum", view)
    ),
    "pg_catalog.pg_index": System(
        """indexrelid indrelid indnatts indnkeyatts indisunique indnullsnotdistinct@15 indisprimary indisexclusion
        indimmediate indisclustered indisvalid indcheckxmin indisready indislive indisreplident indkey indcollation
        indclass indoption indexprs=tree indpred=tree""",
        lambda view: index_rows("t", view),
    ),
    "pg_catalog.pg_constraint": System(
        """oid conname connamespace contype condeferrable condeferred conenforced@18 convalidated conrelid contypid
        conindid conparentid=parent confrelid confupdtype confdeltype confmatchtype conislocal coninhcount
        connoinherit conperiod@18 conkey confkey conpfeqop conppeqop conffeqop confdelsetcols@15 conexclop
        conbin=tree""",
        lambda view: constraint_rows("t", view),
    ),
    "pg_catalog.pg_type": System(
        """oid typname typnamespace typowner typlen typbyval typtype typcategory typispreferred typisdefined typdelim
        typrelid typelem typarray typinput=number typoutput=number typreceive=number typsend=number typmodin=number
        typmodout=number typanalyze=number typsubscript@14=number typalign typstorage typnotnull typbasetype typtypmod
        typndims typcollation typdefaultbin=tree typdefault=text typacl=acl""",
        _by_oid(type_visible, "oid"),
    ),
    "pg_catalog.pg_enum": System("oid enumtypid enumsortorder enumlabel", _by_oid(type_visible, "enumtypid")),
    "pg_catalog.pg_range": System(
        "rngtypid rngsubtype rngmultitypid@14 rngcollation rngsubopc rngcanonical=number rngsubdiff=number",
        _by_oid(type_visible, "rngtypid"),
    ),
    "pg_catalog.pg_proc": System(
        """oid proname pronamespace proowner prolang procost prorows provariadic prosupport=number prokind prosecdef
        proleakproof proisstrict proretset provolatile proparallel pronargs pronargdefaults prorettype proargtypes
        proallargtypes proargmodes proargnames proargdefaults=tree protrftypes=oids prosrc=text probin=text
        prosqlbody@14=tree proconfig=texts proacl=acl""",
        _by_oid(function_visible, "oid"),
    ),
    "pg_catalog.pg_namespace": System(
        "oid nspname nspowner nspacl=acl", lambda view: listed("t.nspname", schemas(view))
    ),
    "pg_catalog.pg_database": System(
        """oid datname datdba encoding datlocprovider@15 datistemplate datallowconn dathasloginevt@17=false
        datconnlimit=unlimited datcollate datctype daticulocale@15-16 datlocale@17 daticurules@16 datcollversion@15
        datfrozenxid=xid datminmxid=xid dattablespace datacl=acl""",
        _fixed("t.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"),
    ),
    "pg_catalog.pg_roles": System(
        """rolname rolsuper rolinherit rolcreaterole rolcreatedb rolcanlogin rolreplication rolconnlimit=unlimited
        rolpassword=stars rolvaliduntil=time rolbypassrls rolconfig=texts oid""",
        _fixed("t.rolname OPERATOR(pg_catalog.=) CURRENT_USER"),
    ),
    "pg_catalog.pg_user": System(
        "usename usesysid usecreatedb usesuper userepl usebypassrls passwd=stars valuntil=time useconfig=texts",
        _fixed("t.usename OPERATOR(pg_catalog.=) CURRENT_USER"),
    ),
    "pg_catalog.pg_inherits": System(
        "inhrelid inhparent inhseqno inhdetachpending@14", _by_oid(class_visible, "inhrelid", "inhparent")
    ),
    "pg_catalog.pg_settings": System(
        """name setting unit category short_desc extra_desc context vartype source min_val max_val enumvals boot_val
        reset_val sourcefile=text sourceline=zero pending_restart=false""",
        _fixed(listed("pg_catalog.lower(t.name)", sorted(settings.READABLE))),
    ),
    "pg_catalog.pg_description": System("objoid classoid objsubid description", _by_oid(built_in, "objoid")),
    "pg_catalog.pg_am": System("oid amname amhandler=number amtype", _fixed("")),
    "pg_catalog.pg_aggregate": System(
        """aggfnoid=number aggkind aggnumdirectargs aggtransfn=number aggfinalfn=number aggcombinefn=number
        aggserialfn=number aggdeserialfn=number aggmtransfn=number aggminvtransfn=number aggmfinalfn=number
        aggfinalextra aggmfinalextra aggfinalmodify aggmfinalmodify aggsortop aggtranstype aggtransspace
        aggmtranstype aggmtransspace agginitval=text aggminitval=text""",
        _fixed(f"t.aggfnoid OPERATOR(pg_catalog.<) '{FIRST_NORMAL_OID}'"),
    ),
    "pg_catalog.pg_language": System(
        """oid lanname lanowner lanispl lanpltrusted lanplcallfoid laninline lanvalidator lanacl=acl""",
        _by_oid(built_in, "oid"),
    ),
    "pg_catalog.pg_collation": System(
        """oid collname collnamespace collowner collprovider collisdeterministic collencoding collcollate collctype
        colliculocale@15-16 colllocale@17 collicurules@16 collversion""",
        _by_oid(built_in, "oid"),
    ),
    "pg_catalog.pg_opclass": System(
        "oid opcmethod opcname opcnamespace opcowner opcfamily opcintype opcdefault opckeytype",
        _by_oid(built_in, "oid"),
    ),
    "pg_catalog.pg_opfamily": System("oid opfmethod opfname opfnamespace opfowner", _by_oid(built_in, "oid")),
    "pg_catalog.pg_operator": System(
        """oid oprname oprnamespace oprowner oprkind oprcanmerge oprcanhash oprleft oprright oprresult oprcom oprnegate
        oprcode=number oprrest=number oprjoin=number""",
        _by_oid(built_in, "oid"),
    ),
    "pg_catalog.pg_conversion": System(
        "oid conname connamespace conowner conforencoding contoencoding conproc=number condefault",
        _by_oid(built_in, "oid"),
    ),
    "pg_catalog.pg_amop": System(
        """oid amopfamily amoplefttype amoprighttype amopstrategy amoppurpose amopopr amopmethod
        amopsortfamily""",
        _by_oid(built_in, "oid"),
    ),
    "pg_catalog.pg_amproc": System(
        "oid amprocfamily amproclefttype amprocrighttype amprocnum amproc=number", _by_oid(built_in, "oid")
    ),
    "pg_catalog.pg_ts_config": System("oid cfgname cfgnamespace cfgowner cfgparser", _by_oid(built_in, "oid")),
    "pg_catalog.pg_ts_config_map": System("mapcfg maptokentype mapseqno mapdict", _by_oid(built_in, "mapcfg")),
    "pg_catalog.pg_ts_dict": System(
        "oid dictname dictnamespace dictowner dicttemplate dictinitoption", _by_oid(built_in, "oid")
    ),
    "pg_catalog.pg_ts_parser": System(
        """oid prsname prsnamespace prsstart=number prstoken=number prsend=number prsheadline=number
        prslextype=number""",
        _by_oid(built_in, "oid"),
    ),
    "pg_catalog.pg_ts_template": System(
        "oid tmplname tmplnamespace tmplinit=number tmpllexize=number", _by_oid(built_in, "oid")
    ),
    "pg_catalog.pg_partitioned_table": System(
        "partrelid partstrat partnatts partdefid=none partattrs partclass partcollation partexprs=tree",
        lambda view: partition_key_rows("t", view),
    ),
    # Not everybody may read all of its columns, so a star would fail.
    "pg_catalog.pg_subscription": System(
        """oid=none subdbid=none subname=text subowner=none subenabled=false subbinary@14=false substream@14=text
        subtwophasestate@15=text subdisableonerr@15=false subpasswordrequired@16=false subrunasowner@16=false
        suborigin@16=text subfailover@17=false subconninfo=text subslotname=text subsynccommit=text
        subpublications=texts subskiplsn@15=text""",
        _fixed("false"),
    ),
    "pg_catalog.pg_cast": System("oid castsource casttarget castfunc castcontext castmethod", _by_oid(built_in, "oid")),
    "pg_catalog.pg_tablespace": System("oid spcname spcowner spcacl=acl spcoptions=texts", _by_oid(built_in, "oid")),
    "pg_catalog.pg_extension": System(
        "oid extname extowner extnamespace extrelocatable extversion extconfig=oids extcondition=texts", _fixed("")
    ),
    "pg_catalog.pg_tables": System(
        "schemaname tablename tableowner tablespace hasindexes hasrules=false hastriggers=false rowsecurity=false",
        _in_schema("schemaname", "tablename"),
    ),
    "pg_catalog.pg_views": System(
        "schemaname viewname viewowner definition=text", _in_schema("schemaname", "viewname")
    ),
    "pg_catalog.pg_matviews": System(
        "schemaname matviewname matviewowner tablespace hasindexes ispopulated definition=text",
        _in_schema("schemaname", "matviewname"),
    ),
    "pg_catalog.pg_indexes": System("schemaname tablename indexname tablespace indexdef", _index_named),
    "pg_catalog.pg_timezone_names": System("name abbrev utc_offset is_dst", _fixed("")),
    "pg_catalog.pg_timezone_abbrevs": System("abbrev utc_offset is_dst", _fixed("")),
    "information_schema.information_schema_catalog_name": System("catalog_name", _fixed("")),
    "information_schema.schemata": System(
        """catalog_name schema_name schema_owner default_character_set_catalog default_character_set_schema
        default_character_set_name sql_path""",
        lambda view: listed("t.schema_name", schemas(view)),
    ),
    "information_schema.tables": System(
        """table_catalog table_schema table_name table_type self_referencing_column_name reference_generation
        user_defined_type_catalog user_defined_type_schema user_defined_type_name is_insertable_into is_typed
        commit_action""",
        _in_schema("table_schema", "table_name"),
    ),
    "information_schema.columns": System(
        """table_catalog table_schema table_name column_name ordinal_position column_default=dash is_nullable data_type
        character_maximum_length character_octet_length numeric_precision numeric_precision_radix numeric_scale
        datetime_precision interval_type interval_precision character_set_catalog character_set_schema
        character_set_name collation_catalog collation_schema collation_name domain_catalog domain_schema domain_name
        udt_catalog udt_schema udt_name scope_catalog scope_schema scope_name maximum_cardinality dtd_identifier
        is_self_referencing is_identity identity_generation identity_start=dash identity_increment=dash
        identity_maximum=dash identity_minimum=dash identity_cycle is_generated generation_expression=dash
        is_updatable""",
        _column_of("table_schema", "table_name", "column_name"),
    ),
    "information_schema.table_constraints": System(
        """constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name constraint_type
        is_deferrable initially_deferred enforced nulls_distinct@15""",
        _constraint_of_table,
    ),
    "information_schema.key_column_usage": System(
        """constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name column_name
        ordinal_position position_in_unique_constraint""",
        lambda view: (
            f"{_constraint_of_table(view)} AND {_column_of('table_schema', 'table_name', 'column_name')(view)}"
        ),
    ),
    "information_schema.constraint_column_usage": System(
        "table_catalog table_schema table_name column_name constraint_catalog constraint_schema constraint_name",
        lambda view: f"{_constraint_named(view)} AND {_column_of('table_schema', 'table_name', 'column_name')(view)}",
    ),
    "information_schema.referential_constraints": System(
        """constraint_catalog constraint_schema constraint_name unique_constraint_catalog unique_constraint_schema
        unique_constraint_name match_option update_rule delete_rule""",
        _constraint_named,
    ),
}

# Not shown, but comments of roles are looked for by its number, which is the same everywhere.
_NUMBERED = frozenset({"pg_catalog.pg_authid"})

# Shown without rows, because clients ask for them whatever they find elsewhere. None has a column of a catalog-naming
# type: a text compared with one would be looked up, rows or not.
EMPTY = frozenset(
    f"pg_catalog.{name}"
    for name in words("""
    pg_policy pg_trigger pg_rewrite pg_statistic_ext pg_publication pg_publication_rel pg_publication_namespace
    pg_foreign_table pg_foreign_server pg_foreign_data_wrapper pg_sequence pg_depend pg_auth_members
    pg_shdescription pg_seclabel pg_shseclabel pg_event_trigger pg_default_acl pg_policies pg_rules
    pg_db_role_setting pg_user_mappings pg_largeobject_metadata pg_parameter_acl pg_shdepend pg_seclabels
    pg_publication_tables pg_replication_slots pg_locks pg_stat_gssapi
    """)
) | frozenset(
    f"information_schema.{name}"
    for name in words("""
    views routines parameters triggers sequences check_constraints domains table_privileges column_privileges
    role_table_grants role_column_grants view_table_usage view_column_usage element_types
    constraint_table_usage domain_constraints udt_privileges routine_privileges role_routine_grants role_usage_grants
    user_defined_types attributes collations character_sets column_udt_usage
    """)
)
