"""External forecasts: the newest issue known at the origin answers, transformed inside its own path (S23)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from harness.core.frames import Rows
from harness.core.snapshot import Issue, Micros, Snapshot
from harness.core.time import MICROS_PER_DAY, Timeline, micros
from harness.core.transform import Floats, apply_transform
from harness.forecast.paths import Asked, answers, ask, ordinal_positions


@dataclass(frozen=True, slots=True)
class External:
    """Forecasts of one source.

    A target is answered only if its own period is in the path of the newest issue. Growth is taken between path
    values; a base period before the path's first period is the level known at the *issue*, never today's. Quantiles
    are passed on for level targets only: the growth of a path of quantiles is no quantile of growth.

    Attributes:
        source: name under which the forecasts were appended.
    """

    source: str

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        """Nothing is estimated here: the forecaster is elsewhere."""

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Answer every asked period that the newest issue of its series covers."""
        asked = ask(rows, snapshot)
        newest = newest_issues(snapshot, self.source)
        parts = [answers(rows.keys, _points(asked, newest))]
        if asked.transform.kind == "level":
            for level in sorted({float(q) for issue in newest.values() for q in issue.quantiles if not np.isnan(q)}):
                values = _points(asked, newest, quantile=level)
                parts.append(answers(rows.keys, values, quantile=level).filter(pl.col("value").is_not_null()))
        return pl.concat(parts)


def newest_issues(snapshot: Snapshot, source: str) -> dict[str, Issue]:
    """The newest issue of a source for each series, as known at the snapshot; of equal instants the last stored."""
    newest: dict[str, Issue] = {}
    for issue in snapshot.issues:
        if issue.source == source and issue.issued_at <= snapshot.known_at:
            held = newest.get(issue.series_id)
            if held is None or issue.issued_at >= held.issued_at:
                newest[issue.series_id] = issue
    return newest


def issue_age(snapshot: Snapshot, source: str, series_id: str) -> float | None:
    """Days (fractional) from the issue that answers for a series to the origin; None when nothing was issued."""
    issue = newest_issues(snapshot, source).get(series_id)
    return None if issue is None else (micros(snapshot.origin) - issue.issued_at) / MICROS_PER_DAY


def _points(asked: Asked, newest: dict[str, Issue], quantile: float | None = None) -> Floats:
    out = np.full(len(asked.row), np.nan)
    for row, series_id in enumerate(asked.panel.ids):
        mine = np.flatnonzero(asked.row == row)
        if not len(mine) or series_id not in newest or asked.transform.kind == "spread":
            continue
        first, stitched, covered = _stitched(newest[series_id], asked.panel.timeline, quantile)
        transformed = apply_transform(asked.transform, stitched)
        column = asked.position[mine] - first
        inside = (column >= 0) & (column < len(stitched))
        picked = np.clip(column, 0, max(0, len(stitched) - 1))
        if len(stitched):
            out[mine] = np.where(inside & covered[picked], transformed[picked], np.nan)
    return out


def _stitched(
    issue: Issue, timeline: Timeline, quantile: float | None
) -> tuple[int, Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """First position, levels [period] (known before the path starts, then the path) and which are of the path."""
    chosen = np.isnan(issue.quantiles) if quantile is None else issue.quantiles == quantile
    places, path = _on_timeline(timeline, issue.ordinals[chosen], issue.values[chosen])
    if not len(places):
        return 0, np.empty(0), np.empty(0, dtype=np.bool_)
    known_places, known = _on_timeline(timeline, issue.known_first + np.arange(len(issue.known)), issue.known)
    start = int(places.min())
    first = min([start, *known_places[:1].tolist()])
    levels = np.full(int(places.max()) - first + 1, np.nan)
    covered = np.zeros(len(levels), dtype=np.bool_)
    before = known_places < start
    levels[known_places[before] - first] = known[before]
    levels[places - first] = path
    covered[places - first] = True
    return first, levels, covered


def _on_timeline(timeline: Timeline, ordinals: Micros, values: Floats) -> tuple[Micros, Floats]:
    """Positions and values of the ordinals that are periods of a timeline; a day without a session is none."""
    places = ordinal_positions(timeline, ordinals)
    if timeline.sessions is None:
        return places, values
    true = (places >= 0) & (timeline.sessions[places] == ordinals)
    return places[true], values[true]
