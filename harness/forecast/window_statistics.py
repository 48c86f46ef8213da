"""Statistics of a window of consecutive periods: each is a function of its own window alone, in one fixed order.

All take [series, period] values, oldest period first, and give [series]; a missing (NaN) period makes them missing.
"""

from __future__ import annotations

import numpy as np

from harness.core.transform import Floats


def mean(window: Floats) -> Floats:
    """Sum from the oldest to the newest, divided by the number of periods.

    >>> mean(np.array([[1.0, 2.0, 6.0], [1.0, np.nan, 6.0]])).tolist()
    [3.0, nan]
    """
    average: Floats = _sum(window) / window.shape[1]
    return average


def standard_deviation(window: Floats) -> Floats:
    """Square root of the summed squared deviations from `mean`, divided by the number of periods less one.

    >>> standard_deviation(np.array([[1.0, 2.0, 3.0]])).tolist()
    [1.0]
    """
    away = window - mean(window)[:, np.newaxis]
    deviation: Floats = np.sqrt(_sum(away * away) / (window.shape[1] - 1))
    return deviation


def minimum(window: Floats) -> Floats:
    """The smallest value; a zero has no sign (which of two zeros numpy picks is left open)."""
    return _unsigned_zero(np.min(window, axis=1))


def maximum(window: Floats) -> Floats:
    """The largest value; a zero has no sign."""
    return _unsigned_zero(np.max(window, axis=1))


def ratio(values: Floats, means: Floats) -> Floats:
    """Values divided by means, elementwise; missing where a mean is zero.

    >>> ratio(np.array([3.0, 3.0]), np.array([2.0, 0.0])).tolist()
    [1.5, nan]
    """
    return np.where(means == 0, np.nan, values / np.where(means == 0, 1.0, means))


def logarithm(values: Floats) -> Floats:
    """Natural logarithm, elementwise and by numpy (whose last bit may differ from the C library's).

    >>> logarithm(np.array([1.0, 0.0, -1.0])).tolist()
    [0.0, nan, nan]
    """
    positive = values > 0
    return np.where(positive, np.log(np.where(positive, values, 1.0)), np.nan)


def _sum(window: Floats) -> Floats:
    total: Floats = np.add.accumulate(window, axis=1)[:, -1]  # one after the other; np.sum adds in pairs
    return total


def _unsigned_zero(values: Floats) -> Floats:
    return values + 0.0
