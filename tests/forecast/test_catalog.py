"""The catalogue: recipes are complete, wrong names get a hint, and models are matched to targets."""

from __future__ import annotations

import inspect

import pytest

from harness.core.errors import UnknownNameError, UserError
from harness.core.identity import digest
from harness.core.recipe import Recipe, Target
from harness.core.transform import Transform
from harness.forecast import auto_ets, boosting, classical, regressors, smoothing, volatility
from harness.forecast.boosting_params import OWN
from harness.forecast.catalog import CATALOG, build, check_target, entry_for, resolve_params

VOLATILITY = Target(("sp",), Transform("realised_volatility", 22, proxy="squared_log_return"))
GROWTH = Target(("cpi",), Transform("log_growth", 4))
MADE_BY = {
    "ewma": volatility.ewma,
    "har": volatility.Har,
    "autoregression": classical.autoregression,
    "arima": classical.arima,
    "ets": smoothing.ets,
    "auto_ets": auto_ets.auto_ets,
    "theta": smoothing.theta,
    "lightgbm": boosting.LightGBM,
    "sklearn": regressors.Sklearn,
}


@pytest.mark.parametrize("kind", [kind for kind, entry in CATALOG.items() if entry.defaults or entry.required])
def test_the_stated_parameters_and_defaults_are_those_of_the_code(kind: str) -> None:
    parameters = inspect.signature(MADE_BY[kind]).parameters.values()
    entry = CATALOG[kind]
    named = {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    required = {name for name, default in named.items() if default is inspect.Parameter.empty}
    assert set(entry.required) == required
    given_only = (
        OWN if kind == "lightgbm" else set(entry.optional)
    )  # kept out of the identity of models that do not set them
    assert given_only <= set(named)
    for name, default in named.items():
        if name not in required | given_only:
            assert entry.defaults[name] == default, name
    if kind != "lightgbm":  # the rest are LightGBM's own names, with our defaults
        assert set(named) == {*entry.defaults, *entry.required, *entry.optional}


def test_a_resolved_recipe_is_complete_and_does_not_depend_on_how_it_was_written() -> None:
    plain = resolve_params("autoregression", {})
    spelled = resolve_params("autoregression", {"works_on": "step", "lags": [], "max_lags": 4})
    assert plain == spelled
    assert dict(plain) == CATALOG["autoregression"].defaults
    assert hash(plain) == hash(spelled)
    nested = resolve_params(
        "sklearn", {"estimator": "sklearn.svm.SVR", "estimator_params": {"C": 2.0, "kernel": "rbf"}}
    )
    assert dict(nested)["estimator_params"] == (("C", 2.0), ("kernel", "rbf"))
    assert digest(nested) == digest(resolve_params("sklearn", dict(reversed(nested))))


def test_wrong_names_get_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'autoregression'"):
        resolve_params("autoregresion", {})
    with pytest.raises(UnknownNameError, match="did you mean 'max_lags'"):
        resolve_params("autoregression", {"max_lag": 2})
    with pytest.raises(UnknownNameError, match="model kind"):
        entry_for("not a kind")
    with pytest.raises(UnknownNameError, match="parameter of drift"):
        resolve_params("drift", {"decay": 0.5})


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("autoregression", {"max_lags": "4"}),
        ("autoregression", {"max_lags": True}),
        ("autoregression", {"lags": 3}),
        ("autoregression", {"works_on": "growth"}),
        ("ewma", {"decay": "high"}),
        ("ets", {"damped": 1}),
        ("lightgbm", {"quantiles": 0.5}),
    ],
)
def test_values_of_the_wrong_type_are_refused(kind: str, params: dict[str, object]) -> None:
    with pytest.raises(UserError):
        resolve_params(kind, params)


def test_a_whole_number_serves_where_a_decimal_is_meant() -> None:
    assert dict(resolve_params("theta", {"theta": 2}))["theta"] == 2


@pytest.mark.parametrize(
    ("recipe", "target"),
    [
        (Recipe("har", "har"), GROWTH),
        (Recipe("ewma", "ewma"), GROWTH),
        (Recipe("drift", "drift"), VOLATILITY),
        (Recipe("mpr", "external"), VOLATILITY),
        (Recipe("ar", "autoregression", (("works_on", "level"),)), VOLATILITY),
        (Recipe("mpr", "external"), Target(("a",), Transform("spread", other="b"))),
    ],
    ids=lambda one: one.kind if isinstance(one, Recipe) else f"for {one.transform.kind}",
)
def test_a_model_that_cannot_answer_the_target_is_refused(recipe: Recipe, target: Target) -> None:
    with pytest.raises(UserError):
        check_target(recipe, target)


@pytest.mark.parametrize("target", [GROWTH, VOLATILITY], ids=["growth", "volatility"])
def test_a_model_that_can_answer_the_target_is_not_refused(target: Target) -> None:
    check_target(Recipe("ar", "autoregression", resolve_params("autoregression", {})), target)
    check_target(Recipe("own", "my_models:Trend"), target)


def test_a_recipe_is_built_with_its_parameters() -> None:
    built = build(Recipe("mpr", "external", source="bank"))
    assert getattr(built, "source", None) == "bank"
    assert build(Recipe("ar", "autoregression", resolve_params("autoregression", {}))) is not None
