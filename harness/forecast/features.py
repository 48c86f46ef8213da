"""Feature rows: what the models see of one snapshot, for every target series and horizon at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import FeatureBlock, Target
from harness.core.snapshot import Micros, Snapshot
from harness.core.time import MICROS_PER_DAY, NEVER, Frequency, local_day, micros
from harness.core.transform import PROXIES, TRANSFORMS, Floats, Transform
from harness.forecast.feature_input import BlockInput, block_input, newest, position_of, values_at
from harness.forecast.target_calendar import CALENDAR_COLUMNS, calendar_columns
from harness.forecast.window_statistics import logarithm, maximum, mean, minimum, ratio, standard_deviation

LEAST = {
    "latest": 1,
    "lag": 0,
    "rolling_mean": 1,
    "rolling_std": 2,
    "rolling_min": 1,
    "rolling_max": 1,
    "difference": 1,
    "log_growth": 1,
    "ratio": 2,
}
"""Smallest number each operation takes; `known_ahead` takes any."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What is asked at one origin: every series at every horizon.

    Attributes:
        series_ids: stored ids of the target series.
        horizons: target periods from the one containing the origin.
        ends: [horizon] last day of each target period, `datetime64[D]`; NaT = it cannot be named at the origin.

    Raises:
        ValueError: not one end per horizon.
    """

    series_ids: tuple[str, ...]
    horizons: tuple[int, ...]
    ends: NDArray[np.datetime64]

    def __post_init__(self) -> None:
        if self.ends.shape != (len(self.horizons),):
            raise ValueError(f"{len(self.horizons)} horizons need as many ends, not shape {self.ends.shape}")


def feature_names(blocks: Sequence[FeatureBlock]) -> tuple[str, ...]:
    """Names of the feature columns, in the order of `feature_rows`.

    >>> feature_names([FeatureBlock("gdp", "gdp", latest=(1, 2), age=True), FeatureBlock("when", calendar=("month",))])
    ('gdp.latest_1', 'gdp.latest_2', 'gdp.age', 'when.month')

    Raises:
        UserError: two columns would have one name.
    """
    names = tuple(name for block in blocks for name in block.columns())
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise UserError(
            "feature columns with the same name",
            value=", ".join(repeated),
            rule="a column is named by its block, operation and number",
            fix="give each block a name of its own and list each number once",
        )
    return names


def declared_inputs(blocks: Sequence[FeatureBlock], target: Target) -> set[str]:
    """Stored ids of every series the blocks read (not those of the target itself, unless a block reads them).

    >>> blocks = [FeatureBlock("own", latest=(1,)), FeatureBlock("gdp", "gdp", lag=(1,))]
    >>> sorted(declared_inputs(blocks, Target(("cpi",))))
    ['cpi', 'gdp']

    Raises:
        UserError: a block is not well formed.
    """
    return {name for block in blocks for name in _inputs(block, target.series)}


def feature_rows(snapshot: Snapshot, blocks: Sequence[FeatureBlock], targets: Targets) -> Floats:
    """Features of every asked (series, horizon) as known at the snapshot's origin.

    Every statistic is a function of its own window alone, summed from the oldest period to the newest, so neither an
    older value nor another series of the panel touches its bits. Logarithms are numpy's. The cost depends on the
    windows asked for and the number of series, not on the length of the history.

    Args:
        snapshot: what is known; only read.
        blocks: the feature blocks, in the order of the columns.
        targets: the series and target periods asked for.

    Returns:
        [series, horizon, feature], columns as `feature_names(blocks)`; NaN = missing, or too large for a number.

    Raises:
        UnknownNameError: a block reads a series that is not in the snapshot.
        UserError: a block is not well formed, its inputs differ in frequency, calendar or zone, or the origin lies
            outside the sessions or the period table known for an input of which `lag` is asked.
    """
    names = feature_names(blocks)
    rows = np.full((len(targets.series_ids), len(targets.horizons), len(names)), np.nan)
    if rows.size == 0:
        return rows
    place = 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for block in blocks:
            for part in _parts(snapshot, block, targets):
                rows[..., place : place + part.shape[-1]] = part
                place += part.shape[-1]
    rows[~np.isfinite(rows)] = np.nan  # one missing value, whatever arithmetic made it
    return rows


def _parts(snapshot: Snapshot, block: FeatureBlock, targets: Targets) -> Iterable[Floats]:
    """Columns of one block in order, each part shaped so that it broadcasts to [series, horizon, column]."""
    if reads_input(block):
        source = block_input(snapshot, block, targets.series_ids)
        yield _newest_columns(snapshot, block, source)[:, np.newaxis, :]
        if block.known_ahead:
            yield _known_ahead(block, source, targets.ends)
    if block.calendar:
        yield calendar_columns(_target_frequency(snapshot, targets), targets.ends, block.calendar)[np.newaxis]


def _newest_columns(snapshot: Snapshot, block: FeatureBlock, source: BlockInput) -> Floats:
    columns: list[Floats] = []
    windows = block.rolling_mean + block.rolling_std + block.rolling_min + block.rolling_max + block.ratio
    spans = block.difference + block.log_growth
    edge = newest(source, block.latest, max(windows + tuple(span + 1 for span in spans), default=1))
    if block.latest:
        columns.extend(edge.recent.T)
    if block.lag:
        here = source.panel.timeline.containing(local_day(snapshot.origin, source.zone))
        columns.extend(values_at(source, here - np.array(block.lag, dtype=np.int64)).T)
    last = edge.window[:, -1]
    columns += [mean(_ending(edge.window, count)) for count in block.rolling_mean]
    columns += [standard_deviation(_ending(edge.window, count)) for count in block.rolling_std]
    columns += [minimum(_ending(edge.window, count)) for count in block.rolling_min]
    columns += [maximum(_ending(edge.window, count)) for count in block.rolling_max]
    columns += [last - edge.window[:, -1 - span] for span in block.difference]
    columns += [100.0 * (logarithm(last) - logarithm(edge.window[:, -1 - span])) for span in block.log_growth]
    columns += [ratio(last, mean(_ending(edge.window, count))) for count in block.ratio]
    if block.age:
        age = (micros(snapshot.origin) - np.where(edge.published == NEVER, 0, edge.published)) / MICROS_PER_DAY
        columns.append(np.where(edge.published == NEVER, np.nan, age))
    return np.stack(columns, axis=1) if columns else np.empty((len(source.rows), 0))


def _ending(window: Floats, count: int) -> Floats:
    return window[:, window.shape[1] - count :]


def _known_ahead(block: FeatureBlock, source: BlockInput, ends: NDArray[np.datetime64]) -> Floats:
    """[series, horizon, offset] values at the input period a target period ends in, moved by the offsets."""
    here = np.array([position_of(source, end) for end in ends.tolist()], dtype=np.int64)[:, np.newaxis]
    wanted: Micros = np.where(here == NEVER, NEVER, here + np.array(block.known_ahead, dtype=np.int64))
    return values_at(source, wanted.ravel()).reshape(len(source.rows), len(ends), len(block.known_ahead))


def _target_frequency(snapshot: Snapshot, targets: Targets) -> Frequency:
    first = targets.series_ids[0]
    inputs = snapshot.target.transform.inputs(first) if snapshot.target else (first,)
    return snapshot.panel(inputs[0]).timeline.frequency


def reads_input(block: FeatureBlock) -> bool:
    """Whether a block looks at published values, not at the calendar alone.

    Raises:
        UserError: the block is not well formed.
    """
    _check_block(block)
    return block.age or any(getattr(block, operation) for operation in (*LEAST, "known_ahead"))


def _inputs(block: FeatureBlock, own: tuple[str, ...]) -> set[str]:
    if not reads_input(block):
        return set()
    names = (block.series,) if block.series else own
    return {name for series_id in names for name in block.transform.inputs(series_id)}


@lru_cache(maxsize=1024)
def _check_block(block: FeatureBlock) -> None:
    """Refuse a block that is not well formed (once per block).

    Raises:
        UserError: a number too small, an unknown calendar column, or a transform without its inputs.
    """
    for operation, least in LEAST.items():
        wrong = [number for number in getattr(block, operation) if number < least]
        if wrong:
            raise UserError(
                f"feature block {block.name!r}: {operation} out of range", value=wrong[0], rule=f"at least {least}"
            )
    for name in block.calendar:
        if name not in CALENDAR_COLUMNS:
            raise UnknownNameError("calendar column", name, CALENDAR_COLUMNS)
    _check_transform(block.name, block.transform)


def _check_transform(name: str, transform: Transform) -> None:
    if transform.kind not in TRANSFORMS:
        raise UnknownNameError("transform", transform.kind, TRANSFORMS)
    if transform.span < 1:
        raise UserError(f"feature block {name!r}: span out of range", value=transform.span, rule="at least 1")
    if transform.is_volatility and transform.proxy not in PROXIES:
        raise UnknownNameError("variance proxy", transform.proxy, PROXIES)
    if transform.proxy == "parkinson" and not (transform.high and transform.low):
        raise UserError(f"feature block {name!r}: proxy parkinson needs high and low", fix="name both series")
    if transform.kind == "spread" and not transform.other:
        raise UserError(f"feature block {name!r}: spread needs the other series", fix="name it: spread = SERIES")
