"""Feature rows: one forward replay writes what every (pseudo-)origin knew, once; recipes cut their rows out of it.

Training rows are these frozen ones, unless the experiment asks for rows of the latest vintage (`latest_rows`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.at_once import filled_at_once, replayed
from harness.backtest.latest_rows import LatestRows
from harness.backtest.layout import Sheet, compact, compact_sheet, number_type, plain, plain_sheet
from harness.backtest.splits import Integers, Plan, TrainingSet, narrow, training_labels
from harness.backtest.table_file import let_go, new_table
from harness.core.frames import Cells, CutRows, RowKeys, Rows
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Snapshot
from harness.core.time import micros
from harness.data.changes import ChangeFile
from harness.forecast.features import Targets, feature_names, feature_rows

Floats = NDArray[np.float64]
PLAIN = 4
"""Dimensions of a design in the plain form."""
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
    count = len(plan.instants) if last is None else last + 1
    _fill(plan, changes, plain_sheet(design[:count]))
    return design


def build_rows(plan: Plan, changes: ChangeFile, file: Path | None = None) -> Floats:
    """The same numbers, kept once: [series, stored origin, column] as `layout.compact` says; what a run works with.

    Rows are trained on series by series: so they lie side by side.

    Args:
        plan: the plan.
        changes: the changes.
        file: where the table is to lie; None = in memory.

    Raises:
        OSError: the disk is too full for it.
    """
    layout = compact(plan)
    shape = (len(plan.experiment.target.series), len(layout.origins), layout.width)
    number = number_type(plan.experiment)
    table = np.empty(shape, dtype=number) if file is None or not math.prod(shape) else new_table(file, shape, number)
    if file is not None and not table.size:
        np.save(file, table)
    _fill(plan, changes, compact_sheet(layout, table))
    let_go(table)
    return table


def _fill(plan: Plan, changes: ChangeFile, sheet: Sheet) -> None:
    if sheet.columns:
        walked = filled_at_once(plan, changes, sheet)
        if walked:
            _walk(plan, changes, sheet, walked)


def _walk(plan: Plan, changes: ChangeFile, sheet: Sheet, blocks: tuple[FeatureBlock, ...]) -> None:
    """Write the columns of some blocks, origin after origin, each from the snapshot of its own."""
    experiment, replay = plan.experiment, replayed(plan, changes)
    columns = [sheet.columns[place] for place in columns_of(blocks, experiment.features)]
    for column in columns:  # series that are no members at an origin have nothing there
        column[...] = np.nan
    for row, origin in enumerate(sheet.origins.tolist()):
        replay.advance(plan.instants[origin])
        snapshot = replay.snapshot(experiment.target, copy=False)
        targets = Targets(plan.members.names(origin), experiment.horizons, plan.end_days[origin])
        values = feature_rows(snapshot, blocks, targets)  # [member, horizon, column]
        members = plan.members.rows(origin)
        for place, column in enumerate(columns):
            column[row, members] = values[:, : column.shape[2], place]


def columns_of(blocks: tuple[FeatureBlock, ...], all_blocks: tuple[FeatureBlock, ...]) -> list[int]:
    """Columns of the design that a recipe's blocks occupy, in the recipe's order."""
    place = {name: column for column, name in enumerate(feature_names(all_blocks))}
    return [place[name] for name in feature_names(blocks)]


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    """Where the frozen rows of a recipe stand.

    Attributes:
        table: [cell, column] values.
        columns: [horizon, feature] columns of the recipe's features.
        origins: [origin] its place in the table, -1 = none.
        apart: cells from one origin to the next, and from one series to the next.
    """

    table: Floats
    columns: Integers
    origins: Integers
    apart: tuple[int, int]


class RowBuilder:
    """Training and forecast rows of one recipe: cut out of the design, or rebuilt where the experiment says so."""

    def __init__(self, plan: Plan, design: Floats, blocks: tuple[FeatureBlock, ...], changes: ChangeFile) -> None:
        """Take a recipe's columns.

        Args:
            plan: the plan.
            design: frozen feature values, as `build_design` or `build_rows` makes them.
            blocks: the recipe's feature blocks, in its order.
            changes: the changes; looked into only where training rows are those of the latest vintage.
        """
        self.plan = plan
        self.latest = LatestRows(plan, blocks, changes) if plan.experiment.vintage == "latest" and blocks else None
        self.names = feature_names(blocks)
        self._design, self._blocks = design, blocks

    @cached_property
    def _stored(self) -> _Stored:
        """Where rows stand: found out once any are cut, which naive rivals never ask for."""
        plan, design = self.plan, self._design
        if design.ndim == PLAIN:
            table, layout = plain(plan, design)
            apart = (table.shape[1], 1)
        else:
            table, layout = design, compact(plan)
            apart = (1, table.shape[1])
        columns = layout.columns[:, columns_of(self._blocks, plan.experiment.features)]
        cells = table.reshape(math.prod(table.shape[:2]), table.shape[2])
        return _Stored(cells, columns, layout.rows(len(plan.instants)), apart)

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
        origins, series, horizons = _joined(sets)
        matured = training_labels(self.plan, (origins, series, horizons), labels or snapshot)
        there = ~np.isnan(matured)
        if not there.all():
            origins, series, horizons, matured = origins[there], series[there], horizons[there], matured[there]
        if self.latest is not None:
            rows = self._rows(self.latest.training(origins, series, horizons, snapshot), origins, series, horizons)
            return Rows(rows.X, rows.keys, matured)
        return self._cut(origins, series, horizons, matured)

    def matured(self, sets: dict[int, TrainingSet], known: Snapshot) -> Rows:
        """Rows as they were asked at their own origins, with labels known later: what inner fits are judged on.

        Args:
            sets: index of the horizon -> its rows.
            known: labels under `latest` are read in it.
        """
        origins, series, horizons = _joined(sets)
        return self._cut(origins, series, horizons, training_labels(self.plan, (origins, series, horizons), known))

    def realised(self, sets: dict[int, TrainingSet]) -> Rows:
        """Rows labelled with their pinned outcomes, whenever these mature: for studies of what a leak is worth."""
        origins, series, horizons = _joined(sets)
        requests = np.concatenate([some.requests for _, some in sorted(sets.items())])
        return self._cut(origins, series, horizons, self.plan.outcomes.value[series, requests])

    def asked(self, origin: int, series: Integers, horizons: Integers) -> Rows:
        """Rows to be forecast at one origin: what is known there, whatever training rows are made of."""
        origins = np.full(len(series), origin)
        return self._cut(origins, series, horizons)

    def _cut(self, origins: Integers, series: Integers, horizons: Integers, y: Floats | None = None) -> Rows:
        """Frozen rows, read out of the table when they are asked for."""
        order = _sorted(self.plan, origins, series, horizons)
        table = self._stored.table
        cells = Cells(table, self._cells(origins, series, order), self._stored.columns, partial(let_go, table))
        return CutRows(self.names, row_keys(self.plan, origins, series, horizons), order, cells, y)

    def _cells(self, origins: Integers, series: Integers, order: Integers) -> Integers:
        """[place] cells of rows in an order."""
        at = self._stored
        cell: Integers = places(at.origins, at.apart, len(at.table), origins, series)[order]
        return cell

    def _rows(self, values: Floats, origins: Integers, series: Integers, horizons: Integers) -> Rows:
        features = pl.DataFrame({name: values[:, place] for place, name in enumerate(self.names)})
        return Rows(features, row_keys(self.plan, origins, series, horizons).frame())


def places(stored: Integers, apart: tuple[int, int], count: int, origins: Integers, series: Integers) -> Integers:
    """[row] cells of rows, in as few bytes as hold every cell.

    Args:
        stored: [origin] its place in the table, -1 = none.
        apart: cells from one origin to the next, and from one series to the next.
        count: cells of the table.
        origins: [row] indices.
        series: [row] indices.

    Raises:
        IndexError: a row's origin is not stored.
    """
    small = np.min_scalar_type(-(count + 1))  # holds the count itself, by which series may lie apart
    cell: Integers = stored.astype(small)[origins]
    if len(cell) and cell.min() < 0:
        raise IndexError("a row was asked for whose origin is not stored")
    cell *= small.type(apart[0])
    cell += series.astype(small, copy=False) * small.type(apart[1])
    return cell


def _joined(sets: dict[int, TrainingSet]) -> tuple[Integers, Integers, Integers]:
    """[row] origins, series and horizons of the rows of some horizons; of a single one no copy is made."""
    parts = sorted(sets.items())
    if len(parts) == 1:
        (horizon, some) = parts[0]
        return some.origins, some.series, np.broadcast_to(np.int64(horizon), some.origins.shape)
    horizons = np.concatenate([np.full(len(some.origins), horizon) for horizon, some in parts])
    origins, series = (np.concatenate([getattr(some, name) for _, some in parts]) for name in ("origins", "series"))
    return origins, series, horizons


def _sorted(plan: Plan, origins: Integers, series: Integers, horizons: Integers) -> Integers:
    """Places of rows by (horizon, series id, pseudo-origin)."""
    ids, steps = plan.experiment.target.series, plan.experiment.horizons
    size = len(steps) * len(ids) * len(plan.instants)
    rank = np.argsort(np.argsort(np.array(ids))) * len(plan.instants)
    step = np.argsort(np.argsort(steps)) * (len(ids) * len(plan.instants))
    reach = np.int32 if size <= np.iinfo(np.int32).max else np.int64
    key: Integers = rank.astype(reach)[series]  # type: ignore[assignment]
    key += step.astype(key.dtype)[horizons]
    key += origins.astype(key.dtype)
    if size > SPARSE * len(key):
        return narrow(np.argsort(key, kind="stable"))
    row = np.full(size, -1, dtype=key.dtype)  # as good as full: counting is faster than sorting
    row[key] = np.arange(len(key), dtype=key.dtype)
    return row[row >= 0]


def row_keys(plan: Plan, origins: Integers, series: Integers, horizons: Integers) -> RowKeys:
    """Keys of rows given as indices [row] of origin, series and horizon."""
    steps = np.array(plan.experiment.horizons, dtype=np.int64)
    instants = np.zeros(len(plan.instants), dtype=np.int64)
    for row in np.flatnonzero(np.bincount(origins, minlength=len(instants))).tolist():
        instants[row] = micros(plan.instants[row])
    return RowKeys(plan.experiment.target.series, series, origins, horizons, instants, steps, plan.end_days)
