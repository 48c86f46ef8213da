"""Archives and experiments in which everything is odd and nothing is wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import polars as pl

from harness.core.recipe import (
    Experiment,
    FeatureBlock,
    Origins,
    OutcomeRule,
    Recipe,
    Schedule,
    Target,
    Training,
)
from harness.core.series import LagRule, Series
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.calendars import sessions_between
from harness.experiment.launch import prepare
from harness.experiment.load import load_experiment
from harness.record.home import Home
from tests.backtest.made_runs import AR, END, QUARTERS, RIDGE, TREES, exported, quarter, releases, small
from tests.planted.made_audits import Made

SCHEMA = {"series_id": pl.String(), "period": pl.Date(), "published_at": pl.Datetime("us", "UTC"),
          "value": pl.Float64()}  # fmt: skip
LONDON = ZoneInfo("Europe/London")


def _in(folder: Path) -> Path:
    place = folder / "experiments"
    place.mkdir()
    return place


def panel(folder: Path) -> Made:
    """Two series, one born two years later and with holes; some values are withdrawn and told again."""
    frame = releases(names=("cpi", "gdp", "pay"))
    late = (pl.col("series_id") == "pay") & (pl.col("period") < quarter(8))
    hole = (pl.col("series_id") == "pay") & (pl.col("period") == quarter(14))
    gone = (pl.col("series_id") == "cpi") & (pl.col("period") == quarter(15)) & (pl.col("published_at") > _told(16))
    gone &= pl.col("published_at") < _told(18)
    frame = frame.filter(~late & ~hole).with_columns(value=pl.when(gone).then(None).otherwise("value"))
    asked = small((AR, RIDGE, TREES), _in(folder))
    asked = replace(asked, target=replace(asked.target, series=("cpi", "pay")))
    return Made(folder, asked, exported(frame, folder / "home"))


def _told(number: int) -> datetime:
    return datetime.combine(quarter(number) + timedelta(days=40), time(), UTC)


def pinned(folder: Path, outcome: OutcomeRule) -> Made:
    """Another release is the truth; rolling window, refits at every fourth origin, latency, warm-up."""
    asked = small((AR, RIDGE, TREES), _in(folder), training=Training(minimum=5, rolling=9, refit_every=4))
    origins = replace(asked.origins, latency=timedelta(hours=6), warm_up=2, first=quarter(19))
    asked = replace(asked, target=replace(asked.target, outcome=outcome), origins=origins)
    return Made(folder, asked, exported(releases(), folder / "home"))


def bare(folder: Path) -> Made:
    """No features at all, and releases that state all they hold: what is left out is withdrawn."""
    (folder / "home").mkdir()
    archive = Archive.open(folder / "home" / "archive.duckdb")
    archive.define(Series("cpi", "Q", zone="Europe/London"))
    frame = releases(names=("cpi",)).filter(pl.col("published_at") <= END)
    whole = frame.filter(~((pl.col("period") == quarter(12)) & (pl.col("published_at") == _told(14))))
    archive.append(whole, source="made", coverage="complete", known_through=END)
    asked = small((AR,), _in(folder), features=())
    return Made(folder, asked, archive.export(folder / "home" / "changes"))


def told_as_changes(folder: Path) -> Made:
    """Changes only, with a list of the publications, one of which is known to have happened and is not at hand."""
    (folder / "home").mkdir()
    archive = Archive.open(folder / "home" / "archive.duckdb")
    frame = releases().filter(pl.col("published_at") <= END)
    for name in ("cpi", "gdp"):
        archive.define(Series(name, "Q", zone="Europe/London"))
    lost = _told(15)
    rows = [
        (name, _told(number), quarter(max(0, number - 3)), quarter(number), _told(number) != lost)
        for name in ("cpi", "gdp")
        for number in range(QUARTERS)
        if _told(number) <= END
    ]
    told = pl.DataFrame(rows, schema=["series_id", "published_at", "first", "last", "captured"], orient="row")
    changed = frame.filter(pl.col("published_at") != lost).sort("published_at")
    archive.append(changed, source="made", coverage="changes", publications=told, known_through=END)
    asked = small((AR, RIDGE), _in(folder), target=Target(("cpi",), Transform("log_growth", 1), season=4))
    asked = replace(asked, target=replace(asked.target, outcome=OutcomeRule("release", 2)))
    return Made(folder, asked, archive.export(folder / "home" / "changes"))


def months(folder: Path) -> Made:
    """Monthly sales out the next morning at 08:30, a survey out before its month is over, a calendar known ahead.

    Origins are month ends at 17:00; the rate is released at exactly that instant, and wages the same morning.
    """
    (folder / "home").mkdir()
    random = Random(3)
    archive = Archive.open(folder / "home" / "archive.duckdb")
    ends = [date(2014 + n // 12, n % 12 + 1, 1) - timedelta(days=1) for n in range(1, 49)]
    for name in ("sales", "survey", "holidays", "rate", "wages"):
        archive.define(Series(name, "M", zone="Europe/London"))
    level, rows = 100.0, []
    for number, end in enumerate(ends):
        level *= 1 + random.gauss(0.004, 0.01)
        following = ends[number + 1] if number + 1 < len(ends) else end + timedelta(days=31)
        rows += [
            ("sales", end, _at(end + timedelta(days=1), time(8, 30)), level),
            ("sales", end, _at(end + timedelta(days=35), time(8, 30)), level * (1 + random.gauss(0, 0.001))),
            ("survey", end, _at(end - timedelta(days=9), time(9)), random.gauss(50, 3)),
            ("holidays", end, _at(end - timedelta(days=200), time(12)), float(random.randint(0, 3))),
            ("rate", end, _at(following, time(17)), random.gauss(2, 0.1)),
            ("wages", end, _at(following, time(8, 30)), random.gauss(3, 0.2)),
        ]
    known = _at(ends[-1] + timedelta(days=2), time(9))
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").filter(pl.col("published_at") <= known)
    archive.append(frame, source="made", known_through=known)
    asked = replace(
        small((AR, RIDGE, TREES), _in(folder)),
        target=Target(("sales",), Transform("log_growth", 1), OutcomeRule("after", 10), season=12),
        origins=Origins(Schedule("month_end", at=time(17)), date(2016, 10, 31), zone="Europe/London"),
        features=(
            FeatureBlock("own", transform=Transform("log_growth", 1), latest=(1, 2), age=True, calendar=("month",)),
            FeatureBlock("gdp", series="survey", latest=(1,), lag=(0,), age=True),
            FeatureBlock("closed", series="holidays", known_ahead=(0, 1)),
            FeatureBlock("rate", series="rate", latest=(1,), age=True),
            FeatureBlock("wages", series="wages", latest=(1,), rolling_mean=(3,)),
        ),
        horizons=(0, 1, 2),
        training=Training(minimum=10),
    )
    models = (AR, *(replace(one, features=("own", "gdp", "closed", "rate", "wages")) for one in (RIDGE, TREES)))
    return Made(folder, replace(asked, models=_filled(asked, models)), archive.export(folder / "home" / "changes"))


def _filled(asked: Experiment, models: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
    from harness.experiment.models import completed

    return completed(replace(asked, models=models)).models


def _at(day: date, moment: time) -> datetime:
    return datetime.combine(day, moment, LONDON).astimezone(UTC)


def sessions(folder: Path) -> Made:
    """Daily closes around storms and funerals, final values dated by a rule: a run in pseudo real time."""
    (folder / "home").mkdir()
    random = Random(5)
    archive = Archive.open(folder / "home" / "archive.duckdb")
    lag = LagRule("business_days", n=0, calendar="XNYS", at=time(17, 30))
    series = Series("close", "B", zone="America/New_York", calendar="XNYS", lag=lag)
    archive.define(series)
    traded = sessions_between(series, date(2012, 6, 1), date(2013, 1, 31))
    days = traded.astype("datetime64[D]").tolist()
    level, rows = 100.0, []
    for day in days:
        level *= 1 + random.gauss(0, 0.01)
        rows.append(("close", day, level))
    frame = pl.DataFrame(rows, schema=["series_id", "period", "value"], orient="row")
    archive.append(frame, source="made")
    asked = replace(
        small((AR, RIDGE, TREES), _in(folder)),
        target=Target(("close",), Transform("log_return", 1)),
        origins=Origins(Schedule("sessions", n=4, at=time(18)), date(2012, 10, 16), zone="America/New_York"),
        features=(
            FeatureBlock("own", transform=Transform("log_return", 1), latest=(1, 2), rolling_std=(5,)),
            FeatureBlock("gdp", transform=Transform("realised_volatility", 5, proxy="squared_log_return"), latest=(1,)),
        ),
        horizons=(1, 3),
        training=Training(minimum=10, refit_every=4),
        pseudo_real_time=True,
    )
    return Made(folder, asked, archive.export(folder / "home" / "changes"))


DATASET = """
schema = 1
name = "told"
origin = "made"
licence = "none needed"

