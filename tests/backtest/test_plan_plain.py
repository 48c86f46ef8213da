"""The vectorised plan says what the plain definition says, bit for bit; and every rule, switched off, is noticed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.backtest.design import RowBuilder, build_design
from harness.backtest.planning import build_plan
from harness.backtest.splits import Plan, training_set
from harness.core.errors import UserError
from harness.core.recipe import (
    Experiment,
    FeatureBlock,
    Origins,
    OutcomeRule,
    Schedule,
    Target,
    Training,
)
from harness.core.time import NEVER, instant, local_day
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from harness.data.outcomes import OUTCOME_STATUS
from harness.data.replay import Replay
from tests.backtest.made_releases import LENGTH, History, history
from tests.backtest.plain_plan import FLAWS, PlainPlan, PlainSetting

ZONES = ("UTC", "Europe/London", "America/New_York", "Asia/Tokyo")
SCHEDULES = {"Q": ("quarter_end", "month_end"), "M": ("month_end", "weekday"), "W-WED": ("weekday", "month_end")}
OWN = FeatureBlock("own", latest=(1, 2), age=True)


@dataclass
class Seen:
    """Counts of what the generated cases contained, so that a test cannot pass on cases where nothing happens."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number


def setting(random: Random, made: History) -> PlainSetting:
    """A random question about a history."""
    frequency, zone = made.series[0].frequency, made.series[0].zone
    length = LENGTH[frequency]
    opening = min(release.at for one in made.series for release in one.releases)
    share = random.choice([0.2, 0.45, 0.6])
    late_enough = max(one.lag or 0 for one in made.series) + random.randint(0, length)
    first = local_day(opening + share * (made.end - opening), zone)
    return PlainSetting(
        transform=random.choice([("level", 1), ("difference", 1), ("log_growth", 1), ("log_growth", 3)]),
        rule=random.choice(
            [("first", 1), ("first", 1), ("release", 2), ("release", 3), ("latest", 0), ("after", late_enough)]
        ),
        schedule=random.choice(SCHEDULES[frequency]),
        first=min(first, local_day(made.end, zone) - timedelta(days=95)),
        horizons=tuple(sorted(random.sample([-2, -1, 0, 1, 2, 5], random.randint(1, 3)))),
        at=random.choice([None, None, time(9, 30)]),
        warm_up=random.choice([0, 2]),
        latency=timedelta(days=random.choice([0, 0, 0, 1, 20])),
        rolling=random.choice([None, None, 1, 4]),
        exclude_hindsight=random.random() < 0.15,
    )


def experiment(made: History, asked: PlainSetting, *, pseudo_real_time: bool = True) -> Experiment:
    """The same question as the package puts it."""
    every = Schedule(asked.schedule, at=asked.at, weekday=4)  # type: ignore[arg-type]
    kind, span = asked.transform
    return Experiment(
        "made",
        Target(
            tuple(one.id for one in made.series),
            Transform(kind, span),  # type: ignore[arg-type]
            OutcomeRule(*asked.rule),  # type: ignore[arg-type]
        ),
        Origins(every, asked.first, warm_up=asked.warm_up, latency=asked.latency, zone=made.series[0].zone),
        asked.horizons,
        training=Training(rolling=asked.rolling, minimum=1),
        features=(OWN,),
        pseudo_real_time=pseudo_real_time,
        exclude_hindsight=asked.exclude_hindsight,
    )


def compare(made: History, asked: PlainSetting, changes: ChangeFile, seen: Seen, *, flaw: str = "") -> None:
    """Everything the plan decides, against the plain definition."""
    plain = PlainPlan(made.series, asked, made.end, flaw=flaw)
    judged = all(plain.judged(horizon) for horizon in asked.horizons)
    if not judged:
        with pytest.raises(UserError, match="no matured outcome"):
            build_plan(experiment(made, asked), changes)
        seen.add("refused")
        return
    plan = build_plan(experiment(made, asked), changes)
    assert list(plan.instants) == plain.origins
    assert (plan.first_issued, plan.first_scored) == (plain.first_issued, plain.first_scored)
    assert plan.phase.tolist() == plain.phase
    for place in range(len(plain.origins)):
        compare_cells(plan, plain, place, seen)
    for place, snapshot in walked(plan, changes):
        for step, horizon in enumerate(asked.horizons):
            compare_rows(plan, plain, (place, step, horizon), snapshot, seen)


def walked(plan: Plan, changes: ChangeFile) -> Iterator[tuple[int, tuple[RowBuilder, object]]]:
    rows = RowBuilder(plan, build_design(plan, changes), plan.experiment.features, changes)
    origins = plan.experiment.origins
    replay = Replay(changes, plan.inputs, latency=origins.latency, exclude_hindsight=plan.experiment.exclude_hindsight)
    for place in plan.issued:
        replay.advance(plan.instants[place])
        yield place, (rows, replay.snapshot(plan.experiment.target))


