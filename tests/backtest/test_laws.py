"""The laws, through whole runs: what came later moves nothing earlier, rivals stay, nothing is gained by silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest

from harness.backtest import work
from harness.backtest.design import build_design
from harness.backtest.planning import build_plan
from harness.backtest.runner import with_rivals
from harness.backtest.splits import Plan, TrainingSet, training_set
from harness.core.errors import UserError
from harness.core.recipe import Experiment, FeatureBlock, OutcomeRule, Recipe, Schedule, Training
from harness.core.snapshot import Snapshot
from harness.core.time import end_of_day
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from tests.backtest.made_runs import (
    AR,
    END,
    MINE,
    RIDGE,
    TREES,
    Ran,
    exported,
    quarter,
    releases,
    run,
    small,
)

RIVALS = ("last_value", "seasonal_last_value", "drift", "historic_mean")
OURS = ("ar", "ridge", "gbm", "mine")
LEARNERS = (AR, RIDGE, TREES, MINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def asked(place: Path) -> Experiment:
    return small(LEARNERS, place)


@pytest.fixture(scope="module")
def base(asked: Experiment, changes: Path, place: Path) -> Ran:
    return run(asked, changes, place / "base")


def origins_of(ran: Ran) -> list[datetime]:
    return ran.forecasts["origin"].unique().sort().to_list()


def scrambled(frame: pl.DataFrame, cut: datetime, seed: int) -> pl.DataFrame:
    """Other values and other instants for everything published after `cut`; what was published by then stays."""
    random = Random(seed)
    early, late = frame.filter(pl.col("published_at") <= cut), frame.filter(pl.col("published_at") > cut)
    instants = late["published_at"].unique().sort().to_list()
    moved = dict(zip(instants, random.sample(instants, len(instants)), strict=True))
    values = [value * (1 + random.gauss(0, 0.3) ** 2) for value in late["value"]]
    at = [moved[moment] - timedelta(hours=random.randint(0, 5)) for moment in late["published_at"]]
    late = late.with_columns(
        pl.Series("published_at", at, dtype=frame["published_at"].dtype), pl.Series("value", values)
    )
    return pl.concat([early, late.filter(pl.col("published_at") > cut)])


# ---- laws 1 and 4: known means published, labels mature


@pytest.mark.parametrize("place_of_cut", [2, 5])
def test_scrambling_what_is_published_after_an_origin_leaves_it_and_all_before_alone(
    place_of_cut: int, base: Ran, asked: Experiment, tmp_path: Path
) -> None:
    cut = origins_of(base)[place_of_cut]
    other = run(asked, exported(scrambled(releases(), cut, seed=place_of_cut), tmp_path / "archive"), tmp_path / "home")
    models = (*RIVALS, *OURS)
    until, after = pl.col("origin") <= cut, pl.col("origin") > cut
    assert other.of(*models).filter(until).equals(base.of(*models).filter(until))
    assert {name: keys[: place_of_cut + 1] for name, keys in other.keys.items()} == {
        name: keys[: place_of_cut + 1] for name, keys in base.keys.items()
    }
    for model in models:  # and it was a real scramble: every model answers otherwise afterwards
        assert not other.of(model).filter(after).equals(base.of(model).filter(after)), model
        assert not set(other.keys[model][place_of_cut + 1 :]) & set(base.keys[model])


def test_a_planted_leak_of_one_release_is_caught_by_that_comparison(
    place: Path, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking(plan: Plan, origin: int, horizon: int, snapshot: Snapshot) -> TrainingSet:
        early = replace(plan, known=np.append(plan.known[1:], plan.known[-1]))
        return training_set(early, origin, horizon, snapshot)

    asked = small((RIDGE,), place)
    monkeypatch.setattr(work, "training_set", leaking)
    leaky = run(asked, changes, tmp_path / "one")
    cut = origins_of(leaky)[4]
    other = run(asked, exported(scrambled(releases(), cut, seed=4), tmp_path / "archive"), tmp_path / "two")
    until = pl.col("origin") <= cut
    assert not other.of("ridge").filter(until).equals(leaky.of("ridge").filter(until))
    assert other.of(*RIVALS).filter(until).equals(leaky.of(*RIVALS).filter(until))


# ---- law 3: a feature row is frozen at its own origin


def test_a_later_revision_moves_the_snapshot_and_no_row_frozen_before_it(asked: Experiment, tmp_path: Path) -> None:
    plain = ChangeFile.open(exported(releases(), tmp_path / "plain"))
    at = end_of_day(quarter(23) - timedelta(days=3), "Europe/London")
    revision = pl.DataFrame(
        {"series_id": ["cpi"], "period": [quarter(22)], "published_at": [at], "value": [111.0]}
    ).cast(releases().schema)  # type: ignore[arg-type]
    revised = ChangeFile.open(exported(pl.concat([releases(), revision]), tmp_path / "revised"))
    plans = [build_plan(with_rivals(asked), changes) for changes in (plain, revised)]
    before, after = (build_design(plan, changes) for plan, changes in zip(plans, (plain, revised), strict=True))
    frozen = sum(moment < at for moment in plans[0].instants)
    assert 0 < frozen < len(plans[0].instants)
    np.testing.assert_array_equal(before[:frozen], after[:frozen])
    assert not np.array_equal(before[frozen], after[frozen])
    levels = []
    for changes in (plain, revised):
        replay = Replay(changes, ["cpi"])
        replay.advance(plans[0].instants[frozen])
        levels.append(replay.snapshot().history("cpi").values)
    # the specimen: rows of earlier origins that were made of this snapshot would have moved
    assert np.flatnonzero(levels[0] != levels[1]).tolist() == [22]


# ---- law 7: the rivals


def test_the_rivals_are_in_a_run_that_names_no_model(place: Path, changes: Path, tmp_path: Path) -> None:
    ran = run(small((), place), changes, tmp_path / "home")
    assert set(ran.leaderboard["model"]) == set(RIVALS)
    assert ran.leaderboard["is_rival"].all()


def test_a_model_may_not_take_the_name_of_a_rival(asked: Experiment) -> None:
    with pytest.raises(UserError, match="always-on rival"):
        with_rivals(replace(asked, models=(replace(AR, name="drift"),)))


def test_a_false_rival_does_not_replace_a_true_one(asked: Experiment) -> None:
    false = Recipe("last_value", "zero", rival=True)
    chosen = {model.name: model for model in with_rivals(replace(asked, models=(false, AR))).models}
    assert chosen["last_value"].kind == "last_value"
    assert set(chosen) == {*RIVALS, "ar"}


# ---- law 8: a missing forecast is never an advantage


@pytest.fixture(scope="module")
def silent(place: Path, changes: Path, base: Ran) -> Ran:
    """Models that are silent exactly where their own forecast would have been worse than the reference's."""
    errors = base.leaderboard  # read once, so that a damaged table fails here
    assert errors.height
    table = joined(base, "mine")
    bad = table.filter(pl.col("own").abs() > pl.col("reference").abs())["origin"].unique().sort().to_list()
    days = tuple(moment.isoformat()[:10] for moment in bad)
    late = origins_of(base)[3].isoformat()
    models = (
        AR,
        MINE,
        replace(MINE, name="shy", params=(("abstain_at", days), ("scale", 0.5))),
        replace(MINE, name="broken", params=(("fail_after", late), ("scale", 0.5))),
        replace(MINE, name="unfitted", params=(("refuse", True),)),
        replace(MINE, name="helped", params=(("fail_after", late), ("scale", 0.5)), fallback="unfitted"),
        replace(MINE, name="unfit_helped", params=(("refuse", True),), fallback="ar"),
    )
    # `helped` falls back on a model that never answers, which itself has no fallback
    return run(small(models, place), changes, place / "silent")


