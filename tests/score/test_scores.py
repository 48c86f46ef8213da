import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.core.errors import UserError
from harness.score import point
from harness.score.aggregate import SCHEMA
from harness.score.decision import Kpi
from harness.score.tables import ScoreSpec, common_sample, scores

SPEC = ScoreSpec("rmse")


def row_of(table, model, horizon=1, series=None, stretch=None):
    found = table.filter(
        pl.col("model") == model,
        pl.col("horizon") == horizon,
        pl.col("series_id").eq_missing(pl.lit(series)),
        pl.col("stretch").eq_missing(pl.lit(stretch)),
    )
    return found.row(0, named=True)


def test_columns_are_the_documented_ones(rows):
    assert scores(rows({"last_value": [1.0]}, [2.0]), SPEC).columns == list(SCHEMA)


def test_metrics_of_a_model_that_always_answers_are_the_point_metrics(rows):
    outcome, forecast = [1.0, 2.0, 4.0, 3.0], [1.5, 1.0, 4.5, 5.0]
    spec = ScoreSpec("rmse", ratio_levels=True, volatility=True, kpi=Kpi("EUR", 3.0, 1.0))
    row = row_of(scores(rows({"last_value": [1.0] * 4, "ar": forecast}, outcome), spec), "ar")
    assert row["mae"] == pytest.approx(point.mae(outcome, forecast))
    assert row["rmse"] == pytest.approx(point.rmse(outcome, forecast))
    assert row["bias"] == pytest.approx(point.bias(outcome, forecast))
    assert row["mase"] == pytest.approx(point.mase(outcome, forecast, scale=1.0))
    assert row["rmsse"] == pytest.approx(point.rmsse(outcome, forecast, scale=2.0))
    assert row["smape"] == pytest.approx(point.smape(outcome, forecast))
    assert row["qlike"] == pytest.approx(point.qlike(np.square(outcome), np.square(forecast)))
    assert row["kpi_total"] == pytest.approx(3.0 * 1.0 + 1.0 * (0.5 + 0.5 + 2.0))
    assert row["kpi_mean"] == pytest.approx(row["kpi_total"] / 4)
    assert (row["n"], row["n_ok"], row["n_reference"]) == (4, 4, 0)


def test_a_metric_without_meaning_for_the_target_is_null(rows):
    row = row_of(scores(rows({"last_value": [1.0, 2.0]}, [1.0, 3.0]), SPEC), "last_value")
    assert [row[name] for name in ("smape", "qlike", "kpi_total", "kpi_mean")] == [None] * 4
    negative = ScoreSpec("rmse", ratio_levels=True, volatility=True)
    row = row_of(scores(rows({"last_value": [1.0, 2.0]}, [1.0, 0.0]), negative), "last_value")
    assert (row["smape"], row["qlike"]) == (None, None)


def test_a_forecast_that_is_not_positive_gets_the_worst_relative_loss(rows):
    spec = ScoreSpec("rmse", ratio_levels=True, volatility=True)
    row = row_of(scores(rows({"last_value": [1.0, 2.0], "bad": [1.0, -3.0]}, [1.0, 3.0]), spec), "bad")
    assert row["smape"] == pytest.approx(100.0)  # the mean of 0 and 200
    assert row["qlike"] == math.inf


@pytest.mark.parametrize("status", ["failed", "abstained", "not_issued", None])
def test_a_missing_answer_is_scored_with_the_reference_and_counted(rows, status):
    outcome = [1.0, 2.0, 9.0]
    table = scores(rows({"last_value": [1.0, 1.0, 2.0], "ar": [1.0, 2.0, status]}, outcome), SPEC)
    row = row_of(table, "ar")
    assert row["mae"] == pytest.approx(7.0 / 3)
    assert (row["n"], row["n_ok"], row["n_reference"], row[f"n_{status or 'missing'}"]) == (3, 2, 1, 1)


def test_a_fallback_is_an_answer_and_counted(rows):
    table = rows({"last_value": [1.0, 1.0], "ar": [1.0, 4.0]}, [1.0, 4.0])
    second = (pl.col("model") == "ar") & (pl.col("value") == 4.0)
    table = table.with_columns(status=pl.when(second).then(pl.lit("fallback")).otherwise(pl.col("status")))
    row = row_of(scores(table, SPEC), "ar")
    assert (row["mae"], row["n_ok"], row["n_fallback"], row["n_reference"]) == (0.0, 1, 1, 0)


