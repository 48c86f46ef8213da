"""The files behind a user's `module:name`, found by reading imports, never by running them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import UserError
from harness.core.identity import digest


def code_of(kind: str, folder: Path) -> str:
    """Hash of every file that `module:name` imports from the experiment's folder; "" for an installed package.

    A change in any of those files makes another recipe, so its cells are computed anew. Installed packages are part
    of the lock. Imports made by calling `importlib` are not seen.

    Raises:
        UserError: the module is nowhere, is not Python, or does not define the name.
    """
    module, _, name = kind.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise UserError("not a class of yours", rule='written "module:name", for example "mymodels:Mean"')
    path = _file_of(module, folder)
    if path is None:
        if not _installed(module.partition(".")[0]):
            raise UserError(f"no module {module}", rule="beside the experiment file or installed")
        return ""
    if name not in _defined(_parse(path)):
        raise UserError(f"{path.name} defines no {name}")
    return digest(
        [
            (file.relative_to(folder).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest())
            for file in sorted(_reached(module, folder))
        ]
    )


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module made by hand, such as __main__
        return False


def _file_of(module: str, folder: Path) -> Path | None:
    base = folder.joinpath(*module.split("."))
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


def _reached(module: str, folder: Path) -> set[Path]:
    """Files of the folder that importing a module runs: itself, its packages, and all these import."""
    waiting, seen, files = [module], set[str](), set[Path]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        path = _file_of(name, folder)
        if path is not None:
            files.add(path)
            waiting += _imports(_parse(path), name if path.name == "__init__.py" else name.rpartition(".")[0])
    return files


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=path.name)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path.name} is not Python", value=error) from error


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of all modules a file may import; `from a import b` names both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([part for part in above if part] + ([node.module] if node.module else []))
            if base:
                yield base
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _defined(tree: ast.Module) -> set[str]:
    """Names a module binds at its top level."""
    names = set[str]()
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names
