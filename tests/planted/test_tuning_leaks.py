"""Leaks planted inside tuning: each is caught, and honest tuning passes the very same checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.backtest.splits import Plan, training_set
from harness.backtest.tuning import folds, inner, study
from harness.core.recipe import Recipe
from harness.core.search import Domain, Search
from harness.core.snapshot import Snapshot
from harness.data.changes import ChangeFile
from harness.data.outcomes import MATURED
from harness.studies.checks import Work, isolation_check
from harness.studies.children import Places
from harness.studies.inner_rows import handed_over, tuning
from harness.studies.isolation import drawn_confined
from harness.studies.pipeline import board_of, passage
from harness.studies.scramble import Ground, scramble
from harness.studies.verdict import FAILED, PASSED, Finding
from tests.backtest.made_runs import AR, TREES, exported, releases
from tests.studies.made_studies import longer, plan_of

pytestmark = pytest.mark.slow

SPACE = (Domain("num_leaves", "int", 2, 8), Domain("n_estimators", "int", 2, 30))
TUNED = replace(TREES, name="tuned", search=Search(SPACE, trials=9, folds=2, retune_every=2))
ORDERS = replace(AR, name="orders", search=Search((Domain("max_lags", "int", 1, 3),), trials=5, folds=2))
ORIGIN = 18


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leaks")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


def ground(models: tuple[Recipe, ...], place: Path, changes: Path) -> Ground:
    plan = plan_of(longer(models, place), changes)
    board = tuple(one for one in board_of(plan.experiment) if one[0].search is not None)
    return Ground(plan, ChangeFile.open(changes), board)


def scrambled(what: Ground) -> tuple[Finding, ...]:
    return tuple(scramble(what, ORIGIN).findings)


def inner_findings(what: Ground) -> tuple[Finding, ...]:
    seen = passage(what.plan, what.changes, what.board, ORIGIN)
    check = tuning(what.plan, what.changes, handed_over(seen.groups))
    assert check is not None
    return check.findings


def test_honest_tuning_passes_both_checks(place: Path, changes: Path) -> None:
    honest = ground((TUNED, ORDERS), place, changes)
    assert scrambled(honest) == ()
    assert inner_findings(honest) == ()
    seen = handed_over(passage(honest.plan, honest.changes, honest.board, ORIGIN).groups)
    tables = {(one.model, one.stage): one.table for one in seen if one.stage in ("inner rows", "search")}
    assert set(tables) == {(name, stage) for name in ("tuned", "orders") for stage in ("inner rows", "search")}
    assert all(table.height for table in tables.values())


def test_scoring_trials_on_test_origins_is_caught(place: Path, changes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(plan: Plan, origin: int, known: Snapshot) -> folds.Sets:
        last = len(plan.instants) - 1
        return {h: training_set(plan, last, h, known) for h in range(len(plan.experiment.horizons))}

    monkeypatch.setattr(inner, "outer_rows", everything)
    leaky = ground((TUNED,), place, changes)
    found = scrambled(leaky)
    assert {one.stage for one in found} <= {"inner rows", "search"}
    assert {one.place for one in found} == {"harness.backtest.tuning"}
    assert any("outer origin" in one.found for one in inner_findings(leaky))


def test_inner_labels_purged_at_the_outer_origin_are_caught_though_nothing_after_it_is_used(
    place: Path, changes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(plan: Plan, start: int, known: Snapshot) -> folds.Sets:
        return {h: training_set(plan, ORIGIN, h, known) for h in range(len(plan.experiment.horizons))}

    monkeypatch.setattr(folds, "training_at", late)
    leaky = ground((TUNED,), place, changes)
    assert scrambled(leaky) == ()  # the scramble cannot see it: everything was public at the outer origin
    found = inner_findings(leaky)
    assert found
    assert {one.how for one in found} <= {"training", "both sides"}
    assert any("not public at the inner origin" in one.found for one in found)


def test_validation_rows_public_at_the_inner_origin_are_caught(
    place: Path, changes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def earlier(some: Any, start: int, end: int) -> Any:
        return replace_rows(some, some.origins >= start - 4)

    monkeypatch.setattr(folds, "_between", earlier)
    found = inner_findings(ground((TUNED,), place, changes))
    assert any("already" in one.found or "before the inner origin" in one.found for one in found)


def replace_rows(some: Any, keep: Any) -> Any:
    return replace(some, origins=some.origins[keep], series=some.series[keep], requests=some.requests[keep])


def test_early_stopping_on_test_rows_is_caught(place: Path, changes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = study.evaluate

    def peeking(around: inner.Inner, recipe: Recipe, *rest: Any) -> Any:
        """Counts a setting's trees against how far the outcome at the outer origin itself is from zero."""
        plan = around.plan
        request = plan.request[around.origin, 0]
        assert plan.outcomes.status[0, request] == MATURED or np.isnan(plan.outcomes.value[0, request])
        outcome = float(np.nan_to_num(plan.outcomes.value[0, request]))
        made = real(around, recipe, *rest)
        stop = 2 + int(abs(outcome) * 1000) % 28
        return replace(made, value=made.value + abs(dict(recipe.params)["n_estimators"] - stop))

    monkeypatch.setattr(study, "evaluate", peeking)
    found = scrambled(ground((TUNED,), place, changes))
    assert found
    assert {one.stage for one in found} == {"search"}


