"""Wavefront OBJ files: read as trimesh should have them, and written with their materials."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from ..pictures.colors import linear_to_srgb
from ..pictures.files import to_pil
from ..runtime.files import Write, remove, write_together
from ..runtime.limits import FACES, PARTS, VERTICES, allowed_memory, check_memory
from .beside import KINDS, is_part, mark, named_by, stems
from .mesh import Mesh
from .texts import clean_name, to_utf8

_LONGEST_CORNER = 64  # characters of v/vt/vn: what repeats in a fan must not be longer than a number is
_MEMORY_PER_NUMBER = 75  # what trimesh takes for each, in text and on the way to arrays; measured
_MEMORY_PER_TRIANGLE = 3 * _MEMORY_PER_NUMBER
_MEMORY_PER_PART = 14_000

# Of each of KINDS. Some programs read normal maps as "norm" only, as the PBR extension has it, others as "map_Bump",
# and those that take that for heights prefer "norm".
_KEYWORDS = (("map_Kd",), ("map_Pr",), ("map_Pm",), ("norm", "map_Bump"))


def prepare_obj(data: bytes) -> tuple[bytes, str, str]:
    """An OBJ file in UTF-8 with its polygons cut into fans; what its object and its material are called, if it has one.

    trimesh 4 loses the UVs of files with nothing but quads.

    Raises:
        ValueError: it is beyond a limit.
    """
    size = len(data)
    text = to_utf8(data).replace(b"\r\n", b"\n").replace(b"\\\n", b" ")
    VERTICES.check(text.count(b"\nv ") + text.count(b"\nv\t"))
    objects, materials = (_all(word, text) for word in (b"o", b"usemtl"))
    PARTS.check(parts := len(materials))
    text = re.sub(rb"^f(?:[ \t]+\S+){4}.*$", _Fans(size), text, flags=re.MULTILINE)
    FACES.check(text.count(b"\nf "))
    numbers = sum(text.count(end) for end in (b"/", b" ", b"\t", b"\n"))
    check_memory(numbers * _MEMORY_PER_NUMBER + parts * _MEMORY_PER_PART, size)
    name, material = (clean_name(b"".join(names).decode()) if len(names) == 1 else "" for names in (objects, materials))
    return text, name, material


def _all(word: bytes, text: bytes) -> set[bytes]:
    """What follows a word at the beginning of lines."""
    return set(re.findall(rb"^%b[ \t]+(.*)$" % word, text, flags=re.MULTILINE))


class _Fans:
    """Turns the lines of polygons into those of triangles, as long as these stay in proportion to the file."""

    def __init__(self, size: int) -> None:
        self._size, self._room = size, allowed_memory(size)

    def __call__(self, match: re.Match[bytes]) -> bytes:
        first, *rest = match[0].partition(b"#")[0].split()[1:]
        if len(first) > _LONGEST_CORNER:
            raise ValueError(f"it has a polygon with the corner '{first[:20].decode(errors='replace')}...'")
        self._room -= (len(rest) - 1) * _MEMORY_PER_TRIANGLE
        if self._room < 0:
            check_memory(allowed_memory(self._size) - self._room, self._size)
        return b"\n".join(b"f %b %b %b" % (first, *pair) for pair in zip(rest[:-1], rest[1:], strict=True))


def save_obj(mesh: Mesh, path: Path) -> list[Path]:
    """Write an OBJ file, and beside it a ``.mtl`` and PNG files where the mesh has textures.

    Roughness and metallic become a grey image each (``map_Pr``, ``map_Pm``), and the normal map is named ``norm``, as
    the PBR extension of MTL has them. Occlusion has no word there and is left out.

    A file that was not written for this OBJ file stays; those beside it get other names then. What an earlier OBJ file
    of this path names is not touched before the new one is there, so that at any time one of them is whole. To give
    the new ones its names, all is written once more after that.

    Returns:
        The files, the OBJ file first.
    """
    images = _images(mesh)
    # A backslash at its end would have the next line belong to the name.
    name, material = (clean_name(text).rstrip("\\ ") for text in (mesh.name, mesh.material))
    material = material or "material"
    called = f"o {name}\n" if name else ""
    geometry = _geometry(mesh)
    pictures = [_to_png(image, mark(path)) for image in images.values()]

    def write(stem: str) -> list[Path]:
        names = _names(path, stem, images)
        if taken := next(filter(os.path.lexists, names), None):
            raise FileExistsError(f"{taken} is there already")
        use = f"mtllib {stem}.mtl\nusemtl {material}\n" if images else ""
        data = [_material(material, stem, images, mark(path)), *pictures] if images else []
        writers = [_writer(part) for part in (*data, (use + called + geometry).encode())]
        write_together(zip([*names, path], writers, strict=True))
        return names

    def write_first(until: str = "") -> tuple[str, list[Path]]:
        for stem in stems(path):
            if stem == until:
                break
            with suppress(FileExistsError):
                return stem, write(stem)
        return until, []

    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = _own(path)
    stem, names = write_first()
    remove(earlier)
    with suppress(OSError):  # there is no room for both, or Windows has one open: the other names serve as well
        better, again = write_first(stem)
        if better != stem:
            remove(names)
            names = again
    return [path, *names]


def files_beside(mesh: Mesh, path: Path) -> list[Path]:
    """What :func:`save_obj` writes beside an OBJ file where no other has these names."""
    return _names(path, next(stems(path)), _images(mesh))


def _own(path: Path) -> list[Path]:
    """The files beside an OBJ file that were written for it, also by a process that was killed then."""
    found = {stem for stem in (*islice(stems(path), 4), named_by(path)) if stem is not None}
    return [name for stem in found for name in _names(path, stem, KINDS) if is_part(name, path)]


def _names(path: Path, stem: str, kinds: Iterable[str]) -> list[Path]:
    """Of the material file and of the pictures of some kinds, if any."""
    pictures = [path.with_name(f"{stem}{kind}.png") for kind in kinds]
    return [path.with_name(f"{stem}.mtl"), *pictures] if pictures else []


def _images(mesh: Mesh) -> dict[str, Tensor]:
    """The pictures of a mesh, by kind."""
    if mesh.uvs is None:
        return {}
    surface = mesh.metallic_roughness
    rough, metallic = (None, None) if surface is None else (surface[..., 1], surface[..., 2])
    images = zip(KINDS, (mesh.texture, rough, metallic, mesh.normal_map), strict=True)
    return {kind: image for kind, image in images if image is not None}


def _material(name: str, stem: str, kinds: Iterable[str], comment: str) -> bytes:
    lines = [f"# {comment}", f"newmtl {name}", "Kd 1 1 1", "Ks 0 0 0", "illum 1"]
    lines += [f"{keyword} {stem}{kind}.png" for kind in kinds for keyword in _KEYWORDS[KINDS.index(kind)]]
    return ("\n".join(lines) + "\n").encode()


def _to_png(image: Tensor, comment: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", comment)
    file = io.BytesIO()
    to_pil(image).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def _geometry(mesh: Mesh) -> str:
    points = mesh.vertices
    if mesh.vertex_colors is not None:  # behind the position; not in the standard, but widely read, and sRGB
        points = torch.cat((points, linear_to_srgb(mesh.vertex_colors[:, :3])), dim=1)
    lines = _rows("v", points)
    corner = "%d"
    if mesh.uvs is not None:
        lines += _rows("vt", torch.stack((mesh.uvs[:, 0], 1.0 - mesh.uvs[:, 1]), dim=1))
        corner = "%d/%d"
    if mesh.normals is not None:
        lines += _rows("vn", mesh.normals)
        corner += "/%d" if mesh.uvs is not None else "//%d"
    form = f"f {corner} {corner} {corner}"
    indices = (mesh.faces.cpu() + 1).repeat_interleave(corner.count("%"), dim=1)
    lines += [form % tuple(row) for row in indices.tolist()]
    return "\n".join(lines) + "\n"


def _rows(keyword: str, values: Tensor) -> list[str]:
    form = " ".join([keyword] + ["%.9g"] * values.shape[1])
    return [form % tuple(row) for row in values.detach().cpu().tolist()]


def _writer(data: bytes) -> Write:
    return lambda temporary: temporary.write_bytes(data)
