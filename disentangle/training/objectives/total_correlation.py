r"""β-TCVAE: the KL divergence from the prior in three parts, each with a weight of its own.

Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in Variational Autoencoders", NeurIPS 2018, arXiv
1802.04942. With :math:`q(z) = \frac1N \sum_x q(z|x)`, the aggregate posterior over the N pictures of the training set,

.. math:: E_x KL(q(z|x) \,\|\, p(z)) = \underbrace{I(x; z)}_{mi} + \underbrace{KL(q(z) \,\|\, \prod_j q(z_j))}_{tc}
    + \underbrace{\sum_j KL(q(z_j) \,\|\, p(z_j))}_{dwkl}.

Of q(z) a batch gives an estimate, a weighted sum over its pictures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from disentangle.training.objectives.base import STRICT, Update, check_weights
from disentangle.training.objectives.vae import Codes, GaussianVAELoss

Sampling = Literal["weighted", "stratified"]


@dataclass(frozen=True)
class BetaTCVAELoss(GaussianVAELoss):
    r"""β-TCVAE's objective: :math:`\alpha\, mi + \beta\, tc + \gamma\, dwkl` (Chen et al. 2018, arXiv 1802.04942).

    The defaults are those published for dSprites.

    Attributes:
        alpha: weight of the mutual information of pictures and codes.
        beta: weight of the codes' total correlation.
        gamma: weight of each code's own divergence from the prior.
        sampling: how the aggregate posterior is estimated. Weighted, the paper's choice, is biased and its total
            correlation is far too large, by a constant that no gradient sees; stratified is not.
    """

    __pydantic_config__ = STRICT
    kind: Literal["beta-tcvae"] = "beta-tcvae"
    alpha: float = 1.0
    beta: float = 6.0
    gamma: float = 1.0
    sampling: Sampling = "weighted"

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(alpha=self.alpha, beta=self.beta, gamma=self.gamma)

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One, of encoder and decoder together."""
        return [self.update(networks, partial(self.regularise, pictures=pictures))]

    def regularise(self, codes: Codes, step: int, pictures: int) -> dict[str, Tensor]:
        """The weighted sum, and ``mi``, ``tc`` and ``dwkl``, for a training set of so many pictures."""
        codes = codes.whole()
        parts = decompose_kl(codes.latents, codes.mean, codes.log_variance, pictures, self.sampling)
        # The sum of the three has a closed form, which spares the estimate of one: for α = γ = 1, KL + (β − 1) tc.
        kl = codes.kl.sum(dim=1).mean()
        total = self.alpha * kl + (self.beta - self.alpha) * parts.tc + (self.gamma - self.alpha) * parts.dwkl
        return {"regulariser": total, **parts._asdict()}


class KLParts(NamedTuple):
    """The parts of the KL divergence from the prior, 0-dimensional, in nats a picture.

    Attributes:
        mi: mutual information of pictures and codes.
        tc: total correlation of the codes.
        dwkl: sum of each code's divergence of its own.
    """

    mi: Tensor
    tc: Tensor
    dwkl: Tensor


def decompose_kl(latents: Tensor, mean: Tensor, log_variance: Tensor, pictures: int, sampling: Sampling) -> KLParts:
    """Estimate the three parts from a batch, drawn without replacement; their sum is ``log q(z|x) − log p(z)``.

    Args:
        latents: ``(n, d)``, row i drawn from the posterior of picture i.
        mean: ``(n, d)``, of the posteriors.
        log_variance: ``(n, d)``, of the posteriors.
        pictures: N, size of the training set, at least n.
        sampling: see :func:`log_weights`.

    Raises:
        ValueError: as :func:`log_weights`.
    """
    pairs = log_normal(latents[:, None], mean[None], log_variance[None])
    weights = log_weights(len(latents), pictures, sampling).to(pairs)
    log_joint = torch.logsumexp(weights + pairs.sum(dim=2), dim=1)
    log_marginals = torch.logsumexp(weights[:, :, None] + pairs, dim=1)
    log_posterior = pairs.diagonal().sum(dim=0)
    log_prior = log_normal(latents, torch.zeros_like(latents), torch.zeros_like(latents))
    return KLParts(
        mi=(log_posterior - log_joint).mean(),
        tc=(log_joint - log_marginals.sum(dim=1)).mean(),
        dwkl=(log_marginals - log_prior).sum(dim=1).mean(),
    )


def log_weights(batch: int, pictures: int, sampling: Sampling) -> Tensor:
    r"""Logarithms of the weights ``(batch, batch)`` with which the aggregate posterior is estimated.

    With n the batch and N all pictures, the estimate at the latents of picture i is :math:`\sum_j w_{ij} q(z_i|x_j)`.

    - ``"weighted"`` (minibatch-weighted sampling): :math:`w_{ij} = 1/(nN)`. Biased: its expectation is too small.
    - ``"stratified"`` (minibatch-stratified sampling): :math:`w_{ii} = 1/N` for the picture itself, and for the others,
      which stand for the N − 1 that it is not, :math:`w_{ij} = (N-1) / (N (n-1))`. Unbiased, and exact for n = N. The
      paper gives one of the others another weight; this is the average over which of them it is, and so has the same
      expectation and less variance. (The paper's program has :math:`1/N` in the first column, not on the diagonal.)

    Returns:
        float64; row i has the weights for the latents of picture i.

    Raises:
        ValueError: where the batch is larger than the training set, or too small for its estimate.
    """
    if not 1 <= batch <= pictures:
        raise ValueError(f"a batch drawn without replacement from {pictures} pictures cannot have {batch}")
    if sampling == "weighted":
        return torch.full((batch, batch), -math.log(batch * pictures), dtype=torch.float64)
    if sampling != "stratified":
        raise ValueError(f"sampling must be 'weighted' or 'stratified', got {sampling!r}")
    if batch == 1 < pictures:
        raise ValueError("stratified sampling needs a batch of at least 2: raise batch_size, or take 'weighted'")
    others = math.log((pictures - 1) / (pictures * (batch - 1))) if batch > 1 else 0.0
    weights = torch.full((batch, batch), others, dtype=torch.float64)
    return weights.fill_diagonal_(-math.log(pictures))


def log_normal(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-density of N(mean, exp(log_variance)) at ``values``, element by element."""
    return -0.5 * ((values - mean).square() * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi))
