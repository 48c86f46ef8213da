"""What an audit found: one line beside a run's results, the whole as text, and a section of its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from harness.core.errors import DamagedError, listed
from harness.record.audits import AuditRecord
from harness.record.home import Home
from harness.record.registry import effort_from
from harness.report import markup
from harness.report.holdout import holdout_line
from harness.report.run import Run
from harness.report.text import seconds, table

SHOWN = 12
"""Findings of one check printed at most."""
ORDER = ("scramble", "control", "isolation", "outcomes", "tuning", "facts", "placebo", "premium", "stress")
MEASURES = ("premium", "stress")
"""Checks that measure and never fail."""
PRINTED = ("scramble", "control", "placebo", "circular", "innovations", "premium", "stress")
"""Tables printed as text; the others are on the page and beside the record."""
EVIDENCE = ("how", "origin", "stage", "place", "model", "series_id", "row", "column", "expected", "found")
PASSES = "pass within the pipeline"


def audit_beside(run: Run) -> AuditRecord | None:
    """The audit of a run, for its results: a damaged record is said to be so, and hides nothing else."""
    try:
        return run.audit()
    except DamagedError as error:
        return AuditRecord({"damaged": str(error)}, {})


def audit_line(record: AuditRecord | None, name: str, opens: str = "") -> str:
    """The audit of a run in one line.

    Args:
        record: of the audit; None = there was none.
        name: of the experiment, of which results are shown beside the line; "" = none are.
        opens: id of the plan by which the run opened a holdout; "" = it is no opening.
    """
    if record is not None and "damaged" in record.facts:
        return f"leakage audit: its record cannot be used ({record.facts['damaged']})"
    if record is None and opens:
        return f"an opening is not audited itself: harness audit {name} audits the development it replayed"
    if record is None:
        return f"not audited for leakage: harness audit {name}"
    verdicts = [f"{check} {_word(check, found)}{_remarks(record, check, found)}" for check, found in _checks(record)]
    return f"leakage audit: {_overall(record)} ({', '.join(verdicts)}){_not_compared(record, name)}"


def _not_compared(record: AuditRecord, name: str) -> str:
    """Models of which the run's own forecasts were not there yet: what the audit saw need not be what is shown."""
    stored = record.tables.get("scramble.stored_cells")
    if stored is None or not name:
        return ""
    missing = stored.filter(pl.col("cells") < pl.col("origins"))["model"].to_list()
    if not missing:
        return ""
    whose = "" if len(missing) == stored.height else f" of {listed(missing)}"
    return f"; not compared with the forecasts{whose} shown here, which were not stored then: harness audit {name}"


def audit_text(record: AuditRecord, home: Home | None = None) -> str:
    """The audit: verdict, every check in a sentence, the evidence, the figures, the price, and what no audit shows.

    Args:
        record: of the audit.
        home: whose ledger tells how often the target's holdout was opened; None = it is not asked.
    """
    parts = [f"{record.facts.get('name')}: {audit_line(record, '')}", _holdout(record, home)]
    for name, check in _checks(record):
        lines = [f"{name}: {'measured' if name in MEASURES else _verdict(check)}", f"  {check.get('said', '')}"]
        found = _findings(record, name)
        if found.height:
            rows = [[_short(value) for value in row] for row in found.head(SHOWN).select(_told(found)).iter_rows()]
            lines.append(table(_told(found), rows, left=len(_told(found)), indent="  "))
            if found.height > SHOWN:
                lines.append(f"  and {found.height - SHOWN} more: findings.parquet")
        for title, figures in _figures(record, name):
            if title not in PRINTED:
                continue
            lines.append(f"  {title}")
            rows = [[_short(value) for value in row] for row in figures.iter_rows()]
            lines.append(table(figures.columns, rows, left=1, indent="  "))
        parts.append("\n".join(lines))
    others = sorted(name for name in record.tables if name.partition(".")[2] not in ("", *PRINTED))
    parts.append(f"More tables: {', '.join(others)}\n  {_where(record, home)}" if others else "")
    parts.append(_price(record))
    parts.append("Not provable here\n" + "\n".join(f"  - {text}" for text in _limits(record)))
    return "\n\n".join(part for part in parts if part)


def _where(record: AuditRecord, home: Home | None) -> str:
    """Where the tables lie, and how they are read."""
    name = str(record.facts.get("run_id", "ID"))
    folder = Path("audits") / name if home is None else home.audits / name
    return f"each as NAME.parquet in {folder}, or audit.table(NAME) in Python"


