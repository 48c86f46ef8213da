"""How much of a panel is held at a time, to stay within the memory there is; what cannot be cut is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from harness.backtest.blocks import can_be_cut
from harness.backtest.engine import Engine, InProcess
from harness.backtest.layout import compact, number_type
from harness.backtest.splits import Plan, inputs_of
from harness.backtest.task import Task
from harness.backtest.tuning.space import reachable
from harness.core.errors import UserError
from harness.core.recipe import Recipe
from harness.data.changes import ChangeFile
from harness.data.newest import chunks
from harness.forecast.boosting_params import MATRIX
from harness.forecast.catalog import answers_alone, entry_for, learns_from_rows_alone
from harness.record.shelves import Shelf

BLOCK = 64_000_000
"""Bytes of a block where memory allows: more is slower, as it leaves the processor's caches."""
SHARE = 2
"""Of what is to spare, a block takes the second part at most: the rest is for what is estimated too low."""
FEWEST, LARGE = 256, 1000
"""Series of a block at least, and of a panel that is cut."""
PER_CELL, PER_COPY, PER_CHANGE, PER_FORECAST, PER_SERIES = 24, 8, 16, 24, 400
"""Bytes: value, stamp and vintage of a (series, period); a transform of it; the number of a change's row, twice while
they are joined; a forecast with status and reason, of one model; a name and where it stands."""
PER_FIT, PER_ANSWER = 3000, 200
"""Bytes: the parameters of one series, their text and what it carries on; a forecast that is handed over as rows."""
PER_ROW, PER_BIN, PER_STEP = 62, 2, 28
"""Bytes of a fit of LightGBM: a training row of one horizon without its features, its bin of one feature, and what is
held of it for each further horizon. On 3 and 11 million rows of 7 features it took 71 and 77 bytes a row, and 132 at
three horizons."""

COPIES = 2
"""Times a regressor of scikit-learn holds its training matrix: what it is given, and its own. A run of ridge
regression on 46,000 rows of 1,000 series took 0.89 GB, 0.3 without the matrix, which is 0.37."""


