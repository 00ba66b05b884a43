"""What is minimised: a file a family. An objective is a module that owns the parameters it trains and returns its
losses by name; a loss is its settings, as a recipe holds them."""

from disentangle.training.objectives.base import Batch, Loss, Update
from disentangle.training.objectives.classifier import ClassifierLoss
from disentangle.training.objectives.diffusion import DiffusionLoss
from disentangle.training.objectives.dip import DIPVAELoss
from disentangle.training.objectives.factor import FactorVAELoss
from disentangle.training.objectives.gan import GANLoss
from disentangle.training.objectives.quantized import QLAELoss, TripodLoss
from disentangle.training.objectives.total_correlation import BetaTCVAELoss
from disentangle.training.objectives.vae import AnnealedVAELoss, BetaVAELoss

__all__ = [
    "AnnealedVAELoss",
    "Batch",
    "BetaTCVAELoss",
    "BetaVAELoss",
    "ClassifierLoss",
    "DIPVAELoss",
    "DiffusionLoss",
    "FactorVAELoss",
    "GANLoss",
    "Loss",
    "QLAELoss",
    "TripodLoss",
    "Update",
]
