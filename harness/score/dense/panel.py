"""A whole panel as arrays: what is scored, and its tiles of a few series at one horizon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.time import NEVER
from harness.score.grid import OWN, STATUSES, Bools, Floats, Ints
from harness.score.spec import ScoreSpec

Codes = NDArray[np.uint8]

TILE: Final = 1 << 17
"""Cells of a tile: few enough to stay near the processor, as many as keep threads at work instead of taking turns."""
NARROWEST: Final = 64
"""Series of a tile at least, whatever the number of origins."""
PUBLIC: Final = STATUSES.index("already_public")


@dataclass(frozen=True, slots=True, eq=False)
class Entrant:
    """One model.

    Attributes:
        model: its name.
        is_rival: an always-on naive rival.
        in_span: origins it is held to: all, or those within an external's span [origin].
    """

    model: str
    is_rival: bool
    in_span: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What is the same for every block of series.

    Attributes:
        spec: how the run is scored.
        horizons: ascending, distinct [horizon].
        origins: instants of issue, microseconds since 1970 UTC, ascending, distinct [origin].
        models: in alphabetical order, the reference and a rival among them.
    """

    spec: ScoreSpec
    horizons: Ints
    origins: Ints
    models: tuple[Entrant, ...]

    @property
    def reference(self) -> str:
        """Name of the model that stands in for missing forecasts."""
        return self.spec.reference


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The cells of some series [origin, horizon, series]; strided views and constant broadcasts will do.

    Attributes:
        series: ids, ascending; blocks follow one another in ascending order.
        planned: cells of the plan: asked, scored (no warm-up) and not already public at the origin.
        outcome: meaningless where not matured, and so is `published`.
        outcome_status: index into `grid.OUTCOMES`.
        published: when the outcome became public, microseconds since 1970 UTC.
        scale_mae: of MASE [series]; NaN where there is none.
        scale_rmse: of RMSSE [series]; NaN where there is none.
        value: forecasts by model; NaN where there is none.
        status: index into `grid.STATUSES` by model; `missing` where there is no row at all.
    """

    series: tuple[str, ...] | pl.Series
    planned: Bools
    outcome: Floats
    outcome_status: Codes
    published: Ints
    scale_mae: Floats
    scale_rmse: Floats
    value: Mapping[str, Floats]
    status: Mapping[str, Codes]


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Some series of a block at one horizon, contiguous [origin, series].

    Attributes:
        block: where they are from.
        place: index of the horizon.
        cut: which series of the block.
        planned: as in `Block`.
        outcome_status: as in `Block`.
        scorable: matured, with a reference.
        outcome: NaN where not scorable.
        reference: the stand-in forecast; NaN where the reference has none.
        scale_mae: [series].
        scale_rmse: [series].
        usable: series with a scale, by the metric that is scaled [series].
    """

    block: Block
    place: int
    cut: slice
    planned: Bools
    outcome_status: Codes
    scorable: Bools
    outcome: Floats
    reference: Floats
    scale_mae: Floats
    scale_rmse: Floats
    usable: dict[str, Bools]

    def answers(self, model: str) -> tuple[Floats, Codes]:
        """Forecasts of a model, the reference's where it gave none, and its statuses."""
        status = np.ascontiguousarray(self.block.status[model][:, self.place, self.cut])
        value = np.ascontiguousarray(self.block.value[model][:, self.place, self.cut])
        own = status < OWN
        return value if own.all() else np.where(own, value, self.reference), status


