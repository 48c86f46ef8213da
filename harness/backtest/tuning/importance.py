"""How much each parameter mattered among the trials of a search."""

from __future__ import annotations

from collections.abc import Mapping

import optuna

from harness.backtest.tuning.samplers import distribution_of, label_of, quiet
from harness.backtest.tuning.study import outcome_of
from harness.backtest.tuning.unfolded import unfolded
from harness.core.search import Domain, as_value, domain_from
from harness.record.studies import StudyRecord

LEAST = 8
"""Complete trials below which nothing is said."""


def importance(record: StudyRecord) -> dict[str, float]:
    """Parameter -> share of what the best trials have in common; the shares add up to 1.

    Args:
        record: of a search.

    Returns:
        {} with fewer than 8 complete trials, equal objectives, or a function that names nothing as it drew it.

    Source:
        Watanabe, Bansal and Hutter (2023), PED-ANOVA, as Optuna computes it.
    """
    saved = record.head.get("space")
    space = [_domain(one) for one in saved] if isinstance(saved, list) else []
    space = space or unfolded(record.trials)
    complete = [line for line in record.trials if line["state"] == "complete"]
    if len(complete) < LEAST or not space or len({line["value"] for line in complete}) == 1:
        return {}
    with quiet():
        study = optuna.create_study()
        for line in complete:
            study.add_trial(_trial(space, line))
        try:
            found = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError):  # every trial drew the same value, for example
            return {}
    return {name: float(value) for name, value in found.items()}


def _domain(saved: Mapping[str, object]) -> Domain:
    return domain_from({name: value for name, value in saved.items() if name != "optuna"})


def _trial(space: list[Domain], line: Mapping[str, object]) -> optuna.trial.FrozenTrial:
    params = line["params"]
    values = {str(name): as_value(value) for name, value in params.items()} if isinstance(params, dict) else {}
    drawn = [one for one in space if one.name in values and one.holds(values[one.name])]
    labels = {one.name: label_of(one, values[one.name]) for one in drawn}
    distributions = {one.name: distribution_of(one) for one in drawn}
    return optuna.trial.create_trial(value=outcome_of(line).value, params=labels, distributions=distributions)
