"""Where tasks run: in this process, or in worker processes of this machine. The bits are the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

import loky
from loky.process_executor import TerminatedWorkerError

from harness.backtest.work import Context, Spent, Task, run_task
from harness.core.errors import UserError

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
        "POLARS_MAX_THREADS",
    ),
    "1",
)  # fmt: skip
_context: Context | None = None


class Engine(Protocol):
    """Runs tasks and yields what each cost, in any order."""

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks; every cell is stored by the worker that computed it."""
        ...


class InProcess:
    """One task after the other in this process."""

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks here."""
        for task in tasks:
            yield run_task(context, task)


class Workers:
    """Tasks spread over worker processes (loky); a worker that dies ends the run, which can then be resumed."""

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks in workers.

        Raises:
            UserError: a worker was killed (out of memory, or by hand); the cells done so far are stored.
        """
        executor = loky.ProcessPoolExecutor(
            max_workers=min(self.count, len(tasks)),
            initializer=_start_worker,
            initargs=(context,),
            env={**ONE_THREAD, "HARNESS_WORKER": "1"},
        )
        try:
            for done in as_completed([executor.submit(_run_in_worker, task) for task in tasks]):
                yield done.result()
        except (TerminatedWorkerError, BrokenProcessPool) as error:
            raise UserError(
                "a worker process was killed",
                value=" ".join(str(error).split())[:200],
                rule="finished cells are stored; nothing is half written",
                fix="run the same command again to resume; with --workers 1 the machine needs less memory",
            ) from error
        finally:
            executor.shutdown(wait=True, kill_workers=True)


def _start_worker(context: Context) -> None:
    global _context  # noqa: PLW0603 - the one piece of state of a worker process: what its run shares
    _context = context
    os.environ.update(ONE_THREAD)


def _run_in_worker(task: Task) -> Spent:
    if _context is None:
        message = "worker used before it was started"
        raise RuntimeError(message)
    return run_task(_context, task)
