"""Since when each cell has had a value at all: what an earlier instant knew of, whatever its number became later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.snapshot import Panel
from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.data.replay import chosen_rows

Micros = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Firsts:
    """The first value of every (series, period) that ever had one; arrays [cell].

    Attributes:
        ids: stored ids of the series, ascending.
        row: place of the series among `ids`.
        period: ordinals.
        published: microseconds UTC at which the first value became public.
    """

    ids: tuple[str, ...]
    row: Micros
    period: Micros
    published: Micros


def first_values(changes: ChangeFile, series_ids: Iterable[str], *, exclude_hindsight: bool = False) -> Firsts:
    """First values of some series, of the whole change file: the reader compares them with an instant.

    Args:
        changes: the change file.
        series_ids: stored ids.
        exclude_hindsight: leave out values whose vintage is unknown or later than their date, as the replay does.

    Raises:
        UnknownNameError: no such series.
    """
    ids = tuple(sorted(set(series_ids)))
    codes = [changes.code_of(name) for name in ids]
    chosen = chosen_rows(changes, codes, exclude_hindsight=exclude_hindsight)
    picked = np.arange(len(changes.code)) if chosen is None else chosen
    picked = picked[~np.isnan(changes.value[picked])]
    place = np.full(len(changes.ids), -1, dtype=np.int64)
    place[codes] = np.arange(len(ids))
    row, period = place[changes.code[picked]], changes.period[picked].astype(np.int64)
    # changes lie in order of publication and a stable sort keeps it inside each cell, so its first is the earliest
    order = np.lexsort((period, row))
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (np.diff(row[order]) != 0) | (np.diff(period[order]) != 0)
    kept = order[fresh]
    return Firsts(ids, row[kept], period[kept], changes.published[picked][kept])


def first_published(panel: Panel, firsts: Firsts) -> Micros:
    """Instants of the first values in the shape of a panel.

    Args:
        panel: what is known at some instant.
        firsts: first values of its series at least.

    Returns:
        [series, period] microseconds UTC; NEVER = no value ever (or a day known by then to be no session).
    """
    width = panel.values.shape[1]
    out = np.full((len(panel.ids), width), NEVER)
    rows = {name: place for place, name in enumerate(panel.ids)}
    row = np.array([rows.get(name, -1) for name in firsts.ids], dtype=np.int64)[firsts.row]
    position, there = firsts.period, row >= 0
    if panel.timeline.sessions is not None:
        sessions = panel.timeline.sessions
        position = np.searchsorted(sessions, firsts.period).astype(np.int64)
        there &= np.append(sessions, NEVER)[position] == firsts.period
    column = position - panel.first
    there &= (column >= 0) & (column < width)
    out[row[there], column[there]] = firsts.published[there]
    return out
