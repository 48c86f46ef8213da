"""One loss per forecast: the terms that metrics average and that tests compare.

Formulae only, on arrays of one shape; nothing is checked here. `point` checks what a user passes, `grid` what a run
passes. Error = outcome - forecast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def absolute(outcome: Floats, forecast: Floats) -> Floats:
    """Absolute error |y - f|, in the unit of the target."""
    return np.abs(outcome - forecast)


def squared(outcome: Floats, forecast: Floats) -> Floats:
    """Squared error (y - f)^2, in the squared unit of the target."""
    return np.square(outcome - forecast)


def symmetric_percentage(outcome: Floats, forecast: Floats) -> Floats:
    """Term of sMAPE, 200 |y - f| / (|y| + |f|) per cent; a forecast <= 0 of an outcome > 0 gets the maximum, 200."""
    spread = np.abs(outcome) + np.abs(forecast)
    return 200.0 * np.abs(outcome - forecast) / np.where(spread > 0.0, spread, 1.0)


def quasi_likelihood(outcome: Floats, forecast: Floats) -> Floats:
    """Term of QLIKE on variances, y/f - ln(y/f) - 1, outcomes positive; infinite (its limit) for a forecast <= 0."""
    usable = forecast > 0.0
    y, f = np.where(usable, outcome, 1.0), np.where(usable, forecast, 1.0)
    with np.errstate(over="ignore"):
        excess = (y - f) / f  # y/f - 1
    near = np.abs(excess) < 0.5  # there the logarithm of the ratio itself loses digits, elsewhere log1p does
    logarithm = np.where(near, np.log1p(np.where(near, excess, 0.0)), np.log(y) - np.log(f))
    return np.where(usable, excess - logarithm, np.inf)
