"""Looking textures up."""

from __future__ import annotations

import pytest
import torch

from rasterizer.pictures.sampling import sample_texture


def test_texture_sampling_is_bilinear_at_texel_centres_and_repeats() -> None:
    texture = torch.arange(12, dtype=torch.float32).view(3, 4, 1)
    centres = torch.tensor([[(x + 0.5) / 4, (y + 0.5) / 3] for y in range(3) for x in range(4)])
    torch.testing.assert_close(sample_texture(texture, centres).view(3, 4, 1), texture, rtol=0, atol=1e-5)
    between = sample_texture(texture, torch.tensor([[0.25, 0.5 / 3], [1.25, 1 + 0.5 / 3], [0.0, 0.5 / 3]]))
    torch.testing.assert_close(between[:, 0], torch.tensor([0.5, 0.5, 1.5]), rtol=0, atol=1e-4)
    assert sample_texture(texture, torch.tensor([[float("nan"), 1e30]])).shape == (1, 1)  # no index leaves the texture


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_stored_textures_are_the_numbers_that_they_stand_for(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    stored = torch.randint(256, (9, 7, 3), generator=random).to(dtype)
    numbers, uv = stored.to(torch.float32).div(255 if dtype == torch.uint8 else 1), torch.rand(40, 2, generator=random)
    assert torch.equal(sample_texture(stored, uv), sample_texture(numbers, uv))
