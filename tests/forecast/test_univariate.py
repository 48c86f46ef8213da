"""A panel projected together answers, bit for bit, what its series do one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.frames import KEY_SCHEMA, Rows
from harness.core.snapshot import Panel, Snapshot
from harness.core.transform import Floats, Transform
from harness.forecast import projection, univariate
from harness.forecast.classical import autoregression
from harness.forecast.histories import Histories, Work
from harness.forecast.projection import Fitted, FittedPanel
from harness.forecast.smoothing import _EtsTogether, ets, theta
from harness.forecast.univariate import Univariate, WorksOn
from tests.forecast.made_snapshots import asked, made
from tests.forecast.plain_univariate import PlainUnivariate

LEVEL, GROWTH = Transform(), Transform("log_growth", 2)
VOLATILITY = Transform("realised_volatility", 2, proxy="squared_log_return")
Draw = np.random.Generator


def smoothed(*parts: str) -> Callable[[Draw, int], Fitted]:
    """Parameters of exponential smoothing with some of `trend`, `seasonal` (in most series) and `damped`."""

    def drawn(rng: Draw, _: int) -> Fitted:
        level, seasonal = float(rng.uniform(0.05, 0.95)), "seasonal" in parts and bool(rng.random() < 0.7)
        params = [level]
        params += [level * float(rng.uniform())] if "trend" in parts else []
        params += [(1.0 - level) * float(rng.uniform())] if seasonal else []
        params += [float(rng.uniform(0.8, 0.98))] if "damped" in parts else []
        return {"seasonal": "add" if seasonal else "none", "params": params, "variance": float(rng.uniform())}

    return drawn


def with_theta(rng: Draw, season: int) -> Fitted:
    return {
        "alpha": float(rng.choice([0.0, 1.0, *rng.uniform(0.01, 0.99, 4), *rng.uniform(0.01, 0.1, 4)])),
        "trend": float(rng.normal()) * float(rng.choice([1.0, 1e6])),
        "multiplicative": bool(rng.random() < 0.5),
        "seasonal": rng.uniform(0.5, 1.5, season).tolist() if rng.random() < 0.5 else [],
        "variance": float(rng.uniform()),
    }


def regressed(rng: Draw, _: int) -> Fitted:
    lags = sorted(rng.choice(np.arange(1, 6), int(rng.integers(0, 4)), replace=False).tolist())
    slopes = rng.normal(0.0, 0.4, len(lags))
    slopes *= 1e120 if rng.random() < 0.1 else 1.0  # a path that leaves the numbers
    return {"lags": lags, "intercept": float(rng.normal()), "slopes": slopes.tolist(), "variance": float(rng.uniform())}


MULTIPLICATIVE: Fitted = {"seasonal": "mul", "params": [0.5, 0.2], "variance": 1.0}
Making = tuple[Callable[[WorksOn], Univariate], Callable[[Draw, int], Fitted]]
METHODS: Mapping[str, Making] = {
    "ets": (lambda on: ets(seasonal="none", works_on=on), smoothed()),
    "ets trend": (lambda on: ets(trend="add", seasonal="none", works_on=on), smoothed("trend")),
    "ets auto": (lambda on: ets(works_on=on), smoothed("seasonal")),
    "ets all": (lambda on: ets(trend="add", damped=True, works_on=on), smoothed("trend", "seasonal", "damped")),
    "ets mul error": (lambda on: ets(error="mul", works_on=on), smoothed("seasonal")),
    "ets mul": (lambda on: ets(seasonal="mul", works_on=on), lambda *_: MULTIPLICATIVE),
    "theta": (lambda on: theta(works_on=on), with_theta),
    "autoregression": (lambda on: autoregression(works_on=on), regressed),
}
SITUATIONS: Sequence[tuple[Transform, WorksOn]] = (
    (LEVEL, "level"),
    (LEVEL, "step"),
    (GROWTH, "step"),
    (GROWTH, "level"),
    (GROWTH, "target"),
    (VOLATILITY, "step"),
)


def panel_of(rng: Draw, count: int, periods: int) -> Floats:
    """Levels with holes, of different lengths, constant, nearly empty, hopeless."""
    levels = 50.0 + rng.normal(size=(count, periods)).cumsum(axis=1)
    for row in range(count):
        kind = rng.integers(0, 8)
        if kind in (0, 1):
            levels[row, : rng.integers(0, periods)] = np.nan
        if kind in (1, 2):
            levels[row, periods - rng.integers(0, 6) :] = np.nan
        if kind in (2, 3):
            levels[row, rng.integers(0, periods, 2)] = np.nan
        if kind == 4:
            levels[row] = np.where(rng.random(periods) < 0.5, np.nan, 7.0)
        if kind == 5 and rng.random() < 0.5:
            levels[row, rng.integers(0, periods)] = rng.choice([1e308, -3.0, 0.0, np.inf])
    return levels


def revised(rng: Draw, levels: Floats) -> None:
    """Change some earlier values, take some away and fill holes."""
    for row in range(len(levels)):
        if rng.random() < 0.3:
            column = rng.integers(0, levels.shape[1])
            levels[row, column] = rng.choice([np.nan, levels[row, column] + 1.0, 40.0])


def questions(rng: Draw, snapshot: Snapshot) -> Rows:
    """Some series, each at horizons of its own, in any order."""
    rows = asked(snapshot, range(-2, 6)).keys.with_columns(
        pl.Series("draw", rng.random(8 * len(snapshot.panels[0].ids)))
    )
    some = rows.filter(pl.col("draw") < 0.6).sort("draw") if rng.random() < 0.5 else rows.filter(pl.col("draw") < 0.9)
    return Rows(pl.DataFrame(), some.select(KEY_SCHEMA.names()))


def cut(snapshot: Snapshot, rows: Sequence[int], since: int, until: int) -> Snapshot:
    """What was known of some series in some of the columns."""
    (own,), target = snapshot.panels, snapshot.target
    assert target is not None
    ids = tuple(own.ids[row] for row in rows)
    parts = (getattr(own, name)[list(rows), since:until] for name in ("values", "published", "vintage"))
    panel = Panel(ids, own.timeline, own.first + since, *parts)
    return replace(snapshot, panels=(panel,), target=replace(target, series=ids))


def outcome(model: Univariate, rows: Rows, snapshot: Snapshot) -> tuple[bytes, list[str]] | str:
    """Bits of the answers and the warnings, or why it failed."""
    try:
        answer = model.predict(rows, snapshot)["value"]
    except ValueError as error:
        return str(error)
    return answer.is_null().to_numpy().tobytes() + answer.fill_null(0.0).to_numpy().tobytes(), list(model.warnings)


def pair(name: str, works_on: WorksOn, fitted: dict[str, Fitted | None]) -> tuple[Univariate, Univariate]:
    together = METHODS[name][0](works_on)
    plain = PlainUnivariate(together.method, works_on)
    together.fitted, plain.fitted = fitted, dict(fitted)
    return together, plain


@pytest.mark.every_case
@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.sampled_from([1, 3, 8, 40]),
    season=st.integers(1, 5),
    situation=st.sampled_from(SITUATIONS),
    width=st.sampled_from([7, 1024]),
)
def test_the_bits_are_those_of_one_series_after_the_other(
    name: str, seed: int, count: int, season: int, situation: tuple[Transform, WorksOn], width: int
) -> None:
    """Over origins between which values are published, revised and withdrawn, and series come and go."""
    rng, (transform, works_on) = np.random.default_rng(seed), situation
    count = min(count, 8) if name in ("ets mul", "ets mul error") else count
    levels, names = panel_of(rng, count, 46), [f"s{row}" for row in range(count)]
    fitted = {name_: METHODS[name][1](rng, season) if rng.random() < 0.9 else None for name_ in names}
    together, plain = pair(name, works_on, fitted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(univariate, "ROWS", width)
        for until in (30, 31, 31, 34, 33, 46):
            revised(rng, levels)
            frequency = "D" if transform.is_volatility else "Q"
            whole = made(dict(zip(names, levels.tolist(), strict=True)), transform, season=season, frequency=frequency)
            some = [row for row in range(count) if rng.random() < 0.9] or [0]
            snapshot = cut(whole, some, int(rng.choice([0, 0, 0, 3])), until)
            rows = questions(rng, snapshot)
            with np.errstate(all="ignore"):
                assert outcome(together, rows, snapshot) == outcome(plain, rows, snapshot)


# ---- what the comparison rests on


def known(levels: Floats) -> tuple[Rows, Snapshot]:
    snapshot = made({f"s{row}": one for row, one in enumerate(levels.tolist())})
    return asked(snapshot, range(4)), snapshot


@pytest.mark.every_case
@pytest.mark.parametrize("name", [one for one in METHODS if one not in ("ets mul", "ets mul error")])
def test_a_sound_panel_is_not_asked_series_by_series(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rows, snapshot = known(50.0 + rng.normal(size=(30, 60)).cumsum(axis=1))
    fits = {f"s{row}": METHODS[name][1](rng, 4) for row in range(30)}
    together, plain = pair(name, "level", {key: fit for key, fit in fits.items() if "e+" not in str(fit)})
    expected = outcome(plain, rows, snapshot)

    def never(*_: object) -> None:
        raise AssertionError("asked by itself")

    monkeypatch.setattr(type(together.method), "project", never)
    assert outcome(together, rows, snapshot) == expected


def test_an_autoregression_with_a_recent_gap_is_asked_by_itself_though_no_step_reads_it() -> None:
    fit: Fitted = {"lags": [1, 3], "intercept": 0.0, "slopes": [0.5, 0.25], "variance": 1.0}
    histories = Histories.of(np.array([[1.0, 2.0, 4.0, np.nan, 8.0], [1.0, np.nan, 4.0, 2.0, 8.0]]), 0, 1)
    together = autoregression().method.together([fit, fit])  # type: ignore[attr-defined]
    assert np.isnan(together.project(np.array([0, 1]), histories, 1)).tolist() == [[True], [False]]


@pytest.mark.parametrize("wrong", ["one bit", "one row"])
def test_a_projection_that_is_off_is_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows, snapshot = known(50.0 + rng.normal(size=(5, 60)).cumsum(axis=1))
    together, plain = pair("ets", "level", {f"s{row}": METHODS["ets"][1](rng, 4) for row in range(5)})
    right = _EtsTogether.project

    def off(self: _EtsTogether, places: np.ndarray, histories: Histories, steps: int) -> Floats:
        path = right(self, places, histories, steps)
        return np.nextafter(path, np.inf) if wrong == "one bit" else path[::-1]

    monkeypatch.setattr(_EtsTogether, "project", off)
    assert outcome(together, rows, snapshot) != outcome(plain, rows, snapshot)


def test_other_parameters_leave_nothing_carried() -> None:
    rng = np.random.default_rng(5)
    rows, snapshot = known(50.0 + rng.normal(size=(4, 60)).cumsum(axis=1))
    together, plain = pair("ets", "level", {f"s{row}": METHODS["ets"][1](rng, 4) for row in range(4)})
    before = outcome(together, rows, snapshot)
    for one in (together, plain):
        one.fitted["s1"] = {"seasonal": "none", "params": [0.123], "variance": 1.0}  # in place
        one.fitted["s2"] = None
    after = outcome(together, rows, snapshot)
    assert after == outcome(plain, rows, snapshot) != before
    together.load(together.dump())
    assert outcome(together, rows, snapshot) == after


def test_what_is_kept_does_not_grow_with_origins() -> None:
    rng = np.random.default_rng(6)
    together, _ = pair("ets all", "level", {f"s{row}": METHODS["ets all"][1](rng, 4) for row in range(4)})
    levels = 50.0 + rng.normal(size=(4, 60)).cumsum(axis=1)
    kept = set[int]()
    for shift in range(20):
        rows, snapshot = known(levels[:, shift : shift + 40])
        outcome(together, rows, snapshot)
        carried = together._panel._together.carried  # type: ignore[union-attr]
        kept.add(sum(one.size for one in vars(carried).values() if isinstance(one, np.ndarray)))
    assert len(kept) == 1


def test_a_series_that_fails_is_named_and_the_others_answer() -> None:
    rows, snapshot = known(np.array([np.arange(40.0) + 3 * (np.arange(40) % 3), 2.0 ** np.arange(40)]))
    fit: Fitted = {"lags": [1], "intercept": 0.0, "slopes": [2.0], "variance": 1.0}
    wild: Fitted = {**fit, "slopes": [1e200]}
    together, plain = pair("autoregression", "level", {"s0": wild, "s1": fit})
    told = outcome(together, rows, snapshot)
    assert told == outcome(plain, rows, snapshot)
    assert together.warnings == ["s0: the forecast path is not finite"]
    together, _ = pair("autoregression", "level", {"s0": wild, "s1": wild})
    assert outcome(together, rows, snapshot) == "; ".join(f"{one}: {projection.NOT_FINITE}" for one in ("s0", "s1"))


def test_a_path_is_judged_by_the_steps_of_its_own_series() -> None:
    """The one asked one step ahead does not fail for what comes at the third."""
    histories = Histories.of(np.array([[1.0, 2.0, 4.0, 9.0]] * 2), 0, 1)
    fit: Fitted = {"lags": [1], "intercept": 0.0, "slopes": [1e200], "variance": 1.0}
    panel = FittedPanel(autoregression().method, {"a": fit, "b": fit})
    path, failed = panel.paths(panel.places(["b", "a"]), histories, np.array([1, 3]))
    assert path[0, 0] == 9e200
    assert np.isnan(path[0, 1:]).all()
    assert np.isnan(path[1]).all()
    assert failed == {1: projection.NOT_FINITE}


# ---- histories


@given(seed=st.integers(0, 2**32 - 1), periods=st.integers(1, 9))
def test_histories_are_those_of_each_row(seed: int, periods: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((12, periods)) < 0.4, np.nan, rng.integers(0, 3, (12, periods)).astype(np.float64))
    histories = Histories.of(values, 5, 4)
    for row, own in enumerate(values):
        columns = np.flatnonzero(~np.isnan(own))
        assert histories.usable[row] == (len(columns) >= 2)
        assert histories.constant[row] == (len(set(own[columns].tolist())) == 1)
        if histories.usable[row]:
            work, stretch = histories.work(row), histories.work(row).newest_stretch()
            assert work.values.tobytes() == own[columns[0] : columns[-1] + 1].tobytes()
            assert (work.first, work.season) == (5 + columns[0], 4)
            assert histories.first + histories.stretch[row] == stretch.first
    chosen = np.flatnonzero(histories.usable)[::-1]
    assert histories.taken(chosen).stretch.tolist() == histories.stretch[chosen].tolist()


def test_a_panel_without_periods_has_no_histories() -> None:
    histories = Histories.of(np.empty((2, 0)), 0, 1)
    assert not histories.usable.any()
    assert not histories.constant.any()


def test_a_method_without_a_way_together_is_asked_series_by_series() -> None:
    class Longest:
        def estimate(self, work: Work) -> Fitted | None:
            return {"variance": 0.0}

        def project(self, fitted: Fitted, work: Work, steps: int) -> Floats | None:
            return np.full(steps, float(len(work.values)))

    rows, snapshot = known(np.array([np.arange(30.0), [*[np.nan] * 20, *np.arange(10.0)]]))
    model = Univariate(Longest(), "level")
    model.fit(None, snapshot, seed=0)
    assert model.predict(rows, snapshot)["value"].to_list() == [30.0] * 4 + [10.0] * 4
