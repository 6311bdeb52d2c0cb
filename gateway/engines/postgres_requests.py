"""The client's side of a PostgreSQL session: each message becomes what the target gets, and a flow that is due.

Statements go through the gate and leave rewritten; the rest leaves as it came. A refused statement is replaced by one
that no PostgreSQL can parse: the target's own error then comes at the right place in the order, aborts the transaction
that it must abort, and is shown with the gateway's words.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from gateway.admitted import Admitted, Refused
from gateway.engines.postgres_flow import INTERNAL, PLAIN, SYNC, Flow, Names, called_with, with_values
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Permit, Receipt, Statement
from gateway.sql.cache import Judgement, union
from gateway.sql.named import missing
from gateway.sql.postgres.types import NAMING_OIDS, declared
from gateway.sql.said import Said
from gateway.sql.statement import Plan
from gateway.sql.worker import TINY, TINY_LISTED
from gateway.wire import postgres as wire

_POISON = "refused"
"""A statement that no PostgreSQL can parse."""
_UNUSED = b"gateway refused"

_TEXTS = (wire.QUERY, wire.PARSE)
_LONGEST_NAME = 63
_LONG_NAME = "names of prepared statements and portals may have 63 bytes"
_FUNCTION_CALL = "the FunctionCall message is not allowed; call the function in a SELECT"
_REG_TYPE = "a parameter's type looks names up in the catalog; pass the name as text"


class Requests:
    """Turns a client's messages into a target's. `queue` is shared with the relay, which takes flows off its head.

    `held` is the receipt that what was taken last waits for, because it writes; the relay takes it out.
    `skipping` is set by the relay when an error left nothing due: all is dropped until the next Sync, as the target
    does. `pause_s` is how long the next message has to wait, after too many refusals.
    """

    __slots__ = ("_gate", "_inside", "_names", "_number", "_queue", "_repin", "_restore", "held", "pause_s", "skipping")

    def __init__(self, gate: Gate, inside: Admitted, queue: deque[Flow], *, restore: str) -> None:
        self._gate, self._inside, self._queue = gate, inside, queue
        self._number = 0
        self._restore = restore
        self._names = Names()
        inside.names.wire_name = self._wire_name
        self._repin = False
        self.skipping = False
        self.held: Receipt | None = None
        self.pause_s = 0.0

    def take(self, kind: int, body: bytes, out: list[bytes]) -> bool:
        """Append to `out` what the target gets for this message; False at the client's goodbye, and for a pause.

        Raises `GatewayError` for what ends the session.
        """
        if self.skipping and kind not in (wire.SYNC, wire.TERMINATE):
            return True  # as the target does after an error, until the next Sync
        if kind == wire.QUERY:
            self._query(wire.decode_query(body).text, out)
        elif kind == wire.EXECUTE:
            self._execute(wire.decode_execute(body), body, out)
        elif kind == wire.BIND:
            self._bind(wire.decode_bind(body), out)
        elif kind == wire.PARSE:
            self._parse(wire.decode_parse(body), out)
        elif kind == wire.DESCRIBE:
            wire.decode_describe(body)
            self._forward(kind, body, out)
        elif kind == wire.SYNC:
            wire.decode_empty(body, "Sync")
            self.skipping = False
            self._names.synced()
            self._queue.append(SYNC)
            out.append(wire.encode_sync())
            self._repin_now(out)
        elif kind == wire.CLOSE:
            self._close(wire.decode_close(body), body, out)
        elif kind == wire.FLUSH:
            wire.decode_empty(body, "Flush")
            out.append(wire.encode_flush())
        elif kind == wire.TERMINATE:
            return False
        elif kind in (wire.COPY_DATA, wire.COPY_DONE, wire.COPY_FAIL):
            return True  # a target outside COPY FROM ignores these, and the gate admits no COPY FROM
        elif kind == wire.FUNCTION_CALL:
            self._poison(wire.QUERY, self._refuse_call(body), out)
        else:
            raise GatewayError("protocol-violation", f"message type {kind:#04x} is not known", fatal=True)
        return not self.pause_s

    def unstudied(self, kind: int, body: bytes) -> str | None:
        """The statement of a message that has to be studied before its turn; None for nearly all."""
        if kind not in _TEXTS or (len(body) <= TINY and body.count(b";") == 0 and body.count(b",") <= TINY_LISTED):
            return None
        text = wire.decode_query(body).text if kind == wire.QUERY else wire.decode_parse(body).text
        return text if not self.skipping and self._gate.needs_study(self._inside, text) else None

    def unclaimed(self, kind: int, body: bytes) -> Judgement | None:
        """The statement of a message that needs its approval claimed before its turn."""
        if self.skipping or kind not in (wire.QUERY, wire.EXECUTE):
            return None
        judged: Judgement | Refusal | None
        if kind == wire.QUERY:
            judged = self._gate.judge(self._inside, wire.decode_query(body).text)
        else:
            judged = self._names.find(wire.PORTAL, wire.decode_execute(body).portal)
        return judged if isinstance(judged, Judgement) and self._gate.needs_claim(self._inside, judged) else None

    def _statement(self, text: str, protocol: str, parameters: int = 0, max_rows: int = 0) -> Statement:
        """What the client asks, under an id of its own: the session's, and a number."""
        self._number += 1
        return Statement(f"{self._inside.session.id}.{self._number}", text, protocol, parameters, max_rows)

    def _forward(self, kind: int, body: bytes, out: list[bytes]) -> None:
        self._queue.append(PLAIN[kind])
        out.append(wire.frame(kind, body))

    def _close(self, close: wire.Close, body: bytes, out: list[bytes]) -> None:
        if self._is_name(close.name, out):
            self._names.closed(close.kind, close.name)
            self._forward(wire.CLOSE, body, out)

    def _is_name(self, name: bytes, out: list[bytes]) -> bool:
        """Whether the target tells this name from all others; refuse it otherwise."""
        if len(name) > _LONGEST_NAME:
            # FAIL CLOSED: PostgreSQL compares the first 63 bytes only, so two names of ours could be one of its
            self._poison(wire.PARSE, self._refuse("statement-too-complex", _LONG_NAME, "execute"), out)
            return False
        return True

    def _wire_name(self, name: tuple[str, str]) -> Judgement | None:
        """What a name of SQL's may be by what the protocol made."""
        kind, text = name
        return self._names.find(wire.STATEMENT if kind == "statement" else wire.PORTAL, text.encode())

    def _query(self, text: str, out: list[bytes]) -> None:
        self._names.simple_query()
        admitted = self._gate.admit(self._inside, self._statement(text, "simple"))
        if isinstance(admitted, Refused):
            self._poison(wire.QUERY, admitted, out)
            return
        self._queue.append(Flow(wire.QUERY, admitted))
        out.append(wire.encode_query(admitted.text))
        self._hold(admitted)
        if admitted.plan.repin:
            self._repin = True
            if self._settled:
                self._repin_now(out)

    def _parse(self, parse: wire.Parse, out: list[bytes]) -> None:
        if not self._is_name(parse.name, out):
            return
        if not NAMING_OIDS.isdisjoint(parse.types):
            self._poison(
                wire.PARSE, self._refuse("type-not-allowed", _REG_TYPE, "prepare", parse.text), out, parse.name
            )
            return
        admitted = self._gate.prepare(self._inside, self._statement(parse.text, "prepare"))
        if isinstance(admitted, Refused):
            self._poison(wire.PARSE, admitted, out, parse.name)
            return
        permit, judged = admitted
        if parse.types:
            said = judged.said
            said = Said(said.texts, said.subjects, types=parse.types, more=said.more, cut=said.cut)
            judged = Judgement(judged.plan, judged.fields, judged.text, said)
        self._names.set(wire.STATEMENT, parse.name, judged)
        self._queue.append(Flow(wire.PARSE, permit))
        out.append(wire.encode_parse(parse.name, permit.text, declared(parse.types)))

    def _bind(self, bind: wire.Bind, out: list[bytes]) -> None:
        if not self._is_name(bind.portal, out):
            return
        judged = self._meant(wire.STATEMENT, bind.statement)
        if isinstance(judged, Refused):
            self._poison(wire.PARSE, judged, out)
            return
        if bind.nparams:
            judged = with_values(judged, bind.raw, bind.tail)
        self._names.bound(bind.portal, judged, bind.nparams)
        self._forward(wire.BIND, bind.raw, out)

    def _execute(self, execute: wire.Execute, body: bytes, out: list[bytes]) -> None:
        judged = self._meant(wire.PORTAL, execute.portal)
        if isinstance(judged, Refused):
            self._poison(wire.PARSE, judged, out)
            return
        if judged.plan.uses:
            # a portal that was begun goes on with what its names stood for then, whatever becomes of them
            self._keep(execute.portal, judged)
        parameters = self._names.parameters(execute.portal)
        statement = self._statement("", "execute", parameters, execute.max_rows)
        admitted = self._gate.admit(self._inside, statement, judged)
        if isinstance(admitted, Refused):
            self._poison(wire.PARSE, admitted, out)
            return
        flow = Flow(wire.EXECUTE, admitted)
        flow.announced = True  # its notices were shown when it was prepared
        self._queue.append(flow)
        out.append(wire.frame(wire.EXECUTE, body))
        self._hold(admitted)
        self._repin = self._repin or admitted.plan.repin

    def _hold(self, permit: Permit) -> None:
        if permit.plan.writes and not permit.receipt.durable:
            self.held = permit.receipt

    def _keep(self, portal: bytes, judged: Judgement) -> None:
        resolved = self._inside.names.resolve(judged)
        if not isinstance(resolved, Refusal) and self._names.find(wire.PORTAL, portal) is not None:
            # what it searches is counted at each run, from its names
            plan = replace(resolved.plan, raw_uses=judged.plan.raw_uses)
            self._names.set(wire.PORTAL, portal, Judgement(plan, resolved.fields, resolved.text, resolved.said))

    def _meant(self, kind: int, name: bytes) -> Judgement | Refused:
        """All that the protocol's name may stand for: what the protocol made, and what SQL did."""
        judged = self._names.find(kind, name)
        word = "statement" if kind == wire.STATEMENT else "cursor"
        if judged is not None and (word, _text(name)) not in self._inside.names:
            return judged
        defined = self._defined(word, name)
        return defined if judged is None or isinstance(defined, Refused) else union(judged, defined)

    def _defined(self, kind: str, name: bytes) -> Judgement | Refused:
        """What SQL's own PREPARE or DECLARE made of that name; refused when the gate has seen neither."""
        text = _text(name)
        if (kind, text) not in self._inside.names:
            return self._gate.refuse(self._inside, self._statement("", "execute"), missing(kind, text))
        verb = "EXECUTE" if kind == "statement" else "FETCH FROM"
        quoted = text.replace('"', '""')
        verdict = self._gate.judge(self._inside, f'{verb} "{quoted}"')
        if isinstance(verdict, Refusal):
            return self._gate.refuse(self._inside, self._statement("", "execute"), verdict)
        return verdict

    @property
    def _settled(self) -> bool:
        """Whether no message before the next one can make the target skip it."""
        for flow in reversed(self._queue):
            if flow.kind == wire.SYNC:
                return True
            if flow.kind not in (wire.QUERY, INTERNAL):
                return False
        return True

    def failed(self, *, nothing_due: bool) -> None:
        """The target skips to the next Sync; with nothing due until then, so must what the client still sends."""
        self._names.failed()
        self.skipping = nothing_due

    def synced(self) -> None:
        """A Sync was answered."""
        self._names.answered()

    def _refuse(self, code: str, message: str, protocol: str, text: str = "") -> Refused:
        return self._gate.refuse(self._inside, self._statement(text, protocol), Refusal(code, message))

    def _refuse_call(self, body: bytes) -> Refused:
        refusal = Refusal("statement-not-allowed", _FUNCTION_CALL)
        call = Judgement(Plan("", (), (), "", "", ""), {}, "", called_with(body))
        return self._gate.refuse(self._inside, self._statement("", "function-call"), refusal, call)

    def _poison(self, kind: int, refused: Refused, out: list[bytes], name: bytes = _UNUSED) -> None:
        """Let the target fail where the refused message stood; `kind` is QUERY or PARSE.

        A Parse that fails takes an unnamed statement away, so it is unnamed only where the refused message was.
        """
        self._queue.append(Flow(kind, None, refused))
        self.pause_s = self._gate.floods.refused(self._inside.session.principal.id, self._inside.fields)
        out.append(wire.encode_query(_POISON) if kind == wire.QUERY else wire.encode_parse(name, _POISON))

    def _repin_now(self, out: list[bytes]) -> None:
        """After RESET ALL and the like: what the client asked for at start-up is set again, unseen."""
        if self._repin and self._restore:
            self._queue.append(Flow(INTERNAL))
            out.append(wire.encode_query(self._restore))
        self._repin = False


def _text(name: bytes) -> str:
    """A name as SQL knows it; what is not UTF-8 cannot have been made by SQL."""
    return name.decode("utf-8", "replace")
