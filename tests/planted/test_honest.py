"""Honest work that looks suspicious: the whole default audit passes, with no evidence against anybody."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.recipe import Recipe, Step
from tests.backtest.made_runs import AR, MINE, RIDGE, TREES, exported, quarter, releases, small
from tests.planted.made_audits import Made, alarms

CLASSES = (
    "Rowwise", "Trended", "Cancelling", "Optimised", "Forest", "Squares", "Filing", "Talking", "Seeded", "Tabled",
    "Caching", "Smoothed", "Trying", "Failing", "Exiting",
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
    assert alarms(made.audit()) == []


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


def test_learners_of_the_harness_and_steps_that_resample_or_come_from_scikit_learn_pass(tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    folder.mkdir()
    stepped = tuple(replace(RIDGE, name=name, steps=steps) for name, steps in STEPS.items())
    asked = small((AR, RIDGE, FOREST, QUANTILES, *stepped), folder)
    made = Made(tmp_path, asked, exported(releases(), tmp_path / "home"))
    assert alarms(made.audit()) == []
