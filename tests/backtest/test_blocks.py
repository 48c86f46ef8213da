"""A panel answered block of series by block has the bits of one walk over all of them, whatever the blocks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import harness.backtest.task as room
from harness import cli
from harness.backtest import blocks, bounds, runner
from harness.backtest.blocks import restricted, spans
from harness.backtest.engine import Engine, InProcess, Workers
from harness.backtest.engines import Where
from harness.backtest.keys import recipe_identity
from harness.backtest.layout import compact
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of
from harness.backtest.spent import Spent
from harness.backtest.splits import Plan
from harness.backtest.task import Context, Task, run_task
from harness.core.errors import UserError
from harness.core.recipe import Experiment, Recipe, Target
from harness.core.snapshot import Panel, Snapshot
from harness.core.time import NEVER, Timeline, parse_frequency
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from harness.experiment.launch import tell_memory
from harness.forecast import catalog
from harness.forecast.baselines import Naive
from harness.forecast.catalog import CATALOG, build, resolve_params
from harness.forecast.paths import Asked, ask_grid
from harness.record.cell_parts import CellInParts, Scratch
from harness.record.home import Home
from harness.record.memory import passed_text, private_memory
from harness.record.runs import find_run, read_manifest
from harness.report.facts import facts_of
from harness.report.run import Run
from harness.report.summary import cost
from tests.backtest.made_runs import MINE, RIDGE, Ran, exported, quarter, run, small

GBM = Recipe("gbm", "lightgbm", resolve_params("lightgbm", {"n_estimators": 5}), ("own",))
NAMES = tuple(f"s{number}" for number in range(7))
KINDS = ("last_value", "seasonal_last_value", "drift", "historic_mean", "zero", "path_last_step", "path_seasonal_step")


def ragged(series: tuple[str, ...] = NAMES, quarters: int = 26) -> pl.DataFrame:
    """Quarterly levels: series begin at different times, have holes, one is withdrawn for a while, one is all zero."""
    rows: list[tuple[str, object, datetime, float | None]] = []
    for place, name in enumerate(series):
        random, level = Random(name), 50.0 + place
        for number in range(3 * (place % 3), quarters):
            level *= 1 + random.gauss(0.01, 0.02)
            at = datetime.combine(
                quarter(number) + timedelta(days=95 if place in {4, 6} else 30), datetime.min.time(), UTC
            )
            if place == 2 and number in {9, 20}:
                continue
            value = -0.0 if place == 5 else round(level, 3)
            rows.append((name, quarter(number), at, value))
            if number % 5 == 0 and place != 5:
                rows.append((name, quarter(number), at + timedelta(days=91), round(level * 1.001, 3)))
            if place == 3 and number == 18:
                rows.append((name, quarter(number), at + timedelta(days=1), None))
    schema = {"series_id": pl.String, "period": pl.Date, "published_at": pl.Datetime("us", "UTC"), "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(ragged(), place)


def asked_of(folder: Path, transform: Transform, names: tuple[str, ...], models: tuple[Recipe, ...]) -> Experiment:
    few = small(models, folder)
    few = replace(few, origins=replace(few.origins, first=quarter(22)))
    return replace(few, target=Target(names, transform, season=4), features=(), horizons=(0, 1))


def cells(plan: Plan, changes: Path, home: Home, block: int, pool: Executor | None = None) -> dict[str, bytes]:
    """Every file of the cells of the plan's models, answered in blocks; side by side in threads where there are."""
    recipes = tuple((recipe, recipe_identity(recipe, plan.experiment)) for recipe in plan.experiment.models)
    keys = tuple(tuple(f"{recipe.name}-{origin}" for origin in plan.issued) for recipe, _ in recipes)
    spent = run_task(Context(plan, changes, None, home, block=block), Task(recipes, tuple(plan.issued), keys), pool)
    assert spent.cells == len(recipes) * len(plan.issued)
    assert not list(home.cells.glob(".*"))
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in sorted(home.cells.glob("*/*"))}


