"""The searches of a run as tables: what was searched, and where two runs differ in what they searched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from harness.backtest.tuning.importance import importance
from harness.backtest.tuning.unfolded import unfolded
from harness.core.search import Domain, as_value, domain_from
from harness.record.studies import StudyRecord
from harness.record.trials import Searches

SPACES = pl.Schema(
    {
        "model": pl.String(),
        "parameter": pl.String(),
        "type": pl.String(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "log": pl.Boolean(),
        "step": pl.Float64(),
        "choices": pl.String(),
        "when": pl.String(),
        "default": pl.String(),
        "searches": pl.Int32(),
        "drawn": pl.Int32(),
        "at_edge": pl.Int32(),
        "importance": pl.Float64(),
    }
)
DIFF = pl.Schema(
    {"model": pl.String(), "parameter": pl.String(), "change": pl.String(), "before": pl.String(), "after": pl.String()}
)


def spaces_frame(searches: Searches) -> pl.DataFrame:
    """One row per model and parameter, those never drawn included; columns of `SPACES`."""
    rows: list[dict[str, object]] = []
    for model, mine in searches.items():
        records = list(mine.values())
        weights = [importance(record) for record in records]
        for one in spaces_of(records):
            told = [weight[one.name] for weight in weights if one.name in weight]
            best = [_best(record).get(one.name) for record in records]
            rows.append(
                {
                    **_range(one),
                    "model": model,
                    "searches": len(records),
                    "drawn": sum(_drew(line, one.name) for record in records for line in record.trials),
                    "at_edge": sum(value is not None and one.at_edge(value) for value in best),
                    "importance": sum(told) / len(told) if told else None,
                }
            )
    return pl.DataFrame(rows, schema=SPACES, orient="row") if rows else pl.DataFrame(schema=SPACES)


def spaces_of(records: Sequence[StudyRecord]) -> list[Domain]:
    """The space that the searches of one model share; of a function, what its trials recorded.

    A name that a function gave without drawing it has no range.
    """
    if not records:
        return []
    head: Any = records[-1].head
    if head["function"]:
        lines = [line for record in records for line in record.trials]
        drawn = unfolded(lines)
        given = {name for line in lines for name in _setting(line)} - {one.name for one in drawn}
        return sorted([*drawn, *(Domain(name, "choice") for name in given)], key=lambda one: one.name)
    return [domain_from({name: value for name, value in one.items() if name != "optuna"}) for one in head["space"]]


def spaces_diff(before: Searches, after: Searches) -> pl.DataFrame:
    """What the second run searched otherwise than the first, model by model; columns of `DIFF`."""
    rows = []
    for model in sorted({*before, *after}):
        mine, theirs = (
            {one.name: one for one in spaces_of(list(found.get(model, {}).values()))} for found in (before, after)
        )
        for name in dict.fromkeys([*mine, *theirs]):
            one, other = mine.get(name), theirs.get(name)
            if one != other:
                change = "added" if one is None else "removed" if other is None else "changed"
                rows.append((model, name, change, *_apart(one, other)))
        rows += [(model, name, "changed", *pair) for name, pair in _plans(before.get(model), after.get(model))]
    return pl.DataFrame(rows, schema=DIFF, orient="row")


def _plans(
    before: Mapping[str, StudyRecord] | None, after: Mapping[str, StudyRecord] | None
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Whatever differs besides the space: settings by their key (`budget.trials`), candidates, folds, cadence."""
    if not before or not after:
        return
    heads: Any = next(iter(before.values())).head, next(iter(after.values())).head
    for name in ("sampler", "pruner", "budget", "objective"):
        one, other = (head.get(name) or {} for head in heads)
        for key in dict.fromkeys([*one, *other]):
            if one.get(key) != other.get(key):
                yield f"{name}.{key}", (json.dumps(one.get(key)), json.dumps(other.get(key)))
    for name in ("function", "candidates"):
        if heads[0].get(name) != heads[1].get(name):
            yield name, (json.dumps(heads[0].get(name)), json.dumps(heads[1].get(name)))
    folds = [max(len(_list(record.head.get("inner"))) for record in found.values()) for found in (before, after)]
    if folds[0] != folds[1]:
        yield "folds", (str(folds[0]), str(folds[1]))
    if list(before) != list(after):
        yield "searched at", (json.dumps(list(before)), json.dumps(list(after)))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _apart(one: Domain | None, other: Domain | None) -> tuple[str, str]:
    """Two ranges of one name, without the half in which they are alike."""
    if one is None or other is None or (one.text() != other.text() and one.default != other.default):
        return _told(one), _told(other)
    if one.text() != other.text():
        return one.text(), other.text()
    return f"default {json.dumps(one.default)}", f"default {json.dumps(other.default)}"


def _told(one: Domain | None) -> str:
    return "-" if one is None else f"{one.text()}, default {json.dumps(one.default)}"


def _range(one: Domain) -> dict[str, object]:
    numbers = one.kind != "choice"
    return {
        "parameter": one.name,
        "type": one.kind if numbers or one.choices else "by a function",
        "low": one.low if numbers else None,
        "high": one.high if numbers else None,
        "log": one.log if numbers else None,
        "step": one.step,
        "choices": "" if numbers else json.dumps(one.choices),
        "when": "; ".join(f"{name} in {json.dumps(allowed)}" for name, allowed in one.when),
        "default": json.dumps(one.default),
    }


def _setting(line: Mapping[str, object]) -> dict[str, object]:
    params = line["params"]
    return {str(name): as_value(value) for name, value in params.items()} if isinstance(params, dict) else {}


def _drew(line: Mapping[str, object], name: str) -> bool:
    told = line.get("distributions")
    return name in _setting(line) or (isinstance(told, dict) and name in told)


def _best(record: StudyRecord) -> dict[str, object]:
    best: Any = record.end.get("best")
    return _setting(record.trials[best]) if best is not None and record.trials else {}
