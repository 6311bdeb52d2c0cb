"""Long statements are analysed in processes that may crash, hang or run out of memory without harm to anybody."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlviews import view

from gateway.errors import Refusal
from gateway.sql import worker
from gateway.sql.postgres import analyse
from gateway.sql.statement import Plan
from gateway.sql.worker import Workers, is_short

EMPLOYEES = "select id from employees"

FAULTY = """
import os, sys, time
from gateway.sql import worker
right = worker.judged
def analyse(text, view):
    if "crash" in text:
        os.kill(os.getpid(), 9)
    if "hang" in text:
        time.sleep(60)
    if "memory" in text:
        return bytearray(8 * 1024 ** 3)
    if "raise" in text:
        raise ValueError
    if "rubbish" in text:
        os.write(1, (7).to_bytes(4, "big") + b"rubbish")
    if "endless" in text:
        os.write(1, b"\\xff\\xff\\xff\\xff")
    return right(text, view)
worker.judged = analyse
worker.main(sys.stdin.buffer, sys.stdout.buffer)
"""


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that do what a text says: as a fault of the parser would."""
    spawn = asyncio.create_subprocess_exec

    async def create(*_arguments: Any, **more: Any) -> asyncio.subprocess.Process:
        return await spawn(sys.executable, "-c", FAULTY, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", create)


def with_workers(steps: Callable[[Workers], Awaitable[Any]], **more: Any) -> Any:
    async def run() -> Any:
        workers = Workers(**more)
        try:
            return await steps(workers)
        finally:
            await workers.close()

    return asyncio.run(run())


def test_a_worker_answers_as_the_analysis_in_place_does() -> None:
    texts = [EMPLOYEES, "select notes from secrets", "select 1; select 2", "", "selec", "show search_path"]

    async def steps(workers: Workers) -> list[Plan | Refusal]:
        return [await workers.analyse(text, view(), "u1") for text in texts]

    assert with_workers(steps) == [analyse(text, view()) for text in texts]


def test_a_worker_keeps_views_apart() -> None:
    views = [view(), view(customers=("7",)), view(), view(customers=("7",))]

    async def steps(workers: Workers) -> list[Plan | Refusal]:
        return [await workers.analyse(EMPLOYEES, one, "u1") for one in views]

    assert with_workers(steps, count=1) == [analyse(EMPLOYEES, one) for one in views]


def test_a_worker_that_knows_many_views_forgets_them_without_confusion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_VIEWS", 2)
    views = [view(customers=(str(number),)) for number in (1, 2, 3, 1, 3, 2)]

    async def steps(workers: Workers) -> list[Plan | Refusal]:
        return [await workers.analyse(EMPLOYEES, one, "u1") for one in views]

    assert with_workers(steps, count=1) == [analyse(EMPLOYEES, one) for one in views]


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("fault", ["crash", "hang", "memory", "raise", "rubbish", "endless"])
def test_a_fault_costs_its_statement_a_refusal_and_no_other(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(worker, "_WAIT_S", 3.0)

    async def steps(workers: Workers) -> list[Plan | Refusal]:
        return [await workers.analyse(text, view(), "u1") for text in (EMPLOYEES, f"select '{fault}'", EMPLOYEES)]

    before, answer, after = with_workers(steps, count=1, deadline_s=1.0)

    assert isinstance(answer, Refusal)
    assert answer.code == "statement-too-complex"
    assert before == after == analyse(EMPLOYEES, view())


@pytest.mark.usefixtures("faulty")
def test_a_worker_that_died_between_two_statements_is_replaced() -> None:
    async def steps(workers: Workers) -> Plan | Refusal:
        await workers.analyse(EMPLOYEES, view(), "u1")
        process = workers._idle[0]._process
        assert process is not None
        process.kill()
        await process.wait()
        return await workers.analyse(EMPLOYEES, view(), "u1")

    assert with_workers(steps, count=1) == analyse(EMPLOYEES, view())


def test_a_terminals_ctrl_c_does_not_reach_a_worker() -> None:
    async def steps(workers: Workers) -> int:
        await workers.analyse(EMPLOYEES, view(), "u1")
        process = workers._idle[0]._process
        assert process is not None
        return os.getpgid(process.pid)

    assert with_workers(steps, count=1) != os.getpgid(0)


@pytest.mark.usefixtures("faulty")
def test_hanging_statements_do_not_keep_others_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_WAIT_S", 0.5)

    async def steps(workers: Workers) -> list[Plan | Refusal]:
        return await asyncio.gather(*(workers.analyse("select 'hang'", view(), f"u{number}") for number in range(4)))

    answers = with_workers(steps, count=2, deadline_s=1.0)

    assert [isinstance(answer, Refusal) for answer in answers] == [True] * 4


@pytest.mark.usefixtures("faulty")
def test_no_process_is_left_when_the_workers_are_closed() -> None:
    async def steps(workers: Workers) -> int:
        await workers.analyse(EMPLOYEES, view(), "u1")
        process = workers._idle[0]._process
        assert process is not None
        return process.pid

    pid = with_workers(steps)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def repeated(head: str, part: str, tail: str = "") -> str:
    text = head
    number = 0
    while len(text) + len(part) + len(tail) < 500:
        text += ("," if number else "") + part.format(number)
        number += 1
    return text + tail


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("select id, name, email, status from employees where id in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)", True),
        (
            "select e.id, e.name, c.name, p.period from employees e join companies c on c.id = 42 "
            "left join payslips p on p.employee_id = e.id where e.status = 'x' order by 1, 2, 3, 4, 5, 6, 7, 8, 9",
            True,
        ),
        (repeated("select * from ", "employees e{}"), False),
        (repeated("SELECT * FROM ", "pg_type T{}"), False),
        (repeated("select * from ", "/**/t a{}"), False),
        (repeated("select * from ", "--\nt a{}"), False),
        (repeated("select * from ", " \f\u00a0t a{}"), False),
        (repeated("select * from ", "\u00e9 a{}"), False),
        ("select * from " + ",".join(f"t {name}" for name in "abcdefghijkl"), False),
        ("select * from t where id in (1,2,-3,'4', 5, 6, 7, 8, 9, 10)", True),
        (repeated("select ", "a::regtype", " from x as a"), False),
        (repeated("select ", "format_type(a, 1)", " from x as a"), False),
        ("table pg_type" + " union table pg_type" * 20, False),
        ("select 1; " * 5, False),
        ("x" * 513, False),
    ],
)
def test_a_text_that_grows_is_not_analysed_on_the_event_loop(text: str, short: bool) -> None:
    assert is_short(text) is short


