"""Outlier bounds kept up to date value by value are the bounds of medians taken anew, bit for bit."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.cleaning.outlying import outlying
from harness.data.cleaning.steps import Outliers
from tests.data.plain_outlying import plain_bounds

# few different values, so that there are ties, and distances that are equal on both sides
VALUES = st.one_of(
    st.none(),
    st.sampled_from([-3.0, -0.0, 0.0, 0.1, 0.2, 0.3, 1e-9, 7.0, 1e6]),
    st.floats(-1e9, 1e9, allow_nan=False),
)
ROWS = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 30), VALUES), min_size=1, max_size=60)
BOUNDS = st.one_of(st.none(), st.floats(-100.0, 0.0)), st.one_of(st.none(), st.floats(1.0, 100.0))


def framed(rows: list[tuple[int, int, float | None]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={"period": pl.Int32, "published": pl.Int64, "value": pl.Float64}, orient="row")
    return frame.with_columns(pl.col("period").cast(pl.Date))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(ROWS, st.floats(0.1, 6.0), st.integers(2, 9), st.integers(2, 5), *BOUNDS, st.booleans())
def test_bounds_are_those_of_medians_taken_anew(
    rows: list[tuple[int, int, float | None]],
    k: float,
    window: int,
    minimum: int,
    least: float | None,
    most: float | None,
    clip: bool,
) -> None:
    rule = Outliers("o", ("a",), least=least, most=most, k=k, window=window, minimum=minimum)
    frame = framed(rows)
    for fast, plain in zip(outlying(frame, rule, clip=clip), plain_bounds(frame, rule, clip=clip), strict=True):
        np.testing.assert_array_equal(fast, plain)


@pytest.mark.slow
def test_medians_of_a_hundred_thousand_rows_cost_a_fraction_of_those_taken_anew() -> None:
    days = np.arange(100_000)
    values = np.random.default_rng(1).normal(size=len(days))
    frame = pl.DataFrame({"period": pl.Series(days, dtype=pl.Int32).cast(pl.Date), "published": days, "value": values})
    rule = Outliers("o", ("a",), k=4.0)
    begun = time.process_time()
    outlying(frame, rule, clip=True)
    fast = time.process_time() - begun
    begun = time.process_time()
    plain_bounds(frame.head(20_000), rule, clip=True)
    assert fast < time.process_time() - begun  # measured 11 to 14 times faster; a busy machine gets some room
