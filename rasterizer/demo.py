"""The demonstration: a built-in sample, six views, normals, positions and face ids, on one contact sheet."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from tqdm import tqdm

from .cameras import orbit_camera
from .images import contact_sheet, save_image, write_atomically
from .info import backend_info
from .raster import rasterize_mesh
from .samples import SAMPLES, sample_mesh
from .shading import attribute_image

VIEWS = {"front": (0, 0), "right": (90, 0), "back": (180, 0), "left": (270, 0), "top": (0, 90), "bottom": (180, -90)}
"""Hunyuan3D's six views as (azimuth, elevation)."""

_ATTRIBUTES = ("normal", "position", "face id", "texture")
_SIZE = 512
_SHEET = 224


def run(output: Path, device: torch.device) -> None:
    """Render the demonstration into the folder ``output`` and print what ran, how fast, and where the files are."""
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
    for attribute in tqdm(_ATTRIBUTES, desc="Pictures", unit="attribute", delay=1.0, leave=False):
        images = attribute_image(raster, attribute)[:, 0].cpu()
        for name, image in zip(VIEWS, images, strict=True):
            save_image(image, output / f"{attribute.replace(' ', '_')}_{name}.png")
        small = torch.nn.functional.interpolate(images.permute(0, 3, 1, 2), (_SHEET, _SHEET), mode="area")
        rows.append((attribute, small.permute(0, 2, 3, 1)))
    sheet = output / "contact_sheet.png"
    write_atomically(sheet, contact_sheet(rows, tuple(VIEWS)).save)
    print(f"Wrote {len(_ATTRIBUTES) * len(VIEWS)} pictures to {output.resolve()}")
    print(f"All of them on one sheet: {sheet.resolve()}")
