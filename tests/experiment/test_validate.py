from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from harness.core.errors import ExperimentError, UserError
from harness.core.recipe import Experiment, FeatureBlock, Kpi, OutcomeRule, Recipe, Target, Training
from harness.core.series import Series, alike
from harness.core.transform import Transform
from harness.data.dataset import load_dataset
from harness.data.declaration import Declarations, series_to_text
from harness.data.declared import Dataset
from harness.experiment import completed, validate

MINE = """
class Mean:
    def fit(self, rows, snapshot, *, seed): ...
    def predict(self, rows, snapshot): ...
"""


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
        vintage="newest",  # type: ignore[arg-type]
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
        "ets estimates the mean",
        "origins.latency",
        'features.vintage = "newest": one of "frozen", "latest"',
    ):
        assert message in problems
    repaired = replace(broken.origins, latency=timedelta(days=1))
    with pytest.raises(ExperimentError) as caught:
        validate(replace(broken, origins=repaired), [toy])
    assert "origins.latency" not in str(caught.value)


def test_a_series_defined_elsewhere_may_be_declared_beside_the_datasets(
    load: Callable[..., Experiment], toy: Dataset
) -> None:
    mine = replace(load(), target=Target(("mine",)))
    with pytest.raises(ExperimentError, match="nothing declares it"):
        validate(mine, [toy])
    validate(mine, [toy], series=[Series("mine", "Q", zone="Europe/London")])
    with pytest.raises(ExperimentError, match="base changes"):
        validate(mine, series=[Series("mine", "Q", zone="Europe/London", scale="rebased")])


def test_models_built_in_python_are_completed_to_what_a_file_gives(
    load: Callable[..., Experiment], folder: Path
) -> None:
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    from_file = load(
        "[features.own]\nlatest = [1]\n[models.gbm]\nkind = 'lightgbm'\nparams = { num_leaves = 5 }\n"
        "[models.mine]\nkind = 'mine:Mean'\n"
    )
    by_hand = replace(
        from_file, models=(Recipe("gbm", "lightgbm", params=(("num_leaves", 5),)), Recipe("mine", "mine:Mean"))
    )
    assert by_hand != from_file
    assert completed(by_hand) == from_file
    with pytest.raises(UserError, match="did you mean 'num_leaves'"):
        completed(replace(by_hand, models=(Recipe("gbm", "lightgbm", params=(("num_leafs", 5),)),)))


def test_series_must_be_named_in_full(load: Callable[..., Experiment], toy: Dataset) -> None:
    sound = load()
    with pytest.raises(ExperimentError, match="toy/cpi"):
        validate(replace(sound, target=replace(sound.target, series=("cpi",))), [toy])


def test_what_models_built_in_python_forecast_is_what_their_kind_estimates(load: Callable[..., Experiment]) -> None:
    sound = load("[features.own]\nlatest = [1]\n")
    made = replace(
        sound,
        score_primary="mae",
        models=(
            Recipe("ets", "ets"),
            Recipe("trees", "lightgbm"),
            Recipe("means", "lightgbm", params=(("objective", "regression"),)),
            Recipe("desk", "external", source="desk", functional="median"),
        ),
    )
    assert [model.functional for model in completed(made).models] == ["mean", "median", "mean", "median"]


def test_a_model_built_in_python_that_cannot_be_made_is_refused(load: Callable[..., Experiment], toy: Dataset) -> None:
    sound = load("[features.own]\nlatest = [1]\n")
    params = (("estimator", "sklearn.linear_model.Ridge"), ("estimator_params", (("alpha", "q"),)))
    ridge = Recipe("ridge", "sklearn", params=params)
    with pytest.raises(ExperimentError, match="'alpha' parameter of Ridge must be"):
        validate(completed(replace(sound, models=(ridge,))), [toy])


def test_no_block_is_called_like_a_key_of_the_section(load: Callable[..., Experiment], toy: Dataset) -> None:
    called = replace(load(), features=(FeatureBlock("vintage", "toy/rate", latest=(1,)),))
    with pytest.raises(ExperimentError, match=r"features\.vintage: a key of \[features\] is called so"):
        validate(called, [toy])


MANY = [f"p/s{number:02d}" for number in range(40)]


def declared(kinds: dict[str, Series]) -> tuple[dict[str, Series], Declarations[str]]:
    """Many series alike but for those of `kinds`, one by one and as an archive holds them."""
    series = {name: alike(kinds.get(name, Series("any", "M")), name) for name in MANY}
    ids, texts = pl.Series(MANY), pl.Series([series_to_text(one) for one in series.values()])
    return series, Declarations.of(MANY, ids, texts)


@pytest.mark.parametrize(
    ("kinds", "target", "told"),
    [
        ({}, Target(tuple(MANY), season=12), []),
        ({MANY[30]: Series("odd", "Q")}, Target(tuple(MANY), season=12), ["p/s00 and p/s30 differ in frequency"]),
        (
            {name: Series("odd", "M", scale="rebased") for name in MANY[30:]},
            Target(tuple(MANY), season=12),
            ["refused for p/s30: its base changes"],
        ),
        ({}, Target(tuple(MANY), Transform("spread", other=MANY[30]), season=12), ["subtracts p/s30 from itself"]),
        ({}, Target((*MANY, MANY[30]), season=12), ["41 names, p/s30 more than once"]),
    ],
)
def test_of_many_series_alike_one_line_tells_what_is_wrong_with_all(
    load: Callable[..., Experiment], kinds: dict[str, Series], target: Target, told: list[str]
) -> None:
    asked = replace(load(), target=target, features=(), models=())
    for series in declared(kinds):
        problems: list[str] = []
        try:
            validate(asked, series=series)
        except ExperimentError as error:
            problems = error.problems
        assert len(problems) == len(told)
        assert all(part in line for part, line in zip(told, problems, strict=True))
