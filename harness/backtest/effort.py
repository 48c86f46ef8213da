"""What a run adds to the effort on its target, and spaces that were narrowed after results had been seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.keys import RecipeIdentity, target_identity
from harness.backtest.splits import Plan, inputs_of
from harness.core.identity import Encoded, Headed, canonical, digest, encoded
from harness.core.recipe import Experiment, Recipe
from harness.core.search import Domain, domain_from, narrowed
from harness.core.transform import Floats
from harness.data.changes import MANY, ChangeFile
from harness.data.mapped import let_go
from harness.data.newest import chunks
from harness.data.standing import Layout, first_values, layout
from harness.record.home import Home
from harness.record.registry import Effort, effort_from
from harness.record.runs import finished_runs
from harness.record.shelves import Shelves
from harness.record.studies import read_study

FIRST = 24
"""Periods whose first values tell one series from another: enough to be its own, and never moved by later data."""
TOGETHER = 1 << 14
"""Series whose values are spelled together."""
PLAIN = (1e-4, 1e15)
"""Sizes from and up to which numbers are written without an exponent, the same everywhere."""
Integers = NDArray[np.int64]
Board = Sequence[tuple[Recipe, RecipeIdentity]]


def fingerprint(changes: ChangeFile, series_id: str) -> str:
    """What a series is by its values, whatever it is called: the first value of each of its first periods.

    Later values, revisions and transforms leave it alone; history put before its beginning does not, nor do later
    periods while there are fewer than 24: such a series is another one, and its effort begins anew.

    Args:
        changes: the change file.
        series_id: stored id.
    """
    return fingerprints_of(changes, [series_id])[series_id]


def fingerprints_of(
    changes: ChangeFile, series_ids: Sequence[str], opening: tuple[Integers, Integers] | None = None
) -> dict[str, str]:
    """`fingerprint` of many series, in one pass over the change file.

    Args:
        changes: the change file.
        series_ids: stored ids.
        opening: what `_opening_rows` finds of them, where it was found otherwise.
    """
    first, lows = _opening_rows(changes, changes.codes_of(series_ids)) if opening is None else opening
    whole = (first >= 0).all(axis=1)
    apart = np.flatnonzero(~whole)
    others = _one_by_one(changes, [series_ids[place] for place in apart.tolist()])
    marks: dict[int, str] = dict(zip(apart.tolist(), others, strict=True))
    headed: dict[int, Headed] = {}
    places = np.flatnonzero(whole)
    for start in range(0, len(places), TOGETHER):
        some = places[start : start + TOGETHER]
        columns = [spelled(changes.value.take(first[some, column])) for column in range(FIRST)]
        texts = pl.select(pl.concat_str(columns, separator=",")).to_series().to_list()
        for place, low, text in zip(some.tolist(), lows[some].tolist(), texts, strict=True):
            if low not in headed:
                headed[low] = Headed("series", _listed(map(str, range(low, low + FIRST))))
            marks[place] = headed[low].of_text(f"[{text}]")
    let_go(changes, at_least=MANY)
    return {name: marks[place] for place, name in enumerate(series_ids)}


def _opening_rows(changes: ChangeFile, codes: Integers) -> tuple[Integers, Integers]:
    """Rows of the first values of the first periods [series, period], -1 = none; and the first period [series].

    Args:
        changes: the change file.
        codes: [series] codes.
    """
    place = np.full(len(changes.ids), -1, dtype=np.int64)
    place[codes] = np.arange(len(codes))
    lows = np.full(len(codes), np.iinfo(np.int64).max)
    for rows in chunks(0, len(changes.code)):
        mine, period, _ = _valued(changes, rows, place)
        np.minimum.at(lows, mine, period)
    first = np.full((len(codes), FIRST), -1, dtype=np.int64)
    flat = first.reshape(-1)
    for rows in list(chunks(0, len(changes.code)))[::-1]:
        mine, period, row = _valued(changes, rows, place)
        column = period - lows.take(mine)
        early = np.flatnonzero(column < FIRST)[::-1]  # of several for one period the last written stays
        flat[mine[early] * FIRST + column[early]] = row[early]
    return first, lows


def _laid_rows(laid: Layout) -> tuple[Integers, Integers]:
    """The same, read off where the changes of the series lie."""
    found = first_values(laid)  # [period, series]
    begin = (found >= 0).argmax(axis=0)  # of a series without values it is not looked at
    places = begin + np.arange(FIRST)[:, None]
    first = np.take_along_axis(found, np.minimum(places, len(found) - 1), axis=0)
    first[places >= len(found)] = -1
    return first.T.astype(np.int64), laid.cells.periods[begin]


def _valued(changes: ChangeFile, rows: slice, place: Integers) -> tuple[Integers, Integers, Integers]:
    """Place of the series, period and row of the changes that state a value, among some rows."""
    mine = place.take(changes.code[rows].astype(np.int64))
    row = np.arange(rows.start, rows.stop, dtype=np.int64)
    kept = (mine >= 0) & ~np.isnan(changes.value[rows])
    if kept.all():
        return mine, changes.period[rows], row
    return mine[kept], changes.period[rows][kept], row[kept]


def _one_by_one(changes: ChangeFile, series_ids: Sequence[str]) -> list[str]:
    """The same of series that lack some of their first periods, or have fewer: the first of them reach further."""
    if not series_ids:
        return []
    codes, headed = changes.codes_of(series_ids), Headed("series")
    wanted = np.zeros(len(changes.ids), dtype=bool)
    wanted[codes] = True
    found = _first_values(changes, np.flatnonzero(wanted[changes.code] & ~np.isnan(changes.value)))
    starts, ends = (np.searchsorted(found[0], codes, side=side) for side in ("left", "right"))
    ends = np.minimum(ends, starts + FIRST)
    periods, values = found[1].tolist(), spelled(found[2]).to_list()
    return [
        headed.digest(_listed(map(str, periods[start:end])), _listed(values[start:end]))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def spelled(values: Floats) -> pl.Series:
    """JSON of numbers, one by one; those that polars spells as Python does are left to it, which is faster.

    >>> spelled(np.array([1.0, -0.1, 1e-07, 1e22])).to_list()
    ['1.0', '-0.1', '1e-07', '1e+22']
    """
    out, sizes = pl.Series(values).cast(pl.String), np.abs(values)
    odd = np.flatnonzero((sizes != 0) & ~((sizes >= PLAIN[0]) & (sizes < PLAIN[1])))
    return out.scatter(odd, [encoded(float(values[place])) for place in odd.tolist()]) if len(odd) else out


def _listed(texts: Iterable[str]) -> Encoded:
    return Encoded(f"[{','.join(texts)}]")


def _first_values(changes: ChangeFile, rows: Integers) -> tuple[Integers, Integers, Floats]:
    """Code, period and first value of every cell among some rows, which ascend in time; sorted by code and period."""
    cells = pl.DataFrame(
        {"code": changes.code[rows], "period": changes.period[rows].astype(np.int64), "row": np.arange(len(rows))}
    )
    first = cells.group_by("code", "period").agg(pl.col("row").min()).sort("code", "period")
    picked = rows[first["row"].to_numpy()]
    return changes.code[picked].astype(np.int64), changes.period[picked].astype(np.int64), changes.value[picked]


def fingerprints(changes: ChangeFile, experiment: Experiment) -> dict[str, str]:
    """Source series of a target -> fingerprint."""
    target, names = experiment.target, inputs_of((), experiment.target)
    if not len(changes.code) or names != target.series:
        return fingerprints_of(changes, names)
    return fingerprints_of(changes, names, _laid_rows(layout(changes, target.series)))  # as the outcomes have laid it


def look_of(identity: RecipeIdentity, experiment: Experiment, how: str) -> str:
    """Identity of one look: a recipe as it was scored, on whatever name the series goes by."""
    target = {name: value for name, value in target_identity(experiment.target).items() if name != "series"}
    return digest("look", identity.text, identity.vintage, canonical(target), canonical(experiment.training), how)


def effort_of(
    plan: Plan,
    changes: ChangeFile,
    board: Board,
    shelves: Shelves,
    studies: Mapping[str, Mapping[int, str]],
    how: str = "run",
) -> Effort:
    """What a finished run did: its models (the rivals are everyone's) and their searches.

    Args:
        plan: of the run.
        changes: its change file.
        board: its models.
        shelves: where its searches are recorded.
        studies: model -> (index of the origin of a search -> key).
        how: `run`, or `holdout`.
    """
    looks = [
        (look_of(identity, plan.experiment, how), recipe.name, how) for recipe, identity in board if not recipe.rival
    ]
    searches = [
        (key, name, plan.instants[origin].isoformat(), len(read_study(shelves.studies, key).trials))
        for name, keys in studies.items()
        for origin, key in keys.items()
    ]
    return Effort(fingerprints(changes, plan.experiment), looks, searches)


def study_effort(plan: Plan, changes: ChangeFile, board: Board, how: Sequence[str]) -> Effort:
    """What an audit's altered worlds add: each model was scored once more in every such way."""
    looks = [
        (look_of(identity, plan.experiment, way), recipe.name, way)
        for way in how
        for recipe, identity in board
        if not recipe.rival
    ]
    return Effort(fingerprints(changes, plan.experiment), looks)


def narrowed_spaces(experiment: Experiment, effort: Effort, run_id: str, home: Home) -> Iterator[tuple[str, str]]:
    """(model, sentence) for every range that leaves out what an earlier finished run on the same series searched.

    Args:
        experiment: of this run.
        effort: of this run.
        run_id: of this run.
        home: whose runs are looked at.
    """
    own = set(effort.fingerprints.values())
    seen: set[tuple[str, str]] = set()
    for run in finished_runs(home):
        theirs = effort_from(run)
        if run.get("run_id") == run_id or theirs is None:
            continue
        if not own & set(theirs.fingerprints.values()):
            continue
        for name, domain, before in _pairs(experiment, run):
            if (domain is None or narrowed(before, domain)) and (name, before.name) not in seen:
                seen.add((name, before.name))
                then = str(run.get("run_id"))[:12]
                told = f"its range ({domain.text()}) leaves out values that run {then} had searched" if domain else ""
                told = told or f"it is not searched any more, as in run {then}"
                yield name, f"narrowed after results were seen: {before.name}: {told} ({before.text()})"


def _pairs(experiment: Experiment, run: Mapping[str, object]) -> Iterator[tuple[str, Domain | None, Domain]]:
    """(model, range now, range then) of models of one kind; None = not searched now.

    A model is compared with that of its name where there was one.
    """
    recorded = run.get("experiment")
    models = recorded.get("models", []) if isinstance(recorded, dict) else []
    tuned = {recipe.kind for recipe in experiment.models if recipe.search is not None}
    for recipe in experiment.models:
        same = [then for then in models if then.get("kind") == recipe.kind]
        same = [then for then in same if then.get("name") == recipe.name] or same
        search = recipe.search
        if (search is None and recipe.kind in tuned) or (search is not None and search.function):
            continue
        for then in same:
            for saved in (then.get("search") or {}).get("space", []):
                yield recipe.name, search.domain(saved["name"]) if search else None, domain_from(saved)
