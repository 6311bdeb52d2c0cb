"""One connection to the PostgreSQL servers that keep a copy of the log, and what may be asked of them.

The protocol is spoken through libpq without blocking, so that every wait has an end of ours: a frozen server, a commit
that no standby acknowledges and a connection that leads nowhere look alike, and are over when the time is.

INVARIANT: a commit counts when its command completed without a single notice. PostgreSQL says so with a warning when a
commit was made on the primary alone (its wait was cancelled, or the server is going down), and completes it. It says
nothing when the setting that commits wait by was taken away: so a commit counts only when the server is asked again
afterwards and has read no other configuration since.
"""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from gateway.audit.tree import leaf_hash
from gateway.audit_settings import Replica

APPEND = b"SELECT gateway_audit.append($1, $2, $3, $4, $5, $6)"
CONFIRM = b"SELECT gateway_audit.confirm($1, $2, $3)"
APPEND_HASHES = b"SELECT gateway_audit.append_hashes($1, $2, $3, $4, $5, $6)"
SIGN = b"SELECT gateway_audit.sign($1, $2, $3)"
KEEP = b"SELECT extract(epoch FROM keep)::bigint FROM gateway_audit.retention"
PRUNE = b"SELECT gateway_audit.prune($1, $2)"
CHECK = b"SELECT gateway_audit.check_quorum()"
HEAD = b"SELECT size, root, note FROM gateway_audit.heads WHERE origin = $1"
BATCHES = (
    b"SELECT first, size, root, leaves, hashes FROM gateway_audit.batches WHERE origin = $1 AND first >= $2"
    b" ORDER BY first LIMIT 64"
)

_TEXT, _BIGINT, _BYTEA = 25, 20, 17
_ANSWERS = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})


class Lost(Exception):
    """Nobody knows what became of what was asked: the connection broke, the time was over, or a commit came with a
    notice. The message is for operators.
    """


class Refused(Exception):
    """A server answered with an error. `sqlstate` is its code."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Head:
    """Where the copy of a log ends: how many records, the root of their tree, and the newest signed head."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Row:
    """One batch of the copy; without `leaves` where they were pruned, of which the `hashes` are left."""

    first: int
    size: int
    root: bytes
    leaves: tuple[bytes, ...]
    hashes: tuple[bytes, ...]


