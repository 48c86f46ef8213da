"""Check 1: everything that was not public at an origin is made another, and nothing may move by a bit."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.backtest.splits import Plan
from harness.core.errors import UserError, raise_lack
from harness.core.identity import derive_seed
from harness.core.time import local_day
from harness.data.changes import ChangeFile
from harness.record.home import Home
from harness.record.platform import PACKAGE
from harness.studies.differing import Difference, compare
from harness.studies.handover import Handover
from harness.studies.other_announcements import announced_later
from harness.studies.pipeline import Board, Passage, differences, evidence, passage
from harness.studies.raw_world import Later, datasets_of, read_again, told_by
from harness.studies.verdict import Finding
from harness.studies.worlds import KINDS, Kind, other_world, replanned

NAME = "scramble"
RAW = "raw batches"
HOW: dict[str, str] = {
    "removed": "removed",
    "noise": "noise",
    "restamped": "restamped among later instants",
    "outcomes": "outcomes not matured",
    RAW: "raw batches altered and ingested again",
}


@dataclass(slots=True)
class Scrambled:
    """What scrambling around one origin showed.

    Attributes:
        origin: index of the origin.
        touched: per kind, the changes, publications, forecasts and outcomes that were altered.
        findings: differences, with their evidence.
        cells: cells computed, per model.
        refused: kinds that could not be done, with the reason.
    """

    origin: int
    touched: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    cells: int = 0
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What an audit stands on.

    Attributes:
        plan: the plan.
        changes: the archive view.
        board: the models with their identities.
        again: the archive view read again from its raw input, unaltered; None = read when it is needed.
    """

    plan: Plan
    changes: ChangeFile
    board: Board
    again: ChangeFile | None = None


def scramble(
    ground: Ground, origin: int, *, number: int = 0, base: Passage | None = None, kinds: Sequence[str] = tuple(HOW)
) -> Scrambled:
    """Scramble around one origin and compare every hand-over with the true one.

    Args:
        ground: plan, archive view and models.
        origin: index of the origin.
        number: the how-many-th sampled origin it is; the raw batches lose their later rows at every second one, and
            get other values in them at the others.
        base: the true hand-overs, when they are known already.
        kinds: ways to scramble, of `HOW`; all of them where nothing is said.
    """
    plan, changes, board = ground.plan, ground.changes, ground.board
    out = Scrambled(origin)
    if base is None:
        base = passage(plan, changes, board, origin, later=plan if frozen(plan) else None)
        out.cells += 1
    for kind in (one for one in KINDS if one in kinds):
        with _answering(ground, origin, kind, out):
            found = list(_one(ground, origin, kind, base, out))
            out.findings += evidence(plan, board, NAME, HOW[kind], found)
    if RAW in kinds:
        with _answering(ground, origin, RAW, out):
            _raw(ground, origin, base, out, drop=number % 2 == 1)
    return out


