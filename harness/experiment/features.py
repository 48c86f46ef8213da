"""[features.NAME]: blocks of inputs; a block without a series describes the target itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from harness.core.reading import Table, meant
from harness.core.recipe import VINTAGES, FeatureBlock, Target, Vintage
from harness.core.scale import OPERATIONS
from harness.core.transform import Transform
from harness.experiment.facts import Facts, bare
from harness.experiment.keys import KEYS
from harness.experiment.target import read_series, read_transform
from harness.forecast.features import LEAST
from harness.forecast.target_calendar import CALENDAR_COLUMNS

OWN = "own"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
NAME_RULE = "a name is a letter followed by letters, digits, _ or -"
TAKEN = "a key of [features] is called so; give the block another name"
"""Why no block may carry the name of a key that stands beside the blocks."""


def read_features(top: Table, target: Target | None, facts: Facts) -> tuple[FeatureBlock, ...]:
    """All blocks in the order of the file; a block that cannot be made out is noted and left out."""
    section = top.table("features")
    blocks: list[FeatureBlock] = []
    for name in block_names(section):
        if not isinstance(section.values[name], dict):
            section.bad(name, f"a table, written [{section.at(name)}]", hint=meant(name, KEYS["feature_rows"]))
            continue
        block = _read_block(name, section.table(name), target, facts)
        blocks += [] if block is None else [block]
    return tuple(blocks)


def block_names(section: Table) -> tuple[str, ...]:
    """Names of all blocks of `[features]`, also of those that cannot be made out, in the order of the file."""
    return tuple(name for name in section.values if name not in KEYS["feature_rows"])


def read_vintage(section: Table) -> Vintage:
    """What training rows are made of: what each pseudo-origin knew, or the newest values of the same cells."""
    if isinstance(section.values.get("vintage"), dict):
        section.problems.add(section.at("vintage"), TAKEN)
        return "frozen"
    return "latest" if section.word("vintage", "frozen", VINTAGES) == "latest" else "frozen"


def _read_block(name: str, table: Table, target: Target | None, facts: Facts) -> FeatureBlock | None:
    table.only(KEYS["features"])
    noted = len(table.problems.lines)
    if NAME.fullmatch(name) is None:
        table.problems.add(f"features.{name}", NAME_RULE)
    operations: dict[str, Any] = {key: table.integers(key, least=LEAST.get(key)) for key in OPERATIONS}
    block = FeatureBlock(
        name,
        age=table.flag("age"),
        calendar=_read_calendar(table),
        **operations,
    )
    if not block.columns() and noted == len(table.problems.lines):
        table.problems.add(f"features.{name}", f"makes no column, it needs one of {', '.join(KEYS['features'][2:])}")
    series = _read_input(name, table, facts, calendar_only=len(block.columns()) == len(block.calendar) > 0)
    transform = read_transform(table, facts)
    if series is None or transform is None:
        return None
    if not series and "transform" not in table.values and target is not None:
        transform = own_transform(target)
    return replace(block, series=series, transform=transform)


def own_transform(target: Target) -> Transform:
    """What a block on the target itself is made of unless it says: the target's transform.

    For a volatility target it is the volatility of single sessions (span 1, same proxy): windows over it are chosen
    with `rolling_mean`, and none of them can reach into the future as the target does.
    """
    return replace(target.transform, span=1) if target.transform.is_volatility else target.transform


def _read_input(name: str, table: Table, facts: Facts, *, calendar_only: bool) -> str | None:
    """The stored id of the input, "" for the row's own target series, None (and a note) when it is unknown."""
    if "series" not in table.values:
        if name == OWN or calendar_only:
            return ""
        table.problems.add(
            table.at("series"), "missing", hint=f'add series = "...", or series = "{OWN}" for the target itself'
        )
        return None
    given = table.text("series")
    if given == OWN and OWN not in map(bare, facts.series):
        return ""
    return read_series(table, "series", given, facts) or None


def _read_calendar(table: Table) -> tuple[str, ...]:
    columns = table.texts("calendar")
    for column in columns:
        if column not in CALENDAR_COLUMNS:
            table.bad(
                "calendar",
                f'unknown column "{column}", known are {", ".join(CALENDAR_COLUMNS)}',
                hint=meant(column, CALENDAR_COLUMNS),
            )
    return columns
