"""The home folder: where everything the harness writes lives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under one home folder (default `.harness/` in the working folder, `HARNESS_HOME` to move it)."""

    root: Path

    @property
    def archive(self) -> Path:
        """The DuckDB archive."""
        return self.root / "archive.duckdb"

    @property
    def raw(self) -> Path:
        """Raw input by content hash."""
        return self.root / "raw"

    @property
    def changes(self) -> Path:
        """Change files by content hash."""
        return self.root / "changes"

    @property
    def cells(self) -> Path:
        """Cells by key, shared by runs."""
        return self.root / "cells"

    @property
    def fits(self) -> Path:
        """Fits by key."""
        return self.root / "fits"

    @property
    def studies(self) -> Path:
        """Records of searches by key."""
        return self.root / "studies"

    @property
    def registry(self) -> Path:
        """The registry of effort."""
        return self.root / "registry.duckdb"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.root / "runs"

    @property
    def audits(self) -> Path:
        """Audits by run id."""
        return self.root / "audits"

    @property
    def vault(self) -> Path:
        """Sealed holdouts, one folder per seal."""
        return self.root / "vault"

    @property
    def plans(self) -> Path:
        """What is to be claimed of a holdout, one file per plan."""
        return self.root / "plans"

    @property
    def ledger(self) -> Path:
        """What was done about holdouts, one chained line after another."""
        return self.root / "ledger.jsonl"


def open_home(root: Path | str | None = None) -> Home:
    """The home folder named by `root`, else by `HARNESS_HOME`, else `.harness` in the working folder.

    Raises:
        UserError: `root` is an empty name, which would be the working folder itself.
    """
    if root == "":
        raise UserError(
            "no home folder is named",
            value=repr(root),
            rule="an empty name would be the working folder itself",
            fix="name a folder, or leave it out for HARNESS_HOME, else .harness (the working folder: .)",
        )
    chosen = Path(root) if root is not None else Path(os.environ.get("HARNESS_HOME") or ".harness")
    return Home(chosen.absolute())
