"""Simplify Mesh in a real ComfyUI, and what a node that takes long tells the client that queued it, and nobody else."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import trimesh

from tests.support.needs import needs_simplification, needs_xatlas

pytestmark = [pytest.mark.server, pytest.mark.slow]

TEXT = 3  # the kind of binary message


def rough_sphere(server: Any) -> str:
    """81,920 faces on the server, for which xatlas takes a quarter of a minute."""
    sphere = trimesh.creation.icosphere(subdivisions=6)
    sphere.vertices *= 1 + 0.1 * np.random.default_rng(0).random((len(sphere.vertices), 1))
    sphere.export(server.base / "input" / "3d" / "rough.ply")
    return "3d/rough.ply"


def workflow(file: str, target_faces: int) -> dict[str, Any]:
    return {
        "1": {"class_type": "TorchRasterLoadMesh", "inputs": {"mesh_file": file}},
        "2": {
            "class_type": "TorchRasterSimplify",
            "inputs": {"mesh": ["1", 0], "target_faces": target_faces, "keep_uvs": True},
        },
        "3": {"class_type": "TorchRasterUnwrapUV", "inputs": {"mesh": ["2", 0], "resolution": 1024, "padding": 2}},
        "4": {
            "class_type": "TorchRasterSaveMesh",
            "inputs": {"mesh": ["3", 0], "filename_prefix": "simple", "format": "glb"},
        },
    }


def messages(headless: ModuleType, comfy: Any) -> Iterator[Any]:
    """Messages to a client from now on: dicts, and pairs of a node's id and a text of it."""
    socket = headless.WebSocket(f"{comfy.url}/ws?clientId={comfy.client}")

    def read() -> Iterator[Any]:
        while True:
            first, second = socket._read(2)
            length = second & 127
            if length > 125:
                length = struct.unpack(*((">H", socket._read(2)) if length == 126 else (">Q", socket._read(8))))[0]
            data = socket._read(length)
            if first & 15 == 1:
                yield json.loads(data)
            elif first & 15 == 2 and struct.unpack(">I", data[:4])[0] == TEXT:
                end = 8 + struct.unpack(">I", data[4:8])[0]
                yield data[8:end].decode(), data[end:].decode()

    return read()


def ended(message: Any) -> bool:
    kinds = ("execution_success", "execution_interrupted", "execution_error")
    return isinstance(message, dict) and message["type"] in kinds


@needs_xatlas
@needs_simplification
def test_a_mesh_is_simplified_unwrapped_and_saved(server: Any, headless: ModuleType, tmp_path: Path) -> None:
    comfy = headless.Comfy(server.url)
    stream = messages(headless, comfy)
    prompt = comfy.submit(workflow(rough_sphere(server), 3000))
    told = []
    for message in stream:
        told += [message] if isinstance(message, tuple) else []
        if ended(message):
            break
    assert message["type"] == "execution_success"
    said = [text for node, text in told if node == "2"][-1]
    assert re.fullmatch(r"81920 faces became 3000\.(  \nTook (\d+|less than 1) s\.)?", said)
    (entry,) = comfy.files(prompt)
    mesh = trimesh.load(comfy.download(entry, tmp_path), force="mesh", process=False)
    assert len(mesh.faces) == 3000 and mesh.visual.uv is not None
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight


@needs_xatlas
def test_the_client_that_queued_it_is_told_what_a_node_is_at(server: Any, headless: ModuleType) -> None:
    comfy, other = headless.Comfy(server.url), headless.Comfy(server.url)
    stream, others = messages(headless, comfy), messages(headless, other)
    prompt = comfy.submit(workflow(rough_sphere(server), 100_000))
    told: list[tuple[str, str]] = []
    for message in stream:
        if ended(message):
            break
        if isinstance(message, tuple):
            told.append((message[0], message[1]))
            if message == ("3", "Unwrapping by xatlas, 3 s"):
                comfy.interrupt(prompt)
    assert message["type"] == "execution_interrupted"
    at_work = [text for node, text in told if node == "3"]
    assert at_work[0] == "Unwrapping by xatlas, 1 s" and re.fullmatch(r"Stopped after [34] s\.", at_work[-1])
    assert 4 <= len(at_work) <= 9, "at most twice a second"
    assert any(node == "2" and "no more than 100000; it passes as it is." in text for node, text in told)
    other.submit(workflow("sample: torus", 500))
    heard = []
    for message in others:
        if ended(message):
            break
        heard += [message[1]] if isinstance(message, tuple) else []
    assert message["type"] == "execution_success"
    assert heard and not [text for text in heard if "xatlas" in text or "Stopped" in text]
