"""LightGBM on the rows of which anything is known, as ours, whatever rows a peer hands over."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Known(lgb.LGBMRegressor):
    """LightGBM that leaves out rows without an outcome, and the first of each series, of which nothing is known.

    Attributes:
        lag1: place of the newest value among the features.
    """

    def __init__(self, *, lag1: int = 0, **told: object) -> None:
        self.lag1 = lag1
        super().__init__(**told)

    def fit(self, X: Floats, y: Floats, **asked: object) -> Known:
        """Train on the other rows."""
        rows, outcomes = np.asarray(X), np.asarray(y)
        known = ~(np.isnan(rows[:, self.lag1]) | np.isnan(outcomes))
        return super().fit(rows[known], outcomes[known], **asked)

    def predict(self, X: Floats, **asked: object) -> Floats:
        """Answer from the matrix of these columns."""
        return super().predict(np.asarray(X), **asked)
