"""What a walk of single origins cannot see: clocks of origins, dates of the archive, walking on, cells of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.keys import cell_keys
from harness.backtest.planning import build_plan
from harness.backtest.runner import execute, with_rivals
from harness.core.recipe import Recipe, Schedule
from harness.data.changes import ChangeFile
from harness.data.dataset import load_dataset
from harness.record.cells import Cell, read_cell, write_cell
from harness.record.home import Home
from harness.studies import isolation
from harness.studies.audit import Asked, audit
from harness.studies.pinned import outcomes
from harness.studies.pipeline import board_of, passage
from harness.studies.raw_dates import dates_that_differ
from harness.studies.scramble import Ground
from tests.backtest.made_runs import MINE, exported, releases, small

COUNTING = '''
from own_models import Newest


class Counts(Newest):
    """Answers worse each time the same object is asked."""

    asked = 0

    def predict(self, rows, snapshot):
        self.asked += 1
        found = super().predict(rows, snapshot)
        return found.with_columns(value=found["value"] + 100.0 * (self.asked - 1))
'''


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(releases(), tmp_path_factory.mktemp("second"))


def test_an_origin_on_another_clock_or_day_than_its_schedule_is_found(changes: Path, tmp_path: Path) -> None:
    plan = build_plan(with_rivals(small((), tmp_path)), ChangeFile.open(changes))
    held = ChangeFile.open(changes)
    assert outcomes(plan, held).verdict == "pass"
    late = replace(plan, instants=(*plan.instants[:-1], plan.instants[-1] + timedelta(hours=8)))
    found = [one for one in outcomes(late, held).findings if one.how == "origin"]
    assert found
    assert {one.place for one in found} == {"harness.backtest.schedule"}
    known = plan.known.copy()
    known[-1] += 3_600_000_000
    assert [one.column for one in outcomes(replace(plan, known=known), held).findings if one.how == "origin"] == [
        "known"
    ]


@pytest.mark.parametrize("every", ["month_end", "quarter_end", "weekday", "nth_weekday"])
def test_honest_schedules_are_what_they_say(every: str, changes: Path, tmp_path: Path) -> None:
    asked = small((), tmp_path)
    schedule = Schedule(every, n=3, weekday=4)  # type: ignore[arg-type]
    asked = replace(asked, origins=replace(asked.origins, every=schedule), horizons=(1,))
    held = ChangeFile.open(changes)
    check = outcomes(build_plan(with_rivals(asked), held), held)
    assert [one for one in check.findings if one.how == "origin"] == []


def test_a_date_that_no_raw_row_has_is_found_at_whatever_origin_it_would_tell(uk_home: Home) -> None:
    from harness.data.archive import Archive

    held = ChangeFile.open(Archive.open(uk_home.archive).export(uk_home.changes))
    datasets = [load_dataset(Path(__file__).parents[2] / "datasets" / "uk_macro")]
    assert list(dates_that_differ(datasets, held, "scramble")) == []
    published = held.published.copy()
    row = int(np.flatnonzero((held.code == held.code_of("uk_macro/cpi")) & (held.availability == 0))[500])
    published[row] -= 8 * 3_600_000_000
    (found,) = dates_that_differ(datasets, replace(held, published=published), "scramble")
    assert (found.place, found.series_id, found.column) == ("harness.data.ingest", "uk_macro/cpi", "published")
    assert found.expected != found.found


def test_a_model_that_answers_otherwise_the_longer_it_walks_is_found(changes: Path, tmp_path: Path) -> None:
    asked = small((), tmp_path)
    (tmp_path / "counting.py").write_text(COUNTING)
    models = (
        replace(MINE, refit_every=4),
        Recipe("counts", "counting:Counts", (("scale", 0.5),), ("own",), refit_every=4),
    )
    asked = small(models, tmp_path)
    held = ChangeFile.open(changes)
    plan = build_plan(with_rivals(asked), held)
    ground = Ground(plan, held, board_of(plan.experiment))
    # the sampled origin is a refit itself, where asking once and walking on are the same
    found, cells = isolation.walked_on(ground, [passage(plan, held, ground.board, plan.first_issued)])
    assert cells == 5
    assert {(one.model, one.how, one.stage) for one in found} == {("counts", isolation.WALKED, "forecast")}
    assert found[0].place == "counting:Counts"
    assert abs(float(found[0].found) - float(found[0].expected)) == pytest.approx(300.0)


@pytest.mark.slow
def test_a_stored_cell_of_the_run_that_is_not_what_the_pipeline_gives_fails_the_audit(
    changes: Path, tmp_path: Path
) -> None:
    home, asked = Home(tmp_path / "home"), small((), tmp_path)
    execute(asked, changes, home, workers=1)
    held = ChangeFile.open(changes)
    plan = build_plan(with_rivals(asked), held)
    recipe, identity = board_of(plan.experiment)[0]
    key = cell_keys(identity, plan, held, [len(plan.instants) - 1], "cell")[0]
    cell = read_cell(home.cells, key)
    assert cell is not None
    write_cell(home.cells, key, Cell(cell.frame.with_columns(pl.col("value") + 1.0), cell.facts))
    done = audit(with_rivals(asked), changes, home, Asked(origins=2, workers=1))
    found = [one for one in done.check("scramble").findings if one.how == "stored cell of the run"]
    assert [(one.model, one.column) for one in found] == [(recipe.name, "value")]
    assert done.verdict == "fail"
