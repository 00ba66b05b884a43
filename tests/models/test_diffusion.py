"""The diffusion model samples as diffusers does, is steered where it says, and reads what diffusers wrote."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models import HSpaceDiffusion
from disentangle.models.denoiser import decode, diffuse, encode, target
from disentangle.models.hspace import persistent_axes
from disentangle.training.architectures import DiffusionConfig
from disentangle.training.recipes import RECIPES

NETWORK: dict[str, Any] = {
    "block_out_channels": (4, 8),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "norm_num_groups": 2,
}
LINEAR = {"beta_schedule": "linear", "prediction_type": "epsilon", "timestep_spacing": "leading"}
FEATURES = 8 * 4 * 4


def small(**changes: Any) -> HSpaceDiffusion:
    model = HSpaceDiffusion(
        **{"size": 8, "channels": 3, "codes": 3, "steps": 4, "fitted_to": 12, "network": NETWORK, "seed": 1} | changes
    )
    return model.double().eval().requires_grad_(False)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"center_input_sample": True, "resnet_time_scale_shift": "scale_shift", "downsample_padding": 0},
        {"layers_per_block": 2, "mid_block_scale_factor": 2.0, "add_attention": False, "downsample_type": "resnet"},
        {"time_embedding_type": "learned", "num_train_timesteps": 1000, "upsample_type": "resnet"},
    ],
)
def test_the_halves_are_the_network(changes: dict[str, Any]) -> None:
    unet = small(network=NETWORK | changes).unet
    noisy, timesteps = torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=seeded()), torch.tensor([0, 500, 999])
    expected = unet(noisy, timesteps).sample
    torch.testing.assert_close(decode(unet, *encode(unet, noisy, timesteps)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("settings", [{"clip_sample": False}, {"timestep_spacing": "trailing", "beta_end": 0.01}])
def test_without_codes_it_samples_as_ddim(settings: dict[str, Any], prediction: str) -> None:
    settings = LINEAR | {"prediction_type": prediction} | settings
    model = small(steps=5, schedule=settings)
    latents = model.sample_latents(2, seeded())
    images = latents[:, 3:].unflatten(1, (3, 8, 8))
    scheduler = DDIMScheduler(**settings)
    scheduler.set_timesteps(5)
    for timestep in scheduler.timesteps:
        images = scheduler.step(model.unet(images, timestep).sample, timestep, images).prev_sample
    torch.testing.assert_close(model.synthesize(latents), images.clamp(-1, 1), rtol=0, atol=1e-10)
    # Nothing is fitted, so that codes change nothing, whatever they are.
    other = torch.cat([latents[:, :3] + 5, latents[:, 3:]], 1)
    assert torch.equal(model.synthesize(other), model.synthesize(latents))


def fitted(**changes: Any) -> tuple[HSpaceDiffusion, Tensor]:
    model = small(**changes)
    trajectories = model.trajectories(model.sample_latents(12, seeded(3))[:, 3:], batch=5)
    model.fit(seeded(3))
    return model, trajectories


def heard(model: HSpaceDiffusion, latents: Tensor) -> Tensor:
    """The steered features that enter the second half of the network at every step, ``(steps, n, D)``."""
    found: list[Tensor] = []
    hook = model.unet.up_blocks[0].register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].flatten(1)))
    model.synthesize(latents)
    hook.remove()
    return torch.stack(found[1::2])  # those before them are not steered


def test_codes_are_read_back_from_the_h_space() -> None:
    model, _ = fitted()
    space = model.h_space
    latents = model.sample_latents(5, seeded(4))
    h = heard(model, latents)
    assert h.shape == (4, 5, FEATURES)
    read = (h @ space.basis.mT - space.mean[:, None]) / space.scale[:, None]
    torch.testing.assert_close(read, latents[None, :, :3].expand(4, -1, -1), rtol=0, atol=1e-8)
    # At the first step, which sees the same noise, nothing changes beside the axes.
    without = model.trajectories(latents[:, 3:])[0]
    beside = torch.eye(FEATURES, dtype=torch.float64) - space.basis.mT @ space.basis
    torch.testing.assert_close(h[0] @ beside, without @ beside, rtol=0, atol=1e-10)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_steering_decides_the_predicted_picture_and_not_the_noise(prediction: str) -> None:
    model, _ = fitted(steps=2, schedule=LINEAR | {"prediction_type": prediction, "clip_sample": False})
    latents = model.sample_latents(3, seeded(4))
    x, codes, space = latents[:, 3:].unflatten(1, (3, 8, 8)), latents[:, :3], model.h_space
    for step, (now, after) in enumerate([(model.signal[500], model.signal[0]), (model.signal[0], torch.tensor(1.0))]):
        h, embedding, skips = encode(model.unet, x, torch.tensor([500, 0])[step].expand(3))
        change = (space.mean[step] + space.scale[step] * codes - h.flatten(1) @ space.basis.T) @ space.basis
        plain, steered = (decode(model.unet, f, embedding, skips) for f in (h, h + change.view_as(h)))
        if prediction == "epsilon":
            picture, noise = (x - (1 - now).sqrt() * steered) / now.sqrt(), plain
        else:
            picture = now.sqrt() * x - (1 - now).sqrt() * steered
            noise = now.sqrt() * plain + (1 - now).sqrt() * x
        x = after.sqrt() * picture + (1 - after).sqrt() * noise
    torch.testing.assert_close(model.synthesize(latents), x.clamp(-1, 1), rtol=0, atol=1e-6)


def test_added_codes_shift_the_h_space() -> None:
    model, _ = fitted(steering="add")
    latents = model.sample_latents(5, seeded(4))
    shift = heard(model, latents)[0] - model.trajectories(latents[:, 3:])[0]
    expected = (latents[:, :3] * model.h_space.scale[0]) @ model.h_space.basis
    torch.testing.assert_close(shift, expected, rtol=0, atol=1e-10)
    still = torch.cat([torch.zeros(5, 3, dtype=torch.float64), latents[:, 3:]], 1)
    plain = small()
    torch.testing.assert_close(model.synthesize(still), plain.synthesize(still), rtol=0, atol=1e-12)


def test_the_axes_are_principal_components() -> None:
    model, h = fitted()
    assert h.shape == (4, 12, FEATURES)
    steps = h.numpy()
    centred = steps - steps.mean(1, keepdims=True)
    persistent = (centred / np.sqrt((centred**2).sum((1, 2), keepdims=True))).sum(0)
    values, vectors = np.linalg.eigh(persistent.T @ persistent)
    axes = vectors[:, ::-1][:, :3].T
    found = model.h_space.basis.numpy()
    np.testing.assert_allclose(np.abs(found @ axes.T), np.eye(3), rtol=0, atol=1e-9)
    assert (np.take_along_axis(found, np.abs(found).argmax(1)[:, None], 1) > 0).all()
    coordinates = steps @ found.T
    np.testing.assert_allclose(model.h_space.mean, coordinates.mean(1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.h_space.scale, coordinates.std(1, ddof=1), rtol=0, atol=1e-12)
    assert values[-1] > values[-2] > 0


def test_axes_of_a_known_distribution() -> None:
    # Two directions persist along trajectories, one with half the amplitude; loud noise is new at every step.
    draw = seeded(5)
    persistent = torch.randn(1, 400, 2, generator=draw, dtype=torch.float64) * torch.tensor([4.0, 2.0])
    noise = torch.randn(50, 400, 8, generator=draw, dtype=torch.float64)
    noise[..., 7] *= 6
    h = torch.cat([persistent.expand(50, -1, -1), torch.zeros(50, 400, 6)], 2) + noise + 3
    # Steps are as loud as they please: each counts alike, and spreads are its own.
    loud = torch.linspace(1, 9, 50, dtype=torch.float64)[:, None, None]
    axes, _, scale = persistent_axes(h * loud, 2)
    torch.testing.assert_close(axes, torch.eye(2, 8, dtype=torch.float64), rtol=0, atol=0.15)
    spread = torch.tensor([[17.0, 5.0]], dtype=torch.float64).sqrt().expand(50, 2)
    torch.testing.assert_close(scale / loud[:, 0], spread, rtol=0.15, atol=0)
    with pytest.raises(ValueError, match="more than 2 trajectories, got 2"):
        persistent_axes(h[:, :2], 2)


def ddpm(seed: int = 0) -> HSpaceDiffusion:
    """The published recipe's network, an eighth as wide or less."""
    recipe = RECIPES["cifar10-ddpm"]
    model = replace(recipe.model, channels=(32, 64), attention=(16,), fitted_to=16)
    built = model.build(replace(recipe, seed=seed), 3)["generator"]
    assert isinstance(built, HSpaceDiffusion)
    return built.eval().requires_grad_(False)


