"""Synthetic training rows by imbalanced-learn's SMOTE, with the two rows each of them lies between."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from harness.core.errors import UserError
from harness.core.transform import Floats
from harness.forecast.steps.rows import Places, StepRows


def synthetic(rows: StepRows, bins: Places, wanted: Mapping[int, int], *, neighbours: int, seed: int) -> StepRows:
    """New rows x + u (x' - x), with label y + u (y' - y), x' a near neighbour of x in the same bin, u uniform.

    Neighbours are near in the features as they arrive, so scaling belongs before.

    Args:
        rows: training rows without missing values, with labels.
        bins: [row] the bin of its label.
        wanted: how many rows to make per bin; every such bin has two rows or more.
        neighbours: nearest neighbours to choose among; fewer when the smallest bin to fill has no more.
        seed: of the choices.

    Raises:
        UserError: imbalanced-learn is not installed.

    Source:
        Chawla et al. (2002), JAIR 16; labels as in Torgo et al. (2013), SMOTE for regression.
    """
    if not wanted:
        return rows.taken(np.empty(0, dtype=np.int64))
    smallest = min(int((bins == code).sum()) for code in wanted)
    goals = {code: int((bins == code).sum()) + count for code, count in wanted.items()}
    tracer = _tracing(_smote())(sampling_strategy=goals, random_state=seed, k_neighbors=min(neighbours, smallest - 1))
    X, codes = tracer.fit_resample(rows.X, bins)
    trace = [
        (np.flatnonzero(bins == code)[one], np.flatnonzero(bins == code)[other], share)
        for code, one, other, share in tracer.trace
    ]
    one, other, share = (np.concatenate(part) for part in zip(*trace, strict=True))
    made = X[len(rows) :]
    _check(rows, (one, other, share), made, bins[one] == codes[len(rows) :])
    first = rows.taken(one)
    y = None if rows.y is None else rows.y[one] + share * (rows.y[other] - rows.y[one])
    parents = np.column_stack([rows.parents[one, 0], rows.parents[other, 0]])
    return StepRows(rows.columns, made, first.keys, y, parents, np.ones(len(made), dtype=np.bool_))


def _smote() -> Any:
    try:
        return import_module("imblearn.over_sampling").SMOTE
    except ImportError as error:
        raise UserError(
            "SMOTE needs imbalanced-learn, which is not installed",
            rule="it comes with the extra named resample",
            fix='pip install "harness-backtest[resample]", or method = "oversample"',
        ) from error


def _tracing(kind: Any) -> Any:
    """SMOTE that remembers, per class, which rows it went between and how far."""

    class Tracing(kind):  # type: ignore[misc]
        def fit_resample(self, X: Floats, y: Places) -> Any:
            self.trace: list[tuple[int, Places, Places, Floats]] = []
            return super().fit_resample(X, y)

        def _generate_samples(
            self, X: Floats, nn_data: Floats, nn_num: Places, rows: Places, cols: Places, steps: Floats, *rest: Any
        ) -> Any:
            self.trace.append((int(rest[0]), rows, nn_num[rows, cols], steps[:, 0]))
            return super()._generate_samples(X, nn_data, nn_num, rows, cols, steps, *rest)

    return Tracing


def _check(rows: StepRows, trace: tuple[Places, Places, Floats], made: Floats, same_bin: Any) -> None:
    """Refuse parents that are not those of the rows made: the library would have changed inside."""
    one, other, share = trace
    expected = rows.X[one] + share[:, None] * (rows.X[other] - rows.X[one])
    if made.shape != expected.shape or not np.array_equal(made, expected) or not np.all(same_bin):
        raise UserError(
            "the rows SMOTE made cannot be traced to the training rows they lie between",
            fix="use the imbalanced-learn version of the lock",
        )
