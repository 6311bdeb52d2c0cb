"""Properties of masks in Python, for any value: no fault, the type kept, its length kept, little shown."""

from __future__ import annotations

import datetime
import ipaddress
import re
from decimal import Decimal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.kinds import checked
from gateway.policy.masks import render, render_json

KEY = bytes(range(32))
text_masks = st.one_of(
    st.builds(lambda a, b: checked("partial", {"keep_start": a, "keep_end": b}), st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from([checked("email", {"domain": d}) for d in ("keep", "keyed")]),
    st.sampled_from(
        [checked("pseudonym", {"domain": d}) for d in ("first_name", "last_name", "company", "token", "uuid")]
    ),
    st.sampled_from([checked(kind, {}) for kind in ("digits", "initials", "truncate_ip", "redact", "null")]),
)
texts = (
    st.text(max_size=200)
    | st.from_regex(r"[\w.+-]{1,20}@[\w.-]{1,20}\.[a-z]{2,4}")
    | st.from_regex(r"\+?[0-9 .()-]{0,20}")
)


@given(text_masks, texts, st.integers(1, 12))
def test_a_masked_text_fits_its_column(mask, value, length):
    made = render(mask, value, KEY, f"character varying({length})")

    assert made is None or (isinstance(made, str) and len(made) <= length)


@given(text_masks, texts)
def test_the_same_value_gives_the_same_mask(mask, value):
    assert render(mask, value, KEY, "text") == render(mask, value, KEY, "text")


@given(st.text(max_size=60), st.integers(0, 20), st.integers(0, 20))
def test_partial_keeps_the_length_and_shows_at_most_half(value, start, end):
    made = render(checked("partial", {"keep_start": start, "keep_end": end}), value, KEY, "text")

    assert len(made) == len(value)
    shown = sum(1 for old, new in zip(value, made, strict=True) if new == old and old != "*")
    assert shown <= min(len(value) // 2, start + end)
    if len(value) <= start + end:
        assert set(made) <= {"*"}


@given(st.text(alphabet="0123456789 ABC+-./", max_size=64))
def test_digits_keep_the_shape_and_no_letter(value):
    made = render(checked("digits", {}), value, KEY, "text")

    assert re.sub("[0-9]", "0", made) == re.sub("[0-9]", "0", re.sub("[ABC]", "x", value))


@given(texts)
def test_initials_show_at_most_three_characters(value):
    made = render(checked("initials", {}), value, KEY, "text")

    assert len(made) <= 6
    assert len(made) <= len(value) or made == "*"


@given(texts)
def test_the_domain_of_an_address_is_all_that_an_email_keeps(value):
    made = render(checked("email", {}), value, KEY, "text")

    local, domain = made[:16], made[16:]
    assert re.fullmatch("[0-9a-f]{16}", local)
    assert domain == "" or (value.endswith(domain) and re.fullmatch(r"@([A-Za-z0-9-]+\.)+[A-Za-z]+", domain))


@given(st.integers(-(2**15), 2**15 - 1), st.decimals("0.001", "1e9", places=3))
def test_a_bucket_of_a_small_integer_is_one(value, size):
    made = int(render(checked("bucket", {"size": size}), str(value), KEY, "smallint"))

    assert -(2**15) <= made <= value + 1
    assert abs(value - made) <= size + 1


@given(st.decimals(allow_nan=True, allow_infinity=True), st.sampled_from(["1", "0.25", "10000", "1e15", "1e-9"]))
def test_a_bucket_of_any_number_is_a_multiple_below_or_nothing(value, size):
    made = render(checked("bucket", {"size": size}), str(value), KEY, "numeric")

    if made is None:
        assert not value.is_finite() or abs(value) >= Decimal("1e100")
    else:
        assert made == format(Decimal(made), "f")
        with_room = Decimal(made)
        assert with_room <= value


@given(st.floats(), st.sampled_from(["real", "double precision"]))
def test_a_bucket_of_any_float_does_not_fault(value, declared):
    if declared == "real" and abs(value) > 3.4e38:
        value = 3.4e38
    made = render(checked("bucket", {"size": 0.1}), repr(value), KEY, declared)

    assert made is None or isinstance(float(made), float)


@given(st.dates(), st.sampled_from(["year", "month"]))
def test_a_truncated_date_is_the_first_day(value, kind):
    made = datetime.date.fromisoformat(render(checked(kind, {}), value.isoformat(), KEY, "date"))

    assert made.day == 1
    assert (made.year, made.month) == (value.year, value.month if kind == "month" else 1)


@given(st.text(max_size=40), st.sampled_from(["date", "timestamp without time zone", "timestamp with time zone"]))
def test_a_date_that_cannot_be_read_gives_nothing_and_does_not_fault(value, declared):
    made = render(checked("year", {}), value, KEY, declared)

    assert made is None or made[4:10] == "-01-01"


@given(st.uuids())
def test_a_pseudonym_of_a_uuid_is_another_valid_one(value):
    made = UUID(render(checked("pseudonym", {"domain": "uuid"}), str(value), KEY, "uuid"))

    assert made != value
    assert (made.version, made.variant) == (8, "specified in RFC 4122")


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from([("bigint", 2**63), ("numeric(4,1)", 1000)]))
def test_a_pseudonym_of_an_integer_is_in_range(value, of):
    declared, above = of
    made = Decimal(render(checked("pseudonym", {"domain": "integer"}), str(value), KEY, declared))

    assert 0 <= made < above


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_truncated_address_is_a_network_around_it(address, bits):
    of = ipaddress.ip_interface((address, min(bits, address.max_prefixlen)))
    made = ipaddress.ip_network(render(checked("truncate_ip", {}), str(of), KEY, "inet"))

    assert address in made
    assert made.prefixlen <= (24 if address.version == 4 else 48)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "x"]), below, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(json_values)
def test_a_json_mask_gives_its_own_members_whatever_comes(value):
    paths = {
        "a.b": "initials",
        "b": {"mask": "bucket", "size": 10},
        "c": {"mask": "pseudonym", "domain": "integer"},
        "x": "clear",
    }
    made = render_json(checked("json", {"paths": paths}), value, KEY)

    assert list(made) == ["a", "b", "c", "x"]
    assert list(made["a"]) == ["b"]
    assert not isinstance(made["x"], dict | list)
