"""Exponential smoothing by statsforecast, an extra: components chosen by the corrected AIC, all states estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from harness.core.errors import UnknownNameError, UserError
from harness.core.transform import Floats
from harness.forecast.histories import Work
from harness.forecast.projection import Fitted
from harness.forecast.univariate import Univariate, WorksOn

LEAST = 12
"""Values below which nothing is estimated: what the largest model without a season needs."""
CYCLES = 3
"""Full seasons below which no seasonality is estimated."""
COMPONENTS = ("AMZ", "NAMZ", "NAMZ")
"""What error, trend and season can be: none, additive, multiplicative, chosen."""
DAMPED = {"auto": None, "yes": True, "no": False}


def auto_ets(
    *, components: str = "ZZZ", damped: str = "auto", max_iterations: int = 2000, works_on: WorksOn = "step"
) -> Univariate:
    """Exponential smoothing by maximum likelihood with estimated starting states, history after the newest gap.

    Args:
        components: error, trend and season, each a letter: N none, A additive, M multiplicative, Z = whichever has the
            lowest corrected AIC (a season needs three seasons of history, M positive values; a trend M is only had
            by its own letter).
        damped: whether the trend is damped: `yes`, `no`, or `auto` = by the corrected AIC.
        max_iterations: of the optimiser, per model tried.
        works_on: `step`, `level` or `target`.

    Raises:
        UserError: statsforecast is not installed, unknown components, or a combination that it refuses.

    Source: Hyndman, Koehler, Ord, Snyder (2008), Forecasting with Exponential Smoothing.
    """
    if len(components) != len(COMPONENTS) or any(
        one not in allowed for one, allowed in zip(components, COMPONENTS, strict=False)
    ):
        raise UserError(
            "auto_ets: unknown components",
            value=components,
            rule="three letters: error (A, M or Z), trend and season (N, A, M or Z)",
            fix='components = "ZZZ" chooses all of them, "AAN" is an additive trend without a season',
        )
    error, trend, season = tuple(components)
    if (error == "A" and "M" in (trend, season)) or components == "MMA":
        raise UserError(
            "auto_ets: these components do not go together",
            value=components,
            rule="a multiplicative trend or season needs a multiplicative error (M or Z), and MMA is unstable",
        )
    if damped not in DAMPED:
        raise UnknownNameError("auto_ets damped", damped, DAMPED)
    if damped == "yes" and trend == "N":
        raise UserError("auto_ets: damped without a trend", value=components, fix='damped = "auto"')
    return Univariate(_AutoEts(_library(), components, DAMPED[damped], max_iterations), works_on)


def _library() -> Any:
    try:
        return import_module("statsforecast.ets")
    except ImportError as error:
        raise UserError(
            "auto_ets needs statsforecast, which cannot be imported",
            value=" ".join(str(error).split())[:200],
            rule="it comes with the extra named statsforecast, and every worker needs it",
            fix='pip install "harness-backtest[statsforecast]", or kind = "ets"',
        ) from error


@dataclass(frozen=True, slots=True)
class _AutoEts:
    library: Any
    components: str
    damped: bool | None
    max_iterations: int

    def estimate(self, work: Work) -> Fitted | None:
        work = work.newest_stretch()
        seasonal = self.components[2]
        if seasonal in "AM" and work.season < 2:
            raise UserError(
                "auto_ets: a seasonal component needs a season", value=work.season, fix="declare it in [target]"
            )
        season = work.season if seasonal != "N" and len(work.values) >= CYCLES * work.season else 1
        if len(work.values) < LEAST or np.ptp(work.values) == 0.0 or (seasonal in "AM" and season == 1):
            return None
        try:
            model = self.library.ets_f(
                work.values,
                m=season,
                model=self.components,
                damped=self.damped,
                allow_multiplicative_trend=self.components[1] == "M",
                maxit=self.max_iterations,
            )
        except Exception as error:  # statsforecast has no class of its own for "no model could be fitted"
            raise ValueError(f"auto_ets: {error}") from error
        params = [float(value) for value in model["par"]]
        if not np.isfinite([params[0], *params[4:]]).all():
            raise ValueError("auto_ets: the likelihood has no finite maximum here")
        return {
            "first": work.first,
            "season": season,
            "components": str(model["components"]),
            "params": [None if math.isnan(value) else value for value in params],
            "size": int(model["n_params"]),
            "variance": float(np.mean((work.values - np.asarray(model["fitted"])) ** 2)),
        }

    def project(self, fitted: Fitted, work: Work, steps: int) -> Floats | None:
        """None also where the history now begins after the period whose starting states were estimated."""
        work = work.newest_stretch()
        before = int(str(fitted["first"])) - work.first
        values = work.values[max(before, 0) :]
        if before < 0 or len(values) < LEAST:
            return None
        if np.ptp(values) == 0.0:
            return np.full(steps, values[-1])
        params = fitted["params"]
        assert isinstance(params, list)  # noqa: S101 - as `estimate` wrote it
        model = {
            "m": fitted["season"],
            "components": fitted["components"],
            "par": np.array([math.nan if value is None else value for value in params]),
            "n_params": fitted["size"],
            "fit": None,
        }
        states = np.asarray(self.library.forward_ets(model, y=values)["states"], dtype=np.float64)
        return ahead(states[-1].tolist(), str(fitted["components"]), params[3], steps)


def ahead(state: list[float], components: str, damping: float | None, steps: int) -> Floats:
    """Forecasts [step] from the newest state, the season that comes next being its last element.

    statsforecast's own forecasts count the first factor of a damped trend twice, as the R code they come from does.

    >>> ahead([10.0, 2.0], "AAND", 0.5, 3).tolist()
    [11.0, 11.5, 11.75]
    >>> ahead([10.0, 1.0, 2.0, 0.5], "MAMN", None, 3).tolist()
    [5.5, 24.0, 6.5]
    """
    _, trend, season, damped = tuple(components)
    factors = np.full(steps, 1.0 if damping is None or damped == "N" else damping)
    reach = np.cumsum(np.cumprod(factors))
    path = np.full(steps, state[0])
    if trend != "N":
        path = path + state[1] * reach if trend == "A" else path * state[1] ** reach
    if season == "N":
        return path
    seasons = np.array(state[1 if trend == "N" else 2 :])[::-1]
    index = seasons[np.arange(steps) % len(seasons)]
    found: Floats = path + index if season == "A" else path * index
    return found
