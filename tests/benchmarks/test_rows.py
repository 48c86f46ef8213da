"""The benchmark of training rows, small: it runs, and what is built for few origins is what is built for many."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.data.changes import ChangeFile
from harness.forecast.features import feature_names

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "rows.py"


@pytest.mark.slow
def test_rows_of_the_first_origins_are_the_same_bits_however_many_follow(tmp_path: Path) -> None:
    bench = runpy.run_path(str(SCRIPT))
    changes = ChangeFile.open(bench["exported"](tmp_path, series=20, weeks=100))
    plan = bench["planned"](changes, 20, 100)
    few, many = (bench["rows_of"](plan, changes, origins) for origins in (50, 100))
    names = feature_names(bench["BLOCKS"])
    assert len(names) == 30
    assert (few.shape, many.shape) == ((50, 20, 1, 30), (100, 20, 1, 30))
    assert few.tobytes() == many[:50].tobytes()
    # the specimen: rows are there to differ, in every column (the lag, and so the age, is always the same)
    moved = (many[-1] != many[-2]).any(axis=(0, 1)) & ~np.isnan(many[-1, 0, 0])
    assert [name for name, differs in zip(names, moved, strict=True) if not differs] == ["own.age"]


@pytest.mark.slow
def test_the_benchmark_prints_its_figures() -> None:
    asked = ["--series", "5", "--origins", "80", "--repeats", "1"]
    command = [sys.executable, str(SCRIPT), *asked]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:] == ["20", "40", "80"]
    assert lines[-1].startswith("Seconds on the processor grow with origins to the power of ")
