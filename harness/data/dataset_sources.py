"""Read the [[source]] and [forecasts] sections of a `dataset.toml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from harness.core.errors import UserError
from harness.core.reading import Table, meant
from harness.core.series import check_zone
from harness.data.assertions.reading import read_list_assertions
from harness.data.dataset_keys import KEYS
from harness.data.dataset_panels import ANY
from harness.data.declared import Announcements, Coverage, Forecasts, Issuer, Layout, Source, Stamp, TextForm
from harness.data.tables import READERS


def array_of(table: Table, key: str) -> tuple[Table, ...]:
    """The tables of a [[key]] section."""
    value = table.values.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        table.bad(
            key, f"an array of tables, written [[{table.path.partition('[')[0]}{'.' if table.path else ''}{key}]]"
        )
        return ()
    return tuple(Table(f"{table.at(key)}[{number}]", item, table.problems) for number, item in enumerate(value, 1))


def _named(table: Table, known: tuple[str, ...]) -> tuple[str, ...]:
    """The series a table lists (all, unless it says which), unknown ones noted."""
    names = table.texts("series") or known
    for unknown in [name for name in names if name not in known]:
        table.bad("series", f"{unknown!r} is not declared under [series]", hint=meant(unknown, known))
    return tuple(name for name in names if name in known)


def _columns(table: Table, section: str, defaults: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    columns = table.table("columns")
    columns.only(KEYS[section])
    given = {key: columns.text(key) for key in columns.values if key in KEYS[section]}
    return tuple(sorted({**defaults, **given}.items()))


def _text_form(table: Table) -> TextForm:
    delimiter = table.text("delimiter", ",")
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        table.bad("delimiter", "a single character, of ASCII and neither a quotation mark nor an end of line")
    return TextForm(
        encoding=_encoding(table),
        delimiter=delimiter,
        decimal_mark=table.word("decimal_mark", ".", (".", ",")),
        date_format=_date_format(table),
        null_values=table.texts("null_values"),
    )


def _date_format(table: Table) -> str:
    """A form of dates, which names the year: without one every date would be of 1900."""
    form = table.text("date_format")
    if form and not re.search(r"%[YyGcx]", form):
        table.bad("date_format", "names no year", hint='for example "%d.%m.%Y"')
    return form


def _zone(table: Table) -> str:
    """The zone of stamps without one; "" = none."""
    zone = table.text("zone")
    if zone:
        try:
            check_zone(zone)
        except UserError as error:
            table.bad("zone", f"{error.what}, {error.rule}", hint=error.fix)
            return ""
    return zone


def _encoding(table: Table) -> str:
    name = table.text("encoding", "utf-8")
    try:
        "".encode(name)
    except LookupError:
        table.bad("encoding", "not an encoding Python knows", hint='for example "utf-8", "cp1252", "latin-1"')
        return "utf-8"
    return name


def read_source(table: Table, known: tuple[str, ...]) -> Source:
    """One [[source]]."""
    table.only(KEYS["source"])
    file, reader = table.text("file"), table.text("reader")
    if bool(file) == bool(reader):
        table.problems.add(table.path, "needs file or reader, one of the two", hint='add file = "values.csv"')
    if reader:
        table.word("reader", next(iter(READERS)), tuple(READERS))
    layout = cast("Layout", table.word("layout", "long", ("long", "wide")))
    names = _named(table, known)
    defaults = {"period": "period"} if layout == "wide" else {"period": "period", "value": "value"}
    if layout == "long" and (len(names) > 1 or ANY in names):
        defaults["series"] = "series"
    columns = _columns(table, "source.columns", defaults)
    meanings = dict(columns)
    if "published_at" in meanings and "vintage_date" in meanings:
        table.bad("columns", "published_at and vintage_date are the same thing twice; name one")
    coverage = cast("Coverage", table.word("coverage", "rows", ("rows", "complete", "changes")))
    if coverage == "changes" and not ({"published_at", "vintage_date"} & set(meanings)):
        table.bad("coverage", "changes need a publication date", hint='name it: columns.published_at = "..."')
    if table.text("publications") and coverage != "changes":
        table.bad("publications", 'goes with coverage = "changes"; otherwise the rows themselves tell')
    return Source(
        file=file,
        reader=reader,
        series=names,
        layout=layout,
        columns=columns,
        stamp=cast("Stamp", table.word("stamp", "last", ("last", "first", "month"))),
        coverage=coverage,
        publications=table.text("publications"),
        zone=_zone(table),
        text=_text_form(table),
    )


def read_announcements(table: Table, section: str, known: tuple[str, ...]) -> Announcements:
    """One [[events]] or [[members]]."""
    table.only(KEYS[section])
    table.required("file", f'file = "{section}.csv"')
    defaults = {name: name for name in KEYS[f"{section}.columns"] if name != "to"}
    return Announcements(
        table.text("file"),
        _columns(table, f"{section}.columns", defaults),
        _zone(table),
        _text_form(table),
        read_list_assertions(array_of(table, "assert"), known, section),
    )


def read_forecasts(table: Table, known: tuple[str, ...]) -> Forecasts:
    """The [forecasts] section."""
    table.only(KEYS["forecasts"])
    table.required("file", 'file = "forecasts.parquet"')
    issuers = table.tables("issuers")
    if not issuers:
        table.problems.add("forecasts.issuers", "missing", hint="add one [forecasts.issuers.NAME] for each source")
    for _, one in issuers:
        one.only(KEYS["forecasts.issuers.NAME"])
    defaults = {name: name for name in ("source", "series", "issued_at", "period", "value")}
    return Forecasts(
        file=table.text("file"),
        columns=_columns(table, "forecasts.columns", defaults),
        issuers=tuple(
            Issuer(
                name=name,
                series=_named(one, known),
                in_file=one.text("in_file", name),
                title=one.text("title"),
                conditioning=one.text("conditioning"),
                made=one.word("made", "", ("", "live", "backfilled")),
            )
            for name, one in issuers
        ),
        stamp=cast("Stamp", table.word("stamp", "last", ("last", "first", "month"))),
        zone=_zone(table),
        note=table.text("note"),
        assertions=read_list_assertions(array_of(table, "assert"), known, "forecasts"),
    )
