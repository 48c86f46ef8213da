"""Engines: which one is refused, what a worker gets and gives back, and that a dead worker is survived."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, get_ident, main_thread
from time import monotonic, sleep
from typing import cast

import polars as pl
import pytest

from harness.backtest import computing, runner
from harness.backtest.engine import Engine, InProcess, Workers, alongside
from harness.backtest.engines import Where, engine_for, goods, worker
from harness.backtest.engines import store as engine_store
from harness.backtest.engines.address import refuse_deserted
from harness.backtest.engines.goods import goods_of, orders_of, put_back, this_maker
from harness.backtest.engines.store import Store
from harness.backtest.engines.worker import perform
from harness.backtest.heard import heard
from harness.backtest.place import Place
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of, cells_of, checksums, with_rivals
from harness.backtest.spent import Spent
from harness.backtest.task import Context, Task
from harness.core.errors import DamagedError, UnknownNameError, UserError
from harness.core.frames import Rows
from harness.core.recipe import Experiment, Recipe, Training
from harness.core.search import Domain, DomainKind, Search
from harness.core.snapshot import Snapshot
from harness.data.changes import ChangeFile
from harness.forecast.boosting import LightGBM
from harness.forecast.catalog import resolve_params
from harness.record import platform
from harness.record.cells import Cell
from harness.record.folders import write_folder
from harness.record.home import Home
from harness.record.runs import read_manifest
from tests.backtest.made_clusters import deadly, looking, mixed, run_on
from tests.backtest.made_runs import AR, Ran, exported, releases, small


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def asked(place: Path) -> Experiment:
    return mixed(place)


@pytest.fixture
def _as_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """This process stands in for a worker and is afterwards what it was."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    before = dict(os.environ)
    worker._ready.clear()
    yield
    os.environ.clear()
    os.environ.update(before)


# ---- what is refused


def test_an_engine_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ray'"):
        Where("rya")


