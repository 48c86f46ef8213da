"""The forecaster of one series at a time, written plainly: series by series, each history from its start."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl

from harness.core.frames import Rows
from harness.core.snapshot import NO_POSITION, Snapshot, target_panel
from harness.core.transform import Floats
from harness.forecast.histories import Work
from harness.forecast.paths import Asked, answers, ask
from harness.forecast.univariate import Univariate, _built


class PlainUnivariate(Univariate):
    """The same fits, answered one after the other."""

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        asked = ask(rows, snapshot)
        panel, matrix = asked.panel, self._worked_on(snapshot)
        count = [self._steps(asked, row) for row in range(len(panel.ids))]
        future, failed = np.full((len(panel.ids), max(count)), np.nan), list[str]()
        for row in sorted(set(asked.row.tolist())) if future.size else ():
            work = _work(matrix[row], panel.first, asked.season)
            if work is None:
                continue
            newest = work.first + len(work.values) - 1
            skip, steps = 0 if self.works_on == "target" else int(panel.last[row]) - newest, max(1, count[row])
            try:
                future[row, :steps] = self._path(panel.ids[row], work, skip + steps, asked)[skip:]
            except ValueError as error:
                failed.append(f"{panel.ids[row]}: {error}")
        self._note(failed, all_failed=bool(np.isnan(future).all()))
        return answers(rows.keys, _built(asked, matrix, future, self.works_on))

    def _worked_on(self, snapshot: Snapshot) -> Floats:
        panel = target_panel(snapshot)
        assert snapshot.target is not None
        kind = snapshot.target.transform.kind
        if self.works_on == "target" or (self.works_on == "level" and kind == "level"):
            return panel.values
        if self.works_on == "step":
            return 100.0 * np.sqrt(panel.steps) if kind == "realised_volatility" else panel.steps
        source = snapshot.panel(panel.ids[0])
        return np.array([source.values[source.row(name), panel.first - source.first :] for name in panel.ids])

    def _steps(self, asked: Asked, row: int) -> int:
        last = int(asked.panel.last[row])
        if self.works_on == "target":
            known = np.flatnonzero(~np.isnan(asked.panel.values[row]))
            last = asked.panel.first + int(known[-1]) if len(known) else NO_POSITION
        gaps = [position - last for position in asked.position[asked.row == row].tolist()]
        return 0 if last == NO_POSITION else max([0, *gaps])

    def _path(self, series_id: str, work: Work, steps: int, asked: Asked) -> Floats:
        path, variance = self._projected(series_id, work, steps)
        if path is None:
            return np.full(steps, np.nan)
        if not np.isfinite(path).all():
            raise ValueError("the forecast path is not finite")
        if asked.transform.is_volatility and self.works_on == "step":
            return (path * path + variance) / 1e4
        return path

    def _projected(self, series_id: str, work: Work, steps: int) -> tuple[Floats | None, float]:
        known = work.values[~np.isnan(work.values)]
        if known.max() == known.min():
            return np.full(steps, work.values[-1]), 0.0
        fitted = self.fitted.get(series_id)
        if fitted is None:
            return None, 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.method.project(fitted, work, steps), float(str(fitted["variance"]))


def _work(row: Floats, first: int, season: int) -> Work | None:
    known = np.flatnonzero(~np.isnan(row))
    if len(known) < 2:
        return None
    return Work(np.array(row[known[0] : known[-1] + 1]), first + int(known[0]), season)
