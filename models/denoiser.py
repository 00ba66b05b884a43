"""diffusers' U-Net in two halves, split after its mid-block, and the noise that it takes away.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv 2006.11239.
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from disentangle.errors import UserError

PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a network may predict: the noise, the velocity, or the picture."""


def check_network(config: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` where diffusers' ``UNet2DModel`` of these settings cannot be steered here."""
    if config.get("mid_block_type", "UNetMidBlock2D") is None:
        raise UserError("the network has no mid-block (mid_block_type null), so there is no h-space to steer")
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        raise UserError("the network is conditioned on classes: only an unconditional UNet2DModel can be steered")
    if config.get("in_channels", 3) != config.get("out_channels", 3):
        raise UserError(
            f"the network makes {config.get('out_channels')} channels of {config.get('in_channels')}, as one with a "
            "learned variance does: only one that predicts as many as it takes can be steered"
        )
    skipping = [kind for kind in config.get("down_block_types", ()) if "Skip" in kind]
    if config.get("time_embedding_type") == "fourier" or skipping:
        raise UserError("the network is a score network (NCSN++), whose noise explodes: possible: DDPM's and DDIM's")


@torch.no_grad()
def initialise_as_ddpm(unet: UNet2DModel) -> None:
    """Draw a network's weights as the program of Ho et al. does (hojonathanho/diffusion), its biases 0.

    Uniformly, of variance ``2 / (inputs + outputs)``, and 1e-10 of that for what ends a residual block or an attention
    and for the last convolution: the network begins as what leads around them, and predicts 0.
    """
    for name, layer in unet.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            ends = name == "conv_out" or name.endswith((".conv2", ".to_out.0"))
            nn.init.xavier_uniform_(layer.weight, gain=1e-5 if ends else 1.0)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def encode(unet: UNet2DModel, noisy: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """The first half of a U-Net.

    Args:
        unet: the network.
        noisy: pictures ``(n, c, height, width)``.
        timesteps: ``(n,)``.

    Returns:
        The mid-block's output ``(n, c', h, w)``, the embedding of the timesteps, and the features that pass the
        mid-block by.
    """
    if unet.config.center_input_sample:
        noisy = 2 * noisy - 1
    embedding = unet.time_embedding(unet.time_proj(timesteps).to(noisy.dtype))
    features = unet.conv_in(noisy)
    skips: tuple[Tensor, ...] = (features,)
    for block in unet.down_blocks:
        features, passing = block(features, embedding)
        skips += tuple(passing)
    return unet.mid_block(features, embedding), embedding, skips


def decode(unet: UNet2DModel, h: Tensor, embedding: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
    """The second half of a U-Net: from what :func:`encode` returns to the network's prediction, ``(n, c, h, w)``."""
    features = h
    for block in unet.up_blocks:
        count = len(block.resnets)
        features = block(features, skips[-count:], embedding)
        skips = skips[:-count]
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(features)))  # type: ignore[no-any-return]


def diffuse(images: Tensor, noise: Tensor, signal: Tensor) -> Tensor:
    r"""The forward process at once: :math:`x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon`.

    Args:
        images: ``(n, c, h, w)``.
        noise: standard normal, of the same shape.
        signal: :math:`\bar\alpha_t` of each picture's timestep, ``(n,)``.
    """
    signal = signal.to(images.dtype).view(-1, 1, 1, 1)
    return signal.sqrt() * images + (1 - signal).sqrt() * noise


def target(images: Tensor, noise: Tensor, signal: Tensor, prediction: str) -> Tensor:
    r"""What a network is to predict of :func:`diffuse`'s result; one of :data:`PREDICTIONS`.

    The velocity :math:`\sqrt{\bar\alpha_t}\, \epsilon - \sqrt{1 - \bar\alpha_t}\, x_0` is that of Salimans and Ho,
    "Progressive Distillation", ICLR 2022, arXiv 2202.00512.
    """
    if prediction == "epsilon":
        return noise
    if prediction == "sample":
        return images
    signal = signal.to(images.dtype).view(-1, 1, 1, 1)
    return signal.sqrt() * noise - (1 - signal).sqrt() * images
