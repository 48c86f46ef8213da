"""Direct learners: one model per horizon, pooled over the target's series, from feature rows in a canonical order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.frames import CutRows, Integers, Rows
from harness.core.snapshot import Snapshot
from harness.core.transform import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The rows of one horizon.

    Attributes:
        horizon: the horizon.
        place: [row] index of each row in the rows given.
        features: [row, feature] of some rows, in the column order given; NaN = missing.
        codes: [row] code of the series of some rows: its rank by id among the target's series; with a universe its
            place in the order of announcement, which no later member moves.
        y: [row] label in the target's unit, or None.
    """

    horizon: int
    place: NDArray[np.int64]
    features: Callable[[slice], Floats]
    codes: Callable[[slice], NDArray[np.int64]]
    y: Floats | None

    @property
    def X(self) -> Floats:
        """[row, feature] of all rows; made anew each time it is asked for."""
        return self.features(slice(0, len(self.place)))

    @property
    def series(self) -> NDArray[np.int64]:
        """[row] codes of all rows."""
        return self.codes(slice(0, len(self.place)))


def designs(rows: Rows, snapshot: Snapshot, columns: list[str] | None = None) -> Iterator[Design]:
    """Rows by ascending horizon, sorted by (series, pseudo-origin, period), so that their order given cannot matter.

    Args:
        rows: training or asked rows.
        snapshot: its target names the series, so that codes do not depend on which series have rows.
        columns: feature columns in the order used at fit; None = as given.

    Raises:
        UserError: there are no features.
    """
    if not column_names(rows):
        raise _without_features()
    if isinstance(rows, CutRows) and snapshot.target is not None and not snapshot.target.universe:
        return _cut(rows, snapshot.target.series, columns)
    return _sorted(rows, snapshot, columns)


def _sorted(rows: Rows, snapshot: Snapshot, columns: list[str] | None) -> Iterator[Design]:
    ids = sorted(snapshot.target.series) if snapshot.target is not None else []
    if snapshot.target is not None and snapshot.target.universe:
        ids = list(snapshot.target.series)
    code = rows.keys["series_id"].replace_strict(ids, range(len(ids)), return_dtype=pl.Int64).to_numpy()
    matrix = rows.X.select(columns or rows.X.columns).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    order = rows.keys.with_row_index("place").sort(
        "horizon", "series_id", "pseudo_origin", "period", maintain_order=True
    )
    for (horizon,), part in order.group_by("horizon", maintain_order=True):
        place = part["place"].to_numpy().astype(np.int64)
        series = np.array(code[place], dtype=np.int64)
        y = None if rows.y is None else np.array(rows.y[place], dtype=np.float64)
        cells = np.array(matrix[place], order="C")
        yield Design(int(str(horizon)), place, cells.__getitem__, series.__getitem__, y)


def _cut(rows: CutRows, series: tuple[str, ...], columns: list[str] | None) -> Iterator[Design]:
    """The same of rows that are arrays in this very order already: nothing is sorted, and no frame is made.

    What is handed out lets go of the rest, so that the rows given need not outlive the last horizon.
    """
    code = {series_id: place for place, series_id in enumerate(sorted(series))}
    codes = np.array([code.get(name, -1) for name in rows.row_keys.series_ids], dtype=np.int64)
    cells, order, of_series = rows.cells, rows.order, rows.row_keys.series
    if columns is not None and columns != list(rows.columns):
        cells = replace(cells, columns=cells.columns[:, [rows.columns.index(name) for name in columns]])
    y = None if rows.y is None else np.asarray(rows.y, dtype=np.float64)[order]
    parts = list(rows.parts())
    del rows
    for step, horizon, part in parts:
        place, held = order[part], replace(cells, cell=cells.cell[part])
        labels = None if y is None else y[part]
        coded = partial(_codes, codes, of_series, place)
        if horizon == parts[-1][1]:
            del cells, order, of_series, y
        design = [Design(horizon, place, partial(held.read, step), coded, labels)]
        del place, held, labels, coded
        yield design.pop()


def _codes(codes: Integers, series: Integers, place: Integers, part: slice) -> Integers:
    return codes[series[place[part]]]


def column_names(rows: Rows) -> list[str]:
    """Names of the features in the order given; no frame is made for it."""
    return list(rows.columns) if isinstance(rows, CutRows) else list(rows.X.columns)


def _without_features() -> UserError:
    return UserError("this model learns from features and has none", fix="add a [features.NAME] table")


def constant_fit(predicted: Floats, labels: Floats) -> bool:
    """Whether a model says the same for every training row although the labels differ.

    >>> constant_fit(np.array([1.0, 1.0]), np.array([1.0, 2.0]))
    True
    """
    return bool(np.ptp(predicted) == 0.0 and np.ptp(labels) > 0.0)
