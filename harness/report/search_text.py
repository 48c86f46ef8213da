"""Searches and effort as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from harness.core.errors import FEW, UnknownNameError, listed
from harness.record.home import Home
from harness.record.registry import Counts, counts, details
from harness.record.runs import finished
from harness.report.facts import facts_of, moment_text
from harness.report.holdout import holdout_line
from harness.report.run import Run
from harness.report.text import number, seconds, share, table

NOTHING = "no model of this run was tuned: add [models.NAME.search] to its experiment"


def spaces_text(run: Run) -> str:
    """What a run searched: one line per parameter of each model."""
    frame, trials = run.search_spaces(), run.trials()
    if not frame.height and not any(_studies(run.manifest).values()):
        return _nothing(run)
    head = ["parameter", "default", "drawn", "at edge", "importance", "searched"]
    parts = []
    for (model,), mine in frame.group_by("model", maintain_order=True):
        rows = [
            [
                row["parameter"], row["default"], str(row["drawn"]), f"{row['at_edge']} of {row['searches']}",
                share(row["importance"]), range_text(row),
            ]
            for row in mine.iter_rows(named=True)
        ]  # fmt: skip
        parts.append(f"{model}: {counted(mine['searches'][0])}\n{table(head, rows, indent='  ')}")
    parts.append(
        "drawn: trials with a value for it. at edge: searches whose best value is an end of the range. importance: "
        "share of what the best trials have in common (PED-ANOVA), mean over searches of 8 complete trials or more."
    )
    parts += [
        f"{model}: {len(mine)} searches, no parameter on record"
        for model, mine in _studies(run.manifest).items()
        if mine and model not in set(frame["model"])
    ]
    parts += [f"warning, {model}: {text}" for model, text in (*narrowed_of(run.manifest), *_failures(trials))]
    return "\n\n".join(parts)


def _studies(manifest: Mapping[str, object]) -> Mapping[str, Mapping[str, str]]:
    found = manifest.get("studies")
    return found if isinstance(found, dict) else {}


def _failures(trials: pl.DataFrame) -> list[tuple[str, str]]:
    """(model, sentence) of the searches in which nothing but the declared defaults could be judged."""
    from harness.backtest.tuning.study import failures_told  # noqa: PLC0415 - only searches need Optuna

    told: dict[tuple[str, str], int] = {}
    for (model, _), mine in trials.group_by("model", "study", maintain_order=True):
        lines = mine.select(pl.col("trial").alias("number"), "state", "reason").sort("number").to_dicts()
        for text in failures_told(lines):
            told[str(model), text] = told.get((str(model), text), 0) + 1
    return [(model, f"{text}: {count} searches") for (model, text), count in told.items()]


def range_text(row: Mapping[str, object]) -> str:
    """A row of `run.search_spaces()`: what the parameter may be.

    >>> row = {"type": "int", "low": 2.0, "high": 8.0, "log": True, "step": None, "when": ""}
    >>> range_text(row)
    'int 2 to 8, log'
    """
    if row["low"] is None:
        said = str(row["choices"]) if row["choices"] not in ("", "[]") else "given by a function, not drawn"
    else:
        said = f"{row['type']} {row['low']:g} to {row['high']:g}"
        said += (", log" if row["log"] else "") + (f", step {row['step']:g}" if row["step"] is not None else "")
    return f"{said}, when {row['when']}" if row["when"] else said


def counted(searches: int) -> str:
    """A number of searches in words.

    >>> counted(1), counted(3)
    ('1 search', '3 searches')
    """
    return f"{searches} search{'' if searches == 1 else 'es'}"


def narrowed_of(manifest: Mapping[str, object]) -> list[tuple[str, str]]:
    """(model, sentence) of every range narrowed after results were seen."""
    found = manifest.get("narrowed")
    return [(str(model), str(text)) for model, text in found] if isinstance(found, list) else []


def _nothing(run: Run) -> str:
    """What is said of a run without searches.

    Raises:
        UserError: it is not finished, so that nobody knows yet.
    """
    finished(run.files)
    return NOTHING


def trials_text(run: Run, *, model: str = "", everything: bool = False) -> str:
    """The trials of a run: the chosen one of each search beside its defaults, or all of them.

    Args:
        run: the run.
        model: only of this model; "" = of all.
        everything: every trial.

    Raises:
        UnknownNameError: no model of that name was tuned.
    """
    frame = run.trials()
    if model and model not in frame["model"]:
        raise UnknownNameError("tuned model", model, frame["model"].unique().to_list())
    mine = frame.filter(pl.col("model") == model) if model else frame
    if not mine.height:
        return "no trial was made" if any(_studies(run.manifest).values()) else _nothing(run)
    zone = facts_of(run.manifest).zone
    states = ", ".join(f"{n} {state}" for state, n in mine.group_by("state").len().sort("state").iter_rows())
    lines = [f"{counted(mine['study'].n_unique())}, {mine.height} trials ({states}), {seconds(mine['seconds'].sum())}"]
    lines += [f"warning, {name}: {text}" for name, text in _failures(mine)]
    if everything:
        return "\n".join([*lines, _every_trial(mine, zone)])
    said = "defaults, best: objective on inner rows; --all prints every trial, failed ones too"
    return "\n".join([*lines, _best_trials(mine, zone), said])


def _every_trial(mine: pl.DataFrame, zone: str) -> str:
    head = ["model", "origin", "trial", "batch", "state", "value", "folds", "took", "", "setting", "reason"]
    rows = [
        [
            row["model"], moment_text(row["origin"], zone), str(row["trial"]), str(row["batch"]), row["state"],
            number(row["value"]), " ".join(map(number, row["folds"] or [])) or "-", seconds(row["seconds"]),
            "best" if row["best"] else "", row["setting"], row["reason"] or "",
        ]
        for row in mine.iter_rows(named=True)
    ]  # fmt: skip
    return table(head, rows, left=2)


def _best_trials(mine: pl.DataFrame, zone: str) -> str:
    chosen = mine.group_by("model", "origin", maintain_order=True).agg(
        pl.len().alias("trials"),
        pl.col("value").filter(pl.col("trial") == 0).first().alias("defaults"),
        pl.col("value", "trial", "setting").filter(pl.col("best")).first(),
    )
    head = ["model", "origin", "trials", "defaults", "best", "trial", "setting"]
    rows = [
        [
            row["model"], moment_text(row["origin"], zone), str(row["trials"]), number(row["defaults"]),
            number(row["value"]), number(row["trial"]), str(row["setting"]),
        ]
        for row in chosen.iter_rows(named=True)
    ]  # fmt: skip
    return table(head, rows, left=2)


def diff_text(frame: pl.DataFrame) -> str:
    """What two runs searched differently."""
    if not frame.height:
        return "both runs searched the same"
    rows = [[str(cell) for cell in row] for row in frame.iter_rows()]
    return table(frame.columns, rows, left=3)


def effort_line(effort: Counts | None) -> str:
    """The effort on a target in one sentence; "" when it is not known."""
    if effort is None:
        return ""
    return (
        f"effort on this target so far: {effort.searched:,} trials searched inside training windows, "
        f"{effort.looked} recipes looked at{_ways(effort)}"
    )


def _ways(effort: Counts) -> str:
    """That a recipe counts once in each way it was looked at, where there are several."""
    told = ", ".join(f"{number} as {how}" for how, number in effort.looks.items())
    return f", each once per way ({told})" if len(effort.looks) > 1 else ""


def effort_text(home: Home, target: str, fingerprints: Mapping[str, str]) -> str:
    """What was searched and looked at on a target, run by run.

    Args:
        home: the home folder.
        target: as the user named it.
        fingerprints: of its source series.
    """
    found = counts(home, fingerprints.values())
    looks, searches = details(home, fingerprints.values())
    holdout = holdout_line(home, fingerprints)
    lines = [
        f"{target}: {listed((f'{name} ({mark[:12]})' for name, mark in fingerprints.items()), FEW)}",
        f"searched  {found.searched:,} trials inside training windows",
        f"looked    {found.looked} distinct recipes whose scores were computed, each once per way it was looked at"
        + (f" ({', '.join(f'{number} {how}' for how, number in found.looks.items())})" if found.looks else ""),
    ]
    lines += [holdout] if holdout else []
    if set(found.series) - set(fingerprints):
        lines.append(f"also met as {listed(sorted(set(found.series) - set(fingerprints)), FEW)}")
    if looks:
        lines.append(
            table(["run", "model", "how"], [[str(run)[:12], str(model), str(how)] for run, model, how in looks])
        )
    if searches:
        head = ["run", "model", "searches", "trials"]
        lines.append(table(head, [[str(run)[:12], *map(str, rest)] for run, *rest in searches], left=2))
    return "\n".join(lines)
