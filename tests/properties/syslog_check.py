"""A strict reader of RFC 5424 messages in octet-counted frames (RFC 6587, 3.4.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEAD = re.compile(
    rb"<(\d|[1-9]\d{1,2})>1 "
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
)
_ELEMENT = re.compile(rb'\[([!#-<>-\\^-~]{1,32})((?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\]')
_PARAM = re.compile(rb' ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"')


@dataclass
class Syslog:
    """One message."""

    facility: int
    severity: int
    time: str
    host: str
    application: str
    process: str
    id: str
    element: str
    data: dict[str, str]
    text: str


def frames(stream: bytes) -> tuple[list[bytes], bytes]:
    """The whole frames of a stream, and what is left. Raises `ValueError`."""
    found = []
    while True:
        length, space, rest = stream.partition(b" ")
        if not space:
            if length and not length.isdigit():
                raise ValueError(f"no length: {length[:20]!r}")
            return found, stream
        if not re.fullmatch(rb"[1-9]\d*", length):
            raise ValueError(f"no length: {length[:20]!r}")
        if len(rest) < int(length):
            return found, stream
        found.append(rest[: int(length)])
        stream = rest[int(length) :]


def parse(message: bytes) -> Syslog:
    """One message. Raises `ValueError`."""
    head = _HEAD.match(message)
    if head is None or int(head[1]) > 191:
        raise ValueError(f"no header: {message[:80]!r}")
    element = _ELEMENT.match(message, head.end())
    if element is None or message[element.end() : element.end() + 4] != b" \xef\xbb\xbf":
        raise ValueError(f"no structured data and text: {message[head.end() : head.end() + 80]!r}")
    data = {
        name.decode(): re.sub(rb'\\(["\\\]])', rb"\1", value).decode() for name, value in _PARAM.findall(element[2])
    }
    text = message[element.end() + 4 :].decode()
    return Syslog(
        int(head[1]) // 8, int(head[1]) % 8, *(head[n].decode() for n in range(2, 7)), element[1].decode(), data, text
    )
