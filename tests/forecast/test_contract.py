"""Every kind of the catalogue, and a class of the user, keeps the promises of `contract`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.core.recipe import Recipe
from harness.core.transform import Transform
from harness.forecast.catalog import CATALOG, build, check_target, entry_for, resolve_params
from tests.forecast.contract import GROWTH, HISTORIES, PROMISES, SOURCE, Case, answers_every_row

VOLATILITY = Transform("realised_volatility", 5, proxy="squared_log_return")
USER_MODULE = '''
from answering import steady

class Steady:
    """Answers one number, learned as the mean of the labels or given."""

    def __init__(self, level=1.5):
        self.level = level

    def fit(self, rows, snapshot, *, seed):
        if rows is not None and len(rows):
            self.level = float(sorted(rows.y)[len(rows) // 2])

    def predict(self, rows, snapshot):
        return steady(rows, self.level)
'''
USER_SIBLING = """
import polars as pl

def steady(rows, level):
    return rows.keys.select(
        "series_id", "horizon", "period",
        pl.lit(None, dtype=pl.Float64).alias("quantile"), pl.lit(level).alias("value"),
    )
"""


def of_kind(kind: str, *, name: str = "", folder: str = "", transform: Transform = GROWTH, **params: object) -> Case:
    if CATALOG.get(kind) is not None and CATALOG[kind].volatility:
        transform = VOLATILITY
    if kind == "arima":
        params.setdefault("max_iterations", 4)  # the promises hold wherever the optimiser stops
    entry = entry_for(kind)
    recipe = Recipe(name or kind, kind, resolve_params(kind, params), source=SOURCE if kind == "external" else "")
    return Case(name or kind, lambda: build(recipe, folder=folder), transform, entry.needs_rows)


BAGGED = {"bagging_fraction": 0.7, "bagging_freq": 1}
NEEDS = {"auto_ets": "statsforecast"}
"""Package of an extra by kind."""
CLASSICAL = ("autoregression", "arima", "ets", "theta")
BUILT_IN = [
    *(of_kind(kind) for kind in CATALOG if kind not in ("sklearn", "lightgbm", *NEEDS)),
    *(of_kind(kind) for kind, package in NEEDS.items() if find_spec(package)),
    of_kind("lightgbm", n_estimators=20),
    of_kind("lightgbm", name="lightgbm quantiles", n_estimators=10, quantiles=[0.1, 0.9], **BAGGED),
    of_kind("sklearn", estimator="sklearn.linear_model.Ridge"),
    of_kind(
        "sklearn",
        name="sklearn forest",
        estimator="sklearn.ensemble.RandomForestRegressor",
        estimator_params={"n_estimators": 5},
    ),
    *(of_kind(kind, name=f"{kind} on {on}", works_on=on) for kind in CLASSICAL for on in ("level", "target")),
    *(of_kind(kind, name=f"{kind} of volatility", transform=VOLATILITY) for kind in CLASSICAL),
    of_kind("autoregression", name="autoregression on trailing volatility", transform=VOLATILITY, works_on="target"),
    of_kind("har", name="har of volatilities", measure="volatility", windows=[1, 5]),
]  # fmt: skip
SLOW = ("arima on level", "arima on target", "arima of volatility", "lightgbm quantiles", "sklearn forest")
UNDER_CONTRACT = [pytest.param(case, marks=pytest.mark.slow) if case.name in SLOW else case for case in BUILT_IN]


@pytest.fixture(scope="module")
def user_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("experiments")
    Path(folder, "own_models.py").write_text(USER_MODULE)
    Path(folder, "answering.py").write_text(USER_SIBLING)
    case = of_kind("own_models:Steady", folder=str(folder), level=0.0)
    return replace(case, transform=GROWTH)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("case", UNDER_CONTRACT, ids=lambda case: case.name)
def test_every_row_is_answered_on_any_history(case: Case, history: str) -> None:
    answers_every_row(case, history)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("case", UNDER_CONTRACT, ids=lambda case: case.name)
def test_every_kind_keeps_the_promises(case: Case, promise: Callable[[Case], None]) -> None:
    promise(case)


def test_a_user_class_keeps_the_promises(user_case: Case) -> None:
    for history in HISTORIES:
        answers_every_row(user_case, history)
    for promise in PROMISES:
        promise(user_case)


def test_every_kind_of_the_catalogue_is_under_contract() -> None:
    names = {case.name.split()[0] for case in BUILT_IN}
    assert set(CATALOG) <= names | {"lightgbm", "sklearn", *(kind for kind in NEEDS if not find_spec(NEEDS[kind]))}
    for case in BUILT_IN:
        if case.name in CATALOG:
            check_target(Recipe(case.name, case.name), case.snapshot("healthy").target)  # type: ignore[arg-type]
