"""Scores: arrays and callables in, numbers and their parts out. No metric knows a model."""

from disentangle.metrics.dci import DCI, dci
from disentangle.metrics.frechet import Frechet, frechet_distance
from disentangle.metrics.mig import MIG, mig

__all__ = ["DCI", "MIG", "Frechet", "dci", "frechet_distance", "mig"]
