"""A library that one thread is still importing is waited for by another."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.forecast.imported import imported


def test_a_module_that_is_half_imported_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slowly_there.py").write_text("import time\ntime.sleep(0.4)\nanswer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(imported, "slowly_there", "answer")
        while "slowly_there" not in sys.modules:
            time.sleep(0.01)
        second = pool.submit(imported, "slowly_there", "answer")
        assert (first.result(), second.result()) == (42, 42)
