"""A panel scored as arrays has the bits of its rows scored one by one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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

DAY = 86_100_000_000
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
        if (codes == MISSING).all():
            codes[0, 0, 0] = FAILED  # of a model without a single row the rows cannot tell that it ran
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


def found_or_refused(score: Callable[[], ScoreTables]) -> ScoreTables | str:
    try:
        return score()
    except DataError as err:
        return str(err)


def check_against_rows(panel: Panel, widths: list[int]) -> None:
    found = found_or_refused(lambda: panel.tables(*widths))
    expected = found_or_refused(lambda: score_tables(rows_of(panel), panel.stage.spec))
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected
    else:
        assert same(found, expected)


WIDTHS = st.lists(st.integers(1, 12), min_size=1, max_size=3)


@settings(max_examples=5, deadline=None)
@given(panels(), WIDTHS)
def test_arrays_in_blocks_give_the_bits_of_rows(panel: Panel, widths: list[int]) -> None:
    check_against_rows(panel, widths)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(panels(), WIDTHS)
def test_many_arrays_in_blocks_give_the_bits_of_rows(panel: Panel, widths: list[int]) -> None:
    check_against_rows(panel, widths)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.primary)
def test_every_metric_and_an_external_on_its_span(spec: ScoreSpec) -> None:
    check_against_rows(make_panel(2, shape=(20, 2, 4), spec=spec, span=(4, 15)), [3])


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("seed", [1, 31, 38])
def test_infinite_losses_of_both_signs_cancel_quietly(seed: int, width: int) -> None:
    check_against_rows(make_panel(seed, shape=(6, 1, 2), spec=SPECS[5], span=(0, 0), holes=0.0, level=1e-3), [width])


@pytest.mark.parametrize("shape", [(3, 1, 40), (60, 1, 1), (60, 1, 2)])
def test_long_sums_are_added_up_in_the_order_of_rows(shape: tuple[int, int, int]) -> None:
    panel = make_panel(3, shape=shape)
    check_against_rows(panel, [shape[2]])
    check_against_rows(panel, [7])


def test_sums_in_pairs_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The specimen: NumPy's own sum along a contiguous axis."""
    panel = make_panel(3, shape=(3, 1, 150))
    expected = panel.tables()
    pairs = lambda values: np.ascontiguousarray(np.moveaxis(values, -2, -1)).sum(axis=-1)  # noqa: E731
    monkeypatch.setattr("harness.score.dense.sums.in_order", pairs)
    assert not same(panel.tables(), expected)


def test_a_last_bit_of_one_forecast_shows() -> None:
    """The specimen of the comparison itself."""
    panel = make_panel(4, holes=0.0)
    values = panel.block.value["ar"].copy()
    values[3, 0, 2] = np.nextafter(values[3, 0, 2], 9.0)
    other = replace(panel.block, value={**panel.block.value, "ar": values})
    assert not same(Panel(panel.stage, other).tables(), panel.tables())


def test_threads_and_layout_leave_the_bits_alone() -> None:
    panel = make_panel(5, shape=(14, 3, 40), span=(2, 9))
    expected = panel.tables()
    assert same(panel.tables(9, threads=2), expected)
    block = panel.block
    turned = {name: np.ascontiguousarray(array.T).T for name, array in block.value.items()}
    assert same(Panel(panel.stage, replace(block, value=turned, series=pl.Series(block.series))).tables(), expected)


def test_constant_arrays_may_be_broadcast() -> None:
    panel = make_panel(6, holes=0.0)
    shape = panel.block.planned.shape
    flat = replace(
        panel.block,
        planned=np.broadcast_to(np.True_, shape),
        outcome_status=np.broadcast_to(np.uint8(0), shape),
        status={name: np.broadcast_to(np.uint8(0), shape) for name in panel.block.status},
    )
    assert same(Panel(panel.stage, flat).tables(2), panel.tables())


