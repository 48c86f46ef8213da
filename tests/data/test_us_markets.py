"""us_markets: the tables of the installed package, each value under the date its rule gives it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from arch.data import core_cpi, default, sp500

from harness.data.archive import Archive
from harness.data.ingest import IngestReport, ingest

FOLDER = Path(__file__).parents[2] / "datasets" / "us_markets"


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Archive, IngestReport]:
    home = tmp_path_factory.mktemp("us")
    archive = Archive.open(home / "archive.duckdb")
    return archive, ingest(FOLDER, archive, raw_dir=home / "raw")


def values(archive: Archive, series: str) -> list[float]:
    return archive.revisions(f"us_markets/{series}")["value"].to_list()


def test_every_value_of_the_package_is_taken_none_set_aside(ingested: tuple[Archive, IngestReport]) -> None:
    archive, report = ingested
    assert report.set_aside == 0
    bars = sp500.load()
    for series, column in (("sp500", "Close"), ("sp500.open", "Open"), ("sp500.high", "High"), ("sp500.low", "Low")):
        assert values(archive, series) == bars[column].to_list(), series
    assert values(archive, "baa") == default.load()["BAA"].to_list()
    assert values(archive, "core_cpi") == core_cpi.load()["CPILFESL"].to_list()


def test_a_day_is_known_at_its_close_in_new_york_winter_and_summer(ingested: tuple[Archive, IngestReport]) -> None:
    for day, close in (
        (date(2018, 1, 3), datetime(2018, 1, 3, 21, tzinfo=UTC)),
        (date(2018, 7, 3), datetime(2018, 7, 3, 20, tzinfo=UTC)),
    ):

        def newest(instant: datetime) -> date:
            return max(ingested[0].as_of(instant, ["us_markets/sp500"]).frame()["period"])

        assert newest(close) == day
        assert newest(close - timedelta(microseconds=1)) < day


@pytest.mark.parametrize(
    ("series", "period", "instant"),
    [
        # the last business day of April 2018, 08:30 New York summer time
        ("core_cpi", date(2018, 3, 31), datetime(2018, 4, 30, 12, 30, tzinfo=UTC)),
        # New Year's Day is none: the fifth business day of January 2018 is the 8th, until its end
        ("aaa", date(2017, 12, 31), datetime(2018, 1, 9, 5, tzinfo=UTC)),
    ],
)
def test_monthly_values_are_dated_by_their_late_rules(
    ingested: tuple[Archive, IngestReport], series: str, period: date, instant: datetime
) -> None:
    rows = ingested[0].revisions(f"us_markets/{series}")
    assert rows.filter(pl.col("period") == period)["published_at"].to_list() == [instant]


def test_all_of_it_is_marked_as_hindsight(ingested: tuple[Archive, IngestReport]) -> None:
    for series in ingested[1].series:
        rows = ingested[0].revisions(series)
        assert set(rows["availability"]) == {"rule"}
        assert rows["value_known_at"].null_count() == rows.height
