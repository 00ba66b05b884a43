"""Activeness: a linear generator has a closed form, and a direction's activity is the same number."""

import numpy as np
import pytest
import torch
from fakes import LinearGenerator

from disentangle.directions.activeness import measure_activeness
from disentangle.metrics import activeness


class Linear:
    """Pictures are a fixed matrix times the latents."""

    def __init__(self, matrix):
        self.matrix, self.latent_size = matrix, matrix.shape[1]

    def sample_latents(self, n, generator=None):
        return torch.randn(n, self.latent_size, generator=generator)

    def synthesize(self, latents):
        return (latents @ self.matrix.T)[:, None, None, :]


def test_closed_form():
    # the variance of -2, 0, 2 is 8/3, times the mean square of the latent's column
    matrix = torch.tensor([[1.0, 0, 0.1], [0, 0, 0.3]]) / 10
    result = activeness(Linear(matrix), samples=5)
    assert result.activity == pytest.approx(8 / 3 * np.array([0.5, 0, 0.05]) / 100, rel=1e-5)
    assert result.error == pytest.approx(np.zeros(3), abs=1e-9)
    assert result.active == 2
    assert result.score == pytest.approx(8 / 9 * 0.55 / 100, rel=1e-5)
    assert activeness(Linear(matrix), samples=5, threshold=0.5).active == 1
    assert activeness(Linear(matrix), samples=3, positions=(0, 1)).activity[0] == pytest.approx(0.5 / 400, rel=1e-5)
    assert activeness(Linear(0 * matrix)).active == 0


def test_steps_below_eight_bits_count():
    tiny = torch.full((4, 1), 1e-4)
    assert activeness(Linear(tiny), samples=2).activity[0] == pytest.approx(8 / 3 * 1e-8, rel=1e-3)


def test_spread_over_samples_and_any_batch():
    class Product(Linear):
        def synthesize(self, latents):
            return (latents[:, :1] * latents[:, 1:])[:, None, None, :]

    generator = Product(torch.eye(2))
    result = activeness(generator, samples=400, seed=1)
    z = generator.sample_latents(400, torch.Generator().manual_seed(1)).double().numpy()
    values = 8 / 3 * z[:, ::-1] ** 2
    assert result.activity == pytest.approx(values.mean(axis=0), rel=1e-5)
    assert result.error == pytest.approx(values.std(axis=0, ddof=1) / 20, rel=1e-5)
    assert (result.intervals[:, 0] < 8 / 3).all()
    assert (result.intervals[:, 1] > 8 / 3).all()
    assert np.array_equal(activeness(generator, samples=400, seed=1, batch=7).activity, result.activity)
    assert activeness(generator, samples=1).intervals.tolist() == [[0, np.inf]] * 2


def test_agrees_with_the_activity_of_directions():
    from disentangle.directions import discover

    model = LinearGenerator()
    directions = measure_activeness(model, discover(model, "coordinate"), samples=16, seed=0)
    expected = np.sort(directions.activeness.numpy())
    assert np.sort(activeness(model, samples=16).activity) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("settings", [{"samples": 0}, {"batch": 0}, {"positions": (1,)}, {"threshold": 2}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="expected a sample"):
        activeness(Linear(torch.eye(2)), **settings)
