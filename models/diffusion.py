"""A diffusion model as a generator: noise and a few codes in, a picture out, by deterministic sampling.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv 2006.11239; sampled by Song, Meng,
Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, arXiv 2010.02502; steered in its h-space
(:mod:`disentangle.models.hspace`, which tells how far as published).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from disentangle.errors import UserError
from disentangle.generator import Projection
from disentangle.models.blocks import check_channels, check_latents, draw_normal
from disentangle.models.denoiser import PREDICTIONS, check_network, decode, encode, initialise_as_ddpm
from disentangle.models.hspace import STEERINGS, HSpace
from disentangle.models.pipeline_folder import read_pipeline

NETWORK: dict[str, Any] = {
    "block_out_channels": (16, 32, 64, 64),
    "down_block_types": ("DownBlock2D",) * 4,
    "up_block_types": ("UpBlock2D",) * 4,
    "layers_per_block": 1,
    "attention_head_dim": 16,
    "norm_num_groups": 8,
}
"""A network for 32×32 on a CPU: attention in the mid-block alone."""

SCHEDULE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
"""The cosine schedule of Nichol and Dhariwal 2021, arXiv 2102.09672, sampled from its noisiest timestep on (Lin et al.
2024, arXiv 2305.08891), for which a network must predict the velocity: there, noise tells nothing of the picture."""


class HSpaceDiffusion(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A denoising U-Net, sampled in a few deterministic steps and steered by codes at its mid-block.

    The latents are ``codes`` numbers and then the noise that sampling starts from, a picture's worth of it. Until
    :meth:`fit` has found the axes that the codes move along, they change nothing, and the pictures are those of the
    plain diffusion model.

    Args:
        size: height and width of the pictures.
        channels: 1 (grey) or 3 (RGB).
        codes: ``q``, how many axes of the h-space codes move along.
        steps: sampling steps.
        steering: ``"replace"`` or ``"add"``; see :class:`disentangle.models.hspace.HSpace`.
        fitted_to: pictures of the model's own making that :meth:`fit` finds the axes in; more than ``codes``.
        network: settings of diffusers' ``UNet2DModel`` but for its size and channels; a small one by default.
        schedule: settings of diffusers' ``DDIMScheduler``: noise, prediction and clipping; by default a
            cosine schedule of 1,000 timesteps whose velocity is predicted.
        seed: seed of the initial weights.
        initialisation: how these are drawn: ``"torch"``, as torch does by default, or ``"ddpm"``, as published for
            DDPM; see :func:`disentangle.models.denoiser.initialise_as_ddpm`.

    Raises:
        UserError: where a number is impossible, or the network or the schedule none that can be steered.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        codes: int = 8,
        steps: int = 20,
        steering: str = "replace",
        fitted_to: int = 256,
        network: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        seed: int = 0,
        initialisation: str = "torch",
    ) -> None:
        super().__init__()
        check_channels(channels)
        if steering not in STEERINGS:
            raise UserError(f"steering must be {' or '.join(STEERINGS)}, got {steering!r}")
        if initialisation not in ("torch", "ddpm"):
            raise UserError(f"initialisation must be torch or ddpm, got {initialisation!r}")
        self.scheduler = make_scheduler(SCHEDULE if schedule is None else schedule, steps)
        self.steering = steering
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.unet = make_unet(NETWORK if network is None else network, size, channels)
            if initialisation == "ddpm":
                initialise_as_ddpm(self.unet)
        self.shape = (channels, size, size)
        widths = self.unet.config.block_out_channels
        self.h_space = HSpace(widths[-1] * (size >> len(widths) - 1) ** 2, codes, steps)
        if fitted_to <= codes:
            raise UserError(f"{codes} codes need more than {codes} pictures to be fitted to, got {fitted_to}")
        self.codes = codes
        self.fitted_to = fitted_to
        self.latent_size = codes + math.prod(self.shape)
        # Not saved, since the settings say it: on the network's device, so that no step waits for a copy.
        self.register_buffer("timesteps", self.scheduler.timesteps.clone(), persistent=False)
        self.register_buffer("signal", self.scheduler.alphas_cumprod.double(), persistent=False)

    @classmethod
    def from_pipeline(
        cls, folder: Path | str, codes: int = 8, steps: int = 20, steering: str = "replace", fitted_to: int = 256
    ) -> "HSpaceDiffusion":
        """A published pipeline's network under its own noise schedule, its axes not fitted yet.

        Args:
            folder: of diffusers' ``DDPMPipeline`` or ``DDIMPipeline``: ``model_index.json``, ``unet/``, ``scheduler/``,
                the weights in safetensors. Nothing is fetched from a network.
            codes: axes to steer along.
            steps: sampling steps.
            steering: ``"replace"`` or ``"add"``.
            fitted_to: pictures that :meth:`fit` finds the axes in.

        Raises:
            UserError: where the folder is missing, incomplete, damaged, in pickles only or of another kind.
        """
        unet, scheduler = read_pipeline(folder)
        settings = plain(unet.config)
        size, channels = settings["sample_size"], settings["in_channels"]
        if not isinstance(size, int):
            raise UserError(f"{folder} makes pictures of size {size}: possible are square ones of a fixed size")
        model = cls(size, channels, codes, steps, steering, fitted_to, settings, plain(scheduler))
        model.unet.load_state_dict(unet.state_dict())
        return model.eval()  # type: ignore[no-any-return]

    def forward(self, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """Noisy pictures ``(n, channels, size, size)`` at ``timesteps`` ``(n,)`` to what the network predicts of them:
        the noise, the velocity or the picture, as the scheduler's ``prediction_type`` says. Nothing is steered."""
        return self.unet(noisy, timesteps, return_dict=False)[0]  # type: ignore[no-any-return]

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, latent_size)`` latents from N(0, I)."""
        return draw_normal(n, self.latent_size, generator, self.unet.conv_in.weight)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Latents ``(n, latent_size)`` to pictures ``(n, channels, size, size)`` in [-1, 1], in float32 or float64."""
        check_latents(latents, self.latent_size)
        codes, noise = latents.split([self.codes, self.latent_size - self.codes], dim=1)
        images: Tensor = noise.unflatten(1, self.shape)
        for step in range(len(self.timesteps)):
            h, embedding, skips = encode(self.unet, images, self.timesteps[step].expand(len(images)))
            plain = decode(self.unet, h, embedding, skips)
            steered = decode(self.unet, self.h_space(h, codes, step, self.steering), embedding, skips)
            images = self._denoise(plain, images, step, steered)
        images = images.clamp(-1, 1)  # which not every schedule does
        return images if images.dtype == torch.float64 else images.float()

    @torch.no_grad()
    def trajectories(self, noise: Tensor, batch: int = 64) -> Tensor:
        """The mid-block's output at every step from noise ``(n, channels * size * size)`` to the plain model's
        pictures: ``(steps, n, D)``, made ``batch`` at a time."""
        parts = []
        for images in noise.unflatten(1, self.shape).split(batch):
            part = []
            for step in range(len(self.timesteps)):
                h, embedding, skips = encode(self.unet, images, self.timesteps[step].expand(len(images)))
                part.append(h.flatten(1))
                images = self._denoise(decode(self.unet, h, embedding, skips), images, step)
            parts.append(torch.stack(part))
        return torch.cat(parts, dim=1)

    def fit(self, generator: torch.Generator | None = None) -> None:
        """Find the axes that codes move along, in pictures that the model itself makes without codes.

        A function of the weights and the generator's seed alone. Takes as long as making the pictures.
        """
        self.h_space.fit(self.trajectories(self.sample_latents(self.fitted_to, generator)[:, self.codes :]))

    def projections(self) -> tuple[Projection, ...]:
        """One: from the codes to the mid-block's output, which its last convolution makes."""
        last = len(self.unet.mid_block.resnets) - 1
        return (
            Projection(
                name="h-space",
                parameter=f"unet.mid_block.resnets.{last}.conv2.weight",
                latents=slice(0, self.codes),
                matrix=self.h_space.matrix,
            ),
        )

    def _denoise(self, prediction: Tensor, images: Tensor, step: int, steered: Tensor | None = None) -> Tensor:
        """The pictures after ``step``, with less noise; the last has none.

        A step adds two terms, the picture that is predicted and the noise that is. A steered prediction decides the
        first alone: in both, what it does to the one would undo what it does to the other (Kwon et al., theorem 1).
        """
        timestep = int(self.scheduler.timesteps[step])
        plain = self.scheduler.step(prediction, timestep, images)
        after: Tensor = plain.prev_sample
        if steered is None:
            return after
        picture: Tensor = self.scheduler.step(steered, timestep, images).pred_original_sample
        return after + self._signal_after(timestep) ** 0.5 * (picture - plain.pred_original_sample)  # type: ignore[no-any-return]

    def _signal_after(self, timestep: int) -> float:
        """How much of the picture is left in what is sampled at ``timestep``: all, or the next timestep's share."""
        following = timestep - self.scheduler.config.num_train_timesteps // len(self.timesteps)
        signal = self.scheduler.alphas_cumprod[following] if following >= 0 else self.scheduler.final_alpha_cumprod
        return float(signal)


