"""``selftest``: this machine's results beside the plain reference's."""

from __future__ import annotations

import argparse

from ..diagnostics import selftest
from ..diagnostics.info import backend_info
from ..ops import backend_names
from .arguments import device_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.add_argument("--backend", default="auto", choices=("auto", *backend_names()))


def run(options: argparse.Namespace) -> int:
    """Print a line for each check; 1 if one failed."""
    device = device_of(options)
    print(backend_info(device), end="\n\n")
    failed = 0
    for check in selftest.run(device, options.backend):
        failed += not check.passed
        print(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}")
    print(
        "\nEverything agrees with the reference."
        if not failed
        else f"\n{failed} checks FAILED: please report this text."
    )
    return 1 if failed else 0
