"""steps = [...]: every mistake noted where it is, defaults filled in, [training]'s list for who has none."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import ExperimentError, UserError
from harness.core.recipe import Experiment, Recipe, Step
from harness.data.dataset import load_dataset
from harness.experiment import completed, validate

OWN = '[features.own]\nlatest = [1, 2]\n[features.when]\ncalendar = ["month"]\n'
GBM = '[models.gbm]\nkind = "lightgbm"\n'
AR = '[models.ar]\nkind = "autoregression"\n'
MINE = '[models.mine]\nkind = "mine:Model"\n'
README = Path(__file__).parents[2] / "experiments" / "README.md"
USER = """
class Model:
    def fit(self, rows, snapshot, *, seed): ...
    def predict(self, rows, snapshot): ...

class Doubled:
    def __init__(self, **params): ...
    def fit(self, X, y): ...
    def transform(self, X): ...
"""


def kinds(recipe: Recipe) -> list[str]:
    return [step.kind for step in recipe.steps]


def test_a_list_is_read_in_order_with_defaults_filled_in(load: Callable[..., Experiment]) -> None:
    (gbm,) = load(OWN + GBM + 'steps = [{ kind = "impute", indicator = true }, { kind = "pca" }]\n').models
    assert gbm.steps == (
        Step("impute", (("indicator", True), ("strategy", "median"), ("value", 0.0))),
        Step("pca", (("components", 5),)),
    )
    assert hash(gbm)


def test_the_example_of_the_reference_loads(load: Callable[..., Experiment]) -> None:
    (example,) = re.findall(r"## Steps\n.*?```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (gbm,) = load(OWN + example).models
    assert kinds(gbm) == ["winsorise", "impute", "scale", "select", "resample"]


def test_training_says_it_for_every_model_with_feature_rows_and_a_list_of_its_own_replaces_it(
    load: Callable[..., Experiment], folder: Path
) -> None:
    (folder / "mine.py").write_text(USER, encoding="utf-8")
    training = '[training]\nsteps = [{ kind = "impute" }, { kind = "scale" }]\n'
    more = GBM.replace("models.gbm", "models.own_list") + 'steps = [{ kind = "rank" }]\n'
    more += GBM.replace("models.gbm", "models.nothing") + "steps = []\n"
    more += MINE.replace("mine]", "with_rows]") + 'features = ["own"]\n' + MINE
    models = {model.name: kinds(model) for model in load(training + OWN + GBM + AR + more).models}
    assert models == {
        "gbm": ["impute", "scale"],
        "ar": [],
        "own_list": ["rank"],
        "nothing": [],
        "with_rows": ["impute", "scale"],
        "mine": [],
    }


def test_code_of_the_users_step_is_part_of_the_recipe(load: Callable[..., Experiment], folder: Path) -> None:
    file = OWN + GBM + 'steps = [{ kind = "mine:Doubled", by = 3 }]\n'
    (folder / "mine.py").write_text(USER, encoding="utf-8")
    before = load(file).models[0].steps[0]
    (folder / "mine.py").write_text(USER + "x = 1\n", encoding="utf-8")
    after = load(file).models[0].steps[0]
    assert before.params == after.params == (("by", 3),)
    assert before.code
    assert before.code != after.code


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ('"scale"', "a list of tables"),
        ("[1]", "a list of tables"),
        ("[{}]", "models.gbm.steps[0].kind: missing"),
        ('[{ kind = "impute" }, { kind = "scael" }]', 'models.gbm.steps[1].kind = "scael": unknown step'),
        ('[{ kind = "scael" }]', 'did you mean "scale"?'),
        ('[{ kind = "scale", methd = "robust" }]', "did you mean 'method'?"),
        ('[{ kind = "scale", method = "robst" }]', "did you mean 'robust'?"),
        ('[{ kind = "winsorise", limits = [0.9, 0.1] }]', "ascending"),
        ('[{ kind = "pca", components = "5" }]', 'steps[0].components = "5": pca: components has the wrong type'),
        ('[{ kind = "encode" }]', "encode needs columns"),
        ('[{ kind = "encode", columns = ["when.mnth"] }]', 'did you mean "when.month"?'),
        ('[{ kind = "impute" }, { kind = "select", names = ["gdp.*"] }]', "no such column"),
        ('[{ kind = "resample", method = "smote", block = 2 }]', "block does not belong to smote"),
        ('[{ kind = "resample" }, { kind = "resample" }]', "resampled twice"),
        ('[{ kind = "sklearn.preprocessing.PowerTransfomer" }]', "did you mean 'PowerTransformer'?"),
        ('[{ kind = "sklearn.preprocessing.PowerTransformer", methd = 1 }]', "does not take"),
        ('[{ kind = "nowhere:Doubled" }]', "no module nowhere"),
        ('[{ kind = "mine:Trippled" }]', "defines no Trippled"),
    ],
)
def test_a_wrong_list_is_refused(refused: Callable[..., list[str]], folder: Path, steps: str, message: str) -> None:
    (folder / "mine.py").write_text(USER, encoding="utf-8")
    problems = refused(f"{OWN}{GBM}steps = {steps}\n")
    assert any(message in line for line in problems), problems


def test_every_mistake_of_every_list_is_reported(refused: Callable[..., list[str]]) -> None:
    training = '[training]\nsteps = [{ kind = "imput" }]\n'
    mine = 'steps = [{ kind = "pca", components = "a" }, { kind = "scale", method = "x", more = 1 }]\n'
    problems = refused(training + OWN + GBM + mine)
    assert [line.split(" ")[0] for line in problems] == [
        "training.steps[0].kind",
        "models.gbm.steps[0].components",
        "models.gbm.steps[1].method",
        "models.gbm.steps[1].more",
    ]


def test_a_model_without_feature_rows_refuses_steps(refused: Callable[..., list[str]], folder: Path) -> None:
    (folder / "mine.py").write_text(USER, encoding="utf-8")
    (problem,) = refused(OWN + AR + 'steps = [{ kind = "scale" }]\n')
    assert problem.startswith("models.ar.steps: autoregression learns from no feature rows")
    (problem,) = refused(OWN + MINE + 'steps = [{ kind = "scale" }]\n')
    assert problem.startswith("models.mine.steps: the model names no features")


def test_resampling_before_a_model_that_splits_its_rows_is_refused(refused: Callable[..., list[str]]) -> None:
    lasso = '[models.lasso]\nkind = "sklearn"\nparams = { estimator = "sklearn.linear_model.LassoCV" }\n'
    (problem,) = refused(OWN + lasso + 'steps = [{ kind = "impute" }, { kind = "resample" }]\n')
    assert problem.startswith("models.lasso.steps: a model that splits its training rows itself")


def test_a_made_column_may_be_named(load: Callable[..., Experiment]) -> None:
    made = '{ kind = "pca" }, { kind = "select", names = ["pca.1"] }'
    assert load(OWN + GBM + f"steps = [{made}]\n").models
    encoded = '{ kind = "encode", columns = ["series_id", "when.month"] }'
    assert load(OWN + GBM + f"steps = [{encoded}]\n").models


def test_steps_built_in_python_are_completed_and_keep_the_rules(load: Callable[..., Experiment], folder: Path) -> None:
    toy = load_dataset(folder.parent / "datasets" / "toy")
    plain = load(OWN)
    trees = Recipe("gbm", "lightgbm", steps=(Step("scale"),))
    whole = completed(replace(plain, models=(trees,)))
    assert whole.models[0].steps == (Step("scale", (("method", "standard"),)),)
    assert completed(whole) == whole
    validate(whole, [toy])
    with pytest.raises(UserError, match="did you mean 'scale'"):
        completed(replace(plain, models=(replace(trees, steps=(Step("scael"),)),)))
    with pytest.raises(ExperimentError, match=r"ar\.steps: autoregression learns from no feature rows"):
        validate(replace(plain, models=(Recipe("ar", "autoregression", steps=(Step("scale"),)),)), [toy])
