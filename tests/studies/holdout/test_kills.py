"""An opening stopped anywhere is finished by the same command: counted once, the same bits, nothing in clear."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.data.archive import Archive
from harness.data.vault.files import Vault
from harness.record.home import Home
from harness.record.ledger import entries
from harness.record.plans import HoldoutPlan
from harness.record.seals import seals_of
from harness.studies.holdout.open import opened_archive
from tests.backtest.made_runs import Ran
from tests.backtest.test_resume import Stopped, StoppedAt
from tests.studies.holdout.conftest import copied
from tests.studies.holdout.made_holdouts import CUT_AT, SEAL_ID, Made, kinds, opened, values

TABLES = ("forecasts", "errors", "scores", "leaderboard", "against_rivals", "straddlers")


def sealed_values() -> list[float]:
    """Every value that was published at or after the cut."""
    mine = values().filter(values()["published_at"] >= CUT_AT)
    return sorted(set(mine["value"].to_list()))


def in_clear(folder: Path, numbers: list[float]) -> set[float]:
    """Which numbers stand in some file below a folder: as doubles of either order, as floats, as text."""
    content = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {one for one in numbers if any(mark in text for mark in marks(one) for text in content)}


def marks(number: float) -> Iterator[bytes]:
    yield struct.pack("<d", number)
    yield struct.pack(">d", number)
    yield f"{number:.4f}".rstrip("0").encode()
    yield struct.pack("<q", round(number * 10_000))


def assert_same(one: Ran, other: Ran) -> None:
    for name in TABLES:
        left, right = ((ran.files.folder / f"{name}.parquet").read_bytes() for ran in (one, other))
        assert left == right, name
    answers = [json.loads((ran.files.folder / "manifest.json").read_text()) for ran in (one, other)]
    assert answers[0]["holdout"] == answers[1]["holdout"]
    assert answers[0]["holdout_checksums"] == answers[1]["holdout_checksums"]


def assert_counted_once(home: Home) -> None:
    told = kinds(home)
    assert (told.count("opening"), told.count("result"), told.count("void")) == (1, 1, 0)


def moments_of(made: Made, plan: HoldoutPlan) -> int:
    with pytest.MonkeyPatch.context() as patch:
        count = StoppedAt(patch, 10**9)
        opened(made, plan)
    return 10**9 - count.left


def stopped(made: Made, plan: HoldoutPlan, number: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        StoppedAt(patch, number)
        with pytest.raises(Stopped):
            opened(made, plan)


@pytest.mark.slow
def test_the_search_for_sealed_values_finds_them_where_they_are(made: Made, tmp_path: Path) -> None:
    numbers = sealed_values()
    assert len(numbers) > 50
    assert in_clear(made.home.root, numbers) == set()
    identity = (made.keys / f"{SEAL_ID}.identity").read_text().strip()
    whole = opened_archive(made.home, seals_of(made.home), {SEAL_ID: identity})
    whole.export(tmp_path / "clear")
    assert in_clear(tmp_path / "clear", numbers) == set(numbers)
    assert set(numbers) <= set(whole.changes().value[~np.isnan(whole.changes().value)].tolist())


@pytest.mark.slow
def test_an_opening_that_was_stopped_midway_resumes(made: Made, plan: HoldoutPlan, closed: tuple[Made, Ran]) -> None:
    stopped(made, plan, 120)
    assert in_clear(made.home.root, sealed_values()) == set()
    assert kinds(made.home)[-1] == "opening"
    assert any((made.home.vault / SEAL_ID / "openings" / plan.id / "cells").iterdir())
    assert_same(opened(made, plan), closed[1])
    assert_counted_once(made.home)


def test_an_opening_that_ends_at_its_first_decryption_stands_in_the_ledger_already(
    made: Made, plan: HoldoutPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, told = Vault.read, list[str]()

    def ended(vault: Vault, identity: str, name: str) -> bytes:
        told.extend(json.loads(line)["kind"] for line in made.home.ledger.read_text().splitlines())
        assert read(vault, identity, name)  # decrypted, and then the process is gone
        raise Stopped

    monkeypatch.setattr(Vault, "read", ended)
    with pytest.raises(Stopped):
        opened(made, plan)
    assert told[-1] == "opening"
    assert kinds(made.home) == told


@pytest.mark.slow
def test_an_opening_stopped_at_ten_points_of_its_life_resumes_to_the_same_bits(
    made: Made, plan: HoldoutPlan, closed: tuple[Made, Ran], tmp_path: Path
) -> None:
    moments = moments_of(copied(made, tmp_path / "count"), plan)
    numbers = sealed_values()
    tail = 2 * (len(list(closed[1].files.folder.glob("*.parquet"))) + 2)  # tables, manifest and the last entry
    points = [1, 2, 3, 4, moments // 3, moments // 2, moments - tail - 1, moments - tail // 2, moments - 3, moments - 1]
    for number in points:
        mine = copied(made, tmp_path / f"stopped{number}")
        stopped(mine, plan, number)
        if number < moments - tail:  # clear results appear when it closes, not before
            assert in_clear(mine.home.root, numbers) == set()
            assert not any("holdout" in path.read_text() for path in mine.home.runs.glob("*/manifest.json"))
        assert_same(opened(mine, plan), closed[1])
        assert_counted_once(mine.home)


CHILD = """
import sys
from pathlib import Path
from harness.record.home import Home
from harness.record.plans import read_plan
from tests.studies.holdout.made_holdouts import Made, opened
home, keys, plan = sys.argv[1:]
made = Made(Home(Path(home)), Path(keys))
opened(made, read_plan(made.home, plan))
"""


@pytest.mark.slow
def test_a_process_killed_in_an_opening_leaves_one_that_resumes(
    made: Made, plan: HoldoutPlan, closed: tuple[Made, Ran]
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(made.home.root), str(made.keys), plan.id],
        cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    cells = made.home.vault / SEAL_ID / "openings" / plan.id / "cells"
    deadline = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline:
        if cells.is_dir() and len(list(cells.iterdir())) > 20:
            break
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert in_clear(made.home.root, sealed_values()) == set()
    assert [one.kind for one in entries(made.home)][-1] == "opening"
    assert_same(opened(made, plan), closed[1])
    assert_counted_once(made.home)


def test_the_archive_in_the_clear_ends_before_the_cut(made: Made) -> None:
    changes = Archive.open(made.home.archive, read_only=True).changes()
    cut = int(CUT_AT.timestamp() * 1_000_000)
    assert changes.published.max() < cut
    assert max(changes.known_through.values()) < cut
