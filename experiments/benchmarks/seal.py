"""Seal an archive of millions of changes, and open it again: seconds and peak memory of each, in a process of its own.

    python experiments/benchmarks/seal.py [--series 2000] [--periods 200] [--revisions 50]

Half of what was published is sealed. The archive is written directly, as this is about sealing and not about ingest.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from harness.core.series import Series
from harness.core.time import MICROS_PER_DAY, instant
from harness.data.archive import Archive
from harness.data.archive.sealing import seal_archive
from harness.data.archive.unsealing import opened
from harness.data.vault import keys
from harness.data.vault.files import Vault
from harness.record.home import Home
from harness.record.seals import Seal

FIRST = 20 * 12
"""Ordinal of the first month: January 1990."""
MONTH = 30 * MICROS_PER_DAY
"""Microseconds between two publications of a series."""
ORIGIN = 631_152_000_000_000
"""Microseconds UTC of 1990-01-01."""
CHANGES = f"""
INSERT INTO changes
SELECT s::INTEGER, ({FIRST} + p)::INTEGER, {ORIGIN} + {MONTH} * (p + v + 1) + s, hash(s, p, v) / 1e16, 0, NULL, 1
FROM range($series) t(s), range($periods) u(p), range($revisions) w(v) ORDER BY p + v, s, p
"""  # noqa: S608 - numbers of ours
PUBLICATIONS = f"""
INSERT INTO publications
SELECT s::INTEGER, {ORIGIN} + {MONTH} * (n + 1) + s, {FIRST} + greatest(n - $revisions + 1, 0),
       {FIRST} + least(n, $periods - 1), false, true, true, 0, NULL, 1
FROM range($series) t(s), range($periods + $revisions - 1) u(n)
"""  # noqa: S608


def main(arguments: list[str]) -> None:
    """Make an archive, then seal and open it in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=2_000)
    parser.add_argument("--periods", type=int, default=200)
    parser.add_argument("--revisions", type=int, default=50)
    parser.add_argument("--stage", choices=("make", "seal", "open"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.stage:
        STAGES[options.stage](options)
        return
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            subprocess.run(  # noqa: S603 - this very script
                [sys.executable, __file__, *arguments, "--stage", stage, "--folder", folder], check=True
            )


def make(options: argparse.Namespace) -> None:
    """Write the archive."""
    archive = Archive.open(Home(options.folder).archive)
    sizes = {"series": options.series, "periods": options.periods, "revisions": options.revisions}
    with timed(f"make {options.series * options.periods * options.revisions:,} changes"):
        archive.define(*(Series(f"bench/{number:05d}", "M") for number in range(options.series)))
        with archive.store.writing() as connection:
            connection.execute(CHANGES, sizes)
            connection.execute(PUBLICATIONS, {**sizes})
            connection.execute("INSERT INTO known SELECT code, max(published) FROM publications GROUP BY code")
            connection.execute(
                "INSERT INTO batches SELECT 1, 'values', 'bench: made', 'rows', '', count(*), count(*), 0, 0,"
                " max(published), '{}', 0 FROM changes"
            )
    print(f"archive {Home(options.folder).archive.stat().st_size / 2**20:.0f} MB")


def seal(options: argparse.Namespace) -> None:
    """Seal its second half."""
    home = Home(options.folder)
    archive = Archive.open(home.archive)
    cut = instant(ORIGIN + MONTH * (options.periods + options.revisions) // 2)
    identity, signing = keys.new_identity(), keys.new_signing()
    (options.folder / "identity").write_text(identity)
    made = Seal(
        "bench",
        cut.isoformat(),
        (),
        ("bench",),
        recipient=keys.recipient_of(identity),
        signer=keys.signer_of(signing),
        created_at=datetime.now(UTC).isoformat(),
    )
    counted: dict[str, int] = {}
    with timed("seal"):
        vault = Vault.create(home, made, signing=signing)

        def ready(rows: dict[str, int]) -> None:
            counted.update(rows)
            vault.sign()
            vault.finish(home, replace(made, counts=rows))

        seal_archive(archive, made, vault.put, ready)
    size = sum(one.size for one in vault.files()) / 2**20
    print(f"{counted['changes']:,} changes sealed; vault {len(vault.files())} files, {size:.0f} MB")


def opening(options: argparse.Namespace) -> None:
    """Open it again, in memory."""
    home = Home(options.folder)
    vault, identity = Vault.open(home, "bench"), (options.folder / "identity").read_text()
    with timed("open"):
        parts = ((one.kind, vault.read(identity, one.name)) for one in vault.files())
        whole = opened(Archive.open(home.archive), [(vault.seal, parts)])
    with whole.store.reading() as connection:
        found = connection.execute("SELECT count(*) FROM changes").fetchall()[0][0]
    if found != options.series * options.periods * options.revisions:
        sys.exit(f"{found} changes came back")


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Print the seconds a stage took, by the clock and on the processor, and the peak memory of its process."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    spent = f"{time.perf_counter() - clock:8.2f} s ({time.process_time() - processor:.2f} s on the processor)"
    print(f"{stage:<42}{spent}, peak {peak:.0f} MB", flush=True)


STAGES = {"make": make, "seal": seal, "open": opening}

if __name__ == "__main__":
    main(sys.argv[1:])
