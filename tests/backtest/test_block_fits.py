"""Models fitted series by series, in blocks of series: the bits of cells and fits are those of one walk over all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest

import harness.backtest.task as room
from harness.backtest import blocks, bounds, runner
from harness.backtest.block_fits import FORGOTTEN, PARTS, sweep
from harness.backtest.blocks import spans
from harness.backtest.engines import Where
from harness.core.frames import Rows
from harness.core.recipe import Experiment, OutcomeRule, Recipe, Target, Training
from harness.core.snapshot import Panel, Snapshot
from harness.core.transform import Transform
from harness.forecast import catalog
from harness.forecast.catalog import CATALOG, build
from harness.forecast.classical import autoregression
from harness.forecast.histories import Work
from harness.forecast.projection import Fitted
from harness.forecast.protocol import Apart
from harness.forecast.univariate import Univariate
from harness.record.home import Home
from harness.record.runs import find_run
from tests.backtest.made_runs import Ran, exported, run
from tests.backtest.test_blocks import NAMES, asked_of, panel_of_steps, ragged, target_for
from tests.paced import paced

AR = Recipe("ar", "autoregression", (("max_lags", 2),))
ETS = Recipe("ets", "ets")
THETA = Recipe("theta", "theta", (("works_on", "target"),))


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(ragged(), tmp_path_factory.mktemp("fits"))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Seven series are many; what was answered in blocks of two."""
    models: list[str] = []

    def noted(*given: object, **more: object) -> None:
        blocks.answer_in_blocks(*given, **more)  # type: ignore[arg-type]
        models.extend(recipe.name for recipe, _ in given[1].recipes)  # type: ignore[attr-defined]

    monkeypatch.setattr(bounds, "LARGE", 2)
    monkeypatch.setattr(bounds, "FEWEST", 2)
    monkeypatch.setattr(room, "answer_in_blocks", noted)
    return models


def asked(folder: Path, *models: Recipe, **more: object) -> Experiment:
    made = asked_of(folder, Transform("log_growth", 1), NAMES, models)
    return replace(made, **{"training": Training(minimum=5, refit_every=2), **more})  # type: ignore[arg-type]


def files(home: Path, names: tuple[str, ...] = ("cells", "fits")) -> dict[str, bytes]:
    """Every cell and fit."""
    return {str(path.relative_to(home)): path.read_bytes() for name in names for path in (home / name).glob("*/*")}


def in_blocks(experiment: Experiment, changes: Path, home: Path) -> Ran:
    return Ran(find_run(Home(home), runner.execute(experiment, changes, Home(home), workers=1, where=LITTLE)))


LITTLE = Where(memory=0.001)
TRAININGS: dict[str, dict[str, object]] = {
    "expanding": {},
    "too short at first": {"training": Training(minimum=17, refit_every=2)},
    "never enough": {"training": Training(minimum=40)},
    "rolling": {"training": Training(minimum=5, rolling=9, refit_every=3)},
    "back": {"horizons": (-1, 0, 1)},
}


@pytest.mark.parametrize("how", paced(TRAININGS))
def test_a_model_fitted_in_blocks_has_the_same_cells_and_fits(
    how: str, changes: Path, tmp_path: Path, many: list[str]
) -> None:
    models = (AR, THETA) if how == "expanding" else (AR,)
    experiment = asked(tmp_path, *models, **TRAININGS[how])
    whole = run(experiment, changes, tmp_path / "whole")
    assert not many
    cut = in_blocks(experiment, changes, tmp_path / "cut")
    assert {model.name for model in models} <= set(many)
    assert cut.keys == whole.keys
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert not list((tmp_path / "cut" / "fits").glob(".*"))
    assert any("fit_key" in path.read_text() for path in (tmp_path / "cut" / "cells").glob("*/cell.json"))


