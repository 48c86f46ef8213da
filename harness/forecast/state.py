"""Everything a fitted forecaster holds, as JSON values: what an audit compares bit for bit."""

from __future__ import annotations

import json
import sys

from harness.forecast.protocol import Forecaster, Storable
from harness.forecast.steps.foreign import as_json
from harness.forecast.steps.stepped import Stepped
from harness.forecast.user_class import is_user_class


def fitted_state(forecaster: Forecaster) -> object:
    """What steps and model fitted; of a user's class only what it can dump, as its attributes are its own."""
    if isinstance(forecaster, Stepped):
        then = {horizon: fitted_state(model) for horizon, model in forecaster.fitted_models().items()}
        return {"steps": _steps_state(forecaster), "then": then}
    if isinstance(forecaster, Storable):
        text = forecaster.dump()
        try:
            saved: object = json.loads(text)
        except ValueError:  # a user's own form of text
            saved = text
        return saved
    regressors = sys.modules.get("harness.forecast.regressors")  # heavy; loaded if a forecaster was made by it
    if regressors is not None and isinstance(forecaster, regressors.Sklearn):
        return as_json(forecaster.fitted_models())
    return {}


def _steps_state(forecaster: Stepped) -> dict[str, list[object]]:
    """Horizon -> what every step fitted; of a user's only that it is there: its attributes may hold a clock's time."""
    return {
        horizon: [{"kind": kind} if is_user_class(kind := str(step["kind"])) else step for step in steps]
        for horizon, steps in forecaster.fitted_parameters().items()
    }
