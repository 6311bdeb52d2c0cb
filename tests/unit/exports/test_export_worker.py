"""From the trail to a sink: everything at least once and in order, whatever it does, and no further than durable."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from export_world import ORIGIN, FakeOut, fill, open_trail, road, until

from gateway.audit.segment import segments_of
from gateway.exports.cursor import Cursor, read_cursor, write_cursor
from gateway.exports.sink import Message, SendFailed
from gateway.exports.source import Gone, Source


def refuse(**how: object) -> Callable[[Sequence[Message]], int]:
    def answer(_: Sequence[Message]) -> int:
        raise SendFailed("it said no", **how)  # type: ignore[arg-type]

    return answer


@pytest.fixture
def log(tmp_path: Path):
    log = open_trail(tmp_path / "trail")
    yield log
    log.close()


def test_everything_is_sent_once_and_in_order_over_many_segments(log, tmp_path: Path) -> None:
    fill(log, 3_000)
    assert len(segments_of(log.directory)) > 2
    out = FakeOut()
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
        fill(log, 1_000)
        until(lambda: way.worker.state.next == log.size)
    assert out.taken == list(range(log.size))
    assert out.closed
    assert way.cursor is not None
    assert way.cursor.next == log.size


def test_nothing_is_sent_that_is_not_durable_yet(log, tmp_path: Path) -> None:
    fill(log, 100)
    out = FakeOut()
    held = 1  # the start record, which was a batch of its own
    with road(log, out, tmp_path / "cursor", durable=lambda: held) as way:
        until(lambda: way.worker.state.next == 1)
        assert out.taken == [0]
        held = log.size
        until(lambda: way.worker.state.next == log.size)


def test_it_goes_on_where_it_was(log, tmp_path: Path) -> None:
    fill(log, 50)
    first, second = FakeOut(), FakeOut()
    with road(log, first, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    fill(log, 50)
    with road(log, second, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    assert first.taken + second.taken == list(range(log.size))


def test_what_was_not_settled_is_sent_again_after_a_death(log, tmp_path: Path) -> None:
    fill(log, 50)
    out = FakeOut(holdback_s=60.0)
    with road(log, out, tmp_path / "cursor"):
        until(lambda: len(out.taken) == log.size)
    assert read_cursor(tmp_path / "cursor") is None
    again = FakeOut()
    with road(log, again, tmp_path / "cursor"):
        until(lambda: len(again.taken) == log.size)
    assert again.taken == list(range(log.size))


def test_a_sink_that_fails_gets_the_same_again(log, tmp_path: Path) -> None:
    fill(log, 20)
    out = FakeOut(answers=[refuse(), refuse()])
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
        state = way.worker.state
        assert (state.failures, state.reason, state.sent) == (2, "", log.size)
    assert out.taken == list(range(log.size))
    assert len(way.said.said("export failed")) == 1, "once for a streak"
    assert len(way.said.said("export goes on")) == 1


def test_a_sink_that_loses_its_connection_gets_all_since_the_cursor(log, tmp_path: Path) -> None:
    fill(log, 20)
    out = FakeOut(holdback_s=60.0)
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: len(out.taken) == log.size)
        out.answers = [refuse(rewind=True)]
        fill(log, 5)
        until(lambda: len(out.taken) == 2 * log.size - 5)
        assert way.cursor is None
    assert out.taken == [*range(log.size - 5), *range(log.size)]


def test_what_cannot_be_settled_is_sent_again(log, tmp_path: Path) -> None:
    def lost() -> None:
        raise SendFailed("gone", rewind=True)

    fill(log, 20)
    out = FakeOut(settling=[lost])
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    assert out.taken == [*range(log.size), *range(log.size)]


def test_a_sink_that_finds_it_too_much_gets_less_until_it_fits(log, tmp_path: Path) -> None:
    def at_most_ten(messages: Sequence[Message]) -> int:
        if len(messages) > 10:
            raise SendFailed("too large", smaller=True, retry_after_s=0.0)
        return 0

    fill(log, 300)
    out = FakeOut(always=at_most_ten)
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size, 60)
    assert out.taken == list(range(log.size))


def test_what_the_sink_rejects_for_good_is_counted_told_and_passed(log, tmp_path: Path) -> None:
    fill(log, 20)
    out = FakeOut(answers=[lambda messages: 3])
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    assert way.cursor is not None
    assert way.cursor.rejected == 3
    assert way.said.said("export rejected")[0]["records"] == 3
    with road(log, FakeOut(), tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
        assert way.worker.state.rejected == 3, "it is remembered"


def test_it_waits_as_long_as_the_sink_asks(log, tmp_path: Path) -> None:
    fill(log, 5)
    out = FakeOut(answers=[refuse(retry_after_s=3600.0)])
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.failures == 1)
        assert way.worker.state.reason == "it said no"
        assert out.taken == []


def test_a_cursor_that_cannot_be_written_is_told_and_stops_nothing(
    log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = FakeOut()
    with monkeypatch.context() as patch:
        patch.setattr("gateway.exports.worker.write_cursor", full)
        with road(log, out, tmp_path / "cursor") as way:
            fill(log, 20)
            until(lambda: len(out.taken) == log.size and way.worker.state.failures)
            assert "no space left" in way.said.said("export failed")[0]["reason"]
            assert way.cursor is None
            patch.undo()
            until(lambda: way.worker.state.next == log.size)
    assert out.taken == list(range(log.size))


def test_only_the_kinds_that_are_wanted_are_sent_and_the_cursor_passes_the_others(log, tmp_path: Path) -> None:
    fill(log, 50)
    out = FakeOut()
    with road(log, out, tmp_path / "cursor", takes=lambda kind: kind == "log.start") as way:
        until(lambda: way.worker.state.next == log.size)
    assert out.taken == [0]


def test_a_new_sink_may_begin_now(log, tmp_path: Path) -> None:
    fill(log, 50)
    begun, out = log.size, FakeOut()
    with road(log, out, tmp_path / "cursor", from_now=True) as way:
        until(lambda: way.cursor is not None)
        fill(log, 5)
        until(lambda: way.worker.state.next == log.size)
    assert out.taken == list(range(begun, log.size))
    with road(log, out, tmp_path / "cursor", from_now=True) as way:
        assert way.said.lines == [], "what was sent is of the same trail"


@pytest.mark.parametrize(
    ("cursor", "event"),
    [
        (Cursor("another/trail", 5, "00"), "export cursor of another trail"),
        (Cursor(ORIGIN, 5, "00"), "export cursor does not fit the trail"),
        (Cursor(ORIGIN, 5_000, "00"), "export cursor does not fit the trail"),
        (None, "export cursor unreadable"),
    ],
)
def test_a_cursor_that_does_not_fit_is_told_and_everything_is_sent(
    log, tmp_path: Path, cursor: Cursor | None, event: str
) -> None:
    fill(log, 20)
    path = tmp_path / "cursor"
    if cursor is None:
        path.write_text('{"v": 1, "next": "many"}')
    else:
        write_cursor(path, cursor)
    out = FakeOut()
    with road(log, out, path) as way:
        until(lambda: way.worker.state.next == log.size)
    assert out.taken == list(range(log.size))
    assert [line["level"] for line in way.said.said(event)] == ["error"]


def test_records_that_were_removed_before_they_were_sent_are_told(log, tmp_path: Path) -> None:
    fill(log, 3_000)
    first, second, *_ = segments_of(log.directory)
    write_cursor(tmp_path / "cursor", Cursor(ORIGIN, 10, ""))
    first[1].unlink()
    out = FakeOut()
    with road(log, out, tmp_path / "cursor") as way:
        until(lambda: way.worker.state.next == log.size)
    assert out.taken == list(range(second[0], log.size))
    assert way.said.said("export lost records")[0]["records"] == second[0] - 10


def test_a_sink_that_is_late_is_warned_of_and_cleared_when_it_has_caught_up(log, tmp_path: Path) -> None:
    fill(log, 5)
    answers = itertools.chain([True] * 3, itertools.repeat(False))

    def sometimes(_: Sequence[Message]) -> int:
        if next(answers):
            raise SendFailed("later", retry_after_s=0.5)
        return 0

    ahead = 10_000.0
    with road(log, FakeOut(always=sometimes), tmp_path / "cursor", clock=lambda: time.time() + ahead) as way:
        until(lambda: way.worker.look() or way.said.said("export late"))
        way.worker.look()
        until(lambda: way.worker.state.next == log.size)
        until(lambda: way.worker.look() or way.said.said("export punctual again"))
    (late,) = way.said.said("export late")
    assert late["records"] == log.size
    assert late["behind_s"] >= 9_999


def test_a_stop_sends_what_is_durable_first(log, tmp_path: Path) -> None:
    out = FakeOut()
    with road(log, out, tmp_path / "cursor", drain_s=10.0):
        fill(log, 2_000)
    assert out.taken == list(range(log.size))
    cursor = read_cursor(tmp_path / "cursor")
    assert cursor is not None
    assert cursor.next == log.size


def test_a_stop_does_not_wait_for_a_dead_sink(log, tmp_path: Path) -> None:
    fill(log, 5)
    with road(log, FakeOut(always=refuse()), tmp_path / "cursor", drain_s=1.0) as way:
        until(lambda: way.worker.state.failures)


def test_a_source_reads_from_any_place_on(log) -> None:
    fill(log, 1_500)
    source = Source(log.directory)
    for start in (0, 1, 2, 700, 1_499, log.size - 1, log.size):
        source.seek(start)
        found: list[int] = []
        while leaves := source.read(100, 1 << 20, log.durable_size):
            found += [index for index, _ in leaves]
        assert found == list(range(start, log.size)), start


def test_a_source_says_what_is_gone(log) -> None:
    fill(log, 3_000)
    segments_of(log.directory)[0][1].unlink()
    source = Source(log.directory)
    source.seek(3)
    with pytest.raises(Gone):
        source.read(1, 1, log.durable_size)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"v": 2}', '{"v": 1, "origin": 3, "next": 1, "last": "", "rejected": 0}', '{"v": 1, "extra": 1}',
     '{"v": 1, "origin": "a", "next": -1, "last": "", "rejected": 0}',
     '{"v": 1, "origin": "a", "next": true, "last": "", "rejected": 0}'],
)  # fmt: skip
def test_a_cursor_that_nobody_wrote_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "cursor").write_text(text)
    with pytest.raises(ValueError):
        read_cursor(tmp_path / "cursor")


def test_a_cursor_is_what_was_written_for_its_owner_only(tmp_path: Path) -> None:
    cursor = Cursor(ORIGIN, 7, "ab", 2)
    write_cursor(tmp_path / "cursor", cursor)
    assert read_cursor(tmp_path / "cursor") == cursor
    assert (tmp_path / "cursor").stat().st_mode & 0o777 == 0o600
