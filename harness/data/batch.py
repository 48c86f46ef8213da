"""One batch of values as given by a user: read, checked, dated, and split into what is kept and what is set aside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.series import AVAILABILITIES, Series
from harness.core.time import instant, period_end
from harness.data.calendars import sessions_between
from harness.data.columns import Coded, day_of, instants, numbers, ordinals, polars_frame
from harness.data.declaration import Catalogue
from harness.data.derive import (
    OBSERVED,
    ORDER,
    PUBLICATION,
    RULE,
    STATEMENT,
    runs,
    spans,
    with_decimals,
    withdrawals,
)
from harness.data.lags import release_micros

Coverage = Literal["rows", "complete", "changes"]
COVERAGES = ("rows", "complete", "changes")
NOT_YET = "published later than now"
SET_ASIDE = pl.Schema(
    {
        "series_id": pl.String(),
        "period": pl.String(),
        "published": pl.String(),
        "value": pl.Float64(),
        "reason": pl.String(),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one call to `append` states.

    Attributes:
        statements: columns of `STATEMENT` and `implied`, sorted by `ORDER`, without repeats.
        publications: columns of `PUBLICATION`.
        set_aside: rows not taken, with the reason.
        rows_in: rows given.
        duplicates: rows given twice.
        sha256: content hash of what was given.
    """

    statements: pl.DataFrame
    publications: pl.DataFrame
    set_aside: pl.DataFrame
    rows_in: int
    duplicates: int
    sha256: str


def read_batch(frame: Any, catalogue: Catalogue, *, coverage: Coverage, publications: Any, now: int) -> Batch:
    """Read one batch.

    Args:
        frame: polars or pandas: series_id, period, value, and published_at unless every series has a lag rule;
            optionally availability and value_known_at.
        catalogue: the defined series.
        coverage: what the rows cover.
        publications: for `changes`: series_id, published_at, first, last, and optionally complete, captured.
        now: microseconds UTC; later stamps are set aside.

    Raises:
        DataError: the frame breaks a rule; nothing of it may be used.
        UnknownNameError: a series that is not defined.
    """
    if coverage not in COVERAGES:
        raise DataError("unknown coverage", value=repr(coverage), rule=f"one of {', '.join(COVERAGES)}")
    columns = polars_frame(frame, ("series_id", "period", "value"), ("published_at", "availability", "value_known_at"))
    rows = code_rows(columns["series_id"], catalogue)
    stated = _statements(columns, rows)
    kept, set_aside, positions = _sorted_out(stated, rows.series, now)
    kept, positions, duplicates = _without_repeats(kept, positions, catalogue)
    if publications is None:
        found = spans(kept) if coverage == "complete" else runs(kept, positions, countable=coverage == "rows")
    else:
        found = _listed(publications, catalogue, kept, coverage, positions)
    explicit = kept.with_columns(implied=pl.lit(value=False))
    if coverage == "complete":
        nulls = withdrawals(kept, found).with_columns(implied=pl.lit(value=True))
        explicit = pl.concat([explicit, nulls]).sort(ORDER) if nulls.height else explicit
    digest = content_hash(stated, coverage, found.select(pl.exclude("batch")))
    return Batch(explicit, found, set_aside, columns.height, duplicates, digest)


def code_rows(column: pl.Series, catalogue: Catalogue) -> Coded:
    """The series code of each row of a column of (stored or bare) ids."""
    if column.dtype != pl.String:
        if column.dtype not in (pl.Categorical, pl.Enum):
            raise DataError("column series_id holds no names", value=str(column.dtype), rule="text")
        column = column.cast(pl.String)
    if column.null_count():
        raise DataError("column series_id has an empty entry", rule="every row names its series")
    names = column.unique(maintain_order=True)
    codes = [catalogue.codes[catalogue.resolve(name)] for name in names.to_list()]
    table = pl.Series(codes, dtype=pl.Int32)
    per_row = column.cast(pl.Enum(names)).to_physical().to_numpy()
    return Coded(table.to_numpy()[per_row], {code: catalogue.series[code] for code in codes})


def _statements(columns: pl.DataFrame, rows: Coded) -> pl.DataFrame:
    periods = ordinals(columns["period"], rows)
    if "published_at" in columns.columns:
        published = instants(columns["published_at"], rows)
        availability = _availability(columns)
        vintage = _vintage(columns, rows, published, availability)
    else:
        published = _ruled(rows, periods)
        availability = np.full(len(periods), RULE, dtype=np.int8)
        vintage = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(periods))
    return pl.DataFrame(
        {
            "code": rows.codes,
            "period": periods,
            "published": published,
            "value": numbers(columns["value"]),
            "availability": availability,
            "vintage": vintage,
            "batch": pl.zeros(len(periods), pl.Int32, eager=True),
        },
        schema=STATEMENT,
    )


