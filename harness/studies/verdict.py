"""What a check found: its verdict, the evidence for it and the price that was paid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import polars as pl

from harness.core.frames import UTC_INSTANT

Verdict = Literal["pass", "fail", "not shown"]
PASSED: Verdict = "pass"
FAILED: Verdict = "fail"
NOT_SHOWN: Verdict = "not shown"
FINDING_SCHEMA = pl.Schema(
    {
        "check": pl.String(),
        "how": pl.String(),
        "origin": UTC_INSTANT,
        "stage": pl.String(),
        "place": pl.String(),
        "model": pl.String(),
        "series_id": pl.String(),
        "row": pl.String(),
        "column": pl.String(),
        "expected": pl.String(),
        "found": pl.String(),
        "cells": pl.Int64(),
    }
)
NOT_PROVABLE = (
    "features, datasets, outcome rule, start date, thresholds and fixed hyperparameters chosen in hindsight",
    "that publication dates and lag rules are true: they are taken as stated",
    "costs of a KPI, classes and constants written in hindsight",
    "models pretrained on later text or data, and what code of yours or installed packages carry inside themselves",
    "what small tables beside your cleaning functions hold that are no declared source: they are taken as your code is",
    "how often the results were looked at before: see harness effort",
)
"""What no audit of a pipeline can show (S30)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence: two numbers that should be the same bits, or a fact that should not be.

    Attributes:
        check: name of the check.
        how: which variant of it: the scramble, the liberty, the origin order, ....
        origin: the sampled origin; None where there is none.
        stage: the first hand-over that differs.
        place: where that comes in: `module` of the harness or `module:name` of the user.
        model: the model concerned, "" = before any model.
        series_id: the series concerned, "" = none.
        row: the row concerned: period, pseudo-origin, horizon, as text.
        column: the column concerned.
        expected, found: the two values, as text that keeps every bit.
        cells: values of this hand-over that differ.
    """

    check: str
    how: str = ""
    origin: datetime | None = None
    stage: str = ""
    place: str = ""
    model: str = ""
    series_id: str = ""
    row: str = ""
    column: str = ""
    expected: str = ""
    found: str = ""
    cells: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One check of an audit.

    Attributes:
        name: `scramble`, `control`, `isolation`, `outcomes`, `tuning`, `facts`, `placebo`, `premium`, `stress`.
        verdict: `pass` (within the pipeline), `fail` or `not shown`.
        said: one sentence: what was done and what came of it.
        findings: evidence; of a passed check, what is worth knowing.
        tables: figures by name.
        cells: cells computed for it (one model at one origin).
        seconds: what it took.
    """

    name: str
    verdict: Verdict
    said: str
    findings: tuple[Finding, ...] = ()
    tables: tuple[tuple[str, pl.DataFrame], ...] = ()
    cells: int = 0
    seconds: float = 0.0


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """One row per finding, columns of `FINDING_SCHEMA`."""
    rows = [tuple(getattr(one, name) for name in FINDING_SCHEMA.names()) for one in findings]
    return pl.DataFrame(rows, schema=FINDING_SCHEMA, orient="row")


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of several checks together.

    >>> worst(["pass", "not shown"]), worst(["fail", "not shown"]), worst(["pass"])
    ('not shown', 'fail', 'pass')
    """
    return FAILED if FAILED in verdicts else NOT_SHOWN if NOT_SHOWN in verdicts else PASSED
