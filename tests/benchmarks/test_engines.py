"""The benchmark of engines, small: it runs, and measures every engine that is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.record.platform import available_cores

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "engines.py"


@pytest.mark.slow
def test_the_benchmark_of_engines_measures_those_that_are_installed(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--tasks", "5", "--repeats", "1", "--write", str(tmp_path / "R.md")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    measured = [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:]
    clusters = [name for name, module in (("ray", "ray"), ("dask", "distributed")) if find_spec(module)]
    written = (tmp_path / "R.md").read_text(encoding="utf-8")
    assert lines[-1] in written
    assert f"5 empty tasks, {available_cores()} workers, " in "\n".join(lines)
    assert f"({available_cores()} used)" in written
    assert measured == ["in process", "local", *clusters, *(f"{name}, store" for name in clusters)]
