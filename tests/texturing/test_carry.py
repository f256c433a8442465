"""Textures carried to another layout: the same on the surface, with nothing from beside the charts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.mesh import TEXTURES, Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.meshes.tangents import vertex_tangents
from rasterizer.pictures.sampling import sample_texture
from rasterizer.rendering.attributes import attribute_image
from rasterizer.rendering.lit import render_mesh
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.runtime.policy import PORTABLE, force_policy
from rasterizer.texturing import Texels, carried_sizes, carry_textures
from rasterizer.texturing.resample import Pyramid
from rasterizer.texturing.unwrap.unwrap import unwrap_uv
from tests.support.needs import needs_xatlas


def waves(side: int, turns: int = 2) -> Tensor:
    """A smooth texture that continues across the margins of the samples."""
    place = ((torch.arange(side) + 0.5) / side - 0.02) / 0.96 * 2 * math.pi
    u, v = torch.meshgrid(place, place, indexing="xy")
    parts = (torch.sin(turns * u) * torch.cos(v), torch.cos(v + u), torch.sin(turns * u - v))
    return 0.5 + 0.4 * torch.stack(parts, dim=-1)


def square(uvs: list[list[float]], side: int = 8) -> Mesh:
    """A square of two faces that faces +Z, with a texture of noise."""
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    noise = torch.rand(side, side, 3, generator=torch.Generator().manual_seed(0))
    return Mesh(points, faces, uvs=torch.tensor(uvs), texture=noise)


UPRIGHT = [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]  # v = 0 is the top
TURNED = [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]  # a quarter turn to the left
MIRRORED = [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]


def render(mesh: Mesh) -> tuple[Tensor, Tensor]:
    cameras = [orbit_camera(*place) for place in ((0, 0), (90, 20), (200, -30), (300, 60))]
    raster = rasterize_mesh(mesh, cameras, (256, 256))
    return attribute_image(raster, "texture"), raster.findices > 0


def likeness(old: Mesh, new: Mesh) -> float:
    """PSNR of the two as rendered from several sides, where either is drawn, in dB."""
    (one, drawn), (other, _) = render(old), render(new)
    return float(-10 * (one - other)[drawn].square().mean().log10())


@pytest.fixture(scope="module")
def torus() -> Mesh:
    return sample_mesh("torus")


@pytest.fixture(scope="module")
def unwrapped(torus: Mesh) -> Mesh:
    return unwrap_uv(torus, 512, 4)


@needs_xatlas
class TestLikeness:
    """Old and new, rendered."""

    @pytest.mark.parametrize(("size", "least"), [(0, 45), (512, 50), (128, 45)])
    def test_of_a_smooth_texture(self, torus: Mesh, unwrapped: Mesh, size: int, least: float) -> None:
        old = replace(torus, texture=waves(256))
        new = carry_textures(old, unwrapped, size)
        assert new.texture.shape == ((size or 256),) * 2 + (3,) and torch.equal(new.uvs, unwrapped.uvs)
        assert likeness(old, new) > least
        assert likeness(replace(old, texture=waves(256, 3)), new) < 20  # the measure tells textures apart

    def test_of_lines(self, torus: Mesh, unwrapped: Mesh) -> None:
        assert likeness(torus, carry_textures(torus, unwrapped, 1024)) > 48

    def test_of_a_texture_that_repeats(self, torus: Mesh, unwrapped: Mesh) -> None:
        old = replace(torus, texture=waves(64), uvs=torus.uvs * 4 - 1.3)
        new = carry_textures(old, unwrapped)
        assert carried_sizes(old, unwrapped) == {"texture": 256} and new.texture.shape == (256, 256, 3)
        # The margins, which the sample leaves out, have no place in a texture that repeats.
        old = replace(old, texture=waves(64).mean(dim=(0, 1)).expand(64, 64, 3).contiguous())
        torch.testing.assert_close(carry_textures(old, unwrapped).texture, old.texture[:1, :1].expand(256, 256, 3))
        assert likeness(old, carry_textures(old, unwrapped)) > 100

    def test_nothing_lies_beside_the_charts(self, torus: Mesh, unwrapped: Mesh) -> None:
        """Neither of the old layout, whose gutters are of another colour here, nor of the new one."""
        inside = Texels.of(torus, (128, 128))
        grey = inside.image(torch.full((len(inside), 3), 0.5))
        beside = (grey == 0) * torch.tensor([1.0, 0.0, 1.0])
        assert beside.any()
        for size in (32, 128, 300):
            made = carry_textures(replace(torus, texture=grey + beside), unwrapped, size).texture
            torch.testing.assert_close(made, torch.full_like(made, 0.5), rtol=0, atol=1e-5)

    def test_all_textures_and_what_goes_with_them(self, torus: Mesh, unwrapped: Mesh) -> None:
        old = replace(torus, metallic_roughness=waves(32), normal_map=waves(48), occlusion_in_mr=True)
        new = carry_textures(old, unwrapped)
        assert new.occlusion_in_mr and [getattr(new, name).shape[0] for name in TEXTURES] == [512, 32, 48]
        assert not carry_textures(replace(old, metallic_roughness=None), unwrapped).occlusion_in_mr
        alone = carry_textures(replace(torus, texture=old.metallic_roughness), unwrapped)
        assert torch.equal(alone.texture, new.metallic_roughness)
        sizes = {"texture": 64, "metallic_roughness": 48, "normal_map": 64}
        new = carry_textures(old, unwrapped, sizes)
        assert {name: len(getattr(new, name)) for name in TEXTURES} == sizes

    def test_the_way_of_a_device_without_much(self, torus: Mesh, unwrapped: Mesh) -> None:
        want = carry_textures(torus, unwrapped, 256).texture
        with force_policy(PORTABLE):
            torch.testing.assert_close(carry_textures(torus, unwrapped, 256).texture, want, rtol=0, atol=2e-3)


class TestTexels:
    """Texel by texel."""

    def test_the_same_layout_gives_the_same_texture(self) -> None:
        mesh = square(UPRIGHT)
        torch.testing.assert_close(carry_textures(mesh, mesh).texture, mesh.texture)

    def test_a_quarter_turn_moves_texels_and_changes_none(self) -> None:
        old, new = square(UPRIGHT), square(TURNED)
        torch.testing.assert_close(carry_textures(old, new).texture, old.texture.rot90(1))

    def test_uvs_a_whole_texture_away_are_the_same(self) -> None:
        old = square(UPRIGHT)
        moved = replace(old, uvs=old.uvs + torch.tensor([3.0, -2.0]))
        torch.testing.assert_close(carry_textures(moved, old).texture, old.texture)

    @pytest.mark.parametrize("wide", [1, 4])
    def test_large_texels_are_means(self, wide: int) -> None:
        """Also where they are ``wide`` times as wide as high, which no level of a pyramid alone gives."""
        old = square(UPRIGHT, side=256)
        place = (torch.arange(256) // 2 % 2).float()
        old = replace(old, texture=(place[:, None] != place[None]).float()[..., None].repeat(1, 1, 3))
        narrow = [[u / wide, v] for u, v in UPRIGHT]
        made = carry_textures(old, square(narrow), 16).texture[:, : 16 // wide]
        torch.testing.assert_close(made, torch.full_like(made, 0.5), rtol=0, atol=0.02)

    def test_faces_without_area_in_the_old_layout_take_its_colour_there(self) -> None:
        swatches = square([[0.3, 0.3]] * 4, side=4)
        made = carry_textures(swatches, square(UPRIGHT), 16).texture
        want = sample_texture(swatches.texture, torch.tensor([0.3, 0.3]))
        torch.testing.assert_close(made, want.expand(16, 16, 3), rtol=0, atol=0.06)  # cubic, not linear

    def test_a_palette_gets_texels_for_its_faces(self) -> None:
        swatches = square([[0.1, 0.1], [0.1, 0.1], [0.9, 0.9], [0.9, 0.9]], side=2)
        assert carried_sizes(swatches, square(UPRIGHT)) == {"texture": 8}
        assert carried_sizes(square(UPRIGHT, side=2), square(UPRIGHT)) == {"texture": 2}

    def test_a_single_texel_stays_one(self) -> None:
        old = replace(square(UPRIGHT), texture=torch.tensor([[[0.1, 0.2, 0.3]]]))
        assert torch.equal(carry_textures(old, square(TURNED), 64).texture, old.texture)

    def test_faces_without_area_in_the_new_layout_do_no_harm(self) -> None:
        old, new = square(UPRIGHT), square([[0.5, 0.5]] * 4)
        assert torch.isfinite(carry_textures(old, new).texture).all()


class TestNormalMaps:
    """Vectors keep their direction on the surface."""

    def test_tangents_follow_the_layout(self) -> None:
        for uvs, along, mirror in ((UPRIGHT, [1, 0, 0], 0), (TURNED, [0, -1, 0], 0), (MIRRORED, [-1, 0, 0], 1)):
            tangents, mirrored = vertex_tangents(square(uvs))
            ours, others = tangents.split(4)[:: -1 if mirror else 1]
            torch.testing.assert_close(ours, torch.tensor([along] * 4).float())
            assert not others.any() and mirrored.tolist() == [mirror] * 2
        assert not vertex_tangents(square([[0.3, 0.3]] * 4))[0].any()

    @pytest.mark.parametrize(("uvs", "want"), [(TURNED, (-0.48, 0.36, 0.8)), (MIRRORED, (-0.36, 0.48, 0.8))])
    def test_a_vector_in_another_frame(self, uvs: list[list[float]], want: tuple[float, ...]) -> None:
        """0.36 to the right, 0.48 up and 0.8 out of the square."""
        old = square(UPRIGHT)
        bump = torch.tensor([0.36, 0.48, 0.8]).expand(8, 8, 3) / 2 + 0.5
        made = carry_textures(replace(old, texture=None, normal_map=bump.contiguous()), square(uvs)).normal_map
        torch.testing.assert_close(made, torch.tensor(want).expand(8, 8, 3) / 2 + 0.5)

    @needs_xatlas
    def test_as_it_is_lit(self, torus: Mesh, unwrapped: Mesh) -> None:
        bumps = torch.nn.functional.normalize(torch.cat((waves(256)[..., :2] - 0.5, torch.ones(256, 256, 1)), 2), dim=2)
        old = replace(torus, normal_map=bumps / 2 + 0.5, texture=torch.full((4, 4, 3), 0.7))
        new = carry_textures(old, unwrapped, 512)
        cameras = [orbit_camera(30, 20), orbit_camera(200, -40)]
        one, other, flat = (
            render_mesh(each, cameras, (128, 128), samples=1).color
            for each in (old, new, replace(old, normal_map=None))
        )
        apart, relief = ((one - each).square().mean().log10() * -10 for each in (other, flat))
        assert apart > 45 and relief < 35

    @needs_xatlas
    def test_on_a_surface(self, torus: Mesh, unwrapped: Mesh) -> None:
        bumps = torch.nn.functional.normalize(
            torch.cat((waves(256)[..., :2] - 0.5, torch.ones(256, 256, 1)), -1), dim=2
        )
        old = replace(torus, normal_map=bumps / 2 + 0.5)
        new = carry_textures(old, unwrapped, 512)
        index = Texels.of(new, (512, 512)).index
        assert (new.normal_map * 2 - 1).norm(dim=2).view(-1)[index].sub(1).abs().max() < 1e-4
        angle = (shading(old) * shading(new)).sum(-1).clamp(-1, 1).acos().rad2deg()
        assert angle.quantile(0.5) < 0.2 and angle.quantile(0.99) < 2
        plain = (shading(old) * shading(replace(new, normal_map=sideways(new.normal_map)))).sum(-1).acos().rad2deg()
        assert plain.quantile(0.5) > 5  # the measure tells frames apart


def sideways(image: Tensor) -> Tensor:
    return torch.stack((1 - image[..., 1], image[..., 0], image[..., 2]), dim=-1)


def shading(mesh: Mesh) -> Tensor:
    """``[n, 3]`` normals in space at points inside the faces, by the definition of a normal map."""
    weights = torch.tensor([0.5, 0.3, 0.2])[:, None]
    corners = mesh.faces.long()
    x, y, z = (sample_texture(mesh.normal_map, (mesh.uvs[corners] * weights).sum(1)) * 2 - 1).unbind(1)
    normal = torch.nn.functional.normalize((mesh.normals[corners] * weights).sum(1), dim=1)
    tangents, mirrored = vertex_tangents(mesh)
    tangent = (tangents[corners + mirrored[:, None] * len(mesh.vertices)] * weights).sum(1)
    tangent = torch.nn.functional.normalize(tangent - normal * (tangent * normal).sum(1, keepdim=True), dim=1)
    other = torch.linalg.cross(normal, tangent) * torch.where(mirrored, -1.0, 1.0)[:, None]
    return torch.nn.functional.normalize(x[:, None] * tangent + y[:, None] * other + z[:, None] * normal, dim=1)


def test_what_cannot_be() -> None:
    mesh = square(UPRIGHT)
    for old, new, size, words in (
        (replace(mesh, uvs=None), mesh, 0, "^old has no UV coordinates"),
        (mesh, replace(mesh, uvs=None), 0, "^new has no UV coordinates"),
        (mesh, replace(mesh, faces=mesh.faces[:1]), 0, "^new: has 1 faces, expected 2 in the same order"),
        (mesh, mesh, -16, "^texture_size: is -16"),
    ):
        with pytest.raises(ValueError, match=words):
            carry_textures(old, new, size)


def test_progress_and_a_stop() -> None:
    mesh = replace(square(UPRIGHT, 64), metallic_roughness=waves(32))
    told: list[float] = []
    carry_textures(mesh, mesh, on_progress=told.append)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 3
    assert sum(share >= 0.875 for share in told) >= 8, "while gutters are filled, too"

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        carry_textures(mesh, mesh, on_progress=stop)


def test_without_textures_nothing_is_done() -> None:
    mesh = replace(square(UPRIGHT), texture=None)
    assert all(getattr(carry_textures(mesh, mesh), name) is None for name in TEXTURES)


@pytest.mark.parametrize("side", [255, 333])
def test_levels_of_odd_textures_are_means_in_their_place(side: int) -> None:
    turn = 4 * math.pi  # of a wave, over the texture
    wave = torch.sin(turn * (torch.arange(side) + 0.5) / side)
    pyramid = Pyramid.of(wave.view(1, side, 1).expand(side, side, 1))
    u = torch.linspace(0.05, 0.95, 181)
    for level in (1, 2):
        half = turn * 2**level / side / 2
        found = pyramid.look(torch.stack((u, torch.full_like(u, 0.5)), 1), torch.full((len(u),), level))
        want = torch.sin(turn * u) * (math.sin(half) / half)
        torch.testing.assert_close(found[:, 0], want, rtol=0, atol=3e-3)
