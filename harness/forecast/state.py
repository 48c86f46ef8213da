"""Everything a fitted forecaster holds, as JSON values: what an audit compares bit for bit."""

from __future__ import annotations

import json

from harness.forecast.protocol import Forecaster, Storable
from harness.forecast.regressors import Sklearn
from harness.forecast.steps.foreign import as_json
from harness.forecast.steps.stepped import Stepped


def fitted_state(forecaster: Forecaster) -> object:
    """What steps and model fitted; of a user's class only what it can dump, as its other attributes are its own."""
    if isinstance(forecaster, Stepped):
        then = {horizon: fitted_state(model) for horizon, model in forecaster.fitted_models().items()}
        return {"steps": forecaster.fitted_parameters(), "then": then}
    if isinstance(forecaster, Storable):
        text = forecaster.dump()
        try:
            saved: object = json.loads(text)
        except ValueError:  # a user's own form of text
            saved = text
        return saved
    return as_json(forecaster.fitted_models()) if isinstance(forecaster, Sklearn) else {}
