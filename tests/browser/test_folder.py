"""Load Mesh on a folder in the browser: a batch count that does every mesh once, and what is grey."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trimesh

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def nodes(frontend: Any) -> tuple[int, int]:
    """Load Mesh and Save Mesh, and three meshes in a folder of this frontend's own."""
    folder = frontend.server.base / "input" / "3d" / frontend.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("cup", "jar", "pot")):
        trimesh.creation.icosphere(subdivisions=number).export(folder / f"{name}.glb")
    frontend.clear()
    load, save = frontend.add("TorchRasterLoadMesh", 100, 100), frontend.add("TorchRasterSaveMesh", 600, 100)
    # Some frontends give a new node what a node of this id had in the graph before.
    frontend.set(load, folder="no folder", index=0, control_after_generate="increment", mesh_file="sample: torus")
    frontend.set(save, filename_prefix=f"{frontend.name}/%source%", format="glb")
    frontend.connect(load, 0, save, "mesh")
    return load, save


def values(frontend: Any, node: int) -> dict[str, Any]:
    script = "(id) => Object.fromEntries(app.graph.getNodeById(id).widgets.map((w) => [w.name, w.value]))"
    return frontend.page.evaluate(script, node)


def grey(frontend: Any, node: int) -> set[str]:
    script = "(id) => app.graph.getNodeById(id).widgets.filter((w) => w.disabled).map((w) => w.name)"
    return set(frontend.page.evaluate(script, node)) - {"control_after_generate"}  # which follows index, or does not


def test_a_batch_count_does_every_mesh_once(frontend: Any, nodes: tuple[int, int]) -> None:
    load, _ = nodes
    assert grey(frontend, load) == {"index"}
    frontend.set(load, folder=f"3d/{frontend.name}")
    assert grey(frontend, load) == {"mesh_file"}
    frontend.fit()
    frontend.shot("folder")
    output = frontend.server.base / "output" / frontend.name
    frontend.page.evaluate("app.queuePrompt(0, 5)")
    deadline = time.monotonic() + 60
    wanted = [f"{name}_00001_.glb" for name in ("cup", "jar", "pot")]
    while time.monotonic() < deadline:
        if output.is_dir() and len(list(output.glob("*.glb"))) >= 3:
            break
        time.sleep(0.2)
    frontend.page.wait_for_timeout(2000)
    frontend.shot("folder_end")
    assert sorted(path.name for path in output.iterdir()) == wanted
    faces = [len(trimesh.load(output / name, force="mesh").faces) for name in wanted]
    assert faces == [20, 80, 320]
    # Refused as one that is not there, in the words of the node.
    told = ("400", "validation", "Prompt execution failed")
    frontend.messages[:] = [text for text in frontend.messages if not any(each in text for each in told)]


def test_without_a_folder_nothing_is_done_anew(frontend: Any, nodes: tuple[int, int]) -> None:
    load, _ = nodes
    frontend.set(load, folder=f"3d/{frontend.name}")
    frontend.set(load, folder="no folder")
    assert frontend.run() == "success"
    assert values(frontend, load)["index"] == 0


def test_comes_back_as_it_was_saved(frontend: Any, nodes: tuple[int, int]) -> None:
    load, _ = nodes
    frontend.set(load, folder=f"3d/{frontend.name}", index=2, control_after_generate="decrement")
    saved = frontend.page.evaluate("app.graph.serialize()")
    frontend.load(saved, "folder")
    found = values(frontend, load)
    assert (found["folder"], found["index"]) == (f"3d/{frontend.name}", 2)
    assert found["control_after_generate"] == "decrement" and grey(frontend, load) == {"mesh_file"}
    # As version 1.0 has saved it.
    (node,) = [node for node in saved["nodes"] if str(node["id"]) == str(load)]
    node["widgets_values"] = ["sample: trefoil knot"]
    frontend.load(saved, "older")
    found = values(frontend, load)
    assert (found["mesh_file"], found["folder"], found["index"]) == ("sample: trefoil knot", "no folder", 0)
    assert found["control_after_generate"] == "increment" and grey(frontend, load) == {"index"}
