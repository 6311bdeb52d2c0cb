"""What a mask makes of a value, in Python; and the keys of keyed masks.

INVARIANT: for the same value, key and type, `render` and the SQL of `sql.render.mask_sql` give the same text; one table
of cases (`tests/corpus/masks`) holds both. No mask faults, and a keyed mask without a key gives None.

Values are PostgreSQL's own text form of the type (ISO dates, times in UTC), so that what Python has no value for (an
infinite date) is masked like everything else. Keyed masks are HMAC-SHA256 (RFC 2104) over `label:value`;
keys derive from a master key by HKDF (RFC 5869), bound to a purpose: pseudonyms join within a purpose and nowhere else.

What answers meet most is compiled too, and taken when it has been built: see `compiled_masks.py`.
"""

from __future__ import annotations

import ipaddress
import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.policy import kinds, types
from gateway.policy.compiled_masks import Make, compiled, hmac_blocks
from gateway.policy.kinds import KINDS
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType, column_type

if TYPE_CHECKING:
    from hashlib import _Hash

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
    make = maker(mask, of)
    make = compiled(mask, of, _begun, make) or make
    # what only a type with numbers in parentheses, or one of whole numbers, would change
    fits = of.mods or padded or of.group == types.INTEGER

    if keyed and not fits and not padded:
        # the usual one, without what it does not need
        return lambda value, key: make(value, key) if value is not None and key else None

    def rendered(value: str | None, key: bytes | None) -> str | None:
        if value is None or (keyed and not key):
            return None
        masked = make(value.rstrip(" ") if padded else value, key or b"")
        return _fitted(masked, of) if fits and masked is not None else masked

    return rendered


def maker(mask: Mask, of: ColumnType) -> Make:
    """The function for one mask and one type that it fits, in Python: the twin of what is compiled."""
    return _MAKERS[mask.kind](mask, of)


def render_json(mask: Mask, value: Any, key: bytes | None) -> Any:
    """What a `json` mask makes of a decoded JSON value: the paths named, None for what is absent or unfit."""
    return _json_object(kinds.json_tree(mask), value, key)


def _fitted(text: str, of: ColumnType) -> str:
    if of.group == types.INTEGER and text.isdecimal():
        return text
    if of.group == types.NUMERIC and of.mods and text.isdecimal() and of.mods[1] >= 0:
        return f"{text}.{'0' * of.mods[1]}" if of.mods[1] else text
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


def _partial(mask: Mask, _of: ColumnType) -> Make:
    start, end = int(mask.option("keep_start", 0)), int(mask.option("keep_end", 0))
    shown = start + end

    def made(text: str, _key: bytes) -> str:
        hidden = len(text) - shown
        if not shown or hidden < shown:
            return "*" * len(text)
        return text[:start] + "*" * hidden + text[len(text) - end :]

    return made


def _email(mask: Mask, _of: ColumnType) -> Make:
    keyed = mask.option("domain", "keep") == "keyed"

    def made(text: str, key: bytes) -> str:
        match = _EMAIL_DOMAIN.search(text)
        domain = match[0] if match else ""
        if domain and keyed:
            domain = f"@{_hmac(key, 'email-domain', domain).hex()[:10]}.invalid"
        return _hmac(key, "email", text).hex()[:16] + domain

    return made


def _pseudonym(mask: Mask, of: ColumnType) -> Make:
    domain = mask.option("domain")
    spelled = _SPELLED.get(domain)
    if spelled is not None:
        return lambda text, key: spelled(_hmac(key, domain, text))
    if of.name in {"int2", "int4"}:
        largest = types.INTEGER_MAX[of.name]
        return lambda text, key: str(int.from_bytes(_hmac(key, domain, text)[:4], "big") & largest)
    largest = types.INTEGER_MAX["int8"]
    if of.group != types.NUMERIC:
        return lambda text, key: str(int.from_bytes(_hmac(key, domain, text)[:8], "big") & largest)
    below = 10 ** max(0, min(18, of.mods[0] - of.mods[1])) if of.mods else largest + 1
    return lambda text, key: str((int.from_bytes(_hmac(key, domain, _trimmed(text))[:8], "big") & largest) % below)


def _first_name(digest: bytes) -> str:
    return kinds.FIRST_NAMES[digest[0] & (len(kinds.FIRST_NAMES) - 1)]


def _last_name(digest: bytes) -> str:
    bits = (int.from_bytes(digest[:4], "big") >> 4 | kinds.CONSONANT_BITS) & kinds.VOWEL_BITS
    return format(bits, "x").translate(_TO_SYLLABLES).capitalize()


