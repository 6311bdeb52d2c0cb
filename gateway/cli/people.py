"""People: `gateway people invite | enrol | add-key | keys | remove-key | recover | reset | suspend | unsuspend | list`.

The first administrator has no administrator to invite him: `invite --local` speaks to the running gateway over
`admin.sock` in its state directory, which only the gateway's own user can open. It is an audited event like any other,
and an invitation alone opens nothing: enrolment also asks for the person's password.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import segno
import typer

from gateway.cli import client, provider
from gateway.cli.client import Api
from gateway.cli.deciding import Reason
from gateway.cli.local import local_api
from gateway.cli.output import Column, emit_facts, emit_json, emit_table, emit_text, moment, say
from gateway.cli.security_keys import through_page
from gateway.cli.setup import anonymous, ask, ask_secret, configuration, setup, signed_in
from gateway.errors import GatewayError

app = typer.Typer()

TRIES = 3
_KEYS = [Column("id", "ID"), Column("name", "KEY"), Column("created_at", "SINCE"), Column("used_at", "LAST USED")]

Login = Annotated[str, typer.Argument(help="Whose, as the directory has it.")]
Local = Annotated[
    bool, typer.Option("--local", help="On the gateway's own machine, as its own user, without a sign-in.")
]

_COLUMNS = (
    Column("login", "LOGIN"),
    Column("name", "NAME"),
    Column("teams", "TEAMS"),
    Column("state", "STATE"),
    Column("kinds", "FACTOR"),
    Column("used", "LAST USE"),
    Column("why", "WHY"),
)


@app.command()
def invite(
    login: Login,
    local: Local = False,
) -> None:
    """Make an invitation with which a person enrols a second factor."""
    answer = api(local).call("POST", f"/people/{segment(login)}/invite")
    if setup().as_json:
        emit_json(answer)
        return
    emit_text(answer["invitation"])
    say(f"give it to {answer['login']} over a channel you trust; then: gateway people enrol{_where(local)}")


@app.command()
def enrol(
    login: Annotated[str | None, typer.Argument(metavar="[LOGIN]")] = None,
    key: Annotated[bool, typer.Option("--key", help="A security key instead, on a page of the gateway's.")] = False,
) -> None:
    """Enrol one's own second factor with an invitation: shows a QR code and asks for the first code."""
    api = anonymous()
    proof = _proved(api, login)
    invitation = setup().environ.get("GATEWAY_INVITATION") or ask_secret("invitation")
    proof = {**proof, "invitation": invitation}
    if not key:
        _enrol(api, proof)
        return
    if "token" in proof:
        raise GatewayError(
            "request-invalid", "who signs in at the identity provider enrols a code first", "leave `--key` away"
        )
    done = through_page(api, api.post("/enrol/key", proof))
    client.remember_server(api.server, setup().environ)
    _show_codes({"recovery_codes": done["recovery_codes"]})


@app.command("add-key")
def add_key(name: Annotated[str, typer.Argument(metavar="[NAME]", help="What the key is called.")] = "") -> None:
    """Add a security key to one's own factors."""
    api = signed_in()
    done = through_page(api, api.post("/security-keys", {"name": name}))
    if setup().as_json:
        emit_json({"name": done["name"]})
    else:
        say("the key is enrolled: at the question for a code, give nothing to use it")


@app.command()
def keys() -> None:
    """One's own security keys, and when they were last used."""
    found = signed_in().get("/security-keys")["keys"]
    if setup().as_json:
        emit_json(found)
        return
    rows = [{**one, **{at: moment(one[at]) if one[at] else "" for at in ("created_at", "used_at")}} for one in found]
    emit_table(rows, _KEYS, "no security keys")


@app.command("remove-key")
def remove_key(key: Annotated[str, typer.Argument(metavar="KEY", help="Its id or its name.")]) -> None:
    """Take one of one's own security keys away, a lost one say; what one has open ends, and one signs in anew."""
    gone = signed_in().post("/security-keys/remove", {"key": key})
    if setup().as_json:
        emit_json(gone)
    else:
        say(f"the key `{gone['name']}` ({gone['id']}) is gone, and what you had open; sign in again: gateway login")


@app.command()
def recover(login: Annotated[str | None, typer.Argument(metavar="[LOGIN]")] = None) -> None:
    """Enrol a new second factor in the place of a lost one, with a recovery code; everything it opened ends."""
    api = anonymous()
    proof = _proved(api, login)
    code = setup().environ.get("GATEWAY_RECOVERY_CODE") or ask_secret("recovery code")
    answer = api.post(f"{_below(proof)}/recover", {**proof, "recovery_code": code})
    say("the lost factor is gone, and what it had opened; until the new one is enrolled, this invitation is good:")
    say(f"  {answer['invitation']}  (gateway people enrol)")
    _enrol(api, {**proof, "invitation": answer["invitation"]})


