"""Walking a very large panel block of series by block of series: what is held is bounded by the block, not the panel.

Only models that answer a series from its own snapshot alone can be asked so (`catalog.answers_alone`). Each block is
walked through all origins (of one that is fitted: of one fit) before the next one begins; its answers are put away, and
cells are written from their parts. The bits are those of one walk over all series, whatever the size of a block.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from harness.backtest.answers import NO_VALUE, NOT_FINITE
from harness.backtest.block_fits import Blocks, Refit, TogetherError, of_block, refit_of
from harness.backtest.keys import RecipeIdentity
from harness.backtest.membership import Membership
from harness.backtest.spent import Spent
from harness.backtest.splits import Plan
from harness.backtest.witness import World
from harness.backtest.work import Stored, walk
from harness.core.ahead import ahead, as_done
from harness.core.names import Names, names_of
from harness.core.recipe import Recipe, Target
from harness.data.mapped import let_go
from harness.data.series_blocks import SeriesBlocks
from harness.forecast.catalog import answers_alone
from harness.record.cell_parts import CellInParts, Scratch
from harness.record.cells import Cell
from harness.record.shelves import Shelf

ORIGINS = 24
"""Origins walked together at least."""
CHANGES = 5
"""A change is replayed in half the time a forecast is made: so many times the changes are forecast in a stretch."""
Recipes = Sequence[tuple[Recipe, RecipeIdentity]]
PLAIN = {"", NO_VALUE, NOT_FINITE}
"""Reasons that are told of single rows; any other is a model's that broke, for whatever it was given."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a task asks for.

    Attributes:
        recipes: recipes that share their inputs, with their identities; one alone where it is fitted.
        origins: indices of the origins, ascending.
        keys: cell keys [recipe][origin].
        fits: refit origin -> key of the fit.
    """

    recipes: Recipes
    origins: Sequence[int]
    keys: Sequence[Sequence[str]]
    fits: Mapping[int, str] = field(default_factory=dict)

    def at(self, places: slice) -> Asked:
        """The same at some of the origins."""
        return replace(self, origins=self.origins[places], keys=[mine[places] for mine in self.keys])


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
    with Scratch(shelf) as scratch:
        start = time.perf_counter()
        cuts = [*spans(len(world.plan.experiment.target.series), width)]
        plans = [restricted(world.plan, rows) for rows in cuts]
        blocks = Blocks(plans, cuts, _rows_of(world, plans, int(world.plan.known[asked.origins[-1]]), scratch.folder))
        spent.add("", "replay", start)
        for some in _stretches(world, asked):
            refit = _refit(world, some, blocks, spent)
            try:
                _answer(world, some, blocks, refit, scratch, spent=spent, pool=pool)
            except TogetherError:
                if refit is not None and isinstance(world.fits, Path):
                    refit.drop(world.fits)
                raise


def _stretches(world: World, asked: Asked) -> Iterator[Asked]:
    """Origins that are walked together, then the next ones, for which what came before is replayed again.

    So a run that is stopped keeps what it did, and what is put away stays small. Those of one fit go together; without
    any, a stretch is long enough that its replay costs a tenth of its answers.
    """
    if asked.fits:
        (recipe,) = asked.recipes
        refits = [world.plan.refit_origin(origin, recipe[1].cadence) for origin in asked.origins]
        edges = [place for place in range(1, len(refits)) if refits[place] != refits[place - 1]]
        yield from (asked.at(slice(first, last)) for first, last in pairwise([0, *edges, len(refits)]))
        return
    models, horizons = len(asked.recipes), len(world.plan.experiment.horizons)
    answers = max(1, len(world.plan.experiment.target.series) * models * horizons)
    length = max(ORIGINS, CHANGES * len(world.changes.code) // answers)
    yield from (asked.at(slice(first, first + length)) for first in range(0, len(asked.origins), length))


def _refit(world: World, asked: Asked, blocks: Blocks, spent: Spent) -> Refit | None:
    """The refit that answers a stretch; None = nothing is fitted."""
    if not asked.fits or not isinstance(world.fits, Path):
        return None
    start, (recipe,) = time.perf_counter(), asked.recipes
    origin = world.plan.refit_origin(asked.origins[0], recipe[1].cadence)
    refit = refit_of(world, blocks, recipe, origin, asked.fits[origin], spent=spent)
    if refit.training_rows:
        refit.part_stored(world.fits, blocks)
    spent.add(recipe[0].name, "fit", start)
    return refit


def _answer(
    world: World,
    asked: Asked,
    blocks: Blocks,
    refit: Refit | None,
    scratch: Scratch,
    *,
    spent: Spent,
    pool: Executor | None,
) -> None:
    """Answer a stretch and store its cells; of naive rivals a block in each thread."""
    everyone = names_of(world.plan.experiment.target.series)
    parts = [[CellInParts(scratch, key, everyone) for key in mine] for mine in asked.keys]
    places = {origin: number for number, origin in enumerate(asked.origins)}
    plain = PLAIN if refit is None else PLAIN.union(refit.told.short.values())

    given_up = threading.Event()

    def answer_block(number: int, mine: Spent, pool: Executor | None = None) -> None:
        walked = _walked(world, asked, blocks, number, refit, spent=mine, pool=pool)
        for index, origin, cell in walked if pool is None else ahead(walked):
            start = time.perf_counter()
            panel = cell.panel
            if given_up.is_set():
                return
            if panel is None or not plain.issuperset(panel.reasons) or (cell.facts and refit is None):
                raise TogetherError
            parts[index][places[origin]].add(panel, blocks.spans[number].start)
            mine.add("", "write", start)

    if pool is not None and refit is None and all(recipe.rival for recipe, _ in asked.recipes):
        _side_by_side(answer_block, len(blocks.plans), spent, pool, given_up)
    else:
        for number in range(len(blocks.plans)):
            answer_block(number, spent, pool)
    start, facts = time.perf_counter(), dict[str, object]()
    if refit is not None and isinstance(world.fits, Path):
        facts = refit.facts(world.plan, world.fits, blocks)
    for _ in (map if pool is None else pool.map)(partial(_write, facts), chain.from_iterable(zip(*parts, strict=True))):
        spent.cells += 1
    spent.add("", "write", start)


def _side_by_side(
    answer_block: Callable[[int, Spent], None], count: int, spent: Spent, pool: Executor, given_up: threading.Event
) -> None:
    """Answer blocks in threads; when one is given up, those that have begun end with the cell they are at."""
    booked, running = [Spent() for _ in range(count)], list[Future[None]]()
    try:
        for number, mine in enumerate(booked):
            running.append(pool.submit(copy_context().run, answer_block, number, mine))
        for one in as_done(running):
            one.result()
    finally:
        given_up.set()
        for one in running:
            one.cancel()
        wait(running)
    for mine in booked:
        spent.join(mine)


def _rows_of(world: World, plans: Sequence[Plan], until: int, scratch: Path) -> SeriesBlocks:
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
    world: World,
    asked: Asked,
    blocks: Blocks,
    number: int,
    refit: Refit | None,
    *,
    spent: Spent,
    pool: Executor | None,
) -> Iterator[tuple[int, int, Cell]]:
    """Cells of one block at all origins."""
    start, one = time.perf_counter(), blocks.plans[number]
    recipes = [(recipe, of_block(identity, one)) for recipe, identity in asked.recipes]
    here, stored = replace(world, plan=one, rows=blocks.rows_of(number)), Stored()
    if refit is not None:
        here = replace(here, told={refit.origin: refit.told})
        stored = Stored({(0, refit.origin): refit.part(blocks.spans[number])})
    spent.add("", "replay", start)
    yield from walk(here, recipes, asked.origins, spent=spent, stored=stored, pool=pool)
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


def _write(facts: Mapping[str, object], cell: CellInParts) -> None:
    cell.write(facts)
