"""`harness new`: guesses that are right on ordinary files, refusals that say why, and files that then work."""

from __future__ import annotations

import gzip
import math
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import DataError, ExperimentError, UserError
from harness.core.series import Series
from harness.data.archive import Archive
from harness.data.calendars import sessions_between
from harness.data.dataset import load_dataset
from harness.data.guessing import guess
from harness.data.ingest import ingest
from harness.data.scaffold import new_dataset
from harness.experiment import load_experiment

MONTHS = [date(2000 + place // 12, place % 12 + 1, 1) for place in range(120)]
QUARTERS = [f"{1990 + place // 4}Q{place % 4 + 1}" for place in range(80)]


def levels(count: int) -> list[float]:
    return [100 * 1.004**place + math.sin(place) for place in range(count)]


def written(folder: Path, name: str, frame: pl.DataFrame, **options: str) -> Path:
    path = folder / name
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, **options)  # type: ignore[arg-type]
    return path


def wide() -> pl.DataFrame:
    rate = [f"{3 + place % 7 / 10:.1f}" if place != 5 else "." for place in range(120)]
    return pl.DataFrame({"DATE": [str(day) for day in MONTHS], "Price (EUR)": levels(120), "rate": rate})


def long(lag: int = 45) -> pl.DataFrame:
    ends = [date(1990 + place // 4, place % 4 * 3 + 3, 28) for place in range(80)]
    return pl.DataFrame(
        {
            "quarter": QUARTERS * 2,
            "variable": ["gdp"] * 80 + ["Trade balance"] * 80,
            "x": levels(80) + [math.sin(place) for place in range(80)],
            "Release_Date": [day + timedelta(days=lag) for day in ends] * 2,
        }
    )


def sessions(calendar: str) -> list[date]:
    days = sessions_between(Series("x", "B", calendar=calendar), date(2015, 1, 1), date(2016, 12, 31))
    return [date(1970, 1, 1) + timedelta(days=int(day)) for day in days]


def test_a_wide_file_of_final_values(tmp_path: Path) -> None:
    paths = list(new_dataset("shop", written(tmp_path, "shop.csv", wide()), tmp_path).paths)
    assert paths == [
        tmp_path / "datasets" / "shop" / "shop.csv",
        tmp_path / "datasets" / "shop" / "dataset.toml",
        tmp_path / "experiments" / "shop.toml",
    ]
    with pytest.raises(ExperimentError, match="still to be filled in") as caught:
        load_dataset(paths[0].parent)
    assert len(caught.value.problems) == 1
    assert "pseudo_real_time = true" in paths[2].read_text()
    fill_in(paths[1])
    dataset = load_dataset(paths[0].parent)
    assert [(one.id, one.frequency) for one in dataset.series] == [("shop/price_eur", "M"), ("shop/rate", "M")]
    assert dataset.sources[0].stamp == "first"
    assert dataset.sources[0].text.null_values == (".",)


def fill_in(declaration: Path) -> None:
    text = declaration.read_text()
    assert text.count('"FILL IN"') == 1
    declaration.write_text(text.replace('{ kind = "FILL IN" }', '{ kind = "calendar_days", n = 20 }'))


def test_ingest_refuses_until_the_lag_is_filled_in_and_then_takes_everything(tmp_path: Path) -> None:
    paths = list(new_dataset("shop", written(tmp_path, "shop.csv", wide()), tmp_path).paths)
    archive = Archive.open(tmp_path / "archive.duckdb")
    with pytest.raises(ExperimentError, match="lag"):
        ingest(paths[0].parent, archive, raw_dir=tmp_path / "raw")
    assert archive.series() == []
    fill_in(paths[1])
    assert ingest(paths[0].parent, archive, raw_dir=tmp_path / "raw").kept == 239
    experiment = load_experiment(paths[2])
    assert experiment.pseudo_real_time
    assert experiment.target.series == ("shop/price_eur",)
    assert str(experiment.target.transform.kind) == "log_growth"
    assert experiment.origins.first == date(2006, 1, 31)
    assert {model.kind for model in experiment.models} == {"autoregression", "ets", "theta", "lightgbm"}


def test_a_long_file_with_publication_dates_needs_nothing_filled_in(tmp_path: Path) -> None:
    paths = list(new_dataset("trade", written(tmp_path, "trade.csv", long()), tmp_path).paths)
    archive = Archive.open(tmp_path / "archive.duckdb")
    report = ingest(paths[0].parent, archive, raw_dir=tmp_path / "raw")
    assert report.kept == 160
    assert [one.id for one in archive.series()] == ["trade/gdp", "trade/trade_balance"]
    assert set(archive.revisions("trade/gdp")["availability"]) == {"observed"}
    assert "pseudo_real_time" not in paths[2].read_text()
    experiment = load_experiment(paths[2])
    assert not experiment.pseudo_real_time
    assert {block.series for block in experiment.features} == {"", "trade/trade_balance"}


@pytest.mark.parametrize(
    ("stamps", "frequency", "stamp"),
    [
        ([str(day) for day in MONTHS], "M", "first"),
        ([str(day + timedelta(days=14)) for day in MONTHS], "M", "month"),
        ([f"{day:%Y-%m}" for day in MONTHS], "M", "last"),
        ([f"{day:%b %Y}" for day in MONTHS], "M", "first"),
        ([f"{day:%d/%m/%Y}" for day in MONTHS], "M", "first"),
        ([f"{day:%m/%d/%Y}" for day in MONTHS], "M", "first"),
        (QUARTERS, "Q-DEC", "last"),
        ([f"{1990 + place // 4}-{place % 4 * 3 + 1:02}-01" for place in range(80)], "Q-DEC", "first"),
        ([f"{1990 + place // 4}-{place % 4 * 3 + 3:02}-01" for place in range(80)], "Q-DEC", "month"),
        ([str(date(2015, 1, 7) + timedelta(weeks=week)) for week in range(100)], "W-WED", "last"),
        ([str(year) for year in range(1950, 2020)], "A-DEC", "last"),
        ([f"{year}-06-30" for year in range(1950, 2020)], "A-JUN", "last"),
        ([str(date(2015, 1, 1) + timedelta(days=day)) for day in range(100)], "D", "last"),
        ([str(day) for day in sessions("XNYS")], "B", "last"),
    ],
)
def test_frequency_and_stamp_are_guessed(tmp_path: Path, stamps: list[str], frequency: str, stamp: str) -> None:
    frame = pl.DataFrame({"period": stamps, "value": [float(place) for place in range(len(stamps))]})
    found = guess(written(tmp_path, "x.csv", frame)).timing
    assert (found.frequency, found.stamp) == (frequency, stamp)


@pytest.mark.parametrize("calendar", ["XNYS", "XLON"])
def test_the_calendar_whose_sessions_fit_is_chosen(tmp_path: Path, calendar: str) -> None:
    days = sessions(calendar)
    frame = pl.DataFrame({"day": days, "close": levels(len(days))})
    assert guess(written(tmp_path, "x.parquet", frame)).timing.calendar == calendar


def test_european_csv_files_are_understood(tmp_path: Path) -> None:
    rows = [f"{day:%d.%m.%Y};{place},5" for place, day in enumerate(MONTHS)]
    path = tmp_path / "größe.csv"
    path.write_bytes(("Datum;Größe\n" + "\n".join(rows)).encode("cp1252"))
    paths = list(new_dataset("groesse", path, tmp_path).paths)
    fill_in(paths[1])
    archive = Archive.open(tmp_path / "archive.duckdb")
    ingest(paths[0].parent, archive, raw_dir=tmp_path / "raw")
    (series,) = archive.series()
    assert archive.revisions(series.id)["value"].to_list()[:2] == [0.5, 1.5]


def test_blank_lines_above_the_names_and_quotes_around_numbers_are_seen_through(tmp_path: Path) -> None:
    rows = "".join(f'"{day:%d.%m.%Y}";"{place},25"\n' for place, day in enumerate(MONTHS))
    path = tmp_path / "a.csv"
    path.write_text(f'\ufeff\n\n"Datum";"Preis ""netto"""\n{rows}', encoding="utf-8")
    found = guess(path)
    assert (found.text.delimiter, found.text.decimal_mark, found.names) == (";", ",", ('Preis "netto"',))
    paths = new_dataset("shop", path, tmp_path).paths
    fill_in(paths[1])
    archive = Archive.open(tmp_path / "archive.duckdb")
    assert ingest(paths[1].parent, archive, raw_dir=tmp_path / "raw").kept == len(MONTHS)


def test_a_file_without_names_or_in_another_encoding_or_with_a_date_that_is_none_is_refused(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.csv", "".join(f"{day},{place}\n" for place, day in enumerate(MONTHS))
    path.write_text(rows)
    with pytest.raises(DataError, match="the first line names no columns"):
        guess(path)
    path.write_bytes(("date,value\n" + rows).encode("utf-16-le"))
    with pytest.raises(DataError, match=r"not written in utf-8: its first line has NUL characters.*utf-16-le"):
        guess(path)
    path.write_text(f"date,value\n{rows}9999-12-31,1\n")
    with pytest.raises(DataError, match="line 122, column 'date': not a date: '9999-12-31'"):
        guess(path)


@pytest.mark.parametrize("name", ["sales.csv", "Sales.CSV", "sales.TXT", "sales.csv.gz", "SALES.CSV.GZ"])
def test_a_file_is_of_the_kind_that_its_name_says_in_any_letters(tmp_path: Path, name: str) -> None:
    text = "Datum;Umsatz\n" + "".join(f"{day:%d.%m.%Y};{place},5\n" for place, day in enumerate(MONTHS))
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.lower().endswith(".gz") else text.encode())
    paths = list(new_dataset("sales", path, tmp_path).paths)
    fill_in(paths[1])
    archive = Archive.open(tmp_path / "archive.duckdb")
    assert ingest(paths[1].parent, archive, raw_dir=tmp_path / "raw").kept == len(MONTHS)


@pytest.mark.parametrize(("form", "sure"), [("%m/%d/%Y", True), ("%d/%m/%Y", True), ("%d/%m/%Y", False)])
def test_the_form_of_publication_dates_is_that_of_all_rows(tmp_path: Path, form: str, *, sure: bool) -> None:
    days = [date(2020, 1, 1) + timedelta(days=place) for place in range(30 if sure else 12)]
    ids = [f"s{place:04}" for place in range(600)]
    stamps = [day.replace(month=2).strftime(form) if sure else day.strftime(form) for day in days if day.day < 29]
    rows = [(name, str(day), stamp, 1.5) for day, stamp in zip(days, stamps, strict=False) for name in ids]
    frame = pl.DataFrame(rows, schema=["series", "period", "published_at", "value"], orient="row")
    file = new_dataset("shops", written(tmp_path, "x.csv", frame), tmp_path).paths[1]
    (line,) = (one for one in file.read_text().splitlines() if one.startswith("date_format"))
    assert line.startswith(f'date_format = "{form}"')
    assert ("months first" in line) == (not sure)


def test_a_single_value_column_takes_the_name_of_the_dataset(tmp_path: Path) -> None:
    frame = pl.DataFrame({"date": MONTHS, "value": levels(120)})
    paths = list(new_dataset("sales", written(tmp_path, "x.parquet", frame), tmp_path).paths)
    fill_in(paths[1])
    assert [one.id for one in load_dataset(paths[0].parent).series] == ["sales/sales"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]}), "no column of dates"),
        (pl.DataFrame({"date": MONTHS, "b": ["x"] * 120}), "no column of numbers"),
        (pl.DataFrame({"date": MONTHS}), "no column of numbers found: odd.csv: no column beside that of dates"),
        (pl.DataFrame({"date": [MONTHS[0], MONTHS[7], MONTHS[9], MONTHS[50]], "b": [1.0] * 4}), "no known frequency"),
    ],
)
def test_files_that_cannot_be_understood_are_refused_and_nothing_is_written(
    tmp_path: Path, frame: pl.DataFrame, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        new_dataset("odd", written(tmp_path, "odd.csv", frame), tmp_path)
    assert not (tmp_path / "datasets").exists()
    assert not (tmp_path / "experiments").exists()


def test_a_column_of_dates_that_is_not_used_is_named(tmp_path: Path) -> None:
    stamped = wide().with_columns(pl.col("DATE").str.to_date().dt.offset_by("50d").alias("seen"), year=pl.lit(2000))
    paths = list(new_dataset("shop", written(tmp_path, "shop.csv", stamped), tmp_path).paths)
    text = paths[1].read_text()
    assert "# The column 'seen' holds dates too and is not used." in text
    assert 'columns.published_at = "seen"' in text
    assert "[series.seen]" not in text
    fill_in(paths[1])
    assert {one.id for one in load_dataset(paths[0].parent).series} == {"shop/price_eur", "shop/rate"}
    assert "is not used" not in new_dataset("plain", written(tmp_path, "p.csv", wide()), tmp_path).paths[1].read_text()


def test_dates_are_no_names_of_series(tmp_path: Path) -> None:
    vintages = [pl.DataFrame({"period": QUARTERS, "seen": date(2011, month, 1), "x": levels(80)}) for month in (1, 2)]
    found = guess(written(tmp_path, "x.parquet", pl.concat(vintages)))
    assert (found.series, found.names, found.unused) == ("", ("x",), ("seen",))


def test_the_first_origin_of_days_has_the_training_rows_it_asks_for(tmp_path: Path) -> None:
    days = pl.date_range(date(2015, 1, 1), date(2017, 12, 31), "1d", eager=True)
    frame = pl.DataFrame({"day": days, "value": levels(len(days))})
    paths = list(new_dataset("days", written(tmp_path, "days.csv", frame), tmp_path).paths)
    fill_in(paths[1])
    experiment = load_experiment(paths[2])
    first = experiment.origins.first
    assert isinstance(first, date)
    assert experiment.training.minimum < (first - days[0]).days / 7 - 2


def test_columns_that_are_empty_are_neither_names_nor_dates(tmp_path: Path) -> None:
    frame = pl.DataFrame({"date": MONTHS, "shop": pl.Series([None] * 120, dtype=pl.String), "value": levels(120)})
    assert guess(written(tmp_path, "x.parquet", frame)).series == ""
    gone = frame.with_columns(date=pl.lit(None, dtype=pl.Date))
    with pytest.raises(DataError, match="no column of dates found"):
        guess(written(tmp_path, "gone.parquet", gone))


@pytest.mark.parametrize("name", ["gone.csv", "gone.parquet"])
def test_a_file_that_is_not_there_is_the_users_not_a_declarations(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"No such file.*fix: give the path of a file that is there"):
        new_dataset("shop", tmp_path / name, tmp_path)


def test_a_long_panel_is_declared_at_once(tmp_path: Path) -> None:
    stores = [pl.DataFrame({"date": MONTHS, "store": f"No{number}", "sold": levels(120)}) for number in range(41)]
    paths = list(new_dataset("shops", written(tmp_path, "shops.parquet", pl.concat(stores)), tmp_path).paths)
    text = paths[1].read_text()
    assert text.count("[series.") == 1
    assert "[series.\"*\"]  # every id in the column 'store': 41 so far" in text
    fill_in(paths[1])
    dataset = load_dataset(paths[0].parent)
    assert len(dataset.series) == 41
    archive = Archive.open(tmp_path / "archive.duckdb")
    assert ingest(paths[0].parent, archive, raw_dir=tmp_path / "raw").kept == 41 * 120
    experiment = load_experiment(paths[2])
    assert len(experiment.target.series) == 41
    assert experiment.question == "Does anything beat the naive rivals for the 41 series of shops?"
    assert [block.name for block in experiment.features] == ["own"]
    assert experiment.target.transform.kind == "log_growth"
    assert '  # all of them; or some, like "No0"' in paths[2].read_text()


def test_a_panel_is_taken_as_it_is_where_one_of_its_series_has_no_logarithm(tmp_path: Path) -> None:
    stores = [pl.DataFrame({"date": MONTHS, "store": f"No{number}", "sold": levels(120)}) for number in range(41)]
    stores[7] = stores[7].with_columns(sold=pl.col("sold") - 120)
    paths = list(new_dataset("shops", written(tmp_path, "shops.parquet", pl.concat(stores)), tmp_path).paths)
    fill_in(paths[1])
    assert load_experiment(paths[2]).target.transform.kind == "level"


@pytest.mark.parametrize("odd", ["No 1", "a/b", "*"])
def test_a_long_panel_whose_ids_cannot_stay_is_declared_one_by_one(tmp_path: Path, odd: str) -> None:
    names = [odd, *(f"no{number}" for number in range(41))]
    stores = [pl.DataFrame({"date": MONTHS, "store": name, "sold": levels(120)}) for name in names]
    paths = list(new_dataset("shops", written(tmp_path, "shops.parquet", pl.concat(stores)), tmp_path).paths)
    fill_in(paths[1])
    assert paths[1].read_text().count("[series.") == len(load_dataset(paths[0].parent).series) == 42


def test_bad_and_taken_names_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "shop.csv", wide())
    with pytest.raises(UserError, match="not a dataset name"):
        new_dataset("../shop", path, tmp_path)
    new_dataset("shop", path, tmp_path)
    before = (tmp_path / "datasets" / "shop" / "dataset.toml").read_text()
    with pytest.raises(UserError, match="already there"):
        new_dataset("shop", path, tmp_path)
    assert (tmp_path / "datasets" / "shop" / "dataset.toml").read_text() == before


