"""Inputs that know the target too early, planted in the data themselves, and honest ones that look like them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from statistics import fmean

import polars as pl
import pytest

from harness.backtest.design import build_design
from harness.backtest.planning import build_plan
from harness.core.recipe import Experiment, FeatureBlock, Origins, OutcomeRule, Recipe, Schedule, Target, Training
from harness.core.series import LagRule, Series
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.studies.facts import facts
from harness.studies.verdict import Check, Finding
from tests.planted.made_worlds import SCHEMA

MONTHS = 120
COPY, KNOWS, EARLY = "near-copy of the target", "column knows the label", "public before its period ended"
ENDS = [date(2010 + n // 12, n % 12 + 1, 1) - timedelta(days=1) for n in range(1, MONTHS + 1)]
KNOWN = datetime(2020, 3, 1, tzinfo=UTC)
READ = FeatureBlock("read", series="driver", latest=(1, 2, 3))
Row = tuple[str, date, datetime, float]


def level(number: int) -> float:
    """Sales: an autoregression on what drove them a month before, a season, and what nobody knew."""
    return LEVELS[number]


def driver(number: int) -> float:
    """Out two weeks after its month: it moves the next month's sales."""
    return DRIVERS[number]


def _made() -> tuple[list[float], list[float]]:
    random = Random(11)
    drivers, levels, was = [0.0], [100.0], 0.0
    for number in range(1, MONTHS + 2):
        drivers.append(0.7 * drivers[-1] + random.gauss(0, 1))
        was = 0.5 * was + 2 * drivers[-2] + 0.5 * random.gauss(0, 1)
        levels.append(100.0 + was + 4 * (number % 12 == 11))
    return levels, drivers


LEVELS, DRIVERS = _made()


def told(name: str, value: dict[int, float], days: float) -> list[Row]:
    """One series, each month's value out so many days after its end."""
    noon = time(12)
    return [
        (name, ENDS[number], datetime.combine(ENDS[number], noon, UTC) + timedelta(days=days), one)
        for number, one in value.items()
        if number < MONTHS
    ]


def rows() -> list[Row]:
    """Sales are out 40 days after their month, and revised a month later; inputs as their names say."""
    random = Random(12)
    all_months = range(MONTHS)
    first = {n: level(n) + random.gauss(0, 0.2) for n in range(MONTHS + 1)}
    return [
        *told("sales", first, 40),
        *told("sales", {n: level(n) for n in all_months}, 70),
        *told("same", first, 0),
        *told("scaled", {n: 3 - 0.5 * first[n] for n in all_months}, 0),
        *told("ahead", {n: first[n + 1] for n in all_months}, 0),
        *told("noisy", {n: 3 + 0.5 * first[n + 1] + random.gauss(0, 0.05) for n in all_months}, 0),
        *told("steps", {n: first[n + 1] - first[n] for n in all_months}, 0),
        *told("final_steps", {n: level(n + 1) - level(n) for n in all_months}, 0),
        *told("centred", {n: fmean(level(max(0, min(m, MONTHS))) for m in range(n - 2, n + 3)) for n in all_months}, 0),
        *told("trailing", {n: fmean(level(max(0, m)) for m in range(n - 4, n + 1)) for n in all_months}, 70),
        *told("far", {n: level(min(n + 6, MONTHS)) for n in all_months}, 0),
        *told("cubed", {n: (level(n + 1) - 100) ** 3 for n in all_months}, 0),
        *told("driver", {n: driver(n) for n in all_months}, 15),
        *told("early", {n: driver(n) for n in all_months}, -25),
        *told("ruled", {n: driver(n) for n in all_months}, -25),
        *told("survey", {n: driver(n) for n in all_months}, -9),
        *told("measured", {n: first[n] + random.gauss(0, 0.3) for n in all_months}, 0),
        *told("season", {n: float((n + 1) % 12 == 11) for n in all_months}, 0),
        *told("strong", {n: first[n + 1] + random.gauss(0, 0.7) for n in all_months}, 0),
    ]


