"""Which numbers a change of base leaves alone: index rebasings between vintages, splits and dividends of prices."""

from __future__ import annotations

from collections.abc import Collection

from harness.core.recipe import FeatureBlock
from harness.core.transform import LOGARITHMIC, Transform

SCALE_FREE = LOGARITHMIC | {"realised_volatility"}
"""Transforms that a change of base year or unit leaves alone."""
SCALE_FREE_OPERATIONS = ("log_growth", "ratio")
"""Feature operations that a change of base leaves alone when they are applied to levels or differences."""
OPERATIONS = (
    "latest", "lag", "rolling_mean", "rolling_std", "rolling_min", "rolling_max", "difference", "log_growth", "ratio",
    "known_ahead",
)  # fmt: skip


def based_inputs(name: str, transform: Transform, moving: Collection[str]) -> list[str]:
    """The series with a moving base whose change the transformed value would carry.

    >>> based_inputs("acme", Transform("difference"), {"acme"}), based_inputs("acme", Transform("return"), {"acme"})
    (['acme'], [])

    Args:
        name: stored id of the series transformed.
        transform: its transform.
        moving: stored ids of the series whose base moves.
    """
    inputs = () if transform.kind in SCALE_FREE else transform.inputs(name)
    return [stored for stored in inputs if stored in moving]


def based_operations(block: FeatureBlock) -> list[str]:
    """Operations of a block that would carry a change of base of its (not scale-free) input."""
    kept = () if block.transform.kind == "spread" else SCALE_FREE_OPERATIONS
    return [operation for operation in OPERATIONS if operation not in kept and getattr(block, operation)]
