"""Two real vintages, shipped with statsmodels by the New York Fed's nowcast, come out of the archive unchanged."""

from __future__ import annotations

from datetime import date, timedelta
from importlib.resources import files

import polars as pl
import pytest

from harness.core.series import Series
from harness.core.time import end_of_day, period_containing, period_end
from harness.data.archive import Archive
from harness.data.replay import Replay
from tests.data.archive_samples import exported

PACKAGE = "statsmodels.tsa.statespace.tests.results.frbny_nowcast.Nowcasting.data.US"
ZONE = "America/New_York"
DAYS = (date(2016, 6, 29), date(2016, 7, 29))
QUARTERLY = {"GDPC1", "ULCNFB", "A261RX1Q020SBEA"}


def vintage(day: date) -> dict[tuple[str, date], float]:
    """Values of one file by series and period end; its stamps are the first days of months."""
    lines = files(PACKAGE).joinpath(f"{day}.csv").read_text().splitlines()
    names = lines[0].split(",")[1:]
    found = {}
    for line in lines[1:]:
        stamp, *entries = line.split(",")
        month, _, year = (int(part) for part in stamp.split("/"))
        full_year = year + (1900 if year > 50 else 2000)
        for name, entry in zip(names, entries, strict=True):
            if entry:
                found[name, last_day(name, date(full_year, month, 1))] = float(entry)
    return found


def last_day(name: str, first: date) -> date:
    frequency = Series("x", "Q" if name in QUARTERLY else "M").parsed
    return period_end(frequency, period_containing(frequency, first))


@pytest.fixture(scope="module")
def vintages():
    return {day: vintage(day) for day in DAYS}


@pytest.fixture(scope="module", params=["rows", "complete"])
def archive(request, vintages, tmp_path_factory):
    archive = Archive.open(tmp_path_factory.mktemp("nyfed") / "archive.duckdb")
    names = sorted({name for name, _ in vintages[DAYS[0]]})
    archive.define(*(Series(f"nyfed/{name}", "Q" if name in QUARTERLY else "M", zone=ZONE) for name in names))
    # the newer file first: the older one then arrives late
    for day in reversed(DAYS) if request.param == "rows" else DAYS:
        frame = pl.DataFrame(
            [
                {"series_id": name, "period": period, "published_at": day, "value": value}
                for (name, period), value in vintages[day].items()
            ]
        )
        archive.append(frame, source=f"{day}.csv", coverage=request.param, known_through=date(2016, 12, 31))
    return archive


def content(frame: pl.DataFrame) -> dict[tuple[str, date], float]:
    return {(name.removeprefix("nyfed/"), period): value for name, period, _, value in frame.rows()}


def test_the_files_are_the_ones_described(vintages):
    old, new = (vintages[day] for day in DAYS)
    assert len({name for name, _ in new}) == 29
    assert sum(old[cell] != new[cell] for cell in old) == 85
    assert len(new.keys() - old.keys()) == 23
    assert not old.keys() - new.keys()


def test_both_vintages_come_out_unchanged(archive, vintages):
    replay = Replay(exported(archive), [series.id for series in archive.series()])
    for day in DAYS:
        known = end_of_day(day, ZONE)
        assert archive.as_of(known - timedelta(microseconds=1)).frame().height != len(vintages[day])
        assert content(archive.as_of(known).frame()) == vintages[day]
        replay.advance(known)
        assert content(replay.snapshot().frame()) == vintages[day]


def test_only_what_differs_is_stored(archive, vintages):
    stored = sum(archive.revisions(series.id).height for series in archive.series())
    assert stored == len(vintages[DAYS[0]]) + 85 + 23


def test_every_cell_has_two_releases_but_the_new_ones(archive, vintages):
    publications = [exported(archive).publications_of(series.id) for series in archive.series()]
    assert sum(int((found.last - found.first + 1).sum()) for found in publications) >= sum(map(len, vintages.values()))
    assert archive.revisions("GDPC1")["release"].max() == 2
