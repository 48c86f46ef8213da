"""Series of 52 and 53 weeks: every origin and every target period lies in the declared table of period ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.backtest.planning import build_plan
from harness.backtest.splits import Plan
from harness.core.errors import UserError
from harness.core.recipe import Experiment, Origins, Schedule, Target, Training
from harness.core.series import Series
from harness.core.time import local_day
from harness.data.archive import Archive
from harness.data.changes import ChangeFile

FIRST_END = date(2018, 3, 31)
TABLE = tuple(FIRST_END + timedelta(weeks=13 * number + (number > 15)) for number in range(28))  # one of 14 weeks
Build = Callable[..., Plan]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """The plan of an experiment on releases ten days after each period, known through a day."""

    def built(known_through: date, horizons: tuple[int, ...], **more: object) -> Plan:
        archive = Archive.open(tmp_path / "archive.duckdb")
        archive.define(Series("sales", "T", zone="Europe/London", period_table=TABLE))
        told = datetime.combine(known_through, datetime.min.time(), UTC)
        ends = [day for day in TABLE if day + timedelta(days=11) < known_through]
        frame = pl.DataFrame(
            {
                "series_id": ["sales"] * len(ends),
                "period": ends,
                "published_at": [day + timedelta(days=10) for day in ends],
                "value": [100.0 + number**1.5 for number in range(len(ends))],
            }
        )
        archive.append(frame, source="made", known_through=told)
        asked = Experiment(
            "weeks",
            Target(("sales",)),
            Origins(Schedule("month_end"), date(2021, 1, 31), zone="Europe/London", **more),  # type: ignore[arg-type]
            horizons,
            training=Training(minimum=2),
        )
        return build_plan(asked, ChangeFile.open(archive.export(tmp_path / "changes")))

    return built


@pytest.mark.parametrize("horizons", [(1, 2), (-1, 0, 1)])
def test_pseudo_origins_begin_with_the_table(build: Build, horizons: tuple[int, ...]) -> None:
    plan = build(date(2023, 12, 15), horizons)
    first = local_day(plan.instants[0], "Europe/London")
    assert first == date(2018, 4, 30) if min(horizons) > 0 else first > date(2018, 3, 31)
    assert plan.phase[0] == 0  # the first origin of the period that begins after the first end
    assert plan.end_days.min().item() >= FIRST_END
    day = plan.instants.index(max(plan.instants))
    assert plan.end_days[day, 0].item() in TABLE


def test_a_horizon_past_the_end_of_the_table_is_named_in_dates(build: Build) -> None:
    with pytest.raises(UserError, match=rf"{TABLE[-1]}; origin 2024-06-30, h = 2 needs 1 more period end"):
        build(date(2024, 12, 15), (1, 2))


def test_an_origin_past_the_end_of_the_table_is_named_by_its_date(build: Build) -> None:
    with pytest.raises(UserError, match=r"origin 2024-12-31 lies outside"):
        build(date(2025, 3, 15), (0,))
