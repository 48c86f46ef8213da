"""dataset.toml: every problem at once, with its fix; the reference names every key; the shipped datasets parse."""

from __future__ import annotations

import gzip
import tomllib
from datetime import date, time
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import DataError, ExperimentError, UnknownNameError, UserError
from harness.core.series import LagRule
from harness.data.archive import Archive
from harness.data.dataset import KEYS, find_dataset, load_dataset, parse_dataset
from harness.data.declared import Dataset
from harness.data.ingest import ingest, lacks
from harness.data.streamed import parquet_parts
from harness.data.tables import read_file
from harness.record.memory import LIMIT, within

REPOSITORY = Path(__file__).parents[2]
SHIPPED = {"uk_macro": 4, "brazil_gdp": 10, "us_markets": 8}
GOOD = """
schema = 1
name = "mine"
origin = "a shop"
licence = "mine to give"

[defaults]
frequency = "M"
zone = "Europe/London"
lag = { kind = "calendar_days", n = 20 }

[series.cpi]
unit = "index"
decimals = 1
scale = "rebased"

[series.rate]
in_file = "Bank rate"
zone = "UTC"
lag = { kind = "nth_business_day", n = 2, at = 08:30:00, calendar = "holidays:GB" }

[[source]]
file = "values.csv"
layout = "wide"
columns = { period = "date" }
stamp = "first"
"""


def parsed(text: str) -> Dataset:
    return parse_dataset(tomllib.loads(text), Path("/datasets/mine"))


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ExperimentError) as caught:
        parsed(text)
    return caught.value.problems


def test_a_good_file_becomes_frozen_objects() -> None:
    dataset = parsed(GOOD)
    cpi, rate = dataset.series
    assert (cpi.id, cpi.zone, cpi.decimals, cpi.scale) == ("mine/cpi", "Europe/London", 1, "rebased")
    assert cpi.lag == LagRule("calendar_days", n=20)
    assert (rate.id, rate.zone) == ("mine/rate", "UTC")
    assert rate.lag == LagRule("nth_business_day", n=2, at=time(8, 30), calendar="holidays:GB")
    assert dataset.in_file == (("cpi", "cpi"), ("rate", "Bank rate"))
    assert dataset.sources[0].series == ("cpi", "rate")
    assert dataset.licence == "mine to give"


def test_all_problems_are_reported_at_once_each_with_its_fix() -> None:
    bad = (
        GOOD.replace("licence =", "license =")
        .replace('frequency = "M"', 'frequency = "monthly"')
        .replace('scale = "rebased"', 'scale = "rebase"')
        .replace("decimals = 1", 'decimals = "one"')
        .replace('layout = "wide"', 'layout = "wd"')
        .replace("n = 20 }", "days = 20 }")
        .replace('stamp = "first"', 'stamp = "frist"')
    )
    found = "\n".join(problems(bad))
    for expected in (
        'did you mean "licence"',
        "licence: missing",
        "frequency",
        'series.cpi.scale = "rebase"',
        'did you mean "rebased"',
        "series.cpi.decimals",
        'did you mean "wide"',
        "defaults.lag.days",
        'did you mean "first"',
    ):
        assert expected in found, expected


def test_values_without_dates_and_without_a_rule_are_refused_and_the_message_says_what_to_add() -> None:
    undated = GOOD.replace('lag = { kind = "calendar_days", n = 20 }\n', "")
    (problem,) = problems(undated)
    assert problem.startswith("series.cpi: ")
    for remedy in ("lag = {", "columns.published_at", "columns.vintage_date"):
        assert remedy in problem
    dated = undated.replace('columns = { period = "date" }', 'columns = { period = "date", vintage_date = "edition" }')
    assert parsed(dated).sources[0].dated_by == "edition"


