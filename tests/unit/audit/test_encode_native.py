"""What is laid out once, compiled and not: the same leaves, ids and times, the same values left to the slow road."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_module import built

from gateway.audit import encode
from gateway.audit.encode import LEAF_LIMIT, PythonLayout, PythonStamps, leaf_of

SOURCE = Path(encode.__file__).with_name("_encode.pyx")


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """The compiled module of this very source, built for the test."""
    return built(SOURCE, tmp_path_factory.mktemp("encode"))


plain = st.text("abcXYZ019 .,:;_+-", max_size=30)
odd = st.one_of(st.text(max_size=10), st.integers(), st.booleans(), st.none(), st.just("x" * (LEAF_LIMIT + 1)))
values = st.tuples(plain | odd, st.integers(0, 2**53 - 1) | odd, plain | odd)
PIECES = (b'{"a":"', b'","b":', b',"c":"', b'"}')


@given(values=values)
def test_both_fill_alike(native, values):
    forms = [Layout(PIECES, (0, 1, 2), (True, False, True)) for Layout in (PythonLayout, native.Layout)]
    leaves = [form.fill(values) for form in forms]
    assert leaves[0] == leaves[1]
    if leaves[0] is not None:
        assert leaves[0] == leaf_of(dict(zip("abc", values, strict=True)))


@pytest.mark.parametrize("name", ["PythonLayout", "Layout"])
def test_values_go_where_the_order_says(native, name):
    layout = (PythonLayout if name == "PythonLayout" else native.Layout)(
        (b"1%s", b"2", b"3", b""), (2, 0, 1), (1, 1, 0)
    )
    assert layout.fill(("a", "b", 7)) == b"1%s72a3b"
    with pytest.raises(ValueError, match=r"variables|argument"):
        layout.fill(("a", "b"))


@pytest.mark.parametrize("fits", [True, False])
def test_a_leaf_ends_at_the_limit(native, fits):
    text = "x" * (LEAF_LIMIT - 8 + (not fits))
    leaves = [Layout((b'{"a":"', b'"}'), (0,), (True,)).fill((text,)) for Layout in (PythonLayout, native.Layout)]
    assert leaves[0] == leaves[1]
    assert (leaves[0] is not None) is fits


def test_both_stamp_alike_and_in_order(native):
    def of(kind):
        chance, at = random.Random(3), 1_795_420_799_000_000
        stamps = kind(chance.randbytes, lambda second: f"{second:019d}")
        steps = random.Random(4)
        found = []
        for _ in range(1_000):
            at += steps.choice([1, 999, 1_000, 1_000_000, 61_000_001])
            found.append(stamps.next(at))
        return found

    assert of(PythonStamps) == of(native.Stamps)
    assert of(PythonStamps) == sorted(of(PythonStamps))
    name, time = of(native.Stamps)[0]
    assert (len(name), name[14], name[19] in "89ab", time[-1]) == (36, "7", True, "Z")
