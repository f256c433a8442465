"""What the material files of OBJ hold beside what trimesh reads of them: roughness, metallic and normals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ..pictures.untrusted import TextureFile
from ..runtime.limits import PARTS
from .textures import Apart, Maps

MARK = "torch_rasterizer_maps"
"""The word of a line that trimesh hands on among a material's ``kwargs``."""

_PICTURES, _NUMBERS = ("map_pr", "map_pm", "norm"), ("pr", "pm")


def read_maps(text: bytes, picture: Callable[[str], TextureFile | None]) -> tuple[bytes, dict[str, Maps]]:
    """The file with a mark in each material, which trimesh keeps (:data:`MARK`), and by it the maps of those with any.

    Older versions of trimesh forget the names of materials.

    Words are those of the PBR extension of MTL ("Physically-based Materials", Exocortex): ``map_Pr`` roughness,
    ``map_Pm`` metallic, ``norm`` normals. ``map_Bump`` may be heights, and is not read. Roughness and metallic that are
    numbers (``Pr``, ``Pm``) count where the other is a picture; alone, exporters write any.

    Args:
        text: the file, in UTF-8.
        picture: what is in the picture file of a name, once it is asked for; None where it is left out.

    Raises:
        ValueError: there are more materials than the limit.
    """
    materials: list[dict[str, str]] = [{}]  # the first of what comes before any
    lines: list[str] = []
    for line in filter(str.strip, text.decode(errors="replace").splitlines()):
        word, *after = line.split(None, 1)
        key, rest = word.lower(), after[0].strip() if after else ""
        lines.append(line)
        if key == "newmtl" and rest:
            lines.append(f"{MARK} {len(materials)}")
            materials.append({})
        elif key in (*_PICTURES, *_NUMBERS) and rest:
            materials[-1][key] = rest
    PARTS.check(len(materials))
    pictures: dict[str, TextureFile | None] = {}

    def get(name: str | None) -> TextureFile | None:
        if name is None:
            return None
        if name not in pictures:
            pictures[name] = picture(name)
        return pictures[name]

    made = {str(number): _maps(words, get) for number, words in enumerate(materials) if set(words) & set(_PICTURES)}
    made = {key: maps for key, maps in made.items() if maps.surface is not None or maps.normal_map is not None}
    return "\n".join(lines).encode(), made


def _maps(words: dict[str, str], get: Callable[[str | None], TextureFile | None]) -> Maps:
    rough, metal, normals = (get(words.get(word)) for word in _PICTURES)
    surface = None if rough is None and metal is None else Apart(rough, metal)
    numbers = [1.0 if rough is not None else _number(words, "pr", 1.0)]
    numbers += [1.0 if metal is not None else _number(words, "pm", 0.0)]
    return Maps(surface, numbers[0], numbers[1], normals)


def _number(words: dict[str, str], key: str, otherwise: float) -> float:
    with suppress(ValueError, KeyError):
        value = float(words[key].split()[0])
        if 0 <= value <= 1:
            return value
    return otherwise
