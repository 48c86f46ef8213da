"""Break one law at a time in a copy of the tree and require that the tests notice: `make mutants`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.table import Mutant, PatchError, patched, read_table

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("child.py")
FOLDERS = ("harness", "tests", "experiments", "datasets")
PATIENCE = 300
"""Seconds after which a process is given up: a patch that hangs is no answer."""
TYPING_ERRORS = frozenset({"NameError", "UnboundLocalError", "SyntaxError", "ImportError", "ModuleNotFoundError"})
"""What a badly written patch raises: a test that fails with one of these has not noticed a broken law."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a process that tested one tree says.

    Attributes:
        imported: file of each module it was told to import.
        error: why they could not be imported, or why there is no answer; "" = neither.
        code: pytest's exit code; -1 = pytest did not run.
        ran: tests that ran.
        failed, raised: node id of the first test that failed, and the name of what it raised.
        uncollected: what pytest could not collect.
        seconds: how long it took.
    """

    imported: tuple[str, ...]
    error: str
    code: int
    ran: int
    failed: str
    raised: str
    uncollected: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a mutant was noticed: `by` names the test that did, or says why none did."""

    mutant: Mutant
    killed: bool
    by: str
    seconds: float = 0.0


def judged(report: Report, mutant: Mutant, copy: Path) -> Verdict:
    """Killed only when a collected test failed, in a process that imported the patched file, for no typing error."""
    problems = {
        f"bad mutant, it cannot be imported ({report.error})": bool(report.error),
        "the patched file is not what was imported": report.imported != (str(copy / mutant.file),),
        f"no answer, not collected: {', '.join(report.uncollected)}": bool(report.uncollected),
        f"SURVIVED {report.ran} tests": report.code == 0,
        f"no answer, pytest ended with exit code {report.code}": report.code != 1 or not report.failed,
        f"bad mutant, {report.raised} in {report.failed}": report.raised in TYPING_ERRORS,
    }
    problem = next((text for text, holds in problems.items() if holds), "")
    return Verdict(mutant, not problem, problem or f"{report.failed} ({report.raised})", report.seconds)


def tested(copy: Path, files: Sequence[str], tests: Sequence[str]) -> Report:
    """Run tests on a copy in a process of their own, which imports the copy's modules and leaves no bytecode."""
    # bytecode is told from its source by second and size: a patch of equal length would not be seen
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONHASHSEED", None)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "report.json"
        command = [sys.executable, "-P", str(CHILD), str(answer), json.dumps(list(files)), *tests]
        said = ""
        try:
            done = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
            )
            said = (done.stdout + done.stderr).strip()[-300:]
        except subprocess.TimeoutExpired:
            said = f"nothing after {PATIENCE} seconds"
        found = json.loads(answer.read_text()) if answer.exists() else {"error": f"no report: {said}"}
    return Report(
        tuple(found.get("imported", ())),
        found["error"],
        found.get("code", -1),
        found.get("ran", 0),
        found.get("failed", ""),
        found.get("raised", ""),
        tuple(found.get("uncollected", ())),
        time.monotonic() - start,
    )


@contextmanager
def broken(copy: Path, mutant: Mutant) -> Iterator[None]:
    """The copy with the patch applied; restored afterwards.

    Raises:
        PatchError: the patch does not apply.
    """
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(patched(source, mutant), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(source, encoding="utf-8")


def verdict(copy: Path, mutant: Mutant) -> Verdict:
    """Patch, test, restore, judge."""
    try:
        with broken(copy, mutant):
            return judged(tested(copy, [mutant.file], mutant.killed_by), mutant, copy)
    except (PatchError, OSError) as error:
        return Verdict(mutant, killed=False, by=str(error))


def tree(root: Path) -> list[str]:
    """The files that make up the project: what git knows and does not ignore, else the named folders."""
    asked = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = []
    if not any(listed):
        inside = (path for name in FOLDERS for path in (root / name).rglob("*"))
        found = (path for path in (*inside, *root.glob("*")) if "__pycache__" not in path.parts)
        listed = [str(path.relative_to(root)) for path in found]
    return sorted({name for name in listed if name and (root / name).is_file()})


def copied(root: Path, copy: Path) -> Path:
    """A copy of the tree as it stands in the working folder."""
    for name in tree(root):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, copy / name)
    return copy


def shares(tests: Iterable[str], number: int) -> list[list[str]]:
    """Distinct tests dealt out by file, so that the tests of one file share their fixtures."""
    files: dict[str, list[str]] = {}
    for test in dict.fromkeys(tests):
        files.setdefault(test.partition("::")[0], []).append(test)
    dealt = [[test for mine in list(files.values())[start::number] for test in mine] for start in range(number)]
    return [share for share in dealt if share]


def red(copy: Path, mutants: Sequence[Mutant], workers: int) -> list[str]:
    """What is wrong before anything is patched: a test that is red anyway proves nothing."""
    files = list(dict.fromkeys(mutant.file for mutant in mutants))
    parts = shares((test for mutant in mutants for test in mutant.killed_by), workers)
    with ThreadPoolExecutor(workers) as pool:
        reports = list(pool.map(lambda part: tested(copy, files, part), parts))
    wanted = tuple(str(copy / file) for file in files)
    strangers = [file for report in reports for file in report.imported if file not in wanted]
    troubles = [
        report.error or report.failed or ", ".join(report.uncollected) or f"exit code {report.code}"
        for report in reports
        if report.code != 0
    ]
    return [*troubles, *(f"{file} was imported instead of the copy's" for file in strangers)]


def run(mutants: Sequence[Mutant], folder: Path, *, workers: int) -> Iterator[Verdict]:
    """The verdicts in the order of the mutants, `workers` at a time, each in a copy of its own."""
    free: SimpleQueue[Path] = SimpleQueue()
    for number in range(workers):
        free.put(copied(ROOT, folder / f"copy{number}"))

    def one(mutant: Mutant) -> Verdict:
        copy = free.get()
        try:
            return verdict(copy, mutant)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(one, mutants)


def chosen(names: Sequence[str]) -> list[Mutant]:
    """The named mutants of the table; all of them when none is named."""
    table = {mutant.name: mutant for mutant in read_table()}
    unknown = sorted(set(names) - set(table))
    if unknown:
        sys.exit(f"no such mutant: {', '.join(unknown)}\nthere are: {', '.join(table)}")
    return [table[name] for name in names] or list(table.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to try (default: all)")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default: 2)")
    given = parser.parse_args()
    mutants, workers = chosen(given.names), max(1, given.workers)
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name).resolve()
        print(f"{len(mutants)} mutants; first their tests on the tree as it is ...", flush=True)
        troubles = red(copied(ROOT, folder / "whole"), mutants, workers)
        if troubles:
            print("not green before anything is broken:", *troubles, sep="\n  ")
            return 1
        print("| mutant | breaks | killed by | s |\n|---|---|---|---|", flush=True)
        alive = 0
        for found in run(mutants, folder, workers=workers):
            alive += not found.killed
            rule = found.mutant.rule.partition(":")[0]
            print(f"| {found.mutant.name} | {rule} | {found.by} | {found.seconds:.0f} |", flush=True)
    print(f"{len(mutants) - alive} of {len(mutants)} mutants killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
