from pathlib import Path

import pytest

import harness as hs
from harness.record.home import Home

EXPERIMENT = """
schema = 1
name = "toy"
question = 'Is <b>"it"</b> & that better?'
datasets = ["uk_macro"]

[target]
series = ["cpi"]
transform = { log_growth = 4 }

[origins]
every = "quarter end"
first = 2021-03-31
warm_up = 2

[horizons]
steps = [0, 1]

[training]
minimum = 24

[models.ar]
kind = "autoregression"

[models.mpr]
kind = "external"
source = "mpr"

[models.bayes]
kind = "external"
source = "bvar_conditional"

[models.broken]
kind = "broken_model:Broken"

[models.saved]
kind = "broken_model:Broken"
fallback = "drift"

[kpi]
unit = "GBP m"
kind = "asymmetric_linear"
under = 3.0
over = 1.0
"""
BROKEN = '''
class Broken:
    """Never answers."""

    def fit(self, rows, snapshot, *, seed):
        pass

    def predict(self, rows, snapshot):
        raise ArithmeticError("<i>no answer</i>")
'''


@pytest.fixture(scope="session")
def toy(uk_home: Home, tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    """A small finished run: rivals, AR, two externals, a model that always fails, one that is saved by a fallback."""
    folder: Path = tmp_path_factory.mktemp("experiments")
    (folder / "toy.toml").write_text(EXPERIMENT)
    (folder / "broken_model.py").write_text(BROKEN)
    return hs.backtest(folder / "toy.toml", home=uk_home.root, workers=1)
