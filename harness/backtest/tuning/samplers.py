"""Optuna as the one who draws: samplers, drawing one trial, telling what came of it."""

from __future__ import annotations

import importlib.util
import itertools
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from harness.backtest.tuning.functions import ask, load_function
from harness.backtest.tuning.objective import Outcome
from harness.core.errors import UserError
from harness.core.search import Domain, Search

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
GRID_LIMIT = 100_000


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its log lines and its warnings of what is experimental."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


@dataclass(slots=True)
class Drawn:
    """One trial as it was drawn.

    Attributes:
        number: of the trial, from 0.
        values: name in the space -> value.
        distributions: Optuna's, of the parameters drawn.
        params: Optuna's form of the values.
        trial: Optuna's trial, to be told; None for the declared defaults.
        failure: why the user's function could not draw it.
    """

    number: int
    values: dict[str, object]
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    trial: Trial | None = None
    failure: str = ""

    def frozen(self, outcome: Outcome, extra: Mapping[str, object] | None = None) -> FrozenTrial:
        """The trial with its outcome, as Optuna keeps it."""
        value = outcome.value if outcome.state != "failed" and isfinite(outcome.value) else None
        attributes = {**(extra or {}), **({"reason": outcome.reason} if outcome.reason else {})}
        return create_trial(
            state=STATES[outcome.state],
            value=value,
            params=self.params,
            distributions=self.distributions,
            user_attrs=attributes,
            intermediate_values=dict(enumerate(outcome.running)),
        )


class Drawer:
    """Draws trials in a sequence that depends on the seed and on what was told so far, and on nothing else.

    Args:
        search: what is searched.
        seed: of the study.
        folder: folder of the experiment file, for a space that is a function.
    """

    def __init__(self, search: Search, seed: int, folder: str = "") -> None:
        self.search, self._folder = search, folder
        grouped = bool(search.function) or any(one.when for one in search.space)
        self.study = optuna.create_study(sampler=sampler_of(search, seed, grouped=grouped))
        self._grid = grid_of(search, seed) if search.sampler == "grid" else None
        self._function = load_function(search.function, folder) if search.function else None

    def defaults(self, values: Mapping[str, object]) -> Drawn:
        """Trial 0: what is declared; only what could have been drawn is known to Optuna."""
        drawn = Drawn(0, dict(values))
        for one in self.search.space:
            value = drawn.values.get(one.name)
            if one.name in drawn.values and one.holds(value):
                drawn.distributions[one.name] = distribution_of(one)
                drawn.params[one.name] = label_of(one, value)
        drawn.params = {
            name: value for name, value in drawn.params.items() if _contains(drawn.distributions[name], value)
        }
        drawn.distributions = {name: drawn.distributions[name] for name in drawn.params}
        return drawn

    def batch(self, first: int, count: int) -> list[Drawn]:
        """The next trials, drawn before any of them is told; fewer when a grid is exhausted."""
        if self._grid is not None:
            count = min(count, len(self._grid) - (first - 1))
            for number in range(first, first + count):
                self.study.enqueue_trial(self._grid[number - 1])
        return [self._drawn(self.study.ask(), first + place) for place in range(count)]

    def tell(self, drawn: Drawn, outcome: Outcome) -> None:
        """Tell what came of a trial; trials are told in the order of their numbers."""
        if drawn.trial is None:
            whole = len(drawn.params) == len(drawn.values)
            told = drawn.frozen(outcome) if whole else drawn.frozen(Outcome("failed", float("nan")))
            self.study.add_trial(told)
            return
        if outcome.state == "complete":
            self.study.tell(drawn.trial, outcome.value)
            return
        for place, value in enumerate(outcome.running):
            drawn.trial.report(value, place)
        state = STATES[outcome.state] if outcome.running else TrialState.FAIL
        self.study.tell(drawn.trial, state=state)

    def _drawn(self, trial: Trial, number: int) -> Drawn:
        if self._function is not None:
            given = ask(self._function, trial)
            return Drawn(number, given.values, given.distributions, given.params, trial, given.failure)
        values: dict[str, object] = {}
        for one in self.search.space:
            if one.active(values):
                values[one.name] = suggested(trial, one)
        return Drawn(number, values, dict(trial.distributions), dict(trial.params), trial)


def sampler_of(search: Search, seed: int, *, grouped: bool) -> optuna.samplers.BaseSampler:
    """The sampler of a search."""
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=grouped, warn_independent_sampling=False)
    if search.sampler == "qmc":
        independent = optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.QMCSampler(scramble=True, seed=seed, independent_sampler=independent)
    if search.sampler == "cmaes":
        check_cmaes()
        independent = optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.CmaEsSampler(seed=seed, independent_sampler=independent, warn_independent_sampling=False)
    return optuna.samplers.RandomSampler(seed=seed)


def check_cmaes() -> None:
    """Refuse CMA-ES where its package is not installed.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("cmaes") is None:
        raise UserError('sampler = "cmaes" needs the package cmaes', fix='pip install "harness-backtest[cmaes]"')


def distribution_of(one: Domain) -> BaseDistribution:
    """Optuna's distribution of a domain."""
    if one.kind == "choice":
        return CategoricalDistribution([label_of(one, choice) for choice in one.choices])
    if one.kind == "int":
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return FloatDistribution(float(one.low), float(one.high), log=one.log, step=one.step)


def label_of(one: Domain, value: object) -> Any:
    """Optuna's form of a value: a list stands as its text."""
    return json.dumps(value) if one.kind == "choice" and isinstance(value, tuple) else value


def suggested(trial: Trial, one: Domain) -> object:
    """A value for one parameter, as parameters hold it."""
    if one.kind == "choice":
        labels = [label_of(one, choice) for choice in one.choices]
        return one.choices[labels.index(trial.suggest_categorical(one.name, labels))]
    if one.kind == "int":
        return trial.suggest_int(one.name, int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return trial.suggest_float(one.name, float(one.low), float(one.high), log=one.log, step=one.step)


def grid_of(search: Search, seed: int) -> list[dict[str, Any]]:
    """Every setting once, in an order drawn from the seed.

    Raises:
        UserError: a parameter with infinitely many values, or too many settings.
    """
    points = [grid_points(one) for one in search.space]
    size = int(np.prod([len(mine) for mine in points], dtype=np.float64))
    if size > GRID_LIMIT:
        raise UserError("a grid of too many settings", value=size, rule=f"at most {GRID_LIMIT}", fix="use larger steps")
    settings: dict[str, dict[str, Any]] = {}
    for combination in itertools.product(*points):
        values: dict[str, object] = {}
        for one, value in zip(search.space, combination, strict=True):
            if one.active(values):
                values[one.name] = value
        labels = {one.name: label_of(one, values[one.name]) for one in search.space if one.name in values}
        settings.setdefault(json.dumps(labels, sort_keys=True, default=str), labels)
    listed = list(settings.values())
    return [listed[place] for place in np.random.default_rng(seed).permutation(len(listed))]


def grid_points(one: Domain) -> list[object]:
    """The values a grid takes of one parameter.

    Raises:
        UserError: there are infinitely many.
    """
    if one.kind == "choice":
        return list(one.choices)
    if one.kind == "int":
        return list(range(int(one.low), int(one.high) + 1, int(one.step or 1)))
    if one.step is None:
        raise UserError(f"{one.name}: a grid needs a step", fix="add step = ..., or choose another sampler")
    return list(one.points())


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    try:
        inner = distribution.to_internal_repr(value)
    except (ValueError, TypeError):
        return False
    return distribution._contains(inner)  # noqa: SLF001 - Optuna has no public way to ask
