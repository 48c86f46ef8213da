"""The audit as a whole: passes an honest world, fails a planted leak in its verdict, on the page and at the prompt."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from harness.backtest.runner import with_rivals
from harness.cli import main
from harness.core.recipe import Experiment
from harness.data.replay import Replay
from harness.record.audits import read_audit
from harness.record.home import Home
from harness.studies import isolation
from harness.studies.audit import Asked, Audit, audit
from harness.studies.pipeline import passage
from harness.studies.scramble import scramble
from tests.planted.leaks_in_rows import joined_on_period
from tests.planted.world import FILE, World, made, monthly, quarterly


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("world"))


@pytest.fixture
def file(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(world.root / "home"))
    path = world.folder / "in_a_file.toml"
    path.write_text(FILE)
    return path


def audited(world: World, asked: Experiment, home: Home) -> Audit:
    asked = with_rivals(world.placed(asked))
    return audit(asked, world.changes.folder, home, Asked(origins=2, workers=1))


@pytest.mark.slow
def test_an_honest_experiment_passes_every_check(world: World, home: Home) -> None:
    done = audited(world, quarterly(), home)
    assert {check.name: check.verdict for check in done.checks} == dict.fromkeys(
        ("scramble", "control", "isolation", "outcomes", "facts"), "pass"
    )
    record = read_audit(home, done.run_id)
    assert record is not None
    assert record.facts["verdict"] == "pass"


@pytest.mark.slow
def test_an_honest_panel_with_steps_trees_and_an_external_passes_every_check(world: World, home: Home) -> None:
    done = audited(world, monthly(), home)
    assert (done.verdict, done.findings.filter(pl.col("stage") != "inputs").height) == ("pass", 0)


@pytest.mark.slow
def test_a_leak_at_the_prompt_ends_with_one_and_names_its_place(
    file: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    joined_on_period(monkeypatch)
    assert main(["audit", str(file), "--origins", "2", "--workers", "1", "--quiet"]) == 1
    printed = capsys.readouterr().out
    assert "harness.backtest.design" in printed
    record = next(
        found
        for one in Home(world.root / "home").audits.iterdir()
        if (found := read_audit(Home(world.root / "home"), one.name)) is not None
    )
    assert record.facts["verdict"] == "fail"
    evidence = record.tables["findings"].filter(pl.col("check") == "scramble").row(0, named=True)
    assert (evidence["stage"], evidence["place"]) == ("asked rows", "harness.backtest.design")
    assert evidence["expected"] != evidence["found"]


def test_without_features_there_are_no_frozen_rows_to_compare(world: World) -> None:
    ground = world.ground(quarterly(features=(), models=()), "last_value", "drift")
    assert scramble(ground, ground.plan.first_scored, kinds=("removed", "noise")).findings == []


CACHED = '''
from harness.data.replay import Replay

KEPT = {}
HONEST = Replay.snapshot


def leaky(self, target=None, *, copy=True):
    """Forgets that a snapshot depends on its origin."""
    if not copy:
        return HONEST(self, target, copy=False)
    key = (tuple(self._declared._ids), target)
    if key not in KEPT:
        KEPT[key] = HONEST(self, target)
    return KEPT[key]
'''


@pytest.mark.slow
def test_a_cache_that_forgets_the_origin_is_found_in_a_process_that_has_seen_no_other(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snapshots_kept.py").write_text(CACHED)
    (tmp_path / "sitecustomize.py").write_text("import snapshots_kept as one\none.Replay.snapshot = one.leaky\n")
    monkeypatch.syspath_prepend(tmp_path)
    namespace: dict[str, object] = {}
    exec(compile(CACHED, "snapshots_kept", "exec"), namespace)
    monkeypatch.setattr(Replay, "snapshot", namespace["leaky"])
    ground = world.ground(quarterly(), "last_value")
    early, late = ground.plan.first_scored, len(ground.plan.instants) - 1
    bases = [passage(ground.plan, ground.changes, ground.board, origin) for origin in (late, early)]
    # in one process every world is given the very same snapshot, and nothing moves
    assert scramble(ground, early, kinds=("removed", "noise")).findings == []
    found = isolation.alone(ground, bases, processes=1)
    assert [(one.origin, one.stage, one.place) for one in found] == [
        (ground.plan.instants[early], "snapshot", "harness.data.replay")
    ]
    assert found[0].series_id.startswith("made/")
