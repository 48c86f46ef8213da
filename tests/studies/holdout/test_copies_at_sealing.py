"""A copy that the archive has before anything is sealed does not stay in the clear unnoticed."""

from __future__ import annotations

import shutil

import polars as pl
import pytest

from harness.core.errors import SealedError
from harness.core.series import alike
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.experiment.sealing import seal_experiments
from harness.record.ledger import entries
from harness.record.uncompared import not_compared
from harness.report.sealing import sealing_text
from harness.studies.holdout.locking import Lock
from tests.studies.holdout.marked import CUT, Marked, marks_in_bytes, marks_read_out


@pytest.fixture
def twin(bare: Marked) -> Marked:
    """The home with the same values once more, in a dataset of another name."""
    other = bare.folder / "datasets" / "twin"
    shutil.copytree(bare.folder / "datasets" / "marked", other)
    declared = other / "dataset.toml"
    declared.write_text(declared.read_text().replace('name = "marked"', 'name = "twin"'))
    ingest(other, Archive.open(bare.home.archive), raw_dir=bare.home.raw)
    return bare


def test_a_copy_in_the_archive_is_told_and_refused(twin: Marked) -> None:
    state = Archive.open(twin.home.archive).state()
    ahead = twin.seal(dry_run=True)
    assert [one.split()[0] for one in ahead.copies] == ["twin/level", "twin/other"]
    assert "a copy that would not be sealed (refused; --with-copies seals it along): twin/level" in sealing_text(ahead)
    with pytest.raises(SealedError, match="the archive has a copy of what is to be sealed"):
        twin.seal()
    assert Archive.open(twin.home.archive).state() == state
    assert not twin.home.vault.exists()


@pytest.mark.slow
def test_copies_are_sealed_along_and_leave_nothing(twin: Marked) -> None:
    lock = Lock(keys=twin.keys, along=True)
    done = seal_experiments([twin.experiment], CUT, twin.home, lock=lock)
    assert done.copies == ()
    assert done.seal.datasets == ("marked", "twin")
    assert done.rows["changes"] == 2 * len(twin.marks.numbers)
    assert marks_in_bytes(twin.searched(), twin.marks) == {}
    assert marks_read_out(twin.searched(), twin.marks) == {}


def test_series_that_are_no_copies_are_in_nobody_s_way(bare: Marked) -> None:
    assert bare.seal(dry_run=True).copies == ()


@pytest.mark.slow
def test_a_series_with_too_little_to_be_compared_is_named_before_it_is_sealed_and_noted_then(bare: Marked) -> None:
    archive = Archive.open(bare.home.archive)
    level = archive.series()[0]
    told = archive.revisions(level.id).unique("period", keep="last", maintain_order=True)
    for name, rows in (("mine/short", 5), ("mine/long", 60)):
        archive.define(alike(level, name))
        values = pl.Series([float(number * number % 37) for number in range(rows)])
        frame = told.head(rows).select("period", "published_at", pl.lit(name).alias("series_id"), value=values)
        archive.append(frame, source="mine")
    said = "mine/short not compared with sealed series: 5 values in common"
    ahead = bare.seal(dry_run=True)
    assert said in sealing_text(ahead)
    assert "mine/long" not in sealing_text(ahead)
    assert not_compared(entries(bare.home)) == {}
    assert said in sealing_text(bare.seal())
    assert not_compared(entries(bare.home)) == {"mine/short": 5}
