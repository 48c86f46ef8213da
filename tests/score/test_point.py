import math
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from harness.core.errors import DataError
from harness.score import point

PLAIN = [point.mae, point.rmse, point.bias, point.smape, point.qlike]
numbers = st.floats(-1e6, 1e6)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30)
positive_pairs = st.lists(st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)), min_size=1, max_size=30)


def test_metrics_equal_those_of_r_on_three_forecasts_of_two_series(reference):
    for case in reference["accuracy"]:
        outcome, forecast = case["test"], case["forecast"]
        scale = point.seasonal_naive_scale(case["train"], case["season"], 1)
        assert point.mae(outcome, forecast) == pytest.approx(case["MAE"], rel=1e-12)
        assert point.rmse(outcome, forecast) == pytest.approx(case["RMSE"], rel=1e-12)
        assert point.bias(outcome, forecast) == pytest.approx(-case["ME"], rel=1e-12)
        assert point.mase(outcome, forecast, scale=scale.value) == pytest.approx(case["MASE"], rel=1e-12)


@given(pairs)
def test_mae_and_rmse_equal_scikit_learn(cells):
    outcome, forecast = map(list, zip(*cells, strict=True))
    assert point.mae(outcome, forecast) == pytest.approx(sklearn_metrics.mean_absolute_error(outcome, forecast))
    assert point.rmse(outcome, forecast) == pytest.approx(sklearn_metrics.root_mean_squared_error(outcome, forecast))


@given(positive_pairs)
def test_qlike_is_half_of_the_gamma_deviance(cells):
    outcome, forecast = map(list, zip(*cells, strict=True))
    assert point.qlike(outcome, forecast) == pytest.approx(
        sklearn_metrics.mean_gamma_deviance(outcome, forecast) / 2, rel=1e-9, abs=1e-12
    )


def test_rmsse_by_hand():
    training = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 3.0, 6.0]  # steps 3, -2, 3, -2, 3, -2, 3: mean square 48 / 7
    scale = point.seasonal_naive_scale(training, 1, 2)
    assert scale.value == pytest.approx(math.sqrt(48 / 7))
    assert point.rmsse([1.0, 2.0], [3.0, 2.0], scale=scale.value) == pytest.approx(math.sqrt(2.0 / (48 / 7)))


def test_smape_by_hand_is_a_percentage_between_0_and_200():
    assert point.smape([100.0, 50.0], [110.0, 50.0]) == pytest.approx(200 * 10 / 210 / 2)
    assert point.smape([1.0], [1e12]) == pytest.approx(200.0)


def test_qlike_punishes_an_underestimated_variance_more():
    assert point.qlike([4.0], [2.0]) > point.qlike([4.0], [8.0]) > 0.0


def test_bias_is_positive_for_forecasts_that_are_too_high():
    assert point.bias([0.0], [2.0]) == 2.0


@given(pairs, st.permutations(range(30)))
def test_order_of_cells_does_not_matter(cells, order):
    shuffled = [cells[place] for place in order if place < len(cells)]
    for metric in (point.mae, point.rmse, point.bias):
        assert metric(*zip(*cells, strict=True)) == pytest.approx(metric(*zip(*shuffled, strict=True)), abs=1e-6)


@given(positive_pairs, st.floats(0.01, 100))
def test_relative_metrics_ignore_the_unit(cells, factor):
    outcome, forecast = (np.array(side) for side in zip(*cells, strict=True))
    for metric in (point.smape, point.qlike):
        assert metric(outcome, forecast) == pytest.approx(
            metric(factor * outcome, factor * forecast), rel=1e-6, abs=1e-9
        )


@given(pairs)
def test_mae_lies_between_the_absolute_bias_and_rmse(cells):
    outcome, forecast = zip(*cells, strict=True)
    mae = point.mae(outcome, forecast)
    assert abs(point.bias(outcome, forecast)) <= mae * (1 + 1e-12) <= point.rmse(outcome, forecast) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("metric", PLAIN)
@pytest.mark.parametrize(
    ("outcome", "forecast"),
    [
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([[1.0, 2.0]], [1.0, 2.0]),
        ([math.nan], [1.0]),
        ([1.0], [math.inf]),
        (["a"], [1.0]),
    ],
)
def test_what_is_not_a_pair_of_finite_arrays_is_refused(metric, outcome, forecast):
    with pytest.raises(DataError):
        metric(outcome, forecast)


@pytest.mark.parametrize("metric", [point.smape, point.qlike])
@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_values_that_are_not_positive_are_refused_where_a_ratio_is_taken(metric, bad):
    with pytest.raises(DataError):
        metric([bad, 1.0], [1.0, 1.0])
    with pytest.raises(DataError):
        metric([1.0, 1.0], [1.0, bad])


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_an_unusable_scale_is_refused(scale):
    with pytest.raises(DataError):
        point.mase([1.0], [1.0], scale=scale)
    with pytest.raises(DataError):
        point.rmsse([1.0], [1.0], scale=scale)


def test_scale_is_null_with_the_reason_below_eight_values():
    seven, eight = list(range(7)), list(range(8))
    assert point.seasonal_naive_scale(seven, 1) == point.Scale(None, "7 values; at least 8 are needed")
    assert point.seasonal_naive_scale(eight, 1) == point.Scale(1.0, None)


def test_scale_is_null_with_the_reason_when_zero_or_without_a_full_season():
    assert "zero" in (point.seasonal_naive_scale([1, 2, 3, 4] * 3, 4).reason or "")
    assert "12 periods apart" in (point.seasonal_naive_scale(range(12), 12).reason or "")


def test_a_gap_keeps_the_seasons_aligned():
    seasonal = [1.0, 10.0] * 6
    gap = [*seasonal[:4], math.nan, *seasonal[5:]]
    assert "zero" in (point.seasonal_naive_scale(gap, 2).reason or "")
    compressed = [value for value in gap if not math.isnan(value)]
    assert point.seasonal_naive_scale(compressed, 2).value > 0.0  # what closing the gap would have done


@pytest.mark.parametrize(("season", "power"), [(0, 1), (1, 3), (-1, 2)])
def test_an_impossible_scale_is_refused(season, power):
    with pytest.raises(DataError):
        point.seasonal_naive_scale(range(10), season, power)


def test_an_infinite_value_is_refused_in_a_scale():
    with pytest.raises(DataError):
        point.seasonal_naive_scale([math.inf] * 9, 1)


def test_polars_series_and_arrays_of_any_shape_are_taken():
    assert point.mae(pl.Series([1.0, 2.0]), np.array([2.0, 2.0])) == 0.5
    assert point.mae([[1, 2], [3, 4]], [[1, 2], [3, 8]]) == 1.0


def test_metrics_are_usable_alone_without_frames():
    code = "import harness.score.point, sys; sys.exit('polars' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
