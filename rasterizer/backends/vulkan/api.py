"""The part of Vulkan's C interface that is used here: its library, functions, structures, numbers.

Written down from the Vulkan specification; ``tests/backends/vulkan/test_api.py`` holds every structure and number
against the headers. There is nothing to install: the library comes with the driver of the graphics card.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from ctypes import c_float, c_int32, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any

LIBRARIES = {
    "win32": ("vulkan-1.dll",),
    "darwin": (
        "libvulkan.1.dylib",
        "libMoltenVK.dylib",
        "/opt/homebrew/lib/libvulkan.1.dylib",
        "/usr/local/lib/libvulkan.1.dylib",
        "/opt/homebrew/lib/libMoltenVK.dylib",
    ),
}
"""Names to look for by system; elsewhere ``libvulkan.so.1``."""

_KINDS: dict[str, Any] = {
    "p": c_void_p,  # address, or handle of what commands are given to
    "h": c_uint64,  # any other handle, or a size
    "u": c_uint32,
    "i": c_int32,
    "f": c_float,
}

FUNCTIONS = {
    "vkCreateInstance": "i ppp",
    "vkEnumerateInstanceExtensionProperties": "i ppp",
    "vkEnumeratePhysicalDevices": "i ppp",
    "vkGetPhysicalDeviceProperties": "- pp",
    "vkGetPhysicalDeviceProperties2": "- pp",
    "vkGetPhysicalDeviceQueueFamilyProperties": "- ppp",
    "vkGetPhysicalDeviceMemoryProperties": "- pp",
    "vkEnumerateDeviceExtensionProperties": "i pppp",
    "vkCreateDevice": "i pppp",
    "vkGetDeviceQueue": "- puup",
    "vkCreateBuffer": "i pppp",
    "vkDestroyBuffer": "- php",
    "vkGetBufferMemoryRequirements": "- php",
    "vkAllocateMemory": "i pppp",
    "vkFreeMemory": "- php",
    "vkBindBufferMemory": "i phhh",
    "vkMapMemory": "i phhhup",
    "vkFlushMappedMemoryRanges": "i pup",
    "vkInvalidateMappedMemoryRanges": "i pup",
    "vkCreateShaderModule": "i pppp",
    "vkDestroyShaderModule": "- php",
    "vkCreateDescriptorSetLayout": "i pppp",
    "vkCreatePipelineLayout": "i pppp",
    "vkCreateComputePipelines": "i phuppp",
    "vkCreateDescriptorPool": "i pppp",
    "vkAllocateDescriptorSets": "i ppp",
    "vkUpdateDescriptorSets": "- pupup",
    "vkCreateCommandPool": "i pppp",
    "vkAllocateCommandBuffers": "i ppp",
    "vkBeginCommandBuffer": "i pp",
    "vkEndCommandBuffer": "i p",
    "vkCmdBindPipeline": "- puh",
    "vkCmdBindDescriptorSets": "- puhuupup",
    "vkCmdPushConstants": "- phuuup",
    "vkCmdDispatch": "- puuu",
    "vkCmdFillBuffer": "- phhhu",
    "vkCmdCopyBuffer": "- phhup",
    "vkCmdPipelineBarrier": "- puuuupupup",
    "vkCreateFence": "i pppp",
    "vkResetFences": "i pup",
    "vkWaitForFences": "i pupuh",
    "vkQueueSubmit": "i puph",
    "vkDeviceWaitIdle": "i p",
    "vkCreateQueryPool": "i pppp",
    "vkCmdResetQueryPool": "- phuu",
    "vkCmdWriteTimestamp": "- puhu",
    "vkGetQueryPoolResults": "i phuuhphu",
}
"""What each takes, after what it gives: nothing, or a number that is below 0 where it failed."""

_OF_NO_INSTANCE = ("vkCreateInstance", "vkEnumerateInstanceExtensionProperties")

ERRORS = {
    -1: "out of host memory",
    -2: "out of device memory",
    -3: "initialization failed",
    -4: "device lost",
    -5: "memory map failed",
    -6: "layer not present",
    -7: "extension not present",
    -8: "feature not present",
    -9: "incompatible driver",
    -10: "too many objects",
    -12: "fragmented pool",
    -1000069000: "out of pool memory",
}
OUT_OF_MEMORY = (-1, -2, -5, -10, -12, -1000069000)

DISCRETE, INTEGRATED, VIRTUAL, CPU = 2, 1, 3, 4
"""Kinds of devices."""

COMPUTE = 2  # of queues
STORAGE, COPIED_FROM, COPIED_TO = 0x20, 1, 2  # uses of buffers
DEVICE_LOCAL, HOST_VISIBLE, HOST_COHERENT, HOST_CACHED = 1, 2, 4, 8  # kinds of memory
STAGE_COMPUTE, STAGE_TRANSFER, STAGE_HOST, STAGE_TOP, STAGE_BOTTOM = 0x800, 0x1000, 0x4000, 1, 0x2000
READ, WRITTEN, HOST_READ, HOST_WRITE = 0x8000, 0x10000, 0x2000, 0x4000  # by anything, or the host
SHADER_COMPUTE, BIND_COMPUTE, STORAGE_BUFFER = 0x20, 1, 7
WHOLE = 2**64 - 1
SECOND, TIMEOUT = 10**9, 2  # nanoseconds; what waiting gives when they are over
PORTABILITY = 1  # flag of an instance that also lists Metal's devices
RESET_POOL, ONE_TIME, TIMESTAMPS, WAIT_FOR_RESULT, RESULT_64 = 2, 1, 2, 2, 1


class VulkanError(Exception):
    """A call failed, or there is nothing to call; the text says what."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Structure(ctypes.Structure):
    """What :func:`_structure` makes a class of: ``sType`` is filled in."""

    kind = -1

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.kind >= 0:
            self.sType = self.kind


