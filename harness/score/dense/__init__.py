"""The score tables of a whole panel, from arrays in blocks of series: to the bit those of `tables.score_tables`.

`tables.score_tables` lays rows out on a grid, cell by cell, and is the plain definition. Here cells come as arrays
[origin, horizon, series], are walked twice (`look`, then `sums`) in tiles that fit the processor's cache, and only
running totals are kept, so that memory does not grow with the number of series, save for rows by series if asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import polars as pl

from harness.core.ahead import ahead
from harness.core.errors import DataError
from harness.score.dense.duels import Found, compare_all, over_the_run, seen_in
from harness.score.dense.frames import (
    pooled_common,
    pooled_counts,
    pooled_sums,
    score_rows,
    series_counts,
    series_sums,
)
from harness.score.dense.look import Look, look_at
from harness.score.dense.panel import Block, Entrant, Stage, check_block, check_stage
from harness.score.dense.sums import THIRDS, Design, Sums, add, design_of
from harness.score.grid import Floats
from harness.score.leaderboard import best_rivals, ranked
from harness.score.power import SeenDifference
from harness.score.rivals import comparison_frame
from harness.score.tables import ScoreTables

__all__ = ["Block", "Entrant", "Stage", "differences", "series_rows", "tables"]

Blocks = Callable[[], Iterator[Block]]
Rows = tuple[pl.DataFrame, pl.DataFrame]
"""Headline scores, and those of the common sample."""

T = TypeVar("T")


def tables(stage: Stage, blocks: Blocks, *, by_series: bool = True, threads: int = 1) -> ScoreTables:
    """All score tables of a panel.

    Args:
        stage: what is the same for every block.
        blocks: gives the blocks, in ascending order of series; called twice, and both times the same must come.
        by_series: with the rows of each series in `scores` and `common_sample`; without, pooled ones only. There are
            four rows per series, horizon and model, of about 250 bytes each.
        threads: horizons that are worked on at the same time, beside the making of the next block; the bits do not
            depend on it.

    Returns:
        `ScoreTables`: the same columns, rows, order and bits as `score_tables` gives of these cells as rows.

    Raises:
        DataError: no rival, no reference, no cell of the plan; arrays that do not fit together, series out of order;
            answers or matured outcomes without a finite value, matured outcomes without an instant.

    Source:
        SEMANTICS 23 to 28.
    """
    check_stage(stage)
    look = _looked(stage, blocks, threads)
    design = design_of(stage, look)
    sums = Sums.nothing_yet(stage, design)
    parts: list[list[Rows]] = [[] for _ in stage.horizons]

    def visit(block: Block, place: int) -> Rows | None:
        if not by_series:
            add(sums, stage, design, block, place)
            return None
        groups = np.zeros((THIRDS, sums.whole.shape[1], len(block.series)))
        add(sums, stage, design, block, place, groups)
        return _series_rows(stage, design, block, place, groups)

    for found in _walk(stage, blocks, threads, visit):
        for place, rows in enumerate(found):
            parts[place] += [] if rows is None else [rows]
    return _tables(Found(stage, look, design, sums), parts)


def series_rows(stage: Stage, blocks: Blocks) -> Iterator[Rows]:
    """The rows of each series that `tables` gives with `by_series`, block after block; kept is one block at a time.

    Args:
        stage: what is the same for every block.
        blocks: as `tables`.

    Raises:
        DataError: as `tables`.
    """
    check_stage(stage)
    design = design_of(stage, _looked(stage, blocks, 1))
    sums = Sums.nothing_yet(stage, design)

    def visit(block: Block, place: int) -> Rows:
        groups = np.zeros((THIRDS, sums.whole.shape[1], len(block.series)))
        add(sums, stage, design, block, place, groups)
        return _series_rows(stage, design, block, place, groups)

    for found in _walk(stage, blocks, 1, visit):
        yield from found


def differences(stage: Stage, blocks: Blocks, model: str) -> tuple[SeenDifference, ...]:
    """Loss differences of one model with every rival per horizon, as `power.seen_differences` gives of rows.

    A pair with an infinite loss at a horizon is left out there.

    Args:
        stage: what is the same for every block.
        blocks: as `tables`.
        model: the model.

    Raises:
        DataError: as `tables`.
    """
    check_stage(stage)
    look = _looked(stage, blocks, 1)
    design = design_of(stage, look)
    sums = Sums.nothing_yet(stage, design)
    for _ in _walk(stage, blocks, 1, lambda block, place: add(sums, stage, design, block, place)):
        pass
    return seen_in(Found(stage, look, design, sums), model)


def _looked(stage: Stage, blocks: Blocks, threads: int) -> Look:
    look, last = Look.nothing_yet(stage), None

    def checked() -> Iterator[Block]:
        nonlocal last
        for block in blocks():
            last = check_block(stage, block, last)
            yield block

    for _ in _walk(stage, checked, threads, lambda block, place: look_at(look, stage, block, place)):
        pass
    if not look.planned.any():
        raise DataError("no scored cells", rule="an origin after the warm-up whose outcome was not yet public")
    return look


def _walk(stage: Stage, blocks: Blocks, threads: int, visit: Callable[[Block, int], T]) -> Iterator[list[T]]:
    """What a visit to each horizon gives, block by block."""
    horizons = range(stage.horizons.size)
    if threads == 1:
        for block in blocks():
            yield [visit(block, place) for place in horizons]
        return
    with ThreadPoolExecutor(threads) as pool:
        for block in ahead(blocks()):
            yield list(pool.map(visit, [block] * len(horizons), horizons))


def _series_rows(stage: Stage, design: Design, block: Block, place: int, groups: Floats) -> Rows:
    counts, shared = series_counts(stage, design, block, place)
    whole, common = series_sums(stage, design, groups)
    ids, horizon = pl.Series(block.series, dtype=pl.String), np.full(len(block.series), stage.horizons[place])
    every, takes_part = np.ones(len(stage.models), dtype=np.bool_), design.takes_part[place]
    return (
        score_rows(stage, counts, whole, horizon, ids, every),
        score_rows(stage, shared, common, horizon, ids, takes_part),
    )


def _pooled_rows(found: Found) -> Rows:
    stage, design = found.stage, found.design
    counts = pooled_counts(stage, design, found.look)
    whole, common = pooled_sums(stage, design, found.sums)
    takes_part = design.takes_part[:, np.newaxis]  # [horizon, 1, model]
    return (
        score_rows(stage, counts, whole, stage.horizons, None, np.ones_like(takes_part)),
        score_rows(stage, pooled_common(stage, design, found.sums, counts), common, stage.horizons, None, takes_part),
    )


def _tables(found: Found, parts: list[list[Rows]]) -> ScoreTables:
    """The tables from pooled rows and, by horizon and block, those of the series."""
    pooled, spec = _pooled_rows(found), found.stage.spec
    comparisons = compare_all(found)
    best = best_rivals(found.stage.horizons, over_the_run(found))
    scores, common = (
        pl.concat(
            frame
            for horizon, part in zip(found.stage.horizons, parts, strict=True)
            for frame in (pooled[table].filter(pl.col("horizon") == horizon), *(rows[table] for rows in part))
        )
        for table in (0, 1)
    )
    return ScoreTables(
        scores=scores,
        common_sample=common,
        against_rivals=comparison_frame(comparisons),
        leaderboard=ranked(pooled[0].filter(pl.col("stretch").is_null()), best, comparisons, spec),
    )