def test_a_lag_left_to_be_filled_in_is_refused_once() -> None:
    (problem,) = problems(GOOD.replace('"calendar_days", n = 20', '"FILL IN"'))
    assert problem.startswith("defaults.lag: still to be filled in")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('file = "values.csv"', 'reader = "arch:sp501"', 'did you mean "arch:sp500"'),
        ('file = "values.csv"', "", "needs file or reader"),
        ('file = "values.csv"', 'file = "values\\u0000.csv"', "text holds no"),
        ('stamp = "first"', 'stamp = "first"\nseries = ["cpy"]', 'did you mean "cpi"'),
        ('stamp = "first"', 'coverage = "changes"', "changes need a publication date"),
        ('stamp = "first"', 'encoding = "utf-9"', "not an encoding"),
        ("[series.rate]", '[series."bank/rate"]', 'an id is not empty and has no "/"'),
        ("[series.rate]", '[series.""]', 'an id is not empty and has no "/"'),
        ('stamp = "first"', 'zone = "Europe"', 'source[1].zone = "Europe": unknown time zone'),
        ('stamp = "first"', 'date_format = "%d/%m"', "names no year"),
        ('stamp = "first"', 'delimiter = "§"', "a single character, of ASCII"),
        ('stamp = "first"', "delimiter = '\"'", "a single character, of ASCII"),
        ('period = "date"', 'period = "date", published_at = "a", vintage_date = "b"', "the same thing twice"),
        ("n = 20", 'n = "20"', "n has the wrong type"),
        ("schema = 1", "schema = 2", "this version reads schema 1"),
        ('name = "mine"', 'name = "yours"', "differs from the folder's name"),
        ('zone = "UTC"', 'zone = "Utopia/Nowhere"', "unknown time zone"),
        ('unit = "index"', 'frequency = "B"', "needs its calendar"),
        ('unit = "index"', 'frequency = "B"\ncalendar = "XNYZ"', "unknown calendar"),
        ('"calendar_days", n = 20', '"business_days", n = 20, calendar = "holidays:ZZ"', "holidays:ZZ"),
    ],
)
def test_each_mistake_is_named(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert expected in "\n".join(problems(GOOD.replace(old, new)))


def test_a_series_in_no_source_is_refused() -> None:
    assert any("series.rate" in line and "no [[source]]" in line for line in problems(GOOD + 'series = ["cpi"]\n'))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    for content, expected in ((b"schema = ", "not valid TOML"), (b'title = "\xe9"', "not UTF-8")):
        (tmp_path / "dataset.toml").write_bytes(content)
        with pytest.raises(ExperimentError, match=expected):
            load_dataset(tmp_path)
    with pytest.raises(ExperimentError, match="unreadable"):
        load_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_datasets_declare_what_the_licence_asks_for(name: str) -> None:
    folder = REPOSITORY / "datasets" / name
    dataset = load_dataset(folder)
    assert len(dataset.series) == SHIPPED[name]
    for text in (dataset.origin, dataset.licence, dataset.attribution, dataset.title):
        assert text
    assert all(one.unit and one.lag and one.description for one in dataset.series)
    stored = {path.suffix for path in folder.iterdir()} & {".parquet", ".gz"}
    assert (folder / "LICENSE").exists() or not stored, "a licence that must travel with the data does not"


def test_only_series_whose_publications_are_listed_can_be_counted() -> None:
    assert load_dataset(REPOSITORY / "datasets" / "brazil_gdp").uncountable() == {}
    assert set(load_dataset(REPOSITORY / "datasets" / "us_markets").uncountable()) >= {"us_markets/sp500"}
    unlisted = GOOD.replace('stamp = "first"', 'coverage = "changes"').replace(
        'period = "date"', 'period = "date", published_at = "d"'
    )
    assert set(parsed(unlisted).uncountable().values()) == {"its source reports changes only"}


def test_a_dataset_is_looked_up_beside_the_experiment_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("project", "elsewhere"):
        folder = tmp_path / root / "datasets" / "mine"
        folder.mkdir(parents=True)
        (folder / "dataset.toml").write_text(GOOD)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find_dataset("mine", tmp_path / "project" / "experiments") == tmp_path / "project" / "datasets" / "mine"
    assert find_dataset("mine") == tmp_path / "elsewhere" / "datasets" / "mine"
    assert find_dataset("uk_macro") == REPOSITORY / "datasets" / "uk_macro"
    with pytest.raises(UnknownNameError, match="unknown dataset") as caught:
        find_dataset("uk_makro")
    assert "uk_macro" in str(caught.value)


def undocumented(reference: str) -> set[str]:
    """Keys that the parser takes and the reference does not name in backticks."""
    return {f"{section}.{key}" for section, keys in KEYS.items() for key in keys if f"`{key}`" not in reference}


def test_the_reference_names_every_key() -> None:
    reference = (REPOSITORY / "datasets" / "README.md").read_text(encoding="utf-8")
    assert undocumented(reference) == set()
    assert undocumented(reference.replace("`null_values`", "")) == {
        f"{section}.null_values" for section in ("source", "events", "members")
    }


def test_dates_of_a_release_calendar_are_dates() -> None:
    listed = GOOD.replace(
        '{ kind = "calendar_days", n = 20 }', '{ kind = "dates", dates = [[2020-01-31, 2020-02-19]] }'
    )
    lag = parsed(listed).series[0].lag
    assert lag is not None
    assert lag.dates == ((date(2020, 1, 31), date(2020, 2, 19)),)


@pytest.mark.parametrize("name", ["values.csv", "values.csv.gz", "values.parquet"])
def test_a_file_that_needs_more_memory_than_there_is_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    frame, path = pl.DataFrame({"period": ["2020-01-31"] * 9000, "value": range(9000)}), tmp_path / name
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        text = frame.write_csv().encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    monkeypatch.setenv(LIMIT, "0.001")
    with pytest.raises(DataError, match=f"too large.*{name}.*0.001 GB may be used: {LIMIT}.*{LIMIT}=1; or split it"):
        read_file(path)
    with within(0.0005), pytest.raises(DataError, match=r"0.0005 GB may be used: .*given.*for example 1 GB"):
        read_file(path)
    with within(0.01):
        assert read_file(path).frame.height == 9000
    monkeypatch.setenv(LIMIT, "0.01")
    assert read_file(path).frame.height == 9000
    monkeypatch.setenv(LIMIT, "much")
    with pytest.raises(UserError, match="not a number of GB"):
        read_file(path)


def test_a_line_with_too_many_fields_is_named(tmp_path: Path) -> None:
    (tmp_path / "values.csv").write_text('period,value\n"2020-01\n-31",1\n2020-02-29,2,5\n')
    with pytest.raises(DataError, match=r"values\.csv, line 4: more fields.*: 3, not 2; .*quotes around"):
        read_file(tmp_path / "values.csv")


def test_what_is_free_is_no_limit_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT, raising=False)
    (tmp_path / "meminfo").write_text("MemAvailable: 1 kB\n")
    monkeypatch.setattr("harness.record.memory.MEMINFO", tmp_path / "meminfo")
    (tmp_path / "values.csv").write_text("period,value\n" + "2020-01-31,1\n" * 99)
    with pytest.raises(DataError, match=f"what is free now.*split it.*more memory may be used than is free.*{LIMIT}=1"):
        read_file(tmp_path / "values.csv")


