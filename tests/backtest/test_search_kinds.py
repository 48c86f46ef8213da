"""What can be searched: orders, features, steps, which model at all, by a function; and by every sampler."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backtest.keys import recipe_identity
from harness.backtest.tuning.objective import Outcome
from harness.backtest.tuning.samplers import Drawer, quiet
from harness.core.recipe import Recipe, Step
from harness.core.search import Domain, Sampler, Search
from tests.backtest.made_runs import AR, RIDGE, TREES, exported, releases, run
from tests.backtest.test_tuning import few, searches

ETS = Recipe("ets", "ets")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


def settings(model: Recipe, place: Path, changes: Path, home: Path) -> list[dict[str, object]]:
    """Settings tried in the last search of a model; none failed but where there were too few values for its lags."""
    record = list(searches(run(few((model,), place), changes, home), model.name).values())[-1]
    reasons = {line["reason"] for line in record.trials}
    assert reasons <= {"", "fold 0: ValueError: no inner row was answered"}
    assert sum(line["state"] == "complete" for line in record.trials) > len(record.trials) // 3
    return [dict(line["params"]) for line in record.trials]  # type: ignore[call-overload]


def test_orders_of_snapshot_models_are_chosen_from_a_grid(place: Path, changes: Path, tmp_path: Path) -> None:
    lags = Domain("lags", "choice", choices=((1,), (1, 2), (2,)))
    model = replace(AR, search=Search((lags,), sampler="grid", trials=9, folds=2, retune_every=6))
    tried = settings(model, place, changes, tmp_path)
    assert tried[0] == {"lags": []}  # as declared: chosen by the information criterion
    assert sorted(map(str, tried[1:])) == sorted(map(str, ({"lags": list(one)} for one in lags.choices)))


def test_the_model_itself_is_chosen(place: Path, changes: Path, tmp_path: Path) -> None:
    space = (
        Domain("kind", "choice", choices=("ar", "ets", "gbm"), default="ar"),
        Domain("max_lags", "int", 1, 3, when=(("kind", ("ar",)),)),
        Domain("ets.trend", "choice", choices=("none", "add"), when=(("kind", ("ets",)),)),
        Domain("gbm.num_leaves", "int", 2, 5, when=(("kind", ("gbm",)),)),
    )
    search = Search(space, sampler="grid", trials=20, folds=2, retune_every=6, candidates=(ETS, TREES))
    asked = few((ETS, TREES), place)  # completed candidates, as a file would have them
    search = replace(search, candidates=tuple(one for one in asked.models if not one.rival))
    tried = settings(replace(AR, search=search), place, changes, tmp_path)
    assert len(tried) == 1 + 3 + 2 + 4
    assert {one["kind"] for one in tried} == {"ar", "ets", "gbm"}
    assert all(("ets.trend" in one) == (one["kind"] == "ets") for one in tried)


def test_features_and_parameters_of_steps_are_chosen(place: Path, changes: Path, tmp_path: Path) -> None:
    steps = (Step("impute"), Step("winsorise"))
    space = (
        Domain("features", "choice", choices=(("own",), ("gdp",), ("own", "gdp"))),
        Domain("steps.1.strategy", "choice", choices=("median", "mean")),
        Domain("estimator_params.alpha", "float", 0.01, 100.0, log=True),
    )
    search = Search(space, trials=10, folds=2, retune_every=6)
    tried = settings(replace(RIDGE, steps=steps, search=search), place, changes, tmp_path)
    assert {str(one["features"]) for one in tried[1:]} >= {"['own']", "['gdp']"}
    assert {one["steps.1.strategy"] for one in tried} == {"median", "mean"}
    assert len({one["estimator_params.alpha"] for one in tried}) == 10


def test_a_function_draws_and_its_space_is_recorded_as_it_unfolds(place: Path, changes: Path, tmp_path: Path) -> None:
    few((), place)
    (place / "own_space.py").write_text(
        "def draw(trial):\n"
        "    leaves = trial.suggest_int('leaves', 2, 6)\n"
        "    if leaves == 3:\n"
        "        raise ValueError('three is refused')\n"
        "    return {'num_leaves': leaves, 'max_depth': 2 if leaves > 4 else -1}\n"
    )
    model = replace(TREES, search=Search(function="own_space:draw", trials=20, folds=2, retune_every=6))
    record = list(searches(run(few((model,), place), changes, tmp_path), "gbm").values())[-1]
    assert record.head["space_is"] == "recorded as it unfolds, trial by trial"
    failed = [line for line in record.trials if line["state"] == "failed"]
    assert failed
    assert all(line["reason"] == "space: ValueError: three is refused" for line in failed)
    for line in record.trials[1:]:
        assert line["distributions"] == {"leaves": "IntDistribution(high=6, log=False, low=2, step=1)"}
        if line["state"] == "complete":
            assert set(line["params"]) == {"num_leaves", "max_depth"}  # type: ignore[call-overload]


def drawn(search: Search, seed: int, trials: int = 13) -> list[dict[str, object]]:
    """What is drawn when every trial is worth the sum of its numbers."""
    out = []
    with quiet():
        drawer = Drawer(search, seed)
        number = 0
        while number < trials:
            batch = [drawer.defaults({"a": 0.5, "b": 2})] if number == 0 else drawer.batch(number, search.batch)
            for one in batch:
                value = sum(float(str(two)) for two in one.values.values())
                drawer.tell(one, Outcome("complete", value, (value,), (value,)))
                out.append(one.values)
            number += len(batch)
    return out


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "qmc"])
def test_every_sampler_draws_the_same_from_the_same_seed(sampler: Sampler) -> None:
    space = (Domain("a", "float", 0.0, 1.0, step=0.1), Domain("b", "int", 1, 4))
    search = Search(space, sampler=sampler)
    one, again, other = drawn(search, 1), drawn(search, 1), drawn(search, 2)
    assert json.dumps(one) == json.dumps(again) != json.dumps(other)
    assert len({json.dumps(values) for values in one}) > 8


def test_tpe_learns_where_the_best_values_are() -> None:
    space = (Domain("a", "float", 0.0, 1.0), Domain("b", "int", 1, 4))
    late = drawn(Search(space), 3, trials=61)[-16:]
    by_chance = drawn(Search(space, sampler="random"), 3, trials=61)[-16:]
    mean = [sum(float(str(one["a"])) for one in some) / len(some) for some in (late, by_chance)]
    assert mean[0] < mean[1] - 0.1


BY_FUNCTION = """
import numpy as np


