"""A run of very many series stores no row per forecast: what is made from its cells is what a small run stores."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import harness.backtest.assemble as room
from harness import cli
from harness.backtest import tidy
from harness.backtest.panel_scores import seen_of
from harness.backtest.scales import scales_of
from harness.backtest.statuses import counts_of
from harness.core.errors import MissingTableError, UnknownNameError, UserError
from harness.core.recipe import Recipe, Target
from harness.core.transform import Transform
from harness.data.archive.sql import ask
from harness.record.home import Home
from harness.record.runs import read_table
from harness.report import data_lines
from harness.report.board import unanswered
from harness.report.run import Run
from harness.report.summary import summary
from harness.score.power import seen_differences
from harness.studies.derived import Derived
from tests.backtest.made_runs import AR, MINE, exported, releases, run, small

ORDER = ["model", "origin", "series_id", "horizon"]
NAMES = ("cpi", "gdp", "pay")
TARGET = Target(NAMES, Transform("log_growth", 1), season=4)
BREAKS = Recipe("breaks", "own_models:Newest", (("fail_after", "2010"), ("scale", 0.5)), ("own",), fallback="ar")


@dataclass(frozen=True)
class Both:
    """The same run with its tables stored, and without."""

    stored: Run
    large: Run


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("many")
    changes = exported(releases(names=NAMES), folder)
    asked = replace(small((AR, MINE, BREAKS), folder), target=TARGET)
    stored = run(asked, changes, folder / "stored")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "TIDY_ROWS", 5)
        patched.setattr(room, "SCORE_ROWS", 5)
        large = run(asked, changes, folder / "large")
        for home in ("stored", "large"):
            (folder / home / "changes").symlink_to(changes.parent)
        patched.setattr(tidy, "PART_ROWS", 40)  # a series at a time
        yield Both(Run(stored.files.run_id, Home(folder / "stored")), Run(large.files.run_id, Home(folder / "large")))


@pytest.mark.slow
def test_it_stores_no_row_per_forecast_or_series(both: Both) -> None:
    assert not both.large.stores("forecasts")
    assert both.large.scores()["series_id"].count() == 0
    with pytest.raises(MissingTableError, match="harness export"):
        read_table(both.large.files, "errors")


def test_what_is_made_from_the_cells_is_what_a_small_run_stores(both: Both) -> None:
    parts = list(both.large.derived.tidy())
    assert len(parts) == len(NAMES)
    for name in ("forecasts", "errors"):
        stored, made = getattr(both.stored, name)(), getattr(both.large, name)()
        assert_frame_equal(made.sort(ORDER), stored.sort(ORDER), check_exact=True)
        some, same = (getattr(one, name)(["pay", "cpi"]) for one in (both.large, both.stored))
        assert_frame_equal(some.sort(ORDER), same.sort(ORDER), check_exact=True)
        assert some["series_id"].n_unique() == 2
        one = getattr(both.large, name)("gdp")
        assert_frame_equal(one, stored.filter(pl.col("series_id") == "gdp"), check_exact=True)


@pytest.mark.parametrize("name", ["scores", "common_sample"])
def test_scores_by_series_are_those_a_small_run_stores(both: Both, name: str) -> None:
    stored = getattr(both.stored, name)()
    assert stored["series_id"].count() > 0
    assert_frame_equal(getattr(both.large, name)(by_series=True), stored, check_exact=True)
    assert_frame_equal(getattr(both.large, name)(), stored.filter(pl.col("series_id").is_null()), check_exact=True)


def test_what_a_holdout_plan_expects_does_not_depend_on_how_it_is_added_up(both: Both) -> None:
    found = both.stored.derived
    plan, changes, cells = found.plan, found.run.changes, found.cells()
    spec = room.score_spec(plan, changes)
    panel = room.panel_of(plan, changes, cells, scales_of(plan, changes))
    for model in ("mine", "breaks", "drift"):
        plain = seen_differences(tidy.score_rows(plan, changes, cells).rows, spec, model)
        dense = seen_of(panel, spec, model)
        assert [(one.horizon, one.rival, one.bandwidth) for one in dense] == [
            (one.horizon, one.rival, one.bandwidth) for one in plain
        ]
        for one, other in zip(dense, plain, strict=True):
            assert (one.value, one.rival_value) == (other.value, other.rival_value)
            assert one.difference.tolist() == other.difference.tolist()


def test_an_unknown_series_is_refused(both: Both) -> None:
    for one in (both.stored, both.large):
        with pytest.raises(UnknownNameError, match="unknown series of this run: 'cpy'"):
            one.errors(["cpy"])


def test_kinds_of_answers_are_counted_in_the_cells_as_in_the_rows(both: Both) -> None:
    counted = counts_of(both.stored.forecasts())
    assert set(counted["status"]) >= {"ok", "fallback"}
    assert_frame_equal(both.stored.statuses(), counted, check_exact=True)
    assert_frame_equal(both.large.statuses(), counted, check_exact=True)
    assert unanswered(counted)["cells"].sum() > 0


@pytest.mark.slow
def test_it_is_shown_like_a_small_run(both: Both) -> None:
    def shown(one: Run) -> list[str]:
        return [line for line in summary(one).splitlines() if not line.startswith(("time", "memory", "files"))]

    assert shown(both.large) == shown(both.stored)
    assert both.large.model_card("breaks").split("## ")[1:4] == both.stored.model_card("breaks").split("## ")[1:4]
    page = both.large.report().read_text()
    assert page.count("<svg") == 2 * len(NAMES)
    assert "too many series to be drawn" in page
    assert "harness export" in page


def test_a_forecast_is_traced_through_its_cell(both: Both) -> None:
    origin = both.stored.forecasts()["origin"].max()
    traced = [one.lineage("gdp", origin, 1, model="mine") for one in (both.large, both.stored)]
    assert traced[0].facts["forecast"] == traced[1].facts["forecast"]
    assert traced[0].facts["outcome"] == traced[1].facts["outcome"]
    assert traced[0].table("values").equals(traced[1].table("values"))


def test_a_question_is_told_which_runs_are_not_in_a_view(both: Both) -> None:
    with pytest.raises(MissingTableError, match="harness export"):
        ask(both.large.home, "SELECT count(*) FROM errors")
    assert ask(both.large.home, "SELECT count(*) FROM statuses").frame.item() > 0


def test_the_export_is_what_a_small_run_stores(both: Both, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(both.large.home.root)
    assert cli.main(["export", both.large.id, "--to", str(tmp_path / "out"), "--home", home]) == 0
    assert "forecasts.parquet" in capsys.readouterr().out
    both.stored.export(tmp_path / "stored")
    for name, by in [("forecasts", ORDER), ("errors", ORDER), *((one, []) for one in ("scores", "common_sample"))]:
        made, stored = (pl.read_parquet(tmp_path / folder / f"{name}.parquet") for folder in ("out", "stored"))
        keys = by or ["model", "horizon", "series_id", "stretch"]
        assert_frame_equal(made.sort(keys), stored.sort(keys), check_exact=True)
        table = getattr(both.stored, name)()
        assert_frame_equal(stored, table, check_exact=True)
    assert not list((tmp_path / "out").glob(".tmp*"))


def test_a_cell_that_is_gone_or_another_is_told(both: Both) -> None:
    cells = both.large.home.cells
    keys = both.large.manifest["cells"]
    assert isinstance(keys, dict)
    here, away = cells / keys["ar"][0], cells / "elsewhere"
    here.rename(away)
    try:
        with pytest.raises(UserError, match="a cell of the run is gone"):
            both.large.errors("cpi")
        page = both.large.report().read_text()
        assert "No forecasts are drawn" in page
        assert "<svg" not in page
    finally:
        away.rename(here)
    sums = dict(both.large.manifest)
    sums["cell_checksums"] = {name: ["0" * 64] * len(mine) for name, mine in keys.items()}
    fresh = Run(both.large.id, both.large.home)
    fresh.__dict__["derived"] = Derived(replace(fresh.derived.run, manifest=sums))
    with pytest.raises(UserError, match="not the one the run recorded"):
        fresh.errors("cpi")


def test_inputs_that_are_alike_share_a_line_where_they_are_many(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = both.large.inputs()
    assert len(data_lines.data_rows(inputs)[1]) == len(NAMES)
    monkeypatch.setattr(data_lines, "MANY", 2)
    (row,) = data_lines.data_rows(inputs)[1]
    assert row[0] == "3 series (cpi to pay)"
    other = inputs.with_columns(
        pl.Series("unit", ["a", "b", "c"]), pl.Series("observed", [0.5, 0.25, 1.0]), pl.Series("lag", ["x", "y", "z"])
    )
    rows = data_lines.data_rows(other)[1]
    assert len(rows) == 3
    assert rows[-1][0] == "and 1 more kinds of series"
    assert data_lines.data_rows(other.with_columns(lag=pl.lit("")))[1][0][4] == "25 % to 100 %"
