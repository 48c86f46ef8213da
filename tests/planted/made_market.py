"""A market in which everything is announced sometime: members come and go, split, pay and fail, one split is late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import polars as pl

from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.core.recipe import Experiment, FeatureBlock, Origins, Prices, Recipe, Schedule, Target, Training
from harness.core.time import EPOCH, NEVER, micros
from harness.core.transform import Transform
from harness.data.announced import EVENT_KINDS
from harness.data.archive import Archive
from harness.data.changes import ChangeFile, EventRows
from harness.data.ingest import ingest
from harness.experiment.models import completed
from harness.studies.pipeline import board_of
from harness.studies.scramble import Ground
from tests.data.price_samples import closes, day, events, market, members, night, stock

Told = tuple[str, str, int, float | None, int]
DAYS = 75
RETURN = Transform("return", 1)
STINTS = [
    ("alpha", 0, None, 0), ("beta", 0, None, 0), ("beta", 0, 52, 50), ("delta", 30, None, 28), ("fails", 0, None, 0),
    ("aaron", 60, None, 58), ("bought", 0, None, 0), ("bought", 0, 62, 61),
]  # fmt: skip
"""Beta leaves, delta and aaron (who trades from the 50th day) join; two end: one without a value, one with it."""
EVENTS: list[Told] = [
    ("alpha", "split", 20, 2.0, 18), ("alpha", "split", 62, 3.0, 53), ("alpha", "dividend", 55, 0.5, 44),
    ("beta", "dividend", 35, 1.0, 30), ("delta", "split", 45, 2.0, 52), ("fails", "delisting", 65, None, 64),
    ("bought", "delisting", 59, 44.0, 56),
]  # fmt: skip
"""Delta's split is announced a week after its ex-date."""
RIDGE = Recipe("ridge", "sklearn", (("estimator", "sklearn.linear_model.Ridge"),), ("own",))
OWN = FeatureBlock(
    "own", transform=RETURN, latest=(1, 2), rolling_mean=(8,), log_growth=(2,), age=True, calendar=("weekday",)
)


def quotes(name: str) -> list[float | None]:
    """Closes as they were quoted: a walk that falls at every split, and ends at a delisting."""
    random, price, found = Random(name), 50.0, []
    mine = {ex: (kind, value) for who, kind, ex, value, _ in EVENTS if who == name}
    for number in range(DAYS):
        kind, value = mine.get(number, ("", None))
        if kind == "delisting":
            return [*found, *[None] * (DAYS - number)]
        price /= value if kind == "split" and value else 1.0
        price *= 1 + random.gauss(0.0, 0.02)
        found.append(round(price, 2))
    return found


def stock_exchange(folder: Path) -> Archive:
    """The archive of all of it."""
    made = {name: quotes(name) for name in ("alpha", "beta", "bought", "delta", "fails")}
    archive = market(folder, made, known_through=DAYS)
    archive.define(stock("aaron"))
    young = quotes("aaron")[50:]
    archive.append(closes({"aaron": young}, first=50), source="exchange", known_through=night(DAYS))
    archive.append_members(members(*STINTS), source="index")
    archive.append_events(events(*EVENTS), source="exchange")
    return archive


DATASET = """
schema = 1
name = "shares"
origin = "test"
licence = "none needed"

[defaults]
frequency = "D"
zone = "UTC"
lag = { kind = "calendar_days", n = 0 }

[series.alpha]
[series.beta]
[series.bought]
[series.delta]
[series.fails]

[[source]]
file = "closes.csv"

[[events]]
file = "events.csv"
decimal_mark = ","
delimiter = ";"
date_format = "%d.%m.%Y"

[[members]]
file = "members.csv"
columns = { to = "to" }
"""


