"""The catalog of a target, read into a snapshot.

The backend role runs the queries of `catalog_queries`; everything is qualified and no row of a table is read.
Specification: PostgreSQL manual, chapter 53 (system catalogs), versions 13 to 18.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.sql.catalog import Catalog, Column, Index, Reference, Relation, Unique

_LASTING = "n.nspname !~ '^pg_(toast|temp)'"
_OUTSIDE = f"n.nspname NOT IN ('pg_catalog', 'information_schema') AND {_LASTING}"
# Each table with each one that it inherits from, itself among them.
_TREE = """tree(oid, top) AS (
            SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p')
            UNION
            SELECT i.inhrelid, t.top FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.oid
        )"""
# The columns that a stored expression reads; 0 is the whole row.
_IS_READ = "(a.attnum = m.found[1]::pg_catalog.int2 OR (m.found[1] = '0' AND a.attnum > 0)) AND NOT a.attisdropped"


def _read(tree: str) -> str:
    return f"pg_catalog.regexp_matches({tree}, ':varattno (-?[0-9]+)', 'g') AS m(found)"


_QUERIES = {
    "version": "SELECT pg_catalog.current_setting('server_version_num')",
    # One row a live column; a relation without columns has one row of nulls.
    "columns": f"""
        WITH RECURSIVE base(oid, root) AS (
            SELECT t.oid, t.oid FROM pg_catalog.pg_type t WHERE t.typtype <> 'd'
            UNION ALL
            SELECT t.oid, b.root FROM pg_catalog.pg_type t JOIN base b ON t.typtype = 'd' AND t.typbasetype = b.oid
        )
        SELECT n.nspname, c.relname, c.oid::pg_catalog.int8, c.relkind::pg_catalog.text, a.attname,
               a.attnum::pg_catalog.int4, pg_catalog.format_type(a.atttypid, a.atttypmod),
               tn.nspname, r.typname, e.typname,
               rn.nspname,
               r.typcategory::pg_catalog.text, a.attnotnull
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
        LEFT JOIN base b ON b.oid = t.oid
        LEFT JOIN pg_catalog.pg_type r ON r.oid = b.root
        LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.typnamespace
        LEFT JOIN pg_catalog.pg_type e ON e.oid = r.typelem AND r.typcategory = 'A'
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OUTSIDE}
        ORDER BY n.nspname, c.relname, a.attnum""",  # noqa: S608 - no text from outside
    "operators": """
        SELECT DISTINCT o.oprname FROM pg_catalog.pg_operator o
        JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
        WHERE n.nspname <> 'pg_catalog' AND o.oprleft < 16384 AND o.oprright < 16384""",
    "functions": """
        SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proargtypes) AS x(oid) WHERE x.oid >= 16384)""",
    "casts": """
        SELECT s.typname, t.typname FROM pg_catalog.pg_cast c
        JOIN pg_catalog.pg_type s ON s.oid = c.castsource
        JOIN pg_catalog.pg_type t ON t.oid = c.casttarget
        WHERE c.oid >= 16384 AND s.oid < 16384 AND t.oid < 16384""",
    "types": f"""
        SELECT n.nspname, t.typname FROM pg_catalog.pg_type t
        JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        WHERE {_OUTSIDE}""",  # noqa: S608
    "parents": """
        SELECT DISTINCT n.nspname, c.relname FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class c ON c.oid = i.inhparent
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace""",
    # One row a column that takes part; a column of the key as it is, compared for equality, says so.
    "uniques": f"""
        WITH RECURSIVE {_TREE}, part(index, top, attnum, is_key) AS (
            SELECT x.indexrelid, t.top, k.attnum, k.place <= x.indnkeyatts AND (NOT x.indisexclusion OR EXISTS (
                SELECT FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_operator o ON o.oid = f.conexclop[k.place]
                WHERE f.conindid = x.indexrelid AND f.contype = 'x' AND o.oprname = '='))
            FROM pg_catalog.pg_index x JOIN tree t ON t.oid = x.indrelid
            CROSS JOIN LATERAL pg_catalog.unnest(x.indkey) WITH ORDINALITY AS k(attnum, place)
            WHERE x.indisunique OR x.indisexclusion
            UNION
            SELECT x.indexrelid, t.top, a.attnum, false
            FROM pg_catalog.pg_index x JOIN tree t ON t.oid = x.indrelid
            CROSS JOIN LATERAL {_read("pg_catalog.concat(x.indexprs, x.indpred)")}
            JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND {_IS_READ}
            WHERE x.indisunique OR x.indisexclusion
        )
        SELECT n.nspname, c.relname, p.index::pg_catalog.int8, a.attname, pg_catalog.bool_or(p.is_key)
        FROM part p JOIN pg_catalog.pg_class c ON c.oid = p.top
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_index x ON x.indexrelid = p.index
        JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = p.attnum AND p.attnum <> 0
        WHERE {_OUTSIDE}
        GROUP BY 1, 2, 3, 4""",  # noqa: S608
    # For each end also what it inherits from; PostgreSQL itself keeps a key for each part of what is referred to.
    "references": f"""
        WITH RECURSIVE {_TREE}
        SELECT n.nspname, c.relname, f.oid::pg_catalog.int8, k.place::pg_catalog.int4, a.attname,
               m.nspname, o.relname, b.attname, f.confdeltype::pg_catalog.text,
               u.top <> f.confrelid OR EXISTS (SELECT FROM pg_catalog.pg_constraint g
                   WHERE g.oid = f.conparentid AND g.conrelid = f.conrelid)
        FROM pg_catalog.pg_constraint f JOIN tree t ON t.oid = f.conrelid JOIN tree u ON u.oid = f.confrelid
        JOIN pg_catalog.pg_class c ON c.oid = t.top JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_class o ON o.oid = u.top JOIN pg_catalog.pg_namespace m ON m.oid = o.relnamespace
        CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey))
            WITH ORDINALITY AS k(mine, theirs, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.mine
        JOIN pg_catalog.pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.theirs
        WHERE f.contype = 'f' AND {_OUTSIDE}
        ORDER BY 3, 4""",  # noqa: S608
    # Whatever is evaluated for a new row, and may fail: one row a column that it reads.
    "checks": f"""
        WITH RECURSIVE {_TREE}, part(relation, name, tree) AS (
            SELECT f.conrelid, pg_catalog.concat('c', f.oid), f.conbin::pg_catalog.text
            FROM pg_catalog.pg_constraint f WHERE f.contype = 'c'
            UNION ALL
            SELECT x.indrelid, pg_catalog.concat('i', x.indexrelid), pg_catalog.concat(x.indexprs, x.indpred)
            FROM pg_catalog.pg_index x
            UNION ALL
            SELECT p.partrelid, 'p', pg_catalog.concat(p.partexprs, (SELECT pg_catalog.string_agg(
                pg_catalog.concat(':varattno ', k.attnum, ' '), '') FROM pg_catalog.unnest(p.partattrs) AS k(attnum)
                WHERE k.attnum <> 0))
            FROM pg_catalog.pg_partitioned_table p
            UNION ALL
            SELECT p.polrelid, pg_catalog.concat('r', p.oid), coalesce(p.polwithcheck, p.polqual)::pg_catalog.text
            FROM pg_catalog.pg_policy p
        )
        SELECT DISTINCT n.nspname, c.relname, pg_catalog.concat(p.name, ' ', p.relation), a.attname
        FROM part p JOIN tree t ON t.oid = p.relation
        JOIN pg_catalog.pg_class c ON c.oid = t.top JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL {_read("p.tree")}
        JOIN pg_catalog.pg_attribute a ON a.attrelid = p.relation AND {_IS_READ}
        WHERE {_OUTSIDE}""",  # noqa: S608
    "generated": f"""
        WITH RECURSIVE {_TREE}
        SELECT DISTINCT n.nspname, c.relname, g.attname, a.attname
        FROM pg_catalog.pg_attribute g JOIN pg_catalog.pg_attrdef d ON d.adrelid = g.attrelid AND d.adnum = g.attnum
        JOIN tree t ON t.oid = g.attrelid
        JOIN pg_catalog.pg_class c ON c.oid = t.top JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL {_read("d.adbin::pg_catalog.text")}
        JOIN pg_catalog.pg_attribute a ON a.attrelid = g.attrelid AND {_IS_READ}
        WHERE g.attgenerated <> '' AND {_OUTSIDE}""",  # noqa: S608
    "ruled": f"""
        WITH RECURSIVE {_TREE}
        SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND {_OUTSIDE} AND (c.relhasrules OR EXISTS (
            SELECT FROM tree t JOIN pg_catalog.pg_class f ON f.oid = t.oid
            WHERE t.top = c.oid AND f.relkind NOT IN ('r', 'p')))""",  # noqa: S608
    # One row a column; PostgreSQL's own have one row of null.
    "indexes": f"""
        SELECT n.nspname, c.relname, i.relname, a.attname, x.indexrelid < 16384
        FROM pg_catalog.pg_index x
        JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_attribute a
               ON a.attrelid = c.oid AND a.attnum = ANY (x.indkey) AND x.indexrelid >= 16384
        WHERE x.indexprs IS NULL AND x.indpred IS NULL AND {_LASTING}
        ORDER BY 1, 2, 3, a.attnum""",  # noqa: S608
    # Whatever `a.name` could call or cast to; true for what takes a row (its argument's type is a pseudo-type).
    "calls": f"""
        SELECT p.proname, pg_catalog.bool_or(t.typtype = 'p') FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
        WHERE p.pronargs - p.pronargdefaults <= 1 OR (p.provariadic <> 0 AND p.pronargs - p.pronargdefaults <= 2)
        GROUP BY 1
        UNION ALL
        SELECT t.typname, false FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        WHERE {_LASTING}
        GROUP BY 1""",  # noqa: S608
}


def catalog_queries() -> dict[str, str]:
    """The queries whose rows `catalog_from_rows` reads, by name."""
    return dict(_QUERIES)


def load_catalog(fetch: Callable[[str], list[tuple[Any, ...]]]) -> Catalog:
    """The snapshot, given something that runs a query as the backend role and returns its rows."""
    return catalog_from_rows({name: fetch(sql) for name, sql in _QUERIES.items()})


def catalog_from_rows(rows: Mapping[str, Sequence[tuple[Any, ...]]]) -> Catalog:
    """The snapshot from the rows of every query of `catalog_queries`."""
    relations: dict[str, Relation] = {}
    found: dict[tuple[str, str, int, str], list[Column]] = {}
    for (
        schema,
        name,
        oid,
        kind,
        attname,
        number,
        kind_of,
        type_schema,
        root,
        element,
        root_schema,
        category,
        not_null,
    ) in rows["columns"]:
        columns = found.setdefault((schema, name, int(oid), kind), [])
        if attname is None:
            continue
        written = str(kind_of)
        if type_schema not in {"pg_catalog", None} and not _begins_with_schema(written, type_schema):
            written = f"{type_schema}.{written}"
        base = f"{element}[]" if element is not None else str(root)
        if root_schema not in {"pg_catalog", None}:
            base = f"{root_schema}.{root}"
        columns.append(Column(str(attname), int(number), written, base, str(category), bool(not_null)))
    for (schema, name, oid, kind), columns in found.items():
        relation = Relation(schema, name, oid, kind, tuple(columns))
        relations[relation.qualified] = relation
    version = rows["version"][0][0] if rows["version"] else 0
    return Catalog(
        relations=relations,
        operators=frozenset(str(row[0]) for row in rows["operators"]),
        functions=frozenset(str(row[0]) for row in rows["functions"]),
        casts=frozenset((str(row[0]), str(row[1])) for row in rows["casts"]),
        types=frozenset(f"{row[0]}.{row[1]}" for row in rows["types"]),
        calls=frozenset(str(row[0]) for row in rows["calls"]),
        row_calls=frozenset(str(row[0]) for row in rows["calls"] if row[1]),
        parents=frozenset(f"{row[0]}.{row[1]}" for row in rows["parents"]),
        server_version=int(version),
        uniques=_uniques(rows["uniques"]),
        references=_references(rows["references"]),
        checks=frozenset((relation, columns) for relation, _, columns in _read_by(rows["checks"])),
        generated=_read_by(rows["generated"]),
        ruled=frozenset(f"{row[0]}.{row[1]}" for row in rows["ruled"]),
        indexes=_indexes(rows["indexes"]),
    )


def _indexes(rows: Sequence[tuple[Any, ...]]) -> frozenset[Index]:
    found: dict[tuple[str, str, bool], list[str]] = {}
    for schema, name, index, column, own in rows:
        columns = found.setdefault((f"{schema}.{name}", str(index), own in (True, "t")), [])
        if column is not None:
            columns.append(str(column))
    return frozenset(Index(relation, name, tuple(columns), own) for (relation, name, own), columns in found.items())


def _uniques(rows: Sequence[tuple[Any, ...]]) -> frozenset[Unique]:
    found: dict[tuple[str, int], list[tuple[str, bool]]] = {}
    for schema, name, index, column, is_key in rows:
        found.setdefault((f"{schema}.{name}", int(index)), []).append((str(column), is_key in (True, "t")))
    return frozenset(
        Unique(relation, tuple(sorted(name for name, _ in parts)), tuple(sorted(name for name, key in parts if key)))
        for (relation, _), parts in found.items()
    )


def _references(rows: Sequence[tuple[Any, ...]]) -> frozenset[Reference]:
    found: dict[tuple[int, str, str, str, bool], list[tuple[str, str]]] = {}
    for schema, name, constraint, _, column, other_schema, other, other_column, on_delete, partly in rows:
        ends = f"{schema}.{name}", f"{other_schema}.{other}"
        key = (int(constraint), *ends, str(on_delete), partly in (True, "t"))
        found.setdefault(key, []).append((str(column), str(other_column)))
    return frozenset(
        Reference(
            relation, tuple(mine for mine, _ in pairs), other, tuple(theirs for _, theirs in pairs), on_delete, partly
        )
        for (_, relation, other, on_delete, partly), pairs in found.items()
    )  # fmt: skip


def _read_by(rows: Sequence[tuple[Any, ...]]) -> frozenset[tuple[str, str, tuple[str, ...]]]:
    """Relations, what reads columns of theirs, and these columns."""
    found: dict[tuple[str, str], list[str]] = {}
    for schema, name, reader, column in rows:
        found.setdefault((f"{schema}.{name}", str(reader)), []).append(str(column))
    return frozenset((relation, reader, tuple(sorted(columns))) for (relation, reader), columns in found.items())


def _begins_with_schema(written: str, schema: str) -> bool:
    return written.startswith((f"{schema}.", f'"{schema}".'))
