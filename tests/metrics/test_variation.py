"""Variation predictability: linear generators of which it is known what can be told apart."""

import numpy as np
import pytest
import torch

from disentangle.metrics import variation_predictability

SETTINGS = {"width": 8, "epochs": 15, "repeats": 2}


class Patches:
    """Each latent is the brightness of a quarter of the picture, given by ``places``; −1 for none."""

    def __init__(self, *places):
        self.places, self.latent_size = places, len(places)

    def sample_latents(self, n, generator=None):
        return torch.randn(n, self.latent_size, generator=generator)

    def synthesize(self, latents):
        images = torch.zeros(len(latents), 1, 16, 16)
        for k, place in enumerate(self.places):
            if place >= 0:
                row, column = 8 * (place // 2), 8 * (place % 2)
                # stripes differ in direction too: the pooled network sees what, not where
                patch = torch.zeros(8, 8)
                patch[:: place + 1] = 1
                images[:, 0, row : row + 8, column : column + 8] += 0.2 * latents[:, k, None, None] * patch
        return images


def test_latents_of_their_own_are_known():
    result = variation_predictability(Patches(0, 1, 2, 3), 1500, **SETTINGS)
    assert result.score > 0.95
    assert result.recall.min() > 0.85
    assert result.chance == 0.25
    assert (result.train, result.test) == (150, 1350)
    low, high = result.interval
    assert low < result.score < high <= 1
    assert result.spread == pytest.approx(np.std(result.accuracies, ddof=1))


def test_two_latents_that_do_the_same_are_guessed_among():
    # two of three cannot be told apart: (1 + ½ + ½) / 3, up to the luck of which one is answered
    result = variation_predictability(Patches(0, 0, 3), 1500, **SETTINGS)
    assert result.score == pytest.approx(2 / 3, abs=0.04)
    assert result.recall[2] > 0.95
    assert result.recall[:2].sum() == pytest.approx(1, abs=0.1)


def test_dead_latents_are_at_chance():
    result = variation_predictability(Patches(-1, -1), 600, width=4, epochs=3)
    assert result.score == pytest.approx(0.5, abs=0.05)
    assert len(result.accuracies) == 3


def test_one_latent_is_always_known():
    result = variation_predictability(Patches(0), 60, width=4, epochs=1, repeats=1)
    assert (result.score, result.chance, result.spread) == (1, 1, 0)
    assert result.interval == (1, 1)


def test_seeded():
    settings = {"width": 4, "epochs": 2, "repeats": 1}
    done = []
    torch.manual_seed(1)
    first = variation_predictability(Patches(0, 1), 300, seed=3, progress=done.append, **settings)
    torch.manual_seed(2)
    assert variation_predictability(Patches(0, 1), 300, seed=3, **settings).score == first.score
    both = variation_predictability(Patches(0, 1), 300, seed=2, **(settings | {"repeats": 2}))
    assert both.accuracies[1] == first.score
    assert done == [1, 2]


@pytest.mark.parametrize("settings", [{"pairs": 9}, {"train_share": 1.0}, {"repeats": 0}, {"batch": 1}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="at least 10 pairs"):
        variation_predictability(Patches(0), **settings)
