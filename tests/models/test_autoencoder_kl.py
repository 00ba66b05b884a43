"""AutoencoderKL with a subspace layer: published weights from a folder, and principal components."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DModel
from torch import Tensor

from disentangle.errors import UserError
from disentangle.models import AutoencoderKLSubspace
from disentangle.models.autoencoder_kl import picture_logits

PUBLISHED = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (4, 8),
    "latent_channels": 2,
    "norm_num_groups": 2,
    "scaling_factor": 0.3,
}


def pictures(n: int, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The folder of a small AutoencoderKL, written by diffusers."""
    torch.manual_seed(0)
    AutoencoderKL(**PUBLISHED).save_pretrained(tmp_path / "published", safe_serialization=True)
    return tmp_path / "published"


def test_a_published_folder_is_that_autoencoder(published: Path, tmp_path: Path) -> None:
    model = AutoencoderKLSubspace.from_autoencoder(published, size=16, channels=3, latent_size=5)
    reference = AutoencoderKL.from_pretrained(published, use_safetensors=True)
    images = pictures(2)
    with torch.no_grad():
        spatial = reference.encode(images).latent_dist.mean
        assert torch.allclose(model.spatial(images), spatial.flatten(1), rtol=0, atol=1e-6)
        latents = model.sample_latents(2, torch.Generator().manual_seed(0))
        decoded = reference.decode(model.subspace(latents).view(2, 2, 8, 8)).sample
        shown, middle = model.synthesize(latents), decoded.abs() < 0.98
        assert torch.allclose(shown[middle], decoded[middle], rtol=0, atol=1e-5)
        assert (shown - decoded.clamp(-1, 1)).abs().max() < 2 / 255
        # A pipeline keeps its autoencoder in a folder of its own; only the half-precision file may be there.
        reference.half().save_pretrained(tmp_path / "pipeline" / "vae", variant="fp16")
        half = AutoencoderKLSubspace.from_autoencoder(tmp_path / "pipeline", 16, 3, latent_size=5)
        assert half.dtype == torch.float32
        assert torch.allclose(half.spatial(images), spatial.flatten(1), rtol=0, atol=1e-2)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_loaded_model_is_saved_whole_and_stays_frozen(published: Path, tmp_path: Path, freeze: bool) -> None:
    model = AutoencoderKLSubspace.from_autoencoder(published, 16, 1, latent_size=5, freeze=freeze)
    model.fit_subspace(pictures(9, channels=1))
    model.save_pretrained(tmp_path / "saved", safe_serialization=True)
    for file in published.iterdir():  # it is not needed any more
        file.unlink()
    loaded = AutoencoderKLSubspace.from_pretrained(tmp_path / "saved", use_safetensors=True)
    images = pictures(3, channels=1)
    assert torch.allclose(loaded(images), model(images), rtol=0, atol=1e-6)
    assert loaded(images).shape == (3, 1, 16, 16)
    weights = loaded.state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    for one in (model, loaded):
        trained = {name.split(".")[0] for name, p in one.named_parameters() if p.requires_grad}
        assert trained == {"subspace", "posterior"} | (set() if freeze else {"backbone"})


def test_fit_is_probabilistic_pca(published: Path) -> None:
    model = AutoencoderKLSubspace.from_autoencoder(published, 16, 3, latent_size=4).double()
    images = pictures(40).double()
    model.fit_subspace(images, batch_size=7)
    x = model.spatial(images)
    centred = x - x.mean(0)
    variances, directions = torch.linalg.eigh(centred.mT @ centred / 40)
    variances, directions = variances.flip(0), directions.flip(1)
    left = variances[4:].mean()
    assert torch.allclose(model.subspace.mean, x.mean(0), rtol=0, atol=1e-12)
    factors = model.projections()[0].matrix()
    expected = directions[:, :4] * (variances[:4] - left).sqrt()
    assert torch.allclose(factors @ factors.mT, expected @ expected.mT, rtol=0, atol=1e-10)
    # Bayes' rule for x = W z + mean + noise of variance `left`.
    precision = torch.eye(4).double() + factors.mT @ factors / left
    mean, log_variance = model.posterior_of(images)
    assert torch.allclose(mean, torch.linalg.solve(precision, factors.mT @ centred.mT / left).mT, rtol=0, atol=1e-9)
    assert torch.allclose(log_variance.exp(), precision.inverse().diagonal().expand(40, -1), rtol=1e-9)
    # What training wants: the codes of all pictures together have the prior's mean and variance.
    assert torch.allclose(mean.mean(0), torch.zeros(4).double(), rtol=0, atol=1e-9)
    assert torch.allclose(mean.var(0, correction=0) + log_variance.exp().mean(0), torch.ones(4).double(), rtol=1e-9)