def test_without_the_rows_of_series_the_others_are_the_same() -> None:
    panel = make_panel(7, span=(1, 8))
    every, pooled = panel.tables(2), panel.tables(2, by_series=False)
    for name in ("scores", "common_sample"):
        assert bits(getattr(pooled, name)).equals(bits(getattr(every, name).filter(pl.col("series_id").is_null())))
    assert pooled.leaderboard.equals(every.leaderboard)
    assert pooled.against_rivals.equals(every.against_rivals)


def test_memory_does_not_grow_with_the_number_of_blocks() -> None:
    def peak(count: int) -> int:
        stage = make_panel(8, shape=(4, 1, 100)).stage
        numbered = lambda number: tuple(f"{number:02d}{one:03d}" for one in range(100))  # noqa: E731

        def blocks() -> Iterator[Block]:
            for number in range(count):
                yield replace(make_panel(number, shape=(4, 1, 100)).block, series=numbered(number))

        tracemalloc.start()
        tables(stage, blocks, by_series=False)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)  # imports and caches of the libraries
    assert peak(16) < 1.2 * peak(4)


def with_cell(name: str, number: float, model: str = "") -> Callable[[Panel], Panel]:
    """A change of one planned cell, of an array of the block or of one of a model's."""

    def change(panel: Panel) -> Panel:
        held = getattr(panel.block, name)
        array = (held[model] if model else held).copy()
        array[2, 0, 1] = number
        return Panel(panel.stage, replace(panel.block, **{name: {**held, model: array} if model else array}))

    return change


def with_block(**changes: Any) -> Callable[[Panel], Panel]:
    return lambda panel: Panel(panel.stage, replace(panel.block, **changes))


def with_stage(change: Callable[[Stage], dict[str, Any]]) -> Callable[[Panel], Panel]:
    return lambda panel: Panel(replace(panel.stage, **change(panel.stage)), panel.block)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_cell("value", np.inf, "ar"), "ar answered without a finite value"),
        (with_cell("status", grid.STATUSES.index("already_public"), "ar"), "ar calls cells already public"),
        (with_cell("outcome", np.nan), "a matured outcome lacks its value"),
        (with_cell("published", 0), "a matured outcome lacks its value or instant"),
        (with_cell("outcome_status", len(grid.OUTCOMES)), "unknown outcome_status"),
        (with_cell("status", len(grid.STATUSES), "ar"), "unknown status"),
        (with_block(planned=np.zeros((12, 2, 5), dtype=bool)), "no scored cells"),
        (with_block(outcome=np.zeros((12, 2, 4))), "arrays of a block"),
        (with_block(scale_mae=np.zeros(5)), "scale_mae is not positive"),
        (with_block(series=tuple("edcba")), "series of a panel"),
        (with_stage(lambda stage: {"spec": replace(stage.spec, reference="naive")}), "the reference model has no rows"),
        (with_stage(lambda stage: {"models": stage.models[::-1]}), "models of a panel"),
        (with_stage(lambda stage: {"origins": stage.origins[::-1]}), "origins of a panel"),
        (
            with_stage(lambda stage: {"models": tuple(replace(one, is_rival=False) for one in stage.models)}),
            "no naive rival",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(change: Callable[[Panel], Panel], message: str) -> None:
    with pytest.raises(DataError, match=message):
        change(make_panel(9, holes=0.0)).tables()


def test_blocks_that_come_in_another_order_are_refused() -> None:
    panel = make_panel(10)
    with pytest.raises(DataError, match="ascending and distinct, across blocks"):
        tables(panel.stage, lambda: reversed(list(panel.cut(2))))


def test_an_outcome_of_the_first_instant_of_1970_is_one() -> None:
    """The end of 1969 is instant 0, which elsewhere means that there is none."""
    panel = make_panel(11, shape=(12, 1, 3), holes=0.0)
    stage = replace(panel.stage, origins=panel.stage.origins - panel.stage.origins[-1] - 1)
    block = replace(panel.block, published=np.zeros(panel.block.planned.shape, dtype=np.int64))
    check_against_rows(Panel(stage, block), [3])
