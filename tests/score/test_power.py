"""The smallest difference a plan says can be found is the one that simulated tests do find, as often as it says."""

import numpy as np
import pytest

from harness.score.power import in_metric, origins_needed, power_of
from harness.score.significance import loss_difference_test


def overlapping(random: np.random.Generator, n: int, order: int, mean: float = 0.0) -> np.ndarray:
    """Loss differences with moving-average errors of an order, as overlapping targets have them."""
    shocks = random.standard_normal(n + order)
    return mean + np.convolve(shocks, np.ones(order + 1), mode="valid")


@pytest.mark.parametrize(("order", "n"), [(0, 30), (0, 80), (3, 120)])
def test_the_smallest_difference_is_found_four_times_in_five(order: int, n: int) -> None:
    random = np.random.default_rng(5)
    seen = overlapping(random, 4000, order)
    power = power_of(seen, bandwidth=order, n=n, level=0.05)
    assert power.smallest is not None
    found = 0
    for _ in range(1500):
        d = overlapping(random, n, order, -power.smallest)
        found += loss_difference_test(d, horizon=order + 1, alternative="less").p_value < 0.05
    assert 0.72 < found / 1500 < 0.88


def test_overlap_costs_independent_origins() -> None:
    random = np.random.default_rng(1)
    apart, together = (
        power_of(overlapping(random, 5000, order), bandwidth=order, n=100, level=0.05) for order in (0, 3)
    )
    assert apart.effective == pytest.approx(100.0)  # no lag enters
    assert together.effective == pytest.approx(100 / 4, rel=0.15)  # four origins share every shock


def test_without_variance_or_origins_nothing_can_be_said() -> None:
    assert power_of([1.0] * 20, bandwidth=0, n=20, level=0.05).smallest is None
    assert power_of([1.0, 2.0, 1.5, 0.5], bandwidth=3, n=20, level=0.05).smallest is None
    d = [1.0, -1.0, 0.5, -0.2, 0.3, -0.8]
    assert power_of(d, bandwidth=1, n=2, level=0.05).smallest is None
    assert power_of(d, bandwidth=0, n=0, level=0.05).smallest is None


def test_a_difference_no_forecast_could_reach_is_none() -> None:
    assert in_metric("mae", 1.0, 1.5) is None
    assert in_metric("qlike", -2.0, 0.5) == 0.5  # that loss has no zero
    assert in_metric("rmsse", 1.0, 0.19) == pytest.approx(0.1)


def test_more_origins_are_needed_where_outcomes_overlap() -> None:
    assert [origins_needed(overlap) for overlap in (0, 1, 4)] == [10, 10, 25]
