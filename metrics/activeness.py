"""Activeness: how much the pictures change with each latent.

Peebles, Peebles, Zhu, Efros, Torralba, "The Hessian Penalty: A Weak Prior for Unsupervised Disentanglement", ECCV 2020,
arXiv 2008.10599.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from disentangle.metrics.common import Result
from disentangle.metrics.generators import Samples, pictures

POSITIONS = (-2.0, 0.0, 2.0)


@dataclass(frozen=True, eq=False)
class Activeness(Result):
    """How much each latent does.

    Attributes:
        activity: ``(d,)``, the variance of the picture as the latent moves, a mean over pixels, channels and samples.
        error: ``(d,)``, standard error of each over samples; 0 of one sample.
        samples: latents that were started from.
        seed: of them.
        threshold: share of the largest activity from which on a latent counts as active.
    """

    activity: NDArray[np.float64]
    error: NDArray[np.float64]
    samples: int
    seed: int
    threshold: float

    @property
    def score(self) -> float:
        """The mean activity of a latent; pictures being in [-1, 1], between 0 and 8/9."""
        return float(self.activity.mean())

    @property
    def active(self) -> int:
        """Number of latents with at least ``threshold`` of the largest activity; 0 where nothing changes."""
        enough = self.activity >= self.threshold * self.activity.max()
        return int(np.count_nonzero(enough & (self.activity > 0)))

    @property
    def intervals(self) -> NDArray[np.float64]:
        """``(d, 2)``, Student's 95% interval of each latent's activity over samples; not below 0."""
        reach = float(student.ppf(0.975, self.samples - 1)) * self.error if self.samples > 1 else np.inf
        return np.stack([np.maximum(self.activity - reach, 0), self.activity + reach], axis=1)


@torch.inference_mode()
def activeness(
    generator: Samples,
    samples: int = 64,
    seed: int = 0,
    *,
    positions: Sequence[float] = POSITIONS,
    threshold: float = 0.01,
    batch: int = 64,
) -> Activeness:
    """The variance of the picture over positions of each latent, the others staying as drawn; never quantised.

    Of a direction other than a latent's axis, see :func:`disentangle.directions.activeness.measure_activeness`.

    Args:
        generator: has ``sample_latents``, ``synthesize`` and ``latent_size``.
        samples: latents to start from, the same for all.
        seed: of them.
        positions: in units of the latent, at least two.
        threshold: share of the largest activity from which on a latent counts as active, in [0, 1].
        batch: pictures made at a time.

    Raises:
        ValueError: for arguments out of range.
    """
    if samples < 1 or batch < 1 or len(positions) < 2 or not 0 <= threshold <= 1:
        raise ValueError(
            "expected a sample, a batch of one, two positions and a threshold in [0, 1], "
            f"got {samples}, {batch}, {positions} and {threshold}"
        )
    latents = generator.sample_latents(samples, torch.Generator().manual_seed(seed))
    places = latents.new_tensor(positions)
    group = max(1, batch // len(positions))
    variances = np.empty((latents.shape[1], samples))
    for k in range(latents.shape[1]):
        for start in range(0, samples, group):
            part = latents[start : start + group]
            moved = part[:, None].repeat(1, len(places), 1)
            moved[:, :, k] = places
            images = pictures(generator, moved.flatten(0, 1)).double().reshape(len(part), len(places), -1)
            variances[k, start : start + group] = images.var(dim=1, correction=0).mean(dim=1).cpu().numpy()
    error = variances.std(axis=1, ddof=1) / np.sqrt(samples) if samples > 1 else np.zeros(len(variances))
    variant = f"variance over {', '.join(f'{place:g}' for place in positions)} of each latent"
    return Activeness(variant, variances.mean(axis=1), error, samples, seed, threshold)
