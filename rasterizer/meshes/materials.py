"""Materials of the parts of a scene: images, factors, and one texture of each kind for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..pictures.colors import array_to_linear
from ..pictures.untrusted import TextureFile
from ..runtime.limits import TEXTURE_PIXELS
from ..runtime.log import log
from .atlas import make_atlas
from .layers import BaseColor, NormalMap, Picture, Surface
from .mtl import MARK
from .parts import MATT, WHITE, Part
from .texts import clean_name
from .textures import Textures

if TYPE_CHECKING:
    from PIL import Image


def _find(image: Any, textures: Textures | None) -> Image.Image | TextureFile | None:
    """What a material has as an image, which in a file's is a stand-in; trimesh leaves numbers and texts there, too."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        return None
    return image if textures is None else textures.find(image)


def read_material(part: Part, material: Any, textures: Textures | None = None) -> None:
    """Fill in what a material says of a part: its images, factors and name.

    Args:
        part: is changed.
        material: trimesh's.
        textures: of a file, the pictures and notes for which its materials have stand-ins.
    """
    if getattr(material, "materials", None):
        log.warning("Of a material with %d sub-materials only the first is used.", len(material.materials))
        material = material.materials[0]
    part.image, part.factor = _base_color(material, textures)
    part.orm, part.orm_factor = _metallic_roughness(material, textures)
    part.occlusion = _find(getattr(material, "occlusionTexture", None), textures)
    part.normal_map = _find(getattr(material, "normalTexture", None), textures)
    (mark, *_) = (getattr(material, "kwargs", None) or {}).get(MARK) or [""]
    maps = None if textures is None else textures.maps.get(mark)
    if maps is not None:
        part.normal_map = maps.normal_map
        if maps.surface is not None:
            part.orm, part.orm_factor = maps.surface, (1.0, maps.roughness, maps.metallic)
    note = None if textures is None else textures.note(getattr(material, "name", None))
    if note is None:
        part.material = clean_name(getattr(material, "name", None))
    else:
        part.material = note.name
        part.normal_scale, part.occlusion_strength = note.normal_scale, note.occlusion_strength


def _base_color(material: Any, textures: Textures | None) -> tuple[Image.Image | TextureFile | None, tuple[float, ...]]:
    """The image of a material, if any, and the linear RGB factor it is multiplied by."""
    from PIL import Image
    from trimesh.visual.color import to_rgba
    from trimesh.visual.material import PBRMaterial, empty_material

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


def _metallic_roughness(
    material: Any, textures: Textures | None
) -> tuple[Image.Image | TextureFile | None, tuple[float, float, float]]:
    """The metallic-roughness image of a material, if any, and its factors: 1, roughness, metallic."""
    image = _find(getattr(material, "metallicRoughnessTexture", None), textures)
    # Factors multiply the image. Without one, those that a material leaves out are those of a plain matt surface.
    rough, metal = (getattr(material, f"{kind}Factor", None) for kind in ("roughness", "metallic"))
    plain = MATT[2] if image is None else 1.0
    return image, (1.0, 1.0 if rough is None else float(rough), plain if metal is None else float(metal))


def merge_textures(parts: list[Part]) -> tuple[dict[str, np.ndarray], bool]:
    """The textures for all parts, ``[H, W, 3]`` uint8 by the name that a mesh has them under, and whether red of
    metallic-roughness is occlusion. The parts' UVs are moved to them.

    Without any image the base colours' factors go to vertex colours, and there are none. Roughness and metallic that
    are numbers alone become a texture if they are the same everywhere; else they would multiply what shares an image.

    Raises:
        ValueError: an image cannot be decoded, or all of them have more texels than the limit.
    """
    mapped = [part for part in parts if part.uvs is not None]
    occluded = any(part.occlusion is not None for part in mapped)
    bent = any(part.normal_map is not None for part in mapped)
    rough = occluded or any(part.orm is not None for part in mapped)
    if not rough and not bent and not any(part.image is not None for part in mapped):
        _multiply_vertex_colors(parts)
        return {}, False
    surfaces = {part.orm_factor for part in parts}
    rough = rough or (len(surfaces) == 1 and MATT not in surfaces)
    groups = _by_picture(parts, rough, bent)
    leaders = [group[0] for group in groups]
    layers: dict[str, Sequence[Picture]] = {"texture": [BaseColor(part.image, part.factor) for part in leaders]}
    if rough:
        layers["metallic_roughness"] = [
            Surface(part.orm, part.orm_factor, occluded, part.occlusion, part.occlusion_strength) for part in leaders
        ]
    if bent:
        layers["normal_map"] = [NormalMap(part.normal_map, part.normal_scale) for part in leaders]
    TEXTURE_PIXELS.check(sum(int(np.prod(picture.size)) for layer in layers.values() for picture in layer))
    if len(leaders) == 1:
        return {name: layer[0].pixels() for name, layer in layers.items()}, occluded
    return dict(zip(layers, make_atlas([*layers.values()], groups), strict=True)), occluded


def _multiply_vertex_colors(parts: list[Part]) -> None:
    """Base colours' factors into the colours of vertices, if any factor is not white."""
    if any(part.factor != WHITE for part in parts):
        for part in parts:
            part.colors = np.ones((len(part.vertices), 4)) if part.colors is None else part.colors
            part.colors[:, :3] *= part.factor


def _by_picture(parts: list[Part], rough: bool, bent: bool) -> list[list[Part]]:
    """Parts grouped by image and factor, with ``rough`` also by those of the surface, with ``bent`` by normals.

    A part without UVs gets some: the middle of a picture that is its factor alone.
    """
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        if part.uvs is None:
            part.image = part.orm = part.occlusion = part.normal_map = None
            part.uvs = np.full((len(part.vertices), 2), 0.5)
        surface = (id(part.orm), *part.orm_factor, id(part.occlusion), part.occlusion_strength) if rough else ()
        normals = (id(part.normal_map), part.normal_scale) if bent else ()
        groups.setdefault((id(part.image), *part.factor, *surface, *normals), []).append(part)
    return list(groups.values())
