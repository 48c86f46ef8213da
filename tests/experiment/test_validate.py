from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from harness.core.errors import ExperimentError
from harness.core.recipe import Experiment, FeatureBlock, Kpi, OutcomeRule, Recipe, Training
from harness.core.transform import Transform
from harness.data.dataset import load_dataset
from harness.data.declared import Dataset
from harness.experiment import validate


@pytest.fixture
def toy(folder: Path) -> Dataset:
    return load_dataset(folder.parent / "datasets" / "toy")


def test_an_experiment_that_a_file_made_is_valid(load: Callable[..., Experiment], toy: Dataset) -> None:
    validate(load(), [toy])


def test_an_experiment_built_in_python_keeps_the_same_rules_all_reported_at_once(
    load: Callable[..., Experiment], toy: Dataset
) -> None:
    sound = load()
    broken = replace(
        sound,
        target=replace(sound.target, transform=Transform(), outcome=OutcomeRule("after", 10)),
        horizons=(1, 1),
        training=Training(rolling=5),
        features=(FeatureBlock("gdp", "toy/gdp", latest=(1,)),),
        models=(Recipe("drift", "drift"), Recipe("a", "ets", features=("own",), fallback="a", functional="median")),
        score_primary="qlike",
        kpi=Kpi("x", trades=True),
    )
    with pytest.raises(ExperimentError) as caught:
        validate(broken, [toy])
    problems = "\n".join(caught.value.problems)
    for message in (
        "refused for toy/cpi",
        "listed twice",
        "rolling window of 5",
        "features.gdp.latest",
        "models.drift: is the name of a rival",
        "no such block",
        "leads back to itself",
        "variances only",
        "misjudge the median",
        "origins.latency",
    ):
        assert message in problems
    repaired = replace(broken.origins, latency=timedelta(days=1))
    with pytest.raises(ExperimentError) as caught:
        validate(replace(broken, origins=repaired), [toy])
    assert "origins.latency" not in str(caught.value)


def test_series_must_be_named_in_full(load: Callable[..., Experiment], toy: Dataset) -> None:
    sound = load()
    with pytest.raises(ExperimentError, match="toy/cpi"):
        validate(replace(sound, target=replace(sound.target, series=("cpi",))), [toy])
