"""Point metrics as pure functions of outcomes and forecasts; usable alone, as `hs.metrics`.

Everywhere error = outcome - forecast (the sign of R's forecast package) and bias = mean(forecast - outcome), so a
positive bias is a forecast that was too high. Nothing is dropped or repaired: arrays that are empty, of different
shapes, or hold a NaN or an infinity are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.core.errors import DataError
from harness.score import losses

__all__ = ["Scale", "bias", "mae", "mase", "qlike", "rmse", "rmsse", "seasonal_naive_scale", "smape"]

Floats = NDArray[np.float64]

MINIMUM_SCALE_VALUES: Final = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of a series' seasonal-naive error, or why there is none.

    Attributes:
        value: in the unit of the series; None when it cannot be used.
        reason: why `value` is None; None when there is a value.
    """

    value: float | None
    reason: str | None


def mae(outcome: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error: how far off a forecast is on average; its best forecast is the median.

    Args:
        outcome: realised values y, any shape, in the unit of the target.
        forecast: point forecasts f, same shape and unit.

    Returns:
        mean |y - f|, in the unit of the target.

    Raises:
        DataError: empty, non-finite or differently shaped arrays.

    Source:
        Hyndman and Koehler (2006), Another look at measures of forecast accuracy, section 2.1.

    >>> mae([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    1.0
    """
    y, f = _pair(outcome, forecast)
    return float(np.mean(losses.absolute(y, f)))


def rmse(outcome: ArrayLike, forecast: ArrayLike) -> float:
    """Root mean squared error: like MAE but large errors weigh more; its best forecast is the mean.

    Args:
        outcome: realised values y, any shape, in the unit of the target.
        forecast: point forecasts f, same shape and unit.

    Returns:
        sqrt(mean (y - f)^2), in the unit of the target.

    Raises:
        DataError: empty, non-finite or differently shaped arrays.

    Source:
        Hyndman and Koehler (2006), section 2.1.

    >>> rmse([3.0, 0.0], [0.0, 4.0]) == 12.5**0.5
    True
    """
    y, f = _pair(outcome, forecast)
    return float(np.sqrt(np.mean(losses.squared(y, f))))


def bias(outcome: ArrayLike, forecast: ArrayLike) -> float:
    """Mean of forecast minus outcome: positive when forecasts were too high. R's ME is its negative.

    Args:
        outcome: realised values y, any shape, in the unit of the target.
        forecast: point forecasts f, same shape and unit.

    Returns:
        mean (f - y), in the unit of the target.

    Raises:
        DataError: empty, non-finite or differently shaped arrays.

    Source:
        CONTRACT, "Plan, outcomes, scores"; the mean error of R's `accuracy` with its sign turned.

    >>> bias([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    y, f = _pair(outcome, forecast)
    return float(np.mean(f - y))


def mase(outcome: ArrayLike, forecast: ArrayLike, *, scale: float) -> float:
    """Mean absolute scaled error: MAE in units of the series' own seasonal-naive error, so series can be averaged.

    Below 1 the forecast beats the *average one-step seasonal-naive error of the scaling sample*, which is not a
    rival forecast of the same horizon: compare with the naive rivals for that.

    Args:
        outcome: realised values y of one series, any shape.
        forecast: point forecasts f, same shape and unit.
        scale: `seasonal_naive_scale(training, season, 1).value`, in the unit of the target.

    Returns:
        mean |y - f| / scale, without unit.

    Raises:
        DataError: empty, non-finite or differently shaped arrays; a scale that is not positive and finite.

    Source:
        Hyndman and Koehler (2006), section 3.

    >>> mase([10.0, 12.0], [11.0, 9.0], scale=2.0)
    1.0
    """
    return mae(outcome, forecast) / _usable(scale)


def rmsse(outcome: ArrayLike, forecast: ArrayLike, *, scale: float) -> float:
    """Root mean squared scaled error: RMSE in units of the series' own seasonal-naive root mean squared error.

    Args:
        outcome: realised values y of one series, any shape.
        forecast: point forecasts f, same shape and unit.
        scale: `seasonal_naive_scale(training, season, 2).value`, in the unit of the target.

    Returns:
        sqrt(mean (y - f)^2) / scale, without unit.

    Raises:
        DataError: empty, non-finite or differently shaped arrays; a scale that is not positive and finite.

    Source:
        Hyndman and Koehler (2006), section 3; M5 competitors' guide (2020), equation of RMSSE.

    >>> rmsse([3.0, 0.0], [0.0, 3.0], scale=1.5)
    2.0
    """
    return rmse(outcome, forecast) / _usable(scale)


def smape(outcome: ArrayLike, forecast: ArrayLike) -> float:
    """Symmetric mean absolute percentage error, for positive ratio-scale levels only (prices, volumes, indices).

    Growth rates, differences and spreads can be zero or negative and have no meaningful percentage error.

    Args:
        outcome: realised levels y > 0, any shape.
        forecast: point forecasts f > 0, same shape and unit.

    Returns:
        mean 200 |y - f| / (y + f), per cent, between 0 and 200.

    Raises:
        DataError: empty, non-finite or differently shaped arrays; a value that is zero or negative.

    Source:
        Makridakis (1993), Accuracy measures; with the factor 200 (in per cent) of the M4 competition (2020).

    >>> smape([100.0, 50.0], [300.0, 50.0])
    50.0
    """
    y, f = _positive_pair(outcome, forecast, "sMAPE is defined for positive ratio-scale levels only")
    return float(np.mean(losses.symmetric_percentage(y, f)))


def qlike(outcome: ArrayLike, forecast: ArrayLike) -> float:
    """Quasi-likelihood loss of *variance* forecasts: ranks rightly even when the outcome is a noisy variance proxy.

    Square volatilities first: `qlike(volatility**2, forecast**2)`.

    Args:
        outcome: realised variances (or unbiased proxies) y > 0, any shape.
        forecast: variance forecasts f > 0, same shape and unit.

    Returns:
        mean (y/f - ln(y/f) - 1), without unit; zero only for a perfect forecast.

    Raises:
        DataError: empty, non-finite or differently shaped arrays; a variance that is zero or negative.

    Source:
        Patton (2011), Volatility forecast comparison using imperfect volatility proxies, the
        homogeneous robust loss with b = -2 (QLIKE).

    >>> qlike([4.0], [4.0])
    0.0
    >>> round(qlike([4.0], [2.0]), 6)  # 2 - ln 2 - 1
    0.306853
    """
    y, f = _positive_pair(outcome, forecast, "QLIKE compares variances, which are positive")
    return float(np.mean(losses.quasi_likelihood(y, f)))


def seasonal_naive_scale(values: ArrayLike, season: int, power: int = 1) -> Scale:
    """Average error of "the same season of the cycle before" within a series: the yardstick of MASE and RMSSE.

    In a run the values are the pinned outcomes matured before the first scored origin, fixed for the run (S26).

    Args:
        values: one value per period, in order; NaN marks a period without outcome, so that seasons stay aligned.
        season: periods per cycle (12 monthly, 4 quarterly, 52 weekly, 1 annual), at least 1.
        power: 1 for MASE (mean absolute), 2 for RMSSE (root mean squared).

    Returns:
        `Scale`: (mean |y_t - y_(t-season)|^power)^(1/power), in the unit of the values; no value and the reason when
        there are fewer than 8 values, no pair one season apart, or the error is zero.

    Raises:
        DataError: infinite values, more than one dimension, season < 1, or a power other than 1 or 2.

    Source:
        Hyndman and Koehler (2006), section 3, with a season as in Hyndman and Athanasopoulos (2021), section 5.8.

    >>> seasonal_naive_scale([1, 2, 4, 7, 11, 16, 22, 29], season=1)
    Scale(value=4.0, reason=None)
    >>> seasonal_naive_scale([5.0] * 10, season=4)
    Scale(value=None, reason='the seasonal-naive error is zero: the values repeat')
    """
    series = _floats("values", values)
    if series.ndim != 1 or np.isinf(series).any():
        raise DataError("scale of something else than one finite series", value=f"shape {series.shape}")
    if season < 1 or power not in {1, 2}:
        raise DataError("scale not defined", value=f"season {season}, power {power}", rule="season >= 1, power 1 or 2")
    known = int(np.isfinite(series).sum())
    if known < MINIMUM_SCALE_VALUES:
        return Scale(None, f"{known} values; at least {MINIMUM_SCALE_VALUES} are needed")
    steps = np.abs(series[season:] - series[:-season])
    steps = steps[np.isfinite(steps)]
    if steps.size == 0:
        return Scale(None, f"no two values are {season} periods apart")
    error = float(np.mean(steps)) if power == 1 else float(np.sqrt(np.mean(np.square(steps))))
    return Scale(error, None) if error > 0.0 else Scale(None, "the seasonal-naive error is zero: the values repeat")


def _floats(name: str, values: ArrayLike) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise DataError(f"{name} cannot be read as numbers", value=err) from err


def _pair(outcome: ArrayLike, forecast: ArrayLike) -> tuple[Floats, Floats]:
    """Outcomes and forecasts as finite arrays of one non-empty shape."""
    y, f = _floats("outcome", outcome), _floats("forecast", forecast)
    if y.shape != f.shape:
        raise DataError(
            "outcome and forecast differ in shape",
            value=f"{y.shape} and {f.shape}",
            rule="one forecast per outcome; nothing is broadcast",
        )
    if y.size == 0:
        raise DataError("no forecasts to score", rule="a metric of nothing is not a number")
    for name, values in (("outcome", y), ("forecast", f)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise DataError(
                f"{name} is not finite", value=f"{bad} of {values.size} values", fix="score missing cells explicitly"
            )
    return y, f


def _positive_pair(outcome: ArrayLike, forecast: ArrayLike, rule: str) -> tuple[Floats, Floats]:
    y, f = _pair(outcome, forecast)
    for name, values in (("outcome", y), ("forecast", f)):
        bad = int((values <= 0.0).sum())
        if bad:
            raise DataError(f"{name} is zero or negative", value=f"{bad} of {values.size} values", rule=rule)
    return y, f


def _usable(scale: float) -> float:
    if not (np.isfinite(scale) and scale > 0.0):
        raise DataError("scale is not positive and finite", value=scale, fix="use seasonal_naive_scale and its reason")
    return float(scale)
