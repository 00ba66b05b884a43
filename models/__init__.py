"""Generators, discriminators, autoencoders and classifiers, each a diffusers ``ModelMixin`` with its own saved
configuration, and the SVD meta-layers of the classifiers."""

from disentangle.models.covariance_pooling import GlobalCovariancePooling
from disentangle.models.discriminator import Discriminator
from disentangle.models.eigengan import EigenGAN
from disentangle.models.encoder import LatentEncoder
from disentangle.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet_small
from disentangle.models.vae import BetaVAE
from disentangle.models.whitening import DecorrelatedBatchNorm2d
from disentangle.orthogonal import SkewOrthogonalConv2d

__all__ = [
    "BetaVAE",
    "DecorrelatedBatchNorm2d",
    "Discriminator",
    "EigenGAN",
    "GlobalCovariancePooling",
    "LatentEncoder",
    "ResNet",
    "SkewOrthogonalConv2d",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet_small",
]
