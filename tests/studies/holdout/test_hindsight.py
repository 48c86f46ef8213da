"""History that a sealed vintage puts before the cut does not make an opening differ from development."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.core.recipe import FeatureBlock, Recipe
from harness.core.series import LagRule, Series
from harness.core.time import micros
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.derive import ASSUMED
from harness.record.home import Home
from harness.record.seals import Seal
from harness.studies.holdout.scope import without_hindsight
from tests.studies.holdout import made_holdouts as made
from tests.studies.holdout.made_holdouts import CUT_AT, END, kinds


def filled(home: Home, frame: pl.DataFrame | None = None, lag: LagRule | None = None) -> Archive:
    """The archive whose input was first published after the cut, with all its history."""
    values = made.values() if frame is None else frame
    mine = pl.col("series_id") == "gdp"
    late = values.filter(~mine | (pl.col("published_at") >= CUT_AT))
    first = late.filter(mine)["published_at"].min()
    early = values.filter(mine).unique("period", keep="last", maintain_order=True)
    early = early.with_columns(published_at=pl.lit(first, dtype=pl.Datetime("us", "UTC")))
    history = early.join(late, on=["series_id", "period", "published_at"], how="anti")
    home.root.mkdir(parents=True, exist_ok=True)
    archive = Archive.open(home.archive)
    rule = LagRule("calendar_days", n=40)
    archive.define(Series("cpi", "Q", zone="Europe/London"), Series("gdp", "Q", zone="Europe/London", lag=lag or rule))
    archive.append(pl.concat([late, history]), source="made", known_through=END)
    return archive


def reaching_back(changes: ChangeFile) -> int:
    at = micros(CUT_AT)
    return int(((changes.availability == ASSUMED) & (changes.published < at) & (changes.vintage >= at)).sum())


def test_what_an_opening_walks_on_lacks_it(tmp_path: Path) -> None:
    changes = filled(Home(tmp_path)).changes()
    seal = Seal("s1", CUT_AT.isoformat(), ("cpi", "gdp"))
    assert reaching_back(changes) > 20
    left = without_hindsight(changes, [seal])
    assert reaching_back(left) == 0
    assert len(changes.code) - len(left.code) == reaching_back(changes)
    assert np.array_equal(np.sort(left.published), left.published)
    other = without_hindsight(changes, [Seal("s1", CUT_AT.isoformat(), ("cpi",))])
    assert other is changes  # of what is not sealed development knew it


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")  # the input has no value in development
def test_an_input_first_published_after_the_cut_does_not_make_the_opening_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "filled", filled)
    one = made.sealed(tmp_path)
    blocks = (FeatureBlock("gdp", "gdp", latest=(1,), transform=Transform("log_growth", 1)),)
    ridge = Recipe("ar", "sklearn", (("estimator", "sklearn.linear_model.Ridge"),), features=("gdp",))
    asked = made.experiment(features=blocks, models=(ridge,), pseudo_real_time=True)
    one.run(asked)
    made.opened(one, made.planned(one, asked), asked)
    assert kinds(one.home)[-3:] == ["opening", "closing", "result"]
