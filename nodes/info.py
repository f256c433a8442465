"""Backend Info."""

from __future__ import annotations

import time

import comfy.model_management as management
from comfy_api.latest import io, ui

from ..rasterizer import bench, selftest
from ..rasterizer.info import backend_info
from . import compat
from .runtime import Progress


class BackendInfoNode(io.ComfyNode):
    """What the pack runs on, for people and for bug reports."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return compat.schema(
            node_id="TorchRasterBackendInfo",
            display_name="Backend Info",
            category=compat.CATEGORY,
            description="Says which backend and device the rasterizer uses, why not the others, and whether its "
            "results are right on this machine. Paste the text into bug reports.",
            search_aliases=["rasterizer info", "rocm", "self-test", "diagnostics"],
            inputs=[
                io.Boolean.Input(
                    "self_test",
                    default=True,
                    tooltip="Compare small scenes with the plain reference, bit for bit. Takes about a second.",
                ),
                io.Boolean.Input(
                    "benchmark",
                    default=False,
                    tooltip="Measure three scenes with every backend that works here. Takes a few seconds.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="info", tooltip="The whole report."),
                io.String.Output(display_name="backend", tooltip="Name of the backend that 'auto' uses."),
                io.String.Output(display_name="device", tooltip="PyTorch's name of the device."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, self_test: bool, benchmark: bool) -> float:
        """Ask again on every run: free memory and drivers change."""
        return time.time()

    @classmethod
    def execute(cls, self_test: bool, benchmark: bool) -> io.NodeOutput:
        """Report, check, measure."""
        device = management.get_torch_device()
        info = backend_info(device)
        progress = Progress(int(self_test) + int(benchmark) or 1)
        parts = [str(info)]
        if self_test:
            checks = []
            for check in selftest.run(device):
                checks.append(check)
                progress(min(1.0, len(checks) / selftest.CHECKS))
            progress.next_stage()
            failed = [f"  {check.name}: {check.detail}" for check in checks if not check.passed]
            parts.append("\n".join([f"Self-test: {len(checks) - len(failed)} of {len(checks)} checks passed", *failed]))
        if benchmark:
            rows = []
            for measured in bench.measure(device, bench.QUICK, repeats=3):
                rows += measured
                progress(len({row.case for row in rows}) / len(bench.QUICK))
            parts.append(bench.markdown(rows))
        text = "\n\n".join(parts)
        return io.NodeOutput(text, info.active, info.device, ui=ui.PreviewText(text))
