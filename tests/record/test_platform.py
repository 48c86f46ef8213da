"""What a process asks of the platform it runs on."""

from __future__ import annotations

import os
from importlib import metadata

import pytest

from harness.record.platform import SPINS, installed_packages, wait_briefly


def test_waiting_threads_go_to_sleep_soon_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # restored afterwards
        monkeypatch.delenv(name)
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == SPINS
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_packages_are_those_that_are_needed_here_and_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed_packages.__wrapped__()
    assert found["polars"] == metadata.version("polars")
    assert "patsy" in found, "statsmodels needs it"
    assert "harness-backtest" not in found
    assert list(found) == sorted(found)
    monkeypatch.setattr("harness.record.platform.OURS", "no-such-package")
    alone = installed_packages.__wrapped__()
    assert alone.items() <= found.items(), "without its own record, of what it asks for directly"
    assert "patsy" in alone