@pytest.mark.parametrize(("told", "workers", "said"), [
    ({"engine": "local", "address": "10.0.0.1:6379"}, None, "neither an address nor a store"),
    ({"engine": "local", "store": "s3://mine"}, None, "neither an address nor a store"),
    ({"engine": "ray", "address": "10.0.0.1:6379"}, 2, "has its own workers"),
    ({"engine": "dask"}, 0, "at least 1"),
    ({"engine": "dask"}, 999, "workers x threads may not exceed the cores"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(
    asked: Experiment, told: dict[str, str], workers: int | None, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        engine_for(asked, workers, Where(**told))


@pytest.mark.parametrize(
    "address", ["foo", "foo:", "foo:x", ":1", "foo:0", "foo:70000", "http://a:1", "a b:1", "tcp://a", "::1"]
)
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_an_address_that_cannot_be_one_is_refused_at_once(engine: str, address: str) -> None:
    with pytest.raises(UserError, match="not an address of a") as caught:
        Where(engine, address)
    assert repr(address) in str(caught.value)
    assert "HOST:PORT" in caught.value.rule


@pytest.mark.parametrize(("engine", "address"), [
    ("ray", "10.0.0.1:6379"), ("ray", "ray://head:10001"), ("ray", "[::1]:6379"), ("ray", "auto"),
    ("dask", "10.0.0.1:8786"), ("dask", "tcp://10.0.0.1:8786"), ("dask", "tls://[fe80::1]:1"),
])  # fmt: skip
def test_an_address_that_an_engine_takes_is_taken(engine: str, address: str) -> None:
    assert Where(engine, address).address == address


@pytest.mark.parametrize(("store", "rule"), [
    ("s3x://nope/x", "Protocol not known: s3x"), ("github://nope", ""),  # what it says depends on what is installed
])  # fmt: skip
def test_a_store_that_nobody_can_open_is_refused_at_once(store: str, rule: str) -> None:
    with pytest.raises(UserError, match="the object store cannot be used") as caught:
        Where("dask", store=store)
    assert store in str(caught.value)
    assert rule in caught.value.rule
    assert caught.value.rule
    assert Where("dask", store="memory://mine").store == "memory://mine"


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_planned(
    asked: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the object store cannot be written"):
        engine_for(asked, 1, Where("dask", store=f"file://{tmp_path}/file/store"))
    for _ in range(2):
        Store(f"file://{tmp_path}/store").refuse_unwritable()
        assert sum(path.is_file() for path in (tmp_path / "store").rglob("*")) == 1


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_an_address_where_nobody_listens_is_refused_before_anything_is_planned(asked: Experiment, engine: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as line:
        port = line.getsockname()[1]
    with pytest.raises(UserError, match=r"no (Ray cluster|Dask scheduler) there.*Connection refused"):
        engine_for(asked, None, Where(engine, f"127.0.0.1:{port}"))


@pytest.mark.parametrize(("says", "ray"), [(b"\0\0\0\4\0\0\0\0\0", True), (b"HTTP/1.1 400", False), (b"", False)])
def test_who_listens_must_answer_as_ray_does(*, says: bytes, ray: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as line, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            with line.accept()[0] as call:
                call.recv(99)
                call.sendall(says)

        pool.submit(answer)
        address = f"127.0.0.1:{line.getsockname()[1]}"
        if ray:
            refuse_deserted("ray", address)
        else:
            with pytest.raises(UserError, match="does not answer as Ray does"):
                refuse_deserted("ray", address)


@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_an_engine_that_is_not_installed_is_refused_in_one_message(
    asked: Experiment, engine: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match="needs a package that cannot be imported") as caught:
        engine_for(asked, 1, Where(engine))
    assert str(caught.value).endswith(f"fix: pip install 'harness-backtest[{engine}]'")


@pytest.mark.parametrize("engine", ["local", "ray", "dask"])
def test_no_worker_starts_workers(asked: Experiment, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    if engine == "local":
        assert isinstance(engine_for(asked, 2), Workers)  # the specimen
    monkeypatch.setenv("HARNESS_WORKER", "1")
    assert isinstance(engine_for(asked, 2, Where(engine)), InProcess)


def test_in_a_process_of_a_pool_a_run_has_one_worker_unless_told_otherwise(
    asked: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 4)
    assert [engine_for(asked, workers).slots for workers in (None, 3)] == [4, 3]  # the specimen
    monkeypatch.setattr("harness.backtest.engines.is_nested", lambda: True)
    assert [engine_for(asked, workers).slots for workers in (None, 3)] == [1, 3]


def _drawn(name: str, kind: DomainKind, **given: object) -> Search:
    return Search(space=(Domain(name, kind, **given),))  # type: ignore[arg-type]


PLAIN, OTHER = (Recipe("other", "lightgbm", params) for params in ((), (("num_threads", 2),)))


@pytest.mark.parametrize(
    "model",
    [
        {"params": (("num_threads", 2),)},
        {"search": _drawn("num_threads", "choice", choices=(1, 2))},
        {"search": _drawn("num_threads", "int", low=1, high=2)},
        {"search": Search(candidates=(OTHER,))},
        {"search": replace(_drawn("other.num_threads", "choice", choices=(2,)), candidates=(PLAIN,))},
    ],
    ids=["its own", "a choice", "a range", "a candidate's", "a choice of a candidate's"],
)  # fmt: skip
def test_threads_are_counted_that_a_search_may_draw(
    model: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    asked = replace(small((), tmp_path), models=(replace(GBM, **model),))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="more threads than cores: 2 workers x 2 threads on 2 cores"):
        engine_for(asked, 2)
    assert engine_for(asked, None).slots == 1
    plain = Recipe("own", "own_models:It", (("num_threads", "auto"),), search=_drawn("scale", "int", low=2, high=64))
    assert engine_for(replace(asked, models=(plain,)), 2).slots == 2  # the specimen: other things are drawn


# ---- fits side by side in one process

GBM = Recipe("gbm", "lightgbm", resolve_params("lightgbm", {"n_estimators": 5}), ("own", "gdp"))
TWO_THREADS = replace(GBM, params=resolve_params("lightgbm", {"num_threads": 2}))


@pytest.mark.parametrize(
    ("models", "cores", "engine", "threads", "fits"),
    [
        ((GBM,), 4, InProcess, 4, 4),
        ((TWO_THREADS,), 2, InProcess, 2, 1),
        ((TWO_THREADS,), 4, Workers, 2, 2),
        ((GBM, replace(TWO_THREADS, name="b")), 4, Workers, 2, 2),
        ((GBM, Recipe("ar", "autoregression")), 4, Workers, 4, 4),
    ],
    ids=["pooled", "one with threads of its own", "several with such", "with unlike threads", "others besides"],
)
def test_pooled_models_of_a_large_panel_are_fitted_in_threads_of_this_process(
    models: tuple[Recipe, ...],
    cores: int,
    engine: type,
    threads: int,
    fits: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.backtest.engines.LARGE", 1)
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: cores)
    found = engine_for(with_rivals(small(models, tmp_path)), None)
    assert isinstance(found, engine)
    assert getattr(found, "threads", found.slots) == threads
    assert getattr(found, "fits", found.slots) == fits


def test_fits_side_by_side_have_the_bits_of_fits_in_turn(changes: Path, tmp_path: Path) -> None:
    plan = build_plan(with_rivals(small((GBM, replace(GBM, name="again")), tmp_path)), ChangeFile.open(changes))
    found = [
        checksums(cells_of(plan, board_of(plan.experiment), Place(changes, Home(tmp_path / name), None), engine)[1])
        for name, engine in {
            "in turn": InProcess(), "side by side": InProcess(2), "by threads of their own": InProcess(2, 1)
        }.items()
    ]  # fmt: skip
    assert found[0] == found[1] == found[2]
    assert len(found[0]["again"]) == len(plan.issued) > 1


@pytest.mark.parametrize(
    ("models", "little", "started"),
    [((), 1000, False), ((), 0, True), ((GBM,), 1000, True)],
    ids=["a few of naive rivals", "many", "a model that is fitted"],
)
def test_no_worker_is_started_for_a_few_answers_of_naive_rivals(
    models: tuple[Recipe, ...],
    little: int,
    started: bool,
    changes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, asked = build_plan(with_rivals(small(models, tmp_path)), ChangeFile.open(changes)), list[int]()

    def watched(self: Workers, context: Context, tasks: Sequence[Task]) -> Iterator[Spent]:
        asked.append(self.count)
        yield from InProcess().run(context, tasks)

    monkeypatch.setattr(Workers, "run", watched)
    monkeypatch.setattr(computing, "LITTLE", little)
    board = board_of(plan.experiment)
    found = checksums(cells_of(plan, board, Place(changes, Home(tmp_path / "workers"), None), Workers(2))[1])
    assert asked == [2] * started
    assert found == checksums(cells_of(plan, board, Place(changes, Home(tmp_path / "here"), None), InProcess())[1])


@pytest.mark.parametrize(
    ("model", "engine", "longest"),
    [
        (GBM, InProcess(2), 1),
        (GBM, InProcess(2, 1), 2),
        (replace(GBM, params=(*GBM.params, ("bins", "first window"))), InProcess(2), 2),
        (Recipe("ar", "autoregression"), InProcess(2), 2),
    ],
    ids=["side by side", "in turn", "the first window's bins would be made in each", "one that reads snapshots"],
)
def test_fits_side_by_side_are_shared_out_one_by_one(
    model: Recipe, engine: InProcess, longest: int, changes: Path, tmp_path: Path
) -> None:
    plan = build_plan(with_rivals(small((model,), tmp_path)), ChangeFile.open(changes))
    board, cells = board_of(plan.experiment), {one.name: [None] * len(plan.issued) for one in plan.experiment.models}
    keys = {name: [f"{name} {origin}" for origin in plan.issued] for name in cells}
    asked = [
        task.origins
        for task in computing.tasks_of(plan, ChangeFile.open(changes), board, keys, cells, {}, engine)
        if task.recipes[0][0] == board[-1][0]
    ]
    assert [origin for stretch in asked[::-1] for origin in stretch] == list(plan.issued)  # the longest fits first
    assert max(map(len, asked)) == longest


@pytest.mark.parametrize("engine", [Workers(2), Workers(8), Workers(30)])
def test_a_model_of_many_fits_has_work_for_every_worker(engine: Workers) -> None:
    stretches = list(computing._stretches(range(100), 1, most=computing._walks_of_model(engine, AR, 100)))
    assert len(stretches) > engine.slots
    assert [origin for stretch in stretches for origin in stretch] == list(range(100))


@pytest.mark.parametrize(
    ("threads", "origins", "others", "engine", "told"),
    [
        (1, 1, (), InProcess(2), {"gbm": 2}),
        (1, 1, (), Workers(4), {"gbm": 4}),
        (1, 1, (), InProcess(), {}),
        (2, 1, (), InProcess(2, 1), {}),
        (1, 1, (AR,), Workers(4), {}),
        (1, 2, (), Workers(4), {}),
    ],
    ids=["threads", "workers", "one core", "threads of its own", "another model beside it", "two fits"],
)
def test_a_single_fit_that_leaves_cores_without_work_is_noted(
    threads: int,
    origins: int,
    others: tuple[Recipe, ...],
    engine: Engine,
    told: dict[str, int],
    changes: Path,
    tmp_path: Path,
) -> None:
    gbm = replace(GBM, name="gbm", params=(("n_estimators", 2), ("num_threads", threads)))
    plan = build_plan(with_rivals(small((gbm, *others), tmp_path)), ChangeFile.open(changes))
    board = board_of(plan.experiment)
    cells: dict[str, list[Cell | None]] = {recipe.name: [None] * len(plan.issued) for recipe, _ in board}
    for done in cells.values():
        done[: len(done) - origins] = [Cell(pl.DataFrame(), {})] * (len(done) - origins)
    keys = {name: [f"{name} {origin}" for origin in plan.issued] for name in cells}
    tasks = computing.tasks_of(plan, ChangeFile.open(changes), board, keys, cells, {}, engine)
    assert computing._idle(engine, tasks) == told


@pytest.mark.parametrize("rolling", [None, 12], ids=["rows alone", "the newest periods"])
def test_what_is_known_is_not_made_ready_for_a_fit_that_reads_its_rows_alone(
    rolling: int | None, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = small((GBM,), tmp_path, training=Training(rolling=rolling, minimum=5))
    plan, shown = build_plan(asked, ChangeFile.open(changes)), list[Snapshot]()
    fit = LightGBM.fit

    def watched(self: LightGBM, rows: Rows | None, snapshot: Snapshot, *, seed: int) -> None:
        shown.append(snapshot)
        fit(self, rows, snapshot, seed=seed)

    monkeypatch.setattr(LightGBM, "fit", watched)
    cells_of(plan, board_of(asked), Place(changes, Home(tmp_path / "home"), None), InProcess())
    assert sorted(one.origin for one in shown) == [plan.instants[origin] for origin in plan.issued]
    assert {one.target for one in shown} == {plan.experiment.target}
    assert [bool(one.panels) for one in shown] == [rolling is not None] * len(shown)  # the specimen: read in them


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_fits_side_by_side_are_given_up_together(changes: Path, tmp_path: Path) -> None:
    plan = build_plan(with_rivals(small((GBM,), tmp_path)), ChangeFile.open(changes))
    home, rivals = Home(tmp_path / "home"), len(plan.issued) * (len(plan.experiment.models) - 1)

    def stopped(done: int, _: int) -> None:
        if done > rivals:
            raise KeyboardInterrupt

    board = board_of(plan.experiment)
    with pytest.raises(KeyboardInterrupt):
        cells_of(plan, board, Place(changes, home, None), InProcess(2), progress=stopped)
    done = len(list(home.cells.rglob("*.*")))
    assert cells_of(plan, board, Place(changes, home, None), InProcess(2))[1]["gbm"]
    assert done < len(list(home.cells.rglob("*.*")))


def test_what_is_done_beside_something_is_given_up_with_it_and_fails_for_it() -> None:
    ended, started = Event(), Event()

    def endless() -> None:
        started.set()
        try:
            while not ended.is_set():
                pass
        finally:
            ended.set()

    def given_up() -> None:
        assert started.wait(10.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        alongside(endless, given_up)
    assert ended.is_set()

    def full() -> None:
        raise OSError("File too large")

    with pytest.raises(OSError, match="too large"):
        alongside(full, list)
    assert alongside(lambda: 5, list) == 5  # the specimen


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_work_that_passes_over_an_interrupt_is_interrupted_again() -> None:
    started, passed, late = Event(), Event(), monotonic() + 20.0

    class Ending:
        """Takes a while to end; what goes wrong meanwhile is passed over by Python, as in every `__del__`."""

        def __del__(self) -> None:
            started.set()
            while monotonic() < late:
                sleep(0.01)

    def deaf() -> None:
        one = Ending()
        del one
        passed.set()
        while monotonic() < late:
            sleep(0.01)

    def given_up() -> None:
        assert started.wait(10.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        alongside(deaf, given_up)
    assert passed.is_set()
    assert monotonic() < late


def test_rivals_answer_while_features_are_built_where_threads_share_the_work(
    changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = with_rivals(small((GBM,), tmp_path))
    plan, answered = build_plan(asked, ChangeFile.open(changes)), Event()
    rivals = len(plan.issued) * (len(asked.models) - 1)
    built = computing.build_rows

    def waiting(*given: object) -> object:
        assert answered.wait(20.0)
        return built(*given)  # type: ignore[arg-type]

    def progress(done: int, total: int) -> None:
        assert total == rivals + len(plan.issued)
        if done == rivals:
            answered.set()

    monkeypatch.setattr(computing, "build_rows", waiting)
    cells = cells_of(plan, board_of(asked), Place(changes, Home(tmp_path), None), InProcess(2), progress=progress)[1]
    assert len(cells["gbm"]) == len(plan.issued)


@pytest.mark.parametrize("bound", [None, 2], ids=["threads as cores", "a number of workers"])
def test_features_are_built_beside_the_rivals_only_where_threads_are_not_counted(
    bound: int | None, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, done = with_rivals(small((GBM,), tmp_path)), list[int]()
    plan, beside = build_plan(asked, ChangeFile.open(changes)), list[bool]()
    built = computing.build_rows

    def watched(*given: object) -> object:
        beside.append(get_ident() != main_thread().ident)
        return built(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(computing, "build_rows", watched)
    with platform.threads_within(bound):
        place = Place(changes, Home(tmp_path), None)
        cells_of(plan, board_of(asked), place, InProcess(2), progress=lambda cells, _: done.append(cells))
    assert beside == [bound is None]
    assert done[-1] == len(plan.issued) * len(asked.models)


@pytest.mark.parametrize(
    ("workers", "model", "threads"),
    [(None, GBM, 4), (1, GBM, 1), (3, GBM, 3), (2, TWO_THREADS, 4)],
    ids=["as many as cores", "one", "those given", "those of the models count"],
)
def test_a_run_computes_by_as_many_threads_as_it_is_given_workers(
    workers: int | None, model: Recipe, threads: int, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[int]()

    def planned(*_: object) -> object:
        seen.append(platform.threads_here())
        raise KeyboardInterrupt

    for room in ("record.platform", "backtest.engines"):
        monkeypatch.setattr(f"harness.{room}.available_cores", lambda: 4)
    monkeypatch.setattr(runner, "build_plan", planned)
    with pytest.raises(KeyboardInterrupt):
        runner.execute(small((model,), tmp_path), changes, Home(tmp_path / "home"), workers=workers)
    assert seen == [threads]
    assert platform.threads_here() == 4  # nothing is left of it


def test_each_thread_hears_its_own_warnings() -> None:
    both = Barrier(2)

    def warn(name: str) -> list[str]:
        with heard() as said:
            both.wait()
            warnings.warn(name, UserWarning, stacklevel=1)
            both.wait()
        return [str(one.message) for one in said]

    shown = warnings.showwarning
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(warn, ["a", "b"])) == [["a"], ["b"]]
    assert warnings.showwarning is shown


# ---- the store


@pytest.mark.parametrize("kind", ["memory", "file", "path"])
def test_what_was_stored_comes_back_once(kind: str, changes: Path, tmp_path: Path) -> None:
    url = {"memory": "memory://made", "file": f"file://{tmp_path}/store", "path": f"{tmp_path}/store"}[kind]
    store, cache = Store(url), tmp_path / "cache"
    name = store.put(b"content")
    (tmp_path / "content").write_bytes(b"content")
    assert store.put(tmp_path / "content") == name
    assert store.get(name, cache).read_bytes() == b"content"
    assert store.put_changes(changes) == changes.name
    found = store.get_changes(changes.name, cache)
    assert ChangeFile.open(found).hash == ChangeFile.open(changes).hash
    assert not list(cache.rglob(".tmp-*"))
    assert store.get_changes(changes.name, cache) == found


def test_a_change_folder_that_another_worker_fetched_meanwhile_is_left_to_it(
    changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cache, looked = Store(str(tmp_path / "store")), tmp_path / "cache", list[int]()
    store.put_changes(changes)

    def before_the_other_is_done(folder: Path) -> bool:
        holds = looks(folder)
        looked.append(1)
        if len(looked) == 1:  # no, and then the other one puts it there
            looked.append(store.get_changes(changes.name, cache).stat().st_ino)
        return holds

    looks = engine_store._holds
    monkeypatch.setattr(engine_store, "_holds", before_the_other_is_done)
    found = store.get_changes(changes.name, cache)
    assert found.stat().st_ino in looked
    (found / "manifest.json").write_bytes(b"damaged")
    assert ChangeFile.open(store.get_changes(changes.name, cache)).hash == changes.name
    assert [path.name for path in (cache / "changes").iterdir()] == [changes.name]


def test_content_that_is_not_what_was_stored_is_never_used(changes: Path, tmp_path: Path) -> None:
    store, cache = Store(str(tmp_path / "store")), tmp_path / "cache"
    name = store.put(b"content")
    store.put_changes(changes)
    kept = store.get(name, cache)
    kept.write_bytes(b"contort")  # damaged here: fetched again
    assert store.get(name, cache).read_bytes() == b"content"
    (tmp_path / "store" / "files" / name).write_bytes(b"contort")
    kept.unlink()
    with pytest.raises(DamagedError, match="object store is damaged"):
        store.get(name, cache)
    path = tmp_path / "store" / "changes" / changes.name / "changes.arrow"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedError, match="object store is damaged"):
        store.get_changes(changes.name, cache)
    assert not (cache / "changes" / changes.name).exists()


def test_a_store_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a URL that fsspec knows"):
        Store("nobody://knows")
    with pytest.raises(UserError, match="the object store cannot be read"):
        Store(str(tmp_path)).get("0" * 64, tmp_path / "cache")


# ---- what a worker gets and gives back


def through_store(asked: Experiment, changes: Path, home: Home, url: str) -> dict[str, list[str]]:
    """Checksums of the cells of a run whose tasks see nothing but the store."""

    class OnlyStore:
        slots = 3

        def run(self, context: Context, tasks: list[Task]) -> Iterator[Spent]:
            sent = goods_of(context, url)
            for order in orders_of(context, tasks, url, self.slots):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("harness.record.shelves.write_folder", _within(context.shelves))
                    answer = perform(sent, order)
                assert answer.refused is None
                assert answer.made or not order.task.origins
                put_back(home, answer.made)
                yield answer.spent

    plan = build_plan(with_rivals(asked), ChangeFile.open(changes))
    cells = cells_of(plan, board_of(plan.experiment), Place(changes, home, home.root / "work"), OnlyStore())[1]
    return checksums(cells)


def _within(home: object) -> object:
    """Writing of folders that refuses the home folder of the driver."""

    def write(folder: Path, files: Mapping[str, bytes], *, durable: bool = True, keeping: bool = False) -> None:
        assert isinstance(home, Home)
        assert home.root not in folder.parents
        write_folder(folder, files, durable=durable, keeping=keeping)

    return write


@pytest.mark.slow
@pytest.mark.usefixtures("_as_worker")
def test_a_worker_that_sees_only_the_store_gives_back_the_same_bits(
    asked: Experiment, changes: Path, tmp_path: Path
) -> None:
    whole, home = run_on(Where(), asked, changes, tmp_path / "whole", 1), Home(tmp_path / "home")
    found = through_store(asked, changes, home, str(tmp_path / "store"))
    assert found == recorded(whole)
    for kind in ("fits", "studies"):
        mine, theirs = (sorted(path.name for path in (one / kind).iterdir()) for one in (home.root, tmp_path / "whole"))
        assert mine == theirs
    assert sorted(path.name for path in (home.root / "work").iterdir()) == ["design.npy"]


def recorded(ran: Ran) -> dict[str, list[str]]:
    return read_manifest(ran.files)["cell_checksums"]  # type: ignore[return-value]


@pytest.mark.usefixtures("_as_worker")
def test_a_worker_that_computes_with_something_else_refuses(asked: Experiment, changes: Path, tmp_path: Path) -> None:
    plan = build_plan(with_rivals(asked), ChangeFile.open(changes))
    home = Home(tmp_path / "home")
    context = Context(plan, changes, None, home, work=home.root / "work")
    sent = goods_of(context, "")
    empty = goods.Order(Task(((plan.experiment.models[0], board_of(plan.experiment)[0][1]),), (), ((),)))
    assert perform(sent, empty).refused is None
    other = perform(replace(sent, maker=replace(this_maker(), code="other")), empty).refused
    assert "would compute other bits" in str(other)
    assert "driver other" in str(other)
    unseen = perform(replace(sent, folder=str(tmp_path / "elsewhere")), empty).refused
    assert "does not see the home folder" in str(unseen)


def test_a_task_is_cut_where_nothing_is_shared(asked: Experiment, changes: Path) -> None:
    plan = build_plan(with_rivals(asked), ChangeFile.open(changes))
    for recipe, identity in board_of(plan.experiment):
        origins = tuple(plan.issued)
        task = Task(((recipe, identity),), origins, (tuple(map(str, origins)),))
        parts = list(goods.cut(plan, task, 3))
        assert [origin for part in parts for origin in part.origins] == list(origins)
        assert [key for part in parts for key in part.keys[0]] == list(task.keys[0])
        several = {(origin - plan.first_issued) // identity.stretch for origin in origins}
        assert (len(several) > 1) <= len(parts) - 1 <= 2
        if not recipe.rival:  # a rival is not fitted
            blocks = [{(origin - plan.first_issued) // identity.stretch for origin in part.origins} for part in parts]
            assert sum(map(len, blocks)) == len(set().union(*blocks))


def test_changed_data_of_a_study_are_not_for_a_cluster(asked: Experiment, changes: Path, tmp_path: Path) -> None:
    plan = build_plan(with_rivals(asked), ChangeFile.open(changes))
    context = Context(plan, changes, None, Home(tmp_path), labels=changes, work=tmp_path)
    with pytest.raises(ValueError, match="plain backtests"):
        goods_of(context, "")


# ---- workers of this machine


@pytest.mark.slow
def test_a_killed_worker_is_survived_and_the_bits_are_the_same(
    place: Path, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    dying = deadly(place, tmp_path / "deaths", 2)
    killed = run_on(Where(), dying, changes, tmp_path / "killed", 2)
    assert len(list((tmp_path / "deaths").iterdir())) == 2
    whole = run_on(Where(), dying, changes, tmp_path / "whole", 2)
    assert recorded(whole) == recorded(killed)
    told = [cast("dict[str, object]", read_manifest(one.files)["measured"]) for one in (whole, killed)]
    assert "workers_killed" not in told[0]
    assert told[1]["workers_killed"] in (1, 2)  # once where both died together


@pytest.mark.slow
def test_workers_that_die_again_and_again_end_the_run_in_one_message(
    place: Path, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    dying = deadly(place, tmp_path / "deaths", 9)
    with pytest.raises(UserError, match="killed again and again") as caught:
        run_on(Where(), dying, changes, tmp_path / "killed", 2)
    for said in ("SIGKILL", "runs out of memory", "--workers 1", "--memory", "run the same command again to resume"):
        assert said in str(caught.value)
    assert list((tmp_path / "killed" / "cells").iterdir())
    for number in range(9):
        (tmp_path / "deaths" / f"{number}").touch()  # there is memory again
    resumed = run_on(Where(), dying, changes, tmp_path / "killed", 2)
    assert recorded(resumed) == recorded(run_on(Where(), dying, changes, tmp_path / "whole", 2))


@pytest.mark.slow
def test_workers_have_one_thread_and_no_duckdb(
    place: Path, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    ran = run_on(Where(), looking(place, tmp_path / "seen"), changes, tmp_path / "home", 2)
    assert set(ran.of("looking")["status"]) == {"ok"}
    assert str(os.getpid()) not in {path.name for path in (tmp_path / "seen").iterdir()}
    here = run_on(Where(), looking(place, tmp_path / "seen"), changes, tmp_path / "here", 1)  # the specimen
    assert set(here.of("looking")["status"]) == {"failed"}
