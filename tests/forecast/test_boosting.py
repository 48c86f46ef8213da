"""LightGBM direct: one model per horizon, pooled, the same bits whatever the order, the threads or the storage."""

from __future__ import annotations

import json
import math
import pickle
import re
import weakref

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

from harness.core.errors import UnknownNameError, UserError
from harness.core.frames import Cells, CutRows, RowKeys, Rows
from harness.core.identity import derive_seed
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot
from harness.core.transform import Floats, Transform
from harness.forecast import boosting, boosting_rows
from harness.forecast.boosting import FIXED, NARROW, LightGBM, says_one_thing
from harness.forecast.boosting_params import (
    FLAGS,
    INT,
    LAYOUTS,
    LISTS,
    NATIVE,
    NUMBERS,
    WORDS,
    check_columns,
    check_together,
)
from harness.forecast.boosting_rows import Bins
from harness.forecast.catalog import CATALOG, build, resolve_params
from tests.forecast.made_snapshots import asked, made, points, training, wave

GROWTH = Transform("log_growth", 4)


def model(**params: object) -> LightGBM:
    made_of = build(Recipe("gbm", "lightgbm", resolve_params("lightgbm", {"n_estimators": 30, **params})))
    assert isinstance(made_of, LightGBM)
    return made_of


def one_series() -> Snapshot:
    return made({"a": wave(20)}, GROWTH)


def panel() -> Snapshot:
    return made({"a": wave(20), "b": wave(20), "c": wave(20)}, GROWTH)


def test_the_answer_is_that_of_lightgbm_with_the_stated_settings() -> None:
    snapshot = one_series()
    rows, learned = asked(snapshot, (1,), features=3), training(snapshot, (1,), count=60)
    forecaster = model(num_leaves=7)
    forecaster.fit(learned, snapshot, seed=3)
    settings = dict(resolve_params("lightgbm", {"num_leaves": 7})) | {
        "deterministic": True, "force_row_wise": True, "verbosity": -1, "seed": derive_seed(3, 1, "point"),
    }  # fmt: skip
    for name in ("quantiles", "n_estimators"):
        settings.pop(name)
    reference = lgb.train(settings, lgb.Dataset(learned.X.to_numpy(), learned.y), num_boost_round=30)
    assert points(forecaster.predict(rows, snapshot)) == reference.predict(rows.X.to_numpy()).tolist()


def test_each_horizon_learns_from_its_own_rows_only() -> None:
    snapshot = one_series()
    both, rows = training(snapshot, (0, 1), count=40), asked(snapshot, (0, 1), features=3)
    own = both.keys["horizon"] == 1
    changed = np.where(own.to_numpy(), both.y, 99.0)
    first, second = model(), model()
    first.fit(both, snapshot, seed=1)
    second.fit(Rows(both.X, both.keys, changed), snapshot, seed=1)
    assert points(first.predict(rows, snapshot))[1] == points(second.predict(rows, snapshot))[1]
    assert points(first.predict(rows, snapshot))[0] != points(second.predict(rows, snapshot))[0]


def test_a_horizon_without_rows_abstains() -> None:
    snapshot = one_series()
    forecaster = model()
    forecaster.fit(training(snapshot, (0,), count=40), snapshot, seed=1)
    assert points(forecaster.predict(asked(snapshot, (0, 4), features=3), snapshot))[1] is None


def test_a_panel_is_pooled_and_its_series_are_told_apart() -> None:
    snapshot = panel()
    learned = training(snapshot, (1,), count=60)
    shift = learned.keys["series_id"].replace_strict({"a": -50.0, "b": 0.0, "c": 50.0}).to_numpy()
    forecaster = model(n_estimators=100)
    forecaster.fit(Rows(learned.X, learned.keys, shift), snapshot, seed=1)
    given = points(forecaster.predict(asked(snapshot, (1,), features=3), snapshot))
    assert given == pytest.approx([-50.0, 0.0, 50.0], abs=2.0)


