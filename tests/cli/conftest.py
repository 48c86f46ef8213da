from pathlib import Path

import pytest

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
