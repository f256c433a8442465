"""Reads a manifest: ``python reader.py SETTINGS``, run by its path, as ``worker.py`` is.

SETTINGS are JSON of the arguments of :func:`rasterizer.batch.reading.read_apart`, and of the id of the process that
waits, ``parent``.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who has started this one says that it was interrupted
    here = Path(__file__).resolve()
    # The neighbours of this file are no modules of anybody else. Not every Python puts them first.
    if sys.path and Path(sys.path[0]).resolve() == here.parent:
        del sys.path[0]
    sys.path.insert(0, str(here.parents[2]))

    from rasterizer.batch.reading import answer

    answer(json.loads(sys.argv[1]))
