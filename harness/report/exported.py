"""The tables of a run with a row per forecast or per series, as Parquet files: written part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from harness.record.files import whole_file
from harness.record.platform import code_hash

if TYPE_CHECKING:
    from harness.report.run import Run

Part = Mapping[str, pl.DataFrame]
OTHER_CODE = "made with other code than the run: outcomes and errors may not be those it was scored on"


def export(run: Run, folder: Path) -> dict[str, int]:
    """Write `forecasts`, `errors`, and `scores` and `common_sample` with the rows of each series.

    In memory are the cells of the run and one block of series. Every file appears whole or not at all, and replaces an
    older one of its name. Rows made from cells stand in blocks of series, by model, origin and horizon within.

    Args:
        run: the run.
        folder: where to; it is made if need be.

    Returns:
        Rows written, by file name.

    Raises:
        UserError: the run is not finished, or rows are to be made and a cell or its archive state is gone.
        DamagedError: a table or a cell is not what was written.
    """
    return {**_written(folder, _tidy(run)), **_written(folder, _scores(run))}


def reservation(run: Run) -> str:
    """What is to be said of rows that were made and not read; "" = nothing."""
    made = not (run.stores("forecasts") and run.stores("errors"))
    code = run.manifest.get("code")
    return OTHER_CODE if made and isinstance(code, dict) and code.get("hash") != code_hash() else ""


def _tidy(run: Run) -> Iterator[Part]:
    if run.stores("forecasts") and run.stores("errors"):
        yield {"forecasts": run.forecasts(), "errors": run.errors()}
        return
    for forecasts, errors in run.derived.tidy():
        yield {"forecasts": forecasts, "errors": errors}


def _scores(run: Run) -> Iterator[Part]:
    pooled = {"scores": run.scores(), "common_sample": run.common_sample()}
    yield pooled
    if not pooled["scores"]["series_id"].count():
        for scores, common in run.derived.series_scores():
            yield {"scores": scores, "common_sample": common}


def _written(folder: Path, parts: Iterator[Part]) -> dict[str, int]:
    """Write parts of tables one after the other; the files get their names together, once all are whole."""
    rows: dict[str, int] = {}
    writers: dict[str, pq.ParquetWriter] = {}
    with ExitStack() as files:
        for part in parts:
            for name, frame in part.items():
                table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
                file = f"{name}.parquet"
                if file not in writers:
                    writers[file] = _writer(files, folder / file, table.schema)
                writers[file].write_table(table.cast(writers[file].schema))
                rows[file] = rows.get(file, 0) + frame.height
        for writer in writers.values():
            writer.close()
    return rows


def _writer(files: ExitStack, path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(files.enter_context(whole_file(path)), schema, compression="zstd")
