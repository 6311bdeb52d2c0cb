"""Times as an auditor says them: dates, moments and spans, all in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from gateway.errors import GatewayError

_SPAN = re.compile(r"([1-9][0-9]{0,4})(min|h|d|w)")
_NAMED = re.compile(r"(last|this)-(week|month|quarter|year)|today|yesterday")
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
HINT = "for example 2026-03-01, 2026-03-01T09:30:00Z, 7d, 12h, today, yesterday, last-week, last-quarter, this-year"


def period(since: str | None, until: str | None, now: datetime) -> tuple[datetime | None, datetime | None]:
    """From when, and until before when. A date or a period in `until` counts to its own end.

    `last-quarter` and its like are the whole of it when `until` is not given. Raises `GatewayError("request-invalid")`.
    """
    first, natural = _span(since, now) if since else (None, None)
    last = _span(until, now)[1] if until else natural if since and _NAMED.fullmatch(since) else None
    if first is not None and last is not None and first >= last:
        raise GatewayError("request-invalid", "the time asked for ends before it begins", "see --from and --to")
    return first, last


def _span(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Beginning and end of what the text names; a moment ends where it begins."""
    now = now.astimezone(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if match := _SPAN.fullmatch(text):
            start = now - int(match[1]) * _UNITS[match[2]]
            return start, start
        if text in ("today", "yesterday"):
            start = day - timedelta(days=text == "yesterday")
            return start, start + timedelta(days=1)
        which, _, unit = text.partition("-")
        if which in ("last", "this") and unit == "week":
            start = day - timedelta(days=day.weekday() + 7 * (which == "last"))
            return start, start + timedelta(weeks=1)
        if which in ("last", "this") and unit in _MONTHS:
            length = _MONTHS[unit]
            number = (day.year * 12 + day.month - 1) // length * length - length * (which == "last")
            return _month(number), _month(number + length)
        moment = datetime.fromisoformat(text)
        if len(text) == 10:
            start = moment.replace(tzinfo=UTC)
            return start, start + timedelta(days=1)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise GatewayError("request-invalid", "that is not a time", HINT) from error
    return moment, moment


def _month(number: int) -> datetime:
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
