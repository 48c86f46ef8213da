"""The check `facts` passes honest worlds, fails rows that know too much, and warns of what is odd about the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.design import build_design
from harness.backtest.planning import build_plan
from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, FeatureBlock, Schedule
from harness.core.series import LagRule, Series
from harness.core.time import end_of_day, local_day, micros, period_ends
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.experiment.launch import prepare
from harness.record.home import Home
from harness.studies.facts import facts
from harness.studies.pinned import outcomes
from harness.studies.verdict import Check, Finding
from tests.backtest.made_runs import END, QUARTERS, exported, quarter, releases, small
from tests.conftest import ROOT

GROWTH = Transform("log_growth", 1)
BLOCKS = (
    FeatureBlock("own", transform=GROWTH, latest=(1, 2), lag=(1, 2), rolling_mean=(3,), age=True),
    FeatureBlock("gdp", series="gdp", transform=GROWTH, latest=(1,), lag=(1,)),
)
Adapt = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def asked(tmp_path: Path) -> Experiment:
    return replace(small((), tmp_path), features=BLOCKS)


@pytest.fixture
def changes(tmp_path: Path) -> ChangeFile:
    return ChangeFile.open(exported(releases(), tmp_path / "made"))


def world(folder: Path, adapt: Adapt, **declared: object) -> ChangeFile:
    """The made releases, adapted, in an archive whose gdp is declared otherwise."""
    archive = Archive.open(folder / "adapted.duckdb")
    archive.define(Series("cpi", "Q", zone="Europe/London"))
    archive.define(Series("gdp", "Q", zone="Europe/London", **declared))  # type: ignore[arg-type]
    archive.append(adapt(releases()).filter(pl.col("published_at") <= END), source="made", known_through=END)
    return ChangeFile.open(archive.export(folder / "adapted"))


def audited(asked: Experiment, changes: ChangeFile, **more: object) -> Check:
    plan = build_plan(asked, changes)
    return facts(plan, changes, build_design(plan, changes), **more)  # type: ignore[arg-type]


def of(check: Check, how: str) -> list[Finding]:
    return [finding for finding in check.findings if finding.how == how]


def test_an_honest_world_passes_and_says_what_its_data_were(asked: Experiment, changes: ChangeFile) -> None:
    check = audited(asked, changes)
    assert (check.verdict, check.findings) == ("pass", ())
    tables = dict(check.tables)
    assert tables["inputs"]["observed"].to_list() == [1.0, 1.0]
    assert tables["same_day"]["with_same_day"].to_list() == [0, 0]
    assert tables["stale"]["stale"].to_list() == [0, 0]
    assert tables["purged"].columns[2:] == [
        "used", "other phase", "not matured", "already public at its origin", "no outcome", "hindsight excluded",
        "no member at its origin",
    ]  # fmt: skip
    assert "none differs" in check.said


def test_a_column_shifted_by_one_release_fails(asked: Experiment, changes: ChangeFile) -> None:
    plan = build_plan(asked, changes)
    design = build_design(plan, changes)
    column = [name for block in BLOCKS for name in block.columns()].index("gdp.latest_1")
    design[:-1, :, :, column] = design[1:, :, :, column]
    check = facts(plan, changes, design)
    assert check.verdict == "fail"
    wrong = of(check, "feature row")
    assert {(finding.series_id, finding.column) for finding in wrong} == {("gdp", "gdp.latest_1")}
    assert wrong[0].origin in plan.instants
    assert wrong[0].expected != wrong[0].found


def test_a_join_on_period_instead_of_publication_fails(asked: Experiment, changes: ChangeFile) -> None:
    plan = build_plan(asked, changes)
    ends = period_ends(changes.series["cpi"].parsed, changes.period.astype(np.int64)).tolist()
    at = np.array([micros(end_of_day(end, "Europe/London")) for end in ends])
    order = np.lexsort((changes.published, at))
    columns = {name: getattr(changes, name)[order] for name in ("code", "period", "value", "vintage", "availability")}
    joined = replace(changes, published=at[order], **columns)
    check = facts(plan, changes, build_design(plan, joined))
    assert check.verdict == "fail"
    assert {finding.column.split(".")[0] for finding in of(check, "feature row")} == {"own", "gdp"}


def test_a_lag_counted_in_rows_on_a_ragged_panel_fails(
    asked: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = pl.col("series_id") == "gdp"
    ragged = world(
        tmp_path,
        lambda frame: frame.with_columns(
            published_at=pl.when(late).then(pl.col("published_at") + timedelta(days=70)).otherwise("published_at")
        ),
    )
    plan = build_plan(asked, ragged)
    assert facts(plan, ragged, build_design(plan, ragged)).verdict == "pass"

    def in_rows(source: object, positions: np.ndarray) -> np.ndarray:
        values = source.panel.values[source.rows]  # type: ignore[attr-defined]
        growth = 100 * np.diff(np.log(values), axis=1)
        known = [row[~np.isnan(row)] for row in growth]
        return np.array([[row[-k] if len(row) >= k else np.nan for k in (1, 2)[: len(positions)]] for row in known])

    monkeypatch.setattr("harness.forecast.features.values_at", in_rows)
    check = facts(plan, ragged, build_design(plan, ragged))
    assert check.verdict == "fail"
    assert "gdp.lag_1" in {finding.column for finding in check.findings}


def test_rows_refreshed_with_later_vintages_fail(asked: Experiment, changes: ChangeFile) -> None:
    plan = build_plan(asked, changes)
    final: dict[tuple[int, int], float] = {}
    for code, period, value in zip(changes.code.tolist(), changes.period.tolist(), changes.value.tolist(), strict=True):
        final[code, period] = value
    value = np.array([final[key] for key in zip(changes.code.tolist(), changes.period.tolist(), strict=True)])
    check = facts(plan, changes, build_design(plan, replace(changes, value=value)))
    assert check.verdict == "fail"


def test_forgotten_latency_fails(asked: Experiment, changes: ChangeFile) -> None:
    slow = replace(asked, origins=replace(asked.origins, latency=timedelta(days=60)))
    plan = build_plan(slow, changes)
    assert facts(plan, changes, build_design(plan, changes)).verdict == "pass"
    hasty = replace(plan.experiment, origins=replace(plan.experiment.origins, latency=timedelta(0)))
    check = facts(plan, changes, build_design(replace(plan, experiment=hasty), changes))
    assert check.verdict == "fail"


def copied(ahead: int) -> Adapt:
    """Nothing is revised, and gdp says what cpi says of `ahead` quarters later, on another base."""

    def adapt(frame: pl.DataFrame) -> pl.DataFrame:
        told = frame.filter((pl.col("series_id") == "cpi") & (pl.col("published_at") <= END)).sort("published_at")
        cpi = told.group_by("period", maintain_order=True).first().sort("period").select(frame.columns)
        moved = cpi.with_columns(series_id=pl.lit("gdp"), value=pl.col("value").shift(-ahead) * 3)
        return pl.concat([cpi, moved.drop_nulls()])

    return adapt


def test_a_copy_of_the_targets_future_is_named_as_such(asked: Experiment, tmp_path: Path) -> None:
    check = audited(asked, world(tmp_path, copied(2)))
    found = of(check, "near-copy of the target")
    assert [(finding.series_id, finding.row) for finding in found] == [("gdp", "cpi, 2 target periods ahead")]
    assert "FUTURE" in found[0].found
    # gdp of the last known quarter is cpi of the next but one: that is h = 1, and the newest known period is older
    assert {(finding.column, finding.row) for finding in of(check, "column knows the label")} == {
        ("gdp.latest_1", "cpi, h = 1"), ("gdp.lag_1", "cpi, h = 1")
    }  # fmt: skip


def test_a_copy_of_the_same_period_is_found_on_another_base(asked: Experiment, tmp_path: Path) -> None:
    found = of(audited(asked, world(tmp_path, copied(0))), "near-copy of the target")
    assert [finding.row for finding in found] == ["cpi, of the same period"]
    assert "FUTURE" not in found[0].found


def test_two_trending_levels_are_no_copies_of_each_other(asked: Experiment, changes: ChangeFile) -> None:
    levels = (FeatureBlock("own", latest=(1,)), FeatureBlock("gdp", series="gdp", latest=(1,)))
    trending = replace(asked, target=replace(asked.target, transform=Transform()), features=levels)
    check = audited(trending, changes)
    assert dict(check.tables)["closest_columns"]["correlation"][0] > 0.98
    assert check.findings == ()


def test_values_stated_before_their_period_ended_are_found(asked: Experiment, tmp_path: Path) -> None:
    odd = (pl.col("series_id") == "gdp") & pl.col("period").is_in([quarter(9), quarter(10)])
    early = world(
        tmp_path,
        lambda frame: pl.concat([
            frame,
            frame.filter(odd).sort("published_at").group_by("period", maintain_order=True).first()
            .with_columns(published_at=pl.col("published_at") - timedelta(days=60)).select(frame.columns),
        ]),
    )  # fmt: skip
    found = of(audited(asked, early), "public before its period ended")
    assert [(finding.series_id, finding.row, finding.cells) for finding in found] == [
        ("gdp", f"period {quarter(9)}", 2)
    ]


def test_a_survey_that_always_comes_early_is_not(asked: Experiment, tmp_path: Path) -> None:
    survey = world(
        tmp_path,
        lambda frame: frame.with_columns(
            published_at=pl.when(pl.col("series_id") == "gdp")
            .then(pl.col("published_at") - timedelta(days=50))
            .otherwise("published_at")
        ),
    )
    assert of(audited(asked, survey), "public before its period ended") == []


def test_a_rule_after_the_period_convicts_early_stamps_however_many(asked: Experiment, tmp_path: Path) -> None:
    always = world(
        tmp_path,
        lambda frame: frame.with_columns(
            published_at=pl.when(pl.col("series_id") == "gdp")
            .then(pl.col("published_at") - timedelta(days=50))
            .otherwise("published_at")
        ),
        lag=LagRule("calendar_days", n=30),
    )
    assert of(audited(replace(asked, pseudo_real_time=True), always), "public before its period ended")[0].cells > 20


def test_final_values_under_early_dates_look_never_revised(asked: Experiment, tmp_path: Path) -> None:
    def settled(frame: pl.DataFrame) -> pl.DataFrame:
        last = frame.sort("published_at").group_by("series_id", "period", maintain_order=True).last()
        frame = frame.join(last.select("series_id", "period", final="value"), on=["series_id", "period"])
        early = (pl.col("series_id") == "gdp") & (pl.col("period") <= quarter(11))
        return frame.with_columns(value=pl.when(early).then("final").otherwise("value")).drop("final")

    found = of(audited(asked, world(tmp_path, settled)), "never revised")
    assert [(finding.series_id, finding.cells) for finding in found] == [("gdp", 12)]


def test_a_missed_release_makes_an_input_stale(asked: Experiment, tmp_path: Path) -> None:
    missed = [datetime.combine(quarter(number) + timedelta(days=40), time(), UTC) for number in (20, 21)]
    gone = (pl.col("series_id") == "gdp") & pl.col("published_at").is_in(missed)
    found = of(audited(asked, world(tmp_path, lambda frame: frame.filter(~gone))), "stale input")
    assert [(finding.series_id, finding.cells) for finding in found] == [("gdp", 2)]
    assert found[0].origin is not None
    assert local_day(found[0].origin, "Europe/London") == quarter(21)


def test_a_part_restated_on_another_base_is_found_with_its_factor(asked: Experiment, tmp_path: Path) -> None:
    at = datetime.combine(quarter(15) + timedelta(days=40), time(), UTC)
    part = (pl.col("series_id") == "gdp") & (pl.col("published_at") >= at) & (pl.col("period") >= quarter(12))
    rebased = world(
        tmp_path,
        lambda frame: frame.with_columns(value=pl.when(part).then(pl.col("value") * 1.25).otherwise("value")),
    )
    assert of(audited(asked, rebased), "part restated on another base") == []  # three old periods are too few to tell
    wider = world(
        tmp_path / "wider",
        lambda frame: pl.concat([
            frame.filter(~((pl.col("series_id") == "gdp") & (pl.col("published_at") >= at))),
            *(
                frame.filter((pl.col("series_id") == "gdp") & (pl.col("period") <= quarter(15 + later)) & (
                    pl.col("period") >= quarter(8))).sort("published_at").group_by("period", maintain_order=True).last()
                .with_columns(value=pl.col("value") * 1.25, published_at=pl.lit(at + timedelta(days=91 * later)).cast(
                    pl.Datetime("us", "UTC"))).select(frame.columns)
                for later in range(QUARTERS - 17)
            ),
        ]),
    )  # fmt: skip
    found = of(audited(asked, wider), "part restated on another base")
    assert [(finding.series_id, finding.origin, finding.row) for finding in found] == [
        ("gdp", at, f"seam before period {quarter(8)}")
    ]
    assert "1.25" in found[0].found


def test_releases_on_the_origins_own_day_are_counted_before_at_and_after(asked: Experiment, tmp_path: Path) -> None:
    zone = "Europe/London"

    def near(frame: pl.DataFrame) -> pl.DataFrame:
        days = [local_day(at, zone) for at in frame["published_at"]]
        over = [end_of_day(date(day.year, day.month, 28), zone) for day in days]
        stamps = [
            at if name == "cpi" else at - timedelta(hours=3) for name, at in zip(frame["series_id"], over, strict=True)
        ]
        return frame.with_columns(published_at=pl.Series(stamps, dtype=pl.Datetime("us", "UTC")))

    schedule = Schedule("dates", dates=tuple(
        datetime.combine(date(year, month, 28), time(18), UTC) for year in (2009, 2010) for month in (2, 5, 8, 11)
    ))  # fmt: skip
    check = audited(
        replace(asked, origins=replace(asked.origins, every=schedule, first=date(2009, 2, 1))), world(tmp_path, near)
    )
    rows = {row["series_id"]: row for row in dict(check.tables)["same_day"].to_dicts()}
    assert (rows["cpi"]["after"], rows["cpi"]["date_only"], rows["cpi"]["before"]) == (8, 8, 0)
    assert (rows["gdp"]["after"], rows["gdp"]["date_only"]) == (8, 0)
    assert [finding.series_id for finding in of(check, "same day")] == ["cpi", "gdp"]


def test_further_warnings_are_asked_of_every_input(asked: Experiment, changes: ChangeFile) -> None:
    check = audited(asked, changes, more=[lambda _, name: "looks adjusted" if name == "gdp" else ""])
    assert [(finding.series_id, finding.found) for finding in of(check, "warning")] == [("gdp", "looks adjusted")]
    assert check.verdict == "pass"


def shipped(name: str, home: Home) -> tuple[Plan, ChangeFile]:
    ready = prepare(ROOT / "experiments" / f"{name}.toml", home)
    changes = ChangeFile.open(ready.changes)
    return build_plan(ready.experiment, changes), changes


@pytest.mark.slow
def test_the_shipped_national_accounts_pass_and_their_seam_is_found(home: Home) -> None:
    plan, changes = shipped("brazil_gdp", home)
    check = facts(plan, changes, build_design(plan, changes))
    assert (check.verdict, outcomes(plan, changes).verdict) == ("pass", "pass")
    seams = of(check, "part restated on another base")
    assert [(finding.series_id, finding.row) for finding in seams] == [
        (f"brazil_gdp/{name}", "seam before period 2011-03-31") for name in ("pib", "pib_industria", "pib_servicos")
    ]
    assert all("2015-03-06" in finding.found for finding in seams)
    assert {finding.how for finding in check.findings} == {"part restated on another base", "stale input", "same day"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uk_inflation", "sp500_volatility"])
def test_the_shipped_experiments_pass(home: Home, name: str) -> None:
    plan, changes = shipped(name, home)
    check = facts(plan, changes, build_design(plan, changes))
    assert (check.verdict, outcomes(plan, changes).verdict) == ("pass", "pass")
    assert {finding.how for finding in check.findings} == {"same day"}