def compare_cells(plan: Plan, plain: PlainPlan, place: int, seen: Seen) -> None:
    public = plan.already_public(place)
    for step, horizon in enumerate(plan.experiment.horizons):
        period = plain.period_of(plain.origins[place]) + horizon
        request = plan.request[place, step]
        for row in range(len(plain.series)):
            truth, table = plain.truth(row, period), plan.outcomes
            where = f"{plain.series[row].id} at {plain.origins[place]} h = {horizon}"
            assert OUTCOME_STATUS[table.status[row, request]] == truth.status, where
            assert np.array_equal(table.value[row, request], truth.value, equal_nan=True) or truth.status != "matured"
            assert bool(table.hindsight[row, request]) == truth.hindsight, where
            due = table.matured_at[row, request]
            assert (None if due == NEVER else instant(int(due))) == truth.due, where
            assert bool(public[row, step]) == plain.already_public(place, horizon, row), where
            if place >= plain.first_issued:
                seen.add(truth.status)
                seen.add("already public", int(public[row, step]))
            seen.add("hindsight", int(truth.hindsight))


def compare_rows(
    plan: Plan, plain: PlainPlan, cell: tuple[int, int, int], ready: tuple[RowBuilder, object], seen: Seen
) -> None:
    place, step, horizon = cell
    wanted = plain.training(place, horizon)
    chosen = training_set(plan, place, step, ready[1])
    rows = ready[0].training(place, {step: chosen}, ready[1])  # type: ignore[arg-type]
    keys = rows.keys.rows(named=True)
    found = [(key["pseudo_origin"], key["series_id"], key["period"]) for key in keys]
    assert found == [(row.origin, row.series, row.period) for row in wanted], f"{plain.origins[place]} h = {horizon}"
    assert all(key["horizon"] == horizon for key in keys)
    assert rows.y is not None
    # == on floats: the same bits, since none is NaN and no label is a negative zero
    assert rows.y.tolist() == [row.label for row in wanted]
    features = np.array([row.features for row in wanted]).reshape(len(wanted), 3)
    np.testing.assert_array_equal(rows.X.to_numpy().reshape(len(wanted), 3), features)
    assert chosen.periods == len({row.period for row in wanted})
    seen.add("training rows", len(wanted))


def check(seed: int, frequency: str, zone: str, count: int, seen: Seen) -> None:
    random = Random(seed)
    made = history(random, frequency, zone, count)
    with tempfile.TemporaryDirectory() as folder:
        changes = made.changes(Path(folder))
        for _ in range(5):
            compare(made, setting(random, made), changes, seen)


CASES = {
    "seed": st.integers(0, 2**32),
    "frequency": st.sampled_from(sorted(LENGTH)),
    "zone": st.sampled_from(ZONES),
    "count": st.integers(1, 3),
}


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**CASES)
def test_the_plan_agrees_with_the_plain_definition(seed: int, frequency: str, zone: str, count: int) -> None:
    check(seed, frequency, zone, count, Seen())


@pytest.mark.slow
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**CASES)
def test_the_plan_agrees_with_the_plain_definition_at_length(seed: int, frequency: str, zone: str, count: int) -> None:
    check(seed, frequency, zone, count, Seen())


Case = tuple[History, PlainSetting, ChangeFile]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Fixed histories and questions in which every rule matters somewhere."""
    out = []
    for seed, frequency in ((3, "Q"), (5, "M"), (8, "Q"), (13, "W-WED")):
        random = Random(seed)
        made = history(random, frequency, random.choice(ZONES), 2)
        changes = made.changes(tmp_path_factory.mktemp(f"case{seed}"))
        asked = [setting(random, made) for _ in range(5)]
        asked += [replace(asked[0], schedule=SCHEDULES[frequency][1], rolling=None, rule=("release", 2))]
        asked += [replace(one, latency=timedelta(days=20), rule=("first", 1), rolling=None) for one in asked[:2]]
        out += [(made, one, changes) for one in asked]
    return out


@pytest.mark.slow
def test_the_fixed_cases_agree_and_hold_every_kind_of_cell(cases: list[Case]) -> None:
    seen = Seen()
    for made, asked, changes in cases:
        compare(made, asked, changes, seen)
    for what in ("matured", "pending", "no_outcome", "withdrawn", "already public", "hindsight", "training rows"):
        assert seen.counts.get(what, 0) >= 10, (what, seen.counts)


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_plain_definition_with_one_rule_wrong_disagrees(flaw: str, cases: list[Case]) -> None:
    def differs(case: Case) -> bool:
        try:
            compare(*case, Seen(), flaw=flaw)
        except (AssertionError, UserError, pytest.fail.Exception):
            return True
        return False

    assert any(differs(case) for case in cases)


def test_a_plan_is_refused_exactly_when_a_scored_cell_would_be_hindsight(cases: list[Case]) -> None:
    answers = []
    for made, asked, changes in cases:
        plain = PlainPlan(made.series, asked, made.end)
        if not all(plain.judged(horizon) for horizon in asked.horizons):
            continue
        if plain.in_real_time():
            build_plan(experiment(made, asked, pseudo_real_time=False), changes)
            answers.append("taken")
        else:
            with pytest.raises(UserError, match=r"first true vintage|hindsight values"):
                build_plan(experiment(made, asked, pseudo_real_time=False), changes)
            answers.append("refused")
    assert min(answers.count("refused"), answers.count("taken")) >= 3
