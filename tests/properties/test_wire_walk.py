"""The two walkers over rows: the same answers, and none past what is allowed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_module import built

from gateway.wire import postgres as pg
from gateway.wire.build import WALK, main
from gateway.wire.mysql import walk as mysql_walk
from gateway.wire.mysql.packets import frame
from gateway.wire.walk import walk_rows_python

Walk = Callable[[bytes | bytearray | memoryview, int, int, int, int], tuple[int, int]]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """The Cython twin of this very source, built for the test."""
    walk: Walk = built(WALK, tmp_path_factory.mktemp("walk")).walk_rows
    return walk


message = st.one_of(
    st.builds(pg.frame, st.sampled_from([pg.DATA_ROW, pg.COPY_DATA]), st.binary(max_size=30)),
    st.builds(pg.frame, st.integers(0, 255), st.binary(max_size=10)),
    st.builds(
        lambda length, kind: bytes((kind,)) + length.to_bytes(4), st.integers(0, 2**32 - 1), st.sampled_from(b"Dd")
    ),
    st.binary(max_size=8),
)
stream = st.lists(message, max_size=15).map(b"".join)
limit = st.integers(-2, 400) | st.just(sys.maxsize)


@given(data=st.data(), buffer=stream, rows=limit, size=limit, wrap=st.sampled_from([bytes, bytearray, memoryview]))
def test_both_walkers_give_the_same_answer_on_any_buffer(
    compiled: Walk, data: st.DataObject, buffer: bytes, rows: int, size: int, wrap: Callable[[bytes], bytes]
) -> None:
    end = data.draw(st.integers(0, len(buffer)))
    start = data.draw(st.integers(0, end))
    expected = walk_rows_python(buffer, start, end, rows, size)
    assert compiled(wrap(buffer), start, end, rows, size) == expected

    position, passed = expected
    assert start <= position <= end
    assert passed <= max(rows, 0)
    assert position - start <= max(size, 0)
    walked = pg.Framer(2**32).feed(buffer[start:position])
    assert len(walked) == passed
    assert all(kind in (pg.DATA_ROW, pg.COPY_DATA) for kind, _ in walked)


@given(data=st.data(), buffer=stream)
def test_walking_chunk_by_chunk_passes_the_same_rows_as_at_once(
    compiled: Walk, data: st.DataObject, buffer: bytes
) -> None:
    unlimited = sys.maxsize
    whole = walk_rows_python(buffer, 0, len(buffer), unlimited, unlimited)
    for walk in (walk_rows_python, compiled):
        position = passed = end = 0
        while end < len(buffer):
            end = data.draw(st.integers(end + 1, len(buffer)))
            position, rows = walk(buffer, position, end, unlimited, unlimited)
            passed += rows
        assert (position, passed) == whole


ROW, DONE = pg.encode_data_row(["a"]), pg.encode_command_complete("SELECT 2")


@pytest.mark.parametrize(
    ("buffer", "rows", "size", "expected"),
    [
        (ROW + ROW + DONE, 9, 999, (2 * len(ROW), 2)),
        (ROW + ROW[:-1], 9, 999, (len(ROW), 1)),
        (ROW + ROW[:3], 9, 999, (len(ROW), 1)),
        (ROW + ROW, 1, 999, (len(ROW), 1)),
        (ROW + ROW, 9, 2 * len(ROW) - 1, (len(ROW), 1)),
        (ROW + ROW, 9, 2 * len(ROW), (2 * len(ROW), 2)),
        (ROW + b"D\0\0\0\3" + ROW, 9, 999, (len(ROW), 1)),
        (ROW + b"D\xff\xff\xff\xff" + ROW, 9, 999, (len(ROW), 1)),
        (DONE, 9, 999, (0, 0)),
        (b"", 9, 999, (0, 0)),
    ],
)
def test_a_walk_stops_at_the_first_thing_that_is_not_an_allowed_row(
    compiled: Walk, buffer: bytes, rows: int, size: int, expected: tuple[int, int]
) -> None:
    assert walk_rows_python(buffer, 0, len(buffer), rows, size) == expected
    assert compiled(buffer, 0, len(buffer), rows, size) == expected


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (0, 4), (3, 2), (9, 9)])
def test_positions_outside_the_buffer_are_a_mistake_of_the_caller(compiled: Walk, start: int, end: int) -> None:
    for walk in (walk_rows_python, compiled):
        with pytest.raises(ValueError, match="outside"):
            walk(b"abc", start, end, 1, 1)


def test_what_cannot_be_compiled_is_an_error_only_where_it_is_required(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "_broken.pyx"
    broken.write_text("cdef int f(:\n")
    assert main([str(broken)]) == 0
    assert main(["--require", str(broken)]) == 1
    assert capsys.readouterr().err.count("_broken.pyx is not compiled, its Python twin serves") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["_broken.pyx"]


@pytest.fixture(scope="module")
def compiled_mysql(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, int, int]]:
    """MySQL's walk, compiled for the test."""
    source = Path(mysql_walk.__file__).with_name("_walk.pyx")
    walk: Callable[..., tuple[int, int, int]] = built(source, tmp_path_factory.mktemp("mysql-walk")).walk_rows
    return walk


packet = st.one_of(
    st.builds(frame, st.binary(max_size=20), st.integers(0, 3)),
    st.builds(frame, st.sampled_from([b"\xfe\0\0\2\0", b"\xff\1", b"\xfb", b"\0\0\1x", b""]), st.integers(0, 3)),
    st.sampled_from([b"\xff\xff\xff\0ab", b"\1\0"]),
)


@given(
    data=st.data(), buffer=st.lists(packet, max_size=12).map(b"".join), rows=limit, size=limit,
    sequence=st.integers(0, 3) | st.just(255), binary=st.booleans(),
    wrap=st.sampled_from([bytes, bytearray, memoryview]),
)  # fmt: skip
def test_both_walkers_of_mysql_give_the_same_answer_on_any_buffer(
    compiled_mysql: Callable[..., tuple[int, int, int]], data: st.DataObject, buffer: bytes, rows: int, size: int,
    sequence: int, binary: bool, wrap: Callable[[bytes], bytes],
) -> None:  # fmt: skip
    end = data.draw(st.integers(0, len(buffer)))
    start = data.draw(st.integers(0, end))
    expected = mysql_walk.walk_rows_python(buffer, start, end, rows, size, sequence, binary)
    assert compiled_mysql(wrap(buffer), start, end, rows, size, sequence, binary) == expected


@given(payloads=st.lists(st.binary(min_size=1, max_size=9), max_size=600), binary=st.booleans())
def test_both_walkers_of_mysql_count_past_255(
    compiled_mysql: Callable[..., tuple[int, int, int]], payloads: list[bytes], binary: bool
) -> None:
    buffer = b"".join(frame(b"\0" + one, place & 0xFF) for place, one in enumerate(payloads))
    expected = (len(buffer), len(payloads), len(payloads) & 0xFF)
    for walk in (mysql_walk.walk_rows_python, compiled_mysql):
        assert walk(buffer, 0, len(buffer), 1 << 40, 1 << 40, 0, binary) == expected


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 1), (0, 4)])
def test_mysqls_compiled_walker_refuses_positions_outside_the_buffer(
    compiled_mysql: Callable[..., tuple[int, int, int]], start: int, end: int
) -> None:
    for walk in (mysql_walk.walk_rows_python, compiled_mysql):
        with pytest.raises(ValueError, match="outside"):
            walk(b"abc", start, end, 1, 1, 0, False)
