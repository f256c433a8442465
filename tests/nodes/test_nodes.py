"""The nodes themselves, called as ComfyUI calls them."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh

from tests.support.pack import SIZE, interpolate, rasterize, run

FRONT = {"position": {"x": 0, "y": 0, "z": 4}, "target": {"x": 0, "y": 0, "z": 0}, "fov": 40}
SIDE = {"position": {"x": 4, "y": 1, "z": 0}, "target": {"x": 0, "y": 0, "z": 0}, "fov": 40}


def box(folder: Path, name: str = "box.glb") -> Path:
    """A box of 1 x 2 x 3 as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box((1, 2, 3)).export(folder / name)
    return folder / name


class TestPack:
    """What ComfyUI asks the pack for."""

    def test_entry_point_lists_all_nodes(self, pack: SimpleNamespace) -> None:
        import torch_rasterizer_pack

        async def ask() -> list[type]:
            return await (await torch_rasterizer_pack.comfy_entrypoint()).get_node_list()

        with ThreadPoolExecutor(1) as pool:  # on this thread, Playwright may have left a loop that runs
            listed = pool.submit(asyncio.run, ask()).result()
        assert listed == list(pack.nodes.values())
        assert set(pack.nodes) == {
            "LoadMesh",
            "Cameras",
            "Rasterize",
            "Interpolate",
            "GridHierarchy",
            "ShowHierarchy",
            "BackendInfo",
            "RenderMaps",
            "Render",
            "ViewsToGrid",
            "GridToViews",
            "PicturesToViews",
            "Simplify",
            "UnwrapUV",
            "BakeViews",
            "RefineTexture",
            "FillTexture",
            "ApplyTexture",
            "MeshToImages",
            "SaveMesh",
        }

    def test_every_node_has_help(self, pack: SimpleNamespace) -> None:
        import torch_rasterizer_pack

        docs = Path(torch_rasterizer_pack.__file__).parent / torch_rasterizer_pack.WEB_DIRECTORY / "docs"
        for name, node in pack.nodes.items():
            schema = node.GET_SCHEMA()
            text = (docs / f"TorchRaster{name}.md").read_text(encoding="utf-8")
            for socket in [*(i.id for i in schema.inputs), *(o.display_name for o in schema.outputs)]:
                assert f"**{socket}**" in text, f"{name}: {socket} is not explained"


