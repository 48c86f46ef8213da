"""One finished run: its tables and its page, read from the records."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from harness.core.errors import UserError
from harness.record.audits import AuditRecord, read_audit
from harness.record.home import Home, open_home
from harness.record.ledger import refusals
from harness.record.registry import Counts, counts, effort_from
from harness.record.runs import RunFiles, find_run, plan_opened, read_manifest, read_table, stores
from harness.report.holdout import openings_of_run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from harness.data.archive import Archive
    from harness.studies.derived import Derived
    from harness.studies.lineage import Lineage


class Run:
    """A run by its id; every table is checked against its recorded hash when it is read.

    Raises:
        UnknownNameError: there is no such run.
        SealedError: it lies in a vault; the home's ledger tells of it.
    """

    def __init__(self, run_id: str, home: Home | str | Path | None = None) -> None:
        """Find a run.

        Args:
            run_id: the id, or its unambiguous beginning.
            home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.
        """
        self._home = home if isinstance(home, Home) else open_home(home)
        with refusals(self._home, f"run {run_id}"):
            self._files = find_run(self._home, run_id)

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    @property
    def id(self) -> str:
        """The run id: hash of experiment, archive state, code and lock."""
        return self._files.run_id

    @property
    def files(self) -> RunFiles:
        """Where the run is stored."""
        return self._files

    @cached_property
    def manifest(self) -> dict[str, object]:
        """What was run, on what, by what code, on what machine, and what it cost.

        Raises:
            DamagedError: it cannot be read.
        """
        return read_manifest(self._files)

    def forecasts(self, series: str | Iterable[str] | None = None) -> pl.DataFrame:
        """Every forecast asked for: one row per model, series, origin, horizon and quantile (null = point).

        A run with very many series does not store them as rows: they are made from its cells, block of series after
        block of series, by the code at hand. Ask for some series, or use `harness export`, where all are too many.

        Args:
            series: stored ids (bare ones where unique); None = all.

        Raises:
            UnknownNameError: the run has no such series.
            UserError: rows are to be made, and a cell or the run's archive state is gone.
            DamagedError: a table or a cell is not what was written.
        """
        return self._tidy("forecasts", series)

    def errors(self, series: str | Iterable[str] | None = None) -> pl.DataFrame:
        """The audit table: every point forecast beside its outcome (which release, when) and the best rival's error.

        Args:
            series: as `forecasts`, and so are its sources and errors.
        """
        return self._tidy("errors", series)

    def _tidy(self, name: str, series: str | Iterable[str] | None) -> pl.DataFrame:
        if self.stores(name):
            table = read_table(self._files, name, self.manifest)
            if series is None:
                return table
            from harness.studies.derived import known_series  # noqa: PLC0415 - of large runs mostly

            wanted = known_series(series, table["series_id"].unique(maintain_order=True).to_list())
            return table.filter(pl.col("series_id").is_in(wanted))
        place = ("forecasts", "errors").index(name)
        return pl.concat([part[place] for part in self.derived.tidy(series)])

    def stores(self, name: str) -> bool:
        """Whether the run stores a table; one with very many series stores no row per forecast."""
        return stores(self.manifest, name)

    @cached_property
    def derived(self) -> Derived:
        """What is not stored, from the cells.

        Raises:
            UserError: the run is not finished, or its archive state is gone.
        """
        from harness.studies.derived import Derived  # noqa: PLC0415 - of large runs only
        from harness.studies.recorded import recorded_run  # noqa: PLC0415

        return Derived(recorded_run(self._files, self._home))

    def scores(self, *, by_series: bool = False) -> pl.DataFrame:
        """Headline scores on the planned grid, by model, horizon, series and stretch of time.

        Of a run with very many series only those of all series together are stored.

        Args:
            by_series: with the rows of each series in any case; where they are not stored, they are made from the
                cells, four of about 250 bytes per series, horizon and model.
        """
        return self._scores("scores", by_series=by_series)

    def common_sample(self, *, by_series: bool = False) -> pl.DataFrame:
        """Secondary scores, on the cells that every model answered itself; columns and `by_series` as `scores`."""
        return self._scores("common_sample", by_series=by_series)

    def _scores(self, name: str, *, by_series: bool) -> pl.DataFrame:
        table = read_table(self._files, name, self.manifest)
        if not by_series or table["series_id"].count():
            return table
        return self.derived.scores()[("scores", "common_sample").index(name)]

    def statuses(self) -> pl.DataFrame:
        """How often every model gave which kind of answer, and why, by horizon; warm-up apart."""
        if self.stores("statuses"):
            return read_table(self._files, "statuses", self.manifest)
        from harness.backtest.statuses import counts_of  # noqa: PLC0415 - runs of earlier versions count their rows

        return counts_of(self.forecasts())

    def leaderboard(self) -> pl.DataFrame:
        """Who is best at each horizon, by how much, and whether that is more than luck; and the effort so far.

        `n_searched` and `n_looked` count what was done on the target up to now, in whatever run of this home; they are
        null for runs of versions that did not count. `n_opened` counts how often its holdout was opened (null: nothing
        of it was ever sealed, or the ledger is damaged).
        """
        effort = self.effort()
        searched, looked = (None, None) if effort is None else (effort.searched, effort.looked)
        return read_table(self._files, "leaderboard", self.manifest).with_columns(
            pl.lit(searched, dtype=pl.Int64).alias("n_searched"),
            pl.lit(looked, dtype=pl.Int64).alias("n_looked"),
            pl.lit(openings_of_run(self._home, self.manifest), dtype=pl.Int64).alias("n_opened"),
        )

    def effort(self) -> Counts | None:
        """How much was searched and looked at on this run's target so far, in all runs of the home (S29)."""
        mine = effort_from(self.manifest)
        return None if mine is None else counts(self._home, mine.fingerprints.values())

    def trials(self) -> pl.DataFrame:
        """Every trial of every search: model, origin, trial, state, value, setting, values per inner fold, reason.

        Raises:
            DamagedError: a record is missing or damaged.
        """
        from harness.record.trials import searches_of, trials_frame  # noqa: PLC0415 - of tuned runs only

        return trials_frame(searches_of(self.manifest, self._home))

    def search_spaces(self) -> pl.DataFrame:
        """What was searched: every declared parameter with its range, condition and default, and how it fared.

        Raises:
            DamagedError: a record is missing or damaged.
        """
        from harness.record.trials import searches_of  # noqa: PLC0415
        from harness.report.searches import spaces_frame  # noqa: PLC0415 - needs Optuna

        return spaces_frame(searches_of(self.manifest, self._home))

    @property
    def home(self) -> Home:
        """The home the run is stored in."""
        return self._home

    def against_rivals(self) -> pl.DataFrame:
        """Every model against every always-on rival, with the one-sided Diebold-Mariano test."""
        return read_table(self._files, "against_rivals")

    def straddlers(self) -> pl.DataFrame:
        """Scores, in an opening, of forecasts issued before the cut whose outcome came out after it.

        Raises:
            UserError: the run is no opening of a holdout.
        """
        if not plan_opened(self.manifest):
            raise UserError("this run opened no holdout", value=self.id, rule="only an opening has straddlers")
        return read_table(self._files, "straddlers")

    def inputs(self) -> pl.DataFrame:
        """What the data were: one row per input with its lag rule, availability and pseudo-real-time shares."""
        return read_table(self._files, "inputs")

    def origins(self) -> pl.DataFrame:
        """What each issued origin knew, trained on and purged, per horizon."""
        return read_table(self._files, "origins")

    def audit(self) -> AuditRecord | None:
        """What `harness audit` found for this very run; None when it was not audited.

        Raises:
            DamagedError: the record is damaged.
        """
        return read_audit(self._home, self.id)

    def lineage(
        self,
        series: str = "",
        origin: str | date | datetime = "",
        horizon: int | None = None,
        *,
        model: str = "",
        archive: Archive | None = None,
    ) -> Lineage:
        """Where the run, or one of its forecasts, came from: back to batches and raw files.

        Args:
            series: of the forecast: stored or bare id, or the beginning of one; "" = the whole run.
            origin: its origin: an instant, a day in the target's zone, or the beginning of either as text.
            horizon: target periods ahead; None = the nearest.
            model: who forecast; "" = the best of those that are no rivals.
            archive: the archive the run was made on; None = the home's.

        Raises:
            UnknownNameError: the run has no such series, origin, horizon or model.
            UserError: a name that fits several, or the run's archive state is gone.
            SealedError: run or origin lie past a seal; the home's ledger tells of it.
        """
        from harness.studies.asked import AskedForecast  # noqa: PLC0415
        from harness.studies.lineage import forecast_lineage, run_lineage  # noqa: PLC0415
        from harness.studies.recorded import recorded_run  # noqa: PLC0415

        recorded = recorded_run(self._files, self._home, archive)
        if not series:
            return run_lineage(recorded, self._home, archive)
        step = min(recorded.experiment.horizons) if horizon is None else horizon
        return forecast_lineage(recorded, self._home, AskedForecast(series, origin, step, model), archive)

    def model_card(self, model: str = "") -> str:
        """One model of the run as a page of Markdown: data, training, scores, limits, how to reproduce.

        Args:
            model: its name; "" = the best ranked that is no rival.

        Raises:
            UnknownNameError: the run has no such model.
        """
        from harness.report.card import model_card  # noqa: PLC0415 - a run that is only read needs no card

        return model_card(self, model)

    def export(self, folder: str | Path) -> dict[str, int]:
        """Write `forecasts`, `errors`, and `scores` and `common_sample` with the rows of each series, as Parquet.

        In bounded memory, whatever the number of series.

        Args:
            folder: where to; older files of these names are replaced.

        Returns:
            Rows written, by file name.
        """
        from harness.report.exported import export  # noqa: PLC0415 - needs Arrow's Parquet

        return export(self, Path(folder))

    def report(self, path: str | Path | None = None) -> Path:
        """Write the run as one self-contained HTML page.

        Args:
            path: the file; None = `report.html` in the run's folder.

        Returns:
            The file written.

        Raises:
            UserError: the run is not finished, something else than a file stands under that name, or no page can be
                written beside the run.
        """
        from harness.record.files import writable, write_file  # noqa: PLC0415 - a run that is only read needs no page
        from harness.record.named import to_write  # noqa: PLC0415
        from harness.report.page import render  # noqa: PLC0415

        if path is None and not writable(self._files.folder):
            raise UserError(
                "no page can be written into the folder of the run",
                value=self._files.folder,
                rule="without another name it goes there",
                fix="name a file elsewhere: harness report RUN --out FILE, in Python run.report(FILE)",
            )
        target = to_write(path if path is not None else self._files.folder / "report.html")
        write_file(target, render(self).encode())
        return target.absolute()
