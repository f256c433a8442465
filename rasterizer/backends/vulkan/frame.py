"""Images drawn on the card, in bands of rows, and brought to the host while the next band is drawn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.rule import depth_threshold
from ...contract.types import RasterInfo, RasterOptions
from ..eager.fragments import LEAST_DEPTH
from ..kernels.workload import small_box
from .gpu import Buffer
from .memory import Memory
from .pipelines import THREADS, Shaders

PARAMS = "<12I"  # as in scene.glsl
BINDINGS = 9
DEPTH_SCALE = 2.0**60  # as in draw.glsl, for thresholds that would be denormal
BAND = 1 << 22
"""Pixels that are drawn, or looked up, at once."""

_CAPACITY, _MOST = 1 << 18, 1 << 25  # regions that wait to be drawn: at first, and where a mesh has wanted more
_GROUPS = 1024  # that draw them
_EMPTY = 0xFFFFFFFF


class UnsuitedError(Exception):
    """The driver binds no buffers of such sizes."""


@dataclass(frozen=True)
class _Band:
    """Rows ``start`` to ``stop`` of a view, drawn by the commands of a lane."""

    lane: int
    view: int
    start: int
    stop: int


class Rasterizer:
    """Draws with the shaders of ``scene.glsl``.

    Attributes:
        milliseconds: what the card took to draw in the last call; 0 where it cannot tell.
        copying: what it took to copy the images into memory of the host, likewise.
        capacity: of the queue of regions. A full one costs time, not pixels.
        band: pixels that are drawn at once, unless a row has more.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory, self.gpu = memory, memory.gpu
        self.shaders = Shaders(memory.gpu, BINDINGS, PARAMS)
        self.lanes = [memory.gpu.commands() for _ in range(2)]
        self.milliseconds = self.copying = 0.0
        self.capacity, self.band = _CAPACITY, BAND

    def draw(self, pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
        """``pos [B, N, 4]`` or ``[N, 4]`` and ``tri [M, 3]`` on any device; the results have a B, and are on the host.

        Raises:
            VulkanError: something failed; what is on the card is in order.
            UnsuitedError: the mesh is too large for this driver.
        """
        call = _Call(self, pos, tri, options, exact=False)
        if not call.run():
            call = _Call(self, pos, tri, options, exact=True)
            call.run()
        return call.findices, call.barycentric, RasterInfo("vulkan", "", "", self.gpu.name, call.invalid)


class _Call:
    """What is known during a call. ``exact``: also draw triangles that are too large for floats."""

    def __init__(self, owner: Rasterizer, pos: Tensor, tri: Tensor, options: RasterOptions, exact: bool) -> None:
        self.owner, self.options, self.exact = owner, options, exact
        (self.height, self.width), self.faces = options.resolution, len(tri)
        self.views, self.vertices = pos.shape[0] if pos.ndim == 3 else 1, pos.shape[-2]
        self.rows = max(1, min(self.height, owner.band // self.width))
        image, band = self.height * self.width, self.rows * self.width
        if max(pos.nbytes, 12 * self.faces, 12 * band, 4 * image) > owner.gpu.most_bound:
            raise UnsuitedError
        working, self.capacity = owner.memory.working, owner.capacity
        positions, faces = owner.memory.holding((pos, torch.float32), (tri, torch.int32))
        self.threshold = working("threshold", 4 * image if options.depth_prior is not None else 16)
        self.steps, self.faces_found = working("steps", 4 * band), working("findices", 4 * band)
        self.weights, self.counters = working("barycentric", 12 * band), working("counters", 16)
        screen, queue = working("screen", 16 * self.views * self.vertices), working("queue", 8 * owner.capacity)
        owner.shaders.see(
            [positions, faces, screen, self.threshold, self.steps, self.faces_found, queue, self.counters, self.weights]
        )
        self.findices = torch.empty((self.views, self.height, self.width), dtype=torch.int32, device="cpu")
        self.barycentric = torch.empty((*self.findices.shape, 3), dtype=torch.float32, device="cpu")
        self.invalid = 0
        owner.milliseconds = owner.copying = 0.0

    def run(self) -> bool:
        """Draw everything; False as soon as there are triangles that want to be drawn exactly."""
        bands, running = -(-self.height // self.rows), deque[_Band]()
        try:
            for number in range(self.views * bands):
                view, start = number // bands, number % bands * self.rows
                self.options.on_progress(number / (self.views * bands))
                while running and (len(running) == 2 or (start == 0 and self.options.depth_prior is not None)):
                    if not self._finish(running):
                        return False
                if start == 0:
                    self._send_threshold(view)
                band = _Band(number % 2, view, start, min(self.height, start + self.rows))
                self._begin(band)
                running.append(band)
            while running:
                if not self._finish(running):
                    return False
        finally:
            for band in running:
                self.owner.lanes[band.lane].wait()
        return True

    def _send_threshold(self, view: int) -> None:
        if self.options.depth_prior is not None:
            prior = self.options.depth_prior[view].cpu().contiguous()
            least = depth_threshold(prior, self.options.occlusion_truncation)
            least = least.nan_to_num_(nan=-1.0, posinf=torch.inf).clamp_(min=LEAST_DEPTH)  # NaN hides nothing
            self.owner.memory.send(least.mul_(DEPTH_SCALE), self.threshold)  # what overflows hides all

    def _begin(self, band: _Band) -> None:
        """Have a band drawn, and first of all the vertices of all views mapped."""
        commands, pixels = self.owner.lanes[band.lane], (band.stop - band.start) * self.width
        commands.begin()
        commands.fill(self.steps, 4 * pixels, _EMPTY)
        commands.fill(self.faces_found, 4 * pixels, _EMPTY)
        commands.fill(self.counters, 16, 0)
        if band.view == band.start == 0:
            self._shade(band, "map", self.views * self.vertices)
        for turn in range(2):
            self._shade(band, "draw", self.faces, turn)
            self._shade(band, "regions", THREADS * min(_GROUPS, self.faces), turn)
            if turn == 0:
                commands.fill(self.counters, 4, 0)
        self._shade(band, "resolve", pixels)
        commands.stamp()
        staging, _ = self._staging(band)
        commands.copy(self.faces_found, staging, 4 * pixels)
        commands.copy(self.weights, staging, 12 * pixels, 4 * pixels)
        commands.copy(self.counters, staging, 16, 16 * pixels)
        commands.submit()

    def _shade(self, band: _Band, name: str, threads: int, turn: int = 0) -> None:
        shaders, has_threshold = self.owner.shaders, self.options.depth_prior is not None
        params = shaders.params.pack(
            *(self.faces, self.vertices, band.view * self.vertices),
            *(self.width, self.height, band.start, band.stop - band.start),
            *(turn, small_box(self.faces, False), self.capacity, has_threshold, self.views * self.vertices),
        )
        shaders.run(self.owner.lanes[band.lane], name, -(-threads // THREADS), params, self.exact)

    def _staging(self, band: _Band) -> tuple[Buffer, Tensor]:
        pixels = (band.stop - band.start) * self.width
        return self.owner.memory.staging(f"down {band.lane}", 16 * pixels + 16, read=True)

    def _finish(self, running: deque[_Band]) -> bool:
        """Wait for the oldest band, and bring its pixels into the results; False if not all was drawn."""
        band, commands = running[0], self.owner.lanes[running[0].lane]
        commands.wait()
        running.popleft()
        drawing, copying = commands.milliseconds()
        self.owner.milliseconds += drawing
        self.owner.copying += copying
        image = self.findices[band.view, band.start : band.stop].view(-1)
        weights = self.barycentric[band.view, band.start : band.stop].view(-1)
        staging, data = self._staging(band)
        self.owner.gpu.see(staging, written=False)
        first, last = image.nbytes, image.nbytes + weights.nbytes
        regions, invalid, large, _ = data[last : last + 16].view(torch.int32).tolist()
        image.copy_(data[:first].view(torch.int32))
        weights.copy_(data[first:last].view(torch.float32))
        self.invalid += invalid
        if regions > self.owner.capacity:
            # Shaders see no more of a queue than the driver binds.
            self.owner.capacity = min(_MOST, self.owner.gpu.most_bound // 8, 1 << regions.bit_length())
        return not large or self.exact
