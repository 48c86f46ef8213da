"""The placebo: worlds in which there is nothing to be found; whoever finds something has seen what is to come.

Circular: other inputs are put out of step with the target, so a learner may not gain by them over its own-history
version. Independent: the target's innovations are redrawn, so nothing may beat the mean rival more often than luck.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl
from scipy.special import bdtr

from harness.backtest.keys import blocks_of, recipe_identity
from harness.backtest.place import Board, Progress
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of
from harness.backtest.splits import Plan
from harness.core.errors import FEW, listed
from harness.core.identity import derive_seed
from harness.core.recipe import Experiment, Recipe, Target
from harness.forecast.catalog import learns_from_rows
from harness.record.home import Home
from harness.score.leaderboard import LEVEL
from harness.score.rivals import MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP
from harness.studies.bench import Bench, World, ours, share
from harness.studies.inputs import blocks_on_others, reads_others
from harness.studies.placebo_worlds import redrawn, shift_bounds, shifted
from harness.studies.verdict import FAILED, NOT_SHOWN, PASSED, Check, Finding, Verdict, worst

CIRCULAR, INDEPENDENT = "circular", "independent"
SHIFTS: Final = 5
REDRAWS: Final = 10
SIZE: Final = 0.10
"""What the nominal 5 % test may reject of true nulls with as few origins as it is used with (`score.rivals`)."""
SURE: Final = 0.999
OWN: Final = " (own history)"
PLACEBO_SCHEMA = pl.Schema(
    {
        "placebo": pl.String(),
        "model": pl.String(),
        "horizon": pl.Int32(),
        "against": pl.String(),
        "metric": pl.String(),
        "tries": pl.Int64(),
        "wins": pl.Int64(),
        "bound": pl.Int64(),
        "mean_ratio": pl.Float64(),
        "smallest_p": pl.Float64(),
        "verdict": pl.String(),
    }
)
"""`tries`: worlds; `wins`: those in which the model was better (circular: significantly, one-sided, 5 %); `bound`: the
most wins that luck explains (99.9 %); `mean_ratio`: mean of the model's metric over the other's."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """One model against its yardstick at one horizon in one world."""

    model: str
    horizon: int
    against: str
    metric: str
    ratio: float | None
    p_value: float | None
    enough: bool


def placebo(
    plan: Plan,
    changes_folder: Path,
    home: Home,
    *,
    shifts: int = SHIFTS,
    redraws: int = REDRAWS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Check:
    """Whether any model gains where nothing can be gained.

    Args:
        plan: of the experiment with its rivals.
        changes_folder: the archive state it was made on.
        home: where faithful cells are found or stored.
        shifts: circular worlds.
        redraws: independent worlds; from 10 on, winning in every one is more than luck.
        workers: worker processes; None = as many as cores allow.
        progress: called with (cells done, cells in all).

    Returns:
        A check with table `placebo` (columns of `PLACEBO_SCHEMA`): failed where a model wins more often than its
        bound; not shown where a circular shift has no room, a learner has no own-history version, or there are too few
        origins or worlds to tell.

    Raises:
        UserError: as `backtest.runner.execute`.
    """
    began = time.perf_counter()
    learners, everyone = _learners(plan.experiment), ours(plan.experiment)
    total = (len(learners) * shifts + len(everyone) * redraws) * len(plan.issued)
    bench = Bench(plan, changes_folder, home, workers=workers, progress=progress, total=total)
    circular, why = _circular(bench, learners, shifts)
    table = pl.concat(
        [
            _judged(CIRCULAR, circular, shifts, bound(shifts, SIZE)),
            _judged(INDEPENDENT, _independent(bench, redraws), redraws, bound(redraws, 0.5)),
        ]
    )
    findings = tuple(_findings(table))
    return Check(
        "placebo",
        worst([FAILED if findings else PASSED, *_gaps(table, why)]),
        _said(table, why, shifts, redraws),
        findings,
        (("placebo", table),),
        bench.computed,
        time.perf_counter() - began,
    )


def price(plan: Plan, *, shifts: int = SHIFTS, redraws: int = REDRAWS) -> float:
    """What `placebo` costs beyond the faithful run, in runs; own-history versions are counted once."""
    experiment = plan.experiment
    learners = [recipe.name for recipe in _learners(experiment)]
    return share(experiment, learners) * (shifts + 1) + redraws * share(experiment, [r.name for r in ours(experiment)])


def bound(tries: int, chance: float) -> int:
    """The most wins of some tries that luck explains: the 99.9 % quantile of the binomial distribution.

    >>> bound(10, 0.5), bound(5, 0.1)
    (9, 3)
    """
    return next(wins for wins in range(tries + 1) if wins == tries or bdtr(wins, tries, chance) >= SURE)


def mean_rival(target: Target) -> str:
    """The rival that is the best forecast of a target with independent innovations.

    >>> mean_rival(Target(("cpi",)))
    'drift'
    """
    transform = target.transform
    if transform.is_volatility:
        return "expanding_mean"
    if transform.kind in ("level", "spread"):
        return "drift"
    return "path_mean_step" if transform.span > 1 else "historic_mean"


# ---- circular


def _learners(experiment: Experiment) -> list[Recipe]:
    """Learners that read other series and have an own-history version to be compared with."""
    return [
        recipe
        for recipe in ours(experiment)
        if learns_from_rows(recipe.kind) and blocks_on_others(recipe, experiment) and _own_blocks(recipe, experiment)
    ]


def _only_others(recipe: Recipe, experiment: Experiment) -> bool:
    """Whether a learner reads other series and nothing of the target's."""
    reads = learns_from_rows(recipe.kind) and bool(blocks_on_others(recipe, experiment))
    return reads and not _own_blocks(recipe, experiment)


