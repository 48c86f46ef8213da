"""Rows of one horizon on their way from features to model, and which training rows each one was made of."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.frames import Rows
from harness.core.transform import Floats

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class StepRows:
    """Rows of one horizon between two steps.

    Attributes:
        columns: [column] names.
        X: [row, column]; NaN = missing.
        keys: [row] series_id, pseudo_origin, horizon, period; a made row carries the keys of its first parent.
        y: [row] matured label in the target's unit, or None for rows to be forecast.
        parents: [row, 2] places, among the rows that came in, of the rows this one was made of: twice itself for a
            row that came in, twice its source for a copy, both ends for a synthetic row.
        made: [row] whether a resampling step made it; such a row is for training only.
    """

    columns: tuple[str, ...]
    X: Floats
    keys: pl.DataFrame
    y: Floats | None
    parents: Places
    made: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.X)

    @property
    def groups(self) -> list[date]:
        """[row] target period of the first parent: rows of one group belong on one side of every inner split."""
        return self.keys["period"].to_list()

    def with_columns(self, columns: tuple[str, ...], X: Floats) -> StepRows:
        """The same rows with other columns."""
        return replace(self, columns=columns, X=X)

    def taken(self, places: Places) -> StepRows:
        """Some of the rows, in the order given."""
        return StepRows(
            self.columns,
            self.X[places],
            self.keys[pl.Series(places, dtype=pl.Int64)],
            None if self.y is None else self.y[places],
            self.parents[places],
            self.made[places],
        )

    def as_rows(self) -> Rows:
        """The form a forecaster takes."""
        table = pl.DataFrame({name: self.X[:, place] for place, name in enumerate(self.columns)})
        return Rows(table, self.keys, self.y)


def by_horizon(rows: Rows, columns: tuple[str, ...] = ()) -> Iterator[tuple[int, Places, StepRows]]:
    """Horizon, places and rows by ascending horizon, sorted by (series, pseudo-origin, period).

    Args:
        rows: training or asked rows, in any order.
        columns: feature columns in the order used at fit; () = as given.

    Raises:
        UserError: there are no features.
    """
    if not rows.X.width:
        raise UserError("steps work on features and there are none", fix="add a [features.NAME] table")
    names = columns or tuple(rows.X.columns)
    matrix = rows.X.select(names).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    order = rows.keys.with_row_index("place").sort(
        "horizon", "series_id", "pseudo_origin", "period", maintain_order=True
    )
    for (horizon,), part in order.group_by("horizon", maintain_order=True):
        place = part["place"].to_numpy().astype(np.int64)
        own = np.arange(len(place), dtype=np.int64)
        y = None if rows.y is None else np.array(rows.y[place], dtype=np.float64)
        table = StepRows(
            names,
            np.array(matrix[place], dtype=np.float64, order="C"),
            part.drop("place"),
            y,
            np.column_stack([own, own]),
            np.zeros(len(place), dtype=np.bool_),
        )
        yield int(str(horizon)), place, table


def split_by_period(sources: StepRows, resampled: StepRows, held: Collection[date]) -> tuple[Places, Places]:
    """Rows to train on and rows to validate on when some target periods are held out.

    Rows of one target period stay together; a made row trains only if *none* of its parents is of a held-out period;
    no made row validates. Steps that estimate anything are to be fitted again on the training side (law 6).

    Args:
        sources: training rows before any step (`by_horizon`).
        resampled: the same after any number of steps.
        held: target periods held out.

    Returns:
        Places in `resampled` to train on, places in `sources` to validate on.
    """
    is_held = np.array([period in held for period in sources.groups], dtype=np.bool_)
    return np.flatnonzero(~is_held[resampled.parents].any(axis=1)), np.flatnonzero(is_held)
