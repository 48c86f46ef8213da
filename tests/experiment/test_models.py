from collections.abc import Callable

import pytest

from harness.core.recipe import Experiment
from harness.forecast.catalog import always_on

OWN = "[features.own]\nlatest = [1]\n"
GDP = '[features.gdp]\nseries = "gdp"\ntransform = "log_growth"\nlatest = [1]\n'
GBM = '[models.gbm]\nkind = "lightgbm"\n'
RIDGE = '[models.r]\nkind = "sklearn"\nparams = {{ estimator = "sklearn.linear_model.{}", estimator_params = {} }}\n'
AR = '[models.ar]\nkind = "autoregression"\n'


def test_a_kind_that_learns_from_rows_sees_all_blocks_unless_it_names_some(load: Callable[..., Experiment]) -> None:
    both, one = load(OWN + GDP + GBM + '[models.small]\nkind = "lightgbm"\nfeatures = ["gdp"]\n').models
    assert both.features == ("own", "gdp")
    assert one.features == ("gdp",)


def test_a_kind_that_reads_the_snapshot_sees_none(
    load: Callable[..., Experiment], refused: Callable[..., list[str]]
) -> None:
    assert load(OWN + AR).models[0].features == ()
    (problem,) = refused(OWN + AR + 'features = ["own"]\n')
    assert "sees no features" in problem


def test_parameters_are_resolved_with_the_kinds_defaults(load: Callable[..., Experiment]) -> None:
    params = dict(load(OWN + GBM + "params = { num_leaves = 7, lambda_l2 = 1.0 }\n").models[0].params)
    assert (params["num_leaves"], params["lambda_l2"]) == (7, 1.0)
    assert params["n_estimators"] == dict(load(OWN + GBM).models[0].params)["n_estimators"]


def test_every_recipe_of_a_file_is_hashable_so_that_it_can_be_a_key(load: Callable[..., Experiment]) -> None:
    models = load(OWN + AR + '[models.ridge]\nkind = "sklearn"\nparams = { estimator = "sklearn.linear_model.Ridge", '
                  "estimator_params = { alpha = 2.0 } }\n").models  # fmt: skip
    assert len({hash(model) for model in models}) == 2


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("[models.a]\n", "kind: missing"),
        ('[models.a]\nkind = "lightgmb"\n', 'did you mean "lightgbm"?'),
        (GBM, "has no [features.NAME]"),
        (OWN + GBM + "features = []\n", "at least one block"),
        (OWN + GBM + 'features = ["won"]\n', 'did you mean "own"?'),
        (OWN + GBM + "params = { num_leafs = 7 }\n", "did you mean 'num_leaves'?"),
        (OWN + GBM + 'params = { n_estimators = "many" }\n', "wrong type"),
        (OWN + GBM + "params = 7\n", "a table, written [models.gbm.params]"),
        (OWN + GBM + 'works_on = "step"\n', "belongs to the kinds"),
        (AR + 'works_on = "steps"\n', 'did you mean "step"?'),
        (AR + 'works_on = "step"\nparams = { works_on = "level" }\n', "given twice"),
        (OWN + '[models.r]\nkind = "sklearn"\n', "needs estimator"),
        (OWN + RIDGE.format("Rigde", "{}"), "did you mean 'Ridge'?"),
        (OWN + RIDGE.format("Ridge", '{ alpha = "q" }'), "'alpha' parameter of Ridge must be"),
        (OWN + RIDGE.format("Ridge", "{ alfa = 1.0 }"), "does not take these parameters"),
        (OWN + GBM + 'params = { objective = "regresion" }\n', "did you mean 'regression'?"),
        (OWN + GBM + 'params = { objective = "quantile", alpha = 0.9 }\n', "a mean or a median"),
        (OWN + GBM + 'params = { boosting = "drat" }\n', "did you mean 'dart'?"),
        (AR + 'source = "bank"\n', 'belongs to kind = "external" only'),
        (AR + "from = 2010-01-01\n", 'belongs to kind = "external" only'),
        (AR + "refit_every = 0\n", "1 or more"),
        (AR + 'functional = "mode"\n', '"mean", "median"'),
        ('[models."a b"]\nkind = "ets"\n', "a name is a letter"),
        ('[models.a]\nkind = "external"\n', "source: missing"),
        ('[models.a]\nkind = "external"\nsource = "banks"\n', 'did you mean "bank"?'),
        ('[models.a]\nkind = "external"\nsource = "bank"\nfrom = 2012-01-01\nto = 2011-01-01\n', "before from"),
        ('[models.a]\nkind = "external"\nsource = "bank"\nknowledge = "some"\n', '"known", "unknown"'),
        ('[models.last_value]\nkind = "ets"\n', "a rival that is always on"),
        ('[models.mine]\nkind = "drift"\n', "a rival that is always on"),
        ('[models.mine]\nkind = "har"\n', "does not fit the target"),
        (AR + 'fallback = "drfit"\n', 'did you mean "drift"?'),
        (AR + 'fallback = "ar"\n', "leads back to itself (ar -> ar)"),
        (AR + 'fallback = "b"\n[models.b]\nkind = "ets"\nfallback = "ar"\n', "(ar -> b -> ar)"),
    ],
)
def test_a_wrong_model_is_refused(refused: Callable[..., list[str]], models: str, message: str) -> None:
    problems = refused(models)
    assert any(message in line for line in problems), problems


