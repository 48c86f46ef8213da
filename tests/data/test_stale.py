"""A series that stopped is stale, whether or not another publication of it ever comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import DataError
from harness.data.archive import Archive
from harness.data.ingest import ingest
from tests.data.dirt import HEAD, clean, stamp, text
from tests.data.test_dirt import taken_in

ASKED = f'{HEAD}[[source.assert]]\nkind = "stale"\nseverity = "refuse"\n'
STOPPED = text([row for row in clean() if row.series != "c" or row.released <= stamp(60)])


def test_a_series_that_stopped_years_before_the_file_is_stale(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine/c 2015-01-31 .*2015-02-28 is \d+\.\d day\(s\) overdue"):
        taken_in(tmp_path, ASKED, STOPPED)


def test_a_series_that_a_second_delivery_leaves_standing_is_stale(tmp_path: Path) -> None:
    taken_in(tmp_path, ASKED, text([row for row in clean() if row.released <= stamp(60)]))
    again = [row for row in clean() if row.released > stamp(60) if row.series != "c"]
    again += [row for row in clean() if row.series == "c" and row.released == stamp(60)]
    with pytest.raises(DataError, match=r"mine/c 2014-12-31 .*overdue|mine/c 2015-01-31 .*overdue"):
        taken_in(tmp_path, ASKED, text(again))


def test_an_old_file_is_stale_by_today_only_where_that_is_asked(tmp_path: Path) -> None:
    taken_in(tmp_path, ASKED, text(clean()))
    folder = tmp_path / "today"
    folder.mkdir()
    asked = f"{ASKED}today = true\n"
    with pytest.raises(DataError, match="3 row"):
        taken_in(folder, asked, text(clean()))
    then = Archive.open(tmp_path / "then.duckdb").at(1_577_000_000_000_000)  # 2019-12-22
    assert ingest(folder / "mine", then, raw_dir=tmp_path / "raw").kept
