"""What is drawn is what the generator makes, in its place."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from disentangle.directions import Directions, discover, measure_activeness, move
from disentangle.directions.captions import spanned
from disentangle.directions.draw import CAPTION, FRAMES, HEADER, PAD, gif_bytes, loop, scale_for, strips
from disentangle.pictures import to_uint8
from tests.fakes import LinearGenerator


@pytest.fixture(params=[1, 3])
def generator(request: pytest.FixtureRequest) -> LinearGenerator:
    return LinearGenerator(size=32, channels=request.param, gain=0.3)


@pytest.fixture
def directions(generator: LinearGenerator) -> Directions:
    return measure_activeness(generator, discover(generator, "weights"), samples=1)


def cell(sheet: Image.Image, generator: LinearGenerator, left: int, top: int) -> np.ndarray:
    """The picture at a corner, brought back to its size."""
    enlarged = np.asarray(sheet)[top : top + 96, left : left + 96]
    small = enlarged[1::3, 1::3]
    assert (np.kron(small, np.ones((3, 3, 1), np.uint8)) == enlarged).all(), "every pixel is three by three equal ones"
    return small


def test_strips(generator: LinearGenerator, directions: Directions) -> None:
    latents = generator.sample_latents(2, torch.Generator().manual_seed(0))
    sheet = strips(generator, directions, latents, order=[2, 0, 1])
    assert sheet.mode == "RGB"
    block = 2 * (96 + PAD) + PAD + 1
    assert sheet.size == (CAPTION + 7 * (96 + PAD) + PAD, HEADER + 3 * block)
    for row, k in enumerate([2, 0, 1]):
        expected = to_uint8(generator.synthesize(move(latents, directions, k, range(-3, 4)).flatten(0, 1)))
        for n, column in ((0, 0), (0, 3), (1, 6)):
            left = CAPTION + PAD + column * (96 + PAD)
            top = HEADER + row * block + 1 + PAD + n * (96 + PAD)
            picture = expected[n * 7 + column].permute(1, 2, 0).expand(-1, -1, 3).numpy()
            assert np.array_equal(cell(sheet, generator, left, top), picture)


def test_captions_stay_left_of_the_pictures(generator: LinearGenerator, directions: Directions) -> None:
    long = Directions(**{**vars(directions), "layers": ("a layer with a very, very long name",) * 6})
    sheet = np.asarray(strips(generator, long, generator.sample_latents(1)))
    gutter = sheet[HEADER + 1 :, CAPTION - 1]
    rules = (gutter == (226, 228, 232)).all(1)
    assert (gutter[~rules] == 255).all()
    assert (sheet[HEADER + 1 :, 14:CAPTION] < 128).any(), "there is a caption"


def test_how_far_a_value_moves_in_words() -> None:
    assert spanned((-0.31, 0.284)) == "−0.31 … +0.28"
    assert spanned((-0.01, 0.06)) == "−0.01 … +0.06"
    assert spanned((-0.04, 0.04)) == spanned(None) == ""


def test_the_loop_starts_in_the_middle_and_closes(generator: LinearGenerator, directions: Directions) -> None:
    latents = generator.sample_latents(2, torch.Generator().manual_seed(0))
    frames = loop(generator, directions, latents, order=[1, 0])
    assert len(frames) == FRAMES
    corner = (PAD, HEADER + PAD)
    for index, position in ((0, 0.0), (10, 3.0), (20, 0.0), (30, -3.0)):
        picture = to_uint8(generator.synthesize(move(latents, directions, 1, [position])[:, 0]))[0]
        drawn = cell(frames[index], generator, *corner)
        # the sine of a multiple of pi is zero only up to rounding, which may move a pixel by one grey
        assert np.abs(drawn.astype(int) - picture.permute(1, 2, 0).numpy().astype(int)).max() <= 1
    pixels = [np.asarray(frame).astype(int) for frame in frames]
    steps = [np.abs(a - b).mean() for a, b in zip(pixels, [*pixels[1:], pixels[0]])]
    assert steps[-1] <= 1.5 * max(steps[:-1]), "the last frame leads into the first"
    assert all(step < 15 for step in steps)


def test_the_gif_plays_for_ever(generator: LinearGenerator, directions: Directions) -> None:
    frames = loop(generator, directions, generator.sample_latents(1), order=[0])
    gif = Image.open(io.BytesIO(gif_bytes(frames)))
    assert (gif.n_frames, gif.info["loop"], gif.size) == (FRAMES, 0, frames[0].size)  # type: ignore[attr-defined]
    error = np.abs(np.asarray(gif.convert("RGB")).astype(int) - np.asarray(frames[0]).astype(int)).mean()
    assert error < 8


def test_the_palette_has_the_colours_of_the_whole_swing() -> None:
    # What the middle and both ends show differs, and each is shown in its own colour.
    colours = [(200, 30, 30)] * 2 + [(30, 180, 60)] * 2 + [(200, 30, 30)] * 2 + [(40, 60, 210)] * 2
    frames = [Image.new("RGB", (16, 16), colour) for colour in colours]
    for i, frame in enumerate(frames):
        frame.putpixel((i, 0), (255, 255, 255))  # that equal neighbours stay two frames
    gif = Image.open(io.BytesIO(gif_bytes(frames)))
    assert gif.n_frames == 8  # type: ignore[attr-defined]
    for i, colour in enumerate(colours):
        gif.seek(i)
        shown = np.asarray(gif.convert("RGB")).astype(int)
        assert np.abs(shown[8, 8] - colour).max() <= 2, i
        assert shown[0, i].min() > 250


def test_sizes_and_refusals(generator: LinearGenerator, directions: Directions) -> None:
    assert [scale_for(size) for size in (8, 28, 32, 64, 128, 256)] == [12, 4, 3, 2, 1, 1]
    with pytest.raises(ValueError, match="expected a direction"):
        strips(generator, directions, torch.zeros(0, 6))
    with pytest.raises(ValueError, match="expected a direction"):
        loop(generator, directions, torch.zeros(1, 6), order=[])
