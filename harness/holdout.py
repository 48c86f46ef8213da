"""The sealed holdout in Python: seal, plan, open, status, roll, as the command `harness holdout` has them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.core.recipe import Experiment
    from harness.record.plans import HoldoutPlan
    from harness.report.run import Run
    from harness.studies.holdout.roll import Rolled
    from harness.studies.holdout.seal import Sealing
    from harness.studies.holdout.status import Status

    Place = str | Path | None


def seal(
    *experiments: Experiment | str | Path,
    since: date | str,
    custodian: Place = None,
    passphrase: bool = False,
    with_copies: bool = False,
    dry_run: bool = False,
    keys: Place = None,
    home: Place = None,
) -> Sealing:
    """Seal everything the experiments' targets use, from a day on; finishes a sealing that was interrupted.

    Args:
        experiments: files, or experiments built in Python.
        since: first sealed day, in the zone of the (earliest) target.
        custodian: file with the public part of the keys of who keeps the seal; None = an honour seal.
        passphrase: it opens with a passphrase (`HARNESS_PASSPHRASE`, or asked for) instead of a key file.
        with_copies: seal whole datasets of what repeats a sealed series along.
        dry_run: only say what would be sealed.
        keys: folder of keys; None = `HARNESS_KEYS`, else the default.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Raises:
        SealedError: some of it is sealed already.
        UserError: the experiments, or the day, are wrong.
    """
    from harness.experiment.sealing import seal_experiments
    from harness.record.home import open_home
    from harness.studies.holdout.locking import Lock, custodian_from

    public = custodian_from(Path(custodian)) if custodian is not None else None
    lock = Lock(public, passphrase, keys=_path(keys), along=with_copies)
    return seal_experiments(experiments, since, open_home(home), lock=lock, dry_run=dry_run)


def plan(experiment: Experiment | str | Path, *, home: Place = None) -> HoldoutPlan:
    """Freeze what an opening will be held to, and say what it can show.

    Args:
        experiment: a file, or an experiment built in Python with its `claim`; its development run must be finished.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Raises:
        SealedError: inputs of the experiment are not sealed.
        UserError: it was not run in development, or names what it does not have.
    """
    from harness.experiment.holdouts import planned
    from harness.record.home import open_home

    return planned(experiment, open_home(home))


def open(  # noqa: A001 - the verb's own name and options
    plan_id: str,
    *,
    grant: Place = None,
    again: bool = False,
    reason: str = "",
    keys: Place = None,
    home: Place = None,
) -> Run:
    """Open a holdout by its plan, once; an opening that was interrupted goes on.

    Args:
        plan_id: id of the plan, or its beginning.
        grant: file a custodian sent.
        again: although it was opened before: counted, and exploratory.
        reason: why, then.
        keys: folder of keys; None = `HARNESS_KEYS`, else the default.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Returns:
        The run with the answer: `run.manifest["holdout"]`, and tables of the origins in the holdout.

    Raises:
        SealedError: something differs from the plan, or the holdout may not be opened.
        UserError: an argument has nothing to do with this opening (a reason for a first one, a grant without a
            custodian, a key for a plan that is closed).
    """
    from harness.experiment.holdouts import opened
    from harness.record.home import open_home
    from harness.report.run import Run

    place = open_home(home)
    run_id = opened(plan_id, place, grant=_path(grant), keys=_path(keys), again=again, reason=reason)
    return Run(run_id, place)


def give_up(plan_id: str, *, reason: str, keys: Place = None, home: Place = None) -> str:
    """Declare an opening void that was begun and cannot be finished any more; it counts all the same.

    Args:
        plan_id: id of its plan, or the beginning.
        reason: why it cannot be finished.
        keys: folder of keys; None = `HARNESS_KEYS`, else the default.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Returns:
        The id of the plan.

    Raises:
        UnknownNameError: there is no such opening, or it is over.
    """
    from harness.record.home import open_home
    from harness.studies.holdout.abandoning import give_up_opening

    return give_up_opening(open_home(home), plan_id, reason, keys=_path(keys))


def status(*, keys: Place = None, home: Place = None) -> Status:
    """What is sealed, how often it was opened, and whether vault, ledger and keys are as they should be.

    Args:
        keys: folder of keys; None = `HARNESS_KEYS`, else the default.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.
    """
    from harness.record.home import open_home
    from harness.studies.holdout import status as found

    return found.status(open_home(home), keys=_path(keys))


def roll(to: date | str, *, seal_id: str = "", grant: Place = None, keys: Place = None, home: Place = None) -> Rolled:
    """Release what an opening has seen into development; newer data stay sealed under a new key.

    Args:
        to: first day that stays sealed, in the zone of the (earliest) target.
        seal_id: the seal, where the home has several.
        grant: file a custodian sent for the opening that is over.
        keys: folder of keys; None = `HARNESS_KEYS`, else the default.
        home: the home folder; None = `HARNESS_HOME`, else `.harness` in the working folder.

    Raises:
        SealedError: the holdout was not opened and closed, or the day is not after all that was seen.
    """
    from harness.experiment.holdouts import rolled
    from harness.record.home import open_home

    return rolled(to, open_home(home), seal=seal_id, grant=_path(grant), keys=_path(keys))


def _path(place: Place) -> Path | None:
    return None if place is None else Path(place)
