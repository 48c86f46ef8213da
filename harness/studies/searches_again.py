"""Searches of a run made again: what is needed to make them, and where they differ from their records."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.backtest.tuning.study import seconds_told
from harness.core.errors import DamagedError
from harness.core.identity import canonical
from harness.core.recipe import Recipe
from harness.record.home import Home
from harness.record.studies import END, SECONDS, VOUCHED, StudyRecord, read_study, study_told
from harness.studies.compare import ABSOLUTE, RELATIVE, TableDifference

TABLE = "searches"
ABSENT = "absent"
Keys = Mapping[str, Mapping[str, str]]
"""Model -> (origin of a search, ISO text -> key of its record)."""


@dataclass(frozen=True, slots=True)
class SearchesAgain:
    """What came of comparing searches.

    Attributes:
        searches, trials: how many were made again.
        differences: where they are not as recorded: model, origin and trial in `row`, the field in `column`.
    """

    searches: int
    trials: int
    differences: tuple[TableDifference, ...]


def recorded_keys(manifest: Mapping[str, object]) -> Keys:
    """Searches a run says it rests on."""
    told = manifest.get("studies")
    return told if isinstance(told, dict) else {}


def clocks(manifest: Mapping[str, object], home: Home, models: Iterable[Recipe]) -> dict[str, int]:
    """Key of a search limited by seconds -> trials after which these were over, or had not been when it ended.

    Time is no input that can be given again, so this alone is taken from the record.

    Raises:
        DamagedError: neither the run nor a record of the search tells.
    """
    found = {}
    for recipe in models:
        if recipe.search is None or not recipe.search.seconds:
            continue
        for key in recorded_keys(manifest).get(recipe.name, {}).values():
            trials, end = _ended(manifest, home, key)
            found[key] = trials if end == seconds_told(recipe.search) else trials + 1
    return found


def _ended(manifest: Mapping[str, object], home: Home, key: str) -> tuple[int, str]:
    """Number of trials of a search and why it ended, as the run kept it; else as its record says."""
    kept = _vouched(manifest).get(key)
    if isinstance(kept, dict):
        return int(str(kept["trials"])), str(kept[END])
    try:
        record = read_study(home.studies, key)
    except OSError as error:
        raise DamagedError(
            "nothing says where a search limited by seconds ended",
            value=f"studies/{key}",
            rule="its record is gone, and the run was made by a version that kept no number of trials",
            fix="run the experiment anew: the run will then hold it",
        ) from error
    return len(record.trials), str(record.end.get(END, ""))


def compared(
    manifest: Mapping[str, object], home: Home, again: tuple[Home, Keys], *, exact: bool = True
) -> SearchesAgain:
    """Compare the searches of a run with those made again.

    Args:
        manifest: of the run.
        home: where its searches are recorded.
        again: where they were made again, and under which keys.
        exact: every bit; else numbers within the tolerances of `studies.compare`.
    """
    wrong, trials, number = list[TableDifference](), 0, 0
    there, keys = again
    for model, mine in keys.items():
        old = recorded_keys(manifest).get(model, {})
        for origin in sorted({*mine, *old}):
            place = f"model {model}, origin {origin}"
            if mine.get(origin) != old.get(origin):
                wrong.append(_difference(place, "key", old.get(origin, ABSENT), mine.get(origin, ABSENT)))
            if origin not in mine:
                continue
            made = read_study(there.studies, mine[origin])
            trials, number = trials + len(made.trials), number + 1
            wrong += _of_record(place, home, old.get(origin, ""), made, exact=exact)
            wrong += _of_manifest(place, _vouched(manifest).get(old.get(origin, "")), made, exact=exact)
    return SearchesAgain(number, trials, tuple(wrong))


def _of_record(place: str, home: Home, key: str, made: StudyRecord, *, exact: bool) -> Iterator[TableDifference]:
    """Where a search differs from its record, whatever is wrong with the record's hashes."""
    try:
        record = study_told(home.studies, key)
    except (DamagedError, OSError) as error:
        what = error.what if isinstance(error, DamagedError) else "it is gone"
        yield _difference(place, "record", what, f"{len(made.trials)} trials")
        return
    found = list(differences(record, made, exact=exact))
    yield from (_difference(f"{place}, {where}", name, old, new) for where, name, old, new in found)
    if record.problem and not found:
        yield _difference(place, "record", record.problem, "a whole chain")


