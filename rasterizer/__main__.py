"""``python -m rasterizer``, or ``python path/to/rasterizer`` for Pythons that ignore the current folder."""

import sys

if not __package__:
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rasterizer.cli.main import main

sys.exit(main())
