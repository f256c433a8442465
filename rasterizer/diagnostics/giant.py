"""Speed on hundreds of millions of triangles that share no memory, on a GPU, beside the bytes that a call must move."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..meshes.mesh import Mesh
from ..ops import rasterize
from . import timing

_PART = 1 << 24  # vertices, or faces, that are made at a time
_CHECKED = 1 << 20  # faces of a case that PyTorch's operators draw, too


@dataclass(frozen=True)
class GiantCase:
    """What is drawn.

    Attributes:
        name: for people.
        faces: about how many.
        resolution: (height, width).
        kind: "grid" (a wavy grid in mesh order), "shuffled" (its faces in random order) or "instances" (of a mesh,
            turned, scaled and placed at random in front of the camera, a third of them outside the picture; each has
            vertices and faces of its own).
    """

    name: str
    faces: int
    resolution: tuple[int, int]
    kind: str

    @property
    def memory(self) -> int:
        """Bytes that making and drawing it takes at most: vertices of 16 bytes, faces of 12, and copies of these."""
        return self.faces * (8 + 12) + (self.faces * (12 + 8) if self.kind == "shuffled" else 0) + (4 << 30)


CASES = (
    GiantCase("grid, 400 M, 1920 x 1080", 400_000_000, (1080, 1920), "grid"),
    GiantCase("grid, shuffled, 400 M, 1920 x 1080", 400_000_000, (1080, 1920), "shuffled"),
    GiantCase("grid, 1 G, 3840 x 2160", 1_000_000_000, (2160, 3840), "grid"),
    GiantCase("instances, 100 M, 1920 x 1080", 100_000_000, (1080, 1920), "instances"),
    GiantCase("instances, 400 M, 1920 x 1080", 400_000_000, (1080, 1920), "instances"),
)


@dataclass(frozen=True)
class GiantRow:
    """One measurement.

    Attributes:
        case: name of the :class:`GiantCase`.
        faces: how many, exactly.
        busy, wall: milliseconds that the GPU worked, and of wall time, of a call after others.
        bytes: of vertices, faces and results, each moved once.
        differing: pixels of a picture of a part of the faces whose face is not that of PyTorch's operators.
    """

    case: str
    faces: int
    busy: float
    wall: float
    bytes: int
    differing: int

    def as_dict(self) -> dict[str, object]:
        """Plain types only."""
        return asdict(self)


def measure(device: torch.device, mesh: Mesh, repeats: int, cases: tuple[GiantCase, ...] = CASES) -> Iterator[GiantRow]:
    """Measure every case; ``mesh`` is what the instances are of.

    Raises:
        ValueError: the device is no GPU with kernels, or has too little free memory for a case.
    """
    if device.type != "cuda":
        raise ValueError(f"--giant: goes with a CUDA or ROCm device, not with {str(device)!r}")
    for case in cases:
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(device)[0]
        if case.memory > free:
            raise ValueError(f"--giant: {case.name!r} takes {case.memory >> 30} GiB, and {free >> 30} GiB are free")
        yield _measure(case, *scene(case, mesh, device), repeats)


def scene(case: GiantCase, mesh: Mesh, device: torch.device) -> tuple[Tensor, Tensor]:
    """Clip-space vertices ``[N, 4]`` float32 and faces ``[M, 3]`` int32 of a case, on the device."""
    random = torch.Generator(device).manual_seed(1)
    if case.kind == "instances":
        return _instances(mesh, case, random)
    height, width = case.resolution
    return _grid(case.faces, width / height, case.kind == "shuffled", random)


def markdown(rows: list[GiantRow]) -> str:
    """The rows as a table for people."""
    lines = [
        "| case | faces | GPU ms | wall ms | GB to move, TB/s | px differ in a part |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        moved = f"{row.bytes / 1e9:.2f}, {row.bytes / row.busy / 1e9:.2f}"
        lines.append(f"| {row.case} | {row.faces:,} | {row.busy:.2f} | {row.wall:.2f} | {moved} | {row.differing} |")
    return "\n".join(lines)


def _measure(case: GiantCase, pos: Tensor, tri: Tensor, repeats: int) -> GiantRow:
    def call() -> object:
        return rasterize(pos, tri, case.resolution)

    # Whatever part the faces are of, its vertices are told apart by their faces alone.
    part = tri[len(tri) // 3 :][:_CHECKED]
    used, faces = part.reshape(-1).unique(return_inverse=True)
    few = pos[used], faces.view(-1, 3).to(torch.int32)
    found, want = (rasterize(*few, case.resolution, backend=name).findices for name in ("auto", "torch"))
    wall = timing.interleaved(pos.device, {"": call}, repeats)[""]
    height, width = case.resolution
    moved = pos.numel() * 4 + tri.numel() * 4 + height * width * 16
    busy = timing.busy(call, repeats)
    return GiantRow(case.name, len(tri), busy, sorted(wall)[repeats // 2], moved, int((found != want).sum()))


def _grid(faces: int, aspect: float, shuffled: bool, random: torch.Generator) -> tuple[Tensor, Tensor]:
    device = random.device
    columns = round(math.sqrt(faces / 2 * aspect))
    rows = round(faces / 2 / columns)
    x = torch.linspace(-0.98, 0.98, columns + 1, device=device)
    y = torch.linspace(-0.98, 0.98, rows + 1, device=device)[:, None]
    pos = torch.empty(rows + 1, columns + 1, 4, device=device)
    pos[..., 0], pos[..., 1], pos[..., 3] = x, y, 1.0
    torch.mul((3 * x).sin(), (5 * y).cos() * 0.3, out=pos[..., 2])
    tri = torch.empty(rows, columns, 2, 3, dtype=torch.int32, device=device)
    row, column = (torch.arange(n, dtype=torch.int32, device=device) for n in (rows, columns))
    corner = row[:, None] * (columns + 1) + column
    for place, offset in enumerate((0, 1, columns + 1, 1, columns + 2, columns + 1)):
        tri.view(rows, columns, 6)[..., place] = corner + offset
    del corner
    tri = tri.view(-1, 3)
    if shuffled:
        order, mixed = torch.randperm(len(tri), generator=random, device=device), torch.empty_like(tri)
        for some, into in zip(order.split(_PART), mixed.split(_PART), strict=True):
            torch.index_select(tri, 0, some, out=into)
        tri = mixed
    return pos.view(-1, 4), tri


def _instances(mesh: Mesh, case: GiantCase, random: torch.Generator) -> tuple[Tensor, Tensor]:
    device, (height, width) = random.device, case.resolution
    count = max(1, case.faces // len(mesh.faces))
    corner = mesh.vertices.to(device)
    corner = corner - (corner.amax(0) + corner.amin(0)) / 2
    corner = corner / corner.abs().max()
    pos = torch.empty(count, len(corner), 4, device=device)
    near, far = 2.0, 2.0 + 0.004 * count**0.85
    for into in pos.split(max(1, _PART // len(corner))):
        n = len(into)
        turn = torch.linalg.qr(torch.randn(n, 3, 3, generator=random, device=device))[0]
        numbers = torch.rand(n, 1, 4, generator=random, device=device)
        depth = near + (far - near) * numbers[..., 2:3]
        aside = (numbers[..., :2] * 2 - 1) * depth * torch.tensor((1.2, 1.2 * height / width), device=device)
        points = corner @ turn * (0.2 + 0.6 * numbers[..., 3:]) + torch.cat((aside, depth), dim=2)
        into[..., 0], into[..., 1], into[..., 3] = points[..., 0], points[..., 1] * (width / height), points[..., 2]
        into[..., 2] = (points[..., 2] - near) / far * points[..., 2]
    start = torch.arange(count, dtype=torch.int32, device=device)[:, None, None] * len(corner)
    return pos.view(-1, 4), (mesh.faces.to(device, torch.int32) + start).view(-1, 3)
