"""Features read out of a table: rows far apart are read a stretch at a time, and what was passed over is let go of."""

from __future__ import annotations

import numpy as np
import pytest

from harness.core import frames
from harness.core.frames import Cells

TABLE = np.arange(400.0).reshape(100, 4)
FAR, NEAR = np.array([0, 40, 99, 60, 3]), np.arange(20, 25)


@pytest.mark.parametrize(("rows", "given_back"), [(FAR, 5), (NEAR, 0)], ids=["far apart", "neighbours"])
def test_rows_far_apart_are_read_a_stretch_at_a_time(
    rows: np.ndarray, given_back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "REACH", 10 * TABLE.strides[0])
    said: list[int] = []
    cells = Cells(TABLE, rows, np.array([[1, 3]]), lambda: said.append(1))
    np.testing.assert_array_equal(cells.read(0, slice(None)), TABLE[rows][:, [1, 3]])
    np.testing.assert_array_equal(cells.read(0, slice(0, 0)), np.empty((0, 2)))
    assert len(said) == given_back