class Connection:
    """A connection to one server, which takes writes unless `writing` is false. For one thread at a time."""

    def __init__(self, replica: Replica, host: str, timeout_s: float, *, writing: bool = True) -> None:
        """Raises `Lost`."""
        name, _, port = host.rpartition(":")
        options = {
            "host": name.strip("[]"), "port": port, "dbname": replica.database, "user": replica.user,
            "password": replica.password.read().decode(),
            "application_name": "gateway audit", "gssencmode": "disable",
            "target_session_attrs": "read-write" if writing else "any",
            "sslmode": "verify-full" if replica.tls == "verify-full" else "disable",
            "options": "-c statement_timeout=0 -c lock_timeout=0 -c client_min_messages=notice",
            "client_encoding": "utf8",
        }  # fmt: skip
        if replica.tls == "verify-full":
            options["sslrootcert"] = (
                str(replica.ca) if replica.ca else ssl.get_default_verify_paths().cafile or "system"
            )
            options["ssl_min_protocol_version"] = "TLSv1.2"
        self._notices: list[str] = []
        self._pgconn = _reached(make_conninfo("", **options).encode(), host, time.monotonic() + timeout_s)
        self._pgconn.notice_handler = lambda result: self._notices.append(_primary(result))
        self._pgconn.nonblocking = 1

    def close(self) -> None:
        """Close it, whatever it is doing."""
        self._pgconn.finish()

    def head(self, origin: str, until: float) -> Head | None:
        """Where the copy of that log ends. Raises `Lost` and `Refused`."""
        rows = self._ask(HEAD, [(_TEXT, origin.encode())], until)
        if not rows:
            return None
        size, root, note = rows[0]
        return Head(int.from_bytes(size, "big"), root, note.decode())

    def append(self, origin: str, before: Head, after: Head, leaves: bytes, until: float) -> None:
        """Add a batch, acknowledged by a quorum when this returns. Raises `Lost` and `Refused`."""
        self._commit(APPEND, _step(origin, before, after, leaves), until)

    def append_hashes(self, origin: str, before: Head, after: Head, hashes: bytes, until: float) -> None:
        """The same for records that are gone, to a copy that has none. Raises `Lost` and `Refused`."""
        self._commit(APPEND_HASHES, _step(origin, before, after, hashes), until)

    def confirm(self, origin: str, head: Head, until: float) -> None:
        """Have a quorum acknowledge all up to that head. Raises `Lost` and `Refused`."""
        facts = [(_TEXT, origin.encode()), (_BIGINT, _eight(head.size)), (_BYTEA, head.root)]
        self._commit(CONFIRM, facts, until)

    def sign(self, origin: str, size: int, note: str, until: float) -> None:
        """Keep a signed head. Raises `Lost` and `Refused`."""
        self._asked(SIGN, [(_TEXT, origin.encode()), (_BIGINT, _eight(size)), (_TEXT, note.encode())], until)

    def prune(self, origin: str, to: int, until: float) -> int:
        """Let the records of some batches before `to` go; of how many, zero at the end. Raises `Lost` and `Refused`."""
        return int.from_bytes(self._ask(PRUNE, [(_TEXT, origin.encode()), (_BIGINT, _eight(to))], until)[0][0], "big")

    def check(self, until: float) -> None:
        """Ask whether a commit would wait for another server. Raises `Lost`, and `Refused` if not."""
        self._ask(CHECK, [], until)

    def keeps_s(self, until: float) -> int:
        """How many seconds the servers keep records at least. Raises `Lost` and `Refused`."""
        rows = self._ask(KEEP, [], until)
        if not rows:
            raise Refused("02000", "gateway_audit.retention is empty: nothing of the copy is ever pruned")
        return int.from_bytes(rows[0][0], "big", signed=True)

    def batches(self, origin: str, first: int, timeout_s: float) -> Iterator[Row]:
        """The batches from there on. Raises `Lost`, `Refused`, and `ValueError` for one that cannot be read."""
        while True:
            facts = [(_TEXT, origin.encode()), (_BIGINT, _eight(first))]
            found = self._ask(BATCHES, facts, time.monotonic() + timeout_s)
            for begin, size, root, packed_leaves, left in found:
                leaves = unpacked(packed_leaves)
                hashes = tuple(map(leaf_hash, leaves)) or tuple(left[at : at + 32] for at in range(0, len(left), 32))
                row = Row(int.from_bytes(begin, "big"), int.from_bytes(size, "big"), root, leaves, hashes)
                yield row
                first = row.size
            if not found:
                return

    def _commit(self, sql: bytes, facts: list[tuple[int, bytes]], until: float) -> None:
        """Call what says which configuration it ran under, and see that it is in force still."""
        before = self._asked(sql, facts, until)
        # FAIL CLOSED: what a commit waits by can have been taken away while it waited, and put back
        if self._ask(CHECK, [], until) != before:
            raise Lost("the server's configuration was read again during the commit")

    def _asked(self, sql: bytes, facts: list[tuple[int, bytes]], until: float) -> list[list[bytes]]:
        self._notices.clear()
        rows = self._ask(sql, facts, until)
        if self._notices:
            raise Lost(f"the commit came with a notice: {self._notices[0]}")
        return rows

    def _ask(self, sql: bytes, facts: list[tuple[int, bytes]], until: float) -> list[list[bytes]]:
        pgconn = self._pgconn
        try:
            pgconn.send_query_params(
                sql, [value for _, value in facts], [kind for kind, _ in facts], [1] * len(facts), 1
            )
            while pgconn.flush():
                self._wait(until, writing=True)
            answers = []
            while True:
                while pgconn.is_busy():
                    self._wait(until)
                    pgconn.consume_input()
                result = pgconn.get_result()
                if result is None:
                    break
                answers.append(result)
        except psycopg.Error as error:
            raise Lost(_first_line(error)) from error
        for result in answers:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
                message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
                if not sqlstate or sqlstate[:2] in ("08", "57"):
                    raise Lost(f"{sqlstate}: {message}")
                raise Refused(sqlstate, message)
            if result.status not in _ANSWERS:
                raise Lost(f"an answer of an unknown kind ({result.status})")
        last = answers[-1]
        return [[last.get_value(row, column) or b"" for column in range(last.nfields)] for row in range(last.ntuples)]

    def _wait(self, until: float, *, writing: bool = False) -> None:
        socket, left = self._pgconn.socket, until - time.monotonic()
        # not select(): the number of a socket is above what that can take where there are a thousand clients
        waiting = select.poll()
        waiting.register(socket, select.POLLIN | (select.POLLOUT if writing else 0))
        if left <= 0 or not waiting.poll(left * 1_000):
            raise Lost("there was no answer in time")
        if writing:
            self._pgconn.consume_input()


def _reached(conninfo: bytes, host: str, until: float) -> pq.abc.PGconn:
    """A connection that is ready, made within our own time: libpq's own limit is whole seconds, two at the least."""
    pgconn = pq.PGconn.connect_start(conninfo)
    try:
        while True:
            state = pgconn.connect_poll()
            if state == pq.PollingStatus.OK:
                return pgconn
            if state == pq.PollingStatus.FAILED:
                raise Lost(f"{host}: {_first_line(pgconn.error_message.decode(errors='replace'))}")
            waiting = select.poll()
            waiting.register(pgconn.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
            left = until - time.monotonic()
            if left <= 0 or not waiting.poll(left * 1_000):
                raise Lost(f"{host}: there was no answer in time")
    except BaseException:
        pgconn.finish()
        raise


def _primary(result: pq.abc.PGresult) -> str:
    return (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")


def packed(leaves: list[bytes]) -> bytes:
    """Leaves as one value: each behind its length, four bytes, big-endian."""
    return b"".join(piece for leaf in leaves for piece in (len(leaf).to_bytes(4, "big"), leaf))


def unpacked(data: bytes) -> tuple[bytes, ...]:
    """What `packed` was given. Raises `ValueError`."""
    leaves, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        leaf = data[at + 4 : at + 4 + length]
        if len(leaf) != length:
            raise ValueError("a batch of the copy is cut off")
        leaves.append(leaf)
        at += 4 + length
    return tuple(leaves)


def _step(origin: str, before: Head, after: Head, content: bytes) -> list[tuple[int, bytes]]:
    return [
        (_TEXT, origin.encode()), (_BIGINT, _eight(before.size)), (_BYTEA, before.root),
        (_BIGINT, _eight(after.size)), (_BYTEA, after.root), (_BYTEA, content),
    ]  # fmt: skip


def _eight(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _first_line(error: Exception | str) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
