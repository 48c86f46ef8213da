"""Origins before the first true vintage of a series are refused; what helps depends on whether it has a past at all."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from harness.backtest.planning import build_plan
from harness.core.errors import UserError
from harness.core.series import LagRule, Series
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from tests.backtest.made_runs import END, releases, small

SINCE = date(2010, 3, 31)
GDP = pl.col("series_id") == "gdp"


@pytest.mark.parametrize(
    ("past", "fix"),
    [(True, "set pseudo_real_time = true"), (False, "these series begin later: leave them out")],
    ids=["a past of final values", "no past"],
)
def test_a_series_that_begins_later_is_told_from_one_with_a_past_of_final_values(
    past: bool, fix: str, tmp_path: Path
) -> None:
    known = releases().filter(~GDP | (pl.col("period") >= SINCE))
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define_many(["cpi", "gdp"], like=Series("any", "Q", lag=LagRule("calendar_days", 40), zone="Europe/London"))
    archive.append(known.filter(pl.col("published_at") <= END), source="made", known_through=END)
    if past:
        final = releases().filter(GDP, pl.col("period") < SINCE).unique("period", keep="last", maintain_order=True)
        archive.append(final.select("series_id", "period", "value"), source="past")
    with pytest.raises(UserError, match="scored origins precede the first true vintage") as refused:
        build_plan(small((), tmp_path), ChangeFile.open(archive.export(tmp_path / "changes")))
    assert str(refused.value.fix).startswith(fix)
