"""[models.NAME.search]: ranges, conditions and pseudo-parameters are read; every mistake is told, all at once."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backtest.keys import recipe_identity
from harness.core.recipe import Experiment
from harness.core.search import Domain, Search
from harness.experiment import completed

Load = Callable[..., Experiment]
Refused = Callable[..., list[str]]
OWN = "[features.own]\nlatest = [1, 2]\n[features.gdp]\nseries = 'gdp'\ntransform = { log_growth = 1 }\nlatest = 1\n"
GBM = '[models.gbm]\nkind = "lightgbm"\nparams = { num_leaves = 7 }\n'
SPACE = "[models.gbm.search.space]\n"
README = Path(__file__).parents[2] / "experiments" / "README.md"


def search_of(experiment: Experiment, model: str = "gbm") -> Search:
    search = next(one.search for one in experiment.models if one.name == model)
    assert search is not None
    return search


def test_a_search_is_read_with_its_defaults(load: Load) -> None:
    experiment = load(
        OWN + GBM + SPACE + "num_leaves = { int = [4, 64], log = true }\nlambda_l2 = { float = [0, 10] }\n"
    )
    assert search_of(experiment) == Search(
        space=(
            Domain("num_leaves", "int", 4, 64, log=True, default=7),
            Domain("lambda_l2", "float", 0.0, 10.0, default=0.0),
        ),
        objective="rmse",
    )
    assert hash(experiment.models[-1])


def test_the_example_of_the_reference_loads(load: Load) -> None:
    text = README.read_text(encoding="utf-8")
    (example,) = re.findall(r"## `\[models.NAME.search\]`\n.*?```toml\n(.*?)```", text, re.DOTALL)
    search = search_of(load(OWN + example))
    assert (search.trials, search.retune_every, len(search.space)) == (40, 4, 5)
    assert search.domain("alpha") == Domain("alpha", "float", 0.5, 0.99, default=0.9, when=(("objective", ("huber",)),))
    assert search.domain("features") == Domain(
        "features", "choice", choices=(("own",), ("own", "gdp")), default=("own", "gdp")
    )


def test_steps_nested_parameters_and_other_model_tables_are_searched(load: Load) -> None:
    ridge = (
        '[models.ridge]\nkind = "sklearn"\nparams = { estimator = "sklearn.linear_model.Ridge" }\n'
        'steps = [{ kind = "impute" }, { kind = "pca", components = 2 }]\n'
        "[models.ridge.search.space]\nsteps.2.components = { int = [1, 3] }\n"
        "estimator_params.alpha = { float = [0.01, 10], log = true }\n"
    )
    auto = (
        '[models.auto]\nkind = "autoregression"\n[models.auto.search.space]\nkind = { choice = ["ets"] }\n'
        'max_lags = { int = [1, 4] }\nets.trend = { choice = ["none", "add"] }\n'
        'ets.damped = { choice = [false, true], when = { "ets.trend" = ["add"] } }\n[models.ets]\nkind = "ets"\n'
    )
    experiment = load(OWN + ridge + auto)
    assert [one.name for one in search_of(experiment, "ridge").space] == [
        "steps.2.components",
        "estimator_params.alpha",
    ]
    search = search_of(experiment, "auto")
    assert search.space[0] == Domain("kind", "choice", choices=("auto", "ets"), default="auto")
    assert search.domain("max_lags") == Domain("max_lags", "int", 1, 4, default=4, when=(("kind", ("auto",)),))
    assert search.domain("ets.damped") == Domain(
        "ets.damped", "choice", choices=(False, True), default=False, when=(("kind", ("ets",)), ("ets.trend", ("add",)))
    )
    assert [one.name for one in search.candidates] == ["ets"]


def test_the_space_is_part_of_what_a_model_is(load: Load) -> None:
    texts = set()
    for more in (
        "num_leaves = { int = [4, 64] }",
        "num_leaves = { int = [4, 32] }",
        'features = { choice = [["own"]] }',
    ):
        experiment = load(OWN + GBM + SPACE + more)
        texts.add(recipe_identity(experiment.models[-1], experiment).text)
    plain = load(OWN + GBM)
    texts.add(recipe_identity(plain.models[-1], plain).text)
    assert len(texts) == 4


MISTAKES = {
    "num_leafs = { int = [4, 64] }": "num_leafs.*did you mean .num_leaves.",
    "num_leaves = { int = [64, 4] }": "the lowest is above the highest",
    "num_leaves = { int = [4.5, 64] }": "two whole numbers",
    "num_leaves = { float = [4, 64] }": "num_leaves.*wrong type",
    "num_leaves = { int = [0, 64], log = true }": "with log = true, above 0",
    "num_leaves = { int = [4, 64], lgo = true }": "unknown key.*did you mean .log.",
    "num_leaves = { int = [4, 64], choice = [4] }": "one of int, float and choice",
    "num_leaves = { choice = [4, 4] }": "a value is listed twice",
    "num_leaves = { choice = [4, 2020-01-01] }": "words, numbers, flags or lists of them",
    "num_leaves = { choice = [[4, 12:00:00]] }": "words, numbers, flags or lists of them",
    "num_leaves = 4": "a table, written",
    "learning_rate = { float = [0.1, 0.35], step = 0.1 }": "does not lead from the lowest to the highest",
    'objective = { choice = ["regression", "regresion_l1"] }': "regresion_l1.*did you mean",
    'objective = { choice = ["regression", "l1"] }': "then forecasts the median.*the model the mean",
    'features = { choice = [["own"], ["gpd"]] }': 'no such block.*did you mean "gdp"',
    'features = { choice = ["own"] }': "lists of block names",
    "steps.1.k = { int = [1, 2] }": "no step 1; the model has 0",
    'kind = { choice = ["etz"] }': "no model table to choose",
    'alpha = { float = [0.1, 0.9], when = { objektive = ["huber"] } }': "not searched, so it cannot be a condition",
    'objective = { choice = ["l2"] }\nalpha = { float = [0.1, 0.9], when = { objective = "huber" } }': "never has that",
    "max_bin = { int = [2, 4], when = { max_depth = 3 } }\nmax_depth = { int = [2, 4], when = { max_bin = 3 } }": (
        "its condition depends on itself"
    ),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_in_a_space_is_told_where_it_is(line: str, refused: Refused) -> None:
    problems = refused(OWN + GBM + SPACE + line + "\n")
    assert any(re.search(MISTAKES[line], problem) for problem in problems), problems
    assert all(problem.startswith("models.gbm.search") for problem in problems)


def test_all_mistakes_of_a_search_are_told_at_once(refused: Refused) -> None:
    words = 'trails = 3\nsampler = "tpee"\npruner = "mean"\n'
    search = f'[models.gbm.search]\n{words}folds = 0\nretune_every = 0\nbatch = "four"\n'
    problems = refused(OWN + GBM + search + SPACE + "num_leaves = { int = [64, 4] }\n")
    told = "\n".join(problems)
    for expected in ('did you mean "trials"', 'did you mean "tpe"', 'did you mean "median"', "folds", "retune_every",
                     "batch", "the lowest is above"):  # fmt: skip
        assert expected in told


def test_a_search_must_fit_its_cadence_its_sampler_and_its_model(refused: Refused) -> None:
    cadence = (
        OWN + GBM + "refit_every = 4\n[models.gbm.search]\nretune_every = 6\n" + SPACE + "num_leaves = { int = [2, 9] }"
    )
    assert "multiple of refit_every" in refused(cadence)[0]
    grid = OWN + GBM + '[models.gbm.search]\nsampler = "grid"\n' + SPACE + "learning_rate = { float = [0.1, 0.2] }"
    assert "a grid needs a step" in refused(grid)[0]
    external = '[models.bank]\nkind = "external"\nsource = "bank"\n[models.bank.search.space]\na = { int = [1, 2] }\n'
    assert any("nothing to tune" in problem for problem in refused(external))
    assert "space: missing" in refused(OWN + GBM + "[models.gbm.search]\ntrials = 4\n")[0]


def test_cmaes_without_its_package_says_what_to_install(
    load: Load, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = OWN + GBM + '[models.gbm.search]\nsampler = "cmaes"\n' + SPACE + "learning_rate = { float = [0.1, 0.2] }"
    load(text)
    monkeypatch.setitem(sys.modules, "cmaes", None)
    assert 'pip install "harness-backtest[cmaes]"' in "\n".join(refused(text))


def test_a_function_beside_the_file_draws_and_its_code_counts(load: Load, refused: Refused, folder: Path) -> None:
    (folder / "own_space.py").write_text("def draw(trial):\n    return {'num_leaves': trial.suggest_int('n', 2, 9)}\n")
    text = OWN + GBM + '[models.gbm.search]\nspace = "own_space:draw"\nseconds = 2.5\n'
    first = search_of(load(text))
    assert (first.function, first.space, first.trials, first.seconds) == ("own_space:draw", (), None, 2.5)
    (folder / "own_space.py").write_text("def draw(trial):\n    return {'num_leaves': trial.suggest_int('n', 2, 8)}\n")
    assert search_of(load(text)).code != first.code
    assert "defines no drew" in refused(text.replace(":draw", ":drew"))[0]


def test_a_search_built_in_python_is_completed_as_from_a_file(load: Load) -> None:
    experiment = load(OWN + GBM)
    search = Search((Domain("num_leaves", "int", 2, 9), Domain("max_bin", "int", 15, 255)), trials=5)
    models = tuple(replace(one, search=search) if one.name == "gbm" else one for one in experiment.models)
    found = search_of(completed(replace(experiment, models=models)))
    assert [one.default for one in found.space] == [7, 255]
    assert found.objective == "rmse"
