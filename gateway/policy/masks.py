"""What a mask makes of a value, in Python; and the keys of keyed masks.

INVARIANT: for the same value, key and type, `render` and the SQL of `sql.render.mask_sql` give the same text; one table
of cases (`tests/corpus/masks`) holds both. No mask faults, and a keyed mask without a key gives None.

Values are PostgreSQL's own text form of the type (ISO dates, times in UTC), so that what Python has no value for (an
infinite date) is masked like everything else. Keyed masks are HMAC-SHA256 (RFC 2104) over `label:value`;
keys derive from a master key by HKDF (RFC 5869), bound to a purpose: pseudonyms join within a purpose and nowhere else.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.policy import kinds, types
from gateway.policy.kinds import KINDS
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType, column_type

__all__ = ["KEY_BYTES", "KINDS", "PURPOSES", "Renderer", "derive_key", "render", "render_json", "renderer"]

KEY_BYTES = 32
PURPOSES = ("global", "target", "ticket")

Renderer = Callable[[str | None, bytes | None], str | None]
"""What makes of a value, in PostgreSQL's text form, and a key what may be shown of it."""

_LARGEST_BUCKETED = Decimal(kinds.LARGEST_BUCKETED)
_EXACT = Context(prec=20_000, rounding=ROUND_HALF_UP)
_EMAIL_DOMAIN = re.compile(kinds.EMAIL_DOMAIN.removesuffix("$") + r"\Z")
_WORD = re.compile(kinds.WORD)
_NOT_IN_SHAPE = re.compile(kinds.NOT_IN_SHAPE)
_IPV4 = re.compile(kinds.IPV4_TEXT.removesuffix("$") + r"\Z")
_TO_DIGITS = str.maketrans("abcdef", "012345")
_TO_SYLLABLES = str.maketrans(kinds.SYLLABLE_DIGITS, kinds.SYLLABLE_LETTERS)
_DAY = re.compile(r"(\d{4,7})-(\d\d)-(\d\d)(?:[ T].*)?")


