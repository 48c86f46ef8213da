"""The plan of an experiment as text: what each origin knows, trains on and purges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from harness.backtest.data_facts import NAMED
from harness.core.errors import FEW, listed
from harness.core.recipe import Experiment, Target
from harness.core.transform import Transform
from harness.report.data_lines import adjusted_notes, data_table
from harness.report.facts import ON_LATEST_ROWS, PSEUDO_REAL_TIME, horizon_text, moment_text
from harness.report.text import share, table

SHOWN = 40
"""Origins printed at most unless all are asked for."""
ENDS = 12
"""Origins printed from the beginning and from the end when there are more."""
DAYS = 3
"""Newest known periods of very many inputs that are printed at most."""


def plan_text(
    experiment: Experiment,
    inputs: pl.DataFrame,
    origins: pl.DataFrame,
    shares: Mapping[str, float],
    *,
    everything: bool = False,
) -> str:
    """The plan, one block per horizon.

    Args:
        experiment: resolved.
        inputs: one row per input (columns as `Run.inputs()`).
        origins: one row per issued origin and horizon (columns as `Run.origins()`).
        shares: horizon -> mean share of the target already public at scored origins.
        everything: print every origin, however many there are.
    """
    known = origins.unique("origin", maintain_order=True)
    parts = [
        "\n".join(_head(experiment, known)),
        "\n".join(["Data", data_table(inputs), *adjusted_notes(inputs)]),
        "Last known period at each origin\n" + _known(experiment, known, inputs.height, everything=everything),
    ]
    for step in experiment.horizons:
        mine = origins.filter(pl.col("horizon") == step)
        public = mine.filter("scored")["already_public"].sum()
        parts.append(
            f"{horizon_text(step)}: {share(shares.get(str(step)))} of the target already public on average"
            f"; {public} cells of scored origins already public, not forecasts\n"
            + _rows(experiment, mine, everything=everything)
        )
    return "\n\n".join(parts)


def _head(experiment: Experiment, known: pl.DataFrame) -> Iterator[str]:
    yield f"{experiment.name}: {experiment.question}" if experiment.question else experiment.name
    target, training = experiment.target, experiment.training
    yield f"target {_series(target)}, {_words(target.transform)}; outcome: {target.outcome}"
    if target.prices != "price":
        yield "prices: total return, splits and dividends as announced by each origin"
    scored, zone = known.filter("scored"), experiment.origins.zone
    first, last = (moment_text(scored["origin"][place], zone) for place in (0, -1))
    yield f"{scored.height} scored origins, {first} to {last} ({zone}), after {known.height - scored.height} of warm-up"
    window = "expanding window" if training.rolling is None else f"newest {training.rolling} target periods"
    refit = "every origin" if training.refit_every == 1 else f"every {training.refit_every} origins"
    yield f"training: {window}, at least {training.minimum} target periods, refit at {refit}"
    yield f"models: {', '.join(model.name for model in experiment.models)}"
    if experiment.on_latest_rows:
        yield f"{', '.join(experiment.on_latest_rows)}: {ON_LATEST_ROWS}"
    if experiment.pseudo_real_time:
        yield PSEUDO_REAL_TIME


def _series(target: Target) -> str:
    named = listed(target.series, FEW)
    return f"the members of {target.universe} as announced (of {named})" if target.universe else named


def _words(transform: Transform) -> str:
    if transform.kind in ("level", "spread"):
        return f"spread over {transform.other}" if transform.other else transform.kind
    return f"{transform.kind} = {transform.span}"


def _known(experiment: Experiment, known: pl.DataFrame, inputs: int, *, everything: bool) -> str:
    said = [text.split("; ") for text in known["last_known"]]
    if inputs > NAMED:  # how many series are known through which period
        last = [{"known through": "; ".join(parts[:DAYS]) + ("; ..." if len(parts) > DAYS else "")} for parts in said]
    else:
        last = [dict(part.rsplit(" ", 1) for part in parts) for parts in said]
    names = list(last[0]) if last else []
    zone, members = experiment.origins.zone, ["members"] if experiment.target.universe else []
    rows = [
        [
            *(moment_text(row["origin"], zone), _kind(row), str(row["phase"])),
            *([str(row["members"])] if members else []),
            *(mine[name] for name in names),
            "",
        ]
        for row, mine in zip(known.iter_rows(named=True), last, strict=True)
    ]
    return _cut(["origin", "", "phase", *members, *names, ""], rows, everything=everything)


def _rows(experiment: Experiment, mine: pl.DataFrame, *, everything: bool) -> str:
    rows = [
        [
            moment_text(row["origin"], experiment.origins.zone), _kind(row), str(row["period"]),
            str(row["rows_real_time"]), str(row["rows_pseudo"]), str(row["target_periods"]),
            str(row["already_public"] or ""), str(row["purged"]), row["purged_why"],
        ]
        for row in mine.iter_rows(named=True)
    ]  # fmt: skip
    head = ["origin", "", "target", "real time", "pseudo", "periods", "public", "left out", "why"]
    return _cut(head, rows, everything=everything)


def _kind(row: Mapping[str, object]) -> str:
    return "" if row["scored"] else "warm-up"


def _cut(head: list[str], rows: list[list[str]], *, everything: bool) -> str:
    """All rows, or the first and last ones with the number left out between."""
    if everything or len(rows) <= SHOWN:
        return table(head, rows, left=2, indent="  ")
    left_out = [f"... {len(rows) - 2 * ENDS} more"] + [""] * (len(head) - 2) + ["(--all prints every origin)"]
    return table(head, [*rows[:ENDS], left_out, *rows[-ENDS:]], left=2, indent="  ")