def test_texts_taken_for_absent_values_are_named_in_a_comment(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["date,value", *(f"{day},{'NaN' if day == MONTHS[3] else 1.5}" for day in MONTHS)]))
    text = new_dataset("sales", path, tmp_path).paths[1].read_text()
    assert 'null_values = ["NaN"]  # guessed' in text
    assert "absent values" in text


@pytest.mark.parametrize("word", ["n/a", "N.A.", "na"])
def test_one_absent_value_among_numbers_is_found_however_it_is_spelt(tmp_path: Path, word: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["date,value", *(f"{day},{word if day == MONTHS[3] else 1.5}" for day in MONTHS)]))
    assert f'null_values = ["{word}"]  # guessed' in new_dataset("sales", path, tmp_path).paths[1].read_text()


def test_what_is_no_number_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["date,value", *(f"{day},{'closed' if day == MONTHS[3] else 1.5}" for day in MONTHS)]))
    with pytest.raises(DataError, match=r"line 5.*not a number: 'closed'; 1 such.*null_values = \[\"closed\"\]"):
        new_dataset("sales", path, tmp_path)


@pytest.mark.parametrize("form", ["v%Y%m%d", "CPI%Y-%m", "gdp_%YQ1"])
def test_a_real_time_matrix_is_not_taken_for_many_series(tmp_path: Path, form: str) -> None:
    columns = {date(2000 + place, 1, 31).strftime(form): levels(120) for place in range(4)}
    path = written(tmp_path, "matrix.csv", pl.DataFrame({"date": MONTHS, **columns}))
    with pytest.raises(DataError, match="vintages") as caught:
        guess(path)
    assert "vintage_date" in caught.value.fix


