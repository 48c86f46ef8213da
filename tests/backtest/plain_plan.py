"""The plan and its training rows written down a second time, in plain Python over raw releases, to be compared.

Nothing here is taken from the package: periods, ends of days, release counting, as-of, phases and windows are spelt
out again, one row at a time. `flaws` switches single rules off, so that tests can show that each one is noticed.
"""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
FLAWS = (
    "labels mature when their period ends",
    "phases are mixed",
    "latency is forgotten",
    "changes are counted",
    "labels carry the final value",
    "public at the pseudo-origin is kept",
    "features are refreshed",
    "lost releases are not counted",
)


@dataclass(frozen=True)
class Release:
    """One publication: what it says of each period it covers (None = withdrawn); `captured` False: nobody kept it."""

    at: datetime
    values: dict[int, float | None]
    captured: bool = True


@dataclass(frozen=True)
class PlainSeries:
    """A series with its releases in order of time; `lag` days of the declared rule, or None."""

    id: str
    frequency: str
    zone: str
    lag: int | None
    releases: tuple[Release, ...]


@dataclass(frozen=True)
class PlainSetting:
    """What is asked: transform (kind, span), rule (kind, number), schedule and window."""

    transform: tuple[str, int]
    rule: tuple[str, int]
    schedule: str
    first: date
    horizons: tuple[int, ...]
    at: time | None = None
    warm_up: int = 0
    latency: timedelta = timedelta(0)
    rolling: int | None = None
    exclude_hindsight: bool = False


@dataclass(frozen=True)
class Truth:
    """The pinned outcome of one series and period."""

    status: str
    due: datetime | None
    value: float
    hindsight: bool
    first_public: datetime | None


@dataclass(frozen=True)
class Standing:
    """The value in force and since when it is."""

    value: float
    since: datetime
    assumed: bool = False


@dataclass(frozen=True)
class TrainingRow:
    """One training row: its frozen features and its label."""

    origin: datetime
    series: str
    period: date
    label: float
    features: tuple[float, ...]


