"""What the parts of an experiment must be to each other and to the data; every problem is noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np

from harness.core.errors import UserError
from harness.core.reading import Problems, meant, one_of
from harness.core.recipe import VINTAGES, FeatureBlock, Kpi, Origins, OutcomeRule, Target, Training
from harness.core.scale import based_inputs, based_operations
from harness.core.series import Series, check_zone
from harness.core.time import NEVER, end_of_day, instant, local_day, period_containing, period_end
from harness.core.transform import Transform
from harness.data.calendars import business_calendar
from harness.data.lags import release_micros
from harness.experiment.facts import FEW, Facts
from harness.experiment.features import TAKEN
from harness.experiment.holdout import check_claim
from harness.experiment.keys import KEYS
from harness.experiment.model_checks import check_functionals, check_listed, check_names, check_rivals, check_score
from harness.experiment.parts import Parts
from harness.experiment.schedule import LONGEST_LATENCY, NEAR, is_near
from harness.experiment.steps import check_steps

PROBE, PROBES = date(2020, 1, 1), 60
"""The periods on which a lag rule is tried: this many before that day."""


def check(parts: Parts, facts: Facts, problems: Problems) -> None:
    """Note everything wrong between the parts that could be made out."""
    target, origins = parts.target, parts.origins
    if target is not None:
        check_target(target, facts, problems)
        check_features(parts.features, target, facts, problems)
        check_rivals(parts.models, target, problems)
        check_score(parts.score_primary, target, problems)
        if origins is not None:
            check_origins(origins, facts.series[target.series[0]], problems)
    check_horizons(parts.horizons, target, problems)
    check_training(parts.training, problems)
    check_names(parts, problems)
    check_vintage(parts, problems)
    check_functionals(parts.models, problems)
    check_steps(parts.models, parts.features, problems)
    check_listed(parts, problems)
    if parts.kpi is not None and origins is not None:
        check_kpi(parts.kpi, origins.latency, problems)
    if parts.claim is not None:
        check_claim(parts.claim, parts, problems)


def check_target(target: Target, facts: Facts, problems: Problems) -> None:
    """One timeline, a transform its series can bear (S11, S12), an outcome its source can serve (S8)."""
    transform = target.transform
    names = _telling(target, transform, facts)
    for name in names:
        _check_transform("target.transform", name, transform, facts, problems)
    if len(set(target.series)) != len(target.series):
        problems.add(f"target.series = {_listed(target.series)}", "a series is named twice")
    declared = [facts.series[name] for name in names]
    _check_one_timeline("target.series", declared, problems)
    for series in declared:
        for rebased in _rebased(series.id, transform, facts):
            problems.add(
                f"target.transform = {transform.kind}",
                f"refused for {rebased}: its base changes between vintages, so levels of two dates do not compare",
                hint="use log_growth or growth",
            )
    for name in dict.fromkeys(name for stored in names for name in transform.inputs(stored)):
        _check_outcome(target.outcome, facts.series[name], facts, problems)


def _telling(target: Target, transform: Transform, facts: Facts) -> tuple[str, ...]:
    """The series of a target by which to judge all: of many alike one, and each that the transform itself names."""
    named = set(transform.inputs("")) & set(target.series)
    return tuple(dict.fromkeys([*facts.telling(target.series), *sorted(named)]))


def _listed(names: Sequence[str]) -> str:
    """Names for a message: all of a few, of many those that stand twice and how many there are."""
    if len(names) <= FEW:
        return str(list(names))
    twice = [name for name, count in Counter(names).items() if count > 1]
    return f"{len(names)} names, {', '.join(twice[:FEW])} more than once"


def _rebased(name: str, transform: Transform, facts: Facts) -> list[str]:
    """The series whose change of base the transformed value would carry."""
    return based_inputs(name, transform, facts.rebased)


def _check_transform(where: str, name: str, transform: Transform, facts: Facts, problems: Problems) -> None:
    series = facts.series[name]
    _check_one_timeline(where, [series, *(facts.series[other] for other in transform.inputs(name))], problems)
    if transform.other == name:
        problems.add(f"{where}.spread", f"subtracts {name} from itself")
    if transform.is_volatility and series.parsed.kind not in "BD":
        problems.add(
            f"{where} = realised_volatility",
            f"{name} has frequency {series.frequency}, a window counts sessions (B) or days (D)",
        )


def _check_one_timeline(where: str, series: Sequence[Series], problems: Problems) -> None:
    first = series[0]
    for other in series[1:]:
        for what in ("frequency", "calendar", "zone"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two:
                problems.add(
                    where, f"{first.id} and {other.id} differ in {what} ({one}, {two}), they must share one timeline"
                )


def _check_outcome(outcome: OutcomeRule, series: Series, facts: Facts, problems: Problems) -> None:
    where = f'target.outcome = "{outcome}"'
    reason = facts.uncountable.get(series.id, "")
    if outcome.kind == "release" and outcome.number > 1 and reason:
        problems.add(where, f"refused for {series.id}: {reason}", hint='use "first", "latest" or "after N days"')
    if outcome.kind == "after" and series.lag is not None:
        try:
            _check_wait(where, outcome.number, series, problems)
        except UserError as error:
            problems.add(f"the lag rule of {series.id}", f"{error.what} {error.value}", hint=error.fix)


def _check_wait(where: str, days: int, series: Series, problems: Problems) -> None:
    """Every release of some years, by the rule, comes out within the days that the outcome waits."""
    if series.lag is not None and series.lag.kind == "dates":
        ends = [end for end, _ in series.lag.dates]
    else:
        newest = period_containing(series.parsed, PROBE)
        ends = [period_end(series.parsed, ordinal) for ordinal in range(newest - PROBES, newest)]
    ordinals = np.array([period_containing(series.parsed, end) for end in ends], dtype=np.int64)
    waits = [
        local_day(instant(int(release)), series.zone) - end
        for end, release in zip(ends, release_micros(series, ordinals), strict=True)
        if release != NEVER
    ]
    longest = max(waits, default=timedelta(0)).days
    if days < longest:
        problems.add(
            where,
            f"shorter than the lag rule of {series.id}, by which a value may come out {longest} days after its period",
            hint=f'use "after {longest} days" or more',
        )


def check_origins(origins: Origins, series: Series, problems: Problems) -> None:
    """The span runs forwards, and the schedule has the calendar it counts on."""
    every = origins.every
    if origins.last is not None and origins.last < origins.first:
        problems.add(f"origins.last = {origins.last}", f"before the first scored origin, {origins.first}")
    if every.kind == "sessions" and series.parsed.kind != "B":
        problems.add(
            "origins.every",
            f"counts sessions, and {series.id} is not a series of sessions ({series.frequency})",
            hint='use "month end", "friday" or a list of dates',
        )
    if every.kind == "business_month_end" and not (every.calendar or series.calendar):
        problems.add(
            "origins.calendar",
            f"missing, and {series.id} has none",
            hint='add a business calendar, like calendar = "XNYS" or "holidays:GB"',
        )
    if every.calendar:
        try:
            business_calendar(every.calendar)
        except UserError as error:
            problems.add(f'origins.calendar = "{every.calendar}"', error.what, hint=error.fix)
    zone = origins.zone or series.zone
    if _check_bounds(origins, zone, problems):
        _check_dates(replace(origins, zone=zone), problems)


def _check_bounds(origins: Origins, zone: str, problems: Problems) -> bool:
    """Whether the days, the latency and the zone are such that instants can be made of them."""
    before = len(problems.lines)
    try:
        check_zone(zone)
    except UserError as error:
        problems.add(f'origins.zone = "{zone}"', error.what, hint=error.rule)
    if not timedelta(0) <= origins.latency < LONGEST_LATENCY:
        problems.add(f"origins.latency = {origins.latency}", f"from 0 to less than {LONGEST_LATENCY.days} days")
    for key, day in (("first", origins.first), ("last", origins.last)):
        if day is not None and not is_near(day):
            problems.add(f"origins.{key} = {day}", NEAR)
    for key, days in (("every", origins.every.dates), ("pseudo", origins.every.pseudo)):
        far = [day for day in days if not is_near(day)]
        if far:
            problems.add(f"origins.{key} = {far[0].isoformat()}", NEAR)
    return len(problems.lines) == before


def _check_dates(origins: Origins, problems: Problems) -> None:
    first = end_of_day(origins.first, origins.zone)
    every = origins.every
    issued = [_moment(day, origins.zone) for day in every.dates]
    before = sum(1 for moment in issued if local_day(moment, origins.zone) < origins.first)
    if every.kind == "dates" and before < origins.warm_up:
        problems.add(
            f"origins.warm_up = {origins.warm_up}", f"only {before} of the listed origins precede {origins.first}"
        )
    if every.kind == "dates" and before == len(issued):
        problems.add(f"origins.first = {origins.first}", "after every listed origin")
    late = [day for day in every.pseudo if _moment(day, origins.zone) >= (min(issued) if issued else first)]
    if late:
        problems.add("origins.pseudo", f"pseudo-origins precede the first origin; {late[0].isoformat()} does not")


def _moment(day: date | datetime, zone: str) -> datetime:
    return day if isinstance(day, datetime) else end_of_day(day, zone)


def check_horizons(horizons: Sequence[int], target: Target | None, problems: Problems) -> None:
    """Distinct horizons; a forward window starts at the first session after the origin at the earliest (S12)."""
    where = f"horizons.steps = {list(horizons)}"
    if not horizons:
        problems.add("horizons.steps", "at least one horizon is needed", hint="add steps = [1]")
    if len(set(horizons)) != len(horizons):
        problems.add(where, "a horizon is listed twice")
    if target is not None and target.transform.is_volatility and any(step < 1 for step in horizons):
        problems.add(where, "a window of sessions to come starts at 1 at the earliest: nothing known may lie inside")


def check_training(training: Training, problems: Problems) -> None:
    """A rolling window holds the minimum."""
    if training.rolling is not None and training.rolling < training.minimum:
        problems.add(
            f"training.minimum = {training.minimum}",
            f"more than the rolling window of {training.rolling} holds: every learner would abstain at every origin",
        )


def check_vintage(parts: Parts, problems: Problems) -> None:
    """A known word, and no block that carries the name of its key."""
    if parts.vintage not in VINTAGES:
        problems.add(f'features.vintage = "{parts.vintage}"', one_of(VINTAGES), hint=meant(parts.vintage, VINTAGES))
    for name in parts.blocks:
        if name in KEYS["feature_rows"]:
            problems.add(f"features.{name}", TAKEN)


def check_features(blocks: Sequence[FeatureBlock], target: Target, facts: Facts, problems: Problems) -> None:
    """Inputs on one timeline with what they are compared to, and no level of a series whose base changes (S11)."""
    for block in blocks:
        where = f"features.{block.name}"
        names = [block.series] if block.series else _telling(target, block.transform, facts)
        for name in names:
            _check_transform(f"{where}.transform", name, block.transform, facts, problems)
            for rebased in _rebased(name, block.transform, facts):
                _check_scale(where, rebased, block, problems)


def _check_scale(where: str, name: str, block: FeatureBlock, problems: Problems) -> None:
    scaled = based_operations(block)
    if scaled:
        problems.add(
            f"{where}.{scaled[0]}",
            f"refused on {block.transform.kind} of {name}: its base changes between vintages, "
            "so the numbers of two origins do not compare",
            hint="use transform = { log_growth = 1 }, or the operations log_growth and ratio",
        )


def check_kpi(kpi: Kpi, latency: timedelta, problems: Problems) -> None:
    """A forecast that is traded on needs time between knowing and trading (S2)."""
    if kpi.trades and latency <= timedelta(0):
        problems.add(
            "origins.latency",
            "missing: with kpi.trades = true nothing published at the instant of the trade can be used",
            hint='add latency = "15 minutes" (or what it takes) to [origins]',
        )
    if kpi.under == kpi.over == 0:
        problems.add("kpi.under", "both prices are 0, so no forecast is better than another")
