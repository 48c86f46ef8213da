"""What the audit's checks stand on, made of small archives: ground, work and a whole audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.core.recipe import Experiment
from harness.data.changes import ChangeFile
from harness.record.home import Home
from harness.studies.audit import Asked, Audit, audit
from harness.studies.checks import Work
from harness.studies.children import Places
from harness.studies.pipeline import board_of, passage
from harness.studies.scramble import Ground
from harness.studies.verdict import Check, Finding


@dataclass(frozen=True)
class Made:
    """An experiment on an archive state in a folder of its own."""

    folder: Path
    experiment: Experiment
    changes: Path

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    def ground(self, *, rivals: bool = False) -> Ground:
        """Plan, archive view and models; without the rivals unless they are asked for."""
        changes = ChangeFile.open(self.changes)
        plan = build_plan(with_rivals(self.experiment), changes)
        board = board_of(plan.experiment)
        return Ground(plan, changes, board if rivals else tuple(one for one in board if not one[0].rival))

    def work(self, origins: Sequence[int], **hidden: tuple[str, ...]) -> Work:
        """An audit under way, with the true hand-overs at some scored origins (counted from the first)."""
        ground = self.ground()
        chosen = [ground.plan.first_scored + origin for origin in origins]
        places = Places(str(self.home.root), hidden.get("datasets", ()), self.experiment.folder)
        work = Work(ground, chosen, 2, places, self.home.cells, lambda _: None)
        for origin in chosen:
            work.bases.append(passage(ground.plan, ground.changes, ground.board, origin, keep=True))
        return work

    def audit(self, origins: int = 2) -> Audit:
        """The whole default audit in this process."""
        return audit(with_rivals(self.experiment), self.changes, self.home, Asked(origins=origins, workers=1))


def of_model(check: Check, model: str) -> list[Finding]:
    """What a check found of one model."""
    return [one for one in check.findings if one.model == model]


def alarms(found: Audit) -> list[tuple[str, ...]]:
    """What an audit that should have passed says against an honest experiment: nothing."""
    said = [(check.name, check.verdict, check.said) for check in found.checks if check.verdict != "pass"]
    bad = found.findings.filter(pl.col("check").is_in([name for name, _, _ in said]))
    rows = bad.select("check", "how", "stage", "place", "model", "row", "column", "expected", "found").rows()
    return said + rows
