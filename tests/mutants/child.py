"""The process that tests one tree: imports what was patched, runs the named tests, writes down what happened."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

OPTIONS = ("-x", "-q", "-p", "no:cacheprovider")


class Witness:
    """Sees which tests ran, which one failed first, and what could not even be collected."""

    def __init__(self) -> None:
        self.ran = 0
        self.failed = self.raised = ""
        self.uncollected: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.uncollected.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call"
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_exception_interact(self, call: pytest.CallInfo[object]) -> None:
        if call.excinfo is not None and not self.raised:
            self.raised = call.excinfo.typename


def module_of(file: str) -> str:
    """The dotted name of a file of the tree."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def main(report: str, files: str, *tests: str) -> None:
    """Write to `report` what became of importing `files` (JSON list) and running the tests."""
    witness, code, imported, error = Witness(), -1, [], ""
    try:
        imported = [str(importlib.import_module(module_of(file)).__file__) for file in json.loads(files)]
        code = int(pytest.main([*OPTIONS, "-m", "", *tests], plugins=[witness]))
    except Exception as caught:  # noqa: BLE001 - whatever a broken module raises is the answer
        error = f"{type(caught).__name__}: {caught}"
    Path(report).write_text(json.dumps({"imported": imported, "error": error, "code": code, **vars(witness)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
