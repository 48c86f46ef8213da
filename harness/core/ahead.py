"""What is needed later made beside what is done now: the next item of many, or one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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


@contextmanager
def beside(make: Callable[[], T], *, threads: int = 2) -> Iterator[Callable[[], T]]:
    """Something made in a thread while the block runs, which gets it by calling what is yielded.

    The thread sees the settings of the context that asks. What goes wrong in it is raised where it is asked for.

    >>> with beside(lambda: 2) as made:
    ...     made()
    2

    Args:
        make: makes it.
        threads: 1 = in no thread, but when it is asked for.
    """
    if threads == 1:
        yield make
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(copy_context().run, make).result
