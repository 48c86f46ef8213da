"""Backtests of forecasts on the data as they were known at the time.

The public names are resolved when they are first used: `import harness` loads nothing heavy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import polars as pl

    from harness import holdout
    from harness.core.claim import Claim
    from harness.core.errors import UserError
    from harness.core.recipe import (
        Experiment,
        FeatureBlock,
        Kpi,
        Origins,
        OutcomeRule,
        Recipe,
        Schedule,
        Step,
        Target,
        Training,
    )
    from harness.core.search import Domain, Search
    from harness.core.series import LagRule, Series
    from harness.core.transform import Transform
    from harness.data.archive.transfer import Transferred
    from harness.data.ingest.public import Archive
    from harness.experiment import load_experiment
    from harness.report.run import Run
    from harness.report.verify import Verification
    from harness.score import point as metrics
    from harness.score import significance
    from harness.studies.audit import Audit
    from harness.studies.reproduce import Reproduction

__version__: Final = "0.1.0"
__all__ = [
    "Archive",
    "Audit",
    "Claim",
    "Domain",
    "Experiment",
    "FeatureBlock",
    "Kpi",
    "LagRule",
    "Origins",
    "OutcomeRule",
    "Recipe",
    "Reproduction",
    "Run",
    "Schedule",
    "Search",
    "Series",
    "Step",
    "Target",
    "Training",
    "Transform",
    "UserError",
    "__version__",
    "audit",
    "backtest",
    "export_archive",
    "holdout",
    "import_archive",
    "load_experiment",
    "metrics",
    "reproduce",
    "significance",
    "sql",
    "verify",
]

_WHERE: Final = MappingProxyType(
    {
        "Archive": "harness.data.ingest.public",
        "Audit": "harness.studies.audit",
        "Claim": "harness.core.claim",
        "Domain": "harness.core.search",
        "Experiment": "harness.core.recipe",
        "FeatureBlock": "harness.core.recipe",
        "Kpi": "harness.core.recipe",
        "LagRule": "harness.core.series",
        "Origins": "harness.core.recipe",
        "OutcomeRule": "harness.core.recipe",
        "Recipe": "harness.core.recipe",
        "Reproduction": "harness.studies.reproduce",
        "Run": "harness.report.run",
        "Schedule": "harness.core.recipe",
        "Search": "harness.core.search",
        "Series": "harness.core.series",
        "Step": "harness.core.recipe",
        "Target": "harness.core.recipe",
        "Training": "harness.core.recipe",
        "Transform": "harness.core.transform",
        "UserError": "harness.core.errors",
        "load_experiment": "harness.experiment",
    }
)
_MODULES: Final = MappingProxyType(
    {
        "backtest": "harness.backtest",
        "holdout": "harness.holdout",
        "metrics": "harness.score.point",
        "significance": "harness.score.significance",
    }
)


def audit(  # noqa: PLR0913 - the options of a verb, all by keyword
    experiment: Experiment | str | Path,
    archive: Archive | None = None,
    *,
    origins: int | None = 5,
    premium: bool = False,
    stress: int = 0,
    placebo: bool = False,
    workers: int | None = None,
    home: str | Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Audit:
    """Audit an experiment for leakage: scramble what was not yet public, and see that no bit moves before.

    Args:
        experiment: an experiment file, the bare name of one in `./experiments`, or an `Experiment` built in Python.
        archive: the archive to use; None = the home's.
        origins: sampled origins; None = every scored one.
        premium: also run the experiment unfaithfully, one liberty at a time.
        stress: also run it with so many days added to every lag; 0 = do not.
        placebo: also run it where nothing can be found.
        workers: worker processes; None = as many as the cores allow.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.
        say: told in words what is being done.

    Returns:
        Verdicts, evidence and figures; they are also recorded, and shown wherever the results of that run are.

    Raises:
        UserError: the experiment, the data or the plan is wrong; the message says what to do.
    """
    from harness.experiment.launch import audited
    from harness.record.home import open_home
    from harness.studies.audit import Asked

    asked = Asked(origins=origins, placebo=placebo, premium=premium, stress=stress, workers=workers)
    return audited(experiment, open_home(home), archive, asked=asked, say=say)


def reproduce(
    run_id: str,
    archive: Archive | None = None,
    *,
    models: Iterable[str] | None = None,
    folder: str | Path = "",
    workers: int | None = None,
    home: str | Path | None = None,
) -> Reproduction:
    """Derive a recorded run again, without any stored cell, fit or search, and compare it with the record bit for bit.

    Args:
        run_id: the run, or the beginning of its id.
        archive: the archive it ran on; None = the home's.
        models: models to run again, besides the rivals; None = all.
        folder: where the experiment's own modules are now; "" = where they were.
        workers: worker processes; None = as many as the cores allow.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Returns:
        `reproduced`, and every difference; on another numeric platform within tolerances, and `exact` says so.

    Raises:
        UserError: code, packages or archive state are not those recorded; the message names what differs.
    """
    from harness.experiment.launch import reproduced
    from harness.record.home import open_home

    return reproduced(run_id, open_home(home), archive, models=models, folder=str(folder), workers=workers)


def verify(home: str | Path | None = None) -> Verification:
    """Compare every recorded file of a home folder with its hash; nothing is repaired.

    Args:
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Returns:
        `intact`, and all `problems`.
    """
    from harness.record.home import open_home
    from harness.report import verify as checks

    return checks.verify(open_home(home))


def sql(question: str, *, rows: int | None = None, home: str | Path | None = None) -> pl.DataFrame:
    """Answer one SELECT over archive and runs; nothing can be written, and nothing outside be read.

    In a home under seal every answer is accompanied by a line on stderr that says what is sealed.

    Args:
        question: the SELECT.
        rows: rows wanted at most; None = all.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Raises:
        UserError: it is not one question, or cannot be answered.
        SealedError: it names an instant past a seal of the home, its vault, or a file; the ledger tells of it.
    """
    from harness.data.archive.sql import ask
    from harness.record.home import open_home

    found = ask(open_home(home), question, rows=rows)
    if found.note:
        sys.stderr.write(f"harness: {found.note}\n")
    return found.frame


def export_archive(file: str | Path, *, runs: bool = False, home: str | Path | None = None) -> Transferred:
    """Write a home's archive and raw input as one file, for another machine.

    Args:
        file: the file; an older one is replaced at the end.
        runs: also all finished runs, with their cells, fits, searches and audits.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Raises:
        UserError: there is no archive, or something to be written is damaged.
    """
    from pathlib import Path as At

    from harness.data.archive.transfer import export_archive as write
    from harness.record.home import open_home

    return write(open_home(home), At(file), runs=runs)


def import_archive(file: str | Path, *, home: str | Path | None = None) -> Transferred:
    """Bring an exported archive into a home folder that has none, or the very same one.

    Args:
        file: what `export_archive` wrote.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Raises:
        UserError: the file is damaged or foreign, or the home has an archive with other content.
    """
    from pathlib import Path as At

    from harness.data.archive.transfer import import_archive as read
    from harness.record.home import open_home

    return read(open_home(home), At(file))


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Room(ModuleType):
    """The room `harness.backtest`, which is also the verb: `hs.backtest(experiment)`."""

    def __call__(  # noqa: PLR0913 - the options of a verb, all by keyword
        self,
        experiment: Experiment | str | Path,
        archive: Archive | None = None,
        *,
        workers: int | None = None,
        engine: str = "local",
        engine_address: str = "",
        engine_store: str = "",
        home: str | Path | None = None,
        progress: Callable[[int, int], None] | None = None,
        memory: float | None = None,
    ) -> Run:
        """Run an experiment, or resume an interrupted run of the same identity.

        A local dataset that the archive lacks is ingested first; nothing is downloaded.

        Args:
            experiment: an experiment file, the bare name of one in `./experiments`, or an `Experiment` built in Python.
            archive: the archive to use; None = the home's.
            workers: worker processes; None = as many as the cores allow.
            engine: `local`, `ray` or `dask`; the bits are the same.
            engine_address: of an existing cluster; "" = one of this machine, for this run.
            engine_store: URL of an object store that workers read; "" = they see the home folder.
            home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.
            progress: called with (cells done, cells in all).
            memory: GB there may be in use; None = `HARNESS_MEMORY`, else what is free. The bits are the same.

        Returns:
            The finished run.

        Raises:
            UserError: the experiment, the data or the plan is wrong; the message says what to do.
        """
        from harness.backtest.engines import Where
        from harness.experiment.launch import launch
        from harness.record.home import open_home
        from harness.report.run import Run

        place = open_home(home)
        where = Where(engine, engine_address, engine_store, memory)
        return Run(launch(experiment, place, archive, workers=workers, where=where, progress=progress), place)


class _Package(ModuleType):
    """This package; when the import system hangs the room `backtest` into it, the room becomes callable."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "backtest" and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


if TYPE_CHECKING:
    backtest: _Room
else:
    sys.modules[__name__].__class__ = _Package
