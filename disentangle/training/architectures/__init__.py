"""The networks that a recipe may name, a file a family: their settings, which build them."""

from disentangle.training.architectures.gan import EigenGANConfig
from disentangle.training.architectures.resnet import ResNetConfig
from disentangle.training.architectures.vae import VAEConfig

__all__ = ["EigenGANConfig", "ResNetConfig", "VAEConfig"]
