"""Steps inside a run: part of the recipe's identity, fitted on what had matured, resumed with the same bits."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harness.core.recipe import Recipe, Step
from harness.record.cells import read_fit
from tests.backtest.made_runs import RIDGE, TREES, Ran, exported, quarter, releases, run, small

STEPS = (Step("impute"), Step("scale"), Step("pca", (("components", 2),)), Step("resample"))
BEHIND = replace(TREES, steps=STEPS)
LINEAR = replace(RIDGE, steps=STEPS[:2])


def ran(folder: Path, *models: Recipe, scrambled_from: int = 99) -> Ran:
    frame = releases(names=("cpi", "gdp"))
    late = pl.col("published_at").dt.date() > quarter(scrambled_from)
    frame = frame.with_columns(
        pl.when(late).then(pl.col("value") * 3.0 + 50.0).otherwise(pl.col("value")).alias("value")
    )
    folder.mkdir()
    return run(small(models, folder), exported(frame, folder), folder / "home")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("steps")


@pytest.fixture(scope="module")
def first(folder: Path) -> Ran:
    return ran(folder / "first", BEHIND, LINEAR, replace(TREES, name="bare"))


def fits(home: Path) -> dict[str, dict[str, object]]:
    """Stored fits by key."""
    found = {path.name: read_fit(home / "fits", path.name) for path in sorted((home / "fits").iterdir())}
    return {key: json.loads(json.loads(text)["fit"]) for key, text in found.items() if text and "horizons" in text}


def test_models_behind_steps_answer_every_row(first: Ran) -> None:
    forecasts = first.forecasts.filter(pl.col("model").is_in(["gbm", "ridge"]))
    assert set(forecasts["status"]) == {"ok"}
    assert forecasts["value"].null_count() == 0


def test_steps_are_part_of_what_a_cell_is(first: Ran, tmp_path: Path) -> None:
    keys = first.keys
    assert not set(keys["gbm"]) & set(keys["bare"])
    other = ran(tmp_path / "other", replace(TREES, steps=(*STEPS[:3], Step("resample", (("ratio", 0.5),)))))
    assert not set(keys["gbm"]) & set(other.keys["gbm"])


@pytest.mark.slow
def test_what_comes_out_later_moves_neither_fitted_parameters_nor_forecasts_before_it(
    first: Ran, folder: Path, tmp_path: Path
) -> None:
    moved = ran(tmp_path / "moved", BEHIND, LINEAR, scrambled_from=21)
    until = pl.col("origin").dt.date() <= quarter(21)
    for name in ("gbm", "ridge"):
        one, other = (some.of(name).drop("outcome", "error", strict=False) for some in (first, moved))
        assert one.filter(until).height > 0
        assert_frame_equal(one.filter(until), other.filter(until), check_exact=True)
        assert not one.filter(~until)["value"].equals(other.filter(~until)["value"])
    stored, again = fits(folder / "first" / "home"), fits(tmp_path / "moved" / "home")
    same = stored.keys() & again.keys()
    assert len(same) == 4  # one for each origin up to the end of quarter 21
    assert all(stored[key] == again[key] for key in same)
    later = [stored[key]["horizons"] for key in stored.keys() - same]
    assert later
    assert not any(held["horizons"] in later for key, held in again.items() if key not in same)


def test_a_lost_cell_comes_back_with_the_same_bits_from_the_stored_fit(folder: Path, first: Ran) -> None:
    before = first.of("gbm")
    where = folder / "first"
    for key in first.keys["gbm"][2:4]:
        shutil.rmtree(where / "home" / "cells" / key)
    again = run(
        small((BEHIND, LINEAR, replace(TREES, name="bare")), where), next((where / "changes").iterdir()), where / "home"
    )
    assert_frame_equal(again.of("gbm"), before, check_exact=True)
