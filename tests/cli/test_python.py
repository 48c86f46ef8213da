"""`hs.backtest` on an archive and an experiment built in Python."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.experiment.launch import prepare
from harness.record.home import Home

DAY = timedelta(days=1)
ENDS = [date(2012 + month // 12, month % 12 + 1, 1) - DAY for month in range(1, 85)]
EXPERIMENT = hs.Experiment(
    name="by_hand",
    target=hs.Target(("orders",), season=12),
    origins=hs.Origins(hs.Schedule("month_end"), first=date(2017, 1, 31), zone="Europe/London"),
    horizons=(1,),
    training=hs.Training(minimum=12),
    features=(hs.FeatureBlock("own", latest=(1, 2)), hs.FeatureBlock("leads", series="quotes", latest=(1,))),
    models=(hs.Recipe("ridge", "sklearn", (("estimator", "sklearn.linear_model.Ridge"),)),),
)


def filled(path: Path, names: tuple[str, ...] = ("orders", "quotes")) -> hs.Archive:
    """An archive with monthly series, each value published ten days after its period."""
    archive = hs.Archive.open(path)
    for name in names:
        archive.define(hs.Series(id=name, frequency="M", zone="Europe/London"))
        values = pl.DataFrame(
            {
                "series_id": name,
                "period": ENDS,
                "published_at": [end + 10 * DAY for end in ENDS],
                "value": [float(50 + (7 * place) % 12 + place / 10) for place in range(len(ENDS))],
            }
        )
        archive.append(values, source="made up")
    return archive


def test_an_experiment_built_in_python_runs_on_an_archive_of_its_own(home: Home, tmp_path: Path) -> None:
    run = hs.backtest(EXPERIMENT, filled(tmp_path / "own.duckdb"), home=home.root, workers=1)
    board = run.leaderboard()
    assert {"ridge", "last_value", "seasonal_last_value", "drift", "historic_mean"} == set(board["model"])
    # the series repeats every 12 months but for a trend of 1.2, which the same month of last year misses exactly
    assert board.filter(model="seasonal_last_value")["value"].item() == pytest.approx(1.2)
    assert not home.archive.exists()


@pytest.mark.slow
def test_bare_names_are_resolved_where_they_are_unique(home: Home, tmp_path: Path) -> None:
    archive = filled(tmp_path / "own.duckdb", ("shop/orders", "shop/quotes"))
    run = hs.backtest(EXPERIMENT, archive, home=home.root, workers=1)
    assert run.errors()["series_id"].unique().to_list() == ["shop/orders"]
    filled(tmp_path / "own.duckdb", ("other/orders",))
    with pytest.raises(hs.UserError, match="orders"):
        hs.backtest(EXPERIMENT, archive, home=home.root, workers=1)


def test_unknown_series_and_rivals_names_are_refused(home: Home, tmp_path: Path) -> None:
    archive = filled(tmp_path / "own.duckdb")
    with pytest.raises(hs.UserError, match="did you mean 'orders'"):
        hs.backtest(replace(EXPERIMENT, target=hs.Target(("order",))), archive, home=home.root, workers=1)
    named = replace(EXPERIMENT.models[0], name="drift")
    with pytest.raises(hs.UserError, match="rival"):
        hs.backtest(replace(EXPERIMENT, models=(named,)), archive, home=home.root, workers=1)


def test_an_experiment_on_a_dataset_is_held_to_the_rules_of_files(uk_home: Home) -> None:
    wrong = hs.Experiment(
        name="levels",
        target=hs.Target(("cpi",)),  # a rebased series: its levels of two vintages do not compare
        origins=hs.Origins(hs.Schedule("quarter_end"), first=date(2020, 3, 31), zone="Europe/London"),
        horizons=(1,),
        datasets=("uk_macro",),
    )
    with pytest.raises(hs.UserError, match="its base changes between vintages"):
        hs.backtest(wrong, home=uk_home.root, workers=1)


@pytest.mark.slow
def test_a_run_is_found_by_the_beginning_of_its_id_and_unfinished_ones_are_not_read(home: Home, tmp_path: Path) -> None:
    run = hs.backtest(EXPERIMENT, filled(tmp_path / "own.duckdb"), home=home.root, workers=1)
    assert hs.Run(run.id[:5], home.root).id == run.id
    with pytest.raises(hs.UserError, match="unknown run"):
        hs.Run("f" * 40, home.root)
    unfinished = home.runs / "unfinished"
    unfinished.mkdir()
    (unfinished / "manifest.json").write_text('{"status": "running", "name": "by_hand"}')
    with pytest.raises(hs.UserError, match="not finished"):
        hs.Run("unfinished", home.root).scores()


@pytest.mark.slow
def test_a_blank_zone_and_a_single_name_are_filled_in(home: Home, tmp_path: Path) -> None:
    archive = filled(tmp_path / "own.duckdb")
    plain = replace(EXPERIMENT, target=hs.Target("orders"), origins=replace(EXPERIMENT.origins, zone=""))  # type: ignore[arg-type]
    assert plain.target.series == ("orders",)
    run = hs.backtest(plain, archive, home=home.root, workers=1)
    assert run.id == hs.backtest(EXPERIMENT, archive, home=home.root, workers=1).id
    with pytest.raises(hs.UserError, match="names"):
        hs.Target(3)  # type: ignore[arg-type]


def test_bare_names_are_those_of_the_experiments_datasets_first(uk_home: Home) -> None:
    archive = hs.Archive.open(uk_home.root / "second.duckdb")
    archive.define(hs.Series("elsewhere/cpi", "M"))
    experiment = hs.Experiment(
        name="own_first",
        target=hs.Target("cpi", hs.Transform("log_growth", 4)),  # type: ignore[arg-type]
        origins=hs.Origins(hs.Schedule("quarter_end"), first=date(2022, 3, 31)),
        horizons=(1,),
        datasets=("uk_macro",),
    )
    ready = prepare(experiment, uk_home, archive).experiment
    assert (ready.target.series, ready.origins.zone, ready.target.season) == (("uk_macro/cpi",), "Europe/London", 4)
    for wrong, message in (
        ({"zone": "Europe/Lodnon"}, "unknown time zone"),
        ({"first": date(1, 1, 31)}, "between the years"),
        ({"latency": timedelta(days=-1)}, "origins.latency"),
    ):
        with pytest.raises(hs.UserError, match=message):
            prepare(replace(experiment, origins=replace(experiment.origins, **wrong)), uk_home, archive)


def test_a_bare_name_is_that_of_a_file_as_on_the_command_line(small: Path, home: Home) -> None:
    assert hs.load_experiment("small") == hs.load_experiment(small)
    for there in ("smal", "./experiments/smal.toml"):
        with pytest.raises(hs.UserError, match=r"experiments/smal.toml; fix: did you mean \"small\""):
            hs.load_experiment(there)
    with pytest.raises(hs.UserError, match="in experiments there are: small"):
        hs.backtest("quite_other", home=home.root)
    small.rename("bare")
    assert hs.load_experiment("bare").name == "small"
    small.parent.rmdir()
    with pytest.raises(hs.UserError, match="there is no folder experiments"):
        hs.load_experiment("small")
