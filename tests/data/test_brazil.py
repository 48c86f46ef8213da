"""brazil_gdp: what the archive answers on each publication day is what the raw file says, and nothing else."""

from __future__ import annotations

import csv
import gzip
from calendar import monthrange
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import pytest

from harness.core.time import end_of_day
from harness.data.archive import Archive
from harness.data.ingest import ingest

FOLDER = Path(__file__).parents[2] / "datasets" / "brazil_gdp"
ZONE = "America/Sao_Paulo"
Cells = dict[tuple[str, date], float]


def quarter_end(name: str) -> date:
    year, month = int(name[:4]), 3 * int(name[-1])
    return date(year, month, monthrange(year, month)[1])


@cache
def raw_rows() -> list[tuple[str, date, date, float]]:
    with gzip.open(FOLDER / "vintages.csv.gz", "rt", encoding="utf-8", newline="") as stream:
        return [
            (
                f"brazil_gdp/{row['series']}",
                quarter_end(row["reference_period"]),
                date.fromisoformat(row["vintage_date"]),
                float(row["value"]),
            )
            for row in csv.DictReader(stream)
        ]


def releases() -> list[dict[str, str]]:
    with (FOLDER / "publications.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    home = tmp_path_factory.mktemp("brazil")
    opened = Archive.open(home / "archive.duckdb")
    ingest(FOLDER, opened, raw_dir=home / "raw")
    return opened


@cache
def brute_force(day: date) -> Cells:
    standing: dict[tuple[str, date], tuple[date, float]] = {}
    for series, period, vintage, value in raw_rows():
        if vintage <= day and standing.get((series, period), (date.min,))[0] < vintage:
            standing[series, period] = vintage, value
    return {cell: value for cell, (_, value) in standing.items()}


@cache
def known_at_the_end_of(archive: Archive, day: date) -> Cells:
    frame = archive.as_of(end_of_day(day, ZONE)).frame()
    return {(series, period): value for series, period, value in frame.select("series_id", "period", "value").rows()}


def captured_days() -> list[date]:
    return [date.fromisoformat(row["published_at"]) for row in releases() if row["captured"] == "true"]


@pytest.mark.slow
def test_every_snapshot_on_a_publication_day_equals_brute_force_over_the_raw_file(archive: Archive) -> None:
    days = captured_days()
    assert len(days) == 65
    for day in days:
        assert known_at_the_end_of(archive, day) == brute_force(day), day


@pytest.mark.slow
def test_the_day_before_differs_exactly_by_that_days_changes(archive: Archive) -> None:
    first, *later = captured_days()
    for day in later:
        changes = {(series, period): value for series, period, vintage, value in raw_rows() if vintage == day}
        before = known_at_the_end_of(archive, day - timedelta(days=1))
        assert all(before.get(cell) != value for cell, value in changes.items()), day
        assert before | changes == known_at_the_end_of(archive, day), day
    opening = known_at_the_end_of(archive, first)
    assumed = known_at_the_end_of(archive, first - timedelta(days=1))
    # before the first vintage its own values stand under the lag rule, without the quarter it brought
    assert assumed == {cell: value for cell, value in opening.items() if cell[1] < date(2010, 3, 31)}


def test_a_wrong_number_would_be_noticed(archive: Archive) -> None:
    day = captured_days()[30]
    spoilt = dict(known_at_the_end_of(archive, day))
    spoilt["brazil_gdp/pib", date(2010, 3, 31)] += 0.1
    assert spoilt != brute_force(day)


def test_how_each_date_is_known_is_on_record(archive: Archive) -> None:
    sources = [row["date_source"] for row in releases()]
    published = sum(source.startswith("publication") for source in sources)
    estimated = sum(source.startswith("estimated") for source in sources)
    assert (len(sources), published, estimated, len(sources) - published - estimated) == (66, 25, 3, 38)
    rows = archive.revisions("brazil_gdp/pib")
    by_rule = set(rows.filter(rows["availability"] == "rule")["published_at"].dt.convert_time_zone(ZONE).dt.date())
    estimates = [date.fromisoformat(row["published_at"]) for row in releases() if row["availability"] == "rule"]
    assert by_rule == {day + timedelta(days=1) for day in estimates}  # the end of a day is the next midnight
    stated = rows.filter(rows["availability"] != "assumed")
    assert (stated["value_known_at"] == stated["published_at"]).all()


def test_the_release_that_was_not_captured_counts(archive: Archive) -> None:
    rows = archive.revisions("brazil_gdp/pib")
    releases_of = rows.filter(rows["period"] == date(2021, 6, 30)).sort("published_at")
    # 2021Q2 came out on 2021-09-01; the first captured value is that of the release after it
    assert releases_of["release"].to_list()[0] == 2
    assert releases_of["published_at"].to_list()[0] == end_of_day(date(2021, 12, 2), ZONE)


def test_the_release_on_the_new_base_covers_recent_quarters_only() -> None:
    spans = {row["last"]: row["first"] for row in releases()}
    assert {first for last, first in spans.items() if last != "2014Q4"} == {"1996Q1"}
    assert spans["2014Q4"] == "2011Q1"
    moved = {period for _, period, vintage, _ in raw_rows() if vintage == date(2015, 3, 6)}
    assert min(moved) == date(2011, 3, 31)