def issued() -> pl.DataFrame:
    """Forecasts of this month and the next, issued at noon of every month's last day.

    The seer is handed final values; the insider those of months that have begun; the expert is very good.
    """
    random = Random(13)
    rows = []
    for number in range(40, MONTHS - 1):
        at = datetime.combine(ENDS[number], time(12), UTC)
        for ahead in (0, 1):
            truth, period = level(number + ahead), ENDS[number + ahead]
            rows += [
                ("seer", "sales", at, period, truth + random.gauss(0, 0.02)),
                ("insider", "sales", at, period, truth if ahead == 0 else level(number)),
                ("expert", "sales", at, period, truth + random.gauss(0, 0.7)),
            ]
    columns = {"source": pl.String, "series_id": pl.String, "issued_at": pl.Datetime("us", "UTC"), "period": pl.Date}
    frame = pl.DataFrame(rows, schema={**columns, "value": pl.Float64}, orient="row")
    return frame.with_columns(quantile=pl.lit(None, dtype=pl.Float64))


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    folder = tmp_path_factory.mktemp("knowing")
    archive = Archive.open(folder / "archive.duckdb")
    frame = pl.DataFrame(rows(), schema=SCHEMA, orient="row").filter(pl.col("published_at") <= KNOWN)
    for name in frame["series_id"].unique().sort():
        lag = LagRule("calendar_days", n=-26) if name == "ruled" else None
        archive.define(Series(name, "M", zone="UTC", lag=lag))
    archive.append(frame, source="made", known_through=KNOWN)
    archive.append_forecasts(issued())
    return ChangeFile.open(archive.export(folder / "changes"))


def checked(
    changes: ChangeFile,
    *blocks: FeatureBlock,
    rule: OutcomeRule = OutcomeRule(),  # noqa: B008
    models: tuple[Recipe, ...] = (),
) -> Check:
    asked = Experiment(
        "made",
        Target(("sales",), outcome=rule, season=12),
        Origins(Schedule("month_end"), date(2015, 1, 31), zone="UTC"),
        (0, 1),
        training=Training(minimum=12),
        features=(FeatureBlock("own", latest=(1, 2)), *blocks),
        models=models,
    )
    plan = build_plan(asked, changes)
    return facts(plan, changes, build_design(plan, changes), rows=2)


def of(check: Check, how: str) -> list[Finding]:
    return [finding for finding in check.findings if finding.how == how]


@pytest.mark.parametrize("name", ["same", "scaled"])
def test_a_copy_of_the_first_release_is_named_where_that_is_the_outcome(changes: ChangeFile, name: str) -> None:
    check = checked(changes, replace(READ, series=name))
    (found,) = of(check, COPY)
    assert (found.series_id, found.row) == (name, "sales, of the same period")
    assert found.found.startswith("the target's outcomes: correlation ")
    assert "1.000000, 100% on one line" in found.found
    # the outcome that is pinned later is another number
    assert of(checked(changes, replace(READ, series=name), rule=OutcomeRule("after", 90)), COPY) == []


def test_a_copy_of_the_next_first_release_states_the_future(changes: ChangeFile) -> None:
    check = checked(changes, replace(READ, series="ahead"), FeatureBlock("fixed", series="ahead", lag=(0, 1)))
    assert [(one.row, "FUTURE" in one.found) for one in of(check, COPY)] == [("sales, 1 target period ahead", True)]
    # at h = 0 it is the second newest value that ends before the target month and is its outcome
    assert [(one.row, one.column) for one in of(check, KNOWS)] == [
        ("sales, h = 0", "read.latest_2"), ("sales, h = 0", "fixed.lag_1"),
        ("sales, h = 1", "read.latest_1"), ("sales, h = 1", "fixed.lag_0"),
    ]  # fmt: skip
    closest = dict(check.tables)["closest_columns"].filter(column="read.latest_2", horizon=0).row(0, named=True)
    assert closest["correlation"] > 0.9999
    assert closest["rows"] > 100


