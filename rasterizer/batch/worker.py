"""A worker of the local engine: ``python worker.py SETTINGS``, run by its path.

SETTINGS are JSON of :func:`serve`'s arguments. Jobs come by standard input, a line of JSON each, ``null`` being the
last; what becomes of them goes out by standard output. When standard input ends before, the process that gives jobs has
ended, and this one does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve()
    # The neighbours of this file are no modules of anybody else. Not every Python puts them first.
    if sys.path and Path(sys.path[0]).resolve() == here.parent:
        del sys.path[0]
    sys.path.insert(0, str(here.parents[2]))

    from rasterizer.batch.serve import serve

    serve(**json.loads(sys.argv[1]))
