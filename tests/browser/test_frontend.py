"""The pack's extension in the real frontend: loads quietly, shows what the library computes, uploads, explains."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh

from rasterizer.meshes.sample_meshes import sample_mesh
from rasterizer.rendering.raster import rasterize_mesh
from tests.support.paths import EXAMPLES, ROOT

WORKFLOWS = sorted(EXAMPLES.glob("*.json"))
HELP = sorted(path.stem for path in (ROOT / "web" / "docs").glob("*.md"))
EXAMPLE = EXAMPLES / "01_rasterize_and_inspect.json"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def glb() -> bytes:
    """A box as a file."""
    return trimesh.creation.box((1, 2, 3)).export(file_type="glb")


def read_knot(frontend: Any, node: int, shot: str) -> str:
    """What the inspector says of a pixel of the example's knot."""
    found = frontend.panel(node, "inspector")
    frontend.center(node)
    box = found.locator("canvas").bounding_box()
    frontend.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3)
    frontend.shot(shot)
    return found.locator(".readout").inner_text()


@pytest.fixture(scope="session")
def ran(frontend: Any) -> SimpleNamespace:
    """The example, loaded and run once."""
    frontend.load(read(EXAMPLE), EXAMPLE.stem)
    nodes = {node["type"]: node["id"] for node in reversed(read(EXAMPLE)["nodes"])}
    before = len(frontend.messages)
    end = frontend.run()
    frontend.fit()
    frontend.shot("example")
    return SimpleNamespace(end=end, nodes=nodes, messages=frontend.messages[before:])


class TestLoading:
    """Before anything runs."""

    def test_says_nothing_that_the_frontend_does_not_say_without_it(self, frontend: Any, bare_frontend: Any) -> None:
        for each in (frontend, bare_frontend):
            each.load(read(EXAMPLE), EXAMPLE.stem)
        usual = {re.sub(r"[\d.]+", "#", text) for text in bare_frontend.messages}
        assert [text for text in frontend.messages if re.sub(r"[\d.]+", "#", text) not in usual] == []

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
    def test_workflow_opens_complete(self, frontend: Any, path: Path) -> None:
        before = len(frontend.messages)
        frontend.load(read(path), path.stem)
        frontend.fit()
        frontend.shot(f"open_{path.stem}")
        missing = frontend.page.evaluate(
            "app.graph._nodes.filter((n) => !n.subgraph && !LiteGraph.registered_node_types[n.type]).map((n) => n.type)"
        )
        if missing and not any(name.startswith("TorchRaster") for name in missing):
            pytest.skip(f"this ComfyUI lacks {', '.join(sorted(set(missing)))}: name their pack in COMFYUI_PACKS")
        assert missing == []
        assert len(frontend.page.evaluate("app.graph._nodes.map((n) => n.id)")) == len(read(path)["nodes"])
        assert not [text for text in frontend.messages[before:] if "torch" in text.lower()]

    def test_panels_are_not_saved(self, frontend: Any) -> None:
        frontend.load(read(EXAMPLE), EXAMPLE.stem)
        saved = frontend.page.evaluate("app.graph.serialize().nodes.map((n) => [n.id, n.widgets_values ?? []])")
        shown = {node["id"]: node.get("widgets_values") or [] for node in read(EXAMPLE)["nodes"]}
        assert dict(saved) == shown


