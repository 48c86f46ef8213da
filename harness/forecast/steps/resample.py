"""A step that changes training rows: over-sampling of rare outcomes, SMOTE, block bootstraps; asked rows never."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import polars as pl

from harness.core.errors import UserError
from harness.core.identity import digest
from harness.core.transform import Floats
from harness.forecast.steps.rows import Places, StepRows
from harness.forecast.steps.smote import synthetic

RESAMPLE = "resample"
METHODS: Mapping[str, tuple[str, ...]] = {
    "oversample": ("quantiles", "ratio"),
    "smote": ("quantiles", "ratio", "neighbours"),
    "moving_block": ("block",),
    "stationary": ("block",),
}
"""Parameters that belong to each method."""


class Resample:
    """Training rows of one horizon, drawn again; what is asked passes untouched.

    `oversample` and `smote` cut the labels into bins at quantiles of the training labels and bring every bin with
    fewer rows than `ratio` times the largest up to that number: by copies drawn with replacement, or by synthetic
    rows on the line between a row and one of its nearest neighbours of the same bin (features and label alike).
    `moving_block` and `stationary` draw as many target periods as there are, in blocks of consecutive ones; all rows
    of a drawn period come along.

    Args:
        method: `oversample`, `smote`, `moving_block` or `stationary`.
        quantiles: levels at which labels are cut into bins; a label at a threshold belongs to the bin below it.
        ratio: rows of a small bin per row of the largest, in (0, 1].
        neighbours: nearest neighbours one of which a synthetic row is made with (fewer in a smaller bin).
        block: (mean) block length in target periods; 0 = the cube root of their number, rounded up.
    """

    storable = True

    def __init__(
        self,
        *,
        method: str = "oversample",
        quantiles: Sequence[float] = (0.1, 0.9),
        ratio: float = 1.0,
        neighbours: int = 5,
        block: int = 0,
    ) -> None:
        if not quantiles or not all(0.0 < level < 1.0 for level in quantiles) or list(quantiles) != sorted(quantiles):
            raise UserError(
                "resample: quantiles are levels between 0 and 1, ascending",
                value=list(quantiles),
                fix="quantiles = [0.1, 0.9]",
            )
        if not 0.0 < ratio <= 1.0:
            raise UserError("resample: ratio is above 0 and at most 1", value=ratio)
        if neighbours < 1:
            raise UserError("resample: neighbours start at 1", value=neighbours)
        if block < 0:
            raise UserError("resample: block is a number of target periods, 0 = chosen", value=block)
        self.method, self.quantiles, self.ratio = method, tuple(quantiles), ratio
        self.neighbours, self.block = neighbours, block
        self.takes_missing = method != "smote"
        self.warnings: list[str] = []
        self._facts: dict[str, object] = {}

    def resample(self, rows: StepRows, *, seed: int) -> StepRows:
        """The rows to train on, made of the training rows given and of nothing else.

        Raises:
            UserError: SMOTE without imbalanced-learn.
        """
        self.warnings = []
        if self.method in ("moving_block", "stationary"):
            drawn = self._blocks(rows, seed)
            self._facts = {"rows": digest(drawn.tolist()), "count": len(drawn)}
            return _copies(rows, drawn)
        assert rows.y is not None  # noqa: S101 - training rows have labels
        thresholds = np.quantile(rows.y, self.quantiles)
        bins = np.searchsorted(thresholds, rows.y, side="left")
        wanted = self._wanted(bins)
        made = self._oversampled(rows, bins, wanted, seed) if self.method == "oversample" else None
        if made is None:
            made = synthetic(rows, bins, wanted, neighbours=self.neighbours, seed=seed)
        self._facts = {
            "thresholds": thresholds.tolist(),
            "bins": np.bincount(bins, minlength=len(thresholds) + 1).tolist(),
            "made": {str(code): count for code, count in sorted(wanted.items())},
            "rows": digest(made.parents.tolist()),
        }
        return joined(rows, made)

    def _wanted(self, bins: Places) -> dict[int, int]:
        """Rows to make per bin; a bin too small to make any from is left as it is, with a note."""
        codes, counts = np.unique(bins, return_counts=True)
        goal = round(self.ratio * int(counts.max()))
        wanted = {int(code): goal - int(count) for code, count in zip(codes, counts, strict=True) if count < goal}
        fewest = 2 if self.method == "smote" else 1
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            if code in wanted and count < fewest:
                del wanted[code]
                self.warnings.append(f"bin {code} has {count} row, too few to make others from")
        return wanted

    def _oversampled(self, rows: StepRows, bins: Places, wanted: Mapping[int, int], seed: int) -> StepRows:
        draw = np.random.default_rng(seed)
        places = [draw.choice(np.flatnonzero(bins == code), size=count) for code, count in sorted(wanted.items())]
        return _copies(rows, np.concatenate([np.empty(0, dtype=np.int64), *places]))

    def _blocks(self, rows: StepRows, seed: int) -> Places:
        """Places of the rows of the drawn target periods, in the order drawn."""
        groups = rows.keys["period"]
        periods = groups.unique().sort()
        count = len(periods)
        if count < 2:
            self.warnings.append("one target period cannot be drawn in blocks")
            return np.arange(len(rows), dtype=np.int64)
        from arch.bootstrap import MovingBlockBootstrap, StationaryBootstrap  # noqa: PLC0415 - slow to import

        block = min(self.block or int(np.ceil(count ** (1 / 3) - 1e-9)), count)
        kind = MovingBlockBootstrap if self.method == "moving_block" else StationaryBootstrap
        positional, _ = next(kind(block, np.arange(count), seed=np.random.default_rng(seed)).bootstrap(1))
        code = {period: place for place, period in enumerate(periods)}
        codes = np.array([code[period] for period in groups], dtype=np.int64)
        return np.concatenate([np.flatnonzero(codes == period) for period in positional[0]])

    def parameters(self) -> dict[str, object]:
        """Thresholds, rows per bin before, rows made per bin, and a hash of the rows they were made of."""
        return dict(self._facts)

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave, for the record: nothing of it is ever applied."""
        self._facts = dict(parameters)


def _copies(rows: StepRows, places: Places) -> StepRows:
    taken = rows.taken(places)
    return StepRows(taken.columns, taken.X, taken.keys, taken.y, taken.parents, np.ones(len(places), dtype=np.bool_))


def joined(first: StepRows, second: StepRows) -> StepRows:
    """Two lists of training rows of the same columns, one after the other."""
    return StepRows(
        first.columns,
        np.vstack([first.X, second.X]),
        pl.concat([first.keys, second.keys]),
        np.concatenate([cast("Floats", first.y), cast("Floats", second.y)]),
        np.vstack([first.parents, second.parents]),
        np.concatenate([first.made, second.made]),
    )
