"""Materials of the parts of a scene: images, factors, and one texture of each kind for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..pictures.colors import array_to_linear
from ..pictures.untrusted import TextureFile
from ..runtime.limits import TEXTURE_PIXELS
from ..runtime.log import log
from .atlas import make_atlas
from .parts import WHITE, Part, Picture
from .textures import Textures

if TYPE_CHECKING:
    from PIL import Image


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
    from PIL import Image
    from trimesh.visual.color import to_rgba
    from trimesh.visual.material import PBRMaterial, empty_material

    if getattr(material, "materials", None):
        log.warning("Of a material with %d sub-materials only the first is used.", len(material.materials))
        material = material.materials[0]
    if isinstance(material, PBRMaterial):
        factor = material.baseColorFactor
        image = _find(material.baseColorTexture, textures)
        return image, WHITE if factor is None else tuple(np.asarray(factor)[:3] / 255)
    image = _find(getattr(material, "image", None), textures)
    diffuse: Any = getattr(material, "diffuse", None)
    # trimesh stands in a grey image or a grey colour where a material has none.
    if textures is None and isinstance(image, Image.Image):
        nothing = empty_material().image
        if image.size == nothing.size and image.convert("RGBA") == nothing.convert("RGBA"):
            return None, WHITE
    stand_in = np.array_equal(diffuse, to_rgba(None)) and "kd" not in getattr(material, "kwargs", {})
    # Exporters write any Kd beside a texture, black too, so that it cannot be meant as a factor.
    if image is not None or diffuse is None or stand_in:
        return image, WHITE
    return None, tuple(array_to_linear(np.asarray(diffuse)[:3] / 255))


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

    Raises:
        ValueError: an image cannot be decoded, or all of them have more texels than the limit.
    """
    mapped = [part for part in parts if part.uvs is not None]
    if not any(part.image is not None or part.orm is not None for part in mapped):
        _multiply_vertex_colors(parts)
        return None, None
    rough = any(part.orm is not None for part in mapped)
    groups = _by_surface(parts, rough)
    leaders = [group[0] for group in groups]
    layers = [[Picture(part.image, part.factor, srgb=True) for part in leaders]]
    if rough:
        layers.append([Picture(part.orm, part.orm_factor, srgb=False) for part in leaders])
    TEXTURE_PIXELS.check(sum(int(np.prod(picture.size)) for layer in layers for picture in layer))
    made = [layer[0].pixels() for layer in layers] if len(leaders) == 1 else make_atlas(layers, groups)
    return made[0], made[1] if len(made) > 1 else None


def _multiply_vertex_colors(parts: list[Part]) -> None:
    """Base colours' factors into the colours of vertices, if any factor is not white."""
    if any(part.factor != WHITE for part in parts):
        for part in parts:
            part.colors = np.ones((len(part.vertices), 4)) if part.colors is None else part.colors
            part.colors[:, :3] *= part.factor


def _by_surface(parts: list[Part], rough: bool) -> list[list[Part]]:
    """Parts grouped by image and factor, with ``rough`` also by those of metallic-roughness.

    A part without UVs gets some: the middle of a picture that is its factor alone.
    """
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        if part.uvs is None:
            part.image = part.orm = None
            part.uvs = np.full((len(part.vertices), 2), 0.5)
        surface = (id(part.orm), *part.orm_factor) if rough else ()
        groups.setdefault((id(part.image), *part.factor, *surface), []).append(part)
    return list(groups.values())