@settings(max_examples=6, deadline=None)
@given(
    some.sampled_from([("level", 1), ("log_growth", 4), ("difference", 1), ("spread", 1)]),
    some.permutations(NAMES),
    some.sampled_from([1, 2, 5, len(NAMES) - 1, len(NAMES)]),
    some.booleans(),
    some.booleans(),
)
def test_blocks_of_any_size_give_the_same_cells(
    changes: Path,
    tmp_path_factory: pytest.TempPathFactory,
    kind: tuple[str, int],
    order: list[str],
    block: int,
    hindsight: bool,
    back: bool,
) -> None:
    folder = tmp_path_factory.mktemp("cells")
    transform = Transform(kind[0], kind[1], other="s1" if kind[0] == "spread" else "")  # type: ignore[arg-type]
    models = tuple(Recipe(kind, kind) for kind in KINDS)
    asked = replace(asked_of(folder, transform, tuple(order), models), exclude_hindsight=hindsight)
    asked = replace(asked, horizons=(-1, 0, 1) if back else (0, 1))
    plan = build_plan(asked, ChangeFile.open(changes))
    whole = cells(plan, changes, Home(folder / "whole"), 0)
    # where a quarter back is asked, some series are public already: statuses differ from row to row
    assert any(b'"status": 0' in content for content in whole.values()) != back
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ORIGINS", 2)
        patch.setattr(blocks, "CHANGES", 0)
        patch.setattr("harness.data.series_blocks.CHUNK", 50)
        assert cells(plan, changes, Home(folder / "cut"), block) == whole
        with ThreadPoolExecutor(2) as pool:
            assert cells(plan, changes, Home(folder / "beside"), block, pool) == whole


def test_blocks_cover_every_series_once_and_their_plans_know_no_other(changes: Path, tmp_path: Path) -> None:
    assert [(one.start, one.stop) for one in spans(7, 3)] == [(0, 3), (3, 5), (5, 7)]
    plan = build_plan(
        asked_of(tmp_path, Transform("level"), NAMES, (Recipe("drift", "drift"),)), ChangeFile.open(changes)
    )
    some_of_them = restricted(plan, slice(2, 5))
    assert some_of_them.experiment.target.series == NAMES[2:5] == some_of_them.members.known(0)
    assert some_of_them.outcomes.value.base is not None  # a view
    assert np.array_equal(some_of_them.already_public(9), plan.already_public(9)[2:5])


# ---- who may be asked so


def panel_of_steps(count: int) -> Snapshot:
    """Daily levels of some series, with holes."""
    random = np.random.default_rng(3)
    values = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (count, 90)), axis=1))
    values[random.random(values.shape) < 0.05] = np.nan
    ids = tuple(f"x{row}" for row in range(count))
    stamps = np.full(values.shape, 0)
    panel = Panel(ids, Timeline(parse_frequency("D")), 18_000, values, stamps, np.full(values.shape, NEVER))
    return Snapshot(datetime(2020, 1, 1, tzinfo=UTC), 0, (panel,), {})


def grid_of(snapshot: Snapshot, model: Naive, target: Target, rows: slice) -> np.ndarray:
    panel = snapshot.panels[0]
    own = Panel(
        panel.ids[rows], panel.timeline, panel.first, panel.values[rows], panel.published[rows], panel.vintage[rows]
    )
    one = Snapshot(snapshot.origin, 0, (own,), {}, replace(target, series=panel.ids[rows]))
    days = np.arange(18_000 + 88, 18_000 + 95).astype("datetime64[D]")
    return model.grid(ask_grid(one, panel.ids[rows], days))


def answers_in_blocks(model: Naive, target: Target) -> bool:
    """Whether a model answers some series, and then the others, as it answers all of them."""
    snapshot, count = panel_of_steps(6), 6
    whole = grid_of(snapshot, model, target, slice(0, count))
    cut = [np.concatenate([grid_of(snapshot, model, target, rows) for rows in spans(count, width)]) for width in (1, 4)]
    return all(one.tobytes() == whole.tobytes() for one in cut)


