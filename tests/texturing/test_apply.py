"""Textures onto a mesh: what is given replaces what it has, what is not stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rasterizer.meshes.mesh import Mesh
from rasterizer.texturing import apply_textures


def image(seed: int, height: int = 4, width: int = 6) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def mesh() -> Mesh:
    """One triangle with every texture."""
    return Mesh(
        torch.eye(3),
        torch.tensor([[0, 1, 2]], dtype=torch.int32),
        uvs=torch.eye(3)[:, :2],
        vertex_colors=torch.eye(3),
        texture=image(1),
        metallic_roughness=image(2),
        normal_map=image(3),
        occlusion_in_mr=True,
        material="paint",
    )


def test_what_is_not_given_stays(mesh: Mesh) -> None:
    made = apply_textures(mesh, image(4))
    assert torch.equal(made.texture, image(4)) and made.vertex_colors is None and made.material == "paint"
    assert made.metallic_roughness is mesh.metallic_roughness and made.normal_map is mesh.normal_map
    assert made.occlusion_in_mr and not apply_textures(replace(mesh, occlusion_in_mr=False), image(4)).occlusion_in_mr


def test_normal_maps_of_both_layouts(mesh: Mesh) -> None:
    assert torch.equal(apply_textures(mesh, image(4), normal_map=image(5)).normal_map, image(5))
    turned = apply_textures(mesh, image(4), normal_map=image(5), normal_layout="directx").normal_map
    assert torch.equal(turned[..., [0, 2]], image(5)[..., [0, 2]]) and torch.equal(turned[..., 1], 1 - image(5)[..., 1])
    with pytest.raises(ValueError, match="^normal_layout: is 'unreal', expected one of opengl, directx"):
        apply_textures(mesh, image(4), normal_map=image(5), normal_layout="unreal")


class TestOcclusion:
    """It lies in red of metallic-roughness."""

    def test_replaces_that_of_the_mesh(self, mesh: Mesh) -> None:
        for shade in (image(6)[..., 0], image(6)):
            made = apply_textures(mesh, image(4), occlusion=shade)
            assert torch.equal(made.metallic_roughness[..., 0], image(6)[..., 0]) and made.occlusion_in_mr
            assert torch.equal(made.metallic_roughness[..., 1:], mesh.metallic_roughness[..., 1:])

    def test_of_the_mesh_stays_under_new_metallic_roughness(self, mesh: Mesh) -> None:
        made = apply_textures(mesh, image(4), image(7), "hunyuan3d").metallic_roughness
        assert torch.equal(made, torch.stack((mesh.metallic_roughness[..., 0], *image(7).unbind(-1)[1::-1]), dim=-1))
        assert torch.equal(apply_textures(mesh, image(4), image(7), "gltf ORM").metallic_roughness, image(7))
        plain = replace(mesh, occlusion_in_mr=False)
        assert (apply_textures(plain, image(4), image(7), "hunyuan3d").metallic_roughness[..., 0] == 1).all()

    def test_without_metallic_roughness_a_plain_one_is_made(self, mesh: Mesh) -> None:
        bare = replace(mesh, metallic_roughness=None, occlusion_in_mr=False)
        made = apply_textures(bare, image(4), occlusion=image(6))
        assert made.occlusion_in_mr and torch.equal(made.metallic_roughness[..., 0], image(6)[..., 0])
        assert (made.metallic_roughness[..., 1] == 1).all() and (made.metallic_roughness[..., 2] == 0).all()

    @pytest.mark.parametrize("larger", ["occlusion", "surface"])
    def test_the_larger_one_keeps_its_size(self, mesh: Mesh, larger: str) -> None:
        fine, coarse = image(6, 8, 8), torch.full((2, 2, 3), 0.25)
        shade, surface = (fine, coarse) if larger == "occlusion" else (coarse, fine)
        made = apply_textures(mesh, image(4), surface, "gltf ORM", occlusion=shade).metallic_roughness
        assert made.shape == (8, 8, 3)
        one, other = (made[..., :1], made[..., 1:]) if larger == "occlusion" else (made[..., 1:], made[..., :1])
        assert torch.equal(one, fine[..., :1] if larger == "occlusion" else fine[..., 1:])
        torch.testing.assert_close(other, torch.full_like(other, 0.25))


@pytest.mark.parametrize("name", ["normal_map", "occlusion"])
def test_what_is_no_image_is_named(mesh: Mesh, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: is \[2, 4, 6, 3\], expected an image \[H, W, "):
        apply_textures(mesh, image(4), **{name: torch.rand(2, 4, 6, 3)})
