"""A space that is a user's function: loaded, asked for one trial, and its answer made plain enough to be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import Trial

from harness.core.errors import UserError, raise_lack, reason_of
from harness.forecast.user_class import load_module


@dataclass(frozen=True, slots=True)
class Given:
    """What a function gave for one trial.

    Attributes:
        values: name in the space -> plain value.
        distributions, params: what it drew, as Optuna has it, with plain values.
        failure: why there is no setting; "" = there is one.
    """

    values: dict[str, object] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


def load_function(name: str, folder: str) -> Any:
    """A user's `module:function` beside the experiment file.

    Raises:
        UserError: it is not there.
    """
    module, _, attribute = name.partition(":")
    found = getattr(load_module(module, folder), attribute, None)
    if not callable(found):
        raise UserError("no such function for a space", value=name, rule="module:function beside the experiment file")
    return found


def ask(function: Any, trial: Trial) -> Given:
    """Ask a function for one trial; whatever it raises or gives that is no setting is a failure with its reason."""
    values, failure = dict[str, object](), ""
    try:
        given = function(trial)
        values = plain_table(dict(given or trial.params))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failed trial with its reason, like any other
        raise_lack(error)
        failure = f"space: {reason_of(error)}"[:300]
    distributions, params = dict[str, BaseDistribution](), dict[str, Any]()
    for name, one in trial.distributions.items():
        try:
            distribution, value = _plain_distribution(one), plain(trial.params[name])
        except ValueError as error:
            failure = failure or f"space: {name!a}: {reason_of(error)}"[:300]
            continue
        distributions[_text(name)], params[_text(name)] = distribution, value
    return Given(dict(params) if failure else values, distributions, params, failure)


def plain_table(given: Mapping[Any, object]) -> dict[str, object]:
    """Names and values as parameters hold them.

    Raises:
        ValueError: one that cannot be recorded.
    """
    out = {}
    for name, value in given.items():
        try:
            out[_text(str(name))] = plain(value)
        except ValueError as error:
            raise ValueError(f"{name!a}: {error}") from error
    return out


def plain(value: object) -> object:
    """A value as parameters hold it: NumPy's numbers and arrays are Python's, lists are tuples.

    >>> plain(np.int64(3)), plain([np.float64(0.5), "a"])
    (3, (0.5, 'a'))

    Raises:
        ValueError: it cannot be recorded.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    if isinstance(value, Mapping):
        return plain_table(value)
    raise ValueError(f"a {type(value).__name__} is no value of a parameter")


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!a} is not text") from error
    return str(text)


def _plain_distribution(one: BaseDistribution) -> BaseDistribution:
    if isinstance(one, CategoricalDistribution):
        return CategoricalDistribution([plain(choice) for choice in one.choices])  # type: ignore[misc]
    return one
