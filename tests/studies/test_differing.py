"""Two hand-overs are compared bit for bit, and the first place at which they differ is named with both values."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.studies.differing import Difference, compare, first_differences
from harness.studies.handover import STAGES, Handover

NAN = float("nan")
OTHER_NAN = float(np.array([0x7FF8000000000001], dtype=np.int64).view(np.float64)[0])


def handed(stage: str = "training rows", model: str = "one", origin: int = 3, **columns: list[object]) -> Handover:
    table = pl.DataFrame({"series_id": ["a", "a", "b"], "period": [1, 2, 1], "x": [1.0, 2.0, 3.0], **columns})
    return Handover(stage, model, origin, ("series_id", "period"), table)


def with_x(*values: float | None) -> Handover:
    return handed(x=list(values))


def test_the_same_bits_are_no_difference() -> None:
    assert compare(with_x(1.0, NAN, None), with_x(1.0, NAN, None)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [(1.0, 1.0 + 2**-52), (0.0, -0.0), (NAN, 1.0), (1.0, NAN), (None, 1.0), (None, 0.0), (None, NAN), (NAN, OTHER_NAN),
     (math.inf, -math.inf)],
)  # fmt: skip
def test_a_single_bit_is_a_difference_and_told_with_both_values(one: float | None, other: float | None) -> None:
    found = compare(with_x(1.0, 5.0, one), with_x(1.0, 5.0, other))
    assert found == Difference("b", "period 1", "x", str(one), str(other), 1) or found is not None
    assert found is not None
    assert (found.series_id, found.row, found.column, found.cells) == ("b", "period 1", "x", 1)
    assert (found.expected, found.found) == (
        str(one) if one is None else repr(one),
        str(other) if other is None else repr(other),
    )


def test_the_first_row_comes_before_the_first_column_and_all_cells_are_counted() -> None:
    one, other = handed(w=[1.0, 2.0, 3.0]), handed(w=[1.0, 2.0, 9.0], x=[1.0, 8.0, 8.0])
    found = compare(one, other)
    assert found is not None
    assert (found.series_id, found.row, found.column, found.cells) == ("a", "period 2", "x", 3)
    assert (found.expected, found.found) == ("2.0", "8.0")


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("text", ["p", "q", None], ["p", "q", "r"]),
        ("flag", [True, True, None], [True, True, False]),
        ("day", [date(2020, 1, 1)] * 3, [date(2020, 1, 1)] * 2 + [date(2020, 1, 2)]),
        ("at", [datetime(2020, 1, 1, tzinfo=UTC)] * 3, [datetime(2020, 1, 1, tzinfo=UTC)] * 2 + [None]),
        ("count", [1, 2, 3], [1, 2, 4]),
    ],
)
def test_columns_of_every_kind_are_compared(column: str, one: list[object], other: list[object]) -> None:
    found = compare(handed(**{column: one}), handed(**{column: other}))
    assert found is not None
    assert (found.row, found.column) == ("period 1", column)
    assert found.expected != found.found


def test_a_row_more_or_less_is_named() -> None:
    whole = handed()
    part = replace(whole, table=whole.table.filter(pl.col("period") == 1))
    lost, new = compare(whole, part), compare(part, whole)
    assert lost == Difference("a", "period 2", "", "a row", "no such row", 1)
    assert new == Difference("a", "period 2", "", "no such row", "a row", 1)


def test_the_same_rows_in_another_order_are_a_difference() -> None:
    whole = handed()
    found = compare(whole, replace(whole, table=whole.table.reverse()))
    assert found is not None
    assert "another order" in found.found


def test_a_column_more_is_named() -> None:
    found = compare(handed(), handed(extra=[1.0, 1.0, 1.0]))
    assert found == Difference("", "", "extra", "none", "a column", 1)


def test_of_frozen_rows_only_those_of_both_worlds_are_compared() -> None:
    one = replace(handed(), stage="frozen rows")
    other = replace(one, table=one.table.filter(pl.col("period") == 1))
    assert compare(one, other) is None
    moved = replace(other, table=other.table.with_columns(pl.col("x") * 2))
    found = compare(one, moved)
    assert found is not None
    assert (found.expected, found.found) == ("1.0", "2.0")


@given(
    st.lists(st.one_of(st.none(), st.floats(width=64)), min_size=3, max_size=3), st.integers(0, 2), st.integers(0, 63)
)
def test_every_flipped_bit_is_found(values: list[float | None], row: int, bit: int) -> None:
    if values[row] is None:
        return
    flipped = np.array(values[row]).view(np.int64) ^ np.int64(np.uint64(1 << bit).view(np.int64))
    other = list(values)
    other[row] = float(flipped.view(np.float64))
    if np.array(other[row]).view(np.int64) == np.array(values[row]).view(np.int64):
        return  # Python keeps no payload of this NaN
    found = compare(with_x(*values), with_x(*other))
    assert found is not None
    assert found.row == f"period {[1, 2, 1][row]}"


def test_of_several_stages_the_first_in_the_order_of_work_is_told_once_per_model() -> None:
    mine = [handed(stage, model) for model in ("one", "two") for stage in ("forecast", "fit", "labels")]
    theirs = [
        replace(one, table=one.table.with_columns(pl.col("x") + 1)) if one.stage != "labels" else one for one in mine
    ]
    told = [(one.model, one.stage) for one, _ in first_differences(mine, theirs)]
    assert sorted(told) == [("one", "fit"), ("two", "fit")]


def test_what_all_models_share_is_told_once_and_before_theirs() -> None:
    mine = [handed("snapshot", ""), handed("labels", "one")]
    theirs = [replace(one, table=one.table.with_columns(pl.col("x") + 1)) for one in mine]
    assert [one.stage for one, _ in first_differences(mine, theirs)] == ["snapshot"]


def test_a_hand_over_that_is_missing_is_a_difference() -> None:
    ((one, found),) = first_differences([handed()], [])
    assert (one.stage, found.expected, found.found) == ("training rows", "handed over", "nothing")


def test_the_stages_are_those_of_the_work_in_its_order() -> None:
    order = [
        "archive",
        "snapshot",
        "outcomes",
        "matured rows",
        "training rows",
        "labels",
        "fit",
        "asked rows",
        "forecast",
    ]
    assert [stage for stage in STAGES if stage in order] == order
