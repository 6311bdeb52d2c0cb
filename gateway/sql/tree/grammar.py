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
from sqlglot.dialects.trino import Trino
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.parsers.mysql import MySQLParser
from sqlglot.parsers.trino import TrinoParser
from sqlglot.tokenizer_core import TokenType

from gateway.sql.tree import mysql_parts, trino_parts

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
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = mysql_parts.FUNCTION_PARSERS
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS = _CASE
        PLACEHOLDER_PARSERS: ClassVar[dict[Any, Any]] = {
            **MySQLParser.PLACEHOLDER_PARSERS,
            TokenType.PLACEHOLDER: mysql_parts.placeholder,
        }


class _Trino(Trino):
    class Parser(TrinoParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = trino_parts.FUNCTION_PARSERS
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = trino_parts.NO_PAREN_FUNCTIONS
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
    own: bool = False
    """Whether it is MySQL's or MariaDB's."""
    parts: Any = field(default=None, repr=False)
    """The module with what it has beyond the parts of all; None for nothing."""
    standard: bool = False
    """Whether it is written as the standard has it: no backslashes in strings, OFFSET in front of LIMIT."""
    mark: str = "`"
    """What stands around names."""
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
AGGREGATES = frozenset({
    "avg", "bit_and", "bit_or", "bit_xor", "count", "group_concat", "json_arrayagg", "json_objectagg", "max", "min",
    "std", "stddev", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp", "variance",
})  # fmt: skip
"""Functions of MySQL and MariaDB that make one value of many rows."""

MYSQL = Grammar(
    name="mysql",
    dialect=_MySQL(),
    functions=frozenset(
        f"""
        {_COMMON} acos adddate addtime ascii asin atan atan2 avg bin bit_and bit_count bit_length bit_or bit_xor
        ceiling char char_length character_length concat_ws conv convert_tz cos cot crc32 cume_dist curdate
        current_date current_time current_timestamp curtime database date date_add date_format date_sub
        datediff day dayname dayofmonth dayofweek dayofyear degrees dense_rank elt exp field find_in_set
        first_value format from_days from_base64 from_unixtime hex hour if ifnull inet_aton inet_ntoa insert
        instr is_ipv4 is_ipv6 isnull json_array json_arrayagg json_contains json_contains_path json_depth
        json_extract json_keys json_length json_object json_objectagg json_quote json_search json_type
        json_unquote json_valid json_value lag last_day last_value lcase lead left ln localtime localtimestamp
        locate log log10 log2 makedate maketime md5 microsecond mid minute mod month monthname now nth_value
        ntile oct octet_length ord percent_rank period_add period_diff pi pow power quarter quote radians rand
        rank regexp_instr regexp_replace regexp_substr repeat right row_number schema sec_to_time second sin
        soundex space std stddev stddev_pop stddev_samp str_to_date strcmp subdate substr substring
        substring_index subtime tan time time_format time_to_sec timediff timestamp timestampadd timestampdiff
        to_base64 to_days to_seconds truncate ucase unhex unix_timestamp utc_date utc_time utc_timestamp
        var_pop var_samp variance version week weekday weekofyear year yearweek
        """.split()
    ),
    fence="18446744073709551615",
    escapes="\\'\"ntr0%_",
    folds=True,
    named_by_text=True,
    operators=frozenset({"IntDiv", "NullSafeEQ"}),
    own=True,
    parts=mysql_parts,
)
CLICKHOUSE = Grammar(
    name="clickhouse",
    dialect=_ClickHouse(),
    functions=frozenset(
        f"""
        {_COMMON} addDays addHours addMinutes addMonths addWeeks addYears any anyLast argMax argMin avgIf
        concatWithSeparator countIf dateDiff empty endsWith formatDateTime ifNull intDivOrZero isNotNull isNull left
        lengthUTF8 lowerUTF8 maxIf minIf mod multiIf notEmpty now nullIf positionCaseInsensitive positionUTF8
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
MARIADB = replace(MYSQL, name="mariadb", functions=MYSQL.functions | {"nvl", "nvl2"})
TRINO = Grammar(
    name="trino",
    dialect=_Trino(),
    functions=frozenset(
        f"""
        {_COMMON} acos approx_distinct approx_percentile arbitrary asin atan atan2 avg bool_and bool_or cbrt ceiling
        char_length character_length chr codepoint concat_ws cos count_if cume_dist date date_add
        date_diff date_format date_parse date_trunc day day_of_month day_of_week day_of_year degrees dense_rank dow doy
        e every exp first_value from_iso8601_date from_unixtime geometric_mean hour if is_nan lag last_day_of_month
        last_value lead levenshtein_distance ln log log10 log2 max_by min_by minute mod month now nth_value ntile
        percent_rank pi pow power quarter radians rank regexp_count regexp_like row_number sin split_part starts_with
        stddev stddev_pop stddev_samp strpos substr substring tan to_iso8601 to_unixtime translate truncate try
        typeof var_pop var_samp variance version week week_of_year width_bucket year year_of_week
        """.split()
    )
    - {"position"},
    fence="9223372036854775807",
    escapes="",
    folds=True,
    operators=frozenset({"DPipe"}),
    parts=trino_parts,
    standard=True,
    mark='"',
    units=frozenset({"SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR"}),
)
_SEARCHED = frozenset(
    """
    abs avg ceil char_length coalesce concat cos count day day_of_month day_of_week day_of_year dayofmonth dayofweek
    dayofyear degrees exp floor greatest hour ifnull iif isnull least left length log log10 lower ltrim max min minute
    mod month month_of_year monthname nullif pi power quarter radians replace right round rtrim sign sin sqrt substring
    sum tan trim truncate upper week week_of_year year
    """.split()  # noqa: SIM905 - a list of its own would be a page long
)
ELASTICSEARCH = replace(
    TRINO, name="elasticsearch", functions=_SEARCHED, operators=frozenset(), parts=None, folds=False, named_by_text=True
)
OPENSEARCH = Grammar(
    name="opensearch",
    dialect=_MySQL(),
    functions=_SEARCHED,
    fence="",
    escapes="\\'",
    named_by_text=True,
)
GRAMMARS = {one.name: one for one in (MYSQL, MARIADB, CLICKHOUSE, TRINO, ELASTICSEARCH, OPENSEARCH)}
