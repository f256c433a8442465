"""Vertex attributes at pixels, on the card."""

from __future__ import annotations

import torch
from torch import Tensor

from .frame import BAND, UnsuitedError
from .memory import Memory
from .pipelines import THREADS, Shaders


class Interpolator:
    """Runs ``interpolate.comp`` over runs of pixels."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self._gpu = memory, memory.gpu
        self._shaders = Shaders(memory.gpu, 5, "<4I")
        self._commands = memory.gpu.commands()

    def interpolate(self, col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
        """``[B, H, W, C]`` from ``[1 or B, N, C]``, ``[B, H, W]``, ``[B, H, W, 3]`` and ``[M, 3]`` on any device,
        to the host.

        Raises:
            VulkanError: something failed.
            UnsuitedError: a table is too large for this driver.
        """
        tables, vertices, channels = col.shape
        views, pixels = findices.shape[0], findices[0].numel()
        step = max(1, min(pixels, BAND, self._gpu.most_bound // (4 * max(3, channels))))
        if max(4 * vertices * channels, 12 * len(tri)) > self._gpu.most_bound:
            raise UnsuitedError
        (faces,) = self._memory.holding((tri, torch.int32))
        col, found = col.cpu(), findices.cpu().reshape(views, -1)
        weights = barycentric.cpu().reshape(views, -1, 3)
        out = torch.empty((views, pixels, channels), dtype=torch.float32, device="cpu")
        working = self._memory.working
        buffers = [
            working("attributes", 4 * vertices * channels),
            faces,
            working("found", 4 * step),
            working("weights", 12 * step),
            working("image", 4 * step * channels),
        ]
        for view in range(views):
            if view < tables:
                self._memory.send(col[view].contiguous(), buffers[0])
            for start in range(0, pixels, step):
                some = slice(start, start + step)
                self._memory.send(found[view, some].to(torch.int32).contiguous(), buffers[2])
                self._memory.send(weights[view, some].contiguous(), buffers[3])
                part = out[view, some]
                staging, data = self._memory.staging("down 0", part.nbytes, read=True)
                self._shaders.see(buffers)
                params = self._shaders.params.pack(len(part), channels, len(tri), vertices)
                self._commands.begin()
                self._shaders.run(self._commands, "interpolate", -(-len(part) // THREADS), params)
                self._commands.copy(buffers[4], staging, part.nbytes)
                self._commands.submit()
                self._commands.wait()
                self._gpu.see(staging, written=False)
                part.view(-1).copy_(data[: part.nbytes].view(torch.float32))
        return out.view(*findices.shape, channels)
