"""``batch``: a recipe on every mesh of a manifest, and what has become of it.

What lives as long as the batch imports no PyTorch, which would take more memory than all the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

from ..batch.cluster import RayEngine, import_ray
from ..batch.engine import Engine
from ..batch.jobs import RECIPE_NAMES
from ..batch.local import LocalEngine
from ..batch.output import Output
from ..batch.progress import KINDS
from ..batch.reading import read_apart
from ..batch.run import Settings, run_batch
from ..runtime.files import write_atomically

_ACTIONS = ("scan", "status", "report")
_USAGE = """%(prog)s MANIFEST -o OUT --recipe NAME [options]
       %(prog)s scan FOLDER [-o MANIFEST]
       %(prog)s status OUT [--json]
       %(prog)s report OUT -o FOLDER"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.usage = _USAGE
    parser.add_argument(
        "words", nargs="+", metavar="MANIFEST", help="JSONL or Parquet; or scan, status or report and a folder"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="a folder; of scan, the manifest to write")
    parser.add_argument("--recipe", choices=RECIPE_NAMES, help="what is to be done with each mesh")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="a parameter of the recipe for all meshes, as JSON or as a word; repeatable",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="where paths lie (default: the manifest's folder)")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="this machine, or Ray (default local)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of a Ray cluster; auto finds that of this machine (default: a new Ray here)",
    )
    parser.add_argument("--workers", type=_count, metavar="N", help="processes (default: one a GPU, or for two cores)")
    parser.add_argument("--per-gpu", default=1, type=_count, metavar="K", help="processes that share a GPU (default 1)")
    parser.add_argument(
        "--gpus-per-worker",
        default=1,
        type=_count,
        metavar="N",
        help="GPUs that a process shares the views of a mesh out among (default 1)",
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S", help="seconds that a mesh may take (default: any time)"
    )
    parser.add_argument("--retry", choices=("failed",), help="try again what has failed before")
    parser.add_argument("--force", action="store_true", help="do everything again, also what is done")
    parser.add_argument("--hash", action="store_true", help="know inputs by their content, not by size and time")
    parser.add_argument("--progress", choices=KINDS, default=KINDS[0], help="how to tell (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="with status: as JSON")


def run(options: argparse.Namespace) -> int:
    """Run a manifest, or do what the first word says."""
    first, *others = options.words
    if first in _ACTIONS and len(others) == 1:
        return {"scan": _scan, "status": _status, "report": _report}[first](options, Path(others[0]))
    if others:
        raise ValueError(f"{first}: is followed by {others[0]!r}, expected a manifest, or one of {', '.join(_ACTIONS)}")
    for name in ("output", "recipe"):
        if getattr(options, name) is None:
            raise ValueError(f"--{name}: is needed to run a manifest")
    settings = Settings(
        manifest=Path(first),
        output=options.output,
        recipe=options.recipe,
        timeout=options.timeout,
        retry=options.retry is not None,
        force=options.force,
        progress=options.progress,
    )
    ray, together = options.engine == "ray", options.gpus_per_worker
    if together > 1 and options.per_gpu > 1:
        raise ValueError(
            f"--gpus-per-worker: is {together} with --per-gpu {options.per_gpu}, expected one of them to be 1"
        )
    if ray:
        import_ray()
    elif options.address is not None:
        raise ValueError(f"--address: is {options.address!r}, expected none without --engine ray")
    device = "cpu" if ray else options.device  # of a cluster's nodes, this machine knows nothing
    manifest, on = read_apart(
        settings.manifest,
        settings.recipe,
        dict(options.set),
        options.root,
        options.hash,
        device,
        1 if ray else together,
    )
    shared = (options.workers, options.per_gpu, options.force)

    def engine_for(output: Output) -> Engine:
        if ray:
            return RayEngine(output, options.device, *shared, options.address, gpus_per_worker=together)
        return LocalEngine(output, on, *shared)

    return run_batch(settings, manifest, engine_for)


def _scan(options: argparse.Namespace, folder: Path) -> int:
    from ..batch.scan import manifest_text, scan

    target = options.output or folder / "manifest.jsonl"
    text = manifest_text(scan(folder))
    count = text.count("\n")
    if not count:
        raise ValueError(f"{folder}: has no mesh file in it or below")
    write_atomically(target, lambda path: path.write_text(text, encoding="utf-8"))
    root = "" if os.path.abspath(target.parent) == os.path.abspath(folder) else f"; run it with --root {folder}"
    print(f"{target}: {count} meshes{root}")
    return 0


def _status(options: argparse.Namespace, folder: Path) -> int:
    from ..batch.report import counts, rows

    listed = rows(_batch(folder))
    found = counts(listed)
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{folder}: {', '.join(f'{number} {state}' for state, number in found.items())}")
        for row in listed:
            if row["state"] in ("failed", "quarantine", "refused"):
                print(f"  {row['id'] or '(no id)'}: {row['state']}: {row['error']}")
    return 0 if found["done"] == len(listed) else 1


def _report(options: argparse.Namespace, folder: Path) -> int:
    from ..batch.report import write_report

    if options.output is None:
        raise ValueError("--output: is needed, the folder for the report")
    for path in write_report(_batch(folder), options.output):
        print(path)
    return 0


def _batch(folder: Path) -> Output:
    output = Output(folder)
    if not output.is_batch():
        raise ValueError(f"{folder}: is no output folder of a batch")
    return output


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r}, expected NAME=VALUE, such as size=1024")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 to 1024")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r}, expected seconds above 0")
    return seconds
