"""Check `tuning`: what searches were judged on, against the plainest reading of what inner origins may see (S17)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from harness.backtest.splits import Plan
from harness.core.time import micros
from harness.data.changes import ChangeFile
from harness.studies.handover import Handover
from harness.studies.plain_cells import evenly
from harness.studies.plain_outcomes import PlainTruth, plain_labels
from harness.studies.verdict import FAILED, PASSED, Check, Finding

NAME = "tuning"
STAGE = "inner rows"
PLACE = "harness.backtest.tuning"
SERIES = 5
"""Series of a panel whose inner rows are derived again."""
SHOWN = 20


@dataclass(slots=True)
class _Truth:
    """What an inner origin may be trained on, derived once per inner origin and horizon."""

    plan: Plan
    plain: PlainTruth
    looked: list[int]
    known: dict[tuple[int, int], set[tuple[int, int]]] = field(default_factory=dict)

    def trainable(self, origin: int, step: int) -> set[tuple[int, int]]:
        """(pseudo-origin, series) of every row whose label was public by an inner origin."""
        key = (origin, step)
        if key not in self.known:
            rows = plain_labels(self.plain, origin, step, self.looked)
            self.known[key] = {(row.origin, row.series) for row in rows}
        return self.known[key]

    def public(self, origin: int, series: int, step: int) -> int | None:
        """Microseconds at which the label of a row became public."""
        found = self.plain.of(series, *self.plain.window(origin, step))
        return found.first if self.plan.experiment.target.outcome.kind == "latest" else found.due


def tuning(plan: Plan, changes: ChangeFile, handovers: Sequence[Handover]) -> Check | None:
    """Hold every inner row that a search was handed against what its inner origin knew; None = nothing is tuned.

    Purging inner labels at the outer origin instead of the inner one uses nothing from after it, so no scramble can
    notice; this does.

    Args:
        plan: the plan.
        changes: the change file it was built on.
        handovers: what was handed over at the sampled origins.
    """
    searches = [one for one in handovers if one.stage == STAGE]
    if not searches:
        return None
    began = time.perf_counter()
    looked = evenly(range(len(plan.experiment.target.series)), SERIES)
    truth = _Truth(plan, PlainTruth(plan, changes), looked)
    rows = sum(one.table.height for one in searches)
    wrong = [finding for one in searches if one.table.height for finding in _search(truth, one)]
    said = f"{rows} inner rows of {len(searches)} searches were held against what was public at their inner origins: "
    said += f"{len(wrong)} may not be there." if wrong else "each may be where it is."
    table = pl.DataFrame(
        {"what": ["searches", "inner rows", "rows that differ"], "number": [len(searches), rows, len(wrong)]}
    )
    verdict = FAILED if wrong else PASSED
    seconds = time.perf_counter() - began
    return Check(NAME, verdict, said, tuple(wrong[:SHOWN]), (("searches", table),), seconds=seconds)


def _search(truth: _Truth, search: Handover) -> Iterator[Finding]:
    plan = truth.plan
    places = {moment: place for place, moment in enumerate(plan.instants)}
    ids = {name: place for place, name in enumerate(plan.experiment.target.series)}
    for (_, moment), fold in search.table.group_by("fold", "inner_origin", maintain_order=True):
        inner = places[moment]
        sides: dict[str, set[object]] = {"training": set(), "validation": set()}
        for side, step, at, name, period in fold.select(
            "side", "horizon", "pseudo_origin", "series_id", "period"
        ).iter_rows():
            sides[side].add(period)
            row = (places[at], ids[name], int(step))
            if row[1] not in truth.looked:
                continue
            why = _training(truth, inner, row) if side == "training" else _judged(truth, inner, search.origin, row)
            if why:
                yield _finding(plan, search, inner, row, (side, why))
        for period in sorted(map(str, sides["training"] & sides["validation"])):
            yield _finding(plan, search, inner, None, ("both sides", f"rows of {period} are on both sides"))


def _training(truth: _Truth, inner: int, row: tuple[int, int, int]) -> str:
    origin, series, step = row
    return "" if (origin, series) in truth.trainable(inner, step) else "its label was not public at the inner origin"


def _judged(truth: _Truth, inner: int, outer: int, row: tuple[int, int, int]) -> str:
    """Why a row may not be judged on; "" = it may."""
    plan = truth.plan
    at = truth.public(*row)
    latency = plan.experiment.origins.latency
    then, now = (micros(plan.instants[one] - latency) for one in (inner, outer))
    if at is None or at > now:
        return "its label was not public at the outer origin"
    if at <= then:
        return "its label was public at the inner origin already"
    return "" if row[0] >= inner else "it was asked before the inner origin"


def _finding(
    plan: Plan, search: Handover, inner: int, row: tuple[int, int, int] | None, what: tuple[str, str]
) -> Finding:
    at = f"inner origin {plan.instants[inner].isoformat()}"
    series = ""
    if row is not None:
        series = plan.experiment.target.series[row[1]]
        at += f", pseudo-origin {plan.instants[row[0]].isoformat()}, h = {row[2]}"
    return Finding(
        NAME, what[0], plan.instants[search.origin], STAGE, PLACE, search.model, series, at, "", "no such row", what[1]
    )


def handed_over(groups: Iterable[Iterable[Handover]]) -> list[Handover]:
    """The hand-overs of several groups in one list."""
    return [one for group in groups for one in group]
