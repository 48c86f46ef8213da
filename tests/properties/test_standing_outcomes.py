"""Outcomes looked up cell by cell are those read from a walk of snapshots, bit for bit, for any history of releases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness.data.outcomes as room
from harness.core.recipe import OutcomeRule, Target
from harness.core.series import Series
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.data.archive.store import MemoryStore
from harness.data.changes import ChangeFile
from harness.data.outcomes import outcomes
from harness.data.walked_outcomes import Windows
from tests.paced import paced

IDS = ("a", "b", "c")
RULES = [OutcomeRule(), OutcomeRule("release", 2), OutcomeRule("after", 20), OutcomeRule("latest", 0)]
TRANSFORMS = [Transform(), Transform("difference", 2), Transform("log_growth", 1), Transform("growth", 3),
              Transform("return", 1), Transform("spread", 1, other="c")]  # fmt: skip
rows = st.lists(
    st.tuples(
        st.sampled_from(IDS),
        st.integers(0, 7),
        st.integers(0, 40),
        st.one_of(st.none(), st.sampled_from([0.0, 1.5, 2.0, 2.25, 7.0])),
    ),
    min_size=3,
    max_size=60,
    unique_by=lambda row: row[:3],
)


def changes_of(given_rows: list[tuple[str, int, int, float | None]], frequency: str) -> ChangeFile:
    base = [(name, 0, 41, 1.25) for name in ("a", "c")]
    given_rows = [*base, *given_rows]
    days = {
        "M": [date(2020 + m // 12, m % 12 + 1, 28) for m in range(8)],
        "D": [date(2020, 1, 1 + d) for d in range(8)],
    }
    ends = pl.Series(days[frequency]).dt.month_end() if frequency == "M" else pl.Series(days[frequency])
    frame = pl.DataFrame(
        {
            "series_id": [name for name, *_ in given_rows],
            "period": [ends[place] for _, place, *_ in given_rows],
            "published_at": [
                datetime.combine(ends[place], datetime.min.time(), UTC) + timedelta(days=1 + 3 * late, hours=9)
                for _, place, late, _ in given_rows
            ],
            "value": pl.Series([value for *_, value in given_rows], dtype=pl.Float64()),
        }
    )
    store = MemoryStore()
    store.prepare(read_only=False)
    archive = Archive(store, read_only=False)
    archive.define(*(Series(name, frequency) for name in IDS))
    archive.append(frame, source="made")
    return archive.changes()


@pytest.mark.parametrize("rule", paced(RULES), ids=str)
@settings(max_examples=8, deadline=None)
@given(
    made=rows,
    transform=st.sampled_from(TRANSFORMS),
    frequency=st.sampled_from(["M", "D"]),
    cut=st.integers(0, 120),
)
def test_looked_up_is_walked(made: Any, transform: Transform, frequency: str, cut: int, rule: OutcomeRule) -> None:
    changes = changes_of(made, frequency)
    ids = tuple(name for name in ("a", "b") if name in changes.known_through)
    target = Target(ids, transform, rule)
    low, high = int(changes.period.min()) - 1, int(changes.period.max()) + 2
    ends = np.arange(low, high, dtype=np.int64)
    until = int(changes.published.min()) + cut * 86_400_000_000
    arguments = (changes, target, Windows(ends, ends))
    fast = outcomes(*arguments, until=until)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "looked_up", lambda *_: False)
        plain = outcomes(*arguments, until=until)
    for name in plain.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name), err_msg=name)