def test_a_series_has_the_same_code_when_others_have_no_rows() -> None:
    snapshot = panel()
    learned = training(snapshot, (1,), count=60)
    without = learned.keys["series_id"] != "a"
    fewer = Rows(learned.X.filter(without), learned.keys.filter(without), learned.y[without.to_numpy()])  # type: ignore[index]
    forecaster = model()
    forecaster.fit(fewer, snapshot, seed=1)
    text = json.loads(forecaster.dump())["models"]["1/point"]
    reordered = made({"c": wave(20), "a": wave(20), "b": wave(20)}, GROWTH)
    again = model()
    again.fit(fewer, reordered, seed=1)
    assert json.loads(again.dump())["models"]["1/point"] == text


def test_quantiles_come_beside_the_point_and_never_cross() -> None:
    snapshot = panel()
    forecaster = model(quantiles=[0.9, 0.1, 0.5])
    forecaster.fit(training(snapshot, (0, 1), count=60), snapshot, seed=1)
    answer = forecaster.predict(asked(snapshot, (0, 1), features=3), snapshot)
    assert answer["quantile"].unique().sort().to_list() == [None, 0.1, 0.5, 0.9]
    for _, part in answer.drop_nulls("quantile").group_by("series_id", "horizon"):
        assert part.sort("quantile")["value"].is_sorted()
    plain = model()
    plain.fit(training(snapshot, (0, 1), count=60), snapshot, seed=1)
    assert points(answer) == points(plain.predict(asked(snapshot, (0, 1), features=3), snapshot))


def test_quantiles_that_cross_are_put_in_order() -> None:
    snapshot = panel()
    learned, rows = training(snapshot, (0, 1), count=40), asked(snapshot, (0, 1), features=3)
    levels = [0.46, 0.48, 0.5, 0.52, 0.54]
    alone = []
    for level in levels:
        single = model(quantiles=[level])
        single.fit(learned, snapshot, seed=1)
        alone.append(single.predict(rows, snapshot).drop_nulls("quantile")["value"].to_numpy())
    raw = np.array(alone)  # [level, asked]
    assert (np.diff(raw, axis=0) < 0).any()
    together = model(quantiles=levels)
    together.fit(learned, snapshot, seed=1)
    given = together.predict(rows, snapshot).drop_nulls("quantile").sort("quantile", maintain_order=True)
    np.testing.assert_array_equal(given["value"].to_numpy().reshape(len(levels), -1), np.sort(raw, axis=0))


def test_threads_do_not_change_a_bit() -> None:
    snapshot = panel()
    learned, rows = training(snapshot, (0, 1), count=60), asked(snapshot, (0, 1), features=3)
    given = []
    for threads in (1, 2):
        forecaster = model(num_threads=threads, bagging_fraction=0.6, bagging_freq=1)
        forecaster.fit(learned, snapshot, seed=1)
        given.append(points(forecaster.predict(rows, snapshot)))
    assert given[0] == given[1]


def test_the_seed_matters_where_the_settings_are_random() -> None:
    snapshot = panel()
    learned, rows = training(snapshot, (1,), count=60), asked(snapshot, (1,), features=3)
    given = []
    for seed in (1, 2):
        forecaster = model(bagging_fraction=0.5, bagging_freq=1)
        forecaster.fit(learned, snapshot, seed=seed)
        given.append(points(forecaster.predict(rows, snapshot)))
    assert given[0] != given[1]


def test_a_constant_fit_is_pointed_out() -> None:
    snapshot = one_series()
    few, many = model(min_data_in_leaf=20), model()
    few.fit(training(snapshot, (1,), count=30), snapshot, seed=1)
    many.fit(training(snapshot, (1,), count=60), snapshot, seed=1)
    assert few.warnings == ["horizon 1, point: the fit is constant on its 30 training rows"]
    assert many.warnings == []


