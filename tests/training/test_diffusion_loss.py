"""The denoising loss is what its papers say."""

import pytest
import torch
from torch import Tensor

from disentangle.models import HSpaceDiffusion
from disentangle.models.diffusion import make_unet
from disentangle.training.draws import Draws
from disentangle.training.objectives.base import Batch
from disentangle.training.objectives.diffusion import (
    DiffusionLoss,
    DiffusionObjective,
    min_snr_weights,
    uniform_timesteps,
)
from disentangle.training.recipes.diffusion import RECIPES

NETWORK = {
    "block_out_channels": (4, 4),
    "down_block_types": ("DownBlock2D",) * 2,
    "up_block_types": ("UpBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "attention_head_dim": 4,
}
TIMESTEPS = 50


class Model(HSpaceDiffusion):
    """Predicts what it is told to, and remembers what it saw."""

    def forward(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        self.seen = noisy, timesteps
        return self.answer(noisy, timesteps)


def objective(prediction: str, min_snr: float = 0.0) -> tuple[Model, DiffusionObjective]:
    schedule = {"beta_schedule": "linear", "num_train_timesteps": TIMESTEPS, "prediction_type": prediction}
    model = Model(size=8, channels=1, codes=1, steps=2, network=NETWORK, schedule=schedule).double()
    return model, DiffusionObjective(model, DiffusionLoss(min_snr=min_snr))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_right_answer_costs_nothing_and_a_wrong_one_its_square(prediction: str) -> None:
    model, loss = objective(prediction)
    # Pictures that are all of one known shade tell the noise in what is seen, and so what was to be predicted.
    images = torch.full((400, 1, 8, 8), 0.25, dtype=torch.float64)

    def right(noisy: Tensor, timesteps: Tensor) -> Tensor:
        signal = model.signal[timesteps][:, None, None, None]
        noise = (noisy - signal.sqrt() * images) / (1 - signal).sqrt()
        velocity = signal.sqrt() * noise - (1 - signal).sqrt() * images
        return {"epsilon": noise, "v_prediction": velocity, "sample": images}[prediction]

    batch = Batch(images, Draws(seed=3, step=1, batch=400, dtype=torch.float64))
    model.answer = right
    assert loss(batch)["loss"].item() == pytest.approx(0, abs=1e-20)
    model.answer = lambda noisy, timesteps: right(noisy, timesteps) + 0.5
    assert loss(batch)["loss"].item() == pytest.approx(0.25, abs=1e-12)
    # Every timestep is as likely as any other, and the noise is new for each picture and each step.
    counts = torch.bincount(model.seen[1], minlength=TIMESTEPS)
    assert len(counts) == TIMESTEPS
    assert counts.max() < 8 + 5 * 8**0.5
    first = model.seen[0]
    assert len(first.flatten(1).unique(dim=0)) == 400
    loss(Batch(images, Draws(seed=3, step=2, batch=400, dtype=torch.float64)))
    assert not torch.equal(first, model.seen[0])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_min_snr_weighs_an_error_of_the_picture_alike_whatever_is_predicted(prediction: str) -> None:
    signal = torch.tensor([0.99, 0.9, 0.5, 0.1, 0.01], dtype=torch.float64)
    ratio = signal / (1 - signal)
    # An error e of the picture is an error of the noise of e √SNR, and of the velocity of e / √(1 - ᾱ).
    squared = {"epsilon": ratio, "v_prediction": 1 / (1 - signal), "sample": torch.ones(5, dtype=torch.float64)}
    weighed = min_snr_weights(signal, 5.0, prediction) * squared[prediction]
    torch.testing.assert_close(weighed, ratio.clamp(max=5.0), rtol=1e-12, atol=0)
    assert min_snr_weights(torch.zeros(1), 5.0, prediction).item() == (1.0 if prediction == "epsilon" else 0.0)


def test_min_snr_weighs_each_picture() -> None:
    model, loss = objective("sample", min_snr=5.0)
    images = torch.zeros(64, 1, 8, 8, dtype=torch.float64)
    errors = torch.rand(64, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model.answer = lambda noisy, timesteps: errors.expand_as(noisy)
    found = loss(Batch(images, Draws(seed=3, step=1, batch=64, dtype=torch.float64)))
    signal = model.signal[model.seen[1]]
    expected = ((signal / (1 - signal)).clamp(max=5.0) * errors.flatten() ** 2).mean()
    torch.testing.assert_close(found["loss"], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(found["error"], (errors**2).mean(), rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match=r"loss.min_snr must be at least 0 and finite, got -1"):
        DiffusionLoss(min_snr=-1.0).check()


def test_no_uniform_number_gives_a_timestep_beyond_the_last() -> None:
    largest = torch.tensor([0.0, 1 - 2**-24])
    assert uniform_timesteps(largest, 4000).tolist() == [0, 3999]
    assert uniform_timesteps(torch.tensor([0.4999, 0.5]), 2).tolist() == [0, 1]


@pytest.mark.parametrize(("name", "millions"), [("cifar10-ddpm", 35.7), ("ffhq-ddpm", 113.7)])
def test_the_published_networks_have_as_many_parameters_as_published(name: str, millions: float) -> None:
    recipe = RECIPES[name]
    with torch.device("meta"):
        unet = make_unet(recipe.model.network(recipe.data.size), recipe.data.size, 3)
    assert sum(p.numel() for p in unet.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
