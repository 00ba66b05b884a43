"""What is minimised: a file a family. An objective is a module that owns the parameters it trains and returns its
losses by name; a loss is its settings, as a recipe holds them."""

from disentangle.training.objectives.base import Batch, Loss, Update
from disentangle.training.objectives.classifier import ClassifierLoss
from disentangle.training.objectives.gan import GANLoss
from disentangle.training.objectives.vae import BetaVAELoss

__all__ = ["Batch", "BetaVAELoss", "ClassifierLoss", "GANLoss", "Loss", "Update"]
