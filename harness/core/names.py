"""Stored ids in a fixed order, which know where each of them stands: looked up once, however long the list is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Names(tuple[str, ...]):  # noqa: SLOT001 - what was looked up is remembered in its dict
    """A tuple of distinct ids.

    >>> names = Names(("a", "b", "c"))
    >>> names.places["b"], names.rows_of(("c", "z")).tolist(), names.rows_of(names) is None
    (1, [2, -1], True)
    """

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of each id."""
        return {name: place for place, name in enumerate(self)}

    @cached_property
    def column(self) -> pl.Series:
        """The ids as a column."""
        return pl.Series("series_id", list(self), dtype=pl.String())

    def rows_of(self, names: tuple[str, ...]) -> NDArray[np.int64] | None:
        """[name] place of each, -1 where it is none of these; None = all of these in their order."""
        if names is self:
            return None
        found: dict[int, tuple[tuple[str, ...], NDArray[np.int64] | None]] = self.__dict__.setdefault("_rows", {})
        if id(names) not in found:
            rows = None if names == self else np.array([self.places.get(name, -1) for name in names], dtype=np.int64)
            found[id(names)] = (names, rows)  # the tuple is kept, so its identity is not given to another
        return found[id(names)][1]

    def __reduce__(self) -> tuple[type[Names], tuple[tuple[str, ...]]]:
        """Pickle the ids alone: what was looked up is looked up again."""
        return Names, (tuple(self),)


def names_of(ids: Iterable[str]) -> Names:
    """The ids as `Names`; those that are already, as they are."""
    return ids if isinstance(ids, Names) else Names(ids)