def target_for(volatile: bool) -> Target:
    transform = Transform("realised_volatility", 5) if volatile else Transform("log_growth", 3)
    return Target(("x0",), transform, season=7)


def test_every_kind_that_claims_to_answer_alone_does() -> None:
    claiming = [kind for kind, entry in CATALOG.items() if entry.alone]
    assert {"last_value", "drift", "path_mean_step", "expanding_mean", "ewma"} <= set(claiming)
    assert not {"lightgbm", "sklearn", "external"} & set(claiming)
    for kind in claiming:
        recipe = Recipe(kind, kind, catalog.resolve_params(kind, {}))
        if CATALOG[kind].fitted:  # see test_block_fits
            continue
        model = build(recipe)
        assert isinstance(model, Naive)
        assert answers_in_blocks(model, target_for(bool(CATALOG[kind].volatility))), kind


def test_one_that_lies_is_caught() -> None:
    def of_all(asked: Asked) -> np.ndarray:
        return np.broadcast_to(np.nanmean(asked.panel.values), asked.shape)

    assert not answers_in_blocks(Naive(of_all), target_for(False))


def test_a_model_that_breaks_is_given_all_series(
    changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(asked: Asked) -> np.ndarray:
        if "s4" in asked.panel.ids and asked.panel.last.max() > 80:
            raise ValueError(f"not with {len(asked.panel.ids)} series")
        return np.ones(asked.shape)

    entry = replace(CATALOG["zero"], factory=lambda: Naive(breaks))
    monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({**CATALOG, "breaks": entry}))
    asked = asked_of(tmp_path, Transform("log_growth", 1), NAMES, (Recipe("breaks", "breaks"),))
    plan = build_plan(asked, ChangeFile.open(changes))
    whole = cells(plan, changes, Home(tmp_path / "whole"), 0)
    assert any(b"not with 7 series" in content for content in whole.values())
    assert cells(plan, changes, Home(tmp_path / "cut"), 2) == whole


def test_parts_that_do_not_belong_together_are_refused(changes: Path, tmp_path: Path) -> None:
    asked = asked_of(tmp_path, Transform("level"), NAMES, (Recipe("drift", "drift"),))
    plan = build_plan(asked, ChangeFile.open(changes))
    cells(plan, changes, Home(tmp_path), 0)
    first, second = (
        read.panel
        for key in sorted(path.name for path in Home(tmp_path).cells.iterdir())[:2]
        if (read := runner.read_cell(Home(tmp_path).cells, key)) is not None
    )
    assert first is not None
    assert second is not None
    with Scratch(tmp_path) as scratch:
        part = CellInParts(scratch, "key", first.series)
        with pytest.raises(ValueError, match="not all rows"):
            part.write({})
        part.add(first, 0)
        with pytest.raises(ValueError, match="does not belong"):
            part.add(second, 0)
    assert not list(tmp_path.glob(".tmp*"))


# ---- the memory of a run


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seven series are many, and a block has two; how wide those of each task were."""
    widths: list[int] = []

    def noted(*given: object, **more: object) -> None:
        widths.append(int(str(given[3])))
        blocks.answer_in_blocks(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(bounds, "LARGE", 2)
    monkeypatch.setattr(bounds, "FEWEST", 2)
    monkeypatch.setattr(room, "answer_in_blocks", noted)
    return widths


def test_a_run_that_keeps_to_little_memory_has_the_same_bits(changes: Path, tmp_path: Path, many: list[int]) -> None:
    asked = asked_of(tmp_path, Transform("difference", 1), NAMES, ())
    free = run(asked, changes, tmp_path / "free")
    assert many == []
    home = Home(tmp_path / "little")
    run_id = runner.execute(asked, changes, home, workers=1, where=Where(memory=0.001))
    assert set(many) == {2}
    little = Ran(find_run(home, run_id))
    assert little.keys == free.keys
    assert run_id == free.files.run_id
    told = passed_text(read_manifest(find_run(home, run_id))["measured"])  # type: ignore[arg-type]
    assert re.search(
        r"0.001 GB are allowed, which was passed in: plan, .* \([0-9.e-]+ GB before any data were read\)$", told
    )
    for name in ("forecasts", "errors", "scores", "leaderboard"):
        files = [one.files.folder / f"{name}.parquet" for one in (free, little)]
        assert files[0].read_bytes() == files[1].read_bytes()


RIDGE_LESS = Recipe("ar", "autoregression", (("max_lags", 2),))


GREEDY = """
import time
import numpy as np
from own_models import Newest


