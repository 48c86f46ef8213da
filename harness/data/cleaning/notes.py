"""What is written down while a source is cleaned and checked: steps, rows touched, verdicts, rows that failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from harness.core.identity import canonical
from harness.core.time import instant
from harness.data.batch import SET_ASIDE, content_hash
from harness.data.cleaning.steps import Step, kind_of

TEXT, COUNT = pl.String(), pl.Int64()
CLEANING = pl.Schema(
    {
        "place": COUNT, "step": TEXT, "kind": TEXT, "parameters": TEXT, "rows_in": COUNT, "rows_out": COUNT,
        "touched": COUNT, "hash_before": TEXT, "hash_after": TEXT,
    }
)  # fmt: skip
_WHERE = {"line": COUNT, "series": TEXT, "period": TEXT, "published": TEXT, "before": TEXT, "after": TEXT}
TOUCHED = pl.Schema({"step": TEXT, **_WHERE, "reason": TEXT, "decided": TEXT})
ASSERTIONS = pl.Schema(
    {
        "place": COUNT, "assertion": TEXT, "kind": TEXT, "parameters": TEXT, "severity": TEXT, "verdict": TEXT,
        "rows": COUNT, "failed": COUNT, "unknown": COUNT, "hash": TEXT,
    }
)  # fmt: skip
FAILURES = pl.Schema({"assertion": TEXT, "severity": TEXT, **_WHERE, "reason": TEXT, "decided": TEXT})
UNCAPTURED = pl.Schema({"series_id": TEXT, "period": pl.Date(), "published": COUNT})
RECORDS = {"cleaning": CLEANING, "touched": TOUCHED, "assertions": ASSERTIONS, "failures": FAILURES}
"""The four tables of a cleaning record, each with the number of its batch before these columns in the archive."""


@dataclass(frozen=True, slots=True, eq=False)
class Treated:
    """The cleaning record of one source.

    Attributes:
        tables: frames of the forms of `RECORDS`.
        aside: rows not taken, as `Archive.set_aside()` shows them.
        uncaptured: series_id, period, published (microseconds UTC) of publications whose value was set aside: they
            happened, and count as releases.
        originals: content hash by name of files whose names were hashed, as they were before.
    """

    tables: dict[str, pl.DataFrame]
    aside: pl.DataFrame
    uncaptured: pl.DataFrame
    originals: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Notes:
    """Collects the record of one source, in the order things are done."""

    steps: list[dict[str, object]] = field(default_factory=list)
    touched: list[pl.DataFrame] = field(default_factory=list)
    verdicts: list[dict[str, object]] = field(default_factory=list)
    failures: list[pl.DataFrame] = field(default_factory=list)
    aside: list[pl.DataFrame] = field(default_factory=list)
    uncaptured: list[pl.DataFrame] = field(default_factory=list)

    def handed(self, function: str, given: pl.DataFrame, made: pl.DataFrame) -> None:
        """A function was handed a frame and made another of it: not recorded, but an audit keeps both."""

    def step(
        self,
        step: Step,
        before: pl.DataFrame,
        after: pl.DataFrame,
        touched: int,
        *,
        hide_before: bool = False,
        hide_after: bool = False,
    ) -> None:
        """Note one step; the hash of what was there before, or after, is left out where that would tell a secret."""
        self.steps.append(
            {
                "place": len(self.steps) + 1,
                "step": step.name,
                "kind": kind_of(step),
                "parameters": parameters(step),
                "rows_in": before.height,
                "rows_out": after.height,
                "touched": touched,
                "hash_before": "" if hide_before else frame_hash(before),
                "hash_after": "" if hide_after else frame_hash(after),
            }
        )

    def rows(self, name: str, rows: pl.DataFrame, reasons: pl.Series | str, after: Sequence[str] | None = None) -> None:
        """Note dated rows that a step touched: `rows` as they were, and their values after ("" = taken out)."""
        if rows.height:
            said = [""] * rows.height if after is None else after
            frame = where(rows, said).with_columns(step=pl.lit(name), reason=_column(reasons), decided=instants(rows))
            self.touched.append(frame.select(TOUCHED.names()))

    def words(self, name: str, found: Sequence[tuple[int | None, str, str, str]]) -> None:
        """Note words of the file that a step touched: line, before, after, reason."""
        if found:
            lines, before, after, reasons = zip(*found, strict=True)
            frame = pl.DataFrame(
                {"line": lines, "before": before, "after": after, "reason": reasons},
                schema={"line": COUNT, "before": TEXT, "after": TEXT, "reason": TEXT},
            )
            self.touched.append(_padded(frame.with_columns(step=pl.lit(name)), TOUCHED))

    def set_aside(self, rows: pl.DataFrame, reasons: pl.Series | str, *, happened: bool = True) -> None:
        """Note dated rows that are not taken; `happened`: their publications did, and count."""
        frame = where(rows, [""] * rows.height).with_columns(value=rows["value"], reason=_column(reasons))
        self.aside.append(frame.rename({"series": "series_id"}).select(SET_ASIDE.names()))
        if happened:
            self.uncaptured.append(rows.select(UNCAPTURED.names()))

    def lines_aside(self, reasons: Sequence[str]) -> None:
        """Note lines of the file that are not taken."""
        frame = pl.DataFrame({"reason": reasons}, schema={"reason": TEXT})
        self.aside.append(_padded(frame, SET_ASIDE))

    def done(self) -> Treated:
        """The record."""
        tables = {
            "cleaning": pl.DataFrame(self.steps, schema=CLEANING),
            "touched": _stacked(self.touched, TOUCHED),
            "assertions": pl.DataFrame(self.verdicts, schema=ASSERTIONS),
            "failures": _stacked(self.failures, FAILURES),
        }
        return Treated(tables, _stacked(self.aside, SET_ASIDE), _stacked(self.uncaptured, UNCAPTURED))


def parameters(declared: object) -> str:
    """A step or check as canonical JSON."""
    return json.dumps(canonical(declared), sort_keys=True, ensure_ascii=False)


def where(rows: pl.DataFrame, after: Sequence[str]) -> pl.DataFrame:
    """Line, series, period, publication and values of dated rows, as texts (`line` as a number)."""
    return pl.DataFrame(
        {
            "line": rows["line"],
            "series": rows["series_id"],
            "period": rows["period"].cast(pl.String),
            "published": instants(rows),
            "before": [number(value) for value in rows["value"].to_list()],
            "after": list(after),
        },
        schema=_WHERE,
    )


def instants(rows: pl.DataFrame) -> pl.Series:
    """When each row was published, as text: nothing that was decided of it could have been decided before."""
    return pl.Series("decided", [instant(at).isoformat() for at in rows["published"].to_list()], dtype=pl.String)


def number(value: float | None) -> str:
    """A value in full, "" where there is none."""
    return "" if value is None else repr(value)


def frame_hash(frame: pl.DataFrame) -> str:
    """SHA-256 of a frame's content."""
    plain = [
        pl.col(name).cast(pl.Int64) if isinstance(dtype, pl.Date | pl.Datetime) else pl.col(name)
        for name, dtype in frame.schema.items()
    ]
    return content_hash(frame.select(plain))


def _column(reasons: pl.Series | str) -> pl.Expr | pl.Series:
    return pl.lit(reasons) if isinstance(reasons, str) else reasons


def _padded(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The columns of a schema, those that a frame lacks empty."""
    given = [name for name in schema.names() if name in frame.columns]
    lacking = {
        name: pl.lit("", pl.String) if dtype == pl.String else pl.lit(None, dtype)
        for name, dtype in schema.items()
        if name not in given
    }
    return frame.with_columns(**lacking).select(schema.names())


def _stacked(frames: Sequence[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    return pl.concat([frame.cast(schema) for frame in frames]) if frames else pl.DataFrame(schema=schema)
