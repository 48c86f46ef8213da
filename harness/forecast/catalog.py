"""Every kind of forecaster by name: what it is built from, what it needs, and the rivals that are always on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Literal

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Functional, Params, Recipe, Target
from harness.forecast.baselines import RULES, Naive
from harness.forecast.boosting_params import NATIVE, OBJECTIVES, OWN
from harness.forecast.protocol import Forecaster
from harness.forecast.steps import with_steps
from harness.forecast.user_class import is_user_class, load_user_class

REFERENCE = "last_value"
VOLATILITY_REFERENCE = "trailing_window"
WORKS_ON = ("step", "level", "target")
ZERO_KINDS = frozenset({"difference", "return", "log_return"})


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One kind of forecaster.

    Attributes:
        factory: called with the resolved parameters by keyword (`external` also with its `source`).
        doc: one line for the reference of the experiment file.
        defaults: every parameter with its default.
        required: parameters without a default.
        optional: parameters that are part of a model's identity only where they are given.
        needs_rows: learns from feature rows, so a recipe must name features.
        needs_snapshot: reads series from the snapshot.
        fitted: estimates something; False = `fit` does nothing and no fit need be stored.
        functional: what its point forecast estimates; "" = nothing (naive rules), or what the user declares.
        volatility: True = for realised-volatility targets only, False = not for them, None = for any target.
        alone: what it answers for a series depends on that series, and on inputs that all share, and on nothing else:
            not on which other series are in the snapshot. One that is fitted is a `protocol.Apart`.
    """

    factory: Callable[..., Forecaster]
    doc: str
    defaults: Mapping[str, object] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    optional: Collection[str] = ()
    needs_rows: bool = False
    needs_snapshot: bool = True
    fitted: bool = True
    functional: Functional | Literal[""] = "mean"
    volatility: bool | None = None
    alone: bool = False


def _later(module: str, name: str) -> Callable[..., Forecaster]:
    """A factory that imports its library only when a model is built."""

    def make(**params: object) -> Forecaster:
        made: Forecaster = getattr(import_module(f"harness.forecast.{module}"), name)(**params)
        return made

    return make


def _rival(kind: str, doc: str, *, volatility: bool | None = None) -> CatalogEntry:
    rule = partial(Naive, RULES[kind])
    return CatalogEntry(rule, doc, fitted=False, functional="", volatility=volatility, alone=True)


_WORKS_ON = {"works_on": "step"}

CATALOG: Mapping[str, CatalogEntry] = MappingProxyType(
    {
        "last_value": _rival("last_value", "last published value of the transformed target", volatility=False),
        "seasonal_last_value": _rival(
            "seasonal_last_value", "newest published value of the same season", volatility=False
        ),
        "drift": _rival("drift", "last value plus the mean one-period change per period ahead", volatility=False),
        "historic_mean": _rival("historic_mean", "mean of all published values", volatility=False),
        "zero": _rival("zero", "no change, no return", volatility=False),
        "path_zero": _rival("path_zero", "known steps, unknown ones zero", volatility=False),
        "path_mean_step": _rival(
            "path_mean_step", "known steps, unknown ones the historic mean step", volatility=False
        ),
        "path_last_step": _rival(
            "path_last_step", "known steps, unknown ones the last published step", volatility=False
        ),
        "path_seasonal_step": _rival(
            "path_seasonal_step", "known steps, unknown ones the newest step of their season", volatility=False
        ),
        "trailing_window": _rival("trailing_window", "last complete trailing window", volatility=True),
        "expanding_mean": _rival("expanding_mean", "mean of all variance proxies", volatility=True),
        "ewma": CatalogEntry(
            _later("volatility", "ewma"),
            "exponentially weighted variance proxies",
            {"decay": 0.94},
            fitted=False,
            volatility=True,
            alone=True,
        ),
        "har": CatalogEntry(
            _later("volatility", "Har"),
            "least squares on 1-, 5- and 22-session trailing volatility, one regression per horizon",
            {"measure": "log", "windows": (1, 5, 22), "max_ahead": 66},
            volatility=True,
            alone=True,
        ),
        "autoregression": CatalogEntry(
            _later("classical", "autoregression"),
            "autoregression by least squares, order chosen by an information criterion at each refit",
            {"max_lags": 4, "lags": (), "criterion": "bic", "constant": True, **_WORKS_ON},
            alone=True,
        ),
        "arima": CatalogEntry(
            _later("classical", "arima"),
            "seasonal ARIMA in state space form by maximum likelihood",
            {"order": (1, 0, 1), "seasonal_order": (0, 0, 0), "trend": "c", "max_iterations": 50, **_WORKS_ON},
            alone=True,
        ),
        "ets": CatalogEntry(
            _later("smoothing", "ets"),
            "exponential smoothing by maximum likelihood",
            {
                "error": "add",
                "trend": "none",
                "damped": False,
                "seasonal": "auto",
                "max_iterations": 50,
                **_WORKS_ON,
            },
            alone=True,
        ),
        "auto_ets": CatalogEntry(
            _later("auto_ets", "auto_ets"),
            "exponential smoothing by statsforecast, components chosen by the corrected AIC",
            {"components": "ZZZ", "damped": "auto", "max_iterations": 2000, **_WORKS_ON},
            alone=True,
        ),
        "theta": CatalogEntry(
            _later("smoothing", "theta"),
            "theta method with a test for seasonality",
            {"theta": 2.0, "deseasonalize": True, **_WORKS_ON},
            alone=True,
        ),
        "lightgbm": CatalogEntry(
            _later("boosting", "LightGBM"),
            "gradient boosted trees, one model per horizon, pooled over series",
            {
                "objective": "regression",
                "quantiles": (),
                "n_estimators": 200,
                "learning_rate": 0.05,
                "num_leaves": 15,
                "min_data_in_leaf": 5,
                "min_data_per_group": 20,
                "num_threads": 1,
            },
            optional=NATIVE | OWN,
            needs_rows=True,
        ),
        "sklearn": CatalogEntry(
            _later("regressors", "Sklearn"),
            "any scikit-learn regressor, one per horizon, pooled over series",
            {"estimator_params": ()},
            required=("estimator",),
            optional=("series_feature",),
            needs_rows=True,
            functional="",
        ),
        "external": CatalogEntry(
            _later("external", "External"),
            "forecasts made elsewhere, each from the instant it was issued",
            fitted=False,
            functional="",
            volatility=False,
        ),
    }
)


