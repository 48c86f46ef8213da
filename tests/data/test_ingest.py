"""Ingest: a stranger's files become dated values, or one clear message and an untouched archive."""

from __future__ import annotations

import hashlib
import io
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import polars as pl
import pytest

from harness.core.errors import DataError, UnknownNameError, UserError
from harness.data.archive import Archive
from harness.data.ingest import IngestReport, ingest

HEAD = """
schema = 1
name = "mine"
origin = "test"
licence = "none needed"

[defaults]
frequency = "M"
zone = "Europe/London"
"""
RULED = HEAD + 'lag = { kind = "calendar_days", n = 20 }\n'
VINTAGES = HEAD + (
    '[series.cpi]\n[[source]]\nfile = "values.csv"\ncolumns = { period = "period", published_at = "released" }\n'
)
VINTAGE_ROWS = (
    "period,released,value\n2020-01-31,2020-02-19,1.0\n2020-02-29,2020-03-25,2.0\n2020-01-31,2020-03-25,1.5\n"
)
WIDE = RULED + '[series.a]\n[series.b]\nin_file = "B rate"\n[[source]]\nfile = "values.csv"\nlayout = "wide"\n'
WIDE_ROWS = "period,a,B rate\n2020-01-31,1,0.5\n2020-02-29,2,\n2020-03-31,3,0.7\n"


class Desk:
    """A dataset folder, an archive and a folder for raw input, empty at first."""

    def __init__(self, root: Path) -> None:
        self.folder, self.raw = root / "mine", root / "raw"
        self.folder.mkdir()
        self.archive = Archive.open(root / "archive.duckdb")

    def ingest(self, declaration: str, values: str | bytes) -> IngestReport:
        (self.folder / "dataset.toml").write_text(declaration, encoding="utf-8")
        (self.folder / "values.csv").write_bytes(values if isinstance(values, bytes) else values.encode())
        return ingest(self.folder, self.archive, raw_dir=self.raw)

    def untouched(self) -> bool:
        return not self.archive.series() and self.archive.batches().height == 0 and not self.raw.exists()

    def known(self, day: datetime, *series: str) -> list[tuple[str, date, float]]:
        return self.archive.as_of(day, series or None).frame().select("series_id", "period", "value").rows()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_wide_table_is_dated_by_its_lag_rule_and_marked_as_hindsight(desk: Desk) -> None:
    report = desk.ingest(WIDE, WIDE_ROWS)
    assert (report.rows_in, report.kept, report.sources[0].empty) == (5, 5, 1)
    # 2020-02-29 + 20 days = 2020-03-20, until its end in London
    before, after = datetime(2020, 3, 20, 23, 59, tzinfo=UTC), datetime(2020, 3, 21, tzinfo=UTC)
    assert desk.known(before, "mine/a") == [("mine/a", date(2020, 1, 31), 1.0)]
    assert desk.known(after, "mine/a")[-1] == ("mine/a", date(2020, 2, 29), 2.0)
    rows = desk.archive.revisions("mine/b")
    assert rows["period"].to_list() == [date(2020, 1, 31), date(2020, 3, 31)]
    assert rows["availability"].to_list() == ["rule", "rule"]
    assert rows["value_known_at"].null_count() == 2


@pytest.mark.parametrize("meaning", ["published_at", "vintage_date"])
def test_a_dated_table_keeps_what_was_known_when(desk: Desk, meaning: str) -> None:
    desk.ingest(VINTAGES.replace("published_at", meaning), VINTAGE_ROWS)
    assert desk.known(datetime(2020, 3, 25, 12, tzinfo=UTC)) == [("mine/cpi", date(2020, 1, 31), 1.0)]
    assert desk.known(datetime(2020, 3, 26, tzinfo=UTC)) == [
        ("mine/cpi", date(2020, 1, 31), 1.5),
        ("mine/cpi", date(2020, 2, 29), 2.0),
    ]
    assert set(desk.archive.revisions("mine/cpi")["availability"]) == {"observed"}


