"""Whether a named test can show anything: it is collected, nothing skips it, and something in it can fail."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SKIPS = frozenset({"skip", "skipif", "xfail", "importorskip"})
FAILS = frozenset({"raises", "fail", "warns"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Sources:
    """Python files by their module's name, parsed once each.

    Attributes:
        texts: module -> source.
    """

    texts: Mapping[str, str]
    _trees: dict[str, ast.Module] = field(default_factory=dict)

    def tree(self, module: str) -> ast.Module:
        if module not in self._trees:
            self._trees[module] = ast.parse(self.texts[module])
        return self._trees[module]

    def functions(self, module: str) -> dict[str, Function]:
        """Functions of a module, and of the classes in it, that pytest or a test can call by name."""
        tree = self.tree(module)
        bodies = [tree.body, *(one.body for one in tree.body if isinstance(one, ast.ClassDef))]
        return {one.name: one for body in bodies for one in body if isinstance(one, Function)}

    def found(self, module: str, name: str) -> tuple[str, Function] | None:
        """A function under the name it has in a module, also where it was imported from another of these."""
        mine = self.functions(module)
        if name in mine:
            return module, mine[name]
        for one in ast.walk(self.tree(module)):
            if isinstance(one, ast.ImportFrom) and one.module in self.texts:
                for alias in one.names:
                    if (alias.asname or alias.name) == name:
                        return self.found(one.module, alias.name)
        return None


def problem(sources: Sources, module: str, name: str) -> str:
    """Why a test shows nothing; "" = it can fail.

    Args:
        sources: files to look into.
        module: of the test.
        name: of the test.
    """
    test = sources.functions(module).get(name)
    if test is None or not name.startswith("test_"):
        return "it is no test"
    marks = [one for one in sources.tree(module).body if isinstance(one, ast.Assign) and "pytestmark" in names(one)]
    for place in (test, *marks, *fixtures(sources, module, test)):
        told = SKIPS & names(place)
        if told:
            return f"it may be left out ({min(told)})"
    return "" if can_fail(sources, module, test, frozenset()) else "nothing in it can fail"


def fixtures(sources: Sources, module: str, test: Function) -> Iterator[Function]:
    """The fixtures of its own module that a test takes."""
    for one in test.args.args:
        found = sources.functions(module).get(one.arg)
        if found is not None:
            yield found


def names(tree: ast.AST) -> set[str]:
    """Every name and attribute in a piece of code."""
    nodes = list(ast.walk(tree))
    return {one.id for one in nodes if isinstance(one, ast.Name)} | {
        one.attr for one in nodes if isinstance(one, ast.Attribute)
    }


def can_fail(sources: Sources, module: str, function: Function, seen: frozenset[str]) -> bool:
    """Whether a function asserts something that is not said outright, or calls one that does."""
    for one in ast.walk(function):
        if isinstance(one, ast.Assert) and not isinstance(one.test, ast.Constant):
            return True
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in FAILS:
            return True
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id not in seen:
            called = sources.found(module, one.func.id)
            if called is not None and can_fail(sources, *called, seen | {one.func.id}):
                return True
    return False


def collected(root: Path, files: Iterable[str], *options: str) -> set[str]:
    """Names of the tests that pytest collects from files, slow ones included, without their parameters."""
    asked = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", "", *options]
    done = subprocess.run(
        [*asked, *files], cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    ids = [line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line]
    return {f"{one.partition('::')[0]}::{one.rpartition('::')[2]}" for one in ids}
