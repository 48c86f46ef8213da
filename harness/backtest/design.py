"""Frozen feature rows: one forward replay writes what every (pseudo-)origin knew, once, and nobody recomputes it."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan, TrainingSet, training_labels
from harness.core.frames import KEY_SCHEMA, Rows
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Snapshot
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.forecast.features import Targets, feature_names, feature_rows

Floats = NDArray[np.float64]


def build_design(plan: Plan, changes: ChangeFile) -> Floats:
    """Feature values of all origins: [origin, series, horizon, feature], each row frozen at its own origin (law 3)."""
    experiment = plan.experiment
    names = feature_names(experiment.features)
    shape = (len(plan.instants), len(experiment.target.series), len(experiment.horizons), len(names))
    design = np.full(shape, np.nan)
    if not names:
        return design
    replay = Replay(
        changes, plan.inputs, latency=experiment.origins.latency, exclude_hindsight=experiment.exclude_hindsight
    )
    for row, moment in enumerate(plan.instants):
        replay.advance(moment)
        snapshot = replay.snapshot(experiment.target, copy=False)
        targets = Targets(experiment.target.series, experiment.horizons, plan.end_days[row])
        design[row] = feature_rows(snapshot, experiment.features, targets)
    return design


def columns_of(blocks: tuple[FeatureBlock, ...], all_blocks: tuple[FeatureBlock, ...]) -> list[int]:
    """Columns of the design that a recipe's blocks occupy, in the recipe's order."""
    place = {name: column for column, name in enumerate(feature_names(all_blocks))}
    return [place[name] for name in feature_names(blocks)]


class RowBuilder:
    """Cuts training and forecast rows of one recipe out of the design."""

    def __init__(self, plan: Plan, design: Floats, blocks: tuple[FeatureBlock, ...]) -> None:
        self.plan = plan
        self.design = design
        self.columns = columns_of(blocks, plan.experiment.features)
        self.names = feature_names(blocks)

    def training(self, origin: int, sets: dict[int, TrainingSet], snapshot: Snapshot) -> Rows:
        """Matured rows of the given horizons (index -> set) at one origin, in order of horizon, origin, series."""
        parts = [(horizon, some.origins, some.series) for horizon, some in sorted(sets.items())]
        horizons = np.concatenate([np.full(len(rows), horizon) for horizon, rows, _ in parts])
        origins = np.concatenate([rows for _, rows, _ in parts])
        series = np.concatenate([who for _, _, who in parts])
        labels = training_labels(self.plan, (origins, series, horizons), snapshot)
        there = ~np.isnan(labels)
        rows = self._rows(origins[there], series[there], horizons[there])
        return Rows(rows.X, rows.keys, labels[there])

    def realised(self, sets: dict[int, TrainingSet]) -> Rows:
        """Rows labelled with their pinned outcomes, whenever these mature: for studies of what a leak is worth."""
        parts = [(horizon, some.origins, some.series, some.requests) for horizon, some in sorted(sets.items())]
        horizons = np.concatenate([np.full(len(rows), horizon) for horizon, rows, _, _ in parts])
        origins, series, requests = (np.concatenate([part[place] for part in parts]) for place in (1, 2, 3))
        rows = self._rows(origins, series, horizons)
        return Rows(rows.X, rows.keys, self.plan.outcomes.value[series, requests])

    def asked(self, origin: int, series: NDArray[np.int64], horizons: NDArray[np.int64]) -> Rows:
        """Rows to be forecast at one origin."""
        return self._rows(np.full(len(series), origin), series, horizons)

    def _rows(self, origins: NDArray[np.int64], series: NDArray[np.int64], horizons: NDArray[np.int64]) -> Rows:
        values = self.design[origins, series, horizons][:, self.columns]
        features = pl.DataFrame({name: values[:, place] for place, name in enumerate(self.names)})
        return Rows(features, _keys(self.plan, origins, series, horizons))


def _keys(
    plan: Plan, origins: NDArray[np.int64], series: NDArray[np.int64], horizons: NDArray[np.int64]
) -> pl.DataFrame:
    moments: list[datetime] = [plan.instants[row] for row in origins]
    steps = np.array(plan.experiment.horizons, dtype=np.int32)
    return pl.DataFrame(
        {
            "series_id": [plan.experiment.target.series[row] for row in series],
            "pseudo_origin": moments,
            "horizon": steps[horizons],
            "period": plan.end_days[origins, horizons].astype("datetime64[D]"),
        },
        schema=KEY_SCHEMA,
    )
