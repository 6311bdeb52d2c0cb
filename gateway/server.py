"""Puts the parts together: the only module that knows which implementation stands behind which port.

Order of a start: configuration, trail (recovered), store, sources, access, targets, gate, listeners. A part that
cannot start stops the start, with its reason; a target that cannot be reached does not: it is missing until it can.
Order of a stop: no new clients, running statements end, sessions are cut, the trail closes last.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import __version__
from gateway.access.directory.opening import logins_of, serve_directory, work_of
from gateway.access.masters import Masters, Rekeying, open_masters, read_masters
from gateway.access.service import Access, AccessSettings
from gateway.access.tickets.room import TicketRoom
from gateway.admitted import Claims, Windows
from gateway.alerts.alerting import Alerting
from gateway.alerts.engine import Event
from gateway.audit.checkpoint import Signer, create_signer, load_signer
from gateway.audit.log import FileLog
from gateway.audit.opening import open_search
from gateway.audit.rotation import load_next_signer, settle_keys
from gateway.budgets import Budgets
from gateway.config import Config
from gateway.console.app import create_app, create_local_app
from gateway.console.ops import create_ops_app
from gateway.console.serve import CIPHERS, local_socket, serve_app
from gateway.custody.custody import Custody
from gateway.engines import http_statements
from gateway.engines.doors import Doors
from gateway.engines.http_serving import HttpServing
from gateway.engines.mysql import MysqlEngine
from gateway.engines.mysql_preview import MysqlPreview
from gateway.engines.postgres import PostgresEngine
from gateway.engines.postgres_preview import PostgresPreview
from gateway.engines.targets import Targets
from gateway.errors import GatewayError, Refusal
from gateway.exports.orders import orders_of
from gateway.exports.supervisor import Exports
from gateway.ledger import Ledger
from gateway.lineage import Resets, last_known
from gateway.listening import bound, certificate_binding, database_context, postgres_context, reachable
from gateway.literals.service import Literals
from gateway.model import Preview, Session, Write
from gateway.quick.opening import open_shared
from gateway.sql.cache import PlanCache
from gateway.sql.rooms import analyse, free_literals, judged, normalise, telling
from gateway.sql.worker import Workers, is_short
from gateway.store.opening import open_store
from gateway.telemetry import Log, Metrics, way_to
from gateway.traced import make_gate, traced_doors
from gateway.tracing import Tracer, tracer_of

if TYPE_CHECKING:
    from gateway.quick.shared import Shared

DRAIN_S = 20.0
_QUIET = 500
"""Records a second up to which the audit index follows at once: beyond, statements need the time more."""
_REQUESTS = "requests"
"""Whose turn the statements of requests take in the workers: they wait for one another."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the gateway answers, once it does (a configured port of 0 has become a real one)."""

    postgres: int
    api: int
    ops: int
    mysql: int = 0


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


