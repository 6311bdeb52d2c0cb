"""The path of a request-target: taken apart in one strict way, and put together anew.

INVARIANT: a path that is taken apart here has one reading, whoever reads it next: decoding it twice, folding its
Unicode, dropping parameters, dots or spaces changes nothing that decides where it leads. Everything else is refused,
not repaired; so nothing is ever normalised to something that a policy admits.

Origin form of RFC 9112, 3.2.1; percent-encoding of RFC 3986, 2.1; UTF-8 without overlong forms (RFC 3629).
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote_to_bytes

from gateway.http.refusing import malformed, too_large

LONGEST_TARGET = 8192

_VISIBLE = re.compile(r"[!-~]+")
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AMBIGUOUS = frozenset('/\\;%?#|"<>`^{}')
_DECIDING = "/\\;%?#.:"
_KEPT = "~@:+,=-._"


def split(target: str) -> tuple[tuple[str, ...], str | None]:
    """The decoded segments of a request-target's path, and its query as it came (None without one).

    Raises: GatewayError.
    """
    if len(target) > LONGEST_TARGET:
        raise too_large(f"the request's path and query are longer than {LONGEST_TARGET} characters")
    if not _VISIBLE.fullmatch(target):
        raise malformed("the request's path has characters that must be percent-encoded")
    if not target.startswith("/"):
        raise malformed("the request's target is not a path that begins with `/`")
    if "#" in target:
        raise malformed("the request's target has a fragment")
    path, mark, query = target.partition("?")
    raw = path[1:].split("/")
    if len(raw) == 1 and not raw[0]:
        return (), query if mark else None
    segments = tuple(_segment(one, last=number == len(raw) - 1) for number, one in enumerate(raw))
    return segments, query if mark else None


def join(segments: tuple[str, ...]) -> str:
    """The path of decoded segments, encoded in the one way in which it goes on."""
    return "/" + "/".join(quote(segment, safe=_KEPT) for segment in segments)


def decoded(text: str) -> str:
    """Percent-encoded text as what it stands for. Raises: GatewayError."""
    if _BROKEN.search(text):
        raise malformed("the request's target has a broken percent-encoding")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("the request's target is not UTF-8") from None


def _segment(raw: str, *, last: bool) -> str:
    if not raw:
        if last:
            return ""
        raise malformed("the request's path has an empty segment")
    if any(character in _AMBIGUOUS and character != "%" for character in raw):
        raise malformed("the request's path has a character that is read in several ways")
    text = decoded(raw)
    if _AMBIGUOUS & set(text):
        raise malformed("the request's path has an encoded character that is read in several ways")
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"} for c in text):
        raise malformed("the request's path has a control character")
    folded = unicodedata.normalize("NFKC", text)
    if unicodedata.normalize("NFC", text) != text or any(folded.count(c) != text.count(c) for c in _DECIDING):
        raise malformed("the request's path has Unicode that is read in several ways")
    if text != text.strip() or text.endswith(".") or not text.strip("."):
        raise malformed("the request's path has a segment of dots, or one that ends in a dot or a space")
    return text
