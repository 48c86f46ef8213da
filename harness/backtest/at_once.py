"""Feature columns of all origins in one step, where the change file shows that nothing they read was ever revised."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from harness.backtest import table_file
from harness.backtest.layout import Sheet
from harness.backtest.splits import Integers, Plan
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Snapshot
from harness.data.calendars import closures
from harness.data.changes import ChangeFile
from harness.data.declaration import shaped
from harness.data.mapped import let_go
from harness.data.newest import chunks
from harness.data.replay import Replay, chosen_rows
from harness.forecast.features import declared_inputs, reads_input
from harness.forecast.unrevised import Origins, calendar_of, fill, settled, without_calendar
from harness.record.platform import threads_here


def replayed(plan: Plan, changes: ChangeFile) -> Replay:
    """A replay of the plan's inputs that stands before the first change."""
    experiment = plan.experiment
    return Replay(
        changes, plan.inputs, latency=experiment.origins.latency, exclude_hindsight=experiment.exclude_hindsight
    )


def filled_at_once(plan: Plan, changes: ChangeFile, sheet: Sheet) -> tuple[FeatureBlock, ...]:
    """Write the columns of every block whose inputs were published once, in order and without adjustments.

    Args:
        plan: the plan.
        changes: the changes.
        sheet: written into.

    Returns:
        The blocks left to be walked through, origin after origin.
    """
    experiment = plan.experiment
    blocks = experiment.features
    if experiment.target.universe or len(changes.events.code) or not len(sheet.origins):
        return blocks
    count = int(sheet.origins[-1]) + 1
    once = published_once(plan, changes, int(plan.known[count - 1]))
    ready = [block for block in blocks if declared_inputs([block], experiment.target) <= once]
    left = [block for block in blocks if block not in ready]
    replay = replayed(plan, changes)
    for part in _stretches(plan, changes, count):
        out = sheet.part(part.start, part.stop)
        if len(out.origins):
            replay.advance(plan.instants[out.origins[-1]])
            let_go(changes)
            snapshot = replay.snapshot(experiment.target, copy=False)
            left += [one for one in ready if one not in left and not _filled(snapshot, one, out, plan)]
    return tuple(block for block in blocks if block in left)


def _filled(snapshot: Snapshot, block: FeatureBlock, out: Sheet, plan: Plan) -> bool:
    """Write the columns of one block at some origins; False = they cannot be read off the final history."""
    place, threads = 0, threads_here()
    for one in plan.experiment.features[: plan.experiment.features.index(block)]:
        place += len(one.columns())
    moments = [plan.instants[origin] for origin in out.origins.tolist()]
    origins = Origins(moments, plan.known[out.origins], plan.end_days[out.origins])
    if reads_input(block):
        found = settled(snapshot, block, plan.experiment.target.series, origins, threads)
        if found is None:
            return False
        own = without_calendar(block)
        columns = out.columns[place : place + len(own.columns())]
        fill(columns, own, found, threads, then=lambda: table_file.let_go(columns[0]))
        place += len(own.columns())
    if block.calendar:
        for number, column in enumerate(np.moveaxis(calendar_of(snapshot, block, origins), -1, 0)):
            out.columns[place + number][...] = column
    return True


def published_once(plan: Plan, changes: ChangeFile, until: int) -> set[str]:
    """Stored ids of the inputs no cell of which was published twice, or withdrawn, by an instant."""
    codes = changes.codes_of(plan.inputs)
    rows = chosen_rows(changes, codes.tolist(), exclude_hindsight=plan.experiment.exclude_hindsight)
    end = int(np.searchsorted(changes.published, until, side="right"))
    if rows is not None:
        rows = rows[: int(np.searchsorted(rows, end))]
    parts: list[slice | Integers] = list(chunks(0, end))
    if rows is not None:
        parts = [rows[part] for part in chunks(0, len(rows))]
    revised = np.zeros(len(changes.ids), dtype=bool)
    if parts:
        low = min(int(changes.period[part].min()) for part in parts)
        width = max(int(changes.period[part].max()) for part in parts) - low + 1
        seen = np.zeros(len(changes.ids) * width, dtype=bool)
        count = np.zeros(len(changes.ids), dtype=np.int64)
        for part in parts:
            code = changes.code[part].astype(np.int64)
            seen[code * width + (changes.period[part] - low)] = True
            count += np.bincount(code, minlength=len(changes.ids))
            revised[code[np.isnan(changes.value[part])]] = True
        revised |= seen.reshape(len(changes.ids), width).sum(axis=1) != count
    return {name for name, place in zip(plan.inputs, codes.tolist(), strict=True) if not revised[place]}


def _stretches(plan: Plan, changes: ChangeFile, count: int) -> Iterator[slice]:
    """Stretches of origins between which no closure of a session calendar was announced."""
    inputs = set(plan.inputs)
    declared = (one for one, names in shaped(changes.series) if not inputs.isdisjoint(names))
    calendars = {(one.calendar, one.zone, one.closures): one for one in declared if one.parsed.kind == "B"}
    announced = np.array([0] * count)
    for one in calendars.values():
        moments = np.sort(closures(one)[1])
        announced = announced + np.searchsorted(moments, plan.known[:count], side="right")
    edges = [0, *(np.flatnonzero(np.diff(announced)) + 1).tolist(), count]
    yield from (slice(start, stop) for start, stop in pairwise(edges))
