"""The page of a run: the question, the answer per horizon, and everything one must know to believe it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from harness.core.errors import SealedError, UserError
from harness.record.audits import AuditRecord
from harness.record.runs import plan_opened
from harness.report import markup
from harness.report.audit import audit_beside, audit_section
from harness.report.board import Notes, answer, board_table, public_text, unanswered
from harness.report.charts import forecast_chart, looks_of, loss_chart
from harness.report.data_lines import MANY, adjusted_notes, data_rows
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
from harness.report.opening import STRADDLERS, opening_rows, straddler_rows
from harness.report.run import Run
from harness.report.search_text import effort_line, narrowed_of
from harness.report.summary import cost, outcome_text
from harness.report.text import number, p_value
from harness.studies.verdict import NOT_PROVABLE

METRICS = ("mae", "rmse", "mase", "rmsse", "smape", "qlike", "bias")
CHARTED_SERIES = 3


@dataclass(frozen=True, slots=True)
class Records:
    """Everything a page is made of.

    Attributes:
        facts: from the manifest.
        board, scores, common, rivals, statuses, inputs: the tables of the run.
        errors: its table of that name; of very many series of the first `CHARTED_SERIES` alone, None = not to be had.
        undrawn: why there is no chart; "" = there are charts.
        whole: whether `errors` holds every series.
        experiment: the resolved experiment, as recorded.
        audit: what a leakage audit of this run found, None = there was none.
        effort: what was searched and looked at on the target so far, in words, and ranges narrowed since.
        holdout: what is sealed of the target, and how often it was opened; "" = nothing ever was.
        opening: claim, verdict, decision and plan, where the run is an opening of a holdout.
        straddlers: its scores of what straddles the cut; None = it is no opening.
        opens: id of its plan; "" = it is no opening.
        notes: reasons for which there is no verdict, collected while the page is written.
    """

    facts: Facts
    board: pl.DataFrame
    scores: pl.DataFrame
    common: pl.DataFrame
    rivals: pl.DataFrame
    errors: pl.DataFrame | None
    undrawn: str
    whole: bool
    statuses: pl.DataFrame
    inputs: pl.DataFrame
    experiment: object
    audit: AuditRecord | None
    effort: tuple[str, ...] = ()
    holdout: str = ""
    opening: tuple[tuple[str, str], ...] = ()
    straddlers: pl.DataFrame | None = None
    opens: str = ""
    notes: Notes = field(default_factory=Notes)


def render(run: Run) -> str:
    """The run as one self-contained HTML page.

    Raises:
        UserError: the run is not finished.
        DamagedError: a record is damaged.
    """
    facts = facts_of(run.manifest)
    errors, undrawn = _charted(run)
    records = Records(
        facts,
        run.leaderboard(),
        run.scores(),
        run.common_sample(),
        run.against_rivals(),
        errors,
        undrawn,
        run.stores("errors"),
        run.statuses(),
        run.inputs(),
        run.manifest.get("experiment", {}),
        audit_beside(run),
        (effort_line(run.effort()), *(f"{model}: {text}" for model, text in narrowed_of(run.manifest))),
        run_line(run.home, run.manifest, facts.zone),
        opening_rows(run.manifest),
        run.straddlers() if plan_opened(run.manifest) else None,
        plan_opened(run.manifest),
    )
    body = [
        *_head(records),
        *_data(records),
        *_straddlers(records),
        *_horizons(records),
        *_legend(records),
        *_cuts(records),
        *_gaps(records),
        *audit_section(records.audit, records.facts.name, records.opens),
        *_limits(),
        *_identity(records),
    ]
    return markup.page(records.facts.name, body)


def _charted(run: Run) -> tuple[pl.DataFrame | None, str]:
    """The rows that charts are drawn of, or why there are none."""
    if run.stores("errors"):
        return run.errors(), ""
    try:
        return run.errors(_series(run.manifest.get("experiment"))[:CHARTED_SERIES]), ""
    except SealedError:
        raise
    except UserError as error:  # a page needs no charts, and every table of it is there
        return None, f"No forecasts are drawn, they would be made from the cells of the run: {error}."


def _series(experiment: object) -> list[str]:
    target = experiment.get("target") if isinstance(experiment, dict) else None
    return list(target["series"]) if isinstance(target, dict) else []


def _head(records: Records) -> Iterator[str]:
    facts = records.facts
    yield markup.element("h1", facts.name)
    if facts.question:
        yield markup.element("p", facts.question, "question")
    if facts.pseudo_real_time:
        yield markup.element("p", PSEUDO_REAL_TIME, "banner")
    if facts.on_latest_rows:
        yield markup.element("p", f"{', '.join(facts.on_latest_rows)}: {ON_LATEST_ROWS}", "banner")
    yield markup.bullets(
        f"{horizon_text(step)}: {answer(mine)}" for step in facts.horizons if (mine := _at(records.board, step)).height
    )
    if facts.functional_notes:
        yield markup.element("p", f"{'; '.join(facts.functional_notes)}.")
    if facts.on_revised_data:
        yield markup.element("p", f"{', '.join(facts.on_revised_data)}: {ON_REVISED_DATA}.")
    if facts.unknown_cutoff:
        said = f"{'; '.join(facts.notes)}: " if facts.notes else ""
        yield markup.element("p", f"{', '.join(facts.unknown_cutoff)}: {said}{UNKNOWN_CUTOFF}.", "banner")
    warm = f", after {facts.warm_up} origins of warm-up that are not scored" if facts.warm_up else ""
    yield markup.pairs(
        [
            ("target", facts.target),
            ("truth", f"the {facts.outcome_rule} release" if facts.outcome_rule == "first" else facts.outcome_rule),
            ("scored origins", f"{facts.first_scored} to {facts.last_scored} ({facts.zone}){warm}"),
            ("outcomes", outcome_text(facts)),
            ("headline metric", facts.primary),
            *(("effort", line) for line in records.effort if line),
            *records.opening,
            *([("holdout", records.holdout.removeprefix("Holdout: "))] if records.holdout else []),
            *([("cost of an error", facts.kpi)] if facts.kpi else []),
        ]
    )


def _data(records: Records) -> Iterator[str]:
    yield markup.element("h2", "Data")
    yield markup.table(*data_rows(records.inputs), left=4)
    for note in adjusted_notes(records.inputs):
        yield markup.element("p", note)
    for one in records.facts.datasets:
        said = [str(one.get(key, "")) for key in ("title", "origin", "licence", "attribution")]
        yield markup.element("p", f"{one.get('name')}: {'. '.join(text for text in said if text)}", "quiet")


def _straddlers(records: Records) -> Iterator[str]:
    if records.straddlers is not None and records.straddlers.height:
        head, rows = straddler_rows(records.straddlers)
        yield markup.element("h2", "Straddlers")
        yield markup.element("p", f"{STRADDLERS}.", "quiet")
        yield markup.table([*head, ""], [[*row, ""] for row in rows], left=2)


def _horizons(records: Records) -> Iterator[str]:
    facts = records.facts
    for place, step in enumerate(facts.horizons):
        board = _at(records.board, step)
        if not board.height:
            continue
        yield markup.element("h2", horizon_text(step))
        yield markup.element("p", answer(board), "answer")
        yield markup.element("p", f"{public_text(step, facts, records.statuses)}.", "quiet")
        head, rows = board_table(board, facts, records.notes)
        yield markup.table(head, rows, left=2, css=[_row_class(row) for row in board.iter_rows(named=True)])
        yield from _charts(records, board, step, f"h{place}")
        yield _tests(records, step)
        yield _metrics(records, step)
        yield _common(records, step)


def _row_class(row: Mapping[str, object]) -> str:
    return "rival" if row["is_rival"] else "better" if row["verdict"] == "better than naive" else ""


def _charts(records: Records, board: pl.DataFrame, step: int, name: str) -> Iterator[str]:
    if records.errors is None:
        yield markup.element("p", records.undrawn, "quiet")
        return
    held = pl.col("origin").is_between("first_origin", "last_origin")
    spans = board.select("model", "first_origin", "last_origin")
    errors = _at(records.errors, step).join(spans, on="model", maintain_order="left").filter(held)
    models = board.filter(~pl.col("is_rival") & pl.col("skill").is_not_null()).sort("rank")["model"].to_list()
    rival, looks = str(board["best_rival"][0]), looks_of(records.facts.models)
    for place, series_id in enumerate(errors["series_id"].unique(maintain_order=True).to_list()[:CHARTED_SERIES]):
        mine = errors.filter(pl.col("series_id") == series_id)
        yield forecast_chart(mine, models, rival, looks=looks, unit=series_id, name=f"{name}-f{place}")
    count = errors["series_id"].n_unique() if records.whole else len(_series(records.experiment))
    if count > CHARTED_SERIES:
        yield markup.element("p", f"The first {CHARTED_SERIES} of {count} series are drawn.", "quiet")
    if models and records.whole:
        yield loss_chart(errors, models, rival, looks=looks, primary=records.facts.primary, name=f"{name}-l")
    elif models:
        yield markup.element("p", f"Losses against {rival} add up over too many series to be drawn.", "quiet")


def _tests(records: Records, step: int) -> str:
    mine = _at(records.rivals, step).filter(~pl.col("model").is_in(list(records.facts.rivals)))
    rows = [
        [
            row["model"], row["rival"], number(row["value"]), number(row["rival_value"]), number(row["ratio"]),
            number(row["n_origins"]), number(row["dm_statistic"]), p_value(row["p_value"]), number(row["bandwidth"]),
            number(row["autocorrelation_beyond"]), number(row["autocorrelation_band"]), row["fallback"] or "",
        ]
        for row in mine.iter_rows(named=True)
    ]  # fmt: skip
    head = [
        "model", "naive rival", records.facts.primary, "the rival's", "ratio", "origins", "DM statistic",
        "one-sided p", "bandwidth", "autocorrelation beyond", "band", "instead of the plain test",
    ]  # fmt: skip
    title = "Every model against every naive rival (Diebold-Mariano)"
    return markup.folded(title, markup.table(head, rows, left=2, wide=True))


def _metrics(records: Records, step: int) -> str:
    whole = _at(records.scores, step).filter(pl.col("series_id").is_null() & pl.col("stretch").is_null())
    shown = _defined(whole)
    kpi = [f"total {records.facts.kpi_unit}"] if records.facts.kpi_unit else []
    rows = [
        [
            row["model"],
            str(row["n"]),
            *(number(row[name]) for name in shown),
            *([number(row["kpi_total"])] if kpi else []),
            "",
        ]
        for row in whole.iter_rows(named=True)
    ]
    return markup.folded("All metrics", markup.table(["model", "n", *shown, *kpi, ""], rows))


def _common(records: Records, step: int) -> str:
    mine = _at(records.common, step).filter(pl.col("series_id").is_null() & pl.col("stretch").is_null())
    shown = _defined(mine)
    rows = [
        [row["model"], str(row["n"]), *(number(row[name]) for name in shown), ""] for row in mine.iter_rows(named=True)
    ]
    text = "Only cells that every model answered itself: hard cells drop out, so this is never the headline."
    table = markup.table(["model", "n", *shown, ""], rows)
    return markup.folded("Common sample (secondary)", markup.element("p", text, "quiet"), table)


def _defined(scores: pl.DataFrame) -> list[str]:
    return [name for name in METRICS if scores[name].null_count() < scores.height]


def _legend(records: Records) -> Iterator[str]:
    facts = records.facts
    scaleless = list(facts.scale_notes.items())
    yield markup.element("h2", "How to read the tables")
    yield markup.bullets(
        [
            f"skill: how far {facts.primary} is below the best naive rival's on the same cells, chosen after the fact.",
            f"p: largest one-sided p-value over all naive rivals; better means below 0.05 against each{facts.claimed}.",
            f"by reference: cells without a forecast of the model's own; they are scored with {facts.reference}.",
            "n: cells scored; an external forecaster is held to the span in which it issued.",
            *(f"[{place}] {text}" for place, text in enumerate(records.notes.texts, start=1)),
            *(f"{series}: no scale for MASE and RMSSE, {why}" for series, why in scaleless[:MANY]),
            *_rest(len(facts.scale_notes), "series without a scale"),
        ]
    )


def _cuts(records: Records) -> Iterator[str]:
    """Scores by stretch of time, and by series for a panel."""
    primary = records.facts.primary
    yield markup.element("h2", f"{primary} by stretch of time")
    cut = records.scores.filter(pl.col("series_id").is_null() & pl.col("stretch").is_not_null())
    yield _pivot(cut, "stretch", primary)
    names = records.scores["series_id"].drop_nulls().unique(maintain_order=True).to_list()
    if len(names) > 1:
        yield markup.element("h2", f"{primary} by series")
        cut = records.scores.filter(pl.col("series_id").is_in(names[:MANY]) & pl.col("stretch").is_null())
        title = "Every series" if len(names) <= MANY else f"The first {MANY} of {len(names)} series"
        yield markup.folded(title, _pivot(cut, "series_id", primary))
    elif not names and len(_series(records.experiment)) > 1:
        told = f"Scores by series are not stored: harness export {records.facts.run_id} --to FOLDER makes them."
        yield markup.element("p", told, "quiet")


def _rest(count: int, of: str) -> list[str]:
    return [f"and {count - MANY} more {of}"] if count > MANY else []


def _pivot(cut: pl.DataFrame, by: str, metric: str) -> str:
    names = cut[by].unique(maintain_order=True).to_list()
    """One row per horizon and model, one column per stretch or series: the metric and the cells it rests on."""
    shown = cut.with_columns(
        pl.struct(metric, "n")
        .map_elements(lambda cell: f"{number(cell[metric])} (n {cell['n']})", pl.String)
        .alias("shown")
    )
    wide = shown.pivot(by, index=["horizon", "model"], values="shown", maintain_order=True)
    rows = [
        [str(row["horizon"]), row["model"], *(row[name] or "-" for name in names), ""]
        for row in wide.iter_rows(named=True)
    ]
    return markup.table(["h", "model", *names, ""], rows, left=2)


def _gaps(records: Records) -> Iterator[str]:
    yield markup.element("h2", "Failures, abstentions and warnings")
    found = unanswered(records.statuses)
    columns = ("model", "status", "cells", "horizons", "reason")
    if found.height:
        rows = [[str(row[name]) for name in columns] for row in found.iter_rows(named=True)]
        yield markup.table(columns, rows, left=2, wide=True)
    else:
        yield markup.element("p", "Every model answered every cell it was asked.")
    said = [
        f"{model}: {text} ({cells} cells)"
        for model, texts in records.facts.warnings.items()
        for text, cells in texts.items()
    ]
    yield markup.bullets(said) if said else markup.element("p", "No model warned.")


def _limits() -> Iterator[str]:
    yield markup.element("h2", "Not provable here")
    yield markup.element(
        "p", "A run can only be clean within its own pipeline. Nothing here shows to be free of hindsight:"
    )
    yield markup.bullets(NOT_PROVABLE)


def _identity(records: Records) -> Iterator[str]:
    facts = records.facts
    yield markup.element("h2", "What ran, and what it cost")
    code = f"{facts.code.get('version') or 'no checkout'} (hash {facts.code.get('hash')})"
    yield markup.pairs(
        [
            ("run", facts.run_id),
            ("started, finished", f"{facts.started_at}, {facts.finished_at}"),
            ("code", code),
            ("archive state", facts.archive.get("change_file", "")),
            *((name, _plain(value)) for name, value in facts.platform.items()),
            *cost(facts),
        ]
    )
    packages = ", ".join(f"{name} {version}" for name, version in facts.packages.items())
    resolved = json.dumps(_shorter(records.experiment), indent=1, ensure_ascii=False)
    yield markup.folded("The experiment as it was run: every parameter and feature", markup.element("pre", resolved))
    yield markup.folded("Packages", markup.element("p", packages))


def _shorter(experiment: object) -> object:
    """A resolved experiment without the names of very many series."""
    names = _series(experiment)
    if not isinstance(experiment, dict) or len(names) <= MANY:
        return experiment
    cut = [*names[:MANY], f"and {len(names) - MANY} more"]
    return {**experiment, "target": {**experiment["target"], "series": cut}}


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _at(frame: pl.DataFrame, step: int) -> pl.DataFrame:
    return frame.filter(pl.col("horizon") == step)
