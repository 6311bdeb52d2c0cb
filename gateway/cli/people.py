"""Invitations, second factors and password hashes: `gateway people invite | enrol | reset | hash`.

The first administrator has no administrator to invite him: `invite --local` speaks to the running gateway over
`admin.sock` in its state directory, which only the gateway's own user can open. It is an audited event like any other,
and an invitation alone opens nothing: enrolment also asks for the person's password.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import httpx2
import segno
import typer

from gateway.cli import client
from gateway.cli.client import Api, Server
from gateway.cli.output import emit_facts, emit_json, emit_text, moment, say
from gateway.cli.setup import anonymous, ask, ask_secret, configuration, setup, signed_in
from gateway.errors import GatewayError

app = typer.Typer()

TRIES = 3

Login = Annotated[str, typer.Argument(help="Whose, as the directory has it.")]


@app.command()
def invite(
    login: Login,
    local: Annotated[
        bool, typer.Option("--local", help="On the gateway's own machine, as its own user, without a sign-in.")
    ] = False,
) -> None:
    """Make an invitation with which a person enrols a second factor."""
    api = _local() if local else signed_in()
    answer = api.call("POST", f"/people/{_segment(login)}/invite")
    if setup().as_json:
        emit_json(answer)
        return
    emit_text(answer["invitation"])
    say(f"give it to {answer['login']} over a channel you trust; then: gateway people enrol{_where(local)}")


@app.command()
def enrol(login: Annotated[str | None, typer.Argument(metavar="[LOGIN]")] = None) -> None:
    """Enrol one's own second factor with an invitation: shows a QR code and asks for the first code."""
    login, password = _asked(login)
    invitation = setup().environ.get("GATEWAY_INVITATION") or ask_secret("invitation")
    _enrol(anonymous(), {"login": login, "password": password, "invitation": invitation})


@app.command()
def recover(login: Annotated[str | None, typer.Argument(metavar="[LOGIN]")] = None) -> None:
    """Enrol a new second factor in the place of a lost one, with a recovery code; everything it opened ends."""
    login, password = _asked(login)
    code = setup().environ.get("GATEWAY_RECOVERY_CODE") or ask_secret("recovery code")
    api = anonymous()
    answer = api.post("/recover", {"login": login, "password": password, "recovery_code": code})
    say("the lost factor is gone, and what it had opened; until the new one is enrolled, this invitation is good:")
    say(f"  {answer['invitation']}  (gateway people enrol)")
    _enrol(api, {"login": login, "password": password, "invitation": answer["invitation"]})


def _asked(login: str | None) -> tuple[str, str]:
    """Whose factor it is, and the password."""
    environ = setup().environ
    login = login or environ.get("GATEWAY_LOGIN") or ask("login")
    return login, environ.get("GATEWAY_PASSWORD") or ask_secret(f"password of {login}")


def _enrol(api: Api, proof: dict[str, str]) -> None:
    environ = setup().environ
    begun = api.post("/enrol/begin", proof)
    if setup().as_json:
        emit_json({"uri": begun["uri"], "secret": begun["secret"], "expires_at": begun["expires_at"]})
    else:
        show_qr(begun["uri"])
        emit_facts([("secret", begun["secret"]), ("uri", begun["uri"]), ("until", moment(begun["expires_at"]))])
        say("scan it with an authenticator app, or type the secret into it")
    done = _finished(api, proof)
    client.remember_server(api.server, environ)
    if setup().as_json:
        emit_json(done)
        return
    say("the second factor is enrolled; these codes each work once, when it is lost: keep them apart from it")
    for code in done["recovery_codes"]:
        emit_text(code)


@app.command()
def reset(login: Login) -> None:
    """Take a person's second factor away, with everything that it opened."""
    answer = signed_in().call("POST", f"/people/{_segment(login)}/reset-factor")
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"the second factor of {answer['login']} is gone; `gateway people invite` lets a new one be enrolled")


@app.command("hash")
def hash_() -> None:
    """Make the hash of a password for a people file; reads it from the terminal or from stdin."""
    from gateway.access.passwords import hash_password

    if sys.stdin.isatty():
        password = ask_secret("password")
        if ask_secret("again") != password:
            raise GatewayError("request-invalid", "the two are not the same")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        emit_text(hash_password(password))
    except ValueError as error:
        raise GatewayError("request-invalid", str(error)) from error


def show_qr(text: str) -> None:
    """The text as a QR code of half blocks, dark on light whatever the terminal's colours."""
    for line in qr_lines(text):
        print(line)


def qr_lines(text: str) -> list[str]:
    """A QR code as lines of text with two modules to a character, quiet zone included."""
    matrix = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    if len(matrix) % 2:
        matrix.append([0] * len(matrix[0]))
    # light modules are drawn, so that the code is right on the usual dark terminal and readable inverted
    blocks = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    pairs = zip(matrix[0::2], matrix[1::2], strict=True)
    return ["".join(blocks[bool(a), bool(b)] for a, b in zip(upper, lower, strict=True)) for upper, lower in pairs]


def _finished(api: Api, proof: dict[str, str]) -> Any:
    if not sys.stdin.isatty():
        # a program that enrols learns the secret from stdout first, so its code can only come by stdin
        return api.post("/enrol/finish", {**proof, "otp": sys.stdin.readline().strip()})
    for _ in range(TRIES - 1):
        try:
            return api.post("/enrol/finish", {**proof, "otp": ask_secret("first code")})
        except GatewayError as error:
            if error.code != "enrolment-invalid":
                raise
            say("that was not the code of the moment; once more")
    return api.post("/enrol/finish", {**proof, "otp": ask_secret("first code")})


def _where(local: bool) -> str:
    """The options that a person who never spoke to this gateway needs, as far as its configuration tells."""
    if not local:
        return ""
    found = client.find_server(None, None, configuration("--local"), {})
    return f" --url {found.url}" + (f" --ca {found.ca}" if found.ca else "")


def _local() -> Api:
    from gateway.console.serve import local_path

    path = local_path(configuration("--local"))
    if not path.is_socket():
        raise GatewayError(
            "gateway-unavailable", "no gateway runs here", "start it first (`gateway serve`), then invite"
        )
    return Api(Server("http://local", None), transport=httpx2.HTTPTransport(uds=str(path)))


def _segment(login: str) -> str:
    if not login or any(c in login for c in "/?#%\\") or login in (".", ".."):
        raise GatewayError("not-found", "that is not a login")
    return login
