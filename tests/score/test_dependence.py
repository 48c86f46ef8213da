from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, UserError
from harness.score.significance import (
    bandwidth,
    better_than_all,
    loss_difference_test,
    panel_loss_difference,
)

MONTHLY = pl.date_range(date(2000, 2, 1), date(2010, 1, 1), "1mo", eager=True).to_numpy().astype("datetime64[us]")


def quarterly_release(issued: np.datetime64, quarters_ahead: int) -> np.datetime64:
    """45 days after the end of the quarter that is so many quarters after the origin's."""
    month = int(issued.astype("datetime64[M]").astype(int))
    end = np.datetime64((month // 3 + 1 + quarters_ahead) * 3, "M").astype("datetime64[us]")
    return end + np.timedelta64(45, "D")


def test_bandwidth_counts_later_origins_before_the_outcome_was_public():
    public = [quarterly_release(issued, 1) for issued in MONTHLY]
    # An origin of 1 January is followed by those of February to August before mid-August: 7, not one quarter.
    assert bandwidth(MONTHLY, public) == 7


def test_an_origin_at_the_very_instant_of_publication_is_not_counted():
    days = [datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
    after = [day + timedelta(days=1) for day in days]
    assert bandwidth(days, after) == 0
    assert bandwidth(days, [day + timedelta(microseconds=1) for day in after]) == 1


def test_bandwidth_is_never_below_the_span_less_one():
    assert bandwidth([1, 2, 3, 4], [1.5, 2.5, 3.5, 4.5], span=4) == 3
    assert bandwidth([1, 2, 3, 4], [9, 9, 9, 9], span=2) == 3
    assert bandwidth([], [], span=2) == 1


def test_the_longest_wait_counts_not_the_typical_one():
    assert bandwidth([1, 2, 3, 4, 5], [1.5, 2.5, 5.5, 4.5, 5.5]) == 2


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20, unique=True), st.integers(0, 10))
def test_bandwidth_equals_the_plain_count(issued, wait):
    public = [origin + wait for origin in issued]
    plain = max(sum(o < later < p for later in issued) for o, p in zip(issued, public, strict=True))
    assert bandwidth(issued, public) == plain


def test_bandwidth_refuses_what_it_cannot_order():
    with pytest.raises(DataError):
        bandwidth([1, 2], [1])
    with pytest.raises(DataError):
        bandwidth(np.array(["2020-01-01"], "datetime64[D]"), np.array(["NaT"], "datetime64[D]"))
    with pytest.raises(UserError):
        bandwidth([1], [1], span=0)


def test_ten_identical_series_are_one():
    rng = np.random.default_rng(4)
    loss_a, loss_b = rng.random(30), rng.random(30)
    origin = np.arange(30)
    _, one = panel_loss_difference(origin, loss_a, loss_b)
    origins, ten = panel_loss_difference(np.tile(origin, 10), np.tile(loss_a, 10), np.tile(loss_b, 10))
    assert origins.tolist() == origin.tolist()
    assert loss_difference_test(ten, horizon=3).p_value == pytest.approx(loss_difference_test(one, horizon=3).p_value)
    pooled = loss_difference_test(np.repeat(loss_a - loss_b, 10), horizon=3)  # the specimen: ten times the evidence
    assert abs(pooled.statistic) > 1.5 * abs(loss_difference_test(one, horizon=3).statistic)


def test_the_order_of_cells_does_not_matter():
    origins, difference = panel_loss_difference([3, 1, 3, 2], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 1.0])
    assert (origins.tolist(), difference.tolist()) == ([1, 2, 3], [2.0, 3.0, 2.0])


def test_panel_arrays_must_fit():
    with pytest.raises(DataError):
        panel_loss_difference([1, 2], [1.0], [1.0])
    with pytest.raises(DataError):
        panel_loss_difference([1], [1.0], [np.inf])


def test_better_than_all_is_the_largest_p():
    assert better_than_all([0.01, 0.3, 0.04]) == 0.3


@pytest.mark.parametrize("bad", [[], [0.1, float("nan")], [1.2], [-0.1]])
def test_better_than_all_needs_every_test(bad):
    with pytest.raises(DataError):
        better_than_all(bad)


def rejections(draw, horizon, samples=800):
    return np.mean([loss_difference_test(draw(), horizon=horizon).p_value < 0.05 for _ in range(samples)])


def test_size_with_l_from_monthly_origins_on_quarterly_targets():
    """Errors stay correlated until the outcome is public: lags counted in quarters reject a true null too often."""
    overlap = bandwidth(MONTHLY, [quarterly_release(issued, 1) for issued in MONTHLY])
    rng = np.random.default_rng(5)

    def draw():
        return np.convolve(rng.standard_normal(MONTHLY.size + overlap), np.ones(overlap + 1), "valid")

    assert rejections(draw, horizon=overlap + 1) < 0.12
    assert rejections(draw, horizon=2) > 0.20  # the specimen: one quarter of lag


def test_size_with_ten_correlated_series():
    rng = np.random.default_rng(6)
    origin = np.repeat(np.arange(60), 10)

    def panel():
        return (np.repeat(rng.standard_normal(60), 10) + 0.7 * rng.standard_normal(600)) / 2

    def averaged():
        return panel_loss_difference(origin, panel(), np.zeros(600))[1]

    assert rejections(averaged, horizon=1) == pytest.approx(0.05, abs=0.025)
    assert rejections(panel, horizon=1) > 0.30  # the specimen: pooled as if independent


@pytest.mark.parametrize("overlap", [1, 4, 8, 11])
def test_size_at_the_fewest_origins_that_get_a_verdict(overlap):
    from harness.score.rivals import MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP

    n = max(MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP * (overlap + 1))
    rng = np.random.default_rng(overlap)
    rejected = [
        loss_difference_test(
            np.convolve(rng.standard_normal(n + overlap), np.ones(overlap + 1), "valid"),
            horizon=overlap + 1,
            alternative="less",
        ).p_value
        < 0.05
        for _ in range(1500)
    ]
    assert np.mean(rejected) < 0.12  # at most about 10 %, and sampling error
