"""The scikit-learn adapter: any regressor by name, imputed inside the training window where it has to be."""

from __future__ import annotations

import tracemalloc

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from harness.core.errors import UnknownNameError, UserError
from harness.core.frames import Rows
from harness.core.identity import derive_seed
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot
from harness.forecast.catalog import build, resolve_params
from harness.forecast.protocol import Storable
from harness.forecast.regressors import Sklearn
from tests.forecast.made_snapshots import GAP, asked, made, points, training, wave


def model(estimator: str, **params: object) -> Sklearn:
    given = {"estimator": f"sklearn.{estimator}", "estimator_params": params}
    made_of = build(Recipe("skl", "sklearn", resolve_params("sklearn", given)))
    assert isinstance(made_of, Sklearn)
    return made_of


def one_series() -> Snapshot:
    return made({"a": wave(20)})


def test_the_answer_is_that_of_the_estimator() -> None:
    snapshot = one_series()
    learned, rows = training(snapshot, (1,), count=40), asked(snapshot, (1,), features=3)
    forecaster = model("linear_model.LinearRegression")
    forecaster.fit(learned, snapshot, seed=1)
    expected = LinearRegression().fit(learned.X.to_numpy(), learned.y).predict(rows.X.to_numpy())
    assert points(forecaster.predict(rows, snapshot)) == pytest.approx(expected.tolist())


def test_parameters_and_the_seed_reach_the_estimator() -> None:
    snapshot = one_series()
    learned, rows = training(snapshot, (1,), count=40), asked(snapshot, (1,), features=3)
    forecaster = model("ensemble.RandomForestRegressor", n_estimators=7, max_depth=2)
    forecaster.fit(learned, snapshot, seed=4)
    forest = RandomForestRegressor(n_estimators=7, max_depth=2, random_state=derive_seed(4, 1, "point"))
    expected = forest.fit(learned.X.to_numpy(), learned.y).predict(rows.X.to_numpy())
    assert points(forecaster.predict(rows, snapshot)) == expected.tolist()


def test_missing_features_become_the_median_of_the_training_rows() -> None:
    snapshot = one_series()
    learned, rows = training(snapshot, (1,), count=41), asked(snapshot, (1,), features=3)
    forecaster = model("linear_model.LinearRegression")
    forecaster.fit(learned, snapshot, seed=1)
    median = learned.X["own.latest_1"].median()
    blank, filled = (rows.X.with_columns(pl.lit(x).alias("own.latest_1")) for x in (GAP, median))
    given = [points(forecaster.predict(Rows(table, rows.keys), snapshot)) for table in (blank, filled)]
    assert given[0] == given[1]


def test_an_estimator_that_can_take_missing_values_gets_them() -> None:
    snapshot = one_series()
    learned, rows = training(snapshot, (1,), count=80), asked(snapshot, (1,), features=3)
    holed = learned.X.with_columns(
        pl.when(pl.col("own.latest_1") > 0).then(None).otherwise(pl.col("own.latest_1")).alias("own.latest_1")
    )
    label = holed["own.latest_1"].is_null().cast(pl.Float64).to_numpy() * 10.0
    forecaster = model("ensemble.HistGradientBoostingRegressor", min_samples_leaf=5)
    forecaster.fit(Rows(holed, learned.keys, label), snapshot, seed=1)
    blank = Rows(rows.X.with_columns(pl.lit(GAP).alias("own.latest_1")), rows.keys)
    assert points(forecaster.predict(blank, snapshot)) == pytest.approx([10.0], abs=0.5)


def test_a_panel_is_pooled_with_a_column_per_series() -> None:
    snapshot = made({"a": wave(20), "b": wave(20)})
    learned = training(snapshot, (1,), count=40)
    label = np.where((learned.keys["series_id"] == "a").to_numpy(), 3.0, -3.0)
    forecaster = model("linear_model.LinearRegression")
    forecaster.fit(Rows(learned.X, learned.keys, label), snapshot, seed=1)
    assert points(forecaster.predict(asked(snapshot, (1,), features=3), snapshot)) == pytest.approx([3.0, -3.0])


def test_a_panel_whose_series_are_not_told_apart_has_no_columns_for_them() -> None:
    snapshot = made({"a": wave(20), "b": wave(20)})
    learned, rows = training(snapshot, (1,), count=40), asked(snapshot, (1,), features=3)
    label = np.where((learned.keys["series_id"] == "a").to_numpy(), 3.0, -3.0)
    alike, given = Rows(pl.concat([rows.X[:1]] * 2), rows.keys), list[int]()
    for told in ({"series_feature": False}, {"series_feature": True}, {}):
        params = resolve_params("sklearn", {"estimator": "sklearn.linear_model.LinearRegression", **told})
        assert ("series_feature" in dict(params)) == bool(told)  # else models that do not set it would be others
        forecaster = build(Recipe("skl", "sklearn", params))
        forecaster.fit(Rows(learned.X, learned.keys, label), snapshot, seed=1)
        given.append(len(set(np.round(points(forecaster.predict(alike, snapshot)), 9))))
    assert given == [1, 2, 2]
    with pytest.raises(UserError, match="series_feature is true or false"):
        Sklearn(estimator="sklearn.linear_model.Ridge", series_feature=3)  # type: ignore[arg-type]


def test_a_wide_panel_takes_little_more_memory_than_its_matrix_twice() -> None:
    names = [f"s{number:03d}" for number in range(200)]
    snapshot = made({name: wave(20) for name in names})
    learned = training(snapshot, (1,), count=20)
    label = np.linspace(-1.0, 1.0, len(learned))
    forecaster, size = model("linear_model.Ridge"), len(learned) * (len(names) + 3) * 8
    tracemalloc.start()
    try:
        forecaster.fit(Rows(learned.X, learned.keys, label), snapshot, seed=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < peak < 2.5 * size


def test_complaints_and_constant_fits_are_recorded_not_printed() -> None:
    snapshot = one_series()
    learned = training(snapshot, (1,), count=40)
    stubborn = model("neural_network.MLPRegressor", max_iter=2)
    stubborn.fit(learned, snapshot, seed=1)
    constant = model("linear_model.Lasso", alpha=1e6)
    constant.fit(learned, snapshot, seed=1)
    assert any("ConvergenceWarning" in line for line in stubborn.warnings)
    assert constant.warnings == ["horizon 1: the fit is constant on its 40 training rows"]


def test_a_fit_is_not_stored_because_it_is_no_text() -> None:
    assert not isinstance(model("linear_model.Ridge"), Storable)


@pytest.mark.parametrize(
    ("estimator", "error", "match"),
    [
        ("os.system", UserError, "no name inside scikit-learn"),
        ("Ridge", UserError, "no name inside scikit-learn"),
        ("sklearnx.linear_model.Ridge", UserError, "no name inside scikit-learn"),
        ("sklearn.linear_modl.Ridge", UserError, "no such module"),
        ("sklearn.linear_model.Rigde", UnknownNameError, "did you mean 'Ridge'"),
        ("sklearn.linear_model.LogisticRegression", UserError, "no regressor"),
        ("sklearn.preprocessing.StandardScaler", UserError, "no regressor"),
    ],
)
def test_names_that_are_no_regressor_are_refused(estimator: str, error: type[UserError], match: str) -> None:
    with pytest.raises(error, match=match):
        Sklearn(estimator=estimator)


def test_parameters_the_estimator_does_not_take_are_refused() -> None:
    with pytest.raises(UserError, match="does not take"):
        model("linear_model.Ridge", alfa=1.0)
    with pytest.raises(UserError, match="needs estimator"):
        resolve_params("sklearn", {})
