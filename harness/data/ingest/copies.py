"""Recognise a copied series, however it is renamed, rescaled, shifted, rounded, cut short or altered here and there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.time import Ordinals
from harness.core.transform import Floats

SHARE = 0.9
"""Share of the periods both have in which a copy says the same."""
PAIRS = 12
"""Different pairs of values that must agree: fewer may agree by chance (policy rates, flags, constants)."""
FEWEST = 6
"""Pairs below which nothing is compared: two of them make any line."""
EVIDENCE = 9.0
"""Fewer than `PAIRS` must agree so exactly that chance would do so once in ten to this power."""
FINE = 0.03
"""Part of a typical change that changes may be off where they are compared: coarser ones agree by chance."""
SHIFT = 3
"""Periods by which a copy may be displaced."""
PLACES = 8
"""Decimals up to which a rounding is looked for."""
JITTER = 1e-3
"""Part of a typical change by which an agreeing value may be off, so that noise does not make another series."""
ALONG = 0.5
"""How far more often than not a copy moves as its original (or always against it): a tenth of the values altered
spoils a fifth of the moves. Most pairs of series part here."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What a series said of its periods.

    Attributes:
        name: stored id.
        ordinals: [n] period ordinals on the calendar of the series compared with, ascending and distinct.
        values: [n] finite values.
    """

    name: str
    ordinals: Ordinals
    values: Floats


@dataclass(frozen=True, slots=True)
class Copy:
    """A series that is another one under another name.

    Attributes:
        name, original: stored ids.
        share: of the common periods in which both say the same, up to scale and shift.
        pairs: different pairs of values among those.
        scale, offset: value = scale * original + offset.
        displaced: periods by which it is shifted.
    """

    name: str
    original: str
    share: float
    pairs: int
    scale: float
    offset: float
    displaced: int

    @property
    def told(self) -> str:
        """How it is told; the values themselves are not."""
        moved = f", {abs(self.displaced)} period(s) {'later' if self.displaced > 0 else 'earlier'}"
        return (
            f"{self.name} says the same as {self.original} in {self.share:.0%} of their common periods, up to scale "
            f"and shift{moved if self.displaced else ''}"
        )


def copy_of(series: History, original: History) -> Copy | None:
    """Whether a series repeats another one.

    Both are compared on the periods they have in common, displaced by at most `SHIFT` of the original's own periods; so
    are their changes from one period to the next, which an added trend shifts by a constant.
    A line through the pairs is fitted so that a tenth of them may be anything (median of slopes, then least squares
    on the nearest nine tenths); a pair agrees when it lies on the line up to the rounding of both values. Nothing is
    drawn at random.

    Args:
        series: what may be a copy.
        original: what it may be a copy of.

    Returns:
        The best agreement that makes it a copy; None = it is another series.
    """
    found = [one for one in _agreements(series, original) if one.share >= SHARE]
    return max(found, key=lambda one: (one.share, one.pairs, -abs(one.displaced)), default=None)


def _agreements(series: History, original: History) -> Iterator[Copy]:
    unit_x, unit_y = rounding(original.values), rounding(series.values)
    place = np.searchsorted(original.ordinals, series.ordinals)
    shared = place < len(original.ordinals)
    shared[shared] = original.ordinals[place[shared]] == series.ordinals[shared]
    for displaced in sorted(range(-SHIFT, SHIFT + 1), key=abs):
        source = place - displaced
        both = shared & (source >= 0) & (source < len(original.ordinals))
        x, y = original.values[source[both]], series.values[both]
        next_to = np.diff(series.ordinals[both]) == 1
        for levels, one, other in ((True, x, y), (False, np.diff(x)[next_to], np.diff(y)[next_to])):
            if len(one) < FEWEST or not _moves_along(one, other):
                continue
            units = (unit_x, unit_y) if levels else (2 * unit_x, 2 * unit_y)
            same, line, slack = _agreeing(one, other, *units)
            pairs = min(len(np.unique(one[same])), len(np.unique(other[same])))
            if _enough(other[same], pairs, slack, levels=levels):
                yield Copy(series.name, original.name, float(same.mean()), pairs, *line, displaced)


def common(series: History, original: History) -> int:
    """How many periods two series have in common."""
    return len(np.intersect1d(series.ordinals, original.ordinals, assume_unique=True))


def _enough(agreeing: Floats, pairs: int, slack: float, *, levels: bool) -> bool:
    """Whether so many agreeing pairs, of so many digits, say something; changes must be fine ones."""
    if levels and pairs >= PAIRS:
        return True
    if pairs < FEWEST:
        return False
    fine = levels or slack <= FINE * float(np.median(np.abs(np.diff(agreeing))))
    return fine and (pairs - 2) * np.log10(max(float(np.ptp(agreeing)) / (2 * slack), 1.0)) >= EVIDENCE


def _moves_along(x: Floats, y: Floats) -> bool:
    moves = np.sign(np.diff(x)) * np.sign(np.diff(y))
    told = np.count_nonzero(moves)
    return bool(told > 0 and abs(moves.sum()) >= ALONG * told)


def _agreeing(
    x: Floats, y: Floats, unit_x: float, unit_y: float
) -> tuple[NDArray[np.bool_], tuple[float, float], float]:
    """Which pairs lie on one line, its scale and offset, and how far off it they may be; none without a line."""
    scale, offset = _line(x, y)
    if scale == 0.0 or not np.isfinite(scale):
        return np.zeros(len(x), dtype=bool), (0.0, 0.0), 0.0
    near = _nearest(x, y, scale, offset)
    steps = np.abs(np.diff(y[near]))
    typical = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    slack = _slack(abs(scale) * unit_x, unit_y, typical) + 1e-9 * (float(np.abs(y[near]).max()) + abs(offset))
    return np.abs(y - scale * x - offset) <= slack, (scale, offset), slack


def _slack(unit_x: float, unit_y: float, typical: float) -> float:
    """How far an agreeing value may be off the line, from the units both are rounded to and a typical change.

    Two series that move by one unit at a time in equal units (two unemployment rates) lie within a unit of one
    another without being the same: there a copy agrees exactly.
    """
    unit = max(unit_x, unit_y)
    alike = unit > 0 and min(unit_x, unit_y) > 0.9 * unit
    rounded = (0.1 if alike and typical < 2 * unit else 0.75) * unit
    return max(rounded, JITTER * typical)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Scale and offset that a tenth of the pairs cannot move."""
    order, half = np.argsort(x, kind="stable"), len(x) // 2
    low, high = order[:half], order[len(x) - half :]
    apart = x[high] - x[low]
    some = apart > 0
    if not some.any():
        return 0.0, 0.0
    scale = float(np.median((y[high] - y[low])[some] / apart[some]))
    offset = float(np.median(y - scale * x))
    for _ in range(4):
        near = _nearest(x, y, scale, offset)
        centre_x, centre_y = x[near].mean(), y[near].mean()
        spread = float(((x[near] - centre_x) ** 2).sum())
        if spread == 0.0:
            return 0.0, 0.0
        scale = float(((x[near] - centre_x) * (y[near] - centre_y)).sum() / spread)
        offset = float(centre_y - scale * centre_x)
    return scale, offset


def _nearest(x: Floats, y: Floats, scale: float, offset: float) -> NDArray[np.bool_]:
    """The nine tenths of the pairs that lie nearest to a line."""
    off = np.abs(y - scale * x - offset)
    last = int(np.ceil(SHARE * len(x))) - 1
    near: NDArray[np.bool_] = off <= np.partition(off, last)[last]
    return near


def rounding(values: Floats) -> float:
    """The unit values are rounded to (0.01 = two decimals); 0.0 = to none of `PLACES` decimals.

    A few odd values (at most a tenth) do not hide the rounding of the others.

    >>> rounding(np.array([1.25, 2.5, 3.75]))
    0.01
    >>> rounding(np.array([1 / 3, 2 / 7, 1.1]))
    0.0
    """
    for places in range(PLACES):
        off = np.abs(values - np.round(values, places))
        if (off <= 1e-11 * np.maximum(1.0, np.abs(values))).mean() >= SHARE:
            return 10.0**-places
    return 0.0
