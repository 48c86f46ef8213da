"""What a series' own publications say about it: values public too early, final values under early dates, new bases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from harness.backtest.splits import Plan, target_inputs
from harness.core.errors import UserError
from harness.core.time import MICROS_PER_DAY, day_before, end_of_day, instant, local_day, micros, period_end
from harness.data.changes import ChangeFile
from harness.data.lags import release_micros
from harness.studies.plain_cells import PlainSeries, first_public
from harness.studies.verdict import Finding

RARE = 0.1
"""Up to this share of a series' periods, coming out before their end is an exception to be explained."""
STRETCH = 8
"""Periods never revised that are worth a word."""
CHANCE = 1e-4
"""Probability below which an unrevised stretch is no accident."""
JUMP = 2.0
"""Typical one-period changes that a change of base is at least worth."""


def too_early(plan: Plan, data: Mapping[str, PlainSeries]) -> list[Finding]:
    """Values stated before their period ended, where the lag rule or nine tenths of the other periods say otherwise.

    Values that always come early may be a survey's; of a period of which not half has passed little can be measured, so
    those are named unless a lag rule or `known_ahead` declares them.

    Args:
        plan: its inputs are looked at.
        data: everything stated of them.
    """
    findings = []
    ahead = _declared_ahead(plan)
    for name in plan.inputs:
        one = data[name]
        first = {period: at for period in one.stated if (at := first_public(one, period)) is not None}
        ends = {period: micros(end_of_day(period_end(one.series.parsed, period), one.series.zone)) for period in first}
        early = sorted(period for period, at in first.items() if at < ends[period])
        odd = early if len(early) <= RARE * len(first) else _ruled_later(one, early, ends)
        if odd:
            found = f"{instant(first[odd[0]]).isoformat()}; so for {len(odd)} periods"
            others = f", as {len(first) - len(early)} others are" if len(early) < len(first) else ""
            findings.append(
                _early(one, name, odd, first, (f"after {instant(ends[odd[0]]).isoformat()}{others}", found))
            )
        elif name not in ahead and one.series.lag is None:
            odd = [period for period in early if first[period] < _middle(one, period, ends[period])]
            if odd:
                findings.append(_early(one, name, odd, first, _said(odd, first, ends)))
    return findings


def _early(one: PlainSeries, name: str, odd: list[int], first: Mapping[int, int], said: tuple[str, str]) -> Finding:
    return Finding(
        "facts", "public before its period ended", instant(first[odd[0]]), "inputs", series_id=name,
        row=f"period {period_end(one.series.parsed, odd[0])}", expected=said[0], found=said[1], cells=len(odd),
    )  # fmt: skip


def _said(odd: list[int], first: Mapping[int, int], ends: Mapping[int, int]) -> tuple[str, str]:
    days = median((ends[period] - first[period]) / MICROS_PER_DAY for period in odd)
    found = f"{len(odd)} of {len(first)} earlier, {days:.3g} days before their end (median)"
    return (
        "once half of its period has passed, unless known_ahead or a lag rule declares it",
        f"{found}: survey, forecast or wrong stamps?",
    )


