"""Making the plan: an experiment resolved against what the archive holds, or refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from harness.backtest.membership import (
    check_members,
    data_start,
    known_until,
    membership,
    needed_from,
    with_members,
)
from harness.backtest.price_checks import check_prices
from harness.backtest.schedule import local_instant, origin_instants
from harness.backtest.splits import Plan, inputs_of
from harness.backtest.target_windows import target_windows
from harness.core.errors import FEW, BeyondKnownError, UnknownNameError, UserError, listed
from harness.core.recipe import Experiment
from harness.core.series import Series
from harness.core.time import (
    MICROSECOND,
    NEVER,
    day_before,
    default_season,
    end_of_day,
    instant,
    local_day,
    micros,
    period_ends,
)
from harness.data.changes import ChangeFile
from harness.data.outcomes import MATURED, outcomes
from harness.data.past import VALUELESS, beginnings
from harness.data.walked_outcomes import Windows


def build_plan(experiment: Experiment, changes: ChangeFile) -> Plan:
    """Resolve an experiment against what the archive holds.

    Raises:
        BeyondKnownError: an origin lies beyond what the archive has ingested.
        UserError: no origins, no matured outcome for a horizon, or pseudo real time without saying so (S6).
    """
    experiment = resolved(experiment, changes)
    inputs = inputs_of(experiment.features, experiment.target)
    _require(changes, inputs)
    _require_issues(changes, experiment)
    series = changes.series[_base(experiment)]
    check_prices(experiment, changes)
    until, starting = known_until(changes, inputs), data_start(experiment, changes)
    instants, first_issued, first_scored = _origins(experiment, series, starting, until)
    known = np.array([micros(moment - experiment.origins.latency) for moment in instants], dtype=np.int64)
    starts, ends, phase = target_windows(experiment, series, instants)
    # the origins before any value of the target served to count phases: there is no row to freeze at them
    drop = min(first_issued, int(np.searchsorted(known, starting)))
    first_issued, first_scored, instants = first_issued - drop, first_scored - drop, instants[drop:]
    known, starts, ends, phase = known[drop:], starts[drop:], ends[drop:], phase[drop:]
    members = membership(experiment, changes, instants, known)
    check_members(experiment, members, instants, first_issued)
    asked, place = np.unique(np.stack([starts.ravel(), ends.ravel()]), axis=1, return_inverse=True)
    table = outcomes(changes, experiment.target, Windows(asked[0], asked[1]), until=until)
    plan = Plan(
        experiment,
        inputs,
        tuple(instants),
        first_issued,
        first_scored,
        known,
        phase,
        starts,
        ends,
        period_ends(series.parsed, ends),
        place.reshape(starts.shape).astype(np.int64),
        table,
        until,
        members,
        (changes.hash, table),
    )
    _check_real_time(plan, changes)
    _check_outcomes(plan)
    return plan


def resolved(experiment: Experiment, changes: ChangeFile) -> Experiment:
    """The experiment with the universe's series, the origins' zone and the season filled in where they are blank."""
    experiment = replace(experiment, target=with_members(experiment.target, changes))
    series = changes.series[_base(experiment)]
    zone = experiment.origins.zone or series.zone
    season = experiment.target.season or default_season(series.parsed.kind)
    return replace(
        experiment, origins=replace(experiment.origins, zone=zone), target=replace(experiment.target, season=season)
    )


def _base(experiment: Experiment) -> str:
    target = experiment.target
    return target.transform.inputs(target.series[0])[0]


def _require(changes: ChangeFile, inputs: tuple[str, ...]) -> None:
    empty = [name for name in inputs if name not in changes.known_through]
    if empty:
        raise UserError("series without any ingested value", value=listed(empty, FEW), fix=VALUELESS)


def _require_issues(changes: ChangeFile, experiment: Experiment) -> None:
    """An external that nobody ever issued is a misspelt name, not a model that abstains."""
    if not any(recipe.source for recipe in experiment.models):
        return
    codes = changes.codes_of(experiment.target.series)
    issued = changes.forecasts.filter(pl.col("code").is_in(codes))["source"].unique().to_list()
    for recipe in experiment.models:
        if recipe.source and recipe.source not in issued:
            raise UnknownNameError(
                f"source of external forecasts of the target (model {recipe.name})", recipe.source, issued
            )


def _origins(experiment: Experiment, series: Series, data_start: int, until: int) -> tuple[list[datetime], int, int]:
    origins = experiment.origins
    start = local_instant(origins.first, origins.every.at, origins.zone)
    end = instant(until)
    if origins.last is not None:
        end = local_instant(origins.last, origins.every.at, origins.zone)
        if micros(end) > until:
            raise BeyondKnownError(
                "an origin lies beyond what is known",
                value=end.isoformat(),
                rule=f"the archive knows its inputs through {instant(until).isoformat()}",
                fix="ingest later data, or set an earlier last",
            )
    # a year more than the data: the phase of the first pseudo-origin needs its whole target period
    earliest = min(instant(data_start), start) - timedelta(days=400)
    if series.parsed.kind == "T":
        # nor before the table: what no period is declared for has no target period
        reach = min(max(0, -min(experiment.horizons)), len(series.period_table) - 1)
        begins = end_of_day(day_before(series.parsed, reach), series.zone) + MICROSECOND
        earliest = max(earliest, min(begins, start))
    found = origin_instants(origins, series, earliest, end)
    scored = [place for place, moment in enumerate(found) if local_day(moment, origins.zone) >= origins.first]
    if not scored:
        raise UserError(
            "no origin to score",
            value=f"first = {origins.first}",
            rule=f"the archive knows its inputs through {instant(until).isoformat()}",
            fix="set an earlier first, or ingest later data",
        )
    first_scored = scored[0]
    return found, max(0, first_scored - origins.warm_up), first_scored


def _check_real_time(plan: Plan, changes: ChangeFile) -> None:
    """S6: a scored origin may not precede the first true vintage of target and inputs unless it is marked."""
    if plan.experiment.pseudo_real_time:
        return
    first = plan.known[plan.first_scored]
    found = beginnings(changes).first_true_vintage[changes.codes_of(plan.inputs)]
    needed = np.full(len(found), int(first), dtype=np.int64)
    if plan.experiment.target.universe:
        asked = needed_from(changes, plan.members, plan.known, plan.first_scored)
        needed = np.array([asked.get(name, int(first)) for name in plan.inputs], dtype=np.int64)
    late = np.flatnonzero((found == NEVER) | (found > needed))
    if len(late):
        begun = beginnings(changes).first_published[changes.codes_of(plan.inputs)]
        shown = [
            f"{plan.inputs[place]} ({'no vintage at all' if at == NEVER else instant(at).date().isoformat()})"
            for place, at in zip(late.tolist(), found[late].tolist(), strict=True)
        ]
        fix = "set pseudo_real_time = true, or a later [origins] first"
        if (found[late] == begun[late]).all():
            fix = "these series begin later: leave them out, name them in a universe, or set a later [origins] first"
        raise UserError(
            "scored origins precede the first true vintage of an input",
            value=listed(shown, FEW),
            rule="final values put under an early date are pseudo real time, and results must say so",
            fix=fix,
        )
    scored = range(plan.first_scored, len(plan.instants))
    marked = (
        plan.outcomes.hindsight[:, plan.request[origin]]
        & ~plan.already_public(origin)
        & plan.members.member[origin][:, None]
        for origin in scored
    )
    if any(cells.any() for cells in marked):
        raise UserError(
            "outcomes to be scored are hindsight values",
            rule="an outcome dated before the vintage it comes from is scored only in a run marked pseudo real time",
            fix="set pseudo_real_time = true, or a later [origins] first",
        )


def _check_outcomes(plan: Plan) -> None:
    """A horizon without a single matured outcome at any scored origin cannot be judged."""
    for place, step in enumerate(plan.experiment.horizons):
        judged = False
        for origin in range(plan.first_scored, len(plan.instants)):
            status = plan.outcomes.status[:, plan.request[origin, place]]
            asked = plan.members.member[origin] & ~plan.already_public(origin)[:, place]
            judged |= bool(((status == MATURED) & asked).any())
            if judged:
                break
        if not judged:
            raise UserError(
                "a horizon has no matured outcome at any scored origin",
                value=f"h = {step}",
                rule="a forecast is judged only on outcomes that are public and were not public at its origin",
                fix="drop the horizon, start earlier, or ingest later data",
            )