def _own_blocks(recipe: Recipe, experiment: Experiment) -> tuple[str, ...]:
    return tuple(block.name for block in blocks_of(recipe, experiment) if not reads_others(block, experiment))


def _own_version(recipe: Recipe, experiment: Experiment) -> Recipe:
    """The same model without blocks on other series."""
    return replace(recipe, name=recipe.name + OWN, features=_own_blocks(recipe, experiment), fallback="")


def _circular(bench: Bench, learners: list[Recipe], shifts: int) -> tuple[list[_Tried], str]:
    """Every learner among shifted inputs against its own-history version; what could not be tried, and why."""
    experiment = bench.plan.experiment
    alone = [recipe.name for recipe in ours(experiment) if _only_others(recipe, experiment)]
    why = f"without an own-history version: {listed(alone, FEW)}" if alone else ""
    if not learners:
        return [], why
    bounds = shift_bounds(bench.plan, bench.changes)
    short = [name for name, (least, most) in bounds.items() if least > most]
    if short:
        return [], f"too short to be shifted: {listed(short, FEW)}"
    # without a fallback: what is compared is the model
    bare = [replace(recipe, fallback="") for recipe in learners]
    own = [_own_version(recipe, experiment) for recipe in learners]
    rivals = [recipe for recipe in experiment.models if recipe.rival]
    own_board: Board = [(recipe, recipe_identity(recipe, experiment)) for recipe in own]
    base = bench.faithful([*((r, i) for r, i in bench.board if r.rival), *own_board])
    judged = replace(experiment, models=(*rivals, *bare, *(replace(recipe, rival=True) for recipe in own)))
    plan = replace(bench.plan, experiment=judged)
    begin = derive_seed("circular", experiment.target, experiment.seed) / 2**31
    tried: list[_Tried] = []
    for number in range(shifts):
        world = World(shifted(bench.changes, bench.plan, bounds, (number + begin) / shifts))
        cells = bench.elsewhere(world, [recipe.name for recipe in bare])
        pairs = bench.scored({**base, **cells}, plan).frames["against_rivals"]
        tried += _pairs(pairs, {recipe.name: recipe.name + OWN for recipe in bare})
    return tried, why


# ---- independent innovations


