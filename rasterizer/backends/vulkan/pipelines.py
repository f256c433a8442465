"""Shaders of the package, made for a card."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from pathlib import Path

from . import api
from .gpu import Buffer, Commands, Gpu
from .spirv import rounding_to_even

FOLDER = Path(__file__).with_name("shaders")

THREADS = 64
"""Of a group, in every shader."""

_GROUPS = 65535  # that any driver dispatches along an axis


class Shaders:
    """Shaders that see the same buffers and take the same parameters.

    Args:
        buffers: how many they see, as bindings from 0 on.
        params: the parameters' layout, as :mod:`struct` writes it.
    """

    def __init__(self, gpu: Gpu, buffers: int, params: str) -> None:
        self.gpu, self.params = gpu, struct.Struct(params)
        bindings = (api.DescriptorSetLayoutBinding * buffers)()
        for number, binding in enumerate(bindings):
            binding.binding, binding.descriptorType = number, api.STORAGE_BUFFER
            binding.descriptorCount, binding.stageFlags = 1, api.SHADER_COMPUTE
        info = api.DescriptorSetLayoutCreateInfo(bindingCount=buffers, pBindings=ctypes.addressof(bindings))
        sets = (ctypes.c_uint64 * 1)(gpu.make("DescriptorSetLayout", info))
        pushed = api.PushConstantRange(stageFlags=api.SHADER_COMPUTE, offset=0, size=self.params.size)
        layout = api.PipelineLayoutCreateInfo(
            setLayoutCount=1,
            pSetLayouts=ctypes.addressof(sets),
            pushConstantRangeCount=1,
            pPushConstantRanges=ctypes.addressof(pushed),
        )
        self.layout = gpu.make("PipelineLayout", layout)
        self._pipelines: dict[tuple[str, bool], int] = {}
        size = api.DescriptorPoolSize(type=api.STORAGE_BUFFER, descriptorCount=buffers)
        pool = gpu.make(
            "DescriptorPool",
            api.DescriptorPoolCreateInfo(maxSets=1, poolSizeCount=1, pPoolSizes=ctypes.addressof(size)),
        )
        made = ctypes.c_uint64()
        wanted = api.DescriptorSetAllocateInfo(
            descriptorPool=pool, descriptorSetCount=1, pSetLayouts=ctypes.addressof(sets)
        )
        gpu.call("AllocateDescriptorSets", ctypes.byref(wanted), ctypes.byref(made))
        self.set = made.value

    def pipeline(self, name: str, exact: bool) -> int:
        """The shader of that name; ``exact`` is its constant 0, if it has one."""
        made = self._pipelines.get((name, exact))
        if made is None:
            made = self._pipelines[name, exact] = self._made(name, exact)
        return made

    def _made(self, name: str, exact: bool) -> int:
        code = (FOLDER / f"{name}.spv").read_bytes()
        code = rounding_to_even(code) if self.gpu.rounds_to_even else code
        words = (ctypes.c_uint8 * len(code)).from_buffer_copy(code)
        module = self.gpu.make(
            "ShaderModule", api.ShaderModuleCreateInfo(codeSize=len(code), pCode=ctypes.addressof(words))
        )
        entry = ctypes.create_string_buffer(b"main")
        constant, place = ctypes.c_uint32(exact), api.SpecializationMapEntry(size=4)
        constants = api.SpecializationInfo(
            mapEntryCount=1, pMapEntries=ctypes.addressof(place), dataSize=4, pData=ctypes.addressof(constant)
        )
        stage = api.PipelineShaderStageCreateInfo(
            stage=api.SHADER_COMPUTE,
            module=module,
            pName=ctypes.addressof(entry),
            pSpecializationInfo=ctypes.addressof(constants),
        )
        info = api.ComputePipelineCreateInfo(stage=stage, layout=self.layout, basePipelineIndex=-1)
        pipeline = ctypes.c_uint64()
        self.gpu.call("CreateComputePipelines", 0, 1, ctypes.byref(info), None, ctypes.byref(pipeline))
        self.gpu.call("DestroyShaderModule", module, None)
        return pipeline.value

    def see(self, buffers: Sequence[Buffer]) -> None:
        """Bind buffers, while no command runs."""
        infos = (api.DescriptorBufferInfo * len(buffers))()
        writes = (api.WriteDescriptorSet * len(buffers))()
        for number, buffer in enumerate(buffers):
            infos[number].buffer, infos[number].range = buffer.handle, min(buffer.size, self.gpu.most_bound)
            writes[number].sType, writes[number].dstSet = api.WriteDescriptorSet.kind, self.set
            writes[number].dstBinding, writes[number].descriptorCount = number, 1
            writes[number].descriptorType = api.STORAGE_BUFFER
            writes[number].pBufferInfo = ctypes.addressof(infos[number])
        self.gpu.call("UpdateDescriptorSets", len(buffers), ctypes.byref(writes), 0, None)

    def run(self, commands: Commands, name: str, groups: int, params: bytes, exact: bool = False) -> None:
        """Have a shader run with as many groups of threads, or some more: it counts them along both axes."""
        high = -(-groups // _GROUPS)
        commands.dispatch(self.pipeline(name, exact), self.layout, self.set, params, -(-groups // high), high)