class TestInspector:
    """On Rasterize and Interpolate Attributes."""

    def test_example_runs(self, ran: SimpleNamespace) -> None:
        assert ran.end == "success"
        assert not [text for text in ran.messages if "torch" in text.lower() or "Failed to load" in text]

    def test_reads_what_the_library_computes(self, frontend: Any, ran: SimpleNamespace) -> None:
        raster = rasterize_mesh(sample_mesh("trefoil knot"), None, (768, 768))
        ids, weights = raster.findices[0, 0], raster.barycentric[0, 0]
        node = ran.nodes["TorchRasterRasterize"]
        frontend.center(node, 1.2)
        found = frontend.panel(node, "inspector")
        box = found.locator("canvas").bounding_box()

        def pixel(x: int, y: int) -> tuple[int, int]:
            return int((x - box["x"]) / box["width"] * 768), int((y - box["y"]) / box["height"] * 768)

        # Points well inside a face: the server may have another PyTorch, which may round a camera differently.
        inside = [
            (x, y, column, row)
            for x in range(int(box["x"]) + 10, int(box["x"] + box["width"]) - 10, 3)
            for y in range(int(box["y"]) + 10, int(box["y"] + box["height"]) - 10, 3)
            for column, row in [pixel(x, y)]
            if ids[row, column] > 0 and (ids[row - 1 : row + 2, column - 1 : column + 2] == ids[row, column]).all()
        ]
        assert len(inside) > 100
        for x, y, column, row in inside[:: len(inside) // 5]:
            frontend.page.mouse.move(x, y)
            text = found.locator(".readout").inner_text()
            assert f"{column}, {row}" in text
            assert f"{int(ids[row, column])} of 9600" in text
            numbers = re.search(r"barycentrics\s+([\d., ]+)", text).group(1)
            want = weights[row, column].tolist()
            assert [float(number) for number in numbers.split(",")] == pytest.approx(want, abs=2e-3)
            depth = float(re.search(r"depth\s+([\d.]+)", text).group(1))
            assert depth == pytest.approx(float(raster.distance()[0, 0, row, column]), rel=1e-3)
        frontend.shot("hover")

    def test_click_pins_and_the_switch_cycles(self, frontend: Any, ran: SimpleNamespace) -> None:
        node = ran.nodes["TorchRasterInterpolate"]
        frontend.center(node, 1.2)
        found = frontend.panel(node, "inspector")
        box = found.locator("canvas").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3
        frontend.page.mouse.click(*middle)
        before = found.locator(".readout").inner_text()
        assert "pinned" in before and "image" in before
        frontend.page.mouse.move(middle[0] + 30, middle[1] + 40)
        assert found.locator(".readout").inner_text() == before
        seen = []
        for _ in range(5):
            seen.append(found.get_attribute("data-kind"))
            frontend.shot(f"inspector_{seen[-1]}")
            found.locator("button").first.click()
        assert seen == ["value", "ids", "depth", "mask", "weights"]
        assert found.get_attribute("data-kind") == "value"
        frontend.page.mouse.click(*middle)
        assert "pinned" not in found.locator(".readout").inner_text()

    def test_face_colours_are_those_of_the_output(self, frontend: Any, ran: SimpleNamespace) -> None:
        from rasterizer.rendering.attributes import face_colors

        node = ran.nodes["TorchRasterRasterize"]
        found = frontend.panel(node, "inspector")
        assert found.get_attribute("data-kind") == "ids"
        script = """(root) => { const c = root.querySelector("canvas");
            return [...c.getContext("2d").getImageData(0, 300, c.width, 1).data]; }"""
        shown = torch.tensor(found.evaluate(script)).view(768, 4)[:, :3]
        raster = rasterize_mesh(sample_mesh("trefoil knot"), None, (768, 768))
        want = face_colors(raster.findices[0, 0, 300]) * 255
        assert ((shown - want).abs() > 1).any(dim=1).float().mean() < 0.02

    def test_pickers_appear_where_there_are_layers(self, frontend: Any) -> None:
        frontend.load(read(EXAMPLE), "layers")
        node = next(node["id"] for node in read(EXAMPLE)["nodes"] if node["type"] == "TorchRasterRasterize")
        frontend.page.evaluate(
            """(id) => { const n = app.graph.getNodeById(id);
            for (const [k, v] of [["layers", 3], ["width", 200], ["height", 160]]) {
                n.widgets.find((w) => w.name === k).value = v; } }""",
            node,
        )
        assert frontend.run() == "success"
        found = frontend.panel(node, "inspector")
        frontend.center(node)
        picker = found.locator("select[name=layer]")
        assert picker.locator("option").count() == 3
        assert found.locator("select[name=view]").count() == 0
        first = found.locator("canvas").evaluate("(c) => c.toDataURL()")
        picker.select_option("1")
        frontend.page.wait_for_timeout(1000)
        assert found.locator("canvas").evaluate("(c) => c.toDataURL()") != first
        size = found.locator("canvas").evaluate("(c) => [c.width, c.height]")
        assert size == [200, 160]
        frontend.shot("layers")

    def test_comes_back_with_its_tab(self, frontend: Any) -> None:
        frontend.load(read(EXAMPLE), "tab")
        node = next(node["id"] for node in read(EXAMPLE)["nodes"] if node["type"] == "TorchRasterRasterize")
        assert frontend.run() == "success"
        assert frontend.panel(node, "inspector").locator("canvas").count() == 1
        frontend.command("Comfy.NewBlankWorkflow")
        assert frontend.page.evaluate("app.graph._nodes.length") == 0
        frontend.command("Workspace.PreviousOpenedWorkflow")
        assert "of 9600" in read_knot(frontend, node, "tab")

    def test_shows_what_comes_from_the_cache(self, frontend: Any) -> None:
        node = next(node["id"] for node in read(EXAMPLE)["nodes"] if node["type"] == "TorchRasterRasterize")
        for _ in range(2):
            frontend.load(read(EXAMPLE), "cached")
            assert frontend.run() == "success"
            assert "of 9600" in read_knot(frontend, node, "cached")
        script = """([id, width]) => {
            app.graph.getNodeById(id).widgets.find((w) => w.name === "width").value = width; }"""
        for width in (320, 384, 320):
            frontend.page.evaluate(script, [node, width])
            assert frontend.run() == "success"
            canvas = frontend.panel(node, "inspector").locator("canvas")
            assert canvas.evaluate("(c) => c.width") == width

    def test_works_inside_a_subgraph(self, frontend: Any) -> None:
        frontend.load(read(EXAMPLE), "subgraph")
        script = """() => {
            const inside = app.graph._nodes.filter((n) => /^TorchRaster(Rasterize|Interpolate)$/.test(n.type));
            const { subgraph } = app.graph.convertToSubgraph(new Set(inside));
            window.testSubgraph = subgraph;
            const node = subgraph._nodes.find((n) => n.type === "TorchRasterRasterize");
            // Something new to do: ComfyUI before 0.19 does not repeat what a node showed under another id.
            node.widgets.find((w) => w.name === "width").value = 640;
            return node.id;
        }"""
        node = frontend.page.evaluate(script)
        assert frontend.run() == "success"
        for where in ("inside", "back_inside"):
            frontend.page.evaluate("app.canvas.setGraph(window.testSubgraph)")
            frontend.page.wait_for_timeout(1500)
            assert "of 9600" in read_knot(frontend, node, f"subgraph_{where}")
            frontend.page.evaluate("app.canvas.setGraph(app.graph)")
            frontend.page.wait_for_timeout(500)


class TestBackendInfo:
    """The panel of Backend Info."""

    def test_shows_the_report_and_copies_it(self, frontend: Any) -> None:
        frontend.clear()
        node = frontend.add("TorchRasterBackendInfo", 100, 100)
        assert frontend.run() == "success"
        found = frontend.panel(node, "backend-info")
        frontend.center(node, 1.2)
        frontend.shot("backend_info")
        text = found.inner_text()
        for expected in ("torch", "in use", "custom_rasterizer", "Self-test", "checks passed"):
            assert expected in text
        assert found.locator("tr", has_text="Self-test").locator(".dot.good").count() == 1
        rows = found.locator("tr", has_text=re.compile(r"^\s*kernels"))  # of others, too, the reasons speak of kernels
        assert rows.locator(".dot.off").count() == 1
        assert found.locator("tr", has_text="Arithmetic").locator(".dot").count() == 0
        assert found.locator("pre").count() == 0
        found.locator("button").click()
        frontend.page.wait_for_timeout(300)
        assert found.locator("button").inner_text() == "copied"

    def test_narrow_columns_break_between_words(self, frontend: Any) -> None:
        frontend.clear()
        node = frontend.add("TorchRasterBackendInfo", 100, 100)
        assert frontend.run() == "success"
        found = frontend.panel(node, "backend-info")
        frontend.center(node)
        for width in (600, 400, 300, 230):
            found.evaluate("(root, width) => { root.style.width = `${width}px`; }", width)
            frontend.shot(f"backend_info_{width}")
            # The longest word of what is said there takes at most one line.
            script = """(root) => [...root.querySelectorAll("td:last-child")].map((td) => td.clientWidth)"""
            assert min(found.evaluate(script)) > 100, width

    def test_shows_what_an_older_version_left(self, frontend: Any) -> None:
        frontend.clear()
        node = frontend.add("TorchRasterBackendInfo", 100, 100)
        report = "Torch Rasterizer 0.0.9\nBackends:\n  torch (x): in use"
        frontend.page.evaluate("([id, text]) => app.graph.getNodeById(id).onExecuted({ text: [text] })", [node, report])
        found = frontend.panel(node, "backend-info")
        assert found.locator("pre").text_content() == report and found.locator("td").count() == 0


class TestPictureLabels:
    """The inputs of Pictures to Views, called after what their cameras see."""

    SIX = ("1 front", "2 right", "3 back", "4 left", "5 top", "6 bottom")

    @pytest.fixture
    def nodes(self, frontend: Any) -> tuple[int, int]:
        """Camera Views, connected to Pictures to Views."""
        frontend.clear()
        cameras, views = frontend.add("TorchRasterCameras", 0, 0), frontend.add("TorchRasterPicturesToViews", 500, 0)
        assert self.shown(frontend, views) == [f"picture_{number}" for number in range(1, 13)]
        # Some frontends give a new node what a node of this id had in the graph before.
        frontend.set(cameras, preset="hunyuan3d-2")
        frontend.connect(cameras, 0, views, "cameras")
        return cameras, views

    def shown(self, frontend: Any, node: int) -> list[str]:
        """What stands at the pictures' inputs, with Nodes 2.0 by what the page shows."""
        frontend.page.wait_for_timeout(300)
        script = """(id) => app.graph.getNodeById(id).inputs.filter(({ name }) => name.startsWith("picture_"))
            .map((slot) => slot.label ?? slot.localized_name ?? slot.name)"""
        texts = frontend.page.evaluate(script, node)
        if frontend.nodes_2:
            slots = frontend.page.locator(f'[data-node-id="{node}"] .lg-slot--input')
            assert [text.strip() for text in slots.all_inner_texts()][1:] == texts
        return texts

    def test_follow_the_cameras(self, frontend: Any, nodes: tuple[int, int]) -> None:
        cameras, views = nodes
        assert self.shown(frontend, views) == list(self.SIX)
        frontend.center(views)
        frontend.shot("labels_six")
        frontend.set(cameras, preset="turntable", views=3)
        assert self.shown(frontend, views) == ["1 front", "2 120°", "3 240°"]
        frontend.set(cameras, preset="custom", azimuths="180, 35", elevations="0, 20", weights="1")
        assert self.shown(frontend, views) == ["1 back", "2 35° +20°"]
        frontend.set(cameras, preset="turntable", views=36)
        assert len(self.shown(frontend, views)) == 12
        frontend.set(cameras, preset="hunyuan3d-2.1")
        assert self.shown(frontend, views) == list(self.SIX)
        frontend.page.evaluate("(id) => app.graph.getNodeById(id).disconnectInput(0)", views)
        assert self.shown(frontend, views) == [f"picture_{number}" for number in range(1, 13)]
        frontend.center(views)
        frontend.shot("labels_none")

    def test_what_is_connected_stays(self, frontend: Any, nodes: tuple[int, int]) -> None:
        cameras, views = nodes
        picture = frontend.add("TorchRasterRenderMaps", 0, 600)
        frontend.connect(picture, 0, views, "picture_5")
        frontend.set(cameras, preset="custom", azimuths="0, 90", elevations="0", weights="1")
        assert self.shown(frontend, views) == ["1 front", "2 right", "picture_3", "picture_4", "picture_5"]
        script = "(id) => app.graph.getNodeById(id).inputs.find(({ name }) => name === 'picture_5').link"
        assert frontend.page.evaluate(script, views) is not None
        frontend.center(views)
        frontend.shot("labels_connected")

    def test_a_workflow_comes_back_with_its_links(self, frontend: Any, nodes: tuple[int, int]) -> None:
        _, views = nodes
        picture = frontend.add("TorchRasterRenderMaps", 0, 600)
        frontend.connect(picture, 0, views, "picture_6")
        self.shown(frontend, views)
        saved = frontend.page.evaluate("app.graph.serialize()")
        frontend.load(saved, "labels")
        assert self.shown(frontend, views) == list(self.SIX)
        prompt = frontend.page.evaluate("app.graphToPrompt().then(({ output }) => output)")
        assert set(prompt[str(views)]["inputs"]) == {"cameras", "picture_6"}
        assert prompt[str(views)]["inputs"]["picture_6"] == [str(picture), 0]

    def test_a_persons_own_label_stays(self, frontend: Any, nodes: tuple[int, int]) -> None:
        cameras, views = nodes
        script = "(id) => { app.graph.getNodeById(id).inputs[2].label = 'my photograph'; }"
        frontend.page.evaluate(script, views)
        frontend.set(cameras, preset="turntable", views=2)
        script = "(id) => app.graph.getNodeById(id).inputs.map((slot) => slot.label ?? slot.localized_name)"
        assert frontend.page.evaluate(script, views) == ["cameras", "1 front", "my photograph"]


class TestUpload:
    """A file onto Load Mesh."""

    @pytest.fixture
    def node(self, frontend: Any) -> int:
        frontend.clear()
        number = frontend.add("TorchRasterLoadMesh", 100, 100)
        # Some frontends give a new node what a node of this id had in the graph before.
        frontend.set(number, folder="no folder")
        frontend.center(number)
        return number

    def value(self, frontend: Any, node: int, name: str = "mesh_file") -> str:
        script = "([id, name]) => app.graph.getNodeById(id).widgets.find((w) => w.name === name).value"
        return frontend.page.evaluate(script, [node, name])

    def test_button(self, frontend: Any, node: int) -> None:
        frontend.set(node, folder="3d")  # which an upload takes it off
        frontend.shot("upload")
        with frontend.page.expect_file_chooser() as chooser:
            frontend.page.evaluate(
                "(id) => app.graph.getNodeById(id).widgets.find((w) => w.name === 'upload').callback()", node
            )
        name = f"button_{frontend.name}.glb"
        chooser.value.set_files({"name": name, "mimeType": "model/gltf-binary", "buffer": glb()})
        frontend.page.wait_for_timeout(1500)
        assert self.value(frontend, node) == f"3d/{name}" and self.value(frontend, node, "folder") == "no folder"
        assert (frontend.server.base / "input" / "3d" / name).read_bytes() == glb()

    @pytest.mark.parametrize("frontend", ["nodes2"], indirect=True, scope="session")  # the classic canvas draws its own
    def test_exactly_one_button(self, frontend: Any, node: int) -> None:
        """Ours, or that of the list itself, which newer frontends have with Nodes 2.0."""
        box = frontend.page.locator(f'[data-node-id="{node}"]')
        own, ours = box.locator("input[type=file]"), box.get_by_text("upload mesh")
        assert own.count() + ours.count() == 1
        if own.count():
            name = f"list_{frontend.name}.glb"
            own.set_input_files({"name": name, "mimeType": "model/gltf-binary", "buffer": glb()})
            for _ in range(40):  # it may take seconds on cores that others use, too
                if self.value(frontend, node) == f"3d/{name}":
                    break
                frontend.page.wait_for_timeout(250)
            assert self.value(frontend, node) == f"3d/{name}"
            assert (frontend.server.base / "input" / "3d" / name).read_bytes() == glb()

    def drop(self, frontend: Any, node: int, name: str, data: bytes) -> None:
        """A file let go of over the node."""
        script = """([id, name, data]) => {
            const node = app.graph.getNodeById(id);
            const files = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            files.items.add(new File([bytes], name));
            const target = document.querySelector(`[data-node-id="${id}"]`) ?? app.canvas.canvas;
            const box = app.canvas.canvas.getBoundingClientRect(), { scale, offset } = app.canvas.ds;
            const at = {
                clientX: box.x + (node.pos[0] + offset[0] + 40) * scale,
                clientY: box.y + (node.pos[1] + offset[1] + 15) * scale,
            };
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const options = { ...at, dataTransfer: files, bubbles: true, cancelable: true };
                target.dispatchEvent(new DragEvent(kind, options));
            }
        }"""
        frontend.page.evaluate(script, [node, name, base64.b64encode(data).decode()])
        frontend.page.wait_for_timeout(1500)

    def test_drop(self, frontend: Any, node: int) -> None:
        name = f"drop_{frontend.name}.glb"
        self.drop(frontend, node, name, glb())
        assert self.value(frontend, node) == f"3d/{name}"
        assert frontend.page.evaluate("app.graph._nodes.length") == 1, "the drop made a node of its own, too"

    @pytest.mark.parametrize(("suffix", "cure"), [("FBX", "Blender"), ("usdz", "Blender"), ("ksplat", "surface")])
    def test_drop_of_what_is_not_read_is_answered(self, frontend: Any, node: int, suffix: str, cure: str) -> None:
        before = self.value(frontend, node)
        self.drop(frontend, node, f"statue.{suffix}", b"Kaydara FBX Binary")
        toast = frontend.page.locator(".p-toast-message", has_text=f"statue.{suffix}").last
        said = toast.inner_text()
        frontend.shot(f"drop_{suffix}")
        assert ".glb .gltf .obj" in said and cure in said
        assert frontend.page.evaluate("app.graph._nodes.length") == 1, "the drop made a node of its own, too"
        assert self.value(frontend, node) == before

    def test_other_files_are_not_taken(self, frontend: Any, node: int) -> None:
        script = """(id) => { const files = new DataTransfer(); files.items.add(new File(["x"], "x.txt"));
            return app.graph.getNodeById(id).onDragDrop({ dataTransfer: files }); }"""
        before = self.value(frontend, node)
        assert frontend.page.evaluate(script, node) is False
        assert self.value(frontend, node) == before


class TestFiles:
    """ComfyUI's own 3D files, and workflows from versions that have them."""

    def test_a_file_on_the_canvas_is_one_link_from_rasterize(self, frontend: Any) -> None:
        if not frontend.page.evaluate("'Load3DAdvanced' in LiteGraph.registered_node_types"):
            pytest.skip("this ComfyUI has no 3D files")
        name = f"canvas_{frontend.name}.glb"
        (frontend.server.base / "input" / "3d" / name).write_bytes(glb())
        frontend.clear()
        load, raster, show = (
            frontend.add(kind, x, 100)
            for kind, x in (("Load3DAdvanced", 0), ("TorchRasterRasterize", 600), ("PreviewImage", 1100))
        )
        script = """([load, raster, show, name]) => {
            const [from, node, end] = [load, raster, show].map((id) => app.graph.getNodeById(id));
            from.widgets.find((widget) => widget.name === "model_file").value = name;
            for (const side of ["width", "height"]) node.widgets.find((widget) => widget.name === side).value = 256;
            const links = [from.connect(0, node, 0), node.connect(1, end, 0)];
            return links.every(Boolean) && node.inputs[0].name;
        }"""
        assert frontend.page.evaluate(script, [load, raster, show, f"3d/{name}"]) == "mesh"
        frontend.page.wait_for_timeout(2000)
        assert frontend.run() == "success"
        frontend.fit()
        frontend.shot("load_3d")

    def test_a_workflow_of_a_newer_version_opens_and_runs(self, frontend: Any) -> None:
        """With the input and the output for 3D files, which older versions do not have."""
        frontend.clear()
        kind = "FILE_3D,FILE_3D_GLB"
        load = {
            "id": 1,
            "type": "TorchRasterLoadMesh",
            "pos": [0, 0],
            "size": [300, 100],
            "flags": {},
            "mode": 0,
            "inputs": [
                {"name": "mesh_file", "type": "COMBO", "link": None, "widget": {"name": "mesh_file"}},
                {"name": "model_3d", "type": kind, "link": None, "shape": 7},
            ],
            "outputs": [
                {"name": "mesh", "type": "MESH", "links": [1]},
                {"name": "trimesh", "type": "TRIMESH", "links": []},
                {"name": "info", "type": "STRING", "links": []},
            ],
            "widgets_values": ["sample: torus"],
        }
        save = {
            "id": 2,
            "type": "TorchRasterSaveMesh",
            "pos": [500, 0],
            "size": [300, 100],
            "flags": {},
            "mode": 0,
            "inputs": [
                {"name": "mesh", "type": f"MESH,TRIMESH,{kind}", "link": 1},
                {"name": "filename_prefix", "type": "STRING", "link": None, "widget": {"name": "filename_prefix"}},
                {"name": "format", "type": "COMBO", "link": None, "widget": {"name": "format"}},
            ],
            "outputs": [
                {"name": "path", "type": "STRING", "links": []},
                {"name": "model_3d", "type": "FILE_3D", "links": []},
            ],
            "widgets_values": ["3d/newer", "glb"],
        }
        ids = {"last_node_id": 2, "last_link_id": 1, "groups": [], "config": {}, "extra": {}, "version": 0.4}
        frontend.load({**ids, "nodes": [load, save], "links": [[1, 1, 0, 2, 0, "MESH"]]})
        assert frontend.run() == "success"


class TestHelp:
    """Help pages."""

    @pytest.mark.parametrize("kind", HELP)
    def test_page_opens(self, frontend: Any, kind: str) -> None:
        frontend.clear()
        node = frontend.add(kind, 100, 100)
        frontend.page.evaluate("(id) => app.canvas.selectNode(app.graph.getNodeById(id))", node)
        frontend.center(node)
        frontend.page.locator('[data-testid="info-button"]').first.click()
        title = (ROOT / "web" / "docs" / f"{kind}.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        frontend.page.wait_for_function(
            "(title) => [...document.querySelectorAll('h1')].some((h) => h.innerText.trim() === title)", arg=title
        )
        frontend.page.wait_for_function(
            "(name) => [...document.images].some((i) => i.src.endsWith(name) && i.naturalWidth > 0)", arg=f"/{kind}.jpg"
        )
        frontend.shot(f"help_{kind}")


def test_what_a_node_says_can_be_read(frontend: Any) -> None:
    """To its end, within the node's frame."""
    folder = frontend.server.base / "input" / "3d"
    (folder / "bare.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", encoding="utf-8")
    frontend.clear()
    kinds = ("TorchRasterLoadMesh", "TorchRasterCameras", "TorchRasterRenderMaps", "PreviewImage")
    nodes = [frontend.add(kind, 400 * number, 0) for number, kind in enumerate(kinds)]
    said = nodes[2]
    script = """(ids) => {
        const graph = app.canvas.graph ?? app.graph;
        const [from, cameras, over, to] = ids.map((id) => graph.getNodeById(id));
        from.widgets.find(({ name }) => name === "mesh_file").value = "3d/bare.obj";
        over.widgets.find(({ name }) => name === "size").value = 64;
        from.connect(0, over, 0);
        cameras.connect(0, over, 1);
        over.connect(0, to, 0);
    }"""
    frontend.page.evaluate(script, nodes)
    assert frontend.run() == "success"
    frontend.center(said)
    frontend.shot("said")
    script = """(id) => {
        const c = app.canvas, node = (c.graph ?? app.graph).getNodeById(id);
        const holds = (e) => e.textContent.includes("stay valid");
        const text = [...document.querySelectorAll("body *")].findLast((e) => holds(e) && e.checkVisibility());
        const range = document.createRange();
        range.selectNodeContents(text);
        const end = range.getBoundingClientRect().bottom;
        const frame = (node.pos[1] + node.size[1] + c.ds.offset[1]) * c.ds.scale + c.canvas.getBoundingClientRect().top;
        const bottoms = [LiteGraph.vueNodesMode ? Infinity : frame];
        for (let e = text; e && e !== document.body; e = e.parentElement) {
            if (getComputedStyle(e).overflowY !== "visible") bottoms.push(e.getBoundingClientRect().bottom);
        }
        return [end, Math.min(...bottoms)];
    }"""
    end, bottom = frontend.page.evaluate(script, said)
    assert end <= bottom


def test_png_reader_is_exact(frontend: Any) -> None:
    """Every byte, also where alpha is 0, which a canvas would lose."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    pixels[2] = (1, 2, 3, 0)
    rows = np.diff(pixels.reshape(5, -1), axis=0, prepend=np.zeros((1, 28), np.uint8)).astype(np.uint8)
    data = _png(7, 5, rows)
    assert (np.asarray(Image.open(io.BytesIO(data))) == pixels).all()
    script = """async (data) => {
        const { decodePng } = await import("/extensions/torch_rasterizer/lib/png.js");
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        return [...(await decodePng(bytes.buffer)).bytes];
    }"""
    found = frontend.page.evaluate(script, base64.b64encode(data).decode())
    assert found == pixels.reshape(-1).tolist()


def _png(width: int, height: int, rows: Any) -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = b"".join(b"\x02" + row.tobytes() for row in rows)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
