"""From levels to the number that is forecast, taken inside one vintage; and from one-period steps to that number.

Formulae, x_t the level of period t in ONE snapshot, s the span:

    level            x_t
    difference = s   x_t - x_(t-s)
    log_growth = s   100 (ln x_t - ln x_(t-s))         not annualised
    growth = s       100 (x_t / x_(t-s) - 1)
    log_return = s   100 (ln x_t - ln x_(t-s))
    return = s       100 (x_t / x_(t-s) - 1)           also of x_t = 0: -100, all is lost
    spread = other   x_t - other_t
    realised_volatility = w   100 sqrt( (1/w) sum of the w sessions' variance proxies v )
        proxy "parkinson": v = ln(high / low)^2 / (4 ln 2)      (Parkinson 1980, per session, log range)
        proxy "squared_log_return": v = (ln x_t - ln x_(t-1))^2
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TransformKind = Literal[
    "level", "difference", "log_growth", "growth", "log_return", "return", "spread", "realised_volatility"
]
TRANSFORMS: tuple[str, ...] = get_args(TransformKind)
PROXIES = ("parkinson", "squared_log_return")
LOGARITHMIC = frozenset({"log_growth", "growth", "log_return", "return"})


@dataclass(frozen=True, slots=True)
class Transform:
    """What is forecast, as a function of levels of one snapshot.

    Attributes:
        kind: one of `TRANSFORMS`.
        span: periods spanned (s or w); 1 for level and spread.
        other: stored id of the subtracted series, for `spread`.
        proxy: variance proxy, for `realised_volatility`.
        high, low: stored ids of the day's high and low, for proxy `parkinson`.
    """

    kind: TransformKind = "level"
    span: int = 1
    other: str = ""
    proxy: str = ""
    high: str = ""
    low: str = ""

    @property
    def is_volatility(self) -> bool:
        """Whether the target is a forward realised volatility."""
        return self.kind == "realised_volatility"

    @property
    def lookback(self) -> int:
        """Periods before t that the value at t needs."""
        if self.is_volatility:
            return self.span - 1 + (1 if self.proxy == "squared_log_return" else 0)
        return self.span if self.kind not in ("level", "spread") else 0

    def inputs(self, series: str) -> tuple[str, ...]:
        """Stored ids of every series the value of `series` is made of."""
        extra = (self.other, self.high, self.low)
        own = () if self.proxy == "parkinson" else (series,)
        return own + tuple(name for name in extra if name)


def _log(levels: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Floats = np.where(levels > 0, np.log(np.where(levels > 0, levels, 1.0)), np.nan)
    return logs


def _change(values: Floats, span: int) -> Floats:
    out = np.full_like(values, np.nan)
    if span < values.shape[-1]:
        out[..., span:] = values[..., span:] - values[..., :-span]
    return out


def window_means(values: Floats, width: int) -> Floats:
    """Mean of the `width` consecutive values ending at each position; NaN if one is missing.

    Every mean is a function of its own window, summed left to right: an older value cannot touch its bits.
    """
    out = np.full_like(values, np.nan)
    if width <= values.shape[-1]:
        size = values.shape[-1] - width + 1
        total = values[..., :size].copy()
        for offset in range(1, width):
            total += values[..., offset : offset + size]
        out[..., width - 1 :] = total / width
    return out


def variance_proxies(
    transform: Transform, levels: Floats, high: Floats | None = None, low: Floats | None = None
) -> Floats:
    """One-session variance proxies in squared log units, last axis = sessions; NaN where an input is missing."""
    if transform.proxy == "parkinson":
        if high is None or low is None:
            message = "proxy parkinson needs high and low"
            raise ValueError(message)
        spread = _log(high) - _log(low)
        return spread * spread / (4.0 * math.log(2.0))
    change = _change(_log(levels), 1)
    return change * change


def apply_transform(
    transform: Transform,
    levels: Floats,
    *,
    other: Floats | None = None,
    high: Floats | None = None,
    low: Floats | None = None,
) -> Floats:
    """The transformed value of every period, last axis = consecutive periods of one snapshot; NaN where undefined.

    Args:
        transform: what to compute.
        levels: levels, shape [..., period]; NaN = unpublished or withdrawn.
        other: levels of the subtracted series on the same periods, for `spread`.
        high: levels of the day's high on the same sessions, for proxy `parkinson`.
        low: levels of the day's low.

    Returns:
        Same shape. For `realised_volatility` position t holds the volatility of the w sessions *ending* at t.
    """
    kind = transform.kind
    if kind == "level":
        return levels.astype(np.float64, copy=True)
    if kind == "spread":
        if other is None:
            message = "spread needs the other series"
            raise ValueError(message)
        return levels - other
    if kind == "realised_volatility":
        means = window_means(variance_proxies(transform, levels, high, low), transform.span)
        return 100.0 * np.sqrt(means)
    if kind == "difference":
        return _change(levels, transform.span)
    changes = 100.0 * _change(_log(levels), transform.span)
    if kind in ("log_growth", "log_return"):
        return changes
    simple: Floats = 100.0 * np.expm1(changes / 100.0)
    return _with_total_losses(simple, levels, transform.span) if kind == "return" else simple


def _with_total_losses(changes: Floats, levels: Floats, span: int) -> Floats:
    """Returns with -100 where a level is 0 (nothing is left of a holding), which has no logarithm."""
    if span < levels.shape[-1] and (levels == 0).any():
        changes[..., span:][(levels[..., span:] == 0) & (levels[..., :-span] > 0)] = -100.0
    return changes


def one_period_steps(transform: Transform, levels: Floats, *, other: Floats | None = None) -> Floats:
    """The one-period changes a target is built from: 100 x log change for growth and returns, plain change otherwise.

    For `level` and `spread` the step is the one-period difference of the transformed value. Not defined for
    `realised_volatility` (use `variance_proxies`).
    """
    if transform.kind in LOGARITHMIC:
        return 100.0 * _change(_log(levels), 1)
    if transform.kind == "spread":
        return _change(apply_transform(transform, levels, other=other), 1)
    return _change(levels, 1)


def from_steps(transform: Transform, last_value: Floats, window: Floats) -> Floats:
    """Build the target from one-period steps.

    Args:
        transform: the target's transform.
        last_value: last published transformed value [...], used by `level` and `spread` only.
        window: steps, shape [..., step]: for growth, returns and differences the `span` steps of the target's own
            window; for level and spread the steps from the last published period (excluded) to the target.

    Returns:
        Target value [...].
    """
    total = np.zeros(window.shape[:-1])
    for position in range(window.shape[-1]):  # fixed order: an older step cannot touch today's bits
        total = total + window[..., position]
    if transform.kind in ("level", "spread"):
        return last_value + total
    if transform.kind in ("growth", "return"):
        return 100.0 * np.expm1(total / 100.0)
    return total