@contextmanager
def _answering(ground: Ground, origin: int, kind: str, out: Scrambled) -> Iterator[None]:
    """An error that only another future provokes is evidence, too."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever is raised in one world and not in the other
        raise_lack(error)
        frames = traceback.extract_tb(error.__traceback__)
        place = next((one for one in reversed(frames) if f"{PACKAGE.name}/" in one.filename), frames[-1])
        module = place.filename.rpartition(f"{PACKAGE.name}/")[2].removesuffix(".py").replace("/", ".")
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        moment = ground.plan.instants[origin]
        out.findings.append(
            Finding(NAME, HOW[kind], moment, "raised", f"harness.{module}", expected="an answer", found=text)
        )


def frozen(plan: Plan) -> bool:
    """Whether training rows are frozen at their own origins (not rebuilt from a later vintage by declaration)."""
    return plan.experiment.vintage == "frozen"


def _one(
    ground: Ground, origin: int, kind: Kind, base: Passage, out: Scrambled
) -> Iterator[tuple[Handover, Difference]]:
    plan, board = ground.plan, ground.board
    seed = derive_seed(NAME, kind, plan.instants[origin].isoformat(), plan.experiment.seed)
    world = other_world(plan, ground.changes, origin, kind, seed)
    out.touched[kind] = world.touched
    whole = kind == "noise" and frozen(plan)
    found = passage(world.plan, world.changes, board, origin, later=plan if whole else None)
    out.cells += 1
    yield from differences(base if whole else without_frozen(base), found)


def without_frozen(base: Passage) -> Passage:
    """A passage without the rows of the later origin."""
    kept = tuple(group for group in base.groups if group and group[0].stage != "frozen rows")
    return replace(base, groups=kept)


def _raw(ground: Ground, origin: int, base: Passage, out: Scrambled, *, drop: bool) -> None:
    plan, board = ground.plan, ground.board
    cut = int(plan.known[origin])
    seed = derive_seed(NAME, RAW, plan.instants[origin].isoformat(), plan.experiment.seed)
    with tempfile.TemporaryDirectory(prefix="harness-audit-") as folder:
        try:
            plain, altered = raw_worlds(ground, Path(folder), Later(cut, seed, drop))
        except UserError as error:
            out.refused[RAW] = str(error)
            return
        found = list(_archive_differences(ground, plain, altered, cut, origin))
        mine, again = (told_by(one, plan.inputs, cut, by_vintage=True) for one in (ground.changes, plain))
        if any(compare(one, other) is not None for one, other in zip(mine, again, strict=True)):
            base = passage(replanned(plan, plain, cut), plain, board, origin)
            out.cells += 1
        out.touched[RAW] = int((plain.published > cut).sum()) + announced_later(plain, cut)
        if not found:
            theirs = passage(replanned(plan, altered, cut), altered, board, origin)
            out.cells += 1
            found = list(differences(without_frozen(base), theirs))
        out.findings += evidence(plan, board, NAME, f"{HOW[RAW]} ({'removed' if drop else 'noise'})", found)


def raw_worlds(ground: Ground, folder: Path, later: Later) -> tuple[ChangeFile, ChangeFile]:
    """The archive view read again from the raw input, as it is and with everything published later altered.

    Where rows taken out leave a table that cannot be ingested, they get other values instead.

    Raises:
        UserError: the raw input cannot be read again.
    """
    plain = ground.again or unaltered(ground, folder)
    for number, one in enumerate((later, Later(later.cut, later.seed)) if later.drop else (later,)):
        try:
            return plain, _again(ground, folder / f"altered{number}", one)
        except UserError:
            if not one.drop:
                raise
    message = "the last way of altering either returns or raises"
    raise AssertionError(message)


def unaltered(ground: Ground, folder: Path) -> ChangeFile:
    """The archive view read again from the raw input as it is.

    Raises:
        UserError: the raw input cannot be read again.
    """
    return _again(ground, folder / "plain", None)


def _again(ground: Ground, home: Path, later: Later | None) -> ChangeFile:
    experiment = ground.plan.experiment
    datasets = datasets_of(experiment.datasets, experiment.folder)
    own = {series.id for dataset in datasets for series in dataset.series}
    others = [name for name in ground.plan.inputs if name not in own]
    return read_again(datasets, others, ground.changes, Home(home), later)


def _archive_differences(
    ground: Ground, plain: ChangeFile, altered: ChangeFile, cut: int, origin: int
) -> Iterator[tuple[Handover, Difference]]:
    by_vintage = not ground.plan.experiment.pseudo_real_time
    sides = (told_by(one, ground.plan.inputs, cut, by_vintage=by_vintage) for one in (plain, altered))
    for one, other in zip(*sides, strict=True):
        difference = compare(one, other)
        if difference is not None:
            yield Handover(one.stage, "", origin, one.keys, one.table), difference


def said(results: Sequence[Scrambled], plan: Plan) -> str:
    """What was done, in one sentence."""
    zone = plan.experiment.origins.zone
    moments = ", ".join(local_day(plan.instants[one.origin], zone).isoformat() for one in results)
    altered = sum(sum(one.touched.values()) for one in results)
    return f"{len(results)} origins ({moments}), {altered:,} values, dates and outcomes made others after them"
