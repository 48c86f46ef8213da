import polars as pl
import pytest

from harness.core.errors import DataError
from harness.score.tables import ScoreSpec, scores

SPEC = ScoreSpec("rmse")
MODELS = {"last_value": [1.0, 2.0, 3.0], "ar": [1.5, 2.5, 3.5]}
OUTCOMES = [1.0, 3.0, 2.0]


def whole(table, model, horizon=1):
    """The pooled row of a model."""
    mine = (pl.col("model") == model) & (pl.col("horizon") == horizon)
    return table.filter(mine & pl.col("series_id").is_null() & pl.col("stretch").is_null()).row(0, named=True)


def test_a_revision_never_adds_a_row(rows):
    table = rows(MODELS, OUTCOMES)
    revised = table.tail(1).with_columns(outcome=pl.lit(2.2))
    with pytest.raises(DataError, match="ar has more than one row per cell"):
        scores(pl.concat([table, revised]), SPEC)
    with pytest.raises(DataError, match="more than one row"):
        scores(pl.concat([table, table.head(1)]), SPEC)


def test_models_may_not_disagree_about_an_outcome(rows):
    table = rows(MODELS, OUTCOMES, outcome=lambda model, step: OUTCOMES[step] + (model == "ar") * 0.1)
    with pytest.raises(DataError, match="ar disagrees with the plan about outcome"):
        scores(table, SPEC)


def test_models_may_not_disagree_about_what_is_scored(rows):
    with pytest.raises(DataError, match="about scored"):
        scores(rows(MODELS, OUTCOMES, scored=lambda model, step: step > 0 or model == "ar"), SPEC)
    with pytest.raises(DataError, match="already public"):
        scores(rows(MODELS | {"ar": [1.5, "already_public", 3.5]}, OUTCOMES), SPEC)


def test_rows_outside_the_plan_are_refused(rows):
    with pytest.raises(DataError, match="ar has rows outside the plan"):
        scores(rows(MODELS | {"last_value": [1.0, 2.0, None]}, OUTCOMES), SPEC)


def test_an_answer_without_a_number_is_refused(rows):
    for bad in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="without a finite value"):
            scores(rows(MODELS | {"ar": [1.0, bad, 1.0]}, OUTCOMES), SPEC)
    table = rows(MODELS, OUTCOMES).with_columns(value=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(DataError, match="without a finite value"):
        scores(table, SPEC)


def test_the_reference_and_a_rival_must_be_there(rows):
    table = rows(MODELS, OUTCOMES)
    with pytest.raises(DataError, match="reference model has no rows"):
        scores(table.filter(pl.col("model") == "ar"), SPEC)
    with pytest.raises(DataError, match="no naive rival"):
        scores(table.with_columns(is_rival=pl.lit(value=False)), SPEC)


def test_columns_and_their_content_are_checked(rows):
    table = rows(MODELS, OUTCOMES)
    with pytest.raises(DataError, match="lack columns: scored, status"):
        scores(table.drop("status", "scored"), SPEC)
    with pytest.raises(DataError, match="unknown status: maybe"):
        scores(table.with_columns(status=pl.lit("maybe")), SPEC)
    with pytest.raises(DataError, match="origin is not an instant"):
        scores(table.with_columns(pl.col("origin").dt.replace_time_zone(None)), SPEC)
    with pytest.raises(DataError, match="nulls: outcome_status"):
        scores(table.with_columns(outcome_status=pl.lit(None, dtype=pl.String)), SPEC)
    with pytest.raises(DataError, match="wrong type"):
        scores(table.with_columns(value=pl.lit("x")), SPEC)


def test_a_matured_outcome_has_a_value_and_an_instant(rows):
    table = rows(MODELS, OUTCOMES)
    for column in ("outcome", "outcome_published_at"):
        hollow = table.with_columns(pl.lit(None, dtype=table.schema[column]).alias(column))
        with pytest.raises(DataError, match="matured outcome lacks"):
            scores(hollow, SPEC)


def test_a_run_of_warm_up_only_has_nothing_to_score(rows):
    with pytest.raises(DataError, match="no scored cells"):
        scores(rows(MODELS, OUTCOMES, scored=False), SPEC)


def test_warm_up_and_already_public_cells_are_not_scored(rows):
    models = {"last_value": [9.0, 9.0, 2.0, 3.0], "ar": [9.0, 9.0, 2.5, 3.5]}
    outcomes = [0.0, 0.0, 3.0, 2.0]
    table = rows(models, outcomes, scored=lambda _, step: step != 0)
    public = pl.col("origin").rank("dense").over("model") == 2
    table = table.with_columns(status=pl.when(public).then(pl.lit("already_public")).otherwise(pl.col("status")))
    row = whole(scores(table, SPEC), "ar")
    assert row["n"] == 2
    assert row["mae"] == pytest.approx(1.0)


def test_the_order_of_rows_does_not_change_a_bit(rows):
    values = {name: [0.1 * i + 0.01 * len(name) for i in range(12)] for name in ("last_value", "ar", "ets")}
    table = pl.concat([rows(values, [0.3 * i for i in range(12)], series=series) for series in ("a", "b", "c")])
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=1)
    assert scores(table, SPEC).equals(scores(shuffled, SPEC))


def test_categorical_names_and_wider_horizons_are_taken(rows):
    table = rows(MODELS, OUTCOMES)
    other = table.with_columns(pl.col("model", "series_id").cast(pl.Categorical), pl.col("horizon").cast(pl.Int64))
    assert scores(table, SPEC).equals(scores(other, SPEC))


def test_an_impossible_scale_is_refused(rows):
    with pytest.raises(DataError, match="scale_mae"):
        scores(rows(MODELS, OUTCOMES, scale_mae=0.0), SPEC)


def test_an_external_without_a_stated_end_is_held_to_everything_after_its_start(rows, at):
    for name, n in (("issued_first", 2), ("issued_last", 2)):
        facts = {name: lambda model, _: at(1) if model == "ar" else None}
        assert whole(scores(rows(MODELS, OUTCOMES, **facts), SPEC), "ar")["n"] == n
