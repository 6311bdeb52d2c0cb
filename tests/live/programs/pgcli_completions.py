"""What pgcli learns for its completions, asked by its own code: by name, as one line of JSON."""

from __future__ import annotations

import json
import os

from pgcli.pgexecute import PGExecute

given = json.loads(os.environ["JOURNEY"])
# As pgcli makes it: a keyword that is empty is one that it does not send.
asker = PGExecute(
    given["dbname"], given["user"], given["password"], given["host"], given["port"], "",
    sslmode=given["sslmode"], sslrootcert=given["sslrootcert"],
)  # fmt: skip
told = {
    "search path": asker.search_path(),
    "schemata": asker.schemata(),
    "tables": [list(one) for one in asker.tables()],
    "views": [list(one) for one in asker.views()],
    "columns": [[one[1], one[2]] for one in asker.table_columns()],
    "view columns": [list(one) for one in asker.view_columns()],
    "databases": asker.databases(),
    "full databases": [list(one) for one in asker.full_databases()[1]],
    "keys": sorted({one.childtable for one in asker.foreignkeys()}),
    "datatypes": [list(one) for one in asker.datatypes()],
    "functions": sorted({one.func_name for one in asker.functions() if one.schema_name == "pg_catalog"})[:5],
    "casing": sorted(asker.casing())[:3],
    "server": asker.server_version.split(".")[0],
    "is superuser": asker.superuser,
}
print(json.dumps(told, default=str))
