"""Check 2: a leak planted on purpose must be caught by the very machinery that has found nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from harness.backtest.design import build_design
from harness.backtest.splits import Plan, training_labels, training_set
from harness.core.errors import UserError
from harness.core.identity import derive_seed
from harness.core.recipe import FeatureBlock
from harness.core.time import MICROS_PER_DAY, NEVER
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.forecast.catalog import reference_name
from harness.forecast.features import feature_names
from harness.studies.differing import Difference
from harness.studies.handover import Handover
from harness.studies.pipeline import Board, Passage, differences, evidence, passage
from harness.studies.raw_world import Later
from harness.studies.scramble import HOW, RAW, Ground, raw_worlds
from harness.studies.verdict import Finding
from harness.studies.worlds import KINDS, Kind, Micros, other_world, replanned, taken

NAME = "control"
TRIES = 8
OWN = FeatureBlock("own", latest=(1, 2), age=True)
"""What is looked at where an experiment has no features."""


@dataclass(frozen=True, slots=True)
class Planted:
    """What became of a leak planted on purpose.

    Attributes:
        how: the kind of scramble that was to catch it.
        judged: `rows`, `last value` or `labels`.
        caught: whether it was caught; None = it could not be planted here.
        finding: the evidence, or why it could not be planted.
    """

    how: str
    judged: str
    caught: bool | None
    finding: Finding


def shortened(changes: ChangeFile) -> ChangeFile:
    """The archive view with every lag shortened by one release: each value is public when the one before it was.

    The first release of a series moves by its usual distance, the median between two of its releases.
    """
    published = changes.published.copy()
    for code in np.unique(changes.code):
        mine = changes.code == code
        published[mine] = _one_earlier(changes.published[mine])
    # a number as it was stated then stays one, or an experiment that excludes hindsight would be spared the leak
    vintage = np.where(changes.vintage == changes.published, published, changes.vintage)
    order = np.lexsort((changes.period, changes.code, published))
    return taken(replace(changes, published=published, vintage=vintage), order)


def _one_earlier(published: Micros) -> Micros:
    instants = np.unique(published)
    usual = int(np.median(np.diff(instants))) if len(instants) > 1 else MICROS_PER_DAY
    before = np.concatenate(([instants[0] - usual], instants[:-1]))
    out: Micros = before[np.searchsorted(instants, published)]
    return out


def control(ground: Ground, origin: int, others: Sequence[int] = ()) -> tuple[Planted, ...]:
    """Plant a lag shortened by one release, and labels that mature one release early, and scramble around an origin.

    Args:
        ground: plan, archive view and models; only the reference rival is run.
        origin: index of an origin after which the target is published again.
        others: where labels are tried when none is immature there.
    """
    board = tuple(one for one in ground.board if one[0].name == reference_name(ground.plan.experiment.target))
    leaky = Ground(with_rows(ground.plan), shortened(ground.changes), board)
    true = _seen(leaky.plan, leaky.changes, board, origin)
    out: list[Planted] = []
    for kind in KINDS:
        if kind == "outcomes":
            tried = (_early_labels(ground, one) for one in (origin, *others))
            out.append(next((one for one in tried if one.caught is not None), _early_labels(ground, origin)))
            continue
        out += _best(leaky, ground.changes, kind, true)
    return (*out, *_raw(ground, leaky, origin))


def _best(leaky: Ground, changes: ChangeFile, kind: Kind, true: Passage) -> list[Planted]:
    """The first of a few scrambles that shows the leak: one in which the next release happens to stay next cannot."""
    found: list[Planted] = []
    for number in range(TRIES):
        seed = derive_seed(NAME, kind, leaky.plan.instants[true.origin].isoformat(), number)
        world = other_world(leaky.plan, changes, true.origin, kind, seed)
        seen = _seen(world.plan, shortened(world.changes), leaky.board, true.origin)
        found = list(_judged(leaky, kind, true, seen))
        if all(one.caught for one in found):
            break
    return found


def with_rows(plan: Plan) -> Plan:
    """The plan with a feature block to look at where it has none."""
    return plan if plan.experiment.features else replace(plan, experiment=replace(plan.experiment, features=(OWN,)))


def _seen(plan: Plan, changes: ChangeFile, board: Board, origin: int) -> Passage:
    """Rows at one origin and the forecasts of the reference."""
    rows = build_design(plan, changes, last=origin)
    asked = Handover("asked rows", "", origin, ("series_id", "horizon"), _table(plan, rows, origin))
    return Passage(origin, ((asked,), *passage(plan, changes, board, origin, design=rows).groups))


def _table(plan: Plan, rows: Floats, origin: int) -> pl.DataFrame:
    experiment = plan.experiment
    names = feature_names(experiment.features)
    series, steps = len(experiment.target.series), len(experiment.horizons)
    values = rows[origin].reshape(series * steps, len(names))
    keys = {
        "series_id": [name for name in experiment.target.series for _ in range(steps)],
        "horizon": list(experiment.horizons) * series,
    }
    return pl.DataFrame({**keys, **{name: values[:, place] for place, name in enumerate(names)}})


def _judged(leaky: Ground, kind: Kind | str, true: Passage, found: Passage) -> Iterator[Planted]:
    """Whether the leak shows at the rows, and end to end in the forecasts of the reference."""
    for judged, stage in (("rows", "asked rows"), ("last value", "forecast")):
        differ = list(differences(_only(true, stage), _only(found, stage)))
        yield _planted(leaky, HOW[kind], judged, differ, true.origin)


def _only(passage: Passage, stage: str) -> Passage:
    """A passage with the hand-overs of one stage."""
    return replace(passage, groups=tuple(tuple(one for one in some if one.stage == stage) for some in passage.groups))


def _planted(leaky: Ground, how: str, judged: str, found: list[tuple[Handover, Difference]], origin: int) -> Planted:
    seen = next(evidence(leaky.plan, leaky.board, NAME, f"{how}, judged at the {judged}", found), None)
    nothing = Finding(NAME, f"{how}, judged at the {judged}", leaky.plan.instants[origin], found="the same bits")
    return Planted(how, judged, seen is not None, seen or nothing)


def _early_labels(ground: Ground, origin: int) -> Planted:
    """Labels that count as matured at the next origin's instant must be caught when later outcomes are scrambled."""
    plan, how = ground.plan, HOW["outcomes"]
    early = int(_next_maturity(plan, origin))
    nothing = Finding(NAME, how, plan.instants[origin], found="no training label is immature at a sampled origin")
    if early == NEVER:
        return Planted(how, "labels", None, nothing)
    known = plan.known.copy()
    known[origin] = early
    seed = derive_seed(NAME, "outcomes", plan.instants[origin].isoformat())
    other = other_world(plan, ground.changes, origin, "outcomes", seed).plan
    sides = [_labels(ground, replace(one, known=known), origin) for one in (plan, other)]
    found = differences(*(Passage(origin, ((side,),)) for side in sides))
    return _planted(ground, how, "labels", list(found), origin)


