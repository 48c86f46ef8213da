"""A step that keeps some of the columns: by name, and the best ones by a univariate score."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import cast

import numpy as np

from harness.core.errors import UnknownNameError, UserError
from harness.core.transform import Floats
from harness.forecast.steps.protocol import numbers
from harness.forecast.steps.rows import StepRows

SCORES = ("f", "mutual_information")
FEWEST = {"f": 3, "mutual_information": 5}
"""Training rows below which a score says nothing, and the first columns are kept instead."""


class Select:
    """Keeps columns whose name fits a pattern, and of these the k that say most about the label, one by one.

    Kept columns stay in their order. Of equal scores the earlier column is kept; a constant column scores lowest.

    Args:
        k: how many columns are kept at most; 0 = all that fit a pattern.
        method: `f` (F statistic of the regression of the label on the column) or `mutual_information` (Kraskov's
            nearest-neighbour estimate; its jitter is drawn from the seed of the step).
        names: patterns of column names (`*` and `?` as in file names); [] = every column.
    """

    storable = True

    def __init__(self, *, k: int = 0, method: str = "f", names: Sequence[str] = ()) -> None:
        if k < 0 or not (k or names):
            raise UserError(
                "select: says neither how many columns nor which", value=f"k = {k}", fix='k = 10 or names = ["own.*"]'
            )
        if not all(isinstance(name, str) for name in names):
            raise UserError("select: names are patterns", value=list(names), fix='names = ["own.*"]')
        self.k, self.method, self.names = k, method, tuple(names)
        self.takes_missing = k == 0
        self.warnings: list[str] = []
        self._kept: list[int] = []
        self._scores: Floats = np.empty(0)

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """Choose on the training rows.

        Raises:
            UnknownNameError: a pattern fits no column.
        """
        self.warnings = []
        for name in self.names:
            if not any(fnmatchcase(column, name) for column in rows.columns):
                raise UnknownNameError("column pattern", name, rows.columns)
        fitting = [
            place
            for place, column in enumerate(rows.columns)
            if not self.names or any(fnmatchcase(column, name) for name in self.names)
        ]
        self._scores = self._scored(rows, fitting, seed) if self.k else np.empty(0)
        best = np.argsort(-self._scores, kind="stable")[: self.k] if self.k else np.arange(len(fitting))
        self._kept = sorted(fitting[place] for place in best)

    def _scored(self, rows: StepRows, fitting: list[int], seed: int) -> Floats:
        """[fitting column] score; -1 for a constant column."""
        assert rows.y is not None  # noqa: S101 - training rows have labels
        if len(rows) < FEWEST[self.method]:
            self.warnings.append(f"too few rows ({len(rows)}) to choose by, the first columns are kept")
            return np.zeros(len(fitting))
        from sklearn.feature_selection import f_regression, mutual_info_regression  # noqa: PLC0415 - slow to import

        X = np.ascontiguousarray(rows.X[:, fitting])
        varying = np.ptp(X, axis=0) > 0.0
        scores = np.full(len(fitting), -1.0)
        if varying.any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a label without variance: no score, 0 below
                if self.method == "f":
                    found = f_regression(X[:, varying], rows.y)[0]
                else:
                    found = mutual_info_regression(X[:, varying], rows.y, random_state=seed)
            scores[varying] = np.where(np.isnan(found), 0.0, found)
        return scores

    def transform(self, rows: StepRows) -> StepRows:
        """Keep the chosen columns."""
        return rows.with_columns(tuple(rows.columns[place] for place in self._kept), rows.X[:, self._kept])

    def parameters(self) -> dict[str, object]:
        """Places of the kept columns, and the scores of those that were compared."""
        return {"kept": self._kept, "scores": numbers(self._scores)}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        self._kept = cast("list[int]", parameters["kept"])
        self._scores = np.array(parameters["scores"], dtype=np.float64)
