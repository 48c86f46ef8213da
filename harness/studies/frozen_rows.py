"""Whether feature rows hold what their own origin knew: a sample is recomputed one number at a time and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.backtest.splits import Plan
from harness.core.recipe import FeatureBlock
from harness.core.transform import Floats
from harness.studies.plain_cells import MISSING, PlainSeries, evenly, looked_at, same
from harness.studies.plain_members import PlainMembers
from harness.studies.plain_rows import is_exact, plain_rows
from harness.studies.verdict import Finding

PLACE = "harness.backtest.design"
SERIES = 5
"""Series of a panel that are recomputed, and as many of those with price events."""
LEAST = 5
"""Scored origins compared at least, and as many before them."""
WORK = 60_000
"""Levels read, roughly, that a comparison may cost: short histories are compared at every origin."""


@dataclass(frozen=True, slots=True)
class RowsCompared:
    """What came of comparing rows.

    Attributes:
        origins: indices of the origins compared.
        numbers: feature values compared.
        wrong: one finding per value that differs.
    """

    origins: tuple[int, ...]
    numbers: int
    wrong: tuple[Finding, ...]


def sampled_origins(plan: Plan, each: int) -> tuple[int, ...]:
    """Evenly spaced origins: `each` of the scored ones and as many of those before."""
    before, scored = range(plan.first_scored), range(plan.first_scored, len(plan.instants))
    return tuple(evenly(before, each) + evenly(scored, each))


def affordable(plan: Plan, data: Mapping[str, PlainSeries]) -> int:
    """How many scored origins, and as many before them, can be compared in about a second; at least 5."""
    own = plan.experiment.target.series
    inputs = [
        (block.transform.inputs(name)[0], block.transform)
        for block in plan.experiment.features
        for name in ((block.series,) if block.series else own[:SERIES])
    ]
    cost = sum(len(data[name].stated) * transform.span for name, transform in inputs if name in data)
    return max(LEAST, WORK // max(cost, 1))


def compare_rows(
    plan: Plan, data: Mapping[str, PlainSeries], members: PlainMembers, design: Floats, each: int | None = None
) -> RowsCompared:
    """Recompute all columns at a sample of origins from what was published by then; who is no member has no row.

    Args:
        plan: the plan.
        data: everything stated of its inputs.
        members: who is asked when.
        design: [origin, series, horizon, feature] as the models are given it.
        each: scored origins compared, and as many before them; None = as many as are cheap.
    """
    origins = sampled_origins(plan, affordable(plan, data) if each is None else each)
    columns = [(block, name) for block in plan.experiment.features for name in block.columns()]
    series = looked_at(plan.experiment.target, data, SERIES)
    nothing = [[MISSING] * len(columns)] * len(plan.experiment.horizons)
    wrong: list[Finding] = []
    for origin in origins:
        for one in series:
            expected = plain_rows(plan, data, origin, one) if members.asked(origin, one) else nothing
            wrong += _differing(plan, columns, (origin, one), expected, design[origin, one].tolist())
    numbers = len(origins) * len(series) * len(plan.experiment.horizons) * len(columns)
    return RowsCompared(origins, numbers, tuple(wrong))


def _differing(
    plan: Plan,
    columns: list[tuple[FeatureBlock, str]],
    at: tuple[int, int],
    expected: list[list[float]],
    found: list[list[float]],
) -> Iterator[Finding]:
    origin, series = at
    own = plan.experiment.target.series[series]
    for place, step in enumerate(plan.experiment.horizons):
        for (block, name), plain, given in zip(columns, expected[place], found[place], strict=True):
            if not same(plain, given, exact=is_exact(block, name)):
                yield Finding(
                    "facts",
                    "feature row",
                    plan.instants[origin],
                    "design",
                    PLACE,
                    series_id=block.series or own,
                    row=f"{own}, period {plan.end_days[origin, place]}, h = {step}",
                    column=name,
                    expected=repr(plain),
                    found=repr(given),
                )
