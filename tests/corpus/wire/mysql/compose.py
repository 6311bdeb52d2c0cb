"""Composes the traces beside it: what MySQL 8.0 and 8.4 say by their published protocol, which no test can install.

Written from the MySQL Source Code Documentation ("Connection Phase Packets", "Caching_sha2_password information",
"Command Phase") without any code of this project; the answers to nonces are PyMySQL's. Capabilities are those that
these servers announce. Run it from the top of the checkout: `python -m tests.corpus.wire.mysql.compose`.
"""

from __future__ import annotations

import struct
from pathlib import Path

from pymysql._auth import scramble_caching_sha2, scramble_native_password

HERE = Path(__file__).parent
NONCE, SECOND = b"3Yx8b]~T0uX:mQe1Wd7s", b"s7dW1eQm:Xu0T~]b8xY3"
PASSWORD, USER, DATABASE = b"pencil", b"gateway", b"payroll"
ANNOUNCED = 0xDFFFFFFF
# LONG_PASSWORD FOUND_ROWS LONG_FLAG CONNECT_WITH_DB PROTOCOL_41 SSL TRANSACTIONS SECURE_CONNECTION MULTI_RESULTS
# PS_MULTI_RESULTS PLUGIN_AUTH CONNECT_ATTRS PLUGIN_AUTH_LENENC_CLIENT_DATA SESSION_TRACK DEPRECATE_EOF
AGREED = 0x01BEAA0F
SHA2, NATIVE = b"caching_sha2_password", b"mysql_native_password"


