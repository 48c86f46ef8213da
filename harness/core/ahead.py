"""The next item made while one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in their order, each made in a thread while the one before it is used; no more than one waits.

    >>> list(ahead(iter("ab")))
    ['a', 'b']
    """

    def following() -> list[T]:
        return [*islice(items, 1)]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(following)
        while found := coming.result():
            coming = pool.submit(following)
            yield found[0]
