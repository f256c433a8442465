"""The texturing nodes, called as ComfyUI calls them."""

from __future__ import annotations

import copy
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh

from tests.support.needs import needs_simplification, needs_xatlas
from tests.support.pack import SIZE, cameras, run


@pytest.fixture
def stopped(pack: SimpleNamespace) -> Any:
    """The user has pressed stop."""
    pack.management.interrupt_current_processing(True)
    yield pack.management.InterruptProcessingException
    pack.management.interrupt_current_processing(False)


@pytest.fixture
def said(pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    compat = pack.compat
    monkeypatch.setattr(compat, "show_text", lambda text, node_id: texts.append(text))
    return texts


class TestCameras:
    """The list, and what becomes of it."""

    @pytest.mark.parametrize("preset", ["hunyuan3d-2", "hunyuan3d-2.1"])
    def test_presets_come_back_bit_for_bit(self, pack: SimpleNamespace, preset: str) -> None:
        listed, hunyuan = cameras(pack, preset=preset)
        orbit = pack.cameras.orbit_camera
        places = zip([0, 90, 180, 270, 0, 180], [0, 0, 0, 0, 90, -90], [1, 0.1, 0.5, 0.1, 0.05, 0.05], strict=True)
        want = [orbit(a, e, 1.45, ortho_scale=1.2, weight=w) for a, e, w in places]
        assert pack.border.read_cameras(listed) == want
        assert pack.border.read_cameras(json.loads(json.dumps(listed))) == want
        assert pack.border.read_cameras(hunyuan) == want

    def test_hunyuan3d_dict(self, pack: SimpleNamespace) -> None:
        hunyuan = cameras(pack)[1]
        assert hunyuan == {
            "selected_camera_azims": [0, 90, 180, 270, 0, 180],
            "selected_camera_elevs": [0, 0, 0, 0, 90, -90],
            "selected_view_weights": [1.0, 0.1, 0.5, 0.1, 0.05, 0.05],
            "camera_distance": 1.45,
            "ortho_scale": 1.2,
        }
        # The packs look angles up in tables, and floats are not in them.
        for key in ("selected_camera_azims", "selected_camera_elevs"):
            assert all(type(angle) is int for angle in hunyuan[key])
        assert cameras(pack, preset="turntable", views=7)[1]["selected_camera_azims"][1] == pytest.approx(360 / 7)
        assert cameras(pack, projection="perspective")[1]["ortho_scale"] == 1.2

    @pytest.mark.parametrize("projection", ["orthographic", "perspective"])
    def test_turntable_and_custom(self, pack: SimpleNamespace, projection: str) -> None:
        lens = {"projection": projection, "distance": 2.0, "ortho_scale": 1.4, "fov": 35.0}
        scale = 1.4 if projection == "orthographic" else None
        orbit = pack.cameras.orbit_camera
        listed = cameras(pack, preset="turntable", views=5, **lens)[0]
        want = [orbit(72 * number, 0, 2.0, ortho_scale=scale, fov=35.0) for number in range(5)]
        assert pack.border.read_cameras(listed) == want
        listed = cameras(pack, preset="custom", azimuths="10, 33.3", elevations="-20, 90", weights="0.25", **lens)[0]
        want = [orbit(a, e, 2.0, ortho_scale=scale, fov=35.0, weight=0.25) for a, e in ((10, -20), (33.3, 90))]
        assert pack.border.read_cameras(listed) == want

    @pytest.mark.parametrize("projection", ["orthographic", "perspective"])
    def test_who_does_not_know_our_key_sees_the_same_cameras(self, pack: SimpleNamespace, projection: str) -> None:
        listed, _ = cameras(
            pack,
            preset="custom",
            azimuths="0,90,200,0,180",
            elevations="0,0,33,90,-90",
            weights="1",
            projection=projection,
        )
        ours = pack.border.read_cameras(listed)
        plain = [{key: part for key, part in item.items() if not key.startswith("torch")} for item in listed]
        for seen, camera in zip(pack.border.read_cameras(plain), ours, strict=True):
            assert not seen.normalized
            for name in ("position", "right", "up", "forward"):
                assert getattr(seen, name) == pytest.approx(getattr(camera, name), abs=1e-12)
            assert seen.half_height == (None if projection == "perspective" else pytest.approx(0.6))
            if projection == "perspective":
                assert seen.fov == pytest.approx(49.13)

    def test_rendering_with_a_mesh_around_which_they_stand(self, pack: SimpleNamespace, torus: Any) -> None:
        moved = copy.copy(torus)
        moved.vertices = torus.vertices * 40 + torch.tensor([3.0, -70.0, 8.0])
        listed, _ = cameras(pack, mesh=moved)
        assert pack.border.read_cameras(listed) == pack.border.read_cameras(cameras(pack)[0])
        for item in listed:
            del item["torch_raster_view"]
        ours = run(pack, "RenderMaps", mesh=moved, cameras=cameras(pack)[0], size=SIZE, style="hunyuan3d-2")
        comfy = run(pack, "RenderMaps", mesh=moved, cameras=listed, size=SIZE, style="hunyuan3d-2")
        assert 0.05 < ours[3].mean() < 0.9
        assert (ours[3] != comfy[3]).float().mean() < 2e-3

    def test_what_another_node_has_changed_counts(self, pack: SimpleNamespace) -> None:
        listed, _ = cameras(pack)
        listed[1] = {**listed[1], "zoom": 2.0}
        listed[2] = {**listed[2], "position": {"x": 0.0, "y": 0.0, "z": -9.0}}
        seen = pack.border.read_cameras(listed)
        assert seen[0] == pack.cameras.orbit_camera(0, 0)
        assert seen[1].half_height == pytest.approx(0.3)
        assert seen[2].position == (0, 0, -9)
        assert [camera.weight for camera in seen] == [1, 0.1, 0.5, 0.1, 0.05, 0.05]
        assert all(camera.normalized for camera in seen)

    @pytest.mark.parametrize("mark", [None, 5, {}, {"azimuth": "north"}, {"centre": [0, 0, 0], "scale": 0}])
    def test_damaged_key_is_named(self, pack: SimpleNamespace, mark: Any) -> None:
        listed, _ = cameras(pack)
        listed[3] = {**listed[3], "torch_raster_view": mark}
        with pytest.raises(ValueError, match="^cameras 3: torch_raster_view is .*expected what Camera Views makes"):
            pack.border.read_cameras(listed)

    def test_a_mixed_list(self, pack: SimpleNamespace) -> None:
        comfy = {"position": {"x": 0, "y": 0, "z": 4}, "target": {"x": 0, "y": 0, "z": 0}}
        seen = pack.border.read_cameras([comfy, *cameras(pack)[0]])
        assert [camera.normalized for camera in seen] == [False] + 6 * [True]

    @pytest.mark.slow
    def test_extra_views_are_for_what_is_hidden(self, pack: SimpleNamespace, torus: Any, stopped: Any) -> None:
        with pytest.raises(stopped):
            cameras(pack, mesh=torus, extra_views=6)
        pack.management.interrupt_current_processing(False)
        assert len(cameras(pack, mesh=torus, extra_views=6)[0]) == 6  # six views show all of it
        front = {"preset": "turntable", "views": 1, "distance": 2.0}
        listed, hunyuan = cameras(pack, mesh=torus, extra_views=2, **front)
        assert len(listed) == 3 and hunyuan["selected_view_weights"] == [1.0, 0.01, 0.01]
        assert {abs(elevation) for elevation in hunyuan["selected_camera_elevs"][1:]} == {20}
        assert pack.border.read_cameras(listed)[2].weight == 0.01 and hunyuan["camera_distance"] == 2.0

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            (
                {"preset": "hunyuan3d-9"},
                "preset: is 'hunyuan3d-9', expected one of hunyuan3d-2, hunyuan3d-2.1",
            ),
            ({"projection": "isometric"}, "projection: is 'isometric', expected one of orthographic, perspective"),
            ({"preset": "turntable", "views": 0}, "views: is 0, expected a whole number from 1 to 360"),
            (
                {"preset": "custom", "azimuths": "front", "elevations": "0", "weights": "1"},
                "azimuths: has 'front' in 'front', expected numbers with commas between",
            ),
            ({"distance": -1.0}, "distance: is -1.0, expected a number above 0"),
            ({"extra_views": 3}, "extra_views: is 3 with nothing connected to mesh, expected 0, or the mesh"),
            ({"extra_views": 25}, "extra_views: is 25, expected a whole number from 0 to 24"),
        ],
    )
    def test_complaints(self, pack: SimpleNamespace, inputs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            cameras(pack, **inputs)


class TestRenderMaps:
    """Maps: how many, in which order."""

    def test_shapes_and_order(self, pack: SimpleNamespace, torus: Any) -> None:
        knot = run(pack, "LoadMesh", mesh_file="sample: trefoil knot")[0]
        batch = SimpleNamespace(vertices=[torus.vertices[0], knot.vertices[0]], faces=[torus.faces[0], knot.faces[0]])
        views = cameras(pack)[0]
        outputs = run(pack, "RenderMaps", mesh=batch, cameras=views, size=SIZE, style="hunyuan3d-2.1")
        assert [tuple(output.shape) for output in outputs] == 3 * [(12, SIZE, SIZE, 3)] + [(12, SIZE, SIZE)]
        assert all(output.dtype == torch.float32 and output.is_contiguous() for output in outputs)
        for number, single in enumerate((torus, knot)):
            alone = run(pack, "RenderMaps", mesh=single, cameras=views, size=SIZE, style="hunyuan3d-2.1")
            for output, part in zip(outputs, alone, strict=True):
                assert torch.equal(output[6 * number : 6 * number + 6], part)

    def test_every_camera_socket(self, pack: SimpleNamespace, torus: Any) -> None:
        listed, hunyuan = cameras(pack)
        first = run(pack, "RenderMaps", mesh=torus, cameras=listed, size=SIZE, style="hunyuan3d-2")
        second = run(pack, "RenderMaps", mesh=torus, cameras=hunyuan, size=SIZE, style="hunyuan3d-2")
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    def test_stop_is_passed_on(self, pack: SimpleNamespace, torus: Any, stopped: type[Exception]) -> None:
        with pytest.raises(stopped):
            run(pack, "RenderMaps", mesh=torus, cameras=None, size=SIZE, style="hunyuan3d-2")


@needs_xatlas
class TestUnwrapUV:
    """New UVs, or those there are."""

    def test_mesh_with_uvs_passes_unchanged(self, pack: SimpleNamespace, torus: Any) -> None:
        mesh, twin = run(pack, "UnwrapUV", mesh=torus, resolution=1024, padding=2)
        assert mesh is torus and isinstance(twin, trimesh.Trimesh)
        mesh, again = run(pack, "UnwrapUV", mesh=twin, resolution=1024, padding=2, keep_existing=True)
        assert again is twin and torch.equal(mesh.faces, torus.faces)
        torch.testing.assert_close(mesh.uvs, torus.uvs, rtol=0, atol=1e-6)

    def test_new_uvs(self, pack: SimpleNamespace, torus: Any) -> None:
        before = {name: value.clone() for name, value in vars(torus).items() if isinstance(value, torch.Tensor)}
        mesh, twin = run(pack, "UnwrapUV", mesh=torus, resolution=256, padding=2, keep_existing=False)
        assert mesh.uvs.shape == (1, mesh.vertices.shape[1], 2) and mesh.texture.shape == torus.texture.shape
        assert torch.equal(mesh.vertices[0][mesh.faces[0].long()], torus.vertices[0][torus.faces[0].long()])
        for name, value in before.items():
            assert torch.equal(getattr(torus, name), value), name
        pictures = [
            run(pack, "Rasterize", mesh=either, width=SIZE, height=SIZE, space="uv", mode="auto", tile_size=32,
                batch_size=0, backend="auto", layers=1)[1]
            for either in (mesh, twin)
        ]  # fmt: skip
        assert (pictures[0] != pictures[1]).float().mean() < 0.01  # v = 0 is at the top of both

    def test_textures_are_kept(self, pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
        torus = copy.copy(torus)
        torus.emissive = torus.texture[:, :64, :64]
        torus.material, torus.unlit = {"double_sided": True}, True
        options = {"mesh": torus, "resolution": 256, "padding": 2, "keep_existing": False}
        mesh, twin = run(pack, "UnwrapUV", **options)
        assert said[-1].startswith("Kept on the new UVs: texture 512 x 512, emissive 64 x 64.\nOn the surface, 0.")
        assert mesh.material["double_sided"] and mesh.unlit and mesh.emissive.shape == (1, 64, 64, 3)
        assert abs(mesh.emissive.mean() - torus.emissive.mean()) < 0.05
        size = int(re.search(r"texture_size (\d+) keeps", said[-1])[1])
        assert 512 < size < 1024 and run(pack, "UnwrapUV", texture_size=size, **options)[0].texture.shape[1] == size
        assert "On the surface" not in said[-1]
        views = cameras(pack)[0]
        shown = [
            run(pack, "Interpolate", raster=run(pack, "Rasterize", mesh=each, cameras=views, width=SIZE, height=SIZE,
                space="camera", mode="auto", tile_size=32, batch_size=0, backend="auto", layers=1)[0],
                attribute="texture", shading="smooth", encoding="raw", background="#ffffff")[0]
            for each in (torus, mesh, twin)
        ]  # fmt: skip
        for other in shown[1:]:
            assert (shown[0] - other).square().mean() < 1e-3
        mesh, _ = run(pack, "UnwrapUV", keep_textures=False, **options)
        assert getattr(mesh, "texture", None) is None and getattr(mesh, "emissive", None) is None
        assert said[-1] == "The mesh had textures. They do not lie on the new UVs and are dropped."

    def test_textures_that_lie_nowhere_are_told_of(self, pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
        torus = copy.copy(torus)
        torus.uvs = None
        mesh, _ = run(pack, "UnwrapUV", mesh=torus, resolution=256, padding=2)
        assert getattr(mesh, "texture", None) is None and "had textures but no UVs" in said[-1]

    def test_vertex_colours_go_with_their_vertices(self, pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
        plain = copy.copy(torus)
        plain.texture, plain.vertex_colors = None, torus.vertices.abs().clamp(0, 1)
        mesh, _ = run(pack, "UnwrapUV", mesh=plain, resolution=256, padding=2, keep_existing=False)
        torch.testing.assert_close(mesh.vertex_colors, mesh.vertices.abs().clamp(0, 1), rtol=0, atol=0)
        assert said == []

    def test_batch_of_different_meshes(self, pack: SimpleNamespace) -> None:
        boxes = [trimesh.creation.box((1, 2, 3)), trimesh.creation.icosphere(subdivisions=2)]
        vertices, faces = ([torch.from_numpy(getattr(b, part).copy()) for b in boxes] for part in ("vertices", "faces"))
        batch, _ = run(pack, "UnwrapUV", mesh=SimpleNamespace(vertices=vertices, faces=faces), resolution=64, padding=1)
        assert batch.faces.shape == (2, 320, 3) and batch.face_counts.tolist() == [12, 320]
        for found, box in zip(pack.border.read_meshes(batch), boxes, strict=True):
            corners = torch.from_numpy(box.triangles.copy()).float()
            assert torch.equal(found.vertices[found.faces.long()], corners) and found.uvs is not None

    def test_stop_is_passed_on(self, pack: SimpleNamespace, torus: Any, stopped: type[Exception]) -> None:
        with pytest.raises(stopped):
            run(pack, "UnwrapUV", mesh=torus, resolution=256, padding=2, keep_existing=False)


@needs_simplification
class TestSimplifyMesh:
    """Fewer faces, with or without UVs."""

    def test_textures_stay(self, pack: SimpleNamespace, torus: Any) -> None:
        before = {name: value.clone() for name, value in vars(torus).items() if isinstance(value, torch.Tensor)}
        mesh, twin, report = run(pack, "Simplify", mesh=torus, target_faces=2000, keep_uvs=True)
        assert mesh.faces.shape == (1, 2000, 3) and torch.equal(mesh.texture, torus.texture)
        assert len(twin.faces) == 2000 and report == "9216 faces became 2000."
        for name, value in before.items():
            assert torch.equal(getattr(torus, name), value), name

    def test_why_there_are_more_and_what_is_dropped(self, pack: SimpleNamespace, torus: Any) -> None:
        report = run(pack, "Simplify", mesh=torus, target_faces=100, keep_uvs=True)[2]
        assert re.fullmatch(
            r"9216 faces became \d{3}\. Fewer cannot be: .* UV seams .*, unless keep_uvs is off\.", report
        )
        mesh, _, report = run(pack, "Simplify", mesh=torus, target_faces=100, keep_uvs=False)
        assert report == "9216 faces became 100. The UVs and textures are dropped; Unwrap UV makes new UVs."
        assert mesh.faces.shape[1] == 100 and getattr(mesh, "uvs", None) is None

    def test_few_faces_pass_as_they_are(self, pack: SimpleNamespace, torus: Any) -> None:
        mesh, twin, report = run(pack, "Simplify", mesh=torus, target_faces=9216, keep_uvs=True)
        assert mesh is torus and report == "The mesh has 9216 faces, no more than 9216; it passes as it is."
        assert run(pack, "Simplify", mesh=twin, target_faces=10_000, keep_uvs=False)[1] is twin

    def test_batch_of_different_meshes(self, pack: SimpleNamespace) -> None:
        meshes = [trimesh.creation.box((1, 2, 3)), trimesh.creation.icosphere(subdivisions=3)]
        vertices, faces = (
            [torch.from_numpy(getattr(b, part).copy()) for b in meshes] for part in ("vertices", "faces")
        )
        batch = SimpleNamespace(vertices=vertices, faces=faces)
        found, _, report = run(pack, "Simplify", mesh=batch, target_faces=200, keep_uvs=True)
        assert [len(mesh.faces) for mesh in pack.border.read_meshes(found)] == [12, 200]
        assert report.count("Mesh ") == 2 and "1280 faces became 200." in report

    def test_stop_is_passed_on(self, pack: SimpleNamespace, torus: Any, stopped: type[Exception]) -> None:
        with pytest.raises(stopped):
            run(pack, "Simplify", mesh=torus, target_faces=100, keep_uvs=True)


class TestApplyTexture:
    """A textured copy."""

    def test_mesh(self, pack: SimpleNamespace, torus: Any) -> None:
        torus.normal_map, torus.material = torch.rand(1, 4, 4, 3), {"metallic_factor": 0.0, "unknown": 1}
        before = copy.copy(vars(torus))
        color, surface = torch.rand(1, 8, 8, 3), torch.rand(1, 4, 4, 3)
        mesh, twin = run(pack, "ApplyTexture", mesh=torus, base_color=color, metallic_roughness=surface)
        assert torch.equal(mesh.texture, color)
        assert torch.equal(mesh.metallic_roughness[..., 1:], surface[..., [1, 0]])
        assert torch.equal(mesh.normal_map, torus.normal_map)
        assert (mesh.material["metallic_factor"], mesh.material["unknown"]) == (1.0, 1)
        assert twin.visual.material.metallicRoughnessTexture.size == (4, 4)
        assert vars(torus).keys() == before.keys() and all(vars(torus)[key] is before[key] for key in before)

    def test_relief_and_occlusion(self, pack: SimpleNamespace, torus: Any) -> None:
        torus.material = {"roughness_factor": 0.5, "metallic_factor": -1.0, "normal_scale": 3.0, "unknown": 1}
        color, bumps, shade = torch.rand(1, 8, 8, 3), torch.rand(1, 4, 4, 3), torch.rand(1, 6, 6)
        options = {"mesh": torus, "base_color": color, "normal_map": bumps}
        mesh, _ = run(pack, "ApplyTexture", **options, occlusion=shade, normal_layout="directx")
        assert torch.equal(mesh.normal_map[..., 1], 1 - bumps[..., 1]) and mesh.occlusion_in_mr
        assert torch.equal(mesh.metallic_roughness[..., 0], shade)
        assert (mesh.metallic_roughness[..., 1:] == torch.tensor([0.5, 0.0])).all()
        assert mesh.material == {
            "base_color_factor": [1.0] * 4, "roughness_factor": 1.0, "metallic_factor": 1.0, "normal_scale": 1.0,
            "occlusion_strength": 1.0, "unknown": 1,
        }  # fmt: skip
        for same in (shade[0], shade[..., None].repeat(1, 1, 1, 3)):
            again, _ = run(pack, "ApplyTexture", **options, occlusion=same)
            assert torch.equal(again.metallic_roughness, mesh.metallic_roughness)
        assert torch.equal(again.normal_map, bumps)
        mesh.material = torus.material
        mesh, _ = run(pack, "ApplyTexture", mesh=mesh, base_color=color, occlusion=1 - shade)
        assert mesh.material["roughness_factor"] == 1.0, "its factor is in its metallic-roughness by now"
        assert (mesh.metallic_roughness[..., 1] == 0.25).all()
        with pytest.raises(ValueError, match=r"^occlusion: is \[3, 8, 8, 1\], expected .* or a MASK, one for all or"):
            run(pack, "ApplyTexture", **options, occlusion=torch.rand(3, 8, 8))

    def test_trimesh_shows_the_texture_the_same_way_up(self, pack: SimpleNamespace, torus: Any) -> None:
        color = torch.rand(1, 4, 4, 3).repeat_interleave(16, 1).repeat_interleave(16, 2)
        _, twin = run(pack, "ApplyTexture", mesh=torus, base_color=torch.zeros_like(color))
        first, _ = run(pack, "ApplyTexture", mesh=torus, base_color=color)
        second, third = run(pack, "ApplyTexture", mesh=twin, base_color=color)
        assert not any(twin.visual.material.baseColorTexture.getextrema()[0])
        pictures = []
        for mesh in (first, second, third):
            raster = run(pack, "Rasterize", mesh=mesh, width=SIZE, height=SIZE, space="camera", mode="auto",
                         tile_size=32, batch_size=0, backend="auto", layers=1)[0]  # fmt: skip
            settings = {"attribute": "texture", "shading": "smooth", "encoding": "raw", "background": "black"}
            pictures.append(run(pack, "Interpolate", raster=raster, **settings)[0])
        for other in pictures[1:]:
            torch.testing.assert_close(other, pictures[0], rtol=0, atol=0.01)

    def test_an_image_for_each_mesh(self, pack: SimpleNamespace, torus: Any) -> None:
        batch = SimpleNamespace(
            **{name: torch.cat([getattr(torus, name)] * 2) for name in ("vertices", "faces", "uvs")}
        )
        color = torch.rand(2, 8, 8, 3)
        assert torch.equal(run(pack, "ApplyTexture", mesh=batch, base_color=color)[0].texture, color)
        with pytest.raises(ValueError, match=r"^base_color: is \[3, 8, 8, 3\], expected an IMAGE \[1 or 2, H, W, 3\]"):
            run(pack, "ApplyTexture", mesh=batch, base_color=torch.rand(3, 8, 8, 3))

    def test_complaints(self, pack: SimpleNamespace, torus: Any) -> None:
        bare = SimpleNamespace(vertices=torus.vertices, faces=torus.faces)
        with pytest.raises(ValueError, match="^mesh has no UV coordinates"):
            run(pack, "ApplyTexture", mesh=bare, base_color=torch.rand(1, 8, 8, 3))
        with pytest.raises(ValueError, match="^mr_layout: is 'RGB'"):
            run(pack, "ApplyTexture", mesh=torus, base_color=torch.rand(1, 8, 8, 3), mr_layout="RGB")


class TestAdviceOnUVs:
    """Said before the painting, and not only when it is to be baked."""

    @pytest.mark.slow
    def test_where_there_are_none(self, pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
        bare = SimpleNamespace(vertices=torus.vertices, faces=torus.faces)
        listed, _ = cameras(pack, mesh=bare)
        run(pack, "RenderMaps", mesh=bare, cameras=listed, size=SIZE, style="hunyuan3d-2")
        assert len(said) == 2 and said[0] == said[1]
        assert re.match(
            "The mesh has no UVs, which Bake, .*connect Unwrap UV between the mesh and those three", said[0]
        )
        one = {"preset": "turntable", "views": 1, "distance": 2.0}
        cameras(pack, mesh=bare, extra_views=2, **one)
        assert said[2].startswith(said[0]) and said[2].splitlines()[-1].startswith("3 cameras, 2 of them added")

    def test_of_a_batch(self, pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
        both = {name: torch.cat([getattr(torus, name)] * 2) for name in ("vertices", "faces")}
        cameras(pack, mesh=SimpleNamespace(**both))
        assert said[0].startswith("2 of 2 meshes have no UVs")

    def test_where_there_are_some_or_no_mesh(self, pack: SimpleNamespace, torus: Any, said: list[str]) -> None:
        cameras(pack)
        listed, _ = cameras(pack, mesh=torus)
        run(pack, "RenderMaps", mesh=torus, cameras=listed, size=SIZE, style="hunyuan3d-2")
        assert said == []

    def test_the_node_is_known(self, pack: SimpleNamespace) -> None:
        for node in ("Cameras", "RenderMaps"):
            assert [hidden.value for hidden in pack.nodes[node].GET_SCHEMA().hidden] == ["UNIQUE_ID"]


class TestSaveMesh:
    """Files in the output folder, and nowhere else."""

    @pytest.mark.parametrize("format", ["glb", "obj", "ply", "stl"])
    def test_formats_and_counting(
        self, pack: SimpleNamespace, torus: Any, folders: SimpleNamespace, format: str
    ) -> None:
        for number in (1, 2):
            output = pack.nodes["SaveMesh"].execute(mesh=torus, filename_prefix="3d/deep/ring", format=format)
            name = f"ring_{number:05}_.{format}"
            assert output.args[0] == [f"3d/deep/{name}"]
            assert output.ui["3d"][0] == {"filename": name, "subfolder": "3d/deep", "type": "output"}
            assert (folders.output / "3d" / "deep" / name).stat().st_size > 1000
        loaded = run(pack, "LoadMesh", mesh_file=f"3d/deep/{name} [output]")[0]
        corners = torus.vertices[0][torus.faces[0].long()]
        torch.testing.assert_close(loaded.vertices[0][loaded.faces[0].long()], corners, rtol=0, atol=1e-6)

    def test_batch_and_trimesh(self, pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
        batch = SimpleNamespace(
            **{name: torch.cat([getattr(torus, name)] * 3) for name in ("vertices", "faces", "uvs")}
        )
        paths, _ = run(pack, "SaveMesh", mesh=batch, filename_prefix="ring", format="stl")
        assert paths == [f"ring_{number:05}_.stl" for number in (1, 2, 3)]
        twin = run(pack, "LoadMesh", mesh_file="sample: torus")[1]
        paths, _ = run(pack, "SaveMesh", mesh=twin, filename_prefix="ring", format="glb")
        back = run(pack, "LoadMesh", mesh_file=f"{paths[0]} [output]")[0]
        torch.testing.assert_close(back.uvs, torus.uvs, rtol=0, atol=1e-6)
        torch.testing.assert_close(back.texture, torus.texture, rtol=0, atol=0.5 / 255 + 1e-6)

    @pytest.mark.parametrize("prefix", ["../ring", "3d/../../ring", "{folder}/ring", "3d\\..\\..\\ring", ""])
    def test_places_outside_are_refused(
        self, pack: SimpleNamespace, torus: Any, folders: SimpleNamespace, prefix: str
    ) -> None:
        prefix = prefix.format(folder=folders.output.parent)
        with pytest.raises(ValueError, match="^filename_prefix: .* lies outside ComfyUI's output folder"):
            run(pack, "SaveMesh", mesh=torus, filename_prefix=prefix, format="stl")
        assert not list(folders.output.parent.glob("ring*"))

    def test_complaints(self, pack: SimpleNamespace, torus: Any) -> None:
        with pytest.raises(ValueError, match="^format: is 'fbx', expected one of glb, obj, ply, stl"):
            run(pack, "SaveMesh", mesh=torus, filename_prefix="ring", format="fbx")