def tiles(stage: Stage, block: Block, place: int) -> Iterator[Tile]:
    """The tiles of one horizon in ascending order of series; those without a planned cell are left out."""
    width = max(NARROWEST, TILE // stage.origins.size)
    for start in range(0, len(block.series), width):
        cut = slice(start, min(start + width, len(block.series)))
        planned = np.ascontiguousarray(block.planned[:, place, cut])
        if planned.any():
            yield _tile(stage, block, place, cut, planned)


def _tile(stage: Stage, block: Block, place: int, cut: slice, planned: Bools) -> Tile:
    answered = block.status[stage.reference][:, place, cut] < OWN
    reference = np.ascontiguousarray(block.value[stage.reference][:, place, cut])
    if not answered.all():
        reference = np.where(answered, reference, np.nan)
    outcome_status = np.ascontiguousarray(block.outcome_status[:, place, cut])
    scorable = planned & (outcome_status == 0) & np.isfinite(reference)
    outcome, mae, rmse = (
        np.ascontiguousarray(array[..., cut]) for array in (block.outcome[:, place], block.scale_mae, block.scale_rmse)
    )
    return Tile(
        block=block,
        place=place,
        cut=cut,
        planned=planned,
        outcome_status=outcome_status,
        scorable=scorable,
        outcome=outcome if scorable.all() else np.where(scorable, outcome, np.nan),
        reference=reference,
        scale_mae=mae,
        scale_rmse=rmse,
        usable={"mase": np.isfinite(mae), "rmsse": np.isfinite(rmse)},
    )


def check_stage(stage: Stage) -> None:
    """Refuse a stage without a reference or a rival, or whose axes are not ascending."""
    names = [one.model for one in stage.models]
    if stage.reference not in names:
        raise DataError(
            "the reference model has no rows", value=stage.reference, rule="it stands in for missing forecasts"
        )
    if not any(one.is_rival for one in stage.models):
        raise DataError("no naive rival among the models", value=", ".join(names), rule="rivals cannot be switched off")
    if names != sorted(set(names)):
        raise DataError("models of a panel", value=", ".join(names), rule="each once, in alphabetical order")
    for name, axis in (("horizons", stage.horizons), ("origins", stage.origins)):
        if axis.size == 0 or (np.diff(axis) <= 0).any():
            raise DataError(f"{name} of a panel", value=axis.tolist(), rule="at least one, ascending, distinct")
    if any(one.in_span.shape != stage.origins.shape for one in stage.models):
        raise DataError("the span of a model and the origins differ in length")


def check_block(stage: Stage, block: Block, last: str | None) -> str | None:
    """Refuse a block that does not fit its stage or does not follow the series `last`; gives its own last series."""
    ids = pl.Series(block.series, dtype=pl.String)
    shape = (stage.origins.size, stage.horizons.size, ids.len())
    arrays = [block.planned, block.outcome, block.outcome_status, block.published]
    arrays += [each[one.model] for one in stage.models for each in (block.value, block.status)]
    wrong = {array.shape for array in arrays} - {shape} or {block.scale_mae.shape, block.scale_rmse.shape} - {shape[2:]}
    if wrong:
        raise DataError("arrays of a block", value=f"{sorted(wrong)}", rule=f"{shape}: origin, horizon, series")
    if ids.is_empty():
        return last
    if (
        ids.null_count()
        or not (ids.slice(1) > ids.slice(0, len(ids) - 1)).all()
        or (last is not None and ids[0] <= last)
    ):
        raise DataError(
            "series of a panel", value=f"{ids[0]} after {last}", rule="ascending and distinct, across blocks"
        )
    for name, scale in (("scale_mae", block.scale_mae), ("scale_rmse", block.scale_rmse)):
        if (np.isinf(scale) | (scale <= 0.0)).any():
            raise DataError(f"{name} is not positive and finite", fix="null with the reason kept beside it")
    return str(ids[-1])


def check_outcomes(stage: Stage, tile: Tile) -> None:
    """Refuse a matured outcome of the plan that lacks its value or its instant."""
    matured = tile.planned & (tile.outcome_status == 0)
    outcome, published = (array[:, tile.place, tile.cut] for array in (tile.block.outcome, tile.block.published))
    none = ((published == 0) & (stage.origins >= 0)[:, np.newaxis]) | (published == NEVER)  # 0 is an instant in 1969
    if (matured & (none | ~np.isfinite(outcome))).any():
        raise DataError("a matured outcome lacks its value or instant of publication")


def check_answers(tile: Tile, model: str, forecast: Floats, status: Codes) -> None:
    """Refuse answers of the plan without a finite value, and cells called already public that the plan scores."""
    if status.max() >= len(STATUSES):
        raise DataError("unknown status", value=int(status.max()), rule=", ".join(STATUSES))
    empty = int(np.count_nonzero(tile.planned & (status < OWN) & ~np.isfinite(forecast)))
    if empty:
        raise DataError(
            f"{model} answered without a finite value", value=f"{empty} rows", fix="status failed or abstained"
        )
    if (tile.planned & (status == PUBLIC)).any():
        raise DataError(f"{model} calls cells already public that the plan scores", rule="one outcome per cell (S4)")
