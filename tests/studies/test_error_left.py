"""The share of an error that is left beside a column: zero where it tells all, one where it tells nothing."""

from __future__ import annotations

import numpy as np
import pytest

from harness.studies.error_left import error_left

ROWS = 60
DRAWN = np.random.default_rng(5)
PAST = DRAWN.normal(size=(ROWS, 2))
NEWS, NOISE = DRAWN.normal(size=ROWS), DRAWN.normal(size=ROWS)
LABELS = PAST @ np.array([1.0, 2.0]) + NEWS


def test_a_column_that_tells_the_rest_leaves_nothing_and_an_unrelated_one_everything() -> None:
    assert error_left(PAST, NEWS[:, None] * 3 + 7, LABELS) < 1e-12
    assert error_left(PAST, NOISE[:, None], LABELS) == pytest.approx(1, abs=0.1)


def test_noise_beside_it_is_what_is_left() -> None:
    told = error_left(PAST, (NEWS + 0.2 * NOISE)[:, None], LABELS)
    assert told == pytest.approx(0.2, abs=0.07)


def test_one_extreme_row_that_is_foretold_shows_nothing() -> None:
    shock = np.zeros(ROWS)
    shock[30] = 1000
    assert error_left(PAST, shock[:, None], LABELS + shock) > 0.9


def test_what_the_past_tells_leaves_nothing_to_be_explained_and_few_rows_tell_nothing() -> None:
    known = PAST @ np.array([1.0, 2.0])
    assert np.isnan(error_left(PAST, NEWS[:, None], known))
    assert np.isnan(error_left(PAST[:20], NEWS[:20, None], LABELS[:20]))
    assert np.isnan(error_left(PAST, NEWS[:, None], np.ones(ROWS)))
