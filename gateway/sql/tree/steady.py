"""The functions of MySQL that may stand beside sums of true values, and those sums: data of `sums.py` and its check."""

from __future__ import annotations

SUMS = frozenset({
    "count", "sum", "avg", "std", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance",
})  # fmt: skip
"""Those that give no single value away, whichever rows they are over."""
EXTREMES = frozenset({"min", "max"})
"""Those whose answer is one of the values."""
AGGREGATES = SUMS | EXTREMES | frozenset({"bit_and", "bit_or", "bit_xor", "json_arrayagg", "json_objectagg"})
_PLAIN = """
    abs ceil ceiling floor mod round sign truncate coalesce if ifnull nullif greatest least isnull
    char_length character_length concat concat_ws left length lower lcase lpad ltrim replace reverse right rpad rtrim
    substring substr mid substring_index trim upper ucase locate instr position
    date year month monthname day dayname dayofmonth dayofweek dayofyear quarter week weekday weekofyear yearweek
    last_day makedate date_format date_add date_sub adddate subdate datediff timestampdiff timestampadd to_days
    now curdate current_date current_timestamp localtime localtimestamp utc_date utc_timestamp
"""
STEADY = SUMS | EXTREMES | frozenset(_PLAIN.split())
"""The same for the same row, however often they are called."""
