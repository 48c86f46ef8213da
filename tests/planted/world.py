"""A small world of files: a ragged monthly panel, a series dated by rule, quarterly GDP, forecasts made elsewhere.

Everything a leak needs is in it: releases on the very day of an origin but later in the day, dates without a time of
day that end after the origin, revisions, series whose newest period differs, and a day that New York and UTC disagree
about.
"""

from __future__ import annotations

import calendar
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random

from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.core.recipe import Experiment, FeatureBlock, Origins, Recipe, Schedule, Step, Target, Training
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.ingest import ingest
from harness.experiment.models import completed
from harness.record.home import Home
from harness.studies.pipeline import board_of
from harness.studies.scramble import Ground

MONTHS = 30
NEVER_STATED = ("b", 22)
"""A month of the panel that nobody counted."""
ZONE = "America/New_York"
DECLARATION = """
schema = 1
name = "made"
origin = "test"
licence = "none needed"

[defaults]
frequency = "M"
zone = "America/New_York"

[series.a]
[series.b]
[series.c]
[series.rate]
lag = { kind = "day_of_month", n = 31, exceptions = [[2010-06-30, 2010-08-04], [2012-03-31, 2012-05-02]] }
[series.gdp]
frequency = "Q"

[[source]]
file = "panel.csv"
series = ["a", "b", "c"]
zone = "America/New_York"
columns = { published_at = "released" }

[[source]]
file = "rate.csv"
series = ["rate"]
layout = "wide"

[[source]]
file = "gdp.csv"
series = ["gdp"]
columns = { published_at = "released" }

[forecasts]
file = "issued.csv"

[forecasts.issuers.bank]
series = ["a", "b"]
made = "live"
"""
GROWTH = Transform("log_growth", 1)
IMPUTE, SCALE = Step("impute"), Step("scale")
RIDGE = Recipe("ridge", "sklearn", (("estimator", "sklearn.linear_model.Ridge"),), ("own", "rate"))
SCALED = replace(RIDGE, name="scaled", steps=(IMPUTE, Step("winsorise", (("limits", (0.1, 0.9)),)), SCALE))
CHOSEN = replace(RIDGE, name="chosen", steps=(IMPUTE, Step("select", (("k", 3),)), Step("pca", (("components", 2),))))
ENCODED = replace(
    RIDGE, name="encoded", features=("own", "day"), steps=(Step("encode", (("columns", ("day.year",)),)), IMPUTE)
)
TREES = Recipe("gbm", "lightgbm", (("min_data_in_leaf", 2), ("n_estimators", 5), ("num_leaves", 4)), ("own", "rate"))
BANK = Recipe("bank", "external", source="bank")
MONTHLY_BLOCKS = (
    FeatureBlock("own", transform=GROWTH, latest=(1, 2), lag=(1, 2), rolling_mean=(3,), age=True),
    FeatureBlock("rate", series="made/rate", latest=(1,), known_ahead=(0,)),
    FeatureBlock("day", calendar=("year",)),
)
QUARTERLY_BLOCKS = (
    FeatureBlock("own", transform=GROWTH, latest=(1,), lag=(1,)),
    FeatureBlock("a", series="made/a", transform=GROWTH, latest=(1, 2), rolling_mean=(3,)),
    FeatureBlock("b", series="made/b", transform=GROWTH, lag=(1,)),
)


def month(number: int) -> date:
    """The last day of the number-th month since the start of 2010."""
    year, place = 2010 + number // 12, number % 12 + 1
    return date(year, place, calendar.monthrange(year, place)[1])


@dataclass(frozen=True)
class World:
    """A folder with the dataset `made`, and the archive state that ingesting it gives."""

    root: Path
    changes: ChangeFile

    def ground(self, asked: Experiment, *models: str) -> Ground:
        """Plan and board of an experiment of this world; only the models named are run."""
        plan = build_plan(with_rivals(self.placed(asked)), self.changes)
        board = tuple(one for one in board_of(plan.experiment) if one[0].name in models)
        return Ground(plan, self.changes, board)

    def placed(self, asked: Experiment) -> Experiment:
        """The experiment as if its file lay in this world."""
        return replace(asked, folder=str(self.folder))

    @property
    def folder(self) -> Path:
        """Where an experiment file would lie."""
        return self.root / "experiments"


