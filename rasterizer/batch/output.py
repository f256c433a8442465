"""The folder of a batch: what is in it is done, and nothing else is.

``OUT/<id>/`` holds a job's files and ``done.json``, and appears by one rename: it is whole or not there.
``OUT/.batch/`` holds what is being written (``work/``), the ledgers of runs (``ledger/``) and what workers have said
(``logs/``).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..runtime.files import flush, flush_folder
from ..runtime.leftovers import remove_leftovers, temporary_name
from .jobs import sha256_of

DONE = "done.json"
_OWN = ".batch"
_TRIES = 20  # of a rename; another worker, or Windows' search for viruses, may be in the way for a moment
_PAUSE = 0.25 if os.name == "nt" else 0.05


class Output:
    """The output folder of a batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / _OWN / "ledger"
        self.logs = folder / _OWN / "logs"
        self._work = folder / _OWN / "work"

    def make(self) -> None:
        """Make the folders, and remove what processes have left that are no more.

        Raises:
            OSError: that cannot be done there.
        """
        for folder in (self.ledger, self.logs, self._work):
            folder.mkdir(parents=True, exist_ok=True)
        self.clear()

    def clear(self) -> None:
        """Remove what processes have left that are no more."""
        remove_leftovers(self._work, folders=True)
        remove_leftovers(self.logs)

    def is_batch(self) -> bool:
        """Whether a batch has written there."""
        return (self.folder / _OWN).is_dir()

    def done(self, job_id: str) -> dict[str, Any] | None:
        """What ``done.json`` says of a job; None where it is not done."""
        return _read(self.folder / job_id / DONE)

    def all_done(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every job that is done, by its id."""
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if not entry.name.startswith(".") and (found := _read(Path(entry.path, DONE))) is not None:
                    yield entry.name, found

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A new folder to write a job's files in, removed at the end of this context unless it was published."""
        folder = self._work / temporary_name()
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, job_id: str, done: Mapping[str, Any], replace: bool = False) -> bool:
        """Write ``done.json`` into a job's folder, wait until all of it is on the disk, and give it its name.

        What has the name and is of another key is replaced; what no batch has written stays.

        Args:
            folder: of :meth:`temporary`, with the files in it.
            job_id: the name.
            done: what to say of the job, with its ``key``; ``files`` are added.
            replace: also replace what is of the same key.

        Returns:
            Whether this one got the name. Else another worker was faster, and its files stay.

        Raises:
            OSError: the disk is full, the folder cannot be renamed, or something else has the name.
        """
        files = {}
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            files[path.relative_to(folder).as_posix()] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
            flush(path)
        text = json.dumps({**done, "files": files}, indent=1, ensure_ascii=False)
        (folder / DONE).write_text(text, encoding="utf-8")
        flush(folder / DONE)
        flush_folder(folder)
        won = self._place(folder, self.folder / job_id, str(done["key"]), replace)
        flush_folder(self.folder)
        return won

    def _place(self, folder: Path, target: Path, key: str, replace: bool) -> bool:
        for number in range(_TRIES):
            try:
                os.rename(folder, target)
                return True
            except OSError:
                there = _read(target / DONE)
                if there is not None and there.get("key") == key and not replace:
                    return False
                if number == _TRIES - 1:
                    if there is None and os.path.lexists(target):
                        text = f"{target} is there and no batch has written it; expected a free name: move it away"
                        raise FileExistsError(text) from None
                    raise
                if there is not None:
                    self._put_aside(target)
                else:
                    time.sleep(_PAUSE)
        raise AssertionError("the last try returns or raises")

    def _put_aside(self, target: Path) -> None:
        aside = self._work / temporary_name()
        try:
            os.rename(target, aside)
        except OSError:  # another worker has done so, or something there is open on Windows
            time.sleep(_PAUSE)
        else:
            shutil.rmtree(aside, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "key" in found else None
