"""Keys: what a cell, a fit and a run are made of; equal content is found again, different content never is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.backtest.first_window import asks_for_it, check_first_window
from harness.backtest.splits import Plan, inputs_of
from harness.core.errors import UserError
from harness.core.identity import KEY_LENGTH, Encoded, Headed, canonical, digest, encoded
from harness.core.recipe import Experiment, FeatureBlock, Recipe, Target
from harness.data.changes import ChangeFile
from harness.data.declaration import texts_by
from harness.data.prefixes import prefix_digests
from harness.forecast.user_class import is_user_class
from harness.record.platform import code_hash, lock_hash
from harness.record.runs import run_identity


@dataclass(frozen=True, slots=True)
class RecipeIdentity:
    """What a model computes, without its name, its fallback and everything else that cannot move its own numbers.

    Attributes:
        text: hash of kind, parameters, resolved feature blocks, steps, cadence, source and user code.
        series: stored ids of the series it is given.
        sources: external sources it is given.
        cadence: refit cadence in origins.
        vintage: what its training rows are made of, "" when it has none. It keys cells and fits but is no part of
            `text`: seeds derive from that, and two runs that differ in it alone compare like with like.
        retune: origins between two searches, a multiple of `cadence`; 0 = it is not tuned.
        first_window: whether every fit depends on the first one's rows.
    """

    text: str
    series: tuple[str, ...]
    sources: tuple[str, ...]
    cadence: int
    vintage: str
    retune: int = 0
    first_window: bool = False

    @property
    def stretch(self) -> int:
        """Origins that share a search, or else a fit: no two workers may be given parts of one."""
        return self.retune or self.cadence


def blocks_of(recipe: Recipe, experiment: Experiment) -> tuple[FeatureBlock, ...]:
    """The feature blocks a recipe sees, in its declared order."""
    by_name = {block.name: block for block in experiment.features}
    return tuple(by_name[name] for name in recipe.features)


def recipe_identity(recipe: Recipe, experiment: Experiment) -> RecipeIdentity:
    """Identity and inputs of one recipe within an experiment."""
    blocks, search = blocks_of(recipe, experiment), recipe.search
    kinds = [recipe.kind, *(one.kind for one in search.candidates)] if search else [recipe.kind]
    names = experiment.seen_blocks(recipe)
    reached = tuple(block for block in experiment.features if block.name in names)
    seen = experiment.features if any(map(is_user_class, kinds)) else reached
    series = inputs_of(seen, experiment.target)
    cadence = recipe.refit_every or experiment.training.refit_every
    sources = (recipe.source,) if recipe.source else ()
    parts = (recipe.kind, recipe.params, blocks, recipe.steps, recipe.functional, recipe.code, sources, cadence)
    text = digest(*parts) if search is None else digest(*parts, search, reached)
    vintage = experiment.vintage if names else ""
    check_first_window(recipe, experiment)
    retune = retune_cadence(recipe, cadence)
    return RecipeIdentity(text, series, sources, cadence, vintage, retune, asks_for_it(recipe))


def retune_cadence(recipe: Recipe, cadence: int) -> int:
    """Origins between two searches of a model with this refit cadence; 0 = it is not tuned.

    Raises:
        UserError: it would be tuned where it is not fitted.
    """
    if recipe.search is None:
        return 0
    retune = recipe.search.retune_every or cadence
    if retune % cadence:
        raise UserError(
            f"{recipe.name}: tuned where it is not fitted",
            value=f"retune_every = {retune}, refit_every = {cadence}",
            rule="settings change at a refit, so retune_every is a multiple of refit_every",
        )
    return retune


def cell_seed(identity: RecipeIdentity, experiment: Experiment, origin: str, purpose: str) -> int:
    """The seed of a cell: recipe, target and its series, origin, purpose and the user's seed; nothing else (S19).

    A forecaster with one model per horizon derives each one's seed from this and the horizon.
    """
    return _begun(identity.text, experiment.target).seed(origin, purpose, experiment.seed)


@lru_cache(maxsize=64)
def _begun(recipe: str, target: Target) -> Headed:
    """What the seeds of all cells of a recipe begin with: the names of a large target are hashed once."""
    return Headed("seed", recipe, target_identity(target))


def target_identity(target: Target) -> dict[str, object]:
    """What a target asks for, without what only later announcements can add: the series of its universe."""
    said = {name: getattr(target, name) for name in ("series", "transform", "outcome", "season")}
    if target.prices != "price":
        said["prices"] = target.prices
    return {**said, "series": (), "universe": target.universe} if target.universe else said


Known = dict[tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]], list[str]]
"""Series, sources and origins -> `known_digests` of them in one plan."""


def cell_keys(
    identity: RecipeIdentity,
    plan: Plan,
    changes: ChangeFile,
    origins: Sequence[int],
    purpose: str,
    *,
    known: Known | None = None,
) -> list[str]:
    """Keys of one recipe's cells (or fits) at the given origins, ascending.

    A key holds the recipe, the plan up to the origin, the publications of the series it uses up to the origin, the
    harness and user code and the lock. Nothing later than the origin enters it, so later data leave it valid.

    Args:
        identity: of the recipe.
        plan: the plan.
        changes: its change file.
        origins: indices of the origins.
        purpose: `cell` or `fit`.
        known: what was found for other recipes of the same plan and change file; this one's is added.
    """
    experiment = plan.experiment
    known = {} if known is None else known
    inputs = (identity.series, identity.sources, tuple(origins))
    if inputs not in known:
        known[inputs] = known_digests(identity, plan, changes, origins)
    prefixes = known[inputs]
    fixed = digest(
        purpose,
        identity.text,
        identity.vintage,
        target_identity(experiment.target),
        experiment.horizons,
        experiment.training,
        experiment.origins.latency,
        experiment.exclude_hindsight,
        experiment.seed,
        code_hash(),
        lock_hash(),
    )
    schedule = _schedule_digests(plan, origins)
    keys = []
    for origin, prefix, before in zip(origins, prefixes, schedule, strict=True):
        refit = plan.refit_origin(origin, identity.cadence)
        when = [plan.instants[origin].isoformat(), plan.instants[refit].isoformat()]
        if identity.retune:
            when.append(plan.instants[plan.refit_origin(origin, identity.retune)].isoformat())
        if identity.first_window:
            when.append(plan.instants[plan.first_issued].isoformat())
        targets = (plan.starts[origin].tolist(), plan.ends[origin].tolist(), int(plan.phase[origin]))
        keys.append(digest(fixed, when, targets, before, prefix))
    return keys


def known_digests(identity: RecipeIdentity, plan: Plan, changes: ChangeFile, origins: Sequence[int]) -> list[str]:
    """Identity of the series in the snapshot of each origin: their declarations, and what was known of them."""
    universe, zone = plan.experiment.target.universe, plan.experiment.origins.zone
    groups: dict[int, list[int]] = {}
    for origin in origins:
        groups.setdefault(int(plan.members.announced[origin]), []).append(origin)
    found: dict[int, str] = {}
    for mine in groups.values():
        announced = plan.members.known(mine[0])
        hidden = set(plan.members.series) - set(announced) if universe else set[str]()
        series = [name for name in identity.series if name not in hidden] if hidden else list(identity.series)
        known = [int(plan.known[origin]) for origin in mine]
        prefixes = prefix_digests(changes, series, identity.sources, known, universe=universe)
        headed: dict[int, Headed] = {}
        for origin, prefix, texts in zip(mine, prefixes, texts_by(changes.series, series, known), strict=True):
            if id(texts) not in headed:  # the same list for all origins that know the same
                declared = Encoded(f"[{','.join(texts)}]")
                parts = [declared, announced, zone] if universe else [declared]
                headed[id(texts)] = Headed(Encoded(f"[{','.join(map(encoded, parts))}]"))
            found[origin] = headed[id(texts)].digest(prefix)
    return [found[origin] for origin in origins]


def _schedule_digests(plan: Plan, origins: Sequence[int]) -> list[str]:
    """For some origins, ascending, the identity of the pseudo-origins before each and of their target periods."""
    table = np.column_stack([plan.known, plan.starts, plan.ends]).astype("<i8")
    hasher, done, out = hashlib.sha256(), 0, []
    for origin in origins:
        hasher.update(table[done:origin].tobytes())
        out.append(hasher.hexdigest()[:KEY_LENGTH])
        done = origin
    return out


def run_id(experiment: Experiment, changes: ChangeFile, opens: str = "") -> str:
    """Identity of a run: resolved experiment, archive state, code, lock, and the plan of an opening ("" = none)."""
    return run_identity(canonical(experiment), changes.hash, code_hash(), lock_hash(), opens)
