"""Every run of a module scored twice: in blocks of matrices, and from its tidy rows by the plain definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

import harness.backtest.assemble as room
from harness.backtest.panel_scores import Panel, panel_tables
from harness.score.spec import ScoreSpec
from harness.score.tables import ScoreTables, score_tables


@pytest.fixture(scope="module", autouse=True)
def scored_twice() -> Iterator[list[int]]:
    """Replaces the scoring of runs by one that compares; counts the rows compared."""
    compared = [0]

    def both(panel: Panel, spec: ScoreSpec, **asked: Any) -> ScoreTables:
        found = panel_tables(panel, spec, **asked)
        rows = room.score_rows(panel.plan, changes[-1], panel.cells, scales=panel.scales).rows
        plain = score_tables(rows, spec)
        for field in fields(plain):
            mine, theirs = getattr(found, field.name), getattr(plain, field.name)
            assert mine.equals(theirs), field.name
            compared[0] += mine.height
        return found

    changes: list[Any] = []
    kept = room._held_spans

    def spans(plan: Any, some: Any) -> Any:
        changes.append(some)
        return kept(plan, some)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "panel_tables", both)
        patched.setattr(room, "_held_spans", spans)
        yield compared
    assert compared[0] > 0
