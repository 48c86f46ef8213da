"""A Parquet file larger than memory is taken in part by part, as the batch that reading it at once makes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.core.errors import DataError, UnknownNameError
from harness.core.series import LagRule, Series
from harness.data import streamed
from harness.data.archive import held_rows
from harness.data.archive.store import query
from harness.data.dataset import load_dataset
from harness.data.ingest import ingest, lacks
from harness.data.ingest.public import Archive
from harness.record.memory import LIMIT

MONTHS = [date(2020 + month // 12, month % 12 + 1, 1) - timedelta(days=1) for month in range(1, 25)]
SERIES = [
    Series("p/b", "M", decimals=1),
    Series("p/a", "M", decimals=1, lag=LagRule("calendar_days", n=10)),
    Series("p/c", "M"),
    Series("p/d", "D"),
]
TABLES = ("changes", "restatements", "publications", "known", "set_aside")
COVERAGES = ("rows", "complete", "changes")


def panel(revisions: int = 2) -> pl.DataFrame:
    numbers = np.random.default_rng(3)
    rows = [
        (one.id, month, datetime(month.year, month.month, 20, 9, tzinfo=UTC) + timedelta(days=30 * late))
        for one in SERIES
        for month in MONTHS
        for late in range(revisions)
        if one.id != "p/c" or month.month != 5
    ]
    frame = pl.DataFrame(rows, schema=["series_id", "period", "published_at"], orient="row")
    values = pl.Series("value", numbers.normal(2.0, 0.2, len(rows)).round(2))
    gone = pl.Series(numbers.random(len(rows)) < 0.05)
    return frame.with_columns(values).with_columns(value=pl.when(~gone).then(pl.col("value")))


def mixed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sample(fraction=1.0, shuffle=True, seed=5)


def ruled(frame: pl.DataFrame) -> pl.DataFrame:
    known = pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.col("published_at") + pl.duration(days=3))
    how = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("rule")).otherwise(pl.lit("observed"))
    return frame.with_columns(availability=how).with_columns(
        value_known_at=pl.when(pl.col("availability") == "rule").then(known)
    )


def future(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        published_at=pl.when(pl.int_range(pl.len()) % 7 == 0)
        .then(pl.lit(datetime(2999, 1, 1, tzinfo=UTC)))
        .otherwise(pl.col("published_at"))
    ).unique(["series_id", "period", "published_at"], keep="first", maintain_order=True)


def repeated(frame: pl.DataFrame) -> pl.DataFrame:
    rounded = frame.filter(pl.col("series_id").is_in(["p/a", "p/b"])).with_columns(pl.col("value").round(1))
    return pl.concat([frame, rounded, frame.tail(9)])


FORMS: dict[str, Callable[[], pl.DataFrame]] = {
    "in order": panel,
    "by publication": lambda: panel().sort("published_at", "series_id", "period"),
    "in no order": lambda: mixed(panel()),
    "days of publication": lambda: panel().with_columns(pl.col("published_at").dt.date()),
    "dated by a rule": lambda: ruled(panel()),
    "some from the future": lambda: mixed(future(panel())),
    "some twice": lambda: mixed(repeated(panel())),
    "some twice, in order": lambda: repeated(panel()).sort("series_id", "period", "published_at", maintain_order=True),
    "one series": lambda: panel(1).filter(pl.col("series_id") == "p/a").drop("published_at"),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for ten rows."""
    monkeypatch.setattr(streamed, "FEWEST", 10)
    monkeypatch.setenv(LIMIT, "0.000004")


def archive_of(folder: Path) -> Archive:
    folder.mkdir()
    archive = Archive.open(folder / "archive.duckdb")
    archive.define(*SERIES)
    return archive


def content(archive: Archive) -> dict[str, list[tuple[object, ...]]]:
    with archive.store.reading() as connection:
        found = {name: query(connection, f"SELECT * FROM {name} ORDER BY ALL").rows() for name in TABLES}
        return found | {"batches": query(connection, "SELECT * EXCLUDE ingested FROM batches ORDER BY batch").rows()}


def both(folder: Path, frames: list[pl.DataFrame], asked: dict[str, object]) -> tuple[Archive, Archive]:
    """One archive that was given frames, and one that was given files larger than memory."""
    whole, parts = archive_of(folder / "whole"), archive_of(folder / "parts")
    for number, frame in enumerate(frames):
        frame.write_parquet(folder / f"{number}.parquet")
        said = whole.append(frame, source="p: file", **asked)
        assert parts.append(folder / f"{number}.parquet", source="p: file", **asked) == said
    return whole, parts


