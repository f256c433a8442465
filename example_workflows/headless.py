#!/usr/bin/env python3
"""Run an API-format workflow on ComfyUI servers and download what it makes. Standard library only.

    python headless.py api/01_rasterize_and_inspect.json
    python headless.py api/01_rasterize_and_inspect.json --set 3.width=1024 --set 2.mesh_file=3d/chair.glb -o results
    python headless.py workflow.json --upload chair.glb --set 2.mesh_file=3d/chair.glb --server http://192.168.1.5:8188

Progress comes over the server's websocket. Ctrl-C interrupts the run on the server, too. Mesh files named with
--upload go to its folder input/3d. Every file that a node saved or shows is downloaded, into the subfolder that it has
on the server; pictures that a node only shows are called after that node.

With mesh files or folders of them, the workflow runs once for each:

    python headless.py workflow.json meshes -o out --server http://one:8188 --server http://two:8188

Each mesh goes to the workflow's Load Mesh (or to the input that --into names), on the next server that is free. Its
files are out/NAME/, called after the mesh, with done.json: that folder appears when it is complete. The same command
again does what is not done yet. A mesh that fails is named, and nothing else stops; a server that dies has its mesh
done by another. Ctrl-C once finishes what runs, twice stops at once.

Exit status: 0 success; 1 the workflow was refused or failed, for one mesh or more (the reason is printed); 2 wrong use,
or no server (one line says which); 130 interrupted.
"""

from __future__ import annotations

import argparse
import base64
import copy
import difflib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

MESHES = (".glb", ".gltf", ".obj", ".stl", ".ply", ".off")
"""What is taken of folders."""

BLAMES = 2
"""So many servers may a mesh take down before it is not tried again."""

LOSSES = 3
"""So often may the way to a server fail for the files of a mesh, while servers answer otherwise."""


class WorkflowError(Exception):
    """The server refused the workflow, or a node failed; the text says why."""

    def __init__(self, text: str, nodes: Sequence[str] = ()) -> None:
        """``nodes``: the ids of those that are refused."""
        super().__init__(text)
        self.nodes = list(nodes)


class UsageError(Exception):
    """What was asked for cannot be meant; the text says why."""


class NoServerError(ConnectionError):
    """No server answers there, or no longer; the text says why."""


