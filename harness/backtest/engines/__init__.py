"""Engines by name: which one runs the tasks of an experiment, and how many at once."""

from __future__ import annotations

import os
from dataclasses import dataclass

from harness.backtest.engine import Engine, InProcess, Workers
from harness.backtest.engines.address import refuse_deserted, refuse_malformed
from harness.backtest.engines.on_dask import OnDask
from harness.backtest.engines.on_ray import OnRay
from harness.backtest.engines.store import Store
from harness.backtest.tuning.space import own_name, reachable
from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Experiment, Recipe
from harness.forecast.catalog import learns_from_rows_alone
from harness.record.memory import memory_limit
from harness.record.platform import available_cores, is_nested

LARGE = 1000
"""Series of a panel from which on a walk costs more than what the naive rivals answer on it."""
THREADS = "num_threads"
"""The one name of LightGBM's for threads that a model table may set."""
ENGINES = ("local", "ray", "dask")


@dataclass(frozen=True, slots=True)
class Where:
    """Where the tasks of a run are computed.

    Attributes:
        engine: one of `ENGINES`.
        address: of an existing cluster; "" = one of this machine is started and stopped again.
        store: object store that all workers can read; "" = they see the home folder under the same path.
        memory: GB there may be in use; None = `HARNESS_MEMORY`, else what is free. No bit depends on it.

    Raises:
        UserError: that is no positive number, an engine nobody knows, one without clusters that is given the address of
            one, an address that cannot be one, or a store that nobody here knows how to open.
    """

    engine: str = "local"
    address: str = ""
    store: str = ""
    memory: float | None = None

    def __post_init__(self) -> None:
        memory_limit(self.memory)
        if self.engine not in ENGINES:
            raise UnknownNameError("engine", self.engine, ENGINES)
        if self.engine != "local":
            if self.address:
                refuse_malformed(self.engine, self.address)
            if self.store:
                Store(self.store)
        elif self.address or self.store:
            raise UserError(
                "the local engine has neither an address nor a store",
                value=self.address or self.store,
                rule="workers of this machine see the home folder",
                fix="add --engine ray or --engine dask",
            )


HERE = Where()


def engine_for(experiment: Experiment, workers: int | None, where: Where = HERE) -> Engine:
    """The engine that runs the tasks of an experiment; within a worker always this very process.

    Args:
        experiment: its models may ask for threads.
        workers: worker processes; None = as many as cores allow. An existing cluster has its own.
        where: the engine asked for.

    Raises:
        UserError: an engine that is not installed, nobody at its address, a store that cannot be written, no worker at
            all, more threads than cores, or workers beside an existing cluster's own.
    """
    if where.address and workers is not None:
        raise UserError(
            "an existing cluster has its own workers",
            value=f"--workers {workers} --engine-address {where.address}",
            fix="leave out --workers, or --engine-address to start workers on this machine",
        )
    threads = most_threads(experiment)
    count = 0 if where.address else _workers(workers, threads)
    if os.environ.get("HARNESS_WORKER"):
        return InProcess()
    if where.engine == "local":
        light = all(recipe.rival or learns_from_rows_alone(recipe) for recipe in experiment.models)
        apart = count > 1 and threads > 1  # LightGBM has one number of threads for all fits of a process
        if len(experiment.target.series) >= LARGE and light and not apart:
            return InProcess(count * threads, count)  # processes would each hold and walk all that is known
        return InProcess() if count == 1 else Workers(count)
    if where.address:
        refuse_deserted(where.engine, where.address)
    if where.store:
        Store(where.store).refuse_unwritable()
    kind = OnRay if where.engine == "ray" else OnDask
    return kind(count, threads, where.address, where.store)


def most_threads(experiment: Experiment) -> int:
    """Threads that a fit may ask for at most, by its own parameters or those that a table of ranges may draw.

    What a function draws is not known before it is asked.
    """
    return max([threads_of(recipe) for recipe in experiment.models] or [1])


def threads_of(recipe: Recipe) -> int:
    """Threads that a fit of a recipe may ask for at most."""
    asked: list[object] = [dict(one.params).get(THREADS) for one in reachable(recipe)]
    for domain in recipe.search.space if recipe.search is not None else ():
        if any(own_name(recipe, one, domain.name) == THREADS for one in reachable(recipe)):
            asked += domain.choices or (int(domain.top),)
    return max([1, *(one for one in asked if isinstance(one, int))])


def _workers(workers: int | None, threads: int) -> int:
    """Workers of this machine: those asked for, or as many as the cores allow; one within a process of a pool."""
    cores = available_cores()
    if workers is None:
        workers = 1 if is_nested() else max(1, cores // threads)
    if workers < 1:
        raise UserError("no worker at all", value=f"--workers {workers}", rule="at least 1", fix="use --workers 1")
    if workers * threads > cores:
        raise UserError(
            "more threads than cores",
            value=f"{workers} workers x {threads} threads on {cores} cores",
            rule="workers x threads may not exceed the cores: oversubscribed cores run many times slower",
            fix=f"use --workers {max(1, cores // threads)}, or a smaller num_threads",
        )
    return workers
