"""Searches and effort as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from harness.core.errors import UnknownNameError
from harness.record.home import Home
from harness.record.registry import Counts, counts, details
from harness.report.facts import facts_of, moment_text
from harness.report.holdout import holdout_line
from harness.report.run import Run
from harness.report.text import number, seconds, share, table

NOTHING = "no model of this run was tuned: add [models.NAME.search] to its experiment"


def spaces_text(run: Run) -> str:
    """What a run searched: one line per parameter of each model."""
    frame = run.search_spaces()
    if not frame.height:
        return NOTHING
    head = ["parameter", "default", "drawn", "at edge", "importance", "searched"]
    parts = []
    for (model,), mine in frame.group_by("model", maintain_order=True):
        rows = [
            [
                row["parameter"], row["default"], str(row["drawn"]), f"{row['at_edge']} of {row['searches']}",
                share(row["importance"]), _searched(row),
            ]
            for row in mine.iter_rows(named=True)
        ]  # fmt: skip
        parts.append(f"{model}: {mine['searches'][0]} searches\n{table(head, rows, indent='  ')}")
    parts.append(
        "drawn: trials with a value for it. at edge: searches whose best value is an end of the range. importance: "
        "share of what the best trials have in common (PED-ANOVA), mean over searches of 8 complete trials or more."
    )
    parts += [f"warning, {model}: {text}" for model, text in narrowed_of(run.manifest)]
    return "\n\n".join(parts)


def _searched(row: Mapping[str, object]) -> str:
    if row["low"] is None:
        said = str(row["choices"]) if row["choices"] else "by a function, recorded as it unfolds"
    else:
        said = f"{row['type']} {number(row['low'])} to {number(row['high'])}"
        said += (", log" if row["log"] else "") + (f", step {number(row['step'])}" if row["step"] is not None else "")
    return f"{said}, when {row['when']}" if row["when"] else said


def narrowed_of(manifest: Mapping[str, object]) -> list[tuple[str, str]]:
    """(model, sentence) of every range narrowed after results were seen."""
    found = manifest.get("narrowed")
    return [(str(model), str(text)) for model, text in found] if isinstance(found, list) else []


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
        return NOTHING
    zone = facts_of(run.manifest).zone
    counted = ", ".join(f"{n} {state}" for state, n in mine.group_by("state").len().sort("state").iter_rows())
    lines = [f"{mine['study'].n_unique()} searches, {mine.height} trials ({counted}), {seconds(mine['seconds'].sum())}"]
    if everything:
        head = ["model", "origin", "trial", "batch", "state", "value", "", "setting"]
        rows = [
            [
                row["model"], moment_text(row["origin"], zone), str(row["trial"]), str(row["batch"]), row["state"],
                number(row["value"]), "best" if row["best"] else "", f"{row['setting']} {row['reason']}".strip(),
            ]
            for row in mine.iter_rows(named=True)
        ]  # fmt: skip
        return "\n".join([*lines, table(head, rows, left=2)])
    first = pl.col("value").filter(pl.col("trial") == 0).first()
    chosen = mine.group_by("model", "origin", maintain_order=True).agg(
        pl.len().alias("trials"),
        first.alias("defaults"),
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
    return "\n".join(
        [*lines, table(head, rows, left=2), "defaults, best: objective on inner rows; --all prints every trial"]
    )


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
        f"{effort.looked} recipes looked at"
    )


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
        f"{target}: {', '.join(f'{name} ({mark[:12]})' for name, mark in fingerprints.items())}",
        f"searched  {found.searched:,} trials inside training windows",
        f"looked    {found.looked} distinct recipes whose scores were computed"
        + (f" ({', '.join(f'{number} {how}' for how, number in found.looks.items())})" if found.looks else ""),
    ]
    lines += [holdout] if holdout else []
    if set(found.series) - set(fingerprints):
        lines.append(f"also met as {', '.join(sorted(set(found.series) - set(fingerprints)))}")
    if looks:
        lines.append(
            table(["run", "model", "how"], [[str(run)[:12], str(model), str(how)] for run, model, how in looks])
        )
    if searches:
        head = ["run", "model", "searches", "trials"]
        lines.append(table(head, [[str(run)[:12], *map(str, rest)] for run, *rest in searches], left=2))
    return "\n".join(lines)
