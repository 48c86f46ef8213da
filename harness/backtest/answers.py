"""From a forecaster's answer to a cell: every asked row gets a status and a reason, nothing is dropped or invented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan
from harness.core.frames import ANSWER_SCHEMA
from harness.core.names import names_of
from harness.core.recipe import Recipe
from harness.core.snapshot import NO_POSITION, Snapshot, target_panel
from harness.core.time import MICROS_PER_DAY, Timeline, micros, period_ends
from harness.core.transform import Floats
from harness.record.cells import CELL_SCHEMA
from harness.record.panel_cells import (
    ABSTAINED,
    ASKED,
    FAILED,
    NOT_ISSUED,
    OK,
    PUBLIC,
    STATUSES,
    PanelAnswers,
)

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
KEYS = ["series_id", "horizon", "period"]
NO_VALUE = "the model gave no value"
NOT_FINITE = "predict: the answer is not a finite number"


class Asked:
    """The rows one cell must answer: every target series asked at the origin at every horizon, in that order.

    Attributes:
        rows: [member] index into the target's series.
        names: [member] stored ids.
        issue_age: [member] days since the newest issue of an external was made; NaN for other models.
    """

    def __init__(self, plan: Plan, origin: int, snapshot: Snapshot, recipe: Recipe) -> None:
        self.plan, self.origin, self.snapshot, self.recipe = plan, origin, snapshot, recipe
        self.rows = plan.members.rows(origin)
        self.names = plan.members.names(origin)
        self.issue_age: Floats = np.full(1, np.nan)
        if recipe.source:
            self.issue_age = np.array([self._issue_age(name) for name in self.names], dtype=np.float64)
        self.issue_age = np.broadcast_to(self.issue_age, len(self.names))

    def _issue_age(self, series_id: str) -> float:
        moment = self.plan.instants[self.origin]
        issued = [
            issue.issued_at
            for issue in self.snapshot.issues
            if issue.source == self.recipe.source and issue.series_id == series_id
        ]
        return (micros(moment) - max(issued)) / MICROS_PER_DAY if issued else float("nan")


def blank_cell(asked: Asked, short: Mapping[int, str]) -> PanelAnswers:
    """The cell before any answer: rows with their keys, facts and status (`asked` where the model has to answer).

    Args:
        asked: the rows.
        short: reasons by horizon index for which there are too few matured target periods.
    """
    plan, experiment = asked.plan, asked.plan.experiment
    panel = target_panel(asked.snapshot)
    places = names_of(panel.ids).rows_of(asked.names)
    last = panel.last if places is None else panel.last[places]
    shape = len(asked.names), len(experiment.horizons)
    status = np.full(shape, ASKED, dtype=np.uint8)
    reason = np.zeros(shape, dtype=np.uint8)
    reasons = ["", *dict.fromkeys(short.values())]
    for horizon, why in short.items():
        status[:, horizon], reason[:, horizon] = ABSTAINED, reasons.index(why)
    if asked.recipe.source:
        early = np.isnan(asked.issue_age)
        reasons.append("nothing was issued by then")
        status[early], reason[early] = NOT_ISSUED, len(reasons) - 1
    public = plan.already_public(asked.origin)
    if public.any():
        public = public[asked.rows]
        status[public], reason[public] = PUBLIC, 0
    return PanelAnswers(
        series=names_of(asked.names),
        origin=plan.instants[asked.origin],
        horizons=np.array(experiment.horizons, dtype=np.int32),
        periods=plan.end_days[asked.origin].astype("datetime64[D]"),
        ends=np.array([panel.timeline.position(int(end)) for end in plan.ends[asked.origin]], dtype=np.int64),
        value=np.broadcast_to(np.full(1, np.nan), shape),
        status=status,
        reason=reason,
        reasons=tuple(reasons),
        answered=np.broadcast_to(np.zeros(1, dtype=bool), shape),
        trained_at=None,
        last_known=_days(panel.timeline, last),
        last=last,
        phase=int(plan.phase[asked.origin]),
        issue_age=asked.issue_age,
    )


def _days(timeline: Timeline, positions: Integers) -> NDArray[np.datetime64]:
    """Last days of the periods at some positions; NaT where there is none."""
    out = np.full(len(positions), np.datetime64("NaT"), dtype="datetime64[D]")
    there = positions != NO_POSITION
    ordinals = positions[there] if timeline.sessions is None else timeline.sessions[positions[there]]
    out[there] = period_ends(timeline.frequency, ordinals.astype(np.int64))
    return out


def failed(blank: PanelAnswers, why: str) -> PanelAnswers:
    """The asked rows marked failed with the reason."""
    mine = blank.status == ASKED
    status, reason = blank.status.copy(), blank.reason.copy()
    status[mine], reason[mine] = FAILED, len(blank.reasons)
    return replace(blank, status=status, reason=reason, reasons=(*blank.reasons, why))


def filled(
    blank: PanelAnswers, value: Floats, trained_at: datetime | None, *, absent: Flags | None = None
) -> PanelAnswers:
    """A blank cell with the answers of a whole grid.

    Args:
        blank: the cell before any answer.
        value: [series, horizon] answers; those of rows that are not asked are left out.
        trained_at: when the model was fitted; None = it is not fitted.
        absent: [series, horizon] where the model gave none; None = where it is NaN. Another NaN is a failure.
    """
    mine = blank.status == ASKED
    finite = np.isfinite(value)
    if mine.all() and finite.all():
        good = np.zeros(blank.shape, dtype=np.uint8)
        return replace(blank, value=value, status=good, answered=mine, trained_at=trained_at)
    absent = np.isnan(value) if absent is None else absent
    status, reason = blank.status.copy(), blank.reason.copy()
    status[mine] = OK
    for rows, code, number in ((absent, ABSTAINED, 0), (~finite & ~absent, FAILED, 1)):
        status[mine & rows], reason[mine & rows] = code, len(blank.reasons) + number
    return replace(
        blank,
        value=np.where(mine & finite & ~absent, value, np.nan),
        status=status,
        reason=reason,
        reasons=(*blank.reasons, NO_VALUE, NOT_FINITE),
        answered=mine,
        trained_at=trained_at,
    )


def checked_answers(
    blank: PanelAnswers, answers: object, *, failure: str = "", trained_at: datetime | None = None
) -> PanelAnswers | pl.DataFrame:
    """Fill a blank cell with a model's answers, or mark the asked rows failed with the reason.

    A null value is an abstention; NaN or infinity, a missing row, a row not asked for or a repeated one is a failure.
    """
    if failure:
        return failed(blank, failure)
    mine = (blank.status == ASKED).ravel()
    if isinstance(answers, pl.DataFrame) and _as_asked(blank, mine, answers):
        return _taken(blank, mine, answers, trained_at)
    tidy = blank.frame()
    wanted = tidy if mine.all() else tidy.filter(pl.Series(mine))
    problem = _problem(wanted, answers)
    if problem:
        return failed(blank, problem)
    assert isinstance(answers, pl.DataFrame)  # noqa: S101 - _problem refused everything else
    given = answers.select(ANSWER_SCHEMA.names()).cast(ANSWER_SCHEMA)
    if not in_order(wanted.select(KEYS), given):
        return _joined(tidy, given, trained_at)
    return _taken(blank, mine, given, trained_at)


def _as_asked(blank: PanelAnswers, mine: Flags, answers: pl.DataFrame) -> bool:
    """Whether an answer has the schema and is one point per asked row, in their order."""
    if (
        answers.schema != ANSWER_SCHEMA
        or answers.height != mine.sum()
        or answers["quantile"].null_count() < len(answers)
    ):
        return False
    if any(answers[name].null_count() for name in KEYS):
        return False
    row, step = np.divmod(np.flatnonzero(mine), len(blank.horizons))
    days = answers["period"].to_numpy().astype("datetime64[D]")
    if (days != blank.periods[step]).any() or (answers["horizon"].to_numpy() != blank.horizons[step]).any():
        return False
    names = blank.series.column
    return answers["series_id"].equals(names if np.array_equal(row, np.arange(len(names))) else names.gather(row))


def _taken(blank: PanelAnswers, mine: Flags, given: pl.DataFrame, trained_at: datetime | None) -> PanelAnswers:
    """A blank cell with the points of an answer in the asked order."""
    value, absent = np.full(len(mine), np.nan), np.zeros(len(mine), dtype=bool)
    value[mine] = given["value"].to_numpy()
    if given["value"].null_count():
        absent[mine] = given["value"].is_null().to_numpy()
    return filled(blank, value.reshape(blank.shape), trained_at, absent=absent.reshape(blank.shape))


def checked_rows(blank: pl.DataFrame, answers: object, *, failure: str = "") -> pl.DataFrame:
    """The same for tidy rows of any targets, columns of `CELL_SCHEMA`, all of them with status `asked`."""
    problem = failure or _problem(blank, answers)
    if problem:
        return blank.with_columns(pl.lit(STATUSES[FAILED]).alias("status"), pl.lit(problem).alias("reason"))
    assert isinstance(answers, pl.DataFrame)  # noqa: S101 - _problem refused everything else
    return _joined(blank, answers.select(ANSWER_SCHEMA.names()).cast(ANSWER_SCHEMA), None)


def _joined(tidy: pl.DataFrame, given: pl.DataFrame, trained_at: datetime | None) -> pl.DataFrame:
    """Tidy rows with the answers of their keys, quantiles after their point."""
    keyed = tidy.with_row_index("row").drop("quantile", "value")
    joined = keyed.join(given, on=KEYS, how="left", maintain_order="left").sort("row", "quantile", nulls_last=False)
    judged = _judged(pl.col("status") == STATUSES[ASKED], trained_at)
    return joined.with_columns(judged).select(CELL_SCHEMA.names()).cast(CELL_SCHEMA)


def in_order(keys: pl.DataFrame, given: pl.DataFrame) -> bool:
    """Whether the answer is one point per asked row, in the asked order (the usual case, and the cheap one)."""
    return given.height == keys.height == given["quantile"].null_count() and given.select(KEYS).equals(keys)


def _judged(mine: pl.Expr, trained_at: datetime | None) -> list[pl.Expr]:
    """Status, reason, value and time of training of the answered rows."""
    value, absent = pl.col("value"), pl.col("value").is_null()
    bad = value.is_nan() | value.is_infinite()
    status = pl.when(bad).then(pl.lit("failed")).when(absent).then(pl.lit("abstained")).otherwise(pl.lit("ok"))
    broken = pl.when(bad).then(pl.lit(NOT_FINITE))
    return [
        pl.when(~mine).then("status").otherwise(status).alias("status"),
        pl.when(~mine).then("reason").otherwise(broken.when(absent).then(pl.lit(NO_VALUE))).alias("reason"),
        pl.when(mine & ~bad).then(value).alias("value"),
        pl.when(mine).then(pl.lit(trained_at, dtype=CELL_SCHEMA["trained_at"])).alias("trained_at"),
    ]


def _problem(wanted: pl.DataFrame, answers: object) -> str:
    """Why an answer cannot be taken; "" when it can."""
    if not isinstance(answers, pl.DataFrame):
        return f"predict: returned {type(answers).__name__}, not a polars frame"
    missing = [name for name in ANSWER_SCHEMA.names() if name not in answers.columns]
    if missing:
        return f"predict: the answer lacks the column {missing[0]}"
    try:
        return _row_problem(wanted.select(KEYS), answers.select(ANSWER_SCHEMA.names()).cast(ANSWER_SCHEMA))
    except pl.exceptions.PolarsError as error:
        return f"predict: the answer has the wrong types: {' '.join(str(error).split())[:150]}"


def _row_problem(keys: pl.DataFrame, given: pl.DataFrame) -> str:
    if in_order(keys, given):
        return ""
    if given.join(keys, on=KEYS, how="anti").height:
        return "predict: the answer has rows that were not asked for"
    if given.select([*KEYS, "quantile"]).is_duplicated().any():
        return "predict: the answer has repeated rows"
    points = given.filter(pl.col("quantile").is_null())
    if keys.join(points, on=KEYS, how="anti").height:
        return "predict: the answer lacks rows that were asked for"
    return ""
