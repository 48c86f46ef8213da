"""What is done in parts, or without snapshots, for very many series gives the bits of what is done at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest import data_facts, effort, panel_scores
from harness.backtest.keys import Known, cell_keys, recipe_identity
from harness.backtest.panel_scores import _gathered
from harness.backtest.planning import build_plan
from harness.backtest.scales import scales_of
from harness.backtest.splits import Plan
from harness.core.identity import digest
from harness.core.recipe import Origins, OutcomeRule, Recipe, Target
from harness.core.time import NEVER
from harness.core.transform import Transform
from harness.data import newest, outcomes, past, releases, rescaled, standing
from harness.data.adjusted import look_adjusted, looks_adjusted
from harness.data.changes import ChangeFile
from harness.data.past import Past, past_of
from harness.record import cells, platform
from harness.record.runs import read_table
from harness.studies.stress import stressed_plan
from tests.backtest.made_runs import AR, END, exported, quarter, run, small
from tests.backtest.made_runs import releases as made

NAMES = ("cpi", "gdp", "pay")


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> ChangeFile:
    """Revised quarterly series, one of which begins late and lacks a period."""
    frame = made(names=NAMES)
    late = (pl.col("series_id") == "gdp") & ((pl.col("period") < quarter(4)) | (pl.col("period") == quarter(9)))
    return ChangeFile.open(exported(frame.filter(~late), tmp_path_factory.mktemp("large")))


def planned(changes: ChangeFile, folder: Path, rule: OutcomeRule | None = None, *, hindsight: bool = False) -> Plan:
    target = Target(NAMES, Transform("log_growth", 1), rule or OutcomeRule(), 4)
    asked = replace(small((AR,), folder), target=target)
    late: Origins = replace(asked.origins, latency=timedelta(days=40))
    return build_plan(replace(asked, exclude_hindsight=hindsight, origins=late), changes)


@pytest.mark.parametrize("rule", [OutcomeRule(), OutcomeRule("release", 2), OutcomeRule("latest", 0)], ids=str)
def test_outcomes_found_in_small_parts_and_threads_are_those_found_at_once(
    rule: OutcomeRule, changes: ChangeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = planned(changes, tmp_path, rule).outcomes
    with monkeypatch.context() as patched:
        for room in (newest, past, standing):
            patched.setattr(room, "CHUNK", 5)
        patched.setattr(releases, "PUBLICATIONS", 5)
        patched.setattr(outcomes, "REQUESTS", 1)
        patched.setattr(platform, "LARGE", 1)
        for found in (standing.layout, past.beginnings):
            found.cache_clear()
        parts = planned(changes, tmp_path, rule).outcomes
    standing.layout.cache_clear()
    for name in whole.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert (whole.matured_at != NEVER).any()


@pytest.mark.parametrize("hindsight", [True, False])
def test_newest_periods_are_those_of_the_snapshots(
    changes: ChangeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hindsight: bool
) -> None:
    plan = planned(changes, tmp_path, hindsight=hindsight)
    monkeypatch.setattr(data_facts, "NAMED", 2)
    monkeypatch.setattr(newest, "CHUNK", 5)
    told = data_facts.origin_facts(plan, changes), data_facts.public_shares(plan, changes)
    monkeypatch.setattr(data_facts, "newest_suffices", lambda _: False)
    assert told[0].equals(data_facts.origin_facts(plan, changes))
    assert told[1] == data_facts.public_shares(plan, changes)
    assert told[0]["last_known"].str.contains("series").all()


def test_where_a_value_was_withdrawn_snapshots_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = made(names=NAMES)
    newest_value = (
        frame.filter(pl.col("series_id") == "pay", pl.col("published_at") < END - timedelta(days=9))
        .sort("published_at", "period")
        .tail(1)
    )
    gone = newest_value.with_columns(
        pl.lit(None, dtype=pl.Float64).alias("value"), pl.col("published_at") + pl.duration(days=1)
    )
    withdrawn = ChangeFile.open(exported(pl.concat([frame, gone]), tmp_path / "withdrawn"))
    assert not newest.newest_suffices(withdrawn)
    at = int(gone["published_at"].dt.epoch("us")[0])
    reached = newest.Newest(withdrawn).advance(at)[withdrawn.code_of("pay")]
    known = past_of(withdrawn, "pay")
    # the withdrawn period is the newest that was stated, and not the newest known
    assert reached == known.period.max()
    assert np.isnan(known.value[known.period == reached][-1])


@pytest.mark.parametrize("rule", [OutcomeRule(), OutcomeRule("release", 2), OutcomeRule("after", 100)], ids=str)
def test_scales_made_of_the_plans_outcomes_are_those_looked_up(
    rule: OutcomeRule, changes: ChangeFile, tmp_path: Path
) -> None:
    plan = planned(changes, tmp_path, rule)
    looked_up, found = scales_of(replace(plan, looked_up=None), changes), scales_of(plan, changes)
    np.testing.assert_array_equal(found.mae, looked_up.mae)
    np.testing.assert_array_equal(found.rmse, looked_up.rmse)
    assert found.notes == looked_up.notes
    assert np.isfinite(found.mae).all()
    # outcomes that a study puts in their place are no outcomes of the change file
    other = stressed_plan(plan, 400)
    np.testing.assert_array_equal(scales_of(other, changes).mae, looked_up.mae)
    wrong = replace(other, looked_up=(changes.hash, other.outcomes))
    assert (scales_of(wrong, changes).mae != looked_up.mae).any()


def test_requests_are_laid_out_whether_or_not_they_are_evenly_spaced() -> None:
    table = np.arange(40).reshape(10, 4)
    for request in ([[0, 1, 2], [1, 2, 3]], [[0, 2, 4], [5, 7, 9]], [[3, 3], [3, 3]], [[4]], [[0, 1, 3], [1, 2, 4]]):
        np.testing.assert_array_equal(_gathered(table, np.array(request)), table[np.array(request)])


def test_keys_found_together_are_those_found_one_by_one(changes: ChangeFile, tmp_path: Path) -> None:
    plan, known = planned(changes, tmp_path), Known()
    other = Recipe("bank", "external", source="mpr")
    for recipe in (AR, replace(AR, params=(("lags", 2),)), other):
        identity = recipe_identity(recipe, plan.experiment)
        together = cell_keys(identity, plan, changes, plan.issued, "cell", known=known)
        assert together == cell_keys(identity, plan, changes, plan.issued, "cell")
    assert len(known) == 2  # what two recipes are given is looked up once; a source is another input


def plain_fingerprint(known: Past) -> str:
    first: dict[int, float] = {}
    for period, value in zip(known.period.tolist(), known.value.tolist(), strict=True):
        if value == value:  # noqa: PLR0124 - not withdrawn
            first.setdefault(period, value)
    told = [(period, first[period]) for period in sorted(first)][: effort.FIRST]
    return digest("series", [period for period, _ in told], [value for _, value in told])


def test_fingerprints_are_those_of_the_plain_definition(
    changes: ChangeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "CHUNK", 7)
    monkeypatch.setattr(effort, "TOGETHER", 1)
    tiny, short = pl.col("series_id") == "cpi", (pl.col("series_id") == "pay") & (pl.col("period") < quarter(5))
    small_numbers = pl.when(tiny).then(pl.col("value") * 1e-9).otherwise(pl.col("value"))
    frame = made(names=("cpi", "pay")).with_columns(small_numbers.alias("value"))
    others = ChangeFile.open(exported(frame.filter(tiny | short), tmp_path / "others"))
    for file, names in ((changes, NAMES), (others, ("cpi", "pay"))):
        found = effort.fingerprints_of(file, names)
        assert found == {name: plain_fingerprint(past_of(file, name)) for name in names}


def test_the_signs_of_all_series_are_those_of_each(changes: ChangeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescaled, "FEWEST", 3)
    draw = np.random.default_rng(0)
    files = [changes, *(published_at_random(changes, draw) for _ in range(10))]
    signs = [[looks_adjusted(file, name) for name in NAMES] for file in files]
    assert [look_adjusted(file, NAMES) for file in files] == signs
    assert any(any(one) for one in signs)
    assert "" in signs[0]


@pytest.mark.parametrize("together", [1, 7, 1000])
def test_no_rescaled_history_is_passed_over(
    together: int, changes: ChangeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescaled, "CHUNK", together)
    monkeypatch.setattr(rescaled, "FEWEST", 3)
    draw, seen, honest = np.random.default_rng(together), set[bool](), 0
    for _ in range(60):
        file = published_at_random(changes, draw)
        codes, found = np.unique(file.code).tolist(), rescaled.maybe_rescaled(file)
        told = {code for code in codes if rescaled.rescaled_at_once(past_of(file, NAMES[code]))}
        assert told <= found
        assert rescaled.maybe_rescaled(file, [NAMES[codes[0]]]) == found & {codes[0]}
        honest += len(codes) - len(found)
        seen |= {code in told for code in codes}
    assert seen == {True, False}
    assert honest > 60


def published_at_random(changes: ChangeFile, draw: np.random.Generator) -> ChangeFile:
    """Histories restated in part or whole, some of them times a factor, some with noise, gaps and repetitions."""
    rows = list[tuple[int, int, int, float]]()
    level = np.exp(draw.normal(3.0, 1.0, (len(NAMES), 40))) * draw.choice([-1.0, 1.0, 1.0], (len(NAMES), 1))
    for instant in range(draw.integers(2, 16)):
        for code in np.flatnonzero((draw.random(len(NAMES)) < 0.7) | (instant == 0)).tolist():
            level[code] *= draw.choice([1.0, 1.0, 1.1, 0.9, 1.0005])
            first, count = draw.choice([0, 0, 5]), draw.integers(1, 30)
            noise = draw.normal(0.0, draw.choice([0.0, 0.05]), count)
            value = level[code, first : first + count] * (1.0 + noise)
            value[draw.random(count) < draw.choice([0.0, 0.05, 0.4])] = np.nan
            twice = draw.choice([1, 1, 1, 2])
            rows += [(instant, code, first + place, one) for place, one in enumerate(value) for _ in range(twice)]
    instants, codes, periods, values = (np.array(column) for column in zip(*rows, strict=True))
    return replace(
        changes,
        code=codes.astype(np.int32),
        period=periods.astype(np.int64),
        published=instants.astype(np.int64),
        vintage=instants.astype(np.int64),
        value=values.astype(np.float64),
        availability=np.zeros(len(codes), dtype=np.int8),
    )


@pytest.mark.slow
def test_mapped_cells_score_as_those_read_whether_they_stay_open_or_not(
    changes: ChangeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(small((), tmp_path), target=Target(NAMES, Transform("log_growth", 1), season=4), features=())
    folder = changes.folder
    read = run(asked, folder, tmp_path / "home")
    monkeypatch.setattr(cells, "MAPPED", 0)
    monkeypatch.setattr(panel_scores, "BLOCK_CELLS", 1)
    for most in (200, 0):
        monkeypatch.setattr(panel_scores, "OPEN", most)
        mapped = run(asked, folder, tmp_path / "home")
        for name in ("scores", "common_sample", "against_rivals", "leaderboard"):
            assert read_table(mapped.files, name).equals(read_table(read.files, name))
