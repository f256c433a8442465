"""``info``: what this installation runs on."""

from __future__ import annotations

import argparse
import json

from .. import dropin
from ..diagnostics.info import backend_info
from .arguments import device_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> None:
    """Print the report."""
    dropin.install()  # to say who would provide what
    info = backend_info(device_of(options))
    print(json.dumps(info.as_dict(), indent=2) if options.json else info)