def in_files(root: Path) -> ChangeFile:
    """The same market (aaron apart) as a dataset under `root`, ingested: announcements there are days."""
    folder = root / "datasets" / "shares"
    folder.mkdir(parents=True)
    (root / "experiments").mkdir()
    (folder / "dataset.toml").write_text(DATASET, encoding="utf-8")
    closes = ["series,period,value"]
    for name in ("alpha", "beta", "bought", "delta", "fails"):
        closes += [f"{name},{day(at)},{value}" for at, value in enumerate(quotes(name)) if value is not None]
    told = ["series;kind;ex_date;value;announced_at"]
    for name, kind, ex, value, at in EVENTS:
        amount = "" if value is None else str(value).replace(".", ",")
        told.append(f"{name};{kind};{day(ex):%d.%m.%Y};{amount};{day(at):%d.%m.%Y}")
    named = ["universe,series,from,to,announced_at"]
    for name, first, last, at in STINTS:
        if name != "aaron":
            named.append(f"big,{name},{day(first)},{'' if last is None else day(last)},{day(at)}")
    for file, lines in (("closes", closes), ("events", told), ("members", named)):
        (folder / f"{file}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    archive = Archive.open(root / "archive.duckdb")
    ingest(folder, archive, raw_dir=root / "raw")
    return exported(archive)


def exported(archive: Archive) -> ChangeFile:
    """The archive's view."""
    return ChangeFile.open(archive.export(archive.path.parent / "changes"))


def question(prices: Prices = "price", **more: object) -> Experiment:
    """Weekly forecasts of the members' daily returns."""
    made = Experiment(
        "made",
        Target((), RETURN, universe="big", prices=prices),
        Origins(Schedule("weekday", weekday=4), day(40), zone="UTC"),
        (1, 2),
        training=Training(minimum=3),
        features=(OWN,),
        models=(RIDGE,),
    )
    return with_rivals(completed(replace(made, **more)))  # type: ignore[arg-type]


def question_of_files(root: Path, prices: Prices = "price") -> Experiment:
    """The same question to the dataset."""
    return question(prices, datasets=("shares",), folder=str(root / "experiments"), pseudo_real_time=True)


NAMES = ("last_value", "ridge")


def ground_of(changes: ChangeFile, experiment: Experiment) -> Ground:
    """The plan, with the last value and the ridge."""
    plan = build_plan(experiment, changes)
    return Ground(plan, changes, tuple(one for one in board_of(plan.experiment) if one[0].name in NAMES))


def with_history(base: ChangeFile, prices: Sequence[float | None], told: Sequence[Told]) -> ChangeFile:
    """An archive view that says this of its first series alone: closes from the first day on, and events."""
    there = [number for number, value in enumerate(prices) if value is not None]
    published = np.array([micros(night(number)) for number in there], dtype=np.int64)
    rows = sorted(told, key=lambda one: one[4])
    return replace(
        base,
        code=np.zeros(len(there), dtype=np.int32),
        period=np.array([(day(number) - EPOCH).days for number in there], dtype=np.int64),
        published=published,
        vintage=published,
        value=np.array([prices[number] for number in there], dtype=np.float64),
        availability=np.zeros(len(there), dtype=np.int8),
        events=EventRows(
            code=np.zeros(len(rows), dtype=np.int32),
            ex=np.array([(day(one[2]) - EPOCH).days for one in rows], dtype=np.int64),
            announced=np.array([micros(night(one[4])) for one in rows], dtype=np.int64),
            kind=np.array([EVENT_KINDS.index(one[1]) for one in rows], dtype=np.int8),
            value=np.array([one[3] for one in rows], dtype=np.float64),
        ),
    )


def with_members(base: ChangeFile, stints: Sequence[tuple[str, int, int | None, int]]) -> ChangeFile:
    """An archive view with these memberships of the universe alone."""
    rows = [
        ("big", base.codes[name], (day(first) - EPOCH).days, NEVER if last is None else (day(last) - EPOCH).days,
         micros(night(announced)))
        for name, first, last, announced in stints
    ]  # fmt: skip
    told = pl.DataFrame(rows, schema=base.members.schema, orient="row")
    return replace(base, members=told.sort("announced", "universe", "code", "first"))
