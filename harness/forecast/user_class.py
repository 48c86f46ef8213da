"""A user's own forecaster `module:name`: found beside the experiment file first, then among installed packages."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.core.errors import UnknownNameError, UserError
from harness.core.identity import digest
from harness.core.importing import importing_from
from harness.forecast.protocol import Forecaster


def is_user_class(kind: str) -> bool:
    """Whether a kind names a class `module:name`.

    >>> is_user_class("my_models:Trend"), is_user_class("drift")
    (True, False)
    """
    module, colon, name = kind.partition(":")
    return bool(colon) and all(part.isidentifier() for part in module.split(".")) and name.isidentifier()


def load_user_class(kind: str, *, folder: str, params: Mapping[str, object]) -> Forecaster:
    """Build a user's forecaster.

    Args:
        kind: `module:name`.
        folder: folder of the experiment file; "" = installed packages only.
        params: passed to the class by keyword.

    Raises:
        UserError: as `load_user_object`; it has `fit` and `predict`.
    """
    methods = ("fit", "predict")
    made: Forecaster = load_user_object(kind, folder=folder, params=params, methods=methods, noun="forecaster")
    return made


def load_user_object(kind: str, *, folder: str, params: Mapping[str, object], methods: Sequence[str], noun: str) -> Any:
    """Build an object of a user's class.

    A file of the folder is loaded under a private name, anew for every object, so that two experiments may each have
    their own `models.py`; modules beside it can be imported at its top, not later inside its functions.

    Args:
        kind: `module:name`.
        folder: folder of the experiment file; "" = installed packages only.
        params: passed to the class by keyword.
        methods: what it must be able to do.
        noun: what it is to be, for messages.

    Raises:
        UserError: the module cannot be found or run, it has no such class, the class refuses the parameters or lacks
            a method.
    """
    module_name, _, name = kind.partition(":")
    module = load_module(module_name, folder)
    made_by = getattr(module, name, None)
    if not callable(made_by):
        raise UnknownNameError(
            f"class in module {module_name}", name, [n for n in dir(module) if not n.startswith("_")]
        )
    try:
        made = made_by(**params)
    except TypeError as error:
        raise UserError(f"{kind} does not take these parameters", value=error, fix="change its params") from error
    lacking = [method for method in methods if not callable(getattr(made, method, None))]
    if lacking:
        rule = f"it has {' and '.join(methods)}"
        raise UserError(f"{kind} is no {noun}", value=f"no method {lacking[0]}", rule=rule)
    return made


def load_module(name: str, folder: str) -> ModuleType:
    """A user's module: a file of the folder under a private name, else an installed one.

    Args:
        name: dotted name.
        folder: folder of the experiment file; "" = installed packages only.

    Raises:
        UserError: it cannot be found or run.
    """
    beside = _file_beside(name, folder)
    try:
        if beside is not None:
            return _private(beside, folder)
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name is not None and error.name == name.partition(".")[0]:
            raise UserError(
                "no such module",
                value=repr(name),
                rule="looked for in the experiment file's folder, then among installed packages",
                fix=f"put {name.replace('.', '/')}.py beside the experiment file",
            ) from error
        raise UserError(f"module {name} cannot be run", value=f"{type(error).__name__}: {error}") from error


def _file_beside(name: str, folder: str) -> Path | None:
    if not folder:
        return None
    stem = Path(folder).joinpath(*name.split("."))
    found = [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return found[0].resolve() if found else None


def _private(path: Path, folder: str) -> ModuleType:
    private = f"_harness_user_{digest(str(path))}"
    spec = importlib.util.spec_from_file_location(private, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    with importing_from(Path(folder).resolve()):
        spec.loader.exec_module(module)
    return module