def _independent(bench: Bench, redraws: int) -> list[_Tried]:
    """Every model on redrawn targets against the mean rival."""
    bare = tuple(replace(recipe, fallback="") for recipe in ours(bench.plan.experiment))
    experiment = replace(bench.plan.experiment, models=bare)
    yardstick = mean_rival(experiment.target)
    models = {recipe.name: yardstick for recipe in experiment.models if not recipe.rival}
    tried: list[_Tried] = []
    for number in range(redraws if models else 0):
        seed = derive_seed("independent", experiment.target, experiment.seed, number)
        changes = redrawn(bench.changes, bench.plan, seed)
        plan = build_plan(experiment, changes)
        board = board_of(plan.experiment)
        cells = bench.elsewhere(World(changes, plan, pinned=False), [recipe.name for recipe, _ in board], board)
        tried += _pairs(bench.scored(cells, plan).frames["against_rivals"], models)
    return tried


# ---- verdicts


def _pairs(table: pl.DataFrame, yardsticks: dict[str, str]) -> Iterator[_Tried]:
    for row in table.iter_rows(named=True):
        if yardsticks.get(row["model"]) == row["rival"]:
            needed = max(MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP * (row["bandwidth"] + 1))
            yield _Tried(
                row["model"], row["horizon"], row["rival"], row["metric"], row["ratio"], row["p_value"],
                row["n_origins"] >= needed,
            )  # fmt: skip


def _judged(kind: str, tried: list[_Tried], tries: int, most: int) -> pl.DataFrame:
    """One row per model and horizon over all worlds of one kind."""
    rows = []
    for key in dict.fromkeys((one.model, one.horizon) for one in tried):
        mine = [one for one in tried if (one.model, one.horizon) == key]
        ratios = [one.ratio for one in mine if one.ratio is not None]
        p_values = [one.p_value for one in mine if one.p_value is not None]
        wins = sum(p < LEVEL for p in p_values) if kind == CIRCULAR else sum(ratio < 1.0 for ratio in ratios)
        testable = bool(p_values) and all(one.enough for one in mine) if kind == CIRCULAR else bool(ratios)
        testable = testable and most < tries  # with too few worlds not even winning in all of them is more than luck
        verdict: Verdict = (FAILED if wins > most else PASSED) if testable else NOT_SHOWN
        mean = sum(ratios) / len(ratios) if ratios else None
        least = min(p_values, default=None)
        rows.append((kind, *key, mine[0].against, mine[0].metric, tries, wins, most, mean, least, verdict))
    return pl.DataFrame(rows, schema=PLACEBO_SCHEMA, orient="row").sort("model", "horizon")


def _gaps(table: pl.DataFrame, why: str) -> list[Verdict]:
    """`not shown` where a shift had no room, or a whole model could not be tested at any horizon."""
    untested = table.group_by("placebo", "model").agg((pl.col("verdict") == NOT_SHOWN).all().alias("none"))
    return [NOT_SHOWN] if why or untested["none"].any() else []


def _findings(table: pl.DataFrame) -> Iterator[Finding]:
    for row in table.filter(pl.col("verdict") == FAILED).iter_rows(named=True):
        yield Finding(
            "placebo",
            row["placebo"],
            stage="scores",
            model=row["model"],
            row=f"horizon {row['horizon']}",
            column=row["metric"],
            expected=f"at most {row['bound']} of {row['tries']} worlds better than {row['against']}",
            found=f"{row['wins']}, with {100 * (1 - (row['mean_ratio'] or 1.0)):.1f} % less on average",
        )


def _said(table: pl.DataFrame, why: str, shifts: int, redraws: int) -> str:
    circular, independent = (table.filter(pl.col("placebo") == kind) for kind in (CIRCULAR, INDEPENDENT))
    tested = circular.filter(pl.col("verdict") != NOT_SHOWN)
    first = why or "no learner reads other series beside its own history"
    if circular.height:
        first = f"{why}; " if why else ""
        first += (
            f"other inputs put out of step {shifts} times: {(tested['verdict'] == FAILED).sum()} of {tested.height} "
            f"comparisons gain more often than luck (more than {bound(shifts, SIZE)} times)"
        )
    second = (
        f"target redrawn without memory {redraws} times: {(independent['verdict'] == FAILED).sum()} of "
        f"{independent.height} beat the mean rival more often than luck (more than {bound(redraws, 0.5)} times)"
    )
    return f"{first}; {second}"
