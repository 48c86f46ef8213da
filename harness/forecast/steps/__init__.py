"""Steps between features and model, each fitted on the matured training rows of one origin and horizon (law 6)."""

from harness.forecast.steps.catalog import (
    STEPS,
    StepEntry,
    build_step,
    check_order,
    check_parameter,
    is_sklearn_name,
    resolve_step,
)
from harness.forecast.steps.pipeline import StepPipeline
from harness.forecast.steps.rows import StepRows, by_horizon, split_by_period
from harness.forecast.steps.stepped import Stepped, StorableStepped, with_steps

__all__ = [
    "STEPS",
    "StepEntry",
    "StepPipeline",
    "StepRows",
    "Stepped",
    "StorableStepped",
    "build_step",
    "by_horizon",
    "check_order",
    "check_parameter",
    "is_sklearn_name",
    "resolve_step",
    "split_by_period",
    "with_steps",
]
