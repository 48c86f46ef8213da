"""Declarations of many series that differ in little but their ids: each is made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from harness.core.names import Names
from harness.core.series import Series, alike


class Declared(Mapping[str, Series]):
    """Declarations by stored id, in the order of the ids."""

    def __init__(self, ids: Names, number: NDArray[np.int32], shapes: tuple[Series, ...]) -> None:
        """Hold what they are made of.

        Args:
            ids: stored ids.
            number: [series] index into `shapes`.
            shapes: one declaration of each kind of them that differs in its id alone.
        """
        self._ids, self._number, self._shapes = ids, number, shapes

    def __getitem__(self, key: str) -> Series:
        return alike(self._shapes[self._number[self._ids.places[key]]], key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, key: object) -> bool:
        return key in self._ids.places
