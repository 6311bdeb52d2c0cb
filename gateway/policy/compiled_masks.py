"""Which makers of masks there are compiled (`_masks.pyx`), for those of `masks.py` that answers meet most.

INVARIANT: a maker of here gives what its twin gives, for every text and key (`tests/properties/test_mask_twins.py`).
"""

from __future__ import annotations

import ctypes
import hmac
from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import sha256
from types import ModuleType
from typing import Any

from gateway.policy import kinds, types
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType

try:
    from gateway.policy import _masks
except ImportError:
    _masks = None  # type: ignore[assignment]  # it is optional

Make = Callable[[str, bytes], str | None]
Begun = Callable[[bytes, str], Any]
"""The states of HMAC-SHA256 behind a key and a label, the inner one and the outer one."""

_BLOCK = 64


def compiled(mask: Mask, of: ColumnType, begun: Begun, twin: Make, native: ModuleType | None = _masks) -> Make | None:
    """The compiled maker for one mask and one type; None where there is only its twin."""
    make = _MAKERS.get(mask.kind)
    if native is not None and has_sha256(native):
        begun = _states(native)
    made: Make | None = make(native, mask, of, begun, twin) if native is not None and make is not None else None
    return made


def hmac_blocks(key: bytes) -> tuple[bytes, bytes]:
    """The blocks that a key becomes, the inner one and the outer one (RFC 2104, 2)."""
    block = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


@cache
def has_sha256(native: ModuleType) -> bool:
    """Whether the compiled module calls OpenSSL's SHA-256 as hashlib does, but on states that are no objects.

    Found where hashlib has it. Without it, or where OpenSSL is held to FIPS 140 and its low-level functions are not,
    hashlib's own objects serve.
    """
    try:
        import _hashlib

        if _hashlib.get_fips_mode():
            return False
        library = ctypes.CDLL(_hashlib.__file__)
        names = "SHA256_Init", "SHA256_Update", "SHA256_Final"
        native.adopt(*(ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in names))
    except (ImportError, AttributeError, OSError):
        return False
    return all(_states(native)(b"key", "label").of(text) == _hmac(b"key", f"label:{text}") for text in ("", "a" * 200))


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


@cache
def _states(native: ModuleType) -> Begun:
    @lru_cache(maxsize=256)
    def begun(key: bytes, label: str) -> Any:
        inner, outer = hmac_blocks(key)
        return native.States(inner + f"{label}:".encode(), outer)

    return begun


def _pseudonym(native: Any, mask: Mask, of: ColumnType, begun: Begun, _twin: Make) -> Any:
    domain = mask.option("domain")
    if domain in {"last_name", "company"}:
        letters = native.syllables(kinds.SYLLABLE_DIGITS, kinds.SYLLABLE_LETTERS)
        suffix = kinds.COMPANY_SUFFIX if domain == "company" else ""
        return native.last_name(domain, begun, letters, kinds.CONSONANT_BITS, kinds.VOWEL_BITS, suffix)
    if domain == "token":
        return native.token(domain, begun)
    if of.group != types.INTEGER or domain in {"first_name", "uuid"}:
        return None
    return native.number(domain, begun, 8 if of.name == "int8" else 4, types.INTEGER_MAX[of.name])


def _day(native: Any, mask: Mask, of: ColumnType, _begun: Begun, twin: Make) -> Any:
    rest = {"date": "", "timestamp": " 00:00:00"}.get(of.name)
    return native.truncated_day(mask.kind == "month", rest, twin) if rest is not None else None


def _bucket(native: Any, mask: Mask, of: ColumnType, _begun: Begun, twin: Make) -> Any:
    size = str(mask.option("size"))
    return native.bucket(int(size), twin) if of.group != types.FLOAT and size.isdecimal() else None


_MAKERS: dict[str, Callable[[Any, Mask, ColumnType, Begun, Make], Any]] = {
    "pseudonym": _pseudonym,
    "email": lambda native, mask, _of, begun, twin: native.email(mask.option("domain") == "keyed", begun, twin),
    "digits": lambda native, _mask, _of, begun, twin: native.digits(begun, twin),
    "partial": lambda native, mask, _of, _begun, _twin: native.partial(
        int(mask.option("keep_start", 0)), int(mask.option("keep_end", 0))
    ),
    "initials": lambda native, _mask, _of, _begun, twin: native.initials(twin),
    "year": _day,
    "month": _day,
    "bucket": _bucket,
}
