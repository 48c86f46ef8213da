"""Rows drawn again: through the libraries' own results, traced to the rows they were made of, never asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from arch.bootstrap import MovingBlockBootstrap, StationaryBootstrap
from imblearn.over_sampling import SMOTE, RandomOverSampler

from harness.core.errors import UserError
from harness.core.frames import Rows
from harness.core.identity import derive_seed
from harness.core.recipe import Step
from harness.core.transform import Floats
from harness.forecast.steps import StepRows, split_by_period
from tests.forecast.made_steps import asked_like, fitted, only, step, table

PANEL = table(30, series=("a", "b"))
OVER, SYNTHETIC = step("resample"), step("resample", method="smote", neighbours=3)
BLOCKS, STATIONARY = step("resample", method="moving_block", block=4), step("resample", method="stationary", block=3)
ALL = [OVER, SYNTHETIC, BLOCKS, STATIONARY]
SEED = derive_seed(3, 0, 1)


def bins(y: Floats) -> Floats:
    """Which tail of the labels of PANEL a label is in."""
    low, high = np.quantile(labels(only(PANEL)), [0.1, 0.9])
    return np.where(y <= low, 0, np.where(y > high, 2, 1))


def labels(rows: StepRows) -> Floats:
    assert rows.y is not None
    return rows.y


def test_oversampling_fills_the_bins_as_imbalanced_learn_does_with_copies_of_their_rows() -> None:
    source = only(PANEL)
    _, rows = fitted(PANEL, OVER)
    _, theirs = RandomOverSampler(random_state=1).fit_resample(source.X, bins(labels(source)))
    np.testing.assert_array_equal(np.bincount(bins(labels(rows))), np.bincount(theirs))
    np.testing.assert_array_equal(rows.X, source.X[rows.parents[:, 0]])
    np.testing.assert_array_equal(labels(rows), labels(source)[rows.parents[:, 0]])
    assert rows.groups == [source.groups[place] for place in rows.parents[:, 0]]
    assert rows.made.tolist() == [False] * 60 + [True] * (len(rows) - 60)


def test_ratio_says_how_far_small_bins_are_filled() -> None:
    _, rows = fitted(PANEL, step("resample", ratio=0.5))
    low, middle, high = np.bincount(bins(labels(rows)))
    assert (low, high) == (middle // 2, middle // 2)


def test_thresholds_are_quantiles_of_the_training_labels() -> None:
    pipeline, _ = fitted(PANEL, step("resample", quantiles=[0.25]))
    (held,) = pipeline.parameters()
    assert held["thresholds"] == [np.quantile(labels(only(PANEL)), 0.25)]
    assert held["bins"] == [15, 45]


def test_smote_is_imbalanced_learns_with_labels_on_the_same_line() -> None:
    source = only(PANEL)
    _, rows = fitted(PANEL, SYNTHETIC)
    X, codes = SMOTE(random_state=SEED, k_neighbors=3).fit_resample(source.X, bins(labels(source)))
    np.testing.assert_array_equal(rows.X, X)
    np.testing.assert_array_equal(bins(labels(source))[rows.parents].T, [codes, codes])
    one, other = (source.X[rows.parents[:, side]] for side in (0, 1))
    share = np.divide(rows.X[:, 0] - one[:, 0], other[:, 0] - one[:, 0], where=rows.made, out=np.zeros(len(rows)))
    first, second = (labels(source)[rows.parents[:, side]] for side in (0, 1))
    np.testing.assert_allclose(labels(rows), first + share * (second - first), rtol=1e-9)


def test_a_bin_too_small_for_smote_is_left_as_it_is_and_said() -> None:
    pipeline, rows = fitted(table(6), SYNTHETIC)
    assert pipeline.warnings == [f"step resample: bin {code} has 1 row, too few to make others from" for code in (0, 2)]
    assert len(rows) == 6


def test_smote_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(UserError, match=r"harness-backtest\[resample\]"):
        fitted(PANEL, SYNTHETIC)


@pytest.mark.parametrize(
    ("one", "theirs"), [(BLOCKS, MovingBlockBootstrap), (STATIONARY, StationaryBootstrap)], ids=["moving", "stationary"]
)
def test_bootstraps_draw_the_target_periods_that_arch_draws(
    one: Step, theirs: Callable[..., MovingBlockBootstrap]
) -> None:
    _, rows = fitted(PANEL, one)
    periods = sorted(set(only(PANEL).groups))
    block = int(str(dict(one.params)["block"]))
    (drawn,), _ = next(theirs(block, np.arange(30), seed=np.random.default_rng(SEED)).bootstrap(1))
    expected = [periods[place] for place in drawn for _ in ("a", "b")]
    assert rows.groups == expected
    assert rows.keys["series_id"].to_list() == ["a", "b"] * 30
    assert rows.made.all()


def test_one_target_period_is_not_drawn_and_a_block_never_exceeds_the_periods() -> None:
    pipeline, rows = fitted(table(1, series=("a", "b")), BLOCKS)
    assert (len(rows), len(pipeline.warnings)) == (2, 1)
    assert len(fitted(table(2), BLOCKS)[1]) == 2


def shared_parents(sources: StepRows, resampled: StepRows, train: Floats, validate: Floats) -> set[date]:
    """Target periods of the rows trained on, parents included, that are validated on too."""
    trained = {sources.groups[place] for pair in resampled.parents[train] for place in pair}
    return trained & {sources.groups[place] for place in validate}


@pytest.mark.parametrize("one", ALL, ids=lambda one: str(dict(one.params)["method"]))
def test_no_copy_is_on_both_sides_of_a_split_by_target_period(one: Step) -> None:
    sources, (_, resampled) = only(PANEL), fitted(PANEL, one)
    periods = sorted(set(sources.groups))
    for held in (periods[:6], periods[-3:], periods[::4]):
        train, validate = split_by_period(sources, resampled, held)
        assert shared_parents(sources, resampled, train, validate) == set()
        assert sorted({sources.groups[place] for place in validate}) == held
        assert len(validate) == 2 * len(held)
        outside = {place for place, group in enumerate(sources.groups) if group not in held}
        wanted = [place for place, pair in enumerate(resampled.parents.tolist()) if set(pair) <= outside]
        assert train.tolist() == wanted


@pytest.mark.parametrize("one", ALL, ids=lambda one: str(dict(one.params)["method"]))
def test_a_split_by_rows_is_caught_by_that_check(one: Step) -> None:
    sources, (_, resampled) = only(PANEL), fitted(PANEL, one)
    train, validate = np.arange(len(resampled)), np.arange(0, len(sources), 4)
    assert shared_parents(sources, resampled, train[train % 4 > 0], validate)


def test_a_split_by_the_first_parent_alone_is_caught_for_synthetic_rows() -> None:
    sources, (_, resampled) = only(PANEL), fitted(PANEL, SYNTHETIC)
    held = sorted(set(sources.groups))[::4]
    train = np.flatnonzero([group not in held for group in resampled.groups])
    validate = np.flatnonzero([group in held for group in sources.groups])
    assert shared_parents(sources, resampled, train, validate)


@pytest.mark.parametrize("one", ALL, ids=lambda one: str(dict(one.params)["method"]))
def test_asked_rows_pass_resampling_untouched(one: Step) -> None:
    pipeline, _ = fitted(PANEL, one)
    questions = only(asked_like(table(7, seed=9)))
    passed = pipeline.transform(questions)
    np.testing.assert_array_equal(passed.X, questions.X)
    assert not passed.made.any()


def test_the_seed_and_the_horizon_choose_what_is_drawn() -> None:
    drawn = {fitted(PANEL, OVER, seed=seed)[0].parameters()[0]["rows"] for seed in range(4)}
    assert len(drawn) == 4
    assert fitted(PANEL, OVER)[0].parameters() == fitted(PANEL, OVER)[0].parameters()


def test_labels_that_are_all_equal_leave_nothing_to_fill() -> None:
    assert PANEL.y is not None
    flat = Rows(PANEL.X, PANEL.keys, np.full(len(PANEL), 2.0))
    for one in (OVER, SYNTHETIC):
        assert len(fitted(flat, one)[1]) == len(PANEL)
