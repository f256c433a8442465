"""The files that a mesh file refers to: only those in its own folder are ever opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..runtime.safe_names import relative_parts, shortened

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_NOCTTY"))


class MeshFolder:
    """The folder of one mesh file, as a place to read from.

    A mesh file may come from a stranger. What it names is read only if it is a regular file in the mesh's folder or
    below, reached without following a link.

    Args:
        path: the mesh file; None where there is none, only its bytes, and nothing is read.
    """

    def __init__(self, path: Path | None) -> None:
        self._folder = path.parent if path else None
        self._read: dict[tuple[str, ...], bytes] = {}

    @property
    def size(self) -> int:
        """Bytes of all files read so far."""
        return sum(map(len, self._read.values()))

    def read(self, name: str) -> bytes:
        """The bytes of the file that a mesh calls ``name``, whose backslashes and percent codes are understood.

        Exporters write paths of their author's machine, and uploads lose their folders: where nothing has that name,
        the file beside the mesh that is called as the name's last part is meant.

        Raises:
            FileNotFoundError: there is no such file, or it is none that a mesh may name; the text says why.
        """
        if self._folder is None:
            raise FileNotFoundError(
                f"'{shortened(name)}' is a file of its own, and this mesh came without any; a GLB has all in one file"
            )
        reason = ""
        decoded = unquote(name).strip()
        for candidate in (name.strip(), decoded, decoded.replace("\\", "/").rpartition("/")[2]):
            try:
                return self._file(self._folder, relative_parts(candidate))
            except (OSError, ValueError) as error:
                # Of the reasons, that a name is not allowed says more than that one of its readings is not there.
                reason = str(error) if isinstance(error, ValueError) and not reason else reason
        raise FileNotFoundError(
            f"'{shortened(name)}' {reason or 'is not there'}; only files in the mesh's own folder are read"
        )

    def _file(self, folder: Path, parts: tuple[str, ...]) -> bytes:
        # A file that is named many times is held in memory once.
        if parts not in self._read:
            path = folder
            for part in parts:
                path = path / part
                status = path.lstat()
                if stat.S_ISLNK(status.st_mode) or _is_reparse_point(status):
                    raise ValueError("is reached through a link")
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("is no regular file")
            with open(os.open(path, _FLAGS), "rb") as file:
                if not os.path.samestat(os.fstat(file.fileno()), status):
                    raise ValueError("has changed while it was opened")
                self._read[parts] = file.read()
        return self._read[parts]


def _is_reparse_point(status: os.stat_result) -> bool:
    """Whether a file is a link of Windows: junctions and mount points are none to Python's ``islink``."""
    return bool(getattr(status, "st_file_attributes", 0) & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0))


def resolver(get: Callable[[str], bytes]) -> Any:
    """``get(name)`` as what trimesh asks for files; whatever else trimesh wants of it is refused."""
    from trimesh.resolvers import Resolver

    class FolderResolver(Resolver):
        def __init__(self) -> None:  # the base class has none to call
            pass

        def get(self, key: str) -> bytes:
            return get(str(key))

        def keys(self) -> Any:
            return ()

        def write(self, name: str, data: Any) -> None:
            raise PermissionError("a mesh file writes nothing")

        def namespaced(self, namespace: str) -> Any:
            raise PermissionError("a mesh file has one folder")

    return FolderResolver()
