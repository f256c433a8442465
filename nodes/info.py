"""Backend Info."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
from comfy_api.latest import io, ui

from ..rasterizer.diagnostics.info import ENVIRONMENT, BackendInfo, Fact, backend_info
from .host import inputs, versions
from .host.runtime import Progress

if TYPE_CHECKING:
    from ..rasterizer.diagnostics.selftest import Check

KEY = "torch_raster_report"


class BackendInfoNode(io.ComfyNode):
    """What the pack runs on, for people and for bug reports."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return versions.schema(
            node_id="TorchRasterBackendInfo",
            display_name="Backend Info",
            category=inputs.CATEGORY,
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
        # Imported here: nobody who starts ComfyUI waits for reference and scenes.
        from ..rasterizer.diagnostics import selftest, speed

        device = management.get_torch_device()
        info = backend_info(device)
        progress = Progress(int(self_test) + int(benchmark) or 1)
        parts, results, table = [str(info)], [], ""
        if self_test:
            checks = []
            for check in selftest.run(device):
                checks.append(check)
                progress(min(1.0, len(checks) / selftest.CHECKS))
            progress.next_stage()
            results = _results(checks)
            head, *failed = results
            parts.append("\n".join([f"{head.name}: {head.text}", *(f"  {row.name}: {row.text}" for row in failed)]))
        if benchmark:
            rows = []
            for measured in speed.measure(device, speed.QUICK, repeats=3):
                rows += measured
                progress(len({row.case for row in rows}) / len(speed.QUICK))
            progress.next_stage()
            table = speed.markdown(rows)
            parts.append(table)
        text = "\n\n".join(parts)
        shown = {**ui.PreviewText(text).as_dict(), KEY: [_report(info, results, table)]}
        return io.NodeOutput(text, info.active, info.device, ui=shown)


def _results(checks: list[Check]) -> list[Fact]:
    """A row that sums up the self-test, then one for each check that failed."""
    failed = [Fact(check.name, check.detail, "bad") for check in checks if not check.passed]
    passed = f"{len(checks) - len(failed)} of {len(checks)} checks passed"
    return [Fact("Self-test", passed, "bad" if failed else "good"), *failed]


def _report(info: BackendInfo, results: list[Fact], table: str) -> dict[str, Any]:
    """What ``web/nodes/backend_info.js`` shows: lines, tables with a title or none, and a text as it is."""
    tables = [("", info.machine()), ("backends", info.backend_rows()), ("modules", info.module_rows()), ("", results)]
    return {
        "lines": [*info.versions(), *([f"{ENVIRONMENT}={info.environment}"] if info.environment else [])],
        "tables": [{"title": title, "rows": [asdict(row) for row in rows]} for title, rows in tables if rows],
        "text": table,
    }