def other_block(trial):
    trial.suggest_int("num_leaves", 2, 5)
    return {"features": ["gdp"], "max_bin": 63, "num_leaves": trial.params["num_leaves"]}
"""


def by_function(name: str, code: str, folder: Path, *, trials: int = 6) -> Search:
    (folder / "own_spaces.py").write_text(code)
    return Search(function=f"own_spaces:{name}", trials=trials, folds=2, retune_every=6)


def test_a_function_may_draw_any_block_so_all_of_them_are_part_of_what_a_model_is(place: Path) -> None:
    model = replace(TREES, features=("own",))
    drawn, plain = replace(model, search=by_function("other_block", BY_FUNCTION, place)), few((model,), place)
    assert recipe_identity(drawn, plain).series == ("cpi", "gdp")
    assert recipe_identity(model, plain).series == ("cpi",)
    latest = replace(plain, models=(replace(drawn, features=()),), vintage="latest")
    assert latest.on_latest_rows == ("gbm",)


@pytest.mark.slow
def test_blocks_a_function_draws_beyond_the_declared_ones_are_part_of_what_a_model_is(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    search = by_function("other_block", BY_FUNCTION, place)
    refused = (("max_bin", -3), *TREES.params)  # so that another trial than the declared one is the best
    model = replace(TREES, features=("own",), params=tuple(sorted(refused)), search=search)
    ran = run(few((model,), place), changes, tmp_path / "home")
    (record,) = searches(ran, "gbm").values()
    assert record.end["best"] != 0
    assert record.head["data"]["series"] == ["cpi", "gdp"]  # type: ignore[index]
    moved = releases(seed=2).filter(series_id="gdp").vstack(releases().filter(series_id="cpi"))
    other = exported(moved, tmp_path / "moved")
    cells, again = ran.keys["gbm"], run(few((model,), place), other, tmp_path / "home")
    assert not {*cells} & {*again.keys["gbm"]}
    fresh = run(few((model,), place), other, tmp_path / "fresh")
    assert again.of("gbm").equals(fresh.of("gbm"))


STEPPED = Domain("rate", "float", 0.0, 0.3, step=0.1)


@pytest.mark.parametrize("sampler", ["grid", "tpe", "random", "qmc"])
def test_steps_whose_sums_are_rounded_are_drawn_to_the_last(sampler: Sampler) -> None:
    with quiet():
        drawer = Drawer(Search((STEPPED,), sampler=sampler), 1)
        values = [one.values["rate"] for number in range(1, 33, 4) for one in drawer.batch(number, 4)]
    assert sorted({round(float(str(one)), 9) for one in values}) == [0.0, 0.1, 0.2, 0.3]
    assert all(STEPPED.holds(one) for one in values)
    assert [STEPPED.at_edge(one) for one in (0.0, 0.1, 0.30000000000000004)] == [True, False, True]


def test_the_edge_of_steps_that_miss_the_end_is_the_last_of_them() -> None:
    odd = Domain("rate", "float", 0.1, 1.0, step=0.4)
    assert odd.points() == (0.1, 0.5, 0.9)
    assert [odd.at_edge(one) for one in (0.5, 0.9)] == [False, True]
    assert not STEPPED.holds(0.31)


ODD = """
import numpy as np