@pytest.mark.parametrize("name", ["cifar10-ddpm", "ffhq-ddpm"])
def test_the_published_recipes_have_the_published_details(name: str) -> None:
    model = RECIPES[name].model
    assert isinstance(model, DiffusionConfig)
    with torch.device("meta"):
        unet = UNet2DModel(**model.network(RECIPES[name].data.size))
    epsilons = {m.eps for m in unet.modules() if isinstance(m, nn.GroupNorm)}
    assert epsilons == {1e-6}
    assert [m.conv.padding for d in unet.down_blocks[:-1] for m in d.downsamplers] == [(0, 0)] * (
        len(model.channels) - 1
    )
    # The details are those of these recipes alone: others keep what they were measured with.
    assert [n for n, r in RECIPES.items() if getattr(r.model, "details", "diffusers") != "diffusers"] == [
        "cifar10-ddpm",
        "ffhq-ddpm",
    ]


def test_ddpms_timesteps_are_embedded_as_published() -> None:
    timesteps = torch.tensor([0, 1, 17, 500, 999])
    # Sines, then cosines, of frequencies from 1 to 1/10,000, both included.
    frequencies = 10_000 ** (-torch.arange(16, dtype=torch.float64) / 15)
    angles = timesteps.double()[:, None] * frequencies
    expected = torch.cat([angles.sin(), angles.cos()], dim=1)
    found = ddpm().unet.time_proj(timesteps).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)  # it computes in float32


