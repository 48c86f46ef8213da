"""Every kind of step by name: what it is built from, and how a step of an experiment file is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Params, Step
from harness.forecast.steps.columns import SCALINGS, STRATEGIES, Impute, Rank, Scale, Winsorise
from harness.forecast.steps.components import Pca
from harness.forecast.steps.encode import ENCODINGS, Encode
from harness.forecast.steps.foreign import sklearn_step, user_step
from harness.forecast.steps.protocol import ColumnStep
from harness.forecast.steps.resample import METHODS, Resample
from harness.forecast.steps.selection import SCORES, Select
from harness.forecast.user_class import is_user_class

RESAMPLE = "resample"


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
    entry = STEPS[kind]
    for name in params:
        if name not in (*entry.defaults, *entry.required):
            raise UnknownNameError(f"parameter of {kind}", name, (*entry.defaults, *entry.required))
    for name in entry.required:
        if name not in params:
            raise UserError(f"step {kind} needs {name}", fix=f'add {name} = ["..."]')
    resolved = {name: _frozen(value) for name, value in {**entry.defaults, **params}.items()}
    for name, value in resolved.items():
        _check(f"{kind}: {name}", value, entry.defaults.get(name, ()), entry.words.get(name))
    if kind == RESAMPLE:
        resolved = _of_method(resolved, params)
    entry.factory(**resolved)
    return tuple(sorted(resolved.items()))


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


def _check(name: str, value: object, default: object, words: tuple[str, ...] | None) -> None:
    if words is not None and value not in words:
        raise UserError(f"{name} is unknown", value=repr(value), rule=f"one of {', '.join(words)}")
    wanted: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        kind = "list" if isinstance(default, tuple) else "number" if float in wanted else wanted[-1].__name__
        raise UserError(f"{name} has the wrong type", value=repr(value), rule=f"a {kind}")