def test_columns_are_taken_by_name() -> None:
    snapshot = one_series()
    forecaster = model()
    forecaster.fit(training(snapshot, (1,), count=60), snapshot, seed=1)
    rows = asked(snapshot, (1,), features=3)
    mixed = Rows(rows.X.select(reversed(rows.X.columns)), rows.keys)
    assert points(forecaster.predict(mixed, snapshot)) == points(forecaster.predict(rows, snapshot))


def test_without_features_or_rows_there_is_nothing_to_learn() -> None:
    snapshot = one_series()
    with pytest.raises(UserError, match="training rows"):
        model().fit(None, snapshot, seed=1)
    bare = asked(snapshot, (1,))
    with pytest.raises(UserError, match="features"):
        model().fit(Rows(pl.DataFrame(), bare.keys, np.zeros(1)), snapshot, seed=1)


def test_native_parameters_are_lightgbms_own_and_typing_errors_are_named() -> None:
    own = set(lgb.basic._ConfigAliases._get_all_param_aliases())
    assert own >= NATIVE
    assert own | {"n_estimators", "quantiles"} >= set(CATALOG["lightgbm"].defaults)
    with pytest.raises(UnknownNameError, match="did you mean 'lambda_l1'"):
        resolve_params("lightgbm", {"lamda_l1": 1.0})
    for forbidden in ("seed", "bagging_seed", "deterministic", "nthread", "num_iterations"):
        with pytest.raises(UnknownNameError):
            resolve_params("lightgbm", {forbidden: 1})


@pytest.mark.parametrize("params", [{"quantiles": [0.0]}, {"quantiles": [1.5]}, {"n_estimators": 0}], ids=str)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(UserError):
        model(**params)


def test_binned_rows_that_are_shared_give_the_bits_of_a_plain_fit() -> None:
    snapshot = panel()
    rows = training(snapshot, (0, 1), count=60)
    bins: Bins = {}
    settings: list[dict[str, object]] = [
        {"num_leaves": 7}, {"min_data_in_leaf": 30, "feature_fraction": 0.5}, {"max_bin": 15, "num_leaves": 3},
        {"min_data_in_leaf": 2, "bagging_fraction": 0.5, "bagging_freq": 1, "extra_trees": True},
        {"objective": "regression_l1", "max_bin": 15}, {"linear_tree": True, "num_leaves": 3}, {"num_leaves": 7},
    ]  # fmt: skip
    for params in settings:
        plain, shared = model(**params), model(**params)
        shared.bins = bins
        for one in (plain, shared):
            one.fit(rows, snapshot, seed=5)
        assert shared.dump() == plain.dump()
    assert len(bins) == 3 * 2  # per horizon, one for each way of binning: plain, in fifteen bins, for linear trees


def test_a_panel_whose_series_are_not_told_apart_has_one_model_without_codes() -> None:
    snapshot = panel()
    learned, rows = training(snapshot, (1,), count=60), asked(snapshot, (1,), features=3)
    alike = Rows(pl.concat([rows.X[:1]] * 3), rows.keys)
    given = []
    for told in (False, True):
        forecaster = model(series_feature=told)
        shift = learned.keys["series_id"].replace_strict({"a": -50.0, "b": 0.0, "c": 50.0}).to_numpy()
        forecaster.fit(Rows(learned.X, learned.keys, shift), snapshot, seed=1)
        given.append(len(set(points(forecaster.predict(alike, snapshot)))))
    assert given == [1, 3]
    with pytest.raises(UserError, match="series_feature"):
        model(series_feature=3)


def test_rows_held_as_arrays_give_the_bits_of_the_same_rows_as_frames() -> None:
    snapshot = panel()
    learned, rows = training(snapshot, (0, 1), count=60), asked(snapshot, (0, 1), features=3)
    given = []
    for form in (lambda one: one, as_arrays):
        forecaster = model()
        forecaster.fit(form(learned), snapshot, seed=1)
        given.append((forecaster.dump(), points(forecaster.predict(form(rows), snapshot))))
    assert given[0] == given[1]
    back = pickle.loads(pickle.dumps(as_arrays(learned)))
    assert type(back) is Rows
    assert back.X.equals(learned.X, null_equal=True)
    assert back.keys.equals(learned.keys)


