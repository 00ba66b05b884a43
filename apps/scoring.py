"""The scores of a report: the metrics' numbers with their reference points, intervals and the words that explain them.

Everything here works on arrays and callables; what reads runs and writes files is :mod:`disentangle.apps.evaluate`.
"""

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from disentangle.errors import DisentangleWarning
from disentangle.metrics import dci, frechet_distance, mig

Json = dict[str, Any]
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

INACTIVE = 0.01
"""Variance of a code's mean, as a share of the prior's, below which the code counts as unused (Burda et al. 2016, arXiv
1509.00519)."""


@dataclass(frozen=True)
class Score:
    """One number of a report and all that a reader needs to judge it.

    Attributes:
        name: what it is called.
        variant: which definition, with what settings: scores of different variants are not comparable.
        value: the number.
        better: ``"higher"`` or ``"lower"``.
        range: least and greatest possible value; ``None`` where there is no greatest.
        explanation: one sentence on what it measures.
        baselines: name -> value of the reference points, computed in the same way.
        spreads: name -> standard deviation of a reference point over seeds, where there are several.
        interval: 95 % interval of ``value``.
        unit: follows the number.
        settings: what it was computed with.
        parts: what it was made of.
        notes: what a reader must know.
    """

    name: str
    variant: str
    value: float
    better: str
    range: tuple[float, float | None]
    explanation: str
    baselines: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    unit: str = ""
    settings: Json = field(default_factory=dict)
    parts: Json = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> Json:
        """As JSON holds it: tuples are lists."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Labelled:
    """Codes of labelled pictures.

    Attributes:
        codes: ``(N, d)``.
        factors: ``(N, k)``.
        train: the first ``train`` rows train predictors, the others test them.
        names: of the ``k`` factors.
    """

    codes: Floats
    factors: Integers
    train: int
    names: Sequence[str]


def score_mig(labelled: Labelled, *, seed: int, resamples: int = 200, rotations: int = 3) -> Score:
    """MIG of the training codes beside that of perfect, rotated and noise codes, with a bootstrap interval.

    Args:
        labelled: the codes.
        seed: of rotations, noise and the bootstrap.
        resamples: bootstrap samples.
        rotations: random rotations whose mean and standard deviation are given.
    """
    codes, factors = labelled.codes[: labelled.train], labelled.factors[: labelled.train]
    with noted(labelled.names) as notes:
        result = mig(codes, factors)
    with quiet():
        points = reference_points(mig, codes, factors, seed=seed, rotations=rotations)
        interval = bootstrap_interval(
            lambda rows: float(mig(codes[rows], factors[rows])), len(codes), result.score, resamples, seed
        )
    return Score(
        name="MIG",
        variant=f"mutual information gap; {result.variant}; {result.bins} bins, {len(codes):,} codes",
        value=result.score,
        better="higher",
        range=(0.0, 1.0),
        explanation="How much more the best single code knows about a factor than the second best: 1 is one code for each "
        "factor, 0 is knowledge shared out evenly.",
        baselines=..., 
    )


def score_dci(labelled: Labelled, *, learner: str, seed: int, rotations: int = 3) -> list[Score]:
    """DCI's disentanglement, completeness and informativeness, beside those of perfect, rotated and noise codes.

    Args:
        labelled: the codes.
        learner: a name that :func:`disentangle.metrics.dci` knows.
        seed: of rotations and noise.
        rotations: random rotations whose mean and standard deviation are given.
    """


def score_pictures(
    network: Callable[[Tensor], Tensor], generated: Tensor, real: Tensor, other: Tensor, *, seed: int
) -> Score:
    """The Fréchet distance of generated pictures from real ones, between two reference points.

    The floor is that of other real pictures, what a perfect generator would get at this number of pictures; the ceiling is
    that of the real pictures with their pixels shuffled: the right brightness and no shape.

    Args:
        network: maps pictures in [-1, 1] to features ``(n, d)``; its ``name`` names the score.
        generated: uint8 ``(n, c, h, w)``.
        real: as many.
        other: as many other real ones.
        seed: of the shuffling.
    """


def score_reconstructions(originals: Tensor, reconstructions: Tensor) -> Score:
    """The mean squared error of a pixel, pictures being in [0, 1], beside that of always answering the mean picture.

    Args:
        originals: uint8 ``(n, c, h, w)``.
        reconstructions: of the same shape.
    """
