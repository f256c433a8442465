"""The worker of the Ray engine: a class that is sent to Ray's processes as it stands here.

The driver runs this file by its path, so that Ray finds no module for the class and takes its code along. It knows the
library by a folder, or as it is installed on the node: a module's name would not do, because ComfyUI knows the pack by
its path.
"""

from __future__ import annotations

import os
import sys
from typing import Any


class Actor:
    """Does jobs, one after the other; see :class:`rasterizer.batch.work.Worker`."""

    def __init__(self, library: str, settings: dict[str, Any]) -> None:
        """Import the library, and test the devices.

        Args:
            library: the folder that ``rasterizer`` lies in where the driver runs.
            settings: arguments of :class:`~rasterizer.batch.work.Worker`.
        """
        if os.path.isdir(os.path.join(library, "rasterizer")):
            sys.path.insert(0, library)
        try:
            from rasterizer.batch.work import Worker
        except ModuleNotFoundError as error:
            raise RuntimeError(
                f"No module named {error.name!r} on this node: the library is needed there as where the command runs, "
                f"at {library} or installed"
            ) from None

        self._worker = Worker(**settings)

    def ready(self) -> dict[str, Any]:
        """Answers when the devices are tested."""
        return {"device": ",".join(map(str, self._worker.devices))}

    def begin(self) -> None:
        """Answers if the worker lives: after that, and not before, its job is to blame for its death."""

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do a job, which comes and goes as values of JSON."""
        return self._worker.do(job)
