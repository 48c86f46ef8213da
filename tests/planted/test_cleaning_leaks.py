"""Cleaning that looks ahead is caught when the raw batches are altered and ingested again; honest cleaning passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from harness.studies import isolation
from harness.studies.audit import Asked, audit
from harness.studies.checks import Work, isolation_check
from harness.studies.children import Places
from harness.studies.pipeline import board_of, passage
from harness.studies.scramble import RAW, Ground, Scrambled, _raw
from harness.studies.verdict import FAILED, NOT_SHOWN, PASSED, Check
from tests.data.dirt import HEAD, KINDS, clean, text

pytestmark = pytest.mark.slow

OUTLIERS = '[[source.clean]]\nkind = "outliers"\nk = 6\naction = "clip"\n'
FUNCTIONS = """
import json, tomllib
from pathlib import Path
import polars as pl
def whole_file(frame):
    most = pl.col("value").quantile(0.9).over("series")
    return frame.with_columns(value=pl.min_horizontal("value", most))
def so_far(frame):
    earlier = pl.col("value").cum_max().shift(1).over("series")
    return frame.with_columns(value=pl.when(pl.col("value") > 3 * earlier).then(earlier).otherwise("value"))
def own_row(frame):
    return frame.with_columns(value=pl.min_horizontal("value", 2000.0))
def with_tables(frame):
    from inner.caps import CAP
    here = Path(__file__).parent
    scale = json.loads((here / "scale.json").read_text())["b"]
    shift = tomllib.loads((here / "tables" / "shift.toml").read_text())["c"]
    caps = pl.read_csv(here / "caps.csv", schema_overrides={"cap": pl.Float64})
    told = frame.join(caps, on="series", how="left", maintain_order="left")
    capped = told.with_columns(value=pl.min_horizontal(scale * pl.col("value") + shift, "cap", CAP))
    return capped.drop("cap")
def shifted(frame, path):
    told = pl.read_csv(path, try_parse_dates=True).sort("released", maintain_order=True)
    last = told.unique(["series", "period"], keep="last").sort("series", "period")
    later = last.select("series", "period", later=pl.col("value").cast(pl.Float64).shift(-2).over("series"))
    joined = frame.join(later, on=["series", "period"], how="left", maintain_order="left")
    return joined.with_columns(value=pl.coalesce("later", "value")).drop("later")
def beside(frame):
    return shifted(frame, Path(__file__).with_name("values.csv"))
def by_path(frame):
    return shifted(frame, "PLACE/values.csv")
def of_a_copy(frame):
    return shifted(frame, Path(__file__).with_name("copied.csv"))
def of_the_home(frame):
    kept = sorted(Path("HOME/raw").glob("*.csv")) or [Path(__file__).with_name("values.csv")]
    return shifted(frame, kept[0])
def swallowing(frame):
    try:
        return shifted(frame, "PLACE/values.csv")
    except Exception:
        return frame
def for_nothing(frame):
    try:
        open("PLACE/values.csv").close()
    except OSError:
        pass
    return frame
"""
CALLED = '[[source.clean]]\nkind = "function"\nfunction = "tidy:{}"\n'
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


def ingested(root: Path, cleaning: str) -> ChangeFile:
    """The archive state that a dataset with a treatment gives; its functions have small tables of their own."""
    folder, home = root / "datasets" / "mine", Home(root / "home")
    for one in (folder / "inner", folder / "tables", root / "experiments"):
        one.mkdir(parents=True)
    (folder / "tidy.py").write_text(FUNCTIONS.replace("PLACE", str(folder)).replace("HOME", str(home.root)))
    (folder / "inner" / "caps.py").write_text("CAP = 2000.0\n")
    (folder / "scale.json").write_text('{"b": 1.5}')
    (folder / "tables" / "shift.toml").write_text("c = 0.5\n")
    (folder / "caps.csv").write_text("series,cap\na,900\nb,800\nc,700\n")
    (folder / "dataset.toml").write_text(HEAD + cleaning)
    for name in ("values.csv", "copied.csv"):
        (folder / name).write_text(text(KINDS["outlier"].make(clean())))
    archive = Archive.open(home.archive)
    ingest(folder, archive, raw_dir=home.raw)
    return ChangeFile.open(archive.export(home.changes))


def grounded(root: Path, cleaning: str) -> Ground:
    """What the checks of an audit stand on."""
    changes = ingested(root, cleaning)
    plan = build_plan(with_rivals(experiment(root)), changes)
    return Ground(plan, changes, board_of(plan.experiment), changes)


def audited(root: Path, cleaning: str, *, drop: bool = False) -> Scrambled:
    """The raw batches of one origin altered and ingested again."""
    ground = replace(grounded(root, cleaning), again=None)
    plan, changes = ground.plan, ground.changes
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


def isolated(root: Path, cleaning: str) -> Check:
    """The isolation check of no origin: what is left of it are the functions of the dataset."""
    ground, home = grounded(root, cleaning), Home(root / "home")
    places = Places(str(home.root), (str(root / "datasets" / "mine"),), str(root / "experiments"))
    (check,) = isolation_check(Work(ground, [], 1, places, home.cells, lambda _: None))
    return check


READERS = {
    "beside": "values.csv",
    "by_path": "values.csv",
    "of_a_copy": "copied.csv",
    "of_the_home": "home/raw",
    "swallowing": "other rows",
    "for_nothing": "values.csv",
}
"""Function -> what the evidence names."""


@pytest.mark.parametrize("function", READERS)
def test_a_function_that_reads_the_raw_file_for_itself_is_caught(function: str, tmp_path: Path) -> None:
    check = isolated(tmp_path, CALLED.format(function))
    assert check.verdict == FAILED
    assert {(one.stage, one.place, one.row) for one in check.findings} == {
        ("cleaning", f"tidy:{function}", "mine: values.csv")
    }
    assert all(one.found.startswith("reads for itself") for one in check.findings)
    assert any(READERS[function] in one.found for one in check.findings)


def test_a_function_on_lines_that_reads_for_itself_is_caught(tmp_path: Path) -> None:
    check = isolated(tmp_path, CALLED.format("for_nothing") + 'on = "table"\n')
    assert check.verdict == FAILED
    assert [one.place for one in check.findings] == ["tidy:for_nothing"]


@pytest.mark.parametrize("function", ["so_far", "own_row", "with_tables"])
def test_a_function_that_reads_nothing_but_tables_of_its_own_passes(function: str, tmp_path: Path) -> None:
    check = isolated(tmp_path, CALLED.format(function))
    assert (check.verdict, check.findings) == (PASSED, ())
    assert "out of sight of all data" in check.said


def test_where_nothing_can_be_confined_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = isolation.ask_confined
    monkeypatch.setattr(isolation, "ask_confined", lambda *given: ("", *asked(*given)[1:]))
    check = isolated(tmp_path, CALLED.format("own_row"))
    assert (check.verdict, check.findings) == (NOT_SHOWN, ())


def test_a_function_that_reads_for_itself_fails_the_whole_audit(tmp_path: Path) -> None:
    changes = ingested(tmp_path, CALLED.format("beside"))
    done = audit(with_rivals(experiment(tmp_path)), changes.folder, Home(tmp_path / "home"), Asked(2, workers=1))
    verdicts = {check.name: check.verdict for check in done.checks}
    assert (done.verdict, verdicts["isolation"], verdicts["scramble"]) == (FAILED, FAILED, PASSED)


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
