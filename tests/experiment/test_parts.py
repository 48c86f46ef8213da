from collections.abc import Callable

import pytest

AR = '[models.ar]\nkind = "autoregression"\n'


@pytest.mark.parametrize(("primary", "functional"), [("rmse", "median"), ("mae", "mean")])
def test_a_score_that_misjudges_what_a_model_declares_is_refused(
    refused: Callable[..., list[str]], primary: str, functional: str
) -> None:
    (problem,) = refused(AR + f'functional = "{functional}"\n[score]\nprimary = "{primary}"\n')
    assert f"misjudge the {functional}" in problem


@pytest.mark.parametrize(
    ("primary", "message"), [("qlike", "variances only"), ("smape", "levels only"), ("bias", "one of")]
)
def test_a_score_that_does_not_suit_the_target_is_refused(
    refused: Callable[..., list[str]], primary: str, message: str
) -> None:
    (problem,) = refused(f'[score]\nprimary = "{primary}"\n')
    assert message in problem


@pytest.mark.parametrize(
    ("kpi", "message"),
    [
        ('unit = "x"\nunder = 1\nover = 1\ntrades = true\n', "origins.latency: missing"),
        ('unit = "x"\nunder = 0\nover = 0\n', "both prices are 0"),
        ('unit = "x"\nunder = 1\n', "kpi.over: missing"),
        ("under = 1\nover = 1\n", "kpi.unit: missing"),
        ('unit = "x"\nunder = nan\nover = 1\n', "0 or more"),
        ('unit = "x"\nunder = inf\nover = 1\n', "0 or more"),
        ('unit = "x"\nunder = 1\nover = 1\nkind = "linear"\n', "asymmetric_linear"),
    ],
)
def test_a_wrong_kpi_is_refused(refused: Callable[..., list[str]], kpi: str, message: str) -> None:
    problems = refused(f"[kpi]\n{kpi}")
    assert any(message in line for line in problems), problems


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("window = { rolling = 10 }\n", "more than the rolling window of 10 holds"),
        ("window = { rollng = 30 }\n", 'did you mean "rolling"?'),
        ('window = "sliding"\n', "expanding"),
        ("refit_every = 0\n", "1 or more"),
    ],
)
def test_a_wrong_training_window_is_refused(refused: Callable[..., list[str]], training: str, message: str) -> None:
    problems = refused(f"[training]\n{training}")
    assert any(message in line for line in problems), problems
