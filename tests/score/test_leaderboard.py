from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from harness.score.leaderboard import SCHEMA, UNKNOWN_CUTOFF, at_level
from harness.score.rivals import SCHEMA as RIVALS
from harness.score.significance import diebold_mariano
from harness.score.tables import ScoreSpec, against_rivals, common_sample, leaderboard, score_tables, scores

SPEC = ScoreSpec("rmse")
NAIVE = ("last_value", "mean")
STEPS = 40


@pytest.fixture(scope="module")
def run():
    """Outcomes and answers of two rivals, a good model and a hopeless one, over 40 origins."""
    rng = np.random.default_rng(7)
    outcome = rng.standard_normal(STEPS)
    return outcome.tolist(), {
        "last_value": (outcome + 1.5 * rng.standard_normal(STEPS)).tolist(),
        "mean": (outcome + 1.0 * rng.standard_normal(STEPS)).tolist(),
        "good": (outcome + 0.3 * rng.standard_normal(STEPS)).tolist(),
        "bad": (outcome + 3.0 * rng.standard_normal(STEPS)).tolist(),
    }


def board_of(table, spec=SPEC):
    return {row["model"]: row for row in leaderboard(table, spec).iter_rows(named=True)}


def test_columns_are_the_documented_ones(rows, run):
    table = rows(run[1], run[0], rivals=NAIVE)
    assert leaderboard(table, SPEC).columns == list(SCHEMA)
    assert against_rivals(table, SPEC).columns == list(RIVALS)


def test_one_reading_gives_all_tables(rows, run):
    table = rows(run[1], run[0], rivals=NAIVE)
    tables = score_tables(table, SPEC)
    assert tables.scores.equals(scores(table, SPEC))
    assert tables.common_sample.equals(common_sample(table, SPEC))
    assert tables.leaderboard.equals(leaderboard(table, SPEC))
    assert tables.against_rivals.equals(against_rivals(table, SPEC))


def test_the_best_first_rivals_among_them(rows, run):
    board = leaderboard(rows(run[1], run[0], rivals=NAIVE), SPEC)
    assert board["model"].to_list() == ["good", "mean", "last_value", "bad"]
    assert board["rank"].to_list() == [1, 2, 3, 4]
    assert board["best_rival"].to_list() == ["mean"] * 4
    assert board["verdict"].to_list() == ["better than naive", "naive rival", "naive rival", "not shown"]


def test_skill_is_against_the_best_rival(rows, run):
    table = rows(run[1], run[0], rivals=NAIVE)
    board = board_of(table)
    whole = scores(table, SPEC).filter(pl.col("series_id").is_null(), pl.col("stretch").is_null())
    rmse = dict(whole.select("model", "rmse").iter_rows())
    assert {model: row["value"] for model, row in board.items()} == rmse
    for model, row in board.items():
        assert row["skill"] == pytest.approx(1 - rmse[model] / rmse["mean"])
    assert board["mean"]["skill"] == 0.0


@pytest.mark.parametrize(("primary", "power"), [("rmse", 2), ("mae", 1), ("mase", 1), ("rmsse", 2)])
def test_p_is_the_largest_of_one_sided_tests_against_every_rival(rows, run, primary, power):
    outcome, models = run
    board = board_of(rows(models, outcome, rivals=NAIVE), ScoreSpec(primary))
    error = {name: np.array(outcome) - np.array(values) for name, values in models.items()}
    for model in ("good", "bad"):
        p = {r: diebold_mariano(error[model], error[r], power=power, alternative="less").p_value for r in NAIVE}
        assert board[model]["p_better_than_naive"] == pytest.approx(max(p.values()))
        assert board[model]["hardest_rival"] == max(p, key=p.get)


def test_better_than_one_rival_only_is_not_better_than_naive(rows, run):
    outcome, models = run
    models = {"last_value": models["bad"], "mean": models["good"], "middling": models["mean"]}
    pairs = against_rivals(rows(models, outcome, rivals=NAIVE), SPEC)
    easy = pairs.filter(pl.col("model") == "middling", pl.col("rival") == "last_value")
    assert easy["p_value"].item() < 0.01
    assert board_of(rows(models, outcome, rivals=NAIVE))["middling"]["verdict"] == "not shown"


def test_no_test_of_a_rival_against_itself(rows, run):
    pairs = against_rivals(rows(run[1], run[0], rivals=NAIVE), SPEC)
    assert sorted(pairs.select("model", "rival").rows()) == [
        ("bad", "last_value"),
        ("bad", "mean"),
        ("good", "last_value"),
        ("good", "mean"),
        ("last_value", "mean"),
        ("mean", "last_value"),
    ]
    row = pairs.row(0, named=True)
    assert row["ratio"] == pytest.approx(row["value"] / row["rival_value"])


def test_a_model_equal_to_a_rival_is_not_better(rows, run):
    outcome, models = run
    row = board_of(rows(models | {"copy": models["mean"]}, outcome, rivals=NAIVE))["copy"]
    assert (row["p_better_than_naive"], row["verdict"], row["skill"]) == (1.0, "not shown", 0.0)
    assert row["dm_fallback"].startswith("mean: the two losses are identical")


