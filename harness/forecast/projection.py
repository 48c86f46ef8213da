"""The fitted series of a panel projected: together where the method allows it, else one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from harness.core.snapshot import Micros
from harness.core.transform import Floats
from harness.forecast.histories import Histories, Work

Fitted = Mapping[str, object]
"""Parameters of one series as JSON values; `variance` is the residual variance."""
NOT_FINITE = "the forecast path is not finite"
UNFITTED = -1
"""Place of a series that has no parameters."""


class Method(Protocol):
    """A univariate method: estimate once, then filter with those parameters over any later history."""

    def estimate(self, work: Work) -> Fitted | None:
        """Parameters, or None when the history is too short."""
        ...

    def project(self, fitted: Fitted, work: Work, steps: int) -> Floats | None:
        """Forecasts [step] after the newest value with fixed parameters, or None when the history is too short."""
        ...


class Together(Protocol):
    """Many series of one fit, projected at once; what was computed of a history may be kept for the next call."""

    def project(self, places: Micros, histories: Histories, steps: int) -> Floats:
        """What `Method.project` answers, to the bit; NaN where it has to be asked.

        Args:
            places: [series] which of the series of the fit each history is of; each at most once.
            histories: usable ones.
            steps: forecasts after the newest value of each.

        Returns:
            [series, step]
        """
        ...


@runtime_checkable
class Shared(Method, Protocol):
    """A method that does the same arithmetic for every series."""

    def together(self, fitted: Sequence[Fitted]) -> Together | None:
        """The series that have these parameters; None = each has to be projected by itself."""
        ...


class FittedPanel:
    """The series of a fit, and what is kept of them from one projection to the next."""

    def __init__(self, method: Method, fitted: Mapping[str, Fitted | None]) -> None:
        self._method, self._given = method, dict(fitted)
        some = {name: one for name, one in fitted.items() if one is not None}
        self._fits, self._place = list(some.values()), {name: place for place, name in enumerate(some)}
        self._together = method.together(self._fits) if some and isinstance(method, Shared) else None
        self._placed: tuple[Sequence[str], Micros] = ((), np.empty(0, dtype=np.int64))

    def is_of(self, fitted: Mapping[str, Fitted | None]) -> bool:
        """Whether these are the parameters it was made from."""
        return self._given == fitted

    def places(self, names: Sequence[str]) -> Micros:
        """[name] place of each series, `UNFITTED` where it has no parameters."""
        if self._placed[0] != names:
            self._placed = names, np.array([self._place.get(name, UNFITTED) for name in names], dtype=np.int64)
        return self._placed[1]

    def paths(self, places: Micros, histories: Histories, steps: Micros) -> tuple[Floats, dict[int, str]]:
        """Forecasts after the newest value; a constant history is continued, fitted or not.

        Args:
            places: [series] place of each, or `UNFITTED`.
            histories: of these series.
            steps: [series] how many forecasts of each.

        Returns:
            [series, step], NaN where the history is too short, nothing was fitted or the method failed; and why it
            failed, by the row of the series.
        """
        path = np.full((len(places), int(steps.max(initial=0))), np.nan)
        constant = histories.usable & histories.constant
        able = np.flatnonzero(histories.usable & ~constant & (places != UNFITTED))
        path[constant] = histories.values[constant, histories.end[constant] - 1, None]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if self._together is not None and len(able):
                path[able] = self._together.project(places[able], histories.taken(able), path.shape[1])
            beyond = np.arange(path.shape[1]) >= steps[:, None]
            left = ~(np.isfinite(path) | beyond).all(axis=1)
            path[beyond | left[:, None]] = np.nan
            failed = dict.fromkeys(np.flatnonzero(left & constant).tolist(), NOT_FINITE)
            for row in able[left[able]].tolist():
                try:
                    path[row, : steps[row]] = self._alone(int(places[row]), histories.work(row), int(steps[row]))
                except ValueError as error:
                    failed[row] = str(error)
        return path, failed

    def _alone(self, place: int, work: Work, steps: int) -> Floats:
        """[step] forecasts of one series; NaN where its history is too short."""
        path = self._method.project(self._fits[place], work, steps)
        if path is None:
            return np.full(steps, np.nan)
        if not np.isfinite(path).all():
            raise ValueError(NOT_FINITE)
        return path

    def variance(self, places: Micros, histories: Histories) -> Floats:
        """[series] residual variance; 0 of a constant history and of what was not fitted."""
        out = np.zeros(len(places))
        for row in np.flatnonzero(~histories.constant & (places != UNFITTED)).tolist():
            out[row] = float(str(self._fits[places[row]]["variance"]))
        return out
