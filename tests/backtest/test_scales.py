"""Scales of a whole panel are those of each series by itself, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backtest.scales import seasonal_scales
from harness.score.point import seasonal_naive_scale

number = st.one_of(st.just(5.0), st.floats(-1e6, 1e6))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda count: st.integers(0, 40).flatmap(
            lambda width: st.tuples(
                st.lists(st.lists(number, min_size=width, max_size=width), min_size=count, max_size=count),
                st.lists(
                    st.one_of(st.just([True] * width), st.lists(st.booleans(), min_size=width, max_size=width)),
                    min_size=count,
                    max_size=count,
                ),
            )
        )
    ),
    st.sampled_from([1, 4, 12]),
)
def test_scales_are_those_of_each_series(made: tuple[list[list[float]], list[list[bool]]], season: int) -> None:
    values = np.array(made[0], dtype=np.float64).reshape(len(made[0]), -1)
    seen = np.array(made[1], dtype=bool).reshape(values.shape)
    names = tuple(f"s{row}" for row in range(len(values)))
    found = seasonal_scales(names, values, seen, season)
    for row, name in enumerate(names):
        newest = np.flatnonzero(seen[row])
        past = np.where(seen[row], values[row], np.nan)[: newest[-1] + 1 if len(newest) else 0]
        absolute, squared = seasonal_naive_scale(past, season, 1), seasonal_naive_scale(past, season, 2)
        assert (found.mae[row] if absolute.value is not None else None) == absolute.value
        assert (found.rmse[row] if squared.value is not None else None) == squared.value
        assert found.notes.get(name) == absolute.reason
        assert np.isnan(found.mae[row]) == (absolute.value is None)