def as_arrays(rows: Rows) -> CutRows:
    ids = tuple(rows.keys["series_id"].unique(maintain_order=True))
    place = {name: number for number, name in enumerate(ids)}
    instants, origins = np.unique(rows.keys["pseudo_origin"].dt.timestamp("us").to_numpy(), return_inverse=True)
    horizons, steps = np.unique(rows.keys["horizon"].to_numpy().astype(np.int64), return_inverse=True)
    periods = np.full((len(instants), len(horizons)), np.datetime64("NaT"), dtype="datetime64[D]")
    periods[origins, steps] = rows.keys["period"].to_numpy().astype("datetime64[D]")
    series = np.array([place[name] for name in rows.keys["series_id"]], dtype=np.int64)
    keys = RowKeys(ids, series, origins, steps, instants, horizons, periods)
    sorted_keys = rows.keys.with_row_index("place").sort("horizon", "series_id", "pseudo_origin", "period")
    order = sorted_keys["place"].to_numpy().astype(np.int64)
    columns = np.tile(np.arange(rows.X.width), (len(horizons), 1))
    return CutRows(tuple(rows.X.columns), keys, order, Cells(rows.X.to_numpy(), order, columns), rows.y)


@pytest.mark.parametrize(
    "drawn", [{"bagging_fraction": 0.6, "bagging_freq": 1}, {"data_sample_strategy": "goss", "learning_rate": 0.5}]
)
def test_rows_handed_over_in_blocks_give_the_bits_of_one_matrix(
    monkeypatch: pytest.MonkeyPatch, drawn: dict[str, object]
) -> None:
    snapshot = panel()
    learned, rows = as_arrays(training(snapshot, (0, 1), count=60)), asked(snapshot, (0, 1), features=3)
    given = []
    for large, together in ((boosting_rows.MATRIX, True), (0, True), (0, False)):
        monkeypatch.setattr(boosting_rows, "MATRIX", large)
        monkeypatch.setattr(boosting_rows.Arranged, "batch_size", 7)
        if not together:  # as a LightGBM without that method of its own would ask
            monkeypatch.delattr(boosting_rows.Binned, "_yield_row_from_seqlist")
        forecaster = model(quantiles=[0.9], **drawn)  # rows are drawn by their places, so they come in their order
        forecaster.fit(learned, snapshot, seed=1)
        given.append((forecaster.dump(), points(forecaster.predict(rows, snapshot))))
    assert given[0] == given[1] == given[2]


def test_nobody_holds_the_matrix_while_trees_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    made, alive, read, grown = list[weakref.ref[Floats]](), list[int](), boosting_rows.Blocks._block, boosting.lgb.train

    def watched(self: boosting_rows.Blocks, part: slice) -> Floats:
        cells = read(self, part)
        made.append(weakref.ref(cells))
        return cells

    def counted(*told: object, **more: object) -> lgb.Booster:
        alive.append(sum(one() is not None for one in made))
        return grown(*told, **more)

    monkeypatch.setattr(boosting_rows.Blocks, "_block", watched)
    monkeypatch.setattr(boosting.lgb, "train", counted)
    snapshot = panel()
    kept = model(quantiles=[0.9])
    kept.bins = {}
    for forecaster in (model(quantiles=[0.9]), kept):
        forecaster.fit(as_arrays(training(snapshot, (0, 1), count=60)), snapshot, seed=1)
    assert alive[:4] == [0] * 4
    assert any(alive[4:]), "the specimen: bins that are kept keep their rows"


