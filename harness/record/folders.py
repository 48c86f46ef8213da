"""Folders that are whole or absent: filled under a temporary name, then renamed; what says the same is left alone."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from harness.core.errors import DamagedError
from harness.record.files import room_for, sync_filesystem, sync_folder, unused_name

Read = TypeVar("Read")
CHUNK = 1 << 20
TRIES = 5
"""Times that a folder is put in place, or read, while others put theirs there."""
AT_WORKING_FOLDER, EXCHANGE = -100, 2
"""Of `renameat2`: paths are taken as they stand, and both names change what they stand for."""
CANNOT = frozenset({errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV})
"""What a file system says that does not exchange names (NFS), or not these (of a layer that is shared), or that it may
not be asked (some containers)."""


def write_folder(folder: Path, files: Mapping[str, bytes], *, durable: bool = True, keeping: bool = False) -> None:
    """Write a folder of files that appears whole or not at all, replacing what stood there and said otherwise.

    Args:
        folder: its final place.
        files: content by name.
        durable: wait until it is on the disk. Otherwise a loss of power before `sync_filesystem` may leave a part: only
            for what carries a checksum and can be made again.
        keeping: whether another folder that came there meanwhile stays.
    """

    def fill(temporary: Path) -> None:
        for name, content in files.items():
            with room_for(folder), (temporary / name).open("wb") as stream:
                stream.write(content)
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())

    mine = fill_folder(folder, fill, keeping=keeping)
    if durable and mine:
        sync_folder(folder.parent)
    elif durable:  # whoever wrote it may not have waited
        sync_filesystem(folder.parent)


def fill_folder(folder: Path, fill: Callable[[Path], None], *, keeping: bool = False) -> bool:
    """Make a folder that appears whole or not at all, replacing what stood there and said otherwise.

    A folder with the very same files stays: another process may be reading it. Any other changes places with the new
    one in a single step where the file system can; else it is put aside first, so that there is none for an instant.

    Args:
        folder: its final place.
        fill: writes its files into the folder it is given, which has a temporary name.
        keeping: whether another folder that came there meanwhile stays.

    Returns:
        Whether it is the new one that stands there.
    """
    temporary = unused_name(folder.parent)
    temporary.mkdir(parents=True)
    try:
        fill(temporary)
        for _ in range(TRIES):
            if _moved(temporary, folder):
                return True
            if keeping or same_files(temporary, folder):
                return False
            if _exchanged(temporary, folder) or _put_aside(temporary, folder):
                return True
        return False  # others put theirs there, again and again
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold files of the same names and bytes; not where one is gone meanwhile."""
    try:
        names = sorted(path.name for path in one.iterdir())
        return names == sorted(path.name for path in other.iterdir()) and all(
            _same_bytes(one / name, other / name) for name in names
        )
    except OSError:
        return False


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as mine, other.open("rb") as theirs:
        while part := mine.read(CHUNK):
            if part != theirs.read(CHUNK):
                return False
    return True


def _moved(temporary: Path, folder: Path) -> bool:
    """Put a folder where there is none, or an empty one; False = there is one."""
    try:
        temporary.replace(folder)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return False
    return True


def _exchanged(temporary: Path, folder: Path) -> bool:
    """Let two folders change places in one step; False = one is gone, or the file system does not do that."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):  # Linux has it
        return False
    places = AT_WORKING_FOLDER, os.fsencode(temporary), AT_WORKING_FOLDER, os.fsencode(folder)
    if not library.renameat2(*places, EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in CANNOT | {errno.ENOENT}:
        return False
    raise OSError(number, os.strerror(number), str(folder))


def _put_aside(temporary: Path, folder: Path) -> bool:
    """Put what stands there aside, and a folder in its place; False = others were quicker with either."""
    aside = unused_name(folder.parent)
    try:
        folder.replace(aside)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:  # what is of a shared layer, as of a container's image, can only be removed
            raise
        shutil.rmtree(folder)
        return _moved(temporary, folder)
    try:
        placed = _moved(temporary, folder)
    except BaseException:
        with suppress(OSError):
            aside.replace(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    return placed


def read_whole(folder: Path, read: Callable[[], Read]) -> Read:
    """What is read of the files of a folder; anew where another one was put in its place meanwhile.

    Args:
        folder: the folder.
        read: reads its files by their names.

    Raises:
        OSError: a file is not there.
        DamagedError: what stands there is damaged.
    """
    for _ in range(TRIES - 1):
        before = _standing(folder)
        try:
            found = read()
        except (OSError, DamagedError):
            if _standing(folder) == before:
                raise
            continue
        if _standing(folder) == before:
            return found
    return read()


def _standing(folder: Path) -> tuple[int, ...]:
    """What tells a folder from another one that was put in its place; () = there is none."""
    try:
        found = folder.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_ctime_ns