class TestLoadMesh:
    """Samples, files, and paths that must not be read."""

    def test_sample(self, pack: SimpleNamespace, folders: SimpleNamespace) -> None:
        mesh, twin, info, *_ = run(pack, "LoadMesh", mesh_file="sample: trefoil knot")
        assert mesh.vertices.shape[::2] == (1, 3)
        assert mesh.uvs.shape[:2] == mesh.vertices.shape[:2]
        assert isinstance(twin, trimesh.Trimesh)
        assert len(twin.faces) == mesh.faces.shape[1]
        assert info.startswith(f"trefoil knot: {mesh.vertices.shape[1]} vertices, {mesh.faces.shape[1]} faces")
        assert "texture 512 x 512" in info

    @pytest.mark.parametrize(
        ("folder", "name"),
        [("input", "box.glb"), ("input/3d", "3d/box.glb"), ("input/3d/deep", "3d/deep/box.glb")],
    )
    def test_file_is_listed_and_loads(
        self, pack: SimpleNamespace, folders: SimpleNamespace, folder: str, name: str
    ) -> None:
        box(folders.input.parent / folder)
        (folders.input / "notes.txt").write_text("not a mesh")
        choice, *_ = pack.nodes["LoadMesh"].define_schema().inputs
        assert [option for option in choice.options if not option.startswith("sample: ")] == [name]
        assert pack.nodes["LoadMesh"].validate_inputs(name) is True
        mesh, _, info, *_ = run(pack, "LoadMesh", mesh_file=name)
        assert mesh.faces.shape == (1, 12, 3)
        assert "12 faces, size 1 x 2 x 3, no UVs, no vertex colours, no texture" in info

    def test_file_of_the_output_folder(self, pack: SimpleNamespace, folders: SimpleNamespace) -> None:
        box(folders.output / "mesh")
        assert run(pack, "LoadMesh", mesh_file="mesh/box.glb [output]")[0].faces.shape == (1, 12, 3)

    def test_what_is_left_out_is_said(
        self, pack: SimpleNamespace, folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folders.input / "a.mtl").write_text("newmtl m\nmap_Kd gone.png\n")
        rows = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1\n"
        (folders.input / "a.obj").write_text(rows)
        shown = []
        monkeypatch.setattr(pack.compat, "show_text", lambda text, node_id: shown.append(text))
        _, _, info, *_ = run(pack, "LoadMesh", mesh_file="a.obj")
        (text,) = shown
        assert text.startswith(
            "a.obj refers to a file that is left out: 'gone.png' is not there; only files in the mesh's"
        )
        assert info.endswith(text)

    def test_changed_file_has_another_fingerprint(self, pack: SimpleNamespace, folders: SimpleNamespace) -> None:
        path, node = box(folders.input), pack.nodes["LoadMesh"]
        before = node.fingerprint_inputs("box.glb")
        assert node.fingerprint_inputs("box.glb") == before
        os.utime(path, ns=(1, 1))
        assert node.fingerprint_inputs("box.glb") != before

    @pytest.mark.parametrize(
        "name",
        [
            "../x.glb",
            "3d/../../x.glb",
            "../x.glb [output]",
            "{folder}/x.glb",
            "3d\\..\\..\\x.glb",
            "x\0.glb",
            "",
            "x:y.glb",
        ],
    )
    def test_path_outside_is_refused(self, pack: SimpleNamespace, folders: SimpleNamespace, name: str) -> None:
        box(folders.input.parent, "x.glb")  # it exists: that is not why it is refused
        name = name.format(folder=folders.input.parent)
        message = "lies outside ComfyUI's input, output and temp folders"
        with pytest.raises(ValueError, match=f"^mesh_file: .*{re.escape(message)}"):
            run(pack, "LoadMesh", mesh_file=name)
        assert message in pack.nodes["LoadMesh"].validate_inputs(name)

    @pytest.mark.parametrize(
        "name", ["\\\\server\\share\\x.glb", "//server/share/x.glb", "C:\\x.glb", "C:x.glb", "nul.glb"]
    )
    def test_no_path_of_a_client_is_looked_up_before_its_text_is_checked(
        self, pack: SimpleNamespace, folders: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        def stop(*_: Any, **__: Any) -> None:  # on Windows, asking for a file of a server logs in there
            raise AssertionError("looked up")

        for call in ("resolve", "stat", "is_file", "exists"):
            monkeypatch.setattr(Path, call, stop)
        assert "lies outside" in pack.nodes["LoadMesh"].validate_inputs(name)

    def test_a_file_of_the_input_folder_may_be_named_in_full(
        self, pack: SimpleNamespace, folders: SimpleNamespace
    ) -> None:
        assert run(pack, "LoadMesh", mesh_file=str(box(folders.input / "3d")))[0].faces.shape == (1, 12, 3)

    @pytest.mark.parametrize("name", [5, None, ["a.glb"], {"a": 1}])
    def test_a_name_that_is_no_text_is_refused(self, pack: SimpleNamespace, name: Any) -> None:
        assert pack.nodes["LoadMesh"].validate_inputs(name).startswith("mesh_file: is ")

    def test_a_name_that_no_file_can_have_is_refused_in_few_words(self, pack: SimpleNamespace) -> None:
        message = pack.nodes["LoadMesh"].validate_inputs("x" * 5000 + ".glb")
        assert message.startswith("mesh_file: no file 'xxx")
        assert len(message) < 400

    def test_link_that_leads_outside_is_refused(self, pack: SimpleNamespace, folders: SimpleNamespace) -> None:
        outside = box(folders.input.parent, "x.glb")
        try:
            (folders.input / "link.glb").symlink_to(outside)
        except OSError:
            pytest.skip("this system does not let us make links")
        with pytest.raises(ValueError, match="lies outside"):
            run(pack, "LoadMesh", mesh_file="link.glb")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none.glb", "mesh_file: no file 'none.glb' in ComfyUI's input folder; upload it or choose another"),
            ("sample: teapot", "mesh_file: no sample 'sample: teapot', expected one of sample: trefoil knot"),
        ],
    )
    def test_missing(self, pack: SimpleNamespace, folders: SimpleNamespace, name: str, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            run(pack, "LoadMesh", mesh_file=name)
        assert pack.nodes["LoadMesh"].validate_inputs(name).startswith(message)

    def test_file_that_is_no_mesh(self, pack: SimpleNamespace, folders: SimpleNamespace) -> None:
        (folders.input / "broken.glb").write_bytes(b"glTF, but not really")
        with pytest.raises(ValueError, match="broken.glb"):
            run(pack, "LoadMesh", mesh_file="broken.glb")


class TestRasterize:
    """Images: how many, in which order, and of what."""

    def test_one_front_view_without_cameras(self, pack: SimpleNamespace, torus: Any) -> None:
        raster, faces, mask, depth = rasterize(pack, torus, width=64, height=32)
        assert faces.shape == depth.shape == (1, 32, 64, 3)
        assert mask.shape == (1, 32, 64)
        assert {tensor.dtype for tensor in (faces, mask, depth)} == {torch.float32}
        assert {tensor.device.type for tensor in (faces, mask, depth)} == {"cpu"}
        assert set(mask.unique().tolist()) == {0, 1}
        assert bool(((faces > 0).all(-1) == mask.bool()).all())
        assert depth.min() == 0
        assert depth.max() == 1
        assert mask[0, 16, 32] == 0  # through the hole
        assert raster.get_ram_usage() >= 32 * 64 * 16

    def test_two_cameras_with_two_layers_come_view_by_view(self, pack: SimpleNamespace, torus: Any) -> None:
        _, faces, mask, depth = rasterize(pack, torus, cameras=[FRONT, SIDE], layers=2)
        assert faces.shape == depth.shape == (4, SIZE, SIZE, 3)
        for view, camera in enumerate((FRONT, SIDE)):
            _, alone, alone_mask, alone_depth = rasterize(pack, torus, cameras=camera, layers=2)
            assert torch.equal(faces[2 * view : 2 * view + 2], alone)
            assert torch.equal(mask[2 * view : 2 * view + 2], alone_mask)
            assert torch.equal(depth[2 * view : 2 * view + 2], alone_depth)
            both = (alone_mask[0] * alone_mask[1]).bool()
            assert both.sum() > 50
            assert bool((alone_depth[0][both] > alone_depth[1][both]).all())  # the first layer is nearer
            assert not torch.equal(alone[0], alone[1])
        assert not torch.equal(faces[0], faces[2])

    def test_hunyuan3d_cameras(self, pack: SimpleNamespace, torus: Any) -> None:
        cameras = {"selected_camera_azims": [0, 90], "selected_camera_elevs": [0, 0], "ortho_scale": 1.2}
        _, faces, mask, _ = rasterize(pack, torus, cameras=cameras)
        assert torch.equal(faces[:1], rasterize(pack, torus)[1])  # the first is the view that needs no camera
        assert 0 < mask[1].sum() < mask[0].sum()  # a torus is narrow from the side

    def test_batch_of_meshes(self, pack: SimpleNamespace, torus: Any, folders: SimpleNamespace) -> None:
        knot = run(pack, "LoadMesh", mesh_file="sample: trefoil knot")[0]
        batch = SimpleNamespace(vertices=[torus.vertices[0], knot.vertices[0]], faces=[torus.faces[0], knot.faces[0]])
        raster, faces, mask, _ = rasterize(pack, batch, cameras=[FRONT, SIDE])
        assert faces.shape == (4, SIZE, SIZE, 3)
        for number, single in enumerate((torus, knot)):
            _, alone, alone_mask, _ = rasterize(pack, single, cameras=[FRONT, SIDE])
            assert torch.equal(faces[2 * number : 2 * number + 2], alone)
            assert torch.equal(mask[2 * number : 2 * number + 2], alone_mask)
        assert interpolate(pack, raster)[0].shape == (4, SIZE, SIZE, 3)

    def test_trimesh_gives_the_same(self, pack: SimpleNamespace, folders: SimpleNamespace) -> None:
        mesh, twin, *_ = run(pack, "LoadMesh", mesh_file="sample: torus")
        assert torch.equal(rasterize(pack, twin)[1], rasterize(pack, mesh)[1])

    def test_mesh_is_left_as_it_is(self, pack: SimpleNamespace, torus: Any) -> None:
        before = {name: value.clone() for name, value in vars(torus).items() if isinstance(value, torch.Tensor)}
        raster = rasterize(pack, torus, layers=2)[0]
        interpolate(pack, raster, attribute="texture")
        assert before
        for name, value in before.items():
            assert torch.equal(getattr(torus, name), value), name

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"space": "sideways"}, "space: is 'sideways', expected one of camera, uv"),
            ({"mode": "magic"}, "mode: is 'magic', expected one of auto, tiled, batched"),
            ({"backend": "glide"}, "backend: 'glide' is no backend, expected one of auto, kernels, vulkan, torch"),
            ({"layers": 0}, "layers: is 0, expected a whole number from 1 to 64"),
            ({"tile_size": 4}, "tile_size: is 4, expected a whole number from 8 to 512"),
            ({"width": 0}, "resolution: is 48 x 0"),
            ({"cameras": 5}, "cameras: is int, expected a camera"),
            ({"mesh": "box"}, "mesh: is a str, expected a MESH, a TRIMESH or a 3D file"),
            ({"space": "uv", "layers": 2}, "layers: is 2, expected 1 in UV space"),
        ],
    )
    def test_complaints(self, pack: SimpleNamespace, torus: Any, inputs: dict[str, Any], message: str) -> None:
        # ComfyUI before 0.4 does not check choices, so the node does.
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            rasterize(pack, **{"mesh": torus, **inputs})

    def test_uv_space_needs_uvs(self, pack: SimpleNamespace, folders: SimpleNamespace) -> None:
        box(folders.input)
        mesh = run(pack, "LoadMesh", mesh_file="box.glb")[0]
        with pytest.raises(ValueError, match="^mesh.* has no UV coordinates"):
            rasterize(pack, mesh, space="uv")

    def test_stop_is_passed_on(self, pack: SimpleNamespace, torus: Any) -> None:
        pack.management.interrupt_current_processing(True)
        try:
            with pytest.raises(pack.management.InterruptProcessingException):
                rasterize(pack, torus)
        finally:
            pack.management.interrupt_current_processing(False)


