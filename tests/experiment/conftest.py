from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import ExperimentError
from harness.core.recipe import Experiment
from harness.experiment import load_experiment

TOY = """
schema = 1
name = "toy"
origin = "made up for tests"
licence = "none"

[defaults]
frequency = "Q"
zone = "Europe/London"

[series.cpi]
scale = "rebased"

[series.gdp]
scale = "rebased"

[series.unemployment]

[series.rate]
lag = { kind = "calendar_days", n = 20 }

[series.output]
frequency = "M"
lag = { kind = "calendar_days", n = 45 }

[series."stock.close"]
frequency = "B"
zone = "America/New_York"
calendar = "XNYS"
lag = { kind = "calendar_days", n = 0 }

[series."stock.high"]
frequency = "B"
zone = "America/New_York"
calendar = "XNYS"
lag = { kind = "calendar_days", n = 0 }

[series."stock.low"]
frequency = "B"
zone = "America/New_York"
calendar = "XNYS"
lag = { kind = "calendar_days", n = 0 }

[series.claims]
frequency = "W-SAT"

[series.takings]
frequency = "T"
period_table = [2019-12-28, 2020-03-28, 2020-06-27, 2020-09-26, 2020-12-26]

[[source]]
file = "vintages.csv"
series = ["cpi", "gdp", "unemployment", "rate", "claims", "takings"]
columns = { published_at = "published_at" }

[[source]]
file = "final.csv"
series = ["output"]

[[source]]
file = "bars.csv"
layout = "wide"
series = ["stock.close", "stock.high", "stock.low"]

[forecasts]
file = "forecasts.csv"

[forecasts.issuers.bank]
series = ["cpi"]
"""

CHANGES = """
schema = 1
name = "ledger"
origin = "made up for tests"
licence = "none"

[series.fails]
frequency = "M"
zone = "UTC"

[series.rate]
frequency = "Q"
zone = "UTC"

[[source]]
file = "changes.csv"
coverage = "changes"
columns = { published_at = "published_at" }
"""

BASE = """
schema = 1
name = "trial"
datasets = ["toy"]
"""
TARGET = """
[target]
series = ["cpi"]
transform = { log_growth = 4 }
"""
ORIGINS = """
[origins]
every = "quarter end"
first = 2010-03-31
"""
HORIZONS = """
[horizons]
steps = [0, 1]
"""

Load = Callable[..., Experiment]
Refused = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for experiment files beside two datasets."""
    for name, text in (("toy", TOY), ("ledger", CHANGES)):
        (tmp_path / "datasets" / name).mkdir(parents=True)
        (tmp_path / "datasets" / name / "dataset.toml").write_text(text, encoding="utf-8")
    (tmp_path / "experiments").mkdir()
    return tmp_path / "experiments"


@pytest.fixture
def load(folder: Path) -> Load:
    """Load an experiment made of a whole default file, with sections replaced and more text appended."""

    def write_and_load(
        more: str = "", *, base: str = BASE, target: str = TARGET, origins: str = ORIGINS, horizons: str = HORIZONS
    ) -> Experiment:
        file = folder / "trial.toml"
        file.write_text(base + target + origins + horizons + more, encoding="utf-8")
        return load_experiment(file)

    return write_and_load


@pytest.fixture
def refused(load: Load) -> Refused:
    """The problems of a file that must not load."""

    def problems(more: str = "", **sections: str) -> list[str]:
        with pytest.raises(ExperimentError) as caught:
            load(more, **sections)
        return list(caught.value.problems)

    return problems
