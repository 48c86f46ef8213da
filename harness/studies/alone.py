"""What a child process of the isolation check does; started as `python -m harness.studies.alone`.

Standard library only until the process has been confined: the data it needs come through a pipe.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.studies.confine import SHARED, confine

PIPELINE, QUESTIONS = "pipeline", "questions"
NET = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


def main(asked: str) -> None:
    """Answer one request.

    Args:
        asked: JSON: `what` (`pipeline` or `questions`) and, for questions, `readable`, `listable`, `work`, `hidden`.
    """
    request = json.loads(asked)
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a model prints must not mix with the answer
    found = _pipeline(sys.stdin.buffer.read()) if request["what"] == PIPELINE else _questions(request)
    answer.write(found)
    answer.close()
    os._exit(0)  # threads of libraries, and whatever a user's code registered, have no say any more


def _pipeline(given: bytes) -> bytes:
    """The whole pipeline at one origin, in a process that has seen no other."""
    plan, folder, board, origin = pickle.loads(given)  # noqa: S301 - the parent has just written it
    from harness.data.changes import ChangeFile  # noqa: PLC0415 - only here, see above
    from harness.studies.pipeline import passage  # noqa: PLC0415

    return pickle.dumps(passage(plan, ChangeFile.open(folder, verify=False), board, origin))


def _questions(request: dict[str, object]) -> bytes:
    """Users' classes on what they may know, out of sight of everything else."""
    hidden = _texts(request["hidden"])
    work = str(request["work"])
    how = confine(_texts(request["readable"]), _texts(request["listable"]), work, hidden)
    others = [str(path) for path in Path(SHARED).glob("*")]
    touched = _watched([*hidden, *others], [*_texts(request["readable"]), work])
    given = sys.stdin.buffer.read()
    questions, folder = pickle.loads(given)  # noqa: S301 - the parent has just written it
    from harness.studies.drawings import answered as asked_again  # noqa: PLC0415 - threads start with it

    out = []
    for question in questions:
        before = len(touched)
        _emptied(work)
        answered = asked_again(question, folder)
        buffer = io.BytesIO()
        answered.frame.write_ipc(buffer)
        frame = base64.b64encode(buffer.getvalue()).decode()
        out.append({"failure": answered.failure, "frame": frame, "touched": touched[before:]})
    return json.dumps({"how": how, "replies": out}).encode()


def _emptied(work: str) -> None:
    """No question finds what another has left; folders stay, as libraries make theirs once."""
    for path in Path(work).rglob("*"):
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _watched(hidden: Sequence[str], allowed: Sequence[str]) -> list[str]:
    """From now on, every attempt to open or list something hidden (not what is allowed in it), and to reach the net."""
    touched: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir", "sqlite3.connect") and arguments:
            path = arguments[0]
            if isinstance(path, (str, bytes, os.PathLike)):
                full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - as text: nothing may be looked up in here
                if _inside(full, hidden) and not _inside(full, allowed):
                    touched.append(f"{event} {full}")
        elif event in NET:
            told = [one for one in arguments if not isinstance(one, socket.socket)]
            touched.append(f"{event} {told!r}")

    sys.addaudithook(hook)
    return touched


def _inside(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


if __name__ == "__main__":
    main(sys.argv[1])
