"""Runs on disk: found by the beginning of an id, never read when damaged, begun anew over a damaged record."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import DamagedError, UnknownNameError, UserError
from harness.core.recipe import Experiment, Origins, Schedule, Target
from harness.record.home import Home
from harness.record.runs import find_run, list_runs, read_manifest, read_table, start_run, write_run

EXPERIMENT = Experiment("demo", Target(("cpi",)), Origins(Schedule("quarter_end"), date(2010, 3, 31)), (1,))
FRAME = pl.DataFrame({"a": [1.0, 2.0]})


def finished(home: Home, run_id: str) -> None:
    write_run(start_run(home, run_id, EXPERIMENT), {"facts": {}}, {"scores": FRAME}, dict)


def test_a_finished_run_gives_back_its_tables(tmp_path: Path) -> None:
    home = Home(tmp_path)
    finished(home, "abc1")
    files = find_run(home, "ab")
    assert read_table(files, "scores").equals(FRAME)
    assert [run["status"] for run in list_runs(home)] == ["complete"]


def test_an_unfinished_run_is_refused_with_the_way_to_resume_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(UserError, match="not finished") as caught:
        read_table(start_run(home, "abc1", EXPERIMENT), "scores")
    assert "harness backtest demo" in caught.value.fix


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else"])
def test_a_damaged_table_is_never_read(tmp_path: Path, content: bytes) -> None:
    home = Home(tmp_path)
    finished(home, "abc1")
    (tmp_path / "runs" / "abc1" / "scores.parquet").write_bytes(content)
    with pytest.raises(DamagedError, match="damaged"):
        read_table(find_run(home, "abc1"), "scores")


def test_a_cut_off_manifest_is_listed_as_damaged_and_begun_anew_by_the_next_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    finished(home, "abc1")
    path = tmp_path / "runs" / "abc1" / "manifest.json"
    path.write_bytes(path.read_bytes()[:20])
    assert [run["status"] for run in list_runs(home)] == ["damaged"]
    finished(home, "abc1")
    assert read_manifest(find_run(home, "abc1"))["status"] == "complete"


def test_an_ambiguous_or_unknown_beginning_of_an_id_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    finished(home, "abc1")
    finished(home, "abd2")
    with pytest.raises(UserError, match="several runs"):
        find_run(home, "ab")
    with pytest.raises(UnknownNameError, match="unknown run"):
        find_run(home, "zz")
