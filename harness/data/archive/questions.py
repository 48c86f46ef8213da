"""Questions to an open archive, each answered by one query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from json.encoder import encode_basestring_ascii

import duckdb
import numpy as np
import polars as pl

from harness.core.identity import Encoded, digest
from harness.core.series import AVAILABILITIES, Series
from harness.core.snapshot import Issue, Panel, Snapshot
from harness.core.time import NEVER, micros, period_ends
from harness.data.announced import MEMBER
from harness.data.archive.store import later_table, offered, query
from harness.data.declaration import Catalogue, declared_by
from harness.data.external import issues_from
from harness.data.panels import filled, grouped, session_places, timeline

SERIES_COLUMNS = ("id", "frequency", "zone", "calendar", "unit", "decimals", "scale", "licence")
SEALS = pl.Schema({"seal": pl.String(), "cut": pl.Int64(), "last": pl.Int32(), "code": pl.Int32()})
STANDING = """
SELECT code, period, max(published) AS published, arg_max_null(value, published) AS value,
       arg_max_null(vintage, published) AS vintage
FROM changes SEMI JOIN asked USING (code) WHERE published <= ? GROUP BY code, period ORDER BY code, period
"""
KNOWN_AT_ISSUE = """
SELECT i.code, i.issued, c.period, arg_max_null(c.value, c.published) AS value
FROM (SELECT DISTINCT code, issued FROM forecasts_in SEMI JOIN asked USING (code) WHERE issued <= ?) i
JOIN changes c ON c.code = i.code AND c.published <= i.issued
GROUP BY ALL ORDER BY ALL
"""
RELEASES = """
SELECT c.period, c.published, c.value, c.availability, c.vintage,
       count(DISTINCT p.published) AS release, bool_and(p.countable) AS countable
FROM changes c
LEFT JOIN publications p
  ON p.code = c.code AND c.period BETWEEN p.first AND p.last AND p.published <= c.published AND c.availability <> 2
WHERE c.code = ?
GROUP BY ALL ORDER BY c.period, c.published
"""
HISTORIES = """
SELECT code, period, arg_min(value, published) AS first, arg_max(value, published) AS latest
FROM changes JOIN asked USING (code) WHERE value IS NOT NULL AND published < before
GROUP BY code, period ORDER BY code, period
"""

STATED = """
SELECT * FROM (SELECT code, period, published, value FROM changes WHERE availability <> 2
UNION ALL SELECT code, period, published, value FROM restatements) SEMI JOIN asked USING (code)
"""
SERIES_CONTENT = "SELECT count(*), bit_xor(h), sum(h::HUGEINT) FROM (SELECT hash(code, id, spec) AS h FROM series)"
STATEMENTS = pl.Schema({"series_id": pl.String(), "period": pl.Date(), "published": pl.Int64(), "value": pl.Float64()})


def known(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Microseconds UTC up to which each series with values is known, by code."""
    return {int(code): int(at) for code, at in connection.execute("SELECT code, known_through FROM known").fetchall()}


def state(connection: duckdb.DuckDBPyConnection) -> str:
    """Identity of the content: the declarations, the recorded batches in order, and what is sealed."""
    series = Encoded(_series_text(connection))
    batches = connection.execute(
        "SELECT kind, source, coverage, sha256, known_through FROM batches ORDER BY batch"
    ).fetchall()
    sealed = later_table(connection, "seals", SEALS, order="ALL").rows()
    return digest("archive", series, batches, *([sealed] if sealed else []))


def series_content(connection: duckdb.DuckDBPyConnection) -> tuple[object, ...]:
    """What tells one table of declarations from another in this process: rows, and sums of their hashes."""
    found: tuple[object, ...] = connection.execute(SERIES_CONTENT).fetchall()[0]
    return found


_TEXTS: dict[tuple[object, ...], str] = {}
"""The declarations written last, by the content of their table."""


def _series_text(connection: duckdb.DuckDBPyConnection) -> str:
    """Canonical JSON of all declarations, as [code, text], in the order of codes."""
    content = series_content(connection)
    text = _TEXTS.get(content)
    if text is None:
        rows = query(connection, "SELECT code, spec FROM series ORDER BY code")
        told = zip(rows["code"].to_list(), rows["spec"].to_list(), strict=True)
        text = f"[{','.join([f'[{code},{encode_basestring_ascii(spec)}]' for code, spec in told])}]"
        _TEXTS.clear()
        _TEXTS[content] = text
    return text


