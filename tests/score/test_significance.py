import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from harness.core.errors import DataError, UserError
from harness.score.significance import diebold_mariano, loss_difference_test

KERNELS = {"acf": "rectangular", "bartlett": "bartlett"}

# Values of `diebold_mariano_test` of the wheel forecast-evaluation 0.1.13 (Bank of England, MIT), run once on the error
# pairs of reference/reference.json with loss |error|^power: pair, its horizon (ours is one more), power, statistic, p.
BANK_OF_ENGLAND = [
    ("wwwusage", 0, 1, 2.9030277568532266, 0.004556557023921736),
    ("wwwusage", 1, 1, 3.0850039935909432, 0.002638882816938345),
    ("wwwusage", 1, 2, 2.2113621760571744, 0.02931132509048216),
    ("wwwusage", 3, 2, 1.838921188825395, 0.06892427536672802),
    ("wwwusage_out", 1, 1, 0.26875006111372934, 0.7910185341085619),
    ("wwwusage_out", 3, 2, -0.11692364299581759, 0.9081476610799805),
    ("lynx", 1, 1, -7.214711681291881, 7.581075714826074e-11),
    ("lynx", 3, 2, -10.48811502189723, 3.261669439457758e-18),
    ("alternating", 0, 1, 0.2974421790297263, 0.7716709984014516),
    ("alternating", 1, 1, 0.9614414947874667, 0.3569885223605335),
    ("alternating", 1, 2, 1.0719598783511095, 0.30669320590374494),
    ("alternating", 3, 2, 0.9487261172323942, 0.3631377445517265),
]


def plain(errors_a, errors_b, horizon, power):
    """The test written down naively: statistic, two-sided p; Bartlett weights when the variance is not positive."""
    d = [abs(a) ** power - abs(b) ** power for a, b in zip(errors_a, errors_b, strict=True)]
    n, mean = len(d), sum(d) / len(d)

    def gamma(lag):
        return sum((d[t] - mean) * (d[t - lag] - mean) for t in range(lag, n)) / n

    variance = (gamma(0) + 2 * sum(gamma(lag) for lag in range(1, horizon))) / n
    if variance <= 0:
        variance = (gamma(0) + 2 * sum((1 - lag / horizon) * gamma(lag) for lag in range(1, horizon))) / n
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = mean / math.sqrt(variance) * math.sqrt(correction)
    return statistic, 2 * stats.t.sf(abs(statistic), n - 1)


def test_the_example_of_rs_documentation_on_wwwusage(reference):
    test = diebold_mariano(*reference["errors"]["wwwusage"], horizon=1)
    assert round(test.statistic, 4) == 1.9078
    assert round(test.p_value, 5) == 0.05932
    assert (test.n, test.lags, test.kernel, test.fallback) == (100, 0, "rectangular", None)


def test_every_option_equals_rs_dm_test(reference):
    plain_cases = [case for case in reference["dm_test"] if not case["note"]]
    assert len(plain_cases) > 70
    for case in plain_cases:
        test = diebold_mariano(
            *reference["errors"][case["pair"]],
            horizon=case["horizon"],
            power=case["power"],
            alternative=case["alternative"].replace(".", "-"),
            kernel=KERNELS[case["kernel"]],
        )
        assert test.statistic == pytest.approx(case["statistic"], rel=1e-11)
        assert test.p_value == pytest.approx(case["p_value"], rel=1e-11)
        assert test.fallback is None


def test_a_negative_variance_takes_bartlett_weights_where_r_drops_to_one_step(reference):
    rectangular, bartlett = (
        next(c for c in reference["dm_test"] if c["pair"] == "alternating" and c["kernel"] == kernel)
        for kernel in ("acf", "bartlett")
    )
    assert "negative" in rectangular["note"]
    test = diebold_mariano(*reference["errors"]["alternating"], horizon=2)
    assert test.statistic == pytest.approx(bartlett["statistic"], rel=1e-12)
    assert test.kernel == "bartlett"
    assert "not positive at horizon 2" in test.fallback
    one_step = diebold_mariano(*reference["errors"]["alternating"], horizon=1)
    assert one_step.statistic == pytest.approx(rectangular["statistic"], rel=1e-12)  # what R reports


@pytest.mark.parametrize(("pair", "horizon", "power", "statistic", "p_value"), BANK_OF_ENGLAND)
def test_agrees_with_the_bank_of_englands_implementation(reference, pair, horizon, power, statistic, p_value):
    test = diebold_mariano(*reference["errors"][pair], horizon=horizon + 1, power=power)
    assert test.statistic == pytest.approx(statistic, rel=1e-10)
    assert test.p_value == pytest.approx(p_value, rel=1e-10)


errors = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=6, max_size=25)


