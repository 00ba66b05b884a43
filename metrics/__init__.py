"""Scores: arrays and callables in, numbers and their parts out. No metric knows a model."""

from disentangle.metrics.baselines import interval, noise, perfect, reference_points, rotated
from disentangle.metrics.common import Result
from disentangle.metrics.dci import DCI, dci
from disentangle.metrics.features import FeatureNetwork, load_features
from disentangle.metrics.frechet import Frechet, frechet_distance
from disentangle.metrics.mig import MIG, mig

__all__ = [
    "DCI",
    "MIG",
    "FeatureNetwork",
    "Frechet",
    "Result",
    "dci",
    "frechet_distance",
    "interval",
    "load_features",
    "mig",
    "noise",
    "perfect",
    "reference_points",
    "rotated",
]
