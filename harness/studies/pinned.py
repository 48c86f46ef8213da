"""Check `outcomes`: what a forecast is scored against and trained on, against the plainest definition of both."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import polars as pl

from harness.backtest.splits import Plan, training_labels, training_set
from harness.core.time import NEVER, instant, period_end
from harness.data.changes import ChangeFile
from harness.data.outcomes import OUTCOME_STATUS
from harness.data.replay import Replay
from harness.studies.plain_cells import evenly, looked_at, same
from harness.studies.plain_origins import origins_that_differ
from harness.studies.plain_outcomes import PlainLabel, PlainTruth, Truth, asked_cells, plain_labels
from harness.studies.verdict import FAILED, PASSED, Check, Finding

NAME = "outcomes"
CELLS = 400
"""Issued target cells recomputed at most; the training rows of the sampled origins come on top."""
ORIGINS = 6
"""Issued origins whose training rows are derived again."""
SERIES = 5
"""Series of a panel whose training rows are derived again, and as many of those with price events."""
SHOWN = 20
"""Findings listed of each kind; all are counted."""
OUTCOMES, PLANNING, SPLITS = "harness.data.outcomes", "harness.backtest.planning", "harness.backtest.splits"
MEMBERS = "harness.backtest.membership"


def outcomes(plan: Plan, changes: ChangeFile, *, cells: int = CELLS, origins: int = ORIGINS) -> Check:
    """Recompute pinned outcomes and training rows cell by cell, and compare.

    Args:
        plan: what is to be shown right.
        changes: the change file it was built on.
        cells: issued target cells recomputed at most, evenly spaced.
        origins: issued origins whose training rows are derived again, evenly spaced.

    Returns:
        `fail` if one number, instant, status or training row differs, with both.
    """
    began = time.perf_counter()
    truth = PlainTruth(plan, changes)
    asked = asked_cells(plan)
    sampled = [asked[place] for place in evenly(range(len(asked)), cells)]
    wrong = [finding for cell in sampled for finding in _cell(plan, truth, *cell)]
    looked = looked_at(plan.experiment.target, truth.data, SERIES)
    places = evenly(range(plan.first_issued, len(plan.instants)), origins)
    compared, misplaced = _training(plan, changes, truth, places, looked)
    others = [finding for origin in places for finding in _members(plan, truth, origin)]
    clocks = list(origins_that_differ(plan, NAME))
    findings = (*clocks[:SHOWN], *others[:SHOWN], *wrong[:SHOWN], *misplaced[:SHOWN])
    counted = {
        "cells recomputed": len(sampled),
        "cells in all": len(asked),
        "cells that differ": len(wrong),
        "origins whose training rows were derived again": len(places),
        "training rows compared": compared,
        "training rows that differ": len(misplaced),
        "memberships that differ": len(others),
        "origins that differ from their schedule": len(clocks),
    }
    table = pl.DataFrame({"what": list(counted), "number": list(counted.values())})
    shown = f"{len(sampled)} of {len(asked)} pinned outcomes and {compared} training rows at {len(places)} origins"
    differ = len(wrong) + len(misplaced) + len(others) + len(clocks)
    said = f"{shown} were derived again from publications and changes, one at a time: "
    said += f"{differ} differ." if differ else "none differs."
    verdict = FAILED if findings else PASSED
    return Check(NAME, verdict, said, findings, (("compared", table),), seconds=time.perf_counter() - began)


def _cell(plan: Plan, truth: PlainTruth, origin: int, series: int, place: int) -> Iterator[Finding]:
    """What differs about one issued cell."""
    window = truth.window(origin, plan.experiment.horizons[place])
    planned = int(plan.starts[origin, place]), int(plan.ends[origin, place])
    at = (origin, series, place)
    if planned != window:
        yield _finding(plan, at, "target period", PLANNING, (_days(truth, window), _days(truth, planned)))
        return
    table, request = plan.outcomes, plan.request[origin, place]
    expected = truth.of(series, *window)
    found = Truth(
        OUTCOME_STATUS[table.status[series, request]],
        _maybe(table.matured_at[series, request]),
        float(table.value[series, request]),
        _maybe(table.first_public[series, request]),
        bool(table.hindsight[series, request]),
    )
    pairs = {
        "status": (expected.status, found.status),
        "matured_at": (_moment(expected.due), _moment(found.due)),
        "first_public": (_moment(expected.first), _moment(found.first)),
        "hindsight": (str(expected.hindsight), str(found.hindsight)),
    }
    latest = plan.experiment.target.outcome.kind == "latest"
    opening = expected.first if latest else expected.due
    public = opening is not None and opening <= int(plan.known[origin])
    if public != bool(plan.already_public(origin)[series, place]):
        yield _finding(plan, at, "already public", SPLITS, (str(public), str(not public)))
    if not same(expected.value, found.value):
        yield _finding(plan, at, "value", OUTCOMES, (repr(expected.value), repr(found.value)))
    for column, pair in pairs.items():
        if pair[0] != pair[1]:
            yield _finding(plan, at, column, OUTCOMES, pair)


def _members(plan: Plan, truth: PlainTruth, origin: int) -> Iterator[Finding]:
    """Series that are asked at an origin, or named in its snapshot, against what was announced by then."""
    asked, named = set(plan.members.names(origin)), set(plan.members.known(origin))
    announced = truth.members.announced(origin)
    for row, name in enumerate(plan.experiment.target.series):
        pairs = {
            "asked": (truth.members.asked(origin, row), name in asked),
            "announced": (name in announced, name in named),
        }
        for column, (expected, found) in pairs.items():
            if expected != found:
                yield Finding(
                    NAME, "member", plan.instants[origin], "members", MEMBERS, series_id=name, column=column,
                    row=f"universe {plan.experiment.target.universe}", expected=str(expected), found=str(found),
                )  # fmt: skip


def _training(
    plan: Plan, changes: ChangeFile, truth: PlainTruth, places: list[int], looked: list[int]
) -> tuple[int, list[Finding]]:
    """Training rows compared, and what differs about them."""
    origins = plan.experiment.origins
    replay = Replay(changes, plan.inputs, latency=origins.latency, exclude_hindsight=plan.experiment.exclude_hindsight)
    count, wrong = 0, []
    for origin in places:
        replay.advance(plan.instants[origin])
        snapshot = replay.snapshot(plan.experiment.target)
        for place, step in enumerate(plan.experiment.horizons):
            chosen = training_set(plan, origin, place, snapshot)
            cells = (chosen.origins, chosen.series, np.full(len(chosen.origins), place))
            labels = training_labels(plan, cells, snapshot).tolist()
            ends = plan.ends[chosen.origins, place].tolist()
            rows = zip(chosen.origins.tolist(), chosen.series.tolist(), ends, labels, strict=True)
            found = {(row, one): PlainLabel(row, one, end, label) for row, one, end, label in rows if one in looked}
            expected = {(row.origin, row.series): row for row in plain_labels(truth, origin, step, looked)}
            count += len(expected)
            for key in sorted(found.keys() | expected.keys()):
                pair = (expected.get(key), found.get(key))
                if pair[0] is None or pair[1] is None or not same(pair[0].label, pair[1].label):
                    wrong.append(_row_finding(plan, origin, step, key, pair))
    return count, wrong


def _row_finding(
    plan: Plan, origin: int, step: int, key: tuple[int, int], pair: tuple[PlainLabel | None, PlainLabel | None]
) -> Finding:
    both = all(one is not None for one in pair)
    texts = ["no training row" if one is None else repr(one.label) for one in pair]
    return Finding(
        NAME,
        "training label" if both else "training row",
        plan.instants[origin],
        "training rows",
        OUTCOMES if both else SPLITS,
        series_id=plan.experiment.target.series[key[1]],
        row=f"pseudo-origin {plan.instants[key[0]].isoformat()}, h = {step}",
        column="label",
        expected=texts[0],
        found=texts[1],
    )


def _finding(plan: Plan, at: tuple[int, int, int], column: str, place: str, pair: tuple[str, str]) -> Finding:
    origin, series, step = at
    return Finding(
        NAME,
        "pinned outcome",
        plan.instants[origin],
        "outcomes",
        place,
        series_id=plan.experiment.target.series[series],
        row=f"period {plan.end_days[origin, step]}, h = {plan.experiment.horizons[step]}",
        column=column,
        expected=pair[0],
        found=pair[1],
    )


def _maybe(micro: np.int64) -> int | None:
    return None if micro == NEVER else int(micro)


def _moment(micro: int | None) -> str:
    return "never" if micro is None else instant(micro).isoformat()


def _days(truth: PlainTruth, window: tuple[int, int]) -> str:
    first, last = (period_end(truth.frequency, ordinal).isoformat() for ordinal in window)
    return last if first == last else f"{first} to {last}"
