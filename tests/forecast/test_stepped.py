"""A forecaster behind steps: nothing but matured training rows moves what is fitted, and the contract holds."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from harness.core.errors import UserError
from harness.core.frames import Rows
from harness.core.recipe import Recipe, Step
from harness.core.snapshot import Snapshot
from harness.forecast.catalog import build
from harness.forecast.protocol import Forecaster, Storable
from harness.forecast.steps import Stepped, StorableStepped, with_steps
from tests.forecast.contract import HISTORIES, PROMISES, Case, answers_every_row
from tests.forecast.made_snapshots import GAP, asked, made, points, training, wave
from tests.forecast.made_steps import model, step

PANEL = made({"a": wave(20), "b": wave(20, seed=2)})
HORIZONS = (0, 1, 4)
ROWS, LEARNED = asked(PANEL, HORIZONS, features=3), training(PANEL, HORIZONS, count=40)
IMPUTE = step("impute")
LISTS = {
    "scaled components": (IMPUTE, step("scale"), step("pca", components=2)),
    "robust and chosen": (step("winsorise"), step("impute", indicator=True), step("select", k=2)),
    "ranks and series": (step("rank"), step("impute", strategy="mean"), step("encode", columns=["series_id"])),
    "oversampled": (IMPUTE, step("scale", method="robust"), step("resample")),
    "synthetic": (IMPUTE, step("scale"), step("resample", method="smote")),
    "bootstrapped": (IMPUTE, step("resample", method="stationary")),
    "by name": (IMPUTE, step("sklearn.preprocessing.QuantileTransformer", n_quantiles=5)),
}
RIDGE = {"estimator": "sklearn.linear_model.Ridge"}
TREES = {"n_estimators": 10}


def behind(kind: str, name: str) -> Callable[[], Forecaster]:
    return lambda: model(kind, *LISTS[name], **(RIDGE if kind == "sklearn" else TREES))


CASES = [Case(f"{kind} {name}", behind(kind, name), learns=True) for kind in ("sklearn", "lightgbm") for name in LISTS]


@pytest.mark.slow
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow) if case.name.startswith("lightgbm") else case for case in CASES],
    ids=lambda case: case.name,
)
def test_the_contract_holds_behind_steps(case: Case, promise: Callable[[Case], None]) -> None:
    promise(case)


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.name)
def test_every_row_is_answered_on_any_history(case: Case) -> None:
    for history in HISTORIES:
        answers_every_row(case, history)


def fit(forecaster: Forecaster, rows: Rows = LEARNED, snapshot: Snapshot = PANEL) -> Stepped:
    assert isinstance(forecaster, Stepped)
    forecaster.fit(rows, snapshot, seed=11)
    return forecaster


def wild(rows: Rows, kept: int) -> Rows:
    """The same questions with the features of all but the first few scrambled."""
    scale = np.random.default_rng(8).normal(size=(len(rows), rows.X.width)) * 1e6
    scale[:kept] = 0.0
    table = {name: rows.X[name].to_numpy() + scale[:, place] for place, name in enumerate(rows.X.columns)}
    return Rows(pl.DataFrame(table), rows.keys)


def questions_move_nothing(make: Callable[[], Stepped]) -> None:
    """Other questions, asked before or beside, change neither fitted parameters nor the answer to this one."""
    first = pl.Series(np.arange(len(ROWS)) < 1)
    quiet, asked_before = fit(make()), fit(make())
    fresh = json.dumps(quiet.fitted_parameters())
    expected = points(quiet.predict(Rows(ROWS.X.filter(first), ROWS.keys.filter(first)), PANEL))
    asked_before.predict(wild(ROWS, 0), PANEL)
    beside = asked_before.predict(wild(ROWS, 1), PANEL)
    assert json.dumps(asked_before.fitted_parameters()) == fresh
    keys = ROWS.keys.row(0, named=True)
    same = (pl.col("series_id") == keys["series_id"]) & (pl.col("horizon") == keys["horizon"])
    assert points(beside.filter(same)) == expected


class FitsOnTheQuestions(Stepped):
    """Plants the leak: steps are fitted again on training and asked rows together."""

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        super().fit(rows, snapshot, seed=seed)
        self.learned = rows

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        assert self.learned is not None
        assert self.learned.y is not None
        both = Rows(
            pl.concat([self.learned.X, rows.X]),
            pl.concat([self.learned.keys, rows.keys]),
            np.concatenate([self.learned.y, np.zeros(len(rows))]),
        )
        Stepped.fit(self, both, snapshot, seed=11)
        return super().predict(rows, snapshot)


def bare_trees() -> Forecaster:
    return model("lightgbm", **TREES)


@pytest.mark.parametrize("name", LISTS)
def test_questions_move_neither_parameters_nor_other_answers(name: str) -> None:
    questions_move_nothing(lambda: with_steps(bare_trees, LISTS[name]))


@pytest.mark.parametrize("name", LISTS)
def test_steps_fitted_on_the_questions_are_caught_by_that_check(name: str) -> None:
    with pytest.raises(AssertionError):
        questions_move_nothing(lambda: FitsOnTheQuestions(bare_trees, LISTS[name]))


def of_horizon(rows: Rows, horizon: int) -> Rows:
    chosen = rows.keys["horizon"] == horizon
    y = None if rows.y is None else rows.y[chosen.to_numpy()]
    return Rows(rows.X.filter(chosen), rows.keys.filter(chosen), y)


@pytest.mark.parametrize("name", LISTS)
def test_rows_of_other_horizons_move_nothing(name: str) -> None:
    everything = fit(behind("sklearn", name)())
    alone = fit(behind("sklearn", name)(), of_horizon(LEARNED, 1))
    assert alone.fitted_parameters() == {"1": everything.fitted_parameters()["1"]}
    one = of_horizon(ROWS, 1)
    assert points(alone.predict(one, PANEL)) == points(everything.predict(one, PANEL))


@pytest.mark.parametrize("name", LISTS)
def test_a_training_row_does_move_what_is_fitted(name: str) -> None:
    assert LEARNED.y is not None
    moved = Rows(wild(LEARNED, len(LEARNED) - 5).X, LEARNED.keys, LEARNED.y + np.arange(len(LEARNED)))
    assert (
        fit(behind("sklearn", name)(), moved).fitted_parameters() != fit(behind("sklearn", name)()).fitted_parameters()
    )


def test_the_answer_is_that_of_scikit_learn_on_scaled_training_rows() -> None:
    single = made({"a": wave(20)})
    learned, rows = training(single, (1,), count=40), asked(single, (1,), features=3)
    estimator = {"estimator": "sklearn.linear_model.Lasso", "estimator_params": {"alpha": 0.2}}
    ours = points(fit(model("sklearn", step("scale"), **estimator), learned, single).predict(rows, single))
    from sklearn.linear_model import Lasso

    scaler = StandardScaler().fit(learned.X.to_numpy())
    theirs = Lasso(0.2).fit(scaler.transform(learned.X.to_numpy()), learned.y)
    assert ours == pytest.approx(theirs.predict(scaler.transform(rows.X.to_numpy())).tolist(), rel=1e-10)


def test_resampled_rows_reach_training() -> None:
    single = made({"a": wave(20)})
    learned, rows = training(single, (1,), count=40), asked(single, (1,), features=3)
    estimator = {"estimator": "sklearn.linear_model.LinearRegression"}
    forecaster = fit(model("sklearn", step("resample"), **estimator), learned, single)
    assert forecaster.fitted_parameters()["1"][0]["made"] == {"0": 28, "2": 28}  # type: ignore[index]
    plain = LinearRegression().fit(learned.X.to_numpy(), learned.y).predict(rows.X.to_numpy())
    assert points(forecaster.predict(rows, single)) != pytest.approx(plain.tolist(), rel=1e-6)


def test_a_row_that_a_step_cannot_take_is_abstained_from_and_the_others_are_answered() -> None:
    forecaster = fit(model("sklearn", step("pca", components=2), **RIDGE))
    holed = ROWS.X.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(GAP).otherwise(pl.col("own.latest_1")).alias("own.latest_1")
    )
    answer = points(forecaster.predict(Rows(holed, ROWS.keys), PANEL))
    expected = points(forecaster.predict(ROWS, PANEL))
    assert answer[0] is None
    assert answer[1:] == pytest.approx(expected[1:], rel=1e-12)


def test_missing_training_values_without_impute_are_refused_with_the_fix() -> None:
    holed = Rows(LEARNED.X.with_columns(pl.lit(GAP).alias("own.latest_1")), LEARNED.keys, LEARNED.y)
    with pytest.raises(UserError, match=r"column own.latest_1, horizon 0.*impute"):
        fit(model("sklearn", step("pca"), **RIDGE), holed)


def test_complaints_say_horizon_and_step() -> None:
    few = training(PANEL, (1,), count=1)
    forecaster = fit(model("lightgbm", step("select", k=2), **TREES), few)
    assert forecaster.warnings[0].startswith("horizon 1: step select: too few rows (2)")


@pytest.mark.parametrize("name", LISTS)
def test_a_fit_is_stored_when_model_and_steps_are_text(name: str) -> None:
    trees = behind("lightgbm", name)()
    assert isinstance(trees, Storable) == (name != "by name")
    assert not isinstance(behind("sklearn", name)(), Storable)


def test_a_stored_fit_holds_the_parameters_that_an_audit_compares() -> None:
    trees, again = behind("lightgbm", "scaled components")(), behind("lightgbm", "scaled components")()
    fit(trees)
    assert isinstance(trees, StorableStepped)
    assert isinstance(again, StorableStepped)
    again.load(trees.dump())
    assert again.fitted_parameters() == trees.fitted_parameters()
    assert again.warnings == trees.warnings


@pytest.mark.parametrize("kind", ["autoregression", "drift", "ets", "external"])
def test_a_model_without_rows_refuses_steps(kind: str) -> None:
    with pytest.raises(UserError, match="learns from no feature rows"):
        build(Recipe("x", kind, steps=(IMPUTE,), source="bank"))


@pytest.mark.parametrize(
    ("estimator", "params", "splitting"),
    [
        ("sklearn.linear_model.LassoCV", {}, "cv"),
        ("sklearn.linear_model.RidgeCV", {}, "cv"),
        ("sklearn.ensemble.HistGradientBoostingRegressor", {}, "early_stopping"),
        ("sklearn.neural_network.MLPRegressor", {"early_stopping": True}, "early_stopping"),
        ("sklearn.ensemble.GradientBoostingRegressor", {"n_iter_no_change": 5}, "n_iter_no_change"),
    ],
)
def test_a_model_that_splits_its_rows_itself_may_not_have_them_resampled(
    estimator: str, params: dict[str, object], splitting: str
) -> None:
    chosen = {"estimator": estimator, "estimator_params": params}
    with pytest.raises(UserError, match=f"splits its training rows itself.*{splitting}"):
        model("sklearn", step("resample"), **chosen)
    assert isinstance(model("sklearn", IMPUTE, **chosen), Stepped)


def test_one_that_does_not_split_may() -> None:
    for estimator, params in (
        ("sklearn.ensemble.HistGradientBoostingRegressor", {"early_stopping": False}),
        ("sklearn.neural_network.MLPRegressor", {}),
        ("sklearn.ensemble.GradientBoostingRegressor", {}),
    ):
        model("sklearn", step("resample"), estimator=estimator, estimator_params=params)


def test_rows_are_resampled_once() -> None:
    with pytest.raises(UserError, match="resampled twice"):
        model("sklearn", step("resample"), Step("resample", (("method", "smote"),)), **RIDGE)