@pytest.mark.parametrize("arranged", [True, False])
def test_rows_of_a_block_are_taught_in_the_order_of_the_column_that_tells_most(
    monkeypatch: pytest.MonkeyPatch, arranged: bool
) -> None:
    count, block = 900, 400
    cells = np.random.default_rng(2).normal(size=(count, 3))
    cells[::7, 1] = np.nan
    told = np.where(np.isnan(cells[:, 1]), 3.0, cells[:, 1])
    labels = np.exp(9.0 * told + cells[:, 2])  # of such different sizes that the order of a sum shows in its last bits
    monkeypatch.setattr(boosting_rows, "MATRIX", 0)
    monkeypatch.setattr(boosting_rows.Arranged, "batch_size", block)
    forecaster = model(n_estimators=20)
    forecaster.fit(one_series_rows(cells, labels), one_series(), seed=1)
    orders = [start + np.argsort(cells[start : start + block, 1], kind="stable") for start in range(0, count, block)]
    order = np.concatenate(orders) if arranged else np.arange(count)
    params = {**forecaster._settings(taught(cells, labels), "point", 1), "num_threads": 1}
    bins = lgb.Dataset(cells, labels, params=params)
    same = lgb.Dataset(cells[order], labels[order].astype(np.float32), reference=bins, params=params)
    plain = lgb.train(params, same, num_boost_round=20)
    mine = bare(json.loads(forecaster.dump())["models"]["1/point"])
    assert (mine == bare(plain.model_to_string())) is arranged


def taught(cells: Floats, labels: Floats) -> boosting_rows.Taught:
    return boosting_rows.Taught(1, cells, labels.astype(np.float32), labels_differ=True, column=0)


def one_series_rows(cells: Floats, labels: Floats) -> CutRows:
    places = np.arange(len(cells))
    none = np.zeros(len(cells), dtype=np.int64)
    day = np.array([["2015-03-31"]], dtype="datetime64[D]")
    keys = RowKeys(("a",), none, none, none, np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64), day)
    columns = np.arange(cells.shape[1])[np.newaxis]
    return CutRows(
        tuple(f"x{place}" for place in range(cells.shape[1])), keys, places, Cells(cells, places, columns), labels
    )


@pytest.mark.slow
def test_blocks_draw_their_bins_from_the_rows_a_matrix_would(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, count = one_series(), 250_000  # LightGBM draws 200,000 of them
    cells = np.column_stack((np.random.default_rng(2).normal(size=(count, 2)), np.arange(count)))
    rows = one_series_rows(cells, cells[:, 0] * cells[:, 1])
    monkeypatch.setattr(boosting_rows, "telling_column", lambda *_: 2)  # ascending as it is
    given = []
    for large in (boosting_rows.MATRIX, 0):
        monkeypatch.setattr(boosting_rows, "MATRIX", large)
        forecaster = model(n_estimators=3)
        forecaster.fit(rows, snapshot, seed=1)
        given.append(bare(json.loads(forecaster.dump())["models"]["1/point"]))
    assert given[0] == given[1]


def test_single_precision_is_that_of_the_numbers_and_the_same_however_they_are_held() -> None:
    snapshot = panel()
    learned, rows = training(snapshot, (0, 1), count=60), asked(snapshot, (0, 1), features=3)
    rounded = [Rows(one.X.cast(pl.Float32).cast(pl.Float64), one.keys, one.y) for one in (learned, rows)]
    assert not rounded[0].X.equals(learned.X)
    given = []
    for short, (taught, wanted) in ((False, rounded), (True, (learned, rows)), (True, (as_arrays(learned), rows))):
        forecaster = model(float32=short)
        forecaster.fit(taught, snapshot, seed=1)
        given.append((forecaster.dump(), points(forecaster.predict(wanted, snapshot))))
    assert given[0] == given[1] == given[2]


def bare(text: str) -> str:
    """The trees of a model's text, without its parameters."""
    return text[: text.index("parameters:")]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2_000, 60_000])
