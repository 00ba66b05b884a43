"""The networks that a recipe may name, a file a family: their settings, which build them."""

from disentangle.training.architectures.autoencoder_kl import AutoencoderKLConfig
from disentangle.training.architectures.diffusion import DiffusionConfig
from disentangle.training.architectures.gan import EigenGANConfig, VanillaGANConfig
from disentangle.training.architectures.quantized import QLAEConfig, TripodConfig
from disentangle.training.architectures.resnet import ResNetConfig
from disentangle.training.architectures.vae import VAEConfig

__all__ = [
    "AutoencoderKLConfig",
    "DiffusionConfig",
    "EigenGANConfig",
    "QLAEConfig",
    "ResNetConfig",
    "TripodConfig",
    "VAEConfig",
    "VanillaGANConfig",
]
