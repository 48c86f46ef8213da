from collections.abc import Callable

import pytest

from harness.core.recipe import Experiment

AR = '[models.ar]\nkind = "autoregression"\n'


OWN = "[features.own]\nlatest = [1]\n"


@pytest.mark.parametrize("primary", ["rmse", "mae"])
def test_a_model_may_not_declare_to_forecast_what_it_does_not_estimate(
    refused: Callable[..., list[str]], primary: str
) -> None:
    score = f'[score]\nprimary = "{primary}"\n'
    (problem,) = refused(AR + 'functional = "median"\n' + score)
    assert "autoregression estimates the mean" in problem
    gbm = '[models.gbm]\nkind = "lightgbm"\nfunctional = "{}"\nparams = {{ objective = "{}" }}\n'
    for functional, objective in (("median", "regression"), ("mean", "l1")):
        (problem,) = refused(OWN + gbm.format(functional, objective) + score)
        assert "with this objective" in problem


@pytest.mark.parametrize(
    ("model", "functional"),
    [
        (AR, "mean"),
        ('[models.gbm]\nkind = "lightgbm"\n', "median"),
        ('[models.gbm]\nkind = "lightgbm"\nfunctional = "mean"\n', "mean"),
        ('[models.gbm]\nkind = "lightgbm"\nparams = { objective = "l2" }\n', "mean"),
        ('[models.gbm]\nkind = "lightgbm"\nparams = { objective = "quantile", alpha = 0.5 }\n', "median"),
        ('[models.r]\nkind = "sklearn"\nparams = { estimator = "sklearn.linear_model.Ridge" }\n', "mean"),
        ('[models.desk]\nkind = "external"\nsource = "desk"\n', "mean"),
        ('[models.desk]\nkind = "external"\nsource = "desk"\nfunctional = "median"\n', "median"),
    ],
)
def test_the_forecaster_and_not_the_score_says_what_is_forecast(
    load: Callable[..., Experiment], model: str, functional: str
) -> None:
    assert load(OWN + model + '[score]\nprimary = "mae"\n').models[0].functional == functional


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ('force_row_wise = "yes"', "models.gbm: lightgbm: not a value of force_row_wise: 'yes'; true or false"),
        ('boosting = "rf"', "models.gbm: lightgbm: refused together: boosting"),
        ("linear_tree = true", 'linear_tree = true and objective = "regression_l1"'),
    ],
)
def test_what_lightgbm_would_refuse_in_training_is_a_problem_of_the_file(
    refused: Callable[..., list[str]], params: str, said: str
) -> None:
    (problem,) = refused(OWN + f'[models.gbm]\nkind = "lightgbm"\nparams = {{ {params} }}\n[score]\nprimary = "mae"\n')
    assert said in problem


GBM = '[features.own]\nlatest = [1, 2]\nage = true\n[models.gbm]\nkind = "lightgbm"\nparams = { %s }\n'
SELECTED = '[[models.gbm.steps]]\nkind = "pca"\ncomponents = 2\n'
SEARCHED = "[models.gbm.search]\ntrials = 4\n[models.gbm.search.space]\n%s\n"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("monotone_constraints = [1, 0]", "2 for 3 columns; in this order: own.latest_1, own.latest_2, own.age"),
        ("interaction_constraints = [[0, 3]]", "names a column that is not there: 3, of 3 columns"),
        ("feature_contri = [1, 1]", "feature_contri has one entry for each column: 2 for 3 columns"),
        ("monotone_constraints = [1, 0, 5]", "not a value of monotone_constraints: [1, 0, 5]"),
    ],
)
def test_lists_of_lightgbm_are_held_against_the_columns_of_the_model(
    refused: Callable[..., list[str]], params: str, said: str
) -> None:
    (problem,) = refused(GBM % params)
    assert problem.startswith("models.gbm")
    assert said in problem


def test_lists_are_not_held_against_columns_that_are_chosen_later(
    refused: Callable[..., list[str]], load: Callable[..., Experiment]
) -> None:
    short = GBM % "monotone_constraints = [1, 0]"
    (problem,) = refused(short + SEARCHED % "num_leaves = { int = [2, 8] }")
    assert "2 for 3 columns" in problem
    load(
        GBM % "monotone_constraints = [1, 0, -1], interaction_constraints = [[0, 1], [2]], feature_contri = [1, 1, 0.5]"
    )
    load(short + SELECTED)


@pytest.mark.parametrize(
    ("primary", "message"), [("qlike", "variances only"), ("smape", "levels only"), ("bias", "one of")]
)
def test_a_score_that_does_not_suit_the_target_is_refused(
    refused: Callable[..., list[str]], primary: str, message: str
) -> None:
    (problem,) = refused(f'[score]\nprimary = "{primary}"\n')
    assert message in problem


@pytest.mark.parametrize(
    ("kpi", "message"),
    [
        ('unit = "x"\nunder = 1\nover = 1\ntrades = true\n', "origins.latency: missing"),
        ('unit = "x"\nunder = 0\nover = 0\n', "both prices are 0"),
        ('unit = "x"\nunder = 1\n', "kpi.over: missing"),
        ("under = 1\nover = 1\n", "kpi.unit: missing"),
        ('unit = "x"\nunder = nan\nover = 1\n', "0 or more"),
        ('unit = "x"\nunder = inf\nover = 1\n', "0 or more"),
        ('unit = "x"\nunder = 1\nover = 1\nkind = "linear"\n', "asymmetric_linear"),
    ],
)
def test_a_wrong_kpi_is_refused(refused: Callable[..., list[str]], kpi: str, message: str) -> None:
    problems = refused(f"[kpi]\n{kpi}")
    assert any(message in line for line in problems), problems


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("window = { rolling = 10 }\n", "more than the rolling window of 10 holds"),
        ("window = { rollng = 30 }\n", 'did you mean "rolling"?'),
        ('window = "sliding"\n', "expanding"),
        ("refit_every = 0\n", "1 or more"),
    ],
)
def test_a_wrong_training_window_is_refused(refused: Callable[..., list[str]], training: str, message: str) -> None:
    problems = refused(f"[training]\n{training}")
    assert any(message in line for line in problems), problems
