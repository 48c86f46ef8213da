"""Which series share a panel, and how their periods become columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.names import Names, names_of
from harness.core.series import Series
from harness.core.snapshot import Panel
from harness.core.time import NEVER, Frequency, Ordinals, Timeline, instant
from harness.core.transform import Floats
from harness.data.calendars import sessions_known
from harness.data.declaration import Declarations

Micros = NDArray[np.int64]


def grouped(series: Mapping[str, Series]) -> list[tuple[str, ...]]:
    """Ids that share frequency, calendar (with its closures) and zone; sorted within and between groups."""
    groups: dict[tuple[Frequency, str, str, tuple[tuple[date, str], ...]], list[str]] = {}
    for name in sorted(series):
        groups.setdefault(_panel_key(series[name]), []).append(name)
    return [tuple(names) for names in groups.values()]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Series that share a panel.

    Attributes:
        ids: stored ids, ascending.
        codes: [series] their codes.
        series: a declaration that stands for all of them.
    """

    ids: Names
    codes: Micros
    series: Series


def groups_of(declared: Mapping[str, Series], ids: Names, codes: Micros) -> list[Group]:
    """The panels of some series, as `grouped`; series declared alike but for their ids are looked at once.

    Args:
        declared: declarations of the change file, by stored id in order of their codes.
        ids: stored ids, ascending.
        codes: [series] their codes.
    """
    if not isinstance(declared, Declarations):
        place = {name: number for number, name in enumerate(ids)}
        parts = grouped({name: declared[name] for name in ids})
        return [Group(names_of(part), codes[[place[name] for name in part]], declared[part[0]]) for part in parts]
    numbers, shapes = declared.number[codes], declared.shapes
    used, first = np.unique(numbers, return_index=True)
    panel_of: dict[tuple[object, ...], list[int]] = {}
    for number in used[np.argsort(first, kind="stable")].tolist():
        panel_of.setdefault(_panel_key(shapes[number]), []).append(number)
    if len(panel_of) == 1:
        return [Group(ids, codes, declared[ids[0]])] if len(ids) else []
    found = []
    for some in panel_of.values():
        rows = np.flatnonzero(np.isin(numbers, some))
        own = Names(ids[row] for row in rows.tolist())
        found.append(Group(own, codes[rows], declared[own[0]]))
    return found


def _panel_key(one: Series) -> tuple[Frequency, str, str, tuple[tuple[date, str], ...]]:
    return one.parsed, one.calendar, one.zone, one.closures if one.parsed.kind == "B" else ()


def timeline(series: Series, known_at: int) -> Timeline:
    """The order of a series' periods as known at an instant."""
    if series.parsed.kind != "B":
        return Timeline(series.parsed)
    return Timeline(series.parsed, sessions_known(series, instant(known_at)))


def session_places(sessions: Ordinals, days: Ordinals, series: Series) -> Ordinals:
    """Where each day stands among ascending sessions.

    Raises:
        DataError: a day is none of them.
    """
    places = np.searchsorted(sessions, days).astype(np.int64)
    missing = np.append(sessions, -1)[places] != days
    if missing.any():
        raise DataError(
            "the archive holds a day that is no session of its calendar",
            value=f"{days[missing][0].astype('datetime64[D]')} ({series.id}, {series.calendar})",
            rule="values of sessions lie on sessions",
            fix="the calendar library may have changed: install the locked version, or ingest the series again",
        )
    return places


def frozen(panel: Panel) -> Panel:
    """The same panel; its arrays refuse to be written."""
    for array in (panel.values, panel.published, panel.vintage):
        array.flags.writeable = False
    return panel


def sealed(panel: Panel) -> Panel:
    """A copy of a panel that nobody can make writable again: its arrays lie on immutable bytes."""
    values: Floats = _sealed(panel.values)
    published, vintage = _sealed(panel.published), _sealed(panel.vintage)
    return Panel(panel.ids, panel.timeline, panel.first, values, published, vintage)


def _sealed(array: NDArray[Any]) -> NDArray[Any]:
    # an array that owned its data could be made writable by whoever holds it
    return np.ndarray(array.shape, array.dtype, array.tobytes())


def filled(
    ids: tuple[str, ...], order: Timeline, places: tuple[Ordinals, Ordinals], cells: tuple[Floats, Micros, Micros]
) -> Panel:
    """A panel from single cells.

    Args:
        ids: its series, one per row.
        order: the order of periods.
        places: [cell] row and position on the timeline.
        cells: [cell] value (NaN = withdrawn), published, vintage.
    """
    rows, positions = places
    first = int(positions.min()) if len(positions) else 0
    width = int(positions.max()) - first + 1 if len(positions) else 0
    shape = (len(ids), width)
    values, published, vintage = np.full(shape, np.nan), np.full(shape, NEVER), np.full(shape, NEVER)
    there = ~np.isnan(cells[0])
    at = (rows, positions - first)
    values[at] = cells[0]
    published[at] = np.where(there, cells[1], NEVER)
    vintage[at] = np.where(there, cells[2], NEVER)
    return sealed(Panel(ids, order, first, values, published, vintage))
