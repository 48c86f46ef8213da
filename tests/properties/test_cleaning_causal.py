"""S21: what is cleaned and set aside up to an instant is the same whether later publications are there or not."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest

from harness.core.series import LagRule, Series
from harness.core.time import end_of_day, micros
from harness.data.assertions import rules
from harness.data.assertions.asking import ask_values
from harness.data.assertions.judged import Held
from harness.data.assertions.rules import SEVERITIES, Assertion, Check
from harness.data.cleaning.notes import Notes
from harness.data.cleaning.steps import Deduplicate, Fill, Outliers, Scale, Step
from harness.data.cleaning.values import Setting, cleaned

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")
SERIES = {
    f"made/{name}": Series(f"made/{name}", "D", zone="Europe/London", lag=LagRule("calendar_days", n=1))
    for name in NAMES
}
SETTING = Setting(SERIES, Path(), dated=True)
FAR = 4_102_444_800_000_000
STEPS: tuple[Step, ...] = (
    Scale("scale", NAMES, factor=2.0, since=date(2020, 2, 1)),
    Deduplicate("deduplicate", ("a",), "last"),
    Fill("fill", NAMES, ""),
    Outliers("outliers", ("a",), k=4.0, window=9, minimum=3),
    Outliers("clip", ("b",), most=90.0, k=3.0, window=9, minimum=3, action="clip"),
)
CHECKS: tuple[Check, ...] = (
    rules.Range(-5.0, 200.0),
    rules.Unique(),
    rules.Published(),
    rules.Sessions(),
    rules.Monotone(),
    rules.Gap(1),
    rules.Stale(1),
    rules.Stuck(2),
    rules.Revision(1.5, 3),
    rules.Jump(2.0, signs=True),
    rules.Identity("a", (("b", 1), ("c", -1)), 60.0),
)


def history(random: Random) -> pl.DataFrame:
    """Days of three series, with revisions, late first values, repeats and wild values, in the order of a file."""
    rows = []
    for number in range(60):
        day = date(2020, 1, 6) + timedelta(days=number)
        if day.weekday() >= 5 and random.random() < 0.8:
            continue
        for name in NAMES:
            told = day + timedelta(days=random.choice((0, 0, 0, 1, 4)) - (random.random() < 0.05))
            for _ in range(random.choice((1, 1, 2, 3))):
                value = float(random.choice((random.randint(20, 30), 25, random.randint(-300, 300))))
                rows += [(f"made/{name}", day, micros(end_of_day(told, "Europe/London")), value)] * random.choice(
                    (1, 1, 1, 2)
                )
                told += timedelta(days=random.randint(0, 9))
    random.shuffle(rows)
    frame = pl.DataFrame(rows, schema=["series_id", "period", "published", "value"], orient="row")
    instant = pl.col("published").cast(pl.Datetime("us", "UTC"))
    return frame.with_row_index("line").with_columns(
        pl.col("line").cast(pl.Int64),
        published_at=instant,
        availability=pl.lit("observed"),
        value_known_at=instant,
    )


def made_of(
    rows: pl.DataFrame, steps: tuple[Step, ...], asserted: tuple[Assertion, ...], cut: int
) -> list[pl.DataFrame]:
    """Values and record up to an instant."""
    notes = Notes()
    kept = ask_values(cleaned(rows, steps, SETTING, notes), asserted, SETTING, Held(now=FAR), notes)
    done = notes.done()
    last = pl.lit(str(pl.Series([cut]).cast(pl.Datetime("us", "UTC")).dt.strftime("%Y-%m-%dT%H:%M:%S")[0]))
    # that a series stopped is said of all that is known at the ingest, takes no row away, and ends with the next value
    tables = {**done.tables, "failures": done.tables["failures"].filter(~pl.col("reason").str.contains("overdue"))}
    said = [tables[name].filter(pl.col("published").str.head(19) <= last) for name in ("touched", "failures")]
    values = kept.filter(pl.col("published") <= cut)
    return [frame.sort(pl.all()) for frame in (values, *said, done.uncaptured.filter(pl.col("published") <= cut))]


def assert_causal(rows: pl.DataFrame, steps: tuple[Step, ...], asserted: tuple[Assertion, ...], random: Random) -> int:
    found = 0
    for cut in random.sample(rows["published"].unique().to_list(), 4):
        whole = made_of(rows, steps, asserted, cut)
        early = made_of(rows.filter(pl.col("published") <= cut), steps, asserted, cut)
        for one, other in zip(whole, early, strict=True):
            assert one.equals(other)
        found += whole[1].height + whole[2].height
    return found


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_sees_nothing_later(step: Step) -> None:
    seen = sum(assert_causal(history(Random(seed)), (step,), (), Random(seed)) for seed in range(6))
    assert seen


@pytest.mark.parametrize(
    "severity", [SEVERITIES[1], *(pytest.param(one, marks=pytest.mark.slow) for one in SEVERITIES[2:])]
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: type(check).__name__)
def test_a_check_sees_nothing_later(check: Check, severity: rules.Severity) -> None:
    asserted = (Assertion("asked", check, NAMES, severity),)
    seen = sum(assert_causal(history(Random(seed)), (), asserted, Random(seed)) for seed in range(6))
    assert seen


@pytest.mark.slow
def test_all_together_see_nothing_later() -> None:
    asserted = tuple(Assertion(f"check {place}", check, NAMES, "set aside") for place, check in enumerate(CHECKS))
    for seed in range(8):
        assert_causal(history(Random(seed)), STEPS, asserted, Random(seed))
