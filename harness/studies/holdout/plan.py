"""The plan of an opening: everything is decided, and written down, before anyone has seen the holdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.backtest.assemble import TIDY_ROWS, forecast_count, panel_of, score_spec
from harness.backtest.effort import fingerprints
from harness.backtest.engine import InProcess
from harness.backtest.keys import run_id
from harness.backtest.panel_scores import Panel, panel_tables, seen_of
from harness.backtest.place import Place
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of, cells_of, checksums, with_rivals
from harness.backtest.scales import scales_of
from harness.backtest.splits import Plan, target_inputs
from harness.backtest.tidy import score_rows
from harness.core.claim import Claim
from harness.core.errors import FEW, SealedError, UserError, listed
from harness.core.identity import canonical
from harness.core.recipe import Experiment
from harness.data.changes import ChangeFile
from harness.data.vault.files import Vault
from harness.record.home import Home
from harness.record.ledger import enter, entries
from harness.record.plans import HoldoutPlan, write_plan
from harness.record.platform import code_hash, code_version, lock_hash, numeric_platform
from harness.record.registry import counts
from harness.record.runs import RunFiles, finished
from harness.record.seals import Seal, sealed_from, seals_of
from harness.record.told_seals import openings_of
from harness.record.unentered import refuse_unentered
from harness.score.power import SeenDifference, seen_differences
from harness.score.spec import ScoreSpec
from harness.studies.holdout.expected import expected_of, holdout_origins, warnings_of


def make_plan(experiment: Experiment, changes_folder: Path, home: Home, *, file: str = "") -> HoldoutPlan:
    """Freeze what an opening will be held to, and enter it in the ledger; the same again adds nothing.

    Args:
        experiment: resolved, with its claim.
        changes_folder: the archive in the clear, exported.
        home: the home folder, with a finished run of this very experiment on this archive.
        file: of the experiment; "" = it was built in Python.

    Raises:
        SealedError: inputs of the experiment are not sealed, or not under one cut; the ledger lacks entries.
        UserError: there is no such run, or no model that could be claimed.
    """
    changes = ChangeFile.open(changes_folder)
    plan = build_plan(with_rivals(experiment), changes)
    seals = seals_for(plan, home)
    run = _development(plan, changes, home)
    claim = _with_defaults(experiment.claim or Claim(), plan)
    board = board_of(plan.experiment)
    keys, cells = cells_of(plan, board, Place(changes_folder, home, None), InProcess())
    _check_cells(run, keys, checksums(cells))
    spec = replace(score_spec(plan, changes), primary=claim.metric)
    panel = panel_of(plan, changes, cells, scales_of(plan, changes))
    claim = _claimed(claim, plan, spec, panel_tables(panel, spec, by_series=False).leaderboard.to_dicts())
    walked = [recipe.name for recipe in walked_models(plan.experiment, claim).models]
    origins = holdout_origins(plan, changes, seals)
    expected = expected_of(plan, _seen(panel, changes, spec, claim.model), claim.metric, claim, origins)
    before = openings_of(entries(home), [seal.id for seal in seals]).total
    effort = counts(home, fingerprints(changes, plan.experiment).values())
    made = HoldoutPlan.made(
        name=experiment.name,
        file=file,
        folder=experiment.folder,
        experiment=_facts(canonical(plan.experiment)),
        claim=_facts(canonical(claim)),
        kpi=None if plan.experiment.kpi is None else _facts(canonical(plan.experiment.kpi)),
        seals=tuple(_seal_facts(home, seal) for seal in seals),
        archive={"state": changes.state, "change_file": changes.hash},
        code={"hash": code_hash(), "version": code_version(), "lock": lock_hash()},
        platform=numeric_platform(),
        run={
            "id": run.run_id,
            "cells": {name: keys[name] for name in walked},
            "checksums": {name: checksums(cells)[name] for name in walked},
        },
        effort={"searched": effort.searched, "looked": effort.looked},
        fingerprints=fingerprints(changes, plan.experiment),
        origins={
            "number": len(origins.instants),
            "first": origins.instants[0].isoformat(),
            "last": origins.instants[-1].isoformat(),
            "development": len(plan.instants) - plan.first_scored,
        },
        expected=expected,
        warnings=tuple(warnings_of(expected, claim, before)),
        exploratory=bool(before),
    )
    _enter(home, made)
    return made


def _seen(panel: Panel, changes: ChangeFile, spec: ScoreSpec, model: str) -> Sequence[SeenDifference]:
    """Loss differences in development; cell by cell, but of very many series, where an infinite loss ends a pair."""
    plan = panel.plan
    if forecast_count(plan) > TIDY_ROWS:
        return seen_of(panel, spec, model)
    return seen_differences(score_rows(plan, changes, panel.cells, scales=panel.scales).rows, spec, model)


def seals_for(plan: Plan, home: Home) -> tuple[Seal, ...]:
    """The seals that everything a plan uses lies under.

    Raises:
        SealedError: there is none, they do not cover everything, or they have different cuts.
    """
    seals, name = seals_of(home), plan.experiment.name
    fix = f"harness holdout seal --from DATE {name}"
    used = sorted({*plan.inputs, *target_inputs(plan.experiment.target)})
    found = {series: sealed_from(seals, series) for series in used}
    bare = [series for series, seal in found.items() if seal is None]
    mine = {seal.id: seal for seal in found.values() if seal is not None}
    sources = sorted({recipe.source for recipe in plan.experiment.models if recipe.source})
    bare += [source for source in sources if not any(source in seal.sources for seal in seals)]
    mine |= {seal.id: seal for seal in seals if set(sources) & set(seal.sources)}
    if bare:
        raise SealedError(
            "inputs of the experiment are not sealed",
            value=listed(bare, FEW),
            rule="a holdout is one only when everything the experiment uses is sealed from one instant on",
            fix=fix,
        )
    if len({seal.cut for seal in mine.values()}) > 1:
        raise SealedError(
            "inputs of the experiment are sealed from different instants",
            value=", ".join(f"{seal.id} from {seal.cut}" for seal in mine.values()),
            rule="a holdout begins at one instant",
            fix="plan experiments whose inputs were sealed together",
        )
    return tuple(sorted(mine.values(), key=lambda one: one.id))


def walked_models(experiment: Experiment, claim: Claim) -> Experiment:
    """The experiment as it is walked through the holdout: the rivals, the candidates, and whoever answers for them.

    Its headline metric is the claim's.
    """
    by_name = {recipe.name: recipe for recipe in experiment.models}
    wanted = {recipe.name for recipe in experiment.models if recipe.rival}
    for name in claim.candidates:
        chain = name
        while chain and chain not in wanted:
            wanted.add(chain)
            chain = by_name[chain].fallback
    chosen = tuple(recipe for recipe in experiment.models if recipe.name in wanted)
    return replace(experiment, models=chosen, score_primary=claim.metric)


def _development(plan: Plan, changes: ChangeFile, home: Home) -> RunFiles:
    """The finished run of this very experiment on this very archive."""
    name = run_id(plan.experiment, changes)
    files = RunFiles(name, home.runs / name)
    if not files.folder.is_dir():
        raise UserError(
            "the experiment was not run in development",
            value=plan.experiment.name,
            rule="a plan freezes a finished run on the archive as it was sealed",
            fix=f"run it first: harness backtest {plan.experiment.name}",
        )
    finished(files)
    return files


def _check_cells(run: RunFiles, keys: Mapping[str, list[str]], found: Mapping[str, list[str]]) -> None:
    manifest = finished(run)
    if manifest.get("cells") != keys or manifest.get("cell_checksums") != found:
        raise UserError(
            "the cells of the development run are not those it recorded",
            value=run.run_id,
            rule="an opening must find every bit of development again",
            fix="harness verify says which; delete the run and its cells, and run the experiment again",
        )


def _with_defaults(claim: Claim, plan: Plan) -> Claim:
    steps = plan.experiment.horizons
    horizon = claim.horizon if claim.horizon is not None else 1 if 1 in steps else steps[0]
    return replace(claim, horizon=horizon, metric=claim.metric or plan.experiment.score_primary)


def _claimed(claim: Claim, plan: Plan, spec: ScoreSpec, board: list[dict[str, object]]) -> Claim:
    """The claim with its model and candidates named."""
    names = [recipe.name for recipe in plan.experiment.models if not recipe.rival]
    unknown = [name for name in (*claim.candidates, claim.model) if name and name not in names]
    if unknown or claim.horizon not in plan.experiment.horizons:
        raise UserError(
            "the claim names what the experiment does not have",
            value=", ".join(unknown) or f"h = {claim.horizon}",
            rule=f"models {', '.join(names)}; horizons {', '.join(map(str, plan.experiment.horizons))}",
        )
    allowed = [name for name in claim.candidates or names if name not in spec.unknown_cutoff]
    mine = [row for row in board if row["horizon"] == claim.horizon and row["model"] in allowed and row["n_ok"]]
    best = next((str(row["model"]) for row in mine if row["rank"] is not None), "")
    model = claim.model or best
    if not model or model in spec.unknown_cutoff:
        raise UserError(
            "no verdict is ever given for this model" if model else "no model that could be claimed",
            value=model or plan.experiment.name,
            rule="a claim is about a model that is no rival, answered in development, and whose data cut-off is known",
            fix="name another in [holdout] model",
        )
    return replace(claim, model=model, candidates=claim.candidates or (model,))


def _seal_facts(home: Home, seal: Seal) -> dict[str, object]:
    return {
        "seal": seal.id,
        "cut": seal.cut,
        "manifest": Vault.open(home, seal.id).manifest_hash,
        "grade": seal.grade,
        "told": seal.told,
        "seen": seal.seen,
    }


def _enter(home: Home, plan: HoldoutPlan) -> None:
    """Write the plan, then enter it; a crash between the two is mended by the same command."""
    found = entries(home)
    refuse_unentered(home, found, but=plan.id)
    if any(one.kind == "plan" and one.facts.get("plan") == plan.id for one in found):
        return
    told = {"plan": plan.id, "seals": list(plan.seal_ids), "experiment": plan.name, "claim": plan.told}
    enter(home, "plan", {**told, "digest": write_plan(home, plan)})


def _facts(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
