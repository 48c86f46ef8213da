"""A copy is recognised whatever was done to it; another series is not, however much it moves alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.transform import Floats
from harness.data.ingest.copies import FEWEST, PAIRS, SHIFT, History, copy_of, rounding


def history(values: Floats, *, begin: int = 0, name: str = "sealed/cpi") -> History:
    return History(name, np.arange(begin, begin + len(values)), np.asarray(values, dtype=float))


def walk(seed: int, n: int, *, noise: float = 1.0) -> Floats:
    return 100.0 + np.cumsum(np.random.default_rng(seed).normal(0.2, noise, n))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(30, 240),
    scale=st.floats(0.02, 500.0),
    sign=st.sampled_from([-1.0, 1.0]),
    shift=st.floats(-1e3, 1e3),
    places=st.sampled_from([None, 2, 3]),
    displaced=st.integers(-SHIFT, SHIFT),
    kept=st.floats(0.7, 1.0),
    altered=st.floats(0.0, 0.1),
)
def test_a_copy_is_recognised_rescaled_shifted_rounded_displaced_cut_short_and_altered(
    *,
    seed: int,
    n: int,
    scale: float,
    sign: float,
    shift: float,
    places: int | None,
    displaced: int,
    kept: float,
    altered: float,
) -> None:
    random = np.random.default_rng([seed, 1])
    original = walk(seed, n)
    values = sign * scale * original + shift
    if places is not None:
        step = 10.0**-places
        values = np.round(values * max(1.0, 20 * step / scale), places)  # fine enough to leave a series
    periods = np.arange(n) + displaced
    chosen = np.sort(random.choice(n, size=max(int(kept * n), 24), replace=False))
    values, periods = values[chosen], periods[chosen]
    common = np.flatnonzero((periods >= 0) & (periods < n))
    wrong = random.choice(common, size=int(altered * len(common)), replace=False)
    values[wrong] += random.normal(0, 5 * values.std() + 1, len(wrong))
    found = copy_of(History("other/cpi", periods, values), history(original))
    assert found is not None
    assert found.displaced == displaced
    assert found.share >= 0.9


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(13, 400), places=st.sampled_from([None, 1, 2]), alike=st.booleans())
def test_another_walk_is_no_copy_even_where_its_steps_correlate_at_0_99(
    seed: int, n: int, places: int | None, alike: bool
) -> None:
    random = np.random.default_rng(seed)
    steps, own = random.normal(0, 1, n), random.normal(0, 1, n)
    share = 0.99 if alike else 0.0
    one, other = np.cumsum(steps), np.cumsum(share * steps + np.sqrt(1 - share**2) * own)
    if places is not None:
        one, other = np.round(one, places), np.round(other, places)
    assert copy_of(history(other, name="other"), history(one)) is None


def test_levels_that_correlate_at_0_99_are_no_copy() -> None:
    random = np.random.default_rng(4)
    one = np.cumsum(random.normal(0, 1, 300))
    other = one + one.std() * np.sqrt(1 / 0.99**2 - 1) * random.normal(0, 1, 300)
    assert np.corrcoef(one, other)[0, 1] > 0.98
    assert copy_of(history(other, name="other"), history(one)) is None


def test_two_unemployment_rates_a_tenth_apart_are_no_copy_and_the_same_rate_is() -> None:
    random = np.random.default_rng(2)
    rate = np.round(6 + np.cumsum(random.normal(0, 0.15, 240)), 1)
    other = np.round(rate + 0.15 + random.normal(0, 0.05, 240), 1)
    assert copy_of(history(other, name="other"), history(rate)) is None
    assert copy_of(history(np.round(rate + 0.1, 1), name="other"), history(rate)) is not None


@pytest.mark.parametrize(
    "values",
    [np.zeros(80), np.full(80, 3.5), np.repeat([0.5, 0.25, 0.1], 30), np.tile([0.0, 1.0], 40)],
    ids=["zeros", "constant", "policy rate", "flag"],
)
def test_constants_and_a_few_steps_are_no_copies_of_themselves(values: Floats) -> None:
    assert copy_of(history(values, name="other"), history(values)) is None


def test_few_pairs_make_a_copy_when_they_have_digits_enough() -> None:
    whole = walk(1, 100)
    for count in range(FEWEST, PAIRS):
        few = np.round(3.7 * whole[:count] - 12.0, 4)
        assert copy_of(history(few, name="other"), history(whole)) is not None, count
    coarse = np.round(whole[: PAIRS - 1])
    assert copy_of(history(coarse, name="other"), history(np.round(whole))) is None
    assert copy_of(history(whole[: FEWEST - 1], name="other"), history(whole)) is None


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(FEWEST, PAIRS), places=st.sampled_from([None, 2]))
def test_another_short_walk_is_no_copy(seed: int, n: int, places: int | None) -> None:
    """Not so for steps of ten units and less: of such walks, 99 % alike, one in a thousand passes for the other."""
    random = np.random.default_rng(seed)
    steps, own = random.normal(0, 1, 60), random.normal(0, 1, 60)
    one, other = np.cumsum(steps), np.cumsum(0.99 * steps + np.sqrt(1 - 0.99**2) * own)
    if places is not None:
        one, other = np.round(one, places), np.round(other, places)
    assert copy_of(history(other[:n], name="other"), history(one)) is None


@pytest.mark.parametrize("places", [None, 4])
def test_a_trend_that_was_added_does_not_hide_a_copy(places: int | None) -> None:
    whole = walk(1, 80)
    values = -2.0 * whole + 9.0 * np.arange(80)
    values = values if places is None else np.round(values, places)
    found = copy_of(history(values, name="other"), history(whole))
    assert found is not None
    assert found.scale == pytest.approx(-2.0, abs=1e-3)
    assert copy_of(history(walk(2, 80) + 9.0 * np.arange(80), name="other"), history(whole)) is None


def test_more_than_a_tenth_of_other_values_make_another_series() -> None:
    values = walk(1, 200)
    other = values.copy()
    other[::8] += 40
    assert copy_of(history(other, name="other"), history(values)) is None


def test_the_same_series_more_than_three_periods_away_is_not_looked_for() -> None:
    values = walk(1, 200)
    assert copy_of(history(values, begin=SHIFT + 1, name="other"), history(values)) is None


def test_noise_far_below_a_typical_change_does_not_hide_a_copy() -> None:
    values = walk(1, 200)
    noisy = values + 3e-4 * np.random.default_rng(2).normal(0, 1, 200)
    assert copy_of(history(noisy, name="other"), history(values)) is not None


def test_what_is_told_of_a_copy_has_no_value_in_it() -> None:
    values = walk(1, 60)
    found = copy_of(history(values * 2 + 7, begin=2, name="other"), history(values))
    assert found is not None
    assert found.told == (
        "other says the same as sealed/cpi in 100% of their common periods, up to scale and shift, 2 period(s) later"
    )


def test_the_rounding_of_most_values_is_seen_behind_a_few_odd_ones() -> None:
    values = np.round(walk(3, 100), 2)
    values[:9] += 1 / 3
    assert rounding(values) == 0.01
    values[:30] += 1 / 3
    assert rounding(values) == 0.0