answers = st.lists(
    st.one_of(st.sampled_from(["failed", "abstained"]), st.none(), st.floats(-9, 9)), min_size=4, max_size=9
)


@settings(max_examples=25)
@given(answers, st.data())
def test_every_planned_cell_is_counted_once(rows, model, data):
    outcomes = data.draw(st.lists(st.one_of(st.none(), st.floats(-9, 9)), min_size=len(model), max_size=len(model)))
    assume(any(outcome is not None for outcome in outcomes))  # a plan without any matured outcome is refused
    assume(any(answer is not None for answer in model))  # one without any row is unknown
    table = scores(rows({"last_value": [0.0] * len(model), "m": model}, outcomes), SPEC)
    for row in table.iter_rows(named=True):
        missing = row["n_failed"] + row["n_abstained"] + row["n_not_issued"] + row["n_missing"]
        assert row["n_reference"] == missing
        assert row["n"] == row["n_ok"] + row["n_fallback"] + row["n_reference"]
    row = row_of(table, "m")
    assert row["n"] + row["n_pending"] == len(model)
    assert row["n"] == row_of(table, "last_value")["n"]


def test_abstaining_on_the_hard_origins_is_no_advantage(rows):
    """Law 8. The specimen: the mean over its own answers would rank the abstainer first."""
    outcome = [0.0, 10.0, 0.0, -10.0, 0.0, 10.0]
    steady = [0.5, 6.0, 0.5, -6.0, 0.5, 6.0]
    abstainer = [0.4, "abstained", 0.4, "abstained", 0.4, "abstained"]
    table = rows({"last_value": [0.0] * 6, "steady": steady, "abstainer": abstainer}, outcome)
    headline = scores(table, SPEC)
    assert row_of(headline, "abstainer")["rmse"] > row_of(headline, "steady")["rmse"]
    assert row_of(headline, "abstainer")["n_abstained"] == 3
    answered = common_sample(table, SPEC)
    assert row_of(answered, "abstainer")["rmse"] < row_of(answered, "steady")["rmse"]


def test_abstaining_everywhere_is_the_reference(rows):
    table = scores(rows({"last_value": [1.0, 3.0], "idle": ["abstained"] * 2}, [2.0, 2.5]), SPEC)
    assert row_of(table, "idle")["rmse"] == row_of(table, "last_value")["rmse"]


def test_with_an_abstention_price_the_kpi_charges_it_for_every_missing_answer(rows):
    models = {"last_value": [0.0] * 4, "ar": [1.0, "failed", "abstained", None]}
    table = rows(models, [2.0, 2.0, 2.0, 2.0])
    priced = row_of(scores(table, ScoreSpec("mae", kpi=Kpi("EUR", 3.0, 1.0, abstain=10.0))), "ar")
    assert (priced["kpi_total"], priced["kpi_mean"]) == (33.0, 8.25)
    assert priced["mae"] == pytest.approx((1 + 2 + 2 + 2) / 4)  # metrics keep the reference
    unpriced = row_of(scores(table, ScoreSpec("mae", kpi=Kpi("EUR", 3.0, 1.0))), "ar")
    assert unpriced["kpi_total"] == 3.0 + 3 * 6.0


def test_a_cell_without_reference_is_left_out_for_every_model(rows):
    table = scores(rows({"last_value": ["abstained", 1.0], "ar": [5.0, 2.0]}, [5.0, 2.0]), SPEC)
    for model in ("ar", "last_value"):
        assert (row_of(table, model)["n"], row_of(table, model)["n_no_reference"]) == (1, 1)


def test_outcomes_that_have_not_matured_are_counted_by_kind(rows):
    kinds = ["matured", "pending", "no_outcome", "withdrawn", "delisted"]
    table = rows({"last_value": [1.0] * 5}, [2.0, None, None, None, None], outcome_status=lambda _, step: kinds[step])
    row = row_of(scores(table, SPEC), "last_value")
    assert [row[f"n{'' if kind == 'matured' else '_' + kind}"] for kind in kinds] == [1] * 5


def test_an_external_is_held_to_its_declared_span(rows, at):
    span = {"issued_first": at(1), "issued_last": at(3)}
    facts = {name: lambda model, _, end=end: end if model == "bank" else None for name, end in span.items()}
    models = {"last_value": [0.0] * 6, "bank": ["not_issued", 1.0, "not_issued", 3.0, 99.0, "not_issued"]}
    row = row_of(scores(rows(models, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], **facts), SPEC), "bank")
    assert (row["n"], row["n_ok"], row["n_not_issued"]) == (3, 2, 1)
    assert row["mae"] == pytest.approx(2.0 / 3)  # 1 and 3 right, 2 by last value; 99 is outside its span
    assert (row["first_origin"], row["last_origin"]) == (at(1), at(3))


