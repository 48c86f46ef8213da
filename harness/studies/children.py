"""Child processes of the isolation check: the whole pipeline alone, and users' classes out of sight of all data."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from harness.backtest.engine import ONE_THREAD
from harness.core.errors import UserError
from harness.record.platform import PACKAGE
from harness.studies.alone import PIPELINE, QUESTIONS
from harness.studies.pipeline import Passage
from harness.studies.questions import Question, Reply
from harness.studies.scramble import Ground

CODE_FILES = 5000
"""Python files copied from an experiment's folder at most."""


@dataclass(frozen=True, slots=True)
class Places:
    """What a user's class may not see.

    Attributes:
        home: the home folder.
        datasets: the datasets' folders.
        folder: the experiment file's folder, "" when there is none.
    """

    home: str
    datasets: tuple[str, ...]
    folder: str

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


def ask_confined(questions: Sequence[Question], places: Places) -> tuple[str, list[Reply], list[list[str]]]:
    """Ask users' classes in a child whose working folder is empty and that can see nothing but code.

    Returns:
        How the child was confined ("" = it could not be), and per question the reply and what it tried to reach.

    Raises:
        UserError: the process ended early.
    """
    with tempfile.TemporaryDirectory(prefix="harness-audit-") as folder:
        work, code = Path(folder).resolve() / "work", Path(folder).resolve() / "code"
        work.mkdir()
        readable, listable = _code_places(places.hidden)
        _copy_code(places.folder, code)
        _copy_packages(questions, [Path(one) for one in listable], code)
        request = {
            "what": QUESTIONS,
            "readable": [*readable, str(code)],
            "listable": listable,
            "work": str(work),
            "hidden": places.hidden,
        }
        paths = [one for one in (*readable, *listable) if not one.endswith(".py")]
        said = json.loads(_child(request, pickle.dumps((list(questions), str(code))), paths, work=work))
    replies = [
        Reply(pl.read_ipc(io.BytesIO(base64.b64decode(one["frame"]))), str(one["failure"])) for one in said["replies"]
    ]
    return str(said["how"]), replies, [[str(text) for text in one["touched"]] for one in said["replies"]]


def _copy_code(folder: str, code: Path) -> None:
    """The Python files beside an experiment, and nothing else that lies there."""
    code.mkdir()
    root = Path(folder)
    found = (
        ()
        if not folder
        else (path for path in root.rglob("*.py") if not any(part[0] == "." for part in path.relative_to(root).parts))
    )
    for number, path in enumerate(found):
        if number >= CODE_FILES:
            break
        place = code / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _copy_packages(questions: Sequence[Question], roots: Sequence[Path], code: Path) -> None:
    """Users' packages that lie in a folder which holds data too."""
    kinds = {kind for one in questions for kind in (one.recipe.kind, *(step.kind for step in one.recipe.steps))}
    for package in {kind.partition(":")[0].partition(".")[0] for kind in kinds if ":" in kind}:
        for root in roots:
            for path in (root / f"{package}.py", *(root / package).rglob("*.py")):
                place = code / path.relative_to(root)
                if path.is_file() and not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, place)


def _code_places(hidden: Sequence[str]) -> tuple[list[str], list[str]]:
    """Folders of installed code that may be read, and those that hold data too, of which only the names may."""
    roots = [Path(one) for one in hidden]
    readable = [str(PACKAGE), *(os.path.realpath(one) for one in (sys.prefix, sys.base_prefix, sys.exec_prefix))]
    listable: list[str] = []
    for entry in sys.path:
        place = Path(entry or ".").resolve()
        inside = any(root in (place, *place.parents) for root in roots)
        if not place.is_dir() or inside:
            continue
        holds = any(place in root.parents for root in roots)
        (listable if holds else readable).append(str(place))
    return list(dict.fromkeys(readable)), list(dict.fromkeys([str(PACKAGE.parent), *listable]))


def _child(request: Mapping[str, object], given: bytes, paths: Sequence[str], *, work: Path | None = None) -> bytes:
    """Run a child process on some bytes and return what it answers."""
    search = [os.path.realpath(one) for one in (str(PACKAGE.parent), *(paths or sys.path)) if one]
    environment = {name: value for name, value in os.environ.items() if name not in ("HARNESS_HOME", "PYTHONSTARTUP")}
    environment |= {**ONE_THREAD, "PYTHONPATH": os.pathsep.join(dict.fromkeys(search)), "HARNESS_WORKER": "1"}
    if work is not None:
        environment |= {"HOME": str(work), "TMPDIR": str(work), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "harness.studies.alone", json.dumps(request)],
        input=given,
        capture_output=True,
        env=environment,
        cwd=work,
        check=False,
    )
    if done.returncode or not done.stdout:
        raise UserError(
            "a process of the isolation check ended early",
            value=" ".join(done.stderr.decode(errors="replace").split())[-300:],
            fix="free memory, or run harness audit again",
        )
    return done.stdout
