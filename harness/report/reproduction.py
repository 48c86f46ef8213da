"""What `harness reproduce` prints."""

from __future__ import annotations

from harness.report.text import seconds, table
from harness.studies.reproduce import Reproduction

SHOWN = 12


def reproduction_text(done: Reproduction) -> str:
    """Whether a run reproduces, what was compared, and where it differs."""
    rows = ", ".join(f"{name} {count}" for name, count in done.compared.items())
    lines = [f"{done.name}, run {done.run_id}: {verdict(done)}", f"  compared, in rows: {rows}"]
    if done.cells:
        lines.append(f"  and {done.cells} cells by key and checksum")
    if done.searches:
        lines.append(f"  and {done.searches} searches with {done.trials} trials, all but their durations")
    lines.append(
        f"  run again, without any stored cell, fit or search: {', '.join(done.models)}; {seconds(done.seconds)}"
    )
    if not done.exact:
        relative, absolute = done.tolerance
        lines.append(f"  another numeric platform: numbers within {relative:g} (relative) or {absolute:g} (absolute)")
        lines.append(f"  farthest apart, relative: {done.farthest:.3g}")
        lines += [f"    {text}" for text in done.platform]
    if done.differences:
        head = ["table", "where", "column", "recorded", "derived again", "cells"]
        shown = [
            [one.table, one.row, one.column, one.recorded[:40], one.found[:40], str(one.cells)]
            for one in done.differences[:SHOWN]
        ]
        lines.append(table(head, shown, left=3, indent="  "))
        if len(done.differences) > SHOWN:
            lines.append(f"  and {len(done.differences) - SHOWN} more")
    return "\n".join(lines)


def verdict(done: Reproduction) -> str:
    """The outcome in words."""
    if not done.reproduced:
        return "DOES NOT REPRODUCE"
    return "reproduced bit for bit" if done.exact else "reproduced within tolerances, on another numeric platform"
