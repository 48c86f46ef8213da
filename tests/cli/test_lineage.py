"""From one forecast back to the published values, their batches and raw files; and from a run."""

from __future__ import annotations

import hashlib
import math
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.cli import main
from harness.data.archive import Archive
from harness.record.cells import Cell, read_cell, write_cell
from harness.record.home import Home
from tests.backtest.made_runs import MINE, exported, releases, run, small

Kept = tuple[Home, str]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def traced(whole: Kept) -> hs.Run:
    return hs.Run(whole[1], whole[0].root)


def growth(values: pl.DataFrame) -> float:
    new, old = values.sort("period", descending=True)["value"]
    return 100 * (math.log(new) - math.log(old))


def test_every_feature_is_made_of_values_public_by_the_origin_and_they_give_its_number(traced: hs.Run) -> None:
    found = traced.lineage("cpi", "2023-06-30", 1, model="gbm")
    features = dict(found.table("features").select("column", "value").rows())
    values = found.table("values").filter(pl.col("of") != "outcome")
    origin = found.facts["forecast"]["origin"]
    assert isinstance(origin, datetime)
    assert values["published_at"].max() <= origin  # type: ignore[operator]
    assert set(values["of"]) == set(features)
    for column in ("own.latest_1", "own.latest_2", "gdp.latest_1"):
        assert features[column] == pytest.approx(growth(values.filter(pl.col("of") == column)), abs=1e-9)
    newest = values.filter(pl.col("of") == "own.age")["published_at"].max()
    assert features["own.age"] == pytest.approx((origin - newest).total_seconds() / 86400)  # type: ignore[operator]
    again = found.table("features")
    assert (again["value"] - again["derived_again"]).abs().max() < 1e-9  # type: ignore[operator]
    archive = Archive.open(traced.files.folder.parents[1] / "archive.duckdb", read_only=True)
    known = archive.as_of(origin, ["uk_macro/cpi", "uk_macro/gdp"]).frame()
    same = values.join(known, on=["series_id", "period", "value", "published_at"], how="semi")
    assert same.height == values.height


def test_the_outcome_is_that_release_of_the_published_values(traced: hs.Run) -> None:
    found = traced.lineage("cpi", "2023-06-30", 1, model="gbm")
    outcome = found.table("values").filter(pl.col("of") == "outcome")
    assert found.facts["outcome"]["outcome"] == pytest.approx(growth(outcome), abs=1e-9)
    assert outcome["published_at"].max() <= found.facts["outcome"]["outcome_published_at"]  # type: ignore[operator]


def test_the_fit_says_when_and_on_what_it_was_made(traced: hs.Run) -> None:
    fit = traced.lineage("cpi", "2023-06-30", 1, model="gbm").facts["fit"]
    mine = (
        traced.origins().filter((pl.col("origin") == fit["refit_origin"]) & (pl.col("horizon") == 1)).row(0, named=True)
    )
    assert fit["matured_rows"] == mine["rows_real_time"] + mine["rows_pseudo"]
    assert fit["target_periods"] == mine["target_periods"]
    assert fit["fit_kept"] is True
    assert fit["last_label_published"] <= fit["refit_origin"]  # type: ignore[operator]
    assert fit["last_pseudo_origin"] < fit["refit_origin"]  # type: ignore[operator]
    assert f"{fit['matured_rows']} of release 1" == fit["label_releases"]


def test_values_lead_to_their_batch_and_to_the_raw_file_that_is_kept(traced: hs.Run) -> None:
    found = traced.lineage("cpi", "2023-06-30", 0, model="ar")
    assert found.table("values")["batch"].unique().to_list() == [1]
    assert set(found.table("values")["of"]) == {"history", "outcome"}
    batches = found.table("batches")
    dataset = Path(__file__).parents[2] / "datasets" / "uk_macro"
    for name, sha256, here in batches.select("raw_file", "raw_sha256", "raw_kept").rows():
        assert hashlib.sha256((dataset / name).read_bytes()).hexdigest() == sha256
        assert here
    assert batches["raw_file"].to_list() == ["changes.parquet", "publications.parquet"]


def test_an_external_leads_to_its_issue(traced: hs.Run) -> None:
    found = traced.lineage("cpi", "2023-06-30", 1, model="mpr")
    issue = found.table("issue")
    assert set(issue["source"]) == {"mpr"}
    assert issue["issued_at"].max() <= found.facts["forecast"]["origin"]  # type: ignore[operator]
    assert "forecasts.parquet" in found.table("batches")["raw_file"].to_list()
    assert "fit" not in found.facts


