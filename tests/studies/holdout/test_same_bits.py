"""Sealing moves nothing before the cut: development gives the same bits, from stored cells and computed again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import harness as hs
from harness.data.archive import Archive
from harness.experiment.sealing import seal_experiments
from harness.record.home import Home
from harness.record.runs import find_run, read_manifest
from harness.studies.holdout.locking import Lock

EXPERIMENT = """
schema = 1
name = "bits"
question = "Is AR better than the rivals?"
datasets = ["uk_macro"]

[target]
series = ["cpi"]
transform = { log_growth = 4 }

[origins]
every = "quarter end"
first = 2017-03-31
warm_up = 1

[horizons]
steps = [0, 1]

[features.own]
transform = { log_growth = 1 }
latest = [1, 2]
[features.gdp]
series = "gdp"
latest = [1]
transform = { log_growth = 4 }
age = true

[models.ar]
kind = "autoregression"
[models.gbm]
kind = "lightgbm"
params = { n_estimators = 5, num_leaves = 4, min_data_in_leaf = 5 }
[models.mpr]
kind = "external"
source = "mpr"
"""
CUT, SEALED = "2019-01-01", 8
"""Origins from the end of 2016 to that of 2018 come before the cut: nine, the last of them at the cut itself."""


def cells(home: Home, run: hs.Run) -> dict[tuple[str, int], tuple[str, str]]:
    """Key and checksum of every cell by model and number of the origin."""
    manifest = read_manifest(find_run(home, run.id))
    keys, sums = manifest["cells"], manifest["cell_checksums"]
    return {  # type: ignore[union-attr]
        (name, number): (key, sums[name][number]) for name, mine in keys.items() for number, key in enumerate(mine)
    }


@pytest.mark.slow
def test_development_gives_the_same_bits_before_and_after_sealing(
    uk_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_KEYS", str(tmp_path / "keys"))
    home, again = Home(tmp_path / "home"), Home(tmp_path / "again")
    shutil.copytree(uk_home.root, home.root, ignore=shutil.ignore_patterns("runs", "cells", "fits"))
    file = tmp_path / "bits.toml"
    file.write_text(EXPERIMENT)
    before = cells(home, hs.backtest(file, home=home.root, workers=1))
    seal_experiments([file], CUT, home, lock=Lock(keys=tmp_path / "keys"))
    shutil.copytree(home.root, again.root, ignore=shutil.ignore_patterns("cells", "fits", "runs"))
    kept = {path.name for path in home.cells.iterdir()}
    reused = cells(home, hs.backtest(file, home=home.root, workers=1))
    computed = cells(again, hs.backtest(file, home=again.root, workers=1))
    assert reused == computed
    assert {number for _, number in reused} == set(range(SEALED))
    assert reused == {cell: told for cell, told in before.items() if cell[1] < SEALED}
    assert len(before) > len(reused)
    assert {key for key, _ in reused.values()} <= kept  # none was computed in the home that had them
    assert Archive.open(home.archive).state() == Archive.open(again.archive).state()
