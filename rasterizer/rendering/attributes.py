"""From a raster to pictures: attributes interpolated over it and encoded as images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..cameras.projection import DIAMETER, normalization, to_camera
from ..contract.checks import check_choice
from ..pictures.colors import linear_to_srgb
from ..pictures.sampling import sample_texture
from ..runtime.memory import default_budget
from ..runtime.policy import device_policy
from ..runtime.progress import counted
from ..runtime.threads import on_own_threads, share_rows
from .raster import Raster

ATTRIBUTES = ("position", "normal", "uv", "vertex color", "texture", "depth", "barycentric", "face id")
SHADINGS = ("smooth", "flat")
ENCODINGS = ("hunyuan3d", "world", "camera", "raw")

_PIXEL_BYTES = 100  # of what is made on the way to a pixel, where views are worked on together, which saves launches


@on_own_threads
def attribute_image(
    raster: Raster,
    attribute: str,
    shading: str = "smooth",
    encoding: str = "hunyuan3d",
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    on_progress: Callable[[float], None] | None = None,
) -> Tensor:
    """One attribute as an image per view and layer, made view by view, or some at a time where that saves launches.

    Args:
        raster: what :func:`rasterizer.rendering.raster.rasterize_mesh` returned.
        attribute: one of :data:`ATTRIBUTES`.
        shading: ``smooth`` interpolates vertex normals (welded by position), ``flat`` takes the face's.
        encoding: how positions and normals become colours.

            * ``hunyuan3d``: as its paint models are conditioned: normal ``(nx, -nz, ny)``, position
              ``(0.5 + x/s, 0.5 - z/s, 0.5 + y/s)`` on the normalised mesh with ``s = 1.15``.
            * ``world``: the same in the mesh's own axis order.
            * ``camera``: right, up and toward the camera.
            * ``raw``: the numbers themselves: unit normals, mesh coordinates, distance, linear colour, face index.

            Depth is 1 at the nearest and 0 at the farthest visible point of a view, unless ``raw``.
        background: colour where nothing is drawn; depth is 0 there whatever the colour.
        on_progress: called before each view with the share done, 0..1; an exception it raises stops the call.

    Returns:
        ``[V, L, H, W, 3]`` float32; 0..1 unless ``raw``.
    """
    check_choice(attribute, ATTRIBUTES, "attribute")
    check_choice(shading, SHADINGS, "shading")
    check_choice(encoding, ENCODINGS, "encoding")
    if encoding == "camera" and attribute in ("position", "normal") and not raster.cameras:
        raise ValueError("encoding: is 'camera' but the raster is in UV space; expected hunyuan3d, world or raw")
    if attribute == "normal" and shading == "smooth" and raster.mesh.normals is None:
        raster = replace(raster, mesh=replace(raster.mesh, normals=raster.mesh.vertex_normals()))  # once for all views
    images = torch.empty((*raster.findices.shape, 3), dtype=torch.float32, device=raster.findices.device)

    def draw(part: slice) -> None:
        images[part] = _image(raster.views(part), attribute, shading, encoding, background)

    pixels, device = raster.findices[0].numel(), raster.findices.device
    views_together = device_policy(device).views_together
    together = max(1, default_budget(device) // (_PIXEL_BYTES * pixels)) if views_together else 1
    report = counted("view", len(images), on_progress or _ignore)
    share_rows(draw, len(images), device, weight=pixels, chunk=together, report=report)
    return images


def _ignore(share: float) -> None:
    pass


def _image(
    raster: Raster, attribute: str, shading: str, encoding: str, background: tuple[float, float, float]
) -> Tensor:
    if attribute == "depth":
        image = _depth(raster, encoding)
        background = (0.0, 0.0, 0.0)
    elif attribute == "normal":
        image = _normal(raster, shading, encoding)
    elif attribute == "position":
        image = _position(raster, encoding)
    elif attribute == "uv":
        uv = raster.interpolate(raster.mesh.require_uvs())
        image = torch.cat((uv, torch.zeros_like(uv[..., :1])), dim=-1)
    elif attribute == "vertex color":
        image = _vertex_color(raster, encoding)
    elif attribute == "texture":
        image = _texture(raster)
    elif attribute == "barycentric":
        image = raster.barycentric
    else:
        image = _face_id(raster, encoding)
    # On a GPU, numbers that are brought there wait for it; those that are made there do not.
    behind = torch.stack([image.new_full((), value) for value in background])
    return torch.where((raster.findices > 0)[..., None], image, behind)


def face_colors(findices: Tensor) -> Tensor:
    """A colour per face index, ``[..., 3]`` in 0.1..1, different for neighbours; black for 0.

    The hash is Knuth's multiplicative one (The Art of Computer Programming 3, 6.4), in int64.
    """
    channels = [(findices.to(torch.int64) * step >> 8) & 0xFF for step in (2654435761, 2246822519, 3266489917)]
    color = 0.1 + 0.9 * torch.stack(channels, dim=-1).to(torch.float32) / 255.0
    return color * (findices > 0)[..., None]


def depth_to_unit(distance: Tensor, drawn: Tensor) -> Tensor:
    """Nearest 1, farthest 0 within each view, 0 on background. ``distance``, ``drawn``: ``[V, L, H, W]``."""
    far = torch.where(drawn, distance, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
    near = torch.where(drawn, distance, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
    return torch.where(drawn, (far - distance) / (far - near).clamp(min=1e-12), 0.0)


def _depth(raster: Raster, encoding: str) -> Tensor:
    distance = raster.distance()
    value = distance if encoding == "raw" else depth_to_unit(distance, raster.findices > 0)
    return value[..., None].expand(*value.shape, 3)


def _normal(raster: Raster, shading: str, encoding: str) -> Tensor:
    if shading == "flat":
        face = (raster.findices.to(torch.int64) - 1).clamp(min=0)
        normal = raster.mesh.face_normals()[face]
    else:
        assert raster.mesh.normals is not None  # attribute_image sees to it, once for all views
        normal = raster.interpolate(raster.mesh.normals)
    if encoding == "raw":
        return torch.nn.functional.normalize(normal, dim=-1)
    if encoding == "camera":
        normal = to_camera(normal, raster.cameras, vectors=True)
    elif encoding == "hunyuan3d":
        normal = _hunyuan_axes(normal)
    return (normal * 0.5 + 0.5).clamp(0.0, 1.0)


def _position(raster: Raster, encoding: str) -> Tensor:
    if encoding == "raw":
        return raster.interpolate(raster.mesh.vertices)
    centre, scale = raster.frame or normalization(raster.mesh.vertices)
    position = raster.interpolate((raster.mesh.vertices - centre) * scale)
    if encoding == "camera":
        position = to_camera(position, raster.cameras, vectors=True)
    elif encoding == "hunyuan3d":
        position = _hunyuan_axes(position)
    return (position / DIAMETER + 0.5).clamp(0.0, 1.0)


def _hunyuan_axes(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind(-1)
    return torch.stack((x, -z, y), dim=-1)


def _vertex_color(raster: Raster, encoding: str) -> Tensor:
    colors = raster.mesh.vertex_colors
    if colors is None:
        raise ValueError("attribute: is 'vertex color' but the mesh has none; expected a mesh with vertex colours")
    image = raster.interpolate(colors[:, :3])
    return image if encoding == "raw" else linear_to_srgb(image)


def _texture(raster: Raster) -> Tensor:
    texture = raster.mesh.texture
    if texture is None:
        raise ValueError("attribute: is 'texture' but the mesh has none; load a textured mesh or bake one first")
    return sample_texture(texture, raster.interpolate(raster.mesh.require_uvs()))


def _face_id(raster: Raster, encoding: str) -> Tensor:
    if encoding == "raw":
        return raster.findices[..., None].expand(*raster.findices.shape, 3).to(torch.float32)
    return face_colors(raster.findices)
