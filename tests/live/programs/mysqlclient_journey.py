"""mysqlclient (MySQLdb) against the running gateway: what it finds, by name, as one line of JSON.

Given in the environment: `JOURNEY`, with `connect`, a `query` and the texts that are `refused`.
"""

from __future__ import annotations

import json
import os

import MySQLdb
from MySQLdb.constants import CLIENT
from MySQLdb.cursors import SSCursor

given = json.loads(os.environ["JOURNEY"])
connection = MySQLdb.connect(**given["connect"], client_flag=CLIENT.MULTI_STATEMENTS)
told = {"refused": []}
cursor = connection.cursor()
cursor.execute(given["query"], (0,))
told["rows"] = [[str(value) for value in row] for row in cursor.fetchall()]
for text in given["refused"]:
    try:
        cursor.execute(text)
    except MySQLdb.Error as error:
        told["refused"].append(list(error.args))
streaming = connection.cursor(SSCursor)
streaming.execute("select id, email from employees")
told["streamed"] = sum(1 for _ in streaming)
streaming.close()
cursor = connection.cursor()
cursor.execute("select 1; select 2")
told["several"] = [list(cursor.fetchone())]
cursor.nextset()
told["several"].append(list(cursor.fetchone()))
connection.select_db(given["connect"]["database"])
connection.commit()
connection.rollback()
connection.autocommit(True)
connection.ping()
cursor = connection.cursor()
cursor.execute("select database()")
told["database"] = cursor.fetchone()[0]
told["warnings"] = [list(one) for one in connection.show_warnings()]
cursor.execute("select 1")
told["after"] = cursor.fetchone()[0]
connection.close()
print(json.dumps(told))