def test_picture_logits_are_straight_and_never_flat() -> None:
    x = torch.linspace(-1.5, 1.5, 3_001, dtype=torch.float64, requires_grad=True)
    shown = torch.tanh(picture_logits(x) / 2)
    assert torch.allclose(shown[x.abs() <= 0.98], x[x.abs() <= 0.98], rtol=0, atol=1e-12)
    assert (shown - x.clamp(-1, 1)).abs().max() < 2 / 255
    (slope,) = torch.autograd.grad(picture_logits(x).sum(), x)
    assert slope.min() >= 2
    assert slope.max() < 51


def test_an_autoencoder_of_three_channels_shows_grey(published: Path) -> None:
    model = AutoencoderKLSubspace.from_autoencoder(published, 16, 1, latent_size=5).double()
    grey = pictures(2, channels=1).double()
    assert torch.equal(model.spatial(grey), model.spatial(grey.expand(-1, 3, -1, -1)))
    latents = model.sample_latents(2)
    output = model.backbone.decode(model.subspace(latents).view(2, 2, 8, 8)).sample
    assert torch.allclose(model.synthesize(latents), output.mean(1, keepdim=True), rtol=0, atol=1e-12)


def damaged(folder: Path) -> None:
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"not a tensor")


def pickled(folder: Path) -> None:
    (folder / "diffusion_pytorch_model.safetensors").rename(folder / "diffusion_pytorch_model.bin")


def weightless(folder: Path) -> None:
    (folder / "diffusion_pytorch_model.safetensors").unlink()


def of_another_kind(folder: Path) -> None:
    UNet2DModel(
        sample_size=8,
        block_out_channels=(4, 4),
        norm_num_groups=2,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    ).save_pretrained(folder)


def of_other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"block_out_channels": [4, 16]}))


def nowhere(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damaged, "incomplete, damaged or no AutoencoderKL"),
        (pickled, "its weights in a pickle only"),
        (weightless, r"has no weights \(\*\.safetensors\)"),
        (of_another_kind, "no AutoencoderKL"),
        (of_other_sizes, "AutoencoderKL"),
        (nowhere, "no autoencoder at"),
    ],
)
def test_a_folder_that_is_none_is_refused_in_one_line(published: Path, spoil: object, words: str) -> None:
    spoil(published)
    with pytest.raises(UserError, match=words) as error:
        AutoencoderKLSubspace.from_autoencoder(published, 16, 3, latent_size=5)
    assert "\n" not in str(error.value)


SMALL = {"size": 16, "block_out_channels": (4, 8), "norm_groups": 2, "latent_channels": 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 15}, "size must be a multiple of 2 with this autoencoder, got 15"),
        ({"channels": 2}, "channels must be 1"),
        ({"latent_size": 0}, "latent_size must be at least 1, got 0"),
        ({"latent_size": 129}, "at most the 128 numbers of the latent, got 129"),
        ({"norm_groups": 3}, "diffusers builds no AutoencoderKL of these settings"),
        ({"block_out_channels": ()}, "must be at least 1"),
        ({"outputs": "images"}, "outputs must be logits or pictures"),
        ({"channels": 3, "autoencoder": PUBLISHED | {"in_channels": 1}}, "is for 1 channels, got pictures of 3"),
        ({"autoencoder": {"depth": 3}}, "diffusers builds no AutoencoderKL"),
    ],
)
def test_impossible_models_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        AutoencoderKLSubspace(**SMALL | changes)


def test_too_few_pictures_are_refused() -> None:
    model = AutoencoderKLSubspace(**SMALL, latent_size=5)
    with pytest.raises(UserError, match="5 codes need more than 5 pictures, got 5"):
        model.fit_subspace(pictures(5))
    with pytest.raises(UserError, match="differ in fewer than 5 directions"):
        model.fit_subspace(pictures(1).expand(9, -1, -1, -1))
