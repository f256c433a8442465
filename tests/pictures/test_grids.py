"""Views on one picture, and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rasterizer.pictures.grids import Grid, gather_pictures, join_views, split_views
from rasterizer.runtime.memory import TooLargeError
from tests.support.measures import peak_memory


def pictures(views: int, height: int = 12, width: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.rand(views, height, width, 3, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.integers(0, 16), st.integers(0, 5), st.integers(1, 9), st.integers(1, 9))
def test_views_come_back_bit_for_bit(views: int, columns: int, padding: int, height: int, width: int) -> None:
    images = pictures(views, height, width)
    grid = Grid.of(views, (height, width), columns, padding)
    whole = join_views(images, grid)
    assert whole.shape[:2] == grid.size
    assert torch.equal(split_views(whole, grid), images)
    if columns:  # somebody who only knows these numbers cuts in the same places
        assert torch.equal(split_views(whole, Grid.within(grid.size, views, columns, padding)), images)


@pytest.mark.parametrize(
    ("views", "size", "columns"),
    [(6, (512, 512), 3), (4, (64, 64), 2), (1, (8, 8), 1), (6, (512, 1024), 2), (5, (8, 8), 3)],
)
def test_a_grid_is_as_square_as_it_can_be(views: int, size: tuple[int, int], columns: int) -> None:
    assert Grid.of(views, size).columns == columns


def test_what_lies_between_views_is_background() -> None:
    grid = Grid.of(3, (4, 4), columns=2, padding=2)
    whole = join_views(torch.zeros(3, 4, 4, 3), grid, (0.25, 0.5, 0.75))
    assert grid.size == (14, 14)
    outside = torch.ones(14, 14, dtype=torch.bool)
    for number in range(3):
        top, left = grid.corner(number)
        outside[top : top + 4, left : left + 4] = False
    assert (whole[outside] == torch.tensor([0.25, 0.5, 0.75])).all()
    assert (whole[~outside] == 0).all()


@pytest.mark.parametrize("factor", [2.0, 1.5, 1.25, 0.5])
@pytest.mark.parametrize("padding", [0, 3])
def test_a_grid_painted_in_another_size_is_cut_in_proportion(factor: float, padding: int) -> None:
    """A smooth picture of a size that does not divide: places must be right to a small part of a pixel."""
    grid = Grid.of(6, (64, 64), columns=3, padding=padding)
    height, width = (round(side * factor) for side in grid.size)
    y = (torch.arange(height) + 0.5) / height * grid.size[0]
    x = (torch.arange(width) + 0.5) / width * grid.size[1]
    painted = torch.stack((y[:, None].expand(height, width), x.expand(height, width)), dim=-1) / 256
    views = split_views(painted, grid, (64, 64))
    for number, view in enumerate(views):
        top, left = grid.corner(number)
        inner = slice(6, -6)  # the filter's reach at a border where the ramp ends
        rows = (torch.arange(64) + 0.5 + top)[inner]
        columns = (torch.arange(64) + 0.5 + left)[inner]
        # A pixel of the smaller grid is a fiftieth of the ramp; the picture's own rounded size moves it by half a one.
        assert torch.allclose(view[inner, inner, 0] * 256, rows[:, None].expand(-1, len(columns)), atol=0.02)
        assert torch.allclose(view[inner, inner, 1] * 256, columns.expand(len(rows), -1), atol=0.02)


def test_nothing_of_a_neighbour_comes_in() -> None:
    images = torch.stack([torch.full((16, 16, 3), value) for value in (0.0, 1.0, 0.25, 0.5)])
    grid = Grid.of(4, (16, 16), 2)
    views = split_views(join_views(images, grid), grid, (24, 24))
    assert torch.equal(views, images[:, :1, :1].expand(4, 24, 24, 3))


def test_a_smaller_grid_keeps_the_views_shape() -> None:
    grid = Grid.of(6, (1024, 512), columns=3, side=256)
    assert grid.cell == (256, 128)
    assert grid.resized(max(grid.view)) == (1024, 512)
    assert split_views(torch.zeros(*grid.size, 3), grid).shape == (6, 1024, 512, 3)


def test_views_of_a_stretched_grid_have_their_own_shape() -> None:
    """A painter that paints 1344 x 896 where 1536 x 1024 is asked, or 1360 x 896, makes squares all the same."""
    grid = Grid.of(6, (512, 512))
    assert split_views(torch.zeros(896, 1360, 1), grid).shape == (6, 512, 512, 1)
    assert split_views(torch.zeros(1040, 1536, 1), grid).shape == (6, 520, 520, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Grid.of(0, (8, 8)), "views"),
        (lambda: Grid.of(6, (8, 8), columns=-1), "columns"),
        (lambda: Grid.of(6, (8, 8), padding=-1), "padding"),
        (lambda: Grid.of(100, (8192, 8192)), "^columns: 100 cells of 8192 x 8192 in 10 columns"),
        (lambda: Grid.within((8, 8), 6, 3, 9), "^grid: 6 views in 3 columns with 9 pixels"),
        (lambda: join_views(torch.zeros(5, 8, 8, 3), Grid.of(6, (8, 8))), "^images: found .* expected 6"),
        (lambda: split_views(torch.zeros(1, 8, 8, 3), Grid.of(1, (8, 8))), "^grid: found"),
        (
            lambda: split_views(torch.zeros(8, 8, 3), Grid.of(6, (8, 8))),
            "^grid: is 8 x 8, but its views lie on a picture of 24 x 16; expected that size or a multiple",
        ),
        (lambda: gather_pictures({}), "^picture_1: nothing is connected"),
        (lambda: gather_pictures({1: torch.zeros(8, 8, 3)}), r"^picture_1: found \[8, 8, 3\]"),
        (lambda: gather_pictures({1: torch.zeros(1, 8, 8, 2)}), r"^picture_1: found \[1, 8, 8, 2\]"),
        (
            lambda: gather_pictures({1: torch.zeros(1, 8, 8, 3), 2: torch.zeros(1, 8, 12, 3)}),
            "^picture_1: is 8 x 8, expected the shape of picture_2, 12 x 8",
        ),
        (
            lambda: gather_pictures({1: torch.zeros(1, 8, 8, 3), 3: torch.zeros(1, 8, 8, 3)}),
            "^picture_2: nothing is connected, but picture_3 is",
        ),
        (
            lambda: gather_pictures({1: torch.zeros(3, 8, 8, 3), 2: torch.zeros(1, 8, 8, 3)}),
            "^picture_2: is connected, but picture_1 is a batch of 3.*connect this to picture_4",
        ),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_pictures_of_other_sizes_are_brought_to_the_largest() -> None:
    images = {3: torch.full((1, 4, 4, 3), 0.75), 1: torch.full((2, 16, 16, 4), 0.25)}
    found = gather_pictures(images)
    assert found.shape == (3, 16, 16, 3)
    assert torch.equal(found[:, 0, 0, 0], torch.tensor([0.25, 0.25, 0.75]))


def test_one_grey_picture_does_not_take_the_others_colours() -> None:
    found = gather_pictures({1: torch.full((1, 4, 4, 1), 0.25), 2: torch.tensor([0.1, 0.2, 0.3]).expand(1, 4, 4, 3)})
    assert torch.equal(found[:, 0, 0], torch.tensor([[0.25, 0.25, 0.25], [0.1, 0.2, 0.3]]))


def test_alpha_stays_where_all_pictures_have_it() -> None:
    images = pictures(2)[..., [0, 1, 2, 0]]
    assert torch.equal(gather_pictures({1: images[:1], 2: images[1:]}), images)


def test_work_is_reported_and_can_be_stopped() -> None:
    grid, done = Grid.of(4, (12, 12)), []
    whole = join_views(pictures(4), grid, on_progress=done.append)
    split_views(whole, grid, on_progress=done.append)
    assert done == [0.25, 0.5, 0.75, 1.0] * 2

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split_views(whole, grid, on_progress=stop)


def test_views_that_do_not_fit_into_memory_are_refused_before_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rasterizer.pictures.grids.free_memory", lambda device: 1 << 30)
    grid = Grid.within((64, 64), 1024)
    text = (
        r"^size: 1024 views of 8192 x 8192 need 1728\.0 GiB of memory on cpu, of which 1\.0 GiB are free; expected 192"
    )
    with pytest.raises(TooLargeError, match=text):
        split_views(torch.rand(64, 64, 3), grid, (8192, 8192))
    monkeypatch.setattr("rasterizer.pictures.grids.free_memory", lambda device: 1024 * 16 * 16 * 3 * 9)
    assert split_views(torch.rand(64, 64, 3), grid, (16, 16)).shape == (1024, 16, 16, 3)
    with pytest.raises(TooLargeError, match="expected 16 or less"):
        split_views(torch.rand(64, 64, 3), grid, (16, 24))


def test_cutting_needs_what_is_asked_for() -> None:
    picture, grid = torch.rand(512, 768, 3), Grid.within((512, 768), 6)
    peak = peak_memory(lambda: torch.cat([split_views(picture, grid, (512, 512))]))
    assert 0.8 * 8 < peak / (6 * 512 * 512 * 3) < 9