def _structure(name: str, kind: int, *fields: tuple[Any, str]) -> Any:
    """The class of a structure.

    Args:
        name: that of the headers, without ``Vk``.
        kind: its ``sType``; -1 where it has none.
        fields: letter of :data:`_KINDS`, or class; names, separated by blanks.
    """
    head = [("sType", c_int32), ("pNext", c_void_p)] if kind >= 0 else []
    body = [
        (each, _KINDS[type_] if isinstance(type_, str) else type_) for type_, names in fields for each in names.split()
    ]
    return type(name, (Structure,), {"_fields_": head + body, "kind": kind})


ApplicationInfo = _structure(
    "ApplicationInfo", 0, ("p", "pApplicationName"), ("u", "applicationVersion"), ("p", "pEngineName"),
    ("u", "engineVersion apiVersion"),
)  # fmt: skip
_Enabled = (
    ("u", "enabledLayerCount"), ("p", "ppEnabledLayerNames"), ("u", "enabledExtensionCount"),
    ("p", "ppEnabledExtensionNames"),
)  # fmt: skip
InstanceCreateInfo = _structure("InstanceCreateInfo", 1, ("u", "flags"), ("p", "pApplicationInfo"), *_Enabled)
ExtensionProperties = _structure("ExtensionProperties", -1, (c_uint8 * 256, "extensionName"), ("u", "specVersion"))
PhysicalDeviceLimits = _structure(
    "PhysicalDeviceLimits", -1, (c_uint32 * 7, "images"), ("u", "maxStorageBufferRange"), (c_uint32 * 98, "most"),
    ("f", "timestampPeriod"), (c_uint32 * 19, "rest"),
)  # fmt: skip
PhysicalDeviceProperties = _structure(
    "PhysicalDeviceProperties", -1, ("u", "apiVersion driverVersion vendorID deviceID deviceType"),
    (c_uint8 * 256, "deviceName"), (c_uint8 * 16, "pipelineCacheUUID"), ("u", "aligned"),
    (PhysicalDeviceLimits, "limits"), (c_uint32 * 6, "sparseProperties"),
)  # fmt: skip
PhysicalDeviceFloatControlsProperties = _structure(
    "PhysicalDeviceFloatControlsProperties", 1000197000, ("u", "denormBehaviorIndependence roundingModeIndependence"),
    (c_uint32 * 9, "others"), ("u", "shaderRoundingModeRTEFloat16 shaderRoundingModeRTEFloat32"),
    (c_uint32 * 4, "rest"),
)  # fmt: skip
PhysicalDeviceProperties2 = _structure(
    "PhysicalDeviceProperties2", 1000059001, (PhysicalDeviceProperties, "properties")
)
QueueFamilyProperties = _structure(
    "QueueFamilyProperties", -1, ("u", "queueFlags queueCount timestampValidBits"), (c_uint32 * 3, "granularity")
)
MemoryType = _structure("MemoryType", -1, ("u", "propertyFlags heapIndex"))
MemoryHeap = _structure("MemoryHeap", -1, ("h", "size"), ("u", "flags"))
PhysicalDeviceMemoryProperties = _structure(
    "PhysicalDeviceMemoryProperties", -1, ("u", "memoryTypeCount"), (MemoryType * 32, "memoryTypes"),
    ("u", "memoryHeapCount"), (MemoryHeap * 16, "memoryHeaps"),
)  # fmt: skip
DeviceQueueCreateInfo = _structure(
    "DeviceQueueCreateInfo", 2, ("u", "flags queueFamilyIndex queueCount"), ("p", "pQueuePriorities")
)
DeviceCreateInfo = _structure(
    "DeviceCreateInfo", 3, ("u", "flags queueCreateInfoCount"), ("p", "pQueueCreateInfos"), *_Enabled,
    ("p", "pEnabledFeatures"),
)  # fmt: skip
BufferCreateInfo = _structure(
    "BufferCreateInfo", 12, ("u", "flags"), ("h", "size"), ("u", "usage sharingMode queueFamilyIndexCount"),
    ("p", "pQueueFamilyIndices"),
)  # fmt: skip
MemoryRequirements = _structure("MemoryRequirements", -1, ("h", "size alignment"), ("u", "memoryTypeBits"))
MemoryAllocateInfo = _structure("MemoryAllocateInfo", 5, ("h", "allocationSize"), ("u", "memoryTypeIndex"))
MappedMemoryRange = _structure("MappedMemoryRange", 6, ("h", "memory offset size"))
ShaderModuleCreateInfo = _structure("ShaderModuleCreateInfo", 16, ("u", "flags"), ("h", "codeSize"), ("p", "pCode"))
DescriptorSetLayoutBinding = _structure(
    "DescriptorSetLayoutBinding", -1, ("u", "binding descriptorType descriptorCount stageFlags"),
    ("p", "pImmutableSamplers"),
)  # fmt: skip
DescriptorSetLayoutCreateInfo = _structure(
    "DescriptorSetLayoutCreateInfo", 32, ("u", "flags bindingCount"), ("p", "pBindings")
)
PushConstantRange = _structure("PushConstantRange", -1, ("u", "stageFlags offset size"))
PipelineLayoutCreateInfo = _structure(
    "PipelineLayoutCreateInfo", 30, ("u", "flags setLayoutCount"), ("p", "pSetLayouts"),
    ("u", "pushConstantRangeCount"), ("p", "pPushConstantRanges"),
)  # fmt: skip
SpecializationMapEntry = _structure("SpecializationMapEntry", -1, ("u", "constantID offset"), ("h", "size"))
SpecializationInfo = _structure(
    "SpecializationInfo", -1, ("u", "mapEntryCount"), ("p", "pMapEntries"), ("h", "dataSize"), ("p", "pData")
)
PipelineShaderStageCreateInfo = _structure(
    "PipelineShaderStageCreateInfo", 18, ("u", "flags stage"), ("h", "module"), ("p", "pName pSpecializationInfo")
)
ComputePipelineCreateInfo = _structure(
    "ComputePipelineCreateInfo", 29, ("u", "flags"), (PipelineShaderStageCreateInfo, "stage"),
    ("h", "layout basePipelineHandle"), ("i", "basePipelineIndex"),
)  # fmt: skip
DescriptorPoolSize = _structure("DescriptorPoolSize", -1, ("u", "type descriptorCount"))
DescriptorPoolCreateInfo = _structure(
    "DescriptorPoolCreateInfo", 33, ("u", "flags maxSets poolSizeCount"), ("p", "pPoolSizes")
)
DescriptorSetAllocateInfo = _structure(
    "DescriptorSetAllocateInfo", 34, ("h", "descriptorPool"), ("u", "descriptorSetCount"), ("p", "pSetLayouts")
)
DescriptorBufferInfo = _structure("DescriptorBufferInfo", -1, ("h", "buffer offset range"))
WriteDescriptorSet = _structure(
    "WriteDescriptorSet", 35, ("h", "dstSet"), ("u", "dstBinding dstArrayElement descriptorCount descriptorType"),
    ("p", "pImageInfo pBufferInfo pTexelBufferView"),
)  # fmt: skip
CommandPoolCreateInfo = _structure("CommandPoolCreateInfo", 39, ("u", "flags queueFamilyIndex"))
CommandBufferAllocateInfo = _structure(
    "CommandBufferAllocateInfo", 40, ("h", "commandPool"), ("u", "level commandBufferCount")
)
CommandBufferBeginInfo = _structure("CommandBufferBeginInfo", 42, ("u", "flags"), ("p", "pInheritanceInfo"))
BufferCopy = _structure("BufferCopy", -1, ("h", "srcOffset dstOffset size"))
MemoryBarrier = _structure("MemoryBarrier", 46, ("u", "srcAccessMask dstAccessMask"))
FenceCreateInfo = _structure("FenceCreateInfo", 8, ("u", "flags"))
SubmitInfo = _structure(
    "SubmitInfo", 4, ("u", "waitSemaphoreCount"), ("p", "pWaitSemaphores pWaitDstStageMask"),
    ("u", "commandBufferCount"), ("p", "pCommandBuffers"), ("u", "signalSemaphoreCount"), ("p", "pSignalSemaphores"),
)  # fmt: skip
QueryPoolCreateInfo = _structure("QueryPoolCreateInfo", 11, ("u", "flags queryType queryCount pipelineStatistics"))


