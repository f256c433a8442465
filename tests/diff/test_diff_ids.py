"""Ids out of floats, above 2**24 too, where floats are no longer integers in a row."""

from __future__ import annotations

import torch

from rasterizer.backends.eager.diff.ids import triangles_shown
from rasterizer.contract.diff_rule import decode_ids, encode_ids


def test_ids_above_all_floats_that_are_integers() -> None:
    ids = torch.tensor([0.0, 1.0, 16777215.0, 16777216.0, 16777218.0, 16777220.0, 33554432.0, 33554436.0])
    numbers = [0, 1, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 2, 2**25 - 2**23, 2**25 - 2**23 + 1]
    assert decode_ids(ids).tolist() == numbers
    assert decode_ids(ids[None, ::2]).tolist() == [numbers[::2]]
    assert torch.equal(encode_ids(torch.tensor(numbers, dtype=torch.int32), 2**25), ids)
    for triangles in (2**24 - 2, 2**24 - 1, 2**24, 2**24 + 1, 2**30):
        assert triangles_shown(ids, triangles).tolist() == [each * (each <= triangles) for each in numbers]


def test_what_is_no_id_names_no_triangle() -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), -1.0, -0.0, 0.99, 1e20, -1e20, 3e38])
    assert not triangles_shown(odd, 1000).any()
    assert not triangles_shown(odd, 2**26).any()
