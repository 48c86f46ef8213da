"""A window looks forward: it holds the sessions after the origin, and nothing known at the origin is in it."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, Origins, Schedule, Target, Training
from harness.core.series import Series
from harness.core.time import EPOCH, instant, local_day
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.calendars import sessions_between
from harness.data.changes import ChangeFile

STOCK = Series("stock", "B", zone="America/New_York", calendar="XNYS")
DAYS = [
    date.fromordinal(EPOCH.toordinal() + int(day))
    for day in sessions_between(STOCK, date(2023, 1, 3), date(2023, 6, 30))
]
LEVELS = [100.0 * math.exp(0.01 * math.sin(place * place)) for place in range(len(DAYS))]
WIDTH = 3


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Forecasts on Fridays after the close of the volatility of the next three sessions, and of the three after one."""
    folder = tmp_path_factory.mktemp("windows")
    archive = Archive.open(folder / "archive.duckdb")
    archive.define(STOCK)
    closed = [datetime.combine(day, time(21, 30), UTC) for day in DAYS]
    values = {"series_id": ["stock"] * len(DAYS), "period": DAYS, "published_at": closed, "value": LEVELS}
    archive.append(pl.DataFrame(values), source="made", known_through=datetime(2023, 7, 1, tzinfo=UTC))
    volatility = Transform("realised_volatility", WIDTH, proxy="squared_log_return")
    asked = Experiment(
        "windows",
        Target(("stock",), volatility, season=1),
        Origins(Schedule("weekday", weekday=4), date(2023, 4, 14), zone="America/New_York"),
        (1, 2),
        training=Training(minimum=5),
    )
    return build_plan(with_rivals(asked), ChangeFile.open(archive.export(folder / "changes")))


def after(origin: datetime, horizon: int) -> list[int]:
    """Places of the sessions of a window: the `horizon`-th session after the origin's day, and those that follow."""
    later = [place for place, day in enumerate(DAYS) if day > local_day(origin, STOCK.zone)]
    return later[horizon - 1 : horizon - 1 + WIDTH]


def volatility(places: list[int]) -> float:
    squares = [math.log(LEVELS[place] / LEVELS[place - 1]) ** 2 for place in places]
    return 100.0 * math.sqrt(sum(squares) / WIDTH)


def test_an_outcome_is_the_volatility_of_the_sessions_after_the_origin(plan: Plan) -> None:
    compared = 0
    for origin, moment in enumerate(plan.instants):
        for place, horizon in enumerate(plan.experiment.horizons):
            window = after(moment, horizon)
            found = plan.outcomes.value[0, plan.request[origin, place]]
            if len(window) < WIDTH:
                assert math.isnan(found)
                continue
            assert found == pytest.approx(volatility(window), rel=1e-12)
            # the specimen: with the origin's own session in the window it would be another number
            assert found != pytest.approx(volatility([window[0] - 1, *window[:-1]]), rel=1e-6)
            compared += 1
    assert compared >= 40


def test_an_outcome_matures_with_the_last_session_of_its_window(plan: Plan) -> None:
    for origin in range(plan.first_scored, len(plan.instants) - 2):
        window = after(plan.instants[origin], 1)
        due = plan.outcomes.matured_at[0, plan.request[origin, 0]]
        assert instant(int(due)) == datetime.combine(DAYS[window[-1]], time(21, 30), UTC)
        assert not plan.already_public(origin).any()
