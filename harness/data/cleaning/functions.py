"""Cleaning functions of the user's, in files beside the `dataset.toml`: found, hashed and called."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import polars as pl

from harness.core.errors import DataError, UnknownNameError, UserError
from harness.core.importing import importing_from


def code_of(function: str, folder: Path) -> str:
    """Hash of the module that holds a function, and of every module of the folder that it imports.

    Args:
        function: `module:name`.
        folder: the dataset's folder.

    Raises:
        UserError: not of this form, or there is no such file, or it is no Python.
    """
    module, _, name = function.partition(":")
    if not module.isidentifier() or not name.isidentifier():
        raise UserError("not a function", value=repr(function), fix='write "module:name", a file beside dataset.toml')
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        one = waiting.pop()
        path = folder / f"{one}.py"
        if one in found or (one != module and not path.is_file()):
            continue
        try:
            found[one] = path.read_bytes()
            waiting += _imported(ast.parse(found[one]))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError("no such function", value=f"{path.name}: {error}", fix=f"put {path.name} there") from error
    hasher = hashlib.sha256()
    for one in sorted(found):
        hasher.update(f"{one} {len(found[one])} ".encode() + found[one])
    return hasher.hexdigest()


def _imported(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [one.name.partition(".")[0] for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module.partition(".")[0])
    return names


def call(function: str, folder: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """What a function makes of a frame.

    Args:
        function: `module:name`.
        folder: the dataset's folder.
        frame: has a column `row`, the place of each line; the function keeps it (null in rows it adds).

    Raises:
        UserError: the module cannot be run, or has no such function.
        DataError: the function raised, or gave back something that is no such frame.
    """
    module, _, name = function.partition(":")
    with importing_from(folder):
        made = _module(folder / f"{module}.py", function)
        chosen = getattr(made, name, None)
        if not callable(chosen):
            names = [one for one in vars(made) if not one.startswith("_")]
            raise UnknownNameError(f"function of {module}.py", name, names)
        try:
            out = chosen(frame.clone())
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            raise DataError(f"{function} failed", value=f"{type(error).__name__}: {said[0]}") from error
    if not isinstance(out, pl.DataFrame):
        raise DataError(f"{function} gave back no frame", value=type(out).__name__, rule="a polars DataFrame")
    missing = [column for column in frame.columns if column not in out.columns]
    if missing:
        raise DataError(
            f"{function} left out columns", value=", ".join(missing), rule="the columns it was given come back"
        )
    return _typed(out.select(frame.columns), frame, function)


def _typed(out: pl.DataFrame, given: pl.DataFrame, function: str) -> pl.DataFrame:
    try:
        typed = out.cast(given.schema)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{function} changed a column's type", value=str(error).splitlines()[0]) from error
    rows = typed["row"].drop_nulls()
    if rows.n_unique() != len(rows) or not rows.is_in(given["row"].implode()).all():
        raise DataError(
            f"{function} gave back rows twice, or rows it was not given",
            rule="`row` says which line a row comes from, each once, and is null in rows that are added",
        )
    return typed


def _module(path: Path, function: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_harness_cleaning_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError("no such module", value=path.name)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{function} cannot be loaded", value=f"{type(error).__name__}: {error}") from error
    return module