class Server:
    """One gateway process. `start`, then `wait`, then `stop`; the attributes are for the parts beside it (the demo)."""

    def __init__(self, config: Config, log: Log) -> None:
        self.config, self.log = config, log
        self.metrics = Metrics()
        self.ports = Ports(0, 0, 0)
        self.tracer: Tracer | None = None
        self.failed = False
        self.shared: Shared | None = None
        self._ended = asyncio.Event()
        self._stop_serving = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []

    async def start(self) -> None:
        """Start every part. Raises `GatewayError` with the reason when one cannot."""
        config = self.config
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._unhandled)
        keys = read_masters(config)
        self.tracer = tracer_of(config.origin, config.telemetry)
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.trail = self._open_trail()
        try:
            settle_keys(audit_key_path(config), self.trail.verifier)
            await self._start(keys)
        except BaseException:
            await self.stop(0.0)
            raise

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._report(str(context.get("message", "loop")), error or RuntimeError("a fault without an exception"))

    async def _start(self, keys: tuple[bytes, ...]) -> None:
        config, report = self.config, self._report
        self.database = open_store(config.store, config.state)
        masters = open_masters(keys, self.database, os.urandom)
        self.directory = serve_directory(
            config.directory, self.trail, report, keys=masters.keys, database=self.database, clock=utc_now
        )
        self.tickets = TicketRoom(config.tickets, self.trail, self.database, report, clock=utc_now)
        self.targets = Targets(config, masters.root, self.trail, report)
        settings, told = self._access_settings(masters), self.log
        self.shared = await open_shared(
            config.redis, settings, self.database, self.trail, told, self.metrics.watch, utc_now
        )
        self.access = Access(
            settings,
            directory=self.directory,
            tickets=self.tickets.sources,
            announce=self.tickets.comments.announce,
            policies=self.targets.policy,
            trail=self.trail,
            database=self.database,
            study=self._study,
            preview=self._preview,
            clock=utc_now,
            new_trace=self.tracer.new_trace if self.tracer else str,
            known=last_known(self.trail.directory, self.trail.durable_size),
            quick=self.shared,
        )
        await self.targets.refresh()
        for name, problem in self.targets.missing().items():
            self.log.warning("target missing", target=name, reason=problem)
        plans = PlanCache(judged, free_literals, self.access.mark)
        self.workers = Workers()
        windows = Windows(config.audit.window_rows, config.audit.window_bytes)
        budgets = self.budgets = Budgets(time.time)
        self.ledger = Ledger(budgets, self.trail, self.database, time.time, self.shared)
        self.ledger.restore()
        self.literals = Literals(
            masters.current, config.state, self.database, telling, config.audit.literals_days, self._trail_failed,
            former=masters.former,
        )  # fmt: skip
        self.rekeying = Rekeying(self.access.context, self.database, masters)
        self.gate = make_gate(
            self.tracer,
            trail=self.trail,
            check=self.access.check,
            view=self.targets.view,
            plans=plans,
            normalise=lambda text, view: normalise(text, view.policy),
            workers=self.workers,
            budgets=budgets,
            claims=Claims(self.access.claim, self.access.release),
            windows=windows,
            seals=self.literals.seals,
        )
        warm = self.literals.warmed
        doors = Doors(
            self.access.news.caught_up,
            self.access.challenge,
            warm(self.access.admit_pass),
            warm(self.access.admit_direct),
            self.access.attach,
        )
        self.engine = PostgresEngine(
            config.listen.postgres,
            config.limits,
            gate=self.gate,
            doors=traced_doors(self.tracer, doors),
            upstreams=self.targets.upstreams,
            pins=self.targets.session_pins,
            tls=postgres_context(config) if config.listen.postgres.tls == "required" else None,
            binding=certificate_binding(config.tls.certificate),
            report=report,
        )
        self.logins = logins_of(self.directory, self.access)
        self.mysql = MysqlEngine(
            config.listen.mysql,
            config.limits,
            gate=self.gate,
            doors=traced_doors(self.tracer, doors),
            upstreams=self.targets.mysql_upstreams,
            mask_key=self.targets.mask_key,
            tls=database_context(config),
            report=report,
        )
        self.http = HttpServing(
            config, gate=self.gate, doors=traced_doors(self.tracer, doors), key=self.targets.mask_key,
            mark=self.access.mark, bind=bound, ciphers=CIPHERS, trail=self.trail, report=report,
            access=self.access, admit=warm(self.access.admit_signed_in), workers=self.workers, logins=self.logins,
        )  # fmt: skip
        self.previews = PostgresPreview(self.gate, self.targets.upstreams, self.targets.session_pins)
        self.mysql_previews = MysqlPreview(self.gate, self.targets.mysql_upstreams, self.targets.mask_key)
        self.targets.renewed = self._renew_target
        self.search = open_search(config, self.trail.verifier, lambda: self.trail.durable_size)
        await Resets(self.access.context, self.search).join(self.access.news)
        self.alerts = Alerting(config, self.access.context, self.trail, self._alert)
        self.access.recertifications.remind = self.alerts.notifier.remind
        self.literals.attach(
            self.access.acts, self.search, self.trail, lambda customer: self.custody.holds.held(customer=customer)
        )
        await self.literals.begin()
        told = self.log.info
        self.custody = Custody(config, self.access.context, self.access.acts, self.trail, self.search, told)
        self.custody.watch(self.metrics.watch)
        self.exports = Exports(orders_of(config), lambda: self.trail.durable_size, report)
        self.exports.measure(self.metrics)
        self._measure(plans)
        self._listen()

    def _study(
        self, target: str, customers: tuple[str, ...], reveal: frozenset[tuple[str, str]], text: str
    ) -> Write | Refusal:
        view = self.targets.view_for(target, customers, reveal, True)
        if view.policy.http is not None:
            return http_statements.study(view.policy.http, customers, text)
        if is_short(text):
            plan = analyse(text, view)
        else:
            # where it can be stopped; the loop runs on, for this is called in a thread
            study = self.workers.analyse(text, view, _REQUESTS)
            plan = asyncio.run_coroutine_threadsafe(study, self._loop).result()
        if isinstance(plan, Refusal):
            return plan
        if plan.would is not None:
            return plan.would
        if plan.write is None:
            return Refusal("request-invalid", "the statement does not write", "reading needs no approval of it")
        return plan.write

    async def _preview(self, session: Session, text: str) -> Preview | Refusal:
        if session.grant.target in self.config.apis:
            return Refusal("feature-not-supported", "of an API there are no rows to count beforehand")
        await self.literals.seals.warm(session.grant.customers)
        previews = self.mysql_previews if session.grant.target in self.config.mysql else self.previews
        return await previews.run(session, text)

    def _listen(self) -> None:
        config, listen = self.config, self.config.listen
        postgres, api, ops = (bound(one) for one in (listen.postgres, listen.api, listen.ops))
        self._sockets = [postgres, api, ops]
        if config.mysql:
            self._sockets.append(bound(listen.mysql))
            self.mysql.start(self._sockets[-1])
        self.ports = Ports(*(sock.getsockname()[1] for sock in self._sockets))
        self.engine.start(postgres)
        logins = self.logins
        app = create_app(
            access=self.access,
            trail=self.trail,
            search=self.search,
            config=config,
            directory=self.directory,
            policies=self.targets.policy,
            cases=self.alerts.cases,
            hooks=self.tickets.hooks,
            custody=self.custody,
            key=self.trail.verifier.text,
            address=(reachable(listen.postgres), self.ports.postgres),
            mysql_address=(reachable(listen.mysql), self.ports.mysql) if config.mysql else None,
            tokens=self.literals.tokens,
            spent=self.budgets.spent,
            logins=logins,
            http=self.http.ports,
            unserved=self.targets.refusal,
        )
        local = create_local_app(access=self.access, custody=self.custody, logins=logins, rekeying=self.rekeying)
        self._run(serve_app(app, config, api, stop=self._stop_serving))
        self._run(serve_app(local, config, local_socket(config), secure=False, stop=self._stop_serving))
        ops_app = create_ops_app(registry=self.metrics.registry, readiness=self._missing)
        self._run(serve_app(ops_app, config, ops, secure=False, stop=self._stop_serving))
        self._run(self.access.run_watcher())
        self._run(self.tickets.keep())
        self._run(self.targets.keep_fresh())
        self._run(self.ledger.keep(self._report))
        if self.shared is not None:
            self._run(self.shared.run())
        self._run(self.literals.run(self._report))
        self._run(self._measure_lag())
        self._run(self._keep_index())
        parts = (*self.alerts.work(self._report), *self.custody.work(self._report), *self.http.work())
        for work in (*work_of(self.directory), *parts):
            self._run(work)
        self._run(self.exports.run())
        if self.tracer is not None:
            self.tracer.measure(self.metrics.watch)
            self._run(self.tracer.run(self.metrics.registry, self._report))

    async def wait(self) -> None:
        """Until somebody asks for the end, or a part that everything rests on fails."""
        await self._ended.wait()

    def end(self) -> None:
        """Ask for the end."""
        self._ended.set()

    async def reload(self) -> None:
        """Read the policies again; an invalid one changes nothing and is reported."""
        try:
            changed = await self.targets.reload("operator", self._cut_target)
        except GatewayError as error:
            self.metrics.reloads.labels("refused").inc()
            self.log.error("reload refused", code=error.code, reason=error.refusal.message)
            return
        self.metrics.reloads.labels("done").inc()
        self.log.info("reloaded", changed=changed)

    def _renew_target(self, target: str) -> None:
        self.engine.renew_target(target)
        self.mysql.renew_target(target)

    def _cut_target(self, target: str, refusal: Refusal) -> None:
        self.engine.cut_target(target, refusal)
        self.mysql.cut_target(target, refusal)
        self.http.cut_target(target, refusal)

    async def stop(self, grace_s: float = DRAIN_S) -> None:
        """Stop every part that was started, the trail last."""
        if hasattr(self, "http"):
            await self.http.stop(grace_s)
        if hasattr(self, "engine") and self._sockets:
            await asyncio.gather(self.engine.stop(grace_s), self.mysql.stop(grace_s))
        self._stop_serving.set()
        for task in self._tasks:
            if task.get_coro().__name__ != serve_app.__name__:  # type: ignore[union-attr]  # our coroutines have names
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "access"):
            await self.access.settled()
        if hasattr(self, "workers"):
            await self.workers.close()
        if hasattr(self, "literals"):
            await self.literals.close()
        if self.shared is not None:
            await self.shared.close()
        for name in ("targets", "access", "directory", "tickets", "search", "database"):
            if hasattr(self, name):
                getattr(self, name).close()
        for sock in self._sockets:
            sock.close()
        self.trail.rest()
        await asyncio.to_thread(self.trail.close)
        if hasattr(self, "exports"):
            await self.exports.finish()
        if self.tracer is not None:
            await self.tracer.finish()

    def _open_trail(self) -> FileLog:
        config = self.config
        return FileLog.open(
            config.audit_path,
            origin=config.origin,
            key=audit_signer(config),
            next_key=load_next_signer(audit_key_path(config)),
            clock=utc_now,
            time_ns=time.time_ns,
            loop=asyncio.get_running_loop(),
            on_failure=self._trail_failed,
            version=__version__,
            segment_bytes=config.audit.segment_size,
            reserve_bytes=config.audit.reserve,
            heartbeat_s=config.audit.heartbeat,
            replica=config.audit.replica,
        )

    def _trail_failed(self, error: BaseException) -> None:
        # FAIL CLOSED: without a trail there is no work; a new process recovers it
        self.failed = True
        self._report("audit trail", error)
        self.end()

    def _access_settings(self, masters: Masters) -> AccessSettings:
        config = self.config
        approvers = frozenset[str]().union(
            *(policy.access.approver_teams for name in config.targets if (policy := self.targets.policy(name)))
        )
        return AccessSettings(
            master_key=masters.current,
            former_keys=masters.former,
            root=masters.root,
            fresh=config.second_factor.fresh,
            webauthn=config.second_factor.webauthn,
            administrators=config.roles.administrators,
            auditors=config.roles.auditors,
            custodians=config.roles.custodians or config.roles.auditors,
            approvers=approvers,
            issuer=config.origin.replace("/", " "),
            watch_interval_s=config.watch_interval,
            grace_s=config.grace,
            # a server is waited for; hashes of a file cost a core each
            workers=2 if config.directory.kind == "file" else 8,
            store_grace_s=config.store.grace,
        )

    def _missing(self) -> dict[str, str]:
        missing = {f"target {name}": problem for name, problem in self.targets.missing().items()} | self.http.missing()
        if (outage := self.directory.outage) is not None:
            missing["directory"] = outage.message
        if not self.trail.writable:
            missing["audit"] = "the trail cannot be written"
        if self.access.news.outage is not None:
            missing["store"] = self.access.news.outage.message
        if self.shared is not None and self.shared.outage is not None:
            missing["redis"] = self.shared.outage.message
        if self.literals.seals.blobs.refusing:
            missing["literals"] = self.literals.seals.blobs.refusing
        return missing

    def _measure(self, plans: PlanCache) -> None:
        watch = self.metrics.watch
        watch("gateway_sessions", "Database sessions inside", lambda: float(self.engine.sessions + self.mysql.sessions))
        watch("gateway_http_sessions", "HTTP sessions inside", lambda: float(len(self.http.engine.sessions)))
        watch("gateway_sessions_begun", "Database sessions that began", lambda: float(self.gate.entered))
        watch("gateway_statements_permitted", "Statements that were permitted", lambda: float(self.gate.permitted))
        watch("gateway_statements_refused", "Statements that were refused", lambda: float(self.gate.refused))
        watch("gateway_plan_cache_hits", "Statements found in the plan cache", lambda: float(plans.hits))
        watch("gateway_plan_cache_misses", "Statements that were analysed", lambda: float(plans.misses))
        watch("gateway_audit_records", "Durable records in the trail", lambda: float(self.trail.durable_size))
        watch("gateway_audit_waiting_for_quorum", "Records on disk here, and not acknowledged by a quorum yet",
              lambda: float(self.trail.waiting_for_quorum))  # fmt: skip
        watch("gateway_store_down", "Whether the store cannot be read",
              lambda: float(self.access.news.outage is not None))  # fmt: skip
        watch("gateway_audit_writable", "Whether the trail can be written", lambda: float(self.trail.writable))
        watch("gateway_directory_down", "Whether the directory cannot be asked",
              lambda: float(self.directory.outage is not None))  # fmt: skip
        self.metrics.watch_labelled(
            "gateway_ticket_source_down", "Ticket sources that cannot be asked", "system", self.tickets.outages
        )
        self.metrics.watch_labelled(
            "gateway_target_missing",
            "Targets that cannot be used",
            "target",
            lambda: dict.fromkeys(self.targets.missing(), 1.0),
        )

    async def _measure_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(1.0)
            self.metrics.lag.observe(max(0.0, time.monotonic() - before - 1.0))

    async def _keep_index(self) -> None:
        """Let the index follow the trail while that is quiet; a question takes in what is left before it answers."""
        size, told = self.trail.durable_size, False
        while True:
            await asyncio.sleep(1.0)
            grown, size = self.trail.durable_size - size, self.trail.durable_size
            if grown > _QUIET and self.config.audit.index.kind == "sqlite":
                continue
            try:
                await asyncio.to_thread(self.search.catch_up)
            except GatewayError as error:
                # no reason to end anybody's work: whoever asks is refused, and told this
                if not told:
                    self._report("index", error)
                told = True

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._part_ended)
        self._tasks.append(task)

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._stop_serving.is_set():
            return
        error = task.exception()
        # FAIL CLOSED: a watcher or an API that died silently would leave sessions that nobody cuts
        self.failed = True
        self._report("part", error or RuntimeError("a part of the gateway ended"))
        self.end()

    def _alert(self, event: Event) -> None:
        self.metrics.alerts.labels(event.rule).inc()
        self.log.warning("security event", rule=event.rule, severity=event.severity, about=event.about)

    def _report(self, part: str, error: BaseException) -> None:
        self.metrics.faults.labels(part.split(maxsplit=1)[0]).inc()
        if isinstance(error, GatewayError):
            refusal = error.refusal
            self.log.error("fault", part=part, code=refusal.code, reason=refusal.message, detail=refusal.detail)
        elif isinstance(error, OSError):
            self.log.error("fault", part=part, reason=error.strerror or str(error))
        else:
            # an exception's text may quote what a person sent, so only its type and the way to it are logged
            self.log.error("fault", part=part, fault=type(error).__name__, way=way_to(error))


def audit_key_path(config: Config) -> Path:
    """Where the key lies that signs the trail's heads."""
    return config.state / "audit.key"


def audit_signer(config: Config) -> Signer:
    """The key that signs the trail's heads; made at the first start, below the state directory."""
    path = audit_key_path(config)
    return load_signer(path) if path.exists() else create_signer(path, config.origin)