def test_the_names_of_a_header_are_those_of_its_first_record(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    path.write_text('period,"a\nb",c\r\n2020-01-31,1,2\r\n')
    assert read_file(path).frame.columns == ["period", "a\nb", "c"]


PANEL = """
schema = 1
name = "panel"
origin = "made"
licence = "mine"

[series."*"]
frequency = "M"
zone = "UTC"
unit = "EUR"
lag = { kind = "calendar_days", n = 20 }

[series.odd]
in_file = "the odd one"
frequency = "M"
zone = "Europe/London"
lag = { kind = "calendar_days", n = 30 }

[[source]]
file = "values.csv"
columns = { series = "shop" }
"""
LONG = "shop,period,value\n" + "".join(
    f"{name},2020-01-31,{place}\n" for place, name in enumerate(["s2", " s1", "the odd one"])
)


def panel(folder: Path, toml: str = PANEL, values: str = LONG) -> Path:
    (folder / "panel").mkdir(exist_ok=True)
    (folder / "panel" / "dataset.toml").write_text(toml)
    (folder / "panel" / "values.csv").write_text(values)
    return folder / "panel"


def test_one_declaration_holds_for_every_id_in_the_file(tmp_path: Path) -> None:
    folder = panel(tmp_path)
    dataset = load_dataset(folder)
    assert [one.id for one in dataset.series] == ["panel/odd", "panel/s1", "panel/s2"]
    assert {one.id: one.zone for one in dataset.series} == dict.fromkeys(dataset.by_id, "UTC") | {
        "panel/odd": "Europe/London"
    }
    assert dataset.declared("s2").unit == "EUR"
    archive = Archive.open(tmp_path / "archive.duckdb")
    ingest(folder, archive, raw_dir=tmp_path / "raw")
    assert not lacks(archive, dataset)
    # an id that the file has later is a series from then on
    panel(tmp_path, values=LONG + "s3,2020-01-31,3\n")
    grown = load_dataset(folder)
    assert lacks(archive, grown)
    ingest(folder, archive, raw_dir=tmp_path / "raw")
    assert archive.ingested() == set(grown.by_id) == {*dataset.by_id, "panel/s3"}


def test_one_declaration_holds_for_every_column_of_a_wide_file_and_every_entry_of_a_parquet_file(
    tmp_path: Path,
) -> None:
    wide = PANEL.replace('columns = { series = "shop" }', 'layout = "wide"')
    folder = panel(tmp_path, wide, "period,s2,s1,the odd one\n2020-01-31,1,2,3\n")
    assert set(load_dataset(folder).by_id) == {"panel/odd", "panel/s1", "panel/s2"}
    pl.DataFrame({"shop": ["b", "a", "b", "the odd one"], "period": date(2020, 1, 31), "value": 1.0}).write_parquet(
        folder / "values.parquet"
    )
    panel(tmp_path, PANEL.replace("values.csv", "values.parquet"))
    assert set(load_dataset(folder).by_id) == {"panel/odd", "panel/a", "panel/b"}


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_what_was_ingested_is_used_however_little_memory_there_is(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = PANEL.replace('columns = { series = "shop" }', 'layout = "wide"\nnull_values = ["-"]')
    values = (
        LONG + "-,2020-01-31,\n ,2020-01-31,-\n"
        if layout == "long"
        else "period, s2,s1,the odd one\n2020-01-31,1,2,3\n"
    )
    long = PANEL.replace('"shop" }', '"shop" }\nnull_values = ["-"]')
    folder = panel(tmp_path, wide if layout == "wide" else long, values)
    archive, dataset = Archive.open(tmp_path / "archive.duckdb"), load_dataset(folder)
    ingest(folder, archive, raw_dir=tmp_path / "raw")
    (folder / "values.csv").touch()  # what was read of it is forgotten
    monkeypatch.setenv(LIMIT, "0.0000001")
    assert load_dataset(folder) == dataset
    assert not lacks(archive, dataset)
    with (folder / "values.csv").open("a") as stream:
        stream.write("s9,2020-01-31,3\n" if layout == "long" else "2020-02-29,4,5,6\n")
    assert lacks(archive, load_dataset(folder))
    if layout == "long":  # read part by part
        ingest(folder, archive, raw_dir=tmp_path / "raw")
        assert not lacks(archive, load_dataset(folder))
        return
    with pytest.raises(DataError, match=f"too large.*1e-07 GB may be used: {LIMIT}.*{LIMIT}=1"):
        ingest(folder, archive, raw_dir=tmp_path / "raw")


def test_a_panel_without_ids_or_in_a_damaged_file_is_told(tmp_path: Path) -> None:
    folder = panel(tmp_path, PANEL.replace("values.csv", "values.parquet"))
    frame = pl.DataFrame({"shop": pl.Series([None], dtype=pl.String), "period": [date(2020, 1, 31)], "value": [1.0]})
    frame.write_parquet(folder / "values.parquet")
    with pytest.raises(ExperimentError, match=r"no id in column 'shop' of values\.parquet"):
        load_dataset(folder)
    (folder / "values.parquet").write_bytes((folder / "values.parquet").read_bytes()[:-9])
    with pytest.raises(ExperimentError, match=r"values\.parquet is not a readable Parquet file"):
        load_dataset(folder)
    panel(tmp_path, PANEL.replace('columns = { series = "shop" }', 'layout = "wide"'), "period\n2020-01-31\n")
    with pytest.raises(ExperimentError, match=r"no id among the columns of values\.csv"):
        load_dataset(folder)


def test_a_parquet_file_damaged_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    months = [date(2020, 1, 31)] * 40
    frame = pl.DataFrame({"shop": [f"s{place}" for place in range(40)], "period": months, "value": 1.0})
    frame.write_parquet(tmp_path / "whole.parquet")
    whole, told = (tmp_path / "whole.parquet").read_bytes(), set[str]()
    spoiled = [whole[: len(whole) // 2], b"", b"shop,period,value\n"] + [
        whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :] for place in range(4, len(whole), 9)
    ]
    folder = panel(tmp_path, PANEL.replace("values.csv", "values.parquet"))
    for content in spoiled:
        (folder / "values.parquet").write_bytes(content)
        for read in (load_dataset, lambda _: read_file(folder / "values.parquet"), lambda _: in_parts(folder)):
            try:
                read(folder)
            except UserError as error:
                told.add(error.what if isinstance(error, DataError) else str(error))
    assert any("values.parquet is not a readable Parquet file" in one for one in told)
    assert "not a readable Parquet file" in told


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("limit", ["8", "0.0000001"])
def test_a_value_without_the_name_of_its_series_is_refused(
    tmp_path: Path, kind: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = panel(tmp_path, PANEL.replace("values.csv", f"values.{kind}"), LONG + ",2020-01-31,\n,2020-02-29,1\n")
    if kind == "parquet":
        shops, days = ["s1", "the odd one", "", None, ""], ["2020-01-31"] * 5
        frame = pl.DataFrame({"shop": shops, "period": days, "value": [1.0, 2.0, None, None, 3.0]})
        frame.write_parquet(folder / "values.parquet")
    monkeypatch.setenv(LIMIT, limit)
    archive, row = Archive.open(tmp_path / "archive.duckdb"), "line 6" if kind == "csv" else "row 5"
    with pytest.raises(DataError, match=rf"values\.{kind}, {row}, column 'shop': no series.*1 such"):
        ingest(folder, archive, raw_dir=tmp_path / "raw")
    assert not archive.batches().height


@pytest.mark.parametrize("limit", ["8", "0.0000001"])
def test_of_a_file_with_a_column_of_series_only_the_declared_one_is_taken(
    tmp_path: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = "[series.s1]" + PANEL.partition('[series."*"]')[2].partition("[series.odd]")[0]
    toml = PANEL.partition("[series")[0] + one + '[[source]]\nfile = "values.csv"\n'
    folder = panel(tmp_path, toml, "series,period,value\ns1,2020-01-31,1\ns2,2020-02-29,2\n")
    monkeypatch.setenv(LIMIT, limit)
    archive = Archive.open(tmp_path / "archive.duckdb")
    report = ingest(folder, archive, raw_dir=tmp_path / "raw")
    assert report.kept == 1
    assert report.sources[0].undeclared == (("s2", 1),)
    assert not lacks(archive, load_dataset(folder))


def in_parts(folder: Path) -> list[pl.DataFrame]:
    return list(parquet_parts(folder / "values.parquet", ("shop", "value"), 10))


def test_many_values_of_one_cell_are_not_all_listed(tmp_path: Path) -> None:
    folder = panel(tmp_path, values=LONG + "".join(f"s2,2020-01-31,{number}\n" for number in range(50)))
    with pytest.raises(DataError, match=r"\[0.0, 0.0, 1.0, .* and 43 more\] in lines 2, 5, .* and 43 more"):
        ingest(folder, Archive.open(tmp_path / "archive.duckdb"), raw_dir=tmp_path / "raw")


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_a_name_with_a_star_is_taken_as_it_stands_and_that_is_said(tmp_path: Path, layout: str) -> None:
    toml = PANEL.replace('[series."*"]', '[series."s*"]')
    values = LONG
    if layout == "wide":
        toml = toml.replace('columns = { series = "shop" }', 'layout = "wide"')
        values = "period,s1,s2,the odd one\n2020-01-31,1,2,3\n"
    folder = panel(tmp_path, toml, values)
    with pytest.raises(UnknownNameError, match=r"'s\*'; fix: .*as it stands.*\[series.\"\*\"\] alone") as caught:
        ingest(folder, Archive.open(tmp_path / "archive.duckdb"), raw_dir=tmp_path / "raw")
    assert "did you mean" not in str(caught.value)
    panel(tmp_path, toml, values.replace("s2", "s*"))  # an id may have one
    assert ingest(folder, Archive.open(tmp_path / "archive.duckdb"), raw_dir=tmp_path / "raw").kept == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('unit = "EUR"', 'in_file = "x"', "no one name"),
        (
            "values.csv",
            "gone.csv",
            "gone.csv cannot be read (No such file or directory); correct `file`, or bring it back",
        ),
        ('columns = { series = "shop" }', 'columns = { series = "shpo" }', "shpo"),
        ('columns = { series = "shop" }', 'columns = { series = "shop" }\nseries = ["odd"]', "no [[source]] has it"),
        (
            "[[source]]",
            '[[clean]]\nkind = "rename"\ncolumns = { month = "period" }\n[[source]]',
            "goes with no step on the names",
        ),
        ("in_file", "title", "'the odd one' in values.csv cannot be an id (1 such)"),
        ("[series.odd]", "[series.odder]\n[series.odd]", "series.odder: no [[source]] holds it"),
        ('file = "values.csv"', 'reader = "arch:sp500"', "arch:sp500"),
        ('frequency = "M"\nzone = "UTC"', 'zone = "UTC"', "series.*.frequency: missing"),
    ],
)
def test_what_one_declaration_cannot_stand_for_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in PANEL
    folder = panel(tmp_path, PANEL.replace(old, new))
    with pytest.raises(ExperimentError) as caught:
        load_dataset(folder)
    assert told in "\n".join(caught.value.problems)