class TestInterpolate:
    """Pictures of attributes."""

    def test_uv_space(self, pack: SimpleNamespace, torus: Any) -> None:
        raster, _, mask, depth = rasterize(pack, torus, space="uv", width=64, height=32)
        assert mask.mean() > 0.8
        assert not depth.any()
        image, again = interpolate(pack, raster, attribute="uv")
        assert torch.equal(mask, again)
        row, column = torch.meshgrid(torch.arange(32), torch.arange(64), indexing="ij")
        want = torch.stack([(column + 0.5) / 64, (row + 0.5) / 32], dim=-1)  # pixel for pixel over the texture
        inside = mask[0].bool()
        torch.testing.assert_close(image[0, inside][:, :2], want[inside], rtol=0, atol=1e-5)

    @pytest.mark.parametrize("attribute", ["position", "normal", "uv", "texture", "depth", "barycentric", "face id"])
    @pytest.mark.parametrize("encoding", ["hunyuan3d", "world", "camera"])
    def test_colours_and_background(self, pack: SimpleNamespace, torus: Any, attribute: str, encoding: str) -> None:
        raster = rasterize(pack, torus, cameras=[FRONT, SIDE])[0]
        image, mask = interpolate(pack, raster, attribute=attribute, encoding=encoding, background="#ff8000")
        assert image.shape == (2, SIZE, SIZE, 3)
        assert mask.shape == (2, SIZE, SIZE)
        assert image.dtype == torch.float32
        assert image.is_contiguous()
        assert image.min() >= 0
        assert image.max() <= 1
        outside = image[mask == 0]
        want = [0, 0, 0] if attribute == "depth" else [1, 128 / 255, 0]
        torch.testing.assert_close(outside, torch.tensor(want).expand_as(outside).float())
        assert len(image[mask == 1].unique(dim=0)) > 100

    def test_flat_normals_differ_from_smooth_ones(self, pack: SimpleNamespace, torus: Any) -> None:
        raster = rasterize(pack, torus)[0]
        smooth, flat = (interpolate(pack, raster, shading=kind, encoding="raw")[0] for kind in ("smooth", "flat"))
        drawn = rasterize(pack, torus)[2].bool()
        angle = (smooth * flat).sum(-1)[drawn].clamp(-1, 1).acos().rad2deg()
        assert 0.5 < angle.mean() < 10

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"background": "no colour"}, "background: is 'no colour', expected a colour such as #ffffff or white"),
            ({"attribute": "smell"}, "attribute: is 'smell', expected one of position, normal"),
            ({"shading": "phong"}, "shading: is 'phong', expected one of smooth, flat"),
            ({"encoding": "opengl"}, "encoding: is 'opengl', expected one of hunyuan3d, world"),
            ({"attribute": "vertex color"}, "attribute: is 'vertex color' but the mesh has none"),
            ({"raster": "picture"}, "raster: is a str, expected the output 'raster' of Rasterize"),
        ],
    )
    def test_complaints(self, pack: SimpleNamespace, torus: Any, inputs: dict[str, Any], message: str) -> None:
        raster = rasterize(pack, torus)[0]
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            interpolate(pack, **{"raster": raster, **inputs})

    def test_stop_is_passed_on(self, pack: SimpleNamespace, torus: Any) -> None:
        raster = rasterize(pack, torus)[0]
        pack.management.interrupt_current_processing(True)
        try:
            with pytest.raises(pack.management.InterruptProcessingException):
                interpolate(pack, raster)
        finally:
            pack.management.interrupt_current_processing(False)


