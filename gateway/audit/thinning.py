"""The copy lets go what its log has let go: of old batches only the hashes stay, so that it can still be verified.

The servers do it themselves, by their own clock and their own setting (`gateway_audit.retention`), and of nothing that
is not under a signed head: whoever has the gateway's role cannot shorten the copy of what is younger.
"""

from __future__ import annotations

import time

from gateway.audit.quorum import Connection, Lost, Refused
from gateway.audit_settings import Replica
from gateway.errors import GatewayError

_CONNECT_S = 5.0
_CALL_S = 60.0


def prune_copy(replica: Replica, origin: str, to: int) -> int:
    """Let the copy's records before `to` go, as far as its servers allow; how many batches. Blocks.

    Raises `GatewayError` ("audit-not-writable"); what went by then is gone, and the next call goes on.
    """
    problem: Lost | Refused = Lost("no server is named")
    for host in replica.hosts:
        try:
            connection = Connection(replica, host, _CONNECT_S)
        except Lost as error:
            problem = error
            continue
        try:
            pruned = 0
            while some := connection.prune(origin, to, time.monotonic() + _CALL_S):
                pruned += some
            return pruned
        except (Lost, Refused) as error:
            problem = error
        finally:
            connection.close()
    raise GatewayError(
        "audit-not-writable",
        "the copy of the audit trail could not be pruned",
        "see that the servers answer and are set up by deploy/postgres/audit-replica.sql; it is tried again each day",
        str(problem),
    )
