"""Read `dataset.toml` into frozen objects, and report every problem of the file at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from harness.core.errors import ExperimentError, UnknownNameError, UserError
from harness.core.reading import Problems, Table
from harness.core.series import LAG_KINDS, LagRule, Series, alike, lag_rule
from harness.core.time import parse_frequency
from harness.data.calendars import business_calendar
from harness.data.dataset_keys import FILL_IN, KEYS, SCHEMA
from harness.data.dataset_panels import ANY, expanded, note_renamed
from harness.data.dataset_sources import array_of, read_announcements, read_forecasts, read_source
from harness.data.dataset_treatments import treated
from harness.data.declared import Dataset, Source

__all__ = ["FILL_IN", "KEYS", "SCHEMA", "find_dataset", "load_dataset", "parse_dataset"]


def find_dataset(name: str, experiment_folder: Path | None = None) -> Path:
    """The folder of a dataset: beside the experiments, else under `./datasets`, else the repository's own.

    Args:
        name: the dataset's name.
        experiment_folder: folder of the experiment file, whose `../datasets` is looked in first; None = not at all.

    Raises:
        UnknownNameError: no such folder; the datasets that do exist are named.
    """
    roots = [] if experiment_folder is None else [experiment_folder.parent / "datasets"]
    roots += [Path("datasets"), Path(__file__).parents[2] / "datasets"]
    for root in roots:
        if (root / name / "dataset.toml").is_file():
            return (root / name).resolve()
    raise UnknownNameError(
        "dataset", name, {path.parent.name for root in roots for path in root.glob("*/dataset.toml")}
    )


def load_dataset(folder: Path) -> Dataset:
    """Read the `dataset.toml` of a folder; no value is read.

    Raises:
        ExperimentError: everything wrong with the file, in one message.
    """
    path = folder / "dataset.toml"
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ExperimentError(
            str(path), [f"unreadable ({error.strerror}); a dataset is a folder with this file"]
        ) from error
    except UnicodeDecodeError as error:
        raise ExperimentError(str(path), [f"not UTF-8 text, from byte {error.start} on"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(str(path), [f"not valid TOML: {error}"]) from error
    return parse_dataset(values, folder.resolve())


def parse_dataset(values: Mapping[str, object], folder: Path) -> Dataset:
    """Turn the tables and keys of a `dataset.toml` into objects.

    Args:
        values: the parsed file.
        folder: the dataset's folder; its name must be the dataset's name.

    Raises:
        ExperimentError: everything wrong with the file, in one message.
    """
    top = Table("", values, Problems())
    top.only(KEYS[""])
    if values.get("schema") != SCHEMA:
        top.bad("schema", f"this version reads schema {SCHEMA}", hint=f"write schema = {SCHEMA} at the top")
    name = top.text("name", folder.name)
    if name != folder.name:
        top.bad("name", f"differs from the folder's name {folder.name!r}")
    for key in ("origin", "licence"):
        if top.required(key, f'{key} = "..."') and FILL_IN in top.text(key):
            top.bad(key, "still to be filled in")
    tables = dict(top.tables("series"))
    if not tables:
        top.problems.add("series", "missing", hint="add one [series.NAME] for each series")
    named = {bare: table for bare, table in tables.items() if bare != ANY}
    sources, others = _sources(top, named, folder, panel=tables.get(ANY))
    known = (*named, *others)
    series = _all_series(top, name, tables, sources, others)
    origin, licence = top.text("origin"), top.text("licence")
    dataset = Dataset(
        name=name,
        series=tuple(replace(one, source=origin, licence=licence) for one in series if one),
        in_file=(
            *((bare, one.text("in_file", bare)) for bare, one in named.items()),
            *zip(others, others, strict=True),
        ),
        sources=sources,
        forecasts=read_forecasts(top.table("forecasts"), known) if "forecasts" in values else None,
        events=tuple(read_announcements(one, "events", known) for one in array_of(top, "events")),
        members=tuple(read_announcements(one, "members", known) for one in array_of(top, "members")),
        origin=origin,
        licence=licence,
        attribution=top.text("attribution"),
        public=top.flag("public"),
        title=top.text("title"),
        description=top.text("description"),
        folder=folder,
    )
    if top.problems.lines:
        raise ExperimentError(str(folder / "dataset.toml"), top.problems.lines)
    return dataset


def _sources(
    top: Table, named: Mapping[str, Table], folder: Path, *, panel: Table | None
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """The sources with their treatment, and the ids in their files that only `[series."*"]` (`panel`) declares."""
    asked = tuple(named) if panel is None else (*named, ANY)
    sources = tuple(read_source(one, asked) for one in array_of(top, "source"))
    if not sources:
        top.problems.add("source", "missing", hint='add [[source]] with file = "..."')
    if panel is None:
        return treated(top, sources, folder), ()
    if "in_file" in panel.values:
        panel.bad("in_file", "many series have no one name in the file")
    among = [source.label for source in sources if ANY in source.series]
    sources, others = expanded(sources, {one.text("in_file", bare): bare for bare, one in named.items()}, folder, top)
    sources = treated(top, sources, folder)
    note_renamed(sources, among, top)
    return sources, others


def _all_series(
    top: Table, dataset: str, tables: Mapping[str, Table], sources: tuple[Source, ...], others: tuple[str, ...]
) -> list[Series | None]:
    """The declarations, those of `[series."*"]` last; None where one cannot be built (the reason is noted)."""
    dated = {bare: bool(source.dated_by) for source in sources for bare in source.series}
    defaults = top.table("defaults")
    defaults.only(KEYS["defaults"])
    out: list[Series | None] = []
    for bare, table in tables.items():
        if bare == ANY:
            continue
        if bare not in dated and sources:
            top.problems.add(
                f"series.{bare}", "no [[source]] holds it", hint=f'add it to a source: series = ["{bare}"]'
            )
        out.append(_series(table, dataset, defaults, dated=dated.get(bare, True)))
    if ANY in tables:
        known = all(dated[bare] for bare in others)
        one = _series(tables[ANY], dataset, defaults, dated=known)
        out += [alike(one, f"{dataset}/{bare}") for bare in others if one is not None and not top.problems.lines]
    return out


def _series(table: Table, dataset: str, defaults: Table, *, dated: bool) -> Series | None:
    """One [series.NAME]; None when it cannot be built (the reason is noted)."""
    table.only(KEYS["series.NAME"])
    bare = table.path.partition(".")[2]
    if not bare or "/" in bare:
        table.problems.add(table.path, 'an id is not empty and has no "/"', hint="its name in the file goes to in_file")
        return None

    def given(key: str) -> Table:
        return table if key in table.values else defaults

    for key, example in (("frequency", 'frequency = "M"'), ("zone", 'zone = "Europe/London"')):
        if key not in given(key).values:
            table.required(key, f"{example} here or under [defaults]")
    lag = _lag(given("lag"), table.path, dated=dated)
    counted = "decimals" in given("decimals").values
    decimals = given("decimals").integer("decimals", 0, least=0) if counted else None
    period_table = _days(given("period_table"), "period_table")
    scale = given("scale").word("scale", "fixed", ("fixed", "rebased"))
    frequency = _frequency(given("frequency"), period_table)
    zone, calendar = (given(key).text(key) for key in ("zone", "calendar"))
    unit, title = (given(key).text(key) for key in ("unit", "title"))
    closures = _closures(given("closures"))
    if calendar and not _is_calendar(given("calendar"), calendar):
        return None
    if not frequency or not zone:
        return None
    try:
        return Series(
            id=f"{dataset}/{bare}",
            frequency=frequency,
            zone=zone,
            calendar=calendar,
            unit=unit,
            description=title,
            lag=lag,
            decimals=decimals,
            scale="rebased" if scale == "rebased" else "fixed",
            period_table=period_table,
            closures=closures,
        )
    except UserError as error:
        table.problems.add(table.path, str(error))
        return None


def _is_calendar(table: Table, name: str) -> bool:
    """Whether a calendar of this name can be computed; noted where it cannot."""
    try:
        business_calendar(name)
    except UserError as error:
        table.bad("calendar", error.what, hint=error.fix)
        return False
    return True


def _frequency(table: Table, period_table: tuple[date, ...]) -> str:
    """A frequency in its full form; "" when it is missing or unknown (the latter is noted)."""
    if "frequency" not in table.values:
        return ""
    try:
        return str(parse_frequency(table.text("frequency"), period_table))
    except UserError as error:
        table.bad("frequency", f"{error.what}: {error.rule}", hint=error.fix)
        return ""


def _lag(given: Table, series: str, *, dated: bool) -> LagRule | None:
    """The lag rule in the table (of the series or of the defaults) that has it."""
    if "lag" not in given.values:
        if not dated:
            given.problems.add(
                series,
                "nothing says when its values were published",
                hint='add a lag rule, lag = { kind = "calendar_days", n = 30 }, or name the source\'s column with the '
                'publication date (columns.published_at = "...") or the vintage date (columns.vintage_date = "...")',
            )
        return None
    table = given.table("lag")
    if FILL_IN in str(given.values["lag"]):
        table.problems.add(
            table.path,
            "still to be filled in",
            hint="say when a value is public, late rather than typical; for example 30 days after the period: "
            'lag = { kind = "calendar_days", n = 30 } (datasets/README.md lists the kinds)',
        )
        return None
    if not table.values:
        return None
    before = len(table.problems.lines)
    table.only(KEYS["lag"])
    table.required("kind", 'kind = "calendar_days"')
    if "kind" in table.values:
        table.word("kind", "dates", LAG_KINDS)
    if len(table.problems.lines) > before:
        return None
    try:
        rule = lag_rule(table.values)
        return None if rule.calendar and not _is_calendar(table, rule.calendar) else rule
    except UserError as error:
        table.problems.add(table.path, str(error))
        return None


def _days(table: Table, key: str) -> tuple[date, ...]:
    value = table.values.get(key, [])
    if isinstance(value, list) and all(type(item) is date for item in value):
        return tuple(value)
    table.bad(key, "a list of dates without quotes, like [2010-03-31, 2010-06-30]")
    return ()


def _closures(table: Table) -> tuple[tuple[date, str], ...]:
    value = table.values.get("closures", [])
    good = isinstance(value, list) and all(
        isinstance(item, list) and len(item) == 2 and type(item[0]) is date and isinstance(item[1], str)
        for item in value
    )
    if good and isinstance(value, list):
        return tuple((item[0], item[1]) for item in value)
    table.bad(
        "closures", 'a list of [day, "instant it was announced"], like [[2012-10-29, "2012-10-28T20:00:00-04:00"]]'
    )
    return ()
