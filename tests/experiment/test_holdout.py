"""[holdout]: what is claimed of a sealed holdout is read beside the experiment, and moves none of its cells."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import harness as hs
from harness.core.claim import Claim
from harness.core.errors import UserError
from harness.core.identity import canonical
from harness.core.recipe import Experiment
from harness.experiment import load_experiment, validate

Load = Callable[..., Experiment]
Refused = Callable[..., list[str]]
MODELS = "\n".join(
    f'[models.{name}]\nkind = "autoregression"' for name in ("one", "two", "three", "four", "five", "six")
)
BANK = '\n[models.bank]\nkind = "external"\nsource = "bank"\n'
ROOT = Path(__file__).parents[2]


def test_a_claim_is_read_and_is_no_part_of_the_identity(load: Load) -> None:
    plain = load(MODELS)
    told = load(
        MODELS + '\n[holdout]\ncandidates = ["one", "two"]\nmodel = "two"\nhorizon = 1\nmetric = "mae"\nlevel = 0.1\n'
        'if_confirmed = "use it"\nif_not = "do not"\nif_undecided = "wait"\n'
    )
    assert plain.claim is None
    assert told.claim == Claim(("one", "two"), "two", 1, "mae", "rivals", 0.1, "use it", "do not", "wait")
    assert canonical(told) == canonical(plain)
    assert load(MODELS + "\n[holdout]\n").claim == Claim() == hs.Claim()


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('candidates = ["one", "twoo"]', 'did you mean "two"?'),
        ('model = "last_value"', "no such model"),
        ('candidates = ["one"]\nmodel = "two"', "no candidate, these are one"),
        ('candidates = ["one", "two", "three", "four", "five", "six"]', "at most 5"),
        ("horizon = 4", "not asked for, horizons.steps are 0, 1"),
        ("horizon = [0, 1]", "one horizon"),
        ('metric = "qlike"', "judges variances only"),
        ('metric = "rmsee"', 'did you mean "rmse"?'),
        ('against = "one"', '"rivals"'),
        ("level = 0", "above 0, at most 0.2"),
        ("level = 0.5", "above 0, at most 0.2"),
        ('decision = "none"', "unknown key"),
        ('model = "bank"', "cut-off is unknown"),
    ],
)
def test_a_claim_no_answer_could_settle_is_refused(section: str, told: str, refused: Refused) -> None:
    (problem,) = refused(f"{MODELS}{BANK}[holdout]\n{section}\n")
    assert problem.startswith("holdout.")
    assert told in problem


@pytest.mark.parametrize(
    "given", [{"candidates": tuple("abcdef")}, {"candidates": ("a",), "model": "b"}, {"level": 0.0}, {"against": "ar"}]
)
def test_a_claim_made_in_python_is_held_to_the_same_rules(given: dict[str, object]) -> None:
    with pytest.raises(UserError):
        hs.Claim(**given)  # type: ignore[arg-type]


def test_a_claim_binds_no_run_of_an_experiment_changed_in_python(load: Load) -> None:
    experiment = load(MODELS)
    series = [hs.Series(id=name, frequency="Q", zone="Europe/London", scale="rebased") for name in ("toy/cpi",)]
    validate(replace(experiment, claim=Claim(model="seven")), series=series)  # the plan of an opening will refuse it


@pytest.mark.parametrize("name", ["uk_inflation", "sp500_volatility"])
def test_committed_experiments_say_what_they_claim_and_what_follows(name: str) -> None:
    claim = load_experiment(ROOT / "experiments" / f"{name}.toml").claim
    assert claim is not None
    assert claim.model in claim.candidates
    assert claim.if_confirmed
    assert claim.if_not


def test_all_that_is_wrong_with_a_claim_is_told_at_once(refused: Refused) -> None:
    told = refused(f'{MODELS}\n[holdout]\nmodel = "nosuch"\nhorizon = 9\nlevel = 2\ncandidates = ["neither"]\n')
    assert len(told) == 4
    for key in ("model", "horizon", "level", "candidates"):
        assert any(one.startswith(f"holdout.{key}") for one in told), key
