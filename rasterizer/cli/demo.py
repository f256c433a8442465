"""``demo``: a built-in sample from six sides, and its texture made again from those six pictures."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..cameras.camera import Camera, orbit_camera
from ..diagnostics.info import backend_info
from ..diagnostics.quality import psnr
from ..meshes.files import save_mesh
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import SAMPLES, sample_mesh
from ..pictures.contact_sheet import contact_sheet
from ..pictures.files import save_image
from ..rendering.attributes import attribute_image
from ..rendering.raster import rasterize_mesh
from ..runtime.files import write_atomically
from ..texturing import bake_views, fill_texture
from .arguments import device_of

VIEWS = {"front": (0, 0), "right": (90, 0), "back": (180, 0), "left": (270, 0), "top": (0, 90), "bottom": (180, -90)}
"""Hunyuan3D's six views as (azimuth, elevation)."""

_ATTRIBUTES = ("normal", "position", "face id", "texture")
_SIZE = 512
_SHEET = 224
_TEXTURE = 1024
_ASIDE = (45, 135, 225, 315)  # azimuths, from above, of views that were not baked
_ASIDE_NAMES = tuple(f"{azimuth}°, above" for azimuth in _ASIDE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside ``--device`` and ``--verbose``."""
    parser.add_argument("output", nargs="?", default=Path("demo_output"), type=Path, metavar="OUT", help="a folder")


def run(options: argparse.Namespace) -> None:
    """Render the demonstration into a folder, and print what ran, how fast, and where the files are."""
    output, device = options.output, device_of(options)
    info = backend_info(device)
    print(info, end="\n\n")
    mesh = sample_mesh(SAMPLES[0]).to(device)
    cameras = [orbit_camera(*view) for view in VIEWS.values()]
    rasterize_mesh(mesh, cameras[:1], (64, 64))  # the first call of a process also loads libraries
    start = time.perf_counter()
    raster = rasterize_mesh(mesh, cameras, (_SIZE, _SIZE))
    drawn = int((raster.findices > 0).sum())
    seconds = time.perf_counter() - start
    print(
        f"Rasterized '{mesh.name}' ({len(mesh.faces)} faces) in six {_SIZE} x {_SIZE} views in {seconds * 1e3:.0f} ms: "
        f"{drawn} pixels ({raster.info})."
    )
    rows = []
    for attribute in tqdm(_ATTRIBUTES, desc="Pictures", unit="attribute", delay=1.0, leave=False, disable=None):
        images = attribute_image(raster, attribute)[:, 0].cpu()
        for name, image in zip(VIEWS, images, strict=True):
            save_image(image, output / f"{attribute.replace(' ', '_')}_{name}.png")
        small = torch.nn.functional.interpolate(images.permute(0, 3, 1, 2), (_SHEET, _SHEET), mode="area")
        rows.append((attribute, small.permute(0, 2, 3, 1)))
    sheet = output / "contact_sheet.png"
    write_atomically(sheet, contact_sheet(rows, tuple(VIEWS)).save)
    print(f"Wrote {len(_ATTRIBUTES) * len(VIEWS)} pictures to {output.resolve()}")
    print(f"All of them on one sheet: {sheet.resolve()}\n")
    _texture(mesh, cameras, output)


def _texture(mesh: Mesh, cameras: list[Camera], output: Path) -> None:
    """Bake six pictures of the textured sample onto a bare one, fill what they miss, and write it as a GLB."""
    views = attribute_image(rasterize_mesh(mesh, cameras, (_TEXTURE, _TEXTURE)), "texture")[:, 0]
    bare = replace(mesh, texture=None)
    start = time.perf_counter()
    baked = bake_views(bare, views, cameras, _TEXTURE)
    share = float(baked.painted.sum() / baked.covered.sum())
    middle = time.perf_counter()
    texture, _ = fill_texture(baked.texture, baked.painted, bare)
    kinds = {
        "original": mesh,
        "baked": replace(bare, texture=baked.texture),
        "filled": replace(bare, texture=texture),
    }
    save_mesh(kinds["filled"], output / "textured.glb")
    end = time.perf_counter()
    rows = []
    aside = [orbit_camera(azimuth, 35) for azimuth in _ASIDE]
    for name, item in kinds.items():
        images = attribute_image(rasterize_mesh(item, aside, (_SIZE, _SIZE)), "texture")[:, 0]
        small = torch.nn.functional.interpolate(images.permute(0, 3, 1, 2), (_SHEET, _SHEET), mode="area")
        rows.append((name, small.permute(0, 2, 3, 1)))
        if name == "original":
            wanted = images
    save_image(texture, output / "texture.png")
    write_atomically(output / "before_after.png", contact_sheet(rows, _ASIDE_NAMES).save)
    print(
        f"Baked six {_TEXTURE} x {_TEXTURE} views in {middle - start:.2f} s, {share:.1%} of the texture painted; "
        f"filled and saved in {end - middle:.2f} s.\n"
        f"Seen from four other sides it comes to {psnr(images, wanted):.1f} dB PSNR of the original."
    )
    print(f"Textured mesh: {(output / 'textured.glb').resolve()}")
    print(f"Before and after: {(output / 'before_after.png').resolve()}")