def test_an_input_that_leaves_next_to_nothing_of_the_error_is_named_with_noise_on_it(changes: ChangeFile) -> None:
    check = checked(changes, replace(READ, series="noisy"))
    found = of(check, KNOWS)
    assert [(one.row, one.column) for one in found] == [
        ("sales, h = 0", "read.latest_2"), ("sales, h = 1", "read.latest_1")
    ]  # fmt: skip
    assert all(one.found.startswith("leaves ") and len(one.found) <= 90 for one in found)  # not cut when printed
    # the rows of the regression, which asks for the same season a year before: fewer than those that correlate
    correlated = dict(check.tables)["closest_columns"].filter(column="read.latest_2", horizon=0)["rows"].item()
    assert found[0].cells < correlated
    assert found[0].found.split("; ")[0].endswith(f", {found[0].cells} rows")


def test_columns_that_know_the_label_together_only_are_named_together(changes: ChangeFile) -> None:
    found = of(checked(changes, replace(READ, series="steps")), KNOWS)
    assert [(one.row, one.column) for one in found] == [
        ("sales, h = 0", "read: 2 columns"), ("sales, h = 1", "read: 3 columns")
    ]  # fmt: skip


def test_what_is_made_of_final_values_to_come_is_named_though_the_label_is_an_early_release(
    changes: ChangeFile,
) -> None:
    found = of(checked(changes, replace(READ, series="final_steps")), KNOWS)
    assert [(one.row, one.column) for one in found] == [
        ("sales, h = 0", "read: 2 columns"), ("sales, h = 1", "read: 3 columns")
    ]  # fmt: skip
    assert all(" of the final values, " in one.found and len(one.found) <= 90 for one in found)


def test_an_average_centred_on_its_month_is_named_by_the_long_past_of_the_target(changes: ChangeFile) -> None:
    found = of(checked(changes, replace(READ, series="centred", latest=(1, 2, 3, 4))), KNOWS)
    assert [(one.row, one.column) for one in found] == [
        ("sales, h = 0", "read: 3 columns"), ("sales, h = 1", "read: 4 columns")
    ]  # fmt: skip


def test_a_copy_of_what_comes_long_after_the_horizons_is_named(changes: ChangeFile) -> None:
    check = checked(changes, replace(READ, series="far", latest=(1,)))
    assert [(one.row, "FUTURE" in one.found) for one in of(check, COPY)] == [("sales, 6 target periods ahead", True)]


def test_a_copy_bent_out_of_line_is_named_by_its_order(changes: ChangeFile) -> None:
    (found,) = of(checked(changes, replace(READ, series="cubed")), COPY)
    assert found.row == "sales, 1 target period ahead"
    assert found.found.startswith("the target's FUTURE final values: correlation of ranks 0.9999")


def test_external_forecasts_of_a_month_to_come_that_hardly_err_are_named(changes: ChangeFile) -> None:
    sources = ("seer", "insider", "expert")
    check = checked(changes, models=tuple(Recipe(f"of_{name}", "external", source=name) for name in sources))
    (found,) = of(check, "forecast knows the outcome")
    assert (found.model, found.place, found.series_id, found.row) == ("of_seer", "seer", "sales", "h = 1")
    assert "of the final values, " in found.found


def test_values_that_always_come_out_as_their_period_begins_are_named(changes: ChangeFile) -> None:
    (found,) = of(checked(changes, replace(READ, series="early")), EARLY)
    assert (found.series_id, found.row, found.cells) == ("early", "period 2010-01-31", MONTHS)
    assert "25.5 days before their end (median)" in found.found


def test_honest_inputs_are_not_named(changes: ChangeFile) -> None:
    names = ("driver", "survey", "ruled", "measured", "season", "strong", "trailing")
    check = checked(changes, *(replace(READ, name=name, series=name) for name in names))
    assert [one for how in (COPY, KNOWS, EARLY) for one in of(check, how)] == []
    # the strongest of them takes three quarters off the error
    left = dict(check.tables)["closest_columns"].filter(column="strong.latest_1", horizon=1)["error_left"][0]
    assert 0.12 < left < 0.3


def test_what_is_declared_as_known_ahead_is_not_named(changes: ChangeFile) -> None:
    check = checked(changes, FeatureBlock("read", series="early", known_ahead=(0,)))
    assert of(check, EARLY) == []
