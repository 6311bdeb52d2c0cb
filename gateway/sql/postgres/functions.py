"""The built-in functions that a user's text may call.

INVARIANT: each one reads its arguments and nothing else (no table, file, setting, session, other's activity), and
writes nothing. It is emitted as `pg_catalog.name`, so that no function of the target can win overload resolution.
What is missing here is refused; what needs a condition is in `guards.py`.

Source of the names: PostgreSQL manual, chapter 9, and `pg_proc.dat`.
"""

from __future__ import annotations

from gateway.sql.postgres.tree import words

AGGREGATES = words("""
    count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bool_and
    bool_or every bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop
    covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy mode
    percentile_cont percentile_disc rank dense_rank percent_rank cume_dist row_number ntile lag lead first_value
    last_value nth_value any_value range_agg range_intersect_agg json_agg_strict json_object_agg_strict
    json_object_agg_unique json_object_agg_unique_strict jsonb_agg_strict jsonb_object_agg_strict
    jsonb_object_agg_unique jsonb_object_agg_unique_strict
    """)

_TEXT = words("""
    ascii bit_length btrim char_length character_length chr concat concat_ws convert_from convert_to decode
    encode format initcap left length like like_escape lower lpad ltrim md5 normalize is_normalized notlike
    octet_length overlay position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like
    regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat
    replace reverse right rpad rtrim sha224 sha256 sha384 sha512 similar_to_escape similar_escape split_part
    starts_with string_to_array string_to_table strpos substr substring to_ascii to_hex translate unistr upper
    textlen textcat array_to_string pg_collation_for get_byte set_byte get_bit set_bit bit_count
    pg_client_encoding casefold parse_ident unicode_assigned to_bin to_oct crc32 crc32c
    """)

_NUMBERS = words("""
    abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd
    degrees div exp factorial floor gcd lcm ln log log10 min_scale mod pi power pow radians random round scale
    sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket erf erfc float4 float8 int2 int4 int8
    numeric numnode to_number generate_series random_normal gamma lgamma pg_size_bytes money bit varbit
    """)

_TIMES = words("""
    age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
    justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now
    overlaps statement_timestamp time timeofday timestamp timestamptz timezone to_char to_date to_timestamp
    transaction_timestamp interval timetz
    """)

_DATA = words("""
    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
    array_positions array_prepend array_remove array_replace array_upper array_sample array_shuffle trim_array
    cardinality unnest generate_subscripts array_to_json json_array_elements json_array_elements_text
    json_array_length json_build_array json_build_object json_each json_each_text json_extract_path
    json_extract_path_text json_object json_object_keys json_strip_nulls json_typeof jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists
    jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_path_exists_tz
    jsonb_path_match_tz jsonb_path_query_tz jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_pretty jsonb_set
    jsonb_set_lax jsonb_strip_nulls jsonb_typeof row_to_json to_json to_jsonb json_to_record json_to_recordset
    jsonb_to_record jsonb_to_recordset num_nonnulls num_nulls pg_column_size gen_random_uuid lower_inc lower_inf
    upper_inc upper_inf isempty range_merge int4range int8range numrange tsrange tstzrange daterange multirange
    int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange array_sort array_reverse
    uuidv4 uuidv7 uuid_extract_timestamp uuid_extract_version enum_first enum_last enum_range
    abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen text
    macaddr8_set7bit macaddr macaddr8 cidr area center diameter height radius width npoints point box circle polygon
    diagonal isclosed isopen ishorizontal isvertical isparallel isperp line lseg path pclose popen slope
    ts_rank ts_rank_cd setweight
    strip tsvector_to_array array_to_tsvector querytree ts_delete ts_filter tsquery_phrase bool name varchar
    bpchar uuid json jsonb oid
    """)

_SESSION = words("""
    current_database current_schema current_schemas version pg_backend_pid pg_is_in_recovery pg_my_temp_schema
    pg_is_other_temp_schema pg_encoding_to_char pg_char_to_encoding
    pg_advisory_unlock_all getdatabaseencoding
    """)
# pg_advisory_unlock_all: pools call it to reset a connection; what takes such locks is not allowed, so none are held.

# What psql and the drivers ask of the catalog and what gives nothing away beyond that a number is in use.
_CATALOG = words("""
    pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_operator_is_visible pg_opclass_is_visible
    pg_opfamily_is_visible pg_collation_is_visible pg_conversion_is_visible pg_ts_config_is_visible
    pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_statistics_obj_is_visible
    pg_get_userbyid pg_get_expr aclexplode acldefault pg_size_pretty pg_get_keywords
    pg_options_to_table pg_indexam_has_property
    """)

# With one argument it may be the age of a transaction number, which counts what all others have written. So a call goes
# out with today before its argument, which only points in time can follow, and `a.age` counts as one.
AGE = "age"

# What may stand beside sums of raw values: the same for the same row, however often it is called.
STEADY = words("""
    count sum avg min max array_agg string_agg bool_and bool_or every
    stddev stddev_pop stddev_samp variance var_pop var_samp percentile_cont percentile_disc mode
    abs ceil ceiling floor mod round sign trunc width_bucket div
    btrim char_length concat concat_ws initcap left length lower lpad ltrim replace right rpad rtrim split_part substr
    substring upper like notlike
    date_bin date_part date_trunc extract make_date to_char to_date now overlaps date
    """)
# The sums that give no single value away, whichever rows they are over.
SUMS = words("count sum avg stddev stddev_pop stddev_samp variance var_pop var_samp")
# Those whose answer is one of the values, or lies between two of them.
PERCENTILES = words("percentile_cont percentile_disc")
EXTREMES = PERCENTILES | {"min", "max"}

ALLOWED = AGGREGATES | _TEXT | _NUMBERS | _TIMES | _DATA | _SESSION | _CATALOG

# The extension citext has functions of these names for its type; the built-in ones distinguish between cases.
MINDING_CASE = words("""
    regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table replace split_part strpos
    translate min max
    """)
