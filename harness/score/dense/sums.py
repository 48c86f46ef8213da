"""Sums of losses over a panel, in the order of its plain definition: origins within a group, then groups by series.

`aggregate` adds the cells of a (horizon, series, third) up in order of origins, and these groups up in order of series
and thirds, one after the other. Floats depend on that order, so it is kept here, from tile to tile and block to block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.score.aggregate import loss_of
from harness.score.decision import linear_cost
from harness.score.dense.look import Look, by_origin
from harness.score.dense.panel import Block, Codes, Stage, Tile, tiles
from harness.score.dependence import ROUNDING
from harness.score.grid import OWN, STRETCHES, Bools, Floats, Ints, thirds
from harness.score.spec import ScoreSpec

THIRDS: Final = len(STRETCHES)
SCALED: Final = ("mase", "rmsse")


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What is added up, known after the first look.

    Attributes:
        lines: names of the sums of each model.
        stretch: index into `STRETCHES` of each origin [origin].
        spans: distinct sets of origins that a model is held to, all of them first [origin] each.
        rows: origins of each span, by third.
        span_of: index into `spans` of each model.
        takes_part: whether a model is in the common sample [horizon, model].
        guests: (rival, span): a rival's primary loss on a span that is not its own.
        duels: (earlier model, later model, span): loss differences on a span.
        noise: differences up to this are zero [duel, horizon].
    """

    lines: tuple[str, ...]
    stretch: Ints
    spans: tuple[Bools, ...]
    rows: tuple[tuple[Ints, ...], ...]
    span_of: tuple[int, ...]
    takes_part: Bools
    guests: tuple[tuple[int, int], ...]
    duels: tuple[tuple[int, int, int], ...]
    noise: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Running totals; columns are lines of models on the whole sample, then on the common one, then guests.

    Attributes:
        whole: [horizon, column].
        third: [horizon, third x column].
        difference: sum of loss differences [horizon, duel x origin].
        common: cells of the common sample [horizon, origin].
        common_scaled: of these, those whose series has a scale, by metric [horizon, origin].
    """

    whole: Floats
    third: Floats
    difference: Floats
    common: Ints
    common_scaled: dict[str, Ints]

    @classmethod
    def nothing_yet(cls, stage: Stage, design: Design) -> Sums:
        """Before the first block."""
        horizons, origins = stage.horizons.size, stage.origins.size
        columns = 2 * len(stage.models) * len(design.lines) + len(design.guests)
        return cls(
            whole=np.zeros((horizons, columns)),
            third=np.zeros((horizons, THIRDS * columns)),
            difference=np.zeros((horizons, len(design.duels) * origins)),
            common=np.zeros((horizons, origins), dtype=np.int64),
            common_scaled={metric: np.zeros((horizons, origins), dtype=np.int64) for metric in SCALED},
        )


def lines_of(spec: ScoreSpec) -> tuple[str, ...]:
    """Names of the sums a target has a meaning for."""
    optional = {"smape": spec.ratio_levels, "qlike": spec.volatility, "kpi_total": spec.kpi is not None}
    return ("bias", "mae", "rmse", *SCALED, *(name for name, valid in optional.items() if valid))


def design_of(stage: Stage, look: Look) -> Design:
    """What is to be added up, after the first look."""
    spans: list[Bools] = [np.ones(stage.origins.size, dtype=np.bool_)]
    span_of = []
    for one in stage.models:
        known = [number for number, span in enumerate(spans) if np.array_equal(span, one.in_span)]
        span_of.append(known[0] if known else len(spans))
        spans += [] if known else [one.in_span]
    rivals = [number for number, one in enumerate(stage.models) if one.is_rival]
    met = [(model, rival) for model in range(len(stage.models)) for rival in rivals if model != rival]
    duels = sorted({(min(pair), max(pair), span_of[pair[0]]) for pair in met})
    guests = {(rival, span_of[model]) for model, rival in met} | {(rival, 0) for rival in rivals}
    pairs = {pair: number for number, pair in enumerate(look.pairs)}
    largest = [look.largest[pairs[one, other]][:, spans[span]].max(axis=1, initial=0.0) for one, other, span in duels]
    ok = look.answers[0].transpose(1, 0, 2) * np.stack(
        [one.in_span for one in stage.models]
    )  # [horizon, model, origin]
    stretch = thirds(stage.origins, look.outcomes[0].any(axis=0))
    return Design(
        lines=lines_of(stage.spec),
        stretch=stretch,
        spans=tuple(spans),
        rows=tuple(tuple(np.flatnonzero(span & (stretch == third)) for third in range(THIRDS)) for span in spans),
        span_of=tuple(span_of),
        takes_part=ok.any(axis=2),
        guests=tuple(sorted(guest for guest in guests if span_of[guest[0]] != guest[1])),
        duels=tuple(duels),
        noise=ROUNDING * np.array(largest).reshape(len(duels), stage.horizons.size),
    )


def add(sums: Sums, stage: Stage, design: Design, block: Block, place: int, groups: Floats | None = None) -> None:
    """Add one horizon of a block to the sums, and keep those of its groups [third, column, series] where asked for."""
    half = len(stage.models) * len(design.lines)
    for tile in tiles(stage, block, place):
        found, same = _groups(sums, stage, design, tile)
        if groups is not None:
            groups[:, :, tile.cut] = found
        third, whole = sums.third[place].reshape(THIRDS, -1), sums.whole[place]
        # where the common sample is the whole one, up to here and in this tile, it is added up once
        both = np.concatenate([third, whole[np.newaxis]])
        once = same and np.array_equal(both[:, :half], both[:, half : 2 * half], equal_nan=True)
        columns = np.r_[:half, 2 * half : found.shape[1]] if once else np.arange(found.shape[1])
        in_turn = np.ascontiguousarray((found[:, columns] if once else found).transpose(2, 0, 1))
        rows = in_turn.shape[0]  # [series, third, column]
        third[:, columns] = carried(third[:, columns].ravel(), in_turn.reshape(rows, -1)).reshape(THIRDS, -1)
        whole[columns] = carried(whole[columns], in_turn.reshape(rows * THIRDS, -1))
        if once:
            third[:, half : 2 * half], whole[half : 2 * half] = third[:, :half], whole[:half]


def carried(total: Floats, values: Floats) -> Floats:
    """Totals [column] with values [row, column] added row by row, in their order; NaN where infinities cancel."""
    first = values[0].copy()
    with np.errstate(invalid="ignore"):  # infinite losses of both signs: there is no test then
        values[0] += total
        added = in_order(values)
    values[0] = first
    return added


def in_order(values: Floats) -> Floats:
    """Sum of contiguous values [..., row, column] over rows, one after the other, never -0.

    NumPy adds numbers one by one except along the axis that is contiguous in memory, where it adds them in pairs: that
    axis is the columns, unless there is just one.
    """
    single = values.shape[-1] == 1
    added: Floats = np.cumsum(values, axis=-2)[..., -1, :] if single else np.add.reduce(values, axis=-2)
    return added + 0.0


def common_of(stage: Stage, design: Design, tile: Tile) -> Bools:
    """Cells where every model that takes part answered itself [origin, series]."""
    common = tile.scorable.copy()
    for number, one in enumerate(stage.models):
        if design.takes_part[tile.place, number]:
            status = tile.block.status[one.model][:, tile.place, tile.cut]
            common &= (status == 0) & one.in_span[:, np.newaxis]
    return common


def _groups(sums: Sums, stage: Stage, design: Design, tile: Tile) -> tuple[Floats, bool]:
    """Sums of the groups of a tile [third, column, series]; whether the common sample is the whole one."""
    count, size = len(design.lines), tile.planned.shape[1]
    half = len(stage.models) * count
    groups = np.zeros((THIRDS, 2 * half + len(design.guests), size))
    common = common_of(stage, design, tile)
    _count_common(sums, tile, common)
    equal = bool((common == tile.scorable).all())
    primary, shared = [], _shared(design.lines, tile)
    for number, one in enumerate(stage.models):
        losses, raw = _losses(stage.spec, design.lines, tile, shared, tile.answers(one.model))
        primary.append(raw)
        here, there = (slice(start + number * count, start + (number + 1) * count) for start in (0, half))
        _add_origins(groups[:, here], losses, design.rows[design.span_of[number]])
        if equal and design.span_of[number] == 0:
            groups[:, there] = groups[:, here]
        elif design.takes_part[tile.place, number]:
            np.copyto(losses, 0.0, where=~common)
            _add_origins(groups[:, there], losses, design.rows[0])
    counted = tile.scorable & tile.usable.get(stage.spec.primary, True)
    for column, (rival, span) in enumerate(design.guests, start=2 * half):
        losses = np.where(counted, primary[rival], 0.0)[np.newaxis]
        _add_origins(groups[:, column : column + 1], losses, design.rows[span])
    _add_differences(sums, design, tile.place, primary)
    return groups, equal and not any(design.span_of)


def _count_common(sums: Sums, tile: Tile, common: Bools) -> None:
    cells = by_origin(common)
    sums.common[tile.place] += cells
    for metric, usable in tile.usable.items():
        sums.common_scaled[metric][tile.place] += cells if usable.all() else by_origin(common & usable)


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """What the losses of all models of a tile have in common.

    Attributes:
        scaled: outcome by the scale of RMSSE [origin, series]; None = it is not asked for.
        positive: whether every outcome is above zero.
        hidden: cells that do not count; None = all do.
    """

    scaled: Floats | None
    positive: bool
    hidden: Bools | None


def _shared(lines: tuple[str, ...], tile: Tile) -> _Shared:
    scaled = tile.outcome / tile.scale_rmse if "rmsse" in lines else None
    positive = "smape" in lines and bool((tile.outcome > 0.0).all())
    return _Shared(scaled, positive, None if tile.scorable.all() else ~tile.scorable)


def _losses(
    spec: ScoreSpec, lines: tuple[str, ...], tile: Tile, shared: _Shared, answers: tuple[Floats, Codes]
) -> tuple[Floats, Floats]:
    """Losses of a model [line, origin, series], zero where not counted; its primary ones, NaN where not defined."""
    losses = np.empty((len(lines), *tile.outcome.shape))
    primary, usable, hidden = tile.outcome, tile.usable, shared.hidden
    at = dict(zip(lines, losses, strict=True))
    for name, line in at.items():
        if name == "kpi_total":
            line[...] = _costs(spec, tile, *answers)
        else:
            _loss_into(name, line, at, tile, shared, answers[0])
    for name, line in at.items():
        if name == spec.primary:
            primary = line.copy() if hidden is None else np.where(hidden, np.nan, line)
        if hidden is not None:
            np.copyto(line, 0.0, where=hidden)
        if name in usable and not usable[name].all():
            np.copyto(line, 0.0, where=~usable[name])
    return losses, primary


def _loss_into(name: str, line: Floats, at: dict[str, Floats], tile: Tile, shared: _Shared, forecast: Floats) -> None:
    """The loss of a metric, to the bit `aggregate.loss_of`, from what is there of it already.

    Args:
        name: of the metric.
        line: where to [origin, series].
        at: losses by metric; those of earlier lines are there, `mae` before whatever is made of it.
        tile: the cells.
        shared: what the models have in common.
        forecast: of the model.
    """
    if name == "bias":
        np.subtract(forecast, tile.outcome, out=line)
    elif name == "mae":
        np.abs(np.subtract(tile.outcome, forecast, out=line), out=line)
    elif name == "rmse":
        np.square(at["mae"], out=line)  # of a number and of its negative alike
    elif name == "mase":
        np.divide(at["mae"], tile.scale_mae, out=line)
    elif name == "rmsse" and shared.scaled is not None:
        np.divide(forecast, tile.scale_rmse, out=line)
        np.square(np.subtract(shared.scaled, line, out=line), out=line)
    elif name == "smape" and shared.positive:
        spread = np.abs(forecast)
        spread += tile.outcome
        np.divide(np.multiply(200.0, at["mae"], out=line), spread, out=line)
    else:
        line[...] = loss_of(name, tile, forecast)


def _costs(spec: ScoreSpec, tile: Tile, forecast: Floats, status: Codes) -> Floats:
    """What each cell costs; as `decision.costs`, NaN where there is no outcome."""
    kpi = spec.kpi
    if kpi is None:
        return np.full(forecast.shape, np.nan)
    paid = linear_cost(tile.outcome - forecast, under=kpi.under, over=kpi.over)
    return paid if kpi.abstain is None else np.where(status < OWN, paid, kpi.abstain)


def _add_origins(groups: Floats, losses: Floats, rows: tuple[Ints, ...]) -> None:
    """Add losses [line, origin, series] up over the origins of each third, into [third, line, series]."""
    for third, chosen in enumerate(rows):
        if chosen.size:
            first, last = int(chosen[0]), int(chosen[-1]) + 1
            run = losses[:, first:last] if last - first == chosen.size else losses[:, chosen]
            groups[third] = in_order(run)


def _add_differences(sums: Sums, design: Design, place: int, primary: list[Floats]) -> None:
    """Add the differences of each duel up over series, per origin; zero where a loss is not defined."""
    origins, size = primary[0].shape
    differences = np.empty((len(design.duels), origins, size))
    for number, (one, other, _) in enumerate(design.duels):
        with np.errstate(invalid="ignore"):  # infinite losses: there is no test then
            difference = primary[one] - primary[other]
        real = np.abs(difference) > design.noise[number, place]  # not so for NaN
        differences[number] = np.where(real, difference, 0.0)
    in_turn = np.ascontiguousarray(differences.reshape(len(design.duels) * origins, size).T)
    sums.difference[place] = carried(sums.difference[place], in_turn)
