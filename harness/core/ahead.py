"""What is needed later made beside what is done now: the next item of many, or one thing; and waiting for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

PATIENCE = 0.5
"""Seconds that are waited for threads at a time."""
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


def as_done(running: Iterable[Future[T]]) -> Iterator[Future[T]]:
    """What runs in threads, each as it is done, while interrupts of the waiting thread are heard.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     sorted(one.result() for one in as_done([pool.submit(abs, -1), pool.submit(abs, -2)]))
    [1, 2]
    """
    left = set(running)
    while left:  # back in Python now and then: an interrupt may have been told to a thread that is not
        done, left = wait(left, timeout=PATIENCE, return_when=FIRST_COMPLETED)
        yield from done
