"""Long work is told of on a terminal, and only there."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli_shared import told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, after: float) -> str:
    """What a stream is told of work that takes until it is told something, or a tenth of a second."""
    monkeypatch.setattr(sys, "stderr", stream)
    with told("reading a.csv", after=after):
        deadline = time.monotonic() + (5.0 if stream.isatty() and after < 1 else 0.1)
        while not stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    return stream.getvalue()


def test_a_terminal_is_told_what_is_done_and_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(Terminal(), monkeypatch, after=0.01)
    assert "harness: reading a.csv, 0 s" in said
    assert said.endswith("\r\x1b[K")  # the line is taken away


def test_short_work_and_a_pipe_are_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "reading" not in shown(Terminal(), monkeypatch, after=30.0)
    assert shown(io.StringIO(), monkeypatch, after=0.01) == ""


def test_new_and_ingest_say_what_they_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"2010-{month:02}-15,2010-{month:02}-28,{month}\n" for month in range(1, 13))
    Path("a.csv").write_text(f"month,published,level\n{rows}")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("harness.cli_data.told", lambda doing: told(doing, after=0.0))
    assert main(["new", "mine", "--data", "a.csv"]) == 0
    assert main(["ingest", "mine"]) == 0
    assert "harness: reading a.csv, " in terminal.getvalue()
    assert "harness: taking in mine, " in terminal.getvalue()
    assert "mine: 1 series, 12 rows in, 12 new" in capsys.readouterr().out
