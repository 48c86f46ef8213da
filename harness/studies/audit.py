"""The leakage audit: scramble, control, isolation and facts by default; premium, stress and placebo when asked for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from harness.backtest.effort import study_effort
from harness.backtest.keys import run_id
from harness.backtest.planning import build_plan
from harness.backtest.splits import Plan
from harness.core.errors import UserError
from harness.core.identity import canonical
from harness.core.recipe import Experiment
from harness.data.changes import ChangeFile
from harness.data.dataset import find_dataset
from harness.record.audits import read_audit, write_audit
from harness.record.home import Home
from harness.record.platform import available_cores, code_version, is_nested, numeric_platform
from harness.record.registry import Effort, effort_from, note
from harness.studies import placebo, premium, stress
from harness.studies.checks import Say, Work, control_check, facts_check, isolation_check, scramble_check
from harness.studies.children import Places
from harness.studies.pipeline import board_of, chosen_origins
from harness.studies.scramble import Ground, unaltered
from harness.studies.verdict import FAILED, NOT_PROVABLE, NOT_SHOWN, PASSED, Check, Verdict, findings_frame, worst

SAMPLED = 5
LOOKED = ("premium", "stress")
"""Checks that score the models once more, in another world: looks at the target (S29)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an audit is asked to do.

    Attributes:
        origins: sampled origins; None = every scored one.
        placebo, premium: whether these are run too.
        stress: days added to every lag; 0 = not asked.
        workers: worker processes; None = as many as cores allow.
    """

    origins: int | None = SAMPLED
    placebo: bool = False
    premium: bool = False
    stress: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("origins", 2), ("stress", 0), ("workers", 1)):
            given = getattr(self, name)
            if given is not None and (not isinstance(given, int) or given < least):
                rule = f"a whole number of at least {least}" + (", or None" if name != "stress" else "")
                raise UserError(f"{name} of an audit", value=repr(given), rule=rule)


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What an audit of one run identity found.

    Attributes:
        run_id: the run that this experiment has, or would have, on this archive state.
        name: the experiment.
        checks: every check with its verdict and evidence.
        cells: cells one run has, per model; the price of the checks is counted in the same.
    """

    run_id: str
    name: str
    checks: tuple[Check, ...]
    cells: int

    @property
    def verdict(self) -> Verdict:
        """`pass` within the pipeline, `fail`, or `not shown`."""
        return worst([check.verdict for check in self.checks])

    @property
    def passed(self) -> bool:
        """Whether nothing failed; what could not be shown is said beside it."""
        return self.verdict != FAILED

    @property
    def findings(self) -> pl.DataFrame:
        """Evidence: check, how, origin, stage, place, model, series_id, row, column, expected, found, cells."""
        return findings_frame(finding for check in self.checks for finding in check.findings)

    def check(self, name: str) -> Check:
        """One check by name.

        Raises:
            UserError: it was not run.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise UserError(
            "no such check in this audit", value=name, fix=f"one of {', '.join(c.name for c in self.checks)}"
        )

    def table(self, name: str) -> pl.DataFrame:
        """A table of figures by name.

        Raises:
            UserError: no check made it.
        """
        tables = {key: table for check in self.checks for key, table in check.tables}
        tables |= {f"{check.name}.{key}": table for check in self.checks for key, table in check.tables}
        if name not in tables:
            raise UserError("no such table in this audit", value=name, fix=f"one of {', '.join(tables)}")
        return tables[name]


def audit(
    experiment: Experiment, change_folder: Path, home: Home, asked: Asked | None = None, *, say: Say | None = None
) -> Audit:
    """Audit an experiment on an archive state and record what was found beside its run.

    Args:
        experiment: resolved, with its rivals.
        change_folder: the exported archive state.
        home: the home folder.
        asked: what to do; None = the default.
        say: told in words what is being done, and the price of what was asked for.

    Raises:
        UserError: the plan is impossible, or a process ended early.
    """
    asked = asked or Asked()
    changes = ChangeFile.open(change_folder)
    plan = build_plan(experiment, changes)
    board = board_of(plan.experiment)
    cadence = max((identity.cadence for _, identity in board), default=1)
    origins = chosen_origins(plan, asked.origins, cadence=cadence)
    workers = asked.workers or (1 if is_nested() else available_cores())
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="harness-audit-") as folder:
        ground = _grounded(Ground(plan, changes, board), Path(folder))
        work = Work(ground, origins, workers, _places(plan.experiment, home), home.cells, say or (lambda _: None))
        wanted = _wanted(asked, plan, change_folder, home)
        for name, price, _ in wanted:
            work.say(f"{name}: costs about as much as {price:.1f} runs of this experiment")
        default = (scramble_check, control_check, isolation_check, facts_check)
        for check in (*default, *(run for _, _, run in wanted)):
            since = time.perf_counter()
            for found in check(work):
                checks.append(replace(found, seconds=time.perf_counter() - since))
                since = time.perf_counter()
    done = Audit(run_id(plan.experiment, changes), plan.experiment.name, tuple(checks), len(plan.issued))
    ways = [check.name for check in checks if check.name in LOOKED]
    ways = [f"{way} {asked.stress}" if way == "stress" else way for way in ways]
    effort = study_effort(plan, changes, board, ways)
    _record(done, plan, home, effort)
    if ways:
        note(home, effort, done.run_id)
    return done


def _grounded(ground: Ground, folder: Path) -> Ground:
    """With the raw input read again once, for all origins; where that cannot be done, the checks will say so."""
    try:
        return replace(ground, again=unaltered(ground, folder))
    except UserError:
        return ground


def _wanted(
    asked: Asked, plan: Plan, change_folder: Path, home: Home
) -> list[tuple[str, float, Callable[[Work], Iterator[Check]]]]:
    """The checks that are run only when asked for: name, price in runs, and how each is run."""

    def later(name: str, run: Callable[[int], Check]) -> Callable[[Work], Iterator[Check]]:
        def check(work: Work) -> Iterator[Check]:
            work.say(f"{name}: runs in altered worlds")
            done = run(work.workers)  # counts the cells of all models together
            yield replace(done, cells=-(-done.cells // max(1, len(plan.experiment.models))))

        return check

    found: list[tuple[str, float, Callable[[Work], Iterator[Check]]]] = []
    if asked.placebo:
        made = later("placebo", lambda workers: placebo.placebo(plan, change_folder, home, workers=workers))
        found.append(("placebo", placebo.price(plan), made))
    if asked.premium:
        made = later("premium", lambda workers: premium.premium(plan, change_folder, home, workers=workers))
        found.append(("premium", premium.price(plan), made))
    if asked.stress:
        made = later("stress", lambda workers: stress.stress(plan, change_folder, home, asked.stress, workers=workers))
        found.append(("stress", stress.price(plan), made))
    return found


def _places(experiment: Experiment, home: Home) -> Places:
    folder = Path(experiment.folder) if experiment.folder else None
    datasets = tuple(str(find_dataset(name, folder)) for name in experiment.datasets)
    return Places(str(home.root), datasets, experiment.folder)


def _record(done: Audit, plan: Plan, home: Home, effort: Effort) -> None:
    """Write the audit; a check that was not run this time keeps what an earlier audit of the same run said."""
    checks: dict[str, object] = {}
    tables: dict[str, pl.DataFrame] = {}
    try:
        before = read_audit(home, done.run_id)
    except UserError:
        before = None
    looked = list(effort.looks)
    earlier_effort = None if before is None else effort_from(before.facts)
    if earlier_effort is not None:
        looked = [*(one for one in earlier_effort.looks if one not in looked), *looked]
    fresh = {check.name for check in done.checks}
    if before is not None:
        kept = before.facts.get("checks")
        checks = {name: value for name, value in kept.items() if name not in fresh} if isinstance(kept, dict) else {}
        earlier = before.tables.get("findings", findings_frame(()))
        tables = {name: table for name, table in before.tables.items() if name.partition(".")[0] in checks}
        tables["findings"] = earlier.filter(~pl.col("check").is_in(list(fresh)))
    for check in done.checks:
        checks[check.name] = {
            "verdict": check.verdict,
            "said": check.said,
            "cells": check.cells,
            "seconds": round(check.seconds, 2),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        tables |= {f"{check.name}.{name}": table for name, table in check.tables}
    tables["findings"] = pl.concat([tables.get("findings", findings_frame(())), done.findings])
    facts = {
        "name": done.name,
        "experiment": canonical(plan.experiment),
        "verdict": worst([_verdict(value) for value in checks.values()]),
        "checks": checks,
        "not_provable": list(NOT_PROVABLE),
        "cells_of_a_run": done.cells,
        "effort": Effort(effort.fingerprints, looked).record(),
        "code": code_version(),
        "platform": numeric_platform(),
    }
    write_audit(home, done.run_id, facts, tables)


def _verdict(value: object) -> Verdict:
    said_so = value.get("verdict") if isinstance(value, dict) else None
    return PASSED if said_so == PASSED else FAILED if said_so == FAILED else NOT_SHOWN
