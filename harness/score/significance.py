"""Is one forecast really better than another: the Diebold-Mariano test; usable alone, as `hs.significance`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.core.errors import DataError, UserError
from harness.score.dependence import (
    ROUNDING,
    bandwidth,
    better_than_all,
    finite_series,
    loss_difference,
    panel_loss_difference,
)

__all__ = [
    "DieboldMariano",
    "bandwidth",
    "better_than_all",
    "diebold_mariano",
    "long_run_variance",
    "loss_difference",
    "loss_difference_test",
    "panel_loss_difference",
]

Floats = NDArray[np.float64]
Alternative = Literal["two-sided", "less", "greater"]
Kernel = Literal["rectangular", "bartlett"]

LAGS_BEYOND: Final = 4


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """The outcome of one test; the loss difference is loss of method 1 minus loss of method 2.

    Attributes:
        statistic: positive when method 2 was the more accurate; NaN when there is no test (see `fallback`).
        p_value: under Student's t with n - 1 degrees of freedom, for `alternative`; NaN when there is no test.
        fallback: what had to be done instead of the plain test, in words; None when nothing had to.
        n: loss differences (origins) tested.
        horizon: steps ahead; horizon - 1 autocovariances enter the variance.
        lags: horizon - 1, the bandwidth L.
        alternative: as asked for.
        kernel: weights of the autocovariances actually used.
        mean_difference: mean loss of method 1 minus mean loss of method 2, in the unit of the loss.
        autocorrelation_beyond: largest absolute autocorrelation of the loss difference at lags L + 1 to L + 4; None
            when n is too small for one of them. Well outside the band, the p-value is too small.
        autocorrelation_band: 2 / sqrt(n), what a single one of these would rarely exceed by chance.
    """

    statistic: float
    p_value: float
    fallback: str | None
    n: int
    horizon: int
    lags: int
    alternative: Alternative
    kernel: Kernel
    mean_difference: float
    autocorrelation_beyond: float | None
    autocorrelation_band: float


def diebold_mariano(
    errors_a: ArrayLike,
    errors_b: ArrayLike,
    horizon: int = 1,
    power: float = 2,
    alternative: Alternative = "two-sided",
    kernel: Kernel = "rectangular",
) -> DieboldMariano:
    """Test whether two forecasts of the same outcomes are equally accurate, from their errors.

    Valid for a loss difference whose mean and autocovariances do not drift, and for forecasts (not estimated models
    nested in one another). Agrees with `dm.test` of R's forecast package (`varestimator` "acf" is "rectangular"),
    save where the rectangular variance is not positive: R then drops to h = 1, here Bartlett weights are used.

    Args:
        errors_a: outcome - forecast of method 1, one per origin in time order, in the unit of the target.
        errors_b: the same of method 2, for the same outcomes.
        horizon: steps ahead, at least 1 and below n; horizon - 1 autocovariances are used. In a run: L + 1.
        power: the loss is |error|^power; 2 squared, 1 absolute.
        alternative: "greater": method 2 is more accurate; "less": method 2 is less accurate; or "two-sided".
        kernel: "rectangular" (Diebold and Mariano's own) or "bartlett" (never negative).

    Returns:
        `DieboldMariano`; identical errors give statistic 0 and p 1, with the reason in `fallback`.

    Raises:
        DataError: empty, non-finite or differently long errors.
        UserError: a horizon, power, alternative or kernel that does not exist.

    Source:
        Diebold and Mariano (1995), section 1; Harvey, Leybourne and Newbold (1997), equation 9 and the t(n - 1)
        comparison below it; Harvey, Leybourne and Whitehouse (2017) for a variance that is not positive.

    >>> a, b = [1.0, -2.0, 1.5, -1.0, 2.0, -1.2], [0.5, -1.0, 1.6, -0.2, 1.0, -0.9]
    >>> test = diebold_mariano(a, b)
    >>> round(test.statistic, 4), round(test.p_value, 4), test.fallback
    (2.4128, 0.0607, None)
    >>> diebold_mariano(a, a).fallback
    'the two losses are identical at every origin; no variance, statistic set to 0 and p to 1'
    """
    a, b = finite_series("errors_a", errors_a), finite_series("errors_b", errors_b)
    if not _is_number(power) or not (math.isfinite(power) and power > 0.0):
        raise UserError("power of the loss", value=power, rule="a finite number > 0")
    if a.shape != b.shape:
        raise DataError("errors differ in length", value=f"{a.size} and {b.size}", rule="one pair per outcome")
    largest = float(max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)))
    exponent = math.frexp(largest)[1]  # scaling by a power of two is exact and keeps |e|^power in range
    difference = loss_difference(np.abs(np.ldexp(a, -exponent)) ** power, np.abs(np.ldexp(b, -exponent)) ** power)
    return loss_difference_test(
        difference, horizon=horizon, alternative=alternative, kernel=kernel, unit=2.0 ** (exponent * power)
    )


def loss_difference_test(
    difference: ArrayLike,
    *,
    horizon: int = 1,
    alternative: Alternative = "two-sided",
    kernel: Kernel = "rectangular",
    unit: float = 1.0,
) -> DieboldMariano:
    """Diebold-Mariano test of a loss difference, whatever the loss (QLIKE, scaled errors, a KPI's cost).

    Args:
        difference: loss of method 1 minus loss of method 2, one per origin in time order.
        horizon: steps ahead; horizon - 1 autocovariances are used. In a run: L + 1.
        alternative: "greater": method 2 is more accurate; "less": method 2 is less accurate; or "two-sided".
        kernel: "rectangular" or "bartlett".
        unit: what a difference of 1 is worth, for `mean_difference` only.

    Returns:
        `DieboldMariano`. A constant difference other than zero has no variance: statistic and p are NaN.

    Raises:
        DataError: fewer than two or non-finite differences.
        UserError: horizon outside 1 .. n - 1, or an unknown alternative or kernel.

    Source:
        As `diebold_mariano`.

    >>> round(loss_difference_test([0.2, 0.1, -0.1, 0.3, 0.2], alternative="greater").p_value, 4)
    0.054
    """
    d = finite_series("difference", difference)
    n = d.size
    _check_options(n, horizon, alternative, kernel)
    horizon = int(horizon)  # 2.0 is 2
    autocovariances = _autocovariances(d, min(n - 1, horizon - 1 + LAGS_BEYOND))  # [lag]
    variance, used, fallback = _variance(autocovariances[:horizon], n, horizon, kernel)
    statistic, p_value = math.nan, math.nan
    if not d.any():
        statistic, p_value = 0.0, 1.0
        fallback = "the two losses are identical at every origin; no variance, statistic set to 0 and p to 1"
    elif autocovariances[0] <= (ROUNDING * np.abs(d).max()) ** 2:
        fallback = "the loss difference is the same at every origin; without variance there is no test"
    else:
        correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n  # HLN equation 9, squared
        statistic = float(np.mean(d)) / math.sqrt(variance) * math.sqrt(correction)
        p_value = _p_value(statistic, n - 1, alternative)
    return DieboldMariano(
        statistic=statistic,
        p_value=p_value,
        fallback=fallback,
        n=n,
        horizon=horizon,
        lags=horizon - 1,
        alternative=alternative,
        kernel=used,
        mean_difference=float(np.mean(d)) * unit,
        autocorrelation_beyond=_beyond(autocovariances, horizon),
        autocorrelation_band=2.0 / math.sqrt(n),
    )


def long_run_variance(difference: ArrayLike, horizon: int = 1) -> float:
    """Variance of the mean of a loss difference, times n: what the test of `loss_difference_test` divides by.

    Args:
        difference: one per origin in time order, more than `horizon`.
        horizon: steps ahead; horizon - 1 autocovariances are used, with Bartlett weights where needed.

    Raises:
        DataError: non-finite differences.

    >>> long_run_variance([1.0, -1.0, 1.0, -1.0])
    1.0
    """
    d = finite_series("difference", difference)
    return _variance(_autocovariances(d, horizon - 1), d.size, horizon, "rectangular")[0] * d.size


def _check_options(n: int, horizon: int, alternative: str, kernel: str) -> None:
    if n < 2:
        raise DataError("too few loss differences to test", value=n, rule="at least 2")
    if not _is_number(horizon) or not math.isfinite(horizon) or horizon != int(horizon) or not 1 <= horizon < n:
        raise UserError("horizon of the test", value=horizon, rule=f"1 .. {n - 1} for {n} loss differences")
    if alternative not in get_args(Alternative):
        raise UserError("unknown alternative", value=alternative, rule=", ".join(get_args(Alternative)))
    if kernel not in get_args(Kernel):
        raise UserError("unknown kernel", value=kernel, rule=", ".join(get_args(Kernel)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _autocovariances(d: Floats, lags: int) -> Floats:
    """Autocovariances at lags 0 .. lags about the overall mean, divided by n (as R's acf)."""
    centred = d - np.mean(d)
    return np.array([np.sum(centred[lag:] * centred[: d.size - lag]) for lag in range(lags + 1)]) / d.size


def _variance(autocovariances: Floats, n: int, horizon: int, kernel: Kernel) -> tuple[float, Kernel, str | None]:
    """Variance of the mean difference [1], the kernel used, and why it is not the one asked for."""
    lag = np.arange(1, horizon)
    if kernel == "rectangular":
        variance = float(autocovariances[0] + 2.0 * autocovariances[1:].sum()) / n
        if horizon == 1 or variance * n > ROUNDING * autocovariances[0]:
            return variance, kernel, None
    weighted = float(autocovariances[0] + 2.0 * ((1.0 - lag / horizon) * autocovariances[1:]).sum()) / n
    if kernel == "bartlett":
        return weighted, kernel, None
    reason = (
        f"the rectangular-kernel variance was not positive at horizon {horizon}; Bartlett weights were used instead "
        "(Harvey, Leybourne and Whitehouse 2017)"
    )
    return weighted, "bartlett", reason


def _p_value(statistic: float, degrees: int, alternative: Alternative) -> float:
    from scipy.special import stdtr  # noqa: PLC0415 - heavy, and worker processes do without

    if alternative == "two-sided":
        return float(2.0 * stdtr(degrees, -abs(statistic)))
    return float(stdtr(degrees, statistic if alternative == "less" else -statistic))


def _beyond(autocovariances: Floats, horizon: int) -> float | None:
    beyond = autocovariances[horizon : horizon + LAGS_BEYOND]
    if beyond.size < LAGS_BEYOND or autocovariances[0] <= 0.0:
        return None
    return float(np.abs(beyond).max() / autocovariances[0])
