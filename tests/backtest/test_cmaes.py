"""CMA-ES as a sampler of searches: it draws from what it was told, the same however it is run, stopped or replayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of, with_rivals
from harness.backtest.searched import study_keys
from harness.backtest.tuning import study as study_module
from harness.core.recipe import Experiment
from harness.core.search import Domain, Search
from harness.data.changes import ChangeFile
from harness.record.studies import read_study
from harness.studies.searches_again import differences
from tests.backtest.made_runs import Ran, exported, releases, run
from tests.backtest.test_resume import Stopped, StoppedAt, assert_same
from tests.backtest.test_search_kinds import drawn
from tests.backtest.test_tuning import SEARCH, TUNED, few, home_of, moments, searches, timeless

CMAES = replace(TUNED, search=replace(SEARCH, sampler="cmaes", trials=22, retune_every=3))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cmaes")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def asked(place: Path) -> Experiment:
    return few((CMAES,), place)


@pytest.fixture(scope="module")
def whole(asked: Experiment, changes: Path, place: Path) -> Ran:
    return run(asked, changes, place / "whole")


def assert_same_search(one: Ran, other: Ran) -> None:
    assert_same(one, other)
    mine, theirs = ([timeless(record) for record in searches(ran).values()] for ran in (one, other))
    assert mine == theirs


@pytest.mark.slow
def test_every_trial_is_on_record_under_the_name_of_the_sampler(whole: Ran) -> None:
    found = searches(whole)
    assert len(found) == 2
    for record in found.values():
        assert record.head["sampler"]["name"] == "cmaes"  # type: ignore[index]
        assert [line["number"] for line in record.trials] == list(range(22))
        assert {line["state"] for line in record.trials} == {"complete"}
        assert len({str(line["params"]) for line in record.trials}) > 10


@pytest.mark.slow
def test_two_workers_search_as_one(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    assert_same_search(run(asked, changes, tmp_path, workers=2), whole)


@pytest.mark.slow
def test_an_interrupted_search_goes_on_with_the_same_sequence(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = [], study_module.evaluate

    def counted(*given: object) -> object:
        made.append(1)
        if len(made) == 15:  # in the middle of a batch, when several generations were told
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(study_module, "evaluate", counted)
    with pytest.raises(KeyboardInterrupt):
        run(asked, changes, tmp_path)
    resumed = run(asked, changes, tmp_path)
    assert len(made) == 15 + 2 * 22 - 14  # what was on record was not made again
    assert_same_search(resumed, whole)


@pytest.mark.slow
def test_a_search_stopped_at_any_write_goes_on_with_the_same_sequence(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    total = moments(asked, changes, tmp_path / "count")
    for number in range(2, total, max(1, total // 5)):
        home = tmp_path / f"stopped{number}"
        with pytest.MonkeyPatch.context() as patch:
            StoppedAt(patch, number)
            with pytest.raises(Stopped):
                run(asked, changes, home)
        assert_same_search(run(asked, changes, home), whole)


@pytest.mark.slow
def test_a_search_that_is_made_again_is_its_record(
    whole: Ran, asked: Experiment, changes: Path, tmp_path: Path
) -> None:
    file = ChangeFile.open(changes)
    plan = build_plan(with_rivals(asked), file)
    made = home_of(run(asked, changes, tmp_path / "again"))
    keys = [key for mine in study_keys(plan, file, board_of(plan.experiment)).values() for key in mine.values()]
    assert keys
    for key in keys:
        record = read_study(home_of(whole) / "studies", key)
        assert list(differences(record, read_study(made / "studies", key))) == []
    last = record.trials[-1]
    changed = replace(record, trials=(*record.trials[:-1], {**last, "params": {**last["params"], "num_leaves": 99}}))  # type: ignore[dict-item]
    assert list(differences(changed, record))


def test_it_draws_the_same_from_the_same_seed_and_learns_where_the_best_values_are() -> None:
    space = (Domain("a", "float", 0.0, 1.0), Domain("b", "int", 1, 4))
    search = Search(space, sampler="cmaes")
    assert drawn(search, 1) == drawn(search, 1) != drawn(search, 2)
    late, by_chance = (drawn(Search(space, sampler=name), 3, trials=61)[-16:] for name in ("cmaes", "random"))
    mean = [sum(float(str(one["a"])) for one in some) / len(some) for some in (late, by_chance)]
    assert mean[0] < mean[1] - 0.1
