"""Turn a source's table into observations: which series, which period, public since when, from which vintage."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from harness.core.errors import FEW, DataError, UnknownNameError, listed
from harness.core.series import AVAILABILITIES, Series
from harness.core.time import Frequency, period_ordinals
from harness.data.assertions.asking import ask_lines, ask_names, ask_values, enforce
from harness.data.assertions.judged import Held
from harness.data.cleaning.notes import Notes, Treated
from harness.data.cleaning.values import Setting, cleaned
from harness.data.cleaning.words import lined
from harness.data.declared import Dataset, Source
from harness.data.derive import rounded
from harness.data.lags import release_micros
from harness.data.stamps import as_instants, mapped, period_of, read_stamps
from harness.data.tables import RawTable, numbers

ROW = "_row"
LEFT = "no row is left after cleaning"


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """What a source holds, ready for the archive.

    Attributes:
        rows: series_id, period, value (null = withdrawn) and, for dated sources, published_at (UTC), availability,
            value_known_at; without these the archive dates each value by its series' lag rule.
        publications: series_id, published_at, first, last, complete, captured, availability; None = the rows tell.
        empty: fields without a value, in tables where that means "nothing known".
        undeclared: series of the table that the dataset does not declare, with their rows.
        unclear: lines of these rows and of `publications` with a stamp that the clocks of the zone skip or have twice.
        treated: the cleaning record; None where the source declares no step and no assertion.
    """

    rows: pl.DataFrame
    publications: pl.DataFrame | None
    empty: int
    undeclared: tuple[tuple[str, int], ...]
    treated: Treated | None = None
    unclear: int = 0


def observe(
    dataset: Dataset,
    source: Source,
    table: RawTable,
    listed: RawTable | None = None,
    notes: Notes | None = None,
    *,
    refusing: bool = True,
    held: Held | None = None,
) -> Observations:
    """Read the observations of one source, clean them and ask what is asserted of them.

    Args:
        dataset: the declarations.
        source: which columns mean what, and the treatment.
        table: the source's table, its names as declared.
        listed: its publications table, where it has one.
        notes: where the cleaning record was begun; None = here.
        refusing: whether assertions and the lack of any value may refuse; in an archive made of noise they are only
            noted, and a part of a file may have none.
        held: what rows are compared with beside those of their own file; None = an empty archive, now.

    Raises:
        DataError: rows that cannot be taken as they are; the first is named by its line.
        UnknownNameError: a column or a series that is not there.
    """
    treatment, notes = source.treatment, notes or Notes()
    if treatment:
        table = ask_lines(
            lined(table, treatment.stage("table"), dataset.folder, notes), treatment.assertions, source.text, notes
        )
        if refusing:  # before a value is read: the reader would stop at the first one
            enforce(source.label, [one for one in treatment.assertions if one.kind == "schema"], notes)
        _require_rows(table.frame, table, LEFT, fix="mend the file, or the steps that drop rows")
    source = source.in_table(table.frame.columns)
    tall, empty = _tall(dataset, source, table)
    series = {one.id: one for one in (dataset.declared(bare) for bare in source.series)}
    in_file = dict(dataset.in_file)
    ids = {in_file[bare]: f"{dataset.name}/{bare}" for bare in source.series}
    known = pl.col("name").is_in(list(ids))
    strangers = tall.filter(~known).group_by("name", maintain_order=True).len()
    named = tall.filter(known).with_columns(series_id=pl.col("name").replace_strict(ids, return_dtype=pl.String))
    if not series:  # a part of a file that has none of them
        return Observations(named, None, empty, tuple(strangers.rows()))
    rows = _with_periods(named, series, source, table)
    publications, unclear = None, 0
    if source.dated_by:
        read = read_stamps(table, source.dated_by, zone=source.zone, date_format=source.text.date_format)
        rows = _dated(rows, read.stamps, series, source, table)
        unclear = int(read.unclear.gather(rows[ROW].unique()).sum())
    treated = None
    if treatment:
        others = _other_columns(source, table, ids) if source.layout == "wide" else _lines(tall.filter(~known), table)
        ask_names(others, rows.height, treatment.assertions, notes)
        setting = Setting(series, dataset.folder, bool(source.dated_by))
        rows, treated = _treated(rows, source, table, setting, notes, held or Held(), refusing=refusing)
    if listed is not None:
        publications, also = _publications(dataset, source, listed)
        unclear += also
        rows = _matched(rows, publications, table, listed)
    _refuse_contradictions(rows, series, table)
    if refusing:
        fix = "fill it in, or take the [[source]] out until it does"
        _require_rows(rows, table, "no row holds a value", rule="a source states at least one", fix=fix)
    return Observations(rows.drop("name", ROW), publications, empty, tuple(strangers.rows()), treated, unclear)


def _require_rows(rows: pl.DataFrame, table: RawTable, lack: str, *, rule: str = "", fix: str) -> None:
    if not rows.height:
        raise DataError(f"{table.label}: {lack}", rule=rule, fix=fix)


def _other_columns(source: Source, table: RawTable, names: Collection[str]) -> pl.DataFrame:
    """Columns of a wide table that no series and no key of its source names; `line` is null."""
    used = {*names, *(column for _, column in source.columns)}
    others = [name for name in table.frame.columns if name not in used]
    return pl.DataFrame({"name": others}, schema={"name": pl.String}).with_columns(line=pl.lit(None, pl.Int64))


def _lines(rows: pl.DataFrame, table: RawTable) -> pl.DataFrame:
    """Rows with the number of the line each comes from."""
    return rows.with_columns(line=table.line_numbers().gather(rows[ROW]))


def _treated(
    rows: pl.DataFrame,
    source: Source,
    table: RawTable,
    setting: Setting,
    notes: Notes,
    held: Held,
    *,
    refusing: bool,
) -> tuple[pl.DataFrame, Treated]:
    """Dated rows after cleaning and without those set aside, and the record of it.

    Raises:
        DataError: a user function failed, an assertion refuses, or nothing is left.
    """
    treatment, columns = source.treatment, rows.columns
    lined_up = (
        _lines(rows, table)
        .sort(ROW, maintain_order=True)
        .with_columns(_instants(rows.sort(ROW, maintain_order=True), setting))
    )
    made = cleaned(lined_up, treatment.stage("values"), setting, notes)
    kept = ask_values(made, treatment.assertions, setting, held, notes)
    if refusing:
        enforce(source.label, treatment.assertions, notes)
    _require_rows(kept, table, LEFT, fix="mend the file, or the steps and assertions")
    done = notes.done()
    lost = done.uncaptured.unique(maintain_order=True).join(
        kept, on=["series_id", "period", "published"], how="anti", maintain_order="left"
    )
    counts = source.coverage == "rows" and setting.dated
    return kept.select(columns), Treated(done.tables, done.aside, lost if counts else lost.clear())


def statements(dataset: Dataset, source: Source, found: Observations) -> pl.DataFrame:
    """What a source states, in the form of `Archive.stated`."""
    series = {one.id: one for one in (dataset.declared(bare) for bare in source.series)}
    setting = Setting(series, dataset.folder, bool(source.dated_by))
    return found.rows.select("series_id", "period", _instants(found.rows, setting), "value")


def _instants(rows: pl.DataFrame, setting: Setting) -> pl.Series:
    """When each row was published, by its stamp or its series' rule, in microseconds UTC."""
    if setting.dated:
        return rows["published_at"].dt.epoch("us").alias("published")
    found = pl.zeros(rows.height, pl.Int64, eager=True).alias("published")
    for name, series in setting.series.items():
        mine = (rows["series_id"] == name).arg_true()
        days = rows["period"].gather(mine).unique()
        ordinals = period_ordinals(series.parsed, days.to_numpy().astype("datetime64[D]"))
        by_day = dict(zip(days.to_list(), release_micros(series, ordinals).tolist(), strict=True))
        found.scatter(mine, rows["period"].gather(mine).replace_strict(by_day, return_dtype=pl.Int64))
    return found


