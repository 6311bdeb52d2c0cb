"""Session tracking: what an OK packet says of a session's state that changed.

MySQL Source Code Documentation, "OK_Packet", "Session State Information", `enum_session_state_type`. Read whole, and
written again only where a client may know it: transaction identifiers tell what others do, and variables can hold
anything.

INVARIANT: what is not on the allow-list does not reach a client.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from gateway.wire.mysql.base import Reader, lenenc_bytes, unsupported, violation


class Tracked(IntEnum):
    """Kinds of state. `TRANSACTION_…` and `GTIDS` come only where a session asked for them."""

    SYSTEM_VARIABLES = 0
    SCHEMA = 1
    STATE_CHANGE = 2
    GTIDS = 3
    TRANSACTION_CHARACTERISTICS = 4
    TRANSACTION_STATE = 5


class Change(NamedTuple):
    """One change: `name` is a variable's, and empty for the other kinds; `value` is the new one."""

    kind: Tracked
    value: bytes
    name: bytes = b""


CLIENT_KINDS: Final = frozenset({Tracked.SYSTEM_VARIABLES, Tracked.SCHEMA, Tracked.STATE_CHANGE})
"""What a client may be told of."""
CLIENT_VARIABLES: Final = frozenset(
    {
        b"autocommit",
        b"character_set_client",
        b"character_set_connection",
        b"character_set_results",
        b"time_zone",
        b"sql_mode",
        b"transaction_isolation",
        b"tx_isolation",
    }
)
"""The variables whose changes a client may be told: those that it may set, and that its driver goes by."""
MAX_CHANGES: Final = 256

_KINDS: Final = {int(kind): kind for kind in Tracked}


def parse_changes(data: bytes) -> tuple[Change, ...]:
    """The changes that an OK packet's last field tells.

    Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for a kind that is not known.
    """
    reader = Reader(data, "session state")
    changes: list[Change] = []
    while reader.left:
        kind = _KINDS.get(code := reader.number(1))
        if kind is None:
            raise unsupported(f"a change of session state of kind {code} is not supported")
        entry = Reader(reader.string(), "session state")
        if kind == Tracked.SYSTEM_VARIABLES:
            # MariaDB puts several into one entry
            while entry.left and len(changes) <= MAX_CHANGES:
                name = entry.string()
                changes.append(Change(kind, entry.string(), name))
        elif kind == Tracked.GTIDS:
            if entry.number(1):
                raise violation("transaction identifiers come in an unknown form")
            changes.append(Change(kind, entry.string()))
        else:
            changes.append(Change(kind, entry.string()))
        if len(changes) > MAX_CHANGES:
            raise violation("too many changes of session state at once")
        entry.end()
    return tuple(changes)


def encode_changes(changes: Sequence[Change]) -> bytes:
    """The last field of an OK packet."""
    parts = []
    for change in changes:
        entry = lenenc_bytes(change.value)
        if change.kind == Tracked.SYSTEM_VARIABLES:
            entry = lenenc_bytes(change.name) + entry
        elif change.kind == Tracked.GTIDS:
            entry = b"\0" + entry
        parts.append(bytes((change.kind,)) + lenenc_bytes(entry))
    return b"".join(parts)


def for_client(
    changes: Sequence[Change], variables: Collection[bytes] = CLIENT_VARIABLES, schema: bytes | None = None
) -> tuple[Change, ...]:
    """The changes that a client may be told, with `schema` in the place of the target's own name where it is given."""
    told = []
    for change in changes:
        if change.kind not in CLIENT_KINDS:
            continue
        if change.kind == Tracked.SYSTEM_VARIABLES and change.name.lower() not in variables:
            continue
        if change.kind == Tracked.SCHEMA and schema is not None:
            told.append(Change(Tracked.SCHEMA, schema))
        else:
            told.append(change)
    return tuple(told)
