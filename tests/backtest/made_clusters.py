"""Models that look around in the worker they run in, one that kills it, and a run that a cluster shares out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.backtest.engines import Where
from harness.backtest.runner import execute
from harness.core.recipe import Experiment, Recipe
from harness.core.search import Domain, Search
from harness.record.home import Home
from harness.record.runs import find_run
from tests.backtest.made_runs import AR, MINE, RIDGE, TREES, Ran, quarter, small

CODE = '''
import os
import signal
import sys
from pathlib import Path

import polars as pl
from own_models import Newest


class Looking(Newest):
    """Fails where DuckDB is loaded or libraries have threads; leaves the number of its process."""

    def __init__(self, seen):
        super().__init__()
        self.seen = Path(seen)

    def predict(self, rows, snapshot):
        if "duckdb" in sys.modules:
            raise RuntimeError("DuckDB is loaded")
        threads = {pl.thread_pool_size(), int(os.environ.get("OMP_NUM_THREADS", 99))}
        if threads != {1} or not os.environ.get("HARNESS_WORKER"):
            raise RuntimeError(f"threads {threads}")
        (self.seen / str(os.getpid())).touch()
        return super().predict(rows, snapshot)


class Deadly(Newest):
    """Kills the process it runs in after an instant, as long as the folder holds fewer than so many deaths."""

    def __init__(self, deaths, times, after):
        super().__init__()
        self.deaths, self.times, self.after = Path(deaths), times, after

    def predict(self, rows, snapshot):
        died = len(list(self.deaths.iterdir()))
        if snapshot.origin.isoformat() > self.after and died < self.times:
            (self.deaths / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(rows, snapshot)
'''
TUNED = replace(
    TREES,
    name="tuned",
    search=Search((Domain("num_leaves", "int", 2, 6, default=3),), trials=3, sampler="random", folds=2, retune_every=4),
)


def mixed(place: Path) -> Experiment:
    """Models that share nothing, store fits, search, come from the user's own files."""
    storing = replace(MINE, name="storing", kind="own_models:Storing")
    asked = small((AR, RIDGE, TREES, TUNED, storing), place)
    return replace(asked, origins=replace(asked.origins, first=quarter(22)))


def looking(place: Path, seen: Path) -> Experiment:
    """One model that looks around in its worker."""
    seen.mkdir(exist_ok=True)
    (place / "cluster_models.py").write_text(CODE)
    return small((Recipe("looking", "cluster_models:Looking", (("seen", str(seen)),), ("own",)),), place)


def deadly(place: Path, deaths: Path, times: int) -> Experiment:
    """One model that kills its worker so often, in the middle of its origins; beside it a plain one."""
    deaths.mkdir(exist_ok=True)
    (place / "cluster_models.py").write_text(CODE)
    params = (("after", quarter(22).isoformat()), ("deaths", str(deaths)), ("times", times))
    return small((AR, Recipe("deadly", "cluster_models:Deadly", params, ("own",))), place)


def run_on(where: Where, asked: Experiment, changes: Path, home: Path, workers: int | None = None) -> Ran:
    """Execute on an engine and read back."""
    place = Home(home)
    return Ran(find_run(place, execute(asked, changes, place, workers=workers, where=where)))
