"""Where the time of a run went, as a table that adds up to its wall time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.core.errors import UserError
from harness.report.text import share, table

BEFORE = ("plan", "decrypt", "look up cells", "features")
AFTER = ("read cells", "score", "write")
CELLS, OTHER, SHARED = "cells", "other", "all models"
WORK = {"open": "open change file", "replay": "replay", "tune": "tune", "fit": "fit", "bin": "fit: bins",
        "train": "fit: trees", "predict": "predict", "write": "write cells"}  # fmt: skip
HEAD = ("stage", "model", "seconds", "share", "in workers")
MUCH = 0.25
"""Share of the wall time from which on it is worth a word that trees grew while other cores had nothing to do."""
ROUNDING = 1.05
"""Tasks at once above which there was more than one."""
Row = tuple[str, str, float, float | None]
"""Stage, model ("" = all), seconds of the wall time, seconds added up over the workers (None = done by none)."""


def profile_text(manifest: Mapping[str, object]) -> str:
    """Where the time of a run went.

    Args:
        manifest: of the finished run.

    Raises:
        UserError: the run is not finished, or was recorded before profiles were.
    """
    rows = profile_rows(manifest)
    wall, slots, side_by_side = _wall(manifest), _slots(manifest), _at_once(manifest)
    shown = [
        [stage, model, f"{seconds:.2f}", share(seconds / wall if wall else 0.0), "" if own is None else f"{own:.2f}"]
        for stage, model, seconds, own in (*map(_plain, rows), ("wall time", "", wall, None))
    ]
    at_once = "one task at a time" if slots == 1 else f"{slots} tasks at a time"
    if slots == 1 and side_by_side > ROUNDING:
        at_once = "threads side by side"
    if side_by_side > ROUNDING:
        at_once += f", so seconds = in workers / {side_by_side:.3g}"
    return (
        f"Where the time went ({at_once})\n{table([*HEAD, ''], [[*row, ''] for row in shown], left=2, indent='  ')}\n"
        f"  {OTHER}: starting workers, waiting for the last one, what no stage counts"
        + "".join(f"\n  {line}" for line in _advice(manifest, wall))
    )


def _advice(manifest: Mapping[str, object], wall: float) -> Iterator[str]:
    """A line where the trees of a single fit took much of the time while the other cores had nothing to do."""
    measured = _mapping(manifest.get("measured"))
    for model, cores in _mapping(measured.get("idle")).items():
        grown = float(str(_mapping(_mapping(measured.get("models")).get(model)).get("train", 0.0)))
        if grown > MUCH * wall:
            yield (
                f"{model}: one fit, in one thread of {cores}; num_threads = {cores} in its params, and no --workers, "
                "uses all (another model: its cells are computed anew)"
            )


def _plain(row: Row) -> Row:
    """A row whose seconds are not shown as a zero with a sign: what is left over may lie a rounding below it."""
    stage, model, seconds, own = row
    return stage, model, 0.0 if round(seconds, 2) == 0.0 > seconds else seconds, own


def profile_rows(manifest: Mapping[str, object]) -> list[Row]:
    """The table as numbers; the seconds add up to the wall time.

    Args:
        manifest: of the finished run.

    Raises:
        UserError: the run is not finished, or was recorded before profiles were.
    """
    measured = _mapping(manifest.get("measured"))
    if manifest.get("status", "complete") != "complete":
        raise UserError(
            "the run is not finished",
            value=manifest.get("run_id", ""),
            rule="a profile is written with the results",
            fix=f"resume it: harness backtest {manifest.get('name') or 'EXPERIMENT'} --profile",
        )
    if "wall_seconds" not in measured:
        raise UserError(
            "the run has no profile",
            value=manifest.get("run_id", ""),
            rule="it was recorded by an earlier version",
            fix=f"run it again: harness backtest {manifest.get('name') or 'EXPERIMENT'} --profile",
        )
    stages = {name: float(str(value)) for name, value in _mapping(measured.get("seconds")).items()}
    work = list(_work(measured, _at_once(manifest)))
    known = [*BEFORE, *AFTER]
    odd = [name for name in stages if name not in known and name != CELLS]
    rows: list[Row] = [
        *((name, "", stages[name], None) for name in BEFORE if name in stages),
        *(work if CELLS in stages else ()),
        *((name, "", stages[name], None) for name in (*odd, *AFTER) if name in stages),
    ]
    return [*rows, (OTHER, "", _wall(manifest) - sum(row[2] for row in rows), None)]


def computed(manifest: Mapping[str, object]) -> bool:
    """Whether a finished run computed cells when it was last recorded; false where it found all of them stored."""
    return CELLS in _mapping(_mapping(manifest.get("measured")).get("seconds"))


def _work(measured: Mapping[str, object], slots: float) -> Iterator[Row]:
    """What workers did, each stage of each model, by its share of the wall time."""
    models = _mapping(measured.get("models"))
    for stage, name in WORK.items():
        for model, spent in models.items():
            seconds = _mapping(spent).get(stage)
            if seconds is not None:
                own = float(str(seconds))
                yield name, "" if model == SHARED else model, own / slots, own


def _at_once(manifest: Mapping[str, object]) -> float:
    """Tasks that ran at once, on the average where threads of one process worked side by side."""
    measured = _mapping(manifest.get("measured"))
    cells = float(str(_mapping(measured.get("seconds")).get(CELLS, 0.0)))
    return max(float(_slots(manifest)), _busy(measured) / cells if cells else 0.0)


def _busy(measured: Mapping[str, object]) -> float:
    """Seconds of all workers together."""
    models = _mapping(measured.get("models"))
    return sum(float(str(value)) for spent in models.values() for value in _mapping(spent).values())


def _wall(manifest: Mapping[str, object]) -> float:
    return float(str(_mapping(manifest.get("measured")).get("wall_seconds", 0.0)))


def _slots(manifest: Mapping[str, object]) -> int:
    return int(str(_mapping(manifest.get("measured")).get("slots", 1)))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