QUICK = {("some twice", "complete"), ("dated by a rule", "rows")}
CASES = [
    pytest.param(form, coverage, marks=[] if (form, coverage) in QUICK else pytest.mark.slow)
    for form in FORMS
    for coverage in COVERAGES
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("form", "coverage"), CASES)
def test_a_file_taken_in_part_by_part_is_the_batch_that_it_is_at_once(
    tmp_path: Path, form: str, coverage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[int]()
    monkeypatch.setattr(streamed, "read_part", counted(read))
    whole, parts = both(tmp_path, [FORMS[form]()], {"coverage": coverage})
    assert len(read) > 1, "the file was read at once"
    assert max(read) <= 10
    assert content(parts) == content(whole)
    assert parts.state() == whole.state()


def counted(read: list[int]) -> Callable[..., object]:
    def reading(part: pl.DataFrame, *rest: object) -> object:
        read.append(part.height)
        return original(part, *rest)

    original = streamed.read_part
    return reading


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_late_file_and_the_same_again_are_taken_as_at_once(tmp_path: Path) -> None:
    frame = panel(3)
    late = frame.filter(pl.int_range(pl.len()) % 3 == 1)
    whole, parts = both(tmp_path, [frame.filter(pl.int_range(pl.len()) % 3 != 1), mixed(late), frame], {})
    assert content(parts) == content(whole)


@pytest.mark.usefixtures("small")
def test_a_file_refused_in_its_last_part_leaves_nothing(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "home")
    there = {path.name for path in (tmp_path / "home").iterdir()}
    frame = panel()
    for bad, said in (
        (frame.with_columns(pl.when(pl.int_range(pl.len()) < pl.len() - 1).then("value").otherwise(np.inf)), "finite"),
        (pl.concat([frame, frame.tail(1).with_columns(pl.col("value") + 1.0)]), "two different values"),
    ):
        bad.write_parquet(tmp_path / "bad.parquet")
        with pytest.raises(DataError, match=said):
            archive.append(tmp_path / "bad.parquet", source="p: file")
    assert all(not rows for rows in content(archive).values())
    assert {path.name for path in (tmp_path / "home").iterdir()} <= there | {"archive.duckdb.lock", "archive.sums.json"}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.with_columns(pl.col("published_at").dt.strftime("%Y-%m-%d")),
        lambda frame: frame.with_columns(series_id=pl.lit("p/sessions"), period=pl.date(2020, 1, 31)),
    ],
    ids=["dates as text", "sessions"],
)
def test_what_has_to_be_seen_as_a_whole_is_refused_with_the_limit(tmp_path: Path, change: Callable) -> None:
    archive = archive_of(tmp_path / "home")
    archive.define(Series("p/sessions", "B", calendar="XNYS"))
    change(panel()).write_parquet(tmp_path / "file.parquet")
    with pytest.raises(DataError, match=LIMIT):
        archive.append(tmp_path / "file.parquet", source="p: file")


DATASET = """schema = 1
name = "p"
title = "made up"
origin = "made up"
licence = "none"
[defaults]
zone = "UTC"
{series}
[[source]]
file = "values.parquet"
columns = {{ series = "id", period = "day", value = "number"{stamp} }}
"""
EACH = "".join(f'[series.{one}]\nfrequency = "{"D" if one == "d" else "M"}"\ndecimals = 1\n{{lag}}' for one in "bacd")
EVERY = '[series."*"]\nfrequency = "M"\ndecimals = 1\n'
STAMPED = ', published_at = "seen"'


def dataset(folder: Path, text: str, frame: pl.DataFrame) -> Path:
    (folder / "p").mkdir(parents=True, exist_ok=True)
    (folder / "p" / "dataset.toml").write_text(text)
    named = frame.with_columns(pl.col("series_id").str.strip_prefix("p/"))
    columns = {"series_id": "id", "period": "day", "value": "number", "published_at": "seen"}
    named.rename(columns, strict=False).write_parquet(folder / "p" / "values.parquet")
    return folder / "p"


