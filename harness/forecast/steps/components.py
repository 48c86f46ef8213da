"""A step that replaces columns by their principal components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from harness.core.errors import UserError
from harness.core.transform import Floats
from harness.forecast.steps.protocol import array, numbers
from harness.forecast.steps.rows import StepRows


class Pca:
    """The columns become their first principal components, `pca.1`, `pca.2`, ...; columns are centred, not scaled.

    There are never more components than columns or training rows. Signs follow scikit-learn's convention.

    Args:
        components: how many.
    """

    takes_missing = False
    storable = True

    def __init__(self, *, components: int = 5) -> None:
        if components < 1:
            raise UserError("pca: components start at 1", value=components)
        self.components = components
        self.warnings: list[str] = []
        self._mean: Floats = np.empty(0)
        self._axes: Floats = np.empty((0, 0))  # [component, column]
        self._share: Floats = np.empty(0)

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """Means and axes of the training rows by a full singular value decomposition."""
        from sklearn.decomposition import PCA  # noqa: PLC0415 - slow to import

        if len(rows) < 2:
            self._mean, self._axes = rows.X.mean(axis=0), np.eye(1, len(rows.columns))
            self._share = np.full(1, np.nan)
            return
        fitted = PCA(min(self.components, *rows.X.shape), svd_solver="full")
        with np.errstate(invalid="ignore"):  # constant columns: no variance to have a share of
            fitted.fit(rows.X)
        self._mean, self._axes, self._share = fitted.mean_, fitted.components_, fitted.explained_variance_ratio_

    def transform(self, rows: StepRows) -> StepRows:
        """Project, summing column by column so that a row's bits do not depend on the rows beside it."""
        centred = rows.X - self._mean
        projected = np.zeros((len(rows), len(self._axes)))
        for place in range(centred.shape[1]):
            projected += centred[:, place, None] * self._axes[:, place]
        return rows.with_columns(tuple(f"pca.{place + 1}" for place in range(len(self._axes))), projected)

    def parameters(self) -> dict[str, object]:
        """Means, axes and each component's share of the variance."""
        axes = [numbers(axis) for axis in self._axes]
        return {"mean": numbers(self._mean), "axes": axes, "share": numbers(self._share)}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        self._mean, self._share = array(parameters["mean"]), array(parameters["share"])
        self._axes = np.array([array(axis) for axis in cast("list[object]", parameters["axes"])])