def test_ddpms_features_are_halved_as_tensorflow_pads() -> None:
    (layer,) = ddpm().double().unet.down_blocks[0].downsamplers
    features = torch.randn(2, 32, 8, 8, generator=seeded(), dtype=torch.float64)
    # "SAME" of a 3×3 kernel of stride 2 on an even size: one row and one column of zeros, at the bottom and the right.
    padded = torch.zeros(2, 32, 9, 9, dtype=torch.float64)
    padded[:, :, :8, :8] = features
    expected = F.conv2d(padded, layer.conv.weight, layer.conv.bias, stride=2)
    torch.testing.assert_close(layer(features), expected, rtol=0, atol=1e-12)


def test_ddpms_initial_weights_are_the_published_ones() -> None:
    unet = ddpm().unet
    drawn = []
    for name, layer in unet.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # TensorFlow's fans: inputs and outputs, each times the kernel's entries.
            places = math.prod(layer.weight.shape[2:])
            scale = 1e-10 if name == "conv_out" or name.endswith(("conv2", "to_out.0")) else 1.0
            bound = math.sqrt(3 * scale / ((layer.weight.shape[0] + layer.weight.shape[1]) * places / 2))
            size = layer.weight.numel()
            assert (1 - 10 / size) * bound < float(layer.weight.abs().max()) <= bound * (1 + 1e-6), name
            spread = float(layer.weight.double().square().mean()) / (bound**2 / 3)
            assert spread == pytest.approx(1, abs=6 * math.sqrt(0.8 / size)), name
            assert float(layer.bias.abs().max()) == 0, name
            drawn.append(name.rpartition(".")[2] if scale == 1 else f"small {name.rpartition('.')[2]}")
        elif isinstance(layer, nn.GroupNorm):
            assert (layer.weight.unique().tolist(), layer.bias.unique().tolist()) == ([1], [0]), name
    # Two levels: 4 + 2 + 6 residual blocks; attention after 2 + 3 of them, and in the middle.
    counts = {name: drawn.count(name) for name in sorted(set(drawn))}
    assert counts == {
        "conv": 2, "conv1": 12, "conv_in": 1, "conv_shortcut": 7, "linear_1": 1, "linear_2": 1, "small 0": 6,
        "small conv2": 12, "small conv_out": 1, "time_emb_proj": 12, "to_k": 6, "to_q": 6, "to_v": 6,
    }  # fmt: skip
    assert torch.equal(unet.conv_in.weight, ddpm().unet.conv_in.weight)
    assert not torch.equal(unet.conv_in.weight, ddpm(seed=1).unet.conv_in.weight)