def packet(sequence: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes((sequence,)) + payload


def greeting(version: bytes, plugin: bytes = SHA2) -> bytes:
    head = b"\x0a" + version + b"\0" + struct.pack("<I", 11) + NONCE[:8] + b"\0"
    flags = struct.pack("<HBHH", ANNOUNCED & 0xFFFF, 255, 2, ANNOUNCED >> 16)
    return packet(0, head + flags + b"\x15" + bytes(10) + NONCE[8:] + b"\0" + plugin + b"\0")


def head() -> bytes:
    return struct.pack("<IIB", AGREED, 1 << 30, 45) + bytes(23)


def response(plugin: bytes, answer: bytes) -> bytes:
    attributes = b"\x0c_client_name\x07gateway"
    payload = head() + USER + b"\0" + bytes((len(answer),)) + answer + DATABASE + b"\0" + plugin + b"\0"
    return packet(2, payload + bytes((len(attributes),)) + attributes)


OK = b"\0\0\0\2\x40\0\0\0\x0a\1\x08\x07" + DATABASE
FAST, FULL = b"\1\3", b"\1\4"
DENIED = b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied for user 'gateway'@'192.0.2.1' (using password: YES)"


def begins(version: bytes, answer: bytes | None = None, plugin: bytes = SHA2) -> list[tuple[str, bytes]]:
    """A greeting, the request for TLS, and the answer inside it."""
    sha2 = scramble_caching_sha2(PASSWORD, NONCE)
    return [
        ("S Greeting", greeting(version, plugin)),
        ("C SSLRequest", packet(1, head())),
        ("C HandshakeResponse41", response(SHA2 if answer is None else NATIVE, sha2 if answer is None else answer)),
    ]


def switch(plugin: bytes, nonce: bytes) -> tuple[str, bytes]:
    return "S AuthSwitchRequest", packet(3, b"\xfe" + plugin + b"\0" + nonce + b"\0")


def column(name: bytes, kind: int, charset: int, length: int, flags: int, decimals: int) -> bytes:
    names = b"\3def\0\0\0" + bytes((len(name),)) + name + b"\0"
    return names + b"\x0c" + struct.pack("<HIBHBH", charset, length, kind, flags, decimals, 0)


END = b"\xfe\0\0\2\0\0\0"
NUMBER = column(b"1", 8, 63, 2, 0x81, 0)
TEXT = column(b"a", 253, 255, 4, 1, 31)
MARK = column(b"?", 253, 63, 0, 0x80, 31)


def exchange(command: str, sent: bytes, *answer: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    said = [(f"S {part}", packet(sequence, payload)) for sequence, (part, payload) in enumerate(answer, 1)]
    return [(f"C {command}", packet(0, sent)), *said]


TRACES: dict[str, tuple[str, list[tuple[str, bytes]]]] = {
    "mysql-8.0-fast": (
        "8.0: the server has the password's hash in its cache",
        [*begins(b"8.0.40"), ("S AuthMoreData", packet(3, FAST)), ("S OK", packet(4, OK))],
    ),
    "mysql-8.0-full": (
        "8.0: it has not, and is sent the password over TLS",
        [
            *begins(b"8.0.40"),
            ("S AuthMoreData", packet(3, FULL)),
            ("C AuthSwitchResponse", packet(4, PASSWORD + b"\0")),
            ("S OK", packet(5, OK)),
        ],
    ),
    "mysql-8.0-switch": (
        "8.0: the account has the older plugin",
        [
            *begins(b"8.0.40"),
            switch(NATIVE, SECOND),
            ("C AuthSwitchResponse", packet(4, scramble_native_password(PASSWORD, SECOND))),
            ("S OK", packet(5, OK)),
        ],
    ),
    "mysql-8.0-native": (
        "8.0 whose default plugin is the older one, and an account that has the newer",
        [
            *begins(b"8.0.40", scramble_native_password(PASSWORD, NONCE), NATIVE),
            switch(SHA2, SECOND),
            ("C AuthSwitchResponse", packet(4, scramble_caching_sha2(PASSWORD, SECOND))),
            ("S AuthMoreData", packet(5, FULL)),
            ("C AuthSwitchResponse", packet(6, PASSWORD + b"\0")),
            ("S OK", packet(7, OK)),
        ],
    ),
    "mysql-8.4-denied": (
        "8.4: a wrong password, or none of that name",
        [*begins(b"8.4.3"), ("S ERR", packet(3, DENIED))],
    ),
    "mysql-8.4-unspoken": (
        "8.4: the account has a plugin that asks for an encryption by the server's key",
        [*begins(b"8.4.3"), switch(b"sha256_password", SECOND)],
    ),
    "mysql-8.4-session": (
        "8.4: commands and their answers, by the capabilities that were agreed",
        [
            *exchange("COM_PING", b"\x0e", ("OK", b"\0\0\0\2\0\0\0")),
            *exchange(
                "COM_QUERY",
                b"\3SELECT 1",
                ("COUNT", b"\1"),
                ("COLUMN", NUMBER),
                ("ROW", b"\x011"),
                ("END", END),
            ),
            *exchange("COM_QUERY", b"\3SELEC", ("ERROR", b"\xff\x28\x04#42000You have an error in your SQL syntax")),
            *exchange("COM_QUERY", b"\3UPDATE", ("OK", b"\0\2\0\2\0\0\0\x28Rows matched: 2  Changed: 2  Warnings: 0")),
            *exchange(
                "COM_QUERY",
                b"\3SET autocommit=0",
                ("OK", b"\0\0\0\0\x40\0\0\0\x11\0\x0f\x0aautocommit\3OFF"),
            ),
            *exchange(
                "COM_QUERY",
                b"\3CALL two()",
                ("COUNT", b"\1"),
                ("COLUMN", NUMBER),
                ("ROW", b"\x011"),
                ("END", b"\xfe\0\0\x0a\0\0\0"),
                ("COUNT", b"\1"),
                ("COLUMN", TEXT),
                ("ROW", b"\xfb"),
                ("END", b"\xfe\0\0\x0a\0\0\0"),
                ("OK", b"\0\0\0\2\0\0\0"),
            ),
            *exchange(
                "COM_STMT_PREPARE",
                b"\x16SELECT ?",
                ("PREPARED", b"\0\1\0\0\0\1\0\1\0\0\0\0"),
                ("PARAMETER", MARK),
                ("COLUMN", MARK),
            ),
            *exchange(
                "COM_STMT_EXECUTE",
                b"\x17\1\0\0\0\0\1\0\0\0\0\1\x08\0\7\0\0\0\0\0\0\0",
                ("COUNT", b"\1"),
                ("COLUMN", NUMBER),
                ("ROW", b"\0\0\7\0\0\0\0\0\0\0"),
                ("END", END),
            ),
            *exchange(
                "COM_STMT_EXECUTE",
                b"\x17\1\0\0\0\1\1\0\0\0\1\0",
                ("COUNT", b"\1"),
                ("COLUMN", NUMBER),
                ("END", b"\xfe\0\0\x42\0\0\0"),
            ),
            *exchange(
                "COM_STMT_FETCH",
                b"\x1c\1\0\0\0\2\0\0\0",
                ("ROW", b"\0\4"),
                ("END", b"\xfe\0\0\x82\0\0\0"),
            ),
            *exchange("COM_STMT_RESET", b"\x1a\1\0\0\0", ("OK", b"\0\0\0\2\0\0\0")),
            *exchange("COM_STMT_CLOSE", b"\x19\1\0\0\0"),
            *exchange("COM_SET_OPTION", b"\x1b\1\0", ("OK", END)),
            *exchange("COM_STATISTICS", b"\x09", ("TEXT", b"Uptime: 42  Threads: 2")),
            *exchange("COM_RESET_CONNECTION", b"\x1f", ("OK", b"\0\0\0\2\0\0\0")),
            *exchange("COM_QUIT", b"\1"),
        ],
    ),
}


def main() -> None:
    for name, (told, lines) in TRACES.items():
        text = "".join(f"{words}\n  {data.hex(' ', 4)}\n" for words, data in lines)
        (HERE / f"{name}.trace").write_text(f"# {told}; composed, see compose.py\n{text}", "utf-8")


if __name__ == "__main__":
    main()