def monthly(*, at: time = time(9), latency: timedelta = timedelta(0), **more: object) -> Experiment:
    """The panel's growth at every month end, in the morning: a run marked pseudo real time, for `rate` is."""
    asked = Experiment(
        "monthly",
        Target(("made/a", "made/b", "made/c"), GROWTH, season=12),
        Origins(Schedule("month_end", at=at), date(2011, 9, 30), zone=ZONE, latency=latency),
        (0, 1),
        datasets=("made",),
        training=Training(minimum=6, refit_every=2),
        features=MONTHLY_BLOCKS,
        models=(RIDGE, SCALED, CHOSEN, ENCODED, TREES, BANK),
        pseudo_real_time=True,
    )
    return completed(replace(asked, **more))  # type: ignore[arg-type]


FILE = """
schema = 1
name = "in_a_file"
datasets = ["made"]
[target]
series = ["gdp"]
transform = { log_growth = 1 }
[origins]
every = "quarter end"
first = 2011-09-30
[horizons]
steps = [0]
[training]
minimum = 2
[features.a]
series = "a"
transform = { log_growth = 1 }
latest = [1]
[models.ridge]
kind = "sklearn"
params = { estimator = "sklearn.linear_model.Ridge" }
"""
"""An experiment on this world as somebody would write it."""


def quarterly(**more: object) -> Experiment:
    """GDP growth at every quarter end, in the evening, from GDP itself and two monthly series: true vintages only."""
    asked = Experiment(
        "quarterly",
        Target(("made/gdp",), GROWTH, season=4),
        Origins(Schedule("quarter_end", at=time(21)), date(2011, 9, 30), zone=ZONE),
        (0, 1),
        datasets=("made",),
        training=Training(minimum=2),
        features=QUARTERLY_BLOCKS,
        models=(replace(RIDGE, features=("own", "a", "b")),),
    )
    return completed(replace(asked, **more))  # type: ignore[arg-type]


def made(root: Path) -> World:
    """Write the files and ingest them."""
    folder = root / "datasets" / "made"
    folder.mkdir(parents=True)
    (root / "experiments").mkdir()
    (folder / "dataset.toml").write_text(DECLARATION)
    _write(folder / "panel.csv", ("series", "period", "released", "value"), panel_rows())
    _write(folder / "rate.csv", ("period", "rate"), [(month(n), 2 + n % 7 / 10) for n in range(MONTHS)])
    _write(folder / "gdp.csv", ("period", "released", "value"), _gdp_rows())
    _write(folder / "issued.csv", ("source", "series", "issued_at", "period", "value"), _issued_rows())
    return World(root, ingested(root, Home(root / "home")))


def ingested(root: Path, home: Home) -> ChangeFile:
    """The archive state that the files give now."""
    archive = Archive.open(home.archive)
    ingest(root / "datasets" / "made", archive, raw_dir=home.raw)
    return ChangeFile.open(archive.export(home.changes))


def released(name: str, number: int) -> datetime:
    """When a month of the panel came out: `a` on an origin's day but later, `b` early and later on late, `c` last."""
    if name == "a":
        return datetime.combine(month(number + 1), time(16, 30))
    if name == "b":
        return datetime.combine(month(number) + timedelta(days=14 if number < 20 else 24), time(8, 30))
    return datetime.combine(month(number + 1) + timedelta(days=35), time(10))


def panel_rows() -> list[tuple[object, ...]]:
    """Every release states its month and revises the two before."""
    rows: list[tuple[object, ...]] = []
    for name in "abc":
        random = Random(f"panel {name}")
        levels = _levels(random, MONTHS)
        for number in range(MONTHS):
            for back in range(min(3, number + 1)):
                if (name, number - back) == NEVER_STATED:
                    continue
                # every other month stands unchanged in its second release
                revised = back == 2 or (back == 1 and number % 2 == 0)
                value = levels[number - back] * (1 + random.gauss(0, 0.002) * revised)
                rows.append((name, month(number - back), released(name, number).isoformat(), round(value, 3)))
    return rows


def _gdp_rows() -> list[tuple[object, ...]]:
    """Each quarter is stated on the last day of the next, and the quarter before revised: year ends, clock changes."""
    random = Random("gdp")
    levels = _levels(random, MONTHS // 3)
    return [
        (month(3 * (number - back) + 2), month(3 * number + 5), round(levels[number - back] * (1 + back * 0.001), 3))
        for number in range(MONTHS // 3)
        for back in range(min(2, number + 1))
    ]


def _issued_rows() -> list[tuple[object, ...]]:
    """On each month's last day, no time given, of that month and the next three."""
    random = Random("bank")
    return [
        ("bank", name, month(number), month(number + step), round(100 + random.gauss(0, 2), 2))
        for number in range(MONTHS)
        for name in "ab"
        for step in range(4)
    ]


def _levels(random: Random, count: int) -> list[float]:
    level, out = 100.0, []
    for _ in range(count):
        level *= 1 + random.gauss(0.004, 0.01)
        out.append(level)
    return out


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
