"""The command `harness`: thin verbs; every one of them is also a `make` target of the same name."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from harness.cli_holdout import add_holdout_verbs
from harness.cli_records import add_record_verbs
from harness.core.errors import SealedError, UnknownNameError, UserError

if TYPE_CHECKING:
    from tqdm import tqdm

    from harness.data.archive import Archive
    from harness.data.ingest import IngestReport
    from harness.data.ingest.reports import SourceReport
    from harness.experiment.launch import Prepared
    from harness.record.home import Home

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
UNHINDERED = ("holdout seal", "holdout roll", "holdout status", "ledger verify", "new", "datasets")
"""Verbs that can be used while a sealing or a roll is unfinished."""
EXPERIMENT_HELP = "name of experiments/NAME.toml, or the path of an experiment file"
DATASET_HELP = "name of a dataset folder (see `harness datasets`), or its path"
RUN_HELP = "run id, or its unambiguous beginning (see `harness runs`)"
LAGS = 100
"""Series that `harness lags` measures unless all are asked for."""
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
        0 done; 1 an audit failed; 2 refused, with one message on stderr; 130 interrupted. Anything else that goes wrong
        is a bug of the harness and is raised (Python then ends with 1, and a traceback).
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as end:  # argparse has said what is wrong
        return int(end.code or DONE)
    verb: Callable[[argparse.Namespace], int | None] = args.verb
    try:
        if args.command not in UNHINDERED:
            _refuse_unfinished(args)
        code = verb(args)
        sys.stdout.flush()
    except UserError as error:
        if isinstance(error, SealedError):
            _enter(error, args)
        print(f"harness: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("harness: interrupted; run the same command again to resume", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.errno not in SURROUNDINGS:
            raise
        print(f"harness: cannot write or read {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return REFUSED
    return code or DONE


def _refuse_unfinished(args: argparse.Namespace) -> None:
    """Say of a sealing that was interrupted that it comes first."""
    from harness.record.seals import refuse_unfinished

    refuse_unfinished(_home(args))


def _enter(error: SealedError, args: argparse.Namespace) -> None:
    """Enter a refusal in the ledger of the home it is about."""
    from harness.record.ledger import refuse

    refuse(_home(args), error, args.command)


def _parser() -> argparse.ArgumentParser:
    home = argparse.ArgumentParser(add_help=False)
    home.add_argument("--home", metavar="DIR", help="home folder (default: HARNESS_HOME, else .harness)")
    top = argparse.ArgumentParser(
        prog="harness",
        description="Backtests forecasts on the data as they were known at the time.",
        epilog="harness VERB --help explains a verb.",
    )
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(name: str, verb: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        parser = verbs.add_parser(name, parents=[home], help=text, description=f"{text[0].upper()}{text[1:]}.")
        parser.set_defaults(verb=verb, command=name)
        return parser

    new = add("new", _new, "describe your own data: writes datasets/NAME/ and experiments/NAME.toml")
    new.add_argument("name", metavar="NAME", help="name of the new dataset and experiment")
    new.add_argument("--data", metavar="FILE", required=True, type=Path, help="CSV or Parquet file, long or wide")
    add("datasets", _datasets, "list the datasets")
    ingest = add("ingest", _ingest, "read a dataset into the archive; again changes nothing")
    ingest.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    lags = add("lags", _lags, "show how late and how revised each series of a dataset is")
    lags.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    lags.add_argument("--all", action="store_true", help=f"measure every series (default: the first {LAGS} by name)")
    plan = add("plan", _plan, "show what an experiment would know, train on and purge at each origin; runs no model")
    plan.add_argument("experiment", metavar="EXPERIMENT", help=EXPERIMENT_HELP)
    plan.add_argument("--all", action="store_true", help="print every origin, however many there are")
    _add_backtest(add("backtest", _backtest, "run an experiment, or resume it, and print its leaderboard"))
    _add_audit(add("audit", _audit, "prove that nothing reaches a forecast before it is public, or show where it does"))
    _add_data(
        add(
            "data",
            _data,
            "show what an ingest did to a dataset: its cleaning, its assertions, rows that failed, ingests refused",
        )
    )
    add("runs", _runs, "list the runs so far")
    show = add("show", _show, "print the leaderboard and record of a run")
    show.add_argument("run", metavar="RUN", help=RUN_HELP)
    show.add_argument("--profile", action="store_true", help="print where its time went instead")
    report = add("report", _report, "write a run as one self-contained HTML page")
    report.add_argument("run", metavar="RUN", help=RUN_HELP)
    report.add_argument("--out", metavar="FILE", type=Path, help="the page (default: report.html in the run's folder)")
    add_record_verbs(add)
    add_holdout_verbs(add)
    _add_searches(add)
    return top


Add = Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser]


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
    parser.add_argument("--workers", metavar="N", type=int, help="worker processes (default: as many as cores allow)")
    parser.add_argument(
        "--memory",
        metavar="GB",
        type=float,
        help="memory to keep to: large panels are walked in blocks (default: HARNESS_MEMORY, else what is free)",
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
    parser.add_argument("--origins", metavar="N", default="5", help="sampled origins, or `all` (default: 5)")
    parser.add_argument(
        "--premium", action="store_true", help="also: what each leak would have pretended (says its price)"
    )
    parser.add_argument("--stress", metavar="DAYS", type=int, default=0, help="also: every lag so many days longer")
    parser.add_argument(
        "--placebo", action="store_true", help="also: where nothing can be found, nobody may find anything"
    )
    parser.add_argument("--workers", metavar="N", type=int, help="worker processes (default: as many as cores allow)")
    parser.add_argument("--quiet", action="store_true", help="do not say on stderr what is being done")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="{status,failures}",
        choices=("status", "failures"),
        help="status: batches, steps, assertions, refused ingests; failures: rows failed, touched or not taken",
    )
    parser.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    parser.add_argument("--all", action="store_true", help="print every row that failed, however many there are")


def _new(args: argparse.Namespace) -> None:
    from harness.data.scaffold import new_dataset

    written = new_dataset(args.name, args.data, Path())
    for path in written:
        print(f"wrote {path}")
    print(f"next: read datasets/{args.name}/dataset.toml and fill in what it asks for, then")
    print(f"      harness ingest {args.name}; harness plan {args.name}; harness backtest {args.name}")


def _datasets(args: argparse.Namespace) -> None:
    from harness.data.dataset import load_dataset
    from harness.report.text import table

    defined = {series.id for series in _archive(args).series()} if _home(args).archive.exists() else set()
    rows = []
    for folder in _dataset_folders():
        try:
            dataset = load_dataset(folder)
        except UserError as error:
            rows.append([folder.name, "-", "-", str(error).splitlines()[0]])
            continue
        held = "yes" if all(series.id in defined for series in dataset.series) else "no"
        rows.append([dataset.name, str(len(dataset.series)), held, dataset.title or dataset.origin])
    print(table(["dataset", "series", "ingested", "title"], rows))


def _ingest(args: argparse.Namespace) -> None:
    from harness.data.ingest import ingest

    home = _home(args)
    archive = _archive(args)
    report = ingest(_dataset_folder(args.dataset), archive, raw_dir=home.raw)
    _print_ingest(report)
    if report.set_aside:
        _print_reasons(archive, report.dataset)


def _data(args: argparse.Namespace) -> None:
    from harness.data.archive import Archive
    from harness.data.dataset import load_dataset
    from harness.report.cleaning import failures_text, recorded_datasets, status_text

    archive = Archive.open(_home(args).archive, read_only=True)
    try:
        name = load_dataset(_dataset_folder(args.dataset)).name
    except UnknownNameError:  # of an archive that was imported there is no folder, and none is needed
        if args.dataset not in recorded_datasets(archive):
            raise
        name = args.dataset
    if args.what == "status":
        print(status_text(archive, name))
    else:
        print(failures_text(archive, name, everything=args.all))
    _print_sealed(args)


def _lags(args: argparse.Namespace) -> None:
    from harness.data.dataset import load_dataset
    from harness.data.ingest import ingest, lacks, untold
    from harness.data.lag_table import lag_table
    from harness.experiment.launch import not_looked_at
    from harness.report.lags import lags_text

    archive = _archive(args)
    dataset = load_dataset(_dataset_folder(args.dataset))
    if lacks(archive, dataset):
        report = ingest(dataset.folder, archive, raw_dir=_home(args).raw)
        if not report.already:
            _print_ingest(report)
    elif untold(archive, dataset):
        print(not_looked_at(dataset.name))
    first = None if args.all else LAGS
    found = lag_table(archive, dataset.name, changes_dir=_home(args).changes, first=first)
    print(lags_text(found, 0 if args.all else max(0, len(dataset.series) - LAGS)))
    _print_sealed(args)


def _plan(args: argparse.Namespace) -> None:
    from harness.backtest.data_facts import input_facts, origin_facts, public_shares
    from harness.backtest.splits import build_plan
    from harness.data.changes import ChangeFile
    from harness.experiment.launch import prepare
    from harness.record.working import working
    from harness.report.plan_table import plan_text

    with working(_home(args)):
        ready = prepare(_experiment_file(args.experiment), _home(args))
        _print_prepared(ready)
        changes = ChangeFile.open(ready.changes)
        plan = build_plan(ready.experiment, changes)
        inputs, origins = input_facts(plan, changes), origin_facts(plan, changes)
    print(plan_text(ready.experiment, inputs, origins, public_shares(plan, changes), everything=args.all))


def _print_prepared(ready: Prepared) -> None:
    for report in ready.ingested:
        _print_ingest(report)
    ready.tell(print)
    sys.stdout.flush()  # long work follows


def _print_sealed(args: argparse.Namespace) -> None:
    """Say below a listing what is sealed, and so not in it."""
    from harness.data.archive.refused import sealed_note

    note = sealed_note(_home(args))
    if note:
        print(note.replace("in no answer", "not in this list", 1))


def _backtest(args: argparse.Namespace) -> None:
    from harness.backtest.engines import Where
    from harness.backtest.runner import execute
    from harness.experiment.launch import prepare
    from harness.record.working import working
    from harness.report.profile import profile_text
    from harness.report.run import Run
    from harness.report.summary import summary

    home, where = _home(args), Where(args.engine, args.engine_address, args.engine_store, args.memory)
    shown = args.progress or (sys.stderr.isatty() and not args.quiet)
    with working(home):
        ready = prepare(_experiment_file(args.experiment), home)
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
    run = Run(run_id, home)
    print(summary(run))
    if args.profile:
        print(f"\n{profile_text(run.manifest)}")


def _audit(args: argparse.Namespace) -> int:
    from harness.experiment.launch import audited
    from harness.record.audits import read_audit
    from harness.report.audit import audit_text
    from harness.studies.audit import Asked

    home = _home(args)
    if args.stress < 0:
        raise UserError("lags are stressed by days", value=f"--stress {args.stress}", rule="0 or more")
    asked = Asked(_origins(args.origins), args.placebo, args.premium, args.stress, _at_least_one(args.workers))
    done = audited(_experiment_file(args.experiment), home, asked=asked, say=None if args.quiet else _say, tell=print)
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
        raise UserError("origins are counted", value=f"--origins {text}", rule="a number of at least 2, or all")
    return int(text)


def _at_least_one(workers: int | None) -> int | None:
    if workers is not None and workers < 1:
        raise UserError("no worker at all", value=f"--workers {workers}", rule="at least 1", fix="use --workers 1")
    return workers


def _runs(args: argparse.Namespace) -> None:
    from harness.record.runs import list_runs, plan_opened
    from harness.report.text import table

    found = list_runs(_home(args))
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
        else "no runs yet: harness backtest EXPERIMENT"
    )
    _print_sealed(args)


def _show(args: argparse.Namespace) -> None:
    from harness.report.profile import profile_text
    from harness.report.run import Run
    from harness.report.summary import summary

    run = Run(args.run, _home(args))
    print(profile_text(run.manifest) if args.profile else summary(run))


def _report(args: argparse.Namespace) -> None:
    from harness.report.run import Run

    print(Run(args.run, _home(args)).report(args.out))


def _spaces(args: argparse.Namespace) -> None:
    from harness.record.trials import searches_of
    from harness.report.run import Run
    from harness.report.search_text import diff_text, spaces_text
    from harness.report.searches import spaces_diff

    home = _home(args)
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

    print(trials_text(Run(args.run, _home(args)), model=args.model, everything=args.all))


def _effort(args: argparse.Namespace) -> None:
    from harness.experiment.launch import target_fingerprints
    from harness.report.search_text import effort_text

    home = _home(args)
    file = _experiment_file(args.target)
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


def _home(args: argparse.Namespace) -> Home:
    from harness.record.home import open_home

    return open_home(args.home)


def _archive(args: argparse.Namespace) -> Archive:
    from harness.data.archive import Archive

    return Archive.open(_home(args).archive)


def _experiment_file(name: str) -> Path:
    """The file of an experiment: a path as it is, a bare name in ./experiments."""
    path = Path(name)
    return path if path.suffix == ".toml" or path.parent != Path() else Path("experiments") / f"{name}.toml"


def _dataset_folder(name: str) -> Path:
    from harness.data.dataset import find_dataset

    path = Path(name)
    if (path / "dataset.toml").is_file():
        return path.resolve()
    return find_dataset(name)


def _dataset_folders() -> list[Path]:
    roots = [Path("datasets"), Path(__file__).parents[1] / "datasets"]
    found = {path.parent.name: path.parent for root in reversed(roots) for path in root.glob("*/dataset.toml")}
    return [found[name] for name in sorted(found)]


def _print_reasons(archive: Archive, dataset: str) -> None:
    """Why rows of the newest batch were set aside, counted."""
    aside = archive.set_aside()
    newest = aside.filter(aside["batch"] == aside["batch"].max())
    for reason, rows in newest.group_by("reason").len().sort("len", descending=True).head(5).iter_rows():
        print(f"  {rows} rows: {reason}")
    print(f"  every row and its reason: harness data failures {dataset}")


def _print_ingest(report: IngestReport) -> None:
    if report.already:
        print(f"{report.dataset}: nothing new")
        return
    print(f"{report.dataset}: {len(report.series)} series, {report.rows_in} rows in, {report.kept} new")
    for one in report.sources:
        _print_source(one)
    if report.uncompared:
        print(f"  {report.uncompared} (too few; it is entered in the ledger, and results of it say so)")


def _print_source(one: SourceReport) -> None:
    from harness.report.cleaning import RESTAMPED

    if one.sealed:
        print(f"  {one.label}: {one.sealed} rows sealed")
    if one.ahead:
        print(f"  {one.label}: {one.ahead} rows, public before the seal, of periods that end after it stay readable")
    if one.restamped:
        print(f"  {one.label}: {one.restamped} {RESTAMPED}")
    if one.set_aside:
        print(f"  {one.label}: {one.set_aside} rows set aside")
    for name, touched in one.steps:
        print(f"  {one.label}: {name}: {touched} rows touched")
    for name, severity, verdict, failed in one.assertions:
        if verdict != "passed":
            print(f"  {one.label}: {name} ({severity}): {verdict}" + (f", {failed} rows" if failed else ""))
    for name, rows in one.undeclared:
        print(f"  {one.label}: {name!r} is not declared, its {rows} rows stay in the raw input only")


if __name__ == "__main__":
    sys.exit(main())
