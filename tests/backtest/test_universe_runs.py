"""Runs on a universe: who is asked and who trains, what later members leave alone, what survivors would hide."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest

from harness.backtest.data_facts import input_facts, origin_facts, public_shares
from harness.backtest.design import build_design
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import FATES, NO_MEMBER, row_fates, training_set
from harness.core.errors import UserError
from harness.core.recipe import Experiment, FeatureBlock, Origins, Recipe, Schedule, Target, Training
from harness.core.time import local_day
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.experiment.launch import prepare
from harness.record.home import Home
from harness.record.runs import read_table
from harness.report.plan_table import plan_text
from harness.report.run import Run
from harness.report.summary import summary
from tests.backtest.made_runs import AR, USER_CLASS, Ran, run
from tests.backtest.row_scores import scored_twice  # noqa: F401 - compares every run of this module
from tests.data.price_samples import day, events, market, members, night

DAYS = 75
RETURN = Transform("return", 1)
STINTS = [
    ("alpha", 0, None, 0),
    ("beta", 0, None, 0),
    ("beta", 0, 52, 50),
    ("gamma", 0, None, 0),
    ("delta", 30, None, 28),
]
NEWCOMER = [("aaron", 60, None, 58)]
"""Its name sorts before all others, and it has traded all along."""
RIDGE = Recipe("ridge", "sklearn", (("estimator", "sklearn.linear_model.Ridge"),), ("own",))
TREES = Recipe("gbm", "lightgbm", (("min_data_in_leaf", 2), ("n_estimators", 5), ("num_leaves", 4),
                                   ("bagging_fraction", 0.5), ("bagging_freq", 1)), ("own",))  # fmt: skip
MINE = Recipe("mine", "own_models:Newest", (("scale", 0.5),), ("own",))
MODELS = (AR, RIDGE, TREES, MINE)


def walk(name: str, length: int = DAYS) -> list[float | None]:
    random, price, prices = Random(name), 50.0, []
    for _ in range(length):
        price *= 1 + random.gauss(0.0, 0.02)
        prices.append(round(price, 2))
    return prices


def prices(*more: str) -> dict[str, list[float | None]]:
    made = {name: walk(name) for name in ("alpha", "beta", "gamma", "delta", *more)}
    made["gamma"] = [*made["gamma"][:65], *[None] * (DAYS - 65)]  # it fails on the 66th day
    return made


def exchange(folder: Path, *more: str, stints: list[tuple[str, int, int | None, int]] | None = None) -> Archive:
    archive = market(folder, prices(*more), known_through=DAYS)
    archive.append_members(members(*(STINTS if stints is None else stints)), source="index")
    archive.append_events(events(("gamma", "delisting", 65, None, 64)), source="exchange")
    return archive


def exported(archive: Archive) -> Path:
    return archive.export(archive.path.parent / "changes")


def asked(folder: Path, *, target: Target | None = None, **more: object) -> Experiment:
    (folder / "own_models.py").write_text(USER_CLASS)
    made = Experiment(
        "made",
        target or Target((), RETURN, universe="big"),
        Origins(Schedule("weekday", weekday=4), day(40), zone="UTC"),
        (1, 2),
        training=Training(minimum=3),
        features=(FeatureBlock("own", transform=RETURN, latest=(1, 2)),),
        models=MODELS,
        folder=str(folder),
    )
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("universe")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(exchange(place / "archive"))


@pytest.fixture(scope="module")
def base(place: Path, changes: Path) -> Ran:
    return run(asked(place), changes, place / "home")


def plain_members(when: date, known: int) -> set[str]:
    newest = {(name, first): last for name, first, last, at in STINTS if at <= known}
    number = (when - day(0)).days
    return {name for (name, first), last in newest.items() if first <= number and (last is None or number <= last)}


# ---- who is asked


def test_only_members_are_asked_and_those_that_left_or_failed_stay_where_they_were(base: Ran) -> None:
    forecasts = base.forecasts
    for origin in forecasts["origin"].unique():
        when = local_day(origin, "UTC")
        mine = forecasts.filter(pl.col("origin") == origin)
        for model in ("last_value", "ar", "ridge", "gbm", "mine"):
            here = mine.filter(pl.col("model") == model)
            assert set(here["series_id"]) == plain_members(when, (when - day(0)).days)
            assert here.height == 2 * here["series_id"].n_unique()
    assert set(forecasts["series_id"]) == {"alpha", "beta", "gamma", "delta"}
    # the class of the test answers with the newest column, and there a failed series has nothing
    assert set(forecasts.filter(pl.col("model") != "mine")["status"]) == {"ok"}


def test_outcomes_after_a_failure_are_counted_as_delisted_not_dropped(base: Ran) -> None:
    errors = read_table(base.files, "errors").filter(pl.col("model") == "last_value", pl.col("series_id") == "gamma")
    assert set(errors["outcome_status"]) == {"matured", "delisted"}
    assert set(errors.filter(pl.col("period") >= day(65))["outcome_status"]) == {"delisted"}
    board = base.leaderboard.filter(pl.col("model") == "last_value")
    assert (board["n_delisted"] > 0).all()
    assert (board["n_missing"] == 0).all()


def test_the_number_of_members_is_in_the_origins_table_and_in_the_plan(place: Path, changes: Path, base: Ran) -> None:
    plan = build_plan(with_rivals(asked(place)), ChangeFile.open(changes))
    origins = origin_facts(plan, ChangeFile.open(changes))
    for row in origins.iter_rows(named=True):
        when = local_day(row["origin"], "UTC")
        assert row["members"] == len(plain_members(when, (when - day(0)).days))
    assert read_table(base.files, "origins")["members"].to_list() == origins["members"].to_list()
    file = ChangeFile.open(changes)
    text = plan_text(plan.experiment, input_facts(plan, file), origins, public_shares(plan, file))
    assert "the members of big as announced (of alpha, beta, delta, gamma)" in text
    assert "members" in text


def test_rows_are_learnt_only_from_members_of_the_time(place: Path, changes: Path) -> None:
    plan = build_plan(with_rivals(asked(place)), ChangeFile.open(changes))
    file, last = ChangeFile.open(changes), len(plan.instants) - 1
    replay = Replay(file, plan.inputs)
    replay.advance(plan.instants[last])
    snapshot = replay.snapshot(plan.experiment.target)
    rows = training_set(plan, last, 0, snapshot)
    names = plan.experiment.target.series
    seen = {
        (names[one], local_day(plan.instants[at], "UTC")) for one, at in zip(rows.series, rows.origins, strict=True)
    }
    for name, when in seen:
        assert name in plain_members(when, (when - day(0)).days)
    assert {name for name, _ in seen} == {"alpha", "beta", "gamma", "delta"}
    early = {when for name, when in seen if name == "delta"}
    assert min(early) >= day(30)
    fates = row_fates(plan, last, 0, snapshot)
    assert FATES[NO_MEMBER] == "no member at its origin"
    assert (fates[0, names.index("delta")], fates[0, names.index("alpha")] != NO_MEMBER) == (NO_MEMBER, True)
    design = build_design(plan, file)
    assert np.isnan(design[0, names.index("delta")]).all()


# ---- what comes later leaves alone what was


@pytest.fixture(scope="module")
def with_newcomer(place: Path) -> Path:
    return exported(exchange(place / "newcomer", "aaron", stints=[*STINTS, *NEWCOMER]))


def split_at(ran: Ran, number: int) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    origins = ran.forecasts["origin"].unique().sort().to_list()
    count = sum(1 for moment in origins if moment < night(number))
    until = ran.of("last_value", "ar", "ridge", "gbm", "mine").filter(pl.col("origin") < night(number))
    return until, {name: keys[:count] for name, keys in ran.keys.items()}


@pytest.mark.slow
def test_a_later_member_leaves_the_keys_seeds_and_bits_of_earlier_cells_alone(
    place: Path, base: Ran, with_newcomer: Path
) -> None:
    more = run(asked(place), with_newcomer, place / "elsewhere")
    before, keys = split_at(base, 58)
    after, same = split_at(more, 58)
    assert before.height > 0
    assert after.equals(before)
    assert same == keys
    assert "aaron" in set(more.forecasts["series_id"])
    assert not set(more.keys["gbm"][len(keys["gbm"]) :]) & set(base.keys["gbm"])


@pytest.mark.slow
def test_without_a_universe_another_series_is_another_experiment(
    place: Path, changes: Path, with_newcomer: Path, tmp_path: Path
) -> None:
    some, more = (Target(names, RETURN) for names in (("alpha", "beta"), ("aaron", "alpha", "beta")))
    one = run(asked(place, target=some, models=(TREES,)), changes, tmp_path / "one")
    two = run(asked(place, target=more, models=(TREES,)), with_newcomer, tmp_path / "two")
    assert not set(one.keys["gbm"]) & set(two.keys["gbm"])
    shared = two.of("gbm").filter(pl.col("series_id") != "aaron")
    assert not shared.equals(one.of("gbm"))


@pytest.mark.slow
def test_a_later_event_leaves_earlier_cells_alone_and_moves_later_ones(place: Path, base: Ran) -> None:
    archive = exchange(place / "split")
    archive.append_events(events(("alpha", "split", 56, 2.0, 57)), source="exchange")
    more = run(asked(place), exported(archive), place / "third")
    before, keys = split_at(base, 56)
    after, same = split_at(more, 56)
    assert after.equals(before)
    assert same == keys
    assert not set(more.keys["ar"][len(keys["ar"]) :]) & set(base.keys["ar"])


@pytest.mark.slow
def test_a_fit_answers_for_a_member_that_was_announced_after_it(place: Path, tmp_path: Path) -> None:
    stints = [*STINTS, ("aaron", 44, None, 43)]
    archive = exchange(tmp_path / "archive", "aaron", stints=stints)
    ran = run(asked(place, training=Training(minimum=3, refit_every=3)), exported(archive), tmp_path / "home")
    assert set(ran.forecasts.filter(pl.col("model") != "mine")["status"]) == {"ok"}
    lone = [("alpha", 0, None, 0), ("beta", 44, None, 43)]
    alone = exchange(tmp_path / "lone", stints=lone)
    second = run(asked(place, training=Training(minimum=3, refit_every=3)), exported(alone), tmp_path / "home")
    assert set(second.forecasts["status"]) == {"ok"}
    assert set(second.forecasts["series_id"]) == {"alpha", "beta"}


@pytest.mark.slow
def test_the_survivors_alone_give_another_answer(place: Path, changes: Path, base: Ran, tmp_path: Path) -> None:
    survivors = asked(place, target=Target(("alpha", "delta"), RETURN))
    ran = run(survivors, changes, tmp_path / "home")
    value = {
        name: one.leaderboard.filter(horizon=1, model="last_value") for name, one in (("all", base), ("left", ran))
    }
    assert value["all"]["n_delisted"][0] > value["left"]["n_delisted"][0] == 0
    assert value["all"]["value"][0] != value["left"]["value"][0]


# ---- a subset, and what is refused


def test_a_subset_of_a_universe_may_be_named(place: Path, changes: Path, tmp_path: Path) -> None:
    target = Target(("beta", "delta"), RETURN, universe="big")
    plan = build_plan(with_rivals(asked(place, target=target)), ChangeFile.open(changes))
    assert {plan.members.names(origin) for origin in plan.issued} == {("beta", "delta"), ("delta",)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": Target(("alpha", "stranger"), RETURN, universe="big")}, "never members"),
        ({"target": Target((), RETURN, universe="bigg")}, "universe"),
        (
            {"features": (FeatureBlock("own", transform=RETURN, latest=(1,)),
                          FeatureBlock("a", "alpha", transform=RETURN, latest=(1,)))},
            "is a member of the target's universe",
        ),
    ],
)  # fmt: skip
def test_what_a_universe_cannot_mean_is_refused(
    place: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    changes = exported(exchange(tmp_path / "archive", "stranger"))
    with pytest.raises(UserError, match=said):
        build_plan(with_rivals(asked(place, **change)), ChangeFile.open(changes))  # type: ignore[arg-type]


def test_an_origin_without_any_member_is_refused(place: Path, tmp_path: Path) -> None:
    changes = exported(exchange(tmp_path / "archive", stints=[("alpha", 0, 50, 0)]))
    with pytest.raises(UserError, match="no member"):
        build_plan(with_rivals(asked(place)), ChangeFile.open(changes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": Target(("alpha", "beta"))}, "level target of a series with price events"),
        ({"target": Target(("alpha", "beta"), Transform("difference", 1))}, "difference target"),
        ({"features": (FeatureBlock("own", latest=(1,)),)}, r"features\.own\.latest"),
        ({"features": (FeatureBlock("own", transform=Transform("difference", 1), rolling_mean=(3,)),)}, "rolling_mean"),
    ],
)
@pytest.mark.slow
def test_levels_of_a_series_with_events_are_refused(
    place: Path, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    archive = exchange(tmp_path / "archive")
    archive.append_events(events(("alpha", "split", 20, 2.0, 18)), source="exchange")
    given = {"target": Target(("alpha", "beta"), RETURN), **change}
    with pytest.raises(UserError, match=said):
        build_plan(with_rivals(asked(place, **given)), ChangeFile.open(exported(archive)))  # type: ignore[arg-type]


def test_ratios_of_levels_are_taken_and_levels_without_events_too(place: Path, tmp_path: Path) -> None:
    archive = exchange(tmp_path / "archive")
    archive.append_events(events(("alpha", "split", 20, 2.0, 18), ("beta", "dividend", 20, 1.0, 18)), source="exchange")
    changes = ChangeFile.open(exported(archive))
    ratios = (FeatureBlock("own", ratio=(3,), log_growth=(2,)),)
    build_plan(with_rivals(asked(place, target=Target(("alpha", "beta"), RETURN), features=ratios)), changes)
    level = Target(("beta",))
    build_plan(with_rivals(asked(place, target=level, features=())), changes)
    with pytest.raises(UserError, match="level target"):
        build_plan(with_rivals(asked(place, target=replace(level, prices="total"), features=())), changes)


def test_an_experiment_in_python_may_name_the_universe_alone(place: Path, tmp_path: Path) -> None:
    archive = exchange(tmp_path / "archive")
    ready = prepare(asked(place), Home(tmp_path / "home"), archive)
    assert ready.experiment.target.series == ("alpha", "beta", "delta", "gamma")
    with pytest.raises(UserError, match="universe"):
        prepare(asked(place, target=Target((), RETURN, universe="none")), Home(tmp_path / "home"), archive)


def test_a_plan_and_a_run_warn_of_prices_that_look_adjusted(place: Path, tmp_path: Path) -> None:
    archive = market(tmp_path / "archive", {"alpha": walk("alpha"), "beta.adj_close": walk("beta")}, known_through=DAYS)
    experiment = asked(place, target=Target(("alpha", "beta.adj_close"), RETURN), models=())
    changes = exported(archive)
    file = ChangeFile.open(changes)
    plan = build_plan(with_rivals(experiment), file)
    text = plan_text(plan.experiment, input_facts(plan, file), origin_facts(plan, file), public_shares(plan, file))
    said = [line for line in text.splitlines() if line.startswith("warning")]
    assert len(said) == 1
    assert said[0].startswith("warning, beta.adj_close: looks adjusted with hindsight: its name says")
    ran = run(experiment, changes, tmp_path / "home")
    assert said[0] in summary(Run(ran.files.run_id, Home(tmp_path / "home")))


def test_a_failed_series_does_not_hold_back_the_origins_of_the_others(place: Path, tmp_path: Path) -> None:
    made = prices()
    archive = market(tmp_path / "archive", {name: made[name] for name in ("alpha", "beta")}, known_through=DAYS)
    failed = market(tmp_path / "archive", {"gamma": made["gamma"][:65]})
    assert failed.known_through("gamma") == night(64)
    experiment = asked(place, target=Target(("alpha", "beta", "gamma"), RETURN))
    held_back = build_plan(with_rivals(experiment), ChangeFile.open(exported(archive)))
    archive.append_events(events(("gamma", "delisting", 65, 0.0, 64)), source="exchange")
    whole = build_plan(with_rivals(experiment), ChangeFile.open(exported(archive)))
    assert len(whole.instants) > len(held_back.instants)
