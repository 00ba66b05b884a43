"""Scores: arrays and callables in, numbers and their parts out. No metric knows a model."""

from disentangle.metrics.baselines import halves, interval, noise, perfect, reference_points, rotated
from disentangle.metrics.classification import (
    Accuracy,
    Calibration,
    Confusion,
    Likelihood,
    accuracy,
    calibration_error,
    confidences,
    confusion_matrix,
    negative_log_likelihood,
    reliability,
    wilson_interval,
)
from disentangle.metrics.common import Result
from disentangle.metrics.dci import DCI, dci
from disentangle.metrics.features import FeatureNetwork, load_features
from disentangle.metrics.frechet import Frechet, frechet_distance
from disentangle.metrics.mig import MIG, mig
from disentangle.metrics.trust import CodeScore, Source

__all__ = [
    "DCI",
    "MIG",
    "Accuracy",
    "Calibration",
    "CodeScore",
    "Confusion",
    "FeatureNetwork",
    "Frechet",
    "Likelihood",
    "Result",
    "Source",
    "accuracy",
    "calibration_error",
    "confidences",
    "confusion_matrix",
    "dci",
    "frechet_distance",
    "halves",
    "interval",
    "load_features",
    "mig",
    "negative_log_likelihood",
    "noise",
    "perfect",
    "reference_points",
    "reliability",
    "rotated",
    "wilson_interval",
]
