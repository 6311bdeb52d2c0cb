"""A compiled maker makes of every text what its twin in Python makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native_module import built

from gateway.policy import compiled_masks, masks
from gateway.policy.kinds import checked
from gateway.policy.types import column_type

MADE = [
    ("pseudonym", {"domain": "last_name"}, "text"),
    ("pseudonym", {"domain": "company"}, "text"),
    ("pseudonym", {"domain": "token"}, "text"),
    ("pseudonym", {"domain": "integer"}, "int2"),
    ("pseudonym", {"domain": "integer"}, "int4"),
    ("pseudonym", {"domain": "integer"}, "int8"),
    ("email", {}, "text"),
    ("email", {"domain": "keyed"}, "text"),
    ("digits", {}, "text"),
    ("partial", {"keep_start": 2, "keep_end": 3}, "text"),
    ("partial", {}, "text"),
    ("initials", {}, "text"),
    ("year", {}, "date"),
    ("month", {}, "timestamp without time zone"),
    ("month", {}, "date"),
    ("bucket", {"size": 1000}, "numeric(10,2)"),
    ("bucket", {"size": 7}, "numeric"),
    ("bucket", {"size": 10**15}, "int8"),
]
HAS_SHA256 = compiled_masks.has_sha256.__wrapped__
DAYS = st.builds("{:04}-{:02}-{:02}".format, st.integers(0, 10_000), st.integers(0, 13), st.integers(0, 32))
NUMBERS = st.from_regex(r"\A-?[0-9]{1,17}(\.[0-9]{0,3})?\Z")
TEXTS = (
    st.text(max_size=12)
    | st.text("aZ9 @.-'_+é", max_size=24)
    | st.text("0123456789 .-+()/:x", max_size=70)
    | st.from_regex(r"\A[a-z.]{0,5}@[a-z0-9@.-]{0,8}\.[a-zA-Z0-9]{0,3}\Z")
)


@pytest.fixture(scope="module", params=["OpenSSL's states", "hashlib's states"])
def native(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The compiled module of this very source, built for the test."""
    module = built(Path(masks.__file__).with_name("_masks.pyx"), tmp_path_factory.mktemp("masks"))
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "hashlib's states":
            patch.setattr(compiled_masks, "has_sha256", lambda _native: False)
        yield module


@settings(max_examples=2_000, deadline=None)
@given(which=st.sampled_from(MADE), data=st.data(), key=st.binary(min_size=1, max_size=70))
def test_both_make_the_same(native: ModuleType, which: tuple[str, dict[str, Any], str], data: Any, key: bytes) -> None:
    kind, options, declared = which
    mask, of = checked(kind, options), column_type(declared)
    read = {"date": DAYS | TEXTS, "timestamp": DAYS | DAYS.map("{} 10:00:00".format) | TEXTS}.get(of.group, TEXTS)
    text = data.draw(NUMBERS if of.group in {"numeric", "integer"} else read)
    twin = masks.maker(mask, of)

    made = compiled_masks.compiled(mask, of, masks._begun, twin, native)

    assert made is not None
    assert made(text, key) == twin(text, key)


@settings(max_examples=500, deadline=None)
@given(day=st.dates())
@example("2023-02-29")
@example("2024-02-29")
@example("1900-02-29")
@example("2023-04-31")
@example("2023-12-31")
@example("2023-07-31")
def test_every_day_is_known_to_both(native: ModuleType, day: object) -> None:
    mask, of = checked("month", {}), column_type("date")
    twin = masks.maker(mask, of)

    assert compiled_masks.compiled(mask, of, masks._begun, twin, native)(str(day), b"") == twin(str(day), b"")


def test_a_text_with_half_a_surrogate_pair_is_no_fault_in_either(native: ModuleType) -> None:
    for kind, options, declared in MADE:
        mask, of = checked(kind, options), column_type(declared)
        if of.group == "text":
            twin = masks.maker(mask, of)

            assert compiled_masks.compiled(mask, of, masks._begun, twin, native)("a\ud800", b"k") == twin(
                "a\ud800", b"k"
            )


def test_openssls_states_are_taken_unless_it_is_held_to_fips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = built(Path(masks.__file__).with_name("_masks.pyx"), tmp_path)

    assert HAS_SHA256(module)
    monkeypatch.setattr("_hashlib.get_fips_mode", lambda: 1)
    assert not HAS_SHA256(module)


def test_what_has_no_compiled_maker_is_made_by_its_twin(native: ModuleType) -> None:
    for kind, options, declared in [
        ("pseudonym", {"domain": "first_name"}, "text"),
        ("bucket", {"size": 0.5}, "numeric"),
        ("bucket", {"size": 10}, "double precision"),
        ("year", {}, "timestamp with time zone"),
        ("truncate_ip", {}, "inet"),
    ]:
        mask, of = checked(kind, options), column_type(declared)
        assert compiled_masks.compiled(mask, of, masks._begun, masks.maker(mask, of), native) is None
