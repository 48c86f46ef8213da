"""An experiment built in Python, before anything is made of it: every field holds what it is declared to hold."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from numbers import Real

from harness.core.errors import ExperimentError
from harness.core.fields import misfits
from harness.core.reading import Problems
from harness.core.recipe import Experiment
from harness.experiment.keys import LEAST
from harness.experiment.target import OUTCOME_SAID, parse_outcome

NONE = 0
"""What stands for no season, and for no patience."""


def refuse_misbuilt(experiment: Experiment) -> None:
    """Refuse an experiment whose fields hold something else than a file could have put there.

    Raises:
        ExperimentError: every such field, one line each.
    """
    problems = Problems()
    for one in misfits(experiment, Experiment):
        problems.add(one.where, one.what, hint=one.hint)
    if not problems.lines:
        for where, number, least in _numbers(experiment):
            if number < least or not isfinite(number):
                problems.add(f"{where} = {number}", f"at least {least}" if number < least else "a finite number")
        for place, model in enumerate(experiment.models):
            lasts = None if model.search is None else model.search.seconds
            if lasts is not None and not lasts > 0:
                problems.add(f"models[{place}].search.seconds = {lasts}", "a number above 0")
        if parse_outcome(str(experiment.target.outcome)) is None:
            problems.add(f'target.outcome = "{experiment.target.outcome}"', OUTCOME_SAID)
    if problems.lines:
        raise ExperimentError(str(experiment.name), problems.lines)


def _numbers(experiment: Experiment) -> Iterator[tuple[str, float | Real, int]]:
    """Every number that may not be as small as one likes: where it is, what it is, and the least it may be."""
    target = experiment.target
    parts: list[tuple[str, object]] = [
        ("", experiment),
        ("target.transform.", target.transform),
        ("origins.", experiment.origins),
        ("training.", experiment.training),
        ("kpi.", experiment.kpi),
    ]
    yield "target.season", target.season, NONE
    for place, model in enumerate(experiment.models):
        parts += [(f"models[{place}].", model), (f"models[{place}].search.", model.search)]
        if model.search is not None:
            yield f"models[{place}].search.patience", model.search.patience, NONE
    for where, part in parts:
        for name, least in LEAST.items():
            number = getattr(part, name, None)
            if isinstance(number, Real):  # the span of a model is two days
                yield where + name, number, least
