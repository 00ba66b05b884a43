"""Training around a published AutoencoderKL."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from tiny import RECIPES, make_trainer

from disentangle.errors import UserError
from disentangle.training.architectures import AutoencoderKLConfig
from disentangle.training.recipe import Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A training of a subspace around a small autoencoder of three channels; the digits are grey."""
    settings = {"block_out_channels": (4,), "latent_channels": 1, "norm_num_groups": 2}
    AutoencoderKL(**settings, mid_block_add_attention=False).save_pretrained(tmp_path / "vae")
    model = AutoencoderKLConfig(latent_size=3, weights=tmp_path)
    return replace(RECIPES["autoencoder-kl"], model=model)


def test_what_is_frozen_stays_and_the_subspace_begins_with_the_training_set(tmp_path: Path, recipe: Recipe) -> None:
    trainer = make_trainer(tmp_path / "run", recipe)
    model = trainer.product
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = trainer.pictures.batch(torch.arange(100), torch.device("cpu"), torch.float32)
    with torch.no_grad():
        mean, log_variance = model.posterior_of(images)
    assert torch.allclose(mean.mean(0), torch.zeros(3), atol=1e-3)
    assert torch.allclose(mean.var(0, correction=0) + log_variance.exp().mean(0), torch.ones(3), atol=1e-3)
    trainer.train()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"subspace.basis", "subspace.scale", "subspace.mean", "posterior.weight", "posterior.bias"}
    loaded = trainer.run.load_generator()
    assert torch.equal(loaded.posterior.weight, trainer.ema.model.posterior.weight)
    assert torch.equal(loaded.backbone.decoder.conv_in.weight, before["backbone.decoder.conv_in.weight"])


def test_crops_of_pictures_do_not_fit_published_weights(recipe: Recipe) -> None:
    with pytest.raises(UserError, match=r"leave --data\.crop resized out"):
        recipe.model.build(replace(recipe, data=replace(recipe.data, crop="resized")), channels=1)
    with pytest.raises(UserError, match="no autoencoder at"):
        replace(recipe.model, weights=Path("nowhere")).build(recipe, channels=1)
