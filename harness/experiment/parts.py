"""An experiment in parts: what a file says as far as it could be made out, or all of one built in Python."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.claim import Claim
from harness.core.recipe import Experiment, FeatureBlock, Kpi, Origins, Recipe, Target, Training, Vintage


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an experiment as far as they could be made out.

    Attributes:
        target, origins, horizons, training, features, models, score_primary, kpi, vintage, claim: as in
            `Experiment`; None = not.
        blocks, names: names of all feature blocks and models, those that could not be made out included.
    """

    target: Target | None
    origins: Origins | None
    horizons: tuple[int, ...]
    training: Training
    features: tuple[FeatureBlock, ...]
    models: tuple[Recipe, ...]
    score_primary: str
    kpi: Kpi | None
    blocks: tuple[str, ...]
    names: tuple[str, ...]
    vintage: Vintage
    claim: Claim | None = None


def parts_of(experiment: Experiment) -> Parts:
    """All parts of a whole experiment but its claim: that binds no run, and is judged when an opening is planned."""
    return Parts(
        experiment.target,
        experiment.origins,
        experiment.horizons,
        experiment.training,
        experiment.features,
        experiment.models,
        experiment.score_primary,
        experiment.kpi,
        blocks=tuple(block.name for block in experiment.features),
        names=tuple(model.name for model in experiment.models),
        vintage=experiment.vintage,
    )


def named_series(experiment: Experiment) -> set[str]:
    """Stored ids of every series an experiment names."""
    target = experiment.target
    named = {*target.series, *filter(None, target.transform.inputs(""))}
    for block in experiment.features:
        for series in [block.series] if block.series else target.series:
            named |= {series, *block.transform.inputs(series)}
    return named
