"""Materials of the parts of a scene: images, factors, and one texture of each kind for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..pictures.colors import linear_to_srgb, srgb_to_linear
from ..pictures.untrusted import TextureFile, pixels
from ..runtime.limits import TEXTURE_PIXELS
from ..runtime.log import log
from .textures import Textures

if TYPE_CHECKING:
    from PIL import Image

WHITE = (1.0, 1.0, 1.0)
"""The factor that changes nothing."""

_GUTTER = 4
_MAX_ATLAS = 8192


@dataclass
class Part:
    """One placed mesh of a scene: world-space arrays, linear RGBA, and a base colour of image times linear factor.

    ``orm`` is its metallic-roughness image, to be multiplied by ``orm_factor``: 1, roughness, metallic.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    uvs: np.ndarray | None
    colors: np.ndarray | None
    image: Image.Image | TextureFile | None
    factor: tuple[float, ...]
    orm: Image.Image | TextureFile | None = None
    orm_factor: tuple[float, float, float] = (1.0, 1.0, 0.0)


def _find(image: Any, textures: Textures | None) -> Image.Image | TextureFile | None:
    """What a material has as an image, which in a file's is a stand-in; trimesh leaves numbers and texts there, too."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        return None
    return image if textures is None else textures.find(image)


def read_base_color(
    material: Any, textures: Textures | None = None
) -> tuple[Image.Image | TextureFile | None, tuple[float, ...]]:
    """The image of a material, if any, and the linear RGB factor it is multiplied by.

    ``textures``: the pictures for which the material of a file has stand-ins.
    """
    from trimesh.visual.color import to_rgba
    from trimesh.visual.material import PBRMaterial, empty_material

    if getattr(material, "materials", None):
        log.warning("Of a material with %d sub-materials only the first is used.", len(material.materials))
        material = material.materials[0]
    if isinstance(material, PBRMaterial):
        factor = material.baseColorFactor
        image = _find(material.baseColorTexture, textures)
        return image, WHITE if factor is None else tuple(np.asarray(factor)[:3] / 255)
    image, diffuse = _find(getattr(material, "image", None), textures), getattr(material, "diffuse", None)
    # trimesh stands in a grey image or a grey colour where a material has none.
    if textures is None and image is not None:
        nothing = empty_material().image
        if image.size == nothing.size and image.convert("RGBA") == nothing.convert("RGBA"):
            return None, WHITE
    stand_in = np.array_equal(diffuse, to_rgba(None)) and "kd" not in getattr(material, "kwargs", {})
    # Exporters write any Kd beside a texture, black too, so that it cannot be meant as a factor.
    if image is not None or diffuse is None or stand_in:
        return image, WHITE
    return None, tuple(to_linear(np.asarray(diffuse)[:3] / 255))


def read_metallic_roughness(
    material: Any, textures: Textures | None = None
) -> tuple[Image.Image | TextureFile | None, tuple[float, float, float]]:
    """The metallic-roughness image of a material, if any, and its factors: 1, roughness, metallic."""
    material = next(iter(getattr(material, "materials", None) or ()), material)
    image = _find(getattr(material, "metallicRoughnessTexture", None), textures)
    # Factors multiply the image. Without one, those that a material leaves out are those of a plain matt surface.
    rough, metal = (getattr(material, f"{kind}Factor", None) for kind in ("roughness", "metallic"))
    plain = 0.0 if image is None else 1.0
    return image, (1.0, 1.0 if rough is None else float(rough), plain if metal is None else float(metal))


def merge_textures(parts: list[Part]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Base colour and metallic-roughness ``[H, W, 3]`` uint8 for all parts, their UVs moved to these textures.

    Without any image the base colours' factors go to vertex colours, and both are None.
    """
    mapped = [part for part in parts if part.uvs is not None]
    if not any(part.image is not None or part.orm is not None for part in mapped):
        if any(part.factor != WHITE for part in parts):
            for part in parts:
                part.colors = np.ones((len(part.vertices), 4)) if part.colors is None else part.colors
                part.colors[:, :3] *= part.factor
        return None, None
    rough = any(part.orm is not None for part in mapped)
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        if part.uvs is None:
            part.image = part.orm = None
            part.uvs = np.full((len(part.vertices), 2), 0.5)
        surface = (id(part.orm), *part.orm_factor) if rough else ()
        groups.setdefault((id(part.image), *part.factor, *surface), []).append(part)
    leaders = [group[0] for group in groups.values()]
    layers = [[_Layer(part.image, part.factor, srgb=True) for part in leaders]]
    if rough:
        layers.append([_Layer(part.orm, part.orm_factor, srgb=False) for part in leaders])
    TEXTURE_PIXELS.check(sum(int(np.prod(picture.size)) for layer in layers for picture in layer))
    one = len(leaders) == 1
    made = [layer[0].pixels() for layer in layers] if one else _atlas(layers, list(groups.values()))
    return made[0], made[1] if len(made) > 1 else None


