"""Cleaning that looks ahead is caught when the raw batches are altered and ingested again; honest cleaning passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.core.recipe import Experiment, Origins, Schedule, Target, Training
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.cleaning import values
from harness.data.cleaning.steps import Outliers
from harness.data.ingest import ingest
from harness.experiment.models import completed
from harness.record.home import Home
from harness.studies.pipeline import board_of, passage
from harness.studies.scramble import RAW, Ground, Scrambled, _raw
from tests.data.dirt import HEAD, KINDS, clean, text

pytestmark = pytest.mark.slow

OUTLIERS = '[[source.clean]]\nkind = "outliers"\nk = 6\naction = "clip"\n'
FUNCTIONS = """
import polars as pl
def whole_file(frame):
    most = pl.col("value").quantile(0.9).over("series")
    return frame.with_columns(value=pl.min_horizontal("value", most))
def so_far(frame):
    earlier = pl.col("value").cum_max().shift(1).over("series")
    return frame.with_columns(value=pl.when(pl.col("value") > 3 * earlier).then(earlier).otherwise("value"))
def own_row(frame):
    return frame.with_columns(value=pl.min_horizontal("value", 2000.0))
"""
ASSERTED = (
    '[[source.assert]]\nkind = "{}"\nseverity = "set aside"\n'
    '[[source.assert]]\nkind = "range"\nleast = 0.0\nmost = 1000.0\nseverity = "refuse"\n'
)
"""Noise breaks the second one: an audit's own archive is not refused for it."""


def experiment(root: Path) -> Experiment:
    """Monthly changes of two series, from the sixth year on, by the rivals alone."""
    return completed(
        Experiment(
            "made",
            Target(("mine/b", "mine/c"), Transform("difference", 1), season=12),
            Origins(Schedule("month_end"), date(2016, 1, 31), zone="Europe/London"),
            (0, 1),
            training=Training(minimum=5),
            datasets=("mine",),
            folder=str(root / "experiments"),
        )
    )


def audited(root: Path, cleaning: str, *, drop: bool = False) -> Scrambled:
    """The raw batches of one origin altered and ingested again."""
    folder = root / "datasets" / "mine"
    folder.mkdir(parents=True)
    (folder / "tidy.py").write_text(FUNCTIONS)
    (folder / "dataset.toml").write_text(HEAD + cleaning)
    (folder / "values.csv").write_text(text(KINDS["outlier"].make(clean())))
    home = Home(root / "home")
    archive = Archive.open(home.archive)
    ingest(folder, archive, raw_dir=home.raw)
    changes = ChangeFile.open(archive.export(home.changes))
    plan = build_plan(with_rivals(experiment(root)), changes)
    ground = Ground(plan, changes, board_of(plan.experiment))
    origin = len(plan.instants) // 2
    out = Scrambled(origin)
    _raw(ground, origin, passage(plan, changes, ground.board, origin), out, drop=drop)
    assert not out.refused, out.refused
    assert out.touched[RAW] > 50
    return out


HONEST = {
    "outliers": OUTLIERS,
    "outliers set aside": OUTLIERS.replace("clip", "set aside"),
    "a function of earlier rows": '[[source.clean]]\nkind = "function"\nfunction = "tidy:so_far"\n',
    "a function of its own row": '[[source.clean]]\nkind = "function"\nfunction = "tidy:own_row"\n',
    "revisions set aside": ASSERTED.format('revision"\nk = 1.5\nname = "k'),
    "jumps set aside": ASSERTED.format('jump"\nfactor = 1.2\nname = "f'),
}


@pytest.mark.parametrize("drop", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", HONEST)
def test_honest_cleaning_passes(how: str, drop: bool, tmp_path: Path) -> None:
    assert audited(tmp_path, HONEST[how], drop=drop).findings == []


def test_a_threshold_from_the_whole_file_is_caught(tmp_path: Path) -> None:
    found = audited(tmp_path, '[[source.clean]]\nkind = "function"\nfunction = "tidy:whole_file"\n').findings
    assert found
    assert {one.stage for one in found} == {"archive"}
    assert "raw batches" in found[0].how


def full_sample(rows: pl.DataFrame, rule: Outliers, *, clip: bool) -> tuple[np.ndarray, np.ndarray]:
    """Bounds from all values, later ones too."""
    known = rows["value"].to_numpy()
    reach = rule.k * np.median(np.abs(known - np.median(known)))
    return np.full(rows.height, np.median(known) - reach), np.full(rows.height, np.median(known) + reach)


def last_of_all(asked: Callable[..., object]) -> Callable[..., object]:
    """The honest rule, shown each row under the newest publication of all."""

    def bounds(rows: pl.DataFrame, rule: Outliers, *, clip: bool) -> object:
        return asked(rows.with_columns(published=-pl.col("published")), rule, clip=clip)

    return bounds


@pytest.mark.parametrize("planted", [full_sample, last_of_all(values.outlying)], ids=["full sample", "backwards"])
def test_an_outlier_rule_that_looks_ahead_is_caught(
    planted: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "outlying", planted)
    assert audited(tmp_path, OUTLIERS).findings
