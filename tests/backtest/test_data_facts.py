"""What is told of the inputs of a run, also of one that says nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.data_facts import input_facts
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.core.series import Series
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from tests.backtest.made_runs import AR, END, releases, small


@pytest.mark.parametrize("kinds", [("observed", "observed"), ("observed", "rule")])
def test_an_input_without_a_value_has_no_shares_and_spans_nothing(kinds: tuple[str, str], tmp_path: Path) -> None:
    frame = releases().filter(pl.col("published_at") <= END)
    told = pl.Series("availability", [kinds[row % 2] for row in range(frame.height)])
    frame = frame.with_columns(told, value_known_at="published_at")
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(*(Series(name, "Q", zone="Europe/London") for name in ("cpi", "gdp")))
    empty = frame.filter(series_id="gdp").head(1).with_columns(value=pl.lit(None, dtype=pl.Float64))
    for one in (frame.filter(series_id="cpi"), empty):
        archive.append(one, source="made", known_through=END)
    changes = ChangeFile.open(archive.export(tmp_path / "changes"))
    plan = build_plan(with_rivals(small((AR,), tmp_path, pseudo_real_time=True)), changes)
    with np.errstate(all="raise"):
        facts = {row["series_id"]: row for row in input_facts(plan, changes).iter_rows(named=True)}
    assert (facts["gdp"]["periods"], facts["gdp"]["changes"]) == (0, 0)
    assert np.isnan([facts["gdp"][name] for name in (*kinds, "pseudo_real_time")]).all()
    assert (facts["cpi"]["periods"], facts["cpi"]["pseudo_real_time"]) == (25, 0.0)
    assert (facts["cpi"]["observed"] == 1.0) == (kinds[1] == "observed")
