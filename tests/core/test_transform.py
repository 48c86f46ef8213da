"""Transforms against pandas' and numpy's plain definitions, and against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.core.transform import (
    Transform,
    apply_transform,
    from_steps,
    one_period_steps,
    variance_proxies,
    window_means,
)

positive = st.floats(0.5, 2000.0)
levels = st.integers(0, 30).flatmap(lambda n: arrays(np.float64, n, elements=positive | st.just(math.nan)))
full = st.integers(6, 30).flatmap(lambda n: arrays(np.float64, n, elements=positive))
spans = st.integers(1, 6)


def _close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@given(levels, spans)
def test_differences_and_growth_are_those_of_pandas(values: np.ndarray, span: int) -> None:
    plain = pd.Series(values)
    change = plain.pct_change(span, fill_method=None)
    log_change = np.log(plain).diff(span)
    _close(apply_transform(Transform("difference", span), values), plain.diff(span).to_numpy())
    for kind in ("growth", "return"):
        _close(apply_transform(Transform(kind, span), values), 100 * change.to_numpy())
    for kind in ("log_growth", "log_return"):
        _close(apply_transform(Transform(kind, span), values), 100 * log_change.to_numpy())


@given(levels)
def test_a_level_is_a_copy_and_a_spread_a_difference(values: np.ndarray) -> None:
    same = apply_transform(Transform(), values)
    np.testing.assert_array_equal(same, values)
    assert not np.shares_memory(same, values)
    np.testing.assert_array_equal(
        apply_transform(Transform("spread", other="b"), values, other=values[::-1]), values - values[::-1]
    )


def test_growth_worked_by_hand() -> None:
    quarters = np.array([100.0, 101.0, 102.0, 104.0, 110.0, math.nan, 120.0])
    growth = apply_transform(Transform("growth", 4), quarters)
    assert np.isnan(growth[[0, 1, 2, 3, 5]]).all()
    assert growth[4] == pytest.approx(10.0)
    assert growth[6] == pytest.approx(100 * (120 / 102 - 1))
    assert apply_transform(Transform("log_growth", 4), quarters)[4] == pytest.approx(9.531017980432486)


@pytest.mark.parametrize("kind", ["growth", "log_growth", "return", "log_return"])
def test_growth_from_or_to_a_level_that_is_not_positive_is_undefined(kind: str) -> None:
    out = apply_transform(Transform(kind, 1), np.array([1.0, 0.0, -1.0, 2.0, 3.0]))  # type: ignore[arg-type]
    lost = kind != "return"  # what fell to 0 is a total loss, which has no logarithm
    assert np.isnan(out).tolist() == [True, lost, True, True, False]
    assert lost or out[1] == -100.0


def test_a_span_longer_than_the_history_gives_nothing() -> None:
    assert np.isnan(apply_transform(Transform("difference", 3), np.array([1.0, 2.0, 3.0]))).all()
    assert apply_transform(Transform("difference", 3), np.empty(0)).shape == (0,)


def test_each_series_of_a_panel_is_transformed_alone() -> None:
    panel = np.array([[1.0, 2.0, 4.0], [8.0, 4.0, math.nan]])
    out = apply_transform(Transform("growth", 1), panel)
    for row in range(2):
        np.testing.assert_array_equal(out[row], apply_transform(Transform("growth", 1), panel[row]))


@given(levels, st.integers(1, 8))
def test_window_means_are_pandas_rolling_means(values: np.ndarray, width: int) -> None:
    _close(window_means(values, width), pd.Series(values).rolling(width, min_periods=width).mean().to_numpy())


@given(full, st.integers(1, 5), st.floats(-1e12, 1e12))
def test_an_older_value_cannot_touch_the_bits_of_a_later_window(values: np.ndarray, width: int, shock: float) -> None:
    changed = values.copy()
    changed[0] = shock
    np.testing.assert_array_equal(window_means(values, width)[width:], window_means(changed, width)[width:])


def test_parkinsons_range_estimator_worked_by_hand() -> None:
    rule = Transform("realised_volatility", 2, proxy="parkinson", high="h", low="l")
    high, low = np.array([102.0, 105.0, 104.0]), np.array([100.0, 100.0, 101.0])
    # ln(1.02) = 0.0198026273, ln(1.05) = 0.0487901642, 4 ln 2 = 2.7725887222
    proxies = variance_proxies(rule, high, high, low)
    assert proxies[:2] == pytest.approx([1.4143606828e-4, 8.5857671590e-4], rel=1e-9)
    volatility = apply_transform(rule, high, high=high, low=low)
    assert math.isnan(volatility[0])
    assert volatility[1] == pytest.approx(2.2360822706, rel=1e-9)


def test_realised_volatility_of_squared_log_returns_is_the_root_of_their_rolling_mean() -> None:
    closes = np.array([100.0, 101.0, 99.0, 100.0, math.nan, 102.0, 103.0, 101.0, 100.0])
    returns = np.log(pd.Series(closes)).diff()
    expected = 100 * np.sqrt((returns**2).rolling(3, min_periods=3).mean())
    rule = Transform("realised_volatility", 3, proxy="squared_log_return")
    _close(apply_transform(rule, closes), expected.to_numpy())
    assert int(np.isfinite(expected).sum()) == 2


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        (Transform(), 0),
        (Transform("spread", other="b"), 0),
        (Transform("log_growth", 4), 4),
        (Transform("realised_volatility", 22, proxy="parkinson"), 21),
        (Transform("realised_volatility", 22, proxy="squared_log_return"), 22),
    ],
)
def test_lookback_is_exactly_the_periods_needed_before(rule: Transform, needed: int) -> None:
    assert rule.lookback == needed
    values = np.linspace(1.0, 2.0, needed + 1)
    extra = {"other": values, "high": values, "low": values}
    assert np.isfinite(apply_transform(rule, values, **extra)[-1])
    if needed:
        assert not np.isfinite(apply_transform(rule, values[1:], **{k: v[1:] for k, v in extra.items()})[-1])


def test_inputs_name_every_series_that_is_read() -> None:
    assert Transform("log_growth", 4).inputs("cpi") == ("cpi",)
    assert Transform("spread", other="aaa").inputs("baa") == ("baa", "aaa")
    assert Transform("realised_volatility", 22, proxy="parkinson", high="h", low="l").inputs("c") == ("h", "l")


@pytest.mark.parametrize(
    "rule", [Transform("spread", other="b"), Transform("realised_volatility", 2, proxy="parkinson")]
)
def test_a_missing_input_is_refused_not_left_out(rule: Transform) -> None:
    with pytest.raises(ValueError, match="needs"):
        apply_transform(rule, np.ones(3))


def test_steps_of_a_spread_without_its_other_series_are_refused() -> None:
    with pytest.raises(ValueError, match="needs the other series"):
        one_period_steps(Transform("spread", other="b"), np.ones(3))


@given(full, spans.filter(lambda span: span < 6))
def test_a_target_built_from_its_true_steps_is_the_target(values: np.ndarray, span: int) -> None:
    for kind in ("difference", "log_growth", "growth", "log_return", "return"):
        rule = Transform(kind, span)
        steps = one_period_steps(rule, values)
        built = from_steps(rule, np.array(math.nan), steps[-span:])
        assert built == pytest.approx(apply_transform(rule, values)[-1], rel=1e-9, abs=1e-7)


@given(full, full)
def test_a_level_or_spread_is_its_last_value_plus_the_steps_since(values: np.ndarray, others: np.ndarray) -> None:
    size = min(len(values), len(others))
    own, other = values[:size], others[:size]
    for rule, extra in ((Transform(), None), (Transform("spread", other="b"), other)):
        target = apply_transform(rule, own, other=extra)
        steps = one_period_steps(rule, own, other=extra)
        assert from_steps(rule, target[-4], steps[-3:]) == pytest.approx(target[-1], rel=1e-9, abs=1e-9)


def test_steps_of_many_series_are_summed_per_series() -> None:
    window = np.array([[1.0, 2.0], [3.0, math.nan]])
    out = from_steps(Transform("difference", 2), np.zeros(2), window)
    assert out[0] == 3.0
    assert math.isnan(out[1])
