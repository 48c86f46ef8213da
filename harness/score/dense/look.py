"""The first look at a panel: counts, and what must be known of all series before the first loss is added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.core.errors import DataError
from harness.score.aggregate import loss_of
from harness.score.dense.panel import Block, Stage, Tile, check_answers, check_outcomes, tiles
from harness.score.grid import OUTCOMES, STATUSES, Bools, Floats, Ints

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What is found in all blocks together; filled block by block.

    Attributes:
        pairs: models that are compared, the earlier one first.
        planned: cells of the plan [horizon, origin].
        outcomes: of these, by outcome status [status, horizon, origin].
        scorable: matured, with a reference [horizon, origin].
        scaled: of these, those whose series has a scale, by metric [horizon, origin].
        answers: scorable cells by status of each model [status, model, horizon, origin].
        public: when the last scorable outcome was public, microseconds [horizon, origin].
        largest: largest absolute loss of a pair where both are defined [pair, horizon, origin].
        defined: scorable cells where both losses of a pair are defined [pair, horizon, origin].
    """

    pairs: tuple[Pair, ...]
    planned: Ints
    outcomes: Ints
    scorable: Ints
    scaled: dict[str, Ints]
    answers: Ints
    public: Ints
    largest: Floats
    defined: Ints

    @classmethod
    def nothing_yet(cls, stage: Stage) -> Look:
        """Before the first block."""
        models = stage.models
        pairs = tuple(
            (one, other)
            for other in range(len(models))
            for one in range(other)
            if models[one].is_rival or models[other].is_rival
        )
        shape = (stage.horizons.size, stage.origins.size)

        def none(*more: int) -> Ints:
            return np.zeros((*more, *shape), dtype=np.int64)

        return cls(
            pairs=pairs,
            planned=none(),
            outcomes=none(len(OUTCOMES)),
            scorable=none(),
            scaled={"mase": none(), "rmsse": none()},
            answers=none(len(STATUSES), len(models)),
            public=np.full(shape, np.iinfo(np.int64).min),
            largest=np.zeros((len(pairs), *shape)),
            defined=none(len(pairs)),
        )


def look_at(look: Look, stage: Stage, block: Block, place: int) -> None:
    """Add one horizon of a block to the look.

    Raises:
        DataError: an outcome or an answer that cannot be scored (see `panel.check_outcomes`, `panel.check_answers`).
    """
    for tile in tiles(stage, block, place):
        check_outcomes(stage, tile)
        _count(look, tile)
        losses = [_loss(look, stage, tile, number) for number in range(len(stage.models))]
        if not losses:
            continue
        peaks = np.stack([loss.max(axis=1) for loss in losses])  # [model, origin], NaN where any is
        if not np.isnan(peaks).any():  # the largest of two is that of either
            for number, (one, other) in enumerate(look.pairs):
                look.defined[number, place] += tile.planned.shape[1]
                larger = np.maximum(peaks[one], peaks[other])
                look.largest[number, place] = np.fmax(look.largest[number, place], larger)
            continue
        for number, (one, other) in enumerate(look.pairs):
            larger = np.maximum(losses[one], losses[other])  # NaN where either is
            look.defined[number, place] += by_origin(larger == larger)  # noqa: PLR0124 - not NaN
            found = np.fmax.reduce(larger, axis=1)
            look.largest[number, place] = np.fmax(look.largest[number, place], found)


def by_origin(cells: Bools) -> Ints:
    """Number of cells [origin] among [origin, series]."""
    origins, series = cells.shape
    total = np.count_nonzero(cells)  # often none or all, and that is quickly told
    if total in {0, cells.size}:
        return np.full(origins, total // origins, dtype=np.int64)
    if origins > series:
        return np.asarray(np.count_nonzero(cells, axis=1), dtype=np.int64)
    return np.array([np.count_nonzero(row) for row in cells], dtype=np.int64)


def _count(look: Look, tile: Tile) -> None:
    place, planned, scorable = tile.place, by_origin(tile.planned), by_origin(tile.scorable)
    look.planned[place] += planned
    look.scorable[place] += scorable
    if tile.outcome_status.max() >= len(OUTCOMES):
        raise DataError("unknown outcome_status", value=int(tile.outcome_status.max()), rule=", ".join(OUTCOMES))
    if not tile.outcome_status.any():
        look.outcomes[0, place] += planned
    else:
        for code in range(len(OUTCOMES)):
            look.outcomes[code, place] += by_origin(tile.planned & (tile.outcome_status == code))
    for metric, usable in tile.usable.items():
        look.scaled[metric][place] += scorable if usable.all() else by_origin(tile.scorable & usable)
    published = np.where(tile.scorable, tile.block.published[:, place, tile.cut], np.iinfo(np.int64).min)
    look.public[place] = np.maximum(look.public[place], published.max(axis=1))


def _loss(look: Look, stage: Stage, tile: Tile, number: int) -> Floats:
    """Absolute primary loss of a model, NaN where it is not defined; its answers are counted by the way."""
    model = stage.models[number].model
    forecast, status = tile.answers(model)
    check_answers(tile, model, forecast, status)
    if not status.any():
        look.answers[0, number, tile.place] += by_origin(tile.scorable)
    else:
        for code in range(len(STATUSES) - 1):
            look.answers[code, number, tile.place] += by_origin(tile.scorable & (status == code))
    loss = loss_of(stage.spec.primary, tile, forecast)
    np.abs(loss, out=loss)
    return loss if tile.scorable.all() else np.where(tile.scorable, loss, np.nan)
