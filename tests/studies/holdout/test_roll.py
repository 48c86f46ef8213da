"""A spent holdout rolls on: what was seen is development, what came since stays sealed, and its opening confirms."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.core.errors import SealedError, UserError
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.experiment.holdouts import rolled
from harness.record.home import Home
from harness.record.ledger import verify_ledger
from harness.record.seals import seals_of, unfinished
from harness.studies.holdout.open import opened_archive
from harness.studies.holdout.roll import Rolled
from tests.backtest.made_runs import Ran
from tests.backtest.test_resume import Stopped, StoppedAt
from tests.studies.holdout.conftest import copied
from tests.studies.holdout.made_holdouts import (
    END,
    QUARTERS,
    SEAL_ID,
    Made,
    filled,
    instant,
    kinds,
    opened,
    planned,
    quarter,
    values,
)

MORE = 14
SEEN = END.date()
TO = SEEN + timedelta(days=1)


def newer() -> pl.DataFrame:
    """What is published after the opening."""
    whole = values(quarters=QUARTERS + MORE)
    return whole.filter(whole["published_at"] > END)


@pytest.fixture
def spent(closed: tuple[Made, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A home whose holdout was opened, and to which newer data came since: into the vault."""
    made = copied(closed[0], tmp_path)
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    hs.Archive.open(made.home.archive).append(newer(), source="newer")
    return made


def same_rows(one: ChangeFile, other: ChangeFile) -> bool:
    names = ("code", "period", "published", "value", "vintage", "availability")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def assert_rolled(made: Made, done: Rolled, folder: Path) -> None:
    """The archive ends before the new cut, and opened it is as if it had never been sealed."""
    (seal,) = seals_of(made.home)
    # midnight in London
    assert (seal.id, seal.follows, seal.instant) == (done.new, SEAL_ID, instant(TO) - timedelta(hours=1))
    assert not unfinished(made.home)
    assert not (made.home.vault / SEAL_ID).exists()
    cut = int(seal.instant.timestamp() * 1_000_000)
    clear = Archive.open(made.home.archive, read_only=True).changes()
    whole = filled(Home(folder / "whole"))
    whole.append(newer(), source="newer")
    plain = whole.changes()
    assert clear.published.max() < cut <= plain.published.max()
    assert clear.value.tobytes() == plain.value[plain.published < cut].tobytes()
    identity = (made.keys / f"{seal.id}.identity").read_text().strip()
    assert same_rows(opened_archive(made.home, [seal], {seal.id: identity}).changes(), plain)
    assert kinds(made.home)[-2:] == ["roll", "seal"]
    check = verify_ledger(made.home)
    assert not check.broken, check.reasons


def test_a_spent_stretch_is_released_and_the_next_opening_confirms(spent: Made, tmp_path: Path) -> None:
    done = rolled(TO, spent.home)
    assert done.rows > MORE
    assert_rolled(spent, done, tmp_path)
    spent.run()
    plan = planned(spent)
    assert not plan.exploratory
    assert plan.seal_ids == (done.new,)
    ran = opened(spent, plan)
    errors = ran.forecasts.filter("scored")
    assert errors["origin"].min() > instant(SEEN)
    assert '"exploratory": false' in (ran.files.folder / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("to", "told"),
    [
        (date(2015, 3, 1), "not after the seal's"),
        (quarter(QUARTERS - 4), "opened cannot be sealed again"),
        (SEEN - timedelta(days=1), "opened cannot be sealed again"),
        (date(2060, 1, 1), "nothing would stay sealed"),
    ],
)
def test_a_day_that_is_not_after_all_that_was_seen_is_refused(to: date, told: str, spent: Made) -> None:
    before = spent.home.archive.read_bytes()
    with pytest.raises(SealedError, match=told):
        rolled(to, spent.home)
    assert kinds(spent.home)[-1] == "refusal"
    assert spent.home.archive.read_bytes() == before


def test_a_holdout_that_was_never_opened_does_not_roll(made: Made) -> None:
    with pytest.raises(SealedError, match="not opened and closed"):
        rolled(TO, made.home, keys=made.keys)
    assert kinds(made.home)[-1] == "refusal"
    with pytest.raises(UserError, match="no day"):
        rolled("soon", made.home, keys=made.keys)
    with pytest.raises(UserError, match="unknown seal"):
        rolled(TO, made.home, seal="zzz", keys=made.keys)


@pytest.mark.slow
def test_a_roll_that_is_stopped_anywhere_is_finished_by_the_same_command(spent: Made, tmp_path: Path) -> None:
    counting = copied(spent, tmp_path / "count")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_KEYS", str(counting.keys))
        count = StoppedAt(patch, 10**9)
        rolled(TO, counting.home)
    moments = 10**9 - count.left
    for number in sorted({1, 2, moments // 4, moments // 2, *range(moments - 9, moments)}):
        mine = copied(spent, tmp_path / f"stopped{number}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_KEYS", str(mine.keys))
            StoppedAt(patch, number)
            with pytest.raises(Stopped):
                rolled(TO, mine.home)
        told = [one for one in kinds(mine.home) if one == "roll"]
        done = (
            rolled(TO, mine.home, keys=mine.keys)
            if seals_of(mine.home)[0].id == SEAL_ID or unfinished(mine.home)
            else None
        )
        if done is not None:
            assert_rolled(mine, done, mine.home.root.parent)
        else:  # everything was done when it was stopped
            assert told == ["roll"]
