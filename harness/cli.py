"""The command `harness`: thin verbs; every one of them is also a `make` target of the same name."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from harness import __version__
from harness.cli_data import add_data_verbs
from harness.cli_ending import TERMINATED, Terminated, terminable
from harness.cli_holdout import add_holdout_verbs
from harness.cli_records import add_record_verbs
from harness.cli_shared import (
    DONE,
    FAILED,
    RUN_HELP,
    Add,
    Verb,
    experiment_file,
    home_of,
    path_named,
    print_ingest,
    print_sealed,
)
from harness.core.errors import SealedError, UserError

if TYPE_CHECKING:
    from tqdm import tqdm

    from harness.experiment.launch import Prepared

REFUSED, INTERRUPTED = 2, 130
UNHINDERED = ("holdout seal", "holdout roll", "holdout status", "ledger verify", "new", "datasets")
"""Verbs that can be used while a sealing or a roll is unfinished."""
EXPERIMENT_HELP = "name of experiments/NAME.toml, or the path of an experiment file"
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
    plan = add("plan", _plan, "show what an experiment would know, train on and purge at each origin; runs no model")
    plan.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)
    plan.add_argument("--all", action="store_true", help="print every origin, however many there are")
    _add_backtest(add("backtest", _backtest, "run an experiment, or resume it, and print its leaderboard"))
    _add_audit(add("audit", _audit, "prove that nothing reaches a forecast before it is public, or show where it does"))
    add("runs", _runs, "list the runs so far")
    show = add("show", _show, "print the leaderboard and record of a run")
    show.add_argument("run", metavar="RUN", help=RUN_HELP)
    show.add_argument("--profile", action="store_true", help="print where its time went instead")
    report = add("report", _report, "write a run as one self-contained HTML page")
    report.add_argument("run", metavar="RUN", help=RUN_HELP)
    report.add_argument(
        "--out", metavar="FILE", type=path_named, help="the page (default: report.html in the run's folder)"
    )
    add_record_verbs(add)
    add_holdout_verbs(add)
    _add_searches(add)
    return top


def _add_searches(add: Add) -> None:
    spaces = add("spaces", _spaces, "show what a run searched, or (diff RUN1 RUN2) what the second searched otherwise")
    spaces.add_argument("runs", metavar="RUN", nargs="+", help=f"{RUN_HELP}; or the word diff and two runs")
    trials = add(
        "trials", _trials, "show the best trial of every search of a run beside its defaults, or (--all) every trial"
    )
    trials.add_argument("run", metavar="RUN", help=RUN_HELP)
    trials.add_argument("--model", metavar="NAME", default="", help="of this model only")
    trials.add_argument(
        "--all",
        action="store_true",
        help="print every trial, failed ones too, with fold values, time and reason",
    )
    effort = add("effort", _effort, "count what was searched and looked at on a target so far")
    effort.add_argument("target", metavar="TARGET", help="a series, or an experiment whose target is meant")


def _add_backtest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="worker processes, or threads that compute beside one another (default: as many as cores allow)",
    )
    parser.add_argument(
        "--memory",
        metavar="GB",
        type=float,
        help="memory to keep to: files too large for it are read in parts or refused, large panels walked in blocks "
        "(default: HARNESS_MEMORY, else what is free)",
    )
    parser.add_argument(
        "--engine",
        metavar="NAME",
        default="local",
        help="where cells are computed: local, ray or dask (extras of the same names); the bits are the same",
    )
    parser.add_argument(
        "--engine-address", metavar="ADDRESS", default="", help="an existing cluster (default: one of this machine)"
    )
    parser.add_argument(
        "--engine-store",
        metavar="URL",
        default="",
        help="object store for workers that do not see the home folder (file://, s3://, ...)",
    )
    parser.add_argument("--profile", action="store_true", help="also print where the time went")
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument("--quiet", action="store_true", help="no progress bar")
    noise.add_argument("--progress", action="store_true", help="a progress bar even when stderr is no terminal")


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)
    parser.add_argument(
        "--origins", metavar="N", default="5", help="sampled origins, 2 at least, or `all` (default: 5)"
    )
    parser.add_argument(
        "--premium", action="store_true", help="also: what each leak would have pretended (says its price)"
    )
    parser.add_argument("--stress", metavar="DAYS", type=int, default=0, help="also: every lag so many days longer")
    parser.add_argument(
        "--placebo", action="store_true", help="also: where nothing can be found, nobody may find anything"
    )
    parser.add_argument("--workers", metavar="N", type=int, help="worker processes (default: as many as cores allow)")
    parser.add_argument("--quiet", action="store_true", help="do not say on stderr what is being done")


def _plan(args: argparse.Namespace) -> None:
    from harness.backtest.data_facts import input_facts, origin_facts, public_shares
    from harness.backtest.splits import build_plan
    from harness.data.changes import ChangeFile
    from harness.experiment.launch import prepare
    from harness.record.working import working
    from harness.report.plan_table import plan_text

    with working(home_of(args)):
        ready = prepare(experiment_file(args.experiment), home_of(args))
        _print_prepared(ready)
        changes = ChangeFile.open(ready.changes)
        plan = build_plan(ready.experiment, changes)
        inputs, origins = input_facts(plan, changes), origin_facts(plan, changes)
    print(plan_text(ready.experiment, inputs, origins, public_shares(plan, changes), everything=args.all))


def _print_prepared(ready: Prepared) -> None:
    for report in ready.ingested:
        print_ingest(report)
    ready.tell(print)
    sys.stdout.flush()  # long work follows


def _backtest(args: argparse.Namespace) -> None:
    from harness.backtest.engines import Where
    from harness.backtest.runner import execute
    from harness.experiment.launch import prepare, tell_memory
    from harness.record.memory import within
    from harness.record.platform import threads_within
    from harness.record.working import working
    from harness.report.profile import computed, profile_text
    from harness.report.run import Run
    from harness.report.summary import summary

    home, where = home_of(args), Where(args.engine, args.engine_address, args.engine_store, args.memory)
    _at_least_one(args.workers)
    shown = args.progress or (sys.stderr.isatty() and not args.quiet)
    with working(home), within(args.memory), threads_within(args.workers):
        ready = prepare(experiment_file(args.experiment), home)
        _print_prepared(ready)
        with _Bar(shown=shown) as bar:
            run_id = execute(
                ready.experiment,
                ready.changes,
                home,
                workers=args.workers,
                where=where,
                progress=bar.move,
                batches=ready.batches,
            )
    tell_memory(home, run_id, _say)
    run = Run(run_id, home)
    print(summary(run))
    if args.engine != "local" and not computed(run.manifest):
        print(f"\nevery cell was stored already: --engine {args.engine} had nothing to compute")
    if args.profile:
        print(f"\n{profile_text(run.manifest)}")


def _audit(args: argparse.Namespace) -> int:
    from harness.experiment.launch import audited
    from harness.record.audits import read_audit
    from harness.report.audit import audit_text
    from harness.studies.audit import Asked

    home = home_of(args)
    if args.stress < 0:
        raise UserError("lags are stressed by days", value=f"--stress {args.stress}", rule="0 or more")
    asked = Asked(_origins(args.origins), args.placebo, args.premium, args.stress, _at_least_one(args.workers))
    done = audited(experiment_file(args.experiment), home, asked=asked, say=None if args.quiet else _say, tell=print)
    record = read_audit(home, done.run_id)
    if record is not None:
        print(audit_text(record, home))
    return DONE if done.passed else FAILED


def _say(text: str) -> None:
    print(f"harness: {text}", file=sys.stderr, flush=True)


def _origins(text: str) -> int | None:
    """How many origins: a number of at least 2, or `all` (None)."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 2:
        raise UserError(
            "an audit compares several origins", value=f"--origins {text}", rule="a number of at least 2, or all"
        )
    return int(text)


