"""Our side of the jobs, by the public path: Parquet, `hs.Archive.append`, `hs.backtest`, `run.leaderboard()`.

    python experiments/benchmarks/ours.py rivals C file.parquet [--series 1000] [--origins 12] [--workers 2]

The home folder is a temporary one, so nothing is found ready. The last line printed is the job's report. Of LightGBM
it tells `outside training`: the share of the seconds in which no rows were binned and no trees grown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
from panels import ends, ids, snapshot_origins
from terms import (
    BOOSTING,
    COMPONENTS,
    DAILY,
    HORIZONS,
    LAGS,
    MEANS,
    ORIGINS,
    OUTSIDE,
    PANELS,
    SIMPLE,
    SNAPSHOTS,
    TREES,
    UNITS,
    Panel,
    Report,
    panel_of,
)

import harness as hs
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.record.platform import wait_briefly

TRAINING = ("bin", "train")
"""Stages of a run's profile that are LightGBM's own."""
LOADED = ("harness.data.archive", "harness.experiment.launch", "harness.report.run", "harness.forecast.boosting")
"""What names of `hs` load when they are first used; the clocks of both sides start after imports."""


def main(arguments: list[str]) -> None:
    """Run one job and print its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=sorted(JOBS))
    parser.add_argument("panel", choices=sorted(PANELS))
    parser.add_argument("file", type=Path)
    for name in ("series", "periods", "revisions"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--origins", type=int, default=0, help="0 = as the job has them")
    parser.add_argument("--horizons", type=int, default=HORIZONS, help="of the rivals")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of one fit of LightGBM")
    parser.add_argument("--coded", action="store_true", help="LightGBM is told which series a row is of")
    parser.add_argument("--bins", default="every fit", help="of LightGBM")
    parser.add_argument("--way", choices=sorted(SMOOTHING), default="auto", help="of exponential smoothing")
    parser.add_argument(
        "--once", action="store_true", help="exponential smoothing is estimated at the first origin only"
    )
    parser.add_argument("--packages", type=Path, default=None, help="folder of further packages, looked into last")
    options = parser.parse_args(arguments)
    panel = panel_of(options.panel, series=options.series, periods=options.periods, revisions=options.revisions)
    if options.packages:
        sys.path.append(str(options.packages))
    wait_briefly()  # as every run does before it loads LightGBM
    for name in LOADED:
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        report = Report()
        JOBS[options.job](panel, options, Path(folder), report)
    report.close()


def rivals(panel: Panel, options: argparse.Namespace, home: Path, report: Report) -> None:
    """Naive rivals and their scores, down to the leaderboard."""
    origins = options.origins or ORIGINS
    backtested(experiment(panel, origins, options.horizons), panel, options, home, report)
    report.check[UNITS] = float(panel.series * origins)


def boosting(panel: Panel, options: argparse.Namespace, home: Path, report: Report) -> None:
    """LightGBM one period ahead, fitted again at every origin."""
    threads = min(options.threads, options.workers)
    params: dict[str, object] = {**BOOSTING, "n_estimators": TREES, "num_threads": threads}
    if not options.coded:
        params["series_feature"] = False
    if options.bins != "every fit":
        params["bins"] = options.bins
    model = hs.Recipe("gbm", "lightgbm", params=tuple(sorted(params.items())), features=("own",), functional="mean")
    block = hs.FeatureBlock("own", latest=LAGS[panel.frequency], rolling_mean=MEANS[panel.frequency])
    options.workers //= threads
    asked = experiment(panel, options.origins or ORIGINS, 1, models=(model,), features=(block,))
    backtested(asked, panel, options, home, report)


SMOOTHING: dict[str, tuple[str, dict[str, object]]] = {
    "auto": ("auto_ets", {"components": COMPONENTS, "damped": "no"}),
    "auto-simple": ("auto_ets", {"components": SIMPLE, "damped": "no"}),
    "likelihood": ("ets", {}),
    "likelihood-simple": ("ets", {"seasonal": "none"}),
}
"""Kind and parameters by `--way`; `auto_ets` needs statsforecast, `ets` is statsmodels'."""


def smoothing(panel: Panel, options: argparse.Namespace, home: Path, report: Report) -> None:
    """Exponential smoothing of each series by itself, estimated at every origin or once."""
    kind, params = SMOOTHING[options.way]
    origins = options.origins or ORIGINS
    if kind == "auto_ets":
        import_module("statsforecast.ets")
    params = {**params, "works_on": "level"}  # as the peers; ours would else smooth the changes of a level
    model = hs.Recipe("ets", kind, params=tuple(sorted(params.items())))
    asked = replace(
        experiment(panel, origins, options.horizons, models=(model,)),
        training=hs.Training(refit_every=origins if options.once else 1),
    )
    backtested(asked, panel, options, home, report)
    report.check[UNITS] = float(panel.series * origins)


def experiment(
    panel: Panel,
    origins: int,
    horizons: int,
    *,
    models: tuple[hs.Recipe, ...] = (),
    features: tuple[hs.FeatureBlock, ...] = (),
) -> hs.Experiment:
    """The last origins whose farthest target period is in the panel; at each, the period before is the newest known."""
    last = panel.periods - horizons
    days = ends(panel, panel.periods)[last - origins + 1 : last + 1].tolist()
    return hs.Experiment(
        name="bench",
        target=hs.Target(series=tuple(ids(0, panel.series)), season=panel.season),
        origins=hs.Origins(origins_of(panel, days), first=days[0], last=days[-1]),
        horizons=tuple(range(horizons)),
        features=features,
        models=models,
    )


def origins_of(panel: Panel, days: list[date]) -> hs.Schedule:
    """Every end of a period; days are listed, with those before the first origin to train on."""
    if panel.frequency == DAILY:
        every = ends(panel, panel.periods).tolist()
        return hs.Schedule("dates", dates=tuple(days), pseudo=tuple(day for day in every if day < days[0]))
    return hs.Schedule("month_end")


def backtested(asked: hs.Experiment, panel: Panel, options: argparse.Namespace, home: Path, report: Report) -> hs.Run:
    """From the file to the leaderboard."""
    with report.stage("ingest"):
        archive = ingested(panel, options.file, home)
    with report.stage("backtest"):
        run = hs.backtest(asked, archive, workers=options.workers, home=home)
    with report.stage("leaderboard"):
        run.leaderboard()
    report.check |= overall(run.scores())
    measured = run.manifest["measured"]["models"].get("gbm", {})
    report.check |= {f"gbm seconds in {stage}": seconds for stage, seconds in measured.items()}
    if measured:
        report.check[OUTSIDE] = outside(measured, options.workers, sum(report.seconds.values()))
    return run


def outside(measured: Mapping[str, float], at_once: int, wall: float) -> float:
    """Share of the time in which LightGBM neither binned rows nor grew trees.

    >>> outside({"bin": 1.0, "train": 15.0, "fit": 1.0}, 2, 10.0)
    0.2

    Args:
        measured: seconds of the model by stage, those of all fits added up.
        at_once: fits that ran side by side.
        wall: seconds from the file to the leaderboard.
    """
    own = sum(measured.get(stage, 0.0) for stage in TRAINING)
    return round(1.0 - own / at_once / wall, 4)


def overall(scores: pl.DataFrame) -> dict[str, float]:
    """Scores over all series and horizons, by model and metric: horizons have equally many forecasts."""
    whole = scores.filter(pl.col("series_id").is_null() & pl.col("stretch").is_null())
    rows = whole.group_by("model").agg(
        pl.col("n").sum(),
        pl.col("mae", "mase").mean(),
        pl.col("smape").mean() / 200.0,  # per cent of the mean of both, to a share of their sum
        pl.col("rmse", "rmsse").pow(2).mean().sqrt(),
    )
    return {
        f"{row['model']} {metric}": float(value)
        for row in rows.sort("model").iter_rows(named=True)
        for metric, value in row.items()
        if metric != "model"
    }


def ingested(panel: Panel, file: Path, home: Path) -> hs.Archive:
    """An archive that holds the file."""
    archive = hs.Archive.open(home / "archive.duckdb")
    archive.define_many(ids(0, panel.series), like=hs.Series("any", panel.frequency, decimals=3))
    archive.append(file, source="benchmark")
    return archive


def replay(panel: Panel, options: argparse.Namespace, home: Path, report: Report) -> None:
    """Snapshots at many origins, as matrices that features are made of; the check adds up what each one knows."""
    with report.stage("ingest"):
        archive = ingested(panel, options.file, home)
    with report.stage("export"):
        place = archive.export(home / "changes")
    with report.stage("open"):
        changes = ChangeFile.open(place)
    walk = Replay(changes, changes.ids)
    sums: list[tuple[int, float]] = []
    for origin in snapshot_origins(panel, options.origins or SNAPSHOTS):
        with report.stage("replay"):
            walk.advance(origin)
            snapshot = walk.snapshot(copy=False)
        values = np.concatenate([one.values.ravel() for one in snapshot.panels])
        sums.append((int((~np.isnan(values)).sum()), float(np.nansum(values))))
    report.check |= {"known": float(sum(count for count, _ in sums)), "total": sum(total for _, total in sums)}


JOBS = {"rivals": rivals, "boosting": boosting, "smoothing": smoothing, "replay": replay}

if __name__ == "__main__":
    main(sys.argv[1:])
