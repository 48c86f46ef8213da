"""The files behind a user's `module:name`, found by reading imports, never by running them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from harness.core.errors import UserError
from harness.core.identity import digest


def code_of(kind: str, folder: Path) -> str:
    """Hash of every file behind `module:name` that is not pinned otherwise.

    These are the files it imports from the experiment's folder; of packages outside it that belong to no installed
    distribution, every file; of a class in an installed distribution, its own file with the distribution's name and
    version. A change in any of them makes another recipe, so its cells are computed anew. Other installed
    distributions are not hashed, and imports made by calling `importlib` are not seen.

    Raises:
        UserError: the module is nowhere, is not Python, or does not define the name.
    """
    module, _, name = kind.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise UserError("not a class of yours", rule='written "module:name", for example "mymodels:Mean"')
    path = _file_of(module, folder)
    if path is None:
        root = _root(module.partition(".")[0])
        if root is None:
            raise UserError(f"no module {module}", rule="beside the experiment file or installed")
        own = _file_of(module, root)
        return digest(_version(module), _hashed(root, [own] if own else []), _hashed_outside([module], folder))
    if name not in _defined(_parse(path)):
        raise UserError(f"{path.name} defines no {name}")
    files = sorted(_reached(module, folder))
    return digest(_hashed(folder, files), _hashed_outside(_named_by(files), folder))


def _hashed(root: Path, files: Iterable[Path]) -> list[tuple[str, str]]:
    return [
        (file.relative_to(root).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()) for file in sorted(files)
    ]


def _hashed_outside(modules: Iterable[str], folder: Path) -> list[tuple[str, str]]:
    """Files of the packages outside the folder that modules come from, and of those they import, if nobody pins them.

    The standard library, the harness (whose code is in every key) and installed distributions are left out.
    """
    waiting, hashed = {name.partition(".")[0] for name in modules}, list[tuple[str, str]]()
    seen = {*sys.stdlib_module_names, __name__.partition(".")[0]}
    while waiting:
        name = waiting.pop()
        root = None if name in seen or _beside(name, folder) or _version(name) else _root(name)
        seen.add(name)
        if root is not None:
            files = [path for path in (_file_of(name, root), *root.joinpath(name).rglob("*.py")) if path]
            hashed += _hashed(root, set(files))
            waiting |= {found.partition(".")[0] for found in _named_by(files)} - seen
    return sorted(hashed)


def _named_by(files: Iterable[Path]) -> Iterator[str]:
    """Modules that files import by their full names."""
    for file in files:
        try:
            tree = _parse(file)
        except UserError:  # a file that is never run, such as a template; its bytes are hashed
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield node.module


def _beside(name: str, folder: Path) -> bool:
    return _file_of(name, folder) is not None or folder.joinpath(name).is_dir()


def _root(package: str) -> Path | None:
    """The folder from which a top-level package or module is imported; None = it is nowhere."""
    try:
        spec = importlib.util.find_spec(package)
    except (ValueError, ImportError):  # a module made by hand, such as __main__
        return None
    if spec is None:
        return None
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location and spec.origin else [])]
    return Path(places[0]).parent if places else None


def _version(module: str) -> str:
    """Name and version of the installed distributions that a module's files lie in; "" = none."""
    package = module.partition(".")[0]
    root = _root(package)
    if root is None:
        return ""
    found = [distribution(name) for name in sorted(set(_distributions().get(package, ())))]
    here = [one for one in found if Path(str(one.locate_file(""))).resolve() == root.resolve()]
    return ", ".join(f"{one.metadata['Name']}=={one.version}" for one in here)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


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
