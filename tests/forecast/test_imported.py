"""A model's library comes when the model is first fitted, and what its import warns of is not the model's."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from harness.forecast.imported import imported

MADE = """
import sys
from harness.core.recipe import Recipe
from harness.forecast.catalog import build, resolve_params
for kind in ("autoregression", "arima", "ets", "theta"):
    build(Recipe("one", kind, resolve_params(kind, {})))
assert "statsmodels" not in sys.modules
"""


def test_what_an_import_warns_of_is_told_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "warns_at_once.py").write_text(
        "import warnings\nwarnings.warn('old')\ndef later():\n    warnings.warn('mine')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        later = imported("warns_at_once", "later")
        assert not heard
        later()
    assert [str(one.message) for one in heard] == ["mine"]
    sys.modules.pop("warns_at_once")


@pytest.mark.slow
def test_models_are_made_without_their_library() -> None:
    subprocess.run([sys.executable, "-c", MADE], check=True)
    further = "import harness.forecast.imported as one; one.imported('statsmodels.tsa.statespace.sarimax', 'SARIMAX')"
    further += "\nassert 'statsmodels' in sys.modules"
    subprocess.run([sys.executable, "-c", MADE + further], check=True)
