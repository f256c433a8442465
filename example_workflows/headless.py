#!/usr/bin/env python3
"""Run an API-format workflow on a ComfyUI server and download what it makes. Standard library only.

    python headless.py api/01_rasterize_and_inspect.json
    python headless.py api/01_rasterize_and_inspect.json --set 3.width=1024 --set 2.mesh_file=3d/chair.glb -o results
    python headless.py workflow.json --upload chair.glb --set 2.mesh_file=3d/chair.glb --server http://192.168.1.5:8188

Progress comes over the server's websocket. Ctrl-C interrupts the run on the server, too. Mesh files named with
--upload go to its folder input/3d. Every file that a node saved or shows is downloaded, into the subfolder that it has
on the server; pictures that a node only shows are called after that node.

Exit status: 0 success; 1 the workflow was refused or failed (the reason is printed); 2 wrong use, or no server (one
line says which); 130 interrupted.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import json
import os
import re
import shutil
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class WorkflowError(Exception):
    """The server refused the workflow, or a node failed; the text says why."""


class UsageError(Exception):
    """What was asked for cannot be meant; the text says why."""


class Comfy:
    """A ComfyUI server, as one client."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.client = uuid.uuid4().hex

    def request(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Body of the answer to a GET, or to a POST if there is a body to send."""
        request = urllib.request.Request(self.url + path, data=body, headers={"Content-Type": kind} if body else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def upload(self, path: Path, subfolder: str = "3d") -> str:
        """Put a file into the server's input folder; what to call it in a workflow."""
        mark = uuid.uuid4().hex
        fields = {"type": "input", "subfolder": subfolder, "overwrite": "true"}
        lines = [f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        lines.append(f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n')
        body = "".join(lines).encode() + path.read_bytes() + f"\r\n--{mark}--\r\n".encode()
        answer = json.loads(self.request("/upload/image", body, f"multipart/form-data; boundary={mark}"))
        return "/".join(filter(None, (answer["subfolder"], answer["name"])))

    def submit(self, workflow: dict[str, Any]) -> str:
        """Queue a workflow; its prompt id.

        Raises:
            WorkflowError: the server refused it, or parts of it.
        """
        body = json.dumps({"prompt": workflow, "client_id": self.client}).encode()
        try:
            answer = json.loads(self.request("/prompt", body))
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            answer = json.loads(error.read())
        # Some errors are answered as if all were well, and what does not depend on the bad node is run.
        if answer.get("node_errors") or "prompt_id" not in answer:
            if "prompt_id" in answer:
                self.interrupt(answer["prompt_id"])
            raise WorkflowError(_refusal(answer, workflow))
        return answer["prompt_id"]

    def interrupt(self, prompt: str) -> None:
        """Stop a prompt, whether it waits or runs; others go on."""
        self.request("/queue", json.dumps({"delete": [prompt]}).encode())
        self.request("/interrupt", json.dumps({"prompt_id": prompt}).encode())

    def follow(self, prompt: str, messages: Iterator[dict[str, Any]]) -> Iterator[tuple[str, float]]:
        """Node ids and shares of their work while a prompt runs.

        Raises:
            WorkflowError: a node failed, or the run was interrupted.
        """
        for message in messages:
            data = message.get("data") or {}
            if data.get("prompt_id") not in (prompt, None):
                continue
            kind = message.get("type")
            if kind == "executing" and data.get("node"):
                yield data["node"], 0.0
            elif kind == "progress" and data.get("node") and data.get("max"):
                yield data["node"], data["value"] / data["max"]
            elif kind == "execution_error":
                raise WorkflowError(f"node {data['node_id']} {data['node_type']}: {data['exception_message'].strip()}")
            elif kind == "execution_interrupted":
                raise WorkflowError("interrupted")
            elif kind == "execution_success":
                return
        raise ConnectionError("the server ended the connection before the workflow was done")

    def inputs(self, kind: str) -> list[str]:
        """Names of the inputs of a class of nodes; none if the server does not know the class."""
        try:
            answer = json.loads(self.request("/object_info/" + urllib.parse.quote(kind, safe="")))
        except urllib.error.HTTPError:
            return []
        found = answer.get(kind, {}).get("input", {})
        return [name for group in ("required", "optional") for name in found.get(group, {})]

    def made(self, prompt: str) -> list[tuple[str, dict[str, str]]]:
        """Every file that the nodes of a finished prompt name in their outputs, after the id of its node."""
        for _ in range(50):  # it is told to be done a moment before its history is kept
            history = json.loads(self.request(f"/history/{prompt}")).get(prompt)
            if history:
                break
            time.sleep(0.1)
        found: list[tuple[str, dict[str, str]]] = []
        for node, output in (history or {}).get("outputs", {}).items():
            for value in output.values():
                for entry in value if isinstance(value, list) else []:
                    if isinstance(entry, dict) and entry.get("filename") and all(entry != each for _, each in found):
                        found.append((node, entry))
        return found

    def files(self, prompt: str) -> list[dict[str, str]]:
        """:meth:`made` without the nodes."""
        return [entry for _, entry in self.made(prompt)]

    def download(self, entry: dict[str, str], folder: Path, name: str = "") -> Path:
        """Download one of :meth:`files` to its subfolder of a folder, under its own or another name.

        It appears when it is complete, and never outside the folder, whatever the server calls it.
        """
        keys = {key: entry.get(key, "") for key in ("filename", "subfolder", "type")}
        target = folder.joinpath(
            *_plain_parts(keys["subfolder"]), (_plain_parts(name or keys["filename"]) or ["file"])[-1]
        )
        data = self.request("/view?" + urllib.parse.urlencode(keys))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{uuid.uuid4().hex}.part")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def listen(self) -> Iterator[dict[str, Any]]:
        """Connect to the websocket; the messages to this client, for as long as they are asked for."""
        connection = WebSocket(f"{self.url}/ws?clientId={self.client}")  # now, before anything is queued
        return (json.loads(text) for text in connection)


class WebSocket:
    """The receiving half of RFC 6455, which is all that following a run takes: texts, pings, and the end."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        connection = socket.create_connection((parts.hostname, port), timeout=60)
        if secure:
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        head += f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        connection.sendall(head.encode())
        connection.settimeout(None)  # a long bake may say nothing for a while
        self._socket, self._file = connection, connection.makefile("rb")
        status = self._file.readline().decode(errors="replace").strip()
        if " 101 " not in status:
            raise ConnectionError(f"no websocket at {url}: {status}")
        while self._file.readline().strip():
            pass

    def __iter__(self) -> Iterator[str]:
        parts = b""
        try:
            while True:
                first, second = self._read(2)
                opcode, length = first & 15, second & 127
                if length > 125:
                    length = struct.unpack(*((">H", self._read(2)) if length == 126 else (">Q", self._read(8))))[0]
                data = self._read(length)
                if opcode == 8:
                    return
                if opcode == 9:
                    self._send(10, data)
                elif opcode == 1 or (opcode == 0 and parts):
                    parts += data
                    if first & 128:
                        yield parts.decode()
                        parts = b""
        finally:
            self._socket.close()

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError("the server closed the connection")
        return data

    def _send(self, opcode: int, data: bytes) -> None:
        mask = os.urandom(4)
        body = bytes(byte ^ mask[number % 4] for number, byte in enumerate(data[:125]))
        self._socket.sendall(bytes((128 | opcode, 128 | len(body))) + mask + body)


def _refusal(answer: dict[str, Any], workflow: dict[str, Any]) -> str:
    error = answer.get("error")
    lines = [error.get("message", "") if isinstance(error, dict) else str(error or "parts of it cannot run")]
    for node, found in (answer.get("node_errors") or {}).items():
        kind = workflow.get(node, {}).get("class_type", "")
        lines += [f"  node {node} {kind}: {each['message']}: {each['details']}" for each in found["errors"]]
    return "refused: " + "\n".join(lines)


def _plain_parts(path: str) -> list[str]:
    """The parts of a path from elsewhere, each of which is a plain name on every system."""
    parts = (re.sub(r'[<>:"|?*\x00-\x1f]', "_", part).strip(". ") for part in re.split(r"[\\/]+", path))
    return [f"_{part}" if _DEVICE.match(part) else part for part in parts if part]


_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\.|$)", re.IGNORECASE)
"""Names that Windows takes for devices, with any suffix."""


def _local_name(node: str, kind: str, entry: dict[str, str]) -> str:
    """What to call a file here: ComfyUI makes up names for what is only shown."""
    if entry.get("type") == "output":
        return entry["filename"]
    maker = re.sub(r"[\\/:]", "-", f"{node}_{kind}")
    return f"{maker}_{entry['filename'].removeprefix('ComfyUI_temp_')}"


class _Progress:
    """What runs: on one line of a terminal; elsewhere, a line for each node, and for each quarter of its work."""

    def __init__(self, workflow: dict[str, Any]) -> None:
        self._workflow, self._quarters, self._width = workflow, {}, 0

    def show(self, node: str, share: float) -> None:
        text = f"{node} {_kind(self._workflow, node)}: {share:.0%}"
        if sys.stdout.isatty():
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r{text:<{self._width}}", end="", flush=True)
            self._width = len(text)
        elif int(4 * share) > self._quarters.get(node, -1):
            self._quarters[node] = int(4 * share)
            print(text, flush=True)

    def end(self) -> None:
        if self._width:
            print()
            self._width = 0


def _kind(workflow: dict[str, Any], node: str) -> str:
    return workflow.get(node, {}).get("class_type", "")


def _read(path: Path) -> dict[str, Any]:
    """A workflow in API format."""
    try:
        workflow = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}, expected a workflow in API format") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is no JSON ({error}), expected a workflow in API format") from None
    nodes = list(workflow.values()) if isinstance(workflow, dict) else []
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        raise UsageError(f"{path}: is not in API format; in ComfyUI: Workflow, Export (API)")
    return workflow


def _set(workflow: dict[str, Any], text: str, comfy: Comfy) -> None:
    """Apply ``NODE.INPUT=VALUE``; the value is JSON, or text where it is not."""
    name, equals, value = text.partition("=")
    node, dot, key = name.partition(".")
    if not equals or not dot or node not in workflow:
        nodes = ", ".join(f"{each} {_kind(workflow, each)}" for each in workflow)
        raise UsageError(f"--set: is {text!r}, expected NODE.INPUT=VALUE with a node of {nodes}")
    inputs = workflow[node].setdefault("inputs", {})
    if key not in inputs:  # an optional one may be left out of a workflow
        known = comfy.inputs(_kind(workflow, node))
        if key.partition(".")[0] not in known:  # inputs that grow are called NAME.0, NAME.1
            names = list(dict.fromkeys([*inputs, *known]))
            near = "".join(f"did you mean {name!r}? " for name in difflib.get_close_matches(key, names, 1))
            has = f"it has {', '.join(names) or 'none'}"
            raise UsageError(f"--set: node {node} {_kind(workflow, node)} has no input {key!r}; {near}{has}")
    try:
        inputs[key] = json.loads(value)
    except ValueError:
        inputs[key] = value


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", type=Path, help="a workflow in API format")
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="change an input")
    parser.add_argument("--upload", action="append", default=[], type=Path, metavar="FILE", help="to input/3d first")
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="folder for the files")
    options = parser.parse_args(arguments)
    comfy, prompt = Comfy(options.server), ""
    try:
        workflow = _read(options.workflow)
        for path in options.upload:
            if not path.is_file():
                raise UsageError(f"--upload: no file {path}")
        if not options.server.startswith(("http://", "https://")):
            raise UsageError(f"--server: is {options.server!r}, expected an address such as http://127.0.0.1:8188")
        for change in options.set:
            _set(workflow, change, comfy)
        for path in options.upload:
            print("uploaded", comfy.upload(path))
        messages = comfy.listen()
        prompt = comfy.submit(workflow)
        progress = _Progress(workflow)
        try:
            for node, share in comfy.follow(prompt, messages):
                progress.show(node, share)
        finally:
            progress.end()
        for node, entry in comfy.made(prompt):
            kind = _kind(workflow, node)
            saved = comfy.download(entry, options.output, _local_name(node, kind, entry))
            print(f"saved {saved} (node {node} {kind})")
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except WorkflowError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if prompt:
            comfy.interrupt(prompt)
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"{options.server}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