class Functions:
    """Vulkan's functions as attributes without ``vk``; one that fails raises :class:`VulkanError`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._find = library.vkGetInstanceProcAddr
        self._find.restype, self._find.argtypes = c_void_p, (c_void_p, ctypes.c_char_p)
        self.load(None)

    def load(self, instance: int | None) -> None:
        """Those of an instance, or those that need none."""
        for name, text in FUNCTIONS.items():
            if (name in _OF_NO_INSTANCE) == (instance is None):
                address = self._find(instance, name.encode())
                if address:  # of version 1.1, or from another loader, some may be missing
                    setattr(self, name[2:], _function(name, text, address))

    def __getattr__(self, name: str) -> Callable[..., int]:
        raise VulkanError(f"this driver has no vk{name}")


def _function(name: str, text: str, address: int) -> Callable[..., Any]:
    gives, takes = text.split()
    prototype: Any = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
    call = prototype(_KINDS.get(gives), *(_KINDS[kind] for kind in takes))(address)
    if gives == "-":
        return call

    def checked(*arguments: Any) -> int:
        code = call(*arguments)
        if code < 0:
            raise VulkanError(f"{name}: {ERRORS.get(code, f'error {code}')}", code)
        return code

    return checked


def open_library() -> Functions:
    """
    Raises:
        VulkanError: there is no Vulkan on this machine.
    """
    names = LIBRARIES.get(sys.platform, ("libvulkan.so.1",))
    for name in names:
        try:
            return Functions(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    raise VulkanError(f"no Vulkan driver: {names[0]} was not found")
