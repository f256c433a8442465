"""The one place that knows about ComfyUI versions (0.3.64 and newer)."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from comfy_api.latest import io

from .texts import Board

Defined = TypeVar("Defined")


def schema(**values: Any) -> io.Schema:
    """An ``io.Schema`` from what the running version knows; an unknown field would cost the whole pack."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in values.items() if name in known})


def with_extras(made: Defined, **extras: Any) -> Defined:
    """An input whose definition tells the browser more than ComfyUI asks for."""
    made.extra_dict = extras  # no argument in 0.3.64
    return made


def new_mesh(vertices: Any, faces: Any, **attributes: Any) -> Any:
    """ComfyUI's MESH with attributes that its version may not have in the constructor yet."""
    try:
        from comfy_api.latest import Types

        mesh = Types.MESH(vertices, faces)
    except (ImportError, AttributeError):  # before 0.3.71
        from comfy_extras.nodes_hunyuan3d import MESH

        mesh = MESH(vertices, faces)
    for name, value in attributes.items():
        setattr(mesh, name, value)
    return mesh


def file_3d_types() -> list[Any]:
    """The sockets for 3D files that the running version has; none before 0.12."""
    return [kind for kind in vars(io).values() if str(getattr(kind, "io_type", "")).startswith("FILE_3D")]


def new_file_3d(path: str) -> Any:
    """ComfyUI's value for a 3D file on disk; None in a version whose nodes take none."""
    try:
        from comfy_api.latest import Types

        return Types.File3D(path)
    except (ImportError, AttributeError):
        return None


def show_text(text: str, node: type[io.ComfyNode]) -> None:
    """Show text on a node while and after it runs; clients without a screen simply do not get it.

    Args:
        text: what to show.
        node: the class that ComfyUI calls ``execute`` on, with ``unique_id`` among its hidden inputs.
    """
    node_id = node.hidden.unique_id if node.hidden else None
    if node_id is not None:
        BOARD.say(running() or node_id, node_id, text)


def running() -> tuple[str, str, int | None] | None:
    """The prompt that runs, its node that does, and which item of a list it is at; None where nobody knows."""
    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:  # the nodes are run by another host
        return None
    context = get_executing_context()
    return None if context is None else (context.prompt_id, context.node_id, context.list_index)


def _send_text(text: str, node_id: str) -> None:
    try:
        from server import PromptServer

        server = PromptServer.instance
        if server.client_id is None:  # it would go to everybody, whose graphs have other nodes of that id
            return
        server.send_progress_text(_for_frontends(text), node_id, server.client_id)
    except (ImportError, AttributeError):  # no server: the nodes are run by another host
        pass


def _for_frontends(text: str) -> str:
    """A text as every frontend shows it: some take it as HTML, some as Markdown.

    It may quote a stranger's file. Nothing begins a tag where a word joiner, which nobody sees, follows the ``<``. In
    Markdown only two spaces before the line's end keep the break.
    """
    return text.replace("<", "<\N{WORD JOINER}").replace("\n", "  \n")


BOARD = Board(_send_text)
"""Where the node that runs shows texts."""


def somebody_watches() -> bool:
    """Whether the running prompt came from a client that gets messages: the browser, or a script that named itself."""
    try:
        from server import PromptServer

        return PromptServer.instance.client_id is not None
    except (ImportError, AttributeError):  # no server: the nodes are run by another host
        return False
