"""Feature columns made for all origins in one step equal those of a walk, and what was revised is walked through."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.at_once import filled_at_once, published_once
from harness.backtest.design import _walk
from harness.backtest.layout import plain_sheet
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, FeatureBlock, Origins, Schedule, Target, Training
from harness.core.series import Series
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile

OWN = FeatureBlock(
    "own", latest=(1, 3), lag=(1,), rolling_mean=(5,), rolling_std=(4,), age=True, calendar=("weekday",),
    transform=Transform("log_return", 1),
)  # fmt: skip
MONTHLY = FeatureBlock("macro", "macro", latest=(1, 2), lag=(1,), age=True, difference=(1,))


def plan_of(folder: Path, *, revised: bool) -> tuple[Plan, ChangeFile]:
    """A price of the New York sessions around the closure of October 2012, and a monthly series."""
    archive = Archive.open(folder / "archive.duckdb")
    days = [date(2012, 9, 3) + timedelta(days=k) for k in range(80)]
    closed = {date(2012, 9, 3), date(2012, 10, 29), date(2012, 10, 30), date(2012, 11, 22)}
    sessions = [day for day in days if day.weekday() < 5 and day not in closed]
    rng = np.random.default_rng(4)
    known = datetime(2012, 11, 20, 12, tzinfo=UTC)
    for name in ("p", "q"):
        archive.define(Series(name, "B", zone="America/New_York", calendar="XNYS"))
        levels = np.exp(np.cumsum(rng.normal(0, 0.01, len(sessions)))) * 100
        stated = pl.DataFrame({"series_id": name, "period": sessions, "published_at": sessions, "value": levels})
        archive.append(stated.filter(pl.col("period") < date(2012, 11, 20)), source="made", known_through=known)
    archive.define(Series("macro", "M", zone="America/New_York"))
    ends = [date(2012, month, 1) - timedelta(days=1) for month in range(3, 12)]
    at = [end + timedelta(days=9) for end in ends]
    stated = pl.DataFrame({"series_id": "macro", "period": ends, "published_at": at, "value": np.arange(9.0) ** 2})
    if revised:
        again = stated[-2:-1].with_columns(published_at=pl.lit(date(2012, 11, 2)), value=7.5)
        stated = pl.concat([stated, again])
    archive.append(stated, source="made", known_through=known)
    changes = ChangeFile.open(archive.export(folder / "changes"))
    experiment = Experiment(
        name="both",
        target=Target(("p", "q"), Transform("log_return", 1)),
        origins=Origins(Schedule("sessions"), first=date(2012, 10, 25), zone="America/New_York"),
        horizons=(1, 3),
        training=Training(minimum=2),
        features=(OWN, MONTHLY),
    )
    return build_plan(with_rivals(experiment), changes), changes


def blank(plan: Plan) -> np.ndarray:
    return np.full((len(plan.instants), 2, 2, len(OWN.columns()) + len(MONTHLY.columns())), np.nan)


@pytest.mark.parametrize("revised", [False, True])
def test_both_ways_give_the_same_bits_and_a_revised_input_is_walked_through(tmp_path: Path, *, revised: bool) -> None:
    plan, changes = plan_of(tmp_path, revised=revised)
    at_once, walked = blank(plan), blank(plan)
    left = filled_at_once(plan, changes, plain_sheet(at_once))
    assert left == ((MONTHLY,) if revised else ())
    assert published_once(plan, changes, int(plan.known[-1])) == {"p", "q"} | (set() if revised else {"macro"})
    _walk(plan, changes, plain_sheet(walked), (OWN, MONTHLY))
    own = len(OWN.columns())
    assert at_once[..., :own].tobytes() == walked[..., :own].tobytes()
    assert np.isfinite(walked[-1]).all()
    assert (at_once[..., own:].tobytes() == walked[..., own:].tobytes()) != revised
    _walk(plan, changes, plain_sheet(at_once), left)
    assert at_once.tobytes() == walked.tobytes()


def test_only_what_was_revised_by_the_last_origin_counts(tmp_path: Path) -> None:
    plan, changes = plan_of(tmp_path, revised=True)
    before = sum(moment < datetime(2012, 11, 3, tzinfo=UTC) for moment in plan.instants)
    assert filled_at_once(plan, changes, plain_sheet(blank(plan)[: before - 2])) == ()
