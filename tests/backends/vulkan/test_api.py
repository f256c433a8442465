"""Structures and numbers, written down by hand, are those of Vulkan's headers: as the package ``vulkan`` has them."""

from __future__ import annotations

import ctypes
import importlib
import re

import pytest

from rasterizer.backends.vulkan import api

STRUCTURES = [
    each
    for each in vars(api).values()
    if isinstance(each, type) and issubclass(each, api.Structure) and each is not api.Structure
]
FILLERS = {"images", "most", "rest", "others", "aligned", "granularity"}  # what is left out between fields

NUMBERS = {
    "DISCRETE": "PHYSICAL_DEVICE_TYPE_DISCRETE_GPU",
    "INTEGRATED": "PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU",
    "VIRTUAL": "PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU",
    "CPU": "PHYSICAL_DEVICE_TYPE_CPU",
    "COMPUTE": "QUEUE_COMPUTE_BIT",
    "STORAGE": "BUFFER_USAGE_STORAGE_BUFFER_BIT",
    "COPIED_FROM": "BUFFER_USAGE_TRANSFER_SRC_BIT",
    "COPIED_TO": "BUFFER_USAGE_TRANSFER_DST_BIT",
    "DEVICE_LOCAL": "MEMORY_PROPERTY_DEVICE_LOCAL_BIT",
    "HOST_VISIBLE": "MEMORY_PROPERTY_HOST_VISIBLE_BIT",
    "HOST_COHERENT": "MEMORY_PROPERTY_HOST_COHERENT_BIT",
    "HOST_CACHED": "MEMORY_PROPERTY_HOST_CACHED_BIT",
    "STAGE_COMPUTE": "PIPELINE_STAGE_COMPUTE_SHADER_BIT",
    "STAGE_TRANSFER": "PIPELINE_STAGE_TRANSFER_BIT",
    "STAGE_HOST": "PIPELINE_STAGE_HOST_BIT",
    "STAGE_TOP": "PIPELINE_STAGE_TOP_OF_PIPE_BIT",
    "STAGE_BOTTOM": "PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT",
    "READ": "ACCESS_MEMORY_READ_BIT",
    "WRITTEN": "ACCESS_MEMORY_WRITE_BIT",
    "HOST_READ": "ACCESS_HOST_READ_BIT",
    "HOST_WRITE": "ACCESS_HOST_WRITE_BIT",
    "SHADER_COMPUTE": "SHADER_STAGE_COMPUTE_BIT",
    "BIND_COMPUTE": "PIPELINE_BIND_POINT_COMPUTE",
    "STORAGE_BUFFER": "DESCRIPTOR_TYPE_STORAGE_BUFFER",
    "WHOLE": "WHOLE_SIZE",
    "PORTABILITY": "INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR",
    "RESET_POOL": "COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT",
    "ONE_TIME": "COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT",
    "TIMESTAMPS": "QUERY_TYPE_TIMESTAMP",
    "WAIT_FOR_RESULT": "QUERY_RESULT_WAIT_BIT",
    "RESULT_64": "QUERY_RESULT_64_BIT",
}


@pytest.fixture(scope="module")
def headers() -> object:
    try:  # it loads the driver's library, too
        return importlib.import_module("vulkan._vulkancache").ffi
    except (ImportError, OSError) as error:
        pytest.skip(f"no Vulkan headers: pip install vulkan ({error})")


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda each: each.__name__)
def test_structures(structure: type[api.Structure], headers) -> None:
    theirs = headers.typeof(f"Vk{structure.__name__}")
    assert ctypes.sizeof(structure) == headers.sizeof(theirs)
    offsets = {name: field.offset for name, field in theirs.fields}
    ours = {name: getattr(structure, name).offset for name, *_ in structure._fields_ if name not in FILLERS}
    assert ours.items() <= offsets.items()
    if structure.kind >= 0:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z])(?=\d)", "_", structure.__name__).upper()
        value = headers.integer_const(f"VK_STRUCTURE_TYPE_{words}")
        assert structure.kind == value == structure().sType


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str, headers) -> None:
    if name == "WHOLE":  # a macro, which the headers of cffi do not have
        assert api.WHOLE == 2**64 - 1
    else:
        assert getattr(api, name) == headers.integer_const(f"VK_{NUMBERS[name]}")


@pytest.mark.parametrize("name", api.FUNCTIONS)
def test_functions(name: str, headers) -> None:
    theirs = headers.typeof(f"PFN_{name}").item if headers.typeof(f"PFN_{name}").kind == "pointer" else None
    theirs = theirs or headers.typeof(f"PFN_{name}")
    gives, takes = api.FUNCTIONS[name].split()
    assert (gives == "-") == (theirs.result.kind == "void")
    sizes = [ctypes.sizeof(api._KINDS[kind]) for kind in takes]
    assert sizes == [headers.sizeof(kind) for kind in theirs.args]


def test_errors(headers) -> None:
    for code, text in api.ERRORS.items():
        name = headers.string(headers.cast("VkResult", code)) if code > -1000 else "VK_ERROR_OUT_OF_POOL_MEMORY"
        assert name == f"VK_ERROR_{text.upper().replace(' ', '_')}"
    assert set(api.OUT_OF_MEMORY) <= set(api.ERRORS)