HY3D_CAMERAS = {
    "selected_camera_azims": [0, 90, 180, 270],
    "selected_camera_elevs": [0, 0, 0, 0],
    "selected_view_weights": [1.0, 0.1, 0.5, 0.1],
    "camera_distance": 1.45,
    "ortho_scale": 1.2,
}
BAKE = {"texture_size": 64, "exponent": 4.0, "max_angle": 75.0, "border": 0}


class TestBakeAndFill:
    """From pictures to a texture without gaps."""

    @pytest.fixture
    def pictures(self, pack: SimpleNamespace, torus: Any) -> torch.Tensor:
        raster = rasterize(pack, torus, cameras=HY3D_CAMERAS)[0]
        return interpolate(pack, raster, attribute="position")[0]

    def test_bakes_and_fills(self, pack: SimpleNamespace, torus: Any, pictures: torch.Tensor) -> None:
        texture, painted, confidence, second, *_ = run(
            pack, "BakeViews", mesh=torus, images=pictures, cameras=HY3D_CAMERAS, **BAKE
        )
        assert texture.shape == second.shape == (1, 64, 64, 3)
        assert painted.shape == confidence.shape == (1, 64, 64)
        assert 0.4 < painted.mean() < 0.95 and (second == 0).all()
        for method in ("surface", "vertex smooth", "vertex forward", "dilate"):
            whole, filled = run(pack, "FillTexture", texture=texture, painted=painted, mesh=torus, method=method)
            assert torch.equal(whole[painted > 0], texture[painted > 0])
            assert 0 < filled.mean() < 0.4 and (filled * painted == 0).all()
            assert (whole.amax(dim=-1) > 0.05).all()

    @pytest.mark.parametrize("method", ["surface", "vertex smooth", "vertex forward", "dilate"])
    def test_turned_pictures_and_masks(
        self, pack: SimpleNamespace, torus: Any, pictures: torch.Tensor, method: str
    ) -> None:
        texture, painted, *_ = run(pack, "BakeViews", mesh=torus, images=pictures, cameras=HY3D_CAMERAS, **BAKE)
        want = run(pack, "FillTexture", texture=texture, painted=painted, mesh=torus, method=method)
        texture = texture.transpose(1, 2).contiguous().transpose(1, 2)  # as nodes that rotate leave them
        painted = painted.transpose(1, 2).contiguous().transpose(1, 2)
        got = run(pack, "FillTexture", texture=texture, painted=painted, mesh=torus, method=method)
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])

    @pytest.mark.parametrize("method", ["surface", "vertex smooth", "vertex forward", "dilate"])
    def test_a_mask_of_another_layout(self, pack: SimpleNamespace, torus: Any, method: str) -> None:
        painted = torch.zeros(1, 64, 64)
        painted[:, 0, 0] = 1  # the sample's layout leaves a margin
        texture = torch.full((1, 64, 64, 3), 0.4)
        whole, filled = run(pack, "FillTexture", texture=texture, painted=painted, mesh=torus, method=method)
        torch.testing.assert_close(whole, texture, rtol=0, atol=1e-5)
        assert filled.mean() > 0.8

    def test_a_second_set_and_masks(self, pack: SimpleNamespace, torus: Any, pictures: torch.Tensor) -> None:
        inputs = {"mesh": torus, "images": pictures, "cameras": HY3D_CAMERAS, "match_colors": False, **BAKE}
        texture, painted, _, second, *_ = run(pack, "BakeViews", metallic_roughness=1 - pictures, **inputs)
        torch.testing.assert_close(second[painted > 0], 1 - texture[painted > 0], rtol=0, atol=1e-5)
        _, none, *_ = run(pack, "BakeViews", masks=torch.zeros(1, 20, 30), **inputs)
        assert (none == 0).all()

    def test_bad_input_is_named(self, pack: SimpleNamespace, torus: Any, pictures: torch.Tensor) -> None:
        inputs = {"mesh": torus, "images": pictures, "cameras": HY3D_CAMERAS, **BAKE}
        with pytest.raises(ValueError, match="images: found 3 pictures for 4 cameras, expected 4"):
            run(pack, "BakeViews", **{**inputs, "images": pictures[:3]})
        with pytest.raises(ValueError, match="metallic_roughness: is 47 x 48, expected 48 x 48"):
            run(pack, "BakeViews", metallic_roughness=pictures[:, :, 1:], **inputs)
        with pytest.raises(ValueError, match="masks: found 2, expected 4"):
            run(pack, "BakeViews", masks=torch.ones(2, 8, 8), **inputs)
        with pytest.raises(ValueError, match="painted: is 8 x 8, expected 64 x 64"):
            run(
                pack,
                "FillTexture",
                texture=torch.zeros(1, 64, 64, 3),
                painted=torch.ones(1, 8, 8),
                mesh=torus,
                method="dilate",
            )


