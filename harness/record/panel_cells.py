"""What one recipe answered at one origin for a whole panel, as matrices; and these as an Arrow table, a row a series.

A tidy frame names every forecast in full; of a panel only the values differ from row to row. So the matrices are what
is stored, read and scored, and the tidy frame is made when somebody asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from harness.core.errors import DamagedError
from harness.core.frames import UTC_INSTANT
from harness.core.names import Names
from harness.core.snapshot import NO_POSITION
from harness.core.time import NEVER, micros
from harness.core.transform import Floats
from harness.record import arrow

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint8]
STATUSES = ("ok", "failed", "abstained", "already_public", "not_issued", "asked")
"""Words of `status`; the last stands in a cell that is not answered yet only."""
OK, FAILED, ABSTAINED, PUBLIC, NOT_ISSUED, ASKED = range(len(STATUSES))
WORDS = pl.Series(STATUSES, dtype=pl.String())
META = b"harness.panel"


@dataclass(frozen=True, slots=True, eq=False)
class PanelAnswers:
    """Point forecasts of some series at some horizons, issued at one origin.

    Attributes:
        series: stored ids, one per row.
        origin: instant of issue.
        horizons: [horizon] target periods ahead.
        periods: [horizon] last day of the target period.
        ends: [horizon] position of the target period on the target's timeline as known at the origin.
        value: [series, horizon] forecast in the target's unit; NaN = none.
        status: [series, horizon] index into `STATUSES`.
        reason: [series, horizon] index into `reasons`.
        reasons: words; the first is "" for none.
        answered: [series, horizon] answered by the model itself, of which `trained_at` tells.
        trained_at: when the model was fitted; None = it is not fitted.
        last_known: [series] last day of the newest known target period; NaT = none.
        last: [series] its position; NO_POSITION = none.
        phase: of the origin.
        issue_age: [series] days since an external was issued; NaN = none, or no external.
    """

    series: Names
    origin: datetime
    horizons: NDArray[np.int32]
    periods: NDArray[np.datetime64]
    ends: Integers
    value: Floats
    status: Words
    reason: Words
    reasons: tuple[str, ...]
    answered: Flags
    trained_at: datetime | None
    last_known: NDArray[np.datetime64]
    last: Integers
    phase: int
    issue_age: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Series by horizons."""
        return len(self.series), len(self.horizons)

    @property
    def rows(self) -> Integers:
        """[series] the row of each."""
        return np.arange(len(self.series), dtype=np.int64)

    def info_gap(self) -> Integers:
        """[series, horizon] target periods between the newest known and the target; meaningless where none is known."""
        gap: Integers = self.ends[None, :] - np.where(self.last == NO_POSITION, 0, self.last)[:, None]
        return gap

    def frame(self) -> pl.DataFrame:
        """Tidy rows in order of series and horizon, columns of `cells.CELL_SCHEMA`."""
        return tidy_panels([self])


def tidy_panels(panels: Sequence[PanelAnswers]) -> pl.DataFrame:
    """Tidy rows of one or more panels, each in order of series and horizon, columns of `cells.CELL_SCHEMA`."""
    shapes = [panel.shape for panel in panels]
    sizes = [count * steps for count, steps in shapes]
    answered = np.concatenate([panel.answered.ravel() for panel in panels])
    trained = np.repeat([_micros(panel.trained_at) for panel in panels], sizes)
    ages = [_by_series(panel.issue_age, panel) for panel in panels]
    known = np.concatenate([_by_series(panel.last != NO_POSITION, panel) for panel in panels])
    return pl.DataFrame(
        {
            "series_id": _gathered([(panel.series.column, _by_series(panel.rows, panel)) for panel in panels]),
            "origin": _instants(np.repeat([_micros(panel.origin) for panel in panels], sizes)),
            "horizon": pl.Series(np.concatenate([np.tile(panel.horizons, len(panel.series)) for panel in panels])),
            "period": _days(np.concatenate([np.tile(panel.periods, len(panel.series)) for panel in panels])),
            "quantile": pl.Series([None], dtype=pl.Float64()).new_from_index(0, sum(sizes)),
            "value": pl.Series(np.concatenate([panel.value.ravel() for panel in panels])).fill_nan(None),
            "status": _gathered([(WORDS, panel.status.ravel()) for panel in panels]),
            "reason": _gathered([(_words(panel.reasons), panel.reason.ravel()) for panel in panels]),
            "trained_at": _instants(np.where(answered, trained, NEVER)),
            "last_known_period": _days(np.concatenate([_by_series(panel.last_known, panel) for panel in panels])),
            "info_gap": _masked(np.concatenate([panel.info_gap().ravel() for panel in panels]).astype(np.int32), known),
            "phase": pl.Series(np.repeat([panel.phase for panel in panels], sizes).astype(np.int32)),
            "issue_age": pl.Series(np.concatenate(ages)).fill_nan(None),
        }
    )  # fmt: skip


def _by_series(array: NDArray[Any], panel: PanelAnswers) -> NDArray[Any]:
    """[row] what is told once per series."""
    return np.repeat(array, len(panel.horizons))


def _micros(moment: datetime | None) -> int:
    return NEVER if moment is None else micros(moment)


def _masked(values: NDArray[Any], there: Flags) -> pl.Series:
    """A column with nulls where a flag is not set."""
    column = pl.Series(values)
    return column if there.all() else column.zip_with(pl.Series(there), pl.Series([None], dtype=column.dtype))


def _instants(moments: Integers) -> pl.Series:
    return _masked(moments, moments != NEVER).cast(UTC_INSTANT)


def _days(days: NDArray[np.datetime64]) -> pl.Series:
    return pl.Series(days.astype("datetime64[D]")).cast(pl.Date())


