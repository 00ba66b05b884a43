"""Scores: arrays and callables in, numbers and their parts out. No metric knows a model."""

from disentangle.metrics.activeness import Activeness, activeness
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
from disentangle.metrics.extract import extract_features, extract_moments
from disentangle.metrics.feature_cache import FeatureCache, cache_key
from disentangle.metrics.features import FeatureNetwork, load_features
from disentangle.metrics.frechet import Frechet, frechet_distance
from disentangle.metrics.kernel import Kernel, kernel_distance
from disentangle.metrics.mig import MIG, mig
from disentangle.metrics.moments import Moments
from disentangle.metrics.path_length import PathLength, perceptual_path_length
from disentangle.metrics.perceptual import PictureDistance, load_distance
from disentangle.metrics.precision_recall import PrecisionRecall, precision_recall
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.variation import VariationPredictability, variation_predictability

__all__ = [
    "DCI",
    "MIG",
    "Accuracy",
    "Activeness",
    "Calibration",
    "CodeScore",
    "Confusion",
    "FeatureCache",
    "FeatureNetwork",
    "Frechet",
    "Kernel",
    "Likelihood",
    "Moments",
    "PathLength",
    "PictureDistance",
    "PrecisionRecall",
    "Result",
    "Source",
    "VariationPredictability",
    "accuracy",
    "activeness",
    "cache_key",
    "calibration_error",
    "confidences",
    "confusion_matrix",
    "dci",
    "extract_features",
    "extract_moments",
    "frechet_distance",
    "halves",
    "interval",
    "kernel_distance",
    "load_distance",
    "load_features",
    "mig",
    "negative_log_likelihood",
    "noise",
    "perceptual_path_length",
    "perfect",
    "precision_recall",
    "reference_points",
    "reliability",
    "rotated",
    "variation_predictability",
    "wilson_interval",
]