class TestGridHierarchy:
    """Building and showing."""

    def test_builds_and_shows(self, pack: SimpleNamespace, torus: Any) -> None:
        hierarchy, info = run(pack, "GridHierarchy", mesh=torus, resolution=32, levels=3, max_layers=8)
        assert "3 levels" in info and "Level 2, 8³" in info and "neighbours found" in info and "MiB" in info
        assert hierarchy.get_ram_usage() > 10_000
        cameras = [FRONT, SIDE]
        for level in range(3):
            (image,) = run(
                pack, "ShowHierarchy", hierarchy=hierarchy, level=level, coloring="normal", size=SIZE, cameras=cameras
            )
            assert image.shape == (2, SIZE, SIZE, 3)
            assert 0.1 < (image < 0.99).any(dim=-1).float().mean() < 0.9
        (image,) = run(pack, "ShowHierarchy", hierarchy=hierarchy, level=0, coloring="coarser cell", size=SIZE)
        assert image.shape == (1, SIZE, SIZE, 3)

    def test_too_few_layers_are_said(self, pack: SimpleNamespace, torus: Any) -> None:
        _, info = run(pack, "GridHierarchy", mesh=torus, resolution=32, levels=2, max_layers=1)
        assert "raise it to take in all" in info

    def test_a_batch_gives_one_each(self, pack: SimpleNamespace, torus: Any) -> None:
        torus.vertices = torus.vertices.repeat(2, 1, 1)
        hierarchy, info = run(pack, "GridHierarchy", mesh=torus, resolution=16, levels=2, max_layers=8)
        assert len(hierarchy.hierarchies) == 2 and info.count("Grid hierarchy of") == 2

    def test_bad_input_is_named(self, pack: SimpleNamespace, torus: Any) -> None:
        with pytest.raises(ValueError, match="levels: is 9, expected at most 5 for a resolution of 16"):
            run(pack, "GridHierarchy", mesh=torus, resolution=16, levels=9, max_layers=8)
        hierarchy, _ = run(pack, "GridHierarchy", mesh=torus, resolution=16, levels=2, max_layers=8)
        with pytest.raises(ValueError, match=r"level: is 2, but the hierarchy has levels 0 \(finest\) to 1"):
            run(pack, "ShowHierarchy", hierarchy=hierarchy, level=2, coloring="normal", size=SIZE)
        with pytest.raises(ValueError, match="hierarchy: is a str"):
            run(pack, "ShowHierarchy", hierarchy="x", level=0, coloring="normal", size=SIZE)