@pytest.mark.slow
@pytest.mark.parametrize(
    "origin",
    [
        "2023-06-30",
        date(2023, 6, 30),
        "2023-06",
        datetime(2023, 6, 30, 23, tzinfo=UTC),
        "2023-06-30 23:00",
        "2023-06-30T23:00:00Z",
    ],
)
@pytest.mark.parametrize("series", ["uk_macro/cpi", "cpi", "cp"])
def test_a_forecast_is_named_as_users_see_it(traced: hs.Run, series: str, origin: str | date | datetime) -> None:
    facts = traced.lineage(series, origin, 0, model="drift").facts
    assert facts["forecast"]["period"] == date(2023, 6, 30)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("gdp", "2023-06-30", 0, "ar"), "unknown series"),
        (("cpi", "2023-07-01", 0, "ar"), "unknown origin"),
        (("cpi", "2023", 0, "ar"), "several origins"),
        (("cpi", "2023-06-30", 7, "ar"), "unknown horizon"),
        (("cpi", "2023-06-30", 0, "arr"), "did you mean 'ar'"),
    ],
)
def test_what_the_run_does_not_have_is_refused_by_name(
    traced: hs.Run, asked: tuple[str, str, int, str], message: str
) -> None:
    with pytest.raises(hs.UserError) as caught:
        traced.lineage(*asked[:3], model=asked[3])
    assert message in str(caught.value)


def test_without_a_model_the_best_that_is_no_rival_is_followed(traced: hs.Run) -> None:
    best = traced.leaderboard().filter(~pl.col("is_rival") & (pl.col("horizon") == 0)).sort("rank")["model"][0]
    assert traced.lineage("cpi", "2023-06-30").facts["forecast"]["model"] == best


@pytest.mark.slow
def test_a_cell_that_is_not_the_recorded_one_is_said_to_be_so(kept: Kept) -> None:
    traced = hs.Run(kept[1], kept[0].root)
    key = traced.lineage("cpi", "2023-06-30", 0, model="ar").facts["cell"]["key"]
    cell = read_cell(kept[0].cells, str(key))
    assert cell is not None
    write_cell(kept[0].cells, str(key), Cell(cell.frame.with_columns(pl.col("value") + 1), cell.facts))
    assert "NOT" in str(traced.lineage("cpi", "2023-06-30", 0, model="ar").facts["cell"]["stored"])
    shutil.rmtree(kept[0].cells / str(key))
    assert traced.lineage("cpi", "2023-06-30", 0, model="ar").facts["cell"]["stored"] == "gone"


def test_the_commands_print_a_run_and_a_forecast(whole: Kept, capsys: Capture) -> None:
    home, run_id = whole
    assert main(["lineage", run_id, "--home", str(home.root)]) == 0
    printed = capsys.readouterr().out
    assert "changes.parquet" in printed
    assert "lightgbm" in printed
    assert (
        main(["lineage", run_id[:5], "--forecast", "cpi", "2023-06", "1", "--model", "gbm", "--home", str(home.root)])
        == 0
    )
    printed = capsys.readouterr().out
    for word in ("own.latest_1", "fit_key", "label_releases", "raw_sha256", "change_file"):
        assert word in printed
    assert main(["lineage", run_id, "--forecast", "cpi", "2023-06", "one", "--home", str(home.root)]) == 2
    assert main(["lineage", run_id, "--model", "gbm", "--home", str(home.root)]) == 2


def test_a_run_made_without_an_archive_says_what_cannot_be_told(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "made")
    made = run(small((MINE,), tmp_path), changes, tmp_path / "home")
    shutil.copytree(changes, tmp_path / "home" / "changes" / changes.name)
    traced = hs.Run(made.files.run_id, tmp_path / "home")
    assert "no batches" in traced.lineage().notes[0]
    origin = traced.forecasts()["origin"].max()
    found = traced.lineage("cpi", origin, 0, model="mine")  # type: ignore[arg-type]
    assert any("not told" in note for note in found.notes)
    assert found.table("values").height
    there = traced.lineage("cpi", origin, 0, model="mine", archive=Archive.open(tmp_path / "made" / "archive.duckdb"))  # type: ignore[arg-type]
    assert there.table("values")["batch"].unique().to_list() == [1]
