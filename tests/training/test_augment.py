"""Differentiable augmentation against what it is said to do."""

import torch
from torch.autograd import gradcheck

from disentangle.training.augment import _colour, _cutout, _translate, diff_augment
from disentangle.training.draws import Draws


def amounts(*values: float) -> torch.Tensor:
    return torch.tensor(values)[None, :, None, None, None]


def test_probability_zero_changes_nothing_and_one_changes_every_picture() -> None:
    images = torch.rand(32, 3, 16, 16) * 2 - 1
    assert diff_augment(images, Draws(0, 1, 32), "a", 0.0) is images
    changed = diff_augment(images, Draws(0, 1, 32), "a", 1.0)
    assert ((changed - images).abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_each_augmentation_comes_as_often_as_asked_for() -> None:
    # A white picture: a cut-out leaves zeros, and with colour and shift drawn out, only it does.
    images = torch.ones(4_000, 1, 8, 8)
    chosen = Draws(0, 1, 4_000).uniform("a/chosen", 3) < 0.6
    holes = diff_augment(images, Draws(0, 1, 4_000), "a", 0.6)[~chosen[:, :2].any(dim=1)]
    assert abs((holes.amin(dim=(1, 2, 3)) == 0).float().mean() - 0.6) < 0.07
    assert torch.allclose(chosen.float().mean(0), torch.tensor(0.6), atol=0.04)


def test_colour_is_brightness_then_saturation_then_contrast() -> None:
    images = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    assert torch.allclose(_colour(images, amounts(0.5, 0.5, 0.5)), images)
    assert torch.allclose(_colour(images, amounts(0.75, 0.5, 0.5)), images + 0.25)
    grey = _colour(images, amounts(0.5, 0.0, 0.5))
    assert torch.allclose(grey, images.mean(dim=1, keepdim=True).expand_as(images))
    stretched = _colour(images, amounts(0.5, 0.5, 1.0))
    assert torch.allclose(stretched - images.mean(), 1.5 * (images - images.mean()))


def test_translation_moves_by_whole_pixels_at_most_an_eighth() -> None:
    images = torch.arange(1.0, 257.0).view(1, 1, 16, 16)
    assert torch.equal(_translate(images, torch.tensor([[0.5, 0.5]])), images)
    up_left = _translate(images, torch.tensor([[0.0, 0.0]]))
    assert torch.equal(up_left[..., :-2, :-2], images[..., 2:, 2:])
    assert (up_left[..., -2:, :] == 0).all()
    assert (up_left[..., :, -2:] == 0).all()
    down_right = _translate(images, torch.tensor([[0.999, 0.999]]))
    assert torch.equal(down_right[..., 2:, 2:], images[..., :-2, :-2])


def test_cutout_is_a_square_of_half_the_size() -> None:
    images = torch.ones(1, 1, 16, 16)
    mask = _cutout(images, torch.tensor([[0.5, 0.5]]), torch.tensor([True]))
    assert (mask == 0).sum() == 64
    assert (mask[..., 4:12, 4:12] == 0).all()
    corner = _cutout(images, torch.tensor([[0.0, 0.0]]), torch.tensor([True]))
    assert (corner == 0).sum() == 16
    assert (_cutout(images, torch.tensor([[0.5, 0.5]]), torch.tensor([False])) == 1).all()


def test_gradients_pass() -> None:
    images = torch.rand(3, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    draws = Draws(0, 1, 3, dtype=torch.float64)
    assert gradcheck(lambda x: diff_augment(x, draws, "a", 0.8), images)
