from collections.abc import Callable

import pytest

from harness.core.recipe import Experiment, OutcomeRule
from harness.core.transform import Transform
from harness.experiment.facts import matching

STOCK_ORIGINS = '[origins]\nevery = "session"\nfirst = 2012-01-03\n'
AHEAD = "[horizons]\nsteps = [1]\n"
PARKINSON = '{ realised_volatility = 22, proxy = "parkinson", high = "stock.high", low = "stock.low" }'


def target(series: str, transform: str = '"level"', more: str = "") -> str:
    return f'[target]\nseries = ["{series}"]\ntransform = {transform}\n{more}\n'


@pytest.mark.parametrize(
    ("written", "transform"),
    [
        ('"level"', Transform()),
        ("{ difference = 2 }", Transform("difference", 2)),
        ('"log_return"', Transform("log_return", 1)),
        ("{ growth = 4 }", Transform("growth", 4)),
        ('{ spread = "unemployment" }', Transform("spread", other="toy/unemployment")),
    ],
)
def test_transforms_become_objects(load: Callable[..., Experiment], written: str, transform: Transform) -> None:
    assert load(target=target("rate", written)).target.transform == transform


def test_realised_volatility_names_its_proxy_and_stored_inputs(load: Callable[..., Experiment]) -> None:
    found = load(target=target("stock.close", PARKINSON), origins=STOCK_ORIGINS, horizons=AHEAD).target
    assert found.transform == Transform(
        "realised_volatility", 22, proxy="parkinson", high="toy/stock.high", low="toy/stock.low"
    )
    assert found.season == 0


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{ log_growt = 4 }", 'did you mean "log_growth"?'),
        ('"growht"', 'did you mean "growth"?'),
        ("{ log_growth = 0 }", "1 or more"),
        ("{ log_growth = 4, difference = 1 }", "several transforms"),
        ('{ proxy = "parkinson" }', "names no transform"),
        ("{ log_growth = 4, high = 'rate' }", "belongs to realised_volatility only"),
        ('"spread"', "needs the series to subtract"),
        ('{ spread = "rat" }', "did you mean 'rate'?"),
        ('{ spread = "rate" }', "from itself"),
        ('{ spread = "output" }', "differ in frequency"),
        ("{ realised_volatility = 22 }", "proxy: missing"),
        ('{ realised_volatility = 22, proxy = "parkinsen" }', 'did you mean "parkinson"?'),
        ('{ realised_volatility = 22, proxy = "parkinson" }', "high: missing"),
        ('{ realised_volatility = 22, proxy = "squared_log_return", high = "rate" }', 'belongs to proxy = "parkinson"'),
        ('{ realised_volatility = 22, proxy = "squared_log_return" }', "a window counts sessions"),
        ("4", 'a name like "level"'),
    ],
)
def test_a_wrong_transform_is_refused(refused: Callable[..., list[str]], written: str, message: str) -> None:
    problems = refused(target=target("rate", written), horizons=AHEAD)
    assert any(message in line for line in problems), problems


@pytest.mark.parametrize(
    ("series", "season"), [("output", 12), ("cpi", 4), ("claims", 52), ("stock.close", 0), ("takings", None)]
)
def test_the_season_follows_from_the_frequency_and_a_period_table_must_state_its_own(
    load: Callable[..., Experiment], refused: Callable[..., list[str]], series: str, season: int | None
) -> None:
    sections = {"target": target(series, '"log_growth"')}
    if season is None:
        assert any("target.season: missing" in line for line in refused(**sections))
        sections = {"target": target(series, '"log_growth"', "season = 13")}
        assert load(**sections).target.season == 13
    else:
        assert load(**sections).target.season == season


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("first", OutcomeRule("first", 1)),
        ("release 1", OutcomeRule("first", 1)),
        ("release 3", OutcomeRule("release", 3)),
        ("after 90 days", OutcomeRule("after", 90)),
        ("after 1 day", OutcomeRule("after", 1)),
        ("latest", OutcomeRule("latest", 0)),
    ],
)
def test_outcome_phrases_become_rules(load: Callable[..., Experiment], text: str, rule: OutcomeRule) -> None:
    assert load(target=target("unemployment", more=f'outcome = "{text}"')).target.outcome == rule


@pytest.mark.parametrize(
    "text",
    [
        "release 0", "release", "third", "after days", "after -3 days", "Latest",
        "release 5001", "release 99999", "after 36526 days", "after 99999999999 days",
    ],
)  # fmt: skip
def test_other_outcome_phrases_are_refused(refused: Callable[..., list[str]], text: str) -> None:
    (problem,) = refused(target=target("unemployment", more=f'outcome = "{text}"'))
    assert problem.startswith(f'target.outcome = "{text}"')


