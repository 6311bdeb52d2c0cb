"""A PostgreSQL server's own log, read for the statements that it ran and for whom: jsonlog, csvlog, pgaudit's lines.

    log_destination = 'jsonlog'   or 'csvlog'; the server's messages in English (lc_messages = 'C'), times in UTC
    log_statement = 'all'         or pgaudit.log = 'all', or log_min_duration_statement = 0, in any mixture

Specification: PostgreSQL manual, "Error Reporting and Logging" ("Using CSV-Format Log Output", "Using JSON-Format Log
Output"); pgaudit's README, "Format". A statement that is told several times (by the server and by pgaudit, or when it
begins and when it has ended) is one.

INVARIANT: who runs something chooses its text, the names in it and the name that his program gives itself; process,
address, role, and the number of the line are the server's.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.errors import GatewayError

_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)? ?([A-Za-z_/+-][A-Za-z0-9_/:+-]*)")
_OFFSET = re.compile(r"([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?")
_STATEMENT = re.compile(r"(?:duration: [0-9.]+ ms  )?statement: (.*)", re.DOTALL)
_EXECUTE = re.compile(r"(?:duration: [0-9.]+ ms  )?execute (fetch from )?(.*)", re.DOTALL)
_DURATION = re.compile(r"duration: ([0-9.]+) ms ")
_OTHER = ("fastpath function call: ", "received replication command: ")
_MOST_READINGS = 8
_CSV_COLUMNS = 22
_PARALLEL = "parallel worker"
_SAME_S = 1.0


@dataclass(frozen=True, slots=True)
class Process:
    """One backend process of the server: what of it is in each line. `address` is its client's, as `host:port`."""

    session: str
    pid: int
    role: str
    database: str
    address: str
    started: datetime


@dataclass(slots=True)
class Told:
    """A statement in the log. `texts` are what it may have been: of a prepared one the log does not tell where a name
    that somebody chose ends. `again`: it goes on with a portal. `objects` are what pgaudit says that it touched.
    """

    time: datetime
    application: str
    texts: tuple[str, ...]
    again: bool = False
    objects: list[str] = field(default_factory=list)
    source: str = "server"


@dataclass(slots=True)
class Backend:
    """What one process was told to do, in order."""

    process: Process
    statements: list[Told] = field(default_factory=list)
    lines: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of line numbers that are there, from and to."""
    audited: dict[str, Told] = field(default_factory=dict)


@dataclass(slots=True)
class TargetLog:
    """The files together. `missing` is how many lines of a process are not there, between others of it that are."""

    backends: list[Backend]
    since: datetime
    until: datetime
    missing: int


@dataclass(frozen=True, slots=True)
class _Line:
    time: str
    role: str
    database: str
    pid: int
    address: str
    session: str
    number: int
    started: str
    message: str
    application: str
    kind: str


def read_target_log(files: Iterable[Path], zone: str = "") -> TargetLog:
    """The statements in those files, for each process; `zone` is that of the times, where they name none that is known.

    Raises `GatewayError("configuration-invalid")` for what is no such log, `OSError`.
    """
    clock = _Clock(zone)
    backends: dict[str, Backend] = {}
    first = last = None
    for path in files:
        for line in _lines(path):
            time = clock.read(line.time)
            first, last = min(first or time, time), max(last or time, time)
            if not line.role or line.kind == _PARALLEL:
                continue
            backend = backends.get(line.session)
            if backend is None:
                process = Process(
                    line.session, line.pid, line.role, line.database, line.address, clock.read(line.started)
                )
                backend = backends[line.session] = Backend(process)
            elif backend.process.database != line.database:
                # known only once the process is in it
                backend.process = replace(backend.process, database=line.database)
            if _is_new(backend, line.number):
                _take(backend, line, time)
    if first is None or last is None:
        raise _wrong("the log has no lines")
    for backend in backends.values():
        # the files may be given in any order, and a line may be written when its statement has ended
        backend.statements.sort(key=lambda told: told.time)
    return TargetLog(list(backends.values()), first, last, sum(map(_missing, backends.values())))


def _take(backend: Backend, line: _Line, time: datetime) -> None:
    if line.message.startswith("AUDIT: "):
        _take_audit(backend, line, time)
        return
    told = _told(line, time)
    if told is None:
        return
    for earlier in reversed(backend.statements[-64:]):
        if earlier.texts == told.texts and earlier.source == "audit" and _near(earlier, told):
            # pgaudit told it just before
            earlier.source = "both"
            return
    backend.statements.append(told)


def _take_audit(backend: Backend, line: _Line, time: datetime) -> None:
    try:
        (fields,) = csv.reader(io.StringIO(line.message.removeprefix("AUDIT: "), newline=""), strict=True)
        _, number, part, _, command, _, name, text = fields[:8]
    except (ValueError, csv.Error):
        # nobody but pgaudit writes such a line, but it can be configured to say less
        backend.statements.append(Told(time, line.application, (line.message,)))
        return
    known = backend.audited.get(number)
    if text in ("<not logged>", "<previously logged>"):
        text = known.texts[0] if known is not None else command
    # the first part of a number that was told already was told by RAISE LOG, so that it would be taken for this one
    if known is None or (part == "1" and text not in known.texts):
        known = Told(time, line.application, (text,), source="audit")
        backend.audited[number] = known
        for earlier in reversed(backend.statements[-64:]):
            if earlier.source == "server" and _near(earlier, known) and _tells_again(earlier.texts, text):
                earlier.source = "both"
                backend.audited[number] = known = earlier
                break
        else:
            backend.statements.append(known)
    if text not in known.texts:
        # an EXECUTE is told after what it executes
        known.texts = (*known.texts, text)
    if name:
        known.objects.append(name)


def _tells_again(texts: tuple[str, ...], text: str) -> bool:
    """Whether pgaudit's text is that of one of the texts; of an EXECUTE it tells what was prepared."""
    executes = text[:7].upper() == "PREPARE" and any(one.lstrip()[:7].upper() == "EXECUTE" for one in texts)
    return text in texts or executes


