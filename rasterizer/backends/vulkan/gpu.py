"""The graphics card: chosen, opened, its memory, its shaders, and commands for it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from ...version import __version__
from . import api
from .api import VulkanError

_KINDS = {api.DISCRETE: "discrete GPU", api.INTEGRATED: "integrated GPU", api.VIRTUAL: "virtual GPU", api.CPU: "CPU"}
_ORDER = (api.DISCRETE, api.INTEGRATED, api.VIRTUAL, api.CPU)
_PORTABILITY = b"VK_KHR_portability_enumeration"
_SUBSET, _FLOAT_CONTROLS = b"VK_KHR_portability_subset", b"VK_KHR_shader_float_controls"


def _version(major: int, minor: int) -> int:
    return major << 22 | minor << 12


def _names(names: Sequence[bytes]) -> Any:
    return (ctypes.c_char_p * max(1, len(names)))(*names)


class Buffer:
    """Memory of the card, and where this program sees it: an address, or 0."""

    def __init__(self, handle: int, memory: int, size: int, address: int, coherent: bool) -> None:
        self.handle, self.memory, self.size, self.address, self.coherent = handle, memory, size, address, coherent


class Gpu:
    """The best device of this machine, opened.

    Attributes:
        name: as people know it, with the kind and the driver's version.
        kind: one of ``api.DISCRETE``, ``INTEGRATED``, ``VIRTUAL``, ``CPU``.
        identity: what tells this card and driver from others.
        most_bound: bytes of a buffer that a shader can see.
        tick: nanoseconds of a unit of :meth:`Commands.stamp`'s clock; 0 where it cannot tell time.

    Raises:
        VulkanError: there is no driver, no device, or it cannot be opened.
    """

    def __init__(self) -> None:
        self.vk = api.open_library()
        self._instance = self._make_instance()
        self.vk.load(self._instance)
        self._card, properties = self._choose()
        self.kind = properties.deviceType
        name = bytes(properties.deviceName).split(b"\0")[0].decode(errors="replace")
        self.name = f"{name}, {_KINDS.get(self.kind, 'device')}"
        self.identity = [name] + [
            str(getattr(properties, part)) for part in ("apiVersion", "driverVersion", "vendorID", "deviceID")
        ]
        self.identity.append(bytes(properties.pipelineCacheUUID).hex())
        self.most_bound = properties.limits.maxStorageBufferRange
        self._types = api.PhysicalDeviceMemoryProperties()
        self.vk.GetPhysicalDeviceMemoryProperties(self._card, ctypes.byref(self._types))
        family, timed = self._family()
        self.tick = properties.limits.timestampPeriod if timed else 0.0
        self._device, self.rounds_to_even = self._open(family, properties.apiVersion)
        queue = ctypes.c_void_p()
        self.vk.GetDeviceQueue(self._device, family, 0, ctypes.byref(queue))
        self._queue = queue.value
        info = api.CommandPoolCreateInfo(flags=api.RESET_POOL, queueFamilyIndex=family)
        self._pool = self.make("CommandPool", info)

    def idle(self) -> None:
        """Wait until it is at nothing, whatever was left behind by what was interrupted."""
        self.call("DeviceWaitIdle")

    def _make_instance(self) -> int:
        found = self._extensions(lambda *to: self.vk.EnumerateInstanceExtensionProperties(None, *to))
        extensions = [_PORTABILITY] if _PORTABILITY in found else []
        name = ctypes.create_string_buffer(b"torch_rasterizer " + __version__.encode())
        application = api.ApplicationInfo(pApplicationName=ctypes.addressof(name), apiVersion=_version(1, 1))
        names = _names(extensions)
        info = api.InstanceCreateInfo(
            flags=api.PORTABILITY if extensions else 0,
            pApplicationInfo=ctypes.addressof(application),
            enabledExtensionCount=len(extensions),
            ppEnabledExtensionNames=ctypes.addressof(names),
        )
        instance = ctypes.c_void_p()
        self.vk.CreateInstance(ctypes.byref(info), None, ctypes.byref(instance))
        return instance.value or 0

    def _extensions(self, enumerate_: Callable[..., Any]) -> set[bytes]:
        return {bytes(each.extensionName).split(b"\0")[0] for each in _listed(enumerate_, api.ExtensionProperties)}

    def _choose(self) -> tuple[int, Any]:
        """The first of the best kind."""
        cards = []
        for card in _listed(lambda *to: self.vk.EnumeratePhysicalDevices(self._instance, *to), ctypes.c_void_p):
            properties = api.PhysicalDeviceProperties()
            self.vk.GetPhysicalDeviceProperties(card, ctypes.byref(properties))
            if properties.deviceType in _ORDER:
                cards.append((card, properties))
        if not cards:
            raise VulkanError("the Vulkan driver lists no device")
        return min(cards, key=lambda each: _ORDER.index(each[1].deviceType))

    def _family(self) -> tuple[int, bool]:
        """A family of queues that compute, and whether it tells time."""
        families = _listed(
            lambda *to: self.vk.GetPhysicalDeviceQueueFamilyProperties(self._card, *to), api.QueueFamilyProperties
        )
        for number, family in enumerate(families):
            if family.queueFlags & api.COMPUTE and family.queueCount:
                return number, family.timestampValidBits == 64
        raise VulkanError(f"{self.name}: no queue computes")

    def _open(self, family: int, version: int) -> tuple[int, bool]:
        """The logical device, and whether it can be told to round to nearest even."""
        found = self._extensions(lambda *to: self.vk.EnumerateDeviceExtensionProperties(self._card, None, *to))
        extensions = [_SUBSET] if _SUBSET in found else []
        floats = api.PhysicalDeviceFloatControlsProperties()
        if version >= _version(1, 1) and _FLOAT_CONTROLS in found:  # which needs what 1.1 brought
            extensions.append(_FLOAT_CONTROLS)
            both = api.PhysicalDeviceProperties2(pNext=ctypes.addressof(floats))
            self.vk.GetPhysicalDeviceProperties2(self._card, ctypes.byref(both))
        priority = ctypes.c_float(1.0)
        queue = api.DeviceQueueCreateInfo(
            queueFamilyIndex=family, queueCount=1, pQueuePriorities=ctypes.addressof(priority)
        )
        names = _names(extensions)
        info = api.DeviceCreateInfo(
            queueCreateInfoCount=1,
            pQueueCreateInfos=ctypes.addressof(queue),
            enabledExtensionCount=len(extensions),
            ppEnabledExtensionNames=ctypes.addressof(names),
        )
        device = ctypes.c_void_p()
        self.vk.CreateDevice(self._card, ctypes.byref(info), None, ctypes.byref(device))
        return device.value or 0, bool(floats.shaderRoundingModeRTEFloat32)

    def make(self, what: str, info: Any) -> int:
        """A handle of ``vkCreate...``."""
        handle = ctypes.c_uint64()
        getattr(self.vk, f"Create{what}")(self._device, ctypes.byref(info), None, ctypes.byref(handle))
        return handle.value

    def call(self, name: str, *arguments: Any) -> Any:
        """A function that takes the device first."""
        return getattr(self.vk, name)(self._device, *arguments)

    def allocate(self, size: int, wanted: int, needed: int = 0) -> Buffer:
        """A buffer in memory that has all ``needed`` kinds, and most of the ``wanted`` ones.

        Raises:
            VulkanError: there is not that much memory.
        """
        size = max(16, -(-size // 16) * 16)
        usage = api.STORAGE | api.COPIED_FROM | api.COPIED_TO
        handle = self.make("Buffer", api.BufferCreateInfo(size=size, usage=usage))
        asked = api.MemoryRequirements()
        self.call("GetBufferMemoryRequirements", handle, ctypes.byref(asked))
        types = [each.propertyFlags for each in self._types.memoryTypes[: self._types.memoryTypeCount]]
        fit = [n for n, flags in enumerate(types) if asked.memoryTypeBits >> n & 1 and flags & needed == needed]
        memory, mapped = ctypes.c_uint64(), ctypes.c_void_p()
        try:
            if not fit:
                raise VulkanError(f"{self.name}: no memory of the kind that is needed")
            best = max(fit, key=lambda number: bin(types[number] & wanted).count("1"))  # the first of them
            info = api.MemoryAllocateInfo(allocationSize=asked.size, memoryTypeIndex=best)
            self.call("AllocateMemory", ctypes.byref(info), None, ctypes.byref(memory))
            self.call("BindBufferMemory", handle, memory.value, 0)
            if needed & api.HOST_VISIBLE:
                self.call("MapMemory", memory.value, 0, api.WHOLE, 0, ctypes.byref(mapped))
        except VulkanError:
            self.call("DestroyBuffer", handle, None)
            if memory.value:
                self.call("FreeMemory", memory.value, None)
            raise
        return Buffer(handle, memory.value, size, mapped.value or 0, bool(types[best] & api.HOST_COHERENT))

    def free(self, buffer: Buffer) -> None:
        """Of what no command uses any more."""
        self.call("DestroyBuffer", buffer.handle, None)
        self.call("FreeMemory", buffer.memory, None)

    def see(self, buffer: Buffer, written: bool) -> None:
        """Have what this program wrote seen by the card, or what the card wrote by this program."""
        if not buffer.coherent:
            part = api.MappedMemoryRange(memory=buffer.memory, offset=0, size=api.WHOLE)
            self.call(f"{'Flush' if written else 'Invalidate'}MappedMemoryRanges", 1, ctypes.byref(part))

    def commands(self) -> Commands:
        """To be recorded and run, again and again."""
        info = api.CommandBufferAllocateInfo(commandPool=self._pool, level=0, commandBufferCount=1)
        buffer = ctypes.c_void_p()
        self.call("AllocateCommandBuffers", ctypes.byref(info), ctypes.byref(buffer))
        return Commands(self, buffer.value or 0, self._queue or 0)


def _listed(enumerate_: Callable[..., Any], kind: Any) -> list[Any]:
    count = ctypes.c_uint32()
    enumerate_(ctypes.byref(count), None)
    found = (kind * max(1, count.value))()
    enumerate_(ctypes.byref(count), ctypes.byref(found))
    return list(found)[: count.value]


class Commands:
    """A list of commands. Each waits for those before it."""

    def __init__(self, gpu: Gpu, buffer: int, queue: int) -> None:
        self.gpu, self._buffer, self._queue = gpu, buffer, queue
        self._fence = gpu.make("Fence", api.FenceCreateInfo())
        self._stamps = (
            gpu.make("QueryPool", api.QueryPoolCreateInfo(queryType=api.TIMESTAMPS, queryCount=3)) if gpu.tick else 0
        )
        seen = api.READ | api.WRITTEN
        self._stamped = False
        self._barrier = api.MemoryBarrier(srcAccessMask=seen | api.HOST_WRITE, dstAccessMask=seen | api.HOST_READ)

    def begin(self) -> None:
        """An empty list."""
        info = api.CommandBufferBeginInfo(flags=api.ONE_TIME)
        self.gpu.vk.BeginCommandBuffer(self._buffer, ctypes.byref(info))
        if self._stamps:
            self.gpu.vk.CmdResetQueryPool(self._buffer, self._stamps, 0, 3)
            self.gpu.vk.CmdWriteTimestamp(self._buffer, api.STAGE_TOP, self._stamps, 0)
        self._stamped = False

    def stamp(self) -> None:
        """What comes next is timed apart."""
        self._wait_for_those_before()
        self._stamped = True
        if self._stamps:
            self.gpu.vk.CmdWriteTimestamp(self._buffer, api.STAGE_BOTTOM, self._stamps, 1)

    def _wait_for_those_before(self) -> None:
        stages = api.STAGE_COMPUTE | api.STAGE_TRANSFER
        barrier = ctypes.byref(self._barrier)
        self.gpu.vk.CmdPipelineBarrier(
            self._buffer, stages | api.STAGE_HOST, stages | api.STAGE_HOST, 0, 1, barrier, 0, None, 0, None
        )

    def fill(self, buffer: Buffer, size: int, word: int) -> None:
        """``size`` bytes from the first on with a word."""
        self._wait_for_those_before()
        self.gpu.vk.CmdFillBuffer(self._buffer, buffer.handle, 0, size, word)

    def copy(self, source: Buffer, to: Buffer, size: int, place: int = 0) -> None:
        """``size`` bytes to ``place``."""
        self._wait_for_those_before()
        part = api.BufferCopy(srcOffset=0, dstOffset=place, size=size)
        self.gpu.vk.CmdCopyBuffer(self._buffer, source.handle, to.handle, 1, ctypes.byref(part))

    def dispatch(self, pipeline: int, layout: int, bound: int, params: bytes, across: int, down: int) -> None:
        """Groups of threads of a pipeline, which see a descriptor set and parameters."""
        vk, buffer = self.gpu.vk, self._buffer
        self._wait_for_those_before()
        vk.CmdBindPipeline(buffer, api.BIND_COMPUTE, pipeline)
        sets = (ctypes.c_uint64 * 1)(bound)
        vk.CmdBindDescriptorSets(buffer, api.BIND_COMPUTE, layout, 0, 1, sets, 0, None)
        vk.CmdPushConstants(buffer, layout, api.SHADER_COMPUTE, 0, len(params), params)
        vk.CmdDispatch(buffer, across, down, 1)

    def submit(self) -> None:
        """Run them; :meth:`wait` before anything else, or have the card :meth:`Gpu.idle`."""
        if not self._stamped:
            self.stamp()
        self._wait_for_those_before()
        if self._stamps:
            self.gpu.vk.CmdWriteTimestamp(self._buffer, api.STAGE_BOTTOM, self._stamps, 2)
        self.gpu.vk.EndCommandBuffer(self._buffer)
        # Here, not where it is waited for: that may have been interrupted.
        self.gpu.call("ResetFences", 1, (ctypes.c_uint64 * 1)(self._fence))
        lists = (ctypes.c_void_p * 1)(self._buffer)
        info = api.SubmitInfo(commandBufferCount=1, pCommandBuffers=ctypes.addressof(lists))
        self.gpu.vk.QueueSubmit(self._queue, 1, ctypes.byref(info), self._fence)

    def wait(self) -> None:
        """
        Raises:
            VulkanError: the device is lost.
        """
        fences = (ctypes.c_uint64 * 1)(self._fence)
        while self.gpu.call("WaitForFences", 1, fences, 1, api.SECOND) == api.TIMEOUT:
            pass  # Python attends to interruptions here

    def milliseconds(self) -> tuple[float, float]:
        """What the card took before and after the :meth:`stamp` of what was run last; 0 where it cannot tell."""
        if not self._stamps:
            return 0.0, 0.0
        times = (ctypes.c_uint64 * 3)()
        flags = api.WAIT_FOR_RESULT | api.RESULT_64
        self.gpu.call("GetQueryPoolResults", self._stamps, 0, 3, 24, ctypes.addressof(times), 8, flags)
        return (times[1] - times[0]) * self.gpu.tick / 1e6, (times[2] - times[1]) * self.gpu.tick / 1e6
