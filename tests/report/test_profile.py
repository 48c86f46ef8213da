"""The profile of a run: its rows add up to the wall time, whatever workers did at once."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import cli
from harness.backtest.spent import Spent
from harness.backtest.stages import Stages
from harness.core.errors import UserError
from harness.record.home import Home
from harness.record.runs import find_run, read_manifest
from harness.report.profile import computed, profile_rows, profile_text
from tests.backtest.made_runs import AR, MINE, exported, releases, run, small

MADE = {
    "measured": {
        "wall_seconds": 20.0,
        "slots": 2,
        "seconds": {"plan": 1.0, "features": 2.0, "cells": 12.0, "read cells": 1.0, "score": 2.0, "write": 1.0},
        "models": {"all models": {"replay": 2.0, "write": 1.0}, "ar": {"fit": 8.0, "predict": 5.0}},
    }
}


def test_rows_add_up_to_the_wall_time_and_workers_count_by_their_share() -> None:
    rows = profile_rows(MADE)
    assert sum(seconds for _, _, seconds, _ in rows) == pytest.approx(20.0)
    found = {(stage, model): seconds for stage, model, seconds, _ in rows}
    assert found["fit", "ar"] == 4.0
    assert found["replay", ""] == 1.0
    assert found["other", ""] == pytest.approx(12.0 - 16.0 / 2 + 1.0)  # cells nobody counts, and between stages


def test_more_workers_than_were_known_of_leave_nothing_below_zero() -> None:
    busier = {"measured": {**MADE["measured"], "slots": 1}}
    rows = profile_rows(busier)
    assert sum(seconds for _, _, seconds, _ in rows) == pytest.approx(20.0)
    assert min(seconds for _, _, seconds, _ in rows) >= 0.0


@pytest.mark.parametrize(
    ("slots", "busy", "said"),
    [
        (1, 11.0, "(one task at a time)"),
        (2, 13.0, "(2 tasks at a time, so seconds = in workers / 2)"),
        (1, 18.0, "(threads side by side, so seconds = in workers / 1.5)"),
    ],
)
def test_the_head_says_how_seconds_follow_from_those_of_workers(slots: int, busy: float, said: str) -> None:
    measured = {**MADE["measured"], "slots": slots, "models": {"gbm": {"fit": busy}}}
    assert profile_text({"measured": measured}).splitlines()[0] == f"Where the time went {said}"


def test_parts_of_a_fit_are_rows_of_their_own_and_the_rest_stays_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    spent, clock = Spent(), iter([11.0, 13.0, 14.0])
    monkeypatch.setattr("harness.backtest.spent.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    with spent.within("gbm", "fit", "train"):
        pass
    spent.add("gbm", "fit", 10.0)
    assert spent.seconds == {("gbm", "train"): 2.0, ("gbm", "fit"): 2.0}
    stages = Stages()
    stages.add(spent, apart=False)
    shown = {"measured": {"wall_seconds": 1.0, "slots": 1, "seconds": {"cells": 1.0}, "models": stages.models}}
    assert {("fit", "gbm"), ("fit: trees", "gbm")} <= {row[:2] for row in profile_rows(shown)}


def test_the_memory_of_a_worker_is_that_of_another_process() -> None:
    stages = Stages()
    spent = Spent()
    spent.peak = 7
    stages.add(spent, apart=False)
    assert stages.record()["peak_worker_bytes"] == 0
    stages.add(spent, apart=True)
    assert stages.record()["peak_worker_bytes"] == 7


def test_a_run_without_a_profile_says_so() -> None:
    with pytest.raises(UserError, match="the run has no profile"):
        profile_text({"run_id": "abc", "measured": {"seconds": {"plan": 1.0}}})


def test_a_run_that_found_its_cells_stored_is_told_from_one_that_computed() -> None:
    assert computed(MADE)
    assert not computed({"measured": {"seconds": {"plan": 1.0, "look up cells": 0.1, "score": 0.2}}})


def test_a_run_that_is_not_finished_says_so_and_no_more() -> None:
    begun = {"run_id": "abc", "name": "mine", "status": "running"}
    with pytest.raises(UserError, match="the run is not finished: abc") as caught:
        profile_text(begun)
    assert "earlier version" not in str(caught.value)
    assert caught.value.fix == "resume it: harness backtest mine --profile"


def test_what_is_left_over_is_no_zero_below_zero() -> None:
    measured = {"wall_seconds": 1.0, "slots": 1, "seconds": {"plan": 0.501, "score": 0.5}, "models": {}}
    assert profile_rows({"measured": measured})[-1][2] < 0.0
    shown = profile_text({"measured": measured})
    assert "-0" not in shown
    assert re.search(r"other +0\.00 +0 %", shown)


def test_idle_cores_are_worth_a_word_where_the_trees_of_a_single_fit_took_much_of_the_time() -> None:
    def shown(trees: float, **idle: dict[str, int]) -> str:
        return profile_text({"measured": {**MADE["measured"], "models": {"gbm": {"train": trees}}, **idle}})

    assert "gbm: one fit, in one thread of 4; num_threads = 4 in its params" in shown(9.0, idle={"gbm": 4})
    assert "num_threads" not in shown(1.0, idle={"gbm": 4})
    assert "num_threads" not in shown(9.0)


@pytest.mark.slow
def test_a_run_keeps_its_profile_and_shows_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(small((AR, MINE), tmp_path), exported(releases(), tmp_path / "archive"), tmp_path / "home")
    manifest = read_manifest(find_run(Home(tmp_path / "home"), ran.files.run_id))
    rows = profile_rows(manifest)
    measured = manifest["measured"]
    assert isinstance(measured, dict)
    assert sum(seconds for _, _, seconds, _ in rows) == pytest.approx(measured["wall_seconds"])
    told = {(stage, model) for stage, model, _, _ in rows}
    assert {
        ("replay", ""),
        ("write cells", ""),
        ("fit", "ar"),
        ("predict", "mine"),
        ("score", ""),
        ("write", ""),
    } <= told
    other = next(seconds for stage, _, seconds, _ in rows if stage == "other")
    assert -0.05 < other < 0.5 * measured["wall_seconds"]
    assert cli.main(["show", ran.files.run_id, "--profile", "--home", str(tmp_path / "home")]) == 0
    assert capsys.readouterr().out.strip() == profile_text(manifest).strip()