def test_a_fit_follows_from_weights_and_seed() -> None:
    one, two, other = small(), small(), small()
    one.fit(seeded(1))
    two.fit(seeded(1))
    other.fit(seeded(2))
    assert torch.equal(one.h_space.basis, two.h_space.basis)
    assert torch.equal(one.h_space.scale, two.h_space.scale)
    assert not torch.equal(one.h_space.basis, other.h_space.basis)
    (layer,) = one.projections()
    matrix = one.h_space.basis * one.h_space.scale.mean(0)[:, None]
    assert torch.equal(layer.matrix(), matrix.mT)
    last = one.unet.mid_block.resnets[1].conv2
    assert one.get_parameter(layer.parameter) is last.weight
    # That convolution makes the h-space: what it adds to its output is what it adds to h.
    latents = one.sample_latents(2, seeded())
    before = one.trajectories(latents[:, 3:])[0]
    last.bias += 1.0
    torch.testing.assert_close(one.trajectories(latents[:, 3:])[0], before + 1.0, rtol=0, atol=1e-12)


def test_the_forward_process_has_its_closed_form() -> None:
    signal = small(schedule=LINEAR).signal
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    torch.testing.assert_close(signal, torch.cumprod(1 - betas, 0), rtol=1e-4, atol=1e-7)
    # 300 steps of the chain x ← √(1 - β) x + √β ε have the same mean and variance as one draw.
    draw = seeded(6)
    images = torch.full((20_000, 1, 1, 1), 0.7, dtype=torch.float64)
    chain = images
    for beta in betas[:300]:
        chain = (1 - beta).sqrt() * chain + beta.sqrt() * torch.randn(chain.shape, generator=draw, dtype=torch.float64)
    noise = torch.randn(chain.shape, generator=draw, dtype=torch.float64)
    noisy = diffuse(images, noise, signal[299].expand(len(images)))
    error = 4 / len(images) ** 0.5
    for drawn in (chain, noisy):
        assert drawn.mean().item() == pytest.approx(0.7 * signal[299].sqrt().item(), abs=error)
        assert drawn.var().item() == pytest.approx(1 - signal[299].item(), abs=2 * error)
    # What is predicted gives back both the picture and the noise.
    s = signal[299]
    velocity = target(images, noise, s.expand(len(images)), "v_prediction")
    torch.testing.assert_close(s.sqrt() * noisy - (1 - s).sqrt() * velocity, images, rtol=0, atol=1e-12)
    torch.testing.assert_close((1 - s).sqrt() * noisy + s.sqrt() * velocity, noise, rtol=0, atol=1e-12)
    assert target(images, noise, s.expand(1), "epsilon") is noise
    assert target(images, noise, s.expand(1), "sample") is images


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A pipeline's folder as diffusers writes it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(sample_size=8, in_channels=3, out_channels=3, **NETWORK)
    DDPMPipeline(unet, DDPMScheduler(beta_end=0.015, clip_sample_range=0.9)).save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_a_published_pipeline_samples_as_it_does_in_diffusers(published: Path, tmp_path: Path) -> None:
    model = HSpaceDiffusion.from_pipeline(published, codes=2, steps=10, fitted_to=8).requires_grad_(False)
    assert model.latent_size == 2 + 3 * 8 * 8
    pipeline = DDIMPipeline.from_pretrained(published, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(batch_size=2, generator=seeded(), num_inference_steps=10, output_type="np").images
    noise = torch.randn(2, 3, 8, 8, generator=seeded()).flatten(1)
    images = model.synthesize(torch.cat([torch.zeros(2, 2), noise], 1))
    np.testing.assert_allclose(images.permute(0, 2, 3, 1) / 2 + 0.5, expected, rtol=0, atol=1e-5)
    # As a network of this library it is whole: it needs the folder no more.
    model.fit(seeded())
    model.save_pretrained(tmp_path / "saved", safe_serialization=True)
    loaded = HSpaceDiffusion.from_pretrained(tmp_path / "saved", use_safetensors=True).requires_grad_(False)
    latents = model.sample_latents(2, seeded())
    assert torch.equal(loaded.synthesize(latents), model.synthesize(latents))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.rename(f.with_name("away")), "no folder .*model_index.json, unet/ and scheduler/"),
        (lambda f: (f / "model_index.json").unlink(), "incomplete: it has no model_index.json"),
        (lambda f: (f / "model_index.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "scheduler/scheduler_config.json").unlink(), "has no scheduler_config.json"),
        (lambda f: (f / "unet/config.json").unlink(), "has no config.json"),
        (lambda f: next(f.glob("unet/*.safetensors")).unlink(), r"no weights \(\*.safetensors\)"),
        (lambda f: next(f.glob("unet/*.safetensors")).rename(f / "unet/w.bin"), r"pickle only \(w.bin\)"),
        (lambda f: next(f.glob("unet/*.safetensors")).write_bytes(b"x" * 99), "incomplete, damaged or no UNet2DModel"),
        (lambda f: edit(f / "unet/config.json", add_attention=False), "differ in"),
        (lambda f: edit(f / "model_index.json", unet=["diffusers", "UNet2DConditionModel"]), "UNet2DConditionModel"),
        (lambda f: edit(f / "unet/config.json", num_class_embeds=0), "conditioned on classes"),
        (lambda f: edit(f / "unet/config.json", out_channels=6), "6 channels of 3, as one with a learned variance"),
        (lambda f: edit(f / "unet/config.json", time_embedding_type="fourier"), "NCSN"),
        (lambda f: edit(f / "unet/config.json", sample_size=[8, 16]), "square"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", prediction_type="flow"), "predicts 'flow'"),
        (lambda f: (f / "scheduler/scheduler_config.json").write_text("{}"), "no schedule of betas"),
    ],
)
def test_folders_that_cannot_be_read(published: Path, damage: Callable[[Path], Any], words: str) -> None:
    damage(published)
    with pytest.raises(UserError, match=words) as error:
        HSpaceDiffusion.from_pipeline(published)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 9}, "size must be a multiple of 2"),
        ({"channels": 2}, "channels must be 1"),
        ({"codes": 0}, "codes must lie between 1 and 128"),
        ({"codes": 129}, "codes must lie between 1 and 128"),
        ({"fitted_to": 3}, "3 codes need more than 3 pictures to be fitted to, got 3"),
        ({"steps": 0}, "steps must lie between 1 and the 1000"),
        ({"steps": 1001}, "steps must lie between 1 and the 1000"),
        ({"steering": "pull"}, "replace or add, got 'pull'"),
        ({"initialisation": "keras"}, "torch or ddpm, got 'keras'"),
        ({"network": NETWORK | {"norm_num_groups": 3}}, "no such UNet2DModel"),
        ({"network": NETWORK | {"attention_head_dim": 9}}, "head has 9 channels: possible are 1 to 8"),
        ({"network": NETWORK | {"mid_block_type": None}}, "no mid-block"),
        ({"network": NETWORK | {"down_block_types": ["DownBlock2D"]}}, "no such UNet2DModel"),
        ({"schedule": {"beta_schedule": "straight"}}, "no such noise schedule"),
    ],
)
def test_impossible_models_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        small(**changes)


def test_a_pipeline_in_half_precision_is_loaded_in_float32(published: Path) -> None:
    unet = UNet2DModel.from_pretrained(published / "unet", use_safetensors=True).half()
    next(published.glob("unet/*.safetensors")).unlink()
    unet.save_pretrained(published / "unet", variant="fp16")
    model = HSpaceDiffusion.from_pipeline(published, codes=2)
    assert model.unet.conv_in.weight.dtype == torch.float32
    assert torch.equal(model.unet.conv_in.weight, unet.conv_in.weight.float())
