"""Laws of every model: shapes and ranges, gradients to every parameter, round trips to the bit, determinism."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from disentangle.errors import UserError
from disentangle.generator import Encoder, Generator
from disentangle.models import (
    QLAE,
    AutoencoderKLSubspace,
    BetaVAE,
    Discriminator,
    EigenGAN,
    FactorVAE,
    HSpaceDiffusion,
    Tripod,
    VanillaDiscriminator,
    VanillaGAN,
)
from disentangle.training.architectures import QLAEConfig, VAEConfig
from disentangle.training.recipes import RECIPES

Build = Callable[..., nn.Module]


def test_an_eigengan_may_have_fewer_channels_than_its_base() -> None:
    model = EigenGAN(size=32, base_channels=8, max_channels=1, rank=2, noise=4)
    assert model.synthesize(model.sample_latents(2)).shape == (2, 3, 32, 32)


def small_gan(**changes: int) -> EigenGAN:
    return EigenGAN(
        **{"size": 32, "channels": 3, "rank": 3, "noise": 5, "base_channels": 4, "max_channels": 8} | changes
    )


def small_vanilla_gan(**changes: int) -> VanillaGAN:
    return VanillaGAN(**{"size": 32, "channels": 3, "latent_size": 7, "base_channels": 4, "max_channels": 8} | changes)


def small_vae(**changes: int) -> BetaVAE:
    small = {"size": 32, "channels": 3, "rank": 3, "base_channels": 4, "max_channels": 8, "encoder_channels": 4}
    return BetaVAE(**small | {"hidden": 16} | changes)


def small_conv_vae(**changes: int) -> FactorVAE:
    small = {"size": 32, "channels": 3, "latent_size": 9, "encoder_channels": 4, "hidden": 16}
    return FactorVAE(decoder="conv", **small | changes)


def small_qlae(**changes: int) -> QLAE:
    small = {"size": 32, "channels": 3, "rank": 3, "base_channels": 4, "max_channels": 8, "encoder_channels": 4}
    return QLAE(**small | {"hidden": 16} | changes)


def small_tripod(**changes: int) -> Tripod:
    small = {"size": 32, "channels": 3, "latent_size": 9, "encoder_channels": 4, "hidden": 16}
    return Tripod(decoder="conv", **small | changes)


def small_autoencoder_kl(**changes: int) -> AutoencoderKLSubspace:
    small = {"size": 32, "channels": 3, "latent_size": 9, "block_out_channels": (4, 4, 8), "norm_groups": 2}
    return AutoencoderKLSubspace(**small | changes)


def small_diffusion(**changes: int) -> HSpaceDiffusion:
    blocks = {"block_out_channels": (4, 4, 8), "down_block_types": ["DownBlock2D"] * 3}
    network = blocks | {"up_block_types": ["UpBlock2D"] * 3, "layers_per_block": 1, "norm_num_groups": 2}
    small = {"size": 32, "channels": 3, "codes": 3, "steps": 2, "fitted_to": 6, "network": network}
    model = HSpaceDiffusion(**small | changes).eval()  # since a network of diffusers' rounds otherwise in training
    model.fit(seeded())
    return model


GENERATORS = {
    "autoencoder-kl": small_autoencoder_kl,
    "conv-vae": small_conv_vae,
    "diffusion": small_diffusion,
    "eigengan": small_gan,
    "qlae": small_qlae,
    "tripod": small_tripod,
    "vae": small_vae,
    "vanilla-gan": small_vanilla_gan,
}


@pytest.fixture(params=sorted(GENERATORS))
def build(request: pytest.FixtureRequest) -> Build:
    return GENERATORS[request.param]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (32, 3), (64, 1), (64, 3)])
def test_latents_become_pictures(build: Build, size: int, channels: int) -> None:
    model = build(size=size, channels=channels)
    assert isinstance(model, Generator)
    latents = model.sample_latents(2, seeded())
    assert latents.shape == (2, model.latent_size)
    images = model.synthesize(latents)
    assert images.shape == (2, channels, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1


def test_what_no_model_can_read_is_said_in_words(build: Build) -> None:
    model = build()
    for shape in ((2, model.latent_size + 1), (model.latent_size,)):
        with pytest.raises(ValueError, match=rf"latents must be \(n, {model.latent_size}\), got shape \({shape[0]},"):
            model.synthesize(torch.zeros(shape))
    if hasattr(model, "encode"):
        with pytest.raises(ValueError, match=r"pictures must be numbers in \[-1, 1\], got torch.uint8: of bytes take"):
            model.encode(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("size", [128, 256])
def test_eigengan_has_a_layer_for_every_power_of_two(size: int) -> None:
    model = small_gan(size=size, base_channels=1)
    assert model.latent_size == 3 * (len(f"{size:b}") - 3) + 5
    assert model.synthesize(model.sample_latents(1, seeded())).shape == (1, 3, size, size)


def test_eigengan_is_the_published_network() -> None:
    model, judge = EigenGAN(size=256, channels=3), Discriminator(size=256, channels=3)
    assert [p.matrix().shape for p in model.projections()] == [
        (512 * 4**2, 6), (512 * 8**2, 6), (256 * 16**2, 6), (128 * 32**2, 6), (64 * 64**2, 6), (32 * 128**2, 6)
    ]  # fmt: skip
    assert model.latent_size == 6 * 6 + 512
    assert model.blocks[0].subspace.scale.tolist() == [18, 15, 12, 9, 6, 3]
    convolutions = [m for m in judge.features if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions] == [
        (16, 7, 1), (16, 3, 1), (32, 3, 2), (32, 3, 1), (64, 3, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1),
        (256, 3, 2), (256, 3, 1), (512, 3, 2), (512, 3, 1), (512, 3, 2), (512, 3, 1),
    ]  # fmt: skip


def test_the_seed_decides_weights_and_latents(build: Build) -> None:
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    one, same, other = build(seed=1), build(seed=1), build(seed=2)
    assert torch.equal(torch.random.get_rng_state(), state), "building a model moved the global generator"
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(one.sample_latents(3, seeded(4)), other.sample_latents(3, seeded(4)))
    assert not torch.equal(one.sample_latents(3, seeded(4)), one.sample_latents(3, seeded(5)))


def test_latents_have_mean_0_and_variance_1(build: Build) -> None:
    latents = build().sample_latents(5_000, seeded())
    assert latents.mean(0).abs().max() < 0.06
    assert (latents.var(0) - 1).abs().max() < 0.1


def test_a_saved_model_is_the_same_to_the_bit(build: Build, tmp_path: Path) -> None:
    model = build(seed=3)
    model.save_pretrained(tmp_path, safe_serialization=True)
    loaded = type(model).from_pretrained(tmp_path, use_safetensors=True)
    assert [p.name for p in tmp_path.glob("*.bin")] == []
    latents = model.sample_latents(2, seeded())
    assert torch.equal(loaded.synthesize(latents), model.synthesize(latents))
    before, after = ({k: v for k, v in m.config.items() if k[0] != "_"} for m in (model, loaded))
    assert after == json.loads(json.dumps(before))  # in which a tuple is a list


def test_channels_last_computes_the_same(build: Build) -> None:
    model = build().double()
    latents = model.sample_latents(2, seeded())
    images = model.synthesize(latents)
    assert torch.allclose(model.to(memory_format=torch.channels_last).synthesize(latents), images, rtol=0, atol=1e-13)


def test_a_picture_does_not_depend_on_its_batch(build: Build) -> None:
    model = build().double()
    latents = model.sample_latents(4, seeded())
    assert torch.allclose(model.synthesize(latents)[2:3], model.synthesize(latents[2:3]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("build", [GENERATORS[name] for name in sorted(GENERATORS.keys() - {"diffusion"})])
def test_projections_name_the_weight_and_the_latents_that_it_sees(build: Build) -> None:
    model = build().double()
    parameters = dict(model.named_parameters())
    layers = model.projections()
    latents = model.sample_latents(1, seeded()).requires_grad_()
    seen = [i for p in layers for i in range(model.latent_size)[p.latents]]
    assert seen == list(range(len(seen)))
    for projection in layers:
        path, _, attribute = projection.parameter.rpartition(".")
        module = model.get_submodule(path)
        assert parameters[projection.parameter] is getattr(module, attribute)
        transposed = isinstance(module, nn.ConvTranspose2d)

        def features(z: torch.Tensor, module: nn.Module = module, transposed: bool = transposed) -> torch.Tensor:
            return module(z[None, :, None, None]).flatten() if transposed else module(z)

        jacobian = torch.autograd.functional.jacobian(features, latents[0, projection.latents])
        if isinstance(model, QLAE | Tripod):  # the layer sees values, and a latent's unit is their spread
            jacobian = jacobian * model.values().std(1, correction=0)[projection.latents]
        assert torch.allclose(projection.matrix(), jacobian, rtol=1e-12, atol=1e-12)
        assert not projection.matrix().requires_grad


def test_every_latent_and_every_parameter_matters(build: Build) -> None:
    model = build()
    latents = model.sample_latents(4, seeded()).requires_grad_()
    target = torch.rand(4, 3, 32, 32, generator=seeded())
    (model.synthesize(latents) - target).square().sum().backward()
    assert (latents.grad.abs().sum(0) > 0).all()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    others = ("encoder.", "posterior.", "codebook", "backbone.encoder.", "backbone.quant_conv.")
    assert [name for name in silent if not name.startswith(others)] == []


def test_the_vae_encodes(tmp_path: Path) -> None:
    model = small_vae()
    assert isinstance(model, Encoder)
    images = torch.rand(4, 3, 32, 32, generator=seeded()) * 2 - 1
    mean, log_variance = model.posterior_of(images)
    assert mean.shape == log_variance.shape == (4, 9)
    assert torch.equal(model.encode(images), mean)
    (mean.sum() + log_variance.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())
    assert torch.allclose(model.synthesize(mean), torch.tanh(model.logits(mean) / 2))


@pytest.mark.parametrize("build", [small_vae, small_conv_vae, small_qlae, small_tripod])
def test_an_encoder_sees_intensities_where_it_should(build: Build, tmp_path: Path) -> None:
    plain, unit = build(), build(unit_input=True)
    unit.load_state_dict(plain.state_dict())
    seen: list[torch.Tensor] = []
    unit.encoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.rand(4, 3, 32, 32, generator=seeded()) * 2 - 1
    images[0], images[1] = -1.0, 1.0
    encode = "codes_of" if isinstance(unit, QLAE | Tripod) else "posterior_of"
    codes = getattr(unit, encode)(images)
    assert [seen[0][0].unique().tolist(), seen[0][1].unique().tolist()] == [[0], [1]]
    assert torch.equal(seen[0], (images + 1) / 2)
    assert torch.equal(torch.stack(tuple(codes)), torch.stack(tuple(getattr(plain, encode)(seen[0]))))
    unit.save_pretrained(tmp_path)
    loaded = type(unit).from_pretrained(tmp_path, use_safetensors=True)
    assert torch.equal(loaded.encode(images), unit.encode(images))
    # What was saved before there was a choice says nothing of it.
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings.pop("unit_input") is True
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert torch.equal(type(unit).from_pretrained(tmp_path, use_safetensors=True).encode(images), plain.encode(images))


def test_the_recipes_whose_encoder_sees_intensities() -> None:
    """disentanglement_lib's and QLAE's programs feed [0, 1], Tripod's [-1, 1]; the small recipes are as measured."""
    for name, recipe in RECIPES.items():
        qlae = isinstance(recipe.model, QLAEConfig) and recipe.model.decoder == "published"
        locatello = isinstance(recipe.model, VAEConfig) and recipe.data.name == "dsprites"
        assert getattr(recipe.model, "unit_input", False) is (qlae or locatello), name
    for name in ("dsprites-dip-vae-i", "shapes3d-qlae"):
        with torch.device("meta"):
            built = RECIPES[name].model.build(RECIPES[name], 1)["generator"]
        assert built.config["unit_input"] is True


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("kind", [Discriminator, VanillaDiscriminator])
def test_the_discriminator_gives_a_logit_a_picture(kind: Build, size: int) -> None:
    judge = kind(size=size, channels=1, base_channels=2, max_channels=4)
    logits = judge(torch.rand(3, 1, size, size))
    assert logits.shape == (3,)
    logits.sum().backward()
    assert all(p.grad is not None for p in judge.parameters())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small_gan(size=48), "power of two, at least 32, got 48; the nearest are 32 and 64"),
        (lambda: small_gan(size=16), "got 16; the nearest are 32 and 64"),
        (lambda: Discriminator(size=100), "got 100; the nearest are 64 and 128"),
        (lambda: small_vae(size=128), "size must be 32 or 64, got 128"),
        (lambda: small_gan(channels=2), "channels must be 1"),
        (lambda: small_vae(channels=4), "channels must be 1"),
        (lambda: small_gan(rank=0), "at least 1, got 0"),
        (lambda: small_gan(noise=0), "at least 1"),
        (lambda: small_vae(hidden=0), "at least 1"),
        (lambda: small_gan(rank=1_000), "rank must lie between 1 and"),
    ],
)
def test_impossible_models_are_refused(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_the_size_is_refused_in_one_line() -> None:
    with pytest.raises(UserError) as error:
        EigenGAN(size=48)
    assert "\n" not in str(error.value)