def test_on_one_thread_either_layout_gives_the_trees_of_the_automatic_choice(rows: int) -> None:
    noise = np.random.default_rng(5)
    matrix = noise.normal(size=(rows, 6))
    labels = matrix[:, 0] * matrix[:, 1] + noise.normal(size=rows)
    given = []
    for extra in ({"force_row_wise": True}, {}, {"force_col_wise": True}):
        params: dict[str, object] = {**FIXED, **extra, "num_threads": 1, "seed": 1}
        booster = lgb.train(params, lgb.Dataset(matrix, labels), num_boost_round=30)
        given.append(bare(booster.model_to_string()))
    assert given[0] == given[1] == given[2]


@pytest.mark.parametrize(
    ("columns", "params", "layout"),
    [
        (NARROW, {}, "force_row_wise"),
        (NARROW + 1, {}, "force_col_wise"),
        (NARROW, {"force_col_wise": True}, "force_col_wise"),
        (NARROW + 1, {"force_row_wise": True, "force_col_wise": False}, "force_row_wise"),
    ],
)
def test_histograms_are_summed_by_rows_where_columns_are_few_unless_told(
    columns: int, params: dict[str, bool], layout: str
) -> None:
    snapshot = one_series()
    learned = training(snapshot, (1,), count=60)
    wide = learned.X.select(pl.col(learned.X.columns[place % 3]).alias(f"x{place}") for place in range(columns))
    texts = []
    for forced in (params, {"force_row_wise": True}):
        forecaster = model(**forced)
        forecaster.fit(Rows(wide, learned.keys, learned.y), snapshot, seed=1)
        texts.append(json.loads(forecaster.dump())["models"]["1/point"])
    assert [name for name in LAYOUTS if f"[{name}: 1]" in texts[0]] == [layout]
    assert bare(texts[0]) == bare(texts[1])


def test_histograms_cannot_be_summed_both_ways() -> None:
    with pytest.raises(UserError, match="by rows or by columns"):
        model(force_row_wise=True, force_col_wise=True)


def test_bins_of_the_first_window_are_those_of_its_own_fit_and_stay() -> None:
    snapshot = panel()
    early, late = training(snapshot, (0, 1), count=60), training(snapshot, (0, 1), count=90)
    first, handed, derived = (model(bins="first window") for _ in range(3))
    plain = model()
    for one in (first, plain):
        one.fit(early, snapshot, seed=1)
    texts = [json.loads(one.dump())["models"] for one in (first, plain)]
    assert texts[0] == texts[1]
    handed.first_window = first.first_window
    derived.bin_rows(early, snapshot, seed=1)
    assert derived.first_window is not None
    derived.first_window.seen = True
    for one in (handed, derived, plain):
        one.fit(late, snapshot, seed=2)
    assert handed.dump() == derived.dump()
    assert handed.dump() != plain.dump()
    with pytest.raises(UnknownNameError, match="first window"):
        model(bins="first windows")


class Saying:
    """A stand-in model that says 1, but for one row."""

    def __init__(self, other: int) -> None:
        self.other = other

    def predict(self, matrix: np.ndarray, num_threads: int) -> np.ndarray:
        assert num_threads == 3  # left out, LightGBM takes every core
        return np.where(matrix[:, 0] == self.other, 2.0, 1.0)


