"""What the data of a run were: a line per input, or per kind of input where these are very many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from harness.core.errors import listed
from harness.core.time import local_day
from harness.report.text import share, table

MANY = 24
"""Inputs that have a line each at most; also kinds of inputs, and warnings, that are shown at most."""
ALIKE = ("role", "frequency", "unit", "zone", "lag", "licence", "source")
"""What inputs on one line have in common."""
COARSE = ("role", "frequency", "lag")
"""The same where even such kinds are very many."""
SHARES = ("observed", "rule", "assumed", "pseudo_real_time")
ADJUSTED = (
    "Such prices know later splits and dividends: take raw closes and declare the events ([[events]] of the dataset)"
)


def data_table(inputs: pl.DataFrame) -> str:
    """One line per input, or per kind of it: how its dates are known, and how much of it is pseudo real time.

    Args:
        inputs: `Run.inputs()`.
    """
    return table(*data_rows(inputs), left=4, indent="  ")


def data_rows(inputs: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and rows of `data_table`."""
    shares = ["observed", "by rule", "assumed", "pseudo real time"]
    head = ["series", "role", "freq.", "lag rule", *shares, "known through"]
    rows = [
        [told["series"], *(told[name] or "-" for name in COARSE), *(told[name] for name in SHARES), told["known"]]
        for told in data_lines(inputs)
    ]
    return head, rows


def data_lines(inputs: pl.DataFrame) -> list[dict[str, str]]:
    """What is said of every input; above `MANY` of them, of all that are alike in `ALIKE` together.

    Args:
        inputs: `Run.inputs()`.

    Returns:
        By name: `series` (its id, or how many and the first and last of them), what is alike (of kinds that differ in
        it "various"), `SHARES` in per cent and `known` through which day, as ranges where they differ.
    """
    ordered = inputs.sort("role", "series_id", descending=[True, False])
    if inputs.height <= MANY:
        return [_line([row], ALIKE) for row in ordered.iter_rows(named=True)]
    keys: tuple[str, ...] = ALIKE
    parts = ordered.partition_by(keys, maintain_order=True)
    if len(parts) > MANY:
        keys = COARSE
        parts = ordered.partition_by(keys, maintain_order=True)
    lines = [_line(_ends(part), keys, part.height) for part in parts[:MANY]]
    if len(parts) > MANY:
        blank = dict.fromkeys((*ALIKE, *SHARES, "known"), "")
        lines.append({**blank, "series": f"and {len(parts) - MANY} more kinds of series"})
    return lines


def _ends(part: pl.DataFrame) -> list[Mapping[str, object]]:
    """The first and last row of a kind, with the smallest and largest of what is shown as a range."""
    ranged = [*SHARES, "known_through"]
    low, high = (
        part.select(pl.col(ranged).min()).row(0, named=True),
        part.select(pl.col(ranged).max()).row(0, named=True),
    )
    return [{**part.row(0, named=True), **low}, {**part.row(-1, named=True), **high}]


def _line(ends: list[Mapping[str, object]], keys: tuple[str, ...], count: int = 1) -> dict[str, str]:
    first, last = ends[0], ends[-1]
    own = f"{first['series_id']}" if count == 1 else f"{count} series ({first['series_id']} to {last['series_id']})"
    days = [local_day(one["known_through"], str(one["zone"])).isoformat() for one in ends]  # type: ignore[arg-type]
    return {
        "series": own,
        **{name: str(first[name] or "") if name in keys else "various" for name in ALIKE},
        **{name: _range([share(one[name]) for one in ends]) for name in SHARES},
        "known": _range(days),
    }


def _range(told: list[str]) -> str:
    return told[0] if told[0] == told[-1] else f"{told[0]} to {told[-1]}"


def adjusted_notes(inputs: pl.DataFrame) -> list[str]:
    """A warning for every input that looks adjusted with hindsight, for the first `MANY` by name.

    Args:
        inputs: `Run.inputs()` (runs of earlier versions do not say).
    """
    if "looks_adjusted" not in inputs.columns:
        return []
    return list(_warned(inputs.filter(pl.col("looks_adjusted") != "")))


def _warned(found: pl.DataFrame) -> Iterator[str]:
    for name, why in found.select("series_id", "looks_adjusted").head(MANY).rows():
        yield f"warning, {name}: looks adjusted with hindsight: {why}. {ADJUSTED}"
    if found.height > MANY:
        rest = found["series_id"].to_list()[MANY:]
        yield f"warning, {len(rest)} more series look adjusted with hindsight: {listed(rest, 8)}"
