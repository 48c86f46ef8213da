"""The command `harness`: its verbs, each also a `make` target of the same name, and how it ends."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness import __version__
from harness.cli_data import add_data_verbs
from harness.cli_ending import TERMINATED, Terminated, terminable
from harness.cli_holdout import add_holdout_verbs
from harness.cli_records import add_record_verbs
from harness.cli_runs import add_run_verbs
from harness.cli_searches import add_search_verbs
from harness.cli_shared import DONE, Verb, home_of
from harness.core.errors import SealedError, UserError

REFUSED, INTERRUPTED = 2, 130
UNHINDERED = ("holdout seal", "holdout roll", "holdout status", "ledger verify", "new", "datasets")
"""Verbs that can be used while a sealing or a roll is unfinished."""
SURROUNDINGS: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
    }
    | {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP, errno.EFBIG}
)
"""What the disk, its owner or a wrong path may refuse; any other failure of a file is a bug and is raised."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: arguments; None = those of the process.

    Returns:
        0 done; 1 an audit failed; 2 refused, with one message on stderr; 130 interrupted; 143 told to end. Anything
        else that goes wrong is a bug of the harness and is raised (Python then ends with 1, and a traceback).
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as end:  # argparse has said what is wrong
        return int(end.code or DONE)
    verb: Verb = args.verb
    try:
        if args.command not in UNHINDERED:
            _refuse_unfinished(args)
        with terminable():
            code = verb(args)
        sys.stdout.flush()
    except UserError as error:
        if isinstance(error, SealedError):
            _enter(error, args)
        print(f"harness: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as error:
        told = isinstance(error, Terminated)
        print(
            f"harness: {'told to end' if told else 'interrupted'}; run the same command again to resume",
            file=sys.stderr,
        )
        return TERMINATED if told else INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        _drop_output()
        return DONE
    except (OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno not in SURROUNDINGS:
            raise
        return _refused_by_machine(error, args)
    return code or DONE


def _refused_by_machine(error: OSError | MemoryError, args: argparse.Namespace) -> int:
    """Say what the machine did not give."""
    if isinstance(error, OSError):
        said = f"cannot write or read {error.filename or 'a file'}: {error.strerror}{_elsewhere(error, args)}"
    else:
        said = (
            "out of memory; what was finished is stored, and the same command goes on from there; fix: end other work, "
        )
        said += "use --workers 1, or have fewer series"
    print(f"harness: {said}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    return REFUSED


def _elsewhere(error: OSError, args: argparse.Namespace) -> str:
    """What to do where the home folder may only be read."""
    told = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and isinstance(error.filename, str)
    if not told or not Path(error.filename).is_relative_to(home_of(args).root):
        return ""
    return "; fix: name a home folder in which you may write (--home DIR, HARNESS_HOME=DIR), or work on a copy of it"


def _drop_output() -> None:
    """Let go of what standard output could not take: Python would try again when it ends, with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse_unfinished(args: argparse.Namespace) -> None:
    """Say of a sealing that was interrupted that it comes first."""
    from harness.record.seals import refuse_unfinished

    refuse_unfinished(home_of(args))


def _enter(error: SealedError, args: argparse.Namespace) -> None:
    """Enter a refusal in the ledger of the home it is about."""
    from harness.record.ledger import refuse

    refuse(home_of(args), error, args.command)


def _parser() -> argparse.ArgumentParser:
    home = argparse.ArgumentParser(add_help=False)
    home.add_argument("--home", metavar="DIR", help="home folder (default: HARNESS_HOME, else .harness)")
    top = argparse.ArgumentParser(
        prog="harness",
        description="Backtests forecasts on the data as they were known at the time.",
        epilog="harness VERB --help explains a verb.",
    )
    top.add_argument("--version", action="version", version=f"harness {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(name: str, verb: Verb, text: str) -> argparse.ArgumentParser:
        parser = verbs.add_parser(name, parents=[home], help=text, description=f"{text[0].upper()}{text[1:]}.")
        parser.set_defaults(verb=verb, command=name)
        return parser

    add_data_verbs(add)
    add_run_verbs(add)
    add_record_verbs(add)
    add_holdout_verbs(add)
    add_search_verbs(add)
    return top


if __name__ == "__main__":
    sys.exit(main())
