"""What the gateway sets on a connection to a target before anything of its client runs there.

INVARIANT: what is written by `sql/tree` means what was proven only under these settings; the client's own SETs never
reach the target as they came, so nothing of a client's undoes one of them.
"""

from __future__ import annotations

import hashlib
import math

from gateway.sql.statement import View
from gateway.sql.tree.mysql_masks import INNER, OUTER
from gateway.sql.tree.writing import string

SQL_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""Neither ANSI_QUOTES nor PIPES_AS_CONCAT nor NO_BACKSLASH_ESCAPES: each would give a text another meaning."""
_BLOCK = 64
CIPHER, VERSION = "@gateway_tls_cipher", "@gateway_tls_version"
"""The client's own TLS, which is with the gateway: SHOW STATUS tells it."""


def session_statements(view: View, key: bytes, tls: tuple[str, str] = ("", "")) -> tuple[str, ...]:
    """The statements, in order. `key` is that of what masks make up, see `policy.masks.derive_key`.

    `tls` is the cipher and the version of the client's connection.
    """
    seconds = view.policy.limits.statement_timeout_ms / 1000
    limit = (
        f"SET SESSION max_statement_time = {seconds:.3f}"
        if view.policy.dialect == "mariadb"
        else f"SET SESSION max_execution_time = {view.policy.limits.statement_timeout_ms:d}"
    )
    # MariaDB would cut a recursion off without an error, and its warnings are not shown: the time limit ends it
    depth = "max_recursive_iterations" if view.policy.dialect == "mariadb" else "cte_max_recursion_depth"
    block = key.ljust(_BLOCK, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in block).hex() for pad in (0x36, 0x5C))
    return (
        "SET NAMES utf8mb4",
        f"SET SESSION sql_mode = '{SQL_MODE}'",
        f"SET SESSION TRANSACTION READ {'WRITE' if view.write else 'ONLY'}",
        "SET SESSION autocommit = 1",
        limit,
        f"SET SESSION {depth} = 4294967295",
        f"SET SESSION innodb_lock_wait_timeout = {max(1, math.ceil(seconds))}",
        "SET SESSION sql_select_limit = DEFAULT",
        "SET SESSION group_concat_max_len = 1048576",
        f"SET {INNER} = '{inner}', {OUTER} = '{outer}'",
        f"SET {CIPHER} = {string(tls[0])}, {VERSION} = {string(tls[1])}",
    )


def fingerprint(text: str) -> str:
    """Sixteen hexadecimal digits that stand for a normalised text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
