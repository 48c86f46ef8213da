"""A step that turns categories into numbers: calendar columns, codes, and the series a row belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UnknownNameError, UserError
from harness.forecast.steps.rows import StepRows

ENCODINGS = ("one_hot", "ordinal")
SERIES = "series_id"

Category = float | str


class Encode:
    """Named columns become 0/1 columns (`NAME=category`) or codes 0, 1, 2, ... of their categories in training.

    Categories are those of the training rows, in ascending order. A category met later for the first time, like a
    missing value, is 0 in every 0/1 column and a missing code.

    Args:
        columns: feature columns by name; `series_id` = the series of the row.
        method: `one_hot` or `ordinal`.
    """

    takes_missing = True
    storable = True

    def __init__(self, *, columns: Sequence[str], method: str = "one_hot") -> None:
        if not columns or not all(isinstance(name, str) for name in columns) or len(set(columns)) != len(columns):
            raise UserError(
                "encode: columns are distinct names", value=list(columns), fix='columns = ["own.month", "series_id"]'
            )
        self.columns, self.method = tuple(columns), method
        self.warnings: list[str] = []
        self._categories: dict[str, list[Category]] = {}

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """The categories of every named column.

        Raises:
            UnknownNameError: no such column.
        """
        for name in self.columns:
            if name != SERIES and name not in rows.columns:
                raise UnknownNameError("column to encode", name, [*rows.columns, SERIES])
        self._categories = {name: _categories(_values(rows, name)) for name in self.columns}

    def transform(self, rows: StepRows) -> StepRows:
        """The other columns first, then the encoded ones in the order named."""
        kept = [place for place, name in enumerate(rows.columns) if name not in self._categories]
        names, parts = [rows.columns[place] for place in kept], [rows.X[:, kept]]
        for name, categories in self._categories.items():
            hits = _hits(_values(rows, name), categories)
            if self.method == "one_hot":
                names += [f"{name}={_written(category)}" for category in categories]
                parts.append(hits.astype(np.float64))
            else:
                names.append(name)
                codes = np.where(hits.any(axis=1), hits @ np.arange(len(categories), dtype=np.float64), np.nan)
                parts.append(codes[:, None])
        return rows.with_columns(tuple(names), np.hstack(parts))

    def parameters(self) -> dict[str, object]:
        """Categories by column, in the order of the codes."""
        return {"categories": [[name, list(known)] for name, known in self._categories.items()]}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        self._categories = dict(cast("list[tuple[str, list[Category]]]", parameters["categories"]))


def _values(rows: StepRows, name: str) -> list[Category]:
    """[row] category; NaN = missing."""
    if name == SERIES:
        return rows.keys[SERIES].to_list()
    values: list[Category] = rows.X[:, rows.columns.index(name)].tolist()
    return values


def _categories(values: list[Category]) -> list[Category]:
    return sorted({value for value in values if value == value})  # noqa: PLR0124 - NaN


def _hits(values: list[Category], categories: list[Category]) -> NDArray[np.bool_]:
    """[row, category] whether the row is of the category."""
    place = {category: code for code, category in enumerate(categories)}
    codes = np.array([place.get(value, -1) for value in values], dtype=np.int64)
    hits: NDArray[np.bool_] = codes[:, None] == np.arange(len(categories))
    return hits


def _written(category: Category) -> str:
    return str(int(category)) if isinstance(category, float) and category.is_integer() else str(category)
