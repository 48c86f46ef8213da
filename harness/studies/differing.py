"""The first place at which two hand-overs of the pipeline are not the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from harness.studies.handover import STAGES, Handover


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which two hand-overs differ.

    Attributes:
        series_id, row, column: where; "" where it does not apply.
        expected, found: the two values, as text that keeps every bit.
        cells: values that differ.
    """

    series_id: str
    row: str
    column: str
    expected: str
    found: str
    cells: int


def first_differences(expected: Sequence[Handover], found: Sequence[Handover]) -> Iterator[tuple[Handover, Difference]]:
    """For every model the first hand-over, in the order of work, that is not the same bits."""
    mine = {(one.stage, one.model, one.origin): one for one in expected}
    theirs = {(one.stage, one.model, one.origin): one for one in found}
    order = [*mine, *(key for key in theirs if key not in mine)]
    shared = False
    done: set[str] = set()
    for key in sorted(order, key=lambda one: (one[2], STAGES.index(one[0]))):
        stage, model, origin = key
        if model in done or shared:
            continue
        one, other = mine.get(key), theirs.get(key)
        if one is None or other is None:
            there = one or other
            assert there is not None  # noqa: S101 - the key comes from one of them
            missing = ("handed over", "nothing") if other is None else ("nothing", "handed over")
            difference: Difference | None = Difference("", "", "", *missing, there.table.height)
        else:
            difference = compare(one, other)
        if difference is not None:
            done.add(model)
            shared = not model
            yield (one or other or Handover(stage, model, origin, (), pl.DataFrame())), difference


def compare(expected: Handover, found: Handover) -> Difference | None:
    """The first difference of two hand-overs of one stage; None = the same bits."""
    one, other = expected.table, found.table
    keys = [name for name in expected.keys if name in one.columns]
    if expected.stage == "frozen rows":  # which rows are there is the labels' affair, and those came later
        one, other = (a.join(b, on=keys, how="semi", maintain_order="left") for a, b in ((one, other), (other, one)))
    extra = sorted(set(one.columns) ^ set(other.columns))
    if extra:
        here = extra[0] in one.columns
        return Difference("", "", extra[0], "a column" if here else "none", "none" if here else "a column", 1)
    if _same(one, other):
        return None
    if not _same(one.select(keys), other.select(keys)):
        return _rows_differ(one, other, keys)
    marks = {name: _unequal(one[name], other[name]) for name in one.columns if name not in keys}
    wrong = [name for name, mark in marks.items() if mark.any()]
    if not wrong:
        return None
    row = min(int(np.argmax(marks[name])) for name in wrong)
    column = next(name for name in wrong if marks[name][row])
    cells = int(sum(int(mark.sum()) for mark in marks.values()))
    return Difference(*_place(one, keys, row), column, _text(one[column][row]), _text(other[column][row]), cells)


def _rows_differ(one: pl.DataFrame, other: pl.DataFrame, keys: list[str]) -> Difference:
    lost = one.join(other, on=keys, how="anti", nulls_equal=True)
    new = other.join(one, on=keys, how="anti", nulls_equal=True)
    if not lost.height and not new.height:
        return Difference("", "", "", f"{one.height} rows", f"{other.height} rows in another order or number", 1)
    source, said = (new, ("no such row", "a row")) if new.height else (lost, ("a row", "no such row"))
    return Difference(*_place(source, keys, 0), "", *said, lost.height + new.height)


def _place(table: pl.DataFrame, keys: list[str], row: int) -> tuple[str, str]:
    """Series and the other keys of a row, as text."""
    series = str(table["series_id"][row]) if "series_id" in table.columns else ""
    rest = [f"{name} {_text(table[name][row])}" for name in keys if name != "series_id"]
    return series, ", ".join(rest)


def _text(value: object) -> str:
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return repr(value) if isinstance(value, float) else str(value)


def _same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Whether two tables of the same columns are the same bits."""
    return one.height == other.height and all(_equal(one[name], other[name]) for name in one.columns)


def _equal(one: pl.Series, other: pl.Series) -> bool:
    if one.dtype != other.dtype or one.dtype != pl.Float64:
        return one.equals(other, check_dtypes=True, null_equal=True)
    if one.null_count() or other.null_count():
        return not _unequal(one, other).any()
    return np.array_equal(one.to_numpy().view(np.int64), other.to_numpy().view(np.int64))


def _unequal(one: pl.Series, other: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[row] whether two columns differ by a bit (a missing value equals a missing value)."""
    if one.dtype == pl.Float64 and other.dtype == pl.Float64:
        absent = one.is_null().to_numpy() | other.is_null().to_numpy()
        bits = (column.fill_null(0.0).to_numpy().view(np.int64) for column in (one, other))
        out: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.not_equal(*bits)
        nothing = absent & (one.is_null().to_numpy() != other.is_null().to_numpy())
        return np.where(absent, nothing, out)
    marks: np.ndarray[tuple[int], np.dtype[np.bool_]] = one.ne_missing(other).to_numpy()
    return marks