def _availability(columns: pl.DataFrame) -> NDArray[np.int8]:
    if "availability" not in columns.columns:
        return np.full(columns.height, OBSERVED, dtype=np.int8)
    given = columns["availability"]
    allowed = AVAILABILITIES[:2]
    wrong = given.filter(~given.is_in(list(allowed)).fill_null(value=False))
    if len(wrong):
        raise DataError(
            "unknown availability",
            value=repr(wrong[0]),
            rule=f"one of {', '.join(allowed)}; assumed rows are made by the archive itself",
        )
    return (given == "rule").to_numpy().astype(np.int8)


def _vintage(
    columns: pl.DataFrame, rows: Coded, published: NDArray[np.int64], availability: NDArray[np.int8]
) -> pl.Series:
    """The instant of the vintage each number comes from: its publication for observed rows, else as declared."""
    observed = pl.Series(availability == OBSERVED)
    own = pl.Series(published).zip_with(observed, pl.Series([None], dtype=pl.Int64).new_from_index(0, len(published)))
    if "value_known_at" not in columns.columns:
        return own
    given = columns["value_known_at"]
    stated = given.is_not_null().to_numpy()
    out = np.zeros(len(published), dtype=np.int64)
    out[stated] = instants(given.filter(given.is_not_null()), Coded(rows.codes[stated], rows.series))
    known = pl.select(pl.when(pl.Series(stated)).then(pl.Series(out))).to_series()
    differs = (known != published).fill_null(value=False) & observed
    if differs.any():
        raise DataError(
            "an observed row whose number comes from another vintage",
            value=f"{int(differs.sum())} row(s)",
            rule="observed means value_known_at equals published_at",
            fix='say availability = "rule" for values put under another date',
        )
    return known.zip_with(~observed, own)


def _ruled(rows: Coded, periods: NDArray[np.int32]) -> NDArray[np.int64]:
    without = sorted(series.id for series in rows.series.values() if series.lag is None)
    if without:
        raise DataError(
            "no publication dates",
            value=", ".join(without[:5]),
            rule="a value needs published_at, or its series a lag rule",
            fix="add a column published_at, or declare lag = {...} for the series",
        )
    out = np.zeros(len(periods), dtype=np.int64)
    for code, series in rows.series.items():
        mine = np.flatnonzero(rows.codes == code) if len(rows.series) > 1 else slice(None)
        unique, inverse = np.unique(periods[mine], return_inverse=True)
        out[mine] = release_micros(series, unique.astype(np.int64))[inverse]
    return out


def _sorted_out(
    stated: pl.DataFrame, series: dict[int, Series], now: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Rows kept, rows set aside with their reason, and the place of each kept period in its series' order."""
    positions = stated["period"].cast(pl.Int64).to_numpy().copy()
    codes = stated["code"].to_numpy()
    reasons: list[tuple[NDArray[np.bool_], str]] = [((stated["published"] > now).to_numpy(), NOT_YET)]
    for code, one in series.items():
        if one.parsed.kind == "B":
            mine = codes == code
            days = positions[mine]
            sessions = sessions_between(one, period_end(one.parsed, days.min()), period_end(one.parsed, days.max()))
            place = np.searchsorted(sessions, days)
            inside = np.append(sessions, -1)[place] == days
            positions[mine] = place
            closed = mine.copy()
            closed[mine] = ~inside
            reasons.append((closed, f"no session of {one.calendar}"))
    aside = np.zeros(stated.height, dtype=bool)
    parts = []
    for rows, reason in reasons:
        fresh = rows & ~aside
        if fresh.any():
            parts.append(_explained(stated.filter(fresh), series, reason))
        aside |= fresh
    out = pl.concat(parts) if parts else pl.DataFrame(schema=SET_ASIDE)
    if not aside.any():
        return stated, out, pl.Series("position", positions)
    return stated.filter(~aside), out, pl.Series("position", positions[~aside])


def _explained(rows: pl.DataFrame, series: dict[int, Series], reason: str) -> pl.DataFrame:
    picked = rows.select("code", "period", "published").rows()
    return pl.DataFrame(
        {
            "series_id": [series[code].id for code, _, _ in picked],
            "period": [str(day_of(period, series[code])) for code, period, _ in picked],
            "published": [instant(published).isoformat() for _, _, published in picked],
            "value": rows["value"],
            "reason": [reason] * len(picked),
        },
        schema=SET_ASIDE,
    )


def _without_repeats(
    rows: pl.DataFrame, positions: pl.Series, catalogue: Catalogue
) -> tuple[pl.DataFrame, pl.Series, int]:
    """Sort by `ORDER` and drop rows given twice.

    Raises:
        DataError: two values for one series, period and instant.
    """
    # stable, so that of two spellings of a value the first given is stored
    ordered = rows.with_columns(positions.alias("position")).sort(ORDER, maintain_order=True)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in ORDER).fill_null(value=False)
    repeated = ordered.select(same.alias("same"))["same"]
    if repeated.any():
        compared = with_decimals(ordered, catalogue.decimals())
        differs = compared.select((same & pl.col("rounded").ne_missing(pl.col("rounded").shift(1))).alias("differs"))[
            "differs"
        ]
        if differs.any():
            row = int(differs.arg_max() or 0)
            first, second = ordered["value"][row - 1], ordered["value"][row]
            raise contradiction(ordered.row(row, named=True), first, second, catalogue, int(differs.sum()))
        ordered = ordered.filter(~repeated)
    return ordered.drop("position"), ordered["position"], int(repeated.sum())


