"""The benchmark of scores, small: it runs, and its blocks are one panel."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from harness.score.dense import tables

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "scores.py"


def test_made_up_blocks_follow_one_another_and_are_scored() -> None:
    bench = runpy.run_path(str(SCRIPT))
    stage = bench["staged"]((3, 2))
    found = tables(stage, lambda: (bench["made_up"](stage, start, 5) for start in (0, 5)))
    assert found.scores["series_id"].drop_nulls().n_unique() == 10
    assert 0 < found.scores["n_failed"].max() < found.scores["n"].max()


@pytest.mark.slow
def test_a_run_is_measured_in_a_process_of_its_own() -> None:
    bench = runpy.run_path(str(SCRIPT), run_name="scores")
    one = bench["once"](300, 100, (3, 2), 2)
    assert one.seconds > 0.0
    assert one.making > 0.0
    assert one.held > 0
    assert bench["memory"]("VmHWM") >= one.held
