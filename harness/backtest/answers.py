"""From a forecaster's answer to a cell: every asked row gets a status and a reason, nothing is dropped or invented."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan
from harness.core.frames import ANSWER_SCHEMA
from harness.core.recipe import Recipe
from harness.core.snapshot import NO_POSITION, Snapshot, target_panel
from harness.core.time import micros
from harness.record.cells import CELL_SCHEMA

Integers = NDArray[np.int64]
KEYS = ["series_id", "horizon", "period"]
ASKED = "asked"


class Asked:
    """The rows one cell must answer: every target series asked at the origin at every horizon, in that order.

    Attributes:
        series, horizons: [row] index into the target's series and the experiment's horizons.
        issue_age: [row] days since the newest issue of an external was made; NaN for other models.
        before_issue: [row] no issue of the external was known yet, or the origin lies outside its declared span.
    """

    def __init__(self, plan: Plan, origin: int, snapshot: Snapshot, recipe: Recipe) -> None:
        self.plan, self.origin, self.snapshot, self.recipe = plan, origin, snapshot, recipe
        rows, steps = plan.members.rows(origin), len(plan.experiment.horizons)
        self.series: Integers = np.repeat(rows, steps)
        self.horizons: Integers = np.tile(np.arange(steps), len(rows))
        ages = [self._issue_age(name) for name in plan.experiment.target.series]
        self.issue_age = np.array(ages)[self.series]
        self.before_issue = np.array([bool(recipe.source) and np.isnan(age) for age in ages])[self.series]

    def _issue_age(self, series_id: str) -> float:
        if not self.recipe.source:
            return float("nan")
        moment = self.plan.instants[self.origin]
        issued = [
            issue.issued_at
            for issue in self.snapshot.issues
            if issue.source == self.recipe.source and issue.series_id == series_id
        ]
        return (micros(moment) - max(issued)) / 86_400e6 if issued else float("nan")


def blank_cell(asked: Asked, short: Mapping[int, str]) -> pl.DataFrame:
    """The cell before any answer: rows with their keys, facts and status (`asked` where the model has to answer).

    Args:
        asked: the rows.
        short: reasons by horizon index for which there are too few matured target periods.
    """
    plan, experiment = asked.plan, asked.plan.experiment
    panel = target_panel(asked.snapshot)
    ends = [panel.timeline.position(int(end)) for end in plan.ends[asked.origin]]
    last = panel.last[plan.members.places(panel.ids)[asked.series]]
    gap = np.array(ends, dtype=np.int64)[asked.horizons] - np.where(last == NO_POSITION, 0, last)
    public = plan.already_public(asked.origin)[asked.series, asked.horizons]
    status = np.where(public, "already_public", np.where(asked.before_issue, "not_issued", ASKED)).astype(object)
    reasons = np.full(len(status), None, dtype=object)
    reasons[status == "not_issued"] = "nothing was issued by then"
    for horizon, reason in short.items():
        rows = (asked.horizons == horizon) & (status == ASKED)
        status[rows], reasons[rows] = "abstained", reason
    steps = np.array(experiment.horizons, dtype=np.int64)
    return pl.DataFrame(
        {
            "series_id": [experiment.target.series[row] for row in asked.series],
            "origin": [plan.instants[asked.origin]] * len(status),
            "horizon": steps[asked.horizons],
            "period": plan.end_days[asked.origin][asked.horizons].astype("datetime64[D]"),
            "quantile": [None] * len(status),
            "value": [None] * len(status),
            "status": status.tolist(),
            "reason": reasons.tolist(),
            "trained_at": [None] * len(status),
            "last_known_period": [None if at == NO_POSITION else panel.timeline.end(int(at)) for at in last],
            "info_gap": [None if at == NO_POSITION else int(far) for at, far in zip(last, gap, strict=True)],
            "phase": [int(plan.phase[asked.origin])] * len(status),
            "issue_age": [None if np.isnan(age) else float(age) for age in asked.issue_age],
        },
        schema=CELL_SCHEMA,
    )


def checked_answers(
    blank: pl.DataFrame, answers: object, *, failure: str = "", trained_at: datetime | None = None
) -> pl.DataFrame:
    """Fill a blank cell with a model's answers, or mark the asked rows failed with the reason.

    A null value is an abstention; NaN or infinity, a missing row, a row not asked for or a repeated one is a failure.
    """
    mine = pl.col("status") == ASKED
    problem = failure or _problem(blank.filter(mine), answers)
    if problem:
        return blank.with_columns(
            pl.when(mine).then(pl.lit("failed")).otherwise("status").alias("status"),
            pl.when(mine).then(pl.lit(problem)).otherwise("reason").alias("reason"),
        )
    assert isinstance(answers, pl.DataFrame)  # noqa: S101 - _problem refused everything else
    given = answers.select(ANSWER_SCHEMA.names()).cast(ANSWER_SCHEMA)
    if in_order(blank.filter(mine).select(KEYS), given):
        places = np.flatnonzero(blank["status"].to_numpy() == ASKED)
        spread = pl.Series("value", [None] * blank.height, dtype=pl.Float64()).scatter(places, given["value"])
        joined = blank.with_columns(spread)
    else:
        keyed = blank.with_row_index("row").drop("quantile", "value")
        joined = keyed.join(given, on=KEYS, how="left", maintain_order="left")
        joined = joined.sort("row", "quantile", nulls_last=False)
    return joined.with_columns(_judged(mine, trained_at)).select(CELL_SCHEMA.names()).cast(CELL_SCHEMA)


def in_order(keys: pl.DataFrame, given: pl.DataFrame) -> bool:
    """Whether the answer is one point per asked row, in the asked order (the usual case, and the cheap one)."""
    return given.height == keys.height == given["quantile"].null_count() and given.select(KEYS).equals(keys)


def _judged(mine: pl.Expr, trained_at: datetime | None) -> list[pl.Expr]:
    """Status, reason, value and time of training of the answered rows."""
    value, absent = pl.col("value"), pl.col("value").is_null()
    bad = value.is_nan() | value.is_infinite()
    status = pl.when(bad).then(pl.lit("failed")).when(absent).then(pl.lit("abstained")).otherwise(pl.lit("ok"))
    broken = pl.when(bad).then(pl.lit("predict: the answer is not a finite number"))
    why = broken.when(absent).then(pl.lit("the model gave no value"))
    return [
        pl.when(~mine).then("status").otherwise(status).alias("status"),
        pl.when(~mine)
        .then("reason")
        .otherwise(why.when(absent).then(pl.lit("the model gave no value")))
        .alias("reason"),
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
