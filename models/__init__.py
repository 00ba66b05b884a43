"""Generators, discriminators and autoencoders, each a diffusers ``ModelMixin`` with its own saved configuration."""

from disentangle.models.discriminator import Discriminator
from disentangle.models.eigengan import EigenGAN
from disentangle.models.vae import BetaVAE
from disentangle.orthogonal import SkewOrthogonalConv2d

__all__ = ["BetaVAE", "Discriminator", "EigenGAN", "SkewOrthogonalConv2d"]