def _next_maturity(plan: Plan, origin: int) -> np.int64:
    """The instant at which the next label after an origin matures, of a row that could be a training row."""
    latest = plan.experiment.target.outcome.kind == "latest"
    table = plan.outcomes.first_public if latest else plan.outcomes.matured_at
    own = plan.phase[:origin] == plan.phase[origin]
    at = table[:, plan.request[:origin][own]]
    later = at[(at != NEVER) & (at > plan.known[origin])]
    return later.min() if later.size and not latest else np.int64(NEVER)


def _labels(ground: Ground, plan: Plan, origin: int) -> Handover:
    replay = Replay(ground.changes, plan.inputs, latency=plan.experiment.origins.latency)
    replay.advance(plan.instants[origin])
    snapshot = replay.snapshot(plan.experiment.target)
    parts = []
    for place, step in enumerate(plan.experiment.horizons):
        chosen = training_set(plan, origin, place, snapshot)
        labels = training_labels(plan, (chosen.origins, chosen.series, np.full(len(chosen.origins), place)), snapshot)
        parts.append(
            pl.DataFrame(
                {
                    "horizon": np.full(len(labels), step),
                    "pseudo_origin": [plan.instants[row] for row in chosen.origins],
                    "series_id": [plan.experiment.target.series[row] for row in chosen.series],
                    "label": labels,
                }
            )
        )
    table = pl.concat(parts, how="vertical_relaxed")
    return Handover("labels", "", origin, ("horizon", "pseudo_origin", "series_id"), table)


def _raw(ground: Ground, leaky: Ground, origin: int) -> Iterator[Planted]:
    """The same shortened lag behind an archive that was ingested again from altered input."""
    plan, how = ground.plan, HOW[RAW]
    cut = int(plan.known[origin])
    with tempfile.TemporaryDirectory(prefix="harness-audit-") as folder:
        try:
            plain, altered = raw_worlds(ground, Path(folder), Later(cut, derive_seed(NAME, RAW)))
        except UserError as error:
            yield Planted(how, "rows", None, Finding(NAME, how, plan.instants[origin], found=str(error)))
            return
        sides = [
            _seen(replanned(leaky.plan, one, cut), shortened(one), leaky.board, origin) for one in (plain, altered)
        ]
        yield from _judged(leaky, RAW, *sides)


def control_origin(plan: Plan, changes: ChangeFile, origins: list[int]) -> int | None:
    """The last of some origins after which every target series is still published at least three times."""
    codes = [changes.code_of(name) for series in plan.experiment.target.series
             for name in plan.experiment.target.transform.inputs(series)]  # fmt: skip
    mine = np.isin(changes.code, codes)
    instants = np.unique(changes.published[mine])
    fit = [origin for origin in origins if (instants > plan.known[origin]).sum() >= 3]
    return fit[len(fit) // 2] if fit else None
