"""Feature rows: one forward replay writes what every (pseudo-)origin knew, once; recipes cut their rows out of it.

Training rows are these frozen ones, unless the experiment asks for rows of the latest vintage (`latest_rows`).
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.at_once import filled_at_once, replayed
from harness.backtest.latest_rows import LatestRows
from harness.backtest.splits import Integers, Plan, TrainingSet, training_labels
from harness.core.frames import CutRows, RowKeys, Rows
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Snapshot
from harness.core.time import micros
from harness.data.changes import ChangeFile
from harness.forecast.features import Targets, feature_names, feature_rows

Floats = NDArray[np.float64]
CHUNK = 1 << 16
"""Rows copied at a time, to bound the working memory."""
SPARSE = 8
"""Possible rows per row there is above which rows are sorted instead of counted."""


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
    if names:
        count = len(plan.instants) if last is None else last + 1
        walked = filled_at_once(plan, changes, design[:count])
        if walked:
            _walk(plan, changes, design[:count], walked)
    return design


def _walk(plan: Plan, changes: ChangeFile, design: Floats, blocks: tuple[FeatureBlock, ...]) -> None:
    """Write the columns of some blocks, origin after origin, each from the snapshot of its own."""
    experiment, replay = plan.experiment, replayed(plan, changes)
    columns = columns_of(blocks, experiment.features)
    for row, moment in enumerate(plan.instants[: len(design)]):
        replay.advance(moment)
        snapshot = replay.snapshot(experiment.target, copy=False)
        targets = Targets(plan.members.names(row), experiment.horizons, plan.end_days[row])
        asked = design[row, plan.members.rows(row)]
        asked[..., columns] = feature_rows(snapshot, blocks, targets)
        design[row, plan.members.rows(row)] = asked


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
        if self.latest is not None:
            rows = self._rows(self.latest.training(*chosen, snapshot), *chosen)
            return Rows(rows.X, rows.keys, matured[there])
        return self._cut(*chosen, matured[there])

    def matured(self, sets: dict[int, TrainingSet], known: Snapshot) -> Rows:
        """Rows as they were asked at their own origins, with labels known later: what inner fits are judged on.

        Args:
            sets: index of the horizon -> its rows.
            known: labels under `latest` are read in it.
        """
        parts = [(horizon, some.origins, some.series) for horizon, some in sorted(sets.items())]
        horizons = np.concatenate([np.full(len(rows), horizon) for horizon, rows, _ in parts])
        origins, series = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
        return self._cut(origins, series, horizons, training_labels(self.plan, (origins, series, horizons), known))

    def realised(self, sets: dict[int, TrainingSet]) -> Rows:
        """Rows labelled with their pinned outcomes, whenever these mature: for studies of what a leak is worth."""
        parts = [(horizon, some.origins, some.series, some.requests) for horizon, some in sorted(sets.items())]
        horizons = np.concatenate([np.full(len(rows), horizon) for horizon, rows, _, _ in parts])
        origins, series, requests = (np.concatenate([part[place] for part in parts]) for place in (1, 2, 3))
        return self._cut(origins, series, horizons, self.plan.outcomes.value[series, requests])

    def asked(self, origin: int, series: Integers, horizons: Integers) -> Rows:
        """Rows to be forecast at one origin: what is known there, whatever training rows are made of."""
        origins = np.full(len(series), origin)
        return self._cut(origins, series, horizons)

    def _cut(self, origins: Integers, series: Integers, horizons: Integers, y: Floats | None = None) -> Rows:
        """Frozen rows, copied out of the design once: what nobody asked for does not reach a forecaster."""
        order = _sorted(self.plan, origins, series, horizons)
        cells = np.empty((len(order), len(self.columns)))
        flat = self.design.reshape(math.prod(self.design.shape[:-1]), self.design.shape[-1])
        place = np.ravel_multi_index((origins[order], series[order], horizons[order]), self.design.shape[:-1])
        whole = self.columns == list(range(flat.shape[1]))
        for start in range(0, len(order), CHUNK):
            part = slice(start, start + CHUNK)
            taken = np.take(flat, place[part], axis=0)
            cells[part] = taken if whole else taken[:, self.columns]
        return CutRows(self.names, row_keys(self.plan, origins, series, horizons), order, cells, y)

    def _rows(self, values: Floats, origins: Integers, series: Integers, horizons: Integers) -> Rows:
        features = pl.DataFrame({name: values[:, place] for place, name in enumerate(self.names)})
        return Rows(features, row_keys(self.plan, origins, series, horizons).frame())


def _sorted(plan: Plan, origins: Integers, series: Integers, horizons: Integers) -> Integers:
    """Places of rows by (horizon, series id, pseudo-origin)."""
    ids, steps = plan.experiment.target.series, plan.experiment.horizons
    rank, step = np.argsort(np.argsort(np.array(ids))), np.argsort(np.argsort(steps))
    size = len(steps) * len(ids) * len(plan.instants)
    key = (step[horizons] * len(ids) + rank[series]) * len(plan.instants) + origins
    if size > SPARSE * len(key):
        return np.argsort(key, kind="stable").astype(np.int64)
    row = np.full(size, -1, dtype=np.int64)  # as good as full: counting is faster than sorting
    row[key] = np.arange(len(key))
    return row[row >= 0]


def row_keys(plan: Plan, origins: Integers, series: Integers, horizons: Integers) -> RowKeys:
    """Keys of rows given as indices [row] of origin, series and horizon."""
    steps = np.array(plan.experiment.horizons, dtype=np.int64)
    ends = plan.end_days[origins, horizons]
    if len(origins) and (origins == origins[0]).all():  # rows asked at one origin
        moments = np.full(len(origins), micros(plan.instants[int(origins[0])]), dtype=np.int64)
        return RowKeys(plan.experiment.target.series, series, moments, steps[horizons], ends)
    instants = np.zeros(len(plan.instants), dtype=np.int64)
    for row in np.flatnonzero(np.bincount(origins, minlength=len(instants))).tolist():
        instants[row] = micros(plan.instants[row])
    return RowKeys(plan.experiment.target.series, series, instants[origins], steps[horizons], ends)