def joined(ran: Ran, model: str) -> pl.DataFrame:
    """Errors of a model and of the reference on the scored cells whose outcome is public."""
    table = pl.read_parquet(ran.files.folder / "errors.parquet").filter(
        pl.col("scored") & (pl.col("outcome_status") == "matured") & (pl.col("status") != "already_public")
    )
    cell = ["series_id", "origin", "horizon"]
    own = table.filter(pl.col("model") == model).select(*cell, "status", own="error")
    reference = table.filter(pl.col("model") == "last_value").select(*cell, reference="error")
    return own.join(reference, on=cell)


@pytest.mark.parametrize("model", ["mine", "shy", "broken", "unfitted", "helped", "unfit_helped"])
def test_a_missing_answer_is_scored_as_the_reference_and_counted(model: str, silent: Ran) -> None:
    for horizon in (0, 1):
        cells = joined(silent, model).filter(pl.col("horizon") == horizon)
        errors = [own if own is not None else other for own, other in cells.select("own", "reference").iter_rows()]
        row = silent.leaderboard.filter((pl.col("model") == model) & (pl.col("horizon") == horizon)).row(0, named=True)
        assert row["value"] == pytest.approx(float(np.sqrt(np.mean(np.square(errors)))), rel=1e-12)
        assert row["n"] == cells.height == silent.leaderboard.filter(pl.col("horizon") == horizon)["n"].min()
        counted = {name: row[f"n_{name}"] for name in ("ok", "failed", "abstained", "fallback")}
        assert counted == {name: (cells["status"] == name).sum() for name in counted}


