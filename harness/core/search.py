"""What is searched, and how: typed ranges with conditions, budget, sampler and inner plan of one model's tuning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness.core.recipe import Recipe

Sampler = Literal["tpe", "random", "grid", "qmc", "cmaes"]
SAMPLERS: tuple[Sampler, ...] = ("tpe", "random", "grid", "qmc", "cmaes")
Pruner = Literal["none", "median", "halving"]
PRUNERS: tuple[Pruner, ...] = ("none", "median", "halving")
DomainKind = Literal["int", "float", "choice"]
KIND, FEATURES, STEPS = "kind", "features", "steps"
"""Names in a space that are no parameters: model table, feature blocks, parameters of steps (`steps.K.NAME`)."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What one parameter may be.

    Attributes:
        name: `num_leaves`; `steps.2.k` (parameter of the second step); `features`; `kind` (names of model tables);
            `ets.trend` (parameter of the model table `ets`, one of the kinds).
        kind: `int`, `float` or `choice`.
        low, high: both may be drawn (int and float).
        log: drawn evenly in logarithms.
        step: distance of the values that may be drawn, from `low` on; None = any (float), 1 (int).
        choices: the values of a choice; lists are tuples.
        default: what the recipe declares; None = left to the library.
        when: drawn only where every one of these parameters has one of these values.
    """

    name: str
    kind: DomainKind
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[object, ...] = ()
    default: object = None
    when: tuple[tuple[str, tuple[object, ...]], ...] = ()

    def active(self, values: Mapping[str, object]) -> bool:
        """Whether the parameter is drawn, given those drawn before it."""
        return all(name in values and values[name] in allowed for name, allowed in self.when)

    def points(self) -> tuple[float, ...]:
        """Every value of a range with a step, in decimal arithmetic, so that none lies a rounding beyond an end.

        >>> Domain("rate", "float", 0.0, 0.3, step=0.1).points()
        (0.0, 0.1, 0.2, 0.3)
        """
        low, high, step = (Decimal(str(one)) for one in (self.low, self.high, self.step or 1))
        return tuple(float(low + place * step) for place in range(int((high - low) / step) + 1))

    @property
    def top(self) -> float:
        """The highest value that can be drawn: steps may not lead to `high`.

        >>> Domain("k", "int", 1, 10, step=4).top
        9.0
        """
        if self.step is None:
            return self.high
        low, high, step = (Decimal(str(one)) for one in (self.low, self.high, self.step))
        return float(low + int((high - low) / step) * step)

    def holds(self, value: object) -> bool:
        """Whether a value could have been drawn (up to the step and rounding).

        >>> Domain("k", "int", 1, 4).holds(4), Domain("k", "int", 1, 4).holds(5)
        (True, False)
        """
        if self.kind == "choice":
            return any(value == one and type(value) is type(one) for one in self.choices)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        inside = self.low - self._rounding <= value <= self.high + self._rounding
        return inside and (self.kind == "float" or value == int(value))

    def at_edge(self, value: object) -> bool:
        """Whether a drawn value sits at an end of the range: better ones may lie beyond.

        >>> Domain("k", "int", 1, 4).at_edge(4), Domain("k", "int", 1, 4).at_edge(3)
        (True, False)
        """
        if self.kind == "choice" or self.low >= self.top or not isinstance(value, (int, float)):
            return False
        return min(abs(value - self.low), abs(value - self.top)) <= self._rounding

    @property
    def _rounding(self) -> float:
        """How far a value drawn in steps may be off: sums of steps are rounded."""
        return 0.0 if self.step is None or self.kind != "float" else 1e-8 * self.step

    def text(self) -> str:
        """The range as an experiment file has it.

        >>> Domain("k", "int", 1, 64, log=True).text()
        'int 1 to 64, log'
        """
        if self.kind == "choice":
            said = "one of " + ", ".join(json.dumps(one) for one in self.choices)
        else:
            said = f"{self.kind} {self.low:g} to {self.high:g}"
            said += ", log" if self.log else ""
            said += f", step {self.step:g}" if self.step is not None else ""
        for name, allowed in self.when:
            said += f", when {name} is {' or '.join(map(str, allowed))}"
        return said


@dataclass(frozen=True, slots=True)
class Search:
    """How a model is tuned inside each training window.

    Attributes:
        space: what is searched, a parameter after those its condition names; () where a function draws.
        function: `module:function` of an Optuna trial beside the experiment file, "" = none.
        code: hash of the files behind `function`.
        trials: trials at most, the declared defaults included; None = no such limit.
        seconds: seconds since the search began after which no further batch begins; None = no such limit.
        sampler: how trials are drawn.
        pruner: how hopeless trials are ended after an inner fold, by comparison with earlier batches.
        batch: trials drawn together and told together.
        patience: trials without an improvement after which no further batch begins; 0 = no such limit.
        folds: inner folds.
        retune_every: origins between two searches, a multiple of the refit cadence; None = that cadence.
        candidates: the model tables that `kind` chooses among, besides the model's own.
        objective: the metric that is minimised on inner rows: the experiment's primary one.
    """

    space: tuple[Domain, ...] = ()
    function: str = ""
    code: str = ""
    trials: int | None = 40
    seconds: float | None = None
    sampler: Sampler = "tpe"
    pruner: Pruner = "none"
    batch: int = 4
    patience: int = 0
    folds: int = 3
    retune_every: int | None = None
    candidates: tuple[Recipe, ...] = ()
    objective: str = ""

    def domain(self, name: str) -> Domain | None:
        """What one parameter may be; None = it is not searched."""
        return next((one for one in self.space if one.name == name), None)


def as_value(value: object) -> object:
    """A JSON value as parameters hold it: lists are tuples.

    >>> as_value([1, [2, 3]])
    (1, (2, 3))
    """
    if isinstance(value, (list, tuple)):
        return tuple(map(as_value, value))
    return value


def domain_from(saved: Mapping[str, object]) -> Domain:
    """A domain from its record."""
    fields = {name: as_value(value) for name, value in saved.items()}
    return Domain(**fields)  # type: ignore[arg-type]


def narrowed(before: Domain, after: Domain) -> bool:
    """Whether a range leaves out what an earlier one had.

    >>> narrowed(Domain("k", "int", 1, 64), Domain("k", "int", 8, 64))
    True
    """
    if before.kind == "choice":
        return not all(after.holds(one) for one in before.choices)
    if after.kind == "choice":
        return True
    return after.low > before.low or after.high < before.high or _coarser(before, after)


def _coarser(before: Domain, after: Domain) -> bool:
    """Whether steps pass over values that could be drawn before."""
    old, new = (one.step or (1.0 if one.kind == "int" else None) for one in (before, after))
    if new is None or old is None:
        return new is not None
    return any(abs(ratio - round(ratio)) > 1e-6 for ratio in (old / new, (before.low - after.low) / new))
