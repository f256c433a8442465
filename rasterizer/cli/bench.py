"""``bench``: speed of modes and backends, or of differentiable primitives; or quality of baked textures."""

from __future__ import annotations

import argparse
import json

import torch
from tqdm import tqdm

from ..diagnostics import diff_speed, diff_table, speed
from ..diagnostics.diff_backends import chosen_backends
from ..diagnostics.info import backend_info
from ..diagnostics.painters import PAINTERS
from ..meshes.sample_meshes import SAMPLES, sample_mesh
from ..runtime.files import write_atomically
from .arguments import device_of, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.add_argument("--quick", action="store_true", help="a few small cases instead of all")
    parser.add_argument(
        "--case",
        action="append",
        choices=(*speed.ALL, *diff_speed.ALL),
        metavar="CASE",
        help="only this one; repeatable",
    )
    parser.add_argument(
        "--diff",
        action="store_true",
        help="measure the differentiable primitives instead, forward and backward, beside nvdiffrast where installed",
    )
    parser.add_argument(
        "--quality",
        action="store_true",
        help="measure baked textures instead, beside Hunyuan3D 2.1's with OpenCV, and 2.0's with hy3dgen and SciPy too",
    )
    parser.add_argument(
        "--busy", action="store_true", help="how the CPU's work suffers where other programs keep every core busy"
    )
    parser.add_argument("--giant", action="store_true", help="hundreds of millions of triangles, on a large GPU")
    parser.add_argument(
        "--mesh",
        help="with --quality: this mesh file, which has UVs, instead of the samples; with --giant: what there are "
        "instances of",
    )
    parser.add_argument(
        "--painted", action="store_true", help="with --quality: from views that do not agree, ours with every switch"
    )
    parser.add_argument("--seed", default=1, type=int, metavar="N", help="with --painted: of the painters (default 1)")
    parser.add_argument(
        "--painters", metavar="A,B", help=f"with --painted: only these of {', '.join(PAINTERS)} (default all)"
    )
    parser.add_argument(
        "--size", type=int, metavar="N", help="with --quality: texels a side (default 1024), at least 64"
    )
    parser.add_argument("--repeats", default=7, type=int, metavar="N", help="calls per measurement (default 7)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table")
    parser.add_argument("--save", metavar="FILE", help="with --diff: write what is known as JSON after every case, too")


def run(options: argparse.Namespace) -> None:
    """Print what was measured, as a table or as JSON."""
    device = device_of(options)
    if options.quality:
        (_run_painted if options.painted else _run_quality)(options, device)
        return
    if options.giant:
        _run_giant(options, device)
        return
    for name in ("mesh", "size", "painted", "painters"):
        if getattr(options, name):
            raise ValueError(f"--{name}: goes with --quality")
    if options.busy:
        from ..diagnostics import busy

        measured = list(busy.measure())
        print(json.dumps([row.as_dict() for row in measured], indent=2) if options.json else busy.markdown(measured))
        return
    if options.repeats < 1:
        raise ValueError(f"--repeats: is {options.repeats}, expected at least 1")
    if options.save and not options.diff:
        raise ValueError("--save: goes with --diff")
    known = diff_speed.ALL if options.diff else speed.ALL
    if others := [case for case in options.case or () if case not in known]:
        raise ValueError(f"--case: {others[0]!r} goes {'without' if options.diff else 'with'} --diff")
    (_run_diff if options.diff else _run_speed)(options, device)


def _size(options: argparse.Namespace) -> int:
    size = 1024 if options.size is None else options.size
    if not 64 <= size <= 8192:
        raise ValueError(f"--size: is {size}, expected 64 to 8192 texels")
    return size


def _run_quality(options: argparse.Namespace, device: torch.device) -> None:
    from ..diagnostics import quality

    if options.painters:
        raise ValueError("--painters: goes with --painted")
    meshes = quality.variants(load(options.mesh)) if options.mesh else quality.samples()
    found = list(quality.measure(device, meshes, _size(options)))
    print(json.dumps([row.as_dict() for row in found], indent=2) if options.json else quality.markdown(found))


def _run_giant(options: argparse.Namespace, device: torch.device) -> None:
    from ..diagnostics import giant

    mesh = load(options.mesh) if options.mesh else sample_mesh(SAMPLES[0])
    runs = giant.measure(device, mesh, options.repeats)
    rows = list(tqdm(runs, total=len(giant.CASES), unit="case", leave=False, disable=None))
    print(json.dumps([row.as_dict() for row in rows], indent=2) if options.json else giant.markdown(rows))


def _run_painted(options: argparse.Namespace, device: torch.device) -> None:
    from ..diagnostics import painted

    size, names = _size(options), (options.painters or ",".join(PAINTERS)).split(",")
    if unknown := [name for name in names if name not in PAINTERS]:
        raise ValueError(f"--painters: {unknown[0]!r} is none, expected some of {', '.join(PAINTERS)}")
    subjects = [painted.subject_of(load(options.mesh))] if options.mesh else painted.samples()
    methods = painted.find_methods(device)
    runs = painted.measure(subjects, methods, names, options.seed, size)
    total = len(subjects) * len(methods) * len(names)
    rows = list(tqdm(runs, total=total, unit="texture", leave=False, disable=None))
    if options.json:
        document = {"seed": options.seed, "size": size, "rows": [row.as_dict() for row in rows]}
        print(json.dumps(document, indent=2))
        return
    print(painted.markdown(rows, options.seed, size))


def _run_speed(options: argparse.Namespace, device: torch.device) -> None:
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


def _run_diff(options: argparse.Namespace, device: torch.device) -> None:
    cases = tuple(options.case or diff_speed.default_cases(device, options.quick))
    info, steps = backend_info(device), chosen_backends(device)
    rows: dict[tuple[str, str, str], diff_speed.Row] = {}

    def document() -> str:
        found = [row.as_dict() for row in rows.values()]
        means = diff_table.summary(rows.values())
        return json.dumps({"info": info.as_dict(), "steps": steps, "rows": found, "summary": means}, indent=2)

    runs = diff_speed.measure(device, cases, options.repeats)
    total = len(cases) * diff_speed.passes(device)
    for measured in tqdm(runs, total=total, unit="case", leave=False, disable=None):
        rows.update({(row.case, row.step, row.library): row for row in measured})
        if options.save:
            write_atomically(options.save, lambda file: file.write_text(document(), "utf-8"))
    if options.json:
        print(document())
        return
    if not options.markdown:
        print(info)
        for backend in dict.fromkeys(steps.values()):
            done = ", ".join(name for name, chosen in steps.items() if chosen == backend)
            print(f"Differentiable primitives by {backend}: {done}".replace("_", " "))
        print()
    print(diff_table.markdown(list(rows.values())))
