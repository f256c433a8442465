"""The pack in a real ComfyUI: registration, the example workflow, and what is said when something is wrong."""

from __future__ import annotations

import io
import json
import re
import urllib.parse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from rasterizer.cameras.camera import orbit_camera
from rasterizer.meshes.files import load_mesh
from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.attributes import attribute_image
from rasterizer.rendering.raster import Raster, rasterize_mesh
from tests.support.paths import EXAMPLES

EXAMPLE = EXAMPLES / "01_rasterize_and_inspect.json"
PROMPTS = sorted((EXAMPLES / "api").glob("*.json"))

pytestmark = [pytest.mark.server, pytest.mark.slow]

# What saved workflows and headless runs rely on: never rename, never reorder.
INPUTS = {
    "TorchRasterLoadMesh": ["mesh_file", "model_3d", "folder", "index"],
    "TorchRasterRasterize": [
        *("mesh", "width", "height", "space", "mode", "tile_size", "batch_size", "backend", "layers", "cameras")
    ],
    "TorchRasterInterpolate": ["raster", "attribute", "shading", "encoding", "background"],
    "TorchRasterBakeViews": [
        *("mesh", "images", "cameras", "texture_size", "exponent", "max_angle", "border"),
        *("masks", "metallic_roughness", "match_colors", "align_views", "blend"),
        *("base_texture", "paint_mask", "base_metallic_roughness"),
    ],
    "TorchRasterRefineTexture": [
        *("texture", "painted", "mesh", "images", "cameras", "steps", "strength"),
        *("exponent", "max_angle", "border", "masks"),
    ],
    "TorchRasterFillTexture": ["texture", "painted", "mesh", "method"],
    "TorchRasterGridHierarchy": ["mesh", "resolution", "levels", "max_layers"],
    "TorchRasterShowHierarchy": ["hierarchy", "level", "coloring", "size", "cameras"],
    "TorchRasterBackendInfo": ["self_test", "benchmark"],
    "TorchRasterCameras": [
        *(
            "preset",
            "azimuths",
            "elevations",
            "weights",
            "views",
            "projection",
            "ortho_scale",
            "distance",
            "fov",
            "mesh",
            "extra_views",
        )
    ],
    "TorchRasterRenderMaps": ["mesh", "cameras", "size", "style"],
    "TorchRasterRender": [
        *("mesh", "width", "height", "light", "exposure", "tone_mapping", "background", "background_color"),
        *("shading", "metallic", "roughness", "samples", "cameras"),
        *("environment", "environment_encoding", "environment_rotation", "environment_strength"),
    ],
    "TorchRasterViewsToGrid": ["images", "columns", "padding", "size", "background", "masks"],
    "TorchRasterGridToViews": ["grid", "views", "columns", "padding", "size", "layout", "mask"],
    "TorchRasterPicturesToViews": ["cameras", *(f"picture_{number}" for number in range(1, 13))],
    "TorchRasterSimplify": ["mesh", "target_faces", "keep_uvs"],
    "TorchRasterUnwrapUV": ["mesh", "resolution", "padding", "keep_existing", "keep_textures", "texture_size"],
    "TorchRasterApplyTexture": [
        *("mesh", "base_color", "metallic_roughness", "mr_layout", "normal_map", "normal_layout", "occlusion")
    ],
    "TorchRasterMeshToImages": ["mesh", "size", "layout_over"],
    "TorchRasterSaveMesh": ["mesh", "filename_prefix", "format"],
}
OUTPUTS = {
    "TorchRasterLoadMesh": [
        *(("mesh", "MESH"), ("trimesh", "TRIMESH"), ("info", "STRING"), ("name", "STRING"), ("count", "INT"))
    ],
    "TorchRasterRasterize": [("raster", "RASTER"), ("face_ids", "IMAGE"), ("mask", "MASK"), ("depth", "IMAGE")],
    "TorchRasterInterpolate": [("image", "IMAGE"), ("mask", "MASK")],
    "TorchRasterBakeViews": [
        ("texture", "IMAGE"),
        ("painted", "MASK"),
        ("confidence", "MASK"),
        ("metallic_roughness_texture", "IMAGE"),
        *(("view_map", "IMAGE"), ("agreed_images", "IMAGE"), ("report", "STRING")),
    ],
    "TorchRasterRefineTexture": [("texture", "IMAGE"), ("report", "STRING")],
    "TorchRasterFillTexture": [("texture", "IMAGE"), ("filled", "MASK")],
    "TorchRasterGridHierarchy": [("hierarchy", "GRID_HIERARCHY"), ("info", "STRING")],
    "TorchRasterShowHierarchy": [("image", "IMAGE")],
    "TorchRasterBackendInfo": [("info", "STRING"), ("backend", "STRING"), ("device", "STRING")],
    "TorchRasterCameras": [("cameras", "LOAD3D_CAMERA"), ("hy3d_cameras", "HY3DCAMERA")],
    "TorchRasterRenderMaps": [
        *(("normal_maps", "IMAGE"), ("position_maps", "IMAGE"), ("depth_maps", "IMAGE"), ("masks", "MASK"))
    ],
    "TorchRasterRender": [("images", "IMAGE"), ("masks", "MASK")],
    "TorchRasterViewsToGrid": [
        *(("grid", "IMAGE"), ("mask", "MASK"), ("layout", "VIEW_GRID"), ("width", "INT"), ("height", "INT"))
    ],
    "TorchRasterGridToViews": [("images", "IMAGE"), ("masks", "MASK")],
    "TorchRasterPicturesToViews": [("images", "IMAGE")],
    "TorchRasterSimplify": [("mesh", "MESH"), ("trimesh", "TRIMESH"), ("report", "STRING")],
    "TorchRasterUnwrapUV": [("mesh", "MESH"), ("trimesh", "TRIMESH")],
    "TorchRasterApplyTexture": [("mesh", "MESH"), ("trimesh", "TRIMESH")],
    "TorchRasterMeshToImages": [
        *((name, "IMAGE") for name in ("base_color", "metallic_roughness", "normal_map", "occlusion", "uv_layout")),
        *(("covered", "MASK"), ("report", "STRING")),
    ],
    "TorchRasterSaveMesh": [("path", "STRING"), ("model_3d", "FILE_3D")],
}