def _of_manifest(place: str, kept: object, made: StudyRecord, *, exact: bool) -> Iterator[TableDifference]:
    """Where a search differs from what the run itself kept of it."""
    promised = kept if isinstance(kept, dict) else {}
    if promised and promised["trials"] != len(made.trials):
        yield _difference(place, "trials, by the manifest", str(promised["trials"]), str(len(made.trials)))
    elif promised and exact and promised["content"] != made.content:
        yield _difference(place, "content, by the manifest", str(promised["content"]), made.content)


def differences(record: StudyRecord, made: StudyRecord, *, exact: bool = True) -> Iterator[tuple[str, str, str, str]]:
    """Where two records of a search differ in anything but durations: (trial, field, recorded, made again).

    Trials are matched by their numbers; the head (space, seed, sampler, budget, inner folds, data) and the end (best
    trial, chosen setting) are compared under these names.
    """
    yield from (("head", *one) for one in _fields(record.head, made.head, exact=exact))
    mine, theirs = _numbered(record), _numbered(made)
    for number in sorted({*mine, *theirs}):
        trial = f"trial {number[0]}" + (f" once more ({number[1]})" if number[1] else "")
        if number not in theirs:
            yield trial, "trial", _told(mine[number].get("params")), ABSENT
        elif number not in mine:
            yield trial, "trial", ABSENT, _told(theirs[number].get("params"))
        else:
            yield from ((trial, *one) for one in _fields(mine[number], theirs[number], exact=exact))
    order, again = ([line.get("number") for line in one.trials] for one in (record, made))
    if order != again and sorted(map(str, order)) == sorted(map(str, again)):
        yield "trials", "order", _told(order), _told(again)
    ends = ({END: ABSENT, **one.end} for one in (record, made))
    yield from (("end", *one) for one in _fields(*ends, exact=exact))
    if _chosen(record) != _chosen(made):
        yield "end", "chosen setting", _told(_chosen(record)), _told(_chosen(made))


def _numbered(record: StudyRecord) -> dict[tuple[int, int], Mapping[str, object]]:
    """(number, how often it was met before) -> trial; what carries no number counts as trial -1."""
    found: dict[tuple[int, int], Mapping[str, object]] = {}
    for line in record.trials:
        number = line.get("number")
        place = number if isinstance(number, int) else -1
        found[place, sum(one == place for one, _ in found)] = line
    return found


def _fields(old: Mapping[str, object], new: Mapping[str, object], *, exact: bool) -> Iterator[tuple[str, str, str]]:
    mine, theirs = dict(_flat(canonical(old))), dict(_flat(canonical(new)))
    for name in dict.fromkeys([*mine, *theirs]):
        if name == SECONDS or (name == "reason" and not exact):
            continue  # durations are no result; reasons quote numbers
        one, other = mine.get(name, ABSENT), theirs.get(name, ABSENT)
        if not _alike(one, other, exact=exact):
            yield name, _told(one), _told(other)


def _alike(one: object, other: object, *, exact: bool) -> bool:
    if not exact and isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return json.dumps(one) == json.dumps(other)


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of a JSON value under its path, `folds.1`, `params.num_leaves`."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _flat(one, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and value:
        for number, one in enumerate(value):
            yield from _flat(one, f"{name}.{number}")
    else:
        yield name, value


def _chosen(record: StudyRecord) -> object:
    best = [line.get("params") for line in record.trials if line.get("number") == record.end.get("best")]
    return best[0] if best else None


def _vouched(manifest: Mapping[str, object]) -> Mapping[str, object]:
    kept = manifest.get(VOUCHED)
    return kept if isinstance(kept, dict) else {}


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _difference(row: str, column: str, recorded: str, found: str) -> TableDifference:
    return TableDifference(TABLE, row, column, recorded, found, 1)
