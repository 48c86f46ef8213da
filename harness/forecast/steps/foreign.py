"""A step that is any scikit-learn compatible transformer: of scikit-learn by dotted name, or the user's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from harness.core.errors import UnknownNameError, UserError
from harness.core.transform import Floats
from harness.forecast.steps.rows import StepRows
from harness.forecast.user_class import load_user_object


class Foreign:
    """A transformer with `fit(X, y)` and `transform(X)`, given arrays [row, column].

    `random_state` is set from the step's seed and `n_jobs` to 1 where the transformer has them. What it fitted cannot
    be stored as text, so it is fitted again where it is needed.

    Args:
        name: how the experiment calls it.
        transformer: unfitted.
    """

    storable = False

    def __init__(self, name: str, transformer: Any) -> None:
        self.name, self._transformer = name, transformer
        self.takes_missing = _takes_missing(transformer)
        self.warnings: list[str] = []

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """Fit the transformer on the training rows."""
        given = self._transformer.get_params() if hasattr(self._transformer, "get_params") else {}
        fixed = {"random_state": seed, "n_jobs": 1}
        fixed = {name: value for name, value in fixed.items() if name in given}
        if fixed:
            self._transformer.set_params(**fixed)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._transformer.fit(np.array(rows.X), None if rows.y is None else np.array(rows.y))
        self.warnings = sorted({f"{one.category.__name__}: {one.message}" for one in caught})

    def transform(self, rows: StepRows) -> StepRows:
        """Apply it.

        Raises:
            UserError: it gives another number of rows.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = self._transformer.transform(np.array(rows.X))
        dense = made.toarray() if hasattr(made, "toarray") else np.asarray(made)
        X: Floats = np.asarray(dense, dtype=np.float64).reshape(len(dense), -1)
        if len(X) != len(rows):
            raise UserError(
                f"step {self.name} gave another number of rows", value=f"{len(X)} of {len(rows)}", rule="rows stay"
            )
        return rows.with_columns(self._names(rows.columns, X.shape[1]), X)

    def _names(self, columns: tuple[str, ...], count: int) -> tuple[str, ...]:
        short = self.name.replace(":", ".").rpartition(".")[2].lower()
        fallback = columns if len(columns) == count else tuple(f"{short}.{place + 1}" for place in range(count))
        if not hasattr(self._transformer, "get_feature_names_out"):
            return fallback
        try:
            given = tuple(str(name) for name in self._transformer.get_feature_names_out(list(columns)))
        except (AttributeError, TypeError, ValueError):  # some meta-transformers have no names to give
            return fallback
        return given if len(set(given)) == count else fallback

    def parameters(self) -> dict[str, object]:
        """Everything the transformer holds, as JSON values."""
        return {"fitted": as_json(self._transformer)}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Refused: only a fit can make it.

        Raises:
            UserError: always.
        """
        raise UserError(f"step {self.name} cannot be restored from text", fix="fit it again")


def sklearn_step(name: str, params: Mapping[str, object]) -> Foreign:
    """A transformer inside scikit-learn by its dotted name.

    Raises:
        UserError: there is no such transformer, or it does not take the parameters.
    """
    module, _, short = name.rpartition(".")
    try:
        found = import_module(module)
    except ImportError as error:
        raise UserError("no such module in scikit-learn", value=repr(module)) from error
    if not hasattr(found, short):
        raise UnknownNameError(f"transformer in {module}", short, [n for n in dir(found) if n[0].isupper()])
    try:
        made = getattr(found, short)(**params)
    except TypeError as error:
        raise UserError(f"{name} does not take these parameters", value=error) from error
    lacking = [method for method in ("fit", "transform") if not callable(getattr(made, method, None))]
    if lacking:
        raise UserError(f"{name} is no transformer", value=f"no method {lacking[0]}", rule="it has fit and transform")
    return Foreign(name, made)


def user_step(name: str, params: Mapping[str, object], folder: str) -> Foreign:
    """A transformer of the user's, `module:name`, found like a user's forecaster.

    Raises:
        UserError: as `load_user_object`.
    """
    methods = ("fit", "transform")
    return Foreign(name, load_user_object(name, folder=folder, params=params, methods=methods, noun="transformer"))


def _takes_missing(transformer: Any) -> bool:
    """What its tags say; a class without tags is taken at its word to bear what it is given."""
    if not hasattr(transformer, "__sklearn_tags__"):
        return True
    from sklearn.utils import get_tags  # noqa: PLC0415 - slow to import

    return bool(get_tags(transformer).input_tags.allow_nan)


def as_json(value: object, seen: tuple[int, ...] = ()) -> object:
    """Whatever an object holds, as JSON values that are equal when it is: arrays as lists, objects by attribute.

    >>> as_json({"mean_": np.array([1.0, np.nan]), "n": np.int64(3)})
    {'mean_': [1.0, None], 'n': 3}
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float) and np.isnan(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return "itself" if id(value) in seen else _held(value, (*seen, id(value)))


def _held(value: object, seen: tuple[int, ...]) -> object:
    """The inside of a container or an object; a function or a class is its name."""
    if isinstance(value, (list, tuple)):
        return [as_json(item, seen) for item in value]
    if isinstance(value, (set, frozenset)):
        return [as_json(item, seen) for item in sorted(value, key=str)]
    if isinstance(value, Mapping):
        return {str(key): as_json(value[key], seen) for key in sorted(value, key=str)}
    if isinstance(value, type) or callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    held: dict[str, object] = getattr(value, "__dict__", {})  # none for an object written in C
    inside = {name: as_json(item, seen) for name, item in sorted(held.items())}
    return {"class": type(value).__qualname__, **inside}
