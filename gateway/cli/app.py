"""The command tree, and the one place where a command's end becomes an exit code.

INVARIANT: nothing but a message of ours is printed when a command fails. A fault prints its type and its place, never
the text of the exception nor the values around it: either may hold a password.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from gateway import __version__
from gateway.cli import (
    access,
    acts,
    archiving,
    ask,
    audit,
    cases,
    custody,
    deciding,
    delegating,
    directory,
    doctor,
    indexing,
    initial,
    keys,
    literals,
    output,
    people,
    policy,
    reconciling,
    reporting,
    requesting,
    restoring,
    reviewing,
    rights,
    serving,
    ticket,
    witness,
)
from gateway.cli.setup import Setup, begin
from gateway.errors import GatewayError

GLOBAL = {"--config": True, "--url": True, "--ca": True, "--output": True, "--version": False}
"""The options that may stand anywhere on the line, and whether they take a value."""

EPILOG = "--config, --url, --ca and --output may stand anywhere on the line. Exit codes: 0 done, 1 failed, 2 usage, \
3 tampering found, 77 refused, 78 configuration."

app = typer.Typer(
    name="gateway",
    help="The only road from a member of staff to customers' data.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        output.emit_text(f"gateway {__version__}")
        raise typer.Exit


def _output(value: str) -> str:
    if value not in ("table", "json"):
        raise typer.BadParameter("it is `table` or `json`")
    return value


@app.callback()
def _global(
    config: Annotated[Path | None, typer.Option(help="The server's gateway.yaml (GATEWAY_CONFIG).")] = None,
    url: Annotated[str | None, typer.Option(help="The gateway's API: https://host:port (GATEWAY_URL).")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the authority of its certificate (GATEWAY_CA).")] = None,
    output_: Annotated[str, typer.Option("--output", callback=_output, help="table or json.")] = "table",
    _shown: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Show it.")] = False,
) -> None:
    begin(Setup(config, url, ca, output_, _child))


for part in (access, deciding, reviewing, initial, doctor, serving):
    part.register(app)
ask.register(audit.app)
indexing.register(audit.app)
acts.register(audit.app)
literals.register(audit.app)
restoring.register(audit.app)
reporting.register(audit.app)
reconciling.register(audit.app)
custody.register(audit.app)
archiving.register(audit.app)
witness.register(audit.app)
for name, group, text in (
    ("people", people.app, "Invitations, second factors, suspensions, password hashes."),
    ("request", requesting.app, "Ask for access, decide about it, let it last longer."),
    ("delegate", delegating.app, "Who decides in whose name."),
    ("access", rights.app, "Who has access now; reviews of who may ask for what."),
    ("keys", keys.app, "The master key."),
    ("policy", policy.app, "Propose, check, explain and test policies; needs no running gateway."),
    ("cases", cases.app, "Security events: look into them, sign them, close them."),
    ("directory", directory.app, "What the gateway understands of a person."),
    ("ticket", ticket.app, "What the gateway understands of a ticket."),
    ("audit", audit.app, "Ask, read, prove, verify and witness the audit trail."),
):
    app.add_typer(group, name=name, help=text, no_args_is_help=True)

_child: tuple[str, ...] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    global _child
    arguments, _child = arranged(sys.argv[1:] if argv is None else argv)
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="gateway", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else output.OK
    except output.Ended as ended:
        return ended.code
    except GatewayError as error:
        output.show_refusal(error.refusal)
        return output.exit_code(error.refusal)
    except TyperException as error:
        show = getattr(error, "show", None)
        if callable(show):
            show()
        return output.USAGE
    except (KeyboardInterrupt, typer.Abort):
        output.say("interrupted")
        return output.INTERRUPTED
    except BrokenPipeError:
        # the reader went away; nothing more may be flushed into the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return output.FAILED
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        output.say(f"fault: {type(error).__name__} in {Path(place.filename).name}:{place.lineno}")
        return output.FAILED


def arranged(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """The global options first, and what stands behind `--exec` apart from the rest."""
    line, child = list(argv), None
    if "--exec" in line:
        at = line.index("--exec")
        line, child = line[: at + 1], tuple(line[at + 1 :])
        if child[1:2] == ("--",):
            # `--exec psql -- -c …`: what others write to end their own options; to psql it would end psql's
            child = child[:1] + child[2:]
    first: list[str] = []
    rest: list[str] = []
    words = iter(line)
    for word in words:
        name, equals, _ = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif name not in GLOBAL:
            rest.append(word)
        else:
            first.append(word)
            if GLOBAL[name] and not equals:
                first += [value for value in [next(words, None)] if value is not None]
    return first + rest, child


def commands() -> list[str]:
    """Every command as it is typed, without `gateway`: `open`, `audit tail`, and so on; sorted."""
    return sorted(_walk(typer.main.get_command(app), ()))


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path)
        return
    for name, child in inner.items():
        yield from _walk(child, (*path, name))