def block_width(plan: Plan, changes: ChangeFile, spare: int | None, slots: int) -> int:
    """Series that are walked through at a time, so that each worker keeps to its part of the memory; 0 = all of them.

    Args:
        plan: the plan.
        changes: its change file.
        spare: bytes to spare; None = unknown.
        slots: tasks that run at once.
    """
    target, models = plan.experiment.target, plan.experiment.models
    count = len(target.series)
    if count < LARGE or target.universe:
        return 0
    periods, moved = _extent(changes, inputs_of((), target))
    copies = 0 if target.transform.kind == "level" else 3
    each = periods * (PER_CELL + PER_COPY * copies) + PER_CHANGE * -(-moved // count) + PER_SERIES
    each += PER_FORECAST * len(plan.experiment.horizons) * sum(recipe.rival for recipe in models)
    if any(not recipe.rival and answers_alone(recipe) and entry_for(recipe.kind).fitted for recipe in models):
        each += PER_FIT + PER_COPY * 2 * periods + PER_ANSWER * len(plan.experiment.horizons)
    room = BLOCK if spare is None else min(BLOCK, spare // max(1, slots) // SHARE)
    width = max(FEWEST, room // each)
    return 0 if width >= count else width


def _extent(changes: ChangeFile, inputs: Sequence[str]) -> tuple[int, int]:
    """Periods from the first to the last anything is stated of in some series, and their changes."""
    mine = np.zeros(len(changes.ids), dtype=bool)
    mine[changes.codes_of(inputs)] = True
    low, high, moved, every = list[int](), list[int](), 0, bool(mine.all())
    for rows in chunks(0, len(changes.code)):
        period = changes.period[rows] if every else changes.period[rows][mine[changes.code[rows]]]
        moved += len(period)
        if len(period):
            low.append(int(period.min()))
            high.append(int(period.max()))
    return (max(high) - min(low) + 1 if moved else 0), moved


def refuse_too_large(
    plan: Plan, tasks: Sequence[Task], shelf: Shelf, spare: int | None, engine: Engine, *, in_file: bool
) -> None:
    """Refuse models that learn from all series together where their training rows do not fit.

    Counted is what fits take that run at once: of LightGBM its rows and their bins, and the table of frozen feature
    rows where it lies in no file; of other models that table and the training matrix, of scikit-learn with the columns
    that tell series apart and as often as most regressors hold it. A library may need more.

    Args:
        plan: the plan.
        tasks: what is to be computed.
        shelf: where cells are stored.
        spare: bytes to spare; None = unknown.
        engine: where the tasks run, which says how many fits run at once.
        in_file: whether the table lies in a file, of which parts are read.

    Raises:
        UserError: naming the model, what it needs and what there is.
    """
    recipes = {recipe.name: recipe for task in tasks for recipe, _ in task.recipes if recipe.features}
    if spare is None or not recipes or can_be_cut(plan, list(recipes.values()), shelf):
        return
    layout, count = compact(plan), len(plan.members.series)
    rows = len(layout.origins) * count
    table = rows * layout.width * np.dtype(number_type(plan.experiment)).itemsize
    trees = {name for name, one in recipes.items() if learns_from_rows_alone(one)}
    each = {
        name: _fit_of_trees(plan, one, rows) if name in trees else table + _matrix(plan, one, rows)
        for name, one in recipes.items()
    }
    asked = [recipe.name for task in tasks for recipe, _ in task.recipes if recipe.name in each]
    shared = 0 if in_file else table
    heaviest = sorted(asked, key=lambda name: each[name] + shared * (name in trees), reverse=True)
    need = {
        fits: sum(each[name] for name in fits) + shared * (not trees.isdisjoint(fits))
        for fits in _at_once(engine, heaviest, trees)
    }
    most = max(need, key=lambda fits: need[fits])
    if need[most] > spare:
        at_once = f"{len(most)} fits at once of " if len(most) > 1 else ""
        raise UserError(
            "a model that learns from all series together does not fit into memory",
            value=f"{most[0]}: {gigabytes(need[most])} for {at_once}the rows of {len(layout.origins)} origins "
            f"x {count} series; {gigabytes(spare)} are to spare beside what is held already",
            rule="models of single series are walked in blocks of series; what is pooled over series cannot be cut",
            fix=_advice(plan, recipes[most[0]], len(most)),
        )


def _at_once(engine: Engine, heaviest: Sequence[str], trees: Collection[str]) -> Iterator[tuple[str, ...]]:
    """The heaviest fits that may run at once: in workers of any models; in this process trees, then others in turn.

    Args:
        engine: where fits run.
        heaviest: models, one for each fit, the heaviest first.
        trees: those that are fitted side by side in this process.
    """
    if not isinstance(engine, InProcess):
        yield tuple(heaviest[: engine.slots])
        return
    beside = tuple(name for name in heaviest if name in trees)[: engine.fits]
    in_turn = tuple(name for name in heaviest if name not in trees)[:1]
    yield from filter(None, (beside, in_turn))


def _advice(plan: Plan, recipe: Recipe, fits: int) -> str:
    """What makes a model need less."""
    fewer = ["fewer series, features or origins"]
    if any(_series_columns(plan, recipe, one) for one in reachable(recipe)):
        fewer.append("one model for all series (series_feature = false in its params)")
    if recipe.kind == "lightgbm":
        fewer.append("float32 = true")
    first = "allow more (--memory GB), " + ("have fewer fits at once (--workers 1), " if fits > 1 else "")
    return f"{first}or {' or '.join(fewer)}"


def _fit_of_trees(plan: Plan, recipe: Recipe, rows: int) -> int:
    """Bytes of one fit of LightGBM: of its rows, their bins, and a matrix where it is not read in blocks."""
    each = PER_ROW + PER_BIN * _features(plan, recipe) + PER_STEP * (len(plan.experiment.horizons) - 1)
    matrix = rows * _features(plan, recipe) * np.dtype(number_type(plan.experiment)).itemsize
    return rows * each + (matrix if matrix <= MATRIX else 0)


def _matrix(plan: Plan, recipe: Recipe, rows: int) -> int:
    """Bytes of a training matrix, with the columns that tell series apart; the widest that a search may choose."""
    return (
        rows
        * PER_COPY
        * max(
            (_features(plan, one) + _series_columns(plan, recipe, one)) * (COPIES if one.kind == "sklearn" else 1)
            for one in reachable(recipe)
        )
    )


def _series_columns(plan: Plan, recipe: Recipe, table: Recipe) -> int:
    """Columns by which one of the model tables of a recipe tells series apart."""
    if table.kind != "sklearn" or len(plan.members.series) == 1:
        return 0
    name = "series_feature" if table.name == recipe.name else f"{table.name}.series_feature"
    drawn = None if recipe.search is None else recipe.search.domain(name)
    told = dict(table.params).get("series_feature", True) or (drawn is not None and True in drawn.choices)
    return len(plan.members.series) if told else 0


def gigabytes(size: int) -> str:
    """A number of bytes for a message.

    >>> gigabytes(2_340_000_000)
    '2.34 GB'
    """
    return f"{size / 1e9:.3g} GB"


def _features(plan: Plan, recipe: Recipe) -> int:
    return sum(len(block.columns()) for block in plan.experiment.features if block.name in recipe.features)
