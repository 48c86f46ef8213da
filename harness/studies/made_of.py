"""Which published values a number was made of: a feature of an asked row, or an outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from harness.backtest.splits import Plan
from harness.core.recipe import FeatureBlock
from harness.core.series import AVAILABILITIES
from harness.core.time import local_day, period_end
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from harness.studies.plain_cells import Order, PlainSeries, Stated, order_at, standing
from harness.studies.plain_rows import Known, known_input

Place = tuple[str, int]
"""A stored id and a position in the order of its periods."""


@dataclass(frozen=True, slots=True)
class Published:
    """One published value that a number was made of.

    Attributes:
        of: what it is an input of: a feature's column, `outcome`, or `history`.
        series_id: stored id.
        ordinal: ordinal of its period.
        period: last day of the period.
        stated: the value with its instants.
        availability: how its date is known.
    """

    of: str
    series_id: str
    ordinal: int
    period: date
    stated: Stated
    availability: str


def feature_sources(
    plan: Plan, changes: ChangeFile, data: Mapping[str, PlainSeries], place: tuple[int, int, int], names: Iterable[str]
) -> Iterator[Published]:
    """The values behind every feature of an asked row, as they stood at its origin.

    Args:
        plan: the plan.
        changes: the change file.
        data: everything stated of the plan's inputs.
        place: index of the origin, of the target series, and of the horizon.
        names: the feature blocks that are wanted.
    """
    origin, series, horizon = place
    own, wanted = plan.experiment.target.series[series], set(names)
    end = plan.end_days[origin, horizon].astype("datetime64[D]").item()
    for block in (block for block in plan.experiment.features if block.name in wanted):
        if len(block.columns()) == len(block.calendar):
            continue
        name = block.series or own
        known = known_input(plan, data, block, plan.instants[origin], name)
        for column, positions in _positions(block, known, plan, origin, end):
            places = [one for position in positions for one in level_places(block.transform, name, position)]
            stated = {name: {at: one for at, (one, _) in found.items()} for name, found in known.levels.items()}
            yield from _published(changes, data, known.order, column, dict.fromkeys(places), stated)


def outcome_sources(
    plan: Plan, changes: ChangeFile, data: Mapping[str, PlainSeries], place: tuple[int, int, int], at: int
) -> Iterator[Published]:
    """The values behind a pinned outcome, as they stood when it came out.

    Args:
        plan: the plan.
        changes: the change file.
        data: everything stated of the plan's inputs.
        place: index of the origin, of the target series, and of the horizon.
        at: microseconds UTC at which the outcome was published.
    """
    origin, series, horizon = place
    target = plan.experiment.target
    name = target.series[series]
    order = order_at(data[target.transform.inputs(name)[0]].series, at)
    window = [order.position(int(side[origin, horizon])) for side in (plan.starts, plan.ends)]
    if window[0] is None or window[1] is None:
        return
    transform = target.transform
    if transform.is_volatility:
        transform = replace(transform, span=window[1] - window[0] + 1)
    places = dict.fromkeys(level_places(transform, name, window[1]))
    yield from _published(changes, data, order, "outcome", places, _standing(data, order, places, at))


def history_sources(
    plan: Plan, changes: ChangeFile, data: Mapping[str, PlainSeries], place: tuple[int, int, int]
) -> Iterator[Published]:
    """Every value of the target's own series that stood at an origin: what a model reads that is given no rows."""
    origin, series, _ = place
    at = int(plan.known[origin])
    for name in plan.experiment.target.transform.inputs(plan.experiment.target.series[series]):
        order = order_at(data[name].series, at)
        places = {
            (name, position): None for period in data[name].stated if (position := order.position(period)) is not None
        }
        hidden = plan.experiment.exclude_hindsight
        found = _standing(data, order, dict(sorted(places.items())), at, exclude_hindsight=hidden)
        yield from _published(changes, data, order, "history", dict(sorted(places.items())), found)


def level_places(transform: Transform, name: str, position: int) -> Iterator[Place]:
    """The levels that the transformed value of a period is made of."""
    if transform.kind == "realised_volatility":
        window = range(position - transform.span + 1, position + 1)
        if transform.proxy == "parkinson":
            yield from ((each, day) for day in window for each in (transform.high, transform.low))
        else:
            yield from ((name, day) for day in range(window.start - 1, window.stop))
        return
    yield name, position
    if transform.kind == "spread":
        yield transform.other, position
    elif transform.kind != "level":
        yield name, position - transform.span


def _positions(
    block: FeatureBlock, known: Known, plan: Plan, origin: int, end: date
) -> Iterator[tuple[str, list[int]]]:
    """Columns of a block, each with the positions of the transformed values it is made of."""
    places = sorted(known.values)
    newest = places[-1] if places else None
    moment = plan.instants[origin]
    here = known.order.containing(local_day(moment, known.order.series.zone)) if block.lag else None
    ahead = known.order.containing(end) if block.known_ahead else None
    for column in block.columns():
        operation = column.removeprefix(f"{block.name}.")
        kind, _, text = operation.rpartition("_")
        found: list[int] = []
        if kind == "latest":
            found = places[-int(text) :][:1] if int(text) <= len(places) else []
        elif kind == "lag" and here is not None:
            found = [here - int(text)]
        elif kind == "known_ahead" and ahead is not None:
            found = [ahead + int(text)]
        elif newest is not None and (kind.startswith("rolling_") or kind == "ratio"):
            found = [newest - back for back in range(int(text))]
        elif newest is not None and kind in ("difference", "log_growth"):
            found = [newest, newest - int(text)]
        elif newest is not None and operation == "age":
            found = [newest]
        yield column, found


def _standing(
    data: Mapping[str, PlainSeries], order: Order, places: Iterable[Place], at: int, *, exclude_hindsight: bool = False
) -> dict[str, dict[int, Stated]]:
    found: dict[str, dict[int, Stated]] = {}
    for name, position in places:
        ordinal = order.ordinal(position)
        if ordinal is not None and name in data:
            stated = standing(data[name], ordinal, at, exclude_hindsight=exclude_hindsight)
            if stated is not None:
                found.setdefault(name, {})[position] = stated
    return found


def _published(
    changes: ChangeFile,
    data: Mapping[str, PlainSeries],
    order: Order,
    of: str,
    places: Iterable[Place],
    levels: Mapping[str, Mapping[int, Stated]],
) -> Iterator[Published]:
    for name, position in places:
        stated, ordinal = levels.get(name, {}).get(position), order.ordinal(position)
        if stated is not None and ordinal is not None:
            day = period_end(data[name].series.parsed, ordinal)
            yield Published(of, name, ordinal, day, stated, _availability(changes, name, ordinal, stated.published))


def _availability(changes: ChangeFile, name: str, ordinal: int, published: int) -> str:
    rows = (changes.code == changes.codes[name]) & (changes.period == ordinal) & (changes.published == published)
    found = changes.availability[rows]
    return AVAILABILITIES[int(found[-1])] if len(found) else ""
