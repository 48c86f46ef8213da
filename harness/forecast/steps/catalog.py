"""Every kind of step by name: what it is built from, and how a step of an experiment file is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite
from types import MappingProxyType
from typing import Any

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Params, Step
from harness.forecast.steps.columns import SCALINGS, STRATEGIES, Impute, Rank, Scale, Winsorise
from harness.forecast.steps.components import Pca
from harness.forecast.steps.encode import ENCODINGS, Encode
from harness.forecast.steps.foreign import sklearn_step, user_step
from harness.forecast.steps.protocol import ColumnStep
from harness.forecast.steps.resample import METHODS, RESAMPLE, Resample
from harness.forecast.steps.selection import SCORES, Select
from harness.forecast.user_class import is_user_class


@dataclass(frozen=True, slots=True)
class StepEntry:
    """One kind of step.

    Attributes:
        factory: called with the resolved parameters by keyword.
        doc: one line for the reference of the experiment file.
        defaults: every optional parameter with its default.
        required: parameters without a default; each is a list of names.
        words: what a parameter that is a word may be.
    """

    factory: Callable[..., ColumnStep | Resample]
    doc: str
    defaults: Mapping[str, object] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


STEPS: Mapping[str, StepEntry] = MappingProxyType(
    {
        "impute": StepEntry(
            Impute,
            "missing values become the column's median, mean or most frequent value, or a constant",
            {"strategy": "median", "value": 0.0, "indicator": False},
            words={"strategy": STRATEGIES},
        ),
        "winsorise": StepEntry(Winsorise, "values beyond two quantiles are moved to them", {"limits": (0.01, 0.99)}),
        "scale": StepEntry(
            Scale,
            "standard (mean, deviation), robust (median, interquartile range) or minmax (minimum, range)",
            {"method": "standard"},
            words={"method": SCALINGS},
        ),
        "rank": StepEntry(Rank, "a value's place among the training values, 0 to 1, ties in the middle"),
        "encode": StepEntry(
            Encode,
            "named columns, or `series_id`, as 0/1 columns (one_hot) or codes (ordinal) of their categories",
            {"method": "one_hot"},
            required=("columns",),
            words={"method": ENCODINGS},
        ),
        "select": StepEntry(
            Select,
            "columns whose name fits a pattern, of these the k best by F statistic (f) or mutual_information",
            {"k": 0, "method": "f", "names": ()},
            words={"method": SCORES},
        ),
        "pca": StepEntry(Pca, "the first principal components, centred, not scaled", {"components": 5}),
        RESAMPLE: StepEntry(
            Resample,
            "training rows drawn again: oversample, smote, moving_block or stationary",
            {"method": "oversample", "quantiles": (0.1, 0.9), "ratio": 1.0, "neighbours": 5, "block": 0},
            words={"method": tuple(METHODS)},
        ),
    }
)


_LISTS: Mapping[str, type] = MappingProxyType({"limits": float, "quantiles": float, "names": str, "columns": str})
"""Parameters that are lists, and of what."""
_NOUNS: Mapping[type, str] = MappingProxyType(
    {float: "number", int: "whole number", str: "text", bool: "flag (true or false)"}
)


def is_sklearn_name(kind: str) -> bool:
    """Whether a kind is a dotted name inside scikit-learn.

    >>> is_sklearn_name("sklearn.preprocessing.PowerTransformer"), is_sklearn_name("scale")
    (True, False)
    """
    parts = kind.split(".")
    return len(parts) > 2 and parts[0] == "sklearn" and all(part.isidentifier() for part in parts)


def resolve_step(kind: str, params: Mapping[str, object]) -> Params:
    """All parameters of a step, defaults filled in, sorted and hashable.

    >>> resolve_step("pca", {})
    (('components', 5),)

    Args:
        kind: a built-in kind, `sklearn.MODULE.Name` or `module:name`.
        params: what the experiment file gives beside `kind`.

    Raises:
        UnknownNameError: no such kind, or no such parameter.
        UserError: a parameter is missing, has the wrong type or a value that makes no sense.
    """
    if is_user_class(kind) or is_sklearn_name(kind):
        given = {name: _frozen(value) for name, value in params.items()}
        if is_sklearn_name(kind):
            sklearn_step(kind, given)
        return tuple(sorted(given.items()))
    if kind not in STEPS:
        raise UnknownNameError("step", kind, STEPS)
    for name, value in params.items():
        check_parameter(kind, name, value)
    entry = STEPS[kind]
    for name in entry.required:
        if name not in params:
            raise UserError(f"step {kind} needs {name}", fix=f'add {name} = ["..."]')
    resolved = {name: _frozen(value) for name, value in {**entry.defaults, **params}.items()}
    if kind == RESAMPLE:
        resolved = _of_method(resolved, params)
    entry.factory(**resolved)
    return tuple(sorted(resolved.items()))


def check_parameter(kind: str, name: str, value: object) -> None:
    """Hold one parameter of a built-in step against its name, its type and its words.

    Raises:
        UnknownNameError: the step has no such parameter.
        UserError: a wrong type, or a word it does not take.
    """
    entry = STEPS[kind]
    known = (*entry.defaults, *entry.required)
    if name not in known:
        raise UnknownNameError(f"parameter of {kind}", name, known)
    words = entry.words.get(name)
    if words is not None and value not in words:
        close = get_close_matches(str(value), words, n=1, cutoff=0.5)
        fix = f"did you mean {close[0]!r}?" if close else ""
        raise UserError(f"{kind}: unknown {name}", value=repr(value), rule=f"one of {', '.join(words)}", fix=fix)
    item = _LISTS.get(name) or type(entry.defaults[name])
    if not (_all_are(value, item) if name in _LISTS else _is(value, item)):
        rule = f"a list of {_NOUNS[item]}s" if name in _LISTS else f"a {_NOUNS[item]}"
        raise UserError(f"{kind}: {name} has the wrong type", value=repr(value), rule=rule)


def build_step(step: Step, *, folder: str = "") -> ColumnStep | Resample:
    """A step, unfitted.

    Args:
        step: resolved by `resolve_step`.
        folder: folder of the experiment file, where user classes are looked for first.

    Raises:
        UserError: no such kind, module or class, or parameters it does not take.
    """
    params = dict(step.params)
    if is_user_class(step.kind):
        return user_step(step.kind, params, folder)
    if is_sklearn_name(step.kind):
        return sklearn_step(step.kind, params)
    if step.kind not in STEPS:
        raise UnknownNameError("step", step.kind, STEPS)
    return STEPS[step.kind].factory(**params)


def check_order(steps: Sequence[Step]) -> None:
    """Refuse a list of steps that cannot be followed.

    Raises:
        UserError: rows would be resampled twice.
    """
    if sum(step.kind == RESAMPLE for step in steps) > 1:
        raise UserError("rows are resampled twice", rule="one resample step per list", fix="remove all but one")


def _of_method(resolved: dict[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """The parameters that belong to the method of resampling; another one given is refused."""
    method = str(resolved["method"])
    for name in given:
        if name != "method" and name not in METHODS[method]:
            belongs = ", ".join(other for other, names in METHODS.items() if name in names)
            raise UserError(f"resample: {name} does not belong to {method}", rule=f"it belongs to {belongs}")
    return {name: value for name, value in resolved.items() if name == "method" or name in METHODS[method]}


def _frozen(value: object) -> Any:
    if isinstance(value, Mapping):
        raise UserError("a table cannot be a parameter of a step", value=dict(value), rule="a word, number or list")
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _all_are(value: object, item: type) -> bool:
    return isinstance(value, (list, tuple)) and all(_is(one, item) for one in value)


def _is(value: object, item: type) -> bool:
    if item is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
    return type(value) is item
