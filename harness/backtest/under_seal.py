"""What an experiment may not ask of a home under seal: origins past the cut, and an archive that knows more than it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np

from harness.backtest.schedule import local_instant
from harness.backtest.splits import target_inputs
from harness.core.errors import SealedError
from harness.core.recipe import Experiment
from harness.core.time import micros
from harness.data.changes import ChangeFile
from harness.forecast.features import declared_inputs
from harness.record.home import Home
from harness.record.runs import plan_opened
from harness.record.seals import Seal, sealed_from, seals_of

OPEN = "the sealed period is for a claim made beforehand: harness holdout plan, then harness holdout open"


def seal_over(seals: Iterable[Seal], experiment: Experiment) -> tuple[Seal, str] | None:
    """The seal with the earliest cut that covers anything an experiment uses, and what of it; None = there is none.

    Args:
        seals: in force.
        experiment: with its series filled in.
    """
    used = sorted(target_inputs(experiment.target) | declared_inputs(experiment.features, experiment.target))
    sources = {recipe.source for recipe in experiment.models if recipe.source}
    for seal in sorted(seals, key=lambda one: one.instant):
        named = [name for name in used if seal.covers(name)]
        named += sorted(sources & set(seal.sources))
        named += [name for name in (experiment.target.universe,) if name in seal.universes]
        if named:
            return seal, named[0]
    return None


def refuse_past_seal(experiment: Experiment, changes: ChangeFile, home: Home) -> None:
    """Refuse to run an experiment into the sealed period, or on an archive that holds it.

    Args:
        experiment: resolved.
        changes: of the archive it would run on.
        home: the home folder.

    Raises:
        SealedError: its last origin lies at or past the cut, or the archive knows a sealed series beyond it.
    """
    found = seal_over(seals_of(home), experiment)
    if found is None:
        return
    seal, name = found
    origins = experiment.origins
    if origins.last is not None:
        last = local_instant(origins.last, origins.every.at, origins.zone)
        if last >= seal.instant:
            raise past_seal(
                seal, name, f"[origins] last = {origins.last} ({told(last)})", "set an earlier last, or none"
            )
    _refuse_what_it_knows(changes, home)


def _refuse_what_it_knows(changes: ChangeFile, home: Home) -> None:
    seals = seals_of(home)
    for code, name in enumerate(changes.ids):
        seal = sealed_from(seals, name)
        if seal is None:
            continue
        cut = micros(seal.instant)
        if changes.known_through.get(name, cut - 1) >= cut or bool(
            np.any(changes.published[changes.code == code] >= cut)
        ):
            raise SealedError(
                "this archive knows what is sealed",
                value=name,
                rule=f"development sees {name} as it stood before {told(seal.instant)} ({seal.told} {seal.id})",
                fix="use the archive of the sealed home; finish a sealing that was interrupted: harness holdout seal",
            )


def refuse_sealed_run(manifest: Mapping[str, object], experiment: Experiment, home: Home) -> None:
    """Refuse to go back into a run that walked through the sealed period.

    Args:
        manifest: of the run.
        experiment: of the run.
        home: the home folder.

    Raises:
        SealedError: it is an opening, or its last scored origin lies at or past the cut.
    """
    plan = plan_opened(manifest)
    if plan:
        raise SealedError(
            "the run of an opening is not derived again",
            value=f"run {manifest.get('run_id')}, plan {plan}",
            rule="a holdout opens once; the opening replayed development and found it bit for bit as recorded",
            fix=f"harness show tells its results; this prints the standing answer: harness holdout open --plan {plan}",
        )
    found, facts = seal_over(seals_of(home), experiment), manifest.get("facts")
    last = facts.get("last_scored") if isinstance(facts, dict) else None
    if found is not None and isinstance(last, str) and datetime.fromisoformat(last) >= found[0].instant:
        raise past_seal(*found, f"run {manifest.get('run_id')}, last origin {last}", "show and report tell its results")


def past_seal(seal: Seal, name: str, value: str, fix: str) -> SealedError:
    """What is said of a question past the cut of a seal."""
    rule = f"{name} is sealed from {told(seal.instant)} on ({seal.told} {seal.id})"
    return SealedError("this lies past the seal of a holdout", value=value, rule=rule, fix=f"{fix}; {OPEN}")


def told(moment: datetime) -> str:
    """An instant in few characters.

    >>> told(datetime.fromisoformat("2019-01-01T00:00:00+00:00"))
    '2019-01-01T00:00Z'
    """
    return moment.isoformat(timespec="minutes").replace("+00:00", "Z")
