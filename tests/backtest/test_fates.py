"""Rows counted by kind are the rows counted one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import harness.backtest.data_facts as room
from harness.backtest.data_facts import origin_facts
from harness.backtest.planning import build_plan
from harness.core.recipe import OutcomeRule, Target, Training
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from tests.backtest.made_runs import AR, exported, quarter, releases, small


@pytest.mark.parametrize("training", [Training(minimum=4), Training(rolling=5, minimum=4)], ids=str)
@pytest.mark.parametrize("rule", [OutcomeRule(), OutcomeRule("release", 2), OutcomeRule("after", 100)], ids=str)
def test_counted_by_kind_or_one_by_one(
    training: Training, rule: OutcomeRule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = releases(names=("cpi", "gdp"))
    late = (pl.col("series_id") == "gdp") & (pl.col("period") < quarter(6))
    changes = ChangeFile.open(exported(frame.filter(~late), tmp_path / "archive"))
    target = Target(("cpi", "gdp"), Transform("log_growth", 1), rule, 4)
    for hindsight in (True, False):
        asked = small((AR,), tmp_path, target=target, training=training)
        plan = build_plan(replace(asked, exclude_hindsight=hindsight), changes)
        counted = origin_facts(plan, changes)
        with monkeypatch.context() as patched:
            patched.setattr(room, "fates_alike", lambda _: False)
            assert counted.equals(origin_facts(plan, changes))
        assert counted["purged"].sum() > 0
        assert counted["members"].unique().to_list() == [2]
        assert (counted["purged"] % 2 == 1).any()  # what is counted by kind differs between the series
