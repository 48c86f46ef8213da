"""Opening a holdout: checked against its plan, entered before anything is decrypted, clear only when it closes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from harness.backtest.effort import effort_of
from harness.backtest.engine import InProcess
from harness.backtest.keys import run_id
from harness.backtest.place import Board, Place, Progress
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of, cells_of, checksums, run_manifest
from harness.backtest.searched import study_keys
from harness.backtest.splits import Plan
from harness.backtest.stages import Stages
from harness.core.claim import Claim
from harness.core.errors import DamagedError, SealedError, UserError
from harness.core.recipe import Experiment
from harness.core.restore import restored
from harness.core.time import instant
from harness.data.archive import Archive
from harness.data.archive.covered import CAPPED, DECLARED, HASHED, SEALED, newest_sealed
from harness.data.archive.received import BATCH
from harness.data.archive.unsealing import opened
from harness.data.changes import ChangeFile
from harness.data.ingest.agreement import entered_files
from harness.data.vault.files import Vault
from harness.record.cells import Cell
from harness.record.home import Home
from harness.record.ledger import enter, entries, refusals
from harness.record.plans import HoldoutPlan
from harness.record.platform import code_diff
from harness.record.registry import note
from harness.record.runs import MANIFEST, RunFiles, read_manifest, start_run, write_run
from harness.record.seals import Seal
from harness.record.shelves import Shelves, sealed_shelves
from harness.record.under_way import under_way
from harness.record.unentered import OPENINGS
from harness.record.working import exclusively
from harness.studies.holdout.checking import Granted, check_plan, checked_ledger, identities_of, standing_of
from harness.studies.holdout.plan import walked_models
from harness.studies.holdout.scope import without_hindsight
from harness.studies.holdout.verdict import Verdict, judged, verdict_of
from harness.studies.searches_again import clocks

LOCK = "opening.lock"
ARCHIVED = {*SEALED, *CAPPED, *HASHED, DECLARED, BATCH}
"""Kinds of parts of a vault that an archive is put together of; the others are files of the home."""


def open_holdout(  # noqa: PLR0913 - what an opening is asked for, by keyword
    home: Home,
    plan: HoldoutPlan,
    experiment: Experiment,
    *,
    granted: Granted | None = None,
    keys: Path | None = None,
    again: bool = False,
    reason: str = "",
    progress: Progress | None = None,
) -> str:
    """Open a holdout by its plan, or resume an opening that was interrupted; it counts once.

    Args:
        home: the home folder.
        plan: the plan.
        experiment: as it is resolved now, with its claim.
        granted: what a custodian granted; None = no grant was given.
        keys: folder of keys; None = the default.
        again: although the holdout was opened before, by another plan.
        reason: why, then.
        progress: called with (cells done, cells in all).

    Returns:
        Id of the run that holds the answer; that of a plan which was closed before, as it stands.

    Raises:
        SealedError: something differs from the plan, the key is wrong, another opening is under way, or the holdout
            was opened before; all of it is entered in the ledger.
        ArchiveBusyError: a run, an audit, a plan or an ingest is under way.
        DamagedError: development did not come out as recorded; the plan is then void.
    """
    with refusals(home, f"holdout open --plan {plan.id}"), alone(home, f"plan {plan.id}"):
        standing = standing_of(plan, checked_ledger(home, plan))
        if standing.run:
            return _closed(home, plan, standing.run, again=again)
        if not standing.begun:
            _refuse_second(plan, standing.earlier, again=again, reason=reason)
        with exclusively(home):
            seals = check_plan(home, plan, experiment, checked_ledger(home, plan))
            identities = identities_of(home, seals, granted, keys)
            exploratory = standing.exploratory if standing.begun else bool(standing.earlier)
            if not standing.begun:
                told = {"plan": plan.id, "seals": list(plan.seal_ids), "again": again, "reason": reason}
                enter(home, "opening", {**told, "exploratory": exploratory, "fingerprints": dict(plan.fingerprints)})
            return _walked(home, plan, seals, identities, exploratory=exploratory, progress=progress)


@contextmanager
def alone(home: Home, doing: str) -> Iterator[None]:
    """Hold the home against every other opening or roll; the second one is told.

    Args:
        home: the home folder.
        doing: what is done meanwhile, in words.

    Raises:
        SealedError: another process, or a block around this one, opens or rolls a holdout of this home.
    """
    if not home.root.is_dir():  # there is nothing to open, and nothing is made
        yield
        return
    with (home.root / LOCK).open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            raise SealedError(
                "another opening is under way, or a roll",
                value=f"process {handle.read().strip() or 'unknown'}",
                rule="a holdout is opened or rolled on by one process at a time",
                fix="wait until it is over",
            ) from error
        handle.truncate(0)
        handle.write(f"{os.getpid()}, {doing}")
        handle.flush()
        yield


def _refuse_second(plan: HoldoutPlan, earlier: int, *, again: bool, reason: str) -> None:
    if not earlier:
        return
    if not again:
        raise SealedError(
            "the holdout was opened before",
            value=f"{earlier} time{'s' * (earlier != 1)}, by other plans",
            rule="only the first opening confirms; every other is counted and exploratory",
            fix='--again --reason "...", or harness holdout roll once there are new data',
        )
    if not reason.strip():
        raise UserError("an opening again needs a reason", value=plan.id, fix='add --reason "..."')


def _closed(home: Home, plan: HoldoutPlan, run: str, *, again: bool) -> str:
    """The run with the answer that a plan has already; nothing is decrypted and nothing counted."""
    if again or not (home.runs / run / MANIFEST).is_file():
        raise SealedError(
            "this plan was opened and closed, its answer stands",
            value=f"{plan.id}, run {run}",
            rule="a plan opens once",
            fix=f"harness show {run}, or another plan: harness holdout plan {plan.name}",
        )
    return run


def opened_archive(home: Home, seals: Sequence[Seal], identities: Mapping[str, str]) -> Archive:
    """The archive as it would be had it never been sealed; in memory alone."""
    archive = Archive.open(home.archive, read_only=True)
    parts = [(seal, _parts(Vault.open(home, seal.id), archive, identities[seal.id])) for seal in seals]
    return opened(archive, parts)


def seen_of(archive: Archive, changes: ChangeFile, seals: Sequence[Seal]) -> datetime:
    """Up to when an opening sees what was sealed: what is known of its series, and every forecast, event, membership.

    Args:
        archive: as `opened_archive` gives it.
        changes: of it.
        seals: what was opened.
    """
    known = changes.known_through
    latest = [known[one] for seal in seals for one in seal.series if one in known]
    return instant(max(*latest, *(newest_sealed(archive, seal) for seal in seals)))


def _parts(vault: Vault, archive: Archive, identity: str) -> Iterator[tuple[str, bytes]]:
    """What the archive is put together of; other files of the home that were sealed stay closed.

    A batch of which the archive knows nothing is passed over: its ingest was stopped and never repeated.
    """
    for one in entered_files(vault, archive):
        if one.kind in ARCHIVED:
            yield one.kind, vault.read(identity, one.name)


def _walked(
    home: Home,
    plan: HoldoutPlan,
    seals: Sequence[Seal],
    identities: Mapping[str, str],
    *,
    exploratory: bool,
    progress: Progress | None,
) -> str:
    stages = Stages()
    archive = opened_archive(home, seals, identities)
    changes = without_hindsight(archive.changes(), seals)
    seen = seen_of(archive, changes, seals).isoformat()
    stages.done("decrypt")
    claim = restored(Claim, plan.claim)
    experiment = replace(restored(Experiment, plan.experiment), folder=plan.folder)
    whole = build_plan(walked_models(experiment, claim), changes)
    board, first = board_of(whole.experiment), seals[0]
    shelves = sealed_shelves(home.vault / first.id / OPENINGS / plan.id, identities[first.id])
    # a search limited by seconds ends where that of development ended, or its cells would not come out again
    recorded = read_manifest(RunFiles(str(plan.run["id"]), home.runs / str(plan.run["id"])))
    place = Place(changes, shelves, None, clocks=clocks(recorded, home, whole.experiment.models))
    keys, cells = cells_of(whole, board, place, InProcess(), stages=stages, progress=progress)
    _check_development(home, plan, (keys, checksums(cells)), seen)
    name = run_id(whole.experiment, changes, plan.id)
    results, mine = judged(whole, changes, cells, name, plan)
    verdict = verdict_of(results, plan.claim)
    stages.done("score")
    manifest = run_manifest(mine, changes, board, results)
    manifest["holdout"] = {**_facts(plan, verdict, seals, exploratory=exploratory), "seen": seen}
    _enter_closing(home, plan, name, seen)
    _close(home, plan, (mine, changes, board), cells, manifest, shelves)
    with under_way(home.runs / name) as locked:
        files = start_run(home, name, mine.experiment, plan.id, locked=locked)
        write_run(files, manifest, results.frames, stages.record, code_diff=code_diff())
    told = {"plan": plan.id, "verdict": verdict.answer, "decision": verdict.decision, "run": name}
    enter(home, "result", {**told, "exploratory": exploratory, "seen": seen})
    return name


def _enter_closing(home: Home, plan: HoldoutPlan, run: str, seen: str) -> None:
    """Enter, before any of it is in the clear, which run holds the answer, and through when it saw; once."""
    facts = {"plan": plan.id, "run": run, "seen": seen}
    if not any(one.kind == "closing" and one.facts == facts for one in entries(home)):
        enter(home, "closing", facts)


def _close(
    home: Home,
    holdout: HoldoutPlan,
    ran: tuple[Plan, ChangeFile, Board],
    cells: Mapping[str, list[Cell]],
    manifest: dict[str, object],
    shelves: Shelves,
) -> None:
    """Complete the manifest: its cells stay encrypted, what was looked at counts."""
    plan, changes, board = ran
    effort = effort_of(plan, changes, board, shelves, study_keys(plan, changes, board), "holdout")
    # known by what development knows: a short history would look otherwise now
    prints = {name: str(one) for name, one in holdout.fingerprints.items()}
    effort = replace(effort, fingerprints=prints)
    manifest |= {"cells": {}, "cell_checksums": {}, "studies": {}, "batches": [], "effort": effort.record()}
    manifest["holdout_checksums"] = checksums(cells)
    note(home, effort, run_id(plan.experiment, changes, holdout.id))


def _check_development(
    home: Home, plan: HoldoutPlan, walked: tuple[Mapping[str, list[str]], Mapping[str, list[str]]], seen: str
) -> None:
    """The cells of development must be those recorded, bit for bit; else the plan is void."""
    for what, now in zip(("cells", "checksums"), walked, strict=True):
        recorded = plan.run[what]
        for model, mine in recorded.items() if isinstance(recorded, dict) else ():
            differ = [place for place, one in enumerate(mine) if now.get(model, [])[place : place + 1] != [one]]
            if differ:
                why = (
                    f"{model}: {len(differ)} of {len(mine)} development {what} differ, the first at origin {differ[0]}"
                )
                enter(home, "void", {"plan": plan.id, "why": why, "seen": seen})
                raise DamagedError(
                    "development did not come out as it was recorded, so the opening is void",
                    value=why,
                    rule="the same code on the same data gives the same bits",
                    fix="find the reason; a new plan opens with --again only, and is exploratory",
                )


def _facts(plan: HoldoutPlan, verdict: Verdict, seals: Sequence[Seal], *, exploratory: bool) -> dict[str, object]:
    return {
        "plan": plan.id,
        "development": plan.run["id"],
        "claim": plan.claim,
        "told": plan.told,
        "seals": [{"seal": one.id, "cut": one.cut, "told": one.told} for one in seals],
        "origins": plan.origins,
        "exploratory": exploratory,
        **verdict.record(),
    }