def universes(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Stored ids of every series that any membership names, ascending, by universe."""
    rows = later_table(connection, "members", MEMBER).select("universe", "code").unique().rows()
    named: dict[str, set[str]] = {}
    for universe, code in rows:
        named.setdefault(universe, set()).add(catalogue.series[code].id)
    return {universe: tuple(sorted(named[universe])) for universe in sorted(named)}


def as_of(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, codes: list[int], origin: datetime, *, whole: bool
) -> Snapshot:
    """The snapshot at an origin.

    Args:
        connection: an open archive.
        catalogue: its series.
        codes: the asked series.
        origin: an aware instant.
        whole: keep series of which nothing is known yet (they were asked for by name).
    """
    at = micros(origin)
    with offered(connection, "asked", pl.DataFrame({"code": codes}, schema={"code": pl.Int32})):
        cells = query(connection, STANDING, at)
        forecasts = query(connection, "SELECT * FROM forecasts_in SEMI JOIN asked USING (code) WHERE issued <= ?", at)
        levels = query(connection, KNOWN_AT_ISSUE, at) if forecasts.height else pl.DataFrame()
    if not whole:
        codes = sorted(set(cells["code"].to_list()))
        forecasts = forecasts.filter(pl.col("code").is_in(codes))
    series = {catalogue.series[code].id: catalogue.series[code] for code in codes}
    panels = tuple(_panel(ids, cells, catalogue, at) for ids in grouped(series))
    issues = _issues(forecasts, levels, catalogue)
    return Snapshot(origin, at, panels, {name: declared_by(one, at) for name, one in series.items()}, None, issues)


def _panel(ids: tuple[str, ...], cells: pl.DataFrame, catalogue: Catalogue, at: int) -> Panel:
    row_of = {catalogue.codes[name]: row for row, name in enumerate(ids)}
    mine = cells.filter(pl.col("code").is_in(list(row_of)))
    rows = np.array([row_of[code] for code in mine["code"].to_list()], dtype=np.int64)
    positions = mine["period"].cast(pl.Int64).to_numpy()
    series = catalogue.series[catalogue.codes[ids[0]]]
    order = timeline(series, at)
    if order.sessions is not None:
        positions = session_places(order.sessions, positions, series)
    values = mine["value"].fill_null(np.nan).to_numpy()
    return filled(
        ids,
        order,
        (rows, positions),
        (values, mine["published"].to_numpy(), mine["vintage"].fill_null(NEVER).to_numpy()),
    )


def _issues(forecasts: pl.DataFrame, levels: pl.DataFrame, catalogue: Catalogue) -> tuple[Issue, ...]:
    if not forecasts.height:
        return ()
    histories = {(int(part["code"][0]), int(part["issued"][0])): part for part in levels.partition_by("code", "issued")}

    def known_then(code: int, issued: int) -> tuple[int, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        part = histories.get((code, issued))
        there = None if part is None else part.filter(pl.col("value").is_not_null())
        if there is None or not there.height:
            return 0, np.empty(0)
        periods = there["period"].cast(pl.Int64).to_numpy()
        out = np.full(int(periods[-1] - periods[0]) + 1, np.nan)
        out[periods - periods[0]] = there["value"].to_numpy()
        return int(periods[0]), out

    names = {code: one.id for code, one in catalogue.series.items()}
    return tuple(issues_from(forecasts, names, known_then))


def histories(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, before: Mapping[str, int]
) -> dict[str, pl.DataFrame]:
    """Period (ordinal), first and latest value of some series, by stored id, published before an instant each."""
    there = {catalogue.codes[name]: at for name, at in before.items() if name in catalogue.codes}
    asked = pl.DataFrame(
        {"code": list(there), "before": list(there.values())}, schema={"code": pl.Int32, "before": pl.Int64}
    )
    with offered(connection, "asked", asked):
        found = query(connection, HISTORIES)
    return {catalogue.series[part["code"][0]].id: part.drop("code") for part in found.partition_by("code")}


def stated(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, names: Iterable[str]) -> pl.DataFrame:
    """Every statement of some series: series_id, period (last day), published (microseconds UTC), value; unordered."""
    codes = [catalogue.codes[name] for name in names if name in catalogue.codes]
    with offered(connection, "asked", pl.DataFrame({"code": codes}, schema={"code": pl.Int32})):
        found = query(connection, STATED)
    parts = [pl.DataFrame(schema=STATEMENTS)]
    for part in found.partition_by("code"):
        series = catalogue.series[part["code"][0]]
        ends = period_ends(series.parsed, part["period"].cast(pl.Int64).to_numpy())
        periods = pl.Series("period", ends).cast(pl.Date)
        parts.append(part.select(pl.lit(series.id).alias("series_id"), periods, "published", "value"))
    return pl.concat(parts)


def revisions(connection: duckdb.DuckDBPyConnection, code: int, series: Series) -> pl.DataFrame:
    """Every stored change of one series, with the number of the release it came with."""
    found = query(connection, RELEASES, code)
    ends = period_ends(series.parsed, found["period"].cast(pl.Int64).to_numpy())
    within = pl.col("period")
    counted = (pl.col("availability") != "assumed") & (pl.col("countable") | (pl.col("release") == 1))
    return (
        found.with_columns(
            pl.Series("period", ends).cast(pl.Date),
            pl.col("availability").replace_strict(dict(enumerate(AVAILABILITIES)), return_dtype=pl.String),
            pl.col("published").cast(pl.Datetime("us", "UTC")).alias("published_at"),
            pl.col("vintage").cast(pl.Datetime("us", "UTC")).alias("value_known_at"),
        )
        .with_columns(
            release=pl.when(counted).then(pl.col("release")).cast(pl.Int32),
            previous=pl.col("value").shift(1).over(within),
        )
        .with_columns(change=pl.col("value") - pl.col("previous"))
        .select("period", "published_at", "release", "value", "previous", "change", "availability", "value_known_at")
    )
