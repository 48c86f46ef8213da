"""How much of a regression's error is left once more is given to it."""

from __future__ import annotations

import math

import numpy as np

from harness.core.transform import Floats
from harness.studies.copies import LEAST
from harness.studies.plain_cells import MISSING

PER_REGRESSOR = 3
"""Rows asked for each column of a regression, beside `LEAST`."""
EXTREME = 0.1
"""Share of the rows, those furthest off, without which the answer must hold too."""
EXACT = 1e-12
"""Share of the labels' variance below which their own past tells them: nothing is left to be explained."""


def error_left(past: Floats, given: Floats, labels: Floats) -> float:
    """The error that a regression leaves once more is given, as a share of the one before.

    Args:
        past: [row, regressor] what was known anyway.
        given: [row, column] what is given beside it.
        labels: [row]

    Returns:
        The larger of two shares of the residuals' standard deviation: over all rows, and over those left without the
        tenth that was furthest off before, so that a few extreme rows show nothing. NaN with too few rows, or where
        nothing is left to be explained.

    >>> step = np.arange(40.0)
    >>> error_left(np.sin(7 * step)[:, None], step[:, None], step) < 1e-9
    True
    """
    if len(labels) < LEAST + PER_REGRESSOR * (1 + past.shape[1] + given.shape[1]) or np.ptp(labels) == 0:
        return MISSING
    without = _residuals(past, labels)[0]
    if float(without @ without) <= EXACT * float(((labels - labels.mean()) ** 2).sum()):
        return MISSING
    usual = np.sort(np.argsort(np.abs(without), kind="stable")[: len(labels) - math.ceil(EXTREME * len(labels))])
    return max(_share(past, given, labels), _share(past[usual], given[usual], labels[usual]))


def _share(past: Floats, given: Floats, labels: Floats) -> float:
    """Standard deviation of the residuals with what is given, over that without it."""
    without, free = _residuals(past, labels)
    beside, fewer = _residuals(np.column_stack([past, given]), labels)
    before, after = float(without @ without) / free, float(beside @ beside) / fewer
    return math.sqrt(after / before) if before > 0 else 1.0


def _residuals(columns: Floats, labels: Floats) -> tuple[Floats, int]:
    """Residuals of a least squares fit with a constant, and its degrees of freedom."""
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    against = np.column_stack([np.ones(len(labels)), scaled])
    fitted, _, rank, _ = np.linalg.lstsq(against, labels, rcond=None)
    return labels - against @ fitted, len(labels) - int(rank)
