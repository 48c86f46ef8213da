"""The verbs of the command `harness` that look into records: where a number came from, and whether it still holds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli_shared import FAILED, RUN_HELP, WORKERS_HELP, Add, home_of, path_named
from harness.core.errors import UserError


def add_record_verbs(add: Add) -> None:
    """Add the verbs to a parser.

    Args:
        add: makes the parser of a verb from its name, what it calls, and its help.
    """
    _add_lineage(add("lineage", _lineage, "trace a run, or one forecast, back to the published values and raw files"))
    _add_reproduce(add("reproduce", _reproduce, "derive a recorded run again and compare every bit with the record"))
    _add_sql(add("sql", _sql, "answer a question in SQL over the archive and all runs; nothing can be written"))
    _add_archive(add("archive", _archive, "put the archive into one file for another machine, or take it out of one"))
    card = add("model-card", _model_card, "print a model of a run as a page of Markdown")
    card.add_argument("run", metavar="RUN", help=RUN_HELP)
    card.add_argument(
        "--model",
        metavar="NAME",
        default="",
        help="the model (default: the claimed one of an opening, else the best that is no rival)",
    )
    export = add("export", _export, "write every forecast, error and score by series of a run as Parquet files")
    export.add_argument("run", metavar="RUN", help=RUN_HELP)
    export.add_argument(
        "--to", metavar="FOLDER", required=True, type=path_named, help="where to; older files are replaced"
    )
    add("verify", _verify, "check every recorded file against its hash")


def _add_lineage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--forecast",
        metavar=("SERIES", "ORIGIN", "HORIZON"),
        nargs=3,
        help="one forecast: series id (or its beginning), origin (day, instant, or their beginning), periods ahead",
    )
    parser.add_argument(
        "--model", metavar="NAME", default="", help="whose forecast (default: the best that is no rival)"
    )


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--models", metavar="NAME", nargs="+", help="only these models, and the rivals (default: all)")
    parser.add_argument(
        "--folder", metavar="DIR", default="", help="where the experiment's own modules are now (default: as recorded)"
    )
    parser.add_argument("--workers", metavar="N", type=int, help=WORKERS_HELP)


def _add_sql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", metavar="SELECT", nargs="?", help="one SELECT; without it the views are listed")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    form.add_argument("--json", action="store_true", help="print a list of JSON objects")
    parser.add_argument("--rows", metavar="N", type=int, default=200, help="rows at most; 0 = all (default: 200)")


def _sql(args: argparse.Namespace) -> None:
    from harness.data.archive.sql import ask, view_columns
    from harness.report.text import table

    if args.rows < 0:
        raise UserError("rows are counted", value=f"--rows {args.rows}", rule="0 (all) or more")
    if args.question is None:
        print(
            table(["view", "columns"], [[name, ", ".join(mine)] for name, mine in view_columns(home_of(args)).items()])
        )
        return
    found = ask(home_of(args), args.question, rows=args.rows or None)
    if args.csv:
        print(found.frame.write_csv(), end="")
    elif args.json:
        print(found.frame.write_json())
    else:
        print(table(found.frame.columns, [[_shown(value) for value in row] for row in found.frame.iter_rows()]))
    if found.cut:
        print(f"harness: cut after {args.rows} rows; --rows 0 gives all", file=sys.stderr)
    if found.note:
        print(f"harness: {found.note}", file=sys.stderr)


def _shown(value: object) -> str:
    return "-" if value is None else " ".join(str(value).split())


def _add_archive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["export", "import"], help="write the file, or read it into the home folder")
    parser.add_argument("file", metavar="FILE", type=path_named, help="the file")
    parser.add_argument(
        "--runs", action="store_true", help="export also all finished runs, with cells, fits, searches and audits"
    )


def _archive(args: argparse.Namespace) -> None:
    from harness.data.archive.transfer import export_archive, import_archive
    from harness.record.named import to_write

    if args.what == "export":
        done, said = export_archive(home_of(args), to_write(args.file), runs=args.runs), f"wrote {args.file}"
    else:
        done = import_archive(home_of(args), args.file)
        said = "this very archive was there already" if done.already else f"imported {args.file}"
    rows = ", ".join(f"{name} {count}" for name, count in done.rows.items() if count)
    print(f"{said}\n  rows: {rows}\n  raw files: {done.raw}\n  runs: {', '.join(done.runs) or 'none'}")
    print(f"  state {done.state}\n  change file {done.change_file}")


def _lineage(args: argparse.Namespace) -> None:
    from harness.report.lineage import lineage_text
    from harness.report.run import Run

    series, origin, step = args.forecast or ("", "", "0")
    if not step.lstrip("-").isdecimal():
        raise UserError("a horizon is counted in periods", value=step, rule="a whole number", fix="for example 1")
    if args.model and not series:
        raise UserError("which forecast of the model?", value=args.model, fix="add --forecast SERIES ORIGIN HORIZON")
    print(lineage_text(Run(args.run, home_of(args)).lineage(series, origin, int(step), model=args.model)))


def _reproduce(args: argparse.Namespace) -> int | None:
    from harness.experiment.launch import reproduced
    from harness.report.reproduction import reproduction_text

    folder = str(Path(args.folder).absolute()) if args.folder else ""
    done = reproduced(args.run, home_of(args), models=args.models, folder=folder, workers=args.workers)
    print(reproduction_text(done))
    return None if done.reproduced else FAILED


def _model_card(args: argparse.Namespace) -> None:
    from harness.report.run import Run

    print(Run(args.run, home_of(args)).model_card(args.model), end="")


def _export(args: argparse.Namespace) -> None:
    from harness.report.exported import reservation
    from harness.report.run import Run

    run = Run(args.run, home_of(args))
    for name, rows in run.export(args.to).items():
        print(f"wrote {args.to / name}, {rows} rows")
    said = reservation(run)
    if said:
        print(f"harness: {said}", file=sys.stderr)


def _verify(args: argparse.Namespace) -> int | None:
    from harness.report.verify import verification_text, verify

    done = verify(home_of(args))
    print(verification_text(done))
    return None if done.intact else FAILED
