"""Scores: arrays and callables in, numbers and their parts out. No metric knows a model."""

from disentangle.metrics.baselines import interval, noise, perfect, reference_points, rotated
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
from disentangle.metrics.features import FeatureNetwork, load_features
from disentangle.metrics.frechet import Frechet, frechet_distance
from disentangle.metrics.infomec import InfoMEC, infomec
from disentangle.metrics.irs import IRS, irs
from disentangle.metrics.jemmig import JEMMIG, jemmig
from disentangle.metrics.mig import MIG, mig
from disentangle.metrics.mig_sup import MIGSup, mig_sup
from disentangle.metrics.modularity import Modularity, modularity
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.udr import UDR, udr

__all__ = [
    "DCI",
    "DCIMIG",
    "IRS",
    "JEMMIG",
    "MIG",
    "UDR",
    "Accuracy",
    "Calibration",
    "CodeScore",
    "Confusion",
    "FeatureNetwork",
    "Frechet",
    "InfoMEC",
    "Likelihood",
    "MIGSup",
    "Modularity",
    "Result",
    "Source",
    "accuracy",
    "calibration_error",
    "confidences",
    "confusion_matrix",
    "dci",
    "dcimig",
    "frechet_distance",
    "infomec",
    "interval",
    "irs",
    "jemmig",
    "load_features",
    "mig",
    "mig_sup",
    "modularity",
    "negative_log_likelihood",
    "noise",
    "perfect",
    "reference_points",
    "reliability",
    "rotated",
    "udr",
    "wilson_interval",
]