def _proved(api: Api, login: str | None) -> dict[str, str]:
    """Whose factor it is: login and password, or the token of a login at the identity provider."""
    environ = setup().environ
    if not environ.get("GATEWAY_PASSWORD"):
        token, _ = provider.proved(api, None)
        if token:
            return {"token": token}
    login = login or environ.get("GATEWAY_LOGIN") or ask("login")
    return {"login": login, "password": environ.get("GATEWAY_PASSWORD") or ask_secret(f"password of {login}")}


def _below(proof: dict[str, str]) -> str:
    """Under which address what is proved that way is asked for."""
    return "/login" if "token" in proof else ""


def _enrol(api: Api, proof: dict[str, str]) -> None:
    environ = setup().environ
    begun = api.post(f"{_below(proof)}/enrol/begin", proof)
    if setup().as_json:
        emit_json({"uri": begun["uri"], "secret": begun["secret"], "expires_at": begun["expires_at"]})
    else:
        show_qr(begun["uri"])
        emit_facts([("secret", begun["secret"]), ("uri", begun["uri"]), ("until", moment(begun["expires_at"]))])
        say("scan it with an authenticator app, or type the secret into it")
    done = _finished(api, proof)
    client.remember_server(api.server, environ)
    _show_codes(done)


def _show_codes(done: dict[str, Any]) -> None:
    if setup().as_json:
        emit_json(done)
        return
    say("the second factor is enrolled; these codes each work once, when it is lost: keep them apart from it")
    for code in done["recovery_codes"]:
        emit_text(code)


@app.command()
def reset(login: Login) -> None:
    """Take a person's second factor away, with everything that it opened."""
    answer = signed_in().call("POST", f"/people/{segment(login)}/reset-factor")
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"the second factor of {answer['login']} is gone; `gateway people invite` lets a new one be enrolled")


@app.command("list")
def list_() -> None:
    """Everybody whom this gateway has met: state, second factors, when last let in; for administrators."""
    found = signed_in().get("/people")["people"]
    if setup().as_json:
        emit_json(found)
        return
    rows = [
        {
            **one,
            "login": one["login"] or one["id"],
            "kinds": [factor["kind"] for factor in one["factors"]] or ("invited" if one["invited_until"] else "none"),
            "used": moment(one["last_use"]) if one["last_use"] else "never",
            "why": f"{one['reason']} ({one['suspended_by']})" if one["suspended_by"] else "",
        }
        for one in found
    ]
    emit_table(rows, _COLUMNS, "nobody is known here yet")


@app.command()
def suspend(login: Login, reason: Reason = "") -> None:
    """Let a person do nothing here any more; what he has open ends at once. For administrators."""
    answer = signed_in().post(f"/people/{segment(login)}/suspend", {"reason": reason})
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"{answer['login']} is suspended; `gateway people unsuspend {answer['login']}` lifts it")


@app.command()
def unsuspend(login: Login, reason: Reason = "", local: Local = False) -> None:
    """Lift the suspension of somebody else; he signs in again, and opens anew what he needs. For administrators."""
    answer = api(local).post(f"/people/{segment(login)}/unsuspend", {"reason": reason})
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"{answer['login']} may sign in again")


@app.command()
def release(login: Login, local: Local = False) -> None:
    """Let a login of the identity provider be somebody else's, when who had it does not come in with it any more."""
    answer = api(local).call("POST", f"/people/{segment(login)}/release-login")
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"`{answer['login']}` is free: the next person whom the identity provider calls that has it")


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
    path = f"{_below(proof)}/enrol/finish"
    if not sys.stdin.isatty():
        # a program that enrols learns the secret from stdout first, so its code can only come by stdin
        return api.post(path, {**proof, "otp": sys.stdin.readline().strip()})
    for _ in range(TRIES - 1):
        try:
            return api.post(path, {**proof, "otp": ask_secret("first code")})
        except GatewayError as error:
            if error.code != "enrolment-invalid":
                raise
            say("that was not the code of the moment; once more")
    return api.post(path, {**proof, "otp": ask_secret("first code")})


def _where(local: bool) -> str:
    """The options that a person who never spoke to this gateway needs, as far as its configuration tells."""
    if not local:
        return ""
    found = client.find_server(None, None, configuration("--local"), {})
    return f" --url {found.url}" + (f" --ca {found.ca}" if found.ca else "")


def api(local: bool) -> Api:
    """A connection to the API, signed in; with `local` to the gateway of this machine, as its own user."""
    return _local() if local else signed_in()


def _local() -> Api:
    return local_api(configuration("--local"))


def segment(login: str) -> str:
    """The login as a segment of a path; nothing that could leave the segment is sent."""
    if not login or any(c in login for c in "/?#%\\") or login in (".", ".."):
        raise GatewayError("not-found", "that is not a login")
    return login
