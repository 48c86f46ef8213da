"""Names of an experiment built in Python become the stored ids of an archive."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from harness.core.errors import UnknownNameError
from harness.core.recipe import Experiment, Origins, Schedule, Target, Training
from harness.core.series import Series
from harness.data.archive import Archive
from harness.experiment.stored_names import with_stored_ids


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive.open(tmp_path / "archive.duckdb")
    made.define_many(["p/b", "p/a", "q/c", "q/a"], like=Series("any", "M"))
    return made


def named(archive: Archive, *series: str, datasets: tuple[str, ...] = ()) -> tuple[str, ...]:
    asked = Experiment(
        name="named",
        question="",
        datasets=datasets,
        seed=0,
        target=Target(series),
        origins=Origins(Schedule("month_end"), date(2020, 1, 31)),
        horizons=(1,),
        training=Training(minimum=1),
        models=(),
    )
    return with_stored_ids(asked, archive).target.series


def test_bare_names_and_patterns_become_stored_ids(archive: Archive) -> None:
    assert named(archive, "p/a", "c") == ("p/a", "q/c")
    assert named(archive, "p/*") == ("p/a", "p/b")
    assert named(archive, "?") == ("p/a", "p/b", "q/a", "q/c")
    assert named(archive, "a", datasets=("q",)) == ("q/a",)


def test_a_name_or_a_pattern_without_a_series_is_refused(archive: Archive) -> None:
    with pytest.raises(UnknownNameError, match="unknown series"):
        named(archive, "z/*")
    with pytest.raises(UnknownNameError, match="unknown series"):
        named(archive, "z")