def test_a_search_in_an_audit_reads_no_stored_study(
    place: Path, changes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: Any) -> Any:
        raise AssertionError("a stored search was read")

    monkeypatch.setattr(study, "finished_study", never)
    monkeypatch.setattr(study, "study_log", never)
    what = ground((TUNED,), place, changes)
    assert passage(what.plan, what.changes, what.board, ORIGIN).groups


FUNCTIONS = """
import sys
from pathlib import Path


def honest(trial):
    return {"n_estimators": trial.suggest_int("n_estimators", 2, 30)}


def peeking(trial):
    most = int(Path(__file__).with_name("future.txt").read_text())
    return {"n_estimators": trial.suggest_int("n_estimators", 2, most)}


def swallowing(trial):
    try:
        Path("PLACE/future.txt").read_text()
    except OSError:
        pass
    return honest(trial)


def remembering(trial):
    sys.planted = getattr(sys, "planted", 0) + 1
    return {"n_estimators": trial.suggest_int("n_estimators", 2, 30), "num_leaves": 2 + sys.planted % 3}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [("honest", ""), ("peeking", "trial 1"), ("swallowing", "future.txt"), ("remembering", "trial 1")],
)
def test_a_space_function_that_reads_a_file_or_remembers_is_caught(
    name: str, told: str, tmp_path: Path, changes: Path
) -> None:
    search = Search(function=f"own_spaces:{name}", trials=5, folds=2, retune_every=2)
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "own_spaces.py").write_text(FUNCTIONS.replace("PLACE", str(folder)))
    (folder / "future.txt").write_text("9")
    what = ground((replace(TREES, name="tuned", search=search),), folder, changes)
    base = passage(what.plan, what.changes, what.board, ORIGIN, keep=True)
    assert len(base.drawings) == 1
    assert len(base.drawings[0].trials) == 5
    how, found = drawn_confined(what, base.drawings, Places(str(tmp_path / "home"), (), str(folder)))
    assert how
    assert bool(found) is bool(told)
    assert {one.place for one in found} <= {f"own_spaces:{name}"}
    assert not told or any(told in one.found for one in found)
    work = Work(what, [ORIGIN], 1, Places(str(tmp_path / "home"), (), str(folder)), tmp_path, lambda _: None, [base])
    (check,) = isolation_check(work)
    assert check.verdict == (FAILED if told else PASSED)