def _uuid(digest: bytes) -> str:
    digits = digest.hex()[:32]
    return str(UUID(digits[:12] + "8" + digits[13:16] + "a" + digits[17:]))


_SPELLED: dict[Any, Callable[[bytes], str]] = {
    "first_name": _first_name,
    "last_name": _last_name,
    "company": lambda digest: _last_name(digest) + kinds.COMPANY_SUFFIX,
    "token": lambda digest: "t_" + digest.hex()[:20],
    "uuid": _uuid,
}
"""What a digest becomes, by the domain of the pseudonym; of any other it becomes a number."""


def _truncated_time(mask: Mask, of: ColumnType) -> Make:
    zoned, monthly = of.name == "timestamptz", mask.kind == "month"
    rest = {"date": "", "timestamp": " 00:00:00", "timestamptz": " 00:00:00+00"}[of.name]

    def made(text: str, _key: bytes) -> str | None:
        match = _DAY.fullmatch(text)
        if match is None or text.endswith("BC") or not 1 <= int(match[1]) <= 9999:
            return None
        try:
            day = date.fromisoformat(text[:10])
            if zoned:
                day = datetime.fromisoformat(text).astimezone(UTC).date()
        except (ValueError, OverflowError):
            # FAIL CLOSED: a form that cannot be read gives nothing away.
            return None
        return f"{day.year:04}-{day.month if monthly else 1:02}-01{rest}"

    return made


def _bucket(mask: Mask, of: ColumnType) -> Make:
    size, lowest = Decimal(mask.option("size")), kinds.lowest(of)

    def made(text: str, _key: bytes) -> str | None:
        number = _decimal(text, of)
        if number is None:
            return None
        below = _EXACT.multiply(_EXACT.divide_int(number, size), size)
        if below > number:
            # the division goes towards zero, a bucket begins below
            below = _EXACT.subtract(below, size)
        elif not below:
            below = below.copy_abs()
        if lowest is not None:
            below = max(below, lowest)
        if of.group != types.FLOAT:
            return format(below, "f")
        if of.name == "float8":
            return repr(float(below)).removesuffix(".0")
        rounded = _single(float(below))
        return next(text for digits in range(1, 10) if _single(float(text := f"{rounded:.{digits}g}")) == rounded)

    return made


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


def _digits(_mask: Mask, _of: ColumnType) -> Make:
    def made(text: str, key: bytes) -> str:
        if len(text) > kinds.LONGEST_DIGITS:
            return kinds.STARS
        stream = iter(_hmac(key, "digits", text).hex().translate(_TO_DIGITS))
        return "".join([next(stream) if c.isdigit() else c for c in _NOT_IN_SHAPE.sub("x", text)])

    return made


def _initials(_mask: Mask, _of: ColumnType) -> Make:
    def made(text: str, _key: bytes) -> str:
        letters = _WORD.sub(r"\1.", text.strip(kinds.WORD_BREAKS))
        return letters[: 2 * kinds.MOST_INITIALS] if len(letters) <= len(text) else "*"

    return made


def _truncate_ip(_mask: Mask, of: ColumnType) -> Make:
    def of_text(text: str, _key: bytes) -> str:
        match = _IPV4.match(text)
        return f"{match[1]}.0" if match else kinds.STARS

    def of_address(text: str, _key: bytes) -> str:
        address = ipaddress.ip_interface(text)
        kept = kinds.IPV4_BITS if address.version == 4 else kinds.IPV6_BITS
        return str(ipaddress.ip_network((address.ip, min(address.network.prefixlen, kept)), strict=False))

    return of_text if of.group == types.TEXT else of_address


def _json(mask: Mask, _of: ColumnType) -> Make:
    def made(text: str, key: bytes) -> str:
        return _json_text(render_json(mask, json.loads(text, parse_float=Decimal, parse_int=Decimal), key))

    return made


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
    begun, outer = _begun(key, label)
    inner, outer = begun.copy(), outer.copy()
    inner.update(text.encode(errors="surrogatepass"))
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=256)
def _begun(key: bytes, label: str) -> tuple[_Hash, _Hash]:
    """The states behind the key's own blocks and the label: half of the work for a short value (RFC 2104, 4)."""
    inner, outer = hmac_blocks(key)
    return sha256(inner + f"{label}:".encode()), sha256(outer)


_MAKERS: dict[str, Callable[[Mask, ColumnType], Make]] = {
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
"""For each kind, what makes the function for one mask and one type."""
