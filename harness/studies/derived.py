"""Tables that a run with very many series does not store: made from its cells when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from harness.backtest.assemble import panel_of, score_spec
from harness.backtest.panel_scores import panel_tables, series_scores
from harness.backtest.planning import build_plan
from harness.backtest.scales import scales_of
from harness.backtest.splits import Plan
from harness.backtest.tidy import restricted, tidy_parts
from harness.core.errors import DamagedError, UnknownNameError, UserError
from harness.record.cells import Cell, read_cell
from harness.record.runs import plan_opened, read_table
from harness.studies.recorded import Recorded

Parts = Iterator[tuple[pl.DataFrame, pl.DataFrame]]


@dataclass(frozen=True, eq=False)
class Derived:
    """The tables of a run, from its cells: these are checked against what it recorded, outcomes are looked up again.

    Attributes:
        run: the record.
    """

    run: Recorded

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run, built anew."""
        return build_plan(self.run.experiment, self.run.changes)

    def tidy(self, series: Iterable[str] | None = None) -> Parts:
        """`forecasts` and `errors` in blocks of series.

        Args:
            series: stored ids; None = all.

        Raises:
            UnknownNameError: the run has no such series.
            UserError: a cell of the run is gone, or it is the opening of a holdout, whose cells stay encrypted.
            DamagedError: a cell, or the leaderboard, is not the one recorded.
        """
        only = None if series is None else known_series(series, self.plan.experiment.target.series)
        board = read_table(self.run.files, "leaderboard")
        cells = self.cells(only)
        return tidy_parts(self.plan, self.run.changes, cells, self.run.files.run_id, board, only=only)

    def scores(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """`scores` and `common_sample` with the rows of each series, as small runs store them.

        Raises:
            UserError, DamagedError: as `tidy`.
        """
        plan, changes = self.plan, self.run.changes
        panel = panel_of(plan, changes, self.cells(), scales_of(plan, changes))
        found = panel_tables(panel, score_spec(plan, changes))
        return found.scores, found.common_sample

    def series_scores(self) -> Parts:
        """The rows of each series alone, in bounded parts.

        Raises:
            UserError, DamagedError: as `tidy`.
        """
        plan, changes = self.plan, self.run.changes
        panel = panel_of(plan, changes, self.cells(), scales_of(plan, changes))
        return series_scores(panel, score_spec(plan, changes))

    def cells(self, only: Sequence[str] | None = None) -> dict[str, list[Cell]]:
        """Cells of every model, one per issued origin, of some series only if wanted.

        Raises:
            UserError, DamagedError: as `tidy`.
        """
        if plan_opened(self.run.manifest):
            raise UserError(
                "this is not stored by the opening of a holdout, and its cells stay encrypted",
                value=self.run.files.run_id,
                rule="of very many series an opening keeps pooled tables only",
            )
        keys, sums = self.run.part("cells"), self.run.part("cell_checksums")
        return {one.name: self._of_model(one.name, keys, sums, only) for one in self.plan.experiment.models}

    def _of_model(
        self, name: str, keys: Mapping[str, object], sums: Mapping[str, object], only: Sequence[str] | None
    ) -> list[Cell]:
        mine, promised = keys.get(name), sums.get(name)
        if not isinstance(mine, list) or not isinstance(promised, list) or len(mine) != len(self.plan.issued):
            raise DamagedError("the record does not list the cells of a model", value=name, fix="repeat the backtest")
        found = []
        for key, checksum in zip(mine, promised, strict=True):
            cell = read_cell(self.run.home.cells, str(key))
            if cell is None or cell.checksum != checksum:
                raise UserError(
                    "a cell of the run is gone" if cell is None else "a cell is not the one the run recorded",
                    value=f"{name}, cells/{key}",
                    rule="forecasts of very many series stay in their cells, so these tables are made from them",
                    fix=f"harness backtest {self.run.experiment.name} computes what is missing",
                )
            found += [cell] if only is None else restricted([cell], only)
        return found


def known_series(asked: Iterable[str], known: Sequence[str]) -> list[str]:
    """Stored ids among those known, in their order; a bare id will do where it is unique.

    Args:
        asked: stored or bare ids.
        known: stored ids.

    Raises:
        UnknownNameError: none, or several, are called so.
    """
    wanted = {asked} if isinstance(asked, str) else set(asked)
    kept = [name for name in known if name in wanted]
    for bare in sorted(wanted - set(kept)):
        fits = [name for name in known if name.rpartition("/")[2] == bare]
        if len(fits) != 1:
            raise UnknownNameError("series of this run", bare, fits or known)
        kept += fits
    chosen = set(kept)
    return [name for name in known if name in chosen]
