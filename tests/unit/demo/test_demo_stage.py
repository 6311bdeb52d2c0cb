"""Where the demonstration lives, and that two of them do not share a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.postgres import DemoError
from gateway.demo.stage import claimed, state_directory


def test_the_place_is_chosen_by_argument_then_environment(tmp_path: Path) -> None:
    environ = {"GATEWAY_DEMO_STATE": str(tmp_path / "b")}
    assert state_directory("demo", tmp_path / "a", environ) == tmp_path / "a" / "demo"
    assert state_directory("tour", None, environ) == tmp_path / "b" / "tour"


def test_without_a_choice_root_uses_a_place_that_others_may_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert state_directory("demo", None, {}) == Path("/var/lib/gateway-demo/demo")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert state_directory("demo", None, {"XDG_STATE_HOME": "/home/a/.state"}) == Path(
        "/home/a/.state/gateway-demo/demo"
    )


def test_a_second_demonstration_gets_the_place_next_door(tmp_path: Path) -> None:
    with claimed(tmp_path / "demo") as first, claimed(tmp_path / "demo") as second:
        assert (first.name, second.name) == ("demo", "demo-2")
    with claimed(tmp_path / "demo") as again:
        assert again == tmp_path / "demo"


def test_a_place_that_cannot_be_made_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError) as caught, claimed(tmp_path / "file" / "demo"):
        pass
    assert "--state" in caught.value.refusal.hint