def test_silence_where_it_would_have_been_wrong_is_scored_and_stays_in_the_denominator(silent: Ran) -> None:
    cells = joined(silent, "shy")
    assert 0 < cells["own"].null_count() < cells.height
    for horizon in (0, 1):
        part = cells.filter(pl.col("horizon") == horizon)
        row = silent.leaderboard.filter((pl.col("model") == "shy") & (pl.col("horizon") == horizon)).row(0, named=True)
        # the specimen: dropping the silent cells would give another number over fewer of them
        dropped = float(np.sqrt(np.mean(np.square(part["own"].drop_nulls().to_numpy()))))
        assert row["value"] != pytest.approx(dropped, rel=1e-6)


def test_every_missing_answer_is_a_row_with_its_status_and_reason(silent: Ran) -> None:
    forecasts = silent.forecasts
    assert forecasts.group_by("model").len()["len"].n_unique() == 1
    missing = forecasts.filter(pl.col("status").is_in(["failed", "abstained"]))
    assert missing["value"].null_count() == missing.height
    assert missing["answered_by"].null_count() == missing.height
    assert not missing["reason"].null_count()
    assert set(forecasts.filter(pl.col("model") == "unfitted")["reason"]) == {
        "fit: RuntimeError: it would not be fitted"
    }


def test_a_fallback_answers_under_its_own_name(silent: Ran) -> None:
    helped = silent.forecasts.filter(pl.col("model") == "unfit_helped")
    assert set(helped["status"]) == {"fallback"}
    assert set(helped["answered_by"]) == {"ar"}
    assert helped["value"].to_list() == silent.forecasts.filter(pl.col("model") == "ar")["value"].to_list()
    # a fallback that cannot answer either is no answer
    hopeless = silent.forecasts.filter(pl.col("model") == "helped")
    assert set(hopeless["status"]) == {"ok", "failed"}


# ---- S19: what is added leaves the others alone


def test_more_models_other_names_and_another_order_leave_every_other_cell_alone(
    base: Ran, asked: Experiment, changes: Path, tmp_path: Path
) -> None:
    extra = replace(RIDGE, name="stiff", params=(("estimator", "sklearn.linear_model.Lasso"),))
    models = (extra, MINE, replace(TREES, name="forest"), RIDGE, replace(AR, name="aa"))
    blocks = (FeatureBlock("more", series="gdp", lag=(1,)), *reversed(asked.features))
    other = run(small(models, Path(asked.folder), features=blocks), changes, tmp_path / "home")
    assert other.of(*RIVALS, "ridge", "mine").equals(base.of(*RIVALS, "ridge", "mine"))
    renamed = {"aa": "ar", "forest": "gbm"}
    for new, old in {**renamed, **{name: name for name in (*RIVALS, "ridge", "mine")}}.items():
        assert other.keys[new] == base.keys[old]
        columns = ["origin", "horizon", "value", "status", "trained_at"]
        assert other.of(new).select(columns).equals(base.of(old).select(columns))


def test_later_data_later_origins_and_another_series_leave_every_cell_alone(
    base: Ran, asked: Experiment, tmp_path: Path
) -> None:
    whole = exported(
        releases(names=("cpi", "gdp", "pay")), tmp_path / "archive", known_through=END + timedelta(days=200)
    )
    other = run(asked, whole, tmp_path / "home")
    old = origins_of(base)
    assert len(origins_of(other)) > len(old)
    assert other.of(*RIVALS, *OURS).filter(pl.col("origin") <= old[-1]).equals(base.of(*RIVALS, *OURS))
    assert {name: keys[: len(old)] for name, keys in other.keys.items()} == base.keys


def test_another_seed_moves_only_what_is_random(base: Ran, asked: Experiment, changes: Path, tmp_path: Path) -> None:
    other = run(replace(asked, models=asked.models[:1] + asked.models[3:], seed=99), changes, tmp_path / "home")
    assert other.of(*RIVALS, "ar").equals(base.of(*RIVALS, "ar"))
    assert not other.of("mine").equals(base.of("mine"))  # it adds its seed to its answer