def number_of(frequency: str, day: date) -> int:
    """Number of the period a day lies in."""
    if frequency == "Q":
        return day.year * 4 + (day.month - 1) // 3
    if frequency == "M":
        return day.year * 12 + day.month - 1
    # weeks ending on Wednesday; 3 January 2001 was one
    return -((date(2001, 1, 3) - day).days // 7)


def last_day(frequency: str, number: int) -> date:
    """The last day of a period."""
    if frequency == "W-WED":
        return date(2001, 1, 3) + timedelta(days=7 * number)
    months = number * 3 + 2 if frequency == "Q" else number
    year, month = months // 12, months % 12 + 1
    return date(year, month, calendar.monthrange(year, month)[1])


def day_over(day: date, zone: str) -> datetime:
    """The instant at which a day is over."""
    following = day + DAY
    return datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def scheduled(schedule: str, day: date) -> bool:
    """Whether a forecast is made on this day."""
    ends_month = (day + DAY).month != day.month
    return {
        "month_end": ends_month,
        "quarter_end": ends_month and day.month % 3 == 0,
        "weekday": day.weekday() == 4,
    }[schedule]


class PlainPlan:
    """All questions a plan answers, answered by looking at every release again."""

    def __init__(self, series: list[PlainSeries], setting: PlainSetting, end: datetime, *, flaw: str = "") -> None:
        assert not flaw or flaw in FLAWS
        self.series, self.setting, self.end, self.flaw = series, setting, end, flaw
        self.frequency, self.zone = series[0].frequency, series[0].zone
        self.memory: dict[tuple[int, int], Truth] = {}
        self._opening = {one.id: _first_vintage(one) for one in series}
        self.origins = self._origins()
        start = self._moment(setting.first)
        self.first_scored = sum(moment < start for moment in self.origins)
        self.first_issued = max(0, self.first_scored - setting.warm_up)
        self.phase = self._phases()
        self._drop_unknowing()

    def _moment(self, day: date) -> datetime:
        if self.setting.at is None:
            return day_over(day, self.zone)
        return datetime.combine(day, self.setting.at, ZoneInfo(self.zone)).astimezone(UTC)

    def _origins(self) -> list[datetime]:
        """The schedule, carried far enough back that the phase of every origin that knows anything is whole."""
        day, found = self._first_public().date() - timedelta(days=800), []
        while day <= self.end.date() + DAY:
            if scheduled(self.setting.schedule, day) and self._moment(day) <= self.end:
                found.append(self._moment(day))
            day += DAY
        return found

    def _first_public(self) -> datetime:
        return min(self.first_value(one, period) for one in self.series for period in _periods(one))

    def _phases(self) -> list[int]:
        inside = [self.period_of(moment) for moment in self.origins]
        return [sum(other == mine for other in inside[:place]) for place, mine in enumerate(inside)]

    def _drop_unknowing(self) -> None:
        """A pseudo-origin before anything of the target was public has no row to freeze."""
        opening = self._first_public()
        drop = sum(self.known(moment) < opening for moment in self.origins[: self.first_issued])
        self.origins, self.phase = self.origins[drop:], self.phase[drop:]
        self.first_issued, self.first_scored = self.first_issued - drop, self.first_scored - drop

    def period_of(self, moment: datetime) -> int:
        """The target period that contains an instant, in the target's zone."""
        return number_of(self.frequency, (moment - TICK).astimezone(ZoneInfo(self.zone)).date())

    def known(self, moment: datetime) -> datetime:
        """Up to when publications count as known at an origin."""
        return moment if self.flaw == "latency is forgotten" else moment - self.setting.latency

    def ruled(self, series: PlainSeries, period: int) -> datetime:
        """The date that the series' lag rule gives a period."""
        assert series.lag is not None
        return day_over(last_day(series.frequency, period) + timedelta(days=series.lag), series.zone)

    def assumed(self, series: PlainSeries, period: int) -> datetime | None:
        """The date of a value that was there before the first vintage; None where there is no such row."""
        opening = self._opening[series.id]
        if series.lag is None or opening.values.get(period) is None:
            return None
        ruled = self.ruled(series, period)
        return ruled if ruled < opening.at else None

    def standing(self, series: PlainSeries, period: int, at: datetime, *, hindsight: bool = True) -> Standing | None:
        """The value of a period that was in force at an instant; None = none, or withdrawn."""
        now: Standing | None = None
        before = self.assumed(series, period) if hindsight else None
        opening = self._opening[series.id]
        if before is not None and before <= at < opening.at:
            value = opening.values[period]
            assert value is not None
            return Standing(value, before, assumed=True)
        for release in series.releases:
            if release.at > at or not release.captured or period not in release.values:
                continue
            said = release.values[period]
            if said is None:
                now = None
            elif now is None or now.value != said:
                now = Standing(said, release.at)
        return now

    def target(self, series: PlainSeries, period: int, at: datetime, *, hindsight: bool = True) -> float:
        """The transformed target as one snapshot states it; NaN = not there."""
        kind, span = self.setting.transform
        new = self.standing(series, period, at, hindsight=hindsight)
        if kind == "level":
            return math.nan if new is None else new.value
        old = self.standing(series, period - span, at, hindsight=hindsight)
        if new is None or old is None:
            return math.nan
        if kind == "difference":
            return new.value - old.value
        if min(new.value, old.value) <= 0:
            return math.nan
        logs = np.log(np.array([new.value, old.value]))
        return float(100.0 * (logs[0] - logs[1]))

    def first_value(self, series: PlainSeries, period: int) -> datetime:
        """When any value of a period was first public."""
        before = self.assumed(series, period)
        said = [r.at for r in series.releases if r.captured and r.values.get(period) is not None]
        return before or min(said, default=datetime.max.replace(tzinfo=UTC))

    def truth(self, row: int, period: int) -> Truth:
        """The pinned outcome of a target series and period."""
        if (row, period) not in self.memory:
            self.memory[row, period] = self._truth(self.series[row], period)
        return self.memory[row, period]

    def _truth(self, series: PlainSeries, period: int) -> Truth:
        opening = self.first_value(series, period)
        due, captured = self._due(series, period)
        first = opening if opening <= self.end else None
        if due is None or due > self.end:
            return Truth("pending", None, math.nan, hindsight=False, first_public=first)
        if not captured:
            return Truth("no_outcome", due, math.nan, hindsight=False, first_public=first)
        value = self.target(series, period, due)
        if self.standing(series, period, due) is None:
            status = "withdrawn" if opening <= due else "no_outcome"
            return Truth(status, due, math.nan, hindsight=False, first_public=first)
        if math.isnan(value):
            return Truth("no_outcome", due, math.nan, hindsight=False, first_public=first)
        if self.flaw == "labels carry the final value":
            value = self.target(series, period, self.end)
        return Truth("matured", due, value, self._marked(series, period, due), first)

    def _due(self, series: PlainSeries, period: int) -> tuple[datetime | None, bool]:
        kind, number = self.setting.rule
        if self.flaw == "labels mature when their period ends":
            return day_over(last_day(series.frequency, period), series.zone), True
        if kind == "after":
            return day_over(last_day(series.frequency, period) + timedelta(days=number), series.zone), True
        if kind == "latest":
            return (self.end if self.first_value(series, period) <= self.end else None), True
        before = self.assumed(series, period)
        if before is not None:
            return max(before, self.ruled(series, period + number - 1)), True
        covering = [release for release in series.releases if period in release.values]
        if self.flaw == "changes are counted":
            kept = [release for release in covering if release.captured]
            told = [release.values[period] for release in kept]
            covering = [r for place, r in enumerate(kept) if place == 0 or told[place] != told[place - 1]]
        if self.flaw == "lost releases are not counted":
            covering = [release for release in covering if release.captured]
        if len(covering) < number:
            return None, True
        return covering[number - 1].at, covering[number - 1].captured

    def _marked(self, series: PlainSeries, period: int, due: datetime) -> bool:
        kind, span = self.setting.transform
        used = [period] if kind == "level" else [period, period - span]
        parts = [self.standing(series, number, due) for number in used]
        counted = self.setting.rule[0] in ("first", "release") and self.assumed(series, period) is not None
        return counted or any(part is not None and part.assumed for part in parts)

    def public_at(self, row: int, period: int) -> datetime | None:
        """From when on the pinned outcome (under `latest`: any value) is public."""
        truth = self.truth(row, period)
        return truth.first_public if self.setting.rule[0] == "latest" else truth.due

    def already_public(self, place: int, horizon: int, row: int) -> bool:
        """Whether a cell is no forecast, because its outcome is public at its origin."""
        at = self.public_at(row, self.period_of(self.origins[place]) + horizon)
        return at is not None and at <= self.known(self.origins[place])

    def training(self, place: int, horizon: int) -> list[TrainingRow]:
        """The matured training rows of an origin and horizon, in order of pseudo-origin and series."""
        now = self.known(self.origins[place])
        chosen: list[tuple[int, int, int, float]] = []
        for earlier in range(place):
            if self.phase[earlier] != self.phase[place] and self.flaw != "phases are mixed":
                continue
            period = self.period_of(self.origins[earlier]) + horizon
            for row in range(len(self.series)):
                at = self.public_at(row, period)
                if at is None or at > now:
                    continue
                if at <= self.known(self.origins[earlier]) and self.flaw != "public at the pseudo-origin is kept":
                    continue
                label = self._label(row, period, now)
                if not math.isnan(label):
                    chosen.append((earlier, row, period, label))
        if self.setting.rolling is not None:
            newest = sorted({period for _, _, period, _ in chosen})[-self.setting.rolling :]
            chosen = [one for one in chosen if one[2] in newest]
        return [self._row(place, *one) for one in chosen]

    def _label(self, row: int, period: int, now: datetime) -> float:
        exclude = self.setting.exclude_hindsight
        if self.setting.rule[0] == "latest":
            return self.target(self.series[row], period, now, hindsight=not exclude)
        truth = self.truth(row, period)
        return math.nan if truth.status != "matured" or (exclude and truth.hindsight) else truth.value

    def _row(self, place: int, earlier: int, row: int, period: int, label: float) -> TrainingRow:
        frozen = place if self.flaw == "features are refreshed" else earlier
        return TrainingRow(
            self.origins[earlier],
            self.series[row].id,
            last_day(self.frequency, period),
            label,
            self.features(frozen, row),
        )

    def features(self, place: int, row: int) -> tuple[float, ...]:
        """Newest and second newest known level, and the newest one's age in days, as of one origin."""
        moment, series = self.origins[place], self.series[row]
        known = [
            standing
            for period in sorted(_periods(series), reverse=True)
            if (
                standing := self.standing(
                    series, period, self.known(moment), hindsight=not self.setting.exclude_hindsight
                )
            )
        ]
        values = [standing.value for standing in known[:2]] + [math.nan] * (2 - len(known[:2]))
        age = (moment - known[0].since) / DAY if known else math.nan
        return (*values, age)

    def judged(self, horizon: int) -> bool:
        """Whether a horizon has a matured outcome at a scored origin that was not already public."""
        return any(
            self.truth(row, self.period_of(self.origins[place]) + horizon).status == "matured"
            and not self.already_public(place, horizon, row)
            for place in range(self.first_scored, len(self.origins))
            for row in range(len(self.series))
        )

    def in_real_time(self) -> bool:
        """Whether no scored origin precedes a first vintage, and no scored outcome is hindsight."""
        opening = max(release.at for release in self._opening.values())
        if self.known(self.origins[self.first_scored]) < opening:
            return False
        return not any(
            self.truth(row, self.period_of(self.origins[place]) + horizon).hindsight
            and not self.already_public(place, horizon, row)
            for place in range(self.first_scored, len(self.origins))
            for horizon in self.setting.horizons
            for row in range(len(self.series))
        )


def _periods(series: PlainSeries) -> set[int]:
    return {
        period
        for release in series.releases
        for period, value in release.values.items()
        if value is not None and release.captured
    }


def _first_vintage(series: PlainSeries) -> Release:
    """The first release that states any value."""
    return min(
        (r for r in series.releases if r.captured and any(v is not None for v in r.values.values())),
        key=lambda release: release.at,
    )
