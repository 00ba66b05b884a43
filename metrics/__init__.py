"""Scores: arrays and callables in, numbers and their parts out. No metric knows a model."""

from disentangle.metrics.activeness import Activeness, activeness
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
from disentangle.metrics.dcimig import DCIMIG, dcimig
from disentangle.metrics.explicitness import Explicitness, explicitness
from disentangle.metrics.extract import extract_features, extract_moments
from disentangle.metrics.factor_vae import FactorVAE, factor_vae_score
from disentangle.metrics.feature_cache import FeatureCache, cache_key
from disentangle.metrics.features import FeatureNetwork, load_features
from disentangle.metrics.frechet import Frechet, frechet_distance
from disentangle.metrics.infomec import InfoMEC, infomec
from disentangle.metrics.irs import IRS, irs
from disentangle.metrics.jemmig import JEMMIG, jemmig
from disentangle.metrics.kernel import Kernel, kernel_distance
from disentangle.metrics.mig import MIG, mig
from disentangle.metrics.mig_sup import MIGSup, mig_sup
from disentangle.metrics.modularity import Modularity, modularity
from disentangle.metrics.moments import Moments
from disentangle.metrics.path_length import PathLength, perceptual_path_length
from disentangle.metrics.perceptual import PictureDistance, load_distance
from disentangle.metrics.precision_recall import PrecisionRecall, precision_recall
from disentangle.metrics.sampling import Encoded, Rows
from disentangle.metrics.sap import SAP, sap
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.udr import UDR, udr
from disentangle.metrics.variation import VariationPredictability, variation_predictability

__all__ = [
    "DCI",
    "DCIMIG",
    "IRS",
    "JEMMIG",
    "MIG",
    "SAP",
    "UDR",
    "Accuracy",
    "Activeness",
    "BetaVAE",
    "Calibration",
    "CodeScore",
    "Confusion",
    "Encoded",
    "Explicitness",
    "FactorVAE",
    "FeatureCache",
    "FeatureNetwork",
    "Frechet",
    "InfoMEC",
    "Kernel",
    "Likelihood",
    "MIGSup",
    "Modularity",
    "Moments",
    "PathLength",
    "PictureDistance",
    "PrecisionRecall",
    "Result",
    "Rows",
    "Source",
    "VariationPredictability",
    "accuracy",
    "activeness",
    "beta_vae_score",
    "cache_key",
    "calibration_error",
    "confidences",
    "confusion_matrix",
    "dci",
    "dcimig",
    "explicitness",
    "extract_features",
    "extract_moments",
    "factor_vae_score",
    "frechet_distance",
    "halves",
    "infomec",
    "interval",
    "irs",
    "jemmig",
    "kernel_distance",
    "load_distance",
    "load_features",
    "mig",
    "mig_sup",
    "modularity",
    "negative_log_likelihood",
    "noise",
    "perceptual_path_length",
    "perfect",
    "precision_recall",
    "reference_points",
    "reliability",
    "rotated",
    "sap",
    "udr",
    "variation_predictability",
    "wilson_interval",
]
