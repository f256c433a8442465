"""Pictures on their way to a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rasterizer.pictures.files import to_pil
from tests.support.measures import peak_memory


@pytest.mark.parametrize("shape", [(1000, 500, 3), (65, 7)], ids=str)
def test_a_picture_is_rounded_to_8_bits_a_part_at_a_time(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    expected = (image.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
    if image.numel() > 1000:
        assert peak_memory(lambda: to_pil(image)) < 0.75 * image.numel() * 4
    assert torch.equal(torch.from_numpy(np.array(to_pil(image))), expected)
