"""Effort is counted by the values of a target's series; replays are no looks; narrowing a space is noticed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.backtest.effort import fingerprint, fingerprints
from harness.core.search import Domain, Search
from harness.core.search import narrowed as narrower
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from harness.record.home import Home
from harness.report.run import Run
from tests.backtest.made_runs import AR, END, RIDGE, TREES, exported, releases, run
from tests.backtest.test_blocks import NAMES, asked_of, ragged
from tests.backtest.test_resume import assert_same
from tests.backtest.test_tuning import SEARCH, TUNED, few
from tests.data.stops import watched


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("effort")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.mark.slow
def test_a_series_is_known_by_its_values_whatever_comes_later(changes: Path, tmp_path: Path) -> None:
    plain = ChangeFile.open(changes)
    later = ChangeFile.open(exported(releases(), tmp_path / "later", known_through=END + timedelta(days=200)))
    renamed = releases().with_columns(pl.col("series_id").replace({"cpi": "prices"}))
    other = ChangeFile.open(exported(renamed, tmp_path / "renamed"))
    assert fingerprint(plain, "cpi") == fingerprint(later, "cpi") == fingerprint(other, "prices")
    assert fingerprint(plain, "cpi") != fingerprint(plain, "gdp")
    moved = exported(releases(seed=2), tmp_path / "moved")
    assert fingerprint(plain, "cpi") != fingerprint(ChangeFile.open(moved), "cpi")


def test_series_are_known_alike_however_their_first_values_are_found(tmp_path: Path) -> None:
    ragged_file = ChangeFile.open(exported(ragged(), tmp_path))
    one_by_one = {name: fingerprint(ragged_file, name) for name in NAMES}
    assert fingerprints(ragged_file, asked_of(tmp_path, Transform("level"), NAMES, ())) == one_by_one
    assert len(set(one_by_one.values())) == len(NAMES)


def effort(ran: object, home: Path) -> tuple[int, int]:
    found = Run(ran.files.run_id, Home(home)).effort()  # type: ignore[attr-defined]
    assert found is not None
    return found.searched, found.looked


@pytest.mark.slow
def test_looks_and_trials_add_up_over_runs_and_a_replay_is_none(place: Path, changes: Path, tmp_path: Path) -> None:
    first = few((AR, TUNED), place)
    ran = run(first, changes, tmp_path)
    assert effort(ran, tmp_path) == (30, 2)  # three searches of ten; the rivals are everyone's
    run(first, changes, tmp_path)
    assert effort(ran, tmp_path) == (30, 2)
    run(few((replace(AR, name="same_again"), RIDGE), place), changes, tmp_path)
    assert effort(ran, tmp_path) == (30, 3)
    level = replace(first, target=replace(first.target, transform=Transform("difference", 1)))
    run(replace(level, models=first.models[:1]), changes, tmp_path)
    assert effort(ran, tmp_path) == (30, 4)  # another target made of the same series
    (tmp_path / "registry.duckdb").unlink()
    assert effort(ran, tmp_path) == (30, 4)
    board = Run(ran.files.run_id, Home(tmp_path)).leaderboard()
    assert set(board["n_searched"]) == {30}
    assert set(board["n_looked"]) == {4}


@pytest.mark.slow
def test_a_space_narrowed_after_results_were_seen_is_told(place: Path, changes: Path, tmp_path: Path) -> None:
    assert narrowed(run(few((TUNED,), place), changes, tmp_path), tmp_path) == []
    less = replace(SEARCH, space=(Domain("num_leaves", "int", 2, 4, log=True), SEARCH.space[1]))
    ran = run(few((replace(TREES, name="again", search=less),), place), changes, tmp_path)
    ((model, told),) = narrowed(ran, tmp_path)
    assert model == "again"
    assert told.startswith("narrowed after results were seen: num_leaves: its range (int 2 to 4, log) leaves out")
    wider = replace(SEARCH, space=(Domain("num_leaves", "int", 2, 9, log=True), SEARCH.space[1]))
    assert narrowed(run(few((replace(TUNED, search=wider),), place), changes, tmp_path), tmp_path) == []


def narrowed(ran: object, home: Path) -> list[list[str]]:
    return Run(ran.files.run_id, Home(home)).manifest["narrowed"]  # type: ignore[attr-defined, return-value]


@pytest.mark.slow
def test_a_search_by_another_name_still_counts_as_one(place: Path, changes: Path, tmp_path: Path) -> None:
    ran = run(few((TUNED,), place), changes, tmp_path)
    run(few((replace(TUNED, name="renamed"),), place), changes, tmp_path)
    assert effort(ran, tmp_path) == (30, 1)
    assert Search() != SEARCH


@pytest.mark.slow
def test_a_run_killed_while_its_effort_is_counted_counts_it_once(place: Path, changes: Path, tmp_path: Path) -> None:
    asked = few((AR, TUNED), place)
    live = tmp_path / "live"
    run(few((RIDGE,), place), changes, live)  # a registry that is there, and one look in it
    left: dict[str, Path] = {}

    def copied(number: int, at: str) -> None:
        if "registry." in at:
            left[f"{number} {at}"] = tmp_path / str(number)
            shutil.copytree(live, tmp_path / str(number))

    with watched(copied):
        whole = run(asked, changes, live)
    assert len(left) >= 10
    assert effort(whole, live) == (30, 3)
    for home in left.values():
        again = run(asked, changes, home)
        assert effort(again, home) == (30, 3)
    assert_same(again, whole)


LEAVES = Domain("k", "int", 1, 9)
RATE = Domain("k", "float", 0.0, 1.0, step=0.1)


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        (LEAVES, Domain("k", "choice", choices=(1, 9)), True),
        (LEAVES, replace(LEAVES, step=2), True),
        (replace(LEAVES, step=2), LEAVES, False),
        (RATE, replace(RATE, step=0.2), True),
        (RATE, replace(RATE, step=0.05), False),
        (replace(RATE, step=None), RATE, True),
        (Domain("k", "choice", choices=(1, 12)), LEAVES, True),
        (Domain("k", "choice", choices=(1, 3)), LEAVES, False),
    ],
)
def test_coarser_steps_and_ranges_made_choices_are_narrower(before: Domain, after: Domain, less: bool) -> None:
    assert narrower(before, after) is less


@pytest.mark.slow
def test_a_parameter_or_a_search_that_is_gone_is_told(place: Path, changes: Path, tmp_path: Path) -> None:
    run(few((TUNED,), place), changes, tmp_path)
    dropped = replace(TUNED, search=replace(SEARCH, space=SEARCH.space[:1]))
    ((_, told),) = narrowed(run(few((dropped,), place), changes, tmp_path), tmp_path)
    assert "learning_rate: it is not searched any more, as in run" in told
    fixed = narrowed(run(few((replace(TUNED, search=None),), place), changes, tmp_path), tmp_path)
    assert {told.split(": ")[1] for _, told in fixed} == {"num_leaves", "learning_rate"}
