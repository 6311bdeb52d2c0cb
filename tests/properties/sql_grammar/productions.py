"""The productions of expressions, as tables: what may stand for a value of each kind.

A hole `{kind}` is another expression; `{kind#1}` is the same text wherever it has the same number. `!` before a
production says that it can fail at run time, and makes it rare. The first ones of a kind are its leaves.
"""

from __future__ import annotations

LEAVES = {
    "int": "0|1|2|42|43|(-1)|3|42001|(null::int)|1000",
    "text": "'a'|'active'|''|'Ann'|'x-1'|null::text|'42'|E'\\t'|'FR'|U&'\\0061b'|$$q$$",
    "bool": "true|(1 = 1)|true|false|(null::bool)",
    "num": "0.5|1.25|10::numeric|(-2.5)|null::numeric",
    "float": "1.5::float8|0::float8|'-3'::float8",
    "date": "date '2020-02-29'|'1990-01-01'::date|date '2026-05-05'|null::date",
    "ts": "'2020-01-01 10:00+00'::timestamptz|timestamptz '2019-05-05'",
    "json": """'{"a": 1}'::jsonb|'[1, 2]'::jsonb|null::jsonb|jsonb '{"b": {"c": "x"}'""",
    "ints": "array[1, 2]|'{}'::int[]|'{1,NULL}'::int[]",
    "texts": "array['a', 'b']|'{}'::text[]|null::text[]",
    "mood": "'sad'::mood|'happy'::public.mood|cast(null as mood)",
    "uuid": "'00000000-0000-0000-0000-000000000042'::uuid",
    "inet": "inet '10.0.0.1'|'10.0.0.0/8'::inet",
    "small": "1|2|0|3",
    "pattern": "'%a%'|'A%'|'_'|'%'|'42%'",
    "regex": r"'[a-c]'|'^4'|'[ae]n'|'\\d+'|'^$'",
}

