"""From cells to tables: spans no cell knows of, scales per series, models that end the process, two runs at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import UnknownNameError
from harness.core.recipe import Experiment, Recipe, Target
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.experiment.models import completed
from harness.record.runs import read_manifest, read_table
from harness.report.page import render
from harness.report.run import Run
from harness.report.summary import summary
from tests.backtest.made_runs import AR, END, TREES, Ran, exported, quarter, releases, run, small
from tests.backtest.row_scores import scored_twice  # noqa: F401 - compares every run of this module

BANK = Recipe("bank", "external", source="bank")


@pytest.fixture(scope="module")
def with_forecasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    exported(releases(), folder)
    archive = Archive.open(folder / "archive.duckdb")
    issues = [
        ("bank", "cpi", datetime.combine(quarter(number) + timedelta(days=1), datetime.min.time(), UTC), quarter(ahead))
        for number in range(10, 25)
        for ahead in range(number, number + 4)
    ]
    columns = ["source", "series_id", "issued_at", "period"]
    archive.append_forecasts(pl.DataFrame(issues, schema=columns, orient="row").with_columns(value=pl.lit(110.0)))
    return archive.export(folder / "changes")


@pytest.mark.slow
def test_a_declared_span_narrows_a_run_and_leaves_its_cells_good_for_a_wider_one(
    with_forecasts: Path, tmp_path: Path
) -> None:
    def ask(span: tuple[object, object], home: str) -> Ran:
        bank = replace(BANK, span=span)  # type: ignore[arg-type]
        return run(small((bank,), tmp_path), with_forecasts, tmp_path / home)

    narrow = ask((quarter(22), None), "shared").of("bank")
    assert set(narrow.filter(pl.col("status") == "not_issued")["reason"]) == {"outside the declared span"}
    after_narrow, fresh = ask((None, None), "shared"), ask((None, None), "fresh")
    assert after_narrow.of("bank").equals(fresh.of("bank"))
    assert after_narrow.leaderboard.equals(fresh.leaderboard)
    assert "not_issued" not in fresh.of("bank")["status"].to_list()


@pytest.mark.slow
def test_the_scale_of_a_series_does_not_depend_on_which_series_is_named_first(tmp_path: Path) -> None:
    frame = releases(names=("cpi", "gdp"))
    late = (pl.col("series_id") == "gdp") & (pl.col("period") < quarter(6))  # gdp begins later than cpi
    changes = exported(frame.filter(~late), tmp_path / "archive")

    def mase(names: tuple[str, ...]) -> dict[str, float]:
        target = Target(names, Transform("log_growth", 1), season=4)
        scores = read_table(run(small((AR,), tmp_path, target=target), changes, tmp_path / "home").files, "scores")
        mine = scores.filter((pl.col("model") == "ar") & (pl.col("horizon") == 1) & pl.col("stretch").is_null())
        return dict(mine.drop_nulls("series_id").select("series_id", "mase").iter_rows())

    one = mase(("cpi", "gdp"))
    assert set(one) == {"cpi", "gdp"}
    assert one == mase(("gdp", "cpi"))


def test_the_scale_is_made_of_what_had_matured_by_the_first_scored_origin(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "archive")
    asked = small((AR,), tmp_path)
    ran = run(asked, changes, tmp_path / "home")

    def scale(until: datetime) -> float:
        """Mean absolute difference between first releases of growth four quarters apart, as known by an instant."""
        known = releases().filter((pl.col("series_id") == "cpi") & (pl.col("published_at") <= until))
        issues = known.sort("period").partition_by("published_at", maintain_order=True)
        newest = {max(one["period"]): one["value"].log().diff()[-1] for one in issues if one.height > 1}
        growth = [100 * newest[period] for period in sorted(newest)]
        return sum(abs(new - old) for old, new in zip(growth, growth[4:], strict=False)) / (len(growth) - 4)

    scores = read_table(ran.files, "scores").filter((pl.col("model") == "ar") & pl.col("stretch").is_null())
    ratio = [row["mae"] / row["mase"] for row in scores.iter_rows(named=True)]
    first = ran.forecasts.filter("scored")["origin"].min()
    assert isinstance(first, datetime)
    assert ratio == pytest.approx([scale(first)] * len(ratio), rel=1e-12)
    assert scale(first) != pytest.approx(scale(END), rel=1e-3)


def test_warm_up_is_issued_and_stored_and_never_scored(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "archive")
    asked = small((AR,), tmp_path)
    plain = run(asked, changes, tmp_path / "plain")
    warm = run(replace(asked, origins=replace(asked.origins, warm_up=3)), changes, tmp_path / "warm")
    early = warm.forecasts.filter(~pl.col("scored"))
    assert early["origin"].n_unique() == 3
    assert set(early["status"]) == {"ok"}
    assert early["origin"].max() < plain.forecasts["origin"].min()  # type: ignore[operator]
    # the same scores from the same cells: what was issued before counts for nothing
    columns = ["horizon", "model", "value", "n", "n_origins", "first_origin"]
    assert warm.leaderboard.select(columns).equals(plain.leaderboard.select(columns))
    errors = read_table(warm.files, "errors")
    assert errors.filter(~pl.col("scored"))["outcome"].null_count() == 0


def test_a_model_that_ends_the_process_is_a_failed_row(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "archive")
    asked: Experiment = small((), tmp_path)
    (tmp_path / "leaver.py").write_text(
        "class Leaver:\n"
        "    def fit(self, rows, snapshot, *, seed):\n        pass\n"
        "    def predict(self, rows, snapshot):\n        raise SystemExit(0)\n"
    )
    ran = run(completed(replace(asked, models=(Recipe("leaver", "leaver:Leaver"),))), changes, tmp_path / "home")
    assert set(ran.of("leaver")["status"]) == {"failed"}
    assert "SystemExit" in str(ran.of("leaver")["reason"][0])


def test_an_external_answers_growth_inside_its_own_path(with_forecasts: Path, tmp_path: Path) -> None:
    ran = run(small((BANK,), tmp_path), with_forecasts, tmp_path / "home")
    ahead = ran.of("bank").filter((pl.col("horizon") == 1) & (pl.col("origin") < END - timedelta(days=200)))
    assert ahead["value"].to_list() == pytest.approx([0.0] * ahead.height, abs=1e-12)
    assert ahead.height > 0


@pytest.mark.slow
def test_a_model_that_forecasts_what_the_score_does_not_reward_is_noted(with_forecasts: Path, tmp_path: Path) -> None:
    trees = replace(TREES, name="trees")
    ran = run(small((AR, trees), tmp_path, score_primary="mae"), with_forecasts, tmp_path / "home")
    facts = read_manifest(ran.files)["facts"]
    assert isinstance(facts, dict)
    assert facts["functional_notes"] == ["ar forecasts the mean, mae rewards the median"]
    shown = Run(ran.files.run_id, tmp_path / "home")
    assert "note: ar forecasts the mean, mae rewards the median." in summary(shown)
    assert "ar forecasts the mean, mae rewards the median." in render(shown)
    other = run(small((AR,), tmp_path), with_forecasts, tmp_path / "home")
    assert "rewards the" not in summary(Run(other.files.run_id, tmp_path / "home"))


def test_a_model_answered_by_its_fallback_alone_gets_no_verdict(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "archive")
    broken = Recipe("mine", "own_models:Newest", (("refuse", True),), ("own",), fallback="ar")
    board = run(small((AR, broken), tmp_path), changes, tmp_path / "home").leaderboard
    verdicts = board.filter(pl.col("model") == "mine")["verdict"].to_list()
    assert set(verdicts) == {"no verdict: no forecast of its own, its fallback answered"}


def test_a_source_nobody_issued_is_refused_with_the_name_that_was_meant(with_forecasts: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown source of external forecasts") as caught:
        run(small((replace(BANK, source="bnak"),), tmp_path), with_forecasts, tmp_path / "home")
    assert "'bank'" in caught.value.fix
