"""Tasks on Dask, through its client: the scheduler gives the tasks of a worker that dies to another one."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from harness.backtest.engine import IN_WORKER, RETRIES, worker_killed
from harness.backtest.engines.address import PATIENCE, nobody_there
from harness.backtest.engines.goods import goods_of, orders_of, put_back
from harness.backtest.engines.optional import optional
from harness.backtest.engines.worker import perform, room
from harness.backtest.spent import Spent
from harness.backtest.task import Context, Task
from harness.core.errors import UserError
from harness.record.home import Home


class OnDask:
    """An existing Dask cluster, or one of this machine that lives as long as the run."""

    def __init__(self, workers: int, threads: int, address: str, store: str) -> None:
        """Say where; nothing is started yet.

        Args:
            workers: workers of a cluster of this machine.
            threads: threads that a model asks for within a task.
            address: of the scheduler of an existing cluster; "" = one of this machine.
            store: URL of an object store; "" = workers see the home folder.

        Raises:
            UserError: Dask's distributed is not installed.
        """
        self.dask: ModuleType = optional("distributed", "dask", "--engine dask")
        self.slots, self.threads, self.address, self.store = max(1, workers), threads, address, store

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks on the cluster.

        Raises:
            UserError: the cluster is out of reach, its workers died again and again, or do not fit.
        """
        home = context.shelves
        with self._client() as client:
            goods = goods_of(context, self.store)
            orders = orders_of(context, tasks, self.store, self.slots)
            waiting = [client.submit(perform, goods, order, pure=False) for order in orders]
            done = self.dask.as_completed(waiting, loop=client.loop)
            del waiting  # a future that nobody holds frees what its task gave back
            for future in done:
                try:
                    answer = future.result()
                except self.dask.scheduler.KilledWorker as error:
                    raise worker_killed(error, "with fewer workers, or a smaller --memory, it needs less") from error
                if answer.refused is not None:
                    raise answer.refused
                if isinstance(home, Home):
                    put_back(home, answer.made)
                yield answer.spent

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Connected for as long as the run takes."""
        settings = {"distributed.scheduler.allowed-failures": RETRIES}
        with optional("dask", "dask", "--engine dask").config.set(settings), self._scheduler() as address:
            try:
                if self.address:
                    asyncio.run(self._greeted())
                client = self.dask.Client(address, set_as_default=False)
            except (OSError, ValueError) as error:
                raise nobody_there("dask", self.address, error) from error
            with client:
                if self.address:
                    self._checked(client)
                yield client

    async def _greeted(self) -> None:
        """See whether a scheduler answers: a client that finds none leaves a thread that tries for minutes.

        Raises:
            OSError: none does.
        """
        how = self.dask.Security().get_connection_args("client")
        async with asyncio.timeout(PATIENCE):
            await (await self.dask.comm.connect(self.address, timeout=PATIENCE, **how)).close()

    @contextmanager
    def _scheduler(self) -> Iterator[Any]:
        """The existing cluster's address, or a cluster of this machine."""
        if self.address:
            yield self.address
            return
        with self.dask.LocalCluster(
            n_workers=self.slots,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=0,  # as with worker processes of this machine: the system decides, not a share of its memory
            env=IN_WORKER,
            silence_logs=logging.CRITICAL,
        ) as cluster:
            yield cluster

    def _checked(self, client: Any) -> None:
        """Refuse workers that would run more threads than their machine has cores, and count them.

        Raises:
            UserError: there is none, one runs several tasks at once, or all of a machine together are too many.
        """
        slots = client.nthreads()
        rooms = client.run(room)
        if not rooms:
            raise UserError(
                "the Dask cluster has no workers", value=self.address, fix="start some: dask worker ADDRESS"
            )
        busy, cores = Counter[str](), dict[str, int]()
        for name, mine in rooms.items():
            busy[mine.host] += max(self.threads, mine.polars) * slots.get(name, 1)
            cores[mine.host] = max(cores.get(mine.host, 0), mine.cores)
        several = sorted(name for name, count in slots.items() if count > 1)
        crowded = [f"{host}: {count} threads on {cores[host]} cores" for host, count in busy.items()
                   if count > cores[host]]  # fmt: skip
        if several or crowded:
            raise UserError(
                "the Dask workers run too much at once",
                value=", ".join(crowded) or f"{several[0]} runs {slots[several[0]]} tasks at once",
                rule="one task per worker, and no more threads on a machine than cores",
                fix="POLARS_MAX_THREADS=1 dask worker ADDRESS --nthreads 1 --nworkers CORES",
            )
        self.slots = len(rooms)
