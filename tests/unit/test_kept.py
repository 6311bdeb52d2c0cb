"""What measurements of the parts leave in the results: a section for each command, and the benchmark's tables alone."""

from __future__ import annotations

from loadtests.kept import keep, split

BENCH = "# How fast\n\n| a | b |\n"
FACTS = {"CPU": "2 cores", "elsewhere": "not told"}


def test_a_section_is_put_behind_the_benchmark_and_replaced_by_its_own_command_only() -> None:
    one = keep(BENCH, "python -m loadtests trail", FACTS, "append 1\n\n")
    two = keep(one, "python -m loadtests trail --quorum", FACTS, "append 2\n")
    again = keep(two, "python -m loadtests trail", FACTS, "append 3\n")
    assert again.startswith(BENCH)
    assert [again.count(f"append {number}") for number in (1, 2, 3)] == [0, 1, 1]
    assert again.count("# The parts by themselves") == 1
    assert "2 cores" in again
    assert "not told" not in again
    assert keep(again, "python -m loadtests trail", FACTS, "append 3\n") == again


def test_the_benchmark_finds_the_sections_of_others() -> None:
    kept = keep(BENCH, "python -m loadtests trail", FACTS, "append 1")
    bench, sections = split(kept)
    assert bench.strip() == BENCH.strip()
    assert keep("# New\n", "python -m loadtests trail", FACTS, "append 1") == f"# New\n\n{sections}"
    assert split(BENCH) == (BENCH, "")
