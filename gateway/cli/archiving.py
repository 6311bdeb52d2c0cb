"""`gateway audit archive` and `gateway audit restore-test`: that the trail can be had again, tried and not hoped.

A restore test downloads the newest archived head with all that it names, makes the trail of it in a directory of its
own, verifies that with a public key and against a witness that were kept elsewhere, builds the index over it, counts,
and has the running gateway record what came of it. It needs nothing of the trail on this machine but, where the witness
remembers a longer log than is archived, the hashes by which that log is known to continue the archived one.

Exit status: 0 restored, 3 what was restored is not what was signed, 1 it could not be tried.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from gateway.audit.archive import Restored, Unfit, newest_head, restore
from gateway.audit.checkpoint import Checkpoint, Verifier, head_of, note_parts, signers_of
from gateway.audit.search import Query, Search
from gateway.audit.segment import Damaged
from gateway.audit.tiles import TileReader
from gateway.audit.tree import consistency_proof, verify_consistency
from gateway.audit.verify import verify_log
from gateway.audit.witness import load_memory
from gateway.cli.client import Api, Server
from gateway.cli.output import FAILED, TAMPERED, Ended, emit_facts, emit_json, say
from gateway.cli.setup import configuration, setup
from gateway.config import Config
from gateway.errors import GatewayError

_ARCHIVE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of it; `count` records were found again from `first` on, `size` is the head's."""

    status: str
    size: int = 0
    root: str = ""
    first: int = 0
    count: int = 0
    manifest: str = ""
    reason: str = ""


class _Behind(Exception):
    """The archive cannot be compared with what the witness remembers."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(archive)
    app.command("restore-test")(restore_test)


def archive() -> None:
    """Archive the trail now, on the gateway's machine as its own user; the gateway does so once a day by itself."""
    done = _local(configuration("the archive")).call("POST", "/audit/archive", timeout=_ARCHIVE_S)
    if setup().as_json:
        emit_json(done)
    else:
        emit_facts([("records", done["size"]), ("objects", done["objects"]), ("new", done["added"])])


def restore_test(
    key: Annotated[str, typer.Option(help="The log's public key, or a file with it; one that was kept elsewhere.")],
    witness: Annotated[
        Path | None, typer.Option(help="A checkpoint of this log that was kept elsewhere, or a witness's state.")
    ] = None,
    hashes: Annotated[
        Path | None, typer.Option(help="Where the log's hashes are, if not in the trail's directory.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Keep the restored trail in this directory, which must not be there yet.")
    ] = None,
    record: Annotated[bool, typer.Option(help="Have the running gateway record the result.")] = True,
) -> None:
    """Restore the newest archive, verify it against key and witness, index it, and record what came of it."""
    config = configuration("the archive")
    try:
        given = Verifier.parse(Path(key).read_text(encoding="utf-8") if Path(key).is_file() else key)
    except (OSError, ValueError) as error:
        raise GatewayError(
            "configuration-invalid", f"the key cannot be used: {error}", "`gateway audit key` prints it"
        ) from error
    status = 0
    try:
        if directory is not None:
            directory.mkdir(mode=0o700)
            tested = _tested(config, given, witness, hashes or config.audit_path, directory)
        else:
            with tempfile.TemporaryDirectory(prefix="gateway-restore-") as scratch:
                tested = _tested(config, given, witness, hashes or config.audit_path, Path(scratch))
        status = 0 if tested.status == "ok" else TAMPERED
    except (GatewayError, OSError, _Behind) as error:
        reason = getattr(error, "strerror", None) or str(error)
        tested, status = Tested("failed", reason=reason[:500]), FAILED
    _show(tested)
    if record:
        _local(config).post("/audit/restore-tested", asdict(tested))
    if status:
        raise Ended(status)


def _tested(config: Config, given: Verifier, witness: Path | None, hashes: Path, place: Path) -> Tested:
    if config.audit.archive is None:
        raise GatewayError("configuration-invalid", "there is no archive", "set `audit.archive`")
    # imported here: the library is large
    from gateway.audit.bucket import Bucket

    bucket = Bucket(config.audit.archive, config.origin)
    trail = place / "trail"
    trail.mkdir(mode=0o700)
    size = 0
    try:
        size = newest_head(bucket)
        restored = restore(bucket.get, size, given, trail)
        tested = Tested("ok", size, restored.head.root.hex(), restored.first, 0, restored.manifest)
        return _judged(tested, restored, given, witness, hashes, trail)
    except (Unfit, Damaged) as error:
        return Tested("failed", size, reason=str(error)[:500])
    except FileNotFoundError as error:
        # of a whole head everything that it names is there
        return Tested("failed", size, reason=f"`{error.filename}`: {error.strerror}")
    finally:
        bucket.close()


def _judged(
    tested: Tested, restored: Restored, given: Verifier, witness: Path | None, hashes: Path, trail: Path
) -> Tested:
    later = _later(witness, restored.head, (given, restored.key)) if witness is not None else None
    report = verify_log(trail, given.text, witness=None if later is not None else witness, jobs=1)
    if not report.ok:
        return replace(tested, status="failed", reason=str(report.problems[0])[:500])
    if later is not None:
        try:
            proof = consistency_proof(restored.head.size, later.size, TileReader(hashes, later.size).node)
        except ValueError as error:
            raise _Behind(f"that the witness's log continues the archived one cannot be seen: {error}") from error
        if not verify_consistency(restored.head.size, later.size, restored.head.root, later.root, proof):
            return replace(tested, status="failed", reason="what the witness remembers does not continue the archive")
    search = Search(trail, restored.key, database=trail.with_name("index.sqlite"))
    try:
        search.rebuild()
        count = search.count(Query())
    finally:
        search.close()
    wanted = restored.head.size - restored.first
    if count != wanted:
        return replace(tested, status="failed", count=count, reason=f"{count} records are found again of {wanted}")
    return replace(tested, count=count)


def _later(witness: Path, head: Checkpoint, keys: tuple[Verifier, ...]) -> Checkpoint | None:
    """What the witness remembers, when it is a longer log than is archived."""
    try:
        text = witness.read_text(encoding="utf-8")
        if text.startswith("{"):
            memory = load_memory(witness)
            remembered = memory.head if memory is not None else None
        else:
            remembered = head_of(note_parts(text)[0], head.origin)
            if remembered.size > head.size and not signers_of(text, keys)[1]:
                raise Unfit("the witness's checkpoint is signed by none of these keys")
    except ValueError as error:
        raise Unfit(f"the witness cannot be read: {error}") from error
    return remembered if remembered is not None and remembered.size > head.size else None


def _show(tested: Tested) -> None:
    if setup().as_json:
        emit_json(asdict(tested))
    else:
        emit_facts((name, value) for name, value in asdict(tested).items() if value != "")
    if tested.reason:
        say(f"not restored: {tested.reason}")


def _local(config: Config) -> Api:
    from gateway.console.serve import local_path

    path = local_path(config)
    if not path.is_socket():
        raise GatewayError("gateway-unavailable", "no gateway runs here", "start it, or see --no-record")
    return Api(Server("http://local", None), transport=httpx2.HTTPTransport(uds=str(path)))