def _holdout(record: AuditRecord, home: Home | None) -> str:
    effort = effort_from(record.facts)
    if effort is None or home is None:
        return ""
    return holdout_line(home, effort.fingerprints, inputs=_given(record.facts.get("experiment")))


def _given(experiment: object) -> Iterator[str]:
    """Series that the models of an experiment are given beside the target's own."""
    blocks = experiment.get("features") if isinstance(experiment, Mapping) else None
    for block in blocks if isinstance(blocks, list) else []:
        transform = block.get("transform")
        named = transform if isinstance(transform, Mapping) else {}
        yield from (str(block.get("series", "")), *(str(named.get(key, "")) for key in ("other", "high", "low")))


def audit_section(record: AuditRecord | None, name: str, opens: str = "") -> Iterator[str]:
    """The audit as a section of the page; text from data is escaped."""
    yield markup.element("h2", "Leakage audit")
    yield markup.element("p", audit_line(record, name, opens), "" if record is not None or opens else "banner")
    if record is None:
        return
    yield markup.table(
        ["check", "verdict", "what was done, and what came of it"],
        [[check, _verdict(found), found.get("said", "")] for check, found in _checks(record)],
        left=2,
        wide=True,
    )
    for check, _ in _checks(record):
        found = _findings(record, check)
        inside = []
        if found.height:
            rows = [[_short(value) for value in row] for row in found.select(_told(found)).head(200).iter_rows()]
            inside.append(markup.table(_told(found), rows, left=len(_told(found)), wide=True))
        for title, figures in _figures(record, check):
            inside.append(markup.element("p", title, "quiet"))
            rows = [[_short(value) for value in row] for row in figures.head(400).iter_rows()]
            inside.append(markup.table(figures.columns, rows))
        if inside:
            yield markup.folded(f"{check}: evidence and figures", *inside)
    yield markup.element("p", "Not provable by any audit of a pipeline:", "quiet")
    yield markup.bullets(_limits(record))


def _overall(record: AuditRecord) -> str:
    return _verdict(record.facts)


def _verdict(found: Mapping[str, object]) -> str:
    verdict = str(found.get("verdict", "not shown"))
    return PASSES if verdict == "pass" else verdict


def _word(check: str, found: Mapping[str, object]) -> str:
    """The verdict, or that the check only measures."""
    return "measured" if check in MEASURES else str(found.get("verdict"))


def _remarks(record: AuditRecord, check: str, found: Mapping[str, object]) -> str:
    """How many things worth knowing a passed check found."""
    count = _findings(record, check).height if found.get("verdict") == "pass" else 0
    return f" ({count} remark{'s' * (count > 1)})" if count else ""


def _checks(record: AuditRecord) -> list[tuple[str, Mapping[str, object]]]:
    checks = record.facts.get("checks")
    found = checks if isinstance(checks, dict) else {}
    names = [name for name in ORDER if name in found] + sorted(name for name in found if name not in ORDER)
    return [(name, found[name]) for name in names if isinstance(found[name], dict)]


def _findings(record: AuditRecord, check: str) -> pl.DataFrame:
    findings = record.tables.get("findings")
    return pl.DataFrame() if findings is None else findings.filter(pl.col("check") == check)


def _told(found: pl.DataFrame) -> list[str]:
    """The columns of the evidence that say something."""
    return [name for name in EVIDENCE if found[name].cast(pl.String).fill_null("").ne("").any()]


def _figures(record: AuditRecord, check: str) -> list[tuple[str, pl.DataFrame]]:
    prefix = f"{check}."
    return [(name.removeprefix(prefix), one) for name, one in sorted(record.tables.items()) if name.startswith(prefix)]


def _price(record: AuditRecord) -> str:
    run = record.facts.get("cells_of_a_run", 0)
    rows = [[name, str(check.get("cells", 0)), seconds(check.get("seconds"))] for name, check in _checks(record)]
    return "Price, in cells per model (a run has " + f"{run})\n" + table(["check", "cells", "time"], rows, indent="  ")


def _limits(record: AuditRecord) -> list[str]:
    said = record.facts.get("not_provable")
    return [str(one) for one in said] if isinstance(said, list) else []


def _short(value: object) -> str:
    if value is None:
        return "-"
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).replace("+00:00", "Z")
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 90 else text[:87] + "..."
