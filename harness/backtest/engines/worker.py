"""What a cluster's worker does with an order: fetch the run once, check what it computes with, run the task."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from harness.backtest.engine import IN_WORKER
from harness.backtest.engines.goods import SHELVES, Answer, Goods, Order, put_back, taken, this_maker
from harness.backtest.engines.store import Store, unpacked
from harness.backtest.spent import Spent
from harness.backtest.task import Context, run_task
from harness.core.errors import UserError
from harness.record.home import Home
from harness.record.platform import available_cores

_one_at_a_time = threading.Lock()
_ready: dict[Goods, Context] = {}


@dataclass(frozen=True, slots=True)
class Room:
    """The machine of a worker.

    Attributes:
        host: its name.
        cores: cores that the worker may use.
        polars: threads of polars, which are chosen when it is imported.
    """

    host: str
    cores: int
    polars: int


def room() -> Room:
    """Where this worker is."""
    return Room(socket.gethostname(), available_cores(), pl.thread_pool_size())


def perform(goods: Goods, order: Order) -> Answer:
    """Run a task; a refusal comes back as an answer. One at a time: what Python warns of is told per process.

    Args:
        goods: the run.
        order: the task.
    """
    with _one_at_a_time:
        os.environ.update(IN_WORKER)
        try:
            if goods not in _ready:
                _ready.clear()
                _ready[goods] = _fetched(goods)
            return _performed(_ready[goods], order) if goods.store else Answer(run_task(_ready[goods], order.task))
        except UserError as error:
            return Answer(Spent(), refused=error)


def _performed(context: Context, order: Order) -> Answer:
    """Run a task on shelves of this worker alone, and give back what it put there."""
    with tempfile.TemporaryDirectory(prefix="harness-task-") as scratch:
        home = Home(Path(scratch))
        put_back(home, order.given)
        spent = run_task(replace(context, shelves=home), order.task)
        keys = [(shelf, place.name) for shelf in SHELVES for place in _folders(home, shelf)]
        there = set(order.given)
        return Answer(spent, tuple(one for one in taken(home, keys) if one not in there))


def _folders(home: Home, shelf: str) -> list[Path]:
    stand: Path = getattr(home, shelf)
    return sorted(path for path in stand.iterdir() if not path.name.startswith(".")) if stand.is_dir() else []


def _fetched(goods: Goods) -> Context:
    """What the run shares, as this worker sees it.

    Raises:
        UserError: this worker computes with something else than the driver, or does not see what it needs.
    """
    wrong = goods.maker.differing(this_maker())
    if wrong:
        raise UserError(
            f"worker {socket.gethostname()}:{os.getpid()} would compute other bits",
            value="; ".join(wrong),
            rule="workers have the driver's code, packages and numeric platform",
            fix="install the same version from the same lock file on machines of one kind",
        )
    if goods.store:
        return _from_store(goods)
    try:
        content = (Path(goods.folder) / goods.context).read_bytes()
    except OSError as error:
        raise UserError(
            f"worker {socket.gethostname()}:{os.getpid()} does not see the home folder",
            value=goods.folder,
            rule="without a store, all workers see it under the same path",
            fix="put it on a shared disk (--home), or name an object store: --engine-store URL",
        ) from error
    return _unpickled(content, goods.context)


def _from_store(goods: Goods) -> Context:
    store, cache = Store(goods.store), cache_folder()
    context = _unpickled(store.get(goods.context, cache).read_bytes(), goods.context)
    plan = context.plan
    if goods.code:
        folder = unpacked(store.get(goods.code, cache), cache / "code" / goods.code)
        plan = replace(plan, experiment=replace(plan.experiment, folder=str(folder)))
    return replace(
        context,
        plan=plan,
        changes=store.get_changes(goods.changes, cache),
        design=store.get(goods.design, cache) if goods.design else None,
    )


def cache_folder() -> Path:
    """Where a worker keeps what it fetched: `HARNESS_CACHE`, else a folder of the user's among the temporary files."""
    named = os.environ.get("HARNESS_CACHE")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"harness-cache-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(
            "the cache belongs to another user", value=folder, fix="name one of your own: HARNESS_CACHE=DIR"
        )
    return folder


def _unpickled(content: bytes, promised: str) -> Context:
    """The context, from bytes that the driver wrote: anything else is not even looked at."""
    if hashlib.sha256(content).hexdigest() != promised:
        raise UserError("the context of the run is damaged", value=promised, fix="run the same command again")
    context: Context = pickle.loads(content)  # noqa: S301 - the driver told its hash
    return context
