"""The dialects: how sqlglot is made to read each, what may be called, and in what they differ.

INVARIANT: a function call stays the call that was written. sqlglot turns known functions into nodes of its own, which
mean the same in its opinion; here every call is a name and its arguments, and the name is looked up in an allow-list.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.mysql import MySQL
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.parsers.mysql import MySQLParser

# FAIL CLOSED: its warnings quote statements, and with them values
logging.getLogger("sqlglot").disabled = True

_CASE: dict[str, Any] = {"CASE": ClickHouseParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}


class _ClickHouse(ClickHouse):
    class Parser(ClickHouseParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS = _CASE


class _MySQL(MySQL):
    class Parser(MySQLParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS = _CASE


@dataclass(frozen=True, slots=True)
class Grammar:
    """One dialect.

    `functions` are the names that may be called: as written where `case_matters`, else in lower case; `folds` says that
    names of columns are the same in any case. `named_by_text` is for servers that name a column of the result by the
    text of its expression. `fence` is the LIMIT that keeps a person's conditions out of a derived table. `escapes` are
    the characters that may follow a backslash in a string. `units` are those of an INTERVAL.
    """

    name: str
    dialect: Dialect = field(repr=False)
    functions: frozenset[str] = field(repr=False)
    fence: str
    escapes: str
    case_matters: bool = False
    folds: bool = False
    named_by_text: bool = False
    operators: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset({"SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})

    def may_call(self, name: str) -> bool:
        """Whether that function may be called."""
        return (name if self.case_matters else name.lower()) in self.functions or (
            self.case_matters and name.lower() in _ANY_CASE and name.lower() in self.functions
        )


_COMMON = """
    abs ceil coalesce concat count avg floor greatest if least length lower lpad ltrim max min nullif position replace
    reverse round rpad rtrim sign sqrt sum trim upper
"""
_ANY_CASE = frozenset({*_COMMON.split(), "ifnull", "substring", "left", "right", "mod", "date", "year", "month", "now"})
"""Functions of ClickHouse that it knows in any case; all others are known as they are written."""

MYSQL = Grammar(
    name="mysql",
    dialect=_MySQL(),
    functions=frozenset(
        f"""
        {_COMMON} ascii bit_count ceiling char_length character_length concat_ws curdate date date_format datediff day
        dayname dayofmonth dayofweek dayofyear elt field find_in_set from_days hour ifnull instr isnull last_day lcase
        left locate ltrim md5 minute mod month monthname now octet_length power pow quarter right second
        std stddev stddev_pop stddev_samp strcmp substr substring substring_index time to_days truncate ucase
        unix_timestamp utc_date utc_timestamp var_pop var_samp variance week weekday year yearweek
        """.split()
    ),
    fence="18446744073709551615",
    escapes="\\'\"ntr0%_",
    folds=True,
    named_by_text=True,
    operators=frozenset({"IntDiv", "NullSafeEQ"}),
)
CLICKHOUSE = Grammar(
    name="clickhouse",
    dialect=_ClickHouse(),
    functions=frozenset(
        f"""
        {_COMMON} addDays addHours addMinutes addMonths addWeeks addYears any anyLast argMax argMin avgIf
        concatWithSeparator countIf dateDiff empty endsWith formatDateTime ifNull intDivOrZero isNotNull isNull left
        lengthUTF8 lowerUTF8 maxIf median minIf mod multiIf notEmpty now nullIf positionCaseInsensitive positionUTF8
        quantile right startsWith stddevPop stddevSamp substring substringUTF8 subtractDays subtractHours
        subtractMinutes
        subtractMonths subtractWeeks subtractYears sumIf toDate toDateTime toDayOfMonth toDayOfWeek toDayOfYear toHour
        toInt32OrNull toInt64OrNull toFloat64OrNull toMinute toMonday toMonth toQuarter toSecond toStartOfDay
        toStartOfHour toStartOfMinute toStartOfMonth toStartOfQuarter toStartOfWeek toStartOfYear toString today
        toUInt32OrNull toUInt64OrNull toYear toYYYYMM toYYYYMMDD uniq uniqExact upperUTF8 varPop varSamp yesterday
        date year month ifnull
        """.split()
    ),
    fence="18446744073709551615",
    escapes="\\'\"ntr0%_",
    case_matters=True,
    operators=frozenset({"ILike", "DPipe"}),
)  # fmt: skip
MARIADB = replace(MYSQL, name="mariadb")
GRAMMARS = {one.name: one for one in (MYSQL, MARIADB, CLICKHOUSE)}
