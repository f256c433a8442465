"""``python -m rasterizer``."""

import sys

from .cli import main

sys.exit(main())