def _at_least_one(workers: int | None) -> int | None:
    if workers is not None and workers < 1:
        raise UserError("no worker at all", value=f"--workers {workers}", rule="at least 1", fix="use --workers 1")
    return workers


def _runs(args: argparse.Namespace) -> None:
    from harness.record.runs import list_runs, plan_opened
    from harness.report.text import table

    found = list_runs(home_of(args))
    rows = [
        [
            str(run.get("run_id", ""))[:12],
            str(run.get("name", "")),
            str(run.get("status", "")),
            "opening" if plan_opened(run) else "",
            str(run.get("started_at")),
        ]
        for run in found
    ]
    print(
        table(["run", "experiment", "status", "holdout", "started"], rows)
        if rows
        else f"no runs yet in {home_of(args).root}: harness backtest EXPERIMENT"
    )
    for run in found:
        if run.get("told"):
            print(f"{str(run.get('run_id'))[:12]}: {run['told']}")
    print_sealed(args)


def _show(args: argparse.Namespace) -> None:
    from harness.record.runs import refuse_damaged
    from harness.report.profile import profile_text
    from harness.report.run import Run
    from harness.report.summary import summary

    run = Run(args.run, home_of(args))
    if args.profile:
        print(profile_text(run.manifest))
        return
    print(summary(run), flush=True)
    refuse_damaged(run.files, run.manifest)


def _report(args: argparse.Namespace) -> None:
    from harness.report.run import Run

    print(Run(args.run, home_of(args)).report(args.out))


def _spaces(args: argparse.Namespace) -> None:
    from harness.record.trials import searches_of
    from harness.report.run import Run
    from harness.report.search_text import diff_text, spaces_text
    from harness.report.searches import spaces_diff

    home = home_of(args)
    if args.runs[0] == "diff":
        if len(args.runs) != 3:
            raise UserError(
                "spaces diff compares two runs",
                value=f"{len(args.runs) - 1} run(s): {' '.join(args.runs[1:]) or 'none'}",
                fix="harness spaces diff RUN1 RUN2",
            )
        before, after = (searches_of(Run(name, home).manifest, home) for name in args.runs[1:])
        print(diff_text(spaces_diff(before, after)))
    elif len(args.runs) == 1:
        print(spaces_text(Run(args.runs[0], home)))
    else:
        raise UserError(
            "the searches of one run at a time",
            value=f"{len(args.runs)} runs: {' '.join(args.runs)}",
            fix="harness spaces RUN; to compare two: harness spaces diff RUN1 RUN2",
        )


def _trials(args: argparse.Namespace) -> None:
    from harness.report.run import Run
    from harness.report.search_text import trials_text

    print(trials_text(Run(args.run, home_of(args)), model=args.model, everything=args.all))


def _effort(args: argparse.Namespace) -> None:
    from harness.experiment.launch import target_fingerprints
    from harness.report.search_text import effort_text

    home = home_of(args)
    file = experiment_file(args.target)
    found = target_fingerprints(file if file.exists() else args.target, home)
    print(effort_text(home, args.target, found))


class _Bar:
    """A progress bar on stderr with cells done and time left, from the first cell on; nothing when not shown."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def move(self, done: int, total: int) -> None:
        """Show that `done` of `total` cells are there."""
        if not self._shown:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="cell", desc="cells", file=sys.stderr, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)


if __name__ == "__main__":
    sys.exit(main())
