"""From cells and outcomes to the score tables, in blocks of series: no row of a panel is ever written out in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.scales import Scales
from harness.backtest.splits import Plan
from harness.core.names import names_of
from harness.core.recipe import Recipe
from harness.core.time import NEVER, micros
from harness.core.transform import Floats
from harness.forecast.catalog import reference_name
from harness.record.cells import Cell
from harness.record.memory import give_back
from harness.record.panel_cells import STATUSES as OF_CELLS
from harness.record.panel_cells import PanelAnswers
from harness.score.dense import Block, Entrant, Stage, differences, series_rows, tables
from harness.score.grid import STATUSES
from harness.score.power import SeenDifference
from harness.score.spec import ScoreSpec
from harness.score.tables import ScoreTables

Integers = NDArray[np.int64]
FOREVER = int(np.iinfo(np.int64).max)
Codes = NDArray[np.uint8]
Spans = Mapping[str, tuple[int | None, int | None]]
BLOCK_CELLS = 1 << 20
"""(origin, horizon, series) cells of a block: what is held of every model at a time."""
HELD = 4
"""Blocks after which what was read of mapped cells is given back."""
OPEN = 200
"""Mapped cells up to which all of them stay open; of more each is opened anew, block by block, since files run out."""
OK, FALLBACK, FAILED, ABSTAINED, NOT_ISSUED, MISSING, ALREADY_PUBLIC = map(
    STATUSES.index, ("ok", "fallback", "failed", "abstained", "not_issued", "missing", "already_public")
)
_CODE = np.array([STATUSES.index(word) if word in STATUSES else MISSING for word in OF_CELLS], dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What is scored.

    Attributes:
        plan: of the cells.
        cells: of every model, one per issued origin.
        spans: first and last instant of issue (microseconds UTC) an external is held to; None = no limit.
        declared: first and last instant outside which an external counts as not issued, where it declares them.
        scales: of MASE and RMSSE, by series of the target.
    """

    plan: Plan
    cells: Mapping[str, list[Cell]]
    spans: Spans
    declared: Spans
    scales: Scales


def panel_tables(panel: Panel, spec: ScoreSpec, *, by_series: bool = True, threads: int = 1) -> ScoreTables:
    """All score tables of a run, to the bit those of its tidy rows.

    Args:
        panel: what is scored.
        spec: how.
        by_series: with the rows of each series.
        threads: horizons worked on at the same time; the bits do not depend on it.

    Raises:
        DataError: cells that cannot be laid on one planned grid.
    """
    stage, view = _staged(panel, spec)
    return tables(stage, view.blocks, by_series=by_series, threads=threads)