[defaults]
frequency = "Q"
zone = "Europe/London"
decimals = 3
lag = { kind = "calendar_days", n = 45 }

[series.cpi]
[series.gdp]

[[source]]
file = "changes.csv"
coverage = "changes"
publications = "publications.csv"
columns = { published_at = "published_at" }

[forecasts]
file = "forecasts.csv"

[forecasts.issuers.bank]
made = "live"
"""
EXPERIMENT = """
schema = 1
name = "made"
datasets = ["told"]
[target]
series = ["cpi"]
transform = { log_growth = 1 }
season = 4
[origins]
every = "quarter end"
first = 2009-09-30
[horizons]
steps = [0, 1]
[training]
minimum = 5
[features.own]
latest = [1, 2]
[features.gdp]
series = "gdp"
transform = { log_growth = 1 }
latest = 1
age = true
[models.ar]
kind = "autoregression"
params = { max_lags = 2 }
[models.ridge]
kind = "sklearn"
params = { estimator = "sklearn.linear_model.Ridge" }
[models.bank]
kind = "external"
source = "bank"
"""


def dataset(folder: Path) -> Made:
    """A dataset of changes with its publications, years before its first vintage, and forecasts of the same day."""
    home, place, data = Home(folder / "home"), _in(folder), folder / "datasets" / "told"
    data.mkdir(parents=True)
    first = _told(13)
    frame = releases().filter((pl.col("published_at") <= END) & (pl.col("published_at") >= first))
    old = releases().filter((pl.col("period") < quarter(10)) & (pl.col("published_at") < first))
    old = old.sort("published_at").group_by("series_id", "period", maintain_order=True).last()
    frame = pl.concat([old.with_columns(published_at=pl.lit(first).cast(frame["published_at"].dtype)), frame])
    frame.rename({"series_id": "series"}).sort("published_at", "series", "period").write_csv(data / "changes.csv")
    told = [
        (name, _told(number), quarter(0 if number == 13 else number - 3), quarter(number))
        for name in ("cpi", "gdp")
        for number in range(13, QUARTERS)
        if _told(number) <= END
    ]
    pl.DataFrame(told, schema=["series", "published_at", "first", "last"], orient="row").write_csv(
        data / "publications.csv"
    )
    random = Random(8)
    issued = [
        ("bank", "cpi", quarter(number), quarter(number + ahead), 115 + random.gauss(0, 2) + ahead)
        for number in range(16, 25)
        for ahead in range(3)
    ]
    pl.DataFrame(issued, schema=["source", "series", "issued_at", "period", "value"], orient="row").write_csv(
        data / "forecasts.csv"
    )
    (data / "dataset.toml").write_text(DATASET)
    (place / "made.toml").write_text(EXPERIMENT)
    ready = prepare(load_experiment(place / "made.toml"), home)
    return Made(folder, ready.experiment, ready.changes)