def _tall(dataset: Dataset, source: Source, table: RawTable) -> tuple[pl.DataFrame, int]:
    """(row, name, value) of every observation, and how many fields were empty."""
    in_file = dict(dataset.in_file)
    names = [in_file[bare] for bare in source.series]
    mark = source.text.decimal_mark
    index = pl.int_range(table.frame.height, dtype=pl.Int64, eager=True).alias(ROW)
    if source.layout == "wide":
        for one in names:
            if one not in table.frame.columns:
                raise not_inside(f"column of {table.label}", one, table.frame.columns)
        columns = {name: numbers(table, name, mark) for name in names}
        tall = pl.DataFrame({ROW: index, **columns}).unpivot(index=ROW, variable_name="name", value_name="value")
        empty_means_absent = True
    else:
        column = source.column("series")
        name = table.column(column).cast(pl.String) if column else pl.repeat(names[0], len(index), eager=True)
        tall = pl.DataFrame({ROW: index, "name": name, "value": numbers(table, source.column("value"), mark)})
        tall = tall.with_columns(pl.col("name").replace("", None))
        _refuse_nameless(tall, table, column)
        _require_all(names, tall["name"], source, column)
        empty_means_absent = not source.dated_by
    nothing = pl.col("value").is_null() if empty_means_absent else pl.col("value").is_null() & pl.col("name").is_null()
    kept = tall.filter(~nothing)
    return kept, tall.height - kept.height


