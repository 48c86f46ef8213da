"""The terms both sides are held to: panels, origins, horizons, features, LightGBM's parameters, and how a job reports.

Only the standard library is imported, as the peers live in an environment of their own that knows nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

ORIGINS, HORIZONS = 12, 12
"""Of the job of the naive rivals: forecasts issued, and periods ahead in each, the one containing the origin first."""
SNAPSHOTS = 200
"""Origins of the job of the replay, evenly spaced over the publications."""
DAILY, MONTHLY = "D", "M"
SEASON = {DAILY: 7, MONTHLY: 12}
LAGS = {DAILY: (1, 2, 3, 7, 14), MONTHLY: (1, 2, 3, 6, 12)}
MEANS = {DAILY: (7, 28), MONTHLY: (3, 12)}
"""What LightGBM learns from: the newest known values by age, and means over so many of the newest."""
OUTSIDE = "outside training"
"""Figure of a report: the share of the seconds in which LightGBM neither binned rows nor grew trees."""
COMPONENTS, SIMPLE = "ZZZ", "ANN"
"""Error, trend and season of exponential smoothing: all chosen by the corrected AIC; simple."""
UNITS = "units"
"""Figure of a report: how many of what a job is counted by it did, fits or forecasts of a series at an origin."""
TREES = 200
BOOSTING: dict[str, object] = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "min_data_per_group": 100,
}
FIXED: dict[str, object] = {
    "force_row_wise": True,
    "deterministic": True,
    "feature_pre_filter": False,
    "use_missing": True,
    "verbosity": -1,
}
"""What our `lightgbm` sets and nobody can change; the peer is given the same."""


def native() -> dict[str, object]:
    """LightGBM's parameters, by the names under which its scikit-learn wrapper has defaults of its own."""
    renamed = {"min_data_in_leaf": "min_child_samples"}
    return {renamed.get(name, name): value for name, value in BOOSTING.items()}


@dataclass(frozen=True, slots=True)
class Panel:
    """A generated panel.

    Attributes:
        name: its letter.
        series, periods: its size.
        frequency: `DAILY` or `MONTHLY`.
        revisions: how often each value is published; more than once means that it was revised.
        since: first period of a daily panel.
    """

    name: str
    series: int
    periods: int
    frequency: str
    revisions: int = 1
    since: str = "2018-01-01"

    @property
    def season(self) -> int:
        """Periods of a season."""
        return SEASON[self.frequency]

    @property
    def rows(self) -> int:
        """Values published."""
        return self.series * self.periods * self.revisions


PANELS = {
    panel.name: panel
    for panel in (
        Panel("A", 1_000, 500, DAILY),
        Panel("B", 10_000, 300, DAILY),
        Panel("C", 100_000, 120, MONTHLY),
        Panel("D", 1_000_000, 60, MONTHLY),
        Panel("R", 2_000, 200, MONTHLY, revisions=50),
    )
}


def panel_of(name: str, *, series: int = 0, periods: int = 0, revisions: int = 0) -> Panel:
    """A panel by its letter, made smaller or larger where a size is given (0 = as it is)."""
    given = {"series": series, "periods": periods, "revisions": revisions}
    return replace(PANELS[name], **{key: value for key, value in given.items() if value})


@dataclass(slots=True)
class Report:
    """What a job tells: seconds per stage, and figures by which two sides can be seen to have done the same.

    Attributes:
        seconds: by stage, in the order they came; the clock starts after imports.
        check: figures by name.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    check: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one of a name that was there before adds to it."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def close(self) -> None:
        """Print it, as the last line of the job."""
        sys.stdout.write(json.dumps({"seconds": self.seconds, "check": self.check}) + "\n")
