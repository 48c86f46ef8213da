"""From an experiment to its sealed holdout: plan it, open it by its plan, roll it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from harness.backtest.place import Progress
from harness.backtest.planning import resolved
from harness.backtest.runner import with_rivals
from harness.core.errors import SealedError, UserError
from harness.core.recipe import Experiment
from harness.core.restore import restored
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.experiment.launch import Tell, prepare, warned
from harness.experiment.load import experiment_file, load_experiment
from harness.experiment.models import completed
from harness.record.home import Home
from harness.record.ledger import entries, refusals
from harness.record.plans import HoldoutPlan, list_plans, read_plan
from harness.record.seals import CUSTODIAN, seals_of
from harness.record.working import working
from harness.studies.holdout.abandoning import OVER
from harness.studies.holdout.checking import Granted, checked_ledger, standing_of
from harness.studies.holdout.custodian import identities_from_grant
from harness.studies.holdout.open import open_holdout
from harness.studies.holdout.plan import make_plan
from harness.studies.holdout.roll import Rolled, roll


def planned(experiment: Experiment | str | Path, home: Home, *, tell: Tell = warned) -> HoldoutPlan:
    """Freeze what an opening of an experiment's holdout will be held to.

    Args:
        experiment: a file, or an experiment built in Python (its `claim` is what is claimed).
        home: the home folder.
        tell: told of datasets under seal whose files may have changed.

    Raises:
        SealedError: inputs of the experiment are not sealed.
        UserError: the experiment was not run in development, or as `prepare`.
    """
    file = "" if isinstance(experiment, Experiment) else str(experiment_file(experiment).absolute())
    with working(home):
        ready = prepare(experiment, home)
        ready.tell(tell)
        with refusals(home, f"holdout plan {ready.experiment.name}"):
            return make_plan(ready.experiment, ready.changes, home, file=file)


@dataclass(frozen=True, slots=True)
class Ahead:
    """What opening by a plan would do now.

    Attributes:
        plan: the plan.
        run: the run with its standing answer; "" = it is not closed.
        begun: its opening was begun, and would go on.
        exploratory: it would be counted as exploratory.
    """

    plan: HoldoutPlan
    run: str
    begun: bool
    exploratory: bool

    @property
    def confirms(self) -> bool:
        """Whether the holdout would be spent: the opening is a first one, and was not begun yet."""
        return not (self.run or self.begun or self.exploratory)


def ahead(
    plan_id: str,
    home: Home,
    *,
    grant: Path | None = None,
    keys: Path | None = None,
    again: bool = False,
    reason: str = "",
) -> Ahead:
    """What opening by a plan would do, once the options were held against how the plan stands; nothing is done.

    Args:
        plan_id: of the plan, or the beginning of its id.
        home: the home folder.
        grant: as it would be given.
        keys: likewise.
        again: likewise.
        reason: likewise.

    Raises:
        SealedError: there is no such plan, its opening came to nothing, or the ledger does not know it; entered.
        UserError: an option has nothing to do with this opening.
    """
    with refusals(home, f"holdout open --plan {plan_id}"):
        plan = read_plan(home, plan_id)
        standing = standing_of(plan, checked_ledger(home, plan))
    _refuse_reason(reason, again=again)
    given = [name for name, one in (("--grant", grant), ("--keys", keys)) if one is not None]
    if standing.run and given:
        raise UserError(
            "this plan was opened and closed, so nothing is opened that would need this",
            value=", ".join(given),
            rule="a closed plan prints its standing answer, and needs no key",
            fix=f"leave it out, or harness show {standing.run}",
        )
    if grant is not None and not any(one["grade"] == CUSTODIAN for one in plan.seals):
        raise UserError(
            "no seal of this plan has a custodian, so no grant is needed",
            value=f"--grant {grant}",
            rule="an honour seal opens with the key of this machine, or its passphrase",
            fix="leave --grant out",
        )
    if again and not (standing.run or standing.begun or standing.earlier):
        raise UserError(
            "this holdout was never opened, so it is not opened again",
            value="--again",
            rule="the first opening confirms; only another plan's, after it, is an opening again",
            fix="leave --again and --reason out",
        )
    return Ahead(plan, standing.run, standing.begun, standing.exploratory or bool(standing.earlier))


def _refuse_reason(reason: str, *, again: bool) -> None:
    if reason and not again:
        raise UserError(
            "a first opening takes no reason",
            value=f"--reason {reason!r}",
            rule="--reason says why it is opened again, or given up",
            fix="leave it out, or add --again or --give-up",
        )


def opened(
    plan_id: str,
    home: Home,
    *,
    grant: Path | None = None,
    keys: Path | None = None,
    again: bool = False,
    reason: str = "",
    progress: Progress | None = None,
) -> str:
    """Open a holdout by its plan, or resume an opening that was interrupted.

    Args:
        plan_id: of the plan, or the beginning of its id.
        home: the home folder.
        grant: what a custodian granted.
        keys: folder of keys; None = `HARNESS_KEYS`, else the default.
        again: although the holdout was opened before.
        reason: why, then.
        progress: called with (cells done, cells in all).

    Returns:
        Id of the run that holds the answer.

    Raises:
        SealedError: something differs from the plan, or the holdout may not be opened; the ledger tells of it.
        UserError: a reason is missing, or an option has nothing to do with this opening.
    """
    ahead(plan_id, home, grant=grant, keys=keys, again=again, reason=reason)
    with refusals(home, f"holdout open --plan {plan_id}"):
        plan = read_plan(home, plan_id)
        checked_ledger(home, plan)  # a ledger that is gone is the cause of whatever else does not fit
        now = _as_it_is_now(plan, home)
    return open_holdout(
        home,
        plan,
        now,
        granted=_granted(home, plan, grant, keys),
        keys=keys,
        again=again,
        reason=reason,
        progress=progress,
    )


def rolled(
    to: date | str, home: Home, *, seal: str = "", grant: Path | None = None, keys: Path | None = None
) -> Rolled:
    """Release what an opening has seen into development; newer data stay sealed under a new key.

    Args:
        to: first day that stays sealed.
        home: the home folder.
        seal: the seal, where the home has several.
        grant: what a custodian granted.
        keys: folder of keys; None = `HARNESS_KEYS`, else the default.

    Raises:
        SealedError: the holdout was not opened, or the day is not one to roll to; the ledger tells of it.
        UserError: this is no day, or a grant for a seal without a custodian.
    """
    try:
        day = to if isinstance(to, date) else date.fromisoformat(to)
    except ValueError as error:
        fix = "name the first day that stays sealed"
        raise UserError("this is no day", value=repr(to), rule="like 2019-01-01", fix=fix) from error
    _refuse_idle_grant(home, seal, grant)
    return roll(home, day, seal=seal, keys=keys, granted=None if grant is None else _for_roll(home, seal, grant, keys))


def _refuse_idle_grant(home: Home, seal: str, grant: Path | None) -> None:
    mine = [one for one in seals_of(home) if one.id.startswith(seal)] if grant is not None else []
    if mine and not any(one.grade == CUSTODIAN for one in mine):
        raise UserError(
            "this seal has no custodian, so no grant is needed",
            value=f"--grant {grant}",
            rule="an honour seal is rolled on with the key of this machine, or its passphrase",
            fix="leave --grant out",
        )


def _for_roll(home: Home, seal: str, grant: Path, keys: Path | None) -> Granted:
    """The identity that a custodian granted for the plan whose opening is over."""

    def granted() -> Mapping[str, str]:
        closed = {one.facts.get("plan") for one in entries(home) if one.kind in OVER}
        mine = [one for one in list_plans(home) if one.id in closed and one.seal_ids[0].startswith(seal)]
        return identities_from_grant(home, mine[-1].id if mine else "", grant, keys=keys, rolling=True)

    return granted


def _granted(home: Home, plan: HoldoutPlan, grant: Path | None, keys: Path | None) -> Granted | None:
    if grant is None:
        return None

    def granted() -> Mapping[str, str]:
        return identities_from_grant(home, plan.id, grant, keys=keys)

    return granted


def _as_it_is_now(plan: HoldoutPlan, home: Home) -> Experiment:
    """The planned experiment, read and resolved anew; nothing is ingested."""
    try:
        if plan.file:
            asked = load_experiment(plan.file)
        else:
            frozen = replace(restored(Experiment, plan.experiment), folder=plan.folder)
            asked = completed(replace(frozen, models=tuple(one for one in frozen.models if not one.rival)))
        changes = ChangeFile.open(Archive.open(home.archive, read_only=True).export(home.changes))
        return resolved(with_rivals(asked), changes)
    except SealedError:
        raise
    except UserError as error:
        raise SealedError(
            "the planned experiment cannot be read as it was planned",
            value=f"{plan.file or plan.name}: {error}",
            rule=f"plan {plan.id} froze it",
            fix="bring it back, or make a new plan",
        ) from error
