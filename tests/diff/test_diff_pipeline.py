"""The whole chain of primitives through their public doors: recorded pictures and gradients, and compilers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rasterizer import diff
from rasterizer.backends import registry
from rasterizer.ops.diff.steps import step
from tests.support.nvdiffrast_golden import load, names, normal

Render = Callable[[Tensor, Tensor, Tensor], Tensor]


def _chain(tri: Tensor, resolution: tuple[int, int], boundary: str = "wrap") -> Render:
    """``pos [B, V, 4]``, ``uv [1, V, 2]`` and ``tex [1, H, W, C]`` to a picture."""

    def render(pos: Tensor, uv: Tensor, tex: Tensor) -> Tensor:
        rast, rast_db = diff.rasterize(pos, tri, resolution)
        place, place_da = diff.interpolate(uv, rast, tri, rast_db, "all")
        color = diff.texture(tex, place, place_da, filter_mode="linear-mipmap-linear", boundary_mode=boundary)
        color = torch.where(rast[..., 3:] > 0, color, torch.zeros_like(color))
        return diff.antialias(color, rast, pos, tri)

    return render


def _gradients(render: Render, inputs: tuple[Tensor, ...], dy: Tensor) -> tuple[Tensor, ...]:
    leaves = [value.clone().requires_grad_() for value in inputs]
    out = render(*leaves)
    (out * dy).sum().backward()
    return out.detach(), *(leaf.grad for leaf in leaves)


@pytest.mark.parametrize("name", names("pipe_"))
def test_recorded_chain(name: str, policy: str) -> None:
    _compare(name, torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("name", names("pipe_"))
def test_recorded_chain_on_a_gpu(name: str) -> None:
    _compare(name, torch.device("cuda", 0))


def _compare(name: str, device: torch.device) -> None:
    case = load(name)
    meta = case.meta
    render = _chain(case["in_tri"].to(device), tuple(meta["resolution"]), meta["boundary_mode"])
    inputs = case["in_pos"], case["in_uv"], normal(meta["tex_seed"], *meta["tex_shape"])
    dy = normal(meta["dy_seed"], *case["out"].shape).to(device)
    found = _gradients(render, tuple(value.to(device) for value in inputs), dy)
    wanted = case["out"], case["g_pos"], case["g_uv"], case["g_tex"]
    # What the four recordings allow: 1.6e-5 of 3, 5e-4 of 260, 3e-3 of 2500, 2e-5 of 7, and three times that.
    for value, want, share in zip(found, wanted, (2e-5, 1e-5, 1e-5, 1e-5), strict=True):
        assert float((value.cpu() - want).abs().max()) <= share * float(want.abs().max())


def _small(device: torch.device) -> tuple[Render, tuple[Tensor, ...], Tensor]:
    case = load("pipe_a")
    render = _chain(case["in_tri"].to(device), (48, 48))
    inputs = case["in_pos"], case["in_uv"], normal(1, 1, 32, 64, 3)
    return render, tuple(value.to(device) for value in inputs), normal(2, 2, 48, 48, 3).to(device)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_into_one_graph(backend: str, device: torch.device) -> None:
    render, inputs, dy = _small(device)
    whole = torch.compile(render, fullgraph=True, backend=backend)
    for found, want in zip(_gradients(whole, inputs, dy), _gradients(render, inputs, dy), strict=True):
        torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_exports() -> None:
    render, inputs, _ = _small(torch.device("cpu"))

    class Renderer(torch.nn.Module):
        def forward(self, pos: Tensor, uv: Tensor, tex: Tensor) -> Tensor:
            return render(pos, uv, tex)

    program = torch.export.export(Renderer(), inputs)
    assert torch.equal(program.module()(*inputs), render(*inputs))


@pytest.mark.gpu
def test_replays_as_a_cuda_graph() -> None:
    render, inputs, _ = _small(torch.device("cuda", 0))
    want = render(*inputs)
    render(*inputs)  # what is compiled and tested at first use is done
    graph, static = torch.cuda.CUDAGraph(), [value.clone() for value in inputs]
    with torch.cuda.graph(graph):
        out = render(*static)
    for scale in (1.0, 0.5):
        static[2].copy_(inputs[2] * scale)
        graph.replay()
        torch.testing.assert_close(out, want * scale, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_the_first_work_of_a_thread_is_done_by_kernels() -> None:
    """Threads that compute gradients may not have met the device before."""
    case = load("pipe_a")
    pos, tri = case["in_pos"].to("cuda"), case["in_tri"].to("cuda")
    found: list[Tensor] = []
    failures = registry.failures()
    rast, _ = diff.rasterize(pos, tri, (48, 48))

    def pull_back() -> None:
        found.append(step("rasterize_backward", pos.device)(pos, tri, rast, rast, None))

    thread = threading.Thread(target=pull_back)
    thread.start()
    thread.join()
    pull_back()
    there, again = found
    torch.testing.assert_close(there, again, rtol=1e-4, atol=1e-4 * float(again.abs().max()))
    assert registry.failures() == failures


@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_gradients_repeat_bit_for_bit_when_asked_to(name: str) -> None:
    render, inputs, dy = _small(torch.device(name))
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = _gradients(render, inputs, dy), _gradients(render, inputs, dy)
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def _calls(pos: Tensor, uv: Tensor, tex: Tensor, tri: Tensor) -> dict[str, tuple[object, ...]]:
    """Arguments of each operator that has gradients."""
    rast, db = (value.detach() for value in diff.rasterize(pos, tri, (20, 24)))
    place, da = (value.detach() for value in diff.interpolate(uv, rast, tri, db, "all"))
    bias, color = torch.zeros(place.shape[:3]), normal(3, *place.shape[:3], 3)
    leaf = torch.Tensor.requires_grad_
    half = normal(4, 1, 16, 32, 3)
    topology = diff.antialias_construct_topology_hash(tri).opposite(len(tri))
    trilinear = "linear-mipmap-linear", "wrap"
    given = [leaf(value.clone()) for value in (tex, place, da, bias)]
    return {
        "diff_rasterize": (leaf(pos.clone()), tri, 20, 24, None, None, True, True),
        "diff_interpolate": (leaf(uv.clone()), leaf(rast.clone()), tri, leaf(db.clone()), True, []),
        "diff_texture": (*given, [], True, 3, *trilinear),
        "diff_texture with levels": (*given, [leaf(half)], False, 0, *trilinear),
        "diff_texture, linear": (*given[:2], None, None, [], True, 0, "linear", "clamp"),
        "diff_antialias": (leaf(color), rast, leaf(pos.clone()), tri, topology, 2.0),
        "diff_topology": (tri,),
        "diff_mipmaps": (tex, 3),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "diff_rasterize",
        "diff_interpolate",
        "diff_texture",
        "diff_texture with levels",
        "diff_texture, linear",
        "diff_antialias",
        "diff_topology",
        "diff_mipmaps",
    ],
)
def test_pytorch_finds_nothing_wrong_with_the_operators(name: str) -> None:
    case = load("pipe_a")
    arguments = _calls(case["in_pos"], case["in_uv"], normal(1, 1, 32, 64, 3), case["in_tri"])[name]
    operator = getattr(torch.ops.torch_rasterizer, name.split()[0].strip(","))
    torch.library.opcheck(operator.default, arguments)
