"""What the data of a plan were: availability and pseudo-real-time shares, what each origin knew, what was purged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.fates import Fates, Trained, fates_alike
from harness.backtest.splits import FATES, NO_MEMBER, USED, Plan, row_fates, target_inputs, training_set
from harness.core.frames import UTC_INSTANT
from harness.core.recipe import Experiment
from harness.core.series import AVAILABILITIES
from harness.core.snapshot import NO_POSITION, Snapshot, target_panel
from harness.core.time import NEVER
from harness.data.adjusted import looks_adjusted, may_look_adjusted
from harness.data.changes import ChangeFile
from harness.data.dataset import find_dataset, load_dataset
from harness.data.replay import Replay
from harness.forecast.paths import newest_column

Integers = NDArray[np.int64]
CELLS_PER_CHANGE = 16
"""Size of the table of marks, per change, up to which it is cheaper than looking for repetitions."""
NAMED = 24
"""Inputs whose newest period is named one by one at most."""


def dataset_facts(experiment: Experiment) -> list[dict[str, str]]:
    """What the experiment's datasets say about themselves: shown with every result, not part of its identity."""
    folder = Path(experiment.folder) if experiment.folder else None
    found = [load_dataset(find_dataset(name, folder)) for name in experiment.datasets]
    return [
        {
            "name": one.name,
            "title": one.title,
            "origin": one.origin,
            "licence": one.licence,
            "attribution": one.attribution.strip(),
            "forecasts_note": one.forecasts.note if one.forecasts else "",
        }
        for one in found
    ]


def input_facts(plan: Plan, changes: ChangeFile) -> pl.DataFrame:
    """One row per input: role, frequency, known span, shares of availability and of pseudo real time (S5).

    Shares are of periods, by the earliest value of each: counted by change, a history of assumed dates would vanish
    behind the revisions of a long-lived series.
    """
    own = target_inputs(plan.experiment.target)
    counted = _earliest_shares(changes, plan.inputs)
    suspects = may_look_adjusted(changes, plan.inputs)
    declared = [changes.series[name] for name in plan.inputs]
    frame = pl.DataFrame(
        {
            "series_id": pl.Series(plan.inputs, dtype=pl.String()),
            "code": pl.Series(changes.codes_of(plan.inputs), dtype=pl.Int64()),
            "role": ["target" if name in own else "input" for name in plan.inputs],
            "frequency": [one.frequency for one in declared],
            "unit": [one.unit for one in declared],
            "zone": [one.zone for one in declared],
            "lag": ["" if one.lag is None else one.lag.kind for one in declared],
            "known_through": pl.Series([changes.known_through[name] for name in plan.inputs]).cast(UTC_INSTANT),
            "licence": [one.licence for one in declared],
            "source": [one.source for one in declared],
            "looks_adjusted": [looks_adjusted(changes, name) if name in suspects else "" for name in plan.inputs],
        }
    )
    joined = frame.join(counted, on="code", how="left", maintain_order="left")
    return joined.select(
        "series_id", "role", "frequency", "unit", "zone", "lag", "periods", "changes", *AVAILABILITIES,
        "pseudo_real_time", "known_through", "licence", "source", "looks_adjusted",
    )  # fmt: skip


def _earliest_shares(changes: ChangeFile, names: tuple[str, ...]) -> pl.DataFrame:
    """By code: periods spanned, changes, and shares of availability and of pseudo real time of the earliest values."""
    mine: slice | Integers = slice(None)
    if len(names) < len(changes.ids):
        wanted = np.zeros(len(changes.ids), dtype=bool)
        wanted[changes.codes_of(names)] = True
        mine = np.flatnonzero(wanted[changes.code])
    code, period = changes.code[mine], changes.period[mine]
    pseudo = (changes.vintage[mine] == NEVER) | (changes.vintage[mine] > changes.published[mine])
    size, used = len(changes.ids), np.unique(changes.codes_of(names))
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(first, code, period)
    np.maximum.at(last, code, period)
    table = {"code": used, "periods": (last - first + 1)[used], "changes": np.bincount(code, minlength=size)[used]}
    availability = changes.availability[mine]
    if not _stated_once(code.astype(np.int64), period):
        frame = pl.DataFrame({"code": code, "period": period}).with_row_index("row")
        row = frame.unique(["code", "period"], keep="first", maintain_order=True)["row"].to_numpy()
        code, availability, pseudo = code[row], availability[row], pseudo[row]
    cells = np.bincount(code, minlength=size)[used]
    shares = {kind: availability == number for number, kind in enumerate(AVAILABILITIES)} | {"pseudo_real_time": pseudo}
    for name, flags in shares.items():
        table[name] = np.bincount(code[flags], minlength=size)[used] / cells
    return pl.DataFrame(table).cast({"code": pl.Int64(), "periods": pl.Int64(), "changes": pl.Int64()})


