"""Walking forward through a change file: one matrix per panel, to which only what is newly published is applied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.names import Names, names_of
from harness.core.recipe import Prices, Target
from harness.core.snapshot import Issue, Snapshot
from harness.core.time import NEVER, instant, micros
from harness.data.declaration import Followed
from harness.data.external import issues_from
from harness.data.matrix import Matrices
from harness.data.panels import frozen, groups_of, sealed
from harness.data.prices import Adjuster
from harness.data.universe import Universe, as_announced, universe_of

if TYPE_CHECKING:
    from harness.data.changes import ChangeFile

Micros = NDArray[np.int64]


class Replay:
    """Snapshots at ascending origins, all together in one pass over the changes; no frame is built on the way."""

    def __init__(
        self,
        changes: ChangeFile,
        series_ids: Iterable[str],
        *,
        latency: timedelta = timedelta(0),
        exclude_hindsight: bool = False,
        sources: Iterable[str] = (),
        rows: Micros | None = None,
        dated: bool = True,
    ) -> None:
        """Stand before the first change.

        Args:
            changes: the change file.
            series_ids: stored ids of the series to follow.
            latency: known means published at or before origin minus latency.
            exclude_hindsight: leave out values whose vintage is unknown or later than their date.
            sources: sources of external forecasts to hand out.
            rows: the rows of the change file that are to be followed, ascending, where they are known already
                (`data.series_blocks`); None = they are looked for.
            dated: whether snapshots tell when values were published, and of which vintage they are; where nobody asks,
                NEVER stands for all of it. Price events need it, and have it in any case.

        Raises:
            UnknownNameError: no such series.
        """
        ids, codes = followed(changes, series_ids)
        self._declared, self._latency = Followed(changes.series, ids, codes), latency
        self._known_at = NEVER
        self._origin: datetime | None = None
        self._rows = chosen_rows(changes, codes, exclude_hindsight=exclude_hindsight) if rows is None else rows
        self._published = changes.published
        columns = (changes.code, changes.period, changes.published, changes.value, changes.vintage)
        groups, self._prices = groups_of(changes.series, ids, codes), Adjuster(changes, ids)
        dated = dated or not self._prices.idle
        self._matrices = Matrices(groups, len(changes.ids), columns, self._rows, dated=dated)
        self._done = 0
        self._issues: list[Issue] = []
        self._pending = _forecasts(changes, codes, tuple(sources))
        self._changes = changes
        self._universes: dict[str, Universe] = {}

    def advance(self, origin: datetime) -> None:
        """Apply what was published since the last origin.

        Raises:
            UserError: the origin has no zone, or lies before the last one.
        """
        at = micros(origin) - self._latency // timedelta(microseconds=1)
        if at < self._known_at:
            raise UserError(
                "a replay only walks forward",
                value=f"{origin.isoformat()} after {instant(self._known_at).isoformat()}",
                fix="start another replay",
            )
        self._matrices.announce(at)
        while len(self._pending) and self._pending[0][0] <= at:
            issued, forecasts = self._pending.pop(0)
            self._apply(issued)
            self._issues += issues_from(
                forecasts, self._changes.ids, lambda code, _: self._matrices.levels(self._changes.ids[code])
            )
        self._apply(at)
        self._known_at, self._origin = at, origin

    def _apply(self, at: int) -> None:
        end = int(np.searchsorted(self._published, at, side="right"))
        if self._rows is not None:
            end = int(np.searchsorted(self._rows, end))
        self._matrices.apply(self._done, end)
        self._done = max(self._done, end)

    def snapshot(self, target: Target | None = None, *, copy: bool = True) -> Snapshot:
        """What is known at the last origin; its arrays are read-only.

        Every series followed has its row and its declaration, also one of which nothing is known yet: it was asked for
        by name, as in `Archive.as_of(origin, series)`. There are two exceptions to what was published: levels of a
        series with price events are adjusted by those announced by then (`data.prices`), and of a target's universe
        only the series announced as members by then are in the snapshot and in its target.

        Args:
            target: what is forecast, carried along; its `prices` says which events count (None: splits).
            copy: False gives views that change with the next `advance`: for use before it only.

        Raises:
            UserError: `advance` was not called yet.
            UnknownNameError: no membership names the target's universe.
            DataError: a dividend is not smaller than the price before it.
        """
        if self._origin is None:
            raise UserError("no origin yet", fix="call advance(origin) first")
        prices: Prices = "price" if target is None else target.prices
        panels, issues = tuple(self._matrices.panels()), tuple(self._issues)
        if not self._prices.idle:
            panels = tuple(self._prices.panel(panel, self._known_at, prices) for panel in panels)
            issues = tuple(self._prices.issue(issue, prices) for issue in issues)
        series = self._declared.by(self._known_at)
        snapshot = Snapshot(self._origin, self._known_at, panels, series, target, issues)
        if target is not None and target.universe:
            snapshot = as_announced(snapshot, self._universe(target.universe))
        return replace(snapshot, panels=tuple(sealed(one) if copy else frozen(one) for one in snapshot.panels))

    def _universe(self, name: str) -> Universe:
        if name not in self._universes:
            self._universes[name] = universe_of(self._changes, name)
        return self._universes[name]


def followed(changes: ChangeFile, series_ids: Iterable[str]) -> tuple[Names, Micros]:
    """Some series in ascending order of their ids, and their codes (which ascend with them).

    Raises:
        UnknownNameError: no such series.
    """
    every = names_of(changes.ids)
    if series_ids == every:
        return every, np.arange(len(every), dtype=np.int64)
    codes = sorted({changes.code_of(name) for name in series_ids})
    if len(codes) == len(every):
        return every, np.arange(len(every), dtype=np.int64)
    return Names(every[code] for code in codes), np.array(codes, dtype=np.int64)


def chosen_rows(changes: ChangeFile, codes: Micros | list[int], *, exclude_hindsight: bool) -> Micros | None:
    """Rows of the change file that belong to some series, in order of publication; None = all of them.

    Args:
        changes: the change file.
        codes: codes of the series.
        exclude_hindsight: leave out values whose vintage is unknown or later than their date.
    """
    if len(codes) == len(changes.ids) and not exclude_hindsight:
        return None
    wanted = np.zeros(len(changes.ids), dtype=bool)
    wanted[codes] = True
    keep = wanted[changes.code]
    if exclude_hindsight:
        keep &= (changes.vintage != NEVER) & (changes.vintage <= changes.published)
    return np.flatnonzero(keep)


def _forecasts(changes: ChangeFile, codes: Micros, sources: tuple[str, ...]) -> list[tuple[int, pl.DataFrame]]:
    """Forecasts of the chosen series and sources by instant of issue, oldest first."""
    if not sources:
        return []
    chosen = changes.forecasts.filter(pl.col("source").is_in(sources) & pl.col("code").is_in(codes.tolist()))
    parts = chosen.sort("issued", maintain_order=True).partition_by("issued", maintain_order=True)
    return [(int(part["issued"][0]), part) for part in parts]
