"""What a step is: fitted on the training rows of one horizon, applied unchanged to every row asked later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np

from harness.core.transform import Floats
from harness.forecast.steps.rows import StepRows


class ColumnStep(Protocol):
    """A step that changes columns (`Resample` is the one that changes training rows instead).

    It sees matured training rows in `fit`, and nothing else, ever (law 6).

    Attributes:
        takes_missing: whether it works on rows with missing values; where not, training on one is refused and an
            asked one is abstained from.
        storable: whether `parameters` restores it.
        warnings: what fitting complained about, one line each.
    """

    takes_missing: bool
    storable: bool
    warnings: list[str]

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """Estimate parameters from training rows (`rows.y` is there)."""
        ...

    def transform(self, rows: StepRows) -> StepRows:
        """Apply the fitted parameters, row by row; the rows stay as many, in their order."""
        ...

    def parameters(self) -> dict[str, object]:
        """What was fitted, as JSON values."""
        ...

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        ...


def numbers(values: Floats) -> list[float | None]:
    """An array as JSON: missing is null.

    >>> numbers(np.array([0.1, np.nan]))
    [0.1, None]
    """
    return [None if np.isnan(value) else value for value in values.tolist()]


def array(values: object) -> Floats:
    """What `numbers` wrote.

    >>> array([0.1, None]).tolist()
    [0.1, nan]
    """
    given = cast("Sequence[float | None]", values)
    return np.array([np.nan if value is None else value for value in given], dtype=np.float64)
