"""`harness new` on files too large to be looked at as a whole: the same guesses from their first and last rows."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.cli import main
from harness.core.errors import DataError
from harness.core.series import Series
from harness.data import sampled
from harness.data.archive import Archive
from harness.data.calendars import sessions_between
from harness.data.guessing import guess
from harness.data.ingest import ingest
from harness.data.scaffold import new_dataset
from harness.record.memory import LIMIT

SERIES, DAYS = 60, 900
START = date(2015, 1, 1)


def panel() -> pl.DataFrame:
    days = pl.DataFrame({"period": [START + timedelta(days=place) for place in range(DAYS)]})
    ids = pl.DataFrame({"series_id": [f"s{place:03}" for place in range(SERIES)]})
    return ids.join(days, how="cross").with_columns(
        published_at=pl.col("period").dt.offset_by("1d"), value=100 + pl.int_range(pl.len()).hash(1) % 1000 / 7
    )


def written(path: Path, frame: pl.DataFrame) -> Path:
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("name", "by"), [("big.csv", "series_id"), ("big.csv", "period"), ("big.parquet", "period")])
def test_a_file_larger_than_the_memory_is_declared_as_if_it_was_looked_at_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, by: str
) -> None:
    path = written(tmp_path / name, panel().sort(by))
    monkeypatch.setattr(sampled, "FIRST", 1 << 13)  # less than 30 days of all series: more is looked at
    monkeypatch.setattr(sampled, "LAST", 1 << 13)
    whole = [tomllib.loads(one.read_text()) for one in new_dataset("shop", path, tmp_path / "whole").paths[1:]]
    monkeypatch.setenv(LIMIT, "0.012")
    monkeypatch.chdir(tmp_path)
    assert main(["new", "shop", "--data", name]) == 0
    files = [tmp_path / "datasets" / "shop" / "dataset.toml", tmp_path / "experiments" / "shop.toml"]
    declared, plan = (tomllib.loads(one.read_text()) for one in files)
    assert declared == whole[0]
    assert plan | {"question": ""} == whole[1] | {"question": ""}
    said = capsys.readouterr().out
    assert "guessed of the first" in said
    assert all("# All of it was guessed of the first" in one.read_text() for one in files)
    assert (tmp_path / "datasets" / "shop" / name).read_bytes() == path.read_bytes()
    if by == "period":  # what is declared is the same, and is taken in once
        return
    monkeypatch.delenv(LIMIT)
    archive = Archive.open(tmp_path / "archive.duckdb")
    assert ingest(files[0].parent, archive, raw_dir=tmp_path / "raw").kept == SERIES * DAYS


def test_a_file_that_is_not_large_is_looked_at_as_a_whole_and_says_nothing_of_it(tmp_path: Path) -> None:
    path = written(tmp_path / "big.csv", panel().head(2 * DAYS))
    made = new_dataset("shop", path, tmp_path)
    assert made.looked_at == ""
    assert not any("looked at" in one.read_text() or "All of it" in one.read_text() for one in made.paths[1:])


def test_notes_below_a_large_file_are_found_and_torn_lines_are_left_to_the_ingest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "big.csv", panel())
    text = path.read_text()
    monkeypatch.setenv(LIMIT, "0.012")
    path.write_text(text + "Source: made up\n")
    assert guess(path).footer == ("Source: made up",)
    path.write_text(text + "s059,2017-0\n")
    found = guess(path)
    assert (found.footer, found.timing.periods[-1]) == ((), START + timedelta(days=DAYS - 1))
    lines = text.splitlines(keepends=True)
    path.write_text("".join([*lines[:5], "s000,2017-0\n", *lines[5:]]))
    with pytest.raises(DataError, match="line 6: fewer fields"):
        guess(path)


def test_sessions_between_the_rows_looked_at_are_those_of_the_calendar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = sessions_between(Series("x", "B", calendar="XLON"), date(2014, 1, 1), date(2017, 12, 31))
    days = [date(1970, 1, 1) + timedelta(days=int(day)) for day in sessions]
    frame = pl.DataFrame({"date": days}).with_columns(
        **{f"fund{place}": pl.int_range(pl.len()) + place + 0.5 for place in range(20)}
    )
    path = written(tmp_path / "funds.csv", frame)
    monkeypatch.setenv(LIMIT, "0.001")
    for name in ("FIRST", "LAST"):
        monkeypatch.setattr(sampled, name, 1 << 15)
    found = guess(path)
    assert found.rows
    assert sum(found.rows) < len(days)
    assert (found.timing.calendar, list(found.timing.periods)) == ("XLON", days)


@pytest.mark.parametrize("name", ["big.parquet", "big.pq", "BIG.PARQUET"])
def test_a_large_file_that_cannot_be_read_is_refused_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = written(tmp_path / "big.parquet", panel()).rename(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-9])
    monkeypatch.setenv(LIMIT, "0.000001")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        guess(path)
    odd = tmp_path / "odd.csv"
    odd.write_bytes(b"date,x\n2020-01-31,1\n\xff2020-02-29,2\n" * 100)
    with pytest.raises(DataError):
        guess(odd)


HEADS = ("", "\n\n", "\r\n")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.slow
def test_lines_are_told_by_their_number_in_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    rows = [f'{START + timedelta(days=place)},{place}.5,"a note\nof two lines"' for place in range(3000)]
    path = tmp_path / "big.csv"
    monkeypatch.setenv(LIMIT, "0.012")
    for name in ("FIRST", "LAST"):
        monkeypatch.setattr(sampled, name, 1 << 13)
    for place in (7, 2990):
        torn = [*rows[:place], f"{START + timedelta(days=place)},five,x", *rows[place + 1 :]]
        path.write_text(f"{head}date,y,remark\n" + "\n".join(torn) + "\n", newline="")
        line = head.count("\n") + 2 + 2 * place
        with pytest.raises(DataError, match=f"big.csv, line {line}, column 'y': not a number"):
            guess(path)
    path.write_text(f"{head}date,y,remark\n" + "\n".join([*rows[:3], "2015-01-0", *rows[3:]]), newline="")
    with pytest.raises(DataError, match=f"line {head.count(chr(10)) + 8}: fewer fields"):
        guess(path)


def test_rows_at_the_end_of_a_large_parquet_file_are_told_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [START + timedelta(days=place) for place in range(3000)]
    values = [f"{place}.5" if place != 2990 else "five" for place in range(3000)]
    path = written(tmp_path / "big.parquet", pl.DataFrame({"date": days, "y": values}))
    monkeypatch.setenv(LIMIT, "0.001")
    for name in ("FIRST", "LAST"):
        monkeypatch.setattr(sampled, name, 1 << 10)
    with pytest.raises(DataError, match="row 2991, column 'y': not a number"):
        guess(path)