def make_unet(settings: Mapping[str, Any], size: int, channels: int) -> UNet2DModel:
    """diffusers' network for pictures of this size, with new weights.

    Raises:
        UserError: where diffusers refuses the settings, or the network cannot be steered.
    """
    sizes = {"sample_size": size, "in_channels": channels, "out_channels": channels}
    widths = settings.get("block_out_channels", ())
    head = settings.get("attention_head_dim", 8)
    if widths and head is not None and not 1 <= head <= widths[-1]:
        raise UserError(
            f"an attention head has {head} channels: possible are 1 to {widths[-1]}, those of the mid-block"
        )
    try:
        unet = UNet2DModel(**dict(settings) | sizes)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise UserError(f"no such UNet2DModel: {' '.join(str(error).split())[:200]}") from None
    check_network(unet.config)
    halvings = len(unet.config.block_out_channels) - 1
    if size % 2**halvings:
        raise UserError(
            f"size must be a multiple of {2**halvings}, which {halvings + 1} levels of features halve, got {size}"
        )
    return unet


def make_scheduler(settings: Mapping[str, Any], steps: int) -> DDIMScheduler:
    """diffusers' deterministic sampler over ``steps`` of the timesteps.

    Raises:
        UserError: where the settings make none, or it has fewer timesteps.
    """
    try:
        scheduler = DDIMScheduler.from_config(dict(settings))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UserError(f"no such noise schedule: {' '.join(str(error).split())[:200]}") from None
    if scheduler.config.prediction_type not in PREDICTIONS:
        raise UserError(
            f"a network that predicts {scheduler.config.prediction_type!r} cannot be sampled: possible: "
            f"{', '.join(PREDICTIONS)}"
        )
    if not 1 <= steps <= scheduler.config.num_train_timesteps:
        raise UserError(
            f"steps must lie between 1 and the {scheduler.config.num_train_timesteps} timesteps of the noise schedule, "
            f"got {steps}"
        )
    scheduler.set_timesteps(steps)
    return scheduler


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as diffusers keeps them, without its own notes, which begin with an underscore."""
    return {key: value for key, value in settings.items() if not key.startswith("_")}