def series_scores(panel: Panel, spec: ScoreSpec) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows of each series of `scores` and `common_sample`, in bounded parts: by block of series, then horizon.

    Args:
        panel: what is scored.
        spec: how.

    Raises:
        DataError: cells that cannot be laid on one planned grid.
    """
    stage, view = _staged(panel, spec)
    return series_rows(stage, view.blocks)


def seen_of(panel: Panel, spec: ScoreSpec, model: str) -> tuple[SeenDifference, ...]:
    """Loss differences of one model with every rival per horizon; a pair with an infinite loss is left out there.

    Args:
        panel: what is scored.
        spec: how.
        model: the model.

    Raises:
        DataError: cells that cannot be laid on one planned grid.
    """
    stage, view = _staged(panel, spec)
    return differences(stage, view.blocks, model)


def _staged(panel: Panel, spec: ScoreSpec) -> tuple[Stage, _View]:
    plan, experiment = panel.plan, panel.plan.experiment
    scored = range(plan.first_scored, len(plan.instants))
    origins = np.array([micros(plan.instants[origin]) for origin in scored], dtype=np.int64)
    steps = np.argsort(np.array(experiment.horizons), kind="stable")
    models = tuple(
        Entrant(recipe.name, recipe.rival, _inside(panel.spans.get(recipe.name, (None, None)), origins))
        for recipe in sorted(experiment.models, key=lambda one: one.name)
    )
    stage = Stage(spec, np.array(experiment.horizons, dtype=np.int64)[steps], origins, models)
    return stage, _View(panel, np.array(scored, dtype=np.int64), steps)


def _inside(span: tuple[int | None, int | None], origins: Integers) -> NDArray[np.bool_]:
    first, last = span
    inside = np.ones(len(origins), dtype=bool)
    if first is not None:
        inside &= origins >= first
    if last is not None:
        inside &= origins <= last
    return inside


class _View:
    """The panel as blocks of series, in ascending order of their ids."""

    def __init__(self, panel: Panel, scored: Integers, steps: Integers) -> None:
        self.panel, self.plan, self.scored, self.steps = panel, panel.plan, scored, steps
        self.names = names_of(self.plan.experiment.target.series)
        ascending = all(one < other for one, other in zip(self.names, self.names[1:], strict=False))
        count = np.arange(len(self.names), dtype=np.int64)
        self.order = count if ascending else np.array(sorted(count, key=self.names.__getitem__), dtype=np.int64)
        self.turn = slice(None) if (np.diff(steps, prepend=-1) == 1).all() else steps
        self.recipes = {recipe.name: recipe for recipe in self.plan.experiment.models}
        self.spread: dict[tuple[str, int], tuple[Floats, Codes]] = {}
        self.opened: dict[tuple[str, int], PanelAnswers] = {}
        self.mapped = sum(callable(cell.given) for mine in panel.cells.values() for cell in mine)

    def blocks(self) -> Iterator[Block]:
        """The blocks."""
        wide = 1 if self.mapped <= OPEN else 4  # whatever is opened anew is opened seldom
        width = max(1, wide * BLOCK_CELLS // max(1, len(self.scored) * len(self.steps)))
        for number, start in enumerate(range(0, len(self.order), width), start=1):
            yield self._block(self.order[start : start + width])
            if self.opened and number % HELD == 0:
                give_back(*(one.value for one in self.opened.values()))

    def _block(self, rows: Integers) -> Block:
        plan, table = self.plan, self.plan.outcomes
        request = plan.request[self.scored][:, self.steps]  # [origin, horizon]
        span = _span(rows)

        def laid(cells: NDArray[Any]) -> NDArray[Any]:
            """[origin, horizon, series] from [series, request]."""
            return _gathered(cells.T[:, span], request)

        latest = plan.experiment.target.outcome.kind == "latest"
        instants = table.first_public if latest else table.matured_at
        answers = {name: self._answers(name, rows) for name in self.recipes}
        planned = plan.members.member[self.scored][:, None, rows]
        # no forecast of anyone's: what the plan says was public at the origin, and what the reference's cells say
        known = plan.known[self.scored][:, None]
        lowest = int(request.min())
        early = instants.T[lowest : int(request.max()) + 1, span]
        if (np.where(early == NEVER, FOREVER, early).min(axis=1, initial=FOREVER)[request - lowest] <= known).any():
            at = laid(instants)
            planned = planned & ~((at != NEVER) & (at <= known[:, :, None]))
        said = answers[reference_name(plan.experiment.target)][1] == ALREADY_PUBLIC
        if said.any():
            planned = planned & ~said
        return Block(
            series=self.names.column.gather(rows),
            planned=np.broadcast_to(planned, (*request.shape, len(rows))),
            outcome=laid(table.value),
            outcome_status=laid(table.status).view(np.uint8),
            published=laid(instants),
            scale_mae=self.panel.scales.mae[rows],
            scale_rmse=self.panel.scales.rmse[rows],
            value={name: value for name, (value, _) in answers.items()},
            status={name: codes for name, (_, codes) in answers.items()},
        )

    def _answers(self, name: str, rows: Integers) -> tuple[Floats, Codes]:
        """[origin, horizon, series] a model's forecasts and statuses, its declared fallback's where it gave none."""
        value, status = self._own(name, rows)
        chain: Recipe = self.recipes[name]
        while chain.fallback:
            chain = self.recipes[chain.fallback]
            other, theirs = self._own(chain.name, rows)
            lost = ((status == FAILED) | (status == ABSTAINED)) & (theirs == OK) & ~np.isnan(other)
            value, status = np.where(lost, other, value), np.where(lost, np.uint8(FALLBACK), status)
        return value, status

    def _own(self, name: str, rows: Integers) -> tuple[Floats, Codes]:
        first = self.plan.first_issued
        shape = len(self.scored), len(self.steps), len(rows)
        value, status = np.empty(shape), np.empty(shape, dtype=np.uint8)
        inside = self.panel.declared.get(name, (None, None))
        moments = np.array([micros(self.plan.instants[origin]) for origin in self.scored], dtype=np.int64)
        held = _inside(inside, moments)
        for place, origin in enumerate(self.scored):
            one, codes = self._cell(name, int(origin) - first, rows)
            value[place], status[place] = one.T[self.turn], codes.T[self.turn]
            if not held[place]:
                value[place], status[place] = np.nan, NOT_ISSUED
        return value, status

    def _cell(self, name: str, number: int, rows: Integers) -> tuple[Floats, Codes]:
        """[series, horizon] of some series of one cell."""
        cell = self.panel.cells[name][number]
        panel = self.opened.get((name, number)) or cell.panel
        if panel is not None and callable(cell.given) and self.mapped <= OPEN:
            self.opened[name, number] = panel
        if panel is None:
            if (name, number) not in self.spread:
                self.spread[name, number] = self._points(cell)
            value, status = self.spread[name, number]
            return value[rows], status[rows]
        places = panel.series.rows_of(self.names)
        if places is None:
            span, status = _span(rows), panel.status
            if status.size and status.strides == (0, 0):  # one and the same in all of them
                return panel.value[span], np.broadcast_to(_CODE[status[0, 0]], (len(rows), len(self.steps)))
            return panel.value[span], _CODE[status[span]]
        mine = places[rows]
        there = mine >= 0
        value = np.full((len(rows), len(self.steps)), np.nan)
        status = np.full(value.shape, MISSING, dtype=np.uint8)
        value[there], status[there] = panel.value[mine[there]], _CODE[panel.status[mine[there]]]
        return value, status

    def _points(self, cell: Cell) -> tuple[Floats, Codes]:
        """Point forecasts of tidy rows, laid out as [series, horizon]."""
        horizons = {step: place for place, step in enumerate(self.plan.experiment.horizons)}
        points = cell.frame.filter(pl.col("quantile").is_null())
        rows = np.array([self.names.places[name] for name in points["series_id"]], dtype=np.int64)
        columns = np.array([horizons[step] for step in points["horizon"]], dtype=np.int64)
        value = np.full((len(self.names), len(horizons)), np.nan)
        status = np.full(value.shape, MISSING, dtype=np.uint8)
        value[rows, columns] = points["value"].fill_null(np.nan).to_numpy()
        codes = [STATUSES.index(word) for word in points["status"]]
        status[rows, columns] = np.array(codes, dtype=np.uint8)
        return value, status


def _gathered(cells: NDArray[Any], request: Integers) -> NDArray[Any]:
    """[origin, horizon, series] from [request, series], read-only; a view where requests are evenly spaced."""
    steps = [int(line[0]) if len(line) else 0 for line in (np.diff(request[:, 0]), np.diff(request[0]))]
    even = request[0, 0] + steps[0] * np.arange(len(request))[:, None] + steps[1] * np.arange(request.shape[1])
    if not np.array_equal(even, request):
        found: NDArray[Any] = cells[request]
        return found
    down, along = cells.strides
    shape, strides = (*request.shape, cells.shape[1]), (steps[0] * down, steps[1] * down, along)
    return np.lib.stride_tricks.as_strided(cells[int(request[0, 0]) :], shape, strides, writeable=False)


def _span(rows: Integers) -> slice | Integers:
    """Consecutive rows as a slice, which is a view."""
    if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows) and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
