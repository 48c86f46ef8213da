"""Searches as tables and text, from the records of a run; two runs compared; the verbs that print them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from harness.cli import main
from harness.core.errors import DamagedError
from harness.core.search import Domain, Search
from harness.data.archive.sql import ask
from harness.record.home import Home
from harness.record.trials import TRIALS, searches_of
from harness.report.run import Run
from harness.report.search_text import diff_text, trials_text
from harness.report.searches import DIFF, SPACES, spaces_diff
from tests.backtest.made_runs import AR, exported, releases, run
from tests.backtest.test_tuning import ORDERS, SEARCH, TUNED, few


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searches")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def tuned(place: Path, changes: Path) -> Run:
    return Run(run(few((AR, TUNED, ORDERS), place), changes, place / "home").files.run_id, Home(place / "home"))


@pytest.mark.slow
def test_every_trial_is_a_row(tuned: Run) -> None:
    trials = tuned.trials()
    assert trials.schema == TRIALS
    assert dict(trials.group_by("model").len().iter_rows()) == {"tuned": 30, "orders": 24}
    best = trials.filter("best")
    assert best.height == 9
    smallest = trials.group_by("study", maintain_order=True).agg(pl.col("value").min())
    assert best["value"].to_list() == smallest["value"].to_list()
    assert json.loads(trials.filter(pl.col("model") == "tuned")["setting"][0]) == {
        "num_leaves": 4,
        "learning_rate": 0.05,
    }


def test_every_declared_parameter_is_a_row(tuned: Run) -> None:
    spaces = tuned.search_spaces()
    assert spaces.schema == SPACES
    row = spaces.filter(pl.col("parameter") == "num_leaves").row(0, named=True)
    assert {name: row[name] for name in ("model", "parameter", "type", "low", "high", "log", "default")} == {
        "model": "tuned", "parameter": "num_leaves", "type": "int", "low": 2.0, "high": 8.0, "log": True,
        "default": "4",
    }  # fmt: skip
    assert (row["searches"], row["drawn"]) == (3, 30)
    of_tuned = spaces.filter(spaces["model"] == "tuned")
    assert of_tuned["importance"].sum() == pytest.approx(1.0)


def test_a_run_without_searches_has_none(place: Path, changes: Path) -> None:
    plain = Run(run(few((AR,), place), changes, place / "plain").files.run_id, Home(place / "plain"))
    assert plain.trials().schema == TRIALS
    assert plain.search_spaces().height == plain.trials().height == 0
    assert "no model of this run was tuned" in trials_text(plain)


def test_two_runs_differ_where_their_spaces_do(tuned: Run, place: Path, changes: Path) -> None:
    space = (Domain("num_leaves", "int", 2, 6, log=True), Domain("max_bin", "int", 15, 63))
    other = replace(TUNED, search=replace(SEARCH, space=space, trials=5))
    ran = Run(run(few((other,), place), changes, place / "home").files.run_id, tuned.home)
    one, two = (searches_of(some.manifest, some.home) for some in (tuned, ran))
    found = spaces_diff(one, two)
    assert found.schema == DIFF
    told = {(model, name): change for model, name, change, *_ in found.iter_rows()}
    assert told == {
        ("orders", "max_lags"): "removed", ("tuned", "num_leaves"): "changed", ("tuned", "learning_rate"): "removed",
        ("tuned", "max_bin"): "added", ("tuned", "budget.trials"): "changed",
    }  # fmt: skip
    pairs = {name: pair for _, name, _, *pair in found.iter_rows()}
    assert pairs["budget.trials"] == ["10", "5"]
    assert diff_text(spaces_diff(one, one)) == "both runs searched the same"


def test_a_missing_record_is_told_with_the_way_back(place: Path, changes: Path) -> None:
    ran = Run(run(few((TUNED,), place), changes, place / "lost").files.run_id, Home(place / "lost"))
    for path in (place / "lost" / "studies").glob("*/trials.jsonl"):
        path.unlink()
    with pytest.raises(DamagedError, match="record of a search is missing"):
        ran.trials()


def test_the_verbs_print_searches_and_effort(
    tuned: Run, capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(place / "home"))
    assert main(["spaces", tuned.id]) == 0
    assert "int 2 to 8, log" in capsys.readouterr().out
    assert main(["trials", tuned.id, "--all", "--model", "orders"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("6 searches, 24 trials (24 complete)")
    assert printed.count('{"max_lags": ') == 24
    assert printed.splitlines()[1].split() == [
        "model", "origin", "trial", "batch", "state", "value", "folds", "took", "setting", "reason",
    ]  # fmt: skip
    assert main(["trials", tuned.id]) == 0
    assert "9 searches, 54 trials" in capsys.readouterr().out
    assert main(["trials", tuned.id, "--model", "tunde"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["spaces", "diff", tuned.id, tuned.id]) == 0
    capsys.readouterr()
    assert main(["spaces", tuned.id, tuned.id]) == 2
    assert "2 runs: " in capsys.readouterr().err
    assert main(["spaces", "diff", tuned.id]) == 2
    assert "spaces diff compares two runs" in capsys.readouterr().err
    assert main(["show", tuned.id]) == 0
    shown = capsys.readouterr().out
    assert "effort on this target so far: " in shown
    assert "trials searched inside training windows" in shown


def test_the_ranges_a_function_drew_from_are_shown(place: Path, changes: Path) -> None:
    (place / "shown_spaces.py").write_text(
        "def draw(trial):\n    rate = trial.suggest_float('learning_rate', 0.01, 0.5, log=True)\n"
        "    return {'max_bin': 63, 'learning_rate': rate, 'num_leaves': trial.suggest_int('num_leaves', 2, 3)}\n"
    )
    search = Search(function="shown_spaces:draw", trials=12, folds=2, retune_every=6)
    refused = (("max_bin", -3), *TUNED.params)  # so that a drawn trial is the best
    model = replace(TUNED, params=tuple(sorted(refused)), search=search)
    ran = Run(run(few((model,), place), changes, place / "shown").files.run_id, Home(place / "shown"))
    rows = {row["parameter"]: row for row in ran.search_spaces().iter_rows(named=True)}
    assert [rows["learning_rate"][name] for name in ("type", "low", "high", "log")] == ["float", 0.01, 0.5, True]
    assert [rows["num_leaves"][name] for name in ("type", "low", "high", "at_edge")] == ["int", 2.0, 3.0, 1]
    assert sum(row["importance"] or 0.0 for row in rows.values()) == pytest.approx(1.0)
    assert "num_leaves is at the edge of its range (int 2 to 3)" in str(ran.manifest["facts"])


def test_sql_answers_from_searches_trials_and_effort(tuned: Run) -> None:
    found = ask(tuned.home, f"SELECT * FROM searches WHERE run_id = '{tuned.id}' ORDER BY model, origin").frame
    best = tuned.trials().filter("best").sort("model", "origin")
    assert found["study"].to_list() == best["study"].to_list()
    assert found["value"].to_list() == best["value"].to_list()
    assert found["trials"].sum() == found["complete"].sum() == tuned.trials().height
    asked = f"SELECT count(*) AS n, sum(len(folds)) AS f FROM trials WHERE run_id = '{tuned.id}'"
    counted = ask(tuned.home, asked).frame
    assert counted.row(0) == (54, 108)
    asked = "SELECT count(DISTINCT identity) AS n FROM effort WHERE what = 'looked'"
    effort = tuned.effort()
    assert effort is not None
    assert ask(tuned.home, asked).frame["n"].to_list() == [effort.looked]
    searched = "SELECT sum(trials) AS n FROM (SELECT DISTINCT identity, trials FROM effort WHERE what = 'searched')"
    assert ask(tuned.home, searched).frame["n"].to_list() == [effort.searched]


def test_the_views_of_a_home_without_searches_are_empty_and_described(tmp_path: Path) -> None:
    for view in ("searches", "trials", "effort"):
        found = ask(Home(tmp_path), f"SELECT * FROM {view}").frame
        assert found.height == 0
        assert {"run_id", "model", "origin"} <= set(found.columns)