# ---- S4: what is already public is no forecast


def test_cells_already_public_are_shown_and_neither_scored_nor_trained_on(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    asked = small((AR, RIDGE), place, horizons=(-1,), training=Training(minimum=3))
    asked = replace(asked, origins=replace(asked.origins, every=Schedule("month_end")))
    ran = run(asked, changes, tmp_path / "home")
    ridge = ran.forecasts.filter(pl.col("model") == "ridge")
    # a quarter comes out 40 days after its end: a month later it is a forecast, two months later it is not
    assert dict(ridge.group_by("phase", "status").len().select("phase", "status").iter_rows()) == {
        0: "ok", 1: "already_public", 2: "already_public",
    }  # fmt: skip
    public = ran.forecasts.filter(pl.col("status") == "already_public")
    assert public["value"].null_count() == public.height
    forecasts = ridge.filter(pl.col("status") == "ok").height
    errors = pl.read_parquet(ran.files.folder / "errors.parquet").filter(pl.col("model") == "ridge")
    matured = errors.filter((pl.col("status") == "ok") & (pl.col("outcome_status") == "matured")).height
    assert set(ran.leaderboard["n"]) == {matured}
    assert matured <= forecasts < ridge.height
    plan = build_plan(with_rivals(asked), ChangeFile.open(changes))
    replay = Replay(ChangeFile.open(changes), plan.inputs)
    replay.advance(plan.instants[-1])
    rows = training_set(plan, len(plan.instants) - 1, 0, replay.snapshot(asked.target))
    at = plan.outcomes.matured_at[rows.series, rows.requests]
    assert (at > plan.known[rows.origins]).all()


def test_a_backcast_of_a_later_release_is_a_forecast(place: Path, changes: Path, tmp_path: Path) -> None:
    asked = small((), place, horizons=(-1,))
    with pytest.raises(UserError, match="no matured outcome"):
        run(asked, changes, tmp_path / "first")
    later = replace(asked, target=replace(asked.target, outcome=OutcomeRule("release", 2)))
    assert set(run(later, changes, tmp_path / "second").forecasts["status"]) == {"ok"}


# ---- refits and windows, against a computation by hand


def known_growth(at: datetime) -> list[float]:
    frame = releases().filter((pl.col("series_id") == "cpi") & (pl.col("published_at") <= at))
    levels = frame.sort("published_at").group_by("period").last().sort("period")["value"].to_numpy()
    return list(100 * np.diff(np.log(levels)))


def fitted(growth: list[float]) -> tuple[float, float]:
    design = np.column_stack([np.ones(len(growth) - 1), growth[:-1]])
    intercept, slope = np.linalg.solve(design.T @ design, design.T @ np.array(growth[1:]))
    return float(intercept), float(slope)


def by_hand(ran: Ran, *, cadence: int, window: int | None = None) -> list[float]:
    origins, out = origins_of(ran), []
    for number, origin in enumerate(origins):
        past = known_growth(origins[number - number % cadence])
        intercept, slope = fitted(past if window is None else past[-window:])
        value = known_growth(origin)[-1]
        for _ in range(2):  # the quarter under way, and the next
            value = intercept + slope * value
            out.append(value)
    return out


def test_between_refits_parameters_stay_and_the_state_is_filtered_again(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    fixed = replace(AR, params=(("lags", (1,)),), refit_every=3)
    ran = run(small((fixed,), place), changes, tmp_path / "home")
    found = ran.of("ar")
    np.testing.assert_allclose(found["value"], by_hand(ran, cadence=3), rtol=1e-9)
    assert not np.allclose(found["value"], by_hand(ran, cadence=1), rtol=1e-6)
    origins = origins_of(ran)
    assert found["trained_at"].to_list() == [origins[n - n % 3] for n in range(len(origins)) for _ in range(2)]


def test_a_rolling_window_leaves_a_snapshot_model_its_newest_periods(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    fixed = replace(AR, params=(("lags", (1,)),))
    ran = run(small((fixed,), place, training=Training(minimum=5, rolling=9)), changes, tmp_path / "home")
    np.testing.assert_allclose(ran.of("ar")["value"], by_hand(ran, cadence=1, window=9), rtol=1e-9)
    assert not np.allclose(ran.of("ar")["value"], by_hand(ran, cadence=1), rtol=1e-6)