def _middle(one: PlainSeries, period: int, end: int) -> int:
    """Microseconds UTC at which half of a period had passed; for a day or session, which has quotes, its beginning."""
    begin = micros(end_of_day(day_before(one.series.parsed, period), one.series.zone))
    return begin + (0 if one.series.parsed.kind in "BD" else (end - begin) // 2)


def _declared_ahead(plan: Plan) -> set[str]:
    """Inputs that are read as known ahead only."""
    target = target_inputs(plan.experiment.target)
    read: dict[str, list[bool]] = {}
    for block in plan.experiment.features:
        only = len(block.columns()) == len(block.known_ahead) + len(block.calendar)
        for name in block.transform.inputs(block.series) if block.series else ():
            read.setdefault(name, []).append(only)
    return {name for name, only in read.items() if all(only) and name not in target}


def _ruled_later(one: PlainSeries, early: list[int], ends: Mapping[int, int]) -> list[int]:
    """Those periods that the series' lag rule dates at or after their own end."""
    if one.series.lag is None:
        return []
    try:
        ruled = release_micros(one.series, np.array(early, dtype=np.int64)).tolist()
    except UserError:  # a release calendar does not name all of them
        return []
    return [period for period, at in zip(early, ruled, strict=True) if at >= ends[period]]


@dataclass(frozen=True, slots=True)
class _Life:
    """How one period fared: whether it first came out when new, how often it was restated, and was it revised."""

    fresh: bool
    restated: int
    revised: bool


def never_revised(plan: Plan, changes: ChangeFile, data: Mapping[str, PlainSeries]) -> list[Finding]:
    """An opening stretch that was restated again and again and never changed, of a series that is revised.

    So look final values that were put under early dates. Only periods that came out while they were new count: history
    stated by the first vintage is old, and old values rest.
    """
    findings = []
    for name in plan.inputs:
        lives = _lives(changes, name, data[name])
        told = [(period, life) for period, life in sorted(lives.items()) if life.fresh and life.restated >= 3]
        stretch = next((place for place, (_, life) in enumerate(told) if life.revised), len(told))
        later = [life.revised for _, life in told[stretch:]]
        if stretch < STRETCH or len(later) < STRETCH:
            continue
        share = sum(later) / len(later)
        if (1.0 - min(share, 1.0 - 1e-9)) ** stretch > CHANCE:
            continue
        frequency = data[name].series.parsed
        span = f"{period_end(frequency, told[0][0])} to {period_end(frequency, told[stretch - 1][0])}"
        findings.append(
            Finding(
                "facts", "never revised", stage="inputs", series_id=name, row=f"periods {span}",
                expected=f"revised like the later ones ({share:.0%} of {len(later)})",
                found=f"{stretch} periods, all restated at least 3 times, none changed: final values, dated early?",
                cells=stretch,
            )
        )  # fmt: skip
    return findings


def _lives(changes: ChangeFile, name: str, one: PlainSeries) -> dict[int, _Life]:
    """How the periods fared that were not dated by assumption; none of a series that is never revised."""
    if all(len(said) == 1 for said in one.stated.values()):
        return {}
    table = changes.publications
    rows = np.flatnonzero((table.code == changes.codes[name]) & table.captured & table.countable)
    when, low, high = table.published[rows], table.first[rows], table.last[rows]
    delays = {}
    for period in one.stated:
        at = first_public(one, period)
        if at is not None and not one.stated[period][0].assumed:
            delays[period] = (at - micros(end_of_day(period_end(one.series.parsed, period), one.series.zone)), at)
    if not delays:
        return {}
    newest: dict[int, int] = {}
    for delay, at in delays.values():
        newest[at] = min(delay, newest.get(at, delay))
    usual = max(2 * median(newest.values()), median(newest.values()) + 31 * MICROS_PER_DAY)
    lives = {}
    for period, (delay, at) in delays.items():
        again = len(np.unique(when[(when > at) & (low <= period) & (period <= high)]))
        lives[period] = _Life(delay <= usual, again, len(one.stated[period]) > 1)
    return lives


def partial_rebases(plan: Plan, data: Mapping[str, PlainSeries]) -> list[Finding]:
    """Publications that moved a part of the known history by a factor and left its neighbour: a jump in one snapshot.

    Growth across that seam is growth between two bases (law 5). The factor must be large against the series' usual
    one-period change, about the same over the part, and there at the seam.
    """
    findings = []
    for name in plan.inputs:
        one = data[name]
        standing: dict[int, float] = {}
        events: dict[int, dict[int, float]] = {}
        for period, said in one.stated.items():
            for stated in said:
                events.setdefault(stated.published, {})[period] = stated.value
        for at in sorted(events):
            moved = {period: math.log(value / standing[period]) for period, value in events[at].items()
                     if value > 0 and standing.get(period, 0.0) > 0}  # fmt: skip
            seam = _seam(moved, standing)
            if seam is not None:
                findings.append(_rebase(one, name, at, moved, seam))
            standing.update({period: value for period, value in events[at].items() if not math.isnan(value)})
    return findings


def _seam(moved: dict[int, float], standing: dict[int, float]) -> int | None:
    """First period after the jump between a moved and an unmoved part; None = there is no such jump."""
    changed = {period: shift for period, shift in moved.items() if shift != 0}
    if len(changed) < 4:
        return None
    low, high = min(changed), max(changed)
    middle = median(changed.values())
    spread = median(abs(shift - middle) for shift in changed.values())
    usual = _usual_change(standing)
    if usual == 0 or abs(middle) < JUMP * usual or spread > abs(middle) / 3 or len(changed) < 0.9 * (high - low + 1):
        return None
    for edge, outside, first in ((low, low - 1, low), (high, high + 1, high + 1)):
        there = outside in standing and outside not in changed
        if there and changed[edge] * middle > 0 and abs(changed[edge]) >= abs(middle) / 4:
            return first
    return None


def _usual_change(standing: dict[int, float]) -> float:
    """Median absolute deviation of one-period log changes, scaled to a standard deviation; 0 = too few."""
    steps = [
        math.log(value / standing[period - 1])
        for period, value in standing.items()
        if value > 0 and standing.get(period - 1, 0.0) > 0
    ]
    if len(steps) < 4:
        return 0.0
    middle = median(steps)
    return 1.4826 * median(abs(step - middle) for step in steps)


def _rebase(one: PlainSeries, name: str, at: int, moved: dict[int, float], seam: int) -> Finding:
    factor = math.exp(median(shift for shift in moved.values() if shift != 0))
    day = local_day(instant(at), one.series.zone)
    return Finding(
        "facts", "part restated on another base", instant(at), "inputs", series_id=name,
        row=f"seam before period {period_end(one.series.parsed, seam)}",
        expected="one base inside one snapshot",
        found=f"the publication of {day} moved {len(moved)} periods by a factor of about {factor:.4f}, not the rest",
        cells=len(moved),
    )  # fmt: skip
