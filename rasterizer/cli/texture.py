"""``texture``: the texture of a mesh from pictures of it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tqdm import tqdm

from ..cameras.views import PRESETS, turntable, with_lens
from ..meshes.files import save_mesh
from ..meshes.simplify import simplify_mesh
from ..pictures.files import load_images
from ..runtime.progress import shares
from ..texturing import BLENDS, METHODS, apply_textures, bake_views, fill_texture, refine_texture
from ..texturing.refine.refine import STEPS
from ..texturing.unwrap.unwrap import unwrap_uv
from .arguments import MESH, dashes, devices_of, load

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.epilog = "--device may name several, such as cuda:0,cuda:1: views are shared out among them."
    parser.add_argument("mesh", help=MESH)
    parser.add_argument("--views", required=True, type=Path, metavar="DIR", help="folder of pictures, sorted by name")
    parser.add_argument(
        "--cameras",
        default="hunyuan3d-2",
        choices=(*PRESETS, "turntable"),
        help="where they were taken from: six views (front, right, back, left, top, bottom), or any number around",
    )
    parser.add_argument("--perspective", type=float, metavar="FOV", help="as in render")
    parser.add_argument("--faces", type=int, metavar="N", help="simplify the mesh to that many faces first")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="GLB", help="or .obj")
    parser.add_argument("--size", default=2048, type=int, metavar="N", help="of the texture (default 2048)")
    parser.add_argument(
        "--match-colors",
        default=True,
        action=argparse.BooleanOptionalAction,
        help="give pictures the gains with which overlapping ones agree (default)",
    )
    parser.add_argument(
        "--align-views",
        default=3,
        type=int,
        metavar="N",
        help="rounds in which features of pictures are moved towards each other (default 3; 0 for renders)",
    )
    parser.add_argument(
        "--blend", default=BLENDS[0], choices=BLENDS, help="how pictures are blended (default %(default)s)"
    )
    parser.add_argument(
        "--refine",
        nargs="?",
        const=STEPS,
        default=0,
        type=int,
        metavar="STEPS",
        help="then change the texture until, seen through the same cameras, it gives back the pictures: sharper, and "
        f"slower (default {STEPS} steps)",
    )
    parser.add_argument(
        "--quantize", action="store_true", help="write positions, normals and UVs as integers of 16 bits; GLB only"
    )
    parser.add_argument("--method", default=METHODS[0], type=dashes, choices=METHODS, help="how gaps are filled")


def run(options: argparse.Namespace) -> None:
    """Make the texture, write the mesh, and print how much was painted and filled."""
    devices = devices_of(options)
    mesh = load(options.mesh).to(devices[0])
    if options.output.suffix.lower() not in (".glb", ".obj"):
        raise ValueError(f"--output: {options.output} has suffix '{options.output.suffix}', expected .glb or .obj")
    if options.quantize and options.output.suffix.lower() != ".glb":
        raise ValueError(f"--quantize: {options.output} is none, expected a .glb to write integers into")
    files = sorted(path for path in options.views.iterdir() if path.suffix.lower() in _SUFFIXES)
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
        parts = shares(lambda share: bar.update(round(100 * share) - bar.n), 5)
        simplifying, unwrapping, baking, refining, filling = parts
        if options.faces is not None:
            mesh = simplify_mesh(mesh, options.faces, on_progress=simplifying)
        if mesh.uvs is None:
            mesh = unwrap_uv(mesh, options.size, on_progress=unwrapping)
        images = images.to(mesh.vertices.device)
        baked = bake_views(
            mesh,
            images,
            cameras,
            options.size,
            match_colors=options.match_colors,
            align_views=options.align_views,
            blend=options.blend,
            on_progress=baking,
            devices=devices,
        )
        texture = baked.texture
        if options.refine:
            agreed = images if baked.agreement is None else baked.agreement.apply(images)
            refined = refine_texture(
                mesh, texture, baked.painted, agreed, cameras, steps=options.refine, on_progress=refining
            )
            texture = refined.texture
        texture, filled = fill_texture(texture, baked.painted, mesh, options.method, on_progress=filling)
    save_mesh(apply_textures(mesh, texture), options.output, options.quantize)
    if baked.agreement is not None:
        print(baked.agreement)
    covered = int(baked.covered.sum())
    print(
        f"{options.output}: {len(files)} views, texture {options.size} x {options.size}, "
        f"{int(baked.painted.sum()) / max(covered, 1):.1%} painted, {int(filled.sum()) / max(covered, 1):.1%} filled, "
        f"{time.perf_counter() - start:.2f} s"
    )
