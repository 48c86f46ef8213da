"""Every step against scikit-learn, SciPy or numpy used directly on the same training rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import percentileofscore
from scipy.stats.mstats import winsorize
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_regression, mutual_info_regression
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from harness.core.errors import UnknownNameError, UserError
from harness.core.frames import Rows
from harness.core.identity import derive_seed
from harness.core.recipe import Step
from harness.forecast.steps import STEPS, StepPipeline, resolve_step
from tests.forecast.made_steps import COLUMNS, asked_like, fitted, only, step, table, through

TRAINING, ASKED = table(), table(15, seed=2)
HOLED, HOLED_ASKED = table(holes=0.2), table(15, seed=2, holes=0.3)


@pytest.mark.parametrize("strategy", ["median", "mean", "most_frequent", "constant"])
@pytest.mark.parametrize("indicator", [False, True])
def test_impute_is_scikit_learns(strategy: str, indicator: bool) -> None:
    theirs = SimpleImputer(strategy=strategy, fill_value=7.5, add_indicator=indicator).fit(only(HOLED).X)
    ours = through(HOLED, HOLED_ASKED, step("impute", strategy=strategy, value=7.5, indicator=indicator))
    np.testing.assert_allclose(ours, theirs.transform(only(HOLED_ASKED).X), rtol=1e-13)


def test_impute_names_its_indicators_and_a_column_without_values_counts_as_zero() -> None:
    empty = table()
    empty = type(empty)(empty.X.with_columns(pl.lit(None).alias(COLUMNS[0])), empty.keys, empty.y)
    _, rows = fitted(empty, step("impute", indicator=True))
    assert rows.columns == (*COLUMNS, f"{COLUMNS[0]}.missing")
    assert (rows.X[:, 0] == 0.0).all()


def test_winsorise_clips_at_the_training_quantiles() -> None:
    low, high = np.nanquantile(only(HOLED).X, [0.05, 0.9], axis=0)
    ours = through(HOLED, HOLED_ASKED, step("winsorise", limits=[0.05, 0.9]))
    np.testing.assert_array_equal(ours, np.clip(only(HOLED_ASKED).X, low, high))


def test_winsorise_agrees_with_scipy_where_a_quantile_is_an_order_statistic() -> None:
    rows = table(41)
    theirs = np.column_stack([np.asarray(winsorize(column, limits=0.1)) for column in only(rows).X.T])
    np.testing.assert_array_equal(through(rows, asked_like(rows), step("winsorise", limits=[0.1, 0.9])), theirs)


@pytest.mark.parametrize(
    ("method", "scaler"), [("standard", StandardScaler()), ("robust", RobustScaler()), ("minmax", MinMaxScaler())]
)
def test_scale_is_scikit_learns(method: str, scaler: StandardScaler) -> None:
    theirs = scaler.fit(only(HOLED).X).transform(only(HOLED_ASKED).X)
    np.testing.assert_allclose(
        through(HOLED, HOLED_ASKED, step("scale", method=method)), theirs, rtol=1e-12, atol=1e-12
    )


def test_rank_is_the_empirical_distribution_function_with_ties_in_the_middle() -> None:
    ours = through(TRAINING, ASKED, step("rank"))
    for column in range(len(COLUMNS)):
        known, values = only(TRAINING).X[:, column], only(ASKED).X[:, column]
        np.testing.assert_allclose(ours[:, column], percentileofscore(known, values, kind="mean") / 100.0, rtol=1e-13)
    assert np.array_equal(np.isnan(through(HOLED, HOLED_ASKED, step("rank"))), np.isnan(only(HOLED_ASKED).X))


def test_encode_is_scikit_learns_and_a_new_category_is_none_of_the_known() -> None:
    few = table(8)  # months 1 to 8; the asked ones reach 12
    months, asked = only(few).X[:, [3]], only(ASKED).X[:, [3]]
    one_hot = OneHotEncoder(handle_unknown="ignore").fit(months).transform(asked).toarray()
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan).fit(months).transform(asked)
    ours = through(few, ASKED, step("encode", columns=["own.month"]))
    np.testing.assert_array_equal(ours, np.hstack([only(ASKED).X[:, [0, 1, 2, 4]], one_hot]))
    ordinal = through(few, ASKED, step("encode", columns=["own.month"], method="ordinal"))
    np.testing.assert_array_equal(ordinal[:, -1:], codes)


def test_the_series_of_a_row_can_be_encoded() -> None:
    panel = table(6, series=("b", "a", "c"))
    _, rows = fitted(panel, step("encode", columns=["series_id"]))
    assert rows.columns == (*COLUMNS, "series_id=a", "series_id=b", "series_id=c")
    np.testing.assert_array_equal(rows.X[:, len(COLUMNS) :], np.repeat(np.eye(3), 6, axis=0))


def test_select_keeps_scikit_learns_k_best() -> None:
    X, y = only(TRAINING).X[:, :4], only(TRAINING).y
    seed = derive_seed(3, 0, 1)
    scores = {"f": f_regression(X, y)[0], "mutual_information": mutual_info_regression(X, y, random_state=seed)}
    for method, score in scores.items():
        pipeline, rows = fitted(TRAINING, step("select", k=2, method=method))
        best = SelectKBest(lambda *_, score=score: score, k=2).fit(X, y).get_support(indices=True)  # type: ignore[misc]
        assert rows.columns == tuple(COLUMNS[place] for place in best)
        np.testing.assert_allclose(pipeline.parameters()[0]["scores"][:4], score, rtol=1e-12)  # type: ignore[index]


def test_select_leaves_kept_columns_in_their_order() -> None:
    label = 2.0 * only(TRAINING).X[:, 0] + 3.0 * only(TRAINING).X[:, 2]
    stronger_later = Rows(TRAINING.X, TRAINING.keys, label)
    assert fitted(stronger_later, step("select", k=1))[1].columns == (COLUMNS[2],)
    assert fitted(stronger_later, step("select", k=2))[1].columns == (COLUMNS[0], COLUMNS[2])


def test_select_keeps_columns_by_pattern_and_then_by_score() -> None:
    assert fitted(TRAINING, step("select", names=["own.latest_*", "gdp.*"]))[1].columns == COLUMNS[:3]
    assert fitted(TRAINING, step("select", names=["own.*"], k=1))[1].columns == COLUMNS[:1]
    with pytest.raises(UnknownNameError, match="did you mean"):
        fitted(TRAINING, step("select", names=["own.latest_3"]))


def test_select_with_too_few_rows_says_so() -> None:
    pipeline, rows = fitted(table(2), step("select", k=2))
    assert rows.columns == COLUMNS[:2]
    assert pipeline.warnings == ["step select: too few rows (2) to choose by, the first columns are kept"]


def test_pca_is_scikit_learns() -> None:
    theirs = PCA(3).fit(only(TRAINING).X).transform(only(ASKED).X)
    np.testing.assert_allclose(through(TRAINING, ASKED, step("pca", components=3)), theirs, rtol=1e-9, atol=1e-12)
    assert through(table(2), ASKED, step("pca", components=9)).shape == (15, 2)


def test_a_scikit_learn_transformer_by_its_name_is_that_transformer() -> None:
    ours = through(TRAINING, ASKED, step("sklearn.preprocessing.PowerTransformer", standardize=False))
    theirs = PowerTransformer(standardize=False).fit(only(TRAINING).X).transform(only(ASKED).X)
    np.testing.assert_array_equal(ours, theirs)


def test_seeds_reach_a_transformer_and_names_come_out() -> None:
    pipeline, rows = fitted(TRAINING, step("sklearn.random_projection.GaussianRandomProjection", n_components=2))
    assert rows.columns == ("gaussianrandomprojection0", "gaussianrandomprojection1")
    (held,) = pipeline.parameters()
    assert held["fitted"]["random_state"] == derive_seed(3, 0, 1)  # type: ignore[index]


def test_a_class_of_the_user_is_found_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Doubled:\n"
        "    def __init__(self, by=2.0): self.by = by\n"
        "    def fit(self, X, y): self.seen = len(X)\n"
        "    def transform(self, X): return self.by * X\n"
        "class Halved(Doubled):\n"
        "    def transform(self, X): return X[::2]\n"
        "class Idle:\n"
        "    def fit(self, X, y): pass\n"
    )
    pipeline = StepPipeline([Step("mine:Doubled", (("by", 3.0),))], folder=str(tmp_path))
    np.testing.assert_array_equal(pipeline.fit(only(TRAINING), seed=1, horizon=1).X, 3.0 * only(TRAINING).X)
    assert pipeline.parameters()[0]["fitted"] == {"class": "Doubled", "by": 3.0, "seen": 40}
    with pytest.raises(UserError, match="another number of rows"):
        StepPipeline([Step("mine:Halved")], folder=str(tmp_path)).fit(only(TRAINING), seed=1, horizon=1)
    with pytest.raises(UserError, match="mine:Idle is no transformer"):
        StepPipeline([Step("mine:Idle")], folder=str(tmp_path))


def test_steps_see_what_the_steps_before_them_made() -> None:
    filled = SimpleImputer(strategy="mean").fit(only(HOLED).X)
    theirs = StandardScaler().fit(filled.transform(only(HOLED).X)).transform(filled.transform(only(HOLED_ASKED).X))
    ours = through(HOLED, HOLED_ASKED, step("impute", strategy="mean"), step("scale"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    turned = through(HOLED, HOLED_ASKED, step("scale"), step("impute", strategy="constant", value=9.0))
    assert not np.allclose(ours, turned)


EVERY = [
    *(step(kind) for kind in STEPS if kind not in ("encode", "select")),
    step("scale", method="robust"),
    step("encode", columns=["own.month", "series_id"]),
    step("encode", columns=["own.month"], method="ordinal"),
    step("select", k=2, method="mutual_information"),
    step("select", names=["own.*"]),
    step("resample", method="smote"),
    step("resample", method="stationary"),
]


@pytest.mark.parametrize("one", EVERY, ids=str)
def test_parameters_are_json_and_restore_the_same_bits(one: Step) -> None:
    panel = table(30, series=("a", "b"))
    pipeline, _ = fitted(panel, one)
    text = json.dumps(pipeline.parameters(), allow_nan=False)
    again = StepPipeline([one])
    again.restore(json.loads(text))
    expected = pipeline.transform(only(ASKED))
    found = again.transform(only(ASKED))
    assert found.columns == expected.columns
    np.testing.assert_array_equal(found.X, expected.X)
    assert json.dumps(again.parameters(), allow_nan=False) == text


@pytest.mark.parametrize("one", EVERY, ids=str)
def test_the_order_of_training_rows_does_not_matter(one: Step) -> None:
    panel = table(30, series=("a", "b"))
    mixed = np.random.default_rng(5).permutation(len(panel))
    assert panel.y is not None
    shuffled = type(panel)(panel.X[pl.Series(mixed)], panel.keys[pl.Series(mixed)], panel.y[mixed])
    (one_pipeline, one_rows), (other, other_rows) = fitted(panel, one), fitted(shuffled, one)
    assert json.dumps(one_pipeline.parameters()) == json.dumps(other.parameters())
    np.testing.assert_array_equal(one_rows.X, other_rows.X)
    np.testing.assert_array_equal(one_rows.y, other_rows.y)


@pytest.mark.parametrize("kind", ["pca", "select", "resample"])
def test_a_step_that_takes_no_missing_value_says_which_column_and_what_to_do(kind: str) -> None:
    params = {"select": {"k": 2}, "resample": {"method": "smote"}}.get(kind, {})
    with pytest.raises(UserError, match=f"step {kind} takes no missing values: column .*latest.*impute"):
        fitted(HOLED, step(kind, **params))


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("scaled", {}, "did you mean 'scale'"),
        ("impute", {"stratgy": "mean"}, "did you mean 'strategy'"),
        ("impute", {"strategy": "medain"}, "did you mean 'median'"),
        ("impute", {"value": "much"}, "a number"),
        ("impute", {"indicator": 1}, "flag"),
        ("winsorise", {"limits": [0.9, 0.1]}, "ascending"),
        ("winsorise", {"limits": 0.1}, "a list of numbers"),
        ("winsorise", {"limits": [0.1, True]}, "a list of numbers"),
        ("encode", {}, "needs columns"),
        ("encode", {"columns": []}, "distinct names"),
        ("encode", {"columns": ["a", "a"]}, "distinct names"),
        ("select", {}, "neither how many"),
        ("select", {"k": -1}, "neither how many"),
        ("select", {"k": 2.0}, "whole number"),
        ("pca", {"components": 0}, "start at 1"),
        ("resample", {"method": "smoot"}, "did you mean 'smote'"),
        ("resample", {"method": "smote", "block": 3}, "block does not belong to smote"),
        ("resample", {"quantiles": [0.9, 0.1]}, "ascending"),
        ("resample", {"ratio": 0.0}, "ratio"),
        ("resample", {"method": "smote", "neighbours": 0}, "neighbours"),
        ("resample", {"method": "moving_block", "block": -1}, "block"),
        ("sklearn.preprocessing.PowerTransfomer", {}, "did you mean 'PowerTransformer'"),
        ("sklearn.preprocesing.PowerTransformer", {}, "no such module"),
        ("sklearn.preprocessing.PowerTransformer", {"metod": 1}, "does not take"),
        ("sklearn.preprocessing.PowerTransformer", {"method": {"a": 1}}, "a table cannot be"),
        ("sklearn.linear_model.Ridge", {}, "no transformer"),
        ("sklearn.preprocessing.scale", {}, "does not take"),
    ],
)
def test_a_wrong_step_is_refused(kind: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_step(kind, params)


def test_an_unknown_column_to_encode_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'own\.month'"):
        fitted(TRAINING, step("encode", columns=["own.mont"]))
