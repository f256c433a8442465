"""The command line: ``python -m rasterizer info | render | texture | batch | demo | selftest | bench``.

Exit codes: 0 done, 1 a check failed or the work did (xatlas, PyTorch, a driver), 2 bad input, unusable files or too
little memory, 130 interrupted. Except for checks, one line on standard error says what; with --verbose, a traceback
goes before it where the work failed.

A command is the module of its name: ``add_arguments(parser)`` and ``run(options)``. Only the one that is asked for is
imported, because all of them need PyTorch, which takes seconds to load.
"""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import sys
import traceback
from collections.abc import Sequence

from ..version import __version__

COMMANDS = {
    "info": "device, versions and backends, for bug reports",
    "render": "draw one attribute of a mesh into a picture",
    "texture": "make the texture of a mesh from pictures of it, and write a GLB",
    "batch": "render, texture or bake many meshes, by processes that may die",
    "demo": "draw a built-in sample from six sides, texture it from the pictures",
    "selftest": "compare this machine's results with the plain reference, bit for bit",
    "bench": "measure modes and backends on this machine",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = _join_view(sys.argv[1:] if arguments is None else list(arguments))
    options = _parser(words).parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may have letters that Windows' old encodings lack
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    try:
        return int(options.run(options) or 0)
    except (ValueError, OSError, MemoryError) as error:
        print(f"rasterizer {options.command}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if options.verbose:
            traceback.print_exc()
        # PyTorch's go on for many lines, of which the first says what it is.
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        print(f"rasterizer {options.command}: {first}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"rasterizer {options.command}: interrupted", file=sys.stderr)
        return 130


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of all commands, of which the first among ``words`` knows its arguments."""
    parser = argparse.ArgumentParser(prog="python -m rasterizer", description="A triangle rasterizer in PyTorch.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--device", help="such as cpu, cuda:0, xpu or mps (default: the best there is)")
        command.add_argument("-v", "--verbose", action="store_true", help="say which backend runs, and why")
        if name == next((word for word in words if word in COMMANDS), ""):
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _join_view(arguments: list[str]) -> list[str]:
    """``--view -30,20`` as one word: argparse would take the value for an option."""
    if "--view" in arguments[:-1]:
        place = arguments.index("--view")
        arguments[place : place + 2] = [f"--view={arguments[place + 1]}"]
    return arguments