@pytest.mark.parametrize("other", [0, 1, 63, 64, 4159, 4160, 9999])
def test_one_row_that_differs_is_found_wherever_it_is(other: int) -> None:
    rows = np.arange(10_000, dtype=np.float64)[:, None]
    assert not says_one_thing(Saying(other), rows, 3)  # type: ignore[arg-type]
    assert says_one_thing(Saying(-1), rows, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"force_row_wise": "yes"}, "not a value of force_row_wise: 'yes'; rule: true or false"),
        ({"extra_trees": 1}, "not a value of extra_trees: 1; rule: true or false"),
        ({"max_bin": 63.0}, "not a value of max_bin: 63.0; rule: a whole number from 2"),
        ({"max_bin": True}, "not a value of max_bin: True; rule: a whole number from 2"),
        ({"max_depth": "deep"}, "not a value of max_depth: 'deep'; rule: a whole number"),
        ({"lambda_l1": float("nan")}, "not a value of lambda_l1: nan; rule: a number from 0"),
        ({"num_leaves": 1}, "not a value of num_leaves: 1; rule: a whole number from 2 to 131072"),
        ({"feature_fraction": 0}, "not a value of feature_fraction: 0; rule: a number above 0 to 1"),
        ({"monotone_constraints_method": "basics"}, "did you mean 'basic'?"),
        ({"monotone_constraints": [1, 2]}, "not a value of monotone_constraints: [1, 2]; rule: a list of -1, 0 and 1"),
        ({"monotone_constraints": 1}, "not a value of monotone_constraints: 1; rule: a list of"),
        ({"monotone_constraints": [True, 0]}, "not a value of monotone_constraints: [True, 0]; rule: a list of"),
        ({"monotone_constraints": ["up"]}, "not a value of monotone_constraints: ['up']; rule: a list of"),
        ({"monotone_constraints": "1,up"}, "not a value of monotone_constraints: '1,up'; rule: a list of"),
        ({"feature_contri": [1, float("nan")]}, "not a value of feature_contri: [1, nan]; rule: a list of numbers"),
        ({"feature_contri": ["x"]}, "not a value of feature_contri: ['x']; rule: a list of numbers"),
        ({"interaction_constraints": [0, 1]}, "not a value of interaction_constraints: [0, 1]; rule: a list of lists"),
        (
            {"interaction_constraints": [["a"]]},
            "not a value of interaction_constraints: [['a']]; rule: a list of lists",
        ),
        ({"interaction_constraints": [[-1]]}, "not a value of interaction_constraints: [[-1]]; rule: a list of lists"),
        ({"interaction_constraints": [[]]}, "not a value of interaction_constraints: [[]]; rule: a list of lists"),
    ],
)
def test_a_value_that_lightgbm_would_refuse_in_training_is_refused_before(params: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        model(**params)


def taken(**params: object) -> bool:
    noise = np.random.default_rng(1).normal(size=(40, 3))
    try:
        lgb.train({**params, "verbosity": -1, "num_threads": 1}, lgb.Dataset(noise, noise[:, 0] + 9), num_boost_round=1)
    except lgb.basic.LightGBMError:
        return False
    return True


def test_numbers_end_where_those_of_lightgbm_end() -> None:
    assert NUMBERS.keys() | FLAGS | WORDS.keys() | LISTS.keys() >= NATIVE - {"boosting"}
    for name, number in NUMBERS.items():
        step = 1 if number.whole else 0.25
        for end, away, open_end in ((number.low, -step, number.above), (number.high, step, number.below)):
            if math.isfinite(end) and abs(end) != INT:
                asked = int(end) if number.whole else end
                for value in (asked, asked + away, asked - away):
                    assert number.holds(value) == taken(**{name: value}), (name, value)
                assert number.holds(asked) != open_end


@pytest.mark.parametrize(
    ("params", "sound"),
    [
        ({"boosting": "rf"}, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.8}),
        ({"boosting": "rf", "bagging_freq": 1}, {"boosting": "rf", "feature_fraction": 0.5}),
        ({"boosting": "goss", "bagging_freq": 1, "bagging_fraction": 0.5}, {"boosting": "goss", "bagging_freq": 1}),
        ({"data_sample_strategy": "goss", "top_rate": 0.95}, {"data_sample_strategy": "goss", "top_rate": 0.5}),
        ({"boosting": "goss", "other_rate": 0.0}, {"boosting": "gbdt", "other_rate": 0.0}),
        ({"linear_tree": True, "zero_as_missing": True}, {"linear_tree": True, "zero_as_missing": False}),
        ({"linear_tree": True, "objective": "l1"}, {"linear_tree": True, "objective": "quantile", "alpha": 0.5}),
        ({"monotone_constraints": (1, 0, 0), "objective": "mape"}, {"monotone_constraints": (1, 0, 0)}),
    ],
)
def test_settings_that_lightgbm_refuses_together_are_refused_before(
    params: dict[str, object], sound: dict[str, object]
) -> None:
    assert taken(**sound)
    check_together(sound)
    assert not taken(**params)
    with pytest.raises(UserError, match="refused together"):
        check_together(params)


