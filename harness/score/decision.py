"""What forecast errors cost the decision they are for: the KPI, fixed before any result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.core.errors import DataError, UserError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kpi:
    """The asymmetric linear cost of a forecast error and its unit.

    Attributes:
        unit: what a cost of 1 is, e.g. "GBP m".
        under: price per unit of the target of an outcome above the forecast (error > 0), >= 0.
        over: price per unit of the target of an outcome below the forecast (error < 0), >= 0.
        abstain: price of not forecasting a cell, >= 0; None = the reference forecast is priced instead (S24).
    """

    unit: str
    under: float
    over: float
    abstain: float | None = None

    def __post_init__(self) -> None:
        """Refuse prices that are negative or not finite."""
        for name in ("under", "over", "abstain"):
            price = getattr(self, name)
            if price is not None and not (np.isfinite(price) and price >= 0.0):
                raise UserError(f"[kpi] {name} is not a price", value=price, rule="a finite number >= 0")


@dataclass(frozen=True, slots=True)
class Bill:
    """What a set of forecasts cost.

    Attributes:
        total: sum over cells, in `unit`.
        mean: cost per cell, in `unit`.
        n: cells priced.
        n_unanswered: of these, cells without a forecast of the model's own.
        unit: the KPI's unit.
    """

    total: float
    mean: float
    n: int
    n_unanswered: int
    unit: str


def asymmetric_linear(outcome: ArrayLike, forecast: ArrayLike, *, under: float, over: float) -> Floats:
    """Cost of each error, linear with a different price on each side; its best forecast is a quantile.

    Valid when the harm is proportional to the miss. The cheapest forecast is the under / (under + over) quantile, so
    a mean or median forecast is not expected to minimise it.

    Args:
        outcome: realised values y, any shape, in the unit of the target.
        forecast: point forecasts f, same shape and unit.
        under: price per unit when the outcome is above the forecast (error y - f > 0).
        over: price per unit when the outcome is below the forecast.

    Returns:
        under * max(y - f, 0) + over * max(f - y, 0), one cost per cell, in the unit of the prices.

    Raises:
        DataError: arrays of different shapes or with non-finite values.
        UserError: a negative or non-finite price.

    Source:
        Granger (1969), Prediction with a generalized cost of error function, "linear cost"; the check
        function of Koenker and Bassett (1978).

    >>> asymmetric_linear([10.0, 10.0], [8.0, 13.0], under=3.0, over=1.0)
    array([6., 3.])
    """
    Kpi("", under, over)
    y, f = np.asarray(outcome, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if y.shape != f.shape or not (np.isfinite(y).all() and np.isfinite(f).all()):
        raise DataError("outcome and forecast must be finite and of one shape", value=f"{y.shape} and {f.shape}")
    return linear_cost(y - f, under=under, over=over)


def linear_cost(error: Floats, *, under: float, over: float) -> Floats:
    """The formula of `asymmetric_linear` on errors y - f of any shape; nothing is checked, NaN stays NaN."""
    return np.where(error > 0.0, under * error, -over * error) + 0.0


def costs(outcome: ArrayLike, forecast: ArrayLike, kpi: Kpi, *, answered: ArrayLike) -> Floats:
    """Cost of each cell, abstention included.

    Args:
        outcome: realised values, one per cell.
        forecast: the model's forecasts, the reference's where the model gave none.
        kpi: prices and unit.
        answered: whether the forecast is the model's own (its declared fallback included).

    Returns:
        One cost per cell in `kpi.unit`: the abstention price where unanswered, if the KPI has one.

    Raises:
        DataError: arrays of different shapes or with non-finite values.

    Source:
        SEMANTICS 24.

    >>> costs([10.0, 10.0], [8.0, 0.0], Kpi("EUR", 3.0, 1.0, abstain=5.0), answered=[True, False])
    array([6., 5.])
    """
    paid = asymmetric_linear(outcome, forecast, under=kpi.under, over=kpi.over)
    own = np.asarray(answered, dtype=np.bool_)
    if own.shape != paid.shape:
        raise DataError("answered and outcome differ in shape", value=f"{own.shape} and {paid.shape}")
    return paid if kpi.abstain is None else np.where(own, paid, kpi.abstain)


def bill(outcome: ArrayLike, forecast: ArrayLike, kpi: Kpi, *, answered: ArrayLike) -> Bill:
    """Total and mean cost of a set of cells.

    Args:
        outcome: realised values, one per cell.
        forecast: the model's forecasts, the reference's where the model gave none.
        kpi: prices and unit.
        answered: whether the forecast is the model's own.

    Returns:
        `Bill`, in `kpi.unit`.

    Raises:
        DataError: no cells, arrays of different shapes or with non-finite values.

    Source:
        SEMANTICS 24.

    >>> bill([10.0, 10.0], [8.0, 12.0], Kpi("EUR", 3.0, 1.0), answered=[True, True])
    Bill(total=8.0, mean=4.0, n=2, n_unanswered=0, unit='EUR')
    """
    paid = costs(outcome, forecast, kpi, answered=answered)
    if paid.size == 0:
        raise DataError("no cells to price")
    unanswered = int((~np.asarray(answered, dtype=np.bool_)).sum())
    return Bill(float(paid.sum()), float(paid.mean()), int(paid.size), unanswered, kpi.unit)
