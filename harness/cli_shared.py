"""What the verbs of the command `harness` share: where things are, and how an ingest is told."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.data.archive import Archive
    from harness.data.ingest import IngestReport
    from harness.data.ingest.reports import SourceReport
    from harness.record.home import Home

DONE, FAILED = 0, 1
CLEAR = "\x1b[K"
"""Takes what a terminal shows from here to the end of the line away."""
RUN_HELP = "run id, or its unambiguous beginning (see `harness runs`)"
EXPERIMENT_HELP = "name of experiments/NAME.toml, or the path of an experiment file"
WORKERS_HELP = "worker processes (default: as many as cores allow)"
PATIENCE = 2.0
"""Seconds of work after which a terminal is told what is being done."""
Verb = Callable[[argparse.Namespace], int | None]
Add = Callable[[str, Verb, str], argparse.ArgumentParser]


def home_of(args: argparse.Namespace) -> Home:
    """The home folder that `--home` or the environment names."""
    from harness.record.home import open_home

    return open_home(args.home)


def path_named(text: str) -> Path:
    """A path as an option gives it; an empty name would be the working folder."""
    if not text:
        message = "the name is empty"
        raise argparse.ArgumentTypeError(message)
    return Path(text)


def archive_of(args: argparse.Namespace) -> Archive:
    """The archive of the home folder."""
    from harness.data.archive import Archive

    return Archive.open(home_of(args).archive)


def experiment_file(name: str) -> Path:
    """The file of an experiment: a path as it is, a bare name in ./experiments."""
    from harness.experiment.load import experiment_file as found

    return found(name)


@contextmanager
def told(doing: str, *, after: float = PATIENCE) -> Iterator[None]:
    """Say on stderr what is being done, and for how long, where that is a terminal; the line is gone at the end.

    Args:
        doing: what it is.
        after: seconds before anything is said.
    """
    done = threading.Event()

    def say() -> None:
        began, pause = time.monotonic(), after
        while not done.wait(pause):
            pause = 1.0
            sys.stderr.write(f"\r{CLEAR}harness: {doing}, {time.monotonic() - began:.0f} s")
            sys.stderr.flush()

    if not sys.stderr.isatty():
        yield
        return
    teller = threading.Thread(target=say, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
        sys.stderr.write(f"\r{CLEAR}")
        sys.stderr.flush()


def print_ingest(report: IngestReport) -> None:
    """Say what an ingest read, took and put aside."""
    if report.already:
        print(f"{report.dataset}: nothing new")
        return
    withdrawn = f", {report.withdrawn} withdrawals" if report.withdrawn else ""
    print(f"{report.dataset}: {len(report.series)} series, {report.rows_in} rows in, {report.kept} new{withdrawn}")
    for one in report.sources:
        _print_source(one)
    if report.uncompared:
        print(f"  {report.uncompared} (too few; it is entered in the ledger, and results of it say so)")


def _print_source(one: SourceReport) -> None:
    from harness.report.cleaning import RESTAMPED, UNCLEAR

    if one.sealed:
        print(f"  {one.label}: {one.sealed} rows sealed")
    if one.ahead:
        print(f"  {one.label}: {one.ahead} rows, public before the seal, of periods that end after it stay readable")
    if one.unclear:
        print(f"  {one.label}: {one.unclear} {UNCLEAR}")
    if one.restamped:
        print(f"  {one.label}: {one.restamped} {RESTAMPED}")
    _print_gone(one)
    if one.set_aside:
        print(f"  {one.label}: {one.set_aside} rows set aside")
    for name, touched in one.steps:
        print(f"  {one.label}: {name}: {touched} rows touched")
    for name, severity, verdict, failed in one.assertions:
        if verdict != "passed":
            print(f"  {one.label}: {name} ({severity}): {verdict}" + (f", {failed} rows" if failed else ""))
    for name, rows in one.undeclared:
        print(f"  {one.label}: {name!r} is not declared, its {rows} rows stay in the raw input only")


def _print_gone(one: SourceReport) -> None:
    """Say of rows that they are not in their file any more."""
    if one.gone:
        print(f"  {one.label}: {one.gone} rows that the archive has of it are not in it any more; they stay")


def print_sealed(args: argparse.Namespace) -> None:
    """Say below a listing what is sealed, and so not in it."""
    from harness.data.archive.refused import sealed_note

    note = sealed_note(home_of(args))
    if note:
        print(note.replace("in no answer", "not in this list", 1))
