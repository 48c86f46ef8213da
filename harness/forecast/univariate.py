"""One model per series on the snapshot's own history: what it works on, and how its path becomes the target.

`works_on` (S16): `step` forecasts the one-period changes after the newest published level and the target is built from
known and forecast steps; `level` forecasts levels and takes the transform of the stitched path; `target` forecasts the
transformed target directly. All three train on the history as the snapshot has it, revisions included.

For a realised volatility the step is a session's volatility y_t = 100 sqrt(v_t); a forecast session enters the window
as the variance E[y^2] = (forecast of y)^2 + residual variance, so that the mean of the window is not biased low.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl

from harness.core.errors import UserError
from harness.core.frames import Rows
from harness.core.snapshot import NO_POSITION, Micros, Snapshot, TargetPanel, target_panel
from harness.core.transform import Floats, Transform, apply_transform
from harness.forecast.fit_texts import members, object_text
from harness.forecast.histories import Histories
from harness.forecast.paths import ROWS, Asked, answers, ask, assemble, cells, newest_column
from harness.forecast.projection import Fitted, FittedPanel, Method

WorksOn = Literal["step", "level", "target"]
FITTED, WARNINGS = '"fitted": ', '"warnings": '
"""Before these in the text of a fit, once: in what they hold, a quotation mark within a text is escaped."""


class Univariate:
    """A forecaster that fits `method` to each series of the target (parameters keyed by series id)."""

    def __init__(self, method: Method, works_on: WorksOn) -> None:
        self.method = method
        self.works_on = works_on
        self.fitted: dict[str, Fitted | None] = {}
        self.warnings: list[str] = []
        """What estimation complained about (no convergence, for example), one line each; series that failed last."""
        self.failed = 0
        self._panel = FittedPanel(method, self.fitted)

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        """Estimate every series' parameters on the snapshot; nothing is random.

        Raises:
            ValueError: estimation failed for a series and succeeded for none.
        """
        panel = target_panel(snapshot)
        matrix = _matrix(panel, snapshot, self.works_on)
        self.fitted, self.warnings = {}, []
        failed: list[str] = []
        histories = Histories.of(matrix, panel.first, _season(snapshot))
        varied = histories.usable & ~histories.constant
        for row, series_id in enumerate(panel.ids):
            self.fitted[series_id] = None
            if not varied[row]:
                continue
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    self.fitted[series_id] = self.method.estimate(histories.work(row))
                except ValueError as error:  # numpy's LinAlgError is one
                    failed.append(f"{series_id}: {error}")
            self.warnings += sorted({f"{series_id}: {one.category.__name__}: {one.message}" for one in caught})
        told = len(self.warnings)
        self._note(failed, all_failed=not any(self.fitted.values()))
        self.failed = len(self.warnings) - told

    def _note(self, failed: list[str], *, all_failed: bool) -> None:
        """A failed series of a panel abstains and is named; where nothing is left, the model has failed."""
        if failed and all_failed:
            raise ValueError("; ".join(failed))
        self.warnings += [line for line in failed if line not in self.warnings]

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Filter with the fitted parameters over the whole snapshot and answer from the path.

        A series with fewer than two known values, or too few for the method, abstains; a constant one is continued.

        Raises:
            ValueError: the method failed for a series and answered none.
        """
        asked = ask(rows, snapshot)
        matrix = _matrix(asked.panel, snapshot, self.works_on)
        future, failed = self._future(asked, matrix)
        self._note(failed, all_failed=bool(np.isnan(future).all()))
        return answers(rows.keys, _built(asked, matrix, future, self.works_on))

    def _future(self, asked: Asked, matrix: Floats) -> tuple[Floats, list[str]]:
        """[series, step] forecasts after the newest known level (or *target value*), and which series failed."""
        panel = asked.panel
        count = _steps(asked, self.works_on)  # of each series its own: what others are asked cannot touch its answer
        future = np.full((len(panel.ids), int(count.max(initial=0))), np.nan)
        if not future.size:
            return future, []
        newest, steps = newest_column(matrix), np.maximum(1, count)
        skip = np.zeros_like(count) if self.works_on == "target" else panel.last - panel.first - newest
        rows = np.flatnonzero((np.bincount(asked.row, minlength=len(matrix)) > 0) & (newest >= 0))
        rows = rows[np.argsort((skip + steps)[rows], kind="stable")]  # those asked as far ahead stay together
        fits, failed = self._fits(), dict[int, str]()
        for chunk in (rows[start : start + ROWS] for start in range(0, len(rows), ROWS)):
            histories = Histories.of(matrix[chunk], panel.first, asked.season)
            places = fits.places(panel.ids)[chunk]
            path, told = fits.paths(places, histories, (skip + steps)[chunk])
            if asked.transform.is_volatility and self.works_on == "step":
                path = (path * path + fits.variance(places, histories)[:, None]) / 1e4
            failed |= {int(chunk[row]): f"{panel.ids[chunk[row]]}: {reason}" for row, reason in told.items()}
            step = np.arange(steps[chunk].max())
            column = np.minimum(skip[chunk, None] + step, path.shape[1] - 1)
            asked_for = step < steps[chunk, None]
            future[chunk, : len(step)] = np.where(asked_for, np.take_along_axis(path, column, axis=1), np.nan)
        return future, [failed[row] for row in sorted(failed)]

    def _fits(self) -> FittedPanel:
        """The present fits, with what was kept of them from one origin to the next."""
        if not self._panel.is_of(self.fitted):
            self._panel = FittedPanel(self.method, self.fitted)
        return self._panel

    def dump(self) -> str:
        """Parameters per series as JSON text; floats are written so that the same bits come back."""
        return json.dumps({"failed": self.failed, "fitted": self.fitted, "warnings": self.warnings}, sort_keys=True)

    def load(self, text: str) -> None:
        """Restore what `dump` wrote."""
        stored = json.loads(text)
        self.failed, self.fitted, self.warnings = stored["failed"], stored["fitted"], stored["warnings"]

    def joined(self, texts: Iterable[str]) -> str:
        """What `dump` would have written of all series, from what it wrote of some of them after the other."""
        fitted, caught, failed = dict[str, str](), list[str](), list[str]()
        for text in texts:
            part = dict(members(text))
            fitted.update(members(part["fitted"]))
            lines = json.loads(part["warnings"])
            place = len(lines) - int(part["failed"])
            caught += lines[:place]
            failed += lines[place:]
        told = {"failed": str(len(failed)), "warnings": json.dumps([*caught, *failed])}
        return object_text({"fitted": object_text(fitted), **told})

    def parted(self, text: str, groups: Iterable[Collection[str]]) -> Iterator[str]:
        """Of what `dump` wrote of all series, what `load` takes of each group of them; warnings are left out."""
        fitted = dict(members(text, text.index(FITTED) + len(FITTED)))
        for names in groups:
            some = object_text({name: fitted[name] for name in names if name in fitted})
            yield object_text({"failed": "0", "fitted": some, "warnings": "[]"})

    def told(self, text: str) -> list[str]:
        """The warnings in what `dump` wrote."""
        lines: list[str] = json.loads(text[text.rindex(WARNINGS) + len(WARNINGS) : -1])
        return lines