def odd(trial):
    kind = trial.suggest_categorical("which", np.array(["number", "text", "table", "object", "nan", "step", "name"]))
    leaves = trial.suggest_categorical("leaves", [np.int64(2), np.int64(3)])
    if kind == "text":
        raise ValueError("a lone \\ud800 surrogate")
    return {
        "number": {"num_leaves": leaves, "learning_rate": np.float64(0.5)},
        "table": {"kind": "nowhere"},
        "object": {"num_leaves": object()},
        "nan": {"learning_rate": float("nan")},
        "step": {"steps.1.k": 3},
        "name": {"\\ud800": 3},
    }[str(kind)]
"""
REASONS = {
    "",
    "space: ValueError: a lone \\ud800 surrogate",
    "space: ValueError: kind: no model table 'nowhere' to choose, there are gbm",
    "space: ValueError: 'num_leaves': a object is no value of a parameter",
    "space: ValueError: 'learning_rate': nan is not a finite number",
    "space: ValueError: steps.1.k: no such step, the model has 0",
    "space: ValueError: '\\ud800': '\\ud800' is not text",
}


def test_whatever_a_function_gives_is_a_value_or_a_failed_trial(place: Path, changes: Path, tmp_path: Path) -> None:
    few((), place)
    model = replace(TREES, search=replace(by_function("odd", ODD, place, trials=40), sampler="random"))
    (record,) = searches(run(few((model,), place), changes, tmp_path), "gbm").values()
    assert len(record.trials) == 40
    assert {line["reason"] for line in record.trials} == REASONS
    complete = [line["params"] for line in record.trials[1:] if line["state"] == "complete"]
    assert {json.dumps(one, sort_keys=True) for one in complete} == {
        json.dumps({"learning_rate": 0.5, "num_leaves": leaves}) for leaves in (2, 3)
    }
