"""Check `facts`: what the data of a plan were, what about them is odd, and whether feature rows hold what was known."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import polars as pl

from harness.backtest.data_facts import input_facts
from harness.backtest.splits import FATES, Plan, row_fates
from harness.core.frames import UTC_INSTANT
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.studies.copies import near_copies
from harness.studies.foretold import foretold
from harness.studies.frozen_rows import compare_rows
from harness.studies.knowing import knowing_columns
from harness.studies.near_origin import all_arrivals, same_day, stale_inputs
from harness.studies.plain_cells import evenly, plain_series
from harness.studies.plain_members import PlainMembers
from harness.studies.restated import never_revised, partial_rebases, too_early
from harness.studies.verdict import FAILED, PASSED, Check, Finding

NAME = "facts"
PURGED_AT = 12
"""Scored origins at which rows are counted by fate."""
SHOWN = 20
"""Differing feature values listed; all are counted."""
Warn = Callable[[ChangeFile, str], str]
"""(change file, stored id) -> a sentence worth knowing, "" = nothing."""


def facts(
    plan: Plan, changes: ChangeFile, design: Floats, *, more: Sequence[Warn] = (), rows: int | None = None
) -> Check:
    """Say what the data were, and recompute a sample of feature rows from what their origin knew.

    Args:
        plan: the plan.
        changes: the change file it was built on.
        design: [origin, series, horizon, feature] as the models are given it.
        more: further warnings, asked of every input.
        rows: scored origins whose feature rows are recomputed, and as many before them; None = as many as are cheap.

    Returns:
        `fail` where a feature value is not what was published by its origin; otherwise `pass`, with findings that are
        worth knowing. Tables: `inputs`, `same_day`, `purged`, `stale`, `copies`, `closest_columns`, `warnings`.
    """
    began = time.perf_counter()
    data = plain_series(changes, plan.inputs)
    arrived = all_arrivals(data, plan.inputs)
    members = PlainMembers(plan, changes)
    compared = compare_rows(plan, data, members, design, rows)
    near, near_found = same_day(plan, changes)
    stale, stale_found = stale_inputs(plan, data, members, arrived)
    copies, copies_found = near_copies(plan, data)
    closest, closest_found = knowing_columns(plan, design, data)
    inputs = input_facts(plan, changes)
    asked = [
        Finding(NAME, "warning", stage="inputs", series_id=name, found=said)
        for name in plan.inputs
        for warn in more
        if (said := warn(changes, name))
    ]
    notes = [
        *closest_found, *copies_found, *foretold(plan, changes, data), *too_early(plan, data),
        *never_revised(plan, changes, data), *partial_rebases(plan, data), *stale_found, *near_found, *asked,
    ]  # fmt: skip
    tables = {
        "inputs": inputs,
        "same_day": near,
        "purged": purged_rows(plan, changes),
        "stale": stale,
        "copies": copies,
        "closest_columns": closest,
        "warnings": _counted(notes),
    }
    wrong = compared.wrong
    said = _sentence(len(compared.origins), compared.numbers, len(wrong), inputs, notes)
    return Check(
        NAME,
        FAILED if wrong else PASSED,
        said,
        (*wrong[:SHOWN], *notes),
        tuple(tables.items()),
        seconds=time.perf_counter() - began,
    )


def purged_rows(plan: Plan, changes: ChangeFile, *, count: int = PURGED_AT) -> pl.DataFrame:
    """Why earlier origins are, or are not, training rows: counts by fate at evenly spaced scored origins.

    Returns:
        One row per origin and horizon: `origin`, `horizon`, and a column of counts per fate.
    """
    experiment = plan.experiment
    replay = Replay(
        changes, plan.inputs, latency=experiment.origins.latency, exclude_hindsight=experiment.exclude_hindsight
    )
    rows = []
    for origin in evenly(range(plan.first_scored, len(plan.instants)), count):
        replay.advance(plan.instants[origin])
        snapshot = replay.snapshot(experiment.target, copy=False)
        for place, step in enumerate(experiment.horizons):
            fates = row_fates(plan, origin, place, snapshot)
            counts = {text: int((fates == code).sum()) for code, text in enumerate(FATES)}
            rows.append({"origin": plan.instants[origin], "horizon": step, **counts})
    return pl.DataFrame(rows).cast({"origin": UTC_INSTANT, "horizon": pl.Int32()})


def _counted(notes: list[Finding]) -> pl.DataFrame:
    kinds = Counter(note.how for note in notes)
    return pl.DataFrame(
        {"kind": list(kinds), "findings": list(kinds.values())}, schema={"kind": pl.String(), "findings": pl.Int64()}
    )


def _sentence(origins: int, numbers: int, wrong: int, inputs: pl.DataFrame, notes: list[Finding]) -> str:
    known = inputs.select(pl.col("observed", "rule", "assumed", "pseudo_real_time").mean()).row(0)
    shares = "{:.0%} of periods observed, {:.0%} by rule, {:.0%} assumed; {:.0%} pseudo real time".format(*known)
    rows = f"{numbers} feature values at {origins} origins were recomputed from what was published by then"
    differ = f"{wrong} differ" if wrong else "none differs"
    kinds = Counter(note.how for note in notes)
    listed = ", ".join(f"{count} {how}" for how, count in kinds.items())
    return f"{rows}: {differ}. Mean over inputs: {shares}. Worth knowing: {listed or 'nothing'}."
