"""A panel scored as arrays has the bits of its rows scored one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.score import grid
from harness.score.decision import Kpi
from harness.score.dense import Block, Entrant, Stage, tables
from harness.score.spec import ScoreSpec
from harness.score.tables import ScoreTables, score_tables

DAY = 86_400_000_000
RIVALS = ("drift", "last_value")
OK, FALLBACK, FAILED, MISSING = 0, 1, 2, 5
TABLES = ("scores", "common_sample", "against_rivals", "leaderboard")
SPECS = (
    ScoreSpec("rmse", span=2),
    ScoreSpec("mae", kpi=Kpi("EUR", 3.0, 1.0)),
    ScoreSpec("mase", kpi=Kpi("EUR", 0.5, 1.0, abstain=4.0), latency=timedelta(days=40)),
    ScoreSpec("rmsse", unknown_cutoff=frozenset({"bank"})),
    ScoreSpec("smape", ratio_levels=True),
    ScoreSpec("qlike", volatility=True, ratio_levels=True),
)


@dataclass(frozen=True)
class Panel:
    stage: Stage
    block: Block

    def cut(self, *widths: int) -> Iterator[Block]:
        """The block in blocks of the widths given, in turn."""
        start, number = 0, 0
        while start < len(self.block.series):
            one = slice(start, start + widths[number % len(widths)])
            yield part(self.block, one)
            start, number = one.stop, number + 1

    def tables(self, *widths: int, **options: Any) -> ScoreTables:
        return tables(self.stage, lambda: self.cut(*(widths or (len(self.block.series),))), **options)


def part(block: Block, cut: slice) -> Block:
    cubes = ("planned", "outcome", "outcome_status", "published")
    return Block(
        block.series[cut],
        **{name: getattr(block, name)[:, :, cut] for name in cubes},
        scale_mae=block.scale_mae[cut],
        scale_rmse=block.scale_rmse[cut],
        value={model: array[:, :, cut] for model, array in block.value.items()},
        status={model: array[:, :, cut] for model, array in block.status.items()},
    )


def make_panel(
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (12, 2, 5),
    spec: ScoreSpec = SPECS[0],
    span: tuple[int, int] | None = None,
    holes: float = 0.1,
    level: float = 5.0,
) -> Panel:
    """Random cells [origin, horizon, series]; ties and near ties between models, gaps and pending outcomes by `holes`.

    `span`: first and last origin that the external `bank` is held to; None leaves it out.
    """
    noise = np.random.default_rng(seed)
    origins = 1_000_000 * DAY // 100 + 30 * DAY * np.arange(shape[0])
    hole = lambda share: noise.random(shape) < share * holes  # noqa: E731
    outcome_status = np.where(hole(2), noise.integers(1, len(grid.OUTCOMES), shape), 0).astype(np.uint8)
    matured = outcome_status == 0
    outcome = np.where(matured, level + noise.normal(size=shape), np.nan)
    late = noise.integers(1, 80, shape) * DAY
    names = sorted(["ar", "idle", *RIVALS, *(["bank"] if span else [])])
    value, status = {}, {}
    for name in names:
        codes = np.where(hole(1), noise.integers(FALLBACK, MISSING + 1, shape), OK).astype(np.uint8)
        if name == "idle" and holes > 0.0:
            codes[:, 0] = FAILED  # never answers at the first horizon
        if name == "last_value":
            codes[codes == MISSING] = FAILED  # its rows are the plan
        forecast = level + noise.normal(size=shape)
        same = hole(3)
        forecast[same] = value.get("ar", forecast)[same] if name != "ar" else forecast[same]
        forecast *= np.where(hole(1), 1.0 + 1e-15, 1.0)
        status[name], value[name] = codes, np.where(codes <= FALLBACK, np.nan_to_num(forecast, nan=1.0), np.nan)
    inside = np.ones(shape[0], dtype=bool)
    within = np.arange(shape[0]) if span is None else np.clip(np.arange(shape[0]), *span)
    entrants = tuple(
        Entrant(name, name in RIVALS, within == np.arange(shape[0]) if name == "bank" else inside) for name in names
    )
    scale = np.where(noise.random(shape[2]) < 2 * holes, np.nan, 1.0 + noise.random(shape[2]))
    block = Block(
        tuple(f"s{number:03d}" for number in range(shape[2])),
        planned=~hole(2),
        outcome=outcome,
        outcome_status=outcome_status,
        published=np.where(matured, origins[:, np.newaxis, np.newaxis] + late, 0),
        scale_mae=scale,
        scale_rmse=2.0 * scale,
        value=value,
        status=status,
    )
    return Panel(Stage(spec, np.arange(shape[1]) - 1, origins, entrants), block)


def rows_of(panel: Panel) -> pl.DataFrame:
    """The cells as `score_tables` takes them, shuffled; cells outside the plan are warm-up."""
    stage, block = panel.stage, panel.block
    origin, horizon, series = (axis.ravel() for axis in np.indices(block.planned.shape))
    frames = []
    for one in stage.models:
        first, last = (None, None) if one.in_span.all() else stage.origins[one.in_span][[0, -1]].tolist()
        frames.append(
            pl.DataFrame(
                {
                    "model": one.model,
                    "is_rival": one.is_rival,
                    "series_id": pl.Series(block.series).gather(series),
                    "origin": stage.origins[origin],
                    "horizon": stage.horizons[horizon],
                    "status": pl.Series(grid.STATUSES).gather(block.status[one.model].ravel()),
                    "value": pl.Series(block.value[one.model].ravel()).fill_nan(None),
                    "outcome": pl.Series(block.outcome.ravel()).fill_nan(None),
                    "outcome_status": pl.Series(grid.OUTCOMES).gather(block.outcome_status.ravel()),
                    "outcome_published_at": block.published.ravel(),
                    "scored": block.planned.ravel(),
                    "scale_mae": pl.Series(block.scale_mae[series]).fill_nan(None),
                    "scale_rmse": pl.Series(block.scale_rmse[series]).fill_nan(None),
                }
            )
            .with_columns(issued_first=pl.lit(first, pl.Int64), issued_last=pl.lit(last, pl.Int64))
            .filter(pl.col("status") != "missing")
        )
    instants = ("origin", "outcome_published_at", "issued_first", "issued_last")
    table = pl.concat(frames).with_columns(pl.col(instants).cast(grid.INSTANT))
    matured = pl.col("outcome_status") == "matured"
    return table.with_columns(pl.when(matured).then("outcome_published_at")).sample(fraction=1.0, shuffle=True, seed=1)


def bits(frame: pl.DataFrame) -> pl.DataFrame:
    """Floats as integers, so that -0.0 and 0.0 differ."""
    floats = [name for name, kind in frame.schema.items() if kind == pl.Float64]
    return frame.with_columns(
        pl.Series(name, frame[name].fill_null(7.25e300).to_numpy().copy().view(np.int64)) for name in floats
    )


def same(found: ScoreTables, expected: ScoreTables) -> bool:
    return all(
        getattr(found, name).schema == getattr(expected, name).schema
        and bits(getattr(found, name)).equals(bits(getattr(expected, name)))
        for name in TABLES
    )


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 3), st.integers(1, 12)))
    span = draw(st.none() | st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[0] - 1)).map(sorted))
    return make_panel(
        draw(st.integers(0, 2**32)),
        shape=shape,
        spec=draw(st.sampled_from(SPECS)),
        span=span and tuple(span),
        holes=draw(st.sampled_from([0.0, 0.02, 0.1, 0.3])),
        level=draw(st.sampled_from([5.0, 0.5, 1e-3])),
    )


@settings(max_examples=30, deadline=None)
@given(panels(), st.lists(st.integers(1, 12), min_size=1, max_size=3))
def test_arrays_in_blocks_give_the_bits_of_rows(panel: Panel, widths: list[int]) -> None:
    try:
        expected = score_tables(rows_of(panel), panel.stage.spec)
    except DataError as err:
        with pytest.raises(DataError) as refused:
            panel.tables(*widths)
        assert str(refused.value) == str(err)
        return
    assert same(panel.tables(*widths), expected)