@lru_cache(maxsize=256)
def _words(reasons: tuple[str, ...]) -> pl.Series:
    return pl.Series([None, *reasons[1:]], dtype=pl.String())


def _gathered(parts: Sequence[tuple[pl.Series, NDArray[Any]]]) -> pl.Series:
    """Words by their places, part after part; parts that share their words are looked up together."""
    starts: dict[int, int] = {}
    words: list[pl.Series] = []
    places = []
    for column, place in parts:
        if id(column) not in starts:
            starts[id(column)] = sum(map(len, words))
            words.append(column)
        places.append(place.astype(np.int64) + starts[id(column)])
    rows, whole = np.concatenate(places), words[0] if len(words) == 1 else pl.concat(words)
    return (
        whole.new_from_index(int(rows[0]), len(rows)) if (rows == rows[:1]).all() and len(rows) else whole.gather(rows)
    )


def to_arrow(panel: PanelAnswers) -> pa.Table:
    """One row per series; what is the same in all of them stands in the metadata."""
    metadata, differing = told_once(panel)
    columns: dict[str, Any] = {
        "series_id": series_column(panel.series),
        "last_known_period": arrow.days(panel.last_known),
        "last_position": arrow.buffered(panel.last),
        "value": _lists(panel.value),
        **{name: _lists(array) for name, array in differing.items()},
    }
    if not np.isnan(panel.issue_age).all():
        columns["issue_age"] = arrow.buffered(panel.issue_age)
    return pa.table(columns).replace_schema_metadata(metadata)


def told_once(panel: PanelAnswers) -> tuple[dict[bytes, str], dict[str, Words]]:
    """The metadata, and [series, horizon] what differs from row to row besides values and the newest known periods."""
    facts: dict[str, object] = {
        "origin": panel.origin.isoformat(),
        "horizons": panel.horizons.tolist(),
        "periods": [str(day) for day in panel.periods.astype("datetime64[D]")],
        "ends": panel.ends.tolist(),
        "statuses": list(STATUSES),
        "reasons": list(panel.reasons),
        "trained_at": None if panel.trained_at is None else panel.trained_at.isoformat(),
        "phase": panel.phase,
    }
    differing = {}
    for name in ("status", "reason", "answered"):
        array = getattr(panel, name)
        array = array.view(np.uint8) if array.dtype == np.bool_ else array.astype(np.uint8, copy=False)
        first = array.flat[0] if array.size else 0
        if not any(array.strides) or (array == first).all():
            facts[name] = int(first)
        else:
            differing[name] = array
    return {META: json.dumps(facts, sort_keys=True)}, differing


def from_arrow(table: pa.Table) -> PanelAnswers | None:
    """What `to_arrow` wrote; None where it is another table.

    Raises:
        DamagedError: it says it is, and is not.
    """
    facts_text = (table.schema.metadata or {}).get(META)
    if facts_text is None:
        return None
    try:
        facts = json.loads(facts_text)
        names = _names(table["series_id"])
        shape = len(names), len(facts["horizons"])
        issued = "issue_age" in table.column_names
        return PanelAnswers(
            series=names,
            origin=datetime.fromisoformat(facts["origin"]),
            horizons=np.array(facts["horizons"], dtype=np.int32),
            periods=np.array(facts["periods"], dtype="datetime64[D]"),
            ends=np.array(facts["ends"], dtype=np.int64),
            value=_matrix(table, facts, "value", shape),
            status=_matrix(table, facts, "status", shape),
            reason=_matrix(table, facts, "reason", shape),
            reasons=tuple(facts["reasons"]),
            answered=_matrix(table, facts, "answered", shape, bool),
            trained_at=None if facts["trained_at"] is None else datetime.fromisoformat(facts["trained_at"]),
            last_known=_flat(table["last_known_period"]).astype("datetime64[D]", copy=False),
            last=_flat(table["last_position"]),
            phase=int(facts["phase"]),
            issue_age=_flat(table["issue_age"]) if issued else np.broadcast_to(np.full(1, np.nan), shape[:1]),
        )
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DamagedError("a cell does not have the form it promises", value=str(error)[:100]) from error


_last_ids: list[tuple[pa.Array, Names]] = []


def series_column(names: Names) -> pa.Array:
    """Ids as Arrow text; cells of one panel follow one another, so the last ones are kept."""
    for array, known in _last_ids:
        if known is names:
            return array
    array = arrow.text(pl.Series(names, dtype=pl.String()))
    _last_ids[:] = [(array, names), *_last_ids[:1]]
    return array


def _names(column: pa.ChunkedArray) -> Names:
    array = arrow.whole(column)
    for known, names in _last_ids:
        if known.equals(array):
            return names
    names = Names(array.to_pylist())
    _last_ids[:] = [(array, names), *_last_ids[:1]]
    return names


def _lists(matrix: NDArray[Any]) -> pa.Array:
    flat = arrow.buffered(matrix.ravel())
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def _flat(column: pa.ChunkedArray) -> NDArray[Any]:
    return arrow.numbers(arrow.whole(column))


def _matrix(
    table: pa.Table, facts: dict[str, Any], name: str, shape: tuple[int, int], dtype: type = np.uint8
) -> NDArray[Any]:
    """One matrix: a number that stands for all, or where it lies in the table, of which nothing is copied."""
    if name in facts:
        return np.broadcast_to(np.full(1, facts[name], dtype=dtype), shape)
    column = arrow.whole(table[name])
    first, count = column.offset * column.type.list_size, len(column) * column.type.list_size
    flat = arrow.numbers(column.values.slice(first, count))
    return flat.reshape(shape).view(bool) if dtype is bool else flat.reshape(shape)
