"""A copy that the archive has before anything is sealed does not stay in the clear unnoticed."""

from __future__ import annotations

import shutil

import pytest

from harness.core.errors import SealedError
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.experiment.sealing import seal_experiments
from harness.report.sealing import sealing_text
from harness.studies.holdout.seal import Lock
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
