import shutil
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.record.audits import write_audit
from harness.record.home import Home

EXPERIMENT = """
schema = 1
name = "small"
question = "Is AR better than the rivals?"
datasets = ["uk_macro"]

[target]
series = ["cpi"]
transform = { log_growth = 4 }

[origins]
every = "quarter end"
first = 2022-03-31
warm_up = 1

[horizons]
steps = [0, 1]

[models.ar]
kind = "autoregression"
"""


@pytest.fixture
def small(uk_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment in a working folder of its own, on the shared archive."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_HOME", str(uk_home.root))
    folder = tmp_path / "experiments"
    folder.mkdir()
    file = folder / "small.toml"
    file.write_text(EXPERIMENT)
    return file


KEPT = (
    EXPERIMENT.replace('"small"', '"kept"')
    + """
[features.own]
transform = { log_growth = 1 }
latest = [1, 2]
rolling_mean = [4]
age = true

[features.gdp]
series = "gdp"
transform = { log_growth = 4 }
latest = [1]

[models.gbm]
kind = "lightgbm"
params = { n_estimators = 5, num_leaves = 4, min_data_in_leaf = 5 }

[models.mpr]
kind = "external"
source = "mpr"

[models.tuned]
kind = "lightgbm"
features = ["own"]
params = { n_estimators = 5, num_leaves = 4, min_data_in_leaf = 5 }

[models.tuned.search]
trials = 4
folds = 2
retune_every = 8

[models.tuned.search.space]
num_leaves = { int = [2, 8] }
"""
)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """A home with every kind of record, and the id of its run; tests copy it before they touch it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "kept.toml").write_text(KEPT)
    home = Home(folder / "home")
    ingest(Path(__file__).parents[2] / "datasets" / "uk_macro", Archive.open(home.archive), raw_dir=home.raw)
    run = hs.backtest(folder / "kept.toml", home=home.root, workers=1)
    facts = {"name": "kept", "verdict": "pass", "checks": {}, "not_provable": []}
    write_audit(home, run.id, facts, {"findings": pl.DataFrame({"check": ["facts"]})})
    return home, run.id


@pytest.fixture
def kept(whole: tuple[Home, str], tmp_path: Path) -> tuple[Home, str]:
    """A copy of that home of the test's own, and the id of its run."""
    home = Home(tmp_path / "copy")
    shutil.copytree(whole[0].root, home.root)
    return home, whole[1]
