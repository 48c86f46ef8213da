"""Snapshots, asked rows and training rows for forecasters, made by hand from lists of levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from harness.core.frames import KEY_SCHEMA, Rows
from harness.core.recipe import Target
from harness.core.series import Series
from harness.core.snapshot import Issue, Panel, Snapshot
from harness.core.time import NEVER, Timeline, micros, parse_frequency, period_containing, period_end
from harness.core.transform import Floats, Transform

GAP = float("nan")
ORIGIN = datetime(2020, 3, 31, 17, tzinfo=UTC)
LEVEL = Transform()


def made(
    levels: Mapping[str, Sequence[float]],
    transform: Transform = LEVEL,
    *,
    season: int = 4,
    frequency: str = "Q",
    target: Sequence[str] = (),
    issues: tuple[Issue, ...] = (),
) -> Snapshot:
    """Levels by series, oldest first; the origin lies in the period after the last column."""
    parsed = parse_frequency(frequency)
    values = np.array(list(levels.values()), dtype=np.float64).reshape(len(levels), -1)
    stamps = np.where(np.isnan(values), NEVER, micros(ORIGIN) - 86_400_000_000)
    first = period_containing(parsed, ORIGIN.date()) - values.shape[1]
    panel = Panel(tuple(levels), Timeline(parsed), first, values, stamps, stamps.copy())
    declared = {name: Series(id=name, frequency=frequency) for name in levels}
    wanted = Target(tuple(target) or tuple(levels), transform, season=season)
    return Snapshot(ORIGIN, micros(ORIGIN), (panel,), declared, wanted, issues)


def target_end(snapshot: Snapshot, horizon: int) -> date:
    """Last day of the period asked for at a horizon; of a window's last session for volatility."""
    assert snapshot.target is not None
    frequency = snapshot.panels[0].timeline.frequency
    transform = snapshot.target.transform
    extra = transform.span - 1 if transform.is_volatility else 0
    return period_end(frequency, period_containing(frequency, snapshot.origin.date()) + horizon + extra)


def asked(snapshot: Snapshot, horizons: Sequence[int], *, features: int = 0, seed: int = 5) -> Rows:
    """One row per target series and horizon, with random features."""
    assert snapshot.target is not None
    keys = pl.DataFrame(
        [
            {
                "series_id": name,
                "pseudo_origin": snapshot.origin,
                "horizon": horizon,
                "period": target_end(snapshot, horizon),
            }
            for name in snapshot.target.series
            for horizon in horizons
        ],
        schema=KEY_SCHEMA,
    )
    return Rows(_features(keys.height, features, seed), keys)


def training(snapshot: Snapshot, horizons: Sequence[int], *, count: int, features: int = 3, seed: int = 6) -> Rows:
    """`count` matured rows per series and horizon; the label is a noisy sum of the features."""
    assert snapshot.target is not None
    keys = pl.DataFrame(
        [
            {
                "series_id": name,
                "pseudo_origin": datetime(2000 + place // 12, place % 12 + 1, 28, tzinfo=UTC),
                "horizon": horizon,
                "period": date(2000 + place // 12, place % 12 + 1, 28),
            }
            for name in snapshot.target.series
            for horizon in horizons
            for place in range(count)
        ],
        schema=KEY_SCHEMA,
    )
    table = _features(keys.height, features, seed)
    noise = np.random.default_rng(seed + 1).normal(size=keys.height)
    return Rows(table, keys, table.to_numpy().sum(axis=1) + 0.1 * noise)


def _features(rows: int, features: int, seed: int) -> pl.DataFrame:
    values = np.random.default_rng(seed).normal(size=(rows, features))
    return pl.DataFrame({f"own.latest_{k + 1}": values[:, k] for k in range(features)})


def wave(length: int, *, seed: int = 0, season: int = 4) -> list[float]:
    """Positive levels with persistent, seasonal growth."""
    rng = np.random.default_rng(seed)
    growth, out = 0.0, []
    level = 100.0
    for place in range(length):
        growth = 0.5 * growth + 0.4 * float(rng.normal())
        level *= float(np.exp((growth + 0.6 + 0.5 * ((place % season) == 0)) / 100.0))
        out.append(level)
    return out


def points(answer: pl.DataFrame) -> list[float | None]:
    """Point values by (series, horizon)."""
    return answer.filter(pl.col("quantile").is_null()).sort("series_id", "horizon")["value"].to_list()


def column(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
