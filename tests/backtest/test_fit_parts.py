"""Few fits of many series are estimated part by part by all workers: cells and fits keep their bits."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from harness.backtest import fit_parts, runner
from harness.backtest.engine import Workers
from harness.backtest.spent import Spent
from harness.backtest.task import Context, Part, Task, run_task
from harness.core.errors import UserError
from harness.core.recipe import Experiment, OutcomeRule, Recipe, Training
from harness.forecast import catalog
from harness.forecast.catalog import CATALOG
from harness.forecast.univariate import Univariate
from harness.record.home import Home
from harness.record.runs import find_run
from tests.backtest.made_runs import Ran, run
from tests.backtest.test_block_fits import AR, ETS, LITTLE, NAMES, THETA, TRAININGS, Moody, asked, changes, files
from tests.paced import paced

__all__ = ["changes"]
ONCE = Training(minimum=5, refit_every=40)


class Here(Workers):
    """Two workers that take turns in this very process; what they are given is kept."""

    def __init__(self) -> None:
        super().__init__(2)
        self.given: list[Task] = []

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        self.given += tasks
        for task in tasks:
            yield run_task(context, task)

    @property
    def parts(self) -> list[Part]:
        return [task.part for task in self.given if task.part is not None]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """The engine of every run with two workers; two series are enough for a part."""
    engine = Here()
    monkeypatch.setattr(fit_parts, "FEWEST", 2)
    monkeypatch.setattr("harness.backtest.computing._is_little", lambda *_: False)
    engines = runner.engine_for
    monkeypatch.setattr(
        runner, "engine_for", lambda asked, count, where: engine if count == 2 else engines(asked, count, where)
    )
    return engine


def shared(experiment: Experiment, changes: Path, home: Path) -> Ran:
    return Ran(find_run(Home(home), runner.execute(experiment, changes, Home(home), workers=2)))


@pytest.mark.parametrize("how", paced(TRAININGS))
def test_a_fit_estimated_in_parts_has_the_same_bits(how: str, changes: Path, tmp_path: Path, here: Here) -> None:
    models = (AR, THETA, ETS) if how == "expanding" else (AR,)
    experiment = asked(tmp_path, *models, **TRAININGS[how])
    training = replace(experiment.training, refit_every=40)  # a single fit
    experiment = replace(experiment, training=training)
    whole = run(experiment, changes, tmp_path / "whole")
    assert not here.given
    parts = shared(experiment, changes, tmp_path / "parts")
    assert [one.span for one in here.parts] == [*map(slice, (0, 3, 5), (3, 5, 7))] * len(models) * (
        how != "never enough"
    )
    assert parts.keys == whole.keys
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert not list((tmp_path / "parts" / "fits").glob(".*"))


@pytest.mark.parametrize("rolling", [None, 9])
def test_each_series_by_itself_is_told_what_all_of_them_tell(
    rolling: int | None, changes: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_parts, "FEWEST", 1)
    monkeypatch.setattr(fit_parts, "SPREAD", 4)
    experiment = asked(tmp_path, AR, training=Training(minimum=5, rolling=rolling, refit_every=40))
    run(experiment, changes, tmp_path / "whole")
    fitted, fit = list[int](), Univariate.fit

    def counted(self: Univariate, *given: object, **more: object) -> None:
        fit(self, *given, **more)  # type: ignore[arg-type]
        fitted.append(len(self.fitted))

    monkeypatch.setattr(Univariate, "fit", counted)
    shared(experiment, changes, tmp_path / "parts")
    assert len(here.parts) == len(NAMES)
    assert fitted == [1] * len(NAMES)  # and none of all series, as where a part is lacking
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.slow
def test_labels_of_the_latest_vintage_count_all_series_too(changes: Path, tmp_path: Path, here: Here) -> None:
    experiment = asked(tmp_path, AR)
    target = replace(experiment.target, outcome=OutcomeRule("latest", 0))
    experiment = replace(experiment, target=target, training=Training(minimum=17, refit_every=40))
    run(experiment, changes, tmp_path / "whole")
    shared(experiment, changes, tmp_path / "parts")
    assert here.parts
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.parametrize(("every", "spread", "parts"), [(40, 3, 3), (2, 3, 6), (1, 1, 0), (40, 1, 2)])
def test_parts_are_as_many_as_keep_the_workers_busy(
    every: int, spread: int, parts: int, changes: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_parts, "SPREAD", spread)
    experiment = asked(tmp_path, AR, training=Training(minimum=5, refit_every=every))
    shared(experiment, changes, tmp_path / "parts")
    assert len(here.parts) == parts
    here.given.clear()
    for cell in (tmp_path / "parts" / "cells").iterdir():  # the fits stay
        for file in cell.iterdir():
            file.unlink()
        cell.rmdir()
    shared(experiment, changes, tmp_path / "parts")
    assert here.given
    assert not here.parts


@pytest.mark.slow
def test_no_part_is_larger_than_a_block(
    changes: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.bounds.LARGE", 2)
    monkeypatch.setattr("harness.backtest.bounds.FEWEST", 2)
    experiment, home = asked(tmp_path, AR, training=ONCE), Home(tmp_path / "parts")
    run(experiment, changes, tmp_path / "whole")
    runner.execute(experiment, changes, home, workers=2, where=LITTLE)
    assert [one.span.stop - one.span.start for one in here.parts] == [2, 2, 2, 1]
    assert files(home.root) == files(tmp_path / "whole")


@pytest.mark.parametrize("fails", ["later", "holes", "all"])
def test_series_that_fail_are_named_as_in_one_fit(
    fails: str, changes: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(CATALOG["theta"], factory=lambda: Univariate(Moody(fails), "level"), defaults={})
    monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({**CATALOG, "moody": entry}))
    experiment = asked(tmp_path, Recipe("moody", "moody"), training=ONCE)
    experiment = replace(experiment, target=replace(experiment.target, series=NAMES[::-1]))
    run(experiment, changes, tmp_path / "whole")
    shared(experiment, changes, tmp_path / "parts")
    assert len(here.parts) == 3
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert not list((tmp_path / "parts" / "fits").glob(".*"))


def test_a_part_that_was_fitted_before_a_run_ended_is_not_fitted_again(
    changes: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, fitted = asked(tmp_path, AR, training=ONCE), list[int]()
    fit = Univariate.fit

    def stopping(self: Univariate, *given: object, **more: object) -> None:
        if len(fitted) == 2:
            raise MemoryError
        fit(self, *given, **more)  # type: ignore[arg-type]
        fitted.append(len(self.fitted))

    run(experiment, changes, tmp_path / "whole")
    monkeypatch.setattr(Univariate, "fit", stopping)
    with pytest.raises(UserError, match="out of memory"):
        shared(experiment, changes, tmp_path / "parts")
    fitted.append(0)  # from here on none of them stops
    shared(experiment, changes, tmp_path / "parts")
    assert fitted == [3, 2, 0, 2]
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.slow
def test_workers_are_the_same_for_parts_and_answers_and_one_that_dies_is_survived(
    changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_parts, "FEWEST", 2)
    experiment = asked(tmp_path, AR, training=ONCE)
    run(experiment, changes, tmp_path / "whole")
    run_tasks, pools = Workers.run, list[object]()

    def watched(self: Workers, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        for number, spent in enumerate(run_tasks(self, context, tasks)):
            pools.append(self._pool)
            if number == 0 and tasks[0].part is not None:
                os.kill(min(self._pool._processes), signal.SIGKILL)  # type: ignore[union-attr]
            yield spent

    monkeypatch.setattr(Workers, "run", watched)
    ran = shared(experiment, changes, tmp_path / "parts")
    assert len({id(pool) for pool in pools if pool is not None}) <= 2
    assert ran.keys
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