class Comfy:
    """A ComfyUI server, as one client."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.client = uuid.uuid4().hex

    def request(
        self,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        kind: str = "application/json",
        seconds: float = 60,
        size: int | None = None,
    ) -> bytes:
        """Body of the answer to a GET, or to a POST if there is a body to send; of one in parts, ``size`` is needed.

        Raises:
            urllib.error.HTTPError: the server says no.
            NoServerError: it says nothing, or takes no part, for ``seconds``.
        """
        headers = {"Content-Type": kind} if body else {}
        headers |= {} if size is None else {"Content-Length": str(size)}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code not in _NOBODY_BEHIND:
                raise
            raise NoServerError(f"{error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise NoServerError(str(getattr(error, "reason", "") or error or type(error).__name__)) from error

    def ask(self, path: str, body: bytes | None = None, seconds: float = 60) -> Any:
        """The JSON that :meth:`request` brings."""
        try:
            return json.loads(self.request(path, body, seconds=seconds))
        except ValueError:
            raise NoServerError(f"what answers to {path} is no ComfyUI") from None

    def upload(self, path: Path, subfolder: str = "3d", kind: str = "input") -> str:
        """Put a file into a folder of the server's (``kind``: input or temp); its name below that folder."""
        mark = uuid.uuid4().hex
        fields = {"type": kind, "subfolder": subfolder, "overwrite": "true"}
        lines = [f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        name = re.sub(r'["\\\r\n]', "_", path.name)
        lines.append(f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n')
        ends = "".join(lines).encode(), f"\r\n--{mark}--\r\n".encode()
        size = sum(map(len, ends)) + path.stat().st_size
        body = _parts_of(ends[0], path, ends[1])
        answer = json.loads(self.request("/upload/image", body, f"multipart/form-data; boundary={mark}", size=size))
        return "/".join(filter(None, (answer["subfolder"], answer["name"])))

    def submit(self, workflow: dict[str, Any], watched: bool = True) -> str:
        """Queue a workflow; its prompt id.

        Args:
            workflow: in API format.
            watched: whether to send messages about it to :meth:`listen`. Nodes make pictures for whoever watches.

        Raises:
            WorkflowError: the server refused it, or parts of it.
        """
        body = json.dumps({"prompt": workflow, **({"client_id": self.client} if watched else {})}).encode()
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
            raise WorkflowError(_refusal(answer, workflow), list(answer.get("node_errors") or ()))
        return answer["prompt_id"]

    def interrupt(self, prompt: str, seconds: float = 60) -> None:
        """Stop a prompt, whether it waits or runs; others go on."""
        self.request("/queue", json.dumps({"delete": [prompt]}).encode(), seconds=seconds)
        self.request("/interrupt", json.dumps({"prompt_id": prompt}).encode(), seconds=seconds)

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
                raise WorkflowError(_failure(data))
            elif kind == "execution_interrupted":
                raise WorkflowError("interrupted")
            elif kind == "execution_success":
                return
        raise ConnectionError("the server ended the connection before the workflow was done")

    def wait(self, prompt: str, look: Callable[[bool], None]) -> None:
        """Ask until a prompt is done, without messages, which somebody between here and the server may cut off.

        Args:
            prompt: its id.
            look: called again and again with whether it runs; what it raises ends the wait.

        Raises:
            WorkflowError: a node failed, or the run was interrupted.
            NoServerError: the server is gone, or was started anew and does not know of the prompt.
        """
        while True:
            state = self._state(prompt)  # asked for first: what leaves the queue is in the history already
            history = self.ask(f"/history/{prompt}").get(prompt)
            if history:
                return _check_status(history.get("status") or {})
            if not state:
                raise NoServerError("the server was started anew, or its queue was cleared")
            look(state == "queue_running")
            time.sleep(_POLL)

    def _state(self, prompt: str) -> str:
        queue = self.ask("/queue")
        kinds = ("queue_running", "queue_pending")
        return next((kind for kind in kinds if any(prompt in entry[:2] for entry in queue.get(kind, ()))), "")

    def definition(self, kind: str) -> dict[str, Any] | None:
        """What the server says of a class of nodes; None if it does not know it."""
        try:
            return self.ask("/object_info/" + urllib.parse.quote(kind, safe="")).get(kind)
        except urllib.error.HTTPError:
            return None

    def inputs(self, kind: str) -> list[str]:
        """Names of the inputs of a class of nodes; none if the server does not know the class."""
        found = (self.definition(kind) or {}).get("input", {})
        return [name for group in ("required", "optional") for name in found.get(group, {})]

    def made(self, prompt: str) -> list[tuple[str, dict[str, str]]]:
        """Every file that the nodes of a finished prompt name in their outputs, after the id of its node."""
        for _ in range(50):  # it is told to be done a moment before its history is kept
            history = self.ask(f"/history/{prompt}").get(prompt)
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
        return self.save(entry, target)

    def save(self, entry: dict[str, str], target: Path) -> Path:
        """Download one of :meth:`files` under a name of one's own; it appears when it is complete."""
        keys = {key: entry.get(key, "") for key in ("filename", "subfolder", "type")}
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


def _parts_of(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    """A file between two texts. Sent as a whole, it would have to get through within one wait, however large it is."""
    yield head
    with path.open("rb") as file:
        while part := file.read(1 << 16):
            yield part
    yield tail


_NOBODY_BEHIND = (502, 503, 504)
"""How a proxy says that the server behind it does not answer."""

_POLL = 0.25  # seconds between two questions


def _failure(data: dict[str, Any]) -> str:
    return f"node {data['node_id']} {data['node_type']}: {data['exception_message'].strip()}"


def _check_status(status: dict[str, Any]) -> None:
    if status.get("status_str") != "error":
        return
    for kind, data in status.get("messages") or ():
        if kind == "execution_error":
            raise WorkflowError(_failure(data))
        if kind == "execution_interrupted":
            raise WorkflowError("interrupted on the server")
    raise WorkflowError("failed, and the server does not say why")


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


def _maker(node: str, kind: str) -> str:
    return re.sub(r"[\\/:]", "-", f"{node}_{kind}")


def _local_name(node: str, kind: str, entry: dict[str, str]) -> str:
    """What to call a file here: ComfyUI makes up names for what is only shown."""
    if entry.get("type") == "output":
        return entry["filename"]
    return f"{_maker(node, kind)}_{entry['filename'].removeprefix('ComfyUI_temp_')}"


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


def _find_input(workflow: dict[str, Any], option: str, form: str, text: str, comfy: Comfy) -> tuple[str, str]:
    """The node and the input that an option's text names, which must be there; ``form`` is NODE.INPUT and more."""
    name, equals, _ = text.partition("=")
    node, dot, key = name.partition(".")
    if not dot or node not in workflow or bool(equals) != ("=" in form):
        nodes = ", ".join(f"{each} {_kind(workflow, each)}" for each in workflow)
        raise UsageError(f"{option}: is {text!r}, expected {form} with a node of {nodes}")
    inputs = workflow[node].setdefault("inputs", {})
    if key not in inputs:  # an optional one may be left out of a workflow
        known = comfy.inputs(_kind(workflow, node))
        if key.partition(".")[0] not in known:  # inputs that grow are called NAME.0, NAME.1
            names = list(dict.fromkeys([*inputs, *known]))
            near = "".join(f"did you mean {name!r}? " for name in difflib.get_close_matches(key, names, 1))
            has = f"it has {', '.join(names) or 'none'}"
            raise UsageError(f"{option}: node {node} {_kind(workflow, node)} has no input {key!r}; {near}{has}")
    return node, key


def _set(workflow: dict[str, Any], text: str, comfy: Comfy) -> None:
    """Apply ``NODE.INPUT=VALUE``; the value is JSON, or text where it is not."""
    node, key = _find_input(workflow, "--set", "NODE.INPUT=VALUE", text, comfy)
    value = text.partition("=")[2]
    try:
        workflow[node]["inputs"][key] = json.loads(value)
    except ValueError:
        workflow[node]["inputs"][key] = value


@dataclass(frozen=True)
class Job:
    """One mesh of many.

    Attributes:
        id: its name here, and that of its folder.
        mesh: its file.
        beside: the files that it names, by their names in its folder.
        key: tells it from the same mesh changed, or with another workflow.
    """

    id: str
    mesh: Path
    beside: dict[str, Path]
    key: str


def _find_jobs(given: Sequence[Path], recipe: str, output: Path) -> list[Job]:
    """A job for every file, and for every mesh file in a folder or below.

    Ids are names without suffixes; where these are in folders, the folders' names go before; where an id is taken, the
    suffix is added, or a number. ``output`` is the folder of results, which are no meshes to begin with.
    """
    taken: set[str] = set()
    jobs = []
    for start in given:
        if not start.exists():
            raise UsageError(f"{start}: is not there, expected a mesh file or a folder of them")
        if start.resolve() == output.resolve():
            raise UsageError(f"--output: is {output}, where the meshes are; expected another folder for the results")
        paths = list(_meshes_in(start, output)) if start.is_dir() else [start]
        if not paths:
            raise UsageError(f"{start}: has no mesh file in it or below ({' '.join(MESHES)})")
        for path in paths:
            inside = path.relative_to(start) if start.is_dir() else Path(path.name)
            beside = _beside(path)
            states = [(name, *_stamp(each)) for name, each in [(inside.as_posix(), path), *sorted(beside.items())]]
            jobs.append(Job(_free_id(inside, taken), path, beside, _sha256(recipe, json.dumps(states))))
    return jobs


def _meshes_in(folder: Path, output: Path) -> Iterator[Path]:
    """Mesh files, by name, but for hidden ones and for results of batches: the same command again would do those."""
    results = {os.path.abspath(output), *(os.path.abspath(each.parent) for each in folder.rglob(".batch"))}
    results.discard(os.path.abspath(folder))
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        above = map(str, Path(os.path.abspath(path)).parents)
        if path.suffix.lower() in MESHES and not hidden and path.is_file() and results.isdisjoint(above):
            yield path


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _free_id(inside: Path, taken: set[str]) -> str:
    stem = "_".join(_plain_parts("/".join(inside.with_suffix("").parts)))
    stem = stem.encode("utf-8", "replace")[:_LONGEST].decode(errors="ignore").strip(". ") or "mesh"
    names = (stem, f"{stem}_{inside.suffix[1:]}", *(f"{stem}_{number}" for number in range(2, len(taken) + 3)))
    name = next(name for name in names if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


_LONGEST = 150  # bytes of an id, which names of files begin with


def _sha256(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()


def _beside(path: Path) -> dict[str, Path]:
    """The files that a GLTF or OBJ names and that lie in its folder or below; all else is in the file itself."""
    names: list[str] = []
    with suppress(OSError, ValueError, AttributeError, TypeError):  # whoever reads the mesh says what is wrong with it
        if path.suffix.lower() == ".gltf":
            document = json.loads(path.read_text(encoding="utf-8-sig"))
            entries = [*document.get("buffers", ()), *document.get("images", ())]
            uris = [entry["uri"] for entry in entries if "uri" in entry]
            names = [urllib.parse.unquote(uri) for uri in uris if not uri.startswith("data:")]
        elif path.suffix.lower() == ".obj":
            materials = _words(path, ("mtllib",))
            found = _in_folder(path.parent, materials)
            pictures = (name for file in found.values() for name in _words(file, ("map_", "norm", "bump", "disp")))
            names = [*materials, *pictures]
    return _in_folder(path.parent, names)


def _words(path: Path, starts: tuple[str, ...]) -> list[str]:
    """What follows some words in an OBJ or MTL file: the whole rest of the line, and what follows its options."""
    names = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            word, _, rest = line.strip().partition(" ")
            if word.lower().startswith(starts) and rest.strip():
                names += [rest.strip(), rest.split()[-1]]
    return names


def _in_folder(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Those names that are files of a folder or below it; of a path of elsewhere, the file beside is meant."""
    found = {}
    for name in names:
        plain = name.replace("\\", "/")
        for candidate in (plain, plain.rpartition("/")[2]):
            parts = candidate.split("/")
            if ".." not in parts and parts[0] and ":" not in candidate and (folder / candidate).is_file():
                found[candidate] = folder / candidate
                break
    return found


class Results:
    """The folder of the results. ``OUT/<id>/`` appears by one rename; ``OUT/.batch/`` is as that of ``rasterizer
    batch``, whose ``status`` and ``report`` read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ledgers, work = folder / ".batch" / "ledger", folder / ".batch" / "work"
        self._work = work / uuid.uuid4().hex
        self.failed: set[str] = set()
        self.blames: Counter[str] = Counter()
        for path in sorted(self._ledgers.glob("*.jsonl")):
            self._read(path)
        for place in (self._ledgers, self._work):
            place.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            for each in work.iterdir():  # of a run that was killed
                if time.time() - each.stat().st_mtime > 24 * 3600:
                    shutil.rmtree(each, ignore_errors=True)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S-%f000")
        self._ledger = self._ledgers / f"{stamp}-{uuid.uuid4().hex[:8]}.jsonl"

    def _read(self, path: Path) -> None:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, AttributeError):  # the last one may be half
                event = json.loads(line)
                what, key = event.get("what"), event.get("key", "")
                if what == "failed":
                    self.failed.add(key)
                elif what == "blamed":
                    self.blames[key] += 1
                elif what in ("done", "retried"):
                    self.failed.discard(key)
                    self.blames.pop(key, None)

    def note(self, what: str, **values: Any) -> None:
        """Add a line to the ledger; without room for it, the results may still find some."""
        line = json.dumps({"time": round(time.time(), 3), "what": what, **values}, ensure_ascii=False) + "\n"
        with suppress(OSError), self._ledger.open("ab") as file:
            file.write(line.encode("utf-8", "replace"))

    def is_done(self, job: Job) -> bool:
        """Whether all that there is to do for a job lies in its folder."""
        return (self._done(job.id) or {}).get("key") == job.key

    def _done(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / name / "done.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and "key" in found else None

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A folder to write in."""
        folder = self._work / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def seal(self, folder: Path, job: Job, done: dict[str, Any]) -> None:
        """Write ``done.json`` into a folder, and wait until all of it is on the disk."""
        files = {}
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            files[path.relative_to(folder).as_posix()] = {"sha256": digest, "bytes": path.stat().st_size}
            _flush(path)
        text = json.dumps({"id": job.id, "key": job.key, **done, "files": files}, indent=1, ensure_ascii=False)
        (folder / "done.json").write_text(text, encoding="utf-8")
        _flush(folder / "done.json")

    def publish(self, folder: Path, job: Job) -> None:
        """Give a sealed folder its name; what an earlier run has left there goes."""
        target = self.folder / job.id
        if os.path.lexists(target):
            if self._done(job.id) is None:
                raise FileExistsError(f"{target} is there and no batch has written it; move it away")
            _rename(target, self._work / uuid.uuid4().hex)
        try:
            _rename(folder, target)
        except OSError:
            if (self._done(job.id) or {}).get("key") != job.key:  # else another command was faster
                raise

    def close(self) -> None:
        """Remove what this run has not published."""
        shutil.rmtree(self._work, ignore_errors=True)


def _rename(source: Path, target: Path) -> None:
    """Windows' search for viruses may be in the way for a moment."""
    for left in reversed(range(20)):
        try:
            return os.rename(source, target)
        except PermissionError:
            if not left:
                raise
            time.sleep(0.05)
    return None


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


_AWAY = 180.0  # seconds that a server may be gone for before it is given up


class _StopError(Exception):
    """Somebody has asked to stop now."""


class _UnfitError(Exception):
    """A server cannot do this work; the text says why."""


@dataclass
class _Attempt:
    """A job at a server.

    Attributes:
        prompt: its id, once the server has it.
        runs: whether it does; None until somebody has seen whether.
        since: when it was first seen to.
        over: whether it has ended well.
    """

    job: Job
    place: str
    comfy: Comfy
    prompt: str = ""
    runs: bool | None = None
    since: float = 0.0
    over: bool = False


@dataclass
class Batch:
    """One run over many meshes: a thread for each server, which all take from one queue.

    Attributes:
        jobs: what is to be done.
        workflow: what to run, in API format.
        into: the node and the input that the mesh goes to.
        uploads: files that every server is given first.
        results: where to.
        about: what ``done.json`` says of every job.
        timeout: seconds that a job may run; None is any time.
        show: told what happens.
        stop: how often somebody has asked to stop: once is to finish what runs, twice is now.
    """

    jobs: Sequence[Job]
    workflow: dict[str, Any]
    into: tuple[str, str]
    uploads: Sequence[Path]
    results: Results
    about: dict[str, Any]
    timeout: float | None
    show: BatchProgress
    stop: int = 0
    done: int = 0
    failed: int = 0
    running: dict[str, _Attempt] = field(default_factory=dict)
    _waiting: deque[Job] = field(default_factory=deque)
    _losses: Counter[str] = field(default_factory=Counter)
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, servers: dict[str, Comfy]) -> None:
        """Run until no job is left, no server is, or somebody has asked to stop."""
        # Large ones first: begun last, one would keep everybody waiting.
        self._waiting = deque(sorted(self.jobs, key=lambda job: -_stamp(job.mesh)[0]))
        threads = [threading.Thread(target=self._serve, args=each, daemon=True) for each in servers.items()]
        for thread in threads:
            thread.start()
        while self.left and self.stop < 2 and any(thread.is_alive() for thread in threads):
            with self._changed:
                self._changed.wait(0.2)
            self.show.state(self)
        with self._changed:
            self._closed = True  # what still comes of a thread comes too late
        for attempt in [each for each in self.running.values() if each.prompt]:  # without one, it would be anybody's
            with suppress(OSError):
                attempt.comfy.interrupt(attempt.prompt, seconds=5)
        self.show.state(self, last=True)

    @property
    def left(self) -> int:
        """How many jobs are neither done nor failed."""
        return len(self.jobs) - self.done - self.failed

    def _over(self) -> bool:
        return self.stop > 0 or not self.left

    def _serve(self, place: str, comfy: Comfy) -> None:
        try:
            while not self._over():
                self._meet(comfy)
                while (attempt := self._next(place, comfy)) is not None and self._try(attempt):
                    pass
        except _UnfitError as error:
            self.show.say(f"{place}: is not used any more: {error}")

    def _meet(self, comfy: Comfy) -> None:
        """Wait until a server answers, and see whether it can do this at all."""
        deadline = time.monotonic() + _AWAY
        while not self._over():
            try:
                kinds = sorted({node["class_type"] for node in self.workflow.values()})
                lacking = [kind for kind in kinds if comfy.definition(kind) is None]
                if lacking:
                    raise _UnfitError(f"it has no node {', '.join(lacking)}")
                for path in self.uploads:
                    comfy.upload(path)
                return
            except urllib.error.HTTPError as error:
                raise _UnfitError(_said(error)) from None
            except OSError as error:
                if time.monotonic() > deadline:
                    raise _UnfitError(str(error)) from None
                time.sleep(1)

    def _next(self, place: str, comfy: Comfy) -> _Attempt | None:
        """The next job; None if there is none, nor will be one."""
        with self._changed:
            while not self._over():
                if self._waiting:
                    attempt = self.running[place] = _Attempt(self._waiting.popleft(), place, comfy)
                    return attempt
                self._changed.wait(0.2)  # one that another server has may come back
        return None

    def _try(self, attempt: _Attempt) -> bool:
        """Do a job; whether the server is still there."""
        start, job = time.monotonic(), attempt.job
        try:
            with self.results.temporary() as folder:
                self._do(attempt, folder)
                seconds = round(time.monotonic() - start, 3)
                finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
                place = {"mesh": str(job.mesh), "seconds": seconds, "finished": finished, "device": attempt.place}
                self.results.seal(folder, job, {**self.about, **place})
                with self._changed:
                    if self._closed:
                        return False
                    self.results.publish(folder, job)
        except _StopError:
            return False
        except NoServerError as error:
            self._bury(attempt, str(error))
            return False
        except WorkflowError as error:
            if error.nodes and self.into[0] not in error.nodes:  # not for its mesh
                self._over_with(attempt, "returned")
                raise _UnfitError(str(error)) from None
            self._over_with(attempt, "failed", error=str(error))
        except Exception as error:  # the disk is full, the server will not take it, or answers what nobody expects
            self._over_with(attempt, "failed", error=_said(error))
        else:
            self._over_with(attempt, "done", seconds=seconds)
        return True

    def _do(self, attempt: _Attempt, folder: Path) -> None:
        """Upload, run, download."""
        job, comfy, (node, name) = attempt.job, attempt.comfy, self.into
        # A folder of its own: nobody else replaces it, and the server does not take an earlier run's results for it.
        place = f"headless/{uuid.uuid4().hex[:12]}"
        for beside, path in job.beside.items():
            comfy.upload(path, "/".join([place, *beside.split("/")[:-1]]), "temp")
        workflow = copy.deepcopy(self.workflow)
        workflow[node].setdefault("inputs", {})[name] = f"{comfy.upload(job.mesh, place, 'temp')} [temp]"
        attempt.prompt = comfy.submit(workflow, watched=False)
        comfy.wait(attempt.prompt, lambda runs: self._look(attempt, runs))
        attempt.over = True
        for to, entry in _names(job.id, comfy.made(attempt.prompt), self.workflow):
            comfy.save(entry, folder / to)

    def _look(self, attempt: _Attempt, runs: bool) -> None:
        if runs and not attempt.runs:
            attempt.since = time.monotonic()
            self.results.note("started", id=attempt.job.id, key=attempt.job.key, place=attempt.place)
        attempt.runs = runs
        if self._closed:
            raise _StopError
        if runs and self.timeout is not None and time.monotonic() - attempt.since > self.timeout:
            attempt.comfy.interrupt(attempt.prompt)
            raise WorkflowError(f"it took longer than --timeout {self.timeout:g} s and was ended")

    def _bury(self, attempt: _Attempt, reason: str) -> None:
        """The server is gone. The job is to blame if it ran, or may have run before anybody saw it."""
        job, on_its_way = attempt.job, attempt.over or not attempt.prompt
        blamed = attempt.runs is not False and not on_its_way
        if blamed:
            self.results.blames[job.key] += 1
            self.results.note("blamed", id=job.id, key=job.key, place=attempt.place, error=reason)
            if self.results.blames[job.key] >= BLAMES:
                text = f"it has taken down servers twice and is not tried again: {reason}"
                return self._over_with(attempt, "failed", error=text, quarantine=True)
        self._losses[job.id] += on_its_way
        if self._losses[job.id] >= LOSSES:  # servers end a connection, too, that brings more than they want
            what = "results have not come from a server" if attempt.over else "files could not be sent to a server"
            cure = "" if attempt.over else "; they may be larger than its --max-upload-size"
            text = f"its {what}, {LOSSES} times: {reason}{cure}"
            return self._over_with(attempt, "failed", error=text)
        self.show.say(f"{attempt.place}: is gone: {reason}; {job.id} is done elsewhere or again")
        return self._over_with(attempt, "blamed" if blamed else "returned")

    def _over_with(self, attempt: _Attempt, what: str, **values: Any) -> None:
        with self._changed:
            if self._closed:
                return
            del self.running[attempt.place]
            if what in ("done", "failed"):
                self.done += what == "done"
                self.failed += what == "failed"
                self.results.note(what, id=attempt.job.id, key=attempt.job.key, place=attempt.place, **values)
                self.show.job(what, attempt.job, attempt.place, values)
            else:  # one that is blamed goes last, where it keeps no other from being done
                (self._waiting.append if what == "blamed" else self._waiting.appendleft)(attempt.job)
            self._changed.notify_all()


def _said(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        cure = "; it is larger than the server's --max-upload-size" if error.code == 413 else ""
        return f"the server says {error.code} {error.reason}{cure}"
    return f"{type(error).__name__}: {error}"


_NAMING_OTHERS = (".obj", ".mtl", ".gltf", ".bin")


def _names(
    called: str, made: Sequence[tuple[str, dict[str, str]]], workflow: dict[str, Any]
) -> Iterator[tuple[str, dict[str, str]]]:
    """What to call every file that a job has made: after its mesh, since a server's own numbers differ each time.

    The only file of a suffix is NAME.suffix; others have the node, and a number if the node has made several. Files
    that name each other keep their names, in a folder of the node.
    """
    suffixes = Counter(_suffix(entry) for _, entry in made if entry.get("type") == "output")
    by_node: dict[str, list[dict[str, str]]] = {}
    for node, entry in made:
        by_node.setdefault(node, []).append(entry)
    for node, entries in by_node.items():
        whose = "_".join(_plain_parts(_maker(node, _kind(workflow, node))))
        together = any(_suffix(entry) in _NAMING_OTHERS for entry in entries)
        for number, entry in enumerate(entries, 1):
            count = f"_{number}" if len(entries) > 1 else ""
            if together:
                folders = _plain_parts(entry.get("subfolder", ""))
                yield "/".join([whose, *folders, (_plain_parts(entry["filename"]) or ["file"])[-1]]), entry
            elif entry.get("type") == "output" and suffixes[_suffix(entry)] == 1:
                yield f"{called}{_suffix(entry)}", entry
            else:
                yield f"{called}_{whose}{count}{_suffix(entry)}", entry


def _suffix(entry: dict[str, str]) -> str:
    found = re.search(r"\.[A-Za-z0-9]{1,10}$", entry["filename"])
    return found[0].lower() if found else ""


class BatchProgress:
    """How far a batch is, in the words of ``rasterizer batch``: a line for people, or lines of JSON for programs."""

    def __init__(self, as_json: bool) -> None:
        self._json, self._stream = as_json, sys.stdout if as_json else sys.stderr
        self._over = not as_json and self._stream.isatty()
        self._every = 0.5 if self._over or as_json else 15.0
        self._start = self._shown = time.monotonic()
        self._done: Counter[str] = Counter()
        self._last: tuple[int, ...] = ()
        self._width = 0
        self._lock = threading.Lock()

    def job(self, what: str, job: Job, place: str, values: dict[str, Any]) -> None:
        """A job is done or has failed."""
        self._done[place] += what == "done"
        if self._json:
            said = {key: value for key, value in values.items() if key in ("error", "seconds")}
            self._write(json.dumps({"event": what, "id": job.id, "place": place, **said}))
        elif what == "failed":
            self._write(f"{job.id}: failed: {values['error']}")

    def say(self, text: str) -> None:
        """Something that is about no job."""
        self._write(json.dumps({"event": "notice", "text": text}) if self._json else text)

    def state(self, batch: Batch, last: bool = False) -> None:
        """The state, unless it was shown a moment ago."""
        now, known = time.monotonic(), (batch.done, batch.failed, batch.left)
        if not last and (now - self._shown < self._every or (self._json and known == self._last)):
            return
        self._shown, self._last = now, known
        seconds = now - self._start
        speed = (batch.done + batch.failed) / max(seconds, 1e-6)
        left = batch.left / speed if speed else None
        counts = {"done": batch.done, "failed": batch.failed, "left": batch.left}
        if self._json:
            measured = {
                "seconds": round(seconds, 1),
                "meshes_per_second": round(speed, 3),
                "eta_seconds": None if left is None else round(left, 1),
                "done_by_place": dict(self._done),
                "stopping": batch.stop > 0,
            }
            self._write(json.dumps({"event": "progress", **counts, **measured}))
            return
        text = f"{', '.join(f'{count} {what}' for what, count in counts.items())}, {speed:.2f} meshes/s"
        text += f", {_duration(left)} to go" if batch.left and left is not None else ""
        if batch.stop == 1 and batch.running:
            text += f" | stopping when what runs ({len(batch.running)}) is done; Ctrl-C again stops now"
        text += f" | {', '.join(f'{place}: {count}' for place, count in sorted(self._done.items()))}" * bool(self._done)
        self._write(text, over=self._over and not last)

    def _write(self, text: str, over: bool = False) -> None:
        with self._lock:
            if self._over:
                if over:  # a line that wraps cannot be written over
                    text = text[: max(1, shutil.get_terminal_size().columns - 1)]
                filled, self._width = text.ljust(self._width), len(text) if over else 0
                self._stream.write(f"\r{filled}" if over else f"\r{filled}\n")
            else:
                self._stream.write(f"{text}\n")
            self._stream.flush()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _target(workflow: dict[str, Any], text: str | None, comfy: Comfy) -> tuple[str, str]:
    """The node and input that a mesh goes to. Load Mesh is taken off its folder, which it would load from instead."""
    if text is not None:
        node, name = _find_input(workflow, "--into", "NODE.INPUT", text, comfy)
    else:
        found = [node for node in workflow if _kind(workflow, node) == _LOAD_MESH]
        if len(found) != 1:
            which = f"nodes {', '.join(found)} are" if found else "no node is"
            raise UsageError(f"--into: is needed, NODE.INPUT for the mesh: {which} {_LOAD_MESH}, expected one")
        node, name = found[0], "mesh_file"
    if (_kind(workflow, node), name) == (_LOAD_MESH, "mesh_file"):
        inputs = workflow[node].setdefault("inputs", {})
        if "model_3d" in inputs:
            raise UsageError(f"node {node}: model_3d is connected, and is loaded instead of a file: take it off")
        for each in ("folder", "index"):
            inputs.pop(each, None)
    return node, name


_LOAD_MESH = "TorchRasterLoadMesh"


def _run_many(options: argparse.Namespace, workflow: dict[str, Any], servers: dict[str, Comfy]) -> int:
    """The workflow for every mesh."""
    first = _first_that_answers(servers)
    for change in options.set:
        _set(workflow, change, first)
    into = _target(workflow, options.into, first)
    recipe = json.dumps([workflow, into], sort_keys=True)
    jobs = _find_jobs(options.meshes, recipe, options.output)
    results, again = Results(options.output), options.force or options.retry is not None
    done = [job for job in jobs if not options.force and results.is_done(job)]
    others = [job for job in jobs if options.force or not results.is_done(job)]
    set_aside = [job for job in others if job.key in results.failed or results.blames[job.key] >= BLAMES]
    todo = others if again else [job for job in others if job not in set_aside]
    results.note("run", manifest=" ".join(map(str, options.meshes)), recipe=str(options.workflow), force=options.force)
    for job in jobs:
        results.note("queued", id=job.id, key=job.key)
    for job in todo if again else ():
        results.note("retried", id=job.id, key=job.key)
        results.blames.pop(job.key, None)
    progress = BatchProgress(options.progress == "json")
    about = {"recipe": options.workflow.name, "parameters": {"set": options.set}}
    batch = Batch(todo, workflow, into, options.upload, results, about, options.timeout, progress)

    def asked(number: int, frame: Any) -> None:
        batch.stop += 1

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if todo:
            batch.run(servers)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        results.close()
    results.note("end", done=batch.done, failed=batch.failed, left=batch.left)
    set_aside = [] if again else set_aside
    _say_end(options, batch, len(done), len(set_aside))
    if batch.left:
        return 130 if batch.stop else 2
    return 1 if batch.failed or set_aside else 0


def _first_that_answers(servers: dict[str, Comfy]) -> Comfy:
    why = []
    for comfy in servers.values():
        try:
            comfy.ask("/system_stats", seconds=10)
        except OSError as error:
            why.append(f"{comfy.url}: {error}")
        else:
            return comfy
    raise NoServerError("; ".join(dict.fromkeys(why)))


def _say_end(options: argparse.Namespace, batch: Batch, done_before: int, failed_before: int) -> None:
    if options.progress == "json":
        counts = {"done": batch.done, "failed": batch.failed, "left": batch.left}
        before = {"done_before": done_before, "failed_before": failed_before}
        print(json.dumps({"event": "end", **counts, **before}), flush=True)
        return
    parts = [f"{batch.done} done", f"{batch.failed} failed"]
    parts += [f"{done_before} were done before"] if done_before else []
    parts += [f"{failed_before} had failed before (--retry failed tries them again)"] if failed_before else []
    parts += [f"{batch.left} left (the same command goes on with them)"] if batch.left else []
    print(f"{options.output}: {', '.join(parts)}", file=sys.stderr)


def _run_one(options: argparse.Namespace, workflow: dict[str, Any], comfy: Comfy) -> int:
    """The workflow as it is, once."""
    for change in options.set:
        _set(workflow, change, comfy)
    for path in options.upload:
        print("uploaded", comfy.upload(path))
    messages = comfy.listen()
    prompt = comfy.submit(workflow)
    try:
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
    except KeyboardInterrupt:
        comfy.interrupt(prompt)
        raise
    return 0


def _servers(urls: Sequence[str]) -> dict[str, Comfy]:
    """By the names that they are shown under. One that is named twice is given two workflows at a time."""
    found: dict[str, Comfy] = {}
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"--server: is {url!r}, expected an address such as http://127.0.0.1:8188")
        name = urllib.parse.urlsplit(url).netloc
        number = sum(each.partition(" ")[0] == name for each in found) + 1
        found[name if number == 1 else f"{name} ({number})"] = Comfy(url)
    return found


def _check_options(options: argparse.Namespace) -> None:
    for path in options.upload:
        if not path.is_file():
            raise UsageError(f"--upload: no file {path}")
    if options.timeout is not None and not 0 < options.timeout < float("inf"):
        raise UsageError(f"--timeout: is {options.timeout}, expected seconds above 0")
    if options.meshes:
        return
    if len(options.server or ()) > 1:
        raise UsageError("--server: is given more than once, expected mesh files or a folder to share out, too")
    for name in ("into", "timeout", "retry", "force", "progress"):
        if getattr(options, name):
            raise UsageError(f"--{name}: is for many meshes; expected mesh files or a folder after the workflow, too")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", type=Path, help="a workflow in API format")
    parser.add_argument("meshes", nargs="*", type=Path, help="mesh files, or folders of them: once for each")
    parser.add_argument("--server", action="append", metavar="URL", help="repeatable (default http://127.0.0.1:8188)")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="change an input")
    parser.add_argument("--upload", action="append", default=[], type=Path, metavar="FILE", help="to input/3d first")
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="folder for the files")
    many = parser.add_argument_group("many meshes")
    many.add_argument("--into", metavar="NODE.INPUT", help="where the mesh goes (default: the one Load Mesh)")
    many.add_argument("--timeout", type=float, metavar="S", help="seconds that a mesh may take (default: any time)")
    many.add_argument("--retry", choices=("failed",), help="try again what has failed before")
    many.add_argument("--force", action="store_true", help="do everything again, also what is done")
    many.add_argument("--progress", choices=("line", "json"), help="how to tell (default line)")
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = _options(arguments)
    try:
        _check_options(options)
        workflow, servers = _read(options.workflow), _servers(options.server or ["http://127.0.0.1:8188"])
        if options.meshes:
            return _run_many(options, workflow, servers)
        return _run_one(options, workflow, *servers.values())
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except WorkflowError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        urls = "" if options.meshes else f"{(options.server or ['http://127.0.0.1:8188'])[0]}: "
        print(f"{urls}{error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
