"""Walking a very large panel block of series by block of series: what is held is bounded by the block, not the panel.

Only models that answer a series from its own snapshot alone can be asked so (`catalog.answers_alone`). Each block is
walked through all origins before the next one begins; its answers are put away, and cells are written from their parts.
The bits are those of one walk over all series, whatever the size of a block.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from harness.backtest.answers import NO_VALUE, NOT_FINITE
from harness.backtest.keys import RecipeIdentity
from harness.backtest.membership import Membership
from harness.backtest.splits import Plan, target_inputs
from harness.backtest.witness import World
from harness.backtest.work import Spent, walk
from harness.core.names import Names, names_of
from harness.core.recipe import Recipe, Target
from harness.data.mapped import let_go
from harness.data.series_blocks import SeriesBlocks
from harness.forecast.catalog import answers_alone
from harness.record.cell_parts import CellInParts, Scratch
from harness.record.cells import Cell
from harness.record.panel_cells import PanelAnswers
from harness.record.shelves import Shelf

ORIGINS = 24
"""Origins walked together at least."""
CHANGES = 5
"""A change is replayed in half the time a forecast is made: so many times the changes are forecast in a stretch."""
Recipes = Sequence[tuple[Recipe, RecipeIdentity]]
PLAIN = {"", NO_VALUE, NOT_FINITE}
"""Reasons that are told of single rows; any other is a model's that broke, for whatever it was given."""


class TogetherError(Exception):
    """A model raised an error of its own: what it says then depends on what it is given, so it is given all series."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task asks for.

    Attributes:
        recipes: recipes that share their inputs, with their identities.
        origins: indices of the origins, ascending.
        keys: cell keys [recipe][origin].
    """

    recipes: Recipes
    origins: Sequence[int]
    keys: Sequence[Sequence[str]]


def can_be_cut(plan: Plan, recipes: Sequence[Recipe], shelf: Shelf) -> bool:
    """Whether some recipes can be answered in blocks of series, and their cells written in parts.

    Members of a universe are announced one after another, and what is encrypted is never put away in plain.
    """
    return not plan.experiment.target.universe and isinstance(shelf, Path) and all(map(answers_alone, recipes))


def answer_in_blocks(
    world: World, asked: Asked, shelf: Path, width: int, *, spent: Spent, pool: Executor | None = None
) -> None:
    """Answer a task block of series by block, and store its cells when the last block is done.

    Args:
        world: what is walked through.
        asked: what is asked.
        shelf: where cells are stored.
        width: series of a block.
        spent: where the time is booked.
        pool: threads in which naive rivals answer, and cells are written, side by side; None = one after the other.

    Raises:
        TogetherError: a model broke; what is stored until then is to be replaced.
    """
    plan, everyone = world.plan, names_of(world.plan.experiment.target.series)
    with Scratch(shelf) as scratch:
        start = time.perf_counter()
        plans = [restricted(plan, rows) for rows in spans(len(everyone), width)]
        blocks = _blocks_of(world, plans, int(plan.known[asked.origins[-1]]), scratch.folder)
        spent.add("", "replay", start)
        for some in _stretches(world, asked):
            parts = [[CellInParts(scratch, key, everyone) for key in mine] for mine in some.keys]
            places = {origin: number for number, origin in enumerate(some.origins)}
            for index, origin, cell in _walked(world, some, plans, blocks, spent=spent, pool=pool):
                start = time.perf_counter()
                parts[index][places[origin]].add(_plain(cell))
                spent.add("", "write", start)
            start = time.perf_counter()
            for _ in (map if pool is None else pool.map)(_write, chain.from_iterable(zip(*parts, strict=True))):
                spent.cells += 1
            spent.add("", "write", start)


def _stretches(world: World, asked: Asked) -> Iterator[Asked]:
    """Origins that are walked together, then the next ones, for which what came before is replayed again.

    So a run that is stopped keeps what it did, and what is put away stays small; a stretch is long enough that its
    replay costs a tenth of its answers.
    """
    models, horizons = len(asked.recipes), len(world.plan.experiment.horizons)
    answers = max(1, len(world.plan.experiment.target.series) * models * horizons)
    length = max(ORIGINS, CHANGES * len(world.changes.code) // answers)
    for first in range(0, len(asked.origins), length):
        keys = [mine[first : first + length] for mine in asked.keys]
        yield Asked(asked.recipes, asked.origins[first : first + length], keys)


def _blocks_of(world: World, plans: Sequence[Plan], until: int, scratch: Path) -> SeriesBlocks:
    """Where in the change file the rows of each of some parts of a plan are."""
    changes, experiment = world.changes, world.plan.experiment
    return SeriesBlocks(
        changes,
        [changes.codes_of(_own(one.experiment.target)) for one in plans],
        changes.codes_of(_shared(experiment.target)),
        until=until,
        exclude_hindsight=experiment.exclude_hindsight,
        scratch=scratch,
    )


def _walked(
    world: World, asked: Asked, plans: Sequence[Plan], blocks: SeriesBlocks, *, spent: Spent, pool: Executor | None
) -> Iterator[tuple[int, int, Cell]]:
    """Cells of the first block at all origins, then those of the next."""
    for number, one in enumerate(plans):
        start = time.perf_counter()
        inputs = tuple(sorted(target_inputs(one.experiment.target)))
        recipes = [(recipe, replace(identity, series=inputs)) for recipe, identity in asked.recipes]
        rows = blocks.rows(number)
        spent.add("", "replay", start)
        yield from walk(replace(world, plan=one, rows=rows), recipes, asked.origins, spent=spent, pool=pool)
        let_go(world.changes)


def spans(count: int, width: int) -> Iterator[slice]:
    """Rows of blocks of a width that differ by one at most.

    >>> list(spans(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    number = max(1, -(-count // max(1, width)))
    edges = [-(-count * place // number) for place in range(number + 1)]
    yield from (slice(first, last) for first, last in pairwise(edges))


def restricted(plan: Plan, rows: slice) -> Plan:
    """The plan of some of its target's series.

    Args:
        plan: of a target without a universe.
        rows: of the target's series.
    """
    names = Names(plan.experiment.target.series[rows])
    target, members, table = replace(plan.experiment.target, series=names), plan.members, plan.outcomes
    everybody = np.full(len(plan.instants), len(names), dtype=np.int64)
    return replace(
        plan,
        experiment=replace(plan.experiment, target=target),
        members=Membership(names, members.member[:, rows], names, everybody),
        outcomes=replace(table, **{name: getattr(table, name)[rows] for name in table.__dataclass_fields__}),
    )


def _own(target: Target) -> tuple[str, ...]:
    return target.series if target.transform.proxy != "parkinson" else ()


def _shared(target: Target) -> tuple[str, ...]:
    transform = target.transform
    return tuple(name for name in (transform.other, transform.high, transform.low) if name)


def _plain(cell: Cell) -> PanelAnswers:
    panel = cell.panel
    if panel is None or cell.facts or not PLAIN.issuperset(panel.reasons):
        raise TogetherError
    return panel


def _write(cell: CellInParts) -> None:
    cell.write({})
