"""Score rows of a panel, column by column: pooled over series, and those of each series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from harness.score.aggregate import METRICS, metrics, typed
from harness.score.dense.look import Look
from harness.score.dense.panel import Block, Stage, Tile, tiles
from harness.score.dense.sums import SCALED, THIRDS, Design, Sums, common_of
from harness.score.grid import OUTCOMES, OWN, STATUSES, STRETCHES, Bools, Floats, Ints

Lines = dict[str, Floats]

ANSWERED: Final = STATUSES[:-1]
EARLIEST: Final = np.iinfo(np.int64).min
LATEST: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Cells by [..., cut, model], a cut being the whole or one of its thirds.

    Attributes:
        scored: cells scored.
        scaled: of these, those whose series has a scale, by metric.
        answers: of these, by status [status, ..., cut, model].
        outcomes: cells of the plan by outcome status [status, ..., cut, model].
        no_reference: matured cells without a reference.
        first: earliest origin of the plan, microseconds.
        last: latest origin of the plan.
    """

    scored: Ints
    scaled: Mapping[str, Ints]
    answers: Ints
    outcomes: Ints
    no_reference: Ints
    first: Ints
    last: Ints


def cuts_of(stage: Stage, design: Design) -> Bools:
    """Origins of each cut a model is held to [cut, model, origin]."""
    held = np.stack([one.in_span for one in stage.models])
    return np.stack([held, *(held & (design.stretch == third) for third in range(THIRDS))])


def pooled_counts(stage: Stage, design: Design, look: Look) -> Counts:
    """Counts over all series, [horizon, cut, model]."""
    cuts = cuts_of(stage, design)

    def held(cells: Ints) -> Ints:
        return np.asarray(np.einsum("...o,cmo->...cm", cells, cuts.astype(np.int64)), dtype=np.int64)

    planned = (look.planned > 0)[:, np.newaxis, np.newaxis] & cuts  # [horizon, cut, model, origin]
    answers = np.einsum("smho,cmo->shcm", look.answers[: len(ANSWERED)], cuts.astype(np.int64))
    return Counts(
        scored=held(look.scorable),
        scaled={metric: held(cells) for metric, cells in look.scaled.items()},
        answers=answers,
        outcomes=held(look.outcomes),
        no_reference=held(look.outcomes[0] - look.scorable),
        first=np.where(planned, stage.origins, LATEST).min(axis=-1),
        last=np.where(planned, stage.origins, EARLIEST).max(axis=-1),
    )


def on_common(counts: Counts, scored: Ints, scaled: Mapping[str, Ints]) -> Counts:
    """Counts on the common sample, where every model that takes part answered itself."""
    answers = np.zeros_like(counts.answers)
    answers[0] = scored
    return Counts(scored, scaled, answers, counts.outcomes, counts.no_reference, counts.first, counts.last)


def pooled_common(stage: Stage, design: Design, sums: Sums, counts: Counts) -> Counts:
    """Counts of the common sample over all series, [horizon, cut, model]."""
    cuts = cuts_of(stage, design).astype(np.int64)
    scored, *scaled = (
        np.einsum("ho,cmo->hcm", cells, cuts) for cells in (sums.common, *(sums.common_scaled[one] for one in SCALED))
    )
    return on_common(counts, scored, dict(zip(SCALED, scaled, strict=True)))


def series_counts(stage: Stage, design: Design, block: Block, place: int) -> tuple[Counts, Counts]:
    """Counts of each series of a block at one horizon [series, cut, model], and those of the common sample."""
    size = (len(block.series), 1 + THIRDS, len(stage.models))
    found = Counts(
        scored=np.zeros(size, dtype=np.int64),
        scaled={metric: np.zeros(size, dtype=np.int64) for metric in SCALED},
        answers=np.zeros((len(ANSWERED), *size), dtype=np.int64),
        outcomes=np.zeros((len(OUTCOMES), *size), dtype=np.int64),
        no_reference=np.zeros(size, dtype=np.int64),
        first=np.full(size, LATEST),
        last=np.full(size, EARLIEST),
    )
    common = np.zeros(size, dtype=np.int64)
    cuts = cuts_of(stage, design)
    for tile in tiles(stage, block, place):
        both = common_of(stage, design, tile)
        for cut in range(size[1]):
            for model in range(size[2]):
                rows, where = np.flatnonzero(cuts[cut, model]), (tile.cut, cut, model)
                _count(found, stage, tile, rows, where)
                common[where] = both[rows].sum(axis=0)
    shared = {}
    for metric, scale in (("mase", block.scale_mae), ("rmsse", block.scale_rmse)):
        usable = np.isfinite(scale)[:, np.newaxis, np.newaxis]
        found.scaled[metric][...] = found.scored * usable
        shared[metric] = common * usable
    return found, on_common(found, common, shared)


