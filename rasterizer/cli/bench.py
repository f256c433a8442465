"""``bench``: speed of modes and backends, or quality of baked textures, on this machine."""

from __future__ import annotations

import argparse
import json

from tqdm import tqdm

from ..diagnostics import speed
from ..diagnostics.info import backend_info
from .arguments import device_of, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.add_argument("--quick", action="store_true", help="three small cases instead of all")
    parser.add_argument(
        "--case",
        action="append",
        choices=speed.ALL,
        metavar="CASE",
        help="only this one; repeatable",
    )
    parser.add_argument(
        "--quality",
        action="store_true",
        help="measure baked textures instead, beside Hunyuan3D 2.1's with OpenCV, and 2.0's with hy3dgen and SciPy too",
    )
    parser.add_argument(
        "--busy", action="store_true", help="how the CPU's work suffers where other programs keep every core busy"
    )
    parser.add_argument("--mesh", help="with --quality: this mesh file, which has UVs, instead of the samples")
    parser.add_argument("--repeats", default=7, type=int, metavar="N", help="calls per measurement (default 7)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table")


def run(options: argparse.Namespace) -> None:
    """Print what was measured, as a table or as JSON."""
    device = device_of(options)
    if options.quality:
        from ..diagnostics import quality

        meshes = quality.variants(load(options.mesh)) if options.mesh else quality.samples()
        found = list(quality.measure(device, meshes))
        print(json.dumps([row.as_dict() for row in found], indent=2) if options.json else quality.markdown(found))
        return
    if options.mesh:
        raise ValueError("--mesh: goes with --quality")
    if options.busy:
        from ..diagnostics import busy

        measured = list(busy.measure())
        print(json.dumps([row.as_dict() for row in measured], indent=2) if options.json else busy.markdown(measured))
        return
    if options.repeats < 1:
        raise ValueError(f"--repeats: is {options.repeats}, expected at least 1")
    cases = tuple(options.case or (speed.QUICK if options.quick else speed.ALL))
    rows = []
    for measured in tqdm(
        speed.measure(device, cases, options.repeats), total=len(cases), unit="case", leave=False, disable=None
    ):
        rows += measured
    if options.json:
        document = {"info": backend_info(device).as_dict(), "rows": [row.as_dict() for row in rows]}
        print(json.dumps(document, indent=2))
        return
    if not options.markdown:
        print(backend_info(device), end="\n\n")
    print(speed.markdown(rows))
