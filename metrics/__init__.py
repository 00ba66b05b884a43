"""Scores: arrays and callables in, numbers and their parts out. No metric knows a model."""

from disentangle.metrics.baselines import halves, interval, noise, perfect, reference_points, rotated
from disentangle.metrics.beta_vae import BetaVAE, beta_vae_score
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
from disentangle.metrics.explicitness import Explicitness, explicitness
from disentangle.metrics.factor_vae import FactorVAE, factor_vae_score
from disentangle.metrics.features import FeatureNetwork, load_features
from disentangle.metrics.frechet import Frechet, frechet_distance
from disentangle.metrics.mig import MIG, mig
from disentangle.metrics.sampling import Encoded, Rows
from disentangle.metrics.sap import SAP, sap
from disentangle.metrics.trust import CodeScore, Source

__all__ = [
    "DCI",
    "MIG",
    "SAP",
    "Accuracy",
    "BetaVAE",
    "Calibration",
    "CodeScore",
    "Confusion",
    "Encoded",
    "Explicitness",
    "FactorVAE",
    "FeatureNetwork",
    "Frechet",
    "Likelihood",
    "Result",
    "Rows",
    "Source",
    "accuracy",
    "beta_vae_score",
    "calibration_error",
    "confidences",
    "confusion_matrix",
    "dci",
    "explicitness",
    "factor_vae_score",
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
    "sap",
    "wilson_interval",
]