class Greedy(Newest):
    def predict(self, rows, snapshot):
        if snapshot.origin.isoformat()[:7] == "2010-09":
            held = np.ones(15_000_000)  # 120 MB
            time.sleep(0.2)
        return super().predict(rows, snapshot)
"""


@pytest.mark.slow
def test_a_run_that_takes_more_than_it_is_allowed_says_so_and_goes_on(changes: Path, tmp_path: Path) -> None:
    (tmp_path / "greedy_models.py").write_text(GREEDY)
    asked = small((replace(MINE, name="greedy", kind="greedy_models:Greedy"),), tmp_path)
    asked = replace(asked, target=replace(asked.target, series=("s1",)), features=asked.features[:1])
    said = list[str]()
    for more in (60, 6000):
        limit = (private_memory() + more * 10**6) / 1e9
        home = Home(tmp_path / str(more))
        run_id = runner.execute(asked, changes, home, workers=1, where=Where(memory=limit))
        tell_memory(home, run_id, said.append)
        told = dict(cost(facts_of(Run(run_id, home).manifest)))["memory"]
        assert ("passed in: cells" in told) == (more == 60)
    (line,) = said
    assert "passed in: cells;" in line


def test_the_setting_is_read_from_the_environment(
    changes: Path, tmp_path: Path, many: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_MEMORY", "0.001")
    run(asked_of(tmp_path, Transform("level"), NAMES, ()), changes, tmp_path / "home")
    assert many
    monkeypatch.setenv("HARNESS_MEMORY", "lots")
    with pytest.raises(UserError, match="HARNESS_MEMORY is not a number of GB"):
        run(asked_of(tmp_path, Transform("level"), NAMES, ()), changes, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_wider_block_needs_more_memory(changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LARGE", 2)
    monkeypatch.setattr(bounds, "FEWEST", 1)
    opened = ChangeFile.open(changes)
    plan = build_plan(asked_of(tmp_path, Transform("level"), NAMES, (Recipe("drift", "drift"),)), opened)
    widths = [bounds.block_width(plan, opened, spare, 1) for spare in (0, 6_000, 12_000, None)]
    assert widths[0] == 1
    assert 1 < widths[1] < widths[2]
    assert widths[3] == 0  # all at once
    assert bounds.block_width(plan, opened, 12_000, 2) == widths[1]


def test_a_pooled_model_that_does_not_fit_is_refused_before_anything_is_walked(
    changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = small((RIDGE,), tmp_path)
    pooled = replace(asked, target=replace(asked.target, series=NAMES), models=(replace(RIDGE, features=("own",)),))
    pooled = replace(pooled, features=(pooled.features[0],))
    home = Home(tmp_path / "home")
    monkeypatch.setattr(runner, "spare_memory", lambda _: 1_000)
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    for workers, said in (1, "ridge: 3.22e-05 GB for the rows of"), (2, "ridge: 6.44e-05 GB for 2 fits at once of"):
        with pytest.raises(UserError, match="does not fit into memory") as caught:
            runner.execute(pooled, changes, home, workers=workers)
        assert said in str(caught.value)
        assert "series_feature = false" in caught.value.fix
    assert not home.root.exists()  # no cell, and no run that is listed as under way
    monkeypatch.setattr(runner, "spare_memory", lambda _: 10**9)
    assert run(pooled, changes, home.root).keys["ridge"]


def test_of_trees_is_counted_what_the_fits_take_that_run_at_once(changes: Path, tmp_path: Path) -> None:
    asked = small((GBM,), tmp_path)
    asked = replace(asked, target=replace(asked.target, series=NAMES), features=asked.features[:1])
    plan = build_plan(replace(asked, models=(GBM,)), ChangeFile.open(changes))
    rows, shelf = len(compact(plan).origins) * len(NAMES), Home(tmp_path / "home").cells
    recipe, identity = board_of(plan.experiment)[0]
    task = Task(((recipe, identity),), (plan.first_issued,), (("key",),))
    one = rows * (bounds.PER_ROW + (bounds.PER_BIN + 8) * 3 + bounds.PER_STEP)  # three features, two horizons

    def refused(spare: int, tasks: int, *, in_file: bool = True) -> bool:
        try:
            bounds.refuse_too_large(plan, [task] * tasks, shelf, spare, InProcess(2), in_file=in_file)
        except UserError:
            return True
        return False

    assert [refused(spare, 1) for spare in (one - 1, one)] == [True, False]
    assert [refused(spare, 3) for spare in (2 * one - 1, 2 * one)] == [True, False]
    assert refused(one, 1, in_file=False)  # the table is in memory


def test_of_regressors_are_counted_the_columns_of_series_and_the_fits_of_all_workers(
    changes: Path, tmp_path: Path
) -> None:
    asked = small((), tmp_path)
    asked = replace(asked, target=replace(asked.target, series=NAMES), features=asked.features[:1])
    shelf = Home(tmp_path / "home").cells

    def needed(recipe: Recipe, tasks: int, engine: Engine) -> int:
        plan = build_plan(replace(asked, models=(recipe,)), ChangeFile.open(changes))
        task = Task((board_of(plan.experiment)[-1],), (plan.first_issued,), (("key",),))
        with pytest.raises(UserError, match="does not fit into memory") as caught:
            bounds.refuse_too_large(plan, [task] * tasks, shelf, 1, engine, in_file=False)
        assert ("--workers 1" in caught.value.fix) == (tasks > 1)
        assert ("series_feature" in caught.value.fix) == ("series_feature" not in dict(recipe.params))
        assert "float32" not in caught.value.fix
        found = re.search(r"ridge: (\S+) GB", str(caught.value))
        assert found is not None
        return round(float(found.group(1)) * 1e9)

    told = replace(RIDGE, features=("own",))
    alike = replace(told, params=(*told.params, ("series_feature", False)))
    rows = len(compact(build_plan(replace(asked, models=(told,)), ChangeFile.open(changes))).origins) * len(NAMES)
    alone = needed(told, 1, InProcess())
    assert alone - needed(alike, 1, InProcess()) == pytest.approx(rows * len(NAMES) * 8 * bounds.COPIES, rel=0.01)
    assert needed(told, 2, Workers(2)) == pytest.approx(2 * alone, rel=0.01)
    with pytest.raises(AssertionError):  # the specimen: in one process regressors are fitted in turn
        needed(told, 2, InProcess(2))


def test_a_wrong_memory_is_refused_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = ["backtest", "uk_inflation", "--memory", "-1", "--home", str(tmp_path)]
    assert cli.main(given) == 2
    assert "memory is not a number of GB" in capsys.readouterr().err


# ---- a kill

CHILD = """
import sys
from pathlib import Path
from harness.backtest import blocks, bounds, runner
from harness.backtest.engines import Where
from harness.record import cell_parts
from harness.record.home import Home
from harness.record.runs import find_run, read_manifest
from harness.report.facts import facts_of
from harness.report.run import Run
from harness.report.summary import cost
from tests.backtest.test_blocks import NAMES, asked_of, RIDGE_LESS
from harness.core.transform import Transform
import time
bounds.LARGE = bounds.FEWEST = 2
folder, changes, calm = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "calm"
add, seen = cell_parts.CellInParts.add, []
def slow(self, part, start):
    add(self, part, start)
    seen.append(1)
    if len(seen) == 40 and not calm:  # in the middle of a block
        print("now", flush=True)
        time.sleep(60)