@dataclass(frozen=True)
class _Layer:
    """A picture times a linear factor, decoded when it is asked for; one texel where there is no picture."""

    image: Image.Image | TextureFile | None
    factor: tuple[float, ...]
    srgb: bool

    @property
    def size(self) -> tuple[int, int]:
        return (1, 1) if self.image is None else self.image.size

    def pixels(self) -> np.ndarray:
        """``[H, W, 3]`` uint8."""
        decode, encode = (to_linear, _to_srgb) if self.srgb else (np.asarray, np.asarray)
        if self.image is None:
            return to_bytes(encode(np.array(self.factor)))[None, None]
        try:
            texels = pixels(self.image)
        except ValueError as error:
            raise ValueError(f"found a texture that {error}") from error
        if self.factor != WHITE:
            table = to_bytes(encode(decode(np.arange(256) / 255)[:, None] * np.array(self.factor)))
            for row in texels:  # at once, the look-up would take eight times the picture
                row[:] = table[row, np.arange(3)]
        return texels


def _atlas(layers: list[list[_Layer]], groups: list[list[Part]]) -> list[np.ndarray]:
    """Lay the images of each layer side by side, as often as the UVs of their parts repeat them; move the UVs there."""
    from PIL import Image

    spans = np.ones((len(groups), 2), np.int64)
    for span, group in zip(spans, groups, strict=True):
        for part in group:
            used = part.uvs[np.unique(part.faces)]
            # A thousandth beyond the border is rounding, and falls into the gutter.
            first = np.floor(used.min(axis=0) + 1e-3)
            part.uvs = part.uvs - first
            span[:] = np.maximum(span, np.ceil(used.max(axis=0) - first - 1e-3))

    full = np.array([[picture.size for picture in pictures] for pictures in layers]).max(axis=0)
    limit = _MAX_ATLAS // 2
    while True:
        sizes = np.clip(limit // spans, 1, full)
        # An axis of one texel is the same everywhere, so its repeats can share that texel.
        repeats = np.where(sizes == 1, 1, spans)
        places, extent = _pack(sizes * repeats + 2 * _GUTTER)
        if extent.max() <= _MAX_ATLAS or limit == 1:
            break
        limit //= 2
    if (sizes < full).any():
        log.info("%d of %d textures shrink to fit into one.", (sizes < full).any(axis=1).sum(), len(groups))

    atlases = [np.zeros((extent[1], extent[0], 3), np.uint8) for _ in layers]
    for atlas, pictures in zip(atlases, layers, strict=True):
        for picture, size, repeat, place in zip(pictures, sizes, repeats, places, strict=True):
            scaled = np.array(Image.fromarray(picture.pixels()).resize(tuple(size.tolist()), Image.Resampling.BOX))
            block = np.pad(np.tile(scaled, (*repeat[::-1], 1)), ((_GUTTER,) * 2, (_GUTTER,) * 2, (0, 0)), mode="wrap")
            atlas[place[1] : place[1] + block.shape[0], place[0] : place[0] + block.shape[1]] = block
    for group, span, size, repeat, place in zip(groups, spans, sizes, repeats, places, strict=True):
        for part in group:
            part.uvs = (part.uvs * repeat / span * size + place + _GUTTER) / extent
    return atlases


def _pack(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[K, 2]`` of (width, height) on shelves, tallest first: the corner of each, and the size of all."""
    row = max(sizes[:, 0].max(), np.sqrt(sizes.prod(axis=1).sum()))
    places = np.zeros_like(sizes)
    x = y = shelf = 0
    for index in np.argsort(-sizes[:, 1], kind="stable"):
        if x + sizes[index, 0] > row:
            x, y, shelf = 0, y + shelf, 0
        places[index] = x, y
        x, shelf = x + sizes[index, 0], max(shelf, sizes[index, 1])
    return places, (places + sizes).max(axis=0)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """:func:`~rasterizer.pictures.colors.srgb_to_linear` of an array."""
    return srgb_to_linear(torch.from_numpy(np.asarray(srgb, np.float64))).numpy()


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    return linear_to_srgb(torch.from_numpy(np.asarray(linear, np.float64))).numpy()


def to_bytes(values: np.ndarray) -> np.ndarray:
    """0..1 to 0..255, rounded."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
