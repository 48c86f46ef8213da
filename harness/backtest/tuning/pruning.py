"""Ending hopeless trials early, by comparison with earlier batches only, so that no order within a batch matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.core.search import Pruner

STARTUP = 5
"""Trials of earlier batches without which nothing is pruned."""
FACTOR = 3
"""Successive halving lets the best third go on."""


def hopeless(pruner: Pruner, earlier: Sequence[Sequence[float]], running: Sequence[float]) -> str:
    """Why a trial is not worth going on after the folds done; "" = it is.

    `median`: worse than the median of earlier trials after as many folds. `halving`: after 1, 3, 9, ... folds, not
    among the best third of the earlier trials that got so far.

    Args:
        pruner: the rule.
        earlier: running objectives, fold by fold, of the trials of earlier batches.
        running: of this trial.

    Source:
        Golovin et al. (2017), Google Vizier, section 3.2.2 (median); Li et al. (2020), A system for massively parallel
        hyperparameter tuning (successive halving without waiting).

    >>> hopeless("median", [[1.0], [2.0], [3.0], [4.0], [5.0]], [9.0])
    'after fold 1: 9 is worse than the median of 5 earlier trials, 3'
    """
    done = len(running)
    there = [values[done - 1] for values in earlier if len(values) >= done]
    if pruner == "none" or len(there) < STARTUP:
        return ""
    if pruner == "median":
        bar, told = float(np.median(there)), "the median"
    elif _is_rung(done):
        bar, told = sorted(there)[max(len(there) // FACTOR, 1) - 1], f"the best 1/{FACTOR}"
    else:
        return ""
    if running[-1] <= bar:
        return ""
    return f"after fold {done}: {running[-1]:.6g} is worse than {told} of {len(there)} earlier trials, {bar:.6g}"


def _is_rung(done: int) -> bool:
    while done % FACTOR == 0:
        done //= FACTOR
    return done == 1
