"""Volatility models on the target's own variance proxies: EWMA and the heterogeneous autoregression (HAR)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import numpy as np
import polars as pl

from harness.core.errors import UnknownNameError, UserError
from harness.core.frames import Rows
from harness.core.snapshot import Snapshot, target_panel
from harness.core.transform import Floats, window_means
from harness.forecast.baselines import Naive
from harness.forecast.baselines import ewma as ewma_rule
from harness.forecast.fit_texts import members, object_text
from harness.forecast.paths import answers, ask, values_at

MEASURES = ("log", "volatility")
ROWS_PER_COEFFICIENT = 3


def ewma(*, decay: float = 0.94) -> Naive:
    """EWMA of the variance proxies.

    Raises:
        UserError: `decay` outside (0, 1).
    """
    if not 0.0 < decay < 1.0:
        raise UserError("ewma: decay out of range", value=decay, rule="above 0 and below 1")
    return Naive(partial(ewma_rule, decay=decay))


@dataclass(frozen=True, slots=True)
class Regression:
    """One fitted regression.

    Attributes:
        coefficients: intercept, then one per window.
        variance: mean squared residual, in the squared unit of the measure.
        smallest: smallest label of the training rows, in the target's unit.
    """

    coefficients: tuple[float, ...]
    variance: float
    smallest: float


class Har:
    """Heterogeneous autoregression: least squares of the forward realised volatility on trailing ones.

    With t the newest session known and w the target's window, RV(t+k .. t+k+w-1) is regressed on an intercept and the
    volatility 100 sqrt(mean v) of the newest 1, 5 and 22 sessions, one regression per series and start k: direct, not
    iterated. A training row counts only if its whole forward window lies inside the snapshot, so every label has
    matured. `measure = "log"` regresses logarithms and answers exp(fit + residual variance / 2), the mean of a
    log-normal; `"volatility"` regresses volatilities and never answers less than the smallest label it has seen.

    Args:
        measure: `log` or `volatility`.
        windows: sessions of the trailing windows.
        max_ahead: largest k that is fitted; a window starting later is not answered.

    Source: Corsi (2009), A Simple Approximate Long-Memory Model of Realized Volatility, equation 8.
    """

    def __init__(
        self,
        *,
        measure: Literal["log", "volatility"] = "log",
        windows: Sequence[int] = (1, 5, 22),
        max_ahead: int = 66,
    ) -> None:
        if measure not in MEASURES:
            raise UnknownNameError("har measure", measure, MEASURES)
        if not windows or min(windows) < 1 or max_ahead < 1:
            raise UserError("har: windows and max_ahead start at 1", value=(tuple(windows), max_ahead))
        self._measure, self._windows, self._max_ahead = measure, tuple(windows), max_ahead
        self._fitted: dict[str, dict[int, Regression]] = {}

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        """Estimate every regression on the snapshot's own proxies.

        Raises:
            UserError: the target is no realised volatility.
        """
        panel = target_panel(snapshot)
        if snapshot.target is None or not snapshot.target.transform.is_volatility:
            raise UserError("har forecasts a realised volatility", fix="choose another kind for this target")
        width = snapshot.target.transform.span
        self._fitted = {}
        for row, series_id in enumerate(panel.ids):
            end = int(panel.last[row]) - panel.first + 1 if np.isfinite(panel.steps[row]).any() else 0
            trailing = self._trailing(panel.steps[row, :end])
            labels = panel.values[row, :end]
            found = {k: self._regressed(trailing, labels, k + width - 1) for k in range(1, self._max_ahead + 1)}
            self._fitted[series_id] = {k: regression for k, regression in found.items() if regression is not None}

    def _trailing(self, proxies: Floats) -> Floats:
        """[session, 1 + window] intercept and measure of each trailing window ending at the session."""
        columns = [np.ones(len(proxies))]
        columns += [self._measured(100.0 * np.sqrt(window_means(proxies, width))) for width in self._windows]
        return np.column_stack(columns)

    def _measured(self, volatility: Floats) -> Floats:
        if self._measure == "volatility":
            return volatility
        return np.log(np.where(volatility > 0.0, volatility, np.nan))

    def _regressed(self, trailing: Floats, labels: Floats, ahead: int) -> Regression | None:
        design, outcome = trailing[: max(0, len(trailing) - ahead)], labels[ahead:]
        measured = self._measured(outcome)
        complete = ~np.isnan(measured) & ~np.isnan(design).any(axis=1)
        design, measured = design[complete], measured[complete]
        if len(measured) < ROWS_PER_COEFFICIENT * trailing.shape[1]:
            return None
        coefficients: Floats = np.asarray(np.linalg.lstsq(design, measured, rcond=None)[0], dtype=np.float64)
        residuals = measured - design @ coefficients
        smallest = float(outcome[complete].min())
        return Regression(tuple(map(float, coefficients)), float(np.mean(residuals**2)), smallest)

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Answer from the newest session known; null where a trailing window is incomplete or nothing was fitted."""
        asked = ask(rows, snapshot)
        known = values_at(asked, asked.position)
        width = asked.transform.span
        newest = np.full((len(asked.panel.ids), 1 + len(self._windows)), np.nan)
        for row in np.unique(asked.row[asked.gap > 0]):
            end = int(asked.panel.last[row]) - asked.panel.first + 1
            newest[row] = self._trailing(asked.panel.steps[row, :end])[-1]
        out = np.full(len(rows), np.nan)
        for place, (row, start) in enumerate(zip(asked.row, asked.gap - width + 1, strict=True)):
            fitted = self._fitted.get(asked.panel.ids[row], {}).get(int(start))
            if fitted is not None:
                out[place] = self._answer(fitted, newest[row])
        return answers(rows.keys, np.where(np.isnan(known), out, known))

    def _answer(self, fitted: Regression, trailing: Floats) -> float:
        predicted = 0.0
        for coefficient, value in zip(fitted.coefficients, trailing.tolist(), strict=True):
            predicted += coefficient * value
        if self._measure == "log":
            return float(np.exp(predicted + fitted.variance / 2.0))
        return predicted if np.isnan(predicted) else max(predicted, fitted.smallest)

    def dump(self) -> str:
        """Every regression as JSON text."""
        stored = {name: {k: asdict(one) for k, one in fitted.items()} for name, fitted in self._fitted.items()}
        return json.dumps(stored, sort_keys=True)

    def joined(self, texts: Iterable[str]) -> str:
        """What `dump` would have written of all series, from what it wrote of some of them after the other."""
        return object_text({name: value for text in texts for name, value in members(text)})

    def parted(self, text: str, groups: Iterable[Collection[str]]) -> Iterator[str]:
        """Of what `dump` wrote of all series, what it would have written of each group of them."""
        every = dict(members(text))
        yield from (object_text({name: every[name] for name in names if name in every}) for names in groups)

    def told(self, text: str) -> list[str]:
        """Least squares does not complain."""
        return []

    def load(self, text: str) -> None:
        """Restore what `dump` wrote."""
        self._fitted = {
            name: {
                int(k): Regression(tuple(one["coefficients"]), one["variance"], one["smallest"])
                for k, one in fitted.items()
            }
            for name, fitted in json.loads(text).items()
        }
