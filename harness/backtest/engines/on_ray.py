"""Tasks on Ray: its own remote tasks, which it tries anew when their worker dies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from harness.backtest.engine import IN_WORKER, RETRIES, worker_killed
from harness.backtest.engines.address import nobody_there
from harness.backtest.engines.goods import goods_of, orders_of, put_back
from harness.backtest.engines.optional import optional
from harness.backtest.engines.worker import perform
from harness.backtest.spent import Spent
from harness.backtest.task import Context, Task
from harness.core.errors import UserError
from harness.record.home import Home

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it tells nobody that it runs
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what its next version will do is no news for a user
    "RAY_worker_niceness": "0",  # as the workers of the other engines
}
MEMORY = 256_000_000
"""Bytes of Ray's object store on this machine: contexts and cells do not lie there."""


class OnRay:
    """An existing Ray cluster, or one of this machine that lives as long as the run; one already started is used."""

    def __init__(self, workers: int, threads: int, address: str, store: str) -> None:
        """Say where; nothing is started yet.

        Args:
            workers: workers of a cluster of this machine.
            threads: cores that a task claims; Ray never gives away more than it has.
            address: of an existing cluster, as `ray.init` takes it; "" = one of this machine.
            store: URL of an object store; "" = workers see the home folder.

        Raises:
            UserError: Ray is not installed.
        """
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        self.ray: ModuleType = optional("ray", "ray", "--engine ray")
        self.slots, self.threads, self.address, self.store = max(1, workers), threads, address, store

    def run(self, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        """Run all tasks on the cluster.

        Raises:
            UserError: the cluster is out of reach or too small, its workers died again and again, or do not fit.
        """
        home = context.shelves
        with self._cluster():
            goods = goods_of(context, self.store)
            remote = self.ray.remote(
                num_cpus=self.threads, max_retries=RETRIES, runtime_env={"env_vars": dict(IN_WORKER)}
            )(perform)
            waiting = [remote.remote(goods, order) for order in orders_of(context, tasks, self.store, self.slots)]
            try:
                while waiting:
                    ready, waiting = self.ray.wait(waiting, num_returns=1)
                    answer = self.ray.get(ready[0])
                    if answer.refused is not None:
                        raise answer.refused
                    if isinstance(home, Home):
                        put_back(home, answer.made)
                    yield answer.spent
            except self.ray.exceptions.RayError as error:
                if isinstance(error, self.ray.exceptions.RayTaskError):
                    raise
                raise worker_killed(error, "with fewer workers, or a smaller --memory, it needs less") from error
            finally:
                for one in waiting:
                    self.ray.cancel(one, force=True)

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """Connected for as long as the run takes."""
        if self.ray.is_initialized():
            self._sized()
            yield
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self.address:
                self.ray.init(address=self.address, **quiet)
            else:
                self.ray.init(
                    address="local", num_cpus=self.slots * self.threads, include_dashboard=False,
                    object_store_memory=MEMORY, **quiet,
                )  # fmt: skip
        except (OSError, RuntimeError, ValueError) as error:
            if self.address:
                raise nobody_there("ray", self.address, error) from error
            raise UserError("Ray cannot be started", rule=" ".join(str(error).split())[:200]) from error
        try:
            self._sized()
            yield
        finally:
            self.ray.shutdown()

    def _sized(self) -> None:
        """Count the tasks that the cluster runs at once.

        Raises:
            UserError: not even one.
        """
        largest = max((int(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"]), default=0)
        if largest < self.threads:
            raise UserError(
                "the Ray cluster is too small",
                value=f"{largest} cores on its largest machine, a model asks for {self.threads} threads",
                fix="a smaller num_threads, or a larger machine",
            )
        self.slots = max(1, int(self.ray.cluster_resources().get("CPU", 1)) // self.threads)
