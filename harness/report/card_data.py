"""What ingest did to the data of a run, for its model card: cleaning steps, failed assertions, rows set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from harness.data.archive import Archive
from harness.report.card_search import plain
from harness.report.markdown import bullets, grid, text

if TYPE_CHECKING:
    from harness.report.run import Run

ELSEWHERE = "The archive of this run is not here: its cleaning steps and assertions are not told."


def treatment(run: Run) -> Iterator[str]:
    """Cleaning steps, assertions that did not pass and rows set aside, of the batches that hold the run's inputs."""
    used = set(run.inputs()["series_id"].to_list())
    listed: Any = run.manifest.get("batches") or []
    batches = [one for one in listed if used & set(one["series"])]
    if not batches:
        return
    aside = [
        f"batch {one['batch']}: {one['set_aside']} of {one['rows_in']} rows" for one in batches if one["set_aside"]
    ]
    yield text(f"Rows set aside: {'; '.join(aside) or 'none'}.")
    tables = _recorded(run, {one["batch"]: one["sha256"] for one in batches})
    if tables is None:
        yield ELSEWHERE
        return
    steps = tables.get("cleaning", pl.DataFrame())
    yield "Cleaning steps:" if steps.height else "No cleaning steps were declared."
    if steps.height:
        columns = ["batch", "step", "kind", "parameters", "rows_in", "rows_out", "touched"]
        told = steps.sort("batch", "place").select(columns)
        told = told.with_columns(pl.col("parameters").map_elements(_parameters, return_dtype=pl.String))
        yield grid([name.replace("_", " ") for name in columns], told.rows())
    asked = tables.get("assertions", pl.DataFrame())
    if not asked.height:
        yield "No assertions were declared."
        return
    failed = asked.filter(pl.col("verdict") != "passed").sort("batch", "place")
    yield bullets(f"assertions: {asked.height - failed.height} of {asked.height} passed")
    if failed.height:
        columns = ["batch", "assertion", "kind", "severity", "verdict", "rows", "failed", "unknown"]
        yield grid(columns, failed.select(columns).rows())


def _parameters(declared: str) -> str:
    """What a step declares, without its name and what was left open.

    >>> _parameters('{"name": "wild", "k": 12.0, "least": null, "series": ["a", "b"]}')
    'k = 12.0, series = a, b'
    """
    parts = json.loads(declared).items()
    return ", ".join(f"{name} = {plain(value)}" for name, value in parts if name != "name" and value not in (None, []))


def _recorded(run: Run, batches: dict[int, str]) -> dict[str, pl.DataFrame] | None:
    """The cleaning record of these batches; None = the archive is not here, or is another one."""
    if not run.home.archive.exists():
        return None
    archive = Archive.open(run.home.archive, read_only=True)
    there = dict(archive.batches().select("batch", "sha256").rows())
    if any(there.get(number) != sha256 for number, sha256 in batches.items()):
        return None
    return archive.cleaning_of(batches)
