"""Where tasks run: in this process, in worker processes of this machine, or on a cluster. The bits are the same."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

import loky
import threadpoolctl
from loky.process_executor import TerminatedWorkerError

from harness.backtest.heard import heard
from harness.backtest.spent import Spent
from harness.backtest.task import Context, Task, run_task
from harness.core.ahead import as_done
from harness.core.errors import UserError
from harness.forecast.catalog import learns_from_rows_alone
from harness.record.memory import trim_heap

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
        "POLARS_MAX_THREADS",
    ),
    "1",
)  # fmt: skip
IN_WORKER = {**ONE_THREAD, "HARNESS_WORKER": "1"}
"""Environment of a worker: libraries have one thread, and no worker starts workers of its own."""
RETRIES = 3
"""Dead workers, of one task (a cluster) or of a run (this machine), after which it is given up."""
AGAIN = 1.0
"""Seconds after which a thread that has not ended is interrupted once more."""
BEAT = 1.0
"""Seconds after which a worker looks again whether the run is still there."""
_context: Context | None = None
T = TypeVar("T")


class Engine(Protocol):
    """Runs tasks and yields what each cost, in any order."""

    @property
    def slots(self) -> int:
        """Tasks that run at once."""
        ...

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks; when what one cost is yielded, its cells are stored."""
        ...


class InProcess:
    """Tasks of this process: one after the other, or of a large panel by its threads.

    Naive rivals share the threads. Models that learn from rows alone are fitted side by side: a worker process of its
    own would hold libraries, plan and panel once more, and nothing else.
    """

    slots = 1

    def __init__(self, threads: int = 1, fits: int | None = None) -> None:
        """Take threads.

        Args:
            threads: that may be busy at once.
            fits: fits side by side, of one thread each where they are several; None = one in each thread.
        """
        self.threads, self.fits = threads, threads if fits is None else fits

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks here."""
        if self.threads == 1:
            for task in tasks:
                yield run_task(context, task)
            return
        fitted = [task for task in tasks if _by_itself(task) and context.liberty is None]
        with ThreadPoolExecutor(self.threads) as pool:
            for task in tasks:
                if task not in fitted:
                    yield run_task(context, task, pool)
        trim_heap()  # what the rivals' last block has freed would lie beside the fits
        if self.fits == 1:
            for task in fitted:
                yield run_task(context, task)
            return
        with ThreadPoolExecutor(self.fits) as pool:
            yield from _side_by_side(context, fitted, pool)


def _side_by_side(context: Context, tasks: Sequence[Task], pool: ThreadPoolExecutor) -> Iterator[Spent]:
    """Run each task in a thread of its own."""
    busy: set[int] = set()

    def run(task: Task) -> Spent:
        busy.add(threading.get_ident())
        try:
            return run_task(context, task)
        finally:
            busy.discard(threading.get_ident())
            trim_heap()  # what a fit has freed stays with its thread otherwise

    # both are one for all threads: they last while any of them works
    with threadpoolctl.threadpool_limits(1), heard():
        running = list[Future[Spent]]()
        try:
            for task in tasks:
                running.append(pool.submit(run, task))
            for one in as_done(running):
                yield one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _end(busy, running)
            raise


def alongside(work: Callable[[], T], meanwhile: Callable[[], object]) -> T:
    """Do two things at once, one of them in a thread of its own; when the second is given up, so is the first.

    Args:
        work: done in another thread.
        meanwhile: done in this one.

    Returns:
        What the work came to.
    """
    busy: set[int] = set()

    def run() -> T:
        busy.add(threading.get_ident())
        try:
            return work()
        finally:
            busy.clear()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            meanwhile()
            (done,) = as_done([running])
        except BaseException:
            _end(busy, [running])
            raise
    return done.result()


def _end(threads: Collection[int], running: Iterable[Future[T]]) -> None:
    """Interrupt threads until what runs in them has ended, which it does when it is back in Python: between two trees.

    An interrupt that meets an object's end is passed over by Python, so one may not be enough.
    """
    left = {one for one in running if not one.cancelled()}
    while left:
        told = tuple(threads)
        for thread in told:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        left = wait(left, timeout=AGAIN).not_done
        if not told and not threads:  # an interrupt that met a thread on its way out leaves nobody to tell of its end
            break


def _by_itself(task: Task) -> bool:
    return all(learns_from_rows_alone(recipe) for recipe, _ in task.recipes)


class Workers:
    """Tasks spread over worker processes (loky); the tasks of workers that die are given to new ones, a few times."""

    def __init__(self, count: int) -> None:
        self.count = self.slots = count
        self.killed = 0
        """How often workers were killed in the last run of tasks, and others took over."""
        self._pool: loky.ProcessPoolExecutor | None = None
        self._most = 0

    @contextmanager
    def kept(self, most: int) -> Iterator[None]:
        """Workers outlive a run of tasks within the block, for the next ones of the same context.

        Args:
            most: tasks of the largest run.
        """
        self._most = most
        try:
            yield
        finally:
            self._most = 0
            self._end()

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=True)

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks in workers.

        Raises:
            UserError: workers were killed again and again (out of memory, or by hand); the cells done are stored.
        """
        left, self.killed = dict(enumerate(tasks)), 0
        while left:
            try:
                for number, spent in self._once(context, dict(left)):
                    del left[number]
                    yield spent
            except (TerminatedWorkerError, BrokenProcessPool) as error:
                self.killed += 1
                if self.killed > RETRIES:
                    raise worker_killed(error, "with --workers 1, or a smaller --memory, it needs less") from error

    def _once(self, context: Context, tasks: Mapping[int, Task]) -> Iterator[tuple[int, Spent]]:
        if self._pool is None:
            self._pool = loky.ProcessPoolExecutor(
                max_workers=min(self.count, max(len(tasks), self._most)),
                initializer=_start_worker,
                initargs=(context, os.getpid()),
                env=IN_WORKER,
            )
        try:
            numbers = {self._pool.submit(_run_in_worker, task): number for number, task in tasks.items()}
            for done in as_completed(numbers):
                yield numbers[done], done.result()
        except BaseException:
            self._end()
            raise
        if not self._most:
            self._end()


def worker_killed(error: BaseException, advice: str) -> UserError:
    """What is said when workers keep dying.

    Args:
        error: what the pool or the cluster said.
        advice: how less memory is needed there.
    """
    return UserError(
        "worker processes were killed again and again",
        value=" ".join(str(error).split())[:200],
        rule="a system that runs out of memory kills so (SIGKILL), and nothing else is likely to; "
        f"a task is tried anew up to {RETRIES} times, finished cells are stored, nothing is half written",
        fix=f"run the same command again to resume; {advice}",
    )


def _start_worker(context: Context, driver: int) -> None:
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    global _context  # noqa: PLW0603 - the one piece of state of a worker process: what its run shares
    _context = context
    os.environ.update(ONE_THREAD)


def _end_with(driver: int) -> None:
    """End this worker once the process that started it is no more: nobody else would, and it holds memory."""
    while os.getppid() == driver:
        time.sleep(BEAT)
    os._exit(1)


def _run_in_worker(task: Task) -> Spent:
    if _context is None:
        message = "worker used before it was started"
        raise RuntimeError(message)
    return run_task(_context, task)