def _stated_once(codes: Integers, periods: Integers) -> bool:
    """Whether it is plain that every (series, period) has one change: told from a table of marks, if that is small."""
    if not len(codes):
        return True
    low, span = int(periods.min()), int(periods.max() - periods.min()) + 1
    size = (int(codes.max()) + 1) * span
    if size > CELLS_PER_CHANGE * len(codes):
        return False
    seen = np.zeros(size, dtype=bool)
    seen[codes * span + (periods - low)] = True
    return int(seen.sum()) == len(codes)


def origin_facts(plan: Plan, changes: ChangeFile) -> pl.DataFrame:
    """One row per issued origin and horizon: what was known, trained on, purged (and why), already public."""
    experiment = plan.experiment
    replay = Replay(
        changes, plan.inputs, latency=experiment.origins.latency, exclude_hindsight=experiment.exclude_hindsight
    )
    counted = Fates(plan) if fates_alike(plan) else None
    rows = []
    for origin in plan.issued:
        replay.advance(plan.instants[origin])
        snapshot = replay.snapshot(experiment.target, copy=False)
        known = _known(snapshot, plan.inputs)
        asked = plan.members.member[origin]
        public = plan.already_public(origin)
        for place, step in enumerate(experiment.horizons):
            trained = _counted(plan, origin, place, snapshot) if counted is None else counted.at(origin, place)
            # a series that was no member at an origin has no row there that could be left out
            purged = dict(zip(FATES, trained.fates, strict=True))
            del purged[FATES[USED]], purged[FATES[NO_MEMBER]]
            rows.append(
                {
                    "origin": plan.instants[origin],
                    "scored": origin >= plan.first_scored,
                    "horizon": step,
                    "period": plan.end_days[origin, place].astype("datetime64[D]").item(),
                    "phase": int(plan.phase[origin]),
                    "last_known": known,
                    "rows_real_time": trained.rows - trained.marked,
                    "rows_pseudo": trained.marked,
                    "target_periods": trained.periods,
                    "purged": sum(purged.values()),
                    "purged_why": "; ".join(f"{count} {text}" for text, count in purged.items() if count),
                    "already_public": int((public[:, place] & asked).sum()),
                    "members": int(asked.sum()),
                }
            )
    return pl.DataFrame(rows).cast({"origin": UTC_INSTANT, "horizon": pl.Int32(), "phase": pl.Int32()})


def _counted(plan: Plan, origin: int, horizon: int, snapshot: Snapshot) -> Trained:
    """The same row by row, for universes and labels that the snapshot decides on."""
    fates = row_fates(plan, origin, horizon, snapshot)
    kept = training_set(plan, origin, horizon, snapshot)
    marked = plan.outcomes.hindsight[kept.series, kept.requests]
    counts = np.bincount(fates.ravel(), minlength=len(FATES))
    return Trained(tuple(int(count) for count in counts), len(marked), int(marked.sum()), kept.periods)


def _known(snapshot: Snapshot, inputs: tuple[str, ...]) -> str:
    """The newest known period of each input, in words; of many inputs how many are known through which."""
    if len(inputs) <= NAMED:
        return "; ".join(f"{name} {_newest(snapshot, name)}" for name in inputs)
    said: dict[str, int] = {}
    for panel in snapshot.panels:
        newest = newest_column(panel.values)
        for column, count in zip(*np.unique(newest, return_counts=True), strict=True):
            day = "nothing" if column < 0 else panel.timeline.end(panel.first + int(column)).isoformat()
            said[day] = said.get(day, 0) + int(count)
    return "; ".join(f"{count} series {day}" for day, count in sorted(said.items(), reverse=True)[:NAMED])


def _newest(snapshot: Snapshot, series_id: str) -> str:
    """The newest known period of a series, in words."""
    if series_id not in snapshot.series:
        return "unannounced"
    history = snapshot.history(series_id)
    return history.timeline.end(history.last).isoformat() if history.last != NO_POSITION else "nothing"


def public_shares(plan: Plan, changes: ChangeFile) -> dict[str, float]:
    """Per horizon, the mean share of the target's own steps already public at the scored origins (S22)."""
    experiment = plan.experiment
    span = experiment.target.transform.span
    width = span if experiment.target.transform.is_volatility else 1
    replay = Replay(
        changes,
        sorted(target_inputs(experiment.target)),
        latency=experiment.origins.latency,
        exclude_hindsight=experiment.exclude_hindsight,
    )
    shares = []
    for origin in range(plan.first_scored, len(plan.instants)):
        replay.advance(plan.instants[origin])
        panel = target_panel(replay.snapshot(experiment.target, copy=False))
        ends = np.array([panel.timeline.position(int(end)) for end in plan.ends[origin]])
        first = ends - (width if width > 1 else span) + 1
        last = panel.last[plan.members.places(panel.ids)[plan.members.rows(origin)]]
        known = np.where(last == NO_POSITION, first.min() - 1, last)[:, None]
        shares.append(np.clip((known - first[None, :] + 1) / max(span, 1), 0.0, 1.0).mean(axis=0))
    mean = np.mean(shares, axis=0) if shares else np.zeros(len(experiment.horizons))
    return {str(step): round(float(share), 4) for step, share in zip(experiment.horizons, mean, strict=True)}