def _refuse_nameless(tall: pl.DataFrame, table: RawTable, column: str) -> None:
    """Refuse a value that does not say of which series it is; a row with neither says nothing.

    Raises:
        DataError: there is one.
    """
    nameless = (tall["name"].is_null() & tall["value"].is_not_null()).arg_true()
    if len(nameless):
        raise DataError(
            f"{table.place(int(nameless[0]), column)}: no series",
            value=f"{len(nameless)} such row(s)",
            rule="every value needs the name of its series",
            fix="fill it in, or take the row out",
        )


def _require_all(names: list[str], found: pl.Series, source: Source, column: str) -> None:
    present = set(found.drop_nulls().unique().to_list())
    for name in names:
        if name not in present:
            raise not_inside(f"series in column {column!r} of {source.label}", name, present)


def not_inside(kind: str, name: str, present: Iterable[str]) -> UnknownNameError:
    """What is said of a declared series that a file does not have.

    Args:
        kind: what was looked for, and where.
        name: its name in the file.
        present: those that are there.
    """
    error = UnknownNameError(kind, name, present)
    if "*" in name or "?" in name:
        error.fix = 'a name is taken as it stands; [series."*"] alone stands for others: for every id in the file'
    return error


def _with_periods(named: pl.DataFrame, series: Mapping[str, Series], source: Source, table: RawTable) -> pl.DataFrame:
    """Add `period`; the series of each frequency read the stamps in their own way."""
    groups: dict[Frequency, list[str]] = {}
    for one in series.values():
        groups.setdefault(one.parsed, []).append(one.id)
    parts = []
    for frequency, ids in groups.items():
        part = named.filter(pl.col("series_id").is_in(ids))
        rows = part[ROW].unique(maintain_order=True)
        read = partial(period_of, frequency=frequency, stamp=source.stamp, date_format=source.text.date_format)
        periods = pl.DataFrame({ROW: rows, "period": mapped(table, source.column("period"), read, rows)})
        parts.append(part.join(periods, on=ROW, how="left", maintain_order="left"))
    return pl.concat(parts)


def _dated(
    placed: pl.DataFrame, stamps: pl.Series, series: Mapping[str, Series], source: Source, table: RawTable
) -> pl.DataFrame:
    """Add published_at from the table's own stamps; the number is of that very vintage."""
    placed = placed.with_columns(stamp=stamps.gather(placed[ROW]))
    unstamped = placed.filter(pl.col("stamp").is_null())
    if unstamped.height:
        raise DataError(
            f"{table.place(unstamped[ROW][0], source.dated_by)}: no date", rule="every value needs its publication date"
        )
    met = placed["series_id"].unique(maintain_order=True)
    told = pl.DataFrame({"series_id": met, "zone": [series[name].zone for name in met.to_list()]}).with_row_index(
        "rank"
    )
    placed = placed.join(told, on="series_id", how="left", maintain_order="left")
    parts = [  # days are looked up once for all series of a zone
        part.with_columns(published_at=as_instants(part["stamp"], str(zone)))
        for (zone,), part in placed.group_by("zone", maintain_order=True)
    ]
    dated = pl.concat(parts).sort("rank", maintain_order=True).drop("stamp", "zone", "rank")
    availability = source.column("availability")
    if availability:
        given = table.column(availability).gather(dated[ROW])
        return _with_availability(dated, given, table, availability)
    return dated.with_columns(availability=pl.lit("observed"), value_known_at=pl.col("published_at"))


def _with_availability(dated: pl.DataFrame, given: pl.Series, table: RawTable, column: str) -> pl.DataFrame:
    allowed = AVAILABILITIES[:2]
    strange = (~given.is_in(allowed)).fill_null(value=True).arg_true()
    if len(strange):
        first = int(strange[0])
        raise DataError(
            f"{table.place(dated[ROW][first], column)}: unknown availability",
            value=repr(given[first]),
            rule=f"one of {', '.join(allowed)}",
        )
    return dated.with_columns(availability=given.cast(pl.String), value_known_at=pl.col("published_at"))