def derive_key(master: bytes, purpose: str, name: str) -> bytes:
    """The 32-byte key of keyed masks for one purpose (`global`, `target`, `ticket`) and the target's or ticket's name.

    Raises: ValueError for an unknown purpose or a master key below 32 bytes.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"the purpose of a mask key is one of {', '.join(PURPOSES)}")
    if len(master) < KEY_BYTES:
        raise ValueError(f"a master key has at least {KEY_BYTES} bytes")
    bound = "" if purpose == "global" else name
    info = b"gateway mask key 1\0" + purpose.encode() + b"\0" + bound.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(master)


def render(mask: Mask, value: str | None, key: bytes | None, declared: str) -> str | None:
    """What `mask` makes of a value of the type `declared` (as `format_type` spells it), both in PostgreSQL's text form.

    Raises: ValueError when the mask does not fit the type.
    """
    return renderer(mask, declared)(value, key)


def renderer(mask: Mask, declared: str) -> Renderer:
    """The function that masks values of that type with a key, as `render` does: for many values, made once.

    Raises: ValueError when the mask does not fit the type.
    """
    of = column_type(declared)
    problem = kinds.misfit(mask, of)
    if problem:
        raise ValueError(problem)
    fixed = _fitted(kinds.redacted(of), of) if mask.kind == "redact" else None
    if mask.kind in {"null", "redact"}:
        return lambda _value, _key: fixed
    keyed = KINDS[mask.kind].keyed and mask.kind != "json"
    padded = of.name == "bpchar"
    if mask.kind == "clear":
        return lambda value, _key: value.rstrip(" ") if padded and value is not None else value
    make = _RENDER[mask.kind]
    # what only a type with numbers in parentheses, or one of whole numbers, would change
    fits = of.mods or padded or of.group == types.INTEGER

    def rendered(value: str | None, key: bytes | None) -> str | None:
        if value is None or (keyed and not key):
            return None
        masked = make(mask, value.rstrip(" ") if padded else value, key or b"", of)
        return _fitted(masked, of) if fits and masked is not None else masked

    return rendered


def render_json(mask: Mask, value: Any, key: bytes | None) -> Any:
    """What a `json` mask makes of a decoded JSON value: the paths named, None for what is absent or unfit."""
    return _json_object(kinds.json_tree(mask), value, key)


def _fitted(text: str, of: ColumnType) -> str:
    if of.group == types.INTEGER and text.isdecimal():
        return text
    if of.group in {types.INTEGER, types.NUMERIC}:
        return _number_text(Decimal(text), of)
    if of.group != types.TEXT:
        return text
    fitted = text[: of.length] if of.length is not None else text
    return fitted.rstrip(" ") if of.name == "bpchar" else fitted


def _number_text(number: Decimal, of: ColumnType) -> str:
    if of.group == types.INTEGER:
        return str(int(number.quantize(Decimal(1), context=_EXACT)))
    if of.mods:
        places = of.mods[1]
        rounded = number.quantize(Decimal(1).scaleb(-places), context=_EXACT)
        number = rounded if places >= 0 else Decimal(int(rounded))
    return format(number, "f")


def _partial(mask: Mask, text: str, _key: bytes, _of: ColumnType) -> str:
    start, end = int(mask.option("keep_start", 0)), int(mask.option("keep_end", 0))
    if not start + end or len(text) < 2 * (start + end):
        return "*" * len(text)
    return text[:start] + "*" * (len(text) - start - end) + text[len(text) - end :]


def _email(mask: Mask, text: str, key: bytes, _of: ColumnType) -> str:
    match = _EMAIL_DOMAIN.search(text)
    domain = match[0] if match else ""
    if domain and mask.option("domain", "keep") == "keyed":
        domain = f"@{_hmac(key, 'email-domain', domain).hex()[:10]}.invalid"
    return _hmac(key, "email", text).hex()[:16] + domain


def _pseudonym(mask: Mask, text: str, key: bytes, of: ColumnType) -> str:
    domain = mask.option("domain")
    if of.group == types.NUMERIC:
        text = _trimmed(text)
    digest = _hmac(key, domain, text)
    if domain == "first_name":
        return kinds.FIRST_NAMES[digest[0] & (len(kinds.FIRST_NAMES) - 1)]
    if domain in {"last_name", "company"}:
        bits = (int(digest.hex()[:7], 16) | kinds.CONSONANT_BITS) & kinds.VOWEL_BITS
        name = format(bits, "x").translate(_TO_SYLLABLES).capitalize()
        return name + (kinds.COMPANY_SUFFIX if domain == "company" else "")
    if domain == "token":
        return "t_" + digest.hex()[:20]
    if domain == "uuid":
        digits = digest.hex()[:32]
        return str(UUID(digits[:12] + "8" + digits[13:16] + "a" + digits[17:]))
    if of.name in {"int2", "int4"}:
        return str(int.from_bytes(digest[:4], "big") & types.INTEGER_MAX[of.name])
    number = int.from_bytes(digest[:8], "big") & types.INTEGER_MAX["int8"]
    if of.group == types.NUMERIC and of.mods:
        number %= 10 ** max(0, min(18, of.mods[0] - of.mods[1]))
    return str(number)


def _truncated_time(mask: Mask, text: str, _key: bytes, of: ColumnType) -> str | None:
    match = _DAY.fullmatch(text)
    if match is None or text.endswith("BC") or not 1 <= int(match[1]) <= 9999:
        return None
    try:
        day = date.fromisoformat(text[:10])
        if of.name == "timestamptz":
            day = datetime.fromisoformat(text).astimezone(UTC).date()
    except (ValueError, OverflowError):
        # FAIL CLOSED: a form that cannot be read gives nothing away.
        return None
    first = day.replace(day=1) if mask.kind == "month" else day.replace(month=1, day=1)
    return first.isoformat() + {"date": "", "timestamp": " 00:00:00", "timestamptz": " 00:00:00+00"}[of.name]


def _bucket(mask: Mask, text: str, _key: bytes, of: ColumnType) -> str | None:
    number = _decimal(text, of)
    if number is None:
        return None
    size = Decimal(mask.option("size"))
    count = _EXACT.divide_int(number, size)
    below = _EXACT.multiply(count, size)
    if below > number:
        # the division goes towards zero, a bucket begins below
        below = _EXACT.subtract(below, size)
    elif not below:
        below = below.copy_abs()
    lowest = kinds.lowest(of)
    if lowest is not None:
        below = max(below, lowest)
    if of.group != types.FLOAT:
        return format(below, "f")
    if of.name == "float8":
        return repr(float(below)).removesuffix(".0")
    rounded = _single(float(below))
    return next(text for digits in range(1, 10) if _single(float(text := f"{rounded:.{digits}g}")) == rounded)


def _decimal(text: str, of: ColumnType) -> Decimal | None:
    if of.group == types.FLOAT:
        number = float(text)
        if not abs(number) < float(kinds.LARGEST_BUCKETED):
            return None
        # PostgreSQL turns a float into a numeric through its 6 or 15 safe digits (FLT_DIG, DBL_DIG).
        return Decimal(f"{_single(number):.6g}" if of.name == "float4" else f"{number:.15g}")
    try:
        exact = _EXACT.create_decimal(text)
    except InvalidOperation:
        return None
    return exact if exact.is_finite() and exact.copy_abs() < _LARGEST_BUCKETED else None


def _single(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


def _trimmed(text: str) -> str:
    number = Decimal(text)
    if not number.is_finite():
        return text
    plain = format(number, "f") if number else "0"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _digits(_mask: Mask, text: str, key: bytes, _of: ColumnType) -> str:
    if len(text) > kinds.LONGEST_DIGITS:
        return kinds.STARS
    stream = iter(_hmac(key, "digits", text).hex().translate(_TO_DIGITS))
    return "".join(next(stream) if c.isdigit() else c for c in _NOT_IN_SHAPE.sub("x", text))


def _initials(_mask: Mask, text: str, _key: bytes, _of: ColumnType) -> str:
    letters = _WORD.sub(r"\1.", text.strip(kinds.WORD_BREAKS))
    return letters[: 2 * kinds.MOST_INITIALS] if len(letters) <= len(text) else "*"


def _truncate_ip(_mask: Mask, text: str, _key: bytes, of: ColumnType) -> str:
    if of.group == types.TEXT:
        match = _IPV4.match(text)
        return f"{match[1]}.0" if match else kinds.STARS
    address = ipaddress.ip_interface(text)
    kept = kinds.IPV4_BITS if address.version == 4 else kinds.IPV6_BITS
    return str(ipaddress.ip_network((address.ip, min(address.network.prefixlen, kept)), strict=False))


def _json(mask: Mask, text: str, key: bytes, _of: ColumnType) -> str:
    return _json_text(render_json(mask, json.loads(text, parse_float=Decimal, parse_int=Decimal), key))


def _json_object(tree: kinds.JsonTree, value: Any, key: bytes | None) -> dict[str, Any]:
    members = value if isinstance(value, dict) else {}
    return {
        name: _json_leaf(below, members.get(name), key)
        if isinstance(below, Mask)
        else _json_object(below, members.get(name), key)
        for name, below in tree.items()
    }


def _json_leaf(mask: Mask, value: Any, key: bytes | None) -> Any:
    of = kinds.json_leaf_type(mask)
    if mask.kind == "redact":
        return kinds.redacted(of)
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if mask.kind == "clear":
        return value if is_number or isinstance(value, str | bool) else None
    if of.group == types.NUMERIC:
        masked = render(mask, format(Decimal(str(value)), "f"), key, "numeric") if is_number else None
        return None if masked is None else Decimal(masked)
    return render(mask, value, key, "text") if isinstance(value, str) else None


def _json_text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_json_text(below)}" for name, below in value.items()) + "}"
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def _hmac(key: bytes, label: str, text: str) -> bytes:
    begun = _begun(key).copy()
    begun.update(f"{label}:{text}".encode(errors="surrogatepass"))
    return begun.digest()


@lru_cache(maxsize=64)
def _begun(key: bytes) -> hmac.HMAC:
    """The state behind the key's own block, which is half of the work for a short value."""
    return hmac.new(key, digestmod="sha256")


_RENDER: dict[str, Callable[[Mask, str, bytes, ColumnType], str | None]] = {
    "partial": _partial,
    "email": _email,
    "pseudonym": _pseudonym,
    "year": _truncated_time,
    "month": _truncated_time,
    "bucket": _bucket,
    "digits": _digits,
    "initials": _initials,
    "truncate_ip": _truncate_ip,
    "json": _json,
}
