"""What results and work are measured by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from rasterizer.meshes.mesh import Mesh


def peak_memory(run: Callable[[], object]) -> int:
    """Most bytes that PyTorch had allocated on the CPU at one time during ``run``, on this thread alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the profiler sees no other
    try:
        return _peak_of_one_thread(run)
    finally:
        torch.set_num_threads(threads)


def _peak_of_one_thread(run: Callable[[], object]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        most = max(most, total)
    return most


def signed_volume(mesh: Mesh) -> float:
    """Positive for a closed surface that is counter-clockwise from outside."""
    a, b, c = mesh.vertices[mesh.faces.long()].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def connected(faces: Tensor, count: int) -> Tensor:
    """``[count]`` int64: the least number among all vertices that faces ``[M, 3]`` connect with each vertex."""
    label = torch.arange(count)
    while True:
        least = label[faces].amin(dim=1, keepdim=True).expand(-1, 3)
        spread = label.scatter_reduce(0, faces.flatten(), least.flatten(), "amin")
        if torch.equal(spread, label):
            return label
        label = spread
