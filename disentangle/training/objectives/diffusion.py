"""Denoising: what a diffusion model minimises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from disentangle.models import HSpaceDiffusion
from disentangle.models.denoiser import diffuse, target
from disentangle.training.objectives.base import STRICT, Batch, Loss, Update, check_weights


@dataclass(frozen=True)
class DiffusionLoss(Loss):
    """The squared error of what a network predicts of noisy pictures.

    Attributes:
        min_snr: the signal-to-noise ratio up to which a timestep counts as if the picture were predicted, and beyond
            which it counts for less; 5 as published; 0 for no weights, as in DDPM.
    """

    __pydantic_config__ = STRICT
    family: ClassVar[str] = "diffusion"
    kind: Literal["diffusion"] = "diffusion"
    min_snr: float = 0.0

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(min_snr=self.min_snr)

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One."""
        model: HSpaceDiffusion = networks["generator"]  # type: ignore[assignment]
        return [Update("diffusion", DiffusionObjective(model, self))]


class DiffusionObjective(nn.Module):
    """Denoising at timesteps drawn uniformly: Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS
    2020, arXiv 2006.11239."""

    def __init__(self, model: HSpaceDiffusion, loss: DiffusionLoss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, ``error`` the squared error without weights."""
        images, model = batch.images, self.model
        timesteps = uniform_timesteps(batch.draws.uniform("timesteps"), len(model.signal))
        noise = batch.draws.normal("noise", *model.shape).contiguous(memory_format=memory_format(images))
        signal = model.signal[timesteps]
        prediction = model(diffuse(images, noise, signal), timesteps).to(images.dtype)
        kind = model.scheduler.config.prediction_type
        errors = (prediction - target(images, noise, signal, kind)).square().mean(dim=(1, 2, 3))
        if self.loss.min_snr == 0:
            return {"loss": errors.mean()}
        weights = min_snr_weights(signal, self.loss.min_snr, kind).to(errors.dtype)
        return {"loss": (weights * errors).mean(), "error": errors.detach().mean()}


def uniform_timesteps(uniform: Tensor, count: int) -> Tensor:
    """Timesteps ``0 … count - 1`` of uniform numbers in [0, 1)."""
    return (uniform * count).long().clamp_(max=count - 1)


def min_snr_weights(signal: Tensor, gamma: float, prediction: str) -> Tensor:
    r"""Weights of the squared errors at timesteps of given noise: :math:`\min(\text{SNR}, \gamma)` of the picture's.

    Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", ICCV 2023, arXiv 2303.09556. An error of
    the picture is the noise's over SNR, and the velocity's over SNR + 1.

    Args:
        signal: :math:`\bar\alpha_t`, so that the signal-to-noise ratio is :math:`\bar\alpha_t / (1 - \bar\alpha_t)`.
        gamma: where weights stop to grow.
        prediction: what the network predicts: ``"epsilon"``, ``"v_prediction"`` or ``"sample"``.
    """
    ratio = signal / (1 - signal)
    clipped = ratio.clamp(max=gamma)
    if prediction == "sample":
        return clipped
    # Of pure noise (a ratio of 0) the limit: dividing by it has none.
    return clipped / (ratio + 1) if prediction == "v_prediction" else torch.where(ratio > 0, clipped / ratio, 1.0)


def memory_format(images: Tensor) -> torch.memory_format:
    """Channels-last where the pictures are."""
    last = images.is_contiguous(memory_format=torch.channels_last) and images.shape[1] > 1
    return torch.channels_last if last else torch.contiguous_format
