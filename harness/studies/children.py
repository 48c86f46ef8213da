"""Child processes of the isolation check: the whole pipeline alone, and users' code out of sight of all data."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from harness.backtest.engine import ONE_THREAD
from harness.core.errors import UserError
from harness.record.platform import PACKAGE, STARTED_WITH
from harness.studies.alone import PIPELINE, QUESTIONS
from harness.studies.cleanings import Cleaning
from harness.studies.drawings import Drawing
from harness.studies.pipeline import Passage
from harness.studies.questions import Question, Reply
from harness.studies.scramble import Ground

CODE_FILES = 20_000
"""Python files copied from an experiment's folder at most."""
INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Places:
    """What a user's class or function may not see.

    Attributes:
        home: the home folder.
        datasets: the datasets' folders.
        folder: the folder of the users' code, that of the experiment file or a dataset's; "" when there is none.
        tables: files in it that are copied with the code.
    """

    home: str
    datasets: tuple[str, ...]
    folder: str
    tables: tuple[str, ...] = ()

    @property
    def hidden(self) -> list[str]:
        """All of them, where they really are."""
        return [os.path.realpath(one) for one in (self.home, *self.datasets, self.folder) if one]


def passage_alone(ground: Ground, origin: int) -> Passage:
    """The pipeline at one origin, in a process that has seen no other.

    Raises:
        UserError: the process ended early.
    """
    given = pickle.dumps((ground.plan, str(ground.changes.folder), ground.board, origin))
    found: Passage = pickle.loads(_child({"what": PIPELINE}, given, []))  # noqa: S301 - our own child wrote it
    return found


def ask_confined(
    questions: Sequence[Question | Drawing | Cleaning], places: Places
) -> tuple[str, list[Reply], list[list[str]]]:
    """Ask users' classes and functions in a child whose working folder is empty and that can see nothing but code.

    Returns:
        How the child was confined ("" = it could not be), and per question the reply and what it tried to reach.

    Raises:
        UserError: the process ended early.
    """
    with tempfile.TemporaryDirectory(prefix="harness-audit-") as folder:
        root = Path(folder).resolve()
        work, code, packages = (root / name for name in ("work", "code", "packages"))
        for one in (work, code, packages):
            one.mkdir()
        readable, listable = _code_places(places.hidden)
        _copy_code(places.folder, code)
        for one in map(Path, places.tables):
            _copy(one, code / one.relative_to(places.folder))
        _copy_packages([*readable, *places.hidden], packages)
        request = {
            "what": QUESTIONS,
            "readable": [*readable, str(code), str(packages)],
            "listable": listable,
            "work": str(work),
            "hidden": places.hidden,
        }
        given = pickle.dumps(([_unanswered(one) for one in questions], str(code)))
        paths = [str(packages), *_search_paths(readable, listable, places.folder, code)]
        said = json.loads(_child(request, given, paths, work=work))
    replies = [
        Reply(pl.read_ipc(io.BytesIO(base64.b64decode(one["frame"]))), str(one["failure"])) for one in said["replies"]
    ]
    return str(said["how"]), replies, [[str(text) for text in one["touched"]] for one in said["replies"]]


def _unanswered(question: Question | Drawing | Cleaning) -> Question | Drawing | Cleaning:
    if isinstance(question, Drawing):
        return question
    if isinstance(question, Cleaning):
        return replace(question, made=question.made.clear())
    return replace(question, answer=question.answer.clear(), failure="")


def _copy_code(folder: str, code: Path) -> None:
    """The Python files beside an experiment, and nothing else that lies there."""
    count, seen = 0, set[str]()
    for place, folders, files in os.walk(folder, followlinks=True) if folder else ():
        real = os.path.realpath(place)
        if real in seen or "pyvenv.cfg" in files:  # a loop of links, or a virtual environment
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [one for one in folders if one[0] != "." and one not in ("__pycache__", "node_modules")]
        for name in files:
            if name.endswith(".py") and count < CODE_FILES:
                count += 1
                _copy(Path(place, name), code / Path(place, name).relative_to(folder))


def _copy_packages(elsewhere: Sequence[str], packages: Path) -> None:
    """Modules that were imported from folders which may hold data too: the files of these modules, nothing beside."""
    roots = [Path(one) for one in elsewhere]
    for name, module in list(sys.modules.items()):
        path = Path(os.path.realpath(getattr(module, "__file__", None) or os.devnull))
        parts = (*name.split("."), "__init__") if path.stem == "__init__" else tuple(name.split("."))
        named = path.parts[-len(parts) :]
        if (*named[:-1], named[-1].partition(".")[0]) == parts and not any(root in path.parents for root in roots):
            _copy(path, packages.joinpath(*named))


def _copy(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)


def _code_places(hidden: Sequence[str]) -> tuple[list[str], list[str]]:
    """Folders of installed code that may be read, and others on the search path, of which only the names may."""
    roots = [Path(one) for one in hidden]
    prefixes = [os.path.realpath(one) for one in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    readable, listable = [str(PACKAGE), *prefixes], [str(PACKAGE.parent)]
    for entry in sys.path:
        place = Path(entry or ".").resolve()
        inside = any(root in (place, *place.parents) for root in roots)
        if not place.is_dir() or inside:
            continue
        installed = {*prefixes} & {str(one) for one in (place, *place.parents)} or {*place.parts} & INSTALLED
        (readable if installed and not any(place in root.parents for root in roots) else listable).append(str(place))
    return list(dict.fromkeys(readable)), list(dict.fromkeys(listable))


def _search_paths(readable: Sequence[str], listable: Sequence[str], folder: str, code: Path) -> list[str]:
    """Where the child looks for modules: as this process does, with copies in the place of the experiment's folder."""
    root = Path(folder).resolve()
    places = [Path(entry or ".").resolve() for entry in sys.path]
    moved = [
        code / one.relative_to(root) if folder and root in (one, *one.parents) else one
        for one in places
        if str(one) in (*readable, *listable) or (folder and root in (one, *one.parents))
    ]
    return [str(one) for one in moved]


def _child(request: Mapping[str, object], given: bytes, paths: Sequence[str], *, work: Path | None = None) -> bytes:
    """Run a child process on some bytes and return what it answers."""
    search = [os.path.realpath(one or ".") for one in (str(PACKAGE.parent), *(paths or sys.path))]
    environment = {name: value for name, value in STARTED_WITH.items() if name not in ("HARNESS_HOME", "PYTHONSTARTUP")}
    environment |= {**ONE_THREAD, "PYTHONPATH": os.pathsep.join(dict.fromkeys(search)), "HARNESS_WORKER": "1"}
    if work is not None:
        environment |= {"HOME": str(work), "TMPDIR": str(work), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-m", "harness.studies.alone", json.dumps(request)]
    with tempfile.TemporaryFile() as said:  # not a pipe: processes that a model leaves behind would hold it open
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment,
            cwd=work,
            start_new_session=True,
        )
        try:
            answer, _ = child.communicate(given)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode not in (0, -signal.SIGKILL) or not answer:
            said.seek(0)
            raise UserError(
                "a process of the isolation check ended early",
                value=" ".join(said.read().decode(errors="replace").split())[-300:],
                fix="free memory, or run harness audit again",
            )
    return answer
