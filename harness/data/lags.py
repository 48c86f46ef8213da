"""When a period's value is public, by rule, and how late values really were.

A rule is late, not typical: it must hold for at least 99 % of the known dates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError, UserError
from harness.core.series import LagRule, Series
from harness.core.time import (
    LAST_DAY,
    MICROS_PER_DAY,
    NEVER,
    Ordinals,
    end_of_day,
    instant,
    local_day,
    micros,
    no_instant,
    period_ends,
    period_ordinals,
)
from harness.data.calendars import Days, business_calendar

Micros = NDArray[np.int64]
REQUIRED_SHARE = 0.99
WORST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """How a rule fares against first publications that were observed.

    Attributes:
        n: periods with an observed first publication.
        held: periods whose value was public at the rule's instant already.
        share: held / n; NaN when n is 0.
        worst: (period end, days by which the value came after the rule's instant), latest first, at most 5.
    """

    n: int
    held: int
    share: float
    worst: tuple[tuple[date, float], ...]


@dataclass(frozen=True, slots=True)
class MeasuredLag:
    """Local days from a period's last day to the day of its first publication; negative = before the period ended.

    Attributes:
        n: periods measured.
        minimum, median, maximum: days; NaN when n is 0.
    """

    n: int
    minimum: float
    median: float
    maximum: float


def release_days(rule: LagRule, ends: Days) -> Days:
    """The local day on which each period's value is public, by rule.

    Args:
        rule: the reporting-lag rule.
        ends: [period] last days of the periods.

    Returns:
        [period] days, in the rule's zone.

    Raises:
        UserError: an explicit release calendar lacks a period, or a month has too few business days.
        UnknownNameError: no such business calendar.

    >>> ends = np.array(["2012-11-30", "2012-12-31"], dtype="datetime64[D]")
    >>> release_days(LagRule("last_business_day", calendar=""), ends).astype(str).tolist()
    ['2012-12-31', '2013-01-31']
    """
    ends = ends.astype("datetime64[D]")
    replaced = dict(rule.dates) if rule.kind == "dates" else {}
    replaced |= dict(rule.exceptions)
    exceptional = np.isin(ends, np.array(list(replaced), dtype="datetime64[D]"))
    if rule.kind == "dates" and not exceptional.all():
        raise UserError(
            "no release date for a period",
            value=", ".join(str(day) for day in ends[~exceptional][:WORST_SHOWN]),
            rule="an explicit release calendar names every period",
            fix="add [period end, release day] to the lag rule's dates",
        )
    days = ends.copy()
    days[~exceptional] = _ruled_days(rule, ends[~exceptional])
    days[exceptional] = np.array([replaced[end] for end in ends[exceptional].tolist()], dtype="datetime64[D]")
    return days


def release_micros(series: Series, ordinals: Ordinals) -> Micros:
    """The instant at which each period's value is public by the series' lag rule.

    A rule without a time of day means the end of the day. A local time that the clocks skip or repeat is taken as the
    later of its two readings.

    Args:
        series: a series with a lag rule.
        ordinals: [period] period ordinals.

    Returns:
        [period] microseconds UTC.

    Raises:
        UserError: there is no lag rule, an explicit release calendar lacks a period, or a release is dated for a day on
            which no period ends.
        DataError: a release lies beyond the calendar.
        UnknownNameError: no such business calendar.
    """
    rule = _rule(series)
    _check_period_ends(series, rule)
    ends = period_ends(series.parsed, ordinals)
    days = release_days(rule, ends)
    unique, places = np.unique(days, return_inverse=True)
    outside = np.flatnonzero((days <= np.datetime64(date.min)) | (days >= np.datetime64(LAST_DAY)))
    if len(outside):
        raise no_instant(f"{days[outside[0]]}, by the lag rule of {series.id} for period {ends[outside[0]]}")
    instants = np.array([release_instant(day, rule.at, rule.zone or series.zone) for day in unique.tolist()], np.int64)
    return instants[places]


def check_rule(series: Series, ordinals: Ordinals, observed_first_micros: Micros) -> RuleCheck:
    """How often the rule was late enough: its instant at or after the first publication that was observed.

    Args:
        series: a series with a lag rule.
        ordinals: [period] period ordinals.
        observed_first_micros: [period] microseconds UTC of the first publication; NEVER = not observed, left out.

    Raises:
        UserError: as `release_micros`.
    """
    known = observed_first_micros != NEVER
    ordinals, observed = ordinals[known], observed_first_micros[known]
    # [period] days, above 0 = the rule was early
    late_by = (observed - release_micros(series, ordinals)) / MICROS_PER_DAY
    held = int((late_by <= 0).sum())
    order = np.argsort(-late_by, kind="stable")[: min(WORST_SHOWN, len(late_by) - held)]
    ends = period_ends(series.parsed, ordinals[order]).tolist()
    worst = tuple(zip(ends, late_by[order].tolist(), strict=True))
    return RuleCheck(len(late_by), held, held / len(late_by) if len(late_by) else math.nan, worst)


def require_late_rule(series: Series, ordinals: Ordinals, observed_first_micros: Micros) -> RuleCheck:
    """`check_rule`, refusing a rule that held for less than 99 % of the observed dates.

    Raises:
        DataError: the rule is too early too often.
        UserError: as `release_micros`.
    """
    check = check_rule(series, ordinals, observed_first_micros)
    if check.share < REQUIRED_SHARE:
        listed = ", ".join(f"{end} by {days:.1f} days" for end, days in check.worst)
        raise DataError(
            f"lag rule of {series.id} is earlier than the publication of {check.n - check.held} of {check.n} periods",
            value=listed,
            rule="a lag rule is late: it holds for at least 99 % of the known dates",
            fix="a later rule, dated exceptions, or a release calendar (kind = 'dates')",
        )
    return check


def estimate_lag(lags: NDArray[np.float64] | NDArray[np.int64], quantile: float = REQUIRED_SHARE) -> float:
    """A late lag: the smallest lag observed that is at least as long as the given share of them (not interpolated).

    >>> estimate_lag(np.array([10, 12, 11, 30]))
    30.0

    Args:
        lags: [release] days, of releases published by the origin only.
        quantile: share in (0, 1].

    Raises:
        UserError: no lags, or a quantile out of range.
    """
    if not 0 < quantile <= 1:
        raise UserError("quantile out of range", value=quantile, rule="above 0, at most 1")
    if len(lags) == 0:
        raise UserError("no release to estimate a lag from", fix="declare a lag rule")
    # the tolerance keeps 0.99 x 100 = 99.00000000000001 at the 99th
    return float(np.sort(lags)[math.ceil(quantile * len(lags) - 1e-9) - 1])


def estimated_rule(
    series: Series,
    ordinals: Ordinals,
    first_published_micros: Micros,
    *,
    known_at: int,
    quantile: float = REQUIRED_SHARE,
) -> LagRule:
    """A rule of calendar days estimated from the releases published by an instant, and from nothing later.

    Args:
        series: its zone and frequency are used.
        ordinals: [period] period ordinals.
        first_published_micros: [period] microseconds UTC of the first publication; NEVER = not observed.
        known_at: microseconds UTC of the origin.
        quantile: share of the releases that the rule is late for.

    Raises:
        UserError: nothing was published by then.
    """
    known = (first_published_micros != NEVER) & (first_published_micros <= known_at)
    lags = _lags(period_ends(series.parsed, ordinals[known]), first_published_micros[known], series.zone)
    return LagRule("calendar_days", n=int(estimate_lag(lags, quantile)))


def measured_lag(period_end_days: Days, first_published_micros: Micros, zone: str) -> MeasuredLag:
    """Least, median and greatest lag of the first publications, in whole local days.

    Args:
        period_end_days: [period] last days.
        first_published_micros: [period] microseconds UTC; NEVER = not observed, left out.
        zone: IANA zone of the series.
    """
    known = first_published_micros != NEVER
    lags = _lags(period_end_days[known], first_published_micros[known], zone)
    if len(lags) == 0:
        return MeasuredLag(0, math.nan, math.nan, math.nan)
    return MeasuredLag(len(lags), float(lags.min()), float(np.median(lags)), float(lags.max()))


def _lags(ends: Days, published: Micros, zone: str) -> Ordinals:
    unique, places = np.unique(published, return_inverse=True)
    days = np.array([local_day(instant(micro), zone) for micro in unique.tolist()], dtype="datetime64[D]")
    return _numbers(days[places]) - _numbers(ends)


def _rule(series: Series) -> LagRule:
    if series.lag is None:
        raise UserError(
            "series without a reporting-lag rule",
            value=series.id,
            rule="values without publication dates are dated by a declared rule, never by a guess",
            fix='add for example lag = { kind = "calendar_days", n = 45 }',
        )
    return series.lag


def _check_period_ends(series: Series, rule: LagRule) -> None:
    stamps = np.array([end for end, _ in (*rule.exceptions, *rule.dates)], dtype="datetime64[D]")
    ends = period_ends(series.parsed, period_ordinals(series.parsed, stamps))
    wrong = np.flatnonzero(stamps != ends)
    if len(wrong):
        raise UserError(
            f"lag rule of {series.id}: a release is dated for a day on which no period ends",
            value=stamps[wrong[0]],
            rule="[period end, release day]",
            fix=f"the period it lies in ends on {ends[wrong[0]]}",
        )


def _ruled_days(rule: LagRule, ends: Days) -> Days:
    if rule.kind == "calendar_days":
        return _dates(_numbers(ends) + rule.n)
    if rule.kind == "business_days":
        return business_calendar(rule.calendar).add_business_days(ends, rule.n)
    month = ends.astype("datetime64[M]").astype(np.int64) + rule.months_after
    first, following = _month_start(month), _month_start(month + 1)
    if rule.kind == "day_of_month":
        return _dates(np.minimum(first + rule.n - 1, following - 1))
    if rule.kind == "nth_weekday":
        return _dates(_nth_weekday(rule, first, following))
    n = -1 if rule.kind == "last_business_day" else rule.n
    days = business_calendar(rule.calendar).add_business_days(_dates(first - 1 if n > 0 else following), n)
    if ((_numbers(days) < first) | (_numbers(days) >= following)).any():
        raise UserError("lag rule: a month has fewer business days", value=n, rule=f"calendar {rule.calendar!r}")
    return days


def _nth_weekday(rule: LagRule, first: Ordinals, following: Ordinals) -> Ordinals:
    if rule.n > 0:
        return first + (rule.weekday - _weekday(first)) % 7 + 7 * (rule.n - 1)
    last = following - 1
    return last - (_weekday(last) - rule.weekday) % 7 + 7 * (rule.n + 1)


def _weekday(days: Ordinals) -> Ordinals:
    return (days + 3) % 7  # 1970-01-01 was a Thursday


def _month_start(months: Ordinals) -> Ordinals:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _dates(numbers: Ordinals) -> Days:
    return numbers.astype("datetime64[D]")


def _numbers(days: Days) -> Ordinals:
    return days.astype("datetime64[D]").astype(np.int64)


def release_instant(day: date, at: time | None, zone: str) -> int:
    """Microseconds UTC of a release on a local day: its time of day, else the end of the day."""
    if at is None:
        return micros(end_of_day(day, zone))
    clock = datetime.combine(day, at, tzinfo=ZoneInfo(zone))
    return max(micros(clock.replace(fold=fold)) for fold in (0, 1))
