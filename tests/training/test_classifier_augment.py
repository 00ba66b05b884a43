"""The augmentations of classifiers against what they are said to do, and against torchvision's."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import RandomResizedCrop

from disentangle.training.augment import _boxes, _resampling, random_crop, random_flip, random_resized_crop
from disentangle.training.draws import Draws

AUGMENTATIONS = {
    "flip": lambda images, draws, name: random_flip(images, draws, name),
    "crop": lambda images, draws, name: random_crop(images, draws, name),
    "resized crop": lambda images, draws, name: random_resized_crop(images, draws, name, size=20),
}


@pytest.fixture(params=AUGMENTATIONS)
def augment(request: pytest.FixtureRequest):
    return AUGMENTATIONS[request.param]


def pictures(n: int, dtype: torch.dtype = torch.float32, c: int = 3, h: int = 16, w: int = 16) -> torch.Tensor:
    values = torch.randint(0, 256, (n, c, h, w), generator=torch.Generator().manual_seed(0))
    return values.to(dtype) if dtype == torch.uint8 else (values / 127.5 - 1).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_type_and_memory_format_stay(augment, dtype: torch.dtype) -> None:
    images = pictures(6, dtype)
    result = augment(images, Draws(0, 1, 6), "a")
    assert result.dtype == dtype
    assert result.is_contiguous()
    rows = augment(images.contiguous(memory_format=torch.channels_last), Draws(0, 1, 6), "a")
    assert rows.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(rows.double(), result.double(), atol=1e-6)


def test_processes_together_see_what_one_sees(augment) -> None:
    images = pictures(12)
    whole = augment(images, Draws(3, 7, 12), "a")
    assert torch.equal(whole, augment(images, Draws(3, 7, 12), "a"))
    parts = [augment(part, Draws(3, 7, 12, rank, 3), "a") for rank, part in enumerate(images.chunk(3))]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


def test_step_name_and_seed_decide(augment) -> None:
    images = pictures(32)
    result = augment(images, Draws(0, 1, 32), "a")
    for draws, name in ((Draws(1, 1, 32), "a"), (Draws(0, 2, 32), "a"), (Draws(0, 1, 32), "b")):
        assert not torch.equal(augment(images, draws, name), result)


def test_the_input_stays_as_it_was(augment) -> None:
    images = pictures(4)
    before = images.clone()
    augment(images, Draws(0, 1, 4), "a").fill_(7)
    assert torch.equal(images, before)


def test_as_many_pictures_as_draws(augment) -> None:
    with pytest.raises(ValueError, match=r"expected 4 pictures \(n, channels, height, width\), got \(8, 3, 16, 16\)"):
        augment(pictures(8), Draws(0, 1, 8, 0, 2), "a")


def test_half_of_the_pictures_are_mirrored() -> None:
    images = pictures(1).expand(4_000, -1, -1, -1)
    flipped = random_flip(images, Draws(0, 1, 4_000), "a")
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert abs(same.float().mean() - 0.5) < 0.03


@pytest.mark.parametrize(("dtype", "black"), [(torch.uint8, 0), (torch.float32, -1)])
def test_every_crop_is_a_window_on_the_picture_in_a_black_border(dtype: torch.dtype, black: int) -> None:
    images = pictures(600, dtype, h=5, w=7)
    cropped = random_crop(images, Draws(0, 1, 600), "a", padding=2)
    padded = torch.full((600, 3, 9, 11), black, dtype=dtype)
    padded[:, :, 2:-2, 2:-2] = images
    places = torch.zeros(5, 5)
    for top in range(5):
        for left in range(5):
            window = padded[:, :, top : top + 5, left : left + 7]
            places[top, left] = (cropped == window).flatten(1).all(1).sum()
    assert places.sum() == 600
    # 24 ± 4.8 each, were all as likely
    assert places.min() > 9
    assert places.max() < 41


def test_a_crop_without_padding_changes_nothing() -> None:
    images = pictures(5)
    assert torch.equal(random_crop(images, Draws(0, 1, 5), "a", padding=0), images)
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        random_crop(images, Draws(0, 1, 5), "a", padding=-1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_whole_picture_at_its_size_is_the_picture(dtype: torch.dtype) -> None:
    images = pictures(5, dtype)
    whole = random_resized_crop(images, Draws(0, 1, 5), "a", 16, scale=(1, 1), ratio=(1, 1))
    assert torch.allclose(whole.double(), images.double(), atol=1e-6)


@pytest.mark.parametrize(
    ("start", "length", "total", "size"),
    [(0, 16, 16, 16), (3, 9, 16, 5), (2, 13, 16, 8), (5, 4, 16, 11), (0, 1, 4, 3), (7, 9, 16, 1), (0, 31, 40, 30)],
)
def test_resampling_is_that_of_torch(start: int, length: int, total: int, size: int) -> None:
    picture = pictures(1, torch.float64, h=total, w=7)
    weights = _resampling(torch.tensor([start]), torch.tensor([length]), total, size)
    cut = picture[:, :, start : start + length].contiguous()
    expected = F.interpolate(cut, size=(size, 7), mode="bilinear", antialias=True)
    assert torch.allclose(weights[:, None] @ picture, expected, atol=1e-12)


def test_each_picture_is_its_own_box_resized() -> None:
    images, draws = pictures(40, torch.float64, h=20, w=30), Draws(0, 1, 40, dtype=torch.float64)
    result = random_resized_crop(images, draws, "a", 12)
    boxes = _boxes(draws.uniform("a/tries", 10, 2), draws.uniform("a/places", 2), 20, 30, (0.08, 1), (3 / 4, 4 / 3))
    for image, picture, (top, left, height, width) in zip(images, result, boxes.tolist(), strict=True):
        cut = image[None, :, top : top + height, left : left + width]
        expected = F.interpolate(cut, size=(12, 12), mode="bilinear", antialias=True)[0]
        assert torch.allclose(picture, expected, atol=1e-12)


def uniforms(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("h", "w", "scale", "ratio"),
    [
        (32, 32, (0.08, 1.0), (3 / 4, 4 / 3)),
        (20, 60, (0.08, 1.0), (3 / 4, 4 / 3)),  # boxes often do not fit, and the fallback is narrower
        (24, 24, (0.9, 1.0), (0.5, 0.6)),  # boxes never fit
        (60, 20, (0.5, 1.0), (1.0, 1.0)),
    ],
)
def test_boxes_are_distributed_as_those_of_torchvision(
    h: int, w: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    n = 4_000
    boxes = _boxes(uniforms(n, 10, 2), uniforms(n + 1, 2)[1:], h, w, scale, ratio).double()
    torch.manual_seed(0)
    picture = torch.empty(1, h, w)
    theirs = torch.tensor([RandomResizedCrop.get_params(picture, scale, ratio) for _ in range(n)]).double()
    for column in range(4):
        values = torch.cat([boxes[:, column], theirs[:, column]]).unique()
        ours, their = ((x[:, column, None] <= values).double().mean(0) for x in (boxes, theirs))
        # Kolmogorov-Smirnov: a difference of 1.95 √(2/n) comes once in a thousand draws
        assert (ours - their).abs().max() < 1.95 * math.sqrt(2 / n)
    for reach in (boxes, theirs):
        assert (reach[:, :2] >= 0).all()
        assert (reach[:, 0] + reach[:, 2]).max() <= h
        assert (reach[:, 1] + reach[:, 3]).max() <= w
    # the place does not depend on the size
    room = torch.tensor([h, w]) - boxes[:, 2:]
    for axis in (0, 1):
        free = room[:, axis] >= 4
        if free.sum() > 1000 and len(boxes[free, axis].unique()) > 3:
            fraction = (boxes[free, axis] + 0.5) / (room[free, axis] + 1)
            assert abs(fraction.mean() - 0.5) < 0.03
            assert abs(fraction.std() - math.sqrt(1 / 12)) < 0.03


def test_a_box_that_never_fits_is_the_middle() -> None:
    boxes = _boxes(uniforms(5, 10, 2), uniforms(5, 2), 24, 24, (0.9, 1.0), (0.5, 0.6))
    assert boxes.tolist() == [[0, 5, 24, 14]] * 5
    boxes = _boxes(uniforms(5, 10, 2), uniforms(5, 2), 24, 24, (0.9, 1.0), (1.7, 2.0))
    assert boxes.tolist() == [[5, 0, 14, 24]] * 5


@pytest.mark.parametrize(
    "bad",
    [{"size": 0}, {"scale": (0, 1)}, {"scale": (0.5, 1.1)}, {"scale": (1, 0.5)}, {"ratio": (0, 1)}, {"ratio": (2, 1)}],
)
def test_numbers_without_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected size > 0, 0 < scale <= 1 and 0 < ratio, each rising, got"):
        random_resized_crop(pictures(2), Draws(0, 1, 2), "a", **{"size": 8, **bad})


def test_reduced_precision_does_not_touch_the_data() -> None:
    images = pictures(4)
    exact = random_resized_crop(images, Draws(0, 1, 4), "a", 12)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(random_resized_crop(images, Draws(0, 1, 4), "a", 12), exact)
