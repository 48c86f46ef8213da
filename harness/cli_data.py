"""The verbs of the command `harness` for datasets: describing, reading in, and what became of the rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli_shared import Add, archive_of, home_of, path_named, print_ingest, print_sealed, told
from harness.core.errors import UnknownNameError, UserError

if TYPE_CHECKING:
    from harness.data.archive import Archive

DATASET_HELP = "name of a dataset folder (see `harness datasets`), or its path"
LAGS = 100
"""Series that `harness lags` measures unless all are asked for."""


def add_data_verbs(add: Add) -> None:
    """Add the verbs to a parser.

    Args:
        add: makes the parser of a verb from its name, what it calls, and its help.
    """
    new = add("new", _new, "describe your own data: writes datasets/NAME/ and experiments/NAME.toml")
    new.add_argument("name", metavar="NAME", help="name of the new dataset and experiment")
    new.add_argument("--data", metavar="FILE", required=True, type=path_named, help="CSV or Parquet file, long or wide")
    add("datasets", _datasets, "list the datasets")
    ingest = add("ingest", _ingest, "read a dataset into the archive; again changes nothing")
    ingest.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    lags = add("lags", _lags, "show how late and how revised each series of a dataset is")
    lags.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    lags.add_argument("--all", action="store_true", help=f"measure every series (default: the first {LAGS} by name)")
    said = "show what an ingest did to a dataset: its cleaning, its assertions, rows that failed, ingests refused"
    _add_data(add("data", _data, said))


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

    with told(f"reading {args.data.name}"):
        written = new_dataset(args.name, args.data, Path())
    for path in written.paths:
        print(f"wrote {path}")
    if written.looked_at:
        print(f"its keys were {written.looked_at}: what other rows hold may need more")
    print(f"next: read datasets/{args.name}/dataset.toml and fill in what it asks for, then")
    print(f"      harness ingest {args.name}; harness plan {args.name}; harness backtest {args.name}")


def _datasets(args: argparse.Namespace) -> None:
    from harness.data.dataset import load_dataset
    from harness.report.text import table

    defined = {series.id for series in archive_of(args).series()} if home_of(args).archive.exists() else set()
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
    from harness.record.memory import memory_limit

    memory_limit()  # a setting that is none is no fault of the dataset
    home = home_of(args)
    archive = archive_of(args)
    folder = _dataset_folder(args.dataset)
    with told(f"taking in {folder.name}"):
        report = ingest(folder, archive, raw_dir=home.raw)
    print_ingest(report)
    if report.set_aside:
        _print_reasons(archive, report.dataset)


def _data(args: argparse.Namespace) -> None:
    from harness.data.archive import Archive
    from harness.data.dataset import load_dataset
    from harness.report.cleaning import failures_text, recorded_datasets, status_text

    archive = Archive.open(home_of(args).archive, read_only=True)
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
    print_sealed(args)


def _lags(args: argparse.Namespace) -> None:
    from harness.data.dataset import load_dataset
    from harness.data.ingest import ingest, lacks, untold
    from harness.data.lag_table import lag_table
    from harness.experiment.launch import not_looked_at
    from harness.report.lags import lags_text

    archive = archive_of(args)
    dataset = load_dataset(_dataset_folder(args.dataset))
    if lacks(archive, dataset):
        report = ingest(dataset.folder, archive, raw_dir=home_of(args).raw)
        if not report.already:
            print_ingest(report)
    elif untold(archive, dataset):
        print(not_looked_at(dataset.name))
    first = None if args.all else LAGS
    found = lag_table(archive, dataset.name, changes_dir=home_of(args).changes, first=first)
    print(lags_text(found, 0 if args.all else max(0, len(dataset.series) - LAGS)))
    print_sealed(args)


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
    if aside.is_empty():
        return
    newest = aside.filter(aside["batch"] == aside["batch"].max())
    for reason, rows in newest.group_by("reason").len().sort("len", descending=True).head(5).iter_rows():
        print(f"  {rows} rows: {reason}")
    print(f"  every row and its reason: harness data failures {dataset}")