def contradiction(
    row: dict[str, Any], first: float | None, second: float | None, catalogue: Catalogue, count: int
) -> DataError:
    """Two values stated for one cell at one instant."""
    series = catalogue.series[row["code"]]
    where = f"{series.id}, period {day_of(row['period'], series)}, published {instant(row['published']).isoformat()}"
    return DataError(
        "two different values for one series, period and publication",
        value=f"{where}: {first} and {second}; {count} row(s) in all",
        rule="a publication states one value per period",
        fix="give a later published_at to the revision, or drop one of them",
    )


def _listed(
    frame: Any, catalogue: Catalogue, stated: pl.DataFrame, coverage: Coverage, positions: pl.Series
) -> pl.DataFrame:
    """Publications given as a list: they say what was covered, and which publication was not captured."""
    needed = ("series_id", "published_at", "first", "last")
    columns = polars_frame(frame, needed, ("complete", "captured", "availability"))
    rows = code_rows(columns["series_id"], catalogue)
    published = instants(columns["published_at"], rows)
    flags = {
        name: columns[name] if name in columns.columns else pl.repeat(default, columns.height, eager=True)
        for name, default in (("complete", False), ("captured", True))
    }
    for name, flag in flags.items():
        if flag.dtype != pl.Boolean or flag.null_count():
            raise DataError(f"column {name} of publications holds no flags", value=str(flag.dtype), rule="booleans")
    listed = pl.DataFrame(
        {
            "code": rows.codes,
            "published": published,
            "first": ordinals(columns["first"], rows),
            "last": ordinals(columns["last"], rows),
            **flags,
            "countable": pl.repeat(True, columns.height, eager=True),  # noqa: FBT003 - polars' own signature
            "availability": _availability(columns),
            "vintage": published,
            "batch": pl.zeros(columns.height, pl.Int32, eager=True),
        },
        schema=PUBLICATION,
    ).unique(maintain_order=True)
    _check_listed(listed, stated, coverage, catalogue)
    if coverage == "changes":
        return listed
    own = spans(stated) if coverage == "complete" else runs(stated, positions, countable=True)
    return pl.concat([own, listed])


def _check_listed(listed: pl.DataFrame, stated: pl.DataFrame, coverage: Coverage, catalogue: Catalogue) -> None:
    if (listed["first"] > listed["last"]).any():
        raise DataError("a publication that ends before it begins", rule="first <= last")
    if coverage != "changes":
        if listed["captured"].any():
            raise DataError(
                "captured publications are listed for changes only",
                value=coverage,
                rule="with rows and complete, the rows themselves tell what was covered",
                fix="list only publications that were not captured",
            )
        return
    covering = stated.join(
        listed.filter("captured").select("code", "published", "first", "last"), on=["code", "published"]
    )
    inside = covering.filter(pl.col("period").is_between(pl.col("first"), pl.col("last")))
    loose = stated.join(inside, on=list(ORDER), how="anti")
    if loose.height:
        row = loose.row(0, named=True)
        series = catalogue.series[row["code"]]
        raise DataError(
            "a change outside every listed publication",
            value=f"{series.id}, period {day_of(row['period'], series)}, published {instant(row['published'])}",
            rule="each change belongs to a captured publication of its instant that covers its period",
            fix="add the publication to the list, or widen its first and last",
        )


def content_hash(rows: pl.DataFrame, *parts: object) -> str:
    """SHA-256 of the content of a frame (any row order) and of further texts and frames."""
    hasher = hashlib.sha256()
    for part in (rows, *parts):
        if isinstance(part, pl.DataFrame):
            ordered = part.sort(part.columns[:3], maintain_order=True)
            for column in ordered.get_columns():
                hasher.update(column.is_null().to_numpy().tobytes())
                hasher.update(_plain(column).tobytes())
        else:
            hasher.update(str(part).encode())
    return hasher.hexdigest()


def _plain(column: pl.Series) -> NDArray[Any]:
    if column.dtype == pl.Boolean:
        return column.fill_null(value=False).to_numpy()
    return column.fill_null(0).to_numpy()
