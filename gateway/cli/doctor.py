"""`gateway doctor`: everything that a reviewer would ask about an installation, checked, with how to mend it.

INVARIANT: the doctor only reads, but for one empty file in the state directory that it removes again.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer

from gateway import certificates
from gateway.audit.verify import verify_log
from gateway.cli.audit import public_key_path
from gateway.cli.finding import FAIL, OK, WARN, Finding, failed
from gateway.cli.local import local_api
from gateway.cli.output import FAILED, Ended, clean, emit_json
from gateway.cli.setup import configuration, setup
from gateway.config import Config
from gateway.directory_settings import FileDirectory
from gateway.errors import GatewayError
from gateway.oidc_settings import OidcDirectory
from gateway.settings import Secret
from gateway.ticket_settings import FileTickets, Remote, ServiceNow

SOON = timedelta(days=30)
DRIFT_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor() -> None:
    """Check the configuration, the machine and the targets; say how to mend what is wrong."""
    config = configuration("the doctor")
    findings: list[Finding] = []
    for finding in examine(config):
        findings.append(finding)
        if not setup().as_json:
            _show(finding)
    if setup().as_json:
        emit_json([finding.as_json() for finding in findings])
    if any(finding.level == FAIL for finding in findings):
        raise Ended(FAILED)


def examine(config: Config) -> Iterator[Finding]:
    """All findings, in the order in which one would mend them."""
    yield Finding("configuration", OK, f"{config.source} is valid")
    for check in (_files, _master_key, _certificate, _disk, _clock, _directory, _tickets, _audit, _archive, _alerts):
        yield from check(config)
    # imported here: they bring the SQL room, the web server and the collectors' messages along, which no other command
    # needs
    from gateway.cli import (
        doctor_exports,
        doctor_http,
        doctor_mysql,
        doctor_redis,
        doctor_replica,
        doctor_store,
        doctor_target,
    )

    yield from doctor_store.examine(config)
    yield from doctor_redis.examine(config)
    yield from doctor_replica.examine(config)
    yield from doctor_exports.examine(config)
    for name, target in config.databases.items():
        yield from doctor_target.examine(name, target, config)
    for name, database in config.mysql.items():
        yield from doctor_mysql.examine(name, database, config)
    for name, api in config.apis.items():
        yield from doctor_http.examine(name, api, config)


def _show(finding: Finding) -> None:
    print(f"{finding.level:<4}  {finding.check}: {clean(finding.message)}", flush=True)
    if finding.mend:
        print(f"      mend: {clean(finding.mend)}", flush=True)


def _files(config: Config) -> Iterator[Finding]:
    tickets = [one.path for one in config.tickets if isinstance(one, FileTickets)]
    people = [config.directory.path] if isinstance(config.directory, FileDirectory) else []
    places = [config.policies, *people, *tickets, config.tls.certificate, config.tls.key]
    if config.source is not None:
        places.insert(0, config.source)
    loose = [path for path in places if path.exists() and path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
    for path in tuple(loose):
        yield Finding("files", FAIL, f"`{path}` can be changed by others", f"chmod go-w {path}")
    private = [(path, "passwords' hashes") for path in people] + [(config.tls.key, "the gateway's private key")]
    private += [(api.listen.key, "a private key of the gateway's") for api in config.apis.values() if api.listen.key]
    for path, what in private:
        if _open_to_others(path):
            loose.append(path)
            yield Finding("files", FAIL, f"`{path}` holds {what} and can be read by others", f"chmod 600 {path}")
    if config.state.exists() and config.state.stat().st_mode & 0o077:
        yield Finding("files", FAIL, f"`{config.state}` can be entered by others", f"chmod 700 {config.state}")
    elif config.state.exists() and not os.access(config.state, os.W_OK):
        yield Finding(
            "files",
            FAIL,
            f"`{config.state}` cannot be written",
            "run the doctor as the gateway's own user, or chown it",
        )
    elif not config.state.exists():
        yield Finding("files", WARN, f"`{config.state}` does not exist yet", f"mkdir -m 700 {config.state}")
    elif not loose:
        yield Finding("files", OK, "owners and modes")


def _master_key(config: Config) -> Iterator[Finding]:
    try:
        key = config.master_key.read()
    except GatewayError as error:
        yield failed("master key", error)
        return
    if len(key) < 32:
        yield Finding(
            "master key", FAIL, f"it has {len(key)} bytes; 32 are the least", "openssl rand -hex 32 > master.key"
        )
    else:
        yield Finding("master key", OK, f"{len(key)} bytes, for its owner only")
    if config.former_master_keys:
        yield _former_keys(config)


def _former_keys(config: Config) -> Finding:
    """Whether former master keys are still needed; only the gateway that runs can tell."""
    name = "former master keys"
    try:
        api = local_api(config)
        try:
            found = api.get("/keys")
        finally:
            api.close()
    except GatewayError as error:
        return Finding(
            name, WARN, f"it cannot be told whether they are needed: {error.refusal.message}", "gateway serve"
        )
    former = ", ".join(found["former"])
    if found["unreadable"]:
        lost = f"{found['unreadable']} values in the store open under none of the keys"
        return Finding(name, FAIL, lost, "name the key that sealed them in `former_master_keys`")
    if found["waiting"]:
        return Finding(name, WARN, f"{found['waiting']} values in the store need {former}", "gateway keys rotate")
    return Finding(
        name,
        WARN,
        f"nothing in the store needs {former} any more",
        "take `former_master_keys` out of the configuration",
    )


def _certificate(config: Config) -> Iterator[Finding]:
    from gateway.console.serve import server_context

    tls = config.tls
    again = "`gateway init` makes one in an empty directory; or take one from your own authority"
    try:
        server_context(tls)
        found = certificates.describe(tls.certificate)
    except GatewayError as error:
        yield failed("certificate", error, again)
        return
    except (OSError, ValueError) as error:
        yield Finding("certificate", FAIL, f"`{tls.certificate}` cannot be read: {error}", again)
        return
    now = datetime.now(UTC)
    if not found.not_before <= now < found.not_after:
        yield Finding(
            "certificate", FAIL, f"valid from {found.not_before:%Y-%m-%d} to {found.not_after:%Y-%m-%d} only", again
        )
    elif found.not_after - now < SOON:
        yield Finding("certificate", WARN, f"ends on {found.not_after:%Y-%m-%d}", again)
    else:
        yield Finding("certificate", OK, f"valid to {found.not_after:%Y-%m-%d}, for {', '.join(found.names)}")
    for what, listener in (("postgres", config.listen.postgres), ("api", config.listen.api)):
        if not _anywhere(listener.host) and listener.host not in found.names:
            yield Finding(
                "certificate",
                FAIL,
                f"it is not for `{listener.host}`, where listen.{what} is: clients will refuse it",
                "use one with that name, or listen on a name that it has",
            )
    if tls.ca is not None and not certificates.signed_by(tls.certificate, tls.ca):
        yield Finding(
            "certificate", FAIL, f"it is not signed by `{tls.ca}`", "set `tls.ca` to its authority, or leave it out"
        )


def _disk(config: Config) -> Iterator[Finding]:
    place = _existing(config.audit_path)
    free = shutil.disk_usage(place).free
    reserve, segment = config.audit.reserve, config.audit.segment_size
    text = f"{_mib(free)} free for the audit trail; the reserve is {_mib(reserve)}, a segment {_mib(segment)}"
    if free < reserve + segment:
        yield Finding("disk", FAIL, text, "make room, or move the trail with `audit.path`")
    elif free < reserve + 16 * segment:
        yield Finding("disk", WARN, text, "make room before it runs out: a full disk refuses all work")
    else:
        yield Finding("disk", OK, text)


def _clock(config: Config) -> Iterator[Finding]:
    place = _existing(config.state)
    wall, steady = time.time(), time.monotonic()
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            written = Path(file.name).stat().st_mtime
    except OSError as error:
        yield Finding("clock", FAIL, f"`{place}` cannot be written: {error.strerror}", "run as the gateway's own user")
        return
    time.sleep(0.2)
    stepped = (time.time() - wall) - (time.monotonic() - steady)
    if abs(written - wall) > DRIFT_S:
        yield Finding(
            "clock",
            WARN,
            f"files get a time {written - wall:+.1f} s from the machine's",
            "the file system is on another machine: run NTP on both",
        )
    elif abs(stepped) > 0.1:
        yield Finding("clock", WARN, f"the clock was set by {stepped:+.1f} s just now", "run NTP (chrony, timesyncd)")
    else:
        yield Finding("clock", OK, "steady; codes are accepted one step (30 s) early or late")


def _archive(config: Config) -> Iterator[Finding]:
    settings = config.audit.archive
    if settings is None:
        return
    # imported here: the library is large
    from gateway.audit.bucket import Bucket

    try:
        bucket = Bucket(settings, config.origin)
        try:
            problem = bucket.check()
        finally:
            bucket.close()
    except GatewayError as error:
        yield failed("archive", error)
        return
    if problem:
        yield Finding("archive", FAIL, problem, "make a bucket with object lock: it cannot be added later")
    elif settings.mode != "compliance":
        yield Finding("archive", WARN, "who has the right to can delete what is archived", "mode: compliance")
    else:
        yield Finding("archive", OK, f"the bucket `{settings.bucket}` keeps what it is given")


def _alerts(config: Config) -> Iterator[Finding]:
    from gateway.alerts.rules import load_rules

    secrets = [one for sink in config.alerts.sinks for one in vars(sink).values() if isinstance(one, Secret)]
    try:
        rules = load_rules(config.alerts.rules)
        for secret in secrets:
            secret.read()
    except GatewayError as error:
        yield failed("alerts", error)
        return
    told = f"{len(config.alerts.sinks)} addresses are told"
    if not config.alerts.sinks:
        yield Finding("alerts", WARN, f"{len(rules)} rules; nobody is told of what they find", "set `alerts.sinks`")
    else:
        yield Finding("alerts", OK, f"{len(rules)} rules; {told}")


def _directory(config: Config) -> Iterator[Finding]:
    from gateway.access.directory.opening import open_directory
    from gateway.cli import doctor_directory

    if isinstance(config.directory, FileDirectory):
        directory = open_directory(config.directory)
        yield from _readable("directory", config.directory.path, lambda: directory.find("doctor"))
    elif isinstance(config.directory, OidcDirectory):
        from gateway.cli import doctor_provider

        yield from doctor_provider.examine(config.directory, config)
    else:
        yield from doctor_directory.examine(config.directory)
    for role, teams in (("administrators", config.roles.administrators), ("auditors", config.roles.auditors)):
        if not teams:
            yield Finding("roles", WARN, f"nobody is among the {role}", f"name teams in `roles.{role}`")
    both = config.roles.administrators & config.roles.auditors
    if both:
        yield Finding(
            "roles", WARN, f"{', '.join(sorted(both))}: administrators who read the trail of themselves", "part the two"
        )


def _tickets(config: Config) -> Iterator[Finding]:
    for settings in config.tickets:
        if isinstance(settings, FileTickets):
            yield from _ticket_file(settings)
        elif isinstance(settings, Remote):
            yield _ticket_source(settings)


def _ticket_file(settings: FileTickets) -> Iterator[Finding]:
    from gateway.access.tickets.file import FileTickets as Tickets

    tickets = Tickets(settings.path, system=settings.system)
    yield from _readable("tickets", settings.path, lambda: tickets.find("DOCTOR-0"))


def _ticket_source(settings: Remote) -> Finding:
    """Whether the source answers the gateway about a ticket, one that hardly anybody has."""
    from gateway.access.tickets.sources import open_sources

    what = f"tickets {settings.system}"
    project = min(settings.projects)
    try:
        sources = open_sources([settings])
        sources.find(f"{project}9999999" if isinstance(settings, ServiceNow) else f"{project}-999999999")
        sources.close()
    except GatewayError as error:
        said = f"{error.refusal.message}: {error.refusal.detail}" if error.refusal.detail else error.refusal.message
        return Finding(what, FAIL, said, "nobody gets in with its tickets until it answers")
    if settings.webhook is None and settings.poll_interval > 4:
        return Finding(what, WARN, "news take longer than 5 s", "set up a webhook, or a shorter `poll_interval`")
    return Finding(what, OK, f"{settings.url} answers; `gateway ticket check ID` shows what is understood")


def _readable(what: str, path: Path, read: Callable[[], object]) -> Iterator[Finding]:
    try:
        read()
    except GatewayError as error:
        yield failed(what, error, "correct the file: nobody gets in while it cannot be read")
    else:
        yield Finding(what, OK, f"{path} is read")


def _audit(config: Config) -> Iterator[Finding]:
    place, key = config.audit_path, public_key_path(config.state)
    if not (place / "checkpoint").exists():
        yield Finding("audit trail", OK, "it begins when the gateway first starts")
        return
    try:
        report = verify_log(place, key.read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        yield Finding("audit trail", FAIL, f"it cannot be verified: {error}", "run as the gateway's own user")
        return
    for problem in report.problems:
        yield Finding("audit trail", FAIL, str(problem), "keep a copy of it as it is, and find out who changed it")
    if report.ok:
        yield Finding("audit trail", OK, f"{report.size} records, verified")


def _open_to_others(path: Path) -> bool:
    """Whether the file's mode and those of all directories above let others read it.

    A group of one account is nobody else: files that root writes and the service reads are root's, of its group.
    """
    if not path.exists():
        return False
    facts = path.stat()
    shared = facts.st_mode & stat.S_IRGRP and len(_accounts(facts.st_gid)) > 1
    if not shared and not facts.st_mode & stat.S_IROTH:
        return False
    return all(above.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for above in path.resolve().parents)


def _accounts(group: int) -> set[str]:
    """The accounts in that group, root left out: it reads everything."""
    try:
        members = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        members = set()
    return members | {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group and entry.pw_uid != 0}


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _anywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _mib(count: int) -> str:
    return f"{count / 1024**2:.0f} MiB"
