"""The verbs of the command `harness` that look into records: where a number came from, and whether it still holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.record.home import Home

FAILED = 1
RUN_HELP = "run id, or its unambiguous beginning (see `harness runs`)"
Verb = Callable[[argparse.Namespace], int | None]
Add = Callable[[str, Verb, str], argparse.ArgumentParser]


def add_record_verbs(add: Add) -> None:
    """Add the verbs to a parser.

    Args:
        add: makes the parser of a verb from its name, what it calls, and its help.
    """
    _add_reproduce(add("reproduce", _reproduce, "derive a recorded run again and compare every bit with the record"))
    add("verify", _verify, "check every recorded file against its hash")


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--models", metavar="NAME", nargs="+", help="only these models, and the rivals (default: all)")
    parser.add_argument(
        "--folder", metavar="DIR", default="", help="where the experiment's own modules are now (default: as recorded)"
    )
    parser.add_argument("--workers", metavar="N", type=int, help="worker processes (default: as many as cores allow)")


def _reproduce(args: argparse.Namespace) -> int | None:
    from harness.experiment.launch import reproduced
    from harness.report.reproduction import reproduction_text

    folder = str(Path(args.folder).absolute()) if args.folder else ""
    done = reproduced(args.run, _home(args), models=args.models, folder=folder, workers=args.workers)
    print(reproduction_text(done))
    return None if done.reproduced else FAILED


def _verify(args: argparse.Namespace) -> int | None:
    from harness.report.verify import verification_text, verify

    done = verify(_home(args))
    print(verification_text(done))
    return None if done.intact else FAILED


def _home(args: argparse.Namespace) -> Home:
    from harness.record.home import open_home

    return open_home(args.home)


def _warn(text: str) -> None:
    print(f"harness: {text}", file=sys.stderr, flush=True)
