"""An oracle's forecasts of a series of sessions come through archive, replay and run without an error."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path

import polars as pl
import pytest

from harness.core.recipe import Experiment, Origins, Recipe, Schedule, Target, Training
from harness.core.series import Series
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.calendars import sessions_known
from harness.experiment.models import completed
from harness.record.runs import read_table
from tests.backtest.made_runs import run

STOCK = Series("stock", "B", zone="America/New_York", calendar="XNYS")
EPOCH = date(1970, 1, 1).toordinal()


@pytest.mark.parametrize("span", [1, 2])
@pytest.mark.slow
def test_an_oracle_of_the_next_session_makes_no_error(tmp_path: Path, span: int) -> None:
    first, last = date(2023, 1, 3).toordinal() - EPOCH, date(2023, 6, 30).toordinal() - EPOCH
    every = sessions_known(STOCK, datetime(2024, 1, 1, tzinfo=UTC))
    days = [date.fromordinal(int(day) + EPOCH) for day in every if first <= day <= last]
    levels = [100.0 + 3.0 * (place % 7) + place for place in range(len(days))]
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(STOCK)
    closed = [datetime.combine(day, time(21, 30), UTC) for day in days]
    values = {"series_id": ["stock"] * len(days), "period": days, "published_at": closed, "value": levels}
    archive.append(pl.DataFrame(values), source="made", known_through=datetime(2023, 7, 1, tzinfo=UTC))
    fridays = [place for place, day in enumerate(days[:-1]) if day.weekday() == 4]
    issued = {
        "series_id": ["stock"] * len(fridays),
        "issued_at": [datetime.combine(days[place], time(22), UTC) for place in fridays],
        "period": [days[place + 1] for place in fridays],
        "value": [levels[place + 1] for place in fridays],
    }
    archive.append_forecasts(pl.DataFrame(issued), source="oracle")
    asked = Experiment(
        "sessions",
        Target(("stock",), Transform("difference", span), season=1),
        Origins(Schedule("weekday", weekday=4), date(2023, 4, 14), zone="America/New_York"),
        (1,),
        training=Training(minimum=5),
        models=(Recipe("oracle", "external", source="oracle"),),
    )
    ran = run(completed(asked), archive.export(tmp_path / "changes"), tmp_path / "home")
    errors = read_table(ran.files, "errors").filter((pl.col("model") == "oracle") & pl.col("outcome").is_not_null())
    assert errors["status"].to_list() == ["ok"] * errors.height
    assert errors.height >= 8
    assert errors["error"].to_list() == [0.0] * errors.height
