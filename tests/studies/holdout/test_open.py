"""A holdout opens by its plan, once: the right rows, the right test, and everything else refused and entered."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from harness.backtest.assemble import Results
from harness.backtest.runner import execute
from harness.cli import main
from harness.core.claim import Claim
from harness.core.errors import DamagedError, SealedError, UserError
from harness.core.identity import canonical
from harness.core.recipe import Experiment, Target
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.vault.keys import new_identity
from harness.record.cells import Cell, read_cell, write_cell
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.plans import HoldoutPlan
from harness.record.runs import find_run, read_manifest, read_table, start_run
from harness.report.opening import opening_text
from harness.report.run import Run
from harness.report.summary import summary
from harness.report.verify import verify
from harness.score.significance import bandwidth, diebold_mariano
from harness.studies.holdout import checking
from harness.studies.holdout.open import LOCK
from harness.studies.holdout.verdict import AGAINST, verdict_of
from tests.backtest.made_runs import Ran
from tests.report.test_readme import documented
from tests.studies.holdout.made_holdouts import (
    CLAIM,
    CUT_AT,
    SEAL_ID,
    Made,
    experiment,
    filled,
    kinds,
    opened,
    planned,
    values,
)

ROW = ["model", "origin", "horizon", "period", "value", "status"]
Closed = tuple[Made, Ran]
Attack = Callable[[Made, HoldoutPlan, pytest.MonkeyPatch], None]


def facts_of(ran: Ran) -> dict[str, object]:
    facts = read_manifest(ran.files)["holdout"]
    assert isinstance(facts, dict)
    return facts


def test_an_opening_scores_what_was_sealed_and_answers_the_claim(closed: Closed, tmp_path: Path) -> None:
    made, ran = closed
    facts = facts_of(ran)
    assert (facts["answer"], facts["decision"], facts["exploratory"]) == ("confirmed", "use it", False)
    assert kinds(made.home) == ["sealing", "seal", "plan", "opening", "closing", "result"]
    # the rows are those of an archive that was never sealed
    whole = Home(tmp_path / "whole")
    archive = filled(whole)
    plain = Ran(find_run(whole, execute(experiment(), archive.export(whole.changes), whole, workers=1)))
    walked = ["ar", "last_value", "seasonal_last_value", "drift", "historic_mean"]
    expected = plain.forecasts.filter(pl.col("model").is_in(walked)).sort(ROW[:3]).select(ROW)
    assert ran.forecasts.sort(ROW[:3]).select(ROW).equals(expected)
    assert set(ran.forecasts["model"]) == set(walked)  # nobody looked at the other model
    scored = ran.forecasts.filter("scored")
    assert scored["origin"].min() == ran.forecasts.filter(pl.col("origin") >= CUT_AT)["origin"].min()
    # the test is the plain one, on plain errors
    errors = read_table(ran.files, "errors").filter(pl.col("scored") & (pl.col("horizon") == 0))
    p_values = []
    for rival in walked[1:]:
        mine, theirs = (
            errors.filter((pl.col("model") == name) & pl.col("error").is_not_null()).sort("origin")
            for name in ("ar", rival)
        )
        overlap = bandwidth(
            mine["origin"].to_physical().to_numpy(), mine["outcome_published_at"].to_physical().to_numpy()
        )
        test = diebold_mariano(mine["error"], theirs["error"], horizon=overlap + 1, alternative="less")
        p_values.append(test.p_value)
    assert facts["p_value"] == pytest.approx(max(p_values), rel=1e-9)
    assert facts["n_origins"] == 16


def test_straddlers_are_reported_apart(closed: Closed) -> None:
    _, ran = closed
    apart = read_table(ran.files, "straddlers")
    errors = read_table(ran.files, "errors")
    crossing = errors.filter((pl.col("origin") < CUT_AT) & (pl.col("outcome_published_at") >= CUT_AT))
    assert not crossing["scored"].any()
    counted = crossing.filter(pl.col("model") == "ar").group_by("horizon").len().sort("horizon")
    assert apart.filter(pl.col("model") == "ar").sort("horizon")["n"].to_list() == counted["len"].to_list()
    assert sum(counted["len"].to_list()) >= 2
    row = apart.filter((pl.col("model") == "ar") & (pl.col("horizon") == 1)).row(0, named=True)
    mine = crossing.filter((pl.col("model") == "ar") & (pl.col("horizon") == 1))["error"]
    assert row["value"] == pytest.approx(float((mine**2).mean()) ** 0.5)  # type: ignore[arg-type]


@pytest.mark.slow
def test_scaled_errors_keep_the_scale_of_development(made: Made) -> None:
    asked = experiment(claim=replace(CLAIM, metric="mase"))
    plan = planned(made, asked)
    ran = opened(made, plan, asked)

    def scale(files: Ran) -> float:
        whole = pl.col("series_id").is_null() & pl.col("stretch").is_null() & (pl.col("horizon") == 0)
        row = read_table(files.files, "scores").filter(whole & (pl.col("model") == "ar")).row(0, named=True)
        return float(row["mae"] / row["mase"])

    development = Ran(find_run(made.home, str(plan.run["id"])))
    assert scale(ran) == pytest.approx(scale(development), rel=1e-12)
    assert facts_of(ran)["told"] == plan.told
    assert "mase" in plan.told


@pytest.mark.slow
def test_the_run_of_an_opening_is_shown_reported_and_verified(closed: Closed, tmp_path: Path) -> None:
    made, ran = closed
    run = Run(ran.files.run_id, made.home)
    text = summary(run)
    assert opening_text(run.manifest) in text
    assert "verdict: CONFIRMED" in text
    assert "opened 1 time" in text
    page = run.report(tmp_path / "page.html").read_text()
    assert "ar beats every naive rival on rmse at h = 0" in page
    assert "CONFIRMED" in page
    assert run.effort().looks.get("holdout") == 1
    assert "Straddlers: issued before the seal" in text
    assert "<h2>Straddlers</h2>" in page
    assert run.straddlers().equals(read_table(ran.files, "straddlers"))
    assert sorted(documented("straddlers")) == sorted(run.straddlers().columns)
    with pytest.raises(UserError, match="opened no holdout"):
        Run(str(facts_of(ran)["development"]), made.home).straddlers()
    done = verify(made.home)
    assert done.intact, done.problems


@pytest.mark.slow
def test_no_face_of_an_opening_names_a_verb_that_is_refused(
    closed: Closed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, ran = closed
    run, plan, where = Run(ran.files.run_id, made.home), str(facts_of(ran)["plan"]), ["--home", str(made.home.root)]
    card = run.model_card()
    assert card.startswith("# Model card: ar in made")
    for said in ("claim: ar beats every naive rival", "verdict: CONFIRMED", "decision: use it", f"plan: {plan}"):
        assert f"- {said}" in card
    assert f"$ harness holdout open --plan {plan}" in card
    for face in (card, summary(run), run.report(tmp_path / "page.html").read_text()):
        assert "harness reproduce" not in face
        assert "harness lineage" not in face
        assert "an opening is not audited itself" in face
    development = Run(str(facts_of(ran)["development"]), made.home)
    assert f"harness reproduce {development.id}" in development.model_card()
    for verb in ("reproduce", "lineage"):
        assert main([verb, run.id, *where]) == 2
        assert f"prints the standing answer: harness holdout open --plan {plan}" in capsys.readouterr().err
    assert main(["runs", *where]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert ("opening" in lines[run.id[:12]], "opening" in lines[development.id[:12]]) == (True, False)
    assert main(["sql", "SELECT 1", *where]) == 0
    assert f"in no answer but of the runs that opened it ({run.id})" in capsys.readouterr().err


@pytest.mark.slow
def test_a_claim_that_does_not_hold_is_not_confirmed(made: Made) -> None:
    asked = experiment(claim=Claim(model="ar", horizon=1, if_confirmed="yes", if_not="no"))
    facts = facts_of(opened(made, planned(made, asked), asked))
    assert (facts["answer"], facts["decision"]) == ("not confirmed", "no")


@pytest.mark.slow
def test_the_leaderboard_of_an_opening_judges_the_claimed_model_at_the_level_of_the_claim(made: Made) -> None:
    asked = experiment(claim=replace(CLAIM, level=1e-9))  # better at 5 %, and not at that
    ran = opened(made, planned(made, asked), asked)
    facts, run = facts_of(ran), Run(ran.files.run_id, made.home)
    mine = run.leaderboard().filter(model="ar", horizon=0)
    assert 1e-9 < mine["p_better_than_naive"].item() < 0.05
    assert (facts["answer"], mine["verdict"].item()) == ("not confirmed", "not shown")
    assert "the claimed ar at h = 0: below 1e-09" in summary(run)
    assert "one-sided, 1e-07 %" in summary(run)


def some_file(made: Made) -> Path:
    return min((made.home.vault / SEAL_ID / "files").iterdir())


def foreign_plan(made: Made, plan: HoldoutPlan) -> HoldoutPlan:
    """A plan that somebody wrote without entering it."""
    from harness.record.plans import write_plan

    facts = {name: getattr(plan, name) for name in HoldoutPlan.__dataclass_fields__ if name not in ("id", "created_at")}
    other = HoldoutPlan.made(**{**facts, "claim": {**plan.claim, "level": 0.2}})
    write_plan(made.home, other)
    return other


def other_code(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checking, "code_hash", lambda: "0" * 32)


def other_packages(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checking, "lock_hash", lambda: "0" * 32)


def other_archive(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    frame = values().head(1).with_columns(pl.lit("other").alias("series_id"))
    Archive.open(made.home.archive).append(frame, source="more")


def wrong_key(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    (made.keys / f"{SEAL_ID}.identity").write_text(new_identity())


def no_key(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    (made.keys / f"{SEAL_ID}.identity").unlink()


def forged_file(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    content = some_file(made).read_bytes()
    some_file(made).write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])


def removed_file(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    some_file(made).unlink()


def forged_list(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    path = made.home.vault / SEAL_ID / "manifest.json"
    path.write_text(path.read_text().replace('"rows": ', '"rows": 1'))


def unfinished_run(made: Made, plan: HoldoutPlan, patch: pytest.MonkeyPatch) -> None:
    (find_run(made.home, str(plan.run["id"])).folder / "manifest.json").write_text("{}")


ATTACKS: list[tuple[Attack, str]] = [
    (other_code, "code is not the one"),
    (other_packages, "installed packages"),
    (other_archive, "archive is not in the state"),
    (wrong_key, "key is not the one of the seal"),
    (no_key, "key is not here"),
    (forged_file, "vault is not what was sealed"),
    (removed_file, "vault is not what was sealed"),
    (forged_list, "vault is not what was sealed"),
    (unfinished_run, "development run of the plan is gone"),
]
ASKED = [
    (experiment(seed=2), "experiment is not the one.*seed"),
    (experiment(claim=replace(CLAIM, level=0.2)), "claim is not the one.*level"),
    (experiment(claim=replace(CLAIM, model="ets")), "claim is not the one.*model"),
]


def assert_refused(made: Made) -> None:
    """One refusal was entered, and nothing was begun."""
    assert kinds(made.home) == ["sealing", "seal", "plan", "refusal"]
    assert str(entries(made.home)[-1].facts["command"]).startswith("holdout open")
    assert not (made.home.vault / SEAL_ID / "openings").exists()


@pytest.mark.parametrize(("asked", "told"), ASKED, ids=["experiment", "level", "model not in the plan"])
def test_another_experiment_or_claim_is_refused(asked: Experiment, told: str, made: Made, plan: HoldoutPlan) -> None:
    with pytest.raises(SealedError, match=told):
        opened(made, plan, asked)
    assert_refused(made)


def test_a_plan_that_was_never_entered_is_refused(made: Made, plan: HoldoutPlan) -> None:
    with pytest.raises(SealedError, match="never entered in the ledger"):
        opened(made, foreign_plan(made, plan), experiment(claim=replace(CLAIM, level=0.2)))
    assert_refused(made)


@pytest.mark.parametrize(("attack", "told"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_every_difference_from_the_plan_is_refused_and_entered(
    attack: Attack, told: str, made: Made, plan: HoldoutPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack(made, plan, monkeypatch)
    with pytest.raises(SealedError, match=told):
        opened(made, plan)
    assert_refused(made)


def test_an_edited_ledger_opens_nothing(made: Made, plan: HoldoutPlan) -> None:
    text = made.home.ledger.read_text()
    made.home.ledger.write_text(text.replace('"experiment": "made"', '"experiment": "mode"'))
    assert made.home.ledger.read_text() != text
    with pytest.raises(SealedError, match="ledger is damaged"):
        opened(made, plan)
    made.home.ledger.write_text("".join(text.splitlines(keepends=True)[:2]))  # the plan's entry is cut off
    with pytest.raises(SealedError, match="never entered"):
        opened(made, plan)


@pytest.mark.slow
def test_a_second_opening_needs_a_reason_and_is_exploratory(made: Made, plan: HoldoutPlan) -> None:
    asked = experiment(claim=replace(CLAIM, level=0.1))
    early = planned(made, asked)
    first = opened(made, plan)
    told = made.home.ledger.read_bytes()
    assert opened(made, plan) == first  # the answer as it stands; nothing is opened
    assert made.home.ledger.read_bytes() == told
    with pytest.raises(SealedError, match="opened and closed"):
        opened(made, plan, again=True, reason="once more")
    with pytest.raises(SealedError, match="opened before: 1 time, by"):
        opened(made, early, asked)
    with pytest.raises(UserError, match="needs a reason"):
        opened(made, early, asked, again=True)
    kept = {path.name: path.read_bytes() for path in first.files.folder.iterdir()}
    again = opened(made, early, asked, again=True, reason="a reviewer asked")
    assert again.files.run_id != first.files.run_id  # of equal candidates on equal data
    assert {path.name: path.read_bytes() for path in first.files.folder.iterdir()} == kept
    assert facts_of(first)["plan"] == plan.id
    assert verify(made.home).intact
    assert facts_of(again)["exploratory"] is True
    assert "exploratory" in summary(Run(again.files.run_id, made.home))
    found = [one.facts for one in entries(made.home) if one.kind == "opening"]
    assert [one["exploratory"] for one in found] == [False, True]
    assert found[1]["reason"] == "a reviewer asked"
    late = planned(made, experiment(claim=replace(CLAIM, level=0.15)))
    assert late.exploratory
    assert "exploratory only" in late.warnings[0]


def test_what_an_opening_said_is_never_overwritten(closed: Closed) -> None:
    made, ran = closed
    kept = (ran.files.folder / "manifest.json").read_bytes()
    for opens in ("", "another plan"):
        with pytest.raises(DamagedError, match="another run stands under this id"):
            start_run(made.home, ran.files.run_id, experiment(), opens)
    assert start_run(made.home, ran.files.run_id, experiment(), str(facts_of(ran)["plan"])) == ran.files
    assert (ran.files.folder / "manifest.json").read_bytes() == kept


def test_two_openings_at_once_are_one(made: Made, plan: HoldoutPlan) -> None:
    with (made.home.root / LOCK).open("a+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SealedError, match="another opening is under way"):
            opened(made, plan)
    assert_refused(made)


@pytest.mark.slow
def test_development_that_does_not_come_out_again_makes_the_opening_void(made: Made, plan: HoldoutPlan) -> None:
    """Somebody made a forecast of development better before the run was recorded."""
    run = find_run(made.home, str(plan.run["id"]))
    key = plan.run["cells"]["ar"][3]  # type: ignore[index]
    cell = read_cell(made.home.cells, key)
    assert cell is not None
    write_cell(made.home.cells, key, Cell(cell.frame.with_columns(pl.col("value") * 0.5), cell.facts))
    (run.folder / "manifest.json").unlink()
    made.run()
    other = planned(made)
    assert other.id != plan.id
    with pytest.raises(DamagedError, match=r"ar: 1 of .* development checksums differ"):
        opened(made, other)
    assert kinds(made.home)[-2:] == ["opening", "void"]
    assert not [one for one in made.home.runs.iterdir() if "holdout" in json.loads((one / "manifest.json").read_text())]
    with pytest.raises(SealedError, match="this plan is void"):
        opened(made, other)


@pytest.mark.slow
def test_an_opening_for_a_target_that_was_not_named_at_the_sealing_shows_on_both(made: Made) -> None:
    asked = replace(experiment(target=Target(("gdp",), Transform("log_growth", 1), season=4)), name="made_gdp")
    made.run(asked)
    ran = opened(made, planned(made, asked), asked)
    for name in (ran.files.run_id, made.run(asked), made.run()):
        run = Run(name, made.home)
        assert "opened 1 time (1 confirming, 0 exploratory)" in summary(run)
        assert run.leaderboard()["n_opened"].unique().to_list() == [1]


def test_an_archive_that_does_not_belong_to_the_vault_is_refused_before_the_opening_counts(made: Made) -> None:
    with duckdb.connect(str(made.home.archive)) as connection:
        connection.execute("DELETE FROM seals")
    made.run()
    with pytest.raises(SealedError, match="this archive is not the one that was sealed"):
        opened(made, planned(made))
    assert "opening" not in kinds(made.home)


@pytest.mark.parametrize(
    ("verdict", "p_value", "told", "decision"),
    [
        ("better", 0.01, {}, "yes"),
        ("not better", 0.5, {"if_undecided": "wait"}, "no"),
        ("no verdict: 9 origins", None, {"if_undecided": "wait"}, "wait"),
        ("no verdict: 9 origins", None, {}, "no"),
    ],
)
def test_each_answer_has_its_decision(verdict: str, p_value: float | None, told: dict[str, str], decision: str) -> None:
    row = {"horizon": 1, "model": "ar", "verdict": verdict, "p_better_than_naive": p_value}
    frames = {
        "leaderboard": pl.DataFrame([row]),
        "against_rivals": pl.DataFrame(schema=dict.fromkeys(("horizon", "model", *AGAINST), pl.String)).cast(
            {"horizon": pl.Int64}
        ),
    }
    claim = canonical(Claim(model="ar", horizon=1, if_confirmed="yes", if_not="no", **told))
    assert verdict_of(Results(frames, {}), claim).decision == decision  # type: ignore[arg-type]
