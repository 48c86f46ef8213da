"""What `harness backtest` and `harness show` print of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from harness.record.memory import passed_text
from harness.record.runs import plan_opened
from harness.report.audit import audit_beside, audit_line
from harness.report.board import Notes, answer, board_table, public_text, unanswered
from harness.report.data_lines import adjusted_notes, data_table
from harness.report.facts import (
    ON_LATEST_ROWS,
    ON_REVISED_DATA,
    PSEUDO_REAL_TIME,
    UNKNOWN_CUTOFF,
    Facts,
    facts_of,
    horizon_text,
)
from harness.report.holdout import run_line
from harness.report.opening import opening_text, straddlers_text
from harness.report.run import Run
from harness.report.search_text import effort_line, narrowed_of
from harness.report.text import megabytes, seconds, table

REASONS = 12
STAGES = ("plan", "look up cells", "features", "cells", "read cells", "score")


def summary(run: Run) -> str:
    """The run as text: question, data, leaderboards, what is missing, cost, where the files are.

    Raises:
        UserError: the run is not finished.
        DamagedError: a record is damaged.
    """
    board, statuses, inputs = run.leaderboard(), run.statuses(), run.inputs()
    facts, opens = facts_of(run.manifest), plan_opened(run.manifest)
    notes = Notes()
    parts = [
        "\n".join(_head(facts)),
        opening_text(run.manifest),
        straddlers_text(run.straddlers()) if opens else "",
        "\n".join(["Data", data_table(inputs), *adjusted_notes(inputs)]),
        *_boards(board, statuses, facts, notes),
        "\n".join(_footnotes(facts, notes, substituted=bool(board["n_reference"].sum()))),
        _gaps(statuses),
        "\n".join(_effort(run)),
        run_line(run.home, run.manifest, facts.zone),
        audit_line(audit_beside(run), facts.name, opens),
        "\n".join(f"{name:<6} {text}" for name, text in cost(facts))
        + f"\nrun    {run.id}\nfiles  {run.files.folder}\npage   harness report {run.id}",
    ]
    return "\n\n".join(part for part in parts if part)


def _effort(run: Run) -> Iterator[str]:
    line = effort_line(run.effort())
    if line:
        yield line
    yield from (f"warning, {model}: {text}" for model, text in narrowed_of(run.manifest))


def _head(facts: Facts) -> Iterator[str]:
    yield f"{facts.name}: {facts.question}" if facts.question else facts.name
    yield (
        f"target {facts.target}; outcome: {facts.outcome_rule} release"
        if facts.outcome_rule == "first"
        else (f"target {facts.target}; outcome: {facts.outcome_rule}")
    )
    warm = f", after {facts.warm_up} of warm-up that are not scored" if facts.warm_up else ""
    yield f"scored origins {facts.first_scored} to {facts.last_scored} ({facts.zone}){warm}"
    if facts.kpi:
        yield f"cost of an error: {facts.kpi}"
    if facts.pseudo_real_time:
        yield PSEUDO_REAL_TIME
    if facts.on_latest_rows:
        yield f"{', '.join(facts.on_latest_rows)}: {ON_LATEST_ROWS}"


def _boards(board: pl.DataFrame, statuses: pl.DataFrame, facts: Facts, notes: Notes) -> Iterator[str]:
    for step in facts.horizons:
        mine = board.filter(pl.col("horizon") == step)
        if not mine.height:
            continue
        yield "\n".join(
            [
                f"{horizon_text(step)}: {answer(mine)}",
                f"  {public_text(step, facts, statuses)}",
                table(*board_table(mine, facts, notes), left=2, indent="  "),
            ]
        )


def _footnotes(facts: Facts, notes: Notes, *, substituted: bool) -> Iterator[str]:
    yield (
        f"skill: how far {facts.primary} is below the best naive rival's, which was chosen after the fact. "
        "rank: by skill, on the cells each model is held to (n). "
        f"p: largest one-sided p-value over all naive rivals; better than naive below 0.05{facts.claimed}, per line: "
        "with many models and horizons some lines fall below it by luck."
    )
    if substituted:
        yield f"by reference: cells without a forecast of the model's own, scored with {facts.reference} and counted."
    for place, text in enumerate(notes.texts, start=1):
        yield f"[{place}] {text}"
    for text in facts.functional_notes:
        yield f"note: {text}."
    if facts.on_revised_data:
        yield f"{', '.join(facts.on_revised_data)}: {ON_REVISED_DATA}."
    if facts.unknown_cutoff:
        said = f"{'; '.join(facts.notes)}: " if facts.notes else "the data cut-off is unknown: "
        yield f"{', '.join(facts.unknown_cutoff)}: {said}{UNKNOWN_CUTOFF}."
    yield f"outcomes at scored origins: {outcome_text(facts)}"
    for name, texts in facts.warnings.items():
        for text, cells in texts.items():
            yield f"warning, {name}: {text} ({cells} cells)"


def outcome_text(facts: Facts) -> str:
    """How many outcomes have matured, are pending, missing or young."""
    counted = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in facts.outcomes.items())
    young = f", {facts.immature} of them still young (immature)" if facts.immature else ""
    late = f", {facts.hindsight_outcomes} dated before the vintage they come from" if facts.hindsight_outcomes else ""
    return f"{counted or 'none'}{young}{late}"


def _gaps(statuses: pl.DataFrame) -> str:
    found = unanswered(statuses)
    if not found.height:
        return "Every model answered every cell it was asked."
    columns = ("model", "status", "cells", "horizons", "reason")
    rows = [[str(row[name]) for name in columns] for row in found.iter_rows(named=True)]
    more = f"\n  and {len(rows) - REASONS} more lines: see the page" if len(rows) > REASONS else ""
    body = table(columns, rows[:REASONS], left=2, indent="  ")
    return f"Cells without a forecast of the model's own\n{body}{more}"


def cost(facts: Facts) -> Iterator[tuple[str, str]]:
    """Time per stage and peak memory of a run, named."""
    spent = facts.measured.get("seconds")
    stages = spent if isinstance(spent, Mapping) else {}
    total = sum(float(value) for value in stages.values() if isinstance(value, (int, float)))
    known = [stage for stage in STAGES if stage in stages]
    order = [*known, *(stage for stage in stages if stage not in known)]
    yield "time", f"{seconds(total)}: " + ", ".join(f"{stage} {seconds(stages[stage])}" for stage in order)
    worker = facts.measured.get("peak_worker_bytes")
    peak = f"peak {megabytes(facts.measured.get('peak_memory_bytes'))}"
    passed = passed_text(facts.measured)
    killed = facts.measured.get("workers_killed")
    again = f"workers were killed {killed} x, and their tasks done again" if killed else ""
    held = f"{peak}, in a worker {megabytes(worker)}" if worker else peak
    yield "memory", "; ".join(filter(None, [held, again, passed]))
