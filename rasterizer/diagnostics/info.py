"""What this installation runs on: the one source of every report."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..backends.interface import BackendStatus
from ..backends.registry import backend_statuses
from ..dropin import DropInStatus, statuses
from ..runtime.devices import default_device, device_name, free_memory, platform_name, working_device
from ..runtime.policy import device_policy
from ..runtime.wishes import ENVIRONMENT, environment
from ..version import __version__


@dataclass(frozen=True)
class Fact:
    """A row of the report.

    Attributes:
        name: what it is about.
        text: what there is to say.
        state: ``good``, ``fair``, ``off``, ``bad``, or empty.
        note: more about the name.
    """

    name: str
    text: str
    state: str = ""
    note: str = ""


@dataclass(frozen=True)
class BackendInfo:
    """Device, versions and backends; ``str()`` gives the report for people, :meth:`as_dict` the one for programs.

    Attributes:
        version: of this package.
        python, torch, system: versions of what it runs on.
        device: PyTorch's name of the device, such as ``cuda:0``.
        device_name: the name people know it by.
        platform: ``cuda``, ``rocm``, ``mps``, ``xpu``, ``directml`` or ``cpu``.
        runtime: CUDA or ROCm version of PyTorch, empty elsewhere.
        free_memory: bytes.
        float64: whether the device has float64 (else compensated float32 gives the same bits).
        int64_zbuffer: whether the z-buffer is one int64 minimum (else two int32 passes give the same bits).
        environment: value of the variable that forces or forbids backends.
        backends: one :class:`~rasterizer.backends.interface.BackendStatus` each.
        dropin: who provides each module that other packs import; empty where the finder is not installed.
    """

    version: str
    python: str
    torch: str
    system: str
    device: str
    device_name: str
    platform: str
    runtime: str
    free_memory: int
    float64: bool
    int64_zbuffer: bool
    environment: str
    backends: tuple[BackendStatus, ...]
    dropin: tuple[DropInStatus, ...]

    @property
    def active(self) -> str:
        """Name of the backend that ``auto`` uses."""
        return next((row.name for row in self.backends if row.active), "none")

    def as_dict(self) -> dict[str, Any]:
        """Plain types only."""
        return {**asdict(self), "active": self.active}

    def versions(self) -> list[str]:
        """The lines about this package and what it runs on."""
        return [f"Torch Rasterizer {self.version}", f"Python {self.python}, PyTorch {self.torch}, {self.system}"]

    def machine(self) -> list[Fact]:
        """The rows about the device."""
        runtime = f" {self.runtime}" if self.runtime else ""
        memory = f"{self.free_memory / 2**30:.1f} GiB free"
        alpha = "float64" if self.float64 else "compensated float32"
        depth = "int64" if self.int64_zbuffer else "int32 in two passes"
        return [
            Fact("Device", f"{self.device} ({self.device_name}), {self.platform}{runtime}, {memory}"),
            Fact("Arithmetic", f"alpha in {alpha}, z-buffer {depth}"),
        ]

    def backend_rows(self) -> list[Fact]:
        """A row for each backend."""
        rows = []
        for row in self.backends:
            text, state = f"off: {row.reason}", "off"
            if row.available:
                text, state = f"available, {row.reason}", "fair"
            if row.active:
                text, state = "in use", "good"
            rows.append(Fact(row.name, text, state, row.note))
        return rows

    def module_rows(self) -> list[Fact]:
        """A row for each module that other packs import."""
        return [Fact(row.name, str(row), _STATES.get(row.provider, "")) for row in self.dropin]

    def __str__(self) -> str:
        lines = [*self.versions(), *(f"{row.name}: {row.text}" for row in self.machine())]
        if self.environment:
            lines.append(f"{ENVIRONMENT}={self.environment}")
        lines += ["Backends:", *(f"  {row.name} ({row.note}): {row.text}" for row in self.backend_rows())]
        if self.dropin:
            lines.append("Modules for other packs:")
            lines += [f"  {row.name}: {row.text}" for row in self.module_rows()]
        return "\n".join(lines)


_STATES = {"ours": "good", "native": "good", "nobody": "off"}
"""By provider of a module."""


def backend_info(device: torch.device | str | None = None) -> BackendInfo:
    """Report on ``device``, or on the best device of this machine."""
    chosen = default_device() if device is None else torch.device(device)
    working = working_device(chosen)
    policy = device_policy(working)
    return BackendInfo(
        version=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        system=f"{platform.system()} {platform.machine()}",
        device=str(working),
        device_name=device_name(working),
        platform=platform_name(chosen),
        runtime=(torch.version.hip or torch.version.cuda or "") if working.type == "cuda" else "",
        free_memory=free_memory(working),
        float64=policy.float64,
        int64_zbuffer=policy.int64_min,
        environment=environment(),
        backends=tuple(backend_statuses(working)),
        dropin=statuses(),
    )
