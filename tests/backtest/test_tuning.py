"""Searches inside training windows: on record to the last trial, resumed anywhere, the same bits however run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from harness.backtest.tuning import study as study_module
from harness.core.errors import DamagedError
from harness.core.identity import digest
from harness.core.recipe import Experiment, Recipe
from harness.core.search import Domain, Search
from harness.record import studies
from harness.record.cells import read_cell
from harness.record.home import Home
from harness.record.runs import list_runs, read_manifest
from harness.record.studies import finished_study, read_study
from harness.report.run import Run
from harness.report.search_text import spaces_text, trials_text
from harness.report.summary import summary
from tests.backtest.made_runs import AR, TREES, Ran, exported, quarter, releases, run, small
from tests.backtest.test_resume import Stopped, StoppedAt, assert_same

LEAVES = Domain("num_leaves", "int", 2, 8, log=True)
RATE = Domain("learning_rate", "float", 0.02, 0.5, log=True)
SPACE = (LEAVES, RATE)
SEARCH = Search(space=SPACE, trials=10, folds=2, retune_every=2)
TUNED = replace(TREES, name="tuned", search=SEARCH)
ORDERS = replace(
    AR, name="orders", search=Search((Domain("max_lags", "int", 1, 3),), sampler="grid", trials=9, folds=2)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuning")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


def few(models: tuple[Recipe, ...], place: Path) -> Experiment:
    asked = small(models, place)
    return replace(asked, origins=replace(asked.origins, first=quarter(20)))


@pytest.fixture(scope="module")
def asked(place: Path) -> Experiment:
    return few((TREES, TUNED, ORDERS), place)


@pytest.fixture(scope="module")
def whole(asked: Experiment, changes: Path, place: Path) -> Ran:
    return run(asked, changes, place / "whole")


def home_of(ran: Ran) -> Path:
    return ran.files.folder.parents[1]


def searches(ran: Ran, model: str = "tuned") -> dict[str, studies.StudyRecord]:
    listed = read_manifest(ran.files)["studies"]
    assert isinstance(listed, dict)
    return {origin: read_study(home_of(ran) / "studies", key) for origin, key in listed[model].items()}


def timeless(record: studies.StudyRecord) -> tuple[object, ...]:
    trials = [{name: value for name, value in line.items() if name != "seconds"} for line in record.trials]
    return record.head, trials, record.end


def assert_same_searches(one: Ran, other: Ran) -> None:
    for model in ("tuned", "orders"):
        mine, theirs = searches(one, model), searches(other, model)
        assert {origin: timeless(record) for origin, record in mine.items()} == {
            origin: timeless(record) for origin, record in theirs.items()
        }


# ---- what a record holds


def test_the_record_says_all_that_was_searched_and_every_trial(whole: Ran) -> None:
    found = searches(whole)
    assert len(found) == 3  # six issued origins, tuned at every second one
    for origin, record in found.items():
        head: Mapping[str, Any] = record.head
        assert head["origin"] == origin
        assert [one["name"] for one in head["space"]] == ["num_leaves", "learning_rate"]
        assert head["space"][0] | {"optuna": ""} == {
            "name": "num_leaves", "kind": "int", "low": 2, "high": 8, "log": True, "step": None, "choices": [],
            "default": 4, "when": [], "optuna": "",
        }  # fmt: skip
        assert json.loads(head["space"][1]["optuna"])["name"] == "FloatDistribution"
        assert head["sampler"]["name"] == "tpe"
        assert head["budget"] == {"trials": 10, "seconds": None, "batch": 4, "patience": 0}
        assert head["objective"]["metric"] == "rmse"
        assert all(one["origin"] < origin and max(one["judged_at"]) < origin for one in head["inner"])
        assert [line["number"] for line in record.trials] == list(range(10))
        assert [line["batch"] for line in record.trials] == [0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
        assert record.trials[0]["params"] == {"num_leaves": 4, "learning_rate": 0.05}
        for line in record.trials:
            assert line["state"] == "complete"
            assert len(line["folds"]) == len(line["running"]) == 2
            assert line["value"] == line["running"][-1]
        best = min(record.trials, key=lambda line: line["value"])
        assert record.end == {"end": "10 trials", "trials": 10, "best": best["number"]}


def test_a_parameter_that_was_never_drawn_is_on_record(place: Path, changes: Path, tmp_path: Path) -> None:
    never = Domain("alpha", "float", 0.5, 0.9, when=(("objective", ("huber",)),))
    space = (LEAVES, Domain("objective", "choice", choices=("regression", "huber"), default="regression"), never)
    model = replace(TUNED, search=replace(SEARCH, space=space, trials=1))
    record = next(iter(searches(run(few((model,), place), changes, tmp_path)).values()))
    assert all("alpha" not in line["params"] for line in record.trials)
    told = next(one for one in record.head["space"] if one["name"] == "alpha")  # type: ignore[attr-defined]
    assert told["when"] == [["objective", ["huber"]]]


def test_the_best_setting_is_fitted_as_a_plain_recipe_would_be(whole: Ran) -> None:
    cells = whole.keys["tuned"]
    facts = [json.loads((home_of(whole) / "cells" / key / "cell.json").read_text())["facts"] for key in cells]
    for number, fact in enumerate(facts):
        record = list(searches(whole).values())[number // 2]
        assert fact["tuned"]["best"] == record.end["best"]
        fit = json.loads((home_of(whole) / "fits" / fact["fit_key"] / "fit.json").read_text())
        text = json.loads(fit["fit"])["models"]["0/point"]
        assert f"[num_leaves: {fact['tuned']['setting']['num_leaves']}]" in text
    assert whole.of("tuned")["value"].to_list() != whole.of("gbm")["value"].to_list()


def test_optuna_opens_the_journal(whole: Ran) -> None:
    for record in searches(whole).values():
        path = home_of(whole) / "studies" / record.key / "journal.log"
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        study = optuna.load_study(study_name=record.key, storage=storage)
        assert [trial.value for trial in study.trials] == [line["value"] for line in record.trials]
        assert study.best_trial.number == record.end["best"]
        assert study.trials[3].params == record.trials[3]["params"]


def test_pruned_and_failed_trials_are_on_record_with_reasons(place: Path, changes: Path, tmp_path: Path) -> None:
    space = (LEAVES, Domain("max_bin", "choice", choices=(255, -3)))
    search = Search(space, trials=31, folds=3, pruner="median", batch=10, retune_every=6)
    model = replace(TUNED, search=search)
    record = next(iter(searches(run(few((model,), place), changes, tmp_path)).values()))
    by_state = {state: [line for line in record.trials if line["state"] == state] for state in ("pruned", "failed")}
    assert all("max_bin" in line["reason"] and line["value"] is None for line in by_state["failed"])
    assert all(line["params"]["max_bin"] == -3 for line in by_state["failed"])
    assert all(len(line["folds"]) < 3 and "worse than the median" in line["reason"] for line in by_state["pruned"])
    assert by_state["failed"]
    assert by_state["pruned"]
    for line in by_state["pruned"]:  # it was compared with trials of earlier batches only
        done = len(line["running"])
        earlier = [one for one in record.trials if one["batch"] < line["batch"] and len(one["running"]) >= done]
        assert f"of {len(earlier)} earlier trials" in line["reason"]


def test_too_few_inner_origins_leave_the_defaults_and_say_so(place: Path, changes: Path, tmp_path: Path) -> None:
    greedy = replace(TUNED, search=replace(SEARCH, folds=60))
    ran = run(few((TREES, greedy), place), changes, tmp_path)
    facts = read_manifest(ran.files)["facts"]
    assert isinstance(facts, dict)
    assert any("not tuned" in text and "60 folds" in text for text in facts["warnings"]["tuned"])
    for record in searches(ran).values():
        assert record.trials == ()
        assert record.end["end"] == "too few matured inner origins"
    assert set(ran.of("tuned")["status"]) == {"ok"}


@pytest.mark.slow
def test_patience_ends_a_search_at_the_end_of_a_batch(place: Path, changes: Path, tmp_path: Path) -> None:
    model = replace(TUNED, search=replace(SEARCH, trials=200, patience=6))
    for record in searches(run(few((model,), place), changes, tmp_path)).values():
        made = len(record.trials)
        assert record.end["end"] == "6 trials without an improvement"
        assert made < 200
        assert (made - 1) % 4 == 0
        assert made - 1 - record.end["best"] >= 6  # type: ignore[operator]


# ---- the same bits


@pytest.mark.slow
def test_two_workers_search_as_one(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    other = run(asked, changes, tmp_path, workers=2)
    assert_same(other, whole)
    assert_same_searches(other, whole)


def moments(asked: Experiment, changes: Path, home: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        count = StoppedAt(patch, 10**9)
        run(asked, changes, home)
    return 10**9 - count.left


@pytest.mark.slow
def test_a_search_stopped_anywhere_goes_on_with_the_same_sequence(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    one = replace(asked, models=tuple(model for model in asked.models if model.name != "gbm"))
    plain = run(one, changes, tmp_path / "plain")
    total = moments(one, changes, tmp_path / "count")
    for number in range(2, total, max(1, total // 14)):
        home = tmp_path / f"stopped{number}"
        with pytest.MonkeyPatch.context() as patch:
            StoppedAt(patch, number)
            with pytest.raises(Stopped):
                run(one, changes, home)
        resumed = run(one, changes, home)
        assert_same(resumed, plain)
        assert_same_searches(resumed, plain)


def test_a_crash_loses_at_most_the_running_trial(
    asked: Experiment, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = study_module.evaluate

    def counted(*given: Any) -> Any:
        made.append(1)
        if len(made) == 7:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(study_module, "evaluate", counted)
    with pytest.raises(KeyboardInterrupt):
        run(few((TUNED,), Path(asked.folder)), changes, tmp_path)
    (folder,) = [path for path in (tmp_path / "studies").iterdir() if path.is_dir()]
    assert len(read_study(tmp_path / "studies", folder.name).trials) == 6
    made.clear()
    monkeypatch.setattr(study_module, "evaluate", lambda *given: made.append(1) or real(*given))
    ran = run(few((TUNED,), Path(asked.folder)), changes, tmp_path)
    assert len(made) == 3 * 10 - 6  # what was on record was not made again
    assert len(searches(ran)) == 3


def test_half_a_line_is_cut_off_and_a_changed_one_is_refused(
    whole: Ran, asked: Experiment, changes: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(home_of(whole), home)
    key = next(iter(searches(whole).values())).key
    path = home / "studies" / key / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    assert len(read_study(home / "studies", key).trials) == 5
    assert finished_study(home / "studies", key) is None
    again = run(asked, changes, home)
    assert_same(again, whole)
    assert_same_searches(again, whole)
    path.write_bytes(path.read_bytes().replace(b'"num_leaves": ', b'"num_leaves": 1', 1))
    with pytest.raises(DamagedError, match="record of a search is damaged"):
        read_study(home / "studies", key)
    damaged = path.read_bytes()
    with pytest.warns(UserWarning, match="it is damaged: it is kept as"):
        assert_same(run(asked, changes, home), whole)  # it is made again, and so are the cells that rest on it
    assert_same_searches(again, whole)
    assert path.with_name("trials.jsonl.aside-1").read_bytes() == damaged


def test_a_cell_made_with_another_setting_than_the_search_on_record_is_made_again(
    whole: Ran, asked: Experiment, changes: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(home_of(whole), home)
    record = next(one for one in searches(whole).values() if "num_leaves" in str(one.trials[0]["params"]))
    best = record.trials[int(str(record.end["best"]))]["params"]
    other = next(line["number"] for line in record.trials if line["params"] != best)
    chain, texts = digest(record.head), []
    for line in (*record.trials, {**record.end, "best": other}):
        chain, text = studies.chained(chain, line)
        texts.append(text)
    (home / "studies" / record.key / "trials.jsonl").write_bytes(b"".join(texts))
    told = [one for one in tuned_facts(run(asked, changes, home), home) if one["origin"] == record.head["origin"]]
    assert told
    assert {one["best"] for one in told} == {other}


def tuned_facts(ran: Ran, home: Path) -> list[dict[str, Any]]:
    """What the cells of the tuned model say of their search."""
    manifest: Any = read_manifest(ran.files)
    cells = [read_cell(home / "cells", key) for key in manifest["cells"]["tuned"]]
    facts: list[Any] = [cell.facts for cell in cells if cell is not None]
    return [one["tuned"] for one in facts if "tuned" in one]


@pytest.mark.slow
def test_a_lost_record_is_made_again_before_its_cells_are_used(
    whole: Ran, asked: Experiment, changes: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(home_of(whole), home)
    shutil.rmtree(home / "studies")
    again = run(asked, changes, home)
    assert_same(again, whole)
    assert_same_searches(again, whole)


@pytest.mark.slow
def test_a_budget_of_seconds_records_where_it_stopped_and_stays_there(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    model = replace(TUNED, search=replace(SEARCH, trials=None, seconds=0.2, retune_every=6))
    asked = few((model,), place)
    ran = run(asked, changes, tmp_path)
    (record,) = searches(ran).values()
    assert record.end["end"] == "0.2 seconds"
    assert sum(line["seconds"] for line in record.trials) >= 0.1  # type: ignore[misc]  # what lies between them counts, too
    shutil.rmtree(tmp_path / "cells")
    again = run(asked, changes, tmp_path)
    assert_same(again, ran)
    assert timeless(next(iter(searches(again).values()))) == timeless(record)


def test_the_name_of_a_model_and_other_models_leave_its_searches_alone(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    other = run(few((replace(TUNED, name="renamed"),), Path(asked.folder)), changes, tmp_path)
    assert [timeless(one) for one in searches(other, "renamed").values()] == [
        timeless(one) for one in searches(whole).values()
    ]


CHILD = """
import sys
from pathlib import Path
from tests.backtest.made_runs import run
from tests.backtest.test_tuning import killable
place, changes, home = sys.argv[1:]
run(killable(Path(place)), Path(changes), Path(home))
"""


def killable(place: Path) -> Experiment:
    return few((replace(TUNED, search=replace(SEARCH, trials=24)),), place)


@pytest.mark.slow
def test_a_process_killed_in_the_middle_of_a_search_resumes_to_the_same_record(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    plain = run(killable(place), changes, tmp_path / "plain")
    home = tmp_path / "home"
    for wanted in (3, 17, 40):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(place), str(changes), str(home)], start_new_session=True,
            cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while trials_in(home) < wanted and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert trials_in(home) >= wanted
        assert "complete" not in {made.get("status") for made in list_runs(Home(home))}
    resumed = run(killable(place), changes, home)
    assert_same(resumed, plain)
    mine, theirs = searches(resumed), searches(plain)
    assert [timeless(one) for one in mine.values()] == [timeless(one) for one in theirs.values()]


def trials_in(home: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in home.glob("studies/*/trials.jsonl"))


def slow_spaces(place: Path) -> None:
    (place / "slow_spaces.py").write_text(
        "import time\n\n\ndef slow(trial):\n    time.sleep(0.1)\n"
        "    return {'num_leaves': trial.suggest_int('leaves', 2, 9)}\n\n\ndef never(trial):\n"
        "    raise ValueError('no setting')\n"
    )


@pytest.mark.slow
def test_a_budget_of_seconds_counts_the_time_of_drawing_too(place: Path, changes: Path, tmp_path: Path) -> None:
    slow_spaces(place)
    search = Search(function="slow_spaces:slow", trials=400, seconds=1.0, folds=1, retune_every=6, batch=1)
    asked = few((replace(TREES, name="tuned", search=search),), place)
    (record,) = searches(run(asked, changes, tmp_path)).values()
    assert record.end["end"] == "1 seconds"
    assert len(record.trials) <= 11  # ten draws alone take the whole second
    assert sum(line["seconds"] for line in record.trials) >= 0.9  # type: ignore[misc]


def test_a_search_in_which_nothing_but_the_defaults_works_ends_and_is_warned_about(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    slow_spaces(place)
    search = Search(function="slow_spaces:never", trials=None, seconds=600.0, folds=1, retune_every=6)
    ran = run(few((replace(TREES, name="tuned", search=search),), place), changes, tmp_path)
    (record,) = searches(ran).values()
    assert record.end == {"end": "50 failed trials in a row", "trials": 53, "best": 0}
    facts = read_manifest(ran.files)["facts"]
    told = "not tuned, the declared defaults were fitted: every one of the 52 drawn trials failed (space: ValueError"
    assert any(told in text for text in facts["warnings"]["tuned"])  # type: ignore[index]
    found = Run(ran.files.run_id, Home(tmp_path))
    for text in (spaces_text(found), trials_text(found), summary(found)):
        assert told in text
        assert "no model of this run was tuned" not in text