@pytest.mark.slow
def test_labels_of_the_latest_vintage_are_counted_in_blocks_too(changes: Path, tmp_path: Path, many: list[str]) -> None:
    experiment = asked(tmp_path, AR)
    target = replace(experiment.target, outcome=OutcomeRule("latest", 0))
    experiment = replace(experiment, target=target, training=Training(minimum=17))
    run(experiment, changes, tmp_path / "whole")
    in_blocks(experiment, changes, tmp_path / "cut")
    assert "ar" in many
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.mark.slow
def test_a_stored_fit_is_used_again_in_blocks_of_another_size(
    changes: Path, tmp_path: Path, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = asked(tmp_path, AR)
    run(experiment, changes, tmp_path / "whole")
    kept = files(tmp_path / "whole")
    home = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole" / "fits", home / "fits")

    def never(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(Univariate, "fit", never)
    in_blocks(experiment, changes, home)
    assert files(home) == kept


@pytest.mark.slow
def test_what_is_lost_of_a_fit_is_fitted_again(changes: Path, tmp_path: Path, many: list[str]) -> None:
    experiment = asked(tmp_path, AR)
    in_blocks(experiment, changes, tmp_path / "cut")
    kept = files(tmp_path / "cut")
    for path in (tmp_path / "cut" / "fits").glob("*/fit.json"):
        path.write_text(path.read_text().replace("1", "2"))
    shutil.rmtree(tmp_path / "cut" / "cells")
    in_blocks(experiment, changes, tmp_path / "cut")
    assert files(tmp_path / "cut") == kept


# ---- series that fail


class Moody:
    """Fails for series with holes (or for none, or all), warns of one, and remembers the mean of the others."""

    def __init__(self, fails: str) -> None:
        self.fails = fails

    def estimate(self, work: Work) -> Fitted | None:
        if self.fails == "all" or (self.fails == "holes" and np.isnan(work.values).any()):
            raise ValueError("a hole")
        return {"mean": float(np.nanmean(work.values)), "variance": float(np.log(work.values[:1] * 0)[0] < 0)}

    def project(self, fitted: Fitted, work: Work, steps: int) -> np.ndarray:
        if self.fails == "later" and len(work.values) > 20:
            raise ValueError("too long")
        return np.full(steps, float(str(fitted["mean"])))


@pytest.mark.parametrize(("fails", "together"), paced([("later", True), ("holes", False), ("all", True)]))
def test_series_that_fail_are_named_as_in_one_walk(
    fails: str, together: bool, changes: Path, tmp_path: Path, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(CATALOG["theta"], factory=lambda: Univariate(Moody(fails), "level"), defaults={})
    monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({**CATALOG, "moody": entry}))
    experiment = asked(tmp_path, Recipe("moody", "moody"))
    experiment = replace(experiment, target=replace(experiment.target, series=NAMES[::-1]))
    run(experiment, changes, tmp_path / "whole")
    in_blocks(experiment, changes, tmp_path / "cut")
    assert ("moody" not in many) == together  # what breaks altogether is given all series
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    facts = [json.loads(path.read_text())["facts"] for path in (tmp_path / "cut" / "cells").glob("*/cell.json")]
    warned = [line for one in facts for line in one.get("warnings", ())]
    assert any("divide by zero" in line for line in warned) == (fails != "all")
    assert any(line == "s2: a hole" for line in warned) == (fails == "holes")
    assert not list((tmp_path / "cut" / "fits").glob(".*"))


# ---- who may be asked so


def told(model: Apart, snapshot: Snapshot, target: Target, rows: slice) -> tuple[str, list[float | None]]:
    """Text of a fit of some series, and their answers a while later."""
    panel = snapshot.panels[0]
    ids = panel.ids[rows]

    def known(until: int) -> Snapshot:
        own = Panel(ids, panel.timeline, panel.first, *(getattr(panel, name)[rows, :until] for name in MATRICES))
        return Snapshot(snapshot.origin, 0, (own,), {}, replace(target, series=ids))

    model.fit(None, known(80), seed=1)  # type: ignore[attr-defined]
    days = np.arange(18_000 + 88, 18_000 + 95).astype("datetime64[D]")
    keys = pl.DataFrame({"series_id": list(ids)}).join(
        pl.DataFrame({"period": days, "horizon": np.arange(7, dtype=np.int32)}), how="cross"
    )
    answers = model.predict(Rows(pl.DataFrame(), keys), known(90))  # type: ignore[attr-defined]
    return model.dump(), answers["value"].to_list()


MATRICES = ("values", "published", "vintage")
FITTED = sorted(kind for kind, entry in CATALOG.items() if entry.alone and entry.fitted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FITTED)
def test_every_fitted_kind_that_claims_to_answer_alone_does(kind: str) -> None:
    if kind == "auto_ets":
        pytest.importorskip("statsforecast")
    volatile = bool(CATALOG[kind].volatility)
    for works_on in ("step",) if volatile else ("step", "target", "level"):
        given = {} if volatile else {"works_on": works_on}
        recipe = Recipe(kind, kind, catalog.resolve_params(kind, given))
        assert answers_in_blocks(recipe, target_for(volatile))


def answers_in_blocks(recipe: Recipe, target: Target) -> bool:
    """Whether fits and answers of some series, and then of others, are those of all of them."""
    snapshot, count, made = panel_of_steps(6), 6, build(recipe)
    assert isinstance(made, Apart)
    text, values = told(made, snapshot, target, slice(0, count))
    assert any(value is not None for value in values)
    for width in (1, 4):
        parts = [told(build(recipe), snapshot, target, rows) for rows in spans(count, width)]  # type: ignore[arg-type]
        if made.joined(part for part, _ in parts) != text or [one for _, some in parts for one in some] != values:
            return False
    ids = snapshot.panels[0].ids
    (bare,) = made.parted(text, [ids])
    made.load(bare)
    assert made.dump() == bare
    return made.joined(made.parted(text, [ids[:2], ids[2:]])) == bare


def test_one_that_lies_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pooled(Univariate):
        def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
            super().fit(rows, snapshot, seed=seed)
            mean = float(np.nanmean(snapshot.panels[0].values))
            self.fitted = {name: {**(one or {}), "intercept": mean} for name, one in self.fitted.items()}

    entry = replace(CATALOG["autoregression"], factory=lambda: Pooled(autoregression().method, "step"), defaults={})
    monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({**CATALOG, "pooled": entry}))
    assert not answers_in_blocks(Recipe("pooled", "pooled"), target_for(False))


# ---- a kill

CHILD = """
import sys
import time
from pathlib import Path
from harness.backtest import block_fits, bounds, runner
from harness.record import cells
from tests.backtest.test_block_fits import AR, LITTLE, asked
from harness.record.home import Home
import harness.backtest.work as work
bounds.LARGE = bounds.FEWEST = 2
folder, changes, calm = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "calm"
write, fitted = work.write_fit, []
def slow(shelf, key, text):
    write(shelf, key, text)
    fitted.append(key)
    if len(fitted) == 5 and not calm:  # the second refit, in its first block
        print("now", flush=True)
        time.sleep(60)
work.write_fit = slow
runner.execute(asked(folder, AR), changes, Home(folder / "home"), workers=1, where=LITTLE)
print(len(fitted))
"""


@pytest.mark.slow
def test_a_run_killed_between_the_fits_of_two_blocks_resumes_with_those_it_has(changes: Path, tmp_path: Path) -> None:
    def started(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CHILD, str(tmp_path), str(changes), how]
        root = Path(__file__).parents[2]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=root)

    home = tmp_path / "home"
    with started("killed") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "now\n"
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    whole = run(asked(tmp_path, AR), changes, tmp_path / "whole")
    refits = len(list((tmp_path / "whole" / "fits").iterdir()))
    there = [path.name for path in (home / "fits").iterdir()]
    assert sum(name.startswith(".tmp-fit-") for name in there) == 1
    with started("calm") as again:
        assert again.stdout is not None
        fitted = int(again.stdout.readline())
        assert again.wait() == 0
    assert fitted == 4 * refits - 5  # four blocks; none that was fitted before is fitted again
    resumed = run(asked(tmp_path, AR), changes, home)
    assert resumed.keys == whole.keys
    assert files(home) == files(tmp_path / "whole")
    assert not list((home / "fits").glob(".*"))


def test_parts_of_a_fit_that_nobody_is_at_work_on_are_removed_once_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "aa").mkdir()
    for name, age in (("aa-0-2", 2 * FORGOTTEN), ("aa-2-4", 0.0), ("bb-0-2", 2 * FORGOTTEN)):
        folder = tmp_path / f"{PARTS}{name}"
        folder.mkdir()
        os.utime(folder, (folder.stat().st_mtime - age,) * 2)
    sweep(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"{PARTS}aa-2-4", f"{PARTS}bb-0-2", "aa"]
