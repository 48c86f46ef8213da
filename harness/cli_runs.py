"""The verbs of the command `harness` that plan, run and audit experiments, and show the runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn, Self

from harness.cli_shared import (
    DONE,
    EXPERIMENT_HELP,
    FAILED,
    RUN_HELP,
    WORKERS_HELP,
    Add,
    experiment_file,
    home_of,
    path_named,
    print_ingest,
    print_sealed,
)
from harness.core.errors import UserError

if TYPE_CHECKING:
    from tqdm import tqdm

    from harness.experiment.launch import Prepared


def add_run_verbs(add: Add) -> None:
    """Add the verbs to a parser.

    Args:
        add: makes the parser of a verb from its name, what it calls, and its help.
    """
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
    parser.add_argument("--workers", metavar="N", type=int, help=WORKERS_HELP)
    parser.add_argument("--quiet", action="store_true", help="do not say on stderr what is being done")


def _plan(args: argparse.Namespace) -> None:
    from harness.backtest.data_facts import input_facts, origin_facts, public_shares
    from harness.backtest.planning import build_plan
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
    from harness.experiment.launch import launch
    from harness.report.profile import computed, profile_text
    from harness.report.run import Run
    from harness.report.summary import summary

    home, where = home_of(args), Where(args.engine, args.engine_address, args.engine_store, args.memory)
    workers = _at_least_one(args.workers)
    with _Bar(shown=args.progress or (sys.stderr.isatty() and not args.quiet)) as bar:
        run_id = launch(
            experiment_file(args.experiment),
            home,
            workers=workers,
            where=where,
            progress=bar.move,
            begun=_print_prepared,
            tell=_say,
        )
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
