"""Recorded inputs, outputs and gradients of nvdiffrast 0.4.0: ``tests/golden/nvdiffrast``.

A file is one case. ``meta`` is JSON; ``in_*`` are inputs, ``out*`` outputs, ``g_*`` gradients. Random arrays are stored
as seeds of :func:`normal`:

- rasterize: ``dy_seeds_rast_db = [a, b]``: the loss is ``sum(rast * N(a)) + sum(db * N(b))``; ``g_pos_from_rast_only``
  is the first term's. Peeling: one pair a layer, losses summed.
- interpolate: attributes N(``attr_seed``) of ``attr_shape``; rast and db are ``out_rast`` and ``out_db`` of the case
  ``uses_rast_case``; ``dy_seeds = [out, out_da]``.
- texture: N(``tex_seed``) of ``tex_shape``; upstream gradient N(``dy_seed``), then ``dy.reshape(-1, C)[::7] = 0``;
  custom mips: level k is N(``mip_seed0 + k - 1``). ``grads_none``: inputs whose ``.grad`` stays None. ``g_tex`` and
  ``g_mipK`` were put together from 32 masked backward passes: the original's own are wrong in some modes.
- antialias: N(``color_seed``) of ``color_shape``, or the mask id > 0; ``dy_seed``; ``in_rast`` is given.
- pipeline: rasterize, interpolate(uv, "all"), texture(linear-mipmap-linear, uv_da), where(id > 0, c, 0), antialias;
  ``tex_seed``, ``dy_seed``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "golden" / "nvdiffrast"


@dataclass(frozen=True)
class Case:
    """One file."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def __contains__(self, name: str) -> bool:
        return name in self.arrays


def names(prefix: str) -> list[str]:
    """Names of the cases that begin so."""
    return sorted(file.stem for file in FOLDER.glob(f"{prefix}*.npz"))


def load(name: str) -> Case:
    """A case by name."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return Case(json.loads(str(arrays.pop("meta"))), arrays)


def normal(seed: int, *shape: int) -> Tensor:
    """N(seed): what the recordings call so."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def behaviour() -> dict[str, dict[str, Any]]:
    """Probes of the interface: what was returned, or which exception was raised."""
    return json.loads((FOLDER / "behaviour.json").read_text(encoding="utf-8"))