cell_parts.CellInParts.add = slow
asked = asked_of(folder, Transform("log_growth", 4), NAMES, (RIDGE_LESS,))
print(runner.execute(asked, changes, Home(folder / "home"), workers=1, where=Where(memory=0.001)))
"""


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_a_block_resumes_to_the_same_bits(changes: Path, tmp_path: Path) -> None:
    def started(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CHILD, str(tmp_path), str(changes), how]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=Path(__file__).parents[2]
        )

    with started("killed") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "now\n"
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    home = tmp_path / "home"
    assert list((home / "cells").glob(".tmp-*/*"))  # parts lie about, and are never used
    with started("calm") as again:
        assert again.wait() == 0
    assert not list((home / "cells").glob(".tmp-parts-*"))
    whole = run(asked_of(tmp_path, Transform("log_growth", 4), NAMES, (RIDGE_LESS,)), changes, tmp_path / "whole")
    resumed = run(asked_of(tmp_path, Transform("log_growth", 4), NAMES, (RIDGE_LESS,)), changes, home)
    assert resumed.keys == whole.keys
    for keys in whole.keys.values():
        for key in keys:
            for name in ("forecasts.arrow", "cell.json"):
                mine, theirs = (root / "cells" / key / name for root in (home, tmp_path / "whole"))
                assert mine.read_bytes() == theirs.read_bytes()


# ---- no memory left

HUNGRY = """
import os
import re
import numpy as np
from own_models import Newest


