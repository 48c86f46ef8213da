"""What stands at the head of a search's record: everything that was decided before its first trial."""

from __future__ import annotations

import optuna

from harness.backtest.keys import RecipeIdentity, known_digests, target_identity
from harness.backtest.tuning.folds import Fold
from harness.backtest.tuning.inner import Ground, Inner
from harness.backtest.tuning.pruning import FACTOR, STARTUP
from harness.backtest.tuning.samplers import distribution_of
from harness.core.identity import canonical
from harness.core.recipe import Recipe
from harness.core.search import Search

FORMAT = 1
OBJECTIVE = (
    "geometric mean over horizons of the metric, pooled over series and inner rows; rows without an answer are scored "
    "with the mean of the fold's training labels"
)


def study_head(ground: Ground, recipe: Recipe, identity: RecipeIdentity, inner: Inner, seed: int) -> dict[str, object]:
    """Declared space, sampler, pruner, budget, objective, inner plan and data identity, as JSON values.

    Nothing in it depends on what the model is called, nor on anything published after the outer origin.
    """
    search, plan = recipe.search, ground.plan
    assert search is not None  # noqa: S101 - only models with a search have studies
    return {
        "format": FORMAT,
        "origin": plan.instants[inner.origin].isoformat(),
        "target": canonical(target_identity(plan.experiment.target)),
        "horizons": list(plan.experiment.horizons),
        "kind": recipe.kind,
        "recipe": identity.text,
        "space": [{**_saved(one), "optuna": _distribution(one)} for one in search.space],
        "function": search.function,
        "space_is": "recorded as it unfolds, trial by trial" if search.function else "declared",
        "candidates": [one.name for one in search.candidates],
        "sampler": {"name": search.sampler, "optuna": optuna.__version__, "settings": _settings(search)},
        "seed": seed,
        "pruner": {"name": search.pruner, "startup": STARTUP, "factor": FACTOR},
        "budget": {
            "trials": search.trials,
            "seconds": search.seconds,
            "batch": search.batch,
            "patience": search.patience,
        },
        "objective": {"metric": search.objective, "pooled": OBJECTIVE},
        "inner": [_fold(inner, fold) for fold in inner.folds],
        "inner_origins": len(inner.origins),
        "data": {
            "series": list(identity.series),
            "known": known_digests(identity, plan, ground.changes, [inner.origin])[0],
        },
    }


def _saved(one: object) -> dict[str, object]:
    saved = canonical(one)
    return saved if isinstance(saved, dict) else {}


def _distribution(one: object) -> str:
    return optuna.distributions.distribution_to_json(distribution_of(one))  # type: ignore[arg-type]


def _settings(search: Search) -> dict[str, object]:
    """Settings of the sampler that are not Optuna's defaults."""
    if search.sampler == "tpe":
        grouped = bool(search.function) or any(one.when for one in search.space)
        return {"multivariate": True, "group": grouped}
    return {"scramble": True} if search.sampler == "qmc" else {}


def _fold(inner: Inner, fold: Fold) -> dict[str, object]:
    plan = inner.plan
    steps = plan.experiment.horizons
    return {
        "origin": plan.instants[fold.origin].isoformat(),
        "judged_at": [plan.instants[origin].isoformat() for origin in fold.origins],
        "training_rows": {str(steps[place]): len(some.origins) for place, some in sorted(fold.training.items())},
        "judged_rows": {str(steps[place]): len(some.origins) for place, some in sorted(fold.asked.items())},
    }
