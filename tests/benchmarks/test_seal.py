"""The benchmark of a seal, small: it runs, and finds every change again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "seal.py"


@pytest.mark.slow
def test_the_benchmark_of_a_seal_runs() -> None:
    sizes = ["--series", "10", "--periods", "20", "--revisions", "5"]
    here = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    done = subprocess.run([sys.executable, SCRIPT, *sizes], check=True, capture_output=True, text=True, env=here)
    assert "make 1,000 changes" in done.stdout
    assert "changes sealed; vault" in done.stdout
    assert done.stdout.index("\nseal ") < done.stdout.index("\nopen ")