def test_the_same_input_twice_changes_nothing(desk: Desk) -> None:
    first = desk.ingest(WIDE, WIDE_ROWS)
    state = desk.archive.state()
    second = desk.ingest(WIDE, WIDE_ROWS)
    assert (first.already, second.already, second.rows_in) == (False, True, 0)
    assert desk.archive.state() == state
    grown = desk.ingest(WIDE, WIDE_ROWS + "2020-04-30,4,0.8\n")
    assert (grown.already, grown.kept) == (False, 2)


def test_raw_input_is_kept_by_content_hash(desk: Desk) -> None:
    desk.ingest(WIDE, WIDE_ROWS)
    kept = desk.raw / f"{hashlib.sha256(WIDE_ROWS.encode()).hexdigest()}.csv"
    assert kept.read_bytes() == WIDE_ROWS.encode()


BAD = {
    "unparsable date": (
        VINTAGES,
        VINTAGE_ROWS.replace("2020-02-29,", "2020-02-3O,"),
        "line 3, column 'period'.*2020-02-3O",
    ),
    "not the last day": (VINTAGES, VINTAGE_ROWS.replace("2020-02-29", "2020-02-28"), "line 3.*2020-02-29.*2020-02-28"),
    "unparsable stamp": (VINTAGES, VINTAGE_ROWS.replace("2020-02-19", "19 Feb"), "line 2, column 'released'.*19 Feb"),
    "no stamp": (VINTAGES, VINTAGE_ROWS.replace("2020-02-19", ""), "line 2, column 'released'.*no date"),
    "NaN": (VINTAGES, VINTAGE_ROWS.replace("2.0", "nan"), "line 3, column 'value'.*finite"),
    "infinity": (WIDE, WIDE_ROWS.replace("0.7", "inf"), "line 4, column 'B rate'.*finite"),
    "text": (WIDE, WIDE_ROWS.replace("0.7", "n/a"), "line 4, column 'B rate'.*not a number.*n/a"),
    "zoneless time": (
        VINTAGES,
        VINTAGE_ROWS.replace(",2020-03-25", ",2020-03-25T09:30").replace("-19", "-19T09:30"),
        "no zone",
    ),
    "mixed zones": (
        VINTAGES,
        VINTAGE_ROWS.replace("-03-25", "-03-25T09:30+01:00").replace("-19", "-19T09:30-05:00"),
        "mixed zones.*",
    ),
    "dates and times mixed": (VINTAGES, VINTAGE_ROWS.replace("-19", "-19T09:30Z"), "some stamps have a time of day"),
    "two values": (
        VINTAGES,
        VINTAGE_ROWS + "2020-01-31,2020-02-19,1.1\n",
        r"different values.*\[1.0, 1.1\] in lines 2, 5",
    ),
    "two values under a rule": (WIDE, WIDE_ROWS + "2020-01-31,7,\n", "different values"),
    "a stamp at the end of time": (
        VINTAGES,
        VINTAGE_ROWS.replace("2020-02-19", "9999-12-31"),
        "edge of the calendar: 9999-12-31",
    ),
    "an instant at the beginning of time": (
        VINTAGES,
        VINTAGE_ROWS.replace("-03-25", "-03-25T09:30Z").replace("2020-02-19", "0001-01-01T00:30Z"),
        "edge of the calendar: 0001-01-01T00:30:00.* in values.csv, column 'released'",
    ),
    "a period at the end of time": (
        WIDE,
        WIDE_ROWS.replace("2020-03-31", "9999-12-31"),
        "values.csv, line 4, column 'period': no period is of the year 9999",
    ),
    "no values": (WIDE, "period,a,B rate\n2020-01-31,,\n,,\n", "values.csv: no row holds a value"),
    "no bytes": (WIDE, "", "empty"),
    "no rows": (WIDE, "period,a,B rate\n", "no rows"),
    "blank": (WIDE, "\n\n", "empty"),
    "wrong encoding": (
        WIDE,
        WIDE_ROWS.replace("a,B", "ä,B").encode("cp1252"),
        "not written in utf-8.*0xe4 in line 1.*encoding",
    ),
    "ragged": (
        WIDE,
        WIDE_ROWS + "2020-04-30,1,2,3,4\n",
        r"values.csv, line 5: more fields than the first line has names: 5, not 3",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_gets_one_message_and_leaves_the_archive_alone(desk: Desk, name: str) -> None:
    declaration, values, expected = BAD[name]
    with pytest.raises(DataError) as caught:
        desk.ingest(declaration, values)
    assert re.search(expected, str(caught.value), re.DOTALL), str(caught.value)
    assert desk.untouched()


ENDS = [date(2020, 1, 31), date(2020, 2, 29)]
ODD = {
    "lists of numbers": ("value", [[1.0], [2.0]], r"column 'value': an entry is no single value: List\(Float64\)"),
    "bytes": ("value", [b"1", b"2"], "column 'value': an entry is no single value: Binary"),
    "dates for numbers": ("value", ENDS, "column 'value' holds no numbers: Date"),
    "structures for dates": ("period", [{"year": 2020}] * 2, "column 'period': an entry is no single value: Struct"),
    "a period of no calendar": (
        "period",
        pl.Series([18292, 8_000_000], dtype=pl.Int32).cast(pl.Date),
        "row 2, column 'period': a date of the year 23873",
    ),
    "a stamp of no calendar": (
        "released",
        pl.Series([8_000_000 * 86_400_000_000, 0]).cast(pl.Datetime("us", "UTC")),
        "row 1, column 'released': a date of the year 23873",
    ),
    "milliseconds that are too many for microseconds": (
        "released",
        pl.Series([0, 9_400_000_000_000_000]).cast(pl.Datetime("ms")),
        "values.parquet: column released: a date of (the|a) year",
    ),
    "a period so far off that its year has no number": (
        "period",
        pl.Series([18292, 2**31 - 1], dtype=pl.Int32).cast(pl.Date),
        "row 2, column 'period': a date of a year without a number",
    ),
}


def in_parquet(desk: Desk, declaration: str, **columns: object) -> IngestReport:
    buffer = io.BytesIO()
    given = {"period": ENDS, "released": [date(2020, 3, 2)] * 2, "value": [1.0, 2.0], **columns}
    pl.DataFrame(given).write_parquet(buffer)
    declaration = declaration.replace("values.csv", "values.parquet")
    (desk.folder / "values.parquet").write_bytes(buffer.getvalue())
    return desk.ingest(declaration, "")


@pytest.mark.parametrize("name", ODD)
def test_columns_of_a_parquet_file_that_are_something_else_get_one_message(desk: Desk, name: str) -> None:
    column, values, expected = ODD[name]
    with pytest.raises(DataError, match=expected):
        in_parquet(desk, VINTAGES, **{column: values})
    assert desk.untouched()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_instants_of_a_parquet_file_are_read_in_whatever_unit_they_are(
    desk: Desk, unit: Literal["ms", "us", "ns"], zone: str | None
) -> None:
    midnights = pl.Series(ENDS).cast(pl.Datetime(unit)).dt.replace_time_zone(zone)
    at = datetime(2020, 3, 2, 9, 30, 0, 250_000, tzinfo=UTC)
    in_parquet(desk, VINTAGES, period=midnights, released=pl.Series([at] * 2).cast(pl.Datetime(unit, "UTC")))
    rows = desk.archive.revisions("mine/cpi")
    assert rows["period"].to_list() == ENDS
    assert set(rows["published_at"].to_list()) == {at}


def test_a_column_or_series_that_is_not_there_is_named_with_the_nearest(desk: Desk) -> None:
    with pytest.raises(UnknownNameError, match="column of values") as caught:
        desk.ingest(WIDE.replace("B rate", "B Rate"), WIDE_ROWS)
    assert "B rate" in caught.value.fix
    long = RULED + '[series.gdp]\n[series.cpi]\n[[source]]\nfile = "values.csv"\n'
    with pytest.raises(UnknownNameError) as caught:
        desk.ingest(long, "series,period,value\ngdp,2020-01-31,1\nCPI,2020-01-31,1\n")
    assert desk.untouched()


def test_declared_encoding_delimiter_and_marks_are_used(desk: Desk) -> None:
    declaration = RULED + (
        '[series.a]\nin_file = "Größe"\n[[source]]\nfile = "values.csv"\nlayout = "wide"\nencoding = "cp1252"\n'
        'delimiter = ";"\ndecimal_mark = ","\nnull_values = ["k.A."]\ndate_format = "%d.%m.%Y"\n'
    )
    desk.ingest(declaration, "period;Größe\n31.01.2020;1,5\n29.02.2020;k.A.\n31.03.2020;2\n".encode("cp1252"))
    assert desk.archive.revisions("mine/a")["value"].to_list() == [1.5, 2.0]


def test_offsets_are_checked_against_the_declared_zone(desk: Desk) -> None:
    zoned = VINTAGES.replace('file = "values.csv"', 'file = "values.csv"\nzone = "Europe/London"')
    rows = "period,released,value\n2020-01-31,2020-02-19T09:30+00:00,1\n2020-02-29,2020-03-31T09:30+01:00,2\n"
    desk.ingest(zoned, rows)
    assert desk.archive.revisions("mine/cpi")["published_at"].to_list()[-1] == datetime(2020, 3, 31, 8, 30, tzinfo=UTC)


def test_stamps_that_a_change_of_the_clocks_makes_unclear_are_counted(desk: Desk) -> None:
    zoned = VINTAGES.replace('file = "values.csv"', 'file = "values.csv"\nzone = "America/New_York"')
    rows = [
        "2024-01-31,2024-03-10 02:30,1",  # the clocks go from 2:00 to 3:00
        "2024-02-29,2024-03-10 02:30,2",
        "2024-09-30,2024-11-03 01:30,3",  # and from 2:00 back to 1:00
        "2024-10-31,2024-11-03 02:30,4",
        "2024-11-30,2024-12-02 01:30,5",
    ]
    report = desk.ingest(zoned, "\n".join(["period,released,value", *rows]))
    assert report.sources[0].unclear == 3
    stamps = desk.archive.revisions("cpi").sort("period")["published_at"].to_list()
    assert [f"{one:%m-%dT%H:%M}" for one in stamps[1:4]] == ["03-10T07:30", "11-03T06:30", "11-03T07:30"]


def test_only_rows_that_are_taken_count_as_unclear_and_listed_publications_do(desk: Desk) -> None:
    here = VINTAGES.replace('file = "values.csv"', 'file = "values.csv"\nzone = "America/New_York"')
    here = here.replace("columns = {", 'columns = { series = "series",')
    rows = "series,period,released,value\n"
    rows += "".join(f"{name},2024-09-30,2024-11-03 01:30,3\n" for name in ("cpi", "other"))
    assert desk.ingest(here, rows).sources[0].unclear == 1
    (desk.folder / "publications.csv").write_text(
        "published_at,first,last\n2024-11-03 01:30,2024-09-30,2024-09-30\n2024-11-03 01:45,2024-08-31,2024-09-30\n"
    )
    changes = here + 'coverage = "changes"\npublications = "publications.csv"\n'
    assert desk.ingest(changes, rows + "cpi,2024-08-31,2024-11-03 01:45,2\n").sources[0].unclear == 4


def test_times_of_day_are_taken_in_the_declared_zone(desk: Desk) -> None:
    zoned = VINTAGES.replace('file = "values.csv"', 'file = "values.csv"\nzone = "America/New_York"')
    desk.ingest(zoned, "period,released,value\n2020-01-31,2020-02-19 08:30,1\n2020-02-29,2020-03-25 08:30,2\n")
    stamps = desk.archive.revisions("mine/cpi")["published_at"].to_list()
    assert stamps == [datetime(2020, 2, 19, 13, 30, tzinfo=UTC), datetime(2020, 3, 25, 12, 30, tzinfo=UTC)]


def monthly(days: list[int]) -> str:
    ends = pl.select(pl.date_range(date(2010, 1, 1), date(2021, 12, 1), "1mo").dt.month_end()).to_series()
    rows = [
        f"{end},{date.fromordinal(end.toordinal() + lag)},{place}"
        for place, (end, lag) in enumerate(zip(ends, days, strict=True))
    ]
    return "\n".join(["period,released,value", *rows]) + "\n"


def test_a_lag_rule_must_be_late_for_99_percent_of_the_publications(desk: Desk) -> None:
    ruled = VINTAGES.replace("[defaults]", '[defaults]\nlag = { kind = "calendar_days", n = 20 }')
    too_early = [20] * 140 + [25] * 4  # 4 of 143 later than the rule: 97 %
    with pytest.raises(DataError, match="earlier than the publication of 4 of 143"):
        desk.ingest(ruled, monthly(too_early))
    assert desk.untouched()
    report = desk.ingest(ruled, monthly([20] * 143 + [25]))
    assert [(name, check.n, check.held) for name, check in report.rules] == [("mine/cpi", 143, 142)]


def test_rows_dated_later_than_now_or_on_no_session_are_set_aside_with_the_reason(desk: Desk) -> None:
    daily = RULED.replace('"M"', '"B"\ncalendar = "XNYS"').replace("n = 20", "n = 0")
    declaration = daily + '[series.a]\n[[source]]\nfile = "values.csv"\nlayout = "wide"\n'
    report = desk.ingest(declaration, "period,a\n2020-01-02,1\n2020-01-04,2\n2020-01-06,3\n2033-01-05,4\n")
    assert (report.rows_in, report.kept, report.set_aside) == (4, 2, 2)
    aside = desk.archive.set_aside()
    assert sorted(aside["reason"]) == ["no session of XNYS", "published later than now"]
    assert sorted(aside["value"]) == [2.0, 4.0]


def test_series_of_the_file_that_are_not_declared_are_counted(desk: Desk) -> None:
    long = RULED + '[series.gdp]\n[[source]]\nfile = "values.csv"\ncolumns = { series = "series" }\n'
    report = desk.ingest(long, "series,period,value\ngdp,2020-01-31,1\nother,2020-01-31,1\nother,2020-02-29,1\n")
    assert report.sources[0].undeclared == (("other", 2),)
    assert [one.id for one in desk.archive.series()] == ["mine/gdp"]


def test_stamps_of_the_first_day_and_names_of_periods_are_understood(desk: Desk) -> None:
    quarterly = RULED.replace('"M"', '"Q"') + '[series.a]\n[[source]]\nfile = "values.csv"\nlayout = "wide"\n'
    desk.ingest(quarterly, "period,a\n2020Q1,1\n2020-Q2,2\n")
    assert desk.archive.revisions("mine/a")["period"].to_list() == [date(2020, 3, 31), date(2020, 6, 30)]
    desk.ingest(quarterly + 'stamp = "first"\n', "period,a\n2020-01-01,1\n2020-04-01,2\n2020-07-01,3\n")
    assert desk.archive.revisions("mine/a")["period"].to_list()[-1] == date(2020, 9, 30)


CHANGES = VINTAGES + 'coverage = "changes"\npublications = "publications.csv"\n'


def test_listed_publications_make_changes_countable(desk: Desk) -> None:
    (desk.folder / "publications.csv").write_text(
        "published_at,first,last,captured,availability\n2020-02-19,2020-01,2020-01,true,observed\n"
        "2020-03-25,2020-01,2020-02,true,rule\n2020-04-22,2020-01,2020-03,false,observed\n"
    )
    desk.ingest(CHANGES, VINTAGE_ROWS)
    rows = desk.archive.revisions("mine/cpi")
    assert rows.filter(pl.col("period") == date(2020, 1, 31))["release"].to_list() == [1, 2]
    assert rows["availability"].to_list() == ["observed", "rule", "rule"]
    assert rows["value_known_at"].null_count() == 0
    assert desk.archive.known_through("mine/cpi") == datetime(2020, 4, 22, 23, tzinfo=UTC)


def test_a_change_that_no_captured_publication_covers_is_refused(desk: Desk) -> None:
    listed = "published_at,first,last\n2020-02-19,2020-01,2020-01\n2020-03-25,2020-02,2020-02\n"
    (desk.folder / "publications.csv").write_text(listed)
    with pytest.raises(DataError, match=r"line 4.*no captured publication"):
        desk.ingest(CHANGES, VINTAGE_ROWS)
    assert desk.untouched()


def test_a_changed_declaration_is_refused_before_anything_is_written(desk: Desk) -> None:
    desk.ingest(WIDE, WIDE_ROWS)
    state = desk.archive.state()
    other = WIDE.replace("[series.b]", '[series.c]\nin_file = "a"\n[series.b]\ndecimals = 2')
    with pytest.raises(UserError, match="declared differently"):
        desk.ingest(other, WIDE_ROWS)
    assert desk.archive.state() == state


FORECASTS = VINTAGES + (
    '[forecasts]\nfile = "forecasts.csv"\nnote = "labels"\n'
    '[forecasts.issuers.bank]\nin_file = "The Bank"\nseries = ["cpi"]\nmade = "live"\n'
)


def test_forecasts_are_known_from_their_issue(desk: Desk) -> None:
    (desk.folder / "forecasts.csv").write_text(
        "source,series,issued_at,period,value\n"
        "The Bank,cpi,2020-03-20,2020-04-30,9\nOther,cpi,2020-03-20,2020-04-30,8\n"
    )
    report = desk.ingest(FORECASTS, VINTAGE_ROWS)
    assert [(one.label, one.kept) for one in report.sources] == [("values.csv", 3), ("forecasts.csv", 1)]
    assert desk.archive.as_of(datetime(2020, 3, 20, 12, tzinfo=UTC)).issues == ()
    (issue,) = desk.archive.as_of(datetime(2020, 3, 21, 12, tzinfo=UTC)).issues
    assert (issue.source, issue.values.tolist()) == ("bank", [9.0])


def test_a_misspelt_issuer_is_named(desk: Desk) -> None:
    (desk.folder / "forecasts.csv").write_text(
        "source,series,issued_at,period,value\nThe bank,cpi,2020-03-20,2020-04-30,9\n"
    )
    with pytest.raises(UnknownNameError, match="The Bank"):
        desk.ingest(FORECASTS, VINTAGE_ROWS)
    assert desk.untouched()


def test_a_column_name_that_occurs_twice_is_refused(desk: Desk) -> None:
    with pytest.raises(DataError, match="occurs twice: 'a'"):
        desk.ingest(WIDE, WIDE_ROWS.replace("B rate", "B rate,a").replace("\n2", ",9\n2"))
    assert desk.untouched()


def test_a_final_value_revised_in_place_is_refused_with_the_ways_out(desk: Desk) -> None:
    desk.ingest(WIDE, WIDE_ROWS)
    with pytest.raises(DataError, match=r"columns.published_at.*new dataset name.*--home DIR"):
        desk.ingest(WIDE, WIDE_ROWS.replace("2020-01-31,1,", "2020-01-31,9,"))


def test_a_changed_declaration_is_refused_and_the_message_says_how_to_go_on(desk: Desk) -> None:
    desk.ingest(WIDE, WIDE_ROWS)
    with pytest.raises(UserError, match=r"declared differently.*lag.*rename the dataset.*HARNESS_HOME"):
        desk.ingest(WIDE.replace("n = 20", "n = 45"), WIDE_ROWS)


def test_the_same_file_read_by_another_column_is_refused(desk: Desk) -> None:
    rows = "period,released,later,value\n2020-01-31,2020-02-19,2020-03-19,1.0\n"
    desk.ingest(VINTAGES, rows)
    with pytest.raises(UserError, match=r"another description.*rename the dataset"):
        desk.ingest(VINTAGES.replace('"released"', '"later"'), rows)
