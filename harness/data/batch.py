"""One batch of values as given by a user: read, checked, dated, and split into what is kept and what is set aside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.series import Series
from harness.core.time import instant, period_end
from harness.data.calendars import sessions_between
from harness.data.columns import Coded, code_rows, day_of, polars_frame
from harness.data.dating import dated
from harness.data.declaration import Catalogue, shaped
from harness.data.derive import (
    OBSERVED,
    ORDER,
    PUBLICATION,
    STATEMENT,
    runs,
    spans,
    with_decimals,
    withdrawals,
)
from harness.data.listing import check_listed, listed
from harness.data.ordering import in_order

Coverage = Literal["rows", "complete", "changes"]
COVERAGES = ("rows", "complete", "changes")
RULED = (
    "a rule gives a revised value the date of the first one: name the column of publication dates "
    '(columns.published_at = "..."), or take the revised values in under a new dataset name or into another home '
    "folder (--home DIR, HARNESS_HOME=DIR), or drop one of them"
)
TOGETHER = (
    "keep the right row, or give each its own publication date and name the column of them "
    '(columns.published_at = "...")'
)
MANY = 1 << 20
"""Rows that take longer to hash than a thread to begin."""
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
        hashed: content hash of what was given, or that which a thread is making of it.
    """

    statements: pl.DataFrame
    publications: pl.DataFrame
    set_aside: pl.DataFrame
    rows_in: int
    duplicates: int
    hashed: str | Future[str]

    @property
    def sha256(self) -> str:
        """Content hash of what was given."""
        return self.hashed if isinstance(self.hashed, str) else self.hashed.result()

    @property
    def newest(self) -> int | None:
        """Microseconds UTC of the newest captured publication; None when nothing was kept."""
        published = self.publications.filter("captured")["published"].to_numpy()
        return int(published.max()) if len(published) else None

    @property
    def codes(self) -> list[int]:
        """The series that it states anything of."""
        codes = [frame["code"].to_numpy() for frame in (self.statements, self.publications)]
        there = np.zeros(max(int(some.max(initial=-1)) for some in codes) + 1, dtype=bool)
        for some in codes:
            there[some] = True
        found: list[int] = np.flatnonzero(there).tolist()
        return found

    def blocks(self) -> Iterator[Batch]:
        """The batch in parts of whole series: all of it."""
        yield self


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
    check_coverage(coverage)
    columns = polars_frame(frame, ("series_id", "period", "value"), ("published_at", "availability", "value_known_at"))
    given, rows = columns.height, code_rows(columns["series_id"], catalogue)
    stated = dated(columns, rows)
    del frame, columns  # what was read is not held while its statements are sorted
    kept, set_aside, positions = _sorted_out(stated, rows, now)
    del stated, rows
    kept, positions, duplicates = _without_repeats(kept, positions, catalogue)
    found = spans(kept) if coverage == "complete" else runs(kept, positions, countable=coverage == "rows")
    if publications is not None:
        told = listed(publications, catalogue, now)
        check_listed(told, kept, coverage, catalogue)
        found = told if coverage == "changes" else pl.concat([found, told])
    hashed = _hashed(coverage, kept, set_aside, found)
    return Batch(_explicit(kept, found, coverage), found, set_aside, given, duplicates, hashed)


def _hashed(*parts: pl.DataFrame | str) -> str | Future[str]:
    """The content hash, of many rows made in a thread while the batch is entered: it is asked for when all are."""
    if sum(part.height for part in parts if isinstance(part, pl.DataFrame)) < MANY:
        return content_hash(*parts)
    pool = ThreadPoolExecutor(1)
    found = pool.submit(content_hash, *parts)
    pool.shutdown(wait=False)
    return found


def check_coverage(coverage: str) -> None:
    """Refuse a coverage that there is not.

    Raises:
        DataError: it is none.
    """
    if coverage not in COVERAGES:
        raise DataError("unknown coverage", value=repr(coverage), rule=f"one of {', '.join(COVERAGES)}")