def test_abstaining_on_the_hard_origins_does_not_rank_better(rows, run):
    """Law 8, on the leaderboard: take a model's worst answers away and it may only fall."""
    outcome, models = run
    error = np.abs(np.array(models["bad"]) - np.array(outcome))
    reference_error = np.abs(np.array(models["last_value"]) - np.array(outcome))
    hard = np.argsort(reference_error)[-15:]  # the origins where the reference itself is worst
    choosy = [("abstained" if step in hard else value) for step, value in enumerate(models["good"])]
    board = board_of(rows(models | {"choosy": choosy}, outcome, rivals=NAIVE))
    assert board["choosy"]["rank"] > board["good"]["rank"]
    assert board["choosy"]["n"] == board["good"]["n"] == STEPS
    assert board["choosy"]["n_abstained"] == 15
    assert error.max() > 0


def test_ten_identical_series_give_the_p_of_one(rows, run):
    outcome, models = run
    one = board_of(rows(models, outcome, rivals=NAIVE))
    ten = board_of(pl.concat([rows(models, outcome, rivals=NAIVE, series=f"s{i}") for i in range(10)]))
    for model in ("good", "bad"):
        assert ten[model]["p_better_than_naive"] == pytest.approx(one[model]["p_better_than_naive"])
        assert (ten[model]["n"], ten[model]["n_origins"]) == (10 * STEPS, STEPS)


def test_bandwidth_follows_the_publications_span_and_latency(rows, run):
    outcome, models = run
    late = rows(models, outcome, rivals=NAIVE, public_after=3.5)
    assert board_of(late)["good"]["bandwidth"] == 3
    assert board_of(late, ScoreSpec("rmse", span=6))["good"]["bandwidth"] == 5
    assert board_of(late, ScoreSpec("rmse", latency=timedelta(days=30)))["good"]["bandwidth"] == 4
    errors = [np.array(outcome) - np.array(models[name]) for name in ("good", "mean")]
    expected = diebold_mariano(*errors, horizon=4, alternative="less").p_value
    pairs = against_rivals(late, SPEC).filter(pl.col("model") == "good", pl.col("rival") == "mean")
    assert pairs["p_value"].item() == pytest.approx(expected)


def test_too_few_origins_for_the_bandwidth_get_no_verdict(rows, run):
    outcome, models = run
    late = board_of(rows(models, outcome, rivals=NAIVE, public_after=9.5))["good"]
    assert late["verdict"] == "no verdict: too few origins (40; 50 needed with a bandwidth of 9)"
    few = {name: values[:9] for name, values in models.items()}
    assert "too few origins (9; 10" in board_of(rows(few, outcome[:9], rivals=NAIVE))["good"]["verdict"]
    assert board_of(rows(few, outcome[:9], rivals=NAIVE, public_after=50))["good"]["p_better_than_naive"] is None


def external_rows(rows, at, run, first, last, **options):
    outcome, models = run
    span = {"issued_first": at(first), "issued_last": at(last)}
    facts = {name: lambda model, _, end=end: end if model == "bank" else None for name, end in span.items()}
    bank = [value if first <= step <= last else "not_issued" for step, value in enumerate(models["good"])]
    models = {name: models[name] for name in (*NAIVE, "bad")} | {"bank": bank}
    return rows(models, outcome, rivals=NAIVE, **facts, **options)


def test_an_external_and_its_rivals_are_compared_on_its_span(rows, at, run):
    row = board_of(external_rows(rows, at, run, 10, 29))["bank"]
    outcome, models = (np.array(run[0][10:30]), {name: np.array(v[10:30]) for name, v in run[1].items()})
    error = {name: outcome - values for name, values in models.items()}
    assert row["n"] == row["n_origins"] == 20
    assert row["best_rival"] == "mean"
    assert row["best_rival_value"] == pytest.approx(np.sqrt(np.mean(error["mean"] ** 2)))
    assert row["skill"] == pytest.approx(1 - np.sqrt(np.mean(error["good"] ** 2) / np.mean(error["mean"] ** 2)))
    p = [diebold_mariano(error["good"], error[rival], alternative="less").p_value for rival in NAIVE]
    assert row["p_better_than_naive"] == pytest.approx(max(p))


def test_an_external_with_unknown_cutoff_gets_the_sentence_instead_of_a_verdict(rows, at, run):
    spec = ScoreSpec("rmse", unknown_cutoff=frozenset({"bank"}))
    row = board_of(external_rows(rows, at, run, 0, 39), spec)["bank"]
    assert row["verdict"] == f"no verdict: {UNKNOWN_CUTOFF}"
    assert row["p_better_than_naive"] < 0.05  # the comparison itself is shown


