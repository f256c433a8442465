"""The modules themselves: native results from whatever callers pass."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from rasterizer.dropin.modules import custom_rasterizer as cr
from rasterizer.dropin.modules import custom_rasterizer_kernel as kernel
from rasterizer.dropin.modules import mesh_inpaint_processor, mesh_processor
from tests.support.golden import golden_names, load_golden


def _size(golden: dict[str, np.ndarray]) -> tuple[int, int]:
    return int(golden["height"]), int(golden["width"])


class TestRasterize:
    """Native results, to the last bit."""

    def test_golden_files(self, golden_raster: dict[str, np.ndarray]) -> None:
        pos, tri = torch.from_numpy(golden_raster["V"]), torch.from_numpy(golden_raster["F"])
        height, width = _size(golden_raster)
        for layer, (want, weights) in enumerate(
            zip(golden_raster["findices"], golden_raster["barycentric"], strict=True)
        ):
            prior = torch.from_numpy(golden_raster["depth_prior"][layer - 1]) if layer else torch.empty(0)
            found = cr.rasterize(pos[None], tri, (height, width), prior, int(layer > 0))
            listed = kernel.rasterize_image(pos, tri, prior, width, height, 1e-6, int(layer > 0))
            assert type(found) is tuple and type(listed) is list
            for result in (found, listed):
                assert result[0].dtype == torch.int32 and result[1].dtype == torch.float32
                np.testing.assert_array_equal(result[0].numpy(), want)
                np.testing.assert_array_equal(result[1].numpy(), weights)

    @pytest.mark.parametrize(
        "change",
        [
            lambda pos, tri: (pos, tri.long()),
            lambda pos, tri: (pos, tri.float()),
            lambda pos, tri: (pos.double(), tri),
            lambda pos, tri: (pos.mT.contiguous().mT, tri.T.contiguous().T),
            lambda pos, tri: (torch.cat([pos, pos], 2)[..., :4], tri),
            lambda pos, tri: (pos[0], tri),
            lambda pos, tri: (torch.cat([pos, pos + 1]), tri),
            lambda pos, tri: (pos.clone().requires_grad_(), tri),
            lambda pos, tri: (pos.numpy(), tri.numpy()),
            lambda pos, tri: (pos.tolist(), tri.tolist()),
        ],
        ids=[
            *("int64", "float-faces", "float64", "strides", "slice"),
            *("unbatched", "first-of-batch", "gradient", "numpy", "lists"),
        ],
    )
    @pytest.mark.parametrize("golden_raster", ["raster_knot_perspective"], indirect=True)
    def test_arguments_of_any_kind(self, golden_raster: dict[str, np.ndarray], change) -> None:
        pos, tri = torch.from_numpy(golden_raster["V"])[None], torch.from_numpy(golden_raster["F"])
        findices, barycentric = cr.rasterize(*change(pos, tri), torch.zeros(_size(golden_raster)).shape)
        np.testing.assert_array_equal(findices.numpy(), golden_raster["findices"][0])
        np.testing.assert_array_equal(barycentric.numpy(), golden_raster["barycentric"][0])
        assert not barycentric.requires_grad

    def test_no_faces(self) -> None:
        findices, barycentric = cr.rasterize(torch.zeros(1, 3, 4), torch.zeros(0, 3, dtype=torch.int32), (4, 5))
        assert findices.shape == (4, 5) and barycentric.shape == (4, 5, 3)
        assert not findices.any() and not barycentric.any()
        assert cr.interpolate(torch.ones(1, 3, 2), findices, barycentric, torch.zeros(0, 3)).shape == (1, 4, 5, 2)

    def test_an_index_out_of_range_is_an_error_instead_of_a_crash(self) -> None:
        with pytest.raises(ValueError, match="face 0 is .* but the mesh has 3 vertices"):
            cr.rasterize(torch.ones(1, 3, 4), torch.tensor([[0, 1, 3]]), (4, 4))

    def test_native_signature(self) -> None:
        assert list(inspect.signature(cr.rasterize).parameters) == [
            *("pos", "tri", "resolution", "clamp_depth", "use_depth_prior")
        ]
        assert list(inspect.signature(cr.interpolate).parameters) == ["col", "findices", "barycentric", "tri"]
        assert {"rasterize", "interpolate", "render", "torch", "custom_rasterizer_kernel"} <= set(vars(cr))


class TestInterpolate:
    """As the packs call it: face ids and barycentrics as slices of one float32 tensor."""

    @pytest.mark.parametrize("golden_raster", ["raster_knot_perspective", "raster_soup_small"], indirect=True)
    def test_the_formula_on_slices(self, golden_raster: dict[str, np.ndarray]) -> None:
        tri = torch.from_numpy(golden_raster["F"])
        col = torch.rand((1, len(golden_raster["V"]), 5), generator=torch.Generator().manual_seed(1))
        findices = torch.from_numpy(golden_raster["findices"][0])
        barycentric = torch.from_numpy(golden_raster["barycentric"][0])
        together = torch.cat([barycentric, findices[..., None].float()], dim=-1)[None]

        out = cr.interpolate(col, together[0, ..., -1], together[0, ..., :-1], tri)

        face = tri[(findices.long() - 1).clamp_min(0)].long()
        want = (barycentric[..., None] * col[0][face]).sum(-2)
        assert out.shape == (1, *findices.shape, 5)
        torch.testing.assert_close(out[0], want, rtol=0, atol=1e-6)
        assert not out[0][findices == 0].any()
        for other in (
            cr.interpolate(col[0], findices, barycentric, tri.long()),
            cr.interpolate(col.numpy(), findices.numpy(), barycentric.numpy(), tri.numpy()),
        ):
            assert torch.equal(other, out)

    def test_gradient_reaches_the_attributes(self) -> None:
        pos = torch.tensor([[[-1.0, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]]])
        tri = torch.tensor([[0, 1, 2]])
        col = torch.ones((1, 3, 2), requires_grad=True)
        cr.interpolate(col, *cr.rasterize(pos, tri, (8, 8)), tri).sum().backward()
        assert (col.grad > 0).all()


class TestHierarchy:
    """Native results, in nested lists of CPU tensors."""

    @pytest.mark.parametrize("name", golden_names("hierarchy_*"))
    def test_golden_files(self, name: str, device: torch.device) -> None:
        golden = load_golden(name)
        kinds = [kind for kind in ("positions", "normals", "feats") if f"{kind}0" in golden]
        views = [[torch.from_numpy(golden[f"{kind}{view}"]).to(device) for view in range(3)] for kind in kinds]
        build = kernel.build_hierarchy_with_feat if "feats" in kinds else kernel.build_hierarchy
        found = build(*views, int(golden["num_level"]), int(golden["resolution"]))

        parts = ["texture_positions", *["texture_feats"] * ("feats" in kinds)]
        parts += ["grid_neighbors", "grid_downsamples", "grid_evencorners", "grid_oddcorners"]
        want = [[golden[key] for key in sorted(golden) if key.startswith(f"out_{part}_")] for part in parts]
        assert [type(part) for part in (found, *found)] == [list] * (1 + len(parts))
        assert [len(part) for part in found] == [len(part) for part in want]
        for part, expected in zip(found, want, strict=True):
            for tensor, array in zip(part, expected, strict=True):
                assert tensor.device.type == "cpu" and tensor.numpy().dtype == array.dtype
                np.testing.assert_array_equal(tensor.numpy(), array)


class TestInpaint:
    """The surface; the results are tested where they are computed."""

    @staticmethod
    def _call() -> tuple[np.ndarray, ...]:
        texture = np.random.default_rng(1).random((4, 6, 3)) * 255
        mask = np.zeros((4, 6), np.uint8)
        mask[0, 0] = 7
        uv = np.array([[0.0, 1], [1, 1], [2, -3], [0, 0.5]])
        faces = np.array([[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]])
        return texture, mask, np.eye(4)[:, :3], uv, faces, faces

    @pytest.mark.parametrize("method", ["smooth", "forward"])
    def test_arguments_of_any_kind(self, method: str) -> None:
        texture, mask, pos, uv, faces, uv_faces = self._call()
        want = mesh_inpaint_processor.meshVerticeInpaint(*self._call(), method)
        assert [type(array) for array in want] == [np.ndarray, np.ndarray]
        assert [(array.dtype.name, array.shape) for array in want] == [("float32", (4, 6, 3)), ("uint8", (4, 6))]
        # (2, -3) is clamped to the last texel; all vertices are connected to the painted one at (0, 1), row 0, column 0
        rows, columns = np.nonzero(want[1])
        assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (0, 5), (2, 0), (3, 5)]
        np.testing.assert_allclose(want[0][rows, columns], np.tile(texture[0, 0], (4, 1)), rtol=1e-5)
        for other in (
            [torch.from_numpy(value) for value in (texture, mask[..., None], pos, uv, faces, uv_faces)],
            [value.tolist() for value in (texture, mask, pos, uv, faces, uv_faces)],
            [np.asfortranarray(value) for value in (texture, mask, pos, uv, faces.astype(np.float32), uv_faces)],
        ):
            for array, expected in zip(mesh_inpaint_processor.meshVerticeInpaint(*other, method), want, strict=True):
                np.testing.assert_array_equal(array, expected)
        np.testing.assert_array_equal(texture, self._call()[0])

    @pytest.mark.parametrize("method", ["smooth", "forward"])
    @pytest.mark.parametrize("name", ["inpaint_knot", "inpaint_knot_hard"])
    def test_golden_files(self, name: str, method: str) -> None:
        golden = load_golden(name)
        names = ("texture", "mask", "vtx_pos", "vtx_uv", "pos_idx", "uv_idx")
        texture, mask = mesh_inpaint_processor.meshVerticeInpaint(*(golden[name] for name in names), method=method)
        np.testing.assert_array_equal(mask, golden[f"{method}_mask"])
        np.testing.assert_allclose(texture, golden[f"{method}_texture"], rtol=0, atol=1e-5)

    def test_colors(self) -> None:
        colors, states = mesh_inpaint_processor.meshVerticeColor(*self._call())
        assert (colors.dtype, colors.shape, states.dtype, states.tolist()) == (
            np.float32,
            (4, 3),
            np.uint8,
            [1, 2, 2, 2],
        )

    def test_version_2_0(self) -> None:
        for function in (mesh_processor.meshVerticeInpaint, mesh_processor.meshVerticeInpaint_smooth):
            for array, expected in zip(
                function(*self._call()), mesh_inpaint_processor.meshVerticeInpaint(*self._call()), strict=True
            ):
                np.testing.assert_array_equal(array, expected)

    @pytest.mark.parametrize(
        ("function", "method"),
        [
            (mesh_inpaint_processor.meshVerticeInpaint, "other"),
            (mesh_inpaint_processor.meshVerticeColor, "other"),
            (mesh_processor.meshVerticeInpaint, "forward"),  # version 2.0 has no such
        ],
    )
    def test_unknown_methods(self, function, method: str) -> None:
        with pytest.raises(ValueError, match="Invalid method. Use 'smooth' or 'forward'."):
            function(*self._call(), method=method)

    @pytest.mark.parametrize("module", [mesh_processor, mesh_inpaint_processor])
    def test_native_names(self, module) -> None:
        assert list(inspect.signature(module.meshVerticeInpaint).parameters) == [
            *("texture", "mask", "vtx_pos", "vtx_uv", "pos_idx", "uv_idx", "method")
        ]
