"""Leaks that cannot be written down: what somebody would have to do is refused, or is an error in the build."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.core.errors import BeyondKnownError, UserError
from harness.core.recipe import Recipe, Step
from harness.core.snapshot import Snapshot
from harness.core.time import instant
from harness.data.archive import Archive
from harness.data.replay import Replay
from harness.forecast.catalog import build
from harness.forecast.steps.catalog import resolve_step
from harness.forecast.steps.pipeline import StepPipeline
from harness.forecast.steps.rows import StepRows, split_by_period
from harness.record.home import Home
from tests.conftest import ROOT
from tests.planted.world import World, made, monthly


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def snapshot(world: World) -> Snapshot:
    plan = world.ground(monthly()).plan
    replay = Replay(world.changes, plan.inputs)
    replay.advance(plan.instants[plan.first_scored])
    return replay.snapshot(plan.experiment.target)


@pytest.mark.parametrize("name", ["values", "published", "vintage"])
def test_a_snapshots_arrays_cannot_be_written_nor_made_writable(snapshot: Snapshot, name: str) -> None:
    array = getattr(snapshot.panels[0], name)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_a_snapshot_cannot_be_told_another_instant(snapshot: Snapshot) -> None:
    with pytest.raises(FrozenInstanceError):
        snapshot.known_at = 2**62  # type: ignore[misc]


def test_a_snapshot_leads_to_no_archive_no_connection_and_no_file(snapshot: Snapshot) -> None:
    seen: set[int] = set()

    def reached(value: object) -> set[str]:
        if id(value) in seen or isinstance(value, (str, bytes, int, float, type(None), np.ndarray)):
            return set()
        seen.add(id(value))
        inside = [getattr(value, one.name) for one in fields(value)] if hasattr(value, "__dataclass_fields__") else []  # type: ignore[arg-type]
        inside += list(value.values()) if isinstance(value, dict) else []
        inside += (
            list(vars(value).values())
            if type(value).__module__.startswith("harness") and hasattr(value, "__dict__")
            else []
        )
        inside += list(value) if isinstance(value, (tuple, list)) else []
        return {type(value).__module__}.union(*(reached(one) for one in inside))

    assert reached(snapshot) <= {
        "builtins", "datetime", "harness.core.series", "harness.core.snapshot", "harness.core.time",
        "harness.core.recipe", "harness.core.transform", "harness.core.names", "harness.core.declared",
    }  # fmt: skip


def test_a_replay_does_not_walk_back_and_so_holds_nothing_later(world: World) -> None:
    plan = world.ground(monthly()).plan
    replay = Replay(world.changes, plan.inputs)
    replay.advance(plan.instants[-1])
    with pytest.raises(UserError, match="only walks forward"):
        replay.advance(plan.instants[0])


def test_an_instant_beyond_what_was_ingested_is_refused(world: World) -> None:
    archive = Archive.open(Home(world.root / "home").archive, read_only=True)
    known = instant(min(world.changes.known_through.values()))
    archive.as_of(known)
    with pytest.raises(BeyondKnownError):
        archive.as_of(known + timedelta(days=400))


@pytest.mark.parametrize(
    "estimator",
    [("sklearn.linear_model.LassoCV", ()), ("sklearn.neural_network.MLPRegressor", (("early_stopping", True),))],
)
def test_copies_may_not_meet_a_model_that_splits_its_own_rows(
    estimator: tuple[str, tuple[tuple[str, object], ...]],
) -> None:
    params = (("estimator", estimator[0]), ("estimator_params", estimator[1]))
    step = Step("resample", resolve_step("resample", {"method": "oversample"}))
    with pytest.raises(UserError, match="both sides of the split"):
        build(Recipe("one", "sklearn", params, ("own",), steps=(Step("impute"), step)))


def test_no_copy_of_a_row_is_on_both_sides_of_an_inner_split() -> None:
    days = [date(2010, place % 12 + 1, 1) for place in range(24)]
    keys = pl.DataFrame({
        "series_id": ["a"] * 24, "pseudo_origin": [datetime(2010, 1, n + 1, tzinfo=UTC) for n in range(24)],
        "horizon": [0] * 24, "period": days,
    })  # fmt: skip
    own = np.arange(24)
    y = np.where(own % 12 < 2, 9.0, own / 100)
    rows = StepRows(("x",), y[:, None].copy(), keys, y, np.column_stack([own, own]), np.zeros(24, dtype=np.bool_))
    step = Step("resample", resolve_step("resample", {"method": "oversample"}))
    more = StepPipeline((step,)).fit(rows, seed=1, horizon=0)
    assert len(more) > len(rows)
    train, held = split_by_period(rows, more, {date(2010, 1, 1)})
    assert len(held) == 2
    assert not set(more.parents[train].ravel().tolist()) & set(held.tolist())
    # the same rows split one by one have copies on both sides
    naive = np.arange(len(more)) % 2 == 0
    assert set(more.parents[naive, 0].tolist()) & set(more.parents[~naive, 0].tolist())


WALLS = (
    ("harness/forecast/direct.py", "import harness.data.archive"),
    ("harness/score/losses.py", "import harness.data.outcomes"),
    ("harness/forecast/features.py", "import harness.data.outcomes"),
    ("harness/data/ingest/__init__.py", "import harness.data.outcomes"),
    ("harness/backtest/design.py", "import duckdb"),
    ("harness/forecast/steps/columns.py", "import harness.backtest.splits"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "line"), [("harness/cli.py", ""), *WALLS])
def test_an_import_through_a_wall_breaks_the_build(tmp_path: Path, file: str, line: str) -> None:
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / file
    path.write_text(
        path.read_text().replace(
            "from __future__ import annotations\n", f"from __future__ import annotations\n{line}\n", 1
        )
    )
    told = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ("0 broken" in told.stdout, told.returncode) == ((False, 1) if line else (True, 0)), told.stdout