def entry_for(kind: str) -> CatalogEntry:
    """The catalogue entry of a kind; a user class `module:name` gets a plain one.

    Raises:
        UnknownNameError: no such kind.
    """
    if kind in CATALOG:
        return CATALOG[kind]
    if is_user_class(kind):
        return CatalogEntry(partial(load_user_class, kind), "a class of the user", functional="")
    raise UnknownNameError("model kind", kind, CATALOG)


def resolve_params(kind: str, params: Mapping[str, object]) -> Params:
    """All parameters of a model, defaults filled in, sorted and hashable (lists and tables become tuples).

    >>> resolve_params("ewma", {})
    (('decay', 0.94),)

    Args:
        kind: a kind of the catalogue or `module:name`.
        params: what the experiment file gives.

    Raises:
        UnknownNameError: no such kind, or no such parameter.
        UserError: a required parameter is missing, or a value has the wrong type.
    """
    entry = entry_for(kind)
    if is_user_class(kind):
        return tuple(sorted((name, _frozen(value)) for name, value in params.items()))
    known = {*entry.defaults, *entry.required, *entry.optional}
    for name in params:
        if name not in known:
            raise UnknownNameError(f"parameter of {kind}", name, known)
    missing = [name for name in entry.required if name not in params]
    if missing:
        raise UserError(f"model kind {kind} needs {missing[0]}", fix=f'add params = {{ {missing[0]} = "..." }}')
    resolved = {name: _frozen(value) for name, value in {**entry.defaults, **params}.items()}
    for name, default in entry.defaults.items():
        _check_type(f"{kind}: {name}", resolved[name], default)
    if resolved.get("works_on", "step") not in WORKS_ON:
        raise UserError(f"{kind}: unknown works_on", value=repr(resolved["works_on"]), rule=f"one of {WORKS_ON}")
    return tuple(sorted(resolved.items()))


def estimated(kind: str, params: Mapping[str, object]) -> Functional | Literal[""]:
    """What a model's point forecast estimates; "" = a naive rule that claims nothing, or whatever its user declares.

    >>> (
    ...     estimated("ets", {}),
    ...     estimated("lightgbm", {"objective": "l1"}),
    ...     estimated("external", {}),
    ...     estimated("zero", {}),
    ... )
    ('mean', 'median', '', '')
    """
    if kind == "lightgbm" and "objective" in params:
        return "median" if OBJECTIVES.get(str(params["objective"])) == "median" else "mean"
    return entry_for(kind).functional


def learns_from_rows(kind: str) -> bool:
    """Whether a kind can be given feature rows.

    >>> learns_from_rows("lightgbm"), learns_from_rows("my_models:Trend"), learns_from_rows("drift")
    (True, True, False)
    """
    return is_user_class(kind) or entry_for(kind).needs_rows


