"""The benchmark of taking a large panel in, small: it runs, and has all that was made up."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "ingest.py"


@pytest.mark.slow
def test_all_that_was_made_up_is_taken_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = runpy.run_path(str(SCRIPT))
    changes = bench["run"](tmp_path, series=30, periods=24, revisions=3)
    assert len(changes.ids) == 30
    assert len(changes.code) == 30 * 24 * 3
    assert changes.value.sum() == pytest.approx(bench["made_up"](30, 24, 3)["value"].sum())
    assert "read the file and append" in capsys.readouterr().out