def _publications(dataset: Dataset, source: Source, listed: RawTable) -> tuple[pl.DataFrame, int]:
    """Every publication of the source's series, as a publications table lists them; and how many stamps are unclear."""
    rows = pl.int_range(listed.frame.height, dtype=pl.Int64, eager=True)
    stamps, unclear = read_stamps(listed, "published_at", zone=source.zone, date_format=source.text.date_format)
    flags = {name: _flags(listed, name) for name in ("complete", "captured")}
    columns = listed.frame.columns
    names = dict(dataset.in_file)
    parts, meant = [], []
    for one in (dataset.declared(bare) for bare in source.series):
        name = names[one.id.partition("/")[2]]
        mine = rows.filter(listed.frame["series"].cast(pl.String) == name) if "series" in columns else rows
        read = partial(period_of, frequency=one.parsed, stamp=source.stamp, date_format=source.text.date_format)
        given = listed.frame["availability"].gather(mine).cast(pl.String) if "availability" in columns else None
        parts.append(
            pl.DataFrame(
                {
                    "published_at": as_instants(stamps.gather(mine), one.zone),
                    "first": mapped(listed, "first", read, mine),
                    "last": mapped(listed, "last", read, mine),
                    "complete": flags["complete"].gather(mine),
                    "captured": flags["captured"].gather(mine),
                    "availability": given if given is not None else pl.repeat("observed", len(mine), eager=True),
                }
            ).select(pl.lit(one.id).alias("series_id"), pl.all())
        )
        meant.append(mine)
    return pl.concat(parts), int(unclear.gather(pl.concat(meant).unique()).sum())


def _flags(listed: RawTable, name: str) -> pl.Series:
    """A column of true and false, true where the table has none."""
    if name not in listed.frame.columns:
        return pl.repeat(value=True, n=listed.frame.height, dtype=pl.Boolean, eager=True)
    found = listed.frame[name].cast(pl.String).str.to_lowercase()
    strange = (~found.is_in(["true", "false"])).fill_null(value=True).arg_true()
    if len(strange):
        raise DataError(
            f"{listed.place(int(strange[0]), name)}: neither true nor false", value=repr(found[int(strange[0])])
        )
    return found == "true"


def _matched(dated: pl.DataFrame, publications: pl.DataFrame, table: RawTable, listed: RawTable) -> pl.DataFrame:
    """Changes under the publication that made them, which also says how its date is known.

    Raises:
        DataError: a change that no captured publication covers.
    """
    events = publications.filter("captured").select("series_id", "published_at", "first", "last", given="availability")
    joined = dated.join(events, on=["series_id", "published_at"], how="inner", maintain_order="left")
    key = [ROW, "series_id", "period", "published_at"]  # a row that was added has no place in the file
    covered = joined.filter(pl.col("period").is_between("first", "last")).unique(key, maintain_order=True)
    stray = dated.join(covered, on=key, how="anti", nulls_equal=True, maintain_order="left")
    if stray.height:
        row = stray.row(0, named=True)
        raise DataError(
            f"{table.place(row[ROW], 'period')}: no captured publication of {listed.label} covers this change",
            value=f"{row['series_id']}, period {row['period']}, published {row['published_at'].isoformat()}",
            rule="each change belongs to a publication whose first..last holds its period",
        )
    return covered.with_columns(availability=pl.col("given")).drop("first", "last", "given")


def _refuse_contradictions(rows: pl.DataFrame, series: Mapping[str, Series], table: RawTable) -> None:
    """Two different values (at the series' decimals) for one series, period and publication are refused."""
    key = [name for name in ("series_id", "period", "published_at") if name in rows.columns]
    if not rows.select(key).is_duplicated().any():
        return
    places = pl.col("series_id").replace_strict(
        {one.id: one.decimals for one in series.values()}, return_dtype=pl.Int32
    )
    compared = rows.with_columns(places.alias("places")).with_columns(same=rounded(pl.col("value"), pl.col("places")))
    twice = compared.filter(pl.col("same").n_unique().over(key) > 1)
    if twice.height:
        first = twice.row(0, named=True)
        pair = twice.filter(pl.all_horizontal(pl.col(name) == first[name] for name in key))
        numbered = table.line_numbers()
        lines = listed(("(added)" if row is None else str(numbered[row]) for row in pair[ROW].to_list()), FEW)
        raise DataError(
            f"{table.label}: different values for one series, period and publication",
            value=f"{first['series_id']}, period {first['period']}: [{listed(pair['value'], FEW)}] in lines {lines}",
            rule="a publication states one value per period",
            fix="keep the right row, or give each row its own publication date, or say which one counts by a step: "
            '[[source.clean]] kind = "deduplicate", keep = "last"',
        )
