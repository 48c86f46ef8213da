"""The next item made while one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in their order, each made in a thread while the one before it is used: one in use, one made or waiting.

    The thread sees the settings of the context that asks.

    >>> list(ahead(iter("ab")))
    ['a', 'b']
    """

    def following() -> list[T]:
        return [*islice(items, 1)]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(copy_context().run, following)
        while found := coming.result():
            coming = pool.submit(copy_context().run, following)
            yield found[0]