def test_columns_with_plain_numbers_in_their_names_are_series(tmp_path: Path) -> None:
    columns = {name: levels(120) for name in ("sp500", "russell2000", "rate_10y", "cpi_2015_100")}
    assert len(guess(written(tmp_path, "wide.csv", pl.DataFrame({"date": MONTHS, **columns}))).names) == 4


def test_a_file_in_utf_16_is_read_as_such(tmp_path: Path) -> None:
    text = "date\tsales\n" + "".join(f"{day}\t{level}\n" for day, level in zip(MONTHS, levels(120), strict=True))
    (tmp_path / "excel.csv").write_bytes(text.encode("utf-16"))
    found = guess(tmp_path / "excel.csv")
    assert (found.text.encoding, found.text.delimiter, found.names) == ("utf-16", "\t", ("sales",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "date,sales\n" + "".join(f'{day},"1,234.5"\n' for day in MONTHS),
            "no column of numbers found: a.csv: sales with '1,234.5'.*thousands",
        ),
        (
            "series," + ",".join(f"2020-{month:02}" for month in range(1, 13)) + "\na" + ",1" * 12 + "\n",
            "and 5 more.*turn",
        ),
        (
            "Prices;;\n\nmonth;cpi;rate\n2020-01;1;2\n2020-02;1;3\n",
            "no column of dates.*take out lines above the names",
        ),
        (
            "date;a\n" + "".join(f"{day};{'1.234' if day == MONTHS[1] else '999,5'}\n" for day in MONTHS),
            "line 3, column 'a': thousands or a fraction: '1.234'",
        ),
        (
            "date,a\n" + "".join(f"{day},{'inf' if day == MONTHS[1] else 1.5}\n" for day in MONTHS),
            "line 3, column 'a': not a number: 'inf'; 1 such of 120 rows",
        ),
        (
            "date,a\n"
            + "".join(f"{day},{('NA', 'oops')[day == MONTHS[3]] if day <= MONTHS[3] else 1}\n" for day in MONTHS),
            "line 5, column 'a': not a number: 'oops'; 1 such",
        ),
        (
            "s,period,published_at,a\n"
            + "".join(f"x,{'2010-02-30' if day == MONTHS[1] else day},2031-01-01,1\n" for day in MONTHS),
            "line 3, column 'period': not a date: '2010-02-30'; 1 such of 120 rows",
        ),
        (
            "date,published_at,a\n"
            + "".join(f"{day},{'30.02.2010' if day == MONTHS[1] else '01.03.2031'},1\n" for day in MONTHS),
            "line 3, column 'published_at': not a date: '30.02.2010'",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_shown_by_what_stands_in_it(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        guess(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("carried", "line"),
    [
        (
            "America/New_York",
            "zone = \"America/New_York\"  # in which its days end; guessed: the column 'published_at'",
        ),
        ("UTC", 'zone = "UTC"  # in which its days end; correct it'),
        ("+02:00", 'zone = "UTC"  # in which its days end; correct it'),
        (None, 'zone = "UTC"  # in which its days end; correct it'),
    ],
)
def test_the_zone_is_that_of_the_column_of_a_parquet_file(tmp_path: Path, carried: str | None, line: str) -> None:
    stamps = (pl.Series(MONTHS).cast(pl.Datetime("us")) + timedelta(days=20, hours=9)).dt.replace_time_zone(carried)
    frame = pl.DataFrame({"period": MONTHS, "published_at": stamps, "value": levels(120)})
    assert line in new_dataset("sales", written(tmp_path, "x.parquet", frame), tmp_path).paths[1].read_text()