@given(errors, st.integers(1, 4), st.sampled_from([1, 2]))
def test_equals_the_plain_definition(pairs, horizon, power):
    a, b = zip(*pairs, strict=True)
    test = diebold_mariano(a, b, horizon=horizon, power=power)
    d = np.abs(a) ** power - np.abs(b) ** power
    assume(np.var(d) > 1e-6 and test.kernel == "rectangular")
    centred = d - d.mean()
    rough = np.mean(centred**2) + 2 * sum(np.mean(centred[lag:] @ centred[:-lag]) / d.size for lag in range(1, horizon))
    assume(rough > 1e-6 * np.mean(centred**2))  # nearer to zero, rounding decides
    statistic, p_value = plain(a, b, horizon, power)
    assert test.statistic == pytest.approx(statistic, rel=1e-5, abs=1e-9)
    assert test.p_value == pytest.approx(p_value, rel=1e-4, abs=1e-9)


@given(errors, st.integers(1, 4), st.integers(-300, 300))
def test_the_unit_of_the_errors_does_not_matter(pairs, horizon, exponent):
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    assume(np.abs([a, b]).max() > 1e-3)
    test, scaled = (diebold_mariano(a * unit, b * unit, horizon=horizon) for unit in (1.0, 2.0**exponent))
    assert np.array_equal([test.statistic, test.p_value], [scaled.statistic, scaled.p_value], equal_nan=True)


@given(errors, st.integers(1, 4))
def test_swapping_the_methods_turns_the_sign(pairs, horizon):
    a, b = zip(*pairs, strict=True)
    forth, back = diebold_mariano(a, b, horizon=horizon), diebold_mariano(b, a, horizon=horizon)
    assert forth.statistic == -back.statistic or math.isnan(forth.statistic)
    assert forth.p_value == back.p_value or math.isnan(forth.p_value)


def test_greater_says_method_2_is_more_accurate():
    rng = np.random.default_rng(1)
    bad, good = 3 * rng.standard_normal(50), rng.standard_normal(50)
    assert diebold_mariano(bad, good, alternative="greater").p_value < 0.01
    assert diebold_mariano(bad, good, alternative="less").p_value > 0.99
    assert diebold_mariano(good, bad, alternative="less").p_value < 0.01


@given(errors)
def test_one_sided_p_values_add_up_to_one(pairs):
    a, b = zip(*pairs, strict=True)
    less, greater = (diebold_mariano(a, b, alternative=side) for side in ("less", "greater"))
    assume(less.fallback is None)
    assert less.p_value + greater.p_value == pytest.approx(1.0)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_identical_errors_are_no_evidence(alternative):
    test = diebold_mariano([1.0, -2.0, 3.0], [1.0, 2.0, -3.0], alternative=alternative)
    assert (test.statistic, test.p_value) == (0.0, 1.0)
    assert "identical" in test.fallback


def test_rounding_noise_between_identical_forecasts_is_not_accuracy():
    rng = np.random.default_rng(2)
    a = 100 + rng.standard_normal(40)
    b = a * (1 + 4e-16)  # the last bit, always in one direction
    assert (a != b).any()
    assert diebold_mariano(a, b).p_value == 1.0


def test_a_constant_advantage_has_no_variance_and_no_p_value():
    test = diebold_mariano([2.0, -2.0, 2.0, 2.0], [1.0, 1.0, -1.0, 1.0])
    assert math.isnan(test.statistic)
    assert math.isnan(test.p_value)
    assert "without variance" in test.fallback


def test_mean_difference_is_in_the_unit_of_the_loss():
    test = diebold_mariano([3.0, 1.0, 2.0], [1.0, 0.0, 2.0])
    assert test.mean_difference == pytest.approx((8 + 1 + 0) / 3)


def test_autocorrelation_beyond_the_bandwidth_is_reported():
    rng = np.random.default_rng(3)
    slow = np.convolve(rng.standard_normal(107), np.ones(8), "valid") / 8
    too_short = loss_difference_test(slow, horizon=2)
    enough = loss_difference_test(slow, horizon=9)
    assert too_short.autocorrelation_beyond > 3 * too_short.autocorrelation_band
    assert enough.autocorrelation_beyond < too_short.autocorrelation_beyond
    assert too_short.autocorrelation_band == pytest.approx(0.2)
    centred = slow - slow.mean()
    by_hand = max(abs(centred[lag:] @ centred[:-lag]) / (centred @ centred) for lag in range(2, 6))
    assert too_short.autocorrelation_beyond == pytest.approx(by_hand)


def test_autocorrelation_beyond_is_none_when_there_are_not_enough_origins():
    assert loss_difference_test([1.0, 2.0, 0.5, 3.0], horizon=2).autocorrelation_beyond is None


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        ([1.0], [2.0], {}),
        ([], [], {}),
        ([1.0, 2.0, 3.0], [1.0, 2.0], {}),
        ([1.0, math.nan, 3.0], [1.0, 2.0, 3.0], {}),
        ([1.0, math.inf, 3.0], [1.0, 2.0, 3.0], {}),
        ([[1.0, 2.0]], [[1.0, 2.0]], {}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"horizon": 0}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"horizon": 3}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"horizon": 1.5}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"horizon": "a"}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"horizon": None}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"horizon": float("nan")}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"power": "a"}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"power": None}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"power": 0}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"alternative": "two.sided"}),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], {"kernel": "acf"}),
    ],
)
def test_what_cannot_be_tested_is_refused(a, b, options):
    with pytest.raises((DataError, UserError)):
        diebold_mariano(a, b, **options)