class TestBackendInfo:
    """The report."""

    def test_self_test_passes(self, pack: SimpleNamespace) -> None:
        output = pack.nodes["BackendInfo"].execute(self_test=True, benchmark=False)
        text, backend, device = output.args
        passed, checks = re.search(r"Self-test: (\d+) of (\d+) checks passed", text).groups()
        assert passed == checks
        assert (backend, device) == ("torch", "cpu")
        shown = output.ui if isinstance(output.ui, dict) else output.ui.as_dict()
        assert shown["text"][0] == text

    @pytest.mark.slow
    def test_panel_gets_data_that_say_what_the_text_says(
        self, pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_RASTERIZER_BACKEND", "-nvdiffrast")
        output = pack.nodes["BackendInfo"].execute(self_test=True, benchmark=True)
        text, (shown,) = output.args[0], output.ui["torch_raster_report"]
        assert json.loads(json.dumps(shown)) == shown
        assert [line for line in shown["lines"] if line not in text] == [] and len(shown["lines"]) == 3
        titles = [table["title"] for table in shown["tables"]]
        assert titles in (["", "backends", "modules", ""], ["", "backends", ""])
        modules_aside = [table for table in shown["tables"] if table["title"] != "modules"]  # some have backends' names
        rows = {row["name"]: row for table in modules_aside for row in table["rows"]}
        for row in (row for table in shown["tables"] for row in table["rows"]):
            assert row["name"] in text and row["text"] in text
        assert (rows["torch"]["text"], rows["torch"]["state"]) == ("in use", "good")
        assert rows["nvdiffrast"]["state"] == "off" and rows["Self-test"]["state"] == "good"
        assert rows["Device"]["text"].startswith("cpu") and rows["Device"]["state"] == ""
        assert shown["text"] and shown["text"] in text

    def test_checks_that_fail_are_marked(self, pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        node = pack.nodes["BackendInfo"]
        check = pack.selftest.Check
        checks = [check("a scene", False, "3 of 9 pixels show another face"), check("b", True, "x")]
        monkeypatch.setattr(pack.selftest, "run", lambda device: iter(checks))
        output = node.execute(self_test=True, benchmark=False)
        assert "Self-test: 1 of 2 checks passed\n  a scene: 3 of 9 pixels" in output.args[0]
        rows = output.ui["torch_raster_report"][0]["tables"][-1]["rows"]
        assert [(row["name"], row["state"]) for row in rows] == [("Self-test", "bad"), ("a scene", "bad")]

    def test_self_test_can_be_left_out(self, pack: SimpleNamespace) -> None:
        text = run(pack, "BackendInfo", self_test=False, benchmark=False)[0]
        assert text.startswith("Torch Rasterizer ")
        assert "Self-test" not in text

    def test_never_taken_from_the_cache(self, pack: SimpleNamespace) -> None:
        node = pack.nodes["BackendInfo"]
        first = node.fingerprint_inputs(self_test=True, benchmark=False)
        assert math.isnan(first) or first != node.fingerprint_inputs(self_test=True, benchmark=False)
