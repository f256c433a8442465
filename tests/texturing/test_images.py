"""The pictures of a mesh: its textures to the bit, plain stand-ins, and its UV layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rasterizer.meshes.mesh import Mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.pictures.colors import distinct_colors, linear_to_srgb
from rasterizer.rendering.raster import rasterize_mesh
from rasterizer.texturing import Texels, apply_textures, mesh_images, uv_layout_image
from rasterizer.texturing.images import PLAIN
from rasterizer.texturing.layout import Charts


def noise(height: int, width: int) -> Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(height))


@pytest.fixture
def bare() -> Mesh:
    return replace(sample_mesh("torus"), texture=None)


def two_squares(corner: tuple[float, float] = (0.1, 0.1), side: float = 0.3, faces_apart: bool = False) -> Mesh:
    """Two charts: one from ``corner``, the other 0.5 to its right; of ``faces_apart`` no two share a vertex."""
    square = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * side + torch.tensor(corner)
    uvs = torch.cat((square, square + torch.tensor([0.5, 0.0])))
    faces = torch.tensor([[0, 2, 1], [0, 3, 2], [4, 6, 5], [4, 7, 6]])
    if faces_apart:
        uvs, faces = uvs[faces.view(-1)], torch.arange(12).view(4, 3)
    return Mesh(torch.cat((uvs, torch.zeros(len(uvs), 1)), dim=1), faces.int(), uvs=uvs)


class TestTextures:
    """What there is comes as it is."""

    def test_and_goes_back(self, bare: Mesh) -> None:
        textures = {"texture": noise(6, 8), "metallic_roughness": noise(4, 4), "normal_map": noise(2, 2)}
        mesh = replace(bare, **textures, occlusion_in_mr=True)
        found = mesh_images(mesh, 16)
        assert found.missing == () and torch.equal(found.occlusion, noise(4, 4)[..., :1].expand(4, 4, 3))
        back = apply_textures(
            bare, found.base_color, found.metallic_roughness, "gltf ORM", found.normal_map, found.occlusion
        )
        assert all(torch.equal(getattr(back, name), image) for name, image in textures.items()) and back.occlusion_in_mr

    def test_stand_ins(self, bare: Mesh) -> None:
        found = mesh_images(bare, 32)
        assert found.missing == ("base_color", "metallic_roughness", "normal_map", "occlusion")
        for name, color in PLAIN.items():
            assert torch.equal(getattr(found, name), torch.tensor(color).expand(32, 32, 3)), name
        # Red of metallic-roughness means nothing unless the mesh says so.
        assert "occlusion" in mesh_images(replace(bare, metallic_roughness=noise(4, 4)), 16).missing

    def test_vertex_colours_become_a_texture(self, bare: Mesh) -> None:
        light = bare.vertices.abs()
        found = mesh_images(replace(bare, vertex_colors=light), 64)
        texels = Texels.of(bare, (64, 64))
        want = linear_to_srgb(texels.interpolate(light))
        torch.testing.assert_close(found.base_color.view(-1, 3)[texels.index], want)
        assert found.base_color.amax(-1).min() > 0.05 and "base_color" not in found.missing  # gutters, too
        assert torch.equal(found.covered.view(-1).nonzero().squeeze(1), texels.index)

    def test_vertex_colours_tint_the_texture(self, bare: Mesh) -> None:
        textured = replace(bare, texture=torch.full((8, 8, 3), 0.5))
        half = replace(textured, vertex_colors=torch.full_like(bare.vertices, 0.5))
        # 0.5 is 0.2140 in light, half of which is 0.3608 as a code.
        torch.testing.assert_close(mesh_images(half).base_color, torch.full((8, 8, 3), 0.3608), rtol=0, atol=1e-4)
        told: list[float] = []
        mesh_images(half, on_progress=told.append)
        assert told == sorted(told) and told[-1] <= 1 and sum(share >= 0.5 for share in told) >= 8
        white = replace(textured, vertex_colors=torch.ones(len(bare.vertices), 4))
        assert mesh_images(white).base_color is textured.texture

    def test_a_texture_of_one_texel_becomes_a_picture(self, bare: Mesh) -> None:
        """Of the size asked for, with the vertex colours that it multiplies, and where faces lie on it."""
        drawn = mesh_images(replace(bare, vertex_colors=bare.vertices.abs()), 32)
        textured = replace(bare, texture=torch.ones(1, 1, 3))
        plain = mesh_images(textured, 32)
        assert torch.equal(plain.base_color, torch.ones(32, 32, 3)) and not plain.tinted
        tinted = mesh_images(replace(textured, vertex_colors=bare.vertices.abs()), 32)
        torch.testing.assert_close(tinted.base_color, drawn.base_color)
        assert (
            tinted.tinted and torch.equal(plain.covered, drawn.covered) and torch.equal(tinted.covered, drawn.covered)
        )

    def test_complaints(self, bare: Mesh) -> None:
        with pytest.raises(ValueError, match="has no UV coordinates"):
            mesh_images(replace(bare, uvs=None))
        with pytest.raises(ValueError, match="^size: is 8"):
            mesh_images(bare, 8)


class TestLayout:
    """Lines where edges are, in the colours of the charts."""

    @pytest.mark.parametrize("faces_apart", [False, True])
    def test_charts_and_lines(self, faces_apart: bool) -> None:
        mesh = two_squares(faces_apart=faces_apart)
        charts = Charts.of(mesh)
        assert charts.count == 2 and charts.chart.tolist() == [0, 0, 1, 1]
        assert charts.border.sum(1).tolist() == [2, 2, 2, 2]  # all but the diagonal
        picture = uv_layout_image(mesh, 100)
        one, other = distinct_colors(2)
        torch.testing.assert_close(picture[20, 10], one, rtol=0, atol=0.35)  # the left border
        for column, color in ((18, one), (68, other)):
            torch.testing.assert_close(picture[32, column], 0.22 * color, rtol=0, atol=1e-3)
        assert not picture[60:].any() and not picture[:, 45:55].any()
        diagonal = picture[range(14, 36), range(14, 36)]
        assert (diagonal >= 0.5 * one).all()

    def test_lines_are_smooth_and_of_one_width(self) -> None:
        """Whatever the size: a band across the left border holds as much of its colour."""
        for size in (100, 101, 400):
            row = uv_layout_image(two_squares(), size, torch.zeros(8, 8, 3))[round(0.32 * size)]
            shares = row[: round(0.15 * size)].sum(1) / distinct_colors(2)[0].sum()
            assert 1.2 < shares.sum() < 1.7 and 0.9 < shares.max() <= 1

    def test_over_a_texture(self) -> None:
        texture = torch.full((16, 32, 3), 0.5)
        picture = uv_layout_image(two_squares(), 100, texture)
        torch.testing.assert_close(picture[60:], torch.full((40, 100, 3), 0.5))
        torch.testing.assert_close(picture[34, 18], torch.full((3,), 0.5))  # inside a face
        assert (picture[20, 9:12] - 0.5).abs().amax() > 0.2 and torch.equal(texture, torch.full((16, 32, 3), 0.5))

    def test_a_dense_mesh_is_no_patch(self, bare: Mesh) -> None:
        over = torch.zeros(8, 8, 3)
        dense, coarse = (
            uv_layout_image(bare, size, over)[size // 4 : size // 2, size // 4 : size // 2] for size in (64, 1024)
        )
        assert dense.mean() < 0.25 * distinct_colors(1).mean() and coarse.max() > 3 * coarse.mean()

    def test_charts_beyond_the_texture_are_moved_into_it(self) -> None:
        far = two_squares((3.1, -1.9))
        torch.testing.assert_close(uv_layout_image(far, 100), uv_layout_image(two_squares(), 100), rtol=0, atol=0.02)

    def test_covers_what_the_layout_covers(self, bare: Mesh) -> None:
        drawn = uv_layout_image(bare, 128).amax(-1) > 0
        covered = rasterize_mesh(bare, resolution=(128, 128), space="uv").findices[0, 0] > 0
        assert (drawn | ~covered).all() and (drawn & ~covered).float().mean() < 0.05

    def test_complaints_and_a_stop(self, bare: Mesh) -> None:
        with pytest.raises(ValueError, match="has no UV coordinates"):
            uv_layout_image(replace(bare, uvs=None))
        with pytest.raises(ValueError, match="^mesh: has no faces"):
            uv_layout_image(replace(bare, faces=bare.faces[:0]))
        with pytest.raises(ValueError, match="^size: is 8"):
            uv_layout_image(bare, 8)

        def stop(share: float) -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            uv_layout_image(bare, 64, on_progress=stop)