def ingested(folder: Path, home: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> tuple[object, Archive]:
    """The report of an ingest (or what it was refused with), and the archive."""
    monkeypatch.setenv(LIMIT, memory)
    home.mkdir()
    archive = Archive.open(home / "archive.duckdb")
    try:
        return ingest(folder, archive, raw_dir=home / "raw"), archive
    except DataError as error:
        return str(error), archive


LAG = 'lag = { kind = "calendar_days", n = 200 }\n'
INGESTS = {
    "stamps": (DATASET.format(series=EACH.format(lag=""), stamp=STAMPED), lambda: mixed(panel())),
    "days, and strangers": (
        DATASET.format(series=EACH.format(lag=""), stamp=STAMPED),
        lambda: pl.concat([panel(), panel().head(30).with_columns(series_id=pl.lit("p/other"))]).with_columns(
            pl.col("published_at").dt.date()
        ),
    ),
    "a rule": (DATASET.format(series=EACH.format(lag=LAG), stamp=""), lambda: panel(1).drop("published_at")),
    "parts without a value": (
        DATASET.format(series=EACH.format(lag=LAG), stamp=""),
        lambda: panel(1).drop("published_at").with_columns(pl.when(pl.int_range(pl.len()) >= 10).then("value")),
    ),
    "all that there are": (
        DATASET.format(series=EVERY, stamp=STAMPED),
        lambda: panel().filter(pl.col("series_id") != "p/d"),
    ),
    "a number that is none, in the last row": (
        DATASET.format(series=EACH.format(lag=""), stamp=STAMPED),
        lambda: panel().with_columns(pl.when(pl.int_range(pl.len()) < pl.len() - 1).then("value").otherwise(np.nan)),
    ),
}


LITTLE = "0.000004"
"""GB that no file of these tests fits into."""


def as_at_once(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, Archive]:
    """What ingest says of a dataset read in parts of ten rows, and the archive: as reading it at once gives them."""
    read = list[int]()
    monkeypatch.setattr(streamed, "FEWEST", 10)
    whole, first = ingested(folder, home / "whole", "8", monkeypatch)
    monkeypatch.setattr(streamed, "read_part", counted(read))
    parts, second = ingested(folder, home / "parts", LITTLE, monkeypatch)
    assert len(read) > 1, "the file was read at once"
    assert max(read) <= 10
    assert parts == whole
    assert content(second) == content(first)
    assert second.state() == first.state()
    assert second.refusals().drop("refused").equals(first.refusals().drop("refused"))
    return parts, second


@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=pytest.mark.slow if one in ("a rule", "stamps") else []) for one in INGESTS]
)
def test_a_dataset_is_ingested_part_by_part_as_at_once(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, made = INGESTS[case]
    folder = dataset(tmp_path / "datasets", text, made())
    parts, second = as_at_once(folder, tmp_path, monkeypatch)
    if not isinstance(parts, str):
        assert ingested_again(folder, second)
        kept = [sorted(path.name for path in (tmp_path / one / "raw").iterdir()) for one in ("whole", "parts")]
        assert kept[0] == kept[1]


def ingested_again(folder: Path, archive: Archive) -> bool:
    """Whether the same input is known, with and without being read."""
    return ingest(folder, archive, raw_dir=archive.path.parent / "raw").already and not lacks(
        archive, load_dataset(folder)
    )


def test_a_dataset_whose_rows_do_not_stand_by_themselves_is_refused_with_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asserted = (
        DATASET.format(series=EACH.format(lag=""), stamp=STAMPED)
        + '[[assert]]\nkind = "range"\nleast = 0.0\nseverity = "warn"\n'
    )
    for text in (asserted, DATASET.format(series=EACH.format(lag=LAG), stamp=STAMPED)):
        folder = dataset(tmp_path / "datasets", text, panel())
        said, archive = ingested(folder, tmp_path / f"home{len(text)}", "0.000004", monkeypatch)
        assert LIMIT in str(said)
        assert "too large" in str(said)
        assert not archive.batches().height


def test_a_missing_column_is_told_with_all_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DATASET.format(series=EACH.format(lag=""), stamp=STAMPED).replace('value = "number"', 'value = "numbre"')
    folder = dataset(tmp_path / "datasets", text, panel())
    monkeypatch.setattr(streamed, "FEWEST", 10)
    monkeypatch.setenv(LIMIT, "0.000004")
    with pytest.raises(UnknownNameError, match="'numbre'; fix: did you mean 'number'"):
        ingest(folder, Archive.open(tmp_path / "archive.duckdb"), raw_dir=tmp_path / "raw")


def test_a_file_that_fits_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()
    monkeypatch.setattr(streamed, "read_part", counted(read))
    whole, parts = both(tmp_path, [panel()], {})
    assert content(parts) == content(whole)
    assert not read
    with pytest.raises(DataError, match=r"file\.csv.*a Parquet file \(.*\); fix: `harness ingest DATASET` reads CSV"):
        whole.append(tmp_path / "file.csv", source="p: file")
    with pytest.raises(DataError, match=r"gone\.parquet.*No such file.*fix: give the path of a file that is there"):
        whole.append(str(tmp_path / "gone.parquet"), source="p: file")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("least", [3000, *(pytest.param(one, marks=pytest.mark.slow) for one in (0, 1 << 30))])
@pytest.mark.slow
def test_rows_that_wait_on_the_disk_enter_as_those_that_do_not(
    tmp_path: Path, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements, real = list[str](), held_rows.insert

    def noted(connection: object, table: str, rows: object) -> None:
        statements.append(table)
        real(connection, table, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(held_rows, "LARGE", least)
    monkeypatch.setattr(held_rows, "insert", noted)
    frame, late = panel(3), pl.int_range(pl.len()) % 3 == 1
    whole, parts = both(tmp_path, [frame.filter(~late), mixed(frame.filter(late))], {})
    assert content(parts) == content(whole)
    assert parts.state() == whole.state()
    assert max(map(statements.count, statements)) <= 4  # once per table and batch, however many blocks there are
