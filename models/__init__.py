"""Generators, discriminators, autoencoders, diffusion models and classifiers, each a diffusers ``ModelMixin`` with its
own saved configuration, and the SVD meta-layers of the classifiers."""

from disentangle.models.autoencoder_kl import AutoencoderKLSubspace
from disentangle.models.covariance_pooling import GlobalCovariancePooling
from disentangle.models.diffusion import HSpaceDiffusion
from disentangle.models.discriminator import Discriminator
from disentangle.models.eigengan import EigenGAN
from disentangle.models.encoder import LatentEncoder
from disentangle.models.factor_reader import FactorReader
from disentangle.models.latent_discriminator import LatentDiscriminator
from disentangle.models.quantized import QLAE, Tripod
from disentangle.models.recogniser import Recogniser
from disentangle.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet_small
from disentangle.models.vae import DIPVAE, AnnealedVAE, BetaTCVAE, BetaVAE, FactorVAE, GaussianVAE
from disentangle.models.vanilla_gan import VanillaDiscriminator, VanillaGAN
from disentangle.models.whitening import DecorrelatedBatchNorm2d
from disentangle.orthogonal import SkewOrthogonalConv2d

__all__ = [
    "DIPVAE",
    "QLAE",
    "AnnealedVAE",
    "AutoencoderKLSubspace",
    "BetaTCVAE",
    "BetaVAE",
    "DecorrelatedBatchNorm2d",
    "Discriminator",
    "EigenGAN",
    "FactorReader",
    "FactorVAE",
    "GaussianVAE",
    "GlobalCovariancePooling",
    "HSpaceDiffusion",
    "LatentDiscriminator",
    "LatentEncoder",
    "Recogniser",
    "ResNet",
    "SkewOrthogonalConv2d",
    "Tripod",
    "VanillaDiscriminator",
    "VanillaGAN",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet_small",
]
