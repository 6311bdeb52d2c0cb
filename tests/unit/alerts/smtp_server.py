"""A small SMTP server for one message: STARTTLS and AUTH as RFC 3207 and RFC 4954 have them, on loopback."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Self

from gateway.certificates import issue


class SmtpServer:
    """Keeps what one client said. With `tls` it offers STARTTLS, and its authority is `ca.crt` in the directory."""

    def __init__(self, directory: Path, *, tls: bool) -> None:
        self.context: ssl.SSLContext | None = None
        if tls:
            made = issue("mail", ["localhost"])
            (directory / "ca.crt").write_bytes(made.ca)
            (directory / "mail.crt").write_bytes(made.certificate)
            (directory / "mail.key").write_bytes(made.key)
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(directory / "mail.crt", directory / "mail.key")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.recipients: list[str] = []
        self.message, self.clear, self.encrypted = "", "", False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        try:
            connection, _ = self.socket.accept()
            connection.settimeout(5)
            self._talk(connection)
        except OSError:
            return

    def _talk(self, connection: Any) -> None:
        file = connection.makefile("rwb")

        def say(text: str) -> None:
            file.write(text.encode() + b"\r\n")
            file.flush()

        say("220 localhost")
        while line := file.readline().decode():
            if not self.encrypted:
                self.clear += line
            verb = line.split()[0].upper() if line.split() else ""
            if verb == "EHLO":
                offered = [] if self.context is None or self.encrypted else ["STARTTLS"]
                offered += ["AUTH PLAIN"] if self.encrypted else []
                lines = ["localhost", *offered]
                for one in lines[:-1]:
                    say(f"250-{one}")
                say(f"250 {lines[-1]}")
            elif verb == "STARTTLS" and self.context is not None:
                say("220 go on")
                connection = self.context.wrap_socket(connection, server_side=True)
                file = connection.makefile("rwb")
                self.encrypted = True
            elif verb == "AUTH":
                assert base64.b64decode(line.split()[2]) == b"\0gw\0mail-secret"
                say("235 yes")
            elif verb == "RCPT":
                self.recipients.append(line.split("<")[1].split(">")[0])
                say("250 yes")
            elif verb == "DATA":
                say("354 go on")
                while (part := file.readline().decode()) != ".\r\n":
                    self.message += part
                say("250 kept")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("250 yes")
        file.close()
        connection.close()
