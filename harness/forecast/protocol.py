"""What a forecaster is: two methods, and optionally a text form of what it fitted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import polars as pl

from harness.core.frames import Rows
from harness.core.snapshot import Snapshot


class Forecaster(Protocol):
    """Built as `Forecaster(**params)` from the experiment file; one instance serves one refit block.

    `fit` is called at refit origins, `predict` at every origin until the next refit, with the snapshot of *that*
    origin: parameters stay, the state is filtered again over the whole snapshot (never appended).
    """

    def fit(self, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        """Estimate parameters.

        Args:
            rows: matured training rows of this origin, `rows.X` [row, feature], `rows.y` [row], keys; None for a
                model that declares no features.
            snapshot: everything known at the refit origin.
            seed: the only randomness allowed; derived from the cell's identity.
        """
        ...

    def predict(self, rows: Rows, snapshot: Snapshot) -> pl.DataFrame:
        """Forecast the asked targets.

        Args:
            rows: the rows to answer: `rows.keys` names (series_id, horizon, period), `rows.X` their features.
            snapshot: everything known at the origin being forecast.

        Returns:
            series_id, horizon, period, quantile (null = point), value (null = abstained), in any order.
        """
        ...


@runtime_checkable
class Storable(Protocol):
    """A forecaster whose fit can be written as text, so that another process need not refit (never a pickle)."""

    def dump(self) -> str:
        """The fit as JSON text (LightGBM: its own text format inside it)."""
        ...

    def load(self, text: str) -> None:
        """Restore what `dump` wrote."""
        ...


@runtime_checkable
class Apart(Storable, Protocol):
    """A forecaster that fits every series by itself, so that some can be fitted, and then the others."""

    def joined(self, texts: Iterable[str]) -> str:
        """What `dump` would have written of all series, from what it wrote of some of them after the other."""
        ...

    def parted(self, text: str, groups: Iterable[Collection[str]]) -> Iterator[str]:
        """Of what `dump` wrote of all series, what `load` takes of each group of them."""
        ...

    def told(self, text: str) -> list[str]:
        """What estimation complained about, of what `dump` wrote."""
        ...


@runtime_checkable
class Timed(Protocol):
    """A forecaster that names the parts of its fit, for whoever books time.

    Attributes:
        time_within: entered with the name of a part around it; set by whoever books.
    """

    time_within: Callable[[str], AbstractContextManager[object]]
