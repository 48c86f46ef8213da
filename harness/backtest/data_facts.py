"""What the data of a plan were: availability and pseudo-real-time shares, what each origin knew, what was purged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.fates import Fates, Trained, fates_alike
from harness.backtest.splits import FATES, NO_MEMBER, USED, Plan, row_fates, target_inputs, training_set
from harness.core.frames import UTC_INSTANT
from harness.core.recipe import Experiment
from harness.core.series import AVAILABILITIES, Series
from harness.core.snapshot import NO_POSITION, Snapshot, target_panel
from harness.core.time import NEVER, period_end
from harness.data.adjusted import look_adjusted
from harness.data.changes import MANY, ChangeFile
from harness.data.dataset import find_dataset, load_dataset
from harness.data.declaration import kinds_of
from harness.data.mapped import let_go
from harness.data.newest import NOTHING, Newest, chunks, newest_suffices
from harness.data.panels import Group, groups_of
from harness.data.replay import Replay, followed
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
    declared, number = _by_kind(changes, plan.inputs)

    def told(fact: Callable[[Series], str]) -> pl.Series:
        """[input] a fact of its declaration, which does not depend on its id."""
        return pl.Series([fact(one) for one in declared], dtype=pl.String()).gather(number)

    frame = pl.DataFrame(
        {
            "series_id": pl.Series(plan.inputs, dtype=pl.String()),
            "code": pl.Series(changes.codes_of(plan.inputs), dtype=pl.Int64()),
            "role": ["target" if name in own else "input" for name in plan.inputs],
            "frequency": told(lambda one: one.frequency),
            "unit": told(lambda one: one.unit),
            "zone": told(lambda one: one.zone),
            "lag": told(lambda one: "" if one.lag is None else one.lag.kind),
            "known_through": pl.Series([changes.known_through[name] for name in plan.inputs]).cast(UTC_INSTANT),
            "licence": told(lambda one: one.licence),
            "source": told(lambda one: one.source),
            "looks_adjusted": look_adjusted(changes, plan.inputs),
        }
    )
    let_go(changes, at_least=MANY)
    joined = frame.join(counted, on="code", how="left", maintain_order="left")
    return joined.select(
        "series_id", "role", "frequency", "unit", "zone", "lag", "periods", "changes", *AVAILABILITIES,
        "pseudo_real_time", "known_through", "licence", "source", "looks_adjusted",
    )  # fmt: skip


def _by_kind(changes: ChangeFile, names: Sequence[str]) -> tuple[list[Series], list[int]]:
    """One declaration of each kind that differs in its id alone, and which of them each series has."""
    places = dict[object, int]()
    number = [places.setdefault(kind, len(places)) for kind in kinds_of(changes.series, names)]
    declared = list[Series]()
    for name, kind in zip(names, number, strict=True):
        if kind == len(declared):
            declared.append(changes.series[name])
    return declared, number


def _earliest_shares(changes: ChangeFile, names: tuple[str, ...]) -> pl.DataFrame:
    """By code: periods spanned, changes, and shares of availability and of pseudo real time of the earliest values."""
    size, used = len(changes.ids), np.unique(changes.codes_of(names))
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    count, mine = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=bool)
    mine[used] = True
    seen: set[tuple[int, bool]] = set()
    for rows in chunks(0, len(changes.code)):
        code, period, kind = _told(changes, rows, None if len(used) == size else mine)
        np.minimum.at(first, code, period)
        np.maximum.at(last, code, period)
        np.add.at(count, code, 1)
        seen |= {(int(one) // 2, bool(one % 2)) for one in np.flatnonzero(np.bincount(kind)).tolist()}
    spanned = np.where(count > 0, np.maximum(last, first - 1) - first + 1, 0)
    table = {"code": used, "periods": spanned[used], "changes": count[used]}
    named = dict(enumerate(AVAILABILITIES))
    if len(seen) <= 1:  # all alike, whichever of them come first
        only, pseudo = next(iter(seen), (0, False))
        shares = {name: float(number == only) for number, name in named.items()} | {"pseudo_real_time": float(pseudo)}
        table |= {name: np.where(count[used] > 0, share, np.nan) for name, share in shares.items()}
    else:
        code, told = _earliest(changes, None if len(used) == size else mine)
        cells = np.bincount(code, minlength=size)[used].astype(float)
        cells[cells == 0] = np.nan
        flags = {name: told // 2 == number for number, name in named.items()} | {"pseudo_real_time": told % 2 == 1}
        table |= {name: np.bincount(code[flag], minlength=size)[used] / cells for name, flag in flags.items()}
    return pl.DataFrame(table).cast({"code": pl.Int64(), "periods": pl.Int64(), "changes": pl.Int64()})


def _told(changes: ChangeFile, rows: slice, mine: NDArray[np.bool_] | None) -> tuple[Integers, Integers, Integers]:
    """Code, period and kind (2 x availability, and 1 for pseudo real time) of some changes.

    Args:
        changes: the change file.
        rows: which of them.
        mine: [code] whose changes count; None = everyone's.
    """
    code, period, vintage = changes.code[rows].astype(np.int64), changes.period[rows], changes.vintage[rows]
    kind = changes.availability[rows] * np.int64(2)
    kind += (vintage == NEVER) | (vintage > changes.published[rows])
    if mine is None:
        return code, period, kind
    kept = mine[code]
    return code[kept], period[kept], kind[kept]


def _earliest(changes: ChangeFile, mine: NDArray[np.bool_] | None) -> tuple[Integers, Integers]:
    """Code and kind of the earliest change of every (series, period)."""
    code, period, kind = _told(changes, slice(0, len(changes.code)), mine)
    if _stated_once(code, period):
        return code, kind
    frame = pl.DataFrame({"code": code, "period": period}).with_row_index("row")
    row = frame.unique(["code", "period"], keep="first", maintain_order=True)["row"].to_numpy()
    return code[row], kind[row]


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
    rows = []
    for origin, known, rows_before in _known_at(plan, changes):
        asked = plan.members.member[origin]
        public = plan.already_public(origin)
        for place, step in enumerate(experiment.horizons):
            trained = rows_before(place)
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


def _replay(plan: Plan, changes: ChangeFile, names: Sequence[str]) -> Replay:
    experiment = plan.experiment
    return Replay(changes, names, latency=experiment.origins.latency, exclude_hindsight=experiment.exclude_hindsight)


def _known_at(plan: Plan, changes: ChangeFile) -> Iterator[tuple[int, str, Callable[[int], Trained]]]:
    """Of every issued origin what was known, in words, and what tells of the rows before it at a horizon."""
    counted = Fates(plan) if fates_alike(plan) else None
    if counted is not None and len(plan.inputs) > NAMED and newest_suffices(changes):
        # no row is read in the snapshot, so none is built
        newest = Newest(changes, exclude_hindsight=plan.experiment.exclude_hindsight)
        groups = groups_of(changes.series, *followed(changes, plan.inputs))
        for origin in plan.issued:
            yield origin, _reached(groups, newest.advance(int(plan.known[origin]))), partial(counted.at, origin)
        return
    replay = _replay(plan, changes, plan.inputs)
    for origin in plan.issued:
        replay.advance(plan.instants[origin])
        snapshot = replay.snapshot(plan.experiment.target, copy=False)
        one_by_one = partial(_counted, plan, snapshot, origin)
        yield origin, _known(snapshot, plan.inputs), one_by_one if counted is None else partial(counted.at, origin)


def _counted(plan: Plan, snapshot: Snapshot, origin: int, horizon: int) -> Trained:
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


def _reached(groups: Sequence[Group], newest: Integers) -> str:
    """As `_known` of many inputs, from the newest known period of each code."""
    said: dict[str, int] = {}
    for group in groups:
        for ordinal, count in zip(*np.unique(newest[group.codes], return_counts=True), strict=True):
            day = "nothing" if ordinal == NOTHING else period_end(group.series.parsed, int(ordinal)).isoformat()
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
    span = plan.experiment.target.transform.span
    shares = []
    for origin, last, ends in _reaching(plan, changes):
        first = ends - span + 1
        asked = last[plan.members.rows(origin)]
        if span == 1 and len(asked) and (asked == asked[0]).all():
            asked = asked[:1]  # of ones and zeros the mean is the same to the bit
        known = np.where(asked == NO_POSITION, first.min() - 1, asked)[:, None]
        shares.append(np.clip((known - first[None, :] + 1) / max(span, 1), 0.0, 1.0).mean(axis=0))
    mean = np.mean(shares, axis=0) if shares else np.zeros(len(plan.experiment.horizons))
    return {str(step): round(float(share), 4) for step, share in zip(plan.experiment.horizons, mean, strict=True)}


def _reaching(plan: Plan, changes: ChangeFile) -> Iterator[tuple[int, Integers, Integers]]:
    """Of every scored origin the newest known target position [series], and those of the target periods [horizon]."""
    target, scored = plan.experiment.target, range(plan.first_scored, len(plan.instants))
    apart = target.universe or target.transform.is_volatility or target.transform.other
    if not apart and newest_suffices(changes):  # of periods that are no sessions a position is an ordinal
        newest = Newest(changes, exclude_hindsight=plan.experiment.exclude_hindsight)
        codes = changes.codes_of(target.series)
        for origin in scored:
            yield origin, newest.advance(int(plan.known[origin]))[codes], plan.ends[origin]
        return
    replay = _replay(plan, changes, sorted(target_inputs(target)))
    for origin in scored:
        replay.advance(plan.instants[origin])
        panel = target_panel(replay.snapshot(target, copy=False))
        ends = np.array([panel.timeline.position(int(end)) for end in plan.ends[origin]])
        yield origin, panel.last[plan.members.places(panel.ids)], ends