# Load or fetch gigabytes of model files: workflows with them are checked, not run.
MODELS = {
    *("CheckpointLoaderSimple", "ControlNetLoader"),
    *("DownloadAndLoadHy3DDelightModel", "DownloadAndLoadHy3DPaintModel", "Hy3DMultiViewsGenerator"),
}
FILES = ("ckpt_name", "control_net_name", "image")  # inputs whose choices are the user's files


def example() -> dict[str, Any]:
    return json.loads((EXAMPLE.parent / "api" / EXAMPLE.name).read_text(encoding="utf-8"))


def complaints(log: str) -> list[str]:
    """Warnings, errors and tracebacks in a server's log that have to do with the pack."""
    ours = re.compile(r"torch_rasterizer|TorchRaster", re.IGNORECASE)
    bad = re.compile(r"\b(warn(ing)?|error|failed|cannot|skip(ping)?|deprecated)\b", re.IGNORECASE)
    lines = [line for line in log.splitlines() if ours.search(line) and bad.search(line)]
    tracebacks = re.findall(r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*.*", log)
    return lines + [text for text in tracebacks if ours.search(text)]


def picture(server: Any, entry: dict[str, Any], node: str) -> np.ndarray:
    """``[H, W, 3]`` uint8 of the image that a preview node shows."""
    return np.asarray(Image.open(io.BytesIO(server.image(entry, node))).convert("RGB"))


def node_of(prompt: dict[str, Any], kind: str, **inputs: Any) -> str:
    """Id of the only node of a class whose inputs have these values."""
    (found,) = (
        key
        for key, node in prompt.items()
        if node["class_type"] == kind and all(node["inputs"].get(name) == value for name, value in inputs.items())
    )
    return found


def misfits(prompt: dict[str, Any], nodes: dict[str, Any]) -> list[str]:
    """What the server would refuse in an API-format workflow, by its own list of nodes; nothing is run."""
    found = []
    for key, node in prompt.items():
        declared = nodes[node["class_type"]]["input"]
        specs = {**declared.get("required", {}), **declared.get("optional", {})}
        given, where = node["inputs"], f"node {key} {node['class_type']}"
        found += [f"{where}: {name} is missing" for name in declared.get("required", {}) if name not in given]
        for name, value in given.items():
            kind, *options = specs.get(name, [None])
            limits = options[0] if options else {}
            choices = kind if isinstance(kind, list) else limits.get("options") if kind == "COMBO" else None
            if isinstance(value, list):
                output = nodes[prompt[value[0]]["class_type"]]["output"][value[1]]
                fits = isinstance(kind, str) and ("*" in (kind, output) or output in kind.split(","))
                if not fits:
                    found.append(f"{where}: {name} takes {kind}, not {output}")
            elif choices is not None:
                if value not in choices and name not in FILES:
                    found.append(f"{where}: {name} has no choice {value!r}")
            elif kind in ("INT", "FLOAT") and not limits.get("min", value) <= value <= limits.get("max", value):
                found.append(f"{where}: {name} = {value} is out of range")
    return found


@pytest.fixture(scope="session")
def example_run(server: Any) -> SimpleNamespace:
    """The example workflow, run once: its prompt, its history entry, and what the server printed meanwhile."""
    prompt, before = example(), len(server.log())
    entry = server.run(prompt)
    return SimpleNamespace(prompt=prompt, entry=entry, log=server.log()[before:])


@pytest.fixture(scope="session")
def library_raster() -> Raster:
    """What the library makes of the example's mesh and size."""
    return rasterize_mesh(sample_mesh("trefoil knot"), None, (768, 768))


class TestRegistration:
    """What the server knows of the pack."""

    def test_log_has_nothing_to_complain_about(self, server: Any) -> None:
        assert "torch_rasterizer" in server.start_log, "the log does not mention the pack: was it loaded?"
        assert complaints(server.start_log) == []
        assert "Prestartup times for custom nodes" in server.start_log
        assert "PRESTARTUP FAILED" not in server.start_log
        assert "Torch already imported" not in server.start_log

    def test_all_nodes_and_no_others(self, server: Any) -> None:
        ours = {key for key, info in server.object_info.items() if info["python_module"].endswith("torch_rasterizer")}
        assert ours == set(INPUTS)

    @pytest.mark.parametrize("node", INPUTS)
    def test_interface(self, server: Any, node: str) -> None:
        info = server.object_info[node]
        files = "FILE_3D" in server.object_info["Load3D"]["output"]  # no version before 0.12 has any
        expected = [name for name in INPUTS[node] if name != "model_3d" or files]
        assert [*info["input"].get("required", {}), *info["input"].get("optional", {})] == expected
        assert list(zip(info["output_name"], info["output"], strict=True)) == OUTPUTS[node]
        assert info["category"] in ("Torch Rasterizer", "Torch Rasterizer/texturing")
        assert info["description"]

    def test_defaults_and_sockets(self, server: Any) -> None:
        required = server.object_info["TorchRasterRasterize"]["input"]["required"]
        defaults = {name: spec[1]["default"] for name, spec in required.items() if "default" in spec[1]}
        assert defaults == {
            "width": 1024,
            "height": 1024,
            "space": "camera",
            "mode": "auto",
            "tile_size": 32,
            "batch_size": 0,
            "backend": "auto",
            "layers": 1,
        }
        assert {kind for kind in required["mesh"][0].split(",") if not kind.startswith("FILE_3D")} == {
            "MESH",
            "TRIMESH",
        }
        cameras = server.object_info["TorchRasterRasterize"]["input"]["optional"]["cameras"]
        assert set(cameras[0].split(",")) == {"LOAD3D_CAMERA", "HY3DCAMERA", "HY3D21CAMERA"}

    def test_values_of_the_example_are_in_the_order_the_server_has(self, server: Any) -> None:
        # Saved workflows keep widget values by position: an input in between would shift them.
        for node in json.loads(EXAMPLE.read_text(encoding="utf-8"))["nodes"]:
            if node["type"] in INPUTS:
                widgets = [entry["widget"]["name"] for entry in node["inputs"] if "widget" in entry]
                assert widgets == [name for name in INPUTS[node["type"]] if name in widgets]
                # The frontend saves behind the index of Load Mesh what is to become of it after a run.
                counted = [name for name in widgets if name == "index"]
                assert len(widgets) + len(counted) == len(node["widgets_values"])

    def test_help_pages_are_served(self, server: Any) -> None:
        for node in INPUTS:
            text = server.download(f"/extensions/torch_rasterizer/docs/{node}.md").decode()
            assert text.startswith(f"# {server.object_info[node]['display_name']}\n")

    def test_example_is_offered_as_a_template(self, server: Any) -> None:
        assert EXAMPLE.stem in server.get("/workflow_templates")["torch_rasterizer"]
        shown = server.get(f"/api/workflow_templates/torch_rasterizer/{EXAMPLE.name}")
        assert shown == json.loads(EXAMPLE.read_text(encoding="utf-8"))


class TestExample:
    """The example workflow runs on a new installation and shows what the library computes."""

    def test_succeeds_without_complaints(self, example_run: SimpleNamespace) -> None:
        assert example_run.entry["status"]["status_str"] == "success"
        assert complaints(example_run.log) == []

    @pytest.mark.parametrize("attribute", ["normal", "position", "face id"])
    def test_pictures_are_those_of_the_library(self, server: Any, example_run: SimpleNamespace, attribute: str) -> None:
        raster = rasterize_mesh(sample_mesh("trefoil knot"), None, (768, 768))
        background = (0.0, 0.0, 0.0) if attribute == "face id" else (1.0, 1.0, 1.0)
        want = attribute_image(raster, attribute, background=background)[0, 0]
        want = (want * 255).clamp(0, 255).to(torch.uint8).numpy()

        prompt = example_run.prompt
        if attribute == "face id":
            source = [node_of(prompt, "TorchRasterRasterize"), 1]
        else:
            source = [node_of(prompt, "TorchRasterInterpolate", attribute=attribute), 0]
        found = picture(server, example_run.entry, node_of(prompt, "PreviewImage", images=source))

        assert found.shape == (768, 768, 3)
        drawn = raster.mask[0, 0].bool().numpy()
        assert 0.2 < drawn.mean() < 0.8
        assert len(np.unique(found.reshape(-1, 3), axis=0)) > 500
        row, column = (int(middle) for middle in np.argwhere(drawn)[drawn.sum() // 2])
        assert np.abs(found[row, column].astype(int) - want[row, column]).max() <= 1
        assert (found[0, 0] == want[0, 0]).all()
        # The server may have another PyTorch, whose last bits of a camera may differ: a few pixels on edges may, too.
        differing = (np.abs(found.astype(int) - want) > 1).any(axis=-1).mean()
        assert differing < 1e-3

    def test_self_test_passed(self, example_run: SimpleNamespace) -> None:
        (text,) = example_run.entry["outputs"][node_of(example_run.prompt, "TorchRasterBackendInfo")]["text"]
        passed, checks = re.search(r"Self-test: (\d+) of (\d+) checks passed", text).groups()
        assert passed == checks
        assert int(checks) >= 30
        assert "Device: cpu" in text
        assert "  custom_rasterizer: " in text and "  mesh_inpaint_processor: " in text


def read_prompt(server: Any, path: Path) -> dict[str, Any]:
    """An example, whose nodes are all there."""
    prompt = json.loads(path.read_text(encoding="utf-8"))
    absent = {node["class_type"] for node in prompt.values()} - server.object_info.keys()
    if absent and not any(name.startswith("TorchRaster") for name in absent):
        pytest.skip(f"this ComfyUI lacks {', '.join(sorted(absent))}: name their pack's folder in COMFYUI_PACKS")
    return prompt


def run_prompt(server: Any, path: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The same, its history entry, and what the server printed meanwhile."""
    prompt, before = read_prompt(server, path), len(server.log())
    models = {node["class_type"] for node in prompt.values()} & MODELS
    if models:
        pytest.skip(f"{', '.join(sorted(models))} would need model files: checked without being run")
    return prompt, server.run(prompt), server.log()[before:]


@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.stem)
class TestExamples:
    """Every example workflow runs on a new installation, if the packs and models that it is about are there."""

    def test_fits_the_nodes(self, server: Any, path: Path) -> None:
        assert misfits(read_prompt(server, path), server.object_info) == []

    def test_succeeds_without_complaints(self, server: Any, path: Path) -> None:
        _, entry, log = run_prompt(server, path)
        assert entry["status"]["status_str"] == "success", json.dumps(entry["status"], indent=1)
        assert complaints(log) == []


@pytest.mark.parametrize(
    "path", [path for path in PROMPTS if path.stem.endswith("_texture")], ids=lambda path: path.stem
)
def test_textured_mesh_looks_like_the_views_it_was_made_from(server: Any, path: Path, tmp_path: Path) -> None:
    prompt, entry, _ = run_prompt(server, path)
    (name,) = entry["outputs"][node_of(prompt, "Preview3D")]["result"][:1]
    folder, _, file = name.replace("\\", "/").rpartition("/")
    query = urllib.parse.urlencode({"filename": file, "subfolder": folder, "type": "output"})
    (tmp_path / "mesh.glb").write_bytes(server.download(f"/view?{query}"))

    painted = [node["inputs"]["attribute"] for node in prompt.values() if "attribute" in node["inputs"]]
    wanted = painted[0] if painted else "normal"  # without views of ours, the packs' own normal maps are painted
    camera = [orbit_camera(0, 0)]
    made = rasterize_mesh(load_mesh(tmp_path / "mesh.glb"), camera, (256, 256))
    source = rasterize_mesh(sample_mesh("trefoil knot"), camera, (256, 256))
    both = made.mask[0, 0].bool() & source.mask[0, 0].bool()
    assert both.sum() > 0.98 * source.mask[0, 0].sum()
    error = (attribute_image(made, "texture") - attribute_image(source, wanted))[0, 0][both].abs().mean()
    print(f"mean difference {float(error):.4f}")
    assert error < 0.05  # 0.2 and more where the texture is upside down


class TestErrors:
    """A wrong workflow is answered with the pack's own words."""

    def test_missing_file_is_refused_before_anything_runs(self, server: Any) -> None:
        prompt = example()
        node = node_of(prompt, "TorchRasterLoadMesh")
        prompt[node]["inputs"]["mesh_file"] = "3d/nothing.glb"
        text = json.dumps(server.submit(prompt)["node_errors"][node])
        assert "no file '3d/nothing.glb' in ComfyUI's input folder" in text

    def test_path_outside_is_refused(self, server: Any) -> None:
        (server.base / "secret.glb").write_bytes(b"not for everybody")
        prompt = example()
        node = node_of(prompt, "TorchRasterLoadMesh")
        prompt[node]["inputs"]["mesh_file"] = "../secret.glb"
        text = json.dumps(server.submit(prompt)["node_errors"][node])
        assert "lies outside ComfyUI's input, output and temp folders" in text

    def test_error_while_running_reaches_the_history(self, server: Any) -> None:
        prompt = example()
        del prompt[node_of(prompt, "TorchRasterBackendInfo")]
        prompt[node_of(prompt, "TorchRasterRasterize")]["inputs"].update(width=64, height=64)
        node = node_of(prompt, "TorchRasterInterpolate", attribute="normal")
        prompt[node]["inputs"]["attribute"] = "vertex color"
        status = server.run(prompt)["status"]
        assert status["status_str"] == "error"
        (error,) = (content for kind, content in status["messages"] if kind == "execution_error")
        assert error["node_id"] == node
        assert error["exception_type"].endswith("ValueError")
        assert "'vertex color' but the mesh has none" in error["exception_message"]


class TestFiles:
    """Files of the input folder."""

    def test_new_glb_is_listed_and_loads(self, server: Any) -> None:
        trimesh.creation.box((1, 2, 3)).export(server.base / "input" / "3d" / "box.glb")
        listed = server.get("/object_info/TorchRasterLoadMesh")["TorchRasterLoadMesh"]["input"]["required"]
        options = listed["mesh_file"][1].get("options") or listed["mesh_file"][0]
        assert "3d/box.glb" in options
        entry = server.run(
            {
                "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": "3d/box.glb"}},
                "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 2]}},
            }
        )
        assert entry["status"]["status_str"] == "success"
        (text,) = entry["outputs"]["2"]["text"]
        assert "12 faces, size 1 x 2 x 3" in text
