"""The naive rivals written plainly, one question at a time, from levels in a dictionary: the definition to match."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.core.transform import LOGARITHMIC, Transform

Levels = Mapping[int, float]
"""Level by position; a period that is not there is not published."""


def transformed(levels: Levels, transform: Transform) -> dict[int, float]:
    out = {}
    for place, level in levels.items():
        before = levels.get(place - transform.span)
        if transform.kind == "level":
            out[place] = level
        elif before is not None:
            out[place] = growth(before, level, transform)
    return out


def growth(before: float, level: float, transform: Transform) -> float:
    if transform.kind == "difference":
        return level - before
    if transform.kind in ("growth", "return"):
        return 100.0 * (level / before - 1.0)
    return 100.0 * (math.log(level) - math.log(before))


def steps(levels: Levels, transform: Transform) -> dict[int, float]:
    kind = "log_growth" if transform.kind in LOGARITHMIC else "difference"
    return transformed(levels, Transform(kind, 1))


def mean(values: Mapping[int, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None


def same_season(values: Mapping[int, float], place: int, season: int) -> float | None:
    fitting = [other for other in values if (other - place) % season == 0]
    return values[max(fitting)] if fitting else None


def rival(kind: str, levels: Levels, transform: Transform, place: int, season: int) -> float | None:
    """The answer of a rival for the period at `place`, None = no answer."""
    known = transformed(levels, transform)
    if kind.startswith("path_"):
        return path(kind, levels, transform, place, season)
    if kind in ("zero", "historic_mean"):
        return 0.0 if kind == "zero" else mean(known)
    if place in known or not known:
        return known.get(place)
    first, last = min(known), max(known)
    if kind == "seasonal_last_value":
        return same_season(known, place, season)
    if kind == "last_value":
        return known[last]
    return known[last] + (place - last) * (known[last] - known[first]) / (last - first) if last > first else None


def path(kind: str, levels: Levels, transform: Transform, place: int, season: int) -> float | None:
    if not levels:
        return None
    known, last = steps(levels, transform), max(levels)
    if transform.kind == "level":
        if place <= last:
            return levels.get(place)
        window, start = range(last + 1, place + 1), levels[last]
    else:
        window, start = range(place - transform.span + 1, place + 1), 0.0
    total = start
    for one in window:
        step = known.get(one) if one <= last else filled(kind, known, one, season)
        if step is None:
            return None
        total += step
    return 100.0 * math.expm1(total / 100.0) if transform.kind in ("growth", "return") else total


def filled(kind: str, known: Mapping[int, float], place: int, season: int) -> float | None:
    if kind == "path_zero":
        return 0.0
    if kind == "path_mean_step":
        return mean(known)
    if kind == "path_last_step":
        return known[max(known)] if known else None
    return same_season(known, place, season)
