"""What has happened, for reports: lines of JSON, a file for each run, so that two runs at once write no file together.

What is done is told by the output alone. From here follow only which jobs are not tried again unasked; a lost ledger
costs no more than another try.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..runtime.log import log

BLAMES = 2
"""So many workers may a job take down before it is not tried again."""


class Ledger:
    """The ledger of one run."""

    def __init__(self, folder: Path) -> None:
        seconds, rest = divmod(time.time_ns(), 10**9)
        stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}-{rest:09}"  # they are read in this order
        path = folder / f"{stamp}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self._warned = False

    def write(self, what: str, **values: Any) -> None:
        """Append a line: what has happened, when, and to what."""
        line = json.dumps({"time": round(time.time(), 3), "what": what, **values}, ensure_ascii=False) + "\n"
        try:
            os.write(self._file, line.encode("utf-8", "replace"))
        except OSError as error:  # the jobs may still find room
            if not self._warned:
                log.warning("The ledger cannot be written: %s", error)
            self._warned = True

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


@dataclass
class History:
    """What earlier runs have found.

    Attributes:
        failed: the last failure of each key, as the ledger has it.
        blames: how many workers each key has taken down.
        last: of the last run: the ids of its jobs with their keys, and the faults of its manifest.
    """

    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    blames: dict[str, int] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def read(folder: Path) -> History:
        """All ledgers of a folder, the oldest first."""
        history = History()
        for path in sorted(folder.glob("*.jsonl")):
            for event in _events(path):
                history._take(event)
        return history

    def _take(self, event: dict[str, Any]) -> None:
        what, key = event.get("what"), str(event.get("key", ""))
        if what == "run":
            self.last, self.faults = {}, []
        elif what == "queued":
            self.last[str(event.get("id"))] = key
        elif what == "refused":
            self.faults.append(event)
        elif what == "failed":
            self.failed[key] = event
        elif what == "blamed":
            self.blames[key] = self.blames.get(key, 0) + 1
        elif what in ("done", "retried"):
            self.failed.pop(key, None)
            self.blames.pop(key, None)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            with suppress(ValueError):  # a process was killed while it wrote the last one
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event
