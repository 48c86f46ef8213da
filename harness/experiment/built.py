"""An experiment built in Python, before anything is made of it: every field holds what it is declared to hold."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.errors import ExperimentError
from harness.core.fields import misfits
from harness.core.reading import Problems
from harness.core.recipe import Experiment


def refuse_misbuilt(experiment: Experiment) -> None:
    """Refuse an experiment whose fields hold something else than a file could have put there.

    Raises:
        ExperimentError: every such field, one line each.
    """
    problems = Problems()
    for one in misfits(experiment, Experiment):
        problems.add(one.where, one.what, hint=one.hint)
    if not problems.lines:
        for where, number, least in _counted(experiment):
            if number < least:
                problems.add(f"{where} = {number}", f"at least {least}")
    if problems.lines:
        raise ExperimentError(str(experiment.name), problems.lines)


def _counted(experiment: Experiment) -> Iterator[tuple[str, int, int]]:
    """Every number that counts something: where it is, what it is, and the least it may be."""
    training, target = experiment.training, experiment.target
    yield "seed", experiment.seed, 0
    yield "target.season", target.season, 0
    yield "target.transform.span", target.transform.span, 1
    yield "origins.warm_up", experiment.origins.warm_up, 0
    yield "training.minimum", training.minimum, 1
    yield "training.refit_every", training.refit_every, 1
    if training.rolling is not None:
        yield "training.rolling", training.rolling, 1
    for place, model in enumerate(experiment.models):
        if model.refit_every is not None:
            yield f"models[{place}].refit_every", model.refit_every, 1