class Hungry(Newest):
    def predict(self, rows, snapshot):
        if "HUNGRY" in os.environ and snapshot.origin.isoformat() > "2010-09":
            np.ones(1 << 29)  # 4 GB
        return super().predict(rows, snapshot)
"""
LIMITED = """
import resource
import sys
from pathlib import Path
from harness.core.errors import UserError
from tests.backtest.test_blocks import hungry
from tests.backtest.made_runs import run
folder, changes = Path(sys.argv[1]), Path(sys.argv[2])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2 * 10**9, resource.RLIM_INFINITY))
try:
    run(hungry(folder), changes, folder / "home")
except UserError as error:
    print(error)
"""


def hungry(folder: Path) -> Experiment:
    """A model that at some origins asks for more memory than there is."""
    (folder / "hungry_models.py").write_text(HUNGRY)
    asked = small((replace(MINE, name="hungry", kind="hungry_models:Hungry"),), folder)
    return replace(asked, target=replace(asked.target, series=("s1",)), features=asked.features[:1])


@pytest.mark.slow
def test_a_cell_that_runs_out_of_memory_ends_in_one_message_and_the_run_resumes(changes: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(changes)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, env={**os.environ, "HUNGRY": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("out of memory: hungry")
    assert "run the same command again to resume" in done.stdout
    stored = {path.name for path in (tmp_path / "home" / "cells").iterdir()}
    assert stored  # those of the rivals, and of the origins before
    resumed, whole = (run(hungry(tmp_path), changes, tmp_path / name) for name in ("home", "whole"))
    assert resumed.keys == whole.keys
    assert stored < {key for keys in whole.keys.values() for key in keys}
    assert resumed.forecasts.drop("run_id").equals(whole.forecasts.drop("run_id"))


def test_blocks_answered_side_by_side_end_with_the_cell_they_are_at_when_one_is_given_up() -> None:
    given_up, begun = threading.Event(), list[int]()

    def answer_block(number: int, _: Spent) -> None:
        begun.append(number)
        if number == 0:
            raise KeyboardInterrupt
        assert given_up.wait(30)

    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyboardInterrupt):
        blocks._side_by_side(answer_block, 40, Spent(), pool, given_up)
    assert len(begun) < 40


def test_an_interrupt_is_heard_while_blocks_are_answered() -> None:
    given_up, begun = threading.Event(), threading.Event()

    def answer_block(_: int, __: Spent) -> None:
        begun.set()
        assert given_up.wait(30)

    def interrupt() -> None:
        assert begun.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(3) as pool:
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            blocks._side_by_side(answer_block, 2, Spent(), pool, given_up)
