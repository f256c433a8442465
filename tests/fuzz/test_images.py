"""Pictures, masks and textures in any memory order and dtype: the result of plain float32, or a ValueError."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor

from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.mesh import Mesh
from rasterizer.texturing import METHODS, apply_textures, bake_views, fill_texture
from tests.fuzz.driver import Fault, Fuzzer
from tests.fuzz.strategies import DTYPES, ORDERS, sheet

_ORDERS = st.sampled_from(list(ORDERS))
_NUMBER_TYPES = st.sampled_from([dtype for dtype in DTYPES if not dtype.is_complex])


def _values(seed: int, *shape: int) -> Tensor:
    """In sixteenths, which every floating-point dtype that takes part has exactly."""
    return torch.randint(0, 17, shape, generator=torch.Generator().manual_seed(seed)) / 16


def _laid(plain: Tensor, dtype: torch.dtype, order: str) -> Tensor:
    try:
        return ORDERS[order](plain.to(dtype))
    except RuntimeError:  # PyTorch does not do this with this dtype
        assume(False)
        raise


def _same(name: str, found: Tensor, wanted: Tensor) -> None:
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        raise Fault(f"{name} has another shape or dtype")
    if not torch.allclose(found.float(), wanted.float(), rtol=0, atol=1e-5 * float(wanted.float().abs().max() + 1)):
        raise Fault(f"{name} has other values")


def _mesh(far: bool) -> Mesh:
    """With a layout over the whole texture, or over its upper left quarter, outside of most masks."""
    mesh = sheet()
    return Mesh(mesh.vertices, mesh.faces, mesh.uvs * 0.5) if far else mesh


def _fill(
    mask: tuple[int, torch.dtype, str, int], texture: tuple[torch.dtype, str], shape: Any, method: str, far: bool
) -> None:
    seed, mask_dtype, mask_order, most = mask
    colors = _laid(_values(seed, *shape, 3), *texture)
    half = _values(seed + 1, *shape) > 0.5
    half[: shape[0] // 2] &= not far
    painted = _laid(half.to(torch.int16) * most, mask_dtype, mask_order)
    mesh = _mesh(far)
    try:
        found, filled = fill_texture(colors, painted, mesh, method)
    except ValueError:
        return
    plain = painted.to(torch.float32).contiguous() != 0
    want, wanted = fill_texture(colors.to(torch.float32).contiguous(), plain, mesh, method)
    _same("the texture", found, want)
    _same("what was filled", filled, wanted)


def _bake(images: tuple[torch.dtype, str], masks: tuple[torch.dtype, str], most: float, seed: int, border: int) -> None:
    views = [orbit_camera(0, 0), orbit_camera(30, 20, ortho_scale=None)]
    pictures = _laid(_values(seed, 2, 12, 16, 3), *images)
    weights = _laid(_values(seed + 1, 2, 12, 16) * most, *masks)
    try:
        found = bake_views(sheet(), pictures, views, 24, masks=weights, border=border)
    except ValueError:
        return
    whole = 255.0 if pictures.dtype == torch.uint8 else 1.0  # which stand for 0 to 1 there
    plain = (pictures.to(torch.float32).contiguous() / whole, views, 24)
    usable = weights if weights.is_floating_point() else weights != 0  # whole numbers say yes or no
    want = bake_views(sheet(), *plain, masks=usable.to(torch.float32).contiguous(), border=border)
    for name in ("texture", "painted", "confidence", "covered"):
        _same(name, getattr(found, name), getattr(want, name))


def _apply(color: tuple[torch.dtype, str], surface: tuple[torch.dtype, str], layout: str, seed: int) -> None:
    base, rough = _laid(_values(seed, 6, 8, 3), *color), _laid(_values(seed + 1, 4, 4, 3), *surface)
    try:
        found = apply_textures(sheet(), base, rough, layout)
    except ValueError:
        return
    plain = (image.to(torch.float32).contiguous() for image in (base, rough))
    want = apply_textures(sheet(), *plain, layout)
    _same("texture", found.texture, want.texture)
    _same("metallic_roughness", found.metallic_roughness, want.metallic_roughness)


_KINDS = st.tuples(_NUMBER_TYPES, _ORDERS)


def test_fill_images(fuzz: Fuzzer) -> None:
    sides = st.sampled_from([8, 13, 16])
    fuzz(
        _fill,
        mask=st.tuples(st.integers(0, 99), _NUMBER_TYPES, _ORDERS, st.sampled_from([1, 255])),
        texture=_KINDS,
        shape=st.tuples(sides, sides),
        method=st.sampled_from(METHODS),
        far=st.booleans(),
    )


def test_bake_images(fuzz: Fuzzer) -> None:
    most = st.sampled_from([1.0, 16.0])
    fuzz(_bake, images=_KINDS, masks=_KINDS, most=most, seed=st.integers(0, 99), border=st.integers(0, 2))


def test_apply_images(fuzz: Fuzzer) -> None:
    layout = st.sampled_from(["hunyuan3d", "gltf ORM"])
    fuzz(_apply, color=_KINDS, surface=_KINDS, layout=layout, seed=st.integers(0, 99))
