"""Random release histories: ragged ends, revisions, withdrawals, lost and repeated releases, early and late ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl

from harness.core.series import LagRule, Series
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from tests.backtest.plain_plan import PlainSeries, Release, day_over, last_day, number_of

LENGTH = {"Q": 91, "M": 30, "W-WED": 7}
START = {"Q": date(2009, 2, 1), "M": date(2012, 2, 1), "W-WED": date(2015, 2, 1)}
PERIODS = {"Q": (10, 15), "M": (14, 22), "W-WED": (16, 26)}


@dataclass(frozen=True)
class History:
    """Series of one frequency and zone with all their releases, and how each is told to the archive."""

    series: list[PlainSeries]
    coverage: list[str]
    end: datetime

    def archive(self, folder: Path) -> Archive:
        """The same history in an archive."""
        archive = Archive.open(folder / "archive.duckdb")
        for one, coverage in zip(self.series, self.coverage, strict=True):
            lag = None if one.lag is None else LagRule("calendar_days", n=one.lag)
            archive.define(Series(one.id, one.frequency, zone=one.zone, lag=lag))
            archive.append(
                _values(one, coverage),
                source="made",
                coverage=coverage,  # type: ignore[arg-type]
                known_through=self.end,
                publications=_lost(one),
            )
        return archive

    def changes(self, folder: Path) -> ChangeFile:
        """The exported state of that archive."""
        return ChangeFile.open(self.archive(folder).export(folder / "changes"))


def history(random: Random, frequency: str, zone: str, count: int) -> History:
    """A random history of `count` series."""
    coverage = [random.choice(["rows", "complete"]) for _ in range(count)]
    series = [_series(random, f"s{place}", frequency, zone, how) for place, how in enumerate(coverage)]
    newest = max(release.at for one in series for release in one.releases)
    end = newest + timedelta(days=random.choice([0, 0, 3, LENGTH[frequency]]))
    return History(series, coverage, end)


def _series(random: Random, name: str, frequency: str, zone: str, coverage: str) -> PlainSeries:
    length, count = LENGTH[frequency], random.randint(*PERIODS[frequency])
    start = number_of(frequency, START[frequency]) + random.randint(0, 2)
    usual = random.randint(-length // 3, int(1.4 * length))
    levels = [100.0]
    for _ in range(count):
        levels.append(levels[-1] * (1 + random.gauss(0.01, 0.02)))
    opening = random.choice([0, 0, count // 4, count // 2])
    releases: dict[datetime, Release] = {}
    pending: list[int] = list(range(opening))
    for place in range(opening, count):
        pending.append(place)
        if random.random() < 0.12 and place > opening:
            continue  # this release never came: the next one states both periods
        at = _moment(random, last_day(frequency, start + place) + timedelta(days=usual), zone)
        covered = _covered(random, coverage, pending, place)
        if releases and random.random() < 0.06:
            releases[at] = Release(at, {start + p: None for p in range(min(covered), max(covered) + 1)}, captured=False)
            continue
        pending = []
        releases.setdefault(at, _stated(random, at, levels, start, covered, coverage))
        if random.random() < 0.2:  # and again, a little later, mostly unchanged
            again = at + timedelta(days=random.randint(1, length), hours=random.choice([0, 7]))
            older = _covered(random, coverage, [place], place)
            releases.setdefault(again, _stated(random, again, levels, start, older, coverage))
    lag = max(usual, 0) + random.randint(0, 20) if random.random() < 0.6 else None
    return PlainSeries(name, frequency, zone, lag, tuple(releases[at] for at in sorted(releases)))


def _moment(random: Random, day: date, zone: str) -> datetime:
    """The end of a day, or some time of it: origins fall on the same instants now and then."""
    day += timedelta(days=random.choice([0, 0, 0, 1, 2, 9]))
    over = day_over(day, zone)
    return over - timedelta(hours=random.choice([0, 0, 0, 6, 14]), minutes=random.choice([0, 30]))


def _covered(random: Random, coverage: str, pending: list[int], place: int) -> list[int]:
    if coverage == "complete":
        return list(range(random.choice([0, 0, max(0, place - 3), min(pending)]), place + 1))
    return sorted({*pending, *(p for p in range(max(0, place - 4), place) if random.random() < 0.4)})


def _stated(
    random: Random, at: datetime, levels: list[float], start: int, covered: list[int], coverage: str
) -> Release:
    def value(place: int) -> float | None:
        if random.random() < 0.05:
            return None
        revision = 1.0 if random.random() < 0.5 else 1 + 0.01 * random.randint(-3, 3)
        return round(levels[place] * revision, 1)

    said = {start + place: value(place) for place in covered}
    if all(told is None for told in said.values()):
        said[start + covered[-1]] = round(levels[covered[-1]], 1)
    return Release(at, said)


def _values(one: PlainSeries, coverage: str) -> pl.DataFrame:
    rows = [
        (one.id, last_day(one.frequency, period), release.at.astimezone(UTC), value)
        for release in one.releases
        if release.captured
        for period, value in release.values.items()
        # a complete release says by leaving a period out that it is withdrawn
        if coverage == "rows" or value is not None or period in (min(release.values), max(release.values))
    ]
    schema = {
        "series_id": pl.String(),
        "period": pl.Date(),
        "published_at": pl.Datetime("us", "UTC"),
        "value": pl.Float64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _lost(one: PlainSeries) -> pl.DataFrame | None:
    rows = [
        (one.id, release.at, last_day(one.frequency, min(release.values)), last_day(one.frequency, max(release.values)))
        for release in one.releases
        if not release.captured
    ]
    if not rows:
        return None
    schema = {
        "series_id": pl.String(),
        "published_at": pl.Datetime("us", "UTC"),
        "first": pl.Date(),
        "last": pl.Date(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(captured=pl.lit(value=False))
