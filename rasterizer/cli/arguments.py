"""Arguments that commands share, as values."""

from __future__ import annotations

import argparse

import torch

from ..meshes.files import load_mesh
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import SAMPLES, sample_mesh
from ..pictures.colors import parse_color
from ..runtime.devices import default_device

MESH = f"a mesh file, or a built-in sample: {', '.join(SAMPLES)}"
"""What commands say of the mesh that they take."""


def device_of(options: argparse.Namespace) -> torch.device:
    """The device that ``--device`` names, or the best there is.

    Raises:
        ValueError: this machine or this PyTorch has no such device.
    """
    return default_device() if options.device is None else _device(options.device)


def devices_of(options: argparse.Namespace) -> list[torch.device]:
    """The same for commands that share their views out among devices, named with commas between them.

    Raises:
        ValueError: as there.
    """
    return [device_of(options)] if options.device is None else [_device(name) for name in options.device.split(",")]


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "xpu", "mps"):
            raise RuntimeError("expected cpu, cuda, xpu or mps")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device: {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def load(name: str) -> Mesh:
    """A built-in sample, or the mesh in a file.

    Raises:
        ValueError, FileNotFoundError: as :func:`~rasterizer.meshes.files.load_mesh`.
    """
    if name in SAMPLES:
        return sample_mesh(name)
    return load_mesh(name)


def view(text: str) -> tuple[float, float]:
    """``AZIM,ELEV`` as two numbers, in degrees."""
    try:
        azimuth, elevation = (float(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected AZIM,ELEV in degrees, such as 30,20") from None
    return azimuth, elevation


def size(text: str) -> tuple[int, int]:
    """``N`` or ``WxH`` as width and height, in pixels."""
    try:
        sides = [int(value) for value in text.lower().split("x")]
        width, height = sides * 2 if len(sides) == 1 else sides
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected N or WIDTHxHEIGHT in pixels") from None
    return width, height


def color(text: str) -> tuple[float, float, float]:
    """``#RRGGBB`` or a name as RGB in 0..1."""
    try:
        return parse_color(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def dashes(text: str) -> str:
    """A choice of several words, as the library calls it."""
    return text.replace("-", " ")
