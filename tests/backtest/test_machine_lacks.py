"""What the machine lacks is no answer of a model: the run ends with a message, and goes on once it is there."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lightgbm.basic import LightGBMError

from harness.core.errors import FullDiskError, UserError, raise_lack
from harness.core.recipe import Experiment
from harness.core.time import micros
from harness.data.changes import ChangeFile
from harness.data.series_blocks import SeriesBlocks
from harness.record.cells import read_fit
from tests.backtest.made_runs import END, MINE, Ran, exported, releases, run, small

LACKING = """
import errno

from own_models import Storing


class Lacking(Storing):
    def __init__(self, said, there):
        super().__init__()
        self.said, self.there = said, there

    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        with open(self.there) as file:
            if file.read() == "no":
                raise eval(self.said)


class Large(Storing):
    def dump(self):
        return super().dump() + " " * (1 << 20)
"""


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(releases(), tmp_path_factory.mktemp("archive"))


def asking(name: str, folder: Path, **params: str) -> Experiment:
    (folder / "lacking.py").write_text(LACKING)
    return small((replace(MINE, kind=f"lacking:{name}", params=tuple(params.items())),), folder)


def statuses(ran: Ran) -> set[str]:
    return set(ran.of("mine")["status"])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('RuntimeError("std::bad_alloc")', "out of memory"),
        ('OSError(errno.ENOSPC, "No space left on device")', "No space left"),
    ],
)
def test_a_fit_that_the_machine_ended_is_made_again_by_the_next_run(
    changes: Path, tmp_path: Path, said: str, told: str
) -> None:
    (tmp_path / "there").write_text("no")
    asked = asking("Lacking", tmp_path, said=said, there=str(tmp_path / "there"))
    with pytest.raises((UserError, OSError), match=told):
        run(asked, changes, tmp_path / "home")
    (tmp_path / "there").write_text("yes")
    assert "failed" not in statuses(run(asked, changes, tmp_path / "home"))


def test_a_failure_of_the_model_itself_stays_a_failed_row(changes: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("no")
    said = 'OSError(errno.ENOENT, "No such file or directory")'
    asked = asking("Lacking", tmp_path, said=said, there=str(tmp_path / "there"))
    assert "failed" in statuses(run(asked, changes, tmp_path / "home"))


def within(size: int, work: Callable[[], object]) -> None:
    """Do something while files may not grow above a size in bytes."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most[1]))
    try:
        work()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)


def test_a_fit_without_room_to_be_stored_is_no_failure_of_its_model(changes: Path, tmp_path: Path) -> None:
    asked = asking("Large", tmp_path)
    home = tmp_path / "home"
    with pytest.raises(FullDiskError, match="fits"):
        within(1 << 20, lambda: run(asked, changes, home))
    assert "failed" not in statuses(run(asked, changes, home))
    assert read_fit(home / "fits", next((home / "fits").iterdir()).name)


def test_series_by_block_without_room_is_a_message_and_no_end_without_a_word(changes: Path, tmp_path: Path) -> None:
    opened = ChangeFile.open(changes)
    blocks = [np.array([0]), np.array([1])]
    none = np.array([], dtype=np.int64)
    for size in (1 << 30, 256):
        if size < 4 * len(opened.code):
            with pytest.raises(FullDiskError, match=str(tmp_path)):
                within(size, lambda: SeriesBlocks(opened, blocks, none, until=micros(END), scratch=tmp_path))
        else:
            found = SeriesBlocks(opened, blocks, none, until=micros(END), scratch=tmp_path)
            assert len(found.rows(0)) + len(found.rows(1)) == len(opened.code)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        LightGBMError("std::bad_alloc"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 70 bytes"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        FullDiskError("home/fits"),
    ],
)
def test_what_the_machine_lacks_is_raised_on(error: Exception) -> None:
    with pytest.raises((MemoryError, OSError, FullDiskError)):
        raise_lack(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the matrix is singular"),
        ValueError("cannot allocate more than 100% of capital"),
        RuntimeError("cannot allocate more than 100 percent of capital"),
        UserError("label 'out of memory' is none"),
        OSError(errno.ENOENT, "no such file"),
    ],
)
def test_what_a_model_cannot_do_is_not(error: Exception) -> None:
    raise_lack(error)
