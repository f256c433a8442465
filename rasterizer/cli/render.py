"""``render``: a mesh into a picture, one of its attributes or lit."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tqdm import tqdm

from ..cameras.camera import orbit_camera
from ..contract.types import MODES
from ..ops import TILE_SIZE, backend_names
from ..pictures.files import save_image
from ..rendering.attributes import ATTRIBUTES, ENCODINGS, SHADINGS, attribute_image
from ..rendering.lit import render_mesh
from ..rendering.raster import rasterize_mesh
from .arguments import MESH, color, dashes, device_of, load, size, view

_LIT = "lit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.add_argument("mesh", help=MESH)
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="PNG")
    parser.add_argument(
        "--view", default=(0.0, 0.0), type=view, metavar="AZIM,ELEV", help="degrees (default 0,0: front)"
    )
    parser.add_argument("--size", default=(1024, 1024), type=size, metavar="N or WxH", help="pixels (default 1024)")
    parser.add_argument(
        "--attribute",
        default="normal",
        type=dashes,
        choices=(*ATTRIBUTES, _LIT),
        metavar="NAME",
        help=f"{', '.join(name.replace(' ', '-') for name in ATTRIBUTES)}; or {_LIT}: as it looks in studio light",
    )
    parser.add_argument("--shading", default="smooth", choices=SHADINGS)
    parser.add_argument("--encoding", default="hunyuan3d", choices=[name for name in ENCODINGS if name != "raw"])
    parser.add_argument(
        "--perspective", type=float, metavar="FOV", help="vertical angle in degrees (default orthographic)"
    )
    parser.add_argument("--background", default=(1.0, 1.0, 1.0), type=color, metavar="#RRGGBB", help="default #ffffff")
    parser.add_argument("--mode", default="auto", choices=MODES)
    parser.add_argument("--backend", default="auto", choices=("auto", *backend_names()))
    parser.add_argument("--tile-size", default=TILE_SIZE, type=int, metavar="N")


def run(options: argparse.Namespace) -> None:
    """Draw the picture, and print what it shows."""
    mesh = load(options.mesh).to(device_of(options))
    scale = {"ortho_scale": 1.2} if options.perspective is None else {"ortho_scale": None, "fov": options.perspective}
    camera = orbit_camera(*options.view, **scale)
    width, height = options.size
    start = time.perf_counter()
    with tqdm(total=100, desc="Rendering", unit="%", delay=1.0, leave=False, disable=None) as bar:

        def report(share: float) -> None:
            bar.update(round(100 * share) - bar.n)

        if options.attribute == _LIT:
            look = {"background_color": options.background, "shading": options.shading, "on_progress": report}
            save_image(render_mesh(mesh, [camera], (height, width), **look).color[0], options.output)
            print(_result(options, len(mesh.faces), time.perf_counter() - start))
            return
        raster = rasterize_mesh(
            mesh,
            [camera],
            (height, width),
            mode=options.mode,
            tile_size=options.tile_size,
            backend=options.backend,
            on_progress=report,
        )
    image = attribute_image(raster, options.attribute, options.shading, options.encoding, options.background)
    save_image(image[0, 0], options.output)
    print(f"{_result(options, len(mesh.faces), time.perf_counter() - start)} ({raster.info})")
    if raster.info.invalid_faces > 0:
        print(f"{raster.info.invalid_faces} faces with a NaN or infinite vertex were left out")


def _result(options: argparse.Namespace, faces: int, seconds: float) -> str:
    width, height = options.size
    return f"{options.output}: {options.attribute} of {faces} faces, {width} x {height}, {seconds:.2f} s"
