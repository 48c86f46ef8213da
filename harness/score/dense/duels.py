"""Every model of a panel against every rival, from sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.score.aggregate import mean
from harness.score.dense.look import Look
from harness.score.dense.panel import Stage
from harness.score.dense.sums import Design, Sums
from harness.score.grid import Floats
from harness.score.power import SeenDifference
from harness.score.rivals import Comparison, Meeting, compared, overlap_of


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """All that is known of a panel after both walks."""

    stage: Stage
    look: Look
    design: Design
    sums: Sums


def over_the_run(found: Found) -> dict[str, Floats]:
    """Primary metric of each rival on all scorable cells [horizon]; NaN where it is not defined."""
    return {one.model: _value(found, number, 0) for number, one in enumerate(found.stage.models) if one.is_rival}


def seen_in(found: Found, model: str) -> tuple[SeenDifference, ...]:
    """Loss differences of one model with every rival, as `power.seen_differences`.

    A pair with an infinite loss at a horizon is left out there.

    Args:
        found: of both walks.
        model: the model.
    """
    stage, told = found.stage, []
    number = [one.model for one in stage.models].index(model)
    held = stage.models[number].in_span
    for place, horizon in enumerate(stage.horizons.tolist()):
        for other, rival in enumerate(stage.models):
            if not rival.is_rival or other == number or not found.look.planned[place, held].any():
                continue
            seen = _meeting(found, place, number, other)
            if seen.difference is not None and seen.difference.size:
                told.append(
                    SeenDifference(
                        horizon, model, rival.model, seen.difference, seen.bandwidth, seen.value, seen.rival_value
                    )
                )
    return tuple(told)


def compare_all(found: Found) -> tuple[Comparison, ...]:
    """Comparisons ordered by horizon, model and rival, as `rivals.compare_all`."""
    return tuple(pair for place in range(found.stage.horizons.size) for pair in _at_horizon(found, place))


def _at_horizon(found: Found, place: int) -> Iterator[Comparison]:
    stage = found.stage
    for number, model in enumerate(stage.models):
        if not found.look.planned[place, model.in_span].any():
            continue
        for other, rival in enumerate(stage.models):
            if rival.is_rival and other != number:
                meeting = _meeting(found, place, number, other)
                yield compared(int(stage.horizons[place]), model.model, rival.model, stage.spec, meeting)


def _meeting(found: Found, place: int, model: int, rival: int) -> Meeting:
    span = found.design.span_of[model]
    cells = np.where(found.design.spans[span], found.look.scorable[place], 0)  # [origin]
    used = cells > 0
    return Meeting(
        n=int(cells.sum()),
        n_origins=int(used.sum()),
        value=float(_value(found, model, span)[place]),
        rival_value=float(_value(found, rival, span)[place]),
        bandwidth=overlap_of(found.stage.origins[used], found.look.public[place, used], found.stage.spec),
        difference=_difference(found, place, model, rival),
    )


def _value(found: Found, model: int, span: int) -> Floats:
    """Primary metric of a model on a span [horizon]."""
    design, metric = found.design, found.stage.spec.primary
    if design.span_of[model] == span:
        column = model * len(design.lines) + design.lines.index(metric)
    else:
        column = 2 * len(found.stage.models) * len(design.lines) + design.guests.index((model, span))
    cells = found.look.scaled.get(metric, found.look.scorable)
    return mean(metric, found.sums.whole[:, column], cells[:, design.spans[span]].sum(axis=1))


def _difference(found: Found, place: int, model: int, rival: int) -> Floats | None:
    """Mean loss difference per origin; None if a loss is infinite."""
    design, look = found.design, found.look
    pair, span = (min(model, rival), max(model, rival)), design.span_of[model]
    number, duel = look.pairs.index(pair), design.duels.index((*pair, span))
    if np.isinf(design.noise[duel, place]):
        return None
    cells = look.defined[number, place]
    used = design.spans[span] & (cells > 0)
    totals = found.sums.difference[place].reshape(len(design.duels), -1)[duel, used]
    signed = totals if model < rival else 0.0 - totals
    return np.asarray(signed / cells[used], dtype=np.float64)
