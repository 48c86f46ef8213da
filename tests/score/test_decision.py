import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, UserError
from harness.score.decision import Bill, Kpi, asymmetric_linear, bill, costs

KPI = Kpi("GBP m", under=3.0, over=1.0, abstain=2.0)
numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


def test_under_prices_an_outcome_above_the_forecast():
    assert asymmetric_linear([10.0, 10.0, 10.0], [8.0, 13.0, 10.0], under=3.0, over=1.0).tolist() == [6.0, 3.0, 0.0]


def test_equal_prices_are_the_absolute_error():
    outcome, forecast = np.array([1.0, -2.0, 0.5]), np.array([0.0, 3.0, 0.5])
    assert asymmetric_linear(outcome, forecast, under=1, over=1).tolist() == np.abs(outcome - forecast).tolist()


def test_the_cheapest_constant_forecast_is_the_quantile_of_the_prices():
    outcome = np.arange(1.0, 101.0)
    mean_costs = [bill(outcome, np.full(100, f), KPI, answered=np.ones(100, bool)).mean for f in range(1, 101)]
    assert 1 + int(np.argmin(mean_costs)) == 75  # 3 / (3 + 1)


@given(numbers, st.floats(0, 10), st.floats(0, 10))
def test_costs_are_never_negative_and_zero_without_error(outcome, under, over):
    assert (asymmetric_linear(outcome, np.zeros(len(outcome)), under=under, over=over) >= 0.0).all()
    assert not asymmetric_linear(outcome, outcome, under=under, over=over).any()


def test_an_unanswered_cell_costs_the_abstention_price():
    assert costs([10.0, 10.0], [8.0, 8.0], KPI, answered=[True, False]).tolist() == [6.0, 2.0]


def test_without_an_abstention_price_the_given_reference_forecast_is_priced():
    assert costs([10.0], [8.0], Kpi("x", 3.0, 1.0), answered=[False]).tolist() == [6.0]


def test_total_mean_and_unit():
    assert bill([10.0, 10.0], [8.0, 8.0], KPI, answered=[True, False]) == Bill(8.0, 4.0, 2, 1, "GBP m")


@pytest.mark.parametrize(
    "prices", [{"under": -1.0}, {"over": float("nan")}, {"abstain": -0.1}, {"under": float("inf")}]
)
def test_prices_that_are_not_prices_are_refused(prices):
    with pytest.raises(UserError, match="not a price"):
        Kpi(**({"unit": "x", "under": 1.0, "over": 1.0} | prices))


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(DataError):
        asymmetric_linear([1.0], [1.0, 2.0], under=1, over=1)
    with pytest.raises(DataError):
        asymmetric_linear([float("nan")], [1.0], under=1, over=1)
    with pytest.raises(DataError):
        costs([1.0], [1.0], KPI, answered=[True, True])
    with pytest.raises(DataError):
        bill([], [], KPI, answered=[])