def learns_from_rows_alone(recipe: Recipe) -> bool:
    """Whether a model reads nothing but its rows and what the target is, and frees Python's threads while it learns.

    >>> learns_from_rows_alone(Recipe("gbm", "lightgbm")), learns_from_rows_alone(Recipe("drift", "drift"))
    (True, False)
    """
    return recipe.kind == "lightgbm" and recipe.search is None and not recipe.steps


def answers_alone(recipe: Recipe) -> bool:
    """Whether a model may be fitted and asked for some series of a panel and then for others: it joins nothing.

    >>> [answers_alone(Recipe("it", kind)) for kind in ("drift", "autoregression", "lightgbm")]
    [True, True, False]
    """
    joins = recipe.search or recipe.steps or recipe.features or recipe.source
    return entry_for(recipe.kind).alone and not joins


def build(recipe: Recipe, *, folder: str = "") -> Forecaster:
    """The forecaster of a recipe, unfitted, behind the recipe's steps.

    Args:
        recipe: resolved by `resolve_params`.
        folder: folder of the experiment file, where user classes are looked for first.

    Raises:
        UserError: no such kind, module or class, or parameters its constructor does not take; steps that cannot be
            built, or of a model without feature rows.
    """
    if not recipe.steps:
        return _bare(recipe, folder)
    if not learns_from_rows(recipe.kind):
        raise UserError(
            f"{recipe.name}: {recipe.kind} learns from no feature rows, so steps have nothing to work on",
            fix="remove its steps",
        )
    return with_steps(partial(_bare, recipe, folder), recipe.steps, folder=folder)


def _bare(recipe: Recipe, folder: str) -> Forecaster:
    entry = entry_for(recipe.kind)
    params = dict(recipe.params)
    if recipe.kind == "external":
        params["source"] = recipe.source
    if is_user_class(recipe.kind):
        params = {"folder": folder, "params": params}
    return entry.factory(**params)


def check_target(recipe: Recipe, target: Target) -> None:
    """Refuse a model that cannot answer this target.

    Raises:
        UserError: a volatility model for another target, or the other way round; an external for a spread;
            `works_on = "level"` for volatility.
    """
    entry = entry_for(recipe.kind)
    volatile = target.transform.is_volatility
    if entry.volatility is not None and entry.volatility != volatile:
        raise UserError(
            f"model kind {recipe.kind} does not fit the target",
            value=target.transform.kind,
            rule="for realised volatility only" if entry.volatility else "not for realised volatility",
            fix=f"remove the model {recipe.name!r} or choose another kind",
        )
    if recipe.kind == "external" and target.transform.kind == "spread":
        raise UserError(
            f"{recipe.name}: an external forecast of one series is none of a spread",
            fix=f"remove the model {recipe.name!r}",
        )
    if volatile and dict(recipe.params).get("works_on") == "level":
        raise UserError(
            f"{recipe.name}: a realised volatility has no level to work on", fix='works_on = "step" or "target"'
        )


def reference_name(target: Target) -> str:
    """Kind and name of the rival that stands in for missing forecasts.

    >>> reference_name(Target(("cpi",)))
    'last_value'
    """
    return VOLATILITY_REFERENCE if target.transform.is_volatility else REFERENCE


def always_on(target: Target) -> tuple[Recipe, ...]:
    """The rivals that cannot be switched off (law 7, S22), the reference first; their names are their kinds.

    >>> [recipe.name for recipe in always_on(Target(("cpi",)))]
    ['last_value', 'seasonal_last_value', 'drift', 'historic_mean']
    """
    transform = target.transform
    if transform.is_volatility:
        kinds = [VOLATILITY_REFERENCE, "ewma", "expanding_mean"]
    else:
        kinds = [REFERENCE, "seasonal_last_value", "drift", "historic_mean"]
        if transform.kind in ZERO_KINDS:
            kinds.append("zero")
        if transform.span > 1:
            kinds += ["path_zero", "path_mean_step", "path_last_step", "path_seasonal_step"]
    return tuple(Recipe(name=kind, kind=kind, params=resolve_params(kind, {}), rival=True) for kind in kinds)


def _frozen(value: object) -> object:
    if isinstance(value, Mapping):
        return tuple(sorted((str(key), _frozen(item)) for key, item in value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _check_type(name: str, value: object, default: object) -> None:
    wanted: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        kind = "list" if isinstance(default, tuple) else wanted[-1].__name__
        raise UserError(f"{name} has the wrong type", value=repr(value), rule=f"a {kind}, for example {default!r}")
