"""Every family of models has a Jacobian, activations and an h-space, or a reason why not."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from disentangle.directions import METHODS, discover, match, principal_angles
from disentangle.directions.methods.derivatives import Derivative
from disentangle.errors import UserError
from disentangle.models import QLAE, AutoencoderKLSubspace, BetaVAE, EigenGAN, FactorVAE, HSpaceDiffusion, VanillaGAN


def diffusion() -> HSpaceDiffusion:
    blocks = {"block_out_channels": (4, 8), "down_block_types": ["DownBlock2D"] * 2}
    network = blocks | {"up_block_types": ["UpBlock2D"] * 2, "layers_per_block": 1, "norm_num_groups": 2}
    return HSpaceDiffusion(size=8, channels=1, codes=3, steps=2, fitted_to=6, network=network)


SMALL = {"size": 32, "channels": 1, "base_channels": 2, "max_channels": 4}
VAE = {"size": 32, "channels": 1, "encoder_channels": 2, "hidden": 8}
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "autoencoder-kl": lambda: AutoencoderKLSubspace(
        size=16, channels=1, latent_size=3, block_out_channels=(4, 8), norm_groups=2, attention=True
    ),
    "conv-vae": lambda: FactorVAE(decoder="conv", latent_size=4, **VAE),
    "diffusion": diffusion,
    "eigengan": lambda: EigenGAN(rank=2, noise=3, **SMALL),
    "qlae": lambda: QLAE(rank=2, base_channels=2, max_channels=4, **VAE),
    "vae": lambda: BetaVAE(rank=2, base_channels=2, max_channels=4, **VAE),
    "vanilla-gan": lambda: VanillaGAN(latent_size=4, **SMALL),
}
MODULES = {
    "autoencoder-kl": "subspace",
    "conv-vae": "synthesis.dense.0",
    "diffusion": "unet.mid_block.resnets.1.conv2",
    "eigengan": "blocks.2.feature_same",  # a block's subspace and the block itself are not called
    "qlae": "synthesis.blocks.2",
    "vae": "synthesis.blocks.2",
    "vanilla-gan": "first",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family(family: str) -> None:
    model = FAMILIES[family]().eval()
    if isinstance(model, HSpaceDiffusion):
        with pytest.raises(UserError, match="not fitted, so that codes change nothing"):
            discover(model, "hspace")
        model.fit(torch.Generator().manual_seed(0))
    latents = model.sample_latents(2, torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(1)
    v = torch.randn(latents.shape, generator=draw)
    u = torch.randn(model.synthesize(latents).flatten(1).shape, generator=draw)
    derivative = Derivative(model)
    along, back = derivative.along(latents, v), derivative.back(latents, u)
    torch.testing.assert_close((along * u).sum(1), (back * v).sum(1), rtol=1e-4, atol=1e-3)
    assert along.abs().amax(1).min() > 1e-3
    torch.testing.assert_close(derivative._twice_back(latents, v).flatten(1), along, rtol=1e-3, atol=1e-4)
    layers = "h-space" if family == "diffusion" else None
    exact = discover(model, "jacobian", at=0, count=2, layers=layers)
    free = discover(model, "jacobian", at=0, count=2, layers=layers, solver="iteration", iterations=200)
    assert torch.rad2deg(principal_angles(exact, free).max()) < 1
    found = discover(model, "activations", samples=8)
    assert found.settings["module"] == MODULES[family]
    if family == "diffusion":
        local = discover(model, "hspace", basis="jacobian", at=0, count=2)
        assert torch.equal(local.vectors, exact.vectors)
        assert (local.method, local.settings["basis"], set(local.layers)) == ("hspace", "jacobian", {"h-space"})
    else:
        with pytest.raises(UserError, match="no h-space, which is a diffusion model's: possible here"):
            discover(model, "hspace")


def test_the_h_space_gives_its_fitted_axes_by_their_spread() -> None:
    model = diffusion().eval()
    model.h_space.basis.copy_(torch.eye(3, model.h_space.basis.shape[1]))
    model.h_space.scale.copy_(torch.tensor([[1.0, 4.0, 3.0], [1.0, 2.0, 3.0]]))
    found = discover(model, "hspace")
    assert found.vectors.argmax(1).tolist() == [1, 2, 0]
    assert found.vectors.sum().item() == 3.0
    assert found.singular_values.tolist() == [3.0, 3.0, 1.0]
    assert found.repeated.tolist() == [True, True, False]
    torch.testing.assert_close(found.shares, torch.tensor([9.0, 9.0, 1.0]) / 19)
    with pytest.raises(UserError, match=r"unknown basis of the h-space 'pcs': did you mean pca\?"):
        discover(model, "hspace", basis="pcs")
    with pytest.raises(UserError, match=r"unknown layer 'layer 1'.*possible: h-space"):
        discover(model, "hspace", layers="layer 1")


def test_eigengans_known_basis() -> None:
    model = FAMILIES["eigengan"]().eval()
    with torch.no_grad():
        for block, scale in zip(model.blocks, ([6.0, 1.0], [-5.0, 2.0], [0.5, 4.0])):
            block.subspace.scale.copy_(torch.tensor(scale))
    learned = discover(model, "subspace")
    assert learned.vectors.argmax(1).tolist() == [0, 2, 5, 3, 1, 4], "the noise is no direction"
    assert learned.vectors.sum().item() == 6.0
    torch.testing.assert_close(learned.singular_values, torch.tensor([6.0, 5.0, 4.0, 2.0, 1.0, 0.5]), rtol=1e-5, atol=0)
    # The bases are orthonormal: the layers' singular vectors are the same axes.
    same = match(learned, discover(model, "weights"))
    assert same.angles.max() < 1e-2
    assert same.pairs == tuple((k, k) for k in range(6))


def test_all_methods_are_tried_somewhere() -> None:
    assert set(METHODS) == {"weights", "activations", "subspace", "jacobian", "hspace", "random", "coordinate"}
