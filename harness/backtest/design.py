"""Feature rows: one forward replay writes what every (pseudo-)origin knew, once; recipes cut their rows out of it.

Training rows are these frozen ones, unless the experiment asks for rows of the latest vintage (`latest_rows`).
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.latest_rows import LatestRows
from harness.backtest.splits import Integers, Plan, TrainingSet, training_labels
from harness.core.frames import KEY_SCHEMA, Rows
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Snapshot
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.forecast.features import Targets, feature_names, feature_rows

Floats = NDArray[np.float64]


def build_design(plan: Plan, changes: ChangeFile, *, last: int | None = None) -> Floats:
    """Feature values of all origins: [origin, series, horizon, feature], each row frozen at its own origin (law 3).

    Args:
        plan: the plan.
        changes: the changes.
        last: index of the last origin whose rows are wanted (those after it stay missing); None = of all.
    """
    experiment = plan.experiment
    names = feature_names(experiment.features)
    shape = (len(plan.instants), len(experiment.target.series), len(experiment.horizons), len(names))
    design = np.full(shape, np.nan)
    if not names:
        return design
    replay = Replay(
        changes, plan.inputs, latency=experiment.origins.latency, exclude_hindsight=experiment.exclude_hindsight
    )
    for row, moment in enumerate(plan.instants[: None if last is None else last + 1]):
        replay.advance(moment)
        snapshot = replay.snapshot(experiment.target, copy=False)
        targets = Targets(plan.members.names(row), experiment.horizons, plan.end_days[row])
        design[row, plan.members.rows(row)] = feature_rows(snapshot, experiment.features, targets)
    return design


def columns_of(blocks: tuple[FeatureBlock, ...], all_blocks: tuple[FeatureBlock, ...]) -> list[int]:
    """Columns of the design that a recipe's blocks occupy, in the recipe's order."""
    place = {name: column for column, name in enumerate(feature_names(all_blocks))}
    return [place[name] for name in feature_names(blocks)]


class RowBuilder:
    """Training and forecast rows of one recipe: cut out of the design, or rebuilt where the experiment says so."""

    def __init__(self, plan: Plan, design: Floats, blocks: tuple[FeatureBlock, ...], changes: ChangeFile) -> None:
        """Take a recipe's columns.

        Args:
            plan: the plan.
            design: frozen feature values, [origin, series, horizon, feature].
            blocks: the recipe's feature blocks, in its order.
            changes: the changes; looked into only where training rows are those of the latest vintage.
        """
        self.plan = plan
        self.latest = LatestRows(plan, blocks, changes) if plan.experiment.vintage == "latest" and blocks else None
        self.design = design
        self.columns = columns_of(blocks, plan.experiment.features)
        self.names = feature_names(blocks)

    def training(
        self, origin: int, sets: dict[int, TrainingSet], snapshot: Snapshot, labels: Snapshot | None = None
    ) -> Rows:
        """Matured rows of the given horizons at one refit origin, in order of horizon, origin, series.

        Args:
            origin: index of the refit origin.
            sets: index of the horizon -> its rows.
            snapshot: what is known at the refit origin: labels under `latest` are read in it, and rows of the latest
                vintage are made of it.
            labels: where labels under `latest` are read instead (studies that alter what is known).
        """
        parts = [(horizon, some.origins, some.series) for horizon, some in sorted(sets.items())]
        horizons = np.concatenate([np.full(len(rows), horizon) for horizon, rows, _ in parts])
        origins = np.concatenate([rows for _, rows, _ in parts])
        series = np.concatenate([who for _, _, who in parts])
        matured = training_labels(self.plan, (origins, series, horizons), labels or snapshot)
        there = ~np.isnan(matured)
        chosen = origins[there], series[there], horizons[there]
        values = self._frozen(*chosen) if self.latest is None else self.latest.training(*chosen, snapshot)
        rows = self._rows(values, *chosen)
        return Rows(rows.X, rows.keys, matured[there])

    def matured(self, sets: dict[int, TrainingSet], known: Snapshot) -> Rows:
        """Rows as they were asked at their own origins, with labels known later: what inner fits are judged on.

        Args:
            sets: index of the horizon -> its rows.
            known: labels under `latest` are read in it.
        """
        parts = [(horizon, some.origins, some.series) for horizon, some in sorted(sets.items())]
        horizons = np.concatenate([np.full(len(rows), horizon) for horizon, rows, _ in parts])
        origins, series = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
        rows = self._rows(self._frozen(origins, series, horizons), origins, series, horizons)
        return Rows(rows.X, rows.keys, training_labels(self.plan, (origins, series, horizons), known))

    def realised(self, sets: dict[int, TrainingSet]) -> Rows:
        """Rows labelled with their pinned outcomes, whenever these mature: for studies of what a leak is worth."""
        parts = [(horizon, some.origins, some.series, some.requests) for horizon, some in sorted(sets.items())]
        horizons = np.concatenate([np.full(len(rows), horizon) for horizon, rows, _, _ in parts])
        origins, series, requests = (np.concatenate([part[place] for part in parts]) for place in (1, 2, 3))
        rows = self._rows(self._frozen(origins, series, horizons), origins, series, horizons)
        return Rows(rows.X, rows.keys, self.plan.outcomes.value[series, requests])

    def asked(self, origin: int, series: Integers, horizons: Integers) -> Rows:
        """Rows to be forecast at one origin: what is known there, whatever training rows are made of."""
        origins = np.full(len(series), origin)
        return self._rows(self._frozen(origins, series, horizons), origins, series, horizons)

    def _frozen(self, origins: Integers, series: Integers, horizons: Integers) -> Floats:
        values: Floats = self.design[origins, series, horizons][:, self.columns]
        return values

    def _rows(self, values: Floats, origins: Integers, series: Integers, horizons: Integers) -> Rows:
        features = pl.DataFrame({name: values[:, place] for place, name in enumerate(self.names)})
        return Rows(features, _keys(self.plan, origins, series, horizons))


def _keys(plan: Plan, origins: Integers, series: Integers, horizons: Integers) -> pl.DataFrame:
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
