"""The planned grid: every cell that will be scored, and what each model answered there.

The reference model's rows are the plan. A cell is planned when it is scored (no warm-up) and its outcome was not yet
public at the origin; it is scorable when its outcome has matured and the reference has a forecast to stand in for a
missing one. Revisions never add cells: a second row of one (model, series, origin, horizon) is refused (S25).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

INSTANT: Final = pl.Datetime("us", "UTC")
SCHEMA: Final[dict[str, Any]] = {
    "model": pl.String,
    "is_rival": pl.Boolean,
    "series_id": pl.String,
    "origin": INSTANT,
    "horizon": pl.Int32,
    "status": pl.String,
    "value": pl.Float64,
    "outcome": pl.Float64,
    "outcome_status": pl.String,
    "outcome_published_at": INSTANT,
    "scored": pl.Boolean,
    "issued_first": INSTANT,
    "issued_last": INSTANT,
    "scale_mae": pl.Float64,
    "scale_rmse": pl.Float64,
}
KEYS: Final = ("horizon", "series_id", "origin")
FACTS: Final = ("scored", "outcome", "outcome_status", "outcome_published_at")
STATUSES: Final = ("ok", "fallback", "failed", "abstained", "not_issued", "missing", "already_public")
OWN: Final = 2  # the first two statuses are answers of the model's own
OUTCOMES: Final = ("matured", "pending", "no_outcome", "withdrawn", "delisted")
STRETCHES: Final = ("first", "middle", "last")


@dataclass(frozen=True, slots=True)
class Grid:
    """Planned cells sorted by horizon, series and origin; arrays have one entry per cell unless said otherwise.

    Attributes:
        facts: the plan's rows: key columns, `FACTS`, and `cell` (null where not planned).
        horizons: distinct horizons, ascending.
        series: distinct series ids, ascending.
        horizon: index into `horizons`.
        series_code: index into `series`.
        origin: instant of issue, microseconds since 1970 UTC.
        stretch: index into `STRETCHES`: thirds of the distinct origins that have a matured outcome.
        group: number of the (horizon, series, stretch) a cell belongs to, ascending without gaps.
        outcome: NaN where not matured.
        outcome_status: index into `OUTCOMES`.
        published: when the outcome became public, microseconds; 0 where not matured.
        scale_mae: per series; NaN where there is none.
        scale_rmse: per series; NaN where there is none.
        reference: the stand-in forecast; NaN where the reference has none.
        scorable: matured, with a reference.
    """

    facts: pl.DataFrame
    horizons: Ints
    series: tuple[str, ...]
    horizon: Ints
    series_code: Ints
    origin: Ints
    stretch: Ints
    group: Ints
    outcome: Floats
    outcome_status: Ints
    published: Ints
    scale_mae: Floats
    scale_rmse: Floats
    reference: Floats
    scorable: Bools


@dataclass(frozen=True, slots=True)
class Answers:
    """One model's answers on the grid, one entry per cell.

    Attributes:
        model: its name.
        is_rival: an always-on naive rival.
        forecast: the model's own, or the reference's where it gave none.
        status: index into `STATUSES`; `missing` where there is no row at all.
        in_span: cells the model is held to: all, or those issued within an external's span.
    """

    model: str
    is_rival: bool
    forecast: Floats
    status: Ints
    in_span: Bools

    @property
    def own(self) -> Bools:
        """Cells answered by the model itself (or by its declared fallback)."""
        return self.status < OWN


def read(rows: pl.DataFrame, reference: str) -> tuple[Grid, tuple[Answers, ...]]:
    """Lay the rows of a run out on its planned grid.

    Args:
        rows: one row per (model, series_id, origin, horizon), columns as `SCHEMA`, any order; further ones ignored.
        reference: name of the model that stands in for missing forecasts.

    Returns:
        The grid, and the answers of each model in alphabetical order.

    Raises:
        DataError: missing or mistyped columns, unknown statuses, duplicate rows, rows outside the plan, rows that
            disagree about a cell's outcome, answers without a finite value, no reference, no rival.

    Source:
        SEMANTICS 24 and 25.
    """
    table = _checked(rows)
    names = table["model"].unique().sort().to_list()
    if reference not in names:
        raise DataError("the reference model has no rows", value=reference, rule="it stands in for missing forecasts")
    grid = _grid(_one_model(table, reference))
    answers = tuple(_answers(_one_model(table, name), name, grid) for name in names)
    if not any(answer.is_rival for answer in answers):
        raise DataError("no naive rival among the models", value=", ".join(names), rule="rivals cannot be switched off")
    return grid, answers


def _checked(rows: pl.DataFrame) -> pl.DataFrame:
    missing = sorted(set(SCHEMA) - set(rows.columns))
    if missing:
        raise DataError("rows to score lack columns", value=", ".join(missing))
    if rows.schema["origin"] != INSTANT:
        raise DataError("origin is not an instant", value=rows.schema["origin"], rule=str(INSTANT))
    try:
        table = rows.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
    except pl.exceptions.PolarsError as err:
        raise DataError("rows to score have a wrong type", value=err) from err
    needed = ["model", "is_rival", *KEYS, "status", "outcome_status", "scored"]
    empty = [name for name in needed if table[name].null_count()]
    if empty:
        raise DataError("rows to score have nulls", value=", ".join(empty))
    for name, known in (("status", STATUSES), ("outcome_status", OUTCOMES)):
        unknown = sorted(set(table[name].unique()) - set(known))
        if unknown:
            raise DataError(f"unknown {name}", value=", ".join(unknown), rule=", ".join(known))
    return table


def _one_model(table: pl.DataFrame, model: str) -> pl.DataFrame:
    """The rows of one model, refused when a cell is answered twice or an answer is not a number."""
    mine = table.filter(pl.col("model") == model)
    twice = int(mine.select(KEYS).is_duplicated().sum())
    if twice:
        raise DataError(
            f"{model} has more than one row per cell",
            value=f"{twice} rows",
            rule="revisions are never extra rows (S25)",
        )
    answered = pl.col("status").is_in(STATUSES[:OWN])
    empty = mine.filter(answered & ~pl.col("value").is_finite().fill_null(value=False)).height
    if empty:
        raise DataError(
            f"{model} answered without a finite value", value=f"{empty} rows", fix="status failed or abstained"
        )
    return mine


def _grid(plan: pl.DataFrame) -> Grid:
    plan = plan.sort(KEYS)
    planned = plan["scored"].to_numpy() & (plan["status"] != "already_public").to_numpy()
    cell = pl.Series("cell", np.where(planned, np.cumsum(planned) - 1, -1), dtype=pl.Int64)
    cells = plan.filter(pl.Series(planned))
    matured, outcome, published = _outcomes(cells)
    reference = np.where(_codes(cells["status"], STATUSES) < OWN, _floats(cells["value"]), np.nan)
    horizons, horizon = np.unique(cells["horizon"].to_numpy(), return_inverse=True)
    series = tuple(cells["series_id"].unique().sort())
    codes, origin = _codes(cells["series_id"], series), _micros(cells["origin"])
    stretch = thirds(origin, matured)
    steps = [np.diff(keys, prepend=keys[:1]) != 0 for keys in (horizon, codes, stretch)]
    return Grid(
        facts=plan.select(*KEYS, *FACTS).with_columns(cell),
        horizons=horizons.astype(np.int64),
        series=series,
        horizon=horizon.astype(np.int64),
        series_code=codes,
        origin=origin,
        stretch=stretch,
        group=np.cumsum(np.logical_or.reduce(steps)),
        outcome=outcome,
        outcome_status=_codes(cells["outcome_status"], OUTCOMES),
        published=published,
        scale_mae=_scale(cells["scale_mae"]),
        scale_rmse=_scale(cells["scale_rmse"]),
        reference=reference,
        scorable=matured & np.isfinite(reference),
    )


def _outcomes(cells: pl.DataFrame) -> tuple[Bools, Floats, Ints]:
    """Which outcomes have matured, their values and instants; refused when one of these lacks."""
    if cells.is_empty():
        raise DataError("no scored cells", rule="an origin after the warm-up whose outcome was not yet public")
    matured = (cells["outcome_status"] == "matured").to_numpy()
    outcome = _floats(cells["outcome"])
    if (matured & ~(np.isfinite(outcome) & cells["outcome_published_at"].is_not_null().to_numpy())).any():
        raise DataError("a matured outcome lacks its value or instant of publication")
    return matured, np.where(matured, outcome, np.nan), np.where(matured, _micros(cells["outcome_published_at"]), 0)


def _answers(mine: pl.DataFrame, model: str, grid: Grid) -> Answers:
    joined = mine.join(grid.facts, on=list(KEYS), how="left", suffix="_plan", maintain_order="left")
    _agree(joined, model)
    placed = joined.filter(pl.col("cell") >= 0)
    if (placed["status"] == "already_public").any():
        raise DataError(f"{model} calls cells already public that the plan scores", rule="one outcome per cell (S4)")
    cell = placed["cell"].to_numpy()
    status = np.full(grid.outcome.size, STATUSES.index("missing"), dtype=np.int64)
    status[cell] = _codes(placed["status"], STATUSES)
    value = np.full(grid.outcome.size, np.nan)
    value[cell] = _floats(placed["value"])
    rivals = mine["is_rival"].unique().to_list()
    if len(rivals) != 1:
        raise DataError(f"{model} is a rival in some rows only")
    return Answers(
        model=model,
        is_rival=rivals[0],
        forecast=np.where(status < OWN, value, grid.reference),
        status=status,
        in_span=_in_span(placed, cell, grid, mine),
    )


def _agree(joined: pl.DataFrame, model: str) -> None:
    strangers = joined["cell"].null_count()
    if strangers:
        raise DataError(
            f"{model} has rows outside the plan", value=f"{strangers} rows", rule="the reference is the plan"
        )
    for fact in FACTS:
        differing = joined.filter(pl.col(fact).ne_missing(pl.col(f"{fact}_plan"))).height
        if differing:
            raise DataError(f"{model} disagrees with the plan about {fact}", value=f"{differing} rows")


def _in_span(placed: pl.DataFrame, cell: Ints, grid: Grid, mine: pl.DataFrame) -> Bools:
    """Cells issued within the declared span; a row's own span counts before the model's, an absent end is no limit."""
    inside = np.ones(grid.origin.size, dtype=np.bool_)
    for name, sign in (("issued_first", 1), ("issued_last", -1)):
        if mine[name].null_count() == mine.height:
            continue
        stated = _micros(mine[name].drop_nulls())
        bound = np.full(grid.origin.size, stated.min() if sign > 0 else stated.max())
        own = placed[name].is_not_null().to_numpy()
        bound[cell[own]] = _micros(placed[name])[own]
        inside &= sign * bound <= sign * grid.origin
    return inside


def thirds(origin: Ints, matured: Bools) -> Ints:
    """Index into `STRETCHES` of each cell: thirds of the distinct origins that have a matured outcome."""
    distinct = np.unique(origin[matured])
    if distinct.size == 0:
        return np.zeros(origin.size, dtype=np.int64)
    place = np.clip(np.searchsorted(distinct, origin), 0, distinct.size - 1)
    return place * len(STRETCHES) // distinct.size


def _floats(column: pl.Series) -> Floats:
    return column.fill_null(np.nan).to_numpy().astype(np.float64, copy=False)


def _micros(column: pl.Series) -> Ints:
    return column.to_physical().fill_null(0).to_numpy().astype(np.int64, copy=False)


def _codes(column: pl.Series, names: tuple[str, ...]) -> Ints:
    return column.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)


def _scale(column: pl.Series) -> Floats:
    scale = _floats(column)
    if (np.isinf(scale) | (scale <= 0.0)).any():
        raise DataError(f"{column.name} is not positive and finite", fix="null with the reason kept beside it")
    return scale
