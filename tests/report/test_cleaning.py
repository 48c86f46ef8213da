"""What `harness data` says of batches that share a file, and of batches without rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.report.cleaning import failures_text, status_text
from tests.data.test_listings import FORECASTS, TOML, Desk
from tests.data.test_read_once import ISSUES

HEAD = """
schema = 1
name = "two"
origin = "made"
licence = "mine"
[defaults]
frequency = "D"
zone = "UTC"
lag = {{ kind = "calendar_days", n = 0 }}
[series.a]
[series.b]
[[source]]
file = "x.csv"
layout = "wide"
series = ["a"]
{a}
[[source]]
file = "x.csv"
layout = "wide"
series = ["b"]
{b}
"""
RANGE = '[[source.assert]]\nname = "in range"\nkind = "range"\nmost = {}\nseverity = "warn"\n'
SUPERSEDED = "superseded, as the same file was read again: batch {} by {};"


class Two:
    """Two sources that share a file."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "two"
        self.folder.mkdir()
        self.archive = Archive.open(root / "archive.duckdb")

    def ingest(self, text: str, *, a: str, b: str = "") -> None:
        (self.folder / "dataset.toml").write_text(HEAD.format(a=a, b=b))
        (self.folder / "x.csv").write_text("period,a,b\n" + text)
        ingest(self.folder, self.archive, raw_dir=self.root / "raw")


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


@pytest.mark.parametrize("b", ["", RANGE.format(50)])
def test_an_assertion_that_failed_is_told_though_another_source_of_the_file_had_nothing_new(b: str, two: Two) -> None:
    two.ingest("2020-01-01,1,2\n", a=RANGE.format(100), b=b)
    two.ingest("2020-01-01,1,2\n2020-01-02,999,\n", a=RANGE.format(100), b=b)
    assert two.archive.batches()["kept"].to_list() == [1, 1, 1, 0]
    status = status_text(two.archive, "two")
    assert "failed" in status
    assert "superseded" not in status
    assert "above 100.0" in failures_text(two.archive, "two")


@pytest.mark.parametrize("b", ["", RANGE.format(50)])
def test_a_source_that_is_declared_later_supersedes_nothing_of_another_of_its_file(b: str, two: Two) -> None:
    alone = HEAD.partition("[[source]]\nfile")[0].replace("[series.b]\n", "")
    first = HEAD.split("[[source]]")[1]
    text = "period,a,b\n2020-01-01,999,2\n"
    (two.folder / "dataset.toml").write_text(f"{alone}[[source]]{first}".format(a=RANGE.format(100)))
    (two.folder / "x.csv").write_text(text)
    ingest(two.folder, two.archive, raw_dir=two.root / "raw")
    two.ingest(text.partition("\n")[2], a=RANGE.format(100), b=b)
    assert "above 100.0" in failures_text(two.archive, "two")


def test_a_file_of_one_source_that_is_asserted_anew_is_superseded(tmp_path: Path) -> None:
    folder, archive = tmp_path / "two", Archive.open(tmp_path / "archive.duckdb")
    folder.mkdir()
    one = HEAD.rpartition("[[source]]")[0].replace("[series.b]\n", "")
    first = "period,a\n2020-01-01,1\n"
    for text, most in ((first, 100), (f"{first}2020-01-02,999\n", 100), (f"{first}2020-01-02,999\n", 1000)):
        (folder / "dataset.toml").write_text(one.format(a=RANGE.format(most)))
        (folder / "x.csv").write_text(text)
        ingest(folder, archive, raw_dir=tmp_path / "raw")
    assert archive.batches().height == 3
    assert SUPERSEDED.format(2, 3) in status_text(archive, "two")


def test_forecasts_of_which_every_new_row_lies_in_the_future_are_listed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(toml=TOML + FORECASTS)
    later = datetime.now(UTC) + timedelta(days=9)
    for text in (ISSUES, f"{ISSUES}desk,acme,{later:%Y-%m-%d},{later:%Y-%m-%d},7\n"):
        (desk.folder / "forecasts.csv").write_text(text)
        desk.ingest()
    assert desk.archive.batches()["set_aside"].to_list()[-1] == 1
    listed = [line for line in status_text(desk.archive, "shares").splitlines() if "forecasts.csv" in line]
    assert len(listed) == 2
    assert "published later than now" in failures_text(desk.archive, "shares")
