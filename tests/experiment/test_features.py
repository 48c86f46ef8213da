from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.recipe import Experiment
from harness.core.transform import Transform

STOCK = {
    "target": """[target]
series = ["stock.close"]
transform = { realised_volatility = 22, proxy = "parkinson", high = "stock.high", low = "stock.low" }
""",
    "origins": '[origins]\nevery = "session"\nfirst = 2012-01-03\n',
    "horizons": "[horizons]\nsteps = [1]\n",
}


def test_own_describes_the_target_by_the_targets_transform(load: Callable[..., Experiment]) -> None:
    (own,) = load("[features.own]\nlatest = [1]\n").features
    assert (own.series, own.transform) == ("", Transform("log_growth", 4))


def test_own_of_a_volatility_target_looks_at_single_sessions(load: Callable[..., Experiment]) -> None:
    (own,) = load("[features.own]\nlatest = [1]\n", **STOCK).features
    assert own.transform == Transform(
        "realised_volatility", 1, proxy="parkinson", high="toy/stock.high", low="toy/stock.low"
    )


def test_own_takes_another_transform_when_told(load: Callable[..., Experiment]) -> None:
    (own,) = load("[features.own]\ntransform = { log_growth = 1 }\nlatest = [1]\n").features
    assert own.transform == Transform("log_growth", 1)


def test_the_vintage_of_training_rows_stands_beside_the_blocks(load: Callable[..., Experiment]) -> None:
    model = '[models.gbm]\nkind = "lightgbm"\n'
    experiment = load('[features]\nvintage = "latest"\n[features.own]\nlatest = [1]\n' + model)
    assert experiment.vintage == "latest"
    assert [block.name for block in experiment.features] == ["own"]
    assert experiment.models[0].features == ("own",)
    assert experiment.on_latest_rows == ("gbm",)
    assert load("[features.own]\nlatest = [1]\n" + model).on_latest_rows == ()


def test_another_block_may_name_the_target_as_own(load: Callable[..., Experiment]) -> None:
    (steps,) = load('[features.steps]\nseries = "own"\ntransform = "log_growth"\nlatest = [1]\n').features
    assert (steps.series, steps.transform) == ("", Transform("log_growth", 1))


def test_a_block_that_forgets_its_series_is_not_taken_for_the_target(refused: Callable[..., list[str]]) -> None:
    (problem,) = refused("[features.gdp]\nlatest = [1]\n")
    assert problem.startswith("features.gdp.series: missing")


def test_a_block_of_calendar_columns_needs_no_series(load: Callable[..., Experiment]) -> None:
    (when,) = load('[features.when]\ncalendar = ["quarter", "year"]\n').features
    assert when.columns() == ("when.quarter", "when.year")


def test_inputs_of_another_frequency_are_levels_unless_transformed(load: Callable[..., Experiment]) -> None:
    (output,) = load('[features.output]\nseries = "output"\nlag = [0, 1]\nknown_ahead = [-1, 0]\n').features
    assert (output.series, output.transform, output.known_ahead) == ("toy/output", Transform(), (-1, 0))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ('[features.a]\nseries = "gpd"\nlatest = [1]\n', "did you mean 'gdp'?"),
        ('[features.a]\nseries = "rate"\n', "makes no column"),
        ('[features.a]\nseries = "rate"\nage = false\n', "makes no column"),
        ('[features.a]\nseries = "rate"\nlatest = [1, 1]\n', "twice"),
        ('[features.a]\nseries = "rate"\nlatest = [1.5]\n', "whole numbers"),
        ('[features.a]\nseries = "rate"\nrolling_std = [1]\n', "each 2 or more"),
        ('[features.a]\nseries = "rate"\nage = "yes"\n', "true or false"),
        ('[features.a]\nseries = "rate"\nlast = [1]\n', 'did you mean "latest"?'),
        ('[features.a]\nseries = "rate"\ntransform = { spread = "output" }\nlatest = [1]\n', "differ in frequency"),
        ('[features.a]\ncalendar = ["moth"]\n', 'did you mean "month"?'),
        ('[features."a b"]\nseries = "rate"\nlatest = [1]\n', "a name is a letter"),
        ("[features]\nown = 3\n", "a table, written [features.own]"),
        ('[features]\nvintge = "latest"\n', 'did you mean "vintage"?'),
        ('[features]\nvintage = "newest"\n', 'features.vintage = "newest": one of "frozen", "latest"'),
        ('[features]\nvintage = "Latest"\n', 'did you mean "latest"?'),
        ("[features]\nvintage = true\n", 'features.vintage = true: one of "frozen", "latest"'),
        ('[features.vintage]\nseries = "rate"\nlatest = [1]\n', "give the block another name"),
    ],
)
def test_a_wrong_block_is_refused(refused: Callable[..., list[str]], block: str, message: str) -> None:
    problems = refused(block)
    assert any(message in line for line in problems), problems


@pytest.mark.parametrize(
    "operation",
    [
        "latest = [1]",
        "lag = [1]",
        "rolling_mean = [2]",
        "rolling_std = [2]",
        "rolling_min = [2]",
        "rolling_max = [2]",
        "difference = [1]",
        "known_ahead = [0]",
    ],
)
@pytest.mark.parametrize("transform", ['"level"', "{ difference = 1 }"])
def test_levels_of_a_rebased_input_are_refused(
    refused: Callable[..., list[str]], operation: str, transform: str
) -> None:
    (problem,) = refused(f'[features.gdp]\nseries = "gdp"\ntransform = {transform}\n{operation}\n')
    assert problem.startswith(f"features.gdp.{operation.split(maxsplit=1)[0]}:")
    assert "base changes" in problem


@pytest.mark.parametrize("operation", ["log_growth = [1]", "ratio = [4]", "age = true"])
def test_what_a_change_of_base_leaves_alone_is_taken(load: Callable[..., Experiment], operation: str) -> None:
    assert load(f'[features.gdp]\nseries = "gdp"\n{operation}\n').features


@pytest.mark.parametrize("operation", ["ratio = [4]", "log_growth = [1]", "latest = [1]"])
def test_nothing_is_taken_of_a_spread_with_a_rebased_side(refused: Callable[..., list[str]], operation: str) -> None:
    (problem,) = refused(f'[features.gap]\nseries = "rate"\ntransform = {{ spread = "gdp" }}\n{operation}\n')
    assert "toy/gdp" in problem
    (problem,) = refused(f'[features.gap]\nseries = "gdp"\ntransform = {{ spread = "rate" }}\n{operation}\n')
    assert "toy/gdp" in problem


def test_growth_of_a_rebased_input_is_taken(load: Callable[..., Experiment]) -> None:
    assert load('[features.gdp]\nseries = "gdp"\ntransform = { growth = 1 }\nlatest = [1]\ndifference = [1]\n').features


def test_a_series_that_is_really_called_own_is_meant_when_named(load: Callable[..., Experiment], folder: Path) -> None:
    file = folder.parent / "datasets" / "ledger" / "dataset.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("fails", "own"), encoding="utf-8")
    both = 'schema = 1\nname = "trial"\ndatasets = ["toy", "ledger"]\n'
    own, named = load('[features.own]\nlatest = 1\n[features.other]\nseries = "own"\nlatest = 1\n', base=both).features
    assert (own.series, named.series) == ("", "ledger/own")
