"""Files of a home packed into a few parts of a vault, so that nobody can count or time them one by one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

PACKED = "files"
"""Kind of such a part."""
PART = 32 << 20
"""Bytes of one part, about; a larger file is cut into pieces of that size."""
Put = Callable[[str, bytes, Mapping[str, int | str]], object]


class Packer:
    """Collects files and hands them over in parts of bounded size.

    Args:
        put: takes kind, content and facts of a part.
        root: the home folder, to which the paths in a part are relative.
    """

    def __init__(self, put: Put, root: Path) -> None:
        self._put, self._root = put, root
        self._pieces: list[tuple[str, bytes]] = []
        self._size = 0

    def add(self, path: Path) -> None:
        """Pack a file, or all files of a folder."""
        for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if one.is_file():
                self._add_file(one)

    def close(self) -> None:
        """Hand over what is left."""
        if self._pieces:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
                for name, content in self._pieces:
                    packed.writestr(name, content)
            self._put(PACKED, buffer.getvalue(), {"files": sum(name.endswith("@0") for name, _ in self._pieces)})
        self._pieces, self._size = [], 0

    def _add_file(self, path: Path) -> None:
        name, start = str(path.relative_to(self._root)), 0
        with path.open("rb") as stream:
            while (content := stream.read(PART)) or start == 0:
                self._pieces.append((f"{name}@{start}", content))
                start, self._size = start + len(content), self._size + len(content)
                if self._size >= PART:
                    self.close()
                if not content:
                    break


def unpacked(parts: Iterable[bytes]) -> Iterator[tuple[str, int, bytes]]:
    """Pieces of packed files in order: path in the home, place of the piece in the file, content."""
    for part in parts:
        with zipfile.ZipFile(io.BytesIO(part)) as packed:
            for name in packed.namelist():
                path, _, start = name.rpartition("@")
                yield path, int(start), packed.read(name)