def read_part(columns: pl.DataFrame, catalogue: Catalogue, now: int) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Statements of some rows of a file, in their order, and those set aside; None = sessions have to be counted.

    Args:
        columns: as those of `read_batch`.
        catalogue: the defined series.
        now: microseconds UTC; later stamps are set aside.
    """
    rows = code_rows(columns["series_id"], catalogue)
    if any(one.parsed.kind == "B" for one, _ in shaped(rows.series)):
        return None
    kept, aside, _ = _sorted_out(dated(columns, rows), rows, now)
    return kept, aside


def block_of(rows: pl.DataFrame, catalogue: Catalogue, coverage: Coverage) -> tuple[Batch, pl.DataFrame]:
    """The batch of some whole series, without its hash, and its rows once each.

    Args:
        rows: all their rows in a file, sorted by `ORDER`; none counts sessions.
        catalogue: the defined series.
        coverage: what the rows cover.
    """
    kept, positions, duplicates = _without_repeats(rows, rows["period"], catalogue)
    found = spans(kept) if coverage == "complete" else runs(kept, positions, countable=coverage == "rows")
    nothing = pl.DataFrame(schema=SET_ASIDE)
    return Batch(_explicit(kept, found, coverage), found, nothing, rows.height, duplicates, ""), kept


def _explicit(kept: pl.DataFrame, found: pl.DataFrame, coverage: Coverage) -> pl.DataFrame:
    """Rows with those that complete publications say by leaving them out, `implied`."""
    explicit = kept.with_columns(implied=pl.lit(value=False))
    if coverage != "complete":
        return explicit
    nulls = withdrawals(kept, found).with_columns(implied=pl.lit(value=True))
    return pl.concat([explicit, nulls]).sort(ORDER) if nulls.height else explicit


def no_rows() -> Batch:
    """A batch that states nothing: all of it lies in a vault."""
    statements = pl.DataFrame(schema={**STATEMENT, "implied": pl.Boolean()})
    return Batch(statements, pl.DataFrame(schema=PUBLICATION), pl.DataFrame(schema=SET_ASIDE), 0, 0, "")


def _sorted_out(stated: pl.DataFrame, rows: Coded, now: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Rows kept, rows set aside with their reason, and the place of each kept period in its series' order."""
    positions = stated["period"].to_numpy()
    reasons: list[tuple[NDArray[np.bool_], str]] = [((stated["published"] > now).to_numpy(), NOT_YET)]
    for one, mine in rows.alike(lambda series: (series.parsed, series.calendar, series.zone, series.closures)):
        if one.parsed.kind == "B":
            days = positions[mine]
            low, high = (period_end(one.parsed, int(day)) for day in (days.min(), days.max()))
            sessions = sessions_between(one, low, high)
            place = np.searchsorted(sessions, days)
            inside = np.append(sessions, -1)[place] == days
            positions = positions if positions.flags.writeable else positions.copy()
            positions[mine] = place
            closed = mine.copy()
            closed[mine] = ~inside
            reasons.append((closed, f"no session of {one.calendar}"))
    aside = np.zeros(stated.height, dtype=bool)
    parts = []
    for found, reason in reasons:
        fresh = found & ~aside
        if fresh.any():
            parts.append(_explained(stated.filter(fresh), rows.series, reason))
        aside |= fresh
    out = pl.concat(parts) if parts else pl.DataFrame(schema=SET_ASIDE)
    if not parts:
        return stated, out, pl.Series("position", positions)
    return stated.filter(~aside), out, pl.Series("position", positions[~aside])


def _explained(rows: pl.DataFrame, series: Mapping[int, Series], reason: str) -> pl.DataFrame:
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
    ordered = in_order(rows.with_columns(positions.alias("position")), ORDER)
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
            found = ordered.row(row, named=True)
            raise contradiction(found, first, second, catalogue, int(differs.sum()), ruled=TOGETHER)
        ordered = ordered.filter(~repeated)
    return ordered.drop("position"), ordered["position"], int(repeated.sum())


def contradiction(
    row: dict[str, Any],
    first: float | None,
    second: float | None,
    catalogue: Catalogue,
    count: int,
    *,
    ruled: str = RULED,
    archived: bool = False,
) -> DataError:
    """Two values stated for one cell at one instant.

    Args:
        row: the cell and its publication.
        first: a value.
        second: the other one.
        catalogue: the declared series.
        count: rows that are contradicted, in all.
        ruled: the fix where a rule dates it.
        archived: whether the first one is in the archive.
    """
    series = catalogue.series[row["code"]]
    where = f"{series.id}, period {day_of(row['period'], series)}, published {instant(row['published']).isoformat()}"
    later = (
        f"give a later published_at to the revision, or {'leave the row as it was' if archived else 'drop one of them'}"
    )
    return DataError(
        "two different values for one series, period and publication",
        value=f"{where}: {first}{' in the archive' * archived} and {second}; {count} row(s) in all",
        rule="a publication states one value per period",
        fix=later if row["availability"] == OBSERVED else ruled,
    )


def content_hash(*parts: pl.DataFrame | str) -> str:
    """SHA-256 of texts and of the content of frames, in the order of their rows."""
    hasher = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            hasher.update(part.encode())
        else:
            hash_frame(hasher, part)
    return hasher.hexdigest()


def hash_frame(hasher: hashlib._Hash, frame: pl.DataFrame) -> None:
    """Add the content of a frame to a hash: of each column name and length, where it is null, and its values."""
    for column in frame.get_columns():
        hasher.update(f"{column.name} {len(column)}".encode())
        if column.dtype == pl.String:
            hasher.update(json.dumps(column.to_list()).encode())
            continue
        if column.null_count():
            hasher.update(np.packbits(column.is_null().to_numpy()).data)
        else:
            hasher.update(bytes((len(column) + 7) // 8))
        hasher.update(plain(column).data)


def plain(column: pl.Series) -> NDArray[Any]:
    """The numbers of a column as they are hashed: 0 for null, flags in a byte each."""
    if column.null_count():
        column = column.fill_null(False if column.dtype == pl.Boolean else 0)
    return (column.cast(pl.Int8) if column.dtype == pl.Boolean else column).rechunk().to_numpy()