def _matrix(panel: TargetPanel, snapshot: Snapshot, works_on: WorksOn) -> Floats:
    """[series, period] what the model works on, on the columns of `panel`."""
    target = snapshot.target
    transform = target.transform if target is not None else Transform()
    if works_on == "target" or (works_on == "level" and transform.kind in ("level", "spread")):
        return panel.values
    if works_on == "step":
        return 100.0 * np.sqrt(panel.steps) if transform.is_volatility else panel.steps
    if transform.is_volatility:
        raise UserError("a realised volatility has no level to work on", fix='works_on = "step" or "target"')
    source = snapshot.panel(panel.ids[0])
    return source.levels(panel.ids, panel.first - source.first)


def _season(snapshot: Snapshot) -> int:
    return (snapshot.target.season or 1) if snapshot.target is not None else 1


def _newest(matrix: Floats, first: int) -> Floats:
    """[series] position of the newest known value, NaN where there is none."""
    column = newest_column(matrix)
    return np.where(column >= 0, first + column, np.nan)


def _steps(asked: Asked, works_on: WorksOn) -> Micros:
    """[series] steps that its farthest asked period needs after the newest known level (or *target value*)."""
    gap = asked.gap.astype(np.float64)
    if works_on == "target":
        gap = asked.position - _newest(asked.panel.values, asked.panel.first)[asked.row]
    known, out = ~np.isnan(gap), np.zeros(len(asked.panel.ids), dtype=np.int64)
    np.maximum.at(out, asked.row[known], gap[known].astype(np.int64))
    return out


def _built(asked: Asked, matrix: Floats, future: Floats, works_on: WorksOn) -> Floats:
    if works_on == "step":
        return assemble(asked, future)
    if works_on == "target":
        newest = _newest(asked.panel.values, asked.panel.first)
        return _stitched(asked, asked.panel.values, future, newest, offset=0)
    last = np.where(asked.panel.last == NO_POSITION, np.nan, asked.panel.last.astype(np.float64))
    end = _stitched(asked, matrix, future, last, offset=0)
    if asked.transform.kind in ("level", "spread"):
        return end
    start = _stitched(asked, matrix, future, last, offset=asked.transform.span)
    return apply_transform(replace(asked.transform, span=1), np.stack([start, end], axis=-1))[:, 1]


def _stitched(asked: Asked, matrix: Floats, future: Floats, newest: Floats, *, offset: int) -> Floats:
    """[asked] value `offset` periods before the target: known up to each series' `newest` position, forecast after."""
    position = asked.position - offset
    bound = newest[asked.row]
    nothing = np.isnan(bound)
    ahead = position - np.where(nothing, position, bound).astype(np.int64)
    known = cells(matrix, asked.row, position - asked.panel.first)
    return np.where(nothing, np.nan, np.where(ahead <= 0, known, cells(future, asked.row, ahead - 1)))