@pytest.mark.parametrize("kind", ['"level"', "{ difference = 1 }", '{ spread = "unemployment" }'])
def test_levels_of_a_rebased_series_are_refused(refused: Callable[..., list[str]], kind: str) -> None:
    (problem,) = refused(target=target("cpi", kind))
    assert "base changes between vintages" in problem


def test_the_subtracted_series_of_a_spread_may_not_be_rebased_either(refused: Callable[..., list[str]]) -> None:
    (problem,) = refused(target=target("unemployment", '{ spread = "cpi" }'))
    assert "toy/cpi" in problem


@pytest.mark.parametrize("kind", ["{ growth = 1 }", "{ log_return = 1 }"])
def test_growth_and_returns_of_a_rebased_series_are_taken(load: Callable[..., Experiment], kind: str) -> None:
    assert load(target=target("cpi", kind)).target.series == ("toy/cpi",)


@pytest.mark.parametrize(
    ("dataset", "series", "why"), [("toy", "output", "no vintages"), ("ledger", "fails", "changes")]
)
def test_later_releases_need_publications_that_can_be_counted(
    load: Callable[..., Experiment], refused: Callable[..., list[str]], dataset: str, series: str, why: str
) -> None:
    base = f'schema = 1\nname = "trial"\ndatasets = ["{dataset}"]\n'
    (problem,) = refused(base=base, target=target(series, more='outcome = "release 2"'))
    assert why in problem
    assert load(base=base, target=target(series, more='outcome = "release 1"')).target.outcome.kind == "first"


def test_after_n_days_is_refused_when_shorter_than_the_lag_rule(
    load: Callable[..., Experiment], refused: Callable[..., list[str]]
) -> None:
    (problem,) = refused(target=target("output", more='outcome = "after 44 days"'))
    assert 'use "after 45 days" or more' in problem
    assert load(target=target("output", more='outcome = "after 45 days"')).target.outcome.number == 45


@pytest.mark.parametrize("steps", ["[0, 1]", "[-1]"])
def test_a_forward_window_starts_after_the_origin(refused: Callable[..., list[str]], steps: str) -> None:
    problems = refused(
        target=target("stock.close", PARKINSON), origins=STOCK_ORIGINS, horizons=f"[horizons]\nsteps = {steps}\n"
    )
    assert any("starts at 1 at the earliest" in line for line in problems)


def test_target_series_share_one_timeline(refused: Callable[..., list[str]]) -> None:
    (problem,) = refused(target='[target]\nseries = ["rate", "output"]\n')
    assert "differ in frequency" in problem


@pytest.mark.parametrize(
    ("series", "message"),
    [("[]", "at least one"), ('["rate", "rate"]', "twice"), ("[3]", "names"), ('["rate", "toy/rate"]', "twice")],
)
def test_the_list_of_series_is_checked(refused: Callable[..., list[str]], series: str, message: str) -> None:
    assert any(message in line for line in refused(target=f"[target]\nseries = {series}\n"))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("c*", ("toy/claims", "toy/cpi")),
        ("toy/g?p", ("toy/gdp",)),
        ("stock.*", ("toy/stock.close", "toy/stock.high", "toy/stock.low")),
    ],
)
def test_a_pattern_names_every_series_that_fits(pattern: str, found: tuple[str, ...]) -> None:
    stored = [f"toy/{name}" for name in ("cpi", "gdp", "claims", "stock.close", "stock.high", "stock.low", "rate")]
    assert matching(pattern, stored) == found


def test_a_target_may_name_its_series_by_a_pattern(load: Callable[..., Experiment]) -> None:
    assert load(target=target("?ate")).target.series == ("toy/rate",)
    both = load(target=target("stock.*"), origins=STOCK_ORIGINS, horizons=AHEAD)
    assert both.target.series == ("toy/stock.close", "toy/stock.high", "toy/stock.low")


def test_a_pattern_that_fits_no_series_is_refused(refused: Callable[..., list[str]]) -> None:
    said = next(line for line in refused(target=target("stocks*")) if "no series fits 'stocks*'" in line)
    assert "`*` is any text, `?` any one character; known: toy/" in said
    assert "did you mean" not in said


def test_series_of_a_pattern_must_share_a_timeline(refused: Callable[..., list[str]]) -> None:
    assert any("differ in frequency" in line for line in refused(target=target("*")))
