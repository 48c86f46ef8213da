"""The naive rivals: matrix work over the whole target panel, nothing fitted, no choices left to the user.

Notation: z_t the transformed target of period t inside snapshot T, x_t its one-period step, p the asked period, L the
newest period whose z is known. Where the asked period's own z is already in the snapshot (a later release is asked
for), that value is the 'no change' forecast and last value, seasonal last value and drift answer it; the paths do so
by construction, because all their steps are known. Where history does not allow an answer, the answer is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl

from harness.core.frames import Rows
from harness.core.snapshot import NO_POSITION, Micros, Snapshot
from harness.core.transform import Floats
from harness.forecast.paths import (
    Asked,
    answers,
    ask,
    assemble,
    cells,
    known_mean,
    newest_column,
    seasonal_newest,
    steps_needed,
    values_at,
)


@dataclass(frozen=True, slots=True)
class Naive:
    """A rival: a rule from what is asked (and the snapshot's target history in it) to values.

    Attributes:
        rule: `Asked` to [asked] values, NaN = no answer.
    """

    rule: Callable[[Asked], Floats]

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        """Nothing is estimated: everything comes from the snapshot at predict."""

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Answer any number of horizons and series at once."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is answered with null
            return answers(rows.keys, self.rule(ask(rows, snapshot)))

    def grid(self, asked: Asked) -> Floats:
        """The same answers for a whole grid at once: [series, horizon], NaN = no answer."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.broadcast_to(self.rule(asked), asked.shape)
        return found if np.isfinite(found).all() else np.where(np.isfinite(found), found, np.nan)


def last_value(asked: Asked) -> Floats:
    """z_L, the last published value of the transformed target (for volatility: the last complete trailing window)."""
    return _or_known(asked, _newest(asked))


def seasonal_last_value(asked: Asked) -> Floats:
    """The newest known z of the asked period's season."""
    newest = seasonal_newest(asked.panel.values, asked.season)
    return _or_known(asked, cells(newest, asked.row, (asked.position - asked.panel.first) % asked.season))


def drift(asked: Asked) -> Floats:
    """z_L + (p - L) x (z_L - z_F) / (L - F), F the first known period: the mean one-period change, gaps included."""
    values = asked.panel.values
    newest = newest_column(values)[asked.row]
    oldest = _oldest_column(values)[asked.row]
    span = newest - oldest
    slope = (_at(asked, newest) - _at(asked, oldest)) / np.where(span > 0, span, 1)
    ahead = asked.position - asked.panel.first - newest
    return _or_known(asked, np.where(span > 0, _at(asked, newest) + ahead * slope, np.nan))


def historic_mean(asked: Asked) -> Floats:
    """Mean of all known z."""
    return known_mean(asked.panel.values)[asked.row]


def zero(asked: Asked) -> Floats:
    """0: no change, no return."""
    return np.zeros(asked.shape)


def path_zero(asked: Asked) -> Floats:
    """Known steps of the asked window, unknown ones zero."""
    return assemble(asked, np.zeros((len(asked.panel.ids), steps_needed(asked))))


def path_mean_step(asked: Asked) -> Floats:
    """Known steps of the asked window, unknown ones the mean of all known steps (for a level: its drift)."""
    return assemble(asked, _repeated(asked, known_mean(asked.panel.steps)))


def path_last_step(asked: Asked) -> Floats:
    """Known steps of the asked window, unknown ones the last published step."""
    steps = asked.panel.steps
    return assemble(asked, _repeated(asked, cells(steps, np.arange(len(steps)), newest_column(steps))))


def path_seasonal_step(asked: Asked) -> Floats:
    """Known steps of the asked window, unknown ones the newest known step of their own season."""
    panel = asked.panel
    newest = seasonal_newest(panel.steps, asked.season)
    start = np.where(panel.last == NO_POSITION, 0, panel.last) + 1 - panel.first
    phase = (start[:, None] + np.arange(steps_needed(asked))[None, :]) % asked.season
    return assemble(asked, np.take_along_axis(newest, phase, axis=1))


def expanding_mean(asked: Asked) -> Floats:
    """100 sqrt(mean of all known variance proxies)."""
    return 100.0 * np.sqrt(known_mean(asked.panel.steps))[asked.row]


def ewma(asked: Asked, decay: float) -> Floats:
    """100 sqrt(sum decay^k v_k / sum decay^k), v_k the k-th newest known variance proxy; the same at every horizon.

    The weights are normalised, so no starting value is needed; missing sessions are skipped.

    Source: RiskMetrics Technical Document (1996), section 5.2, with its decay of 0.94 for daily data.
    """
    proxies = asked.panel.steps
    known = ~np.isnan(proxies)
    age = np.cumsum(known[:, ::-1], axis=1)[:, ::-1] - 1
    weights = np.where(known, decay ** np.maximum(age, 0).astype(np.float64), 0.0)
    variance = _total(weights * np.where(known, proxies, 0.0)) / np.where(known.any(axis=1), _total(weights), np.nan)
    return 100.0 * np.sqrt(variance)[asked.row]


RULES: Mapping[str, Callable[[Asked], Floats]] = MappingProxyType({
    "last_value": last_value,
    "seasonal_last_value": seasonal_last_value,
    "drift": drift,
    "historic_mean": historic_mean,
    "zero": zero,
    "path_zero": path_zero,
    "path_mean_step": path_mean_step,
    "path_last_step": path_last_step,
    "path_seasonal_step": path_seasonal_step,
    "trailing_window": last_value,
    "expanding_mean": expanding_mean,
})  # fmt: skip
"""Rule by kind; `ewma` lives with the volatility models because it takes a parameter."""


def _at(asked: Asked, column: Micros) -> Floats:
    return cells(asked.panel.values, asked.row, column)


def _newest(asked: Asked) -> Floats:
    return _at(asked, newest_column(asked.panel.values)[asked.row])


def _or_known(asked: Asked, otherwise: Floats) -> Floats:
    known = values_at(asked, asked.position)
    if known.size and not any(known.strides) and np.isnan(known.flat[0]):  # of none of them
        return otherwise
    return np.where(np.isnan(known), otherwise, known)


def _oldest_column(matrix: Floats) -> Micros:
    newest = newest_column(matrix[:, ::-1])
    return np.where(newest < 0, -1, matrix.shape[1] - 1 - newest)


def _repeated(asked: Asked, step: Floats) -> Floats:
    return np.repeat(step[:, None], steps_needed(asked), axis=1)


def _total(matrix: Floats) -> Floats:
    return np.cumsum(matrix, axis=1)[:, -1] if matrix.shape[1] else np.full(len(matrix), np.nan)