def _near(one: Told, other: Told) -> bool:
    return abs((one.time - other.time).total_seconds()) <= _SAME_S


def _told(line: _Line, time: datetime) -> Told | None:
    message = line.message
    took = _DURATION.match(message)
    begun = time - timedelta(milliseconds=float(took[1])) if took else time
    if found := _STATEMENT.fullmatch(message):
        return Told(begun, line.application, (found[1],))
    if found := _EXECUTE.fullmatch(message):
        # `name: text` or `name/portal: text`, and the names are whatever somebody calls them
        pieces = found[2].split(": ")
        texts = tuple(": ".join(pieces[at:]) for at in range(1, len(pieces)))
        if len(texts) > _MOST_READINGS:
            texts = (*texts[:_MOST_READINGS], found[2])
        return Told(begun, line.application, texts or (found[2],), again=bool(found[1]))
    if message.startswith(_OTHER):
        return Told(begun, line.application, (message,))
    return None


def _is_new(backend: Backend, number: int) -> bool:
    """Whether the line was not there yet; takes note of it."""
    lines = backend.lines
    if lines and number == lines[-1][1] + 1:
        lines[-1] = lines[-1][0], number
        return True
    if any(first <= number <= last for first, last in lines):
        return False
    lines.append((number, number))
    return True


def _missing(backend: Backend) -> int:
    lines = sorted(backend.lines)
    return sum(max(0, after - last - 1) for (_, last), (after, _) in pairwise(lines))


def _lines(path: Path) -> Iterator[_Line]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        first = file.read(1)
        file.seek(0)
        try:
            yield from _json_lines(file) if first == "{" else _csv_lines(file)
        except (ValueError, KeyError, TypeError, IndexError, csv.Error) as error:
            hint = "give the files that log_destination = 'jsonlog' or 'csvlog' writes, whole lines only"
            raise _wrong(f"`{path}` is not a log in JSON or CSV", hint) from error


def _json_lines(file: Iterable[str]) -> Iterator[_Line]:
    for text in file:
        if text == "\n":
            continue
        line = json.loads(text)
        host, port = _text(line, "remote_host", ""), line.get("remote_port")
        yield _Line(
            _text(line, "timestamp"), _text(line, "user", ""), _text(line, "dbname", ""), int(line["pid"]),
            f"{host}:{port}" if port else host, _text(line, "session_id"), int(line["line_num"]),
            _text(line, "session_start"), _text(line, "message", ""), _text(line, "application_name", ""),
            _text(line, "backend_type", ""),
        )  # fmt: skip


def _text(line: dict[str, object], name: str, default: str | None = None) -> str:
    value = line.get(name, default)
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _csv_lines(file: Iterable[str]) -> Iterator[_Line]:
    csv.field_size_limit(1 << 30)
    for row in csv.reader(file, strict=True):
        if len(row) < _CSV_COLUMNS:
            raise ValueError("too few columns")
        application, kind = (row[at] if len(row) > at else "" for at in (22, 23))
        yield _Line(
            row[0], row[1], row[2], int(row[3]), row[4], row[5], int(row[6]), row[8], row[13], application, kind
        )


class _Clock:
    """Reads the log's times; the zone that they name is an abbreviation, of which few say which zone it is."""

    def __init__(self, zone: str) -> None:
        self._given = self._zone(zone) if zone else None
        self._zones: dict[str, timezone | ZoneInfo] = {}

    def read(self, text: str) -> datetime:
        found = _TIME.fullmatch(text)
        if found is None:
            raise _wrong(f"a line begins with `{text[:40]}`, which is no time")
        day, clock, fraction, name = found.groups()
        if self._given is None and name not in self._zones:
            self._zones[name] = self._zone(name)
        zone = self._given or self._zones[name]
        return datetime.fromisoformat(f"{day}T{clock}{(fraction or '.0')[:7]:0<7}").replace(tzinfo=zone).astimezone(UTC)

    def _zone(self, name: str) -> timezone | ZoneInfo:
        if name in ("UTC", "GMT", "Z"):
            return UTC
        if found := _OFFSET.fullmatch(name):
            offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0), seconds=int(found[4] or 0))
            return timezone(-offset if found[1] == "-" else offset)
        try:
            if "/" in name:
                return ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            # a name that leads out of the place of the zones, or of none of them
            pass
        hint = "set log_timezone = 'UTC' at the target, or say it: --log-timezone Europe/Berlin"
        raise _wrong(f"which time zone `{name[:40]}` is cannot be told", hint)


def _wrong(message: str, hint: str = "") -> GatewayError:
    return GatewayError("configuration-invalid", message, hint)
