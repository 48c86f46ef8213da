"""Other worlds: the past up to an instant is the same bits, and after it nothing is left as it was."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan
from harness.core.series import LagRule
from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.data.outcomes import MATURED
from harness.studies.pipeline import chosen_origins
from harness.studies.worlds import KINDS, known_from, other_world
from tests.backtest.made_runs import exported, releases, small
from tests.planted.world import made, monthly, quarterly

ARRAYS = ("code", "period", "published", "value", "vintage", "availability")
few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@lru_cache(maxsize=4)
def planned(seed: int) -> tuple[Plan, ChangeFile]:
    with TemporaryDirectory() as folder:
        changes = ChangeFile.open(exported(releases(seed), Path(folder) / "archive"))
        return build_plan(with_rivals(small((), Path(folder))), changes), changes


def told(changes: ChangeFile, rows: np.ndarray) -> list[bytes]:
    return [np.ascontiguousarray(getattr(changes, name)[rows]).tobytes() for name in ARRAYS]


@few
@given(st.integers(1, 3), st.floats(0, 1), st.integers(0, 2**32), st.sampled_from(["removed", "noise", "restamped"]))
def test_up_to_the_cut_every_bit_is_the_same_and_after_it_none_is(
    seed: int, share: float, noise: int, kind: str
) -> None:
    plan, changes = planned(seed)
    origin = round(plan.first_issued + share * (len(plan.instants) - 1 - plan.first_issued))
    cut = int(plan.known[origin])
    world = other_world(plan, changes, origin, kind, noise)  # type: ignore[arg-type]
    before, same = changes.published <= cut, world.changes.published <= cut
    assert told(changes, before) == told(world.changes, same)
    assert np.array_equal(plan.known, world.plan.known)
    publications = (changes.publications, world.changes.publications)
    early = [[(one.code[k], one.published[k], one.first[k], one.last[k], one.complete[k]) for k in
              np.flatnonzero(one.published <= cut)] for one in publications]  # fmt: skip
    assert early[0] == early[1]
    after = world.changes.value[~same]
    assert (np.diff(world.changes.published) >= 0).all()
    if kind == "removed":
        assert not len(after)
        assert set(world.changes.known_through.values()) <= {cut, *changes.known_through.values()}
    elif kind == "noise":
        assert not (after == changes.value[~before]).any()
    else:
        assert sorted(after.tolist()) == sorted(changes.value[~before].tolist())
        instants = world.changes.published[~same]
        assert not len(instants) or not set(instants.tolist()) & set(changes.published[~before].tolist())
        # every change still belongs to a publication of its series and instant that covers its period
        rows = world.changes.publications
        spans = list(
            zip(rows.code.tolist(), rows.published.tolist(), rows.first.tolist(), rows.last.tolist(), strict=True)
        )
        for code, period, at in zip(*(getattr(world.changes, name).tolist() for name in ARRAYS[:3]), strict=True):
            assert any(c == code and t == at and low <= period <= high for c, t, low, high in spans)


def test_a_restamped_world_has_a_release_right_after_the_cut() -> None:
    plan, changes = planned(1)
    world = other_world(plan, changes, plan.first_scored, "restamped", 5)
    assert (world.changes.publications.published == plan.known[plan.first_scored] + 1).any()


@few
@given(st.integers(1, 3), st.integers(0, 2**32))
def test_outcomes_that_had_not_matured_are_others_and_mature_later(seed: int, noise: int) -> None:
    plan, changes = planned(seed)
    origin = plan.first_scored
    world = other_world(plan, changes, origin, "outcomes", noise)
    assert world.changes is changes
    one, other = plan.outcomes, world.plan.outcomes
    matured = (one.matured_at != NEVER) & (one.matured_at <= plan.known[origin])
    assert np.array_equal(one.value[matured], other.value[matured])
    assert (other.matured_at[~matured] > plan.known[origin]).all()
    assert (other.status[~matured] == MATURED).all()
    assert not (one.value[~matured] == other.value[~matured]).any()
    assert world.touched == int((~matured).sum())


def test_a_number_of_a_later_vintage_is_later_unless_the_run_is_marked() -> None:
    plan, changes = planned(1)
    origin = plan.first_scored
    cut = int(plan.known[origin])
    early = np.flatnonzero(changes.published <= cut)[:10]
    vintage = changes.vintage.copy()
    vintage[early] = cut + 1
    vintage[early[:2]] = NEVER  # hindsight of no known vintage goes by its date
    hindsight = replace(changes, vintage=vintage)
    assert (known_from(hindsight, by_vintage=True)[early[2:]] > cut).all()
    assert (known_from(hindsight, by_vintage=True)[early[:2]] <= cut).all()
    marked = replace(plan, experiment=replace(plan.experiment, pseudo_real_time=True))
    for one, moved in ((plan, True), (marked, False)):
        world = other_world(one, hindsight, origin, "noise", 1)
        assert (world.changes.value[early[2:]] != changes.value[early[2:]]).all() == moved
        assert np.array_equal(world.changes.value[early[:2]], changes.value[early[:2]])


def test_what_is_declared_for_later_days_is_not_there_when_what_is_later_is_removed(tmp_path: Path) -> None:
    world = made(tmp_path)
    plan = world.ground(monthly()).plan
    lag = world.changes.series["made/rate"].lag
    assert isinstance(lag, LagRule)
    assert len(lag.exceptions) == 2
    removed = other_world(plan, world.changes, plan.first_scored, "removed", 1).changes.series["made/rate"].lag
    assert removed is not None
    assert removed.exceptions == lag.exceptions[:1]


def test_issued_forecasts_are_altered_too(tmp_path: Path) -> None:
    world = made(tmp_path)
    plan = world.ground(monthly()).plan
    cut = plan.known[plan.first_scored]
    early = pl.col("issued") <= cut
    for kind in KINDS[:3]:
        other = other_world(plan, world.changes, plan.first_scored, kind, 1).changes.forecasts
        assert other.filter(early).equals(world.changes.forecasts.filter(early))
        assert not other.filter(~early).equals(world.changes.forecasts.filter(~early))


@pytest.mark.parametrize("wanted", [2, 3, 4, 5])
@pytest.mark.slow
def test_sampled_origins_are_the_first_the_last_and_a_refit_boundary(tmp_path: Path, wanted: int) -> None:
    world = made(tmp_path)
    for asked, cadence in ((monthly(), 3), (monthly(), 2), (monthly(), 7), (quarterly(), 2)):
        plan = world.ground(asked).plan
        scored = list(range(plan.first_scored, len(plan.instants)))
        chosen = chosen_origins(plan, wanted, cadence=cadence)
        assert (chosen[0], chosen[-1]) == (scored[0], scored[-1])
        assert len(chosen) <= wanted
        inner = [one for one in scored[1:-1] if plan.refit_origin(one, cadence) == one]
        if wanted >= 3 and inner:
            assert any(plan.refit_origin(one, cadence) == one for one in chosen)
        assert chosen_origins(plan, None, cadence=cadence) == scored
