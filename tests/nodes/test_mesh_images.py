"""Mesh to Images, called as ComfyUI calls it."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.pack import run

NAMES = ("texture", "metallic_roughness", "normal_map")
OPTIONS = {"size": 64, "layout_over": "black"}


@pytest.fixture
def said(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(pack.compat, "show_text", lambda text, node: texts.append(text))
    return texts


def test_textures_come_and_go_back_as_they_are(pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
    mesh = copy.copy(torus)
    mesh.metallic_roughness, mesh.normal_map, mesh.occlusion_in_mr = (
        torch.rand(1, 8, 8, 3),
        torch.rand(1, 4, 4, 3),
        True,
    )
    base, surface, bumps, shade, layout, covered, report = run(pack, "MeshToImages", mesh=mesh, **OPTIONS)
    made, _ = run(
        pack, "ApplyTexture", mesh=mesh, base_color=base, metallic_roughness=surface, mr_layout="gltf ORM",
        normal_map=bumps, occlusion=shade,
    )  # fmt: skip
    for name in NAMES:
        assert torch.equal(getattr(made, name), getattr(mesh, name)), name
    assert made.occlusion_in_mr and layout.shape == (1, 64, 64, 3) and covered.shape == (1, 512, 512)
    assert 0.85 < covered.mean() < 0.95
    has = "base_color 512 x 512, metallic_roughness 8 x 8, normal_map 4 x 4, occlusion 8 x 8"
    assert said == [report] == [f"The mesh has {has}."]


def test_stand_ins_are_named(pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
    mesh = copy.copy(torus)
    mesh.texture = None
    base, surface, bumps, shade, *_ = run(pack, "MeshToImages", mesh=mesh, **OPTIONS)
    assert said[-1].splitlines() == [
        "The mesh has no textures.",
        "Plain stand-ins for what it has not: base_color, metallic_roughness, normal_map, occlusion.",
    ]
    for image, color in ((base, [1, 1, 1]), (surface, [1, 1, 0]), (bumps, [0.5, 0.5, 1]), (shade, [1, 1, 1])):
        assert image.shape == (1, 64, 64, 3) and (image == torch.tensor(color)).all()
    mesh.vertex_colors = torch.rand_like(mesh.vertices)
    assert run(pack, "MeshToImages", mesh=mesh, **OPTIONS)[0].std() > 0.05
    assert "The mesh has base_color 64 x 64.\nIts vertex colours are in base_color." in said[-1]


def test_a_texture_of_one_texel(pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
    mesh = copy.copy(torus)
    mesh.texture = torch.full((1, 1, 1, 3), 0.25)
    base, *_, covered, report = run(pack, "MeshToImages", mesh=mesh, **OPTIONS)
    assert torch.equal(base, torch.full((1, 64, 64, 3), 0.25)) and covered.shape == (1, 64, 64)
    assert report.startswith("The mesh has base_color 64 x 64.\nPlain stand-ins"), "and no vertex colours"


def test_the_layout_over_the_texture(pack: SimpleNamespace, torus: Any) -> None:
    black = run(pack, "MeshToImages", mesh=torus, **OPTIONS)[4]
    over = run(pack, "MeshToImages", mesh=torus, size=64, layout_over="base color")[4]
    assert over.shape == black.shape and over.mean() > black.mean() + 0.1


def test_a_batch_and_a_trimesh(pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
    both = {name: torch.cat([getattr(torus, name)] * 2) for name in ("vertices", "faces", "uvs", "texture")}
    two = run(pack, "MeshToImages", mesh=SimpleNamespace(**both), **OPTIONS)
    one = run(pack, "MeshToImages", mesh=torus, **OPTIONS)
    for many, single in zip(two[:-1], one[:-1], strict=True):
        assert torch.equal(many, torch.cat((single, single)))
    assert said[0].startswith("Mesh 1 of 2: The mesh has base_color 512 x 512.")
    _, twin = run(pack, "UnwrapUV", mesh=torus, resolution=64, padding=1)
    found = run(pack, "MeshToImages", mesh=twin, **OPTIONS)
    torch.testing.assert_close(found[0], one[0], rtol=0, atol=1 / 255)
    torch.testing.assert_close(found[4], one[4], rtol=0, atol=0.05)


def test_pictures_are_shown_to_those_who_look(
    pack: SimpleNamespace, torus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = pack.nodes["MeshToImages"]
    assert node.execute(mesh=torus, **OPTIONS).ui is None
    monkeypatch.setattr(pack.compat, "somebody_watches", lambda: True)
    assert len(node.execute(mesh=torus, **OPTIONS).ui["images"]) == 2


def test_without_uvs(pack: SimpleNamespace, torus: Any) -> None:
    bare = SimpleNamespace(vertices=torus.vertices, faces=torus.faces)
    with pytest.raises(ValueError, match=r"^mesh has no UV coordinates: .*Unwrap it first"):
        run(pack, "MeshToImages", mesh=bare, **OPTIONS)