def test_every_rival_of_the_target_has_its_name_taken(
    load: Callable[..., Experiment], refused: Callable[..., list[str]]
) -> None:
    for rival in always_on(load().target):
        (problem,) = refused(f'[models.{rival.name}]\nkind = "ets"\n')
        assert "always on" in problem


def test_a_rival_with_other_parameters_is_a_model_of_its_own(load: Callable[..., Experiment]) -> None:
    sections = {
        "target": '[target]\nseries = ["stock.close"]\n'
        'transform = { realised_volatility = 5, proxy = "squared_log_return" }\n',
        "horizons": "[horizons]\nsteps = [1]\n",
    }
    assert load('[models.slow]\nkind = "ewma"\nparams = { decay = 0.99 }\n', **sections).models[0].name == "slow"


def test_a_fallback_may_be_a_model_or_a_rival_and_chains_may_end(load: Callable[..., Experiment]) -> None:
    ar, b = load(AR + 'fallback = "b"\n[models.b]\nkind = "ets"\nfallback = "drift"\n').models
    assert (ar.fallback, b.fallback) == ("b", "drift")


def test_a_fallback_on_a_model_with_another_mistake_is_not_blamed(refused: Callable[..., list[str]]) -> None:
    (problem,) = refused(AR + 'fallback = "b"\n[models.b]\nkind = "etss"\n')
    assert problem.startswith("models.b.kind")


def test_a_source_no_dataset_declares_may_have_been_appended_by_the_user(load: Callable[..., Experiment]) -> None:
    assert load('[models.a]\nkind = "external"\nsource = "our_desk"\n').models[0].cutoff_known


def test_an_external_must_forecast_the_target(refused: Callable[..., list[str]]) -> None:
    (problem,) = refused(
        '[models.a]\nkind = "external"\nsource = "bank"\n', target='[target]\nseries = ["unemployment"]\n'
    )
    assert "issues no forecasts of toy/unemployment" in problem


def test_trees_grow_for_what_the_primary_score_asks(load: Callable[..., Experiment]) -> None:
    for primary, functional, objective in (("rmse", "mean", "regression"), ("mae", "median", "regression_l1")):
        (gbm,) = load(OWN + GBM + f'[score]\nprimary = "{primary}"\n').models
        assert (gbm.functional, dict(gbm.params)["objective"]) == (functional, objective)
