"""Values of the binary protocol: parameters of COM_STMT_EXECUTE and cells of binary rows.

MySQL Source Code Documentation, "Binary Protocol Resultset", "Binary Protocol Value". A value is None, an integer, a
float, one of the three below, or bytes as the server wrote them: decimals, texts, blobs, JSON, bits and geometry are
never interpreted. Dates may be zero in every part, as the server's may.

INVARIANT: what is encoded is read back as the same value; a value outside its type's range is refused both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from gateway.wire.mysql.base import Reader, Type, lenenc_bytes, unsupported, violation


class Date(NamedTuple):
    """A day; each part may be 0."""

    year: int
    month: int
    day: int


class DateTime(NamedTuple):
    """A moment as the session's time zone shows it."""

    year: int
    month: int
    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0
    microsecond: int = 0


class Time(NamedTuple):
    """A span of time, or a time of day. Servers keep up to 838:59:59; the wire has room for more days."""

    negative: bool
    days: int
    hour: int
    minute: int
    second: int
    microsecond: int = 0


Value = int | float | bytes | Date | DateTime | Time | None

INTEGERS: Final = {Type.TINY: 1, Type.SHORT: 2, Type.YEAR: 2, Type.LONG: 4, Type.INT24: 4, Type.LONGLONG: 8}
"""Bytes of each integer type. A 24-bit integer travels in four."""
_FLOATS: Final = {Type.FLOAT: Struct("<f"), Type.DOUBLE: Struct("<d")}
_MOMENTS: Final = (Type.TIMESTAMP, Type.DATETIME)
_DATE: Final = Struct("<HBB")
_CLOCK: Final = Struct("<BBB")
_MICROSECONDS: Final = Struct("<I")

STRINGS: Final = frozenset(
    {
        Type.DECIMAL,
        Type.NEWDECIMAL,
        Type.VARCHAR,
        Type.VAR_STRING,
        Type.STRING,
        Type.TINY_BLOB,
        Type.MEDIUM_BLOB,
        Type.LONG_BLOB,
        Type.BLOB,
        Type.ENUM,
        Type.SET,
        Type.BIT,
        Type.JSON,
        Type.GEOMETRY,
    }
)
"""Types that travel as a string with its length."""

_TYPES: Final = {int(kind): kind for kind in Type}


def type_of(code: int) -> Type:
    """The type of that number. Raises: `GatewayError` `feature-not-supported` for one that is not known."""
    found = _TYPES.get(code)
    if found is None:
        raise unsupported(f"a value of type {code} is not supported")
    return found


def read_value(reader: Reader, kind: Type, *, unsigned: bool) -> Value:
    """The value of that type that is not NULL by the bitmap. Raises: `GatewayError` `protocol-violation`."""
    size = INTEGERS.get(kind)
    if size is not None:
        return int.from_bytes(reader.take(size), "little", signed=not unsigned)
    if kind in STRINGS:
        return reader.string()
    if kind in _FLOATS:
        packing = _FLOATS[kind]
        number: float = packing.unpack(reader.take(packing.size))[0]
        return number
    if kind == Type.NULL:
        return None
    return _TEMPORAL[kind](reader.take(reader.number(1)))


def write_value(value: Value, kind: Type, *, unsigned: bool) -> bytes:
    """The bytes of a value that is not None. Raises: `GatewayError` `protocol-violation` where it is not of it."""
    size = INTEGERS.get(kind)
    if size is not None and isinstance(value, int):
        try:
            return value.to_bytes(size, "little", signed=not unsigned)
        except OverflowError:
            raise violation("an integer is outside of its type's range") from None
    if kind in STRINGS and isinstance(value, bytes):
        return lenenc_bytes(value)
    if kind in _FLOATS and isinstance(value, float):
        try:
            return _FLOATS[kind].pack(value)
        except OverflowError:
            raise violation("a float is outside of its type's range") from None
    if kind == Type.DATE and isinstance(value, Date):
        return _sized(_write_moment(DateTime(*value)))
    if kind in _MOMENTS and isinstance(value, DateTime):
        return _sized(_write_moment(value))
    if kind == Type.TIME and isinstance(value, Time):
        return _sized(_write_time(value))
    raise violation("a value is not of its type")


def value_end(body: bytes, at: int, kind: Type) -> int:
    """Where a value that begins at `at` ends, without reading it. Raises: `GatewayError` `protocol-violation`."""
    fixed = INTEGERS.get(kind)
    if fixed is None and kind in _FLOATS:
        fixed = _FLOATS[kind].size
    if fixed is None:
        reader = Reader(body, "row", at)
        if kind in STRINGS:
            size = reader.lenenc()
        else:
            size = 0 if kind == Type.NULL else reader.number(1)
        at, fixed = reader.at, size
    if at + fixed > len(body):
        raise violation("the row is cut short")
    return at + fixed


def _sized(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _read_date(data: bytes) -> Date:
    # MariaDB Connector/J writes a clock behind a date, at midnight
    if len(data) not in (0, 4, 7) or any(data[4:]):
        raise violation("a date has an impossible length")
    return Date(*_read_moment(data)[:3])


def _read_moment(data: bytes) -> DateTime:
    if len(data) not in (0, 4, 7, 11):
        raise violation("a moment has an impossible length")
    parts = [0] * 7
    if data:
        parts[:3] = _DATE.unpack_from(data)
    if len(data) > 4:
        parts[3:6] = _CLOCK.unpack_from(data, 4)
    if len(data) > 7:
        parts[6:] = _MICROSECONDS.unpack_from(data, 7)
    return _checked_moment(DateTime(*parts))


def _read_time(data: bytes) -> Time:
    if len(data) not in (0, 8, 12):
        raise violation("a time has an impossible length")
    if not data:
        return Time(False, 0, 0, 0, 0)
    if data[0] > 1:
        raise violation("a time has an unknown sign")
    (days,) = _MICROSECONDS.unpack_from(data, 1)
    microsecond = _MICROSECONDS.unpack_from(data, 8)[0] if len(data) == 12 else 0
    hour, minute, second = _CLOCK.unpack_from(data, 5)
    return _checked_time(Time(data[0] == 1, days, hour, minute, second, microsecond))


def _write_moment(value: DateTime) -> bytes:
    _checked_moment(value)
    if not any(value):
        return b""
    data = _DATE.pack(*value[:3])
    if any(value[3:]):
        data += _CLOCK.pack(*value[3:6])
    return data + (_MICROSECONDS.pack(value.microsecond) if value.microsecond else b"")


def _write_time(value: Time) -> bytes:
    _checked_time(value)
    if not any(value):
        return b""
    data = bytes((value.negative,)) + _MICROSECONDS.pack(value.days) + _CLOCK.pack(*value[2:5])
    return data + (_MICROSECONDS.pack(value.microsecond) if value.microsecond else b"")


def _checked_moment(value: DateTime) -> DateTime:
    for part, most in zip(value, (9999, 12, 31, 23, 59, 59, 999_999), strict=True):
        if not 0 <= part <= most:
            raise violation("a moment has a part outside of its range")
    return value


def _checked_time(value: Time) -> Time:
    for part, most in zip(value[1:], (0xFFFFFFFF, 23, 59, 59, 999_999), strict=True):
        if not 0 <= part <= most:
            raise violation("a time has a part outside of its range")
    return value


_TEMPORAL: Final[dict[Type, Callable[[bytes], Value]]] = {
    Type.DATE: _read_date,
    Type.TIME: _read_time,
    Type.TIMESTAMP: _read_moment,
    Type.DATETIME: _read_moment,
}
