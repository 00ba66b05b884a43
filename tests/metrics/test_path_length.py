"""Path length: generators whose path has a known length, the trap of 8 bits, and the settings by name."""

import math

import numpy as np
import pytest
import torch

from disentangle.errors import UserError
from disentangle.metrics import perceptual_path_length
from disentangle.metrics.path_length import _point


class Plane:
    """Pictures are the latents themselves, times a gain."""

    def __init__(self, latents, gain=0.1, draw=torch.randn):
        self.latent_size, self.gain, self.draw = latents, gain, draw

    def sample_latents(self, n, generator=None):
        return self.draw(n, self.latent_size, generator=generator, dtype=torch.float64)

    def synthesize(self, latents):
        return (self.gain * latents)[:, None, None, :]


class Rounding(Plane):
    def synthesize(self, latents):
        return super().synthesize(latents).mul(127.5).round().div(127.5)


class Corners(Plane):
    """The two latents of a path are a right angle apart."""

    def sample_latents(self, n, generator=None):
        self.calls = getattr(self, "calls", -1) + 1
        return 3 * torch.eye(2, dtype=torch.float64)[self.calls % 2].expand(n, 2)


def squared(a, b):
    return (a - b).square().sum((1, 2, 3))


def test_straight_line():
    # E|z₁ − z₀|² = 2 d, whatever the place
    result = perceptual_path_length(Plane(50), squared, 2000, path="lerp")
    assert result.score == pytest.approx(0.01 * 100, rel=0.02)
    low, high = result.interval
    assert low < 1 < high
    assert high - low < 0.04


@pytest.mark.parametrize("path", ["slerp", "sphere"])
def test_quarter_circle(path):
    # at any place on a circle of radius r the squared speed is (r π/2)²
    radius = 3 if path == "slerp" else math.sqrt(2)
    result = perceptual_path_length(Corners(2), squared, 20, path=path)
    assert result.lengths == pytest.approx(np.full(20, 0.01 * (radius * math.pi / 2) ** 2), rel=1e-6)
    assert result.kept == 20


def test_path_between_latents_of_one_direction():
    a = torch.tensor([[1.0, 2, 2]], dtype=torch.float64)
    t = torch.tensor([[0.25]], dtype=torch.float64)
    for other in (a, 3 * a, -a):
        assert torch.isfinite(_point(a, other, t, "slerp")).all()
    assert torch.allclose(_point(a, 3 * a, t, "slerp"), 1.5 * a)
    assert torch.allclose(_point(a, -a + 1e-3, 0 * t, "slerp"), a)
    assert torch.allclose(_point(a, torch.ones(1, 3).double(), 0 * t + 1, "slerp"), torch.ones(1, 3).double())


def test_end_and_full_sampling_differ_only_in_place():
    class Bent(Plane):
        def synthesize(self, latents):
            return super().synthesize(latents.square())

    ends = perceptual_path_length(Bent(2, draw=torch.rand), squared, 50, sampling="end", path="lerp")
    z = torch.Generator().manual_seed(0)
    a, b = (torch.rand(32, 2, generator=z, dtype=torch.float64) for _ in range(2))
    expected = 0.01 * (2 * a * (b - a)).square().sum(1)
    assert ends.lengths[:32] == pytest.approx(expected.numpy(), rel=1e-2)
    assert perceptual_path_length(Bent(2, draw=torch.rand), squared, 50, path="lerp").score != ends.score


def test_rounding_to_eight_bits_would_ruin_it():
    smooth = perceptual_path_length(Plane(4), squared, 300).score
    assert perceptual_path_length(Rounding(4), squared, 300).score > 20 * smooth


def test_steps_that_change_nothing_are_told_of():
    class Quantised(Plane):
        def synthesize(self, latents):
            return super().synthesize(latents.round())

    settings = {"samples": 100, "epsilon": 1e-6}
    still = perceptual_path_length(Quantised(2), squared, **settings)
    assert still.score == 0
    assert "100% of the steps leave the picture as it is" in still.warnings[0]
    assert perceptual_path_length(Plane(2), squared, **settings).warnings == ()


def test_outliers_are_trimmed():
    def wild(a, b):
        found = torch.arange(len(a), dtype=torch.float64)
        found[-1] = 1e9
        return found

    result = perceptual_path_length(Plane(2), wild, 1000, batch=1000, epsilon=0.5)
    # the percentiles of 0 … 998, 1e9 are 9 and 990, both kept
    assert result.kept == 982
    assert result.score == pytest.approx(4 * (9 + 990) / 2)


class Steps:
    """Pictures of a given size, white to the right of a place that no latent moves."""

    latent_size = 1

    def __init__(self, size):
        self.size = size

    def sample_latents(self, n, generator=None):
        return torch.zeros(n, 1)

    def synthesize(self, latents):
        return torch.zeros(len(latents), 3, self.size, self.size)


@pytest.mark.parametrize(
    ("size", "crop", "resize", "seen"),
    [
        (64, "none", "shrink", (64, 64)),
        (64, "none", "256", (256, 256)),
        (512, "none", "256", (256, 256)),
        (1024, "none", "shrink", (256, 256)),
        (1024, "face", "shrink", (256, 256)),
        (64, "face", "none", (32, 32)),
        (512, "none", "none", (512, 512)),
    ],
)
def test_what_the_distance_sees(size, crop, resize, seen):
    shapes = []

    def distance(a, b):
        shapes.append(tuple(a.shape))
        return squared(a, b)

    result = perceptual_path_length(Steps(size), distance, 2, crop=crop, resize=resize)
    assert shapes == [(2, 3, *seen)]
    assert result.score == 0
    assert f"crop {crop}, resize {resize}, distance" in result.variant


def test_the_same_again_in_any_process_state():
    torch.manual_seed(5)
    done = []
    first = perceptual_path_length(Plane(3), squared, 10, seed=4, batch=4, progress=done.append)
    torch.manual_seed(6)
    assert np.array_equal(perceptual_path_length(Plane(3), squared, 10, seed=4, batch=4).lengths, first.lengths)
    assert perceptual_path_length(Plane(3), squared, 10, seed=5, batch=4).score != first.score
    assert done == [4, 8, 10]


def test_bad_settings():
    for name in ("path", "sampling", "crop", "resize"):
        with pytest.raises(UserError, match=f"unknown {name} 'wrong'"):
            perceptual_path_length(Plane(2), squared, 2, **{name: "wrong"})
    for settings in ({"samples": 0}, {"epsilon": 0}, {"batch": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            perceptual_path_length(Plane(2), squared, **settings)
    with pytest.raises(ValueError, match="2 numbers for 2 pairs"):
        perceptual_path_length(Plane(2), lambda a, b: (a - b).sum(), 2)
    assert perceptual_path_length(Plane(2), squared, 1).interval == (0, math.inf)
