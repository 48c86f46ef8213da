"""LightGBM without its scikit-learn interface, beside the whole of it for whoever asks."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAN = """
import sys
from harness.forecast.boosting import lgb
assert not {"sklearn", "pandas", "lightgbm"} & {name for name, module in sys.modules.items()}, "more than was asked for"
import lightgbm, numpy as np
assert lightgbm is not lgb
rows = np.arange(200.0)[:, None]
whole = lightgbm.LGBMRegressor(n_estimators=3, verbosity=-1).fit(rows, rows[:, 0])
ours = lgb.train({"verbosity": -1}, lgb.Dataset(rows, rows[:, 0]), num_boost_round=3)
assert np.array_equal(whole.predict(rows), ours.predict(rows))
"""
WHOLE = """
import lightgbm
from harness.forecast.boosting import lgb
assert lgb is lightgbm
"""


@pytest.mark.slow
def test_training_needs_no_scikit_learn_and_others_still_get_it() -> None:
    subprocess.run([sys.executable, "-c", LEAN], check=True)


@pytest.mark.slow
def test_a_module_that_is_there_is_taken() -> None:
    subprocess.run([sys.executable, "-c", WHOLE], check=True)