def together(given: LightGBM) -> set[tuple[str, ...]]:
    """Which features stand on one path of a tree."""
    paths: set[tuple[str, ...]] = set()

    def walk(node: dict[str, object], path: frozenset[str]) -> None:
        if "split_feature" not in node:
            paths.add(tuple(sorted(path)))
            return
        for side in ("left_child", "right_child"):
            walk(node[side], path | {str(node["split_feature"])})  # type: ignore[arg-type]

    for text in json.loads(given.dump())["models"].values():
        for tree in lgb.Booster(model_str=text).dump_model()["tree_info"]:
            walk(tree["tree_structure"], frozenset())
    return paths


@pytest.mark.parametrize("given", [[[0, 1], [2]], ((0, 1), (2,)), "[0,1],[2]"])
def test_interaction_constraints_hold_in_every_form_they_can_be_given(given: object) -> None:
    snapshot = one_series()
    learned = training(snapshot, (1,), count=60)
    free, bound = model(num_leaves=7), model(num_leaves=7, interaction_constraints=given)
    for one in (free, bound):
        one.fit(learned, snapshot, seed=3)
    assert any("2" in path and len(path) > 1 for path in together(free))
    assert not any("2" in path and len(path) > 1 for path in together(bound))


@pytest.mark.parametrize(
    ("params", "coded", "said"),
    [
        (
            {"monotone_constraints": [1, 0]},
            False,
            "one entry for each column: 2 for 3 columns; rule: in this order: x.a",
        ),
        (
            {"monotone_constraints": [1, 0, 0]},
            True,
            "3 for 4 columns; rule: in this order: x.a, x.b, y.a, then the series",
        ),
        ({"feature_contri": [1.0] * 4}, False, "feature_contri has one entry for each column: 4 for 3 columns"),
        (
            {"interaction_constraints": [[0], [1, 3]]},
            False,
            "a column that is not there: 3, of 3 columns; rule: they are",
        ),
    ],
)
def test_lists_that_do_not_fit_the_columns_are_refused(params: dict[str, object], coded: bool, said: str) -> None:
    columns = ("x.a", "x.b", "y.a")
    with pytest.raises(UserError, match=re.escape(said)):
        check_columns(params, columns, coded=coded)
    check_columns(params, None, coded=coded)  # not known beforehand
    check_columns(params | dict.fromkeys(params, "1,x"), columns, coded=coded)  # not a list: told elsewhere


def test_lists_that_fit_are_taken_and_series_are_in_no_order() -> None:
    columns = ("x.a", "x.b")
    for given in ([1, 0], "1,0", []):
        check_columns({"monotone_constraints": given, "interaction_constraints": [[0, 1]]}, columns, coded=False)
    assert taken(monotone_constraints=[1, 0, 0], feature_contri=[1, 0.5, 0], interaction_constraints=[[0, 1], [2]])
    check_columns({"monotone_constraints": [1, -1, 0], "interaction_constraints": [[0, 1, 2]]}, columns, coded=True)
    for known in (columns, None):  # LightGBM ends the process there
        with pytest.raises(UserError, match=r"the series are the last column, and in no order.*fix: end with 0"):
            check_columns({"monotone_constraints": [1, 0, 1]}, known, coded=True)
