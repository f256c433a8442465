"""The worker of the Ray engine, with the recipe for tests; it is run by its path, as the library's ``actor.py`` is."""

from __future__ import annotations

import sys
from typing import Any


class Actor:
    """Does jobs, also those of the recipe ``trial``."""

    def __init__(self, library: str, settings: dict[str, Any]) -> None:
        sys.path.insert(0, library)
        from rasterizer.batch.work import Worker
        from tests.support.batch import add_recipe

        add_recipe()
        self._worker = Worker(**settings)

    def ready(self) -> dict[str, Any]:
        return {"device": ",".join(map(str, self._worker.devices))}

    def begin(self) -> None:
        pass

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        return self._worker.do(job)
