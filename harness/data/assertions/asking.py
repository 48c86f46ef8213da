"""Ask every assertion in turn, write down what it says, and take out or refuse what it says to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

import polars as pl

from harness.core.errors import DataError
from harness.core.series import Series
from harness.data.assertions import identity, moves, sequence
from harness.data.assertions.judged import KEY, Asked, Held, Judged, judged, of_batch
from harness.data.assertions.rules import WHOLE, Assertion, Declared, Schema
from harness.data.cleaning.notes import FAILURES, Notes, frame_hash, instants, number, parameters, where
from harness.data.cleaning.values import Setting
from harness.data.declared import TextForm
from harness.data.derive import rounded
from harness.data.tables import RawTable


def _rowwise(name: str) -> Callable[..., Any]:
    """A check of `rowwise`, whose heavy library is imported only when something is asserted."""

    def check(*given: Any) -> Any:
        return getattr(import_module("harness.data.assertions.rowwise"), name)(*given)

    return check


_HOW: Mapping[str, Callable[[Any, pl.DataFrame, pl.Series, Asked], Judged]] = MappingProxyType(
    {
        "range": _rowwise("in_range"),
        "unique": _rowwise("unique"),
        "published": _rowwise("published"),
        "sessions": _rowwise("sessions"),
        "monotone": sequence.monotone,
        "gap": sequence.gap,
        "stale": sequence.stale,
        "stuck": sequence.stuck,
        "revision": moves.revision,
        "jump": moves.jump,
        "identity": identity.identity,
    }
)
SEQUENCE = ("monotone", "gap", "stale", "stuck", "revision", "jump", "unique")
"""Kinds that compare a row with others: those of its batch, and those that the archive holds."""
UNTRUE = ("published", "sessions")
"""Kinds of which a row that fails is no publication that could have happened."""
SHOWN = 3


def ask_lines(table: RawTable, assertions: Sequence[Assertion], text: TextForm, notes: Notes) -> RawTable:
    """A table without the lines that its schema sets aside."""
    for one in assertions:
        if not isinstance(one.check, Schema):
            continue
        found, missing = _rowwise("schema")(one.check, table, text)
        _note(one, found, table.frame, notes, missing=len(missing))
        lines = table.line_numbers()
        failing = found.failed.arg_true().to_list()
        rows = [
            (
                lines[row],
                ",".join("" if value is None else str(value) for value in table.frame.row(row)),
                found.reasons[row],
            )
            for row in failing
        ]
        rows += [(None, "", f"no column {name!r}") for name in missing]
        _failures(one, pl.DataFrame(rows, schema=["line", "before", "reason"], orient="row"), notes)
        if one.severity == "set aside" and failing:
            notes.lines_aside([f"{one.name}: {found.reasons[row]}" for row in failing])
            table = table.kept(~found.failed)
    return table


def ask_names(strangers: pl.DataFrame, known: int, assertions: Sequence[Assertion], notes: Notes) -> None:
    """Whether every series of the file is declared.

    Args:
        strangers: line and name of rows of other series.
        known: rows of declared ones.
        assertions: those of the source.
        notes: where the record is kept.
    """
    for one in assertions:
        if not isinstance(one.check, Declared):
            continue
        said = dict(enumerate(f"no series {name!r} is declared" for name in strangers["name"].to_list()))
        height = strangers.height + known
        found = judged(height, pl.repeat(value=True, n=height, dtype=pl.Boolean, eager=True), said)
        _note(one, found, strangers, notes)
        rows = strangers.select("line", before="name").with_columns(reason=found.reasons.head(strangers.height))
        _failures(one, rows, notes)
        if one.severity == "set aside":
            notes.lines_aside([f"{one.name}: {why}" for why in said.values()])


def ask_values(
    rows: pl.DataFrame,
    assertions: Sequence[Assertion],
    setting: Setting,
    held: Held,
    notes: Notes,
) -> pl.DataFrame:
    """Dated values without those that an assertion sets aside.

    Args:
        rows: line, series_id, period, published (microseconds UTC), value, and what else is carried along.
        assertions: in the order they are asked; each sees what those before it left.
        setting: the series, and how they are dated.
        held: what the archive holds before this batch.
        notes: where the record is kept.
    """
    for one in assertions:
        if one.kind not in _HOW:
            continue
        series = {name: setting.series[name] for name in setting.stored(one.series)}
        about = Asked(series, setting.dated, one.severity != "set aside", held.now, cuts=held.cuts)
        found = _judged(one, rows, held.rows, about)
        _note(one, found, rows.select(*KEY, "value"), notes)
        failing, reasons = rows.filter(found.failed), found.reasons.filter(found.failed)
        aside = one.severity == "set aside"
        after = ["" if aside else number(value) for value in failing["value"].to_list()]
        frame = where(failing, after).with_columns(reason=reasons, decided=instants(failing))
        _failures(one, frame, notes)
        if aside and failing.height:
            said = pl.Series([f"{one.name}: {why}" for why in reasons], dtype=pl.String)
            notes.set_aside(failing, said, happened=one.kind not in UNTRUE)
            rows = rows.filter(~found.failed)
    return rows


def _judged(one: Assertion, rows: pl.DataFrame, held: pl.DataFrame | None, about: Asked) -> Judged:
    """What one assertion says of the rows of a batch, after what the archive holds where it compares rows."""
    before = _before(one, rows, held, about.series) if held is not None and one.kind in SEQUENCE else None
    if before is None or not before.height:
        return _HOW[one.kind](one.check, rows, rows["series_id"].is_in(list(about.series)), about)
    together = pl.concat([before, rows.select(before.columns)])
    asked = together["series_id"].is_in(list(about.series))
    found = _HOW[one.kind](one.check, together, asked, replace(about, held=before.height))
    return of_batch(found, before.height)


def _before(one: Assertion, rows: pl.DataFrame, held: pl.DataFrame, series: Mapping[str, Series]) -> pl.DataFrame:
    """What the archive holds, less what the batch gives again; for `unique`, what the batch gives otherwise."""
    if one.kind != "unique":
        return held.join(rows.select(KEY), on=list(KEY), how="anti")
    places = pl.col("series_id").replace_strict(
        {name: declared.decimals for name, declared in series.items()}, default=None, return_dtype=pl.Int32
    )
    again = held.join(rows.select(*KEY, given="value"), on=list(KEY))
    other = rounded(pl.col("value"), places).ne_missing(rounded(pl.col("given"), places))
    return again.filter(other).select(held.columns).unique(maintain_order=True)


def ask_list(
    rows: pl.DataFrame, assertions: Sequence[Assertion], series: Mapping[str, Series], now: int, notes: Notes
) -> pl.DataFrame:
    """Rows of a list (forecasts, events, members) without those that an assertion sets aside.

    Args:
        rows: line, series_id, period (the day a row is about), published (microseconds UTC: when it was issued or
            announced), value, shown (its value as text), and group: rows of one group follow and repeat each other, as
            the values of one series do.
        assertions: in the order they are asked; each sees what those before it left.
        series: declarations by stored id.
        now: microseconds UTC.
        notes: where the record is kept.
    """
    for one in assertions:
        if one.kind not in _HOW:
            continue
        grouped = rows.with_columns(series_id="group")
        mine = [name for name in series if name.partition("/")[2] in one.series]
        asked = rows["series_id"].is_in(mine)
        groups = {
            str(group): series[str(name)] for group, name in rows.filter(asked).select("group", "series_id").rows()
        }
        found = _HOW[one.kind](one.check, grouped, asked, Asked(groups, True, one.severity != "set aside", now))  # noqa: FBT003
        _note(one, found, rows.select(*KEY, "value"), notes)
        failing, reasons = rows.filter(found.failed), found.reasons.filter(found.failed)
        aside = one.severity == "set aside"
        frame = where(failing, [""] * failing.height if aside else failing["shown"].to_list())
        frame = frame.with_columns(before=failing["shown"], reason=reasons, decided=instants(failing))
        _failures(one, frame, notes)
        if aside and failing.height:
            said = pl.Series([f"{one.name}: {why}" for why in reasons], dtype=pl.String)
            notes.set_aside(failing, said, happened=False)
            rows = rows.filter(~found.failed)
    return rows


def enforce(label: str, assertions: Sequence[Assertion], notes: Notes) -> None:
    """Refuse what the assertions say to refuse, all of it in one message.

    Raises:
        DataError: an assertion failed, or could not be evaluated where that is refused, too.
    """
    verdicts = {str(row["assertion"]): row for row in notes.verdicts}
    said, counts = [], []
    for one in assertions:
        row = verdicts[one.name]
        if row["verdict"] == "unknown" and one.unknown:
            said.append(f"{one.name}: could not be evaluated on any row")
            counts.append(said[-1])
        elif row["verdict"] == "failed" and (one.severity == "refuse" or _nothing_to_set_aside(one, notes)):
            said.append(f"{one.name}: {_examples(one, notes)}")
            counts.append(f"{one.name}: failed on {row['failed']} row(s)")
    if said:
        error = DataError(
            f"{label}: {len(said)} assertion(s) do not hold",
            value=" | ".join(said),
            rule="nothing of a dataset is taken in while an assertion of severity refuse fails",
            fix="mend the file, declare a [[source.clean]] step, or say "
            f"severity = {_other_severities(assertions, said)}; `harness data failures DATASET` lists every row",
        )
        error.counts = " | ".join(counts)
        raise error


def _other_severities(assertions: Sequence[Assertion], said: Sequence[str]) -> str:
    """The severities that refused assertions may have instead, as a `dataset.toml` has them."""
    failing = [one for one in assertions if any(text.startswith(f"{one.name}: ") for text in said)]
    whole = [one.name for one in failing if one.kind in WHOLE]
    if len(whole) == len(failing):
        return '"warn"'
    return '"set aside" or "warn"' + (f' ("warn" alone for {", ".join(whole)})' if whole else "")


def _nothing_to_set_aside(one: Assertion, notes: Notes) -> bool:
    """Whether rows should be set aside for a column that is not there at all."""
    if one.severity != "set aside" or not isinstance(one.check, Schema):
        return False
    return any((frame["assertion"] == one.name).any() and frame["line"].null_count() for frame in notes.failures)


def _examples(one: Assertion, notes: Notes) -> str:
    mine = pl.concat([frame.filter(pl.col("assertion") == one.name) for frame in notes.failures])
    rows = mine.head(SHOWN).iter_rows(named=True)
    shown = "; ".join(
        " ".join(
            part
            for part in (
                f"line {row['line']}:" if row["line"] is not None else "",
                row["series"],
                row["period"],
                row["before"],
                f"({row['reason']})",
            )
            if part
        )
        for row in rows
    )
    return f"{mine.height} row(s) fail: {shown}" + ("; …" if mine.height > SHOWN else "")


def _note(one: Assertion, found: Judged, frame: pl.DataFrame, notes: Notes, *, missing: int = 0) -> None:
    notes.verdicts.append(
        {
            "place": len(notes.verdicts) + 1,
            "assertion": one.name,
            "kind": one.kind,
            "parameters": parameters(one.check),
            "severity": one.severity,
            "verdict": "failed" if missing else found.verdict,
            "rows": int(found.asked.sum()),
            "failed": int(found.failed.sum()) + missing,
            "unknown": int(found.unknown.sum()),
            "hash": frame_hash(frame),
        }
    )


def _failures(one: Assertion, rows: pl.DataFrame, notes: Notes) -> None:
    if not rows.height:
        return
    lacking = {
        name: pl.lit("", pl.String)
        for name, dtype in FAILURES.items()
        if name not in rows.columns and dtype == pl.String
    }
    said = rows.with_columns(**lacking).with_columns(assertion=pl.lit(one.name), severity=pl.lit(one.severity))
    notes.failures.append(said.select(FAILURES.names()).cast(FAILURES))
