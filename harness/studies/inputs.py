"""Which inputs of a model are the target's own history, and which are other series."""

from __future__ import annotations

from harness.backtest.keys import blocks_of
from harness.backtest.splits import target_inputs
from harness.core.recipe import Experiment, FeatureBlock, Recipe
from harness.forecast.features import declared_inputs


def own_series(experiment: Experiment) -> set[str]:
    """Stored ids of the target's series and of all that it is made of."""
    return set(experiment.target.series) | target_inputs(experiment.target)


def reads_others(block: FeatureBlock, experiment: Experiment) -> bool:
    """Whether a block reads any series besides the target's own."""
    return bool(declared_inputs([block], experiment.target) - own_series(experiment))


def other_series(experiment: Experiment) -> set[str]:
    """Stored ids of the inputs that are not the target's own."""
    return declared_inputs(experiment.features, experiment.target) - own_series(experiment)


def blocks_on_others(recipe: Recipe, experiment: Experiment) -> list[FeatureBlock]:
    """The blocks of a recipe that read other series."""
    return [block for block in blocks_of(recipe, experiment) if reads_others(block, experiment)]
