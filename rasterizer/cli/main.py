"""The command line: ``python -m rasterizer info | render | texture | demo | selftest | bench``.

Exit codes: 0 done, 1 a check failed or the work did (xatlas, PyTorch, a driver), 2 bad input, unusable files or too
little memory, 130 interrupted. Except for checks, one line on standard error says what; with --verbose, a traceback
goes before it where the work failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from .. import dropin
from ..cameras.camera import orbit_camera
from ..cameras.views import PRESETS, turntable, with_lens
from ..contract.types import MODES
from ..diagnostics import selftest, speed
from ..diagnostics.info import backend_info
from ..meshes.files import load_mesh, save_mesh
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import SAMPLES, sample_mesh
from ..ops import TILE_SIZE, backend_names
from ..pictures.files import load_images, save_image
from ..rendering.attributes import ATTRIBUTES, ENCODINGS, SHADINGS, attribute_image
from ..rendering.raster import rasterize_mesh
from ..runtime.devices import default_device
from ..runtime.progress import shares
from ..texturing import METHODS, apply_textures, bake_views, fill_texture
from ..texturing.unwrap.unwrap import unwrap_uv
from ..version import __version__
from . import demo

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(_join_view(sys.argv[1:] if arguments is None else list(arguments)))
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rasterizer", description="A triangle rasterizer in PyTorch.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--device", help="such as cpu, cuda:0, xpu or mps (default: the best there is)")
        sub.add_argument("-v", "--verbose", action="store_true", help="say which backend runs, and why")
        sub.set_defaults(run=run)
        return sub

    sub = command("info", _info, "device, versions and backends, for bug reports")
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = command("render", _render, "draw one attribute of a mesh into a picture")
    sub.add_argument("mesh", help=f"a mesh file, or a built-in sample: {', '.join(SAMPLES)}")
    sub.add_argument("-o", "--output", required=True, type=Path, metavar="PNG")
    sub.add_argument("--view", default=(0.0, 0.0), type=_view, metavar="AZIM,ELEV", help="degrees (default 0,0: front)")
    sub.add_argument("--size", default=(1024, 1024), type=_size, metavar="N or WxH", help="pixels (default 1024)")
    sub.add_argument(
        "--attribute",
        default="normal",
        type=_dashes,
        choices=ATTRIBUTES,
        metavar="NAME",
        help=", ".join(name.replace(" ", "-") for name in ATTRIBUTES),
    )
    sub.add_argument("--shading", default="smooth", choices=SHADINGS)
    sub.add_argument("--encoding", default="hunyuan3d", choices=[name for name in ENCODINGS if name != "raw"])
    sub.add_argument(
        "--perspective", type=float, metavar="FOV", help="vertical angle in degrees (default orthographic)"
    )
    sub.add_argument("--background", default=(1.0, 1.0, 1.0), type=_color, metavar="#RRGGBB", help="default #ffffff")
    sub.add_argument("--mode", default="auto", choices=MODES)
    sub.add_argument("--backend", default="auto", choices=("auto", *backend_names()))
    sub.add_argument("--tile-size", default=TILE_SIZE, type=int, metavar="N")

    sub = command("texture", _texture, "make the texture of a mesh from pictures of it, and write a GLB")
    sub.add_argument("mesh", help=f"a mesh file, or a built-in sample: {', '.join(SAMPLES)}")
    sub.add_argument("--views", required=True, type=Path, metavar="DIR", help="folder of pictures, sorted by name")
    sub.add_argument(
        "--cameras",
        default="hunyuan3d-2",
        choices=(*PRESETS, "turntable"),
        help="where they were taken from: six views (front, right, back, left, top, bottom), or any number around",
    )
    sub.add_argument("--perspective", type=float, metavar="FOV", help="as in render")
    sub.add_argument("-o", "--output", required=True, type=Path, metavar="GLB", help="or .obj")
    sub.add_argument("--size", default=2048, type=int, metavar="N", help="of the texture (default 2048)")
    sub.add_argument("--method", default=METHODS[0], type=_dashes, choices=METHODS, help="how gaps are filled")

    sub = command("demo", _demo, "draw a built-in sample from six sides, texture it from the pictures")
    sub.add_argument("output", nargs="?", default=Path("demo_output"), type=Path, metavar="OUT", help="a folder")

    sub = command("selftest", _selftest, "compare this machine's results with the plain reference, bit for bit")
    sub.add_argument("--backend", default="auto", choices=("auto", *backend_names()))

    sub = command("bench", _bench, "measure modes and backends on this machine")
    sub.add_argument("--quick", action="store_true", help="three small cases instead of all")
    sub.add_argument(
        "--case",
        action="append",
        choices=speed.ALL,
        metavar="CASE",
        help="only this one; repeatable",
    )
    sub.add_argument(
        "--quality",
        action="store_true",
        help="measure baked textures instead, beside Hunyuan3D 2.1's with OpenCV, and 2.0's with hy3dgen and SciPy too",
    )
    sub.add_argument(
        "--busy", action="store_true", help="how the CPU's work suffers where other programs keep every core busy"
    )
    sub.add_argument("--mesh", help="with --quality: this mesh file, which has UVs, instead of the samples")
    sub.add_argument("--repeats", default=7, type=int, metavar="N", help="calls per measurement (default 7)")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.add_argument("--markdown", action="store_true", help="as a Markdown table")
    return parser


def _device(options: argparse.Namespace) -> torch.device:
    if options.device is None:
        return default_device()
    try:
        device = torch.device(options.device)
        if device.type not in ("cpu", "cuda", "xpu", "mps"):
            raise RuntimeError("expected cpu, cuda, xpu or mps")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device: {options.device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def _info(options: argparse.Namespace) -> None:
    dropin.install()  # to say who would provide what
    info = backend_info(_device(options))
    print(json.dumps(info.as_dict(), indent=2) if options.json else info)


def _load(name: str) -> Mesh:
    if name in SAMPLES:
        return sample_mesh(name)
    return load_mesh(name)


def _render(options: argparse.Namespace) -> None:
    mesh = _load(options.mesh).to(_device(options))
    scale = {"ortho_scale": 1.2} if options.perspective is None else {"ortho_scale": None, "fov": options.perspective}
    camera = orbit_camera(*options.view, **scale)
    width, height = options.size
    start = time.perf_counter()
    with tqdm(total=100, desc="Rasterizing", unit="%", delay=1.0, leave=False, disable=None) as bar:
        raster = rasterize_mesh(
            mesh,
            [camera],
            (height, width),
            mode=options.mode,
            tile_size=options.tile_size,
            backend=options.backend,
            on_progress=lambda share: bar.update(round(100 * share) - bar.n),
        )
    image = attribute_image(raster, options.attribute, options.shading, options.encoding, options.background)
    save_image(image[0, 0], options.output)
    seconds = time.perf_counter() - start
    print(
        f"{options.output}: {options.attribute} of {len(mesh.faces)} faces, {width} x {height}, {seconds:.2f} s "
        f"({raster.info})"
    )
    if raster.info.invalid_faces > 0:
        print(f"{raster.info.invalid_faces} faces with a NaN or infinite vertex were left out")


def _texture(options: argparse.Namespace) -> None:
    mesh = _load(options.mesh).to(_device(options))
    if options.output.suffix.lower() not in (".glb", ".obj"):
        raise ValueError(f"--output: {options.output} has suffix '{options.output.suffix}', expected .glb or .obj")
    files = sorted(path for path in options.views.iterdir() if path.suffix.lower() in _PICTURES)
    views = turntable(len(files)) if options.cameras == "turntable" and files else PRESETS.get(options.cameras, ())
    if len(files) != len(views) or not files:
        expected = "at least one" if options.cameras == "turntable" else f"{len(views)} for {options.cameras}"
        raise ValueError(f"--views: {options.views} has {len(files)} pictures, expected {expected}")
    if options.perspective is not None:
        views = with_lens(views, "perspective", fov=options.perspective)
    cameras = [view.camera() for view in views]
    images = load_images(files)
    start = time.perf_counter()
    with tqdm(total=100, desc="Texturing", unit="%", delay=1.0, leave=False, disable=None) as bar:
        unwrapping, baking, filling = shares(lambda share: bar.update(round(100 * share) - bar.n), 3)
        if mesh.uvs is None:
            mesh = unwrap_uv(mesh, options.size, on_progress=unwrapping)
        baked = bake_views(mesh, images.to(mesh.vertices.device), cameras, options.size, on_progress=baking)
        texture, filled = fill_texture(baked.texture, baked.painted, mesh, options.method, on_progress=filling)
    save_mesh(apply_textures(mesh, texture), options.output)
    covered = int(baked.covered.sum())
    print(
        f"{options.output}: {len(files)} views, texture {options.size} x {options.size}, "
        f"{int(baked.painted.sum()) / max(covered, 1):.1%} painted, {int(filled.sum()) / max(covered, 1):.1%} filled, "
        f"{time.perf_counter() - start:.2f} s"
    )


def _demo(options: argparse.Namespace) -> None:
    demo.run(options.output, _device(options))


def _selftest(options: argparse.Namespace) -> int:
    device = _device(options)
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


def _bench(options: argparse.Namespace) -> None:
    device = _device(options)
    if options.quality:
        from ..diagnostics import quality

        meshes = quality.variants(_load(options.mesh)) if options.mesh else quality.samples()
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


def _join_view(arguments: list[str]) -> list[str]:
    """``--view -30,20`` as one word: argparse would take the value for an option."""
    if "--view" in arguments[:-1]:
        place = arguments.index("--view")
        arguments[place : place + 2] = [f"--view={arguments[place + 1]}"]
    return arguments


def _view(text: str) -> tuple[float, float]:
    try:
        azimuth, elevation = (float(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected AZIM,ELEV in degrees, such as 30,20") from None
    return azimuth, elevation


def _size(text: str) -> tuple[int, int]:
    try:
        sides = [int(value) for value in text.lower().split("x")]
        width, height = sides * 2 if len(sides) == 1 else sides
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected N or WIDTHxHEIGHT in pixels") from None
    return width, height


def _color(text: str) -> tuple[float, float, float]:
    from ..pictures.colors import parse_color

    try:
        return parse_color(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _dashes(text: str) -> str:
    return text.replace("-", " ")
