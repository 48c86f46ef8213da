"""Forecasts made elsewhere that tell what nobody could: periods that had not begun when they were issued."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from harness.backtest.design import row_keys
from harness.backtest.splits import Plan
from harness.core.frames import Rows
from harness.core.time import EPOCH, local_day
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.forecast.external import External
from harness.studies.copies import SERIES, final_values
from harness.studies.knowing import LEFT, Ends, asked_of, left_by
from harness.studies.plain_cells import MISSING, PlainSeries, evenly
from harness.studies.verdict import Finding

RULE = f"a forecast of a period to come leaves over {LEFT:.0%} of the error of the target's own past"


def foretold(plan: Plan, changes: ChangeFile, data: Mapping[str, PlainSeries]) -> list[Finding]:
    """External forecasts that leave next to nothing of the error of the target's own past.

    Only cells whose target period had not begun at their origin are looked at: of a period that has begun, much may be
    known to those who look.

    Args:
        plan: the plan.
        changes: the change file it was built on.
        data: everything stated of the inputs.

    Returns:
        A finding for each external, horizon and target series (some of a panel) that leaves a tenth of it at most.
    """
    experiment = plan.experiment
    models = [recipe for recipe in experiment.models if recipe.kind == "external"]
    if not models:
        return []
    told = _answers(plan, changes, tuple(recipe.source for recipe in models))
    ends, days = Ends(plan, data), _days(plan, data)
    findings = []
    for series in evenly(range(len(experiment.target.series)), SERIES):
        name = experiment.target.series[series]
        final = final_values(plan, data, experiment.target.transform, name)
        for place, step in enumerate(experiment.horizons):
            asked = asked_of(plan, data, ends, final, (series, place))
            for number, recipe in enumerate(models):
                values = told[number, :, series, place]
                there = np.isfinite(values) & np.isfinite(asked.labels) & (days <= asked.begins)
                left = left_by(asked, values[:, None], [(0, there)])
                if left.share <= LEFT:
                    findings.append(
                        Finding(
                            "facts", "forecast knows the outcome", stage="forecast", place=recipe.source,
                            model=recipe.name, series_id=name, row=f"h = {step}", expected=RULE,
                            found=f"leaves {left}", cells=left.rows,
                        )
                    )  # fmt: skip
    return findings


def _answers(plan: Plan, changes: ChangeFile, sources: tuple[str, ...]) -> Floats:
    """[source, origin, series, horizon] what was forecast at each origin; NaN = nothing, or a series not looked at."""
    experiment = plan.experiment
    latency, hidden = experiment.origins.latency, experiment.exclude_hindsight
    replay = Replay(changes, plan.inputs, latency=latency, exclude_hindsight=hidden, sources=sources)
    names, steps = experiment.target.series, range(len(experiment.horizons))
    places = {names[place]: place for place in evenly(range(len(names)), SERIES)}
    out = np.full((len(sources), len(plan.instants), len(names), len(steps)), MISSING)
    for origin, moment in enumerate(plan.instants):
        replay.advance(moment)
        snapshot = replay.snapshot(experiment.target, copy=False)
        members = [places[name] for name in (snapshot.target or experiment.target).series if name in places]
        series, horizons = np.repeat(members, len(steps)), np.tile(np.arange(len(steps)), len(members))
        rows = Rows(pl.DataFrame(), row_keys(plan, np.full(len(series), origin), series, horizons).frame())
        for number, source in enumerate(sources):
            said = External(source).predict(rows, snapshot).filter(pl.col("quantile").is_null())
            out[number, origin, series, horizons] = said["value"].fill_null(MISSING).to_numpy()
    return out


def _days(plan: Plan, data: Mapping[str, PlainSeries]) -> Floats:
    """[origin] its day in the target's zone, since the epoch."""
    target = plan.experiment.target
    zone = data[target.transform.inputs(target.series[0])[0]].series.zone
    return np.array([(local_day(moment, zone) - EPOCH).days for moment in plan.instants], dtype=np.float64)
