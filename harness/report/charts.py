"""Charts as inline SVG: what was forecast beside what came, and how losses against the best rival add up."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Told apart by colour-blind readers too (Okabe and Ito)."""
LEADERS, COMPARED = 2, 6
Looks = Mapping[str, tuple[str, str]]
"""Model -> colour and line style, the same in every chart of a page."""
SIZE = (10.0, 2.9)
"""Width and height in inches."""


def looks_of(models: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and line style for each model, in the order of the experiment.

    >>> looks_of(["ar", "ets"])
    {'ar': ('#0072b2', '-'), 'ets': ('#d55e00', '-')}
    """
    styles = ("-", "-.", ":")
    count = len(COLOURS)
    return {model: (COLOURS[place % count], styles[place // count % 3]) for place, model in enumerate(models)}


def forecast_chart(
    errors: pl.DataFrame, models: Sequence[str], rival: str, *, looks: Looks, unit: str, name: str
) -> str:
    """Forecasts of a few models and of the best rival, with the outcomes, at each scored origin.

    Args:
        errors: rows of `Run.errors()` of one series and one horizon.
        models: leading models, best first; at most `LEADERS` are drawn.
        rival: the best naive rival.
        looks: how each model is drawn.
        unit: axis label.
        name: prefix that makes the drawing's ids unique on a page.
    """
    rows = errors.filter("scored").sort("origin")
    truth = rows.filter((pl.col("model") == rival) & pl.col("outcome").is_not_null())

    def draw(axes: Axes) -> None:
        axes.plot(truth["origin"].to_list(), truth["outcome"].to_list(), color="#111", lw=1.6, label="outcome")
        for model in [*models[:LEADERS], rival]:
            mine = rows.filter((pl.col("model") == model) & pl.col("value").is_not_null())
            colour, style = ("#888", "--") if model == rival else looks[model]
            label = f"{model} (best rival)" if model == rival else model
            axes.plot(mine["origin"].to_list(), mine["value"].to_list(), style, color=colour, lw=1.2, label=label)
        axes.set_ylabel(unit)
        axes.set_title("Forecast at each origin, and what came", loc="left", fontsize=10)

    return _svg(draw, name)


def loss_chart(
    errors: pl.DataFrame, models: Sequence[str], rival: str, *, looks: Looks, primary: str, name: str
) -> str:
    """Cumulative loss of the best rival minus that of each model: rising = the model is doing better.

    Missing forecasts are scored with the reference, as in the headline; a panel is averaged over its series.

    Args:
        errors: rows of `Run.errors()` of one horizon.
        models: models to compare, best first; at most `COMPARED` are drawn.
        rival: the best naive rival.
        looks: how each model is drawn.
        primary: headline metric, whose loss is added up.
        name: prefix that makes the drawing's ids unique on a page.
    """
    drawn = [(model, advantage(errors, model, rival, primary)) for model in models[:COMPARED]]

    def draw(axes: Axes) -> None:
        axes.axhline(0.0, color="#888", lw=1.0, ls="--")
        for model, gain in drawn:
            colour, style = looks[model]
            axes.plot(gain["origin"].to_list(), gain["advantage"].to_list(), style, color=colour, lw=1.4, label=model)
        axes.set_ylabel(f"{loss_name(primary)}, summed")
        axes.set_title(f"Loss saved against {rival} (0 = equal; rising = better)", loc="left", fontsize=10)

    return _svg(draw, name)


def advantage(errors: pl.DataFrame, model: str, rival: str, primary: str) -> pl.DataFrame:
    """Running sum over origins of the rival's loss minus the model's, on the cells both are scored on.

    Args:
        errors: rows of `Run.errors()` of one horizon.
        model: the model; where it gave no answer, the reference's stands in.
        rival: the rival.
        primary: headline metric.

    Returns:
        origin, advantage; one row per scored origin with a matured outcome.
    """
    given = pl.coalesce("value", "reference_value")
    judged = errors.filter(
        pl.col("scored") & (pl.col("outcome_status") == "matured") & (pl.col("status") != "already_public")
    ).select("model", "origin", "series_id", _loss(pl.col("outcome"), given, primary).alias("loss"))
    mine, other = (judged.filter(pl.col("model") == name).drop("model") for name in (model, rival))
    if model == rival:
        return pl.DataFrame(schema={"origin": errors.schema["origin"], "advantage": pl.Float64()})
    both = mine.join(other, on=["origin", "series_id"], suffix="_rival").filter(
        pl.col("loss").is_finite() & pl.col("loss_rival").is_finite()
    )
    means = both.group_by("origin").agg((pl.col("loss_rival") - pl.col("loss")).mean().alias("advantage"))
    return means.sort("origin").with_columns(pl.col("advantage").cum_sum())


def loss_name(primary: str) -> str:
    """What the loss behind a headline metric is called.

    >>> loss_name("rmse"), loss_name("mae")
    ('squared error', 'absolute error')
    """
    if primary == "qlike":
        return "QLIKE"
    return "absolute error" if primary in ("mae", "mase", "smape") else "squared error"


def _loss(outcome: pl.Expr, forecast: pl.Expr, primary: str) -> pl.Expr:
    if primary == "qlike":
        ratio = (outcome / forecast) ** 2
        return pl.when(forecast > 0.0).then(ratio - ratio.log() - 1.0).otherwise(None)
    error = outcome - forecast
    return error.abs() if loss_name(primary) == "absolute error" else error * error


def _svg(draw: Callable[[Axes], None], name: str) -> str:
    """Draw on one pair of axes; the same numbers give the same text."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and only a page needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: dict[Any, Any] = {
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e8e8e8",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', text)
    return re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
