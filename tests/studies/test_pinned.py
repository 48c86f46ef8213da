"""The check `outcomes` passes whatever history is honest, and fails where an outcome, a label or a row is wrong."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

import harness.data.releases
import harness.studies
from harness.backtest.design import build_design
from harness.backtest.planning import build_plan
from harness.backtest.splits import Plan
from harness.core.errors import UserError
from harness.core.recipe import Experiment, FeatureBlock, OutcomeRule, Target
from harness.core.time import NEVER
from harness.core.transform import Transform
from harness.data.changes import ChangeFile, PublicationRows
from harness.studies.facts import facts
from harness.studies.pinned import outcomes
from harness.studies.verdict import Check
from tests.backtest.made_releases import history
from tests.backtest.made_runs import exported, releases, small
from tests.backtest.test_plan_plain import experiment, setting

GROWTH = Transform("log_growth", 1)
ALL = (
    FeatureBlock(
        "own", transform=GROWTH, latest=(1, 3), lag=(0, 1, 2), rolling_mean=(3,), rolling_std=(3,), rolling_min=(2,),
        rolling_max=(4,), difference=(1, 2), ratio=(3,), age=True, known_ahead=(-1, 0), calendar=("month", "days"),
    ),
    FeatureBlock("level", latest=(1, 2), lag=(1,), log_growth=(1, 3), age=True),
    FeatureBlock("change", transform=Transform("difference", 2), latest=(1,)),
    FeatureBlock("simple", transform=Transform("growth", 1), rolling_mean=(2,)),
    FeatureBlock("apart", series="s0", transform=Transform("spread", other="s1"), latest=(1,), lag=(1,), age=True),
    FeatureBlock(
        "moves", transform=Transform("realised_volatility", 3, proxy="squared_log_return"), latest=(1,), age=True
    ),
)  # fmt: skip
SKIPPED = ("no matured outcome", "no origin to score")


@pytest.fixture
def changes(tmp_path: Path) -> ChangeFile:
    return ChangeFile.open(exported(releases(), tmp_path / "made"))


@pytest.fixture
def asked(tmp_path: Path) -> Experiment:
    return small((), tmp_path)


def with_rule(asked: Experiment, rule: OutcomeRule, transform: Transform = GROWTH) -> Experiment:
    return replace(asked, target=Target(("cpi",), transform, rule))


def kinds(check: Check) -> set[tuple[str, str]]:
    return {(finding.how, finding.place) for finding in check.findings}


@pytest.mark.slow
@pytest.mark.parametrize("frequency", ["Q", "M", "W-WED"])
def test_random_honest_histories_pass_both_checks(tmp_path: Path, frequency: str) -> None:
    random = Random(f"honest {frequency}")
    judged = rows = 0
    for number in range(5):
        made = history(random, frequency, random.choice(["UTC", "Asia/Tokyo", "America/New_York"]), 2)
        archive = made.changes(tmp_path / str(number))
        for _ in range(3):
            question = replace(experiment(made, setting(random, made)), features=ALL)
            try:
                plan = build_plan(question, archive)
            except UserError as error:
                assert any(text in str(error) for text in SKIPPED)  # noqa: PT017 - what is refused is no case
                continue
            check = outcomes(plan, archive, origins=4)
            assert check.verdict == "pass", check.findings[0]
            found = facts(plan, archive, build_design(plan, archive))
            assert found.verdict == "pass", found.findings[0]
            judged += 1
            rows += int(dict(check.tables)["compared"]["number"][4])
    assert judged > 5
    assert rows > 100


@pytest.mark.parametrize(
    "rule", [OutcomeRule(), OutcomeRule("release", 3), OutcomeRule("after", 100), OutcomeRule("latest", 0)]
)
def test_every_outcome_rule_passes_on_releases_as_they_were(
    asked: Experiment, changes: ChangeFile, rule: OutcomeRule
) -> None:
    check = outcomes(build_plan(with_rule(asked, rule), changes), changes)
    assert check.verdict == "pass", check.findings
    assert "none differs" in check.said


def test_a_release_counted_by_changes_fails(asked: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = releases()  # the second release repeats the first value of every other quarter
    first = frame.sort("published_at").group_by("series_id", "period", maintain_order=True).first()
    again = frame.join(first, on=["series_id", "period"], suffix="_first").sort("published_at")
    again = again.with_columns(value=again["value_first"]).filter(again["period"].dt.quarter() % 2 == 0)
    frame = frame.join(again.select("series_id", "period", "published_at", told="value"), how="left",
                       on=["series_id", "period", "published_at"])  # fmt: skip
    frame = frame.with_columns(value=frame["told"].fill_null(frame["value"])).drop("told")
    repeated = ChangeFile.open(exported(frame, tmp_path / "repeated"))
    question = with_rule(asked, OutcomeRule("release", 2))
    assert outcomes(build_plan(question, repeated), repeated).verdict == "pass"

    def by_changes(publications: PublicationRows, ordinals: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        code = publications.code[0]
        told = [repeated.published[(repeated.code == code) & (repeated.period == o)] for o in ordinals]
        due = np.array([at[number - 1] if len(at) >= number else NEVER for at in told], dtype=np.int64)
        return due, np.ones(len(ordinals), dtype=bool)

    monkeypatch.setattr(harness.data.releases, "nth_release", by_changes)
    check = outcomes(build_plan(question, repeated), repeated)
    assert check.verdict == "fail"
    assert ("pinned outcome", "harness.data.outcomes") in kinds(check)


def test_growth_across_vintages_fails(asked: Experiment, changes: ChangeFile) -> None:
    plan = build_plan(asked, changes)
    levels = build_plan(with_rule(asked, OutcomeRule(), Transform()), changes)
    series = changes.series["cpi"]
    assert series.parsed.kind == "Q"
    value = plan.outcomes.value.copy()
    by_end = {
        int(end): level
        for end, level in zip(levels.ends.ravel(), levels.outcomes.value[0, levels.request.ravel()], strict=True)
    }
    for origin in range(len(plan.instants)):
        for place in range(2):
            end = int(plan.ends[origin, place])
            old = by_end.get(end - 1, math.nan)
            new = by_end[end]
            value[0, plan.request[origin, place]] = 100 * (math.log(new) - math.log(old))
    check = outcomes(replace(plan, outcomes=replace(plan.outcomes, value=value)), changes)
    assert check.verdict == "fail"
    first = check.findings[0]
    assert (first.column, first.place, first.series_id) == ("value", "harness.data.outcomes", "cpi")
    assert float(first.expected) != float(first.found)


def test_a_label_that_matures_when_its_period_ends_fails(asked: Experiment, changes: ChangeFile) -> None:
    plan = build_plan(asked, changes)
    due = plan.outcomes.matured_at.copy()
    due[due != NEVER] -= 39 * 86_400_000_000
    check = outcomes(replace(plan, outcomes=replace(plan.outcomes, matured_at=due)), changes)
    assert {("pinned outcome", "harness.data.outcomes"), ("training row", "harness.backtest.splits")} <= kinds(check)


def test_an_unpurged_overlapping_row_fails(
    asked: Experiment, changes: ChangeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = build_plan(asked, changes)

    def unpurged(plan: Plan, origin: int, horizon: int, snapshot: object) -> np.ndarray:
        return np.zeros((origin, len(plan.experiment.target.series)), dtype=np.int8)

    monkeypatch.setattr("harness.backtest.splits.row_fates", unpurged)
    check = outcomes(plan, changes)
    assert check.verdict == "fail"
    assert kinds(check) == {("training row", "harness.backtest.splits")}
    assert check.findings[0].expected == "no training row"


def test_a_label_taken_from_a_later_vintage_fails(
    asked: Experiment, changes: ChangeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = build_plan(asked, changes)
    later = build_plan(with_rule(asked, OutcomeRule("latest", 0)), changes).outcomes.value
    monkeypatch.setattr(
        "harness.studies.pinned.training_labels",
        lambda plan, cells, _: later[cells[1], plan.request[cells[0], cells[2]]],
    )
    assert kinds(outcomes(plan, changes)) == {("training label", "harness.data.outcomes")}


def test_a_window_that_starts_before_the_origin_fails(asked: Experiment, changes: ChangeFile) -> None:
    plan = build_plan(asked, changes)
    moved = replace(plan, starts=plan.starts - 1, ends=plan.ends - 1)
    check = outcomes(moved, changes)
    assert check.verdict == "fail"
    assert check.findings[0].column == "target period"


def test_mixed_phases_fail(asked: Experiment, changes: ChangeFile) -> None:
    monthly = replace(asked, origins=replace(asked.origins, every=replace(asked.origins.every, kind="month_end")))
    plan = build_plan(monthly, changes)
    assert outcomes(plan, changes).verdict == "pass"
    check = outcomes(replace(plan, phase=np.zeros_like(plan.phase)), changes)
    assert ("training row", "harness.backtest.splits") in kinds(check)


def test_the_plain_definitions_import_nothing_that_they_check() -> None:
    folder = Path(harness.studies.__file__).parent
    checked = ("harness.forecast", "harness.data.replay", "harness.data.outcomes", "harness.data.due",
               "harness.data.walked_outcomes", "harness.data.standing_outcomes", "harness.data.releases",
               "harness.data.matrix", "harness.data.panels", "harness.data.past", "harness.core.snapshot",
               "harness.data.prices", "harness.data.universe", "harness.backtest.membership",
               "harness.backtest.planning")  # fmt: skip
    for name in ("plain_cells", "plain_rows", "plain_outcomes", "plain_prices", "plain_members"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        found = {
            (node.module, alias.name)
            for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        }  # fmt: skip
        assert not [module for module, _ in found if module and module.startswith(checked)]
        assert {what for module, what in found if module == "harness.core.transform"} <= {"Transform"}
        assert {what for module, what in found if module == "harness.backtest.splits"} <= {"Plan"}
