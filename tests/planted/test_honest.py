"""Honest work that looks suspicious: the whole default audit passes, with no evidence against anybody."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.recipe import OutcomeRule, Recipe, Step
from tests.backtest.made_runs import AR, MINE, RIDGE, TREES, exported, quarter, releases, small
from tests.planted import made_worlds
from tests.planted.made_audits import Made, alarms

CLASSES = (
    "Rowwise", "Trended", "Cancelling", "Optimised", "Forest", "Squares", "Filing", "Talking", "Seeded", "Tabled",
    "Caching", "Smoothed", "Trying", "Pooled", "Failing", "Exiting",
)  # fmt: skip
UNUSABLE = ("nothing", "a hole", "not a number", "a repeat", "words")


def beside(folder: Path) -> Path:
    """A folder with the honest classes and what they import."""
    (folder / "family").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("honest_models.py"), folder / "mine.py")
    (folder / "neighbour.py").write_text("def mean_of(*arrays):\n    return sum(arrays) / len(arrays)\n")
    (folder / "family" / "__init__.py").write_text("from .constants import WEIGHTS\n")
    (folder / "family" / "constants.py").write_text("WEIGHTS = (0.25, 0.75)\n")
    (folder / "family" / "tables.py").write_text("from . import WEIGHTS\n\n__all__ = ['WEIGHTS']\n")
    return folder


def classes(*names: str) -> tuple[Recipe, ...]:
    return tuple(Recipe(name.lower(), f"mine:{name}", (), ("own", "gdp")) for name in names)


@pytest.mark.slow
def test_honest_classes_of_the_users_pass(tmp_path: Path) -> None:
    folder = beside(tmp_path / "experiments")
    late = quarter(20).isoformat()
    models = (
        *classes(*CLASSES),
        *(
            Recipe(f"unusable_{place}", "mine:Unusable", (("how", how),), ("own",))
            for place, how in enumerate(UNUSABLE)
        ),
        replace(MINE, name="breaking", params=(("fail_after", late), ("scale", 0.5))),
        replace(MINE, name="abstaining", params=(("abstain_at", (quarter(18).isoformat(),)), ("scale", 0.5))),
        replace(MINE, name="unfitted", params=(("refuse", True),)),
        replace(RIDGE, name="centred", steps=(Step("impute"), Step("mine:Centre"))),
    )
    made = Made(tmp_path, small(models, folder), exported(releases(), tmp_path / "home"))
    found = made.audit()
    assert found.passed
    assert [check.name for check in found.checks if check.verdict != "pass"] == ["scramble"]
    # what never answers is no leak, but nothing is shown of it either
    scramble = found.check("scramble")
    assert scramble.verdict == "not shown"
    never = {recipe.name for recipe in models if recipe.kind in ("mine:Unusable", "mine:Failing", "mine:Exiting")}
    assert {finding.model for finding in scramble.findings} == never | {"unfitted"}


FOREST = Recipe("forest", "sklearn", (("estimator", "sklearn.ensemble.RandomForestRegressor"),
                                      ("estimator_params", (("n_estimators", 5),))), ("own", "gdp"))  # fmt: skip
QUANTILES = replace(TREES, name="quantiles", params=(*TREES.params, ("quantiles", (0.1, 0.9))))
STEPS = {
    "oversampled": (Step("impute"), Step("resample", (("method", "oversample"),))),
    "bootstrapped": (Step("impute"), Step("resample", (("method", "moving_block"),))),
    "stationary": (Step("impute"), Step("resample", (("method", "stationary"),))),
    "smote": (Step("impute"), Step("resample", (("method", "smote"), ("neighbours", 2)))),
    "scaled": (Step("winsorise"), Step("impute"), Step("scale"), Step("pca", (("components", 2),))),
    "power": (Step("impute"), Step("sklearn.preprocessing.PowerTransformer")),
    "quantiled": (Step("impute"), Step("sklearn.preprocessing.QuantileTransformer", (("n_quantiles", 5),))),
    "selected": (Step("impute"), Step("rank"), Step("select", (("k", 2), ("method", "mutual_information")))),
}


@pytest.mark.slow
def test_learners_of_the_harness_and_steps_that_resample_or_come_from_scikit_learn_pass(tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    folder.mkdir()
    stepped = tuple(replace(RIDGE, name=name, steps=steps) for name, steps in STEPS.items())
    asked = small((AR, RIDGE, FOREST, QUANTILES, *stepped), folder)
    made = Made(tmp_path, asked, exported(releases(), tmp_path / "home"))
    assert alarms(made.audit()) == []


@pytest.mark.slow
def test_modules_of_one_name_beside_two_experiments_are_not_mixed_up(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "home")
    for name, factor in (("first", 0.5), ("second", 2.0)):
        folder = beside(tmp_path / name)
        (folder / "neighbour.py").write_text(f"def mean_of(*arrays):\n    return {factor} * sum(arrays)\n")
        assert alarms(Made(tmp_path, small(classes("Tabled"), folder), changes).audit()) == []


@pytest.mark.slow
def test_a_package_on_the_search_path_may_be_imported_late_and_bring_its_own_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, folder = tmp_path / "library", tmp_path / "experiments"
    for one in (library / "grown", folder):
        one.mkdir(parents=True)
    (library / "grown" / "__init__.py").write_text("")
    (library / "grown" / "inner.py").write_text("SCALE = 0.25\n")
    (library / "grown" / "model.py").write_text(LATE_IMPORT)
    (library / "data.csv").write_text("value\n1\n")
    monkeypatch.syspath_prepend(str(library))
    small((), folder)
    (library / "plain_models.py").write_text((folder / "own_models.py").read_text())
    asked = small((Recipe("grown", "grown.model:Late", (), ("own",)),), folder)
    assert alarms(Made(tmp_path, asked, exported(releases(), tmp_path / "home")).audit()) == []


LATE_IMPORT = """
import polars as pl
from plain_models import Newest


class Late(Newest):
    def predict(self, rows, snapshot):
        from grown.inner import SCALE

        return super().predict(rows, snapshot).with_columns(pl.col("value") * SCALE)
"""


WORLDS: dict[str, Callable[[Path], Made]] = {
    "a panel with a late series, holes and withdrawn values": made_worlds.panel,
    "the latest value is the truth": lambda folder: made_worlds.pinned(folder, OutcomeRule("latest", 0)),
    "the third release is the truth": lambda folder: made_worlds.pinned(folder, OutcomeRule("release", 3)),
    "the value after 90 days is the truth": lambda folder: made_worlds.pinned(folder, OutcomeRule("after", 90)),
    "no features, complete releases": made_worlds.bare,
    "changes with their publications": made_worlds.told_as_changes,
    "surveys published early, announcements, releases at the very instant": made_worlds.months,
    "sessions with unscheduled closures in pseudo real time": made_worlds.sessions,
    "a dataset with assumed history and forecasts issued the same day": made_worlds.dataset,
}


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_honest_experiments_on_odd_data_pass(world: str, tmp_path: Path) -> None:
    assert alarms(WORLDS[world](tmp_path).audit()) == []
