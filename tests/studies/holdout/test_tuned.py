"""An opening tunes as development did: searches of development come out again, also those a clock had ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.backtest.tuning import study
from harness.core.errors import DamagedError
from harness.core.recipe import Experiment, FeatureBlock, Recipe
from harness.core.search import Domain, Search
from harness.core.transform import Transform
from harness.record.plans import HoldoutPlan
from harness.record.runs import find_run, read_manifest
from harness.record.studies import read_study
from harness.studies.holdout import open as opening
from tests.studies.holdout.conftest import copied
from tests.studies.holdout.made_holdouts import CLAIM, SEAL_ID, Made, experiment, kinds, opened, planned, sealed

SPACE = (Domain("learning_rate", "float", 0.02, 0.5, log=True),)
SEARCH = Search(space=SPACE, trials=None, seconds=0.5, folds=2, retune_every=6, batch=1)
SMALL = (("min_data_in_leaf", 2), ("n_estimators", 5), ("num_leaves", 4))
TUNED = Recipe("tuned", "lightgbm", SMALL, ("own",), search=SEARCH)
OWN = FeatureBlock("own", "cpi", Transform("log_growth", 1), latest=(1, 2))
Tuned = tuple[Made, HoldoutPlan]


def asked() -> Experiment:
    return experiment(models=(TUNED,), features=(OWN,), horizons=(0,), claim=replace(CLAIM, model="tuned"))


@pytest.fixture(scope="session")
def _tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    made = sealed(tmp_path_factory.mktemp("tuned"))
    made.run(asked())
    return made, planned(made, asked())


@pytest.fixture
def tuned(_tuned: Tuned, tmp_path: Path) -> Tuned:
    """A sealed home whose development was tuned by the clock, and its plan."""
    return copied(_tuned[0], tmp_path), _tuned[1]


def keys(manifest: Mapping[str, object]) -> dict[str, str]:
    """Searches of a run: origin -> key."""
    told = manifest["studies"]
    assert isinstance(told, dict)
    return dict(told["tuned"])


def faster(patch: pytest.MonkeyPatch, times: int) -> None:
    """Let the seconds of a search pass so many times as fast as they do."""
    patch.setattr(study, "time", SimpleNamespace(perf_counter=lambda: times * time.perf_counter()))


@pytest.mark.slow
def test_a_search_limited_by_seconds_ends_in_an_opening_where_it_had_ended(
    tuned: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plan = tuned
    recorded = keys(read_manifest(find_run(made.home, str(plan.run["id"]))))
    ended = [read_study(made.home.studies, key) for key in recorded.values()]
    by_clock = [len(one.trials) for one in ended if one.end["end"] == "0.5 seconds"]
    assert max(by_clock) > 1  # so that a faster clock would end it earlier
    faster(monkeypatch, 1000)  # a machine on which fewer trials fit in, in development as in the holdout
    ran = opened(made, plan, asked())
    assert kinds(made.home)[-3:] == ["opening", "closing", "result"]
    assert ran.forecasts.filter("scored").height > 0
    searched = list((made.home.vault / SEAL_ID / "openings" / plan.id / "studies").iterdir())
    assert len(searched) > len(recorded)  # those of development, and the holdout was tuned on too


@pytest.mark.slow
def test_without_the_record_of_the_clock_the_opening_would_be_void(
    tuned: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plan = tuned
    faster(monkeypatch, 1000)
    monkeypatch.setattr(opening, "clocks", lambda *_: {})
    with pytest.raises(DamagedError, match="development did not come out as it was recorded"):
        opened(made, plan, asked())
    assert kinds(made.home)[-1] == "void"