def test_a_model_without_a_forecast_of_its_own_gets_no_verdict(rows, run):
    outcome, models = run
    row = board_of(rows(models | {"idle": ["failed"] * STEPS}, outcome, rivals=NAIVE))["idle"]
    assert "no forecast of its own" in row["verdict"]
    assert row["n_failed"] == STEPS


def test_qlike_is_tested_on_its_own_loss(rows, run):
    outcome = np.exp(np.array(run[0]))
    models = {name: np.exp(np.array(values)) for name, values in run[1].items()}
    spec = ScoreSpec("qlike", volatility=True)
    table = rows({name: values.tolist() for name, values in models.items()}, outcome.tolist(), rivals=NAIVE)
    ratio = {name: (outcome / values) ** 2 for name, values in models.items()}
    loss = {name: r - np.log(r) - 1 for name, r in ratio.items()}
    row = board_of(table, spec)["good"]
    assert row["value"] == pytest.approx(loss["good"].mean())
    p = [
        diebold_mariano(loss["good"], loss[rival], power=1, alternative="less").p_value for rival in NAIVE
    ]  # |loss| is the loss
    assert row["p_better_than_naive"] == pytest.approx(max(p))


def test_a_volatility_forecast_that_is_not_positive_ranks_last_without_a_test(rows, run):
    models = {name: (np.abs(values) + 0.1).tolist() for name, values in run[1].items()}
    models["broken"] = [*models["good"][:-1], -1.0]
    table = rows(models, (np.abs(run[0]) + 0.1).tolist(), rivals=NAIVE)
    row = board_of(table, ScoreSpec("qlike", volatility=True))["broken"]
    assert row["rank"] == 5
    assert "a loss is infinite" in row["verdict"]


def test_a_negative_variance_is_reported_on_the_leaderboard(rows):
    big, small = [2.0, 1.0] * 20, [1.0, 2.0] * 20
    wobble = [0.01 * (step % 7) for step in range(40)]
    models = {"last_value": [a + w for a, w in zip(big, wobble, strict=True)], "m": small}
    row = board_of(rows(models, [0.0] * 40, public_after=1.5))["m"]
    assert row["bandwidth"] == 1
    assert "last_value: the rectangular-kernel variance was not positive at horizon 2" in row["dm_fallback"]


def test_a_perfect_rival_leaves_nothing_to_gain(rows, run):
    outcome, models = run
    board = board_of(rows({"last_value": outcome, "good": models["good"], "also": outcome}, outcome))
    assert board["also"]["skill"] == 0.0
    assert board["good"]["skill"] == -np.inf
    assert [board[model]["rank"] for model in ("also", "last_value", "good")] == [1, 1, 3]


def test_a_horizon_without_a_matured_outcome_is_on_the_board(rows, run):
    outcome, models = run
    later = rows(models, [None] * STEPS, rivals=NAIVE, horizon=2)
    board = leaderboard(pl.concat([rows(models, outcome, rivals=NAIVE), later]), SPEC)
    row = board.filter(pl.col("horizon") == 2, pl.col("model") == "good").row(0, named=True)
    assert (row["n"], row["n_pending"], row["value"]) == (0, STEPS, None)
    assert row["verdict"] == "no verdict: no outcome has matured"


def test_a_run_of_rivals_only_has_a_board(rows, run):
    board = leaderboard(rows({"last_value": run[1]["last_value"]}, run[0]), SPEC)
    assert board["verdict"].to_list() == ["naive rival"]
    assert against_rivals(rows({"last_value": run[1]["last_value"]}, run[0]), SPEC).is_empty()


def test_an_undefined_primary_gets_no_verdict(rows, run):
    table = rows(run[1], run[0], rivals=NAIVE, scale_mae=None)
    row = board_of(table, ScoreSpec("mase"))["good"]
    assert row["verdict"] == "no verdict: mase is not defined for these outcomes"
    assert row["rank"] is None


def test_a_model_with_a_level_of_its_own_is_judged_by_it_and_no_other_is() -> None:
    board = pl.DataFrame(
        {
            "model": ["a", "a", "b", "c", "mean"],
            "horizon": [1, 2, 1, 1, 1],
            "p_better_than_naive": [0.03, 0.03, 0.03, None, None],
            "verdict": ["better than naive, 2 of 9 cells by its fallback", "better than naive", "better than naive",
                        "no verdict: too few origins", "naive rival"],
        }
    )  # fmt: skip
    strict = at_level(board, model="a", horizon=1, level=0.005)["verdict"].to_list()
    assert strict == ["not shown, 2 of 9 cells by its fallback", *board["verdict"].to_list()[1:]]
    assert at_level(board, model="c", horizon=1, level=0.2).equals(board)
    assert at_level(at_level(board, model="a", horizon=1, level=0.05), model="b", horizon=1, level=0.2).equals(board)
    weak = board.with_columns(pl.lit(0.1).alias("p_better_than_naive"), pl.lit("not shown").alias("verdict"))
    assert at_level(weak, model="b", horizon=1, level=0.2)["verdict"].to_list()[2] == "better than naive"