def _count(found: Counts, stage: Stage, tile: Tile, rows: Ints, where: tuple[slice, int, int]) -> None:
    planned, scorable, origins = tile.planned[rows], tile.scorable[rows], stage.origins[rows, np.newaxis]
    status = tile.block.status[stage.models[where[2]].model][rows, tile.place, tile.cut]
    found.scored[where] = scorable.sum(axis=0)
    for code in range(len(ANSWERED)):
        found.answers[code][where] = (scorable & (status == code)).sum(axis=0)
    for code in range(len(OUTCOMES)):
        found.outcomes[code][where] = (planned & (tile.outcome_status[rows] == code)).sum(axis=0)
    found.no_reference[where] = found.outcomes[0][where] - found.scored[where]
    found.first[where] = np.where(planned, origins, LATEST).min(axis=0, initial=LATEST)
    found.last[where] = np.where(planned, origins, EARLIEST).max(axis=0, initial=EARLIEST)


def pooled_sums(stage: Stage, design: Design, sums: Sums) -> tuple[Lines, Lines]:
    """Sums of the whole and of the common sample, by line [horizon, cut, model]."""
    horizons, columns = sums.whole.shape
    cuts = np.concatenate([sums.whole[:, np.newaxis], sums.third.reshape(horizons, THIRDS, columns)], axis=1)
    return _parted(stage, design, cuts)


def series_sums(stage: Stage, design: Design, groups: Floats) -> tuple[Lines, Lines]:
    """Sums of each series, from those of its groups [third, column, series], by line [series, cut, model]."""
    whole = groups[0] + groups[1] + groups[2]
    return _parted(stage, design, np.stack([whole, *groups]).transpose(2, 0, 1))


def _parted(stage: Stage, design: Design, cuts: Floats) -> tuple[Lines, Lines]:
    """Columns [..., cut, column] as those of the whole and of the common sample, by line [..., cut, model]."""
    models, lines = len(stage.models), len(design.lines)
    shape = (*cuts.shape[:-1], 2, models, lines)
    parted = np.moveaxis(cuts[..., : 2 * models * lines].reshape(shape), (-3, -1), (0, 1))
    whole, common = (dict(zip(design.lines, half, strict=True)) for half in parted)
    return whole, common


def score_rows(
    stage: Stage, counts: Counts, sums: Mapping[str, Floats], horizon: Ints, series: pl.Series | None, keep: Bools
) -> pl.DataFrame:
    """Score rows in the order of the arrays.

    Args:
        stage: of the panel.
        counts: [row, cut, model].
        sums: by line [row, cut, model].
        horizon: of each row [row].
        series: id of each row; None = pooled over series.
        keep: models that have rows [row, 1, model].
    """
    held = np.flatnonzero(keep & (counts.outcomes.sum(axis=0) > 0))
    row, cut, model = np.unravel_index(held, counts.scored.shape)
    table = {name: values.ravel()[held] for name, values in (_columns(counts) | dict(sums)).items()}
    undefined = dict.fromkeys(METRICS, np.full(held.size, np.nan))
    keys = {
        "model": pl.Series([one.model for one in stage.models], dtype=pl.String).gather(model),
        "is_rival": pl.Series([one.is_rival for one in stage.models], dtype=pl.Boolean).gather(model),
        "horizon": horizon[row],
        "series_id": pl.repeat(None, held.size, dtype=pl.String, eager=True) if series is None else series.gather(row),
        "stretch": pl.Series([None, *STRETCHES], dtype=pl.String).gather(cut),
    }
    return typed(pl.DataFrame(keys | table | metrics(undefined | table, stage.spec)))


def _columns(counts: Counts) -> dict[str, Floats | Ints]:
    return {
        "held": counts.outcomes.sum(axis=0),
        "first_origin": counts.first,
        "last_origin": counts.last,
        "n": counts.scored,
        **{f"n_{name}": counts.answers[code] for code, name in enumerate(ANSWERED)},
        "n_reference": counts.answers[OWN:].sum(axis=0),
        "n_no_reference": counts.no_reference,
        **{f"n_{name}": counts.outcomes[code] for code, name in enumerate(OUTCOMES) if code},
        **{f"n_{metric}": cells for metric, cells in counts.scaled.items()},
    }