VALUES = {
    "int": """
        ({int} + {int})
        ({int} - {small})
        ({int} * {small})
        ({int} % 7)
        (- {int})
        abs({int})
        length({text})
        char_length({text})
        position('a' in {text})
        strpos({text}, 'a')
        ascii(left({text}, 1))
        extract(year from {date})::int
        cast(date_part('month', {date}) as int)
        ({date} - {date})
        array_length({ints}, 1)
        cardinality({texts})
        ({ints})[1]
        {bool}::int
        ({int} / 2)
        ({int} & {small})
        ({int} | 1)
        ({int}::bigint << 1)
        nullif({int}, {int})
        coalesce({int}, {int})
        greatest({int}, {int}, {small})
        least({int}, {int})
        case when {bool} then {int} else {int} end
        case {int} when {int} then {int} when {small} then {int} end
        case {text} when {text} then {int} else {small} end
        num_nulls({text}, {int})
        width_bucket({num}, 0, 100, 5)
        sign({num})::int
        round({num})::int
        array_position({texts}, {text})
        jsonb_array_length(jsonb_build_array({int}, {text}))
        (jsonb_build_object('n', {int}) ->> 'n')::int
        cast(cast({int} as text) as int)
        coalesce(({one_int}), {int})
        ({one_int})
        {field_int}
        mod({int}, 5)
        octet_length({text})
        !({int} / {int})
        !{text}::int
        !({int} % {small})
        !(2147483647 + {int})
        !{int}::smallint::int
        !({many_int})
        !({json} ->> 'a')::int
    """,
    "text": """
        ({text} || {text})
        ({text} || {int})
        {int}::text
        cast({int} as varchar(4))
        upper({text})
        lower({text})
        initcap({text})
        left({text}, 2)
        right({text}, {small})
        substring({text} from 1 for 2)
        substring({text} from {regex})
        substr({text}, 2)
        trim(both ' ' from {text})
        ltrim({text}, 'a')
        btrim({text})
        replace({text}, 'a', {text})
        translate({text}, 'abc', 'xy')
        reverse({text})
        repeat({text}, {small})
        lpad({text}, 4, '.')
        split_part({text}, '-', 1)
        concat({text}, {int}, {bool})
        concat_ws('/', {text}, {text})
        format('%s-%I', {text}, coalesce({text}, 'n'))
        to_char({date}, 'YYYY-MM')
        to_char({int}, 'FM999999')
        md5({text})
        regexp_replace({text}, {regex}, '#', 'g')
        overlay({text} placing 'Z' from 1 for 1)
        coalesce({text}, {text})
        nullif({text}, {text})
        greatest({text}, {text})
        case when {bool} then {text} end
        case {mood} when 'sad' then {text} else 'other' end
        {bool}::text
        {mood}::text
        {row}::text
        cast({row} as text)
        row_to_json({row})::text
        to_jsonb({row})::text
        row({int}, {text})::text
        row({stars}, {int})::text
        ({int}, {text}, null)::text
        ({json} ->> 'a')
        ({json} #>> '{b,c}')
        {json}::text
        array_to_string({texts}, ',')
        ({texts})[1]
        {texts}::text
        {ints}::text
        {date}::text
        {ts}::text
        {uuid}::text
        {num}::text
        {inet}::text
        host({inet})
        {text}::varchar(3)
        {text}::char(2)::text
        ({text} collate "C")
        quote_literal({text})
        encode(convert_to({text}, 'UTF8'), 'hex')
        (regexp_match({text}, {regex}))[1]
        ({one_text})
        {field_text}
        starts_with({text}, 'a')::text
        to_char({ts} at time zone 'UTC', 'YYYY')
        !({many_text})
        !to_char(to_date({text}, 'YYYY-MM-DD'), 'YYYY')
        !substring({text} from 1 for {int})
        !convert_from(decode({text}, 'hex'), 'UTF8')
    """,
    "bool": """
        ({int} = {int})
        ({int} <> {int})
        ({int} < {int})
        ({int} >= {small})
        ({int} between {int} and {int})
        ({int} not between {small} and {int})
        ({int} between symmetric {int} and {small})
        ({int} in ({int}, {small}, {int}))
        ({text} not in ({text}, {text}))
        ({text} = {text})
        ({text} < {text})
        ({text} like {pattern})
        ({text} not like {pattern})
        ({text} ilike {pattern})
        ({text} similar to '(a|b|c)%')
        ({text} ~ {regex})
        ({text} ~* {regex})
        ({text} !~ {regex})
        ({int} is null)
        ({text} is not null)
        ({text} is distinct from {text})
        ({int} is not distinct from {int})
        ({bool} is true)
        ({bool} is not false)
        ({bool} is unknown)
        (not {bool})
        ({bool} and {bool})
        ({bool} or {bool})
        exists ({any})
        (not exists ({any}))
        ({int} in ({list_int}))
        ({text} in ({list_text}))
        ({int} not in ({list_int}))
        ({int} = any ({list_int}))
        ({int} <> all ({list_int}))
        ({int} < some ({list_int}))
        ({text} >= all ({list_text}))
        ({int} = any ({ints}))
        ({text} = any ({texts}))
        ({int} = any (array({list_int})))
        ({text} like any ({texts}))
        (({int}, {text}) = ({int}, {text}))
        (({int}, {text}) < ({int}, {text}))
        (row({int}, {text}) is not distinct from row({int}, {text}))
        (({int}, {text}) in ({pairs}))
        ({row} is null)
        ({row} is not null)
        (row({stars}) is null)
        (row({stars#1}) = row({stars#1}))
        ({row#1} = {row#1} and {row#1} is not null)
        (({int}, {int}) is not null)
        ({ints} && {ints})
        ({texts} @> {texts})
        ({json} @> '{"a": 1}')
        ({json} ? 'a')
        jsonb_path_exists({json}, '$.a')
        (({date}, {date}) overlaps ({date}, interval '30 days'))
        ({mood} = 'sad')
        ({mood} > {mood})
        ({date} > {date})
        ({date} between '2000-01-01' and {date})
        ({date} < now())
        ({ts} >= {date})
        ({uuid} = {uuid})
        ({inet} << '10.0.0.0/8')
        ({num} > {int})
        ({float} <= {num})
        isfinite({date})
        coalesce({bool}, {bool})
        case when {bool} then {bool} else {bool} end
        ({text} operator(pg_catalog.=) {text})
        ({text} ^@ 'a')
        ({text})::varchar = {text}
        !(1 / ({int} - 42001) > {small})
        !(100 / {int} > {small})
        !({text}::int = {int})
        !({text} ~ {text})
        !({text}::date < {date})
    """,
    "num": """
        {int}::numeric
        ({num} + {num})
        ({num} * 2)
        round({num}, 1)
        trunc({num})
        ({int} * 0.5)
        ({num} / nullif({int}, 0))
        coalesce({num}, {int})
        greatest({num}, {num})
        floor({num})
        case when {bool} then {num} else 0 end
        ({one_num})
        {field_num}
        !cast({num} as numeric(3, 1))
        !({num} / {int})
    """,
    "float": """
        {int}::float8
        ({float} * 2)
        sqrt(abs({int})::float8)
        {num}::float8
        !exp({int}::float8)
    """,
    "date": """
        ({date} + {small})
        ({date} - 1)
        ({date} + interval '1 month')::date
        date_trunc('month', {date})::date
        ({ts} at time zone 'UTC')::date
        make_date(2020, 1 + {small}, 1)
        coalesce({date}, {date})
        greatest({date}, {date})
        case when {bool} then {date} end
        to_date('2020-01-' || (1 + {small}), 'YYYY-MM-DD')
        ({one_date})
        !{text}::date
        !({date} + {int} * 1000)
    """,
    "ts": """
        {date}::timestamptz
        date_trunc('year', {ts})
        ({ts} + interval '1 day 2 hours')
        coalesce({ts}, {date})
        least({ts}, {ts})
    """,
    "json": """
        jsonb_build_object('k', {text}, 'n', {int})
        jsonb_build_array({int}, {text}, {bool})
        to_jsonb({int})
        to_jsonb({text}::text)
        to_jsonb({row})
        to_jsonb({texts})
        ({json} -> 'a')
        ({json} #> '{b,c}')
        ({json} || '{"z": 1}')
        jsonb_strip_nulls({json})
        jsonb_set(jsonb_build_object('a', {int}), array['a'], to_jsonb({text}::text), true)
        coalesce({json}, '{}'::jsonb)
        row_to_json({row})::jsonb
        jsonb_path_query_array({json}, '$.*')
        ({one_json})
        !{text}::jsonb
    """,
    "ints": """
        array[{int}, {int}]
        ({ints} || {int})
        array(select v from ({list_int}) as q(v) order by 1)
        array_append({ints}, {int})
        array_remove({ints}, {int})
        ({ints})[1:2]
        array_cat({ints}, {ints})
        coalesce({ints}, '{}')
    """,
    "texts": """
        array[{text}, {text}]
        string_to_array({text}, '-')
        regexp_split_to_array({text}, 'a')
        ({texts} || {text})
        ({texts} || {texts})
        array(select v from ({list_text}) as q(v) order by 1)
        array_replace({texts}, 'a', {text})
        ({texts})[:1]
    """,
    "mood": """
        coalesce({mood}, 'sad')
        case when {bool} then {mood} else 'happy' end
        greatest({mood}, {mood})
        !{text}::mood
    """,
    "uuid": """
        coalesce({uuid}, {uuid})
        !{text}::uuid
    """,
    "inet": """
        network({inet})::inet
        set_masklen({inet}, 16)
        !{text}::inet
    """,
}

