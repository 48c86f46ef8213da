"""A plan freezes a finished development run under one seal, says what can be shown, and is entered once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.core.claim import Claim
from harness.core.errors import SealedError, UserError
from harness.core.recipe import Recipe
from harness.record.cells import Cell, read_cell, write_cell
from harness.record.files import json_bytes
from harness.record.ledger import entries
from harness.record.plans import Expected, HoldoutPlan, list_plans, read_plan
from harness.record.runs import find_run, read_manifest, read_table
from harness.record.seals import CUSTODIAN, SEAL_FILE, Seal
from harness.report.opening import plan_text
from harness.studies.holdout.expected import warnings_of
from tests.studies.holdout.made_holdouts import CLAIM, SEAL_ID, Made, experiment, kinds, planned, sealed


def test_a_plan_names_everything_and_says_what_can_be_shown(made: Made, plan: HoldoutPlan) -> None:
    assert plan == read_plan(made.home, plan.id[:6]) == list_plans(made.home)[0]
    assert plan.claim["model"] == "ar"
    assert plan.claim["candidates"] == ["ar"]
    assert (plan.claim["metric"], plan.claim["horizon"]) == ("rmse", 0)
    assert plan.archive["change_file"] == made.changes.name
    assert set(plan.run["cells"]) == {"ar", "last_value", "seasonal_last_value", "drift", "historic_mean"}  # type: ignore[call-overload]
    manifest = read_manifest(find_run(made.home, str(plan.run["id"])))
    assert plan.run["checksums"]["ar"] == manifest["cell_checksums"]["ar"]  # type: ignore[index]
    # quarter ends from the seal to the newest release, 40 days after the last quarter but one
    assert plan.origins["number"] == 16
    now, later = plan.expected
    assert (now.horizon, now.matured, later.matured) == (0, 16, 15)
    assert now.smallest is not None
    assert 0 < now.smallest < now.rival_value
    assert now.per_cent == pytest.approx(100 * now.smallest / now.rival_value)
    assert list(plan.warnings) == list(warnings_of(plan.expected, CLAIM, 0))
    text = plan_text(plan)
    for said in (plan.id, "ar beats every naive rival on rmse at h = 0", "if confirmed: use it", "16 origins"):
        assert said in text


@pytest.mark.parametrize(("level", "told"), [(0.005, "0.5 %"), (0.025, "2.5 %"), (0.05, "5 %"), (0.2, "20 %")])
def test_the_level_of_a_claim_is_told_exactly(level: float, told: str, plan: HoldoutPlan) -> None:
    assert f"one-sided, {told})" in replace(plan, claim={**plan.claim, "level": level}).told


def test_the_same_plan_again_adds_nothing(made: Made, plan: HoldoutPlan) -> None:
    before = made.home.ledger.read_bytes()
    assert planned(made).id == plan.id
    assert made.home.ledger.read_bytes() == before
    (entry,) = (one for one in entries(made.home) if one.kind == "plan")
    assert entry.facts["plan"] == plan.id
    assert entry.facts["digest"] == json.loads((made.home.plans / f"{plan.id}.json").read_text())["digest"]


def test_another_claim_is_another_plan(made: Made, plan: HoldoutPlan) -> None:
    other = planned(made, experiment(claim=replace(CLAIM, level=0.1)))
    assert other.id != plan.id
    assert kinds(made.home).count("plan") == 2


def test_without_a_claim_the_best_model_of_development_is_claimed(made: Made) -> None:
    plan = planned(made, experiment(claim=None))
    board = read_table(find_run(made.home, str(plan.run["id"])), "leaderboard")
    best = board.filter((board["horizon"] == 1) & ~board["is_rival"]).sort("rank")["model"][0]
    assert (plan.claim["model"], plan.claim["horizon"], plan.claim["candidates"]) == (best, 1, [best])


def test_a_claim_that_cannot_be_decided_is_warned_of(made: Made) -> None:
    hopeless = planned(made, experiment(claim=Claim(model="ar", horizon=1)))
    (warning,) = hopeless.warnings
    assert warning.startswith("the claim can")
    assert "be decided" in warning
    assert f"warning: {warning}" in plan_text(hopeless)


def test_earlier_looks_are_told(made: Made, plan: HoldoutPlan) -> None:
    assert f"earlier looks, {SEAL_ID}: no run on record had seen it before it was sealed" in plan_text(plan)
    path = made.home.vault / SEAL_ID / SEAL_FILE
    path.write_bytes(json_bytes(replace(Seal.read(path), runs=("r1", "r2")).record()))
    seen = planned(made)
    assert f"earlier looks, {SEAL_ID}: 2 recorded runs had seen it before it was sealed" in plan_text(seen)


def test_the_last_lines_of_a_plan_say_how_this_one_is_opened(plan: HoldoutPlan) -> None:
    opens = f"harness holdout open --plan {plan.id}"
    assert plan_text(plan).endswith(f"open it once: {opens}")
    again = plan_text(replace(plan, exploratory=True))
    assert again.endswith(f'open it again, exploratory: {opens} --again --reason "..."')
    kept = tuple({**one, "grade": CUSTODIAN} for one in plan.seals)
    lines = plan_text(replace(plan, seals=kept)).splitlines()[-3:]
    assert lines[0].endswith(f"harness holdout request --plan {plan.id} --out request.json")
    assert lines[1].endswith("harness holdout grant request.json --out grant.json")
    assert lines[2] == f"open it once: {opens} --grant grant.json"
    both = plan_text(replace(plan, seals=kept, exploratory=True))
    assert "grant request.json --out grant.json --again" in both
    assert both.endswith(' --grant grant.json --again --reason "..."')


SEEN = Expected(0, 40, 10, 0, 40.0, "drift", 0.5, 1.0, 0.3, 30.0)


@pytest.mark.parametrize(
    ("expected", "openings", "told"),
    [
        ([SEEN], 0, []),
        ([replace(SEEN, smallest=0.6)], 0, ["the claim can hardly be decided: in development the difference to drift"]),
        ([replace(SEEN, smallest=None)], 0, ["the claim can hardly be decided: even a perfect forecast"]),
        ([replace(SEEN, smallest=None, effective=None)], 0, ["whether the claim can be decided is not known"]),
        ([replace(SEEN, matured=9)], 0, ["the claim cannot be decided: 9 matured origins are expected, 10 are needed"]),
        ([replace(SEEN, horizon=1)], 0, ["the claim cannot be decided: ar has no scored cell at h = 0"]),
        ([SEEN], 1, ["the holdout was opened 1 time: this plan can be exploratory only"]),
        ([SEEN], 2, ["the holdout was opened 2 times: this plan can be exploratory only"]),
    ],
)
def test_warnings_say_why_a_claim_may_not_be_decided(expected: list[Expected], openings: int, told: list[str]) -> None:
    found = list(warnings_of(expected, CLAIM, openings))
    assert len(found) == len(told)
    assert all(one.startswith(start) for one, start in zip(found, told, strict=True))


def test_a_plan_needs_a_finished_run_of_this_very_experiment(made: Made) -> None:
    with pytest.raises(UserError, match=r"was not run in development.*harness backtest made"):
        planned(made, experiment(seed=1))
    begun = find_run(made.home, str(planned(made).run["id"])).folder / "manifest.json"
    record = {name: value for name, value in json.loads(begun.read_text()).items() if name != "digest"}
    begun.write_bytes(json_bytes({**record, "status": "running"}))
    with pytest.raises(UserError, match="not finished"):
        planned(made, experiment(claim=Claim(model="ets")))


def test_a_run_whose_cells_are_not_those_it_recorded_is_not_planned_on(made: Made, plan: HoldoutPlan) -> None:
    key = plan.run["cells"]["ar"][0]  # type: ignore[index]
    cell = read_cell(made.home.cells, key)
    assert cell is not None
    write_cell(made.home.cells, key, Cell(cell.frame, {**cell.facts, "altered": True}))
    with pytest.raises(UserError, match="not those it recorded"):
        planned(made, experiment(claim=Claim(model="ets")))


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        (Claim(model="nobody"), "nobody"),
        (Claim(model="ar", horizon=9), "h = 9"),
        (Claim(model="last_value"), "last_value"),
    ],
)
def test_what_the_experiment_does_not_have_cannot_be_claimed(claim: Claim, told: str, made: Made) -> None:
    with pytest.raises(UserError, match=told):
        planned(made, experiment(claim=claim))


@pytest.mark.slow
def test_inputs_that_are_not_sealed_cannot_be_planned(made: Made) -> None:
    half = sealed(made.home.root.parent / "half", series=("gdp",))
    half.run()
    with pytest.raises(SealedError, match=r"not sealed: cpi.*harness holdout seal"):
        planned(half)


@pytest.mark.parametrize("how", ["edited", "resigned", "renamed"])
def test_a_plan_that_was_changed_is_no_plan(how: str, made: Made, plan: HoldoutPlan) -> None:
    path = made.home.plans / f"{plan.id}.json"
    record = json.loads(path.read_text())
    name = plan.id
    if how == "edited":
        record["claim"]["level"] = 0.2
        path.write_bytes(json_bytes(record))
    elif how == "resigned":
        from harness.record.files import sealed as digested

        record["claim"]["level"] = 0.2
        path.write_bytes(json_bytes(digested(record)))
    else:
        name = "0" * 16
        path.rename(made.home.plans / f"{name}.json")
    with pytest.raises(SealedError, match="not what was written"):
        read_plan(made.home, name)
    assert list_plans(made.home) == ()


def test_an_unknown_plan_is_told(made: Made) -> None:
    with pytest.raises(SealedError, match="no such plan: zzz"):
        read_plan(made.home, "zzz")


def test_rivals_and_strangers_are_no_candidates(made: Made) -> None:
    asked = experiment(models=(Recipe("ar", "autoregression", (("max_lags", 1),)), Recipe("ets", "ets")))
    plan = planned(made, replace(asked, claim=Claim(candidates=("ets", "ar"), horizon=0)))
    assert plan.claim["model"] == "ar"  # the better of the two in development
    assert set(plan.run["cells"]) >= {"ar", "ets"}  # type: ignore[call-overload]