@pytest.mark.usefixtures("faulty")
def test_who_floods_the_workers_has_one_and_somebody_else_is_answered_meanwhile() -> None:
    async def steps(workers: Workers) -> tuple[Plan | Refusal, int]:
        flood = [asyncio.create_task(workers.analyse("select 'hang'", view(), "u1")) for _ in range(20)]
        await asyncio.sleep(0.1)
        answers = [await workers.analyse(EMPLOYEES, view(), "u2") for _ in range(3)]
        alive = len(workers._all)
        assert not any(one.done() for one in flood)
        for one in flood:
            one.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        assert await workers.analyse(EMPLOYEES, view(), "u1") == answers[0]
        return answers[-1], alive

    answer, alive = with_workers(steps, deadline_s=30.0)
    assert answer == analyse(EMPLOYEES, view())
    assert alive == 2


@pytest.mark.usefixtures("faulty")
def test_people_have_their_turns_in_order_however_many_texts_each_of_them_has() -> None:
    order: list[str] = []

    async def one(workers: Workers, person: str) -> None:
        await workers.analyse(EMPLOYEES, view(), person)
        order.append(person)

    async def steps(workers: Workers) -> None:
        await asyncio.gather(*(one(workers, person) for person in ("u1", "u1", "u1", "u2", "u3", "u2")))

    with_workers(steps, count=1)
    assert order == ["u1", "u2", "u3", "u1", "u2", "u1"]


def test_a_turn_that_nobody_waits_for_any_more_is_given_to_the_next() -> None:
    async def run() -> None:
        turns = worker._Turns(1)
        await turns.begin("u1")
        gone, next_ = asyncio.create_task(turns.begin("u2")), asyncio.create_task(turns.begin("u3"))
        await asyncio.sleep(0)
        # at the same moment: the turn comes, and who waited for it leaves
        turns.end("u1")
        gone.cancel()
        await asyncio.wait_for(next_, 1)
        with pytest.raises(asyncio.CancelledError):
            await gone
        turns.end("u3")
        await asyncio.wait_for(turns.begin("u1"), 1)

    asyncio.run(run())