def test_a_hole_within_an_externals_span_is_missing_not_skipped(rows, at):
    span = {"issued_first": at(0), "issued_last": at(2)}
    facts = {name: lambda model, _, end=end: end if model == "bank" else None for name, end in span.items()}
    table = rows({"last_value": [0.0] * 4, "bank": [1.0, None, 3.0, None]}, [1.0, 2.0, 3.0, 4.0], **facts)
    row = row_of(scores(table, SPEC), "bank")
    assert (row["n"], row["n_missing"]) == (3, 1)


def test_cuts_by_series_and_by_thirds_of_the_origins(rows):
    table = pl.concat(
        [
            rows({"last_value": [0.0] * 7}, [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0], series="a"),
            rows({"last_value": [0.0] * 7}, [4.0] * 7, series="b"),
        ]
    )
    found = scores(table, SPEC)
    assert row_of(found, "last_value", series="a")["mae"] == pytest.approx(13 / 7)
    assert row_of(found, "last_value")["mae"] == pytest.approx((13 + 28) / 14)
    thirds = [row_of(found, "last_value", series="a", stretch=third) for third in ("first", "middle", "last")]
    assert [(third["n"], third["mae"]) for third in thirds] == [(3, 1.0), (2, 2.0), (2, 3.0)]
    assert [row_of(found, "last_value", stretch=third)["n"] for third in ("first", "middle", "last")] == [6, 4, 4]
    assert found.height == 3 * 4


def test_horizons_are_kept_apart(rows):
    table = pl.concat([rows({"last_value": [0.0] * 2}, [h, h], horizon=h) for h in (-1, 0, 3)])
    found = scores(table, SPEC)
    assert [row_of(found, "last_value", horizon=h)["mae"] for h in (-1, 0, 3)] == [1.0, 0.0, 3.0]


def test_scaled_errors_skip_series_without_a_scale_and_count_the_rest(rows):
    first = rows({"last_value": [0.0] * 2}, [3.0, 3.0], series="a", scale_mae=2.0, scale_rmse=3.0)
    second = rows({"last_value": [0.0] * 2}, [7.0, 7.0], series="b", scale_mae=None, scale_rmse=None)
    found = scores(pl.concat([first, second]), SPEC)
    row = row_of(found, "last_value")
    assert (row["mase"], row["rmsse"], row["n"], row["n_mase"], row["n_rmsse"]) == (1.5, 1.0, 4, 2, 2)
    assert row_of(found, "last_value", series="b")["mase"] is None


def test_the_common_sample_is_where_every_model_answered(rows, at):
    span = {"issued_first": at(1), "issued_last": at(4)}
    facts = {name: lambda model, _, end=end: end if model == "bank" else None for name, end in span.items()}
    models = {
        "last_value": [0.0] * 5,
        "ar": [1.0, 1.0, "failed", 1.0, 1.0],
        "bank": ["not_issued", 1.0, 1.0, 1.0, "not_issued"],
        "never": ["abstained"] * 5,
    }
    found = common_sample(rows(models, [1.0] * 5, **facts), SPEC)
    assert {model: row_of(found, model)["n"] for model in ("last_value", "ar", "bank")} == dict.fromkeys(
        ("last_value", "ar", "bank"), 2
    )
    assert "never" not in found["model"]
    assert row_of(found, "ar")["mae"] == 0.0


def test_a_common_sample_may_be_empty(rows):
    models = {"last_value": [0.0, 0.0], "a": [1.0, "failed"], "b": ["failed", 1.0]}
    row = row_of(common_sample(rows(models, [1.0, 1.0]), SPEC), "a")
    assert (row["n"], row["mae"]) == (0, None)


def test_a_spec_refuses_a_metric_that_has_no_meaning():
    for options in ({"primary": "bias"}, {"primary": "smape"}, {"primary": "qlike"}):
        with pytest.raises(UserError):
            ScoreSpec(**options)
    with pytest.raises(UserError):
        ScoreSpec("mae", span=0)
    with pytest.raises(UserError):
        ScoreSpec("mae", latency=timedelta(days=-1))
