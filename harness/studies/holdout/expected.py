"""What a holdout can show before it is opened: how many origins, what they are worth, what difference they can find."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from harness.backtest.schedule import local_instant, origin_instants
from harness.backtest.splits import Plan
from harness.backtest.target_windows import target_windows
from harness.core.claim import Claim
from harness.core.errors import SealedError
from harness.core.time import NEVER, instant, micros, period_ends
from harness.data.changes import ChangeFile
from harness.record.plans import Expected
from harness.record.seals import Seal
from harness.score.power import POWER, SeenDifference, in_metric, origins_needed, power_of


@dataclass(frozen=True, slots=True)
class HoldoutOrigins:
    """The origins that lie in the holdout, known from the schedule alone.

    Attributes:
        instants: ascending.
        end_days: [origin, horizon] last day of the target period.
        until: microseconds UTC up to which every input is known, sealed part included.
    """

    instants: tuple[datetime, ...]
    end_days: NDArray[np.datetime64]
    until: int


def holdout_origins(plan: Plan, changes: ChangeFile, seals: Sequence[Seal]) -> HoldoutOrigins:
    """The origins at or after the cut that the sealed data reach.

    Raises:
        SealedError: there is none.
    """
    origins, name = plan.experiment.origins, plan.experiment.target.series[0]
    series = changes.series[plan.experiment.target.transform.inputs(name)[0]]
    known = dict(changes.known_through)
    for seal in seals:
        known |= {one: micros(datetime.fromisoformat(at)) for one, at in seal.known_through.items()}
    until = min(known[one] for one in plan.inputs if one in known)
    end = instant(until)
    if origins.last is not None:
        end = min(end, local_instant(origins.last, origins.every.at, origins.zone))
    cut = max(seal.instant for seal in seals)
    # counted from the first scored origin, as the schedule is
    found = tuple(at for at in origin_instants(origins, series, plan.instants[plan.first_scored], end) if at >= cut)
    if not found:
        raise SealedError(
            "no origin lies in the holdout",
            value=f"sealed from {cut.isoformat()}, known through {instant(until).isoformat()}",
            rule="a claim is judged at origins at or after the seal",
            fix="leave [origins] last out, or wait for newer data",
        )
    _, ends, _ = target_windows(plan.experiment, series, list(found))
    return HoldoutOrigins(found, period_ends(series.parsed, ends), until)


def expected_of(
    plan: Plan, seen: Sequence[SeenDifference], metric: str, claim: Claim, origins: HoldoutOrigins
) -> tuple[Expected, ...]:
    """What can be shown of the claimed model at each horizon, judged by development alone.

    Args:
        plan: of development.
        seen: loss differences of the claimed model with every rival, in the metric of the claim.
        metric: that metric.
        claim: with its model named.
        origins: of the holdout.
    """
    steps = plan.experiment.horizons
    matured = dict(zip(steps, _matured(plan, origins), strict=True))
    found = []
    for step in steps:
        mine = [one for one in seen if one.horizon == step and math.isfinite(one.rival_value)]
        if mine:
            best = min(mine, key=lambda one: (one.rival_value, one.rival))
            found.append(_expected(best, matured[step], claim.level, metric))
    return tuple(found)


def warnings_of(expected: Sequence[Expected], claim: Claim, openings: int) -> Iterator[str]:
    """Why the claim may not be decided, or not confirm anything.

    Args:
        expected: by horizon.
        claim: with its horizon named.
        openings: how often the holdout was opened so far.
    """
    if openings:
        times = f"{openings} time{'s' * (openings != 1)}"
        yield f"the holdout was opened {times}: this plan can be exploratory only (open --again --reason ...)"
    mine = next((one for one in expected if one.horizon == claim.horizon), None)
    if mine is None:
        yield f"the claim cannot be decided: {claim.model} has no scored cell at h = {claim.horizon} in development"
    elif mine.matured < mine.needed:
        yield (
            f"the claim cannot be decided: {mine.matured} matured origins are expected, {mine.needed} are needed with "
            f"a bandwidth of {mine.bandwidth}"
        )
    elif mine.effective is None:
        yield f"whether the claim can be decided is not known: development shows no loss difference to {mine.rival}"
    elif mine.smallest is None:
        yield (
            f"the claim can hardly be decided: even a perfect forecast would not be found better with {POWER:.0%} "
            f"power, as the smallest difference that is found exceeds the error of {mine.rival} itself, "
            "given how much losses varied in development"
        )
    elif mine.seen < mine.smallest:
        yield (
            f"the claim can hardly be decided: in development the difference to {mine.rival} was {mine.seen:.4g}, the "
            f"smallest that is found with {POWER:.0%} power is {mine.smallest:.4g}"
        )


def _expected(seen: SeenDifference, matured: int, level: float, metric: str) -> Expected:
    power = power_of(seen.difference, bandwidth=seen.bandwidth, n=matured, level=level)
    smallest = None if power.smallest is None else in_metric(metric, seen.rival_value, power.smallest)
    return Expected(
        horizon=seen.horizon,
        matured=matured,
        needed=origins_needed(seen.bandwidth),
        bandwidth=seen.bandwidth,
        effective=None if math.isnan(power.effective) else power.effective,
        rival=seen.rival,
        value=seen.value,
        rival_value=seen.rival_value,
        smallest=smallest,
        per_cent=100.0 * smallest / abs(seen.rival_value) if smallest is not None and seen.rival_value else None,
    )


def _matured(plan: Plan, origins: HoldoutOrigins) -> list[int]:
    """[horizon] origins whose outcome will be public, if none waits longer after its period than in development."""
    latest = plan.experiment.target.outcome.kind == "latest"
    public = plan.outcomes.first_public if latest else plan.outcomes.matured_at
    counted = []
    for place in range(len(plan.experiment.horizons)):
        when = public[:, plan.request[plan.first_scored :, place]].max(axis=0)  # [scored origin]
        ended = _micros(plan.end_days[plan.first_scored :, place])
        waits = (when - ended)[when != NEVER]
        to_come = _micros(origins.end_days[:, place])
        counted.append(int((to_come + waits.max() <= origins.until).sum()) if waits.size else 0)
    return counted


def _micros(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return days.astype("datetime64[us]").astype(np.int64)