AGGREGATES = {
    "int": """
        count(*)
        count({int})
        count({row})
        count(distinct {text})
        count(distinct ({int}, {text}))
        sum({int})
        max({int})
        min({int})
        count(*) filter (where {bool})
        sum({int}) filter (where {bool})
        sum(distinct {int})
        (percentile_disc(0.5) within group (order by {int}))
        (mode() within group (order by {int}))
        (rank(1) within group (order by {int}))
        (dense_rank({small}) within group (order by {int} desc nulls last))
        cardinality(array_agg({int}))
        max(length({text}))
        bit_or({int})
    """,
    "text": """
        max({text})
        min({text})
        string_agg({text#1}, ',' order by {text#1})
        string_agg(distinct {text}, ';')
        (mode() within group (order by {text}))
        array_agg({int#1} order by {int#1})::text
        json_agg({text#1}::text order by {text#1} desc)::text
        (percentile_disc(array[0.25, 0.75]) within group (order by {int}))::text
        max({date})::text
        string_agg({text#1}, ',' order by {text#1}) filter (where {bool})
    """,
    "bool": """
        bool_and({bool})
        bool_or({bool})
        every({bool})
        (count(*) > 1)
        (sum({int}) is null)
        (max({text}) like {pattern})
    """,
    "num": """
        avg({int})
        sum({num})
        max({num})
        variance({int})
        round(avg({num}), 2)
        (percentile_cont(0.5) within group (order by {int}))::numeric
    """,
    "json": """
        jsonb_agg({json#1} order by {json#1})
        jsonb_object_agg(coalesce({text#1}, '-'), {int#2} order by {text#1}, {int#2})
        to_jsonb(array_agg({int#1} order by {int#1}))
    """,
    "date": """
        min({date})
        max({date})
    """,
}

WINDOWS = {
    "int": """
        row_number() over {total}
        rank() over (order by {int})
        dense_rank() over (partition by {text} order by {int} desc)
        ntile(2) over {total}
        lag({int}) over {total}
        lead({int}, 2, 0) over {total}
        first_value({int}) over {total}
        nth_value({int}, 2) over {total}
        count(*) over ()
        sum({int}) over (partition by {text})
        sum({int}) over (order by {int})
        count(*) filter (where {bool}) over (partition by {bool})
        sum({int}) over (order by {int} groups between 1 preceding and current row)
        sum({int}) over (order by {int} range between unbounded preceding and current row exclude ties)
        count(*) over (order by {date} range between interval '1 year' preceding and interval '1 year' following)
        max({int}) over {total_rows}
        last_value({int}) over {total_rows}
        sum({int}) over (w)
        rank() over w
    """,
    "text": """
        lag({text}::text) over {total}
        first_value({text}::text) over {total}
        max({text}) over (partition by {int})
        string_agg({text}, ',') over {total_rows}
    """,
    "num": """
        avg({int}) over (partition by {bool})
        sum({num}) over (order by {int})
        round((percent_rank() over (order by {int}))::numeric, 3)
        round((cume_dist() over (order by {text}))::numeric, 3)
    """,
}


def table(text: str) -> tuple[str, ...]:
    """The productions of one kind."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())
