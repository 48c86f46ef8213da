"""The planted leaks, and what must give each of them away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from functools import partial

import harness.data.lags as lags_room
import harness.data.stamps as stamps_room
from harness.core.recipe import Experiment
from harness.studies.scramble import RAW
from tests.planted.leaks import BOOSTING, DESIGN, INGEST, OUTCOMES, REPLAY, SPLITS, STEPS, Plant
from tests.planted.leaks_in_files import (
    clipped_at_all_rows,
    ends_in_utc,
    issues_begin_with_their_day,
    lag_of_all_rows,
    period_before,
    without_time_of_day,
)
from tests.planted.leaks_in_fits import fitted_on_all, stopped_on_later_rows
from tests.planted.leaks_in_rows import (
    as_of_refit,
    centred,
    filled,
    in_design,
    joined_on_period,
    lag_in_rows,
    realised,
    refreshed,
)
from tests.planted.leaks_in_snapshots import (
    as_wide_as_ever,
    dated_by_next,
    declared_through,
    declared_whole,
    final_labels,
    issued_early,
    one_release_early,
    own_cutoffs,
    replayed_by_period,
    unpurged,
    with_fates,
    without_latency,
)
from tests.planted.world import monthly, quarterly


@dataclass(frozen=True, slots=True)
class Specimen:
    """One leak.

    Attributes:
        name: what the patched code does wrong.
        rule: the law or rule it breaks.
        kind: the way of scrambling that must show it.
        stage, place: the first hand-over that moves, and the module behind it.
        plant: applies the patch.
        series, row, column: what the evidence must name (regular expressions; "" = nothing to name).
        asked: the experiment it is planted in.
        models: the models that are run.
        drop: raw batches lose their later rows instead of getting other values.
        origin: how many origins after the first scored one it is looked for; None = in the middle.
    """

    name: str
    rule: str
    kind: str
    stage: str
    place: str
    plant: Plant
    series: str = ""
    row: str = ""
    column: str = ""
    asked: Callable[[], Experiment] = monthly
    models: tuple[str, ...] = ("ridge",)
    drop: bool = False
    origin: int | None = None


EVENING = partial(monthly, at=time(21))
SPECIMENS = (
    Specimen(
        "a rolling mean is centred", "law 1", "removed", "training rows", DESIGN, in_design(centred),
        series="made/", column=r"own\.rolling_mean_3",
    ),
    Specimen(
        "a lag counts rows of a ragged panel", "law 1", "removed", "asked rows", DESIGN, in_design(lag_in_rows),
        series="made/[ac]", column=r"own\.lag_1",
    ),
    Specimen(
        "missing values are filled backwards", "law 6", "removed", "asked rows", DESIGN,
        in_design(partial(filled, weight=1.0)), series="made/b", column=r"own\.lag_1",
    ),
    Specimen(
        "missing values are interpolated across the origin", "law 6", "noise", "asked rows", DESIGN,
        in_design(partial(filled, weight=0.5)), series="made/b", column=r"own\.lag_1",
    ),
    Specimen(
        "an input known ahead is its realised future", "law 1", "noise", "asked rows", DESIGN, in_design(realised),
        column=r"rate\.known_ahead_0",
    ),
    Specimen(
        "features are joined on the period", "law 1", "noise", "training rows", DESIGN, joined_on_period,
        series="made/", column=r"own\..*",
    ),
    Specimen(
        "frozen rows are made again of each refit's vintage", "law 3", "noise", "frozen rows", DESIGN, refreshed,
        series="made/", column=r"own\..*",
    ),
    Specimen(
        "rows hold final numbers at their own origins' periods", "law 3", "noise", "asked rows", DESIGN, as_of_refit,
        series="made/", column=r"own\.latest_1",
    ),
    Specimen(
        "latency is forgotten", "S2", "removed", "snapshot", REPLAY, without_latency, series="made/",
        asked=partial(monthly, latency=timedelta(days=10)),
    ),
    Specimen(
        "a snapshot is joined on the period", "law 1", "noise", "snapshot", REPLAY, replayed_by_period,
        series="made/",
    ),
    Specimen(
        "an external forecast is used before its issue", "S23", "noise", "issues", REPLAY, issued_early,
        series="made/a", models=("bank",),
    ),
    Specimen(
        "declarations tell release days to come", "S20", "removed", "declarations", REPLAY, declared_whole,
        series="made/rate", column="declared",
    ),
    Specimen(
        "declarations tell how far the archive reaches", "S20", "removed", "declarations", REPLAY, declared_through,
        series="made/", column="declared",
    ),
    Specimen(
        "a panel is as wide as it will be", "S20", "removed", "declarations", REPLAY, as_wide_as_ever,
        series="made/", column="periods",
    ),
    Specimen(
        "a value carries the instant of its next revision", "S20", "restamped", "snapshot", REPLAY,
        partial(dated_by_next, known=True), series="made/", column="published_at",
    ),
    Specimen(
        "an unpublished period carries the instant it will come out", "S20", "restamped", "snapshot", REPLAY,
        partial(dated_by_next, known=False), series="made/",
    ),
    Specimen(
        "overlapping labels are not purged", "law 4", "outcomes", "matured rows", SPLITS, with_fates(unpurged),
        series="made/",
    ),
    Specimen(
        "every series of a panel has its own cutoff", "law 4", "removed", "matured rows", SPLITS,
        with_fates(own_cutoffs), series="made/c",
    ),
    Specimen(
        "a label is used one release early", "law 4", "removed", "matured rows", SPLITS, one_release_early,
        series="made/",
    ),
    Specimen(
        "labels are final values under the date of the first", "S11", "noise", "outcomes", OUTCOMES, final_labels,
        series="made/", column="value|status",
    ),
    Specimen(
        "a scaler is fitted on all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("scale"),
        row=r"parameter steps.*(centre|scale)", column="value", models=("scaled",),
    ),
    Specimen(
        "an imputer is fitted on all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("impute"),
        row=r"parameter steps.*fill", column="value", models=("scaled",),
    ),
    Specimen(
        "outliers are cut at quantiles of all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("winsorise"),
        row=r"parameter steps.*(low|high)", column="value", models=("scaled",),
    ),
    Specimen(
        "columns are selected on all rows", "law 6", "outcomes", "fit", STEPS, fitted_on_all("select"),
        row=r"parameter steps.*(scores|kept)", column="value", models=("chosen",),
    ),
    Specimen(
        "components are those of all rows", "law 6", "noise", "fit", STEPS, fitted_on_all("pca"),
        row=r"parameter steps.*(axes|mean|share)", column="value", models=("chosen",),
    ),
    Specimen(
        "categories are those of all rows", "law 6", "removed", "fit", STEPS, fitted_on_all("encode"),
        row=r"parameter steps.*categories", models=("encoded",), origin=0,
    ),
    Specimen(
        "trees are stopped by rows after the origin", "law 6", "outcomes", "fit", BOOSTING, stopped_on_later_rows,
        row="parameter models", column="value", models=("gbm",),
    ),
    Specimen(
        "ingest drops the time of day", "law 1", RAW, "archive", INGEST, without_time_of_day, series="made/a",
    ),
    Specimen(
        "stamps end their day in UTC", "S1", RAW, "archive", INGEST, ends_in_utc(stamps_room), series="made/gdp",
        column="value", asked=quarterly,
    ),
    Specimen(
        "a lag rule ends its day in UTC", "S1", RAW, "archive", INGEST, ends_in_utc(lags_room), series="made/rate",
        column="value", asked=EVENING,
    ),
    Specimen(
        "a period is filed under the one before", "law 1", RAW, "archive", INGEST, period_before,
        series="made/rate", column="value",
    ),
    Specimen(
        "a lag is estimated from the whole file", "S7", RAW, "archive", INGEST, lag_of_all_rows, series="made/",
        drop=True,
    ),
    Specimen(
        "outliers are cut at quantiles of the whole file", "S21", RAW, "archive", INGEST, clipped_at_all_rows,
        series="made/",
    ),
    Specimen(
        "an issue counts from the day before", "S23", RAW, "archive", INGEST, issues_begin_with_their_day,
        series="made/a", models=("bank",),
    ),
)  # fmt: skip
