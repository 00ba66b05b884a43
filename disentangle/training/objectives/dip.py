"""DIP-VAE: the covariance of the codes over the pictures is drawn to the identity.

Kumar, Sattigeri, Balakrishnan, "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations",
ICLR 2018, arXiv 1711.00848.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from disentangle.training.objectives.base import STRICT, Update, check_weights
from disentangle.training.objectives.vae import Codes, GaussianVAELoss


@dataclass(frozen=True)
class DIPVAELoss(GaussianVAELoss):
    r"""DIP-VAE's objective: :math:`KL + \lambda_{od} \sum_{i \ne j} C_{ij}^2 + \lambda_d \sum_i (C_{ii} - 1)^2`.

    Kumar et al. 2018, arXiv 1711.00848.

    Attributes:
        variant: of what C is the covariance: i of the posteriors' means, ii of the codes drawn from them.
        lambda_od: weight off the diagonal.
        lambda_d: weight on the diagonal; as published by default, 10 times the other for i, and the same for ii.
    """

    __pydantic_config__ = STRICT
    kind: Literal["dip-vae"] = "dip-vae"
    variant: Literal["i", "ii"] = "ii"
    lambda_od: float = 10.0
    lambda_d: float | None = None

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(lambda_od=self.lambda_od, lambda_d=self.lambda_d or 0.0)

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One, of encoder and decoder together."""
        return [self.update(networks, self.regularise)]

    def regularise(self, codes: Codes, step: int) -> dict[str, Tensor]:
        """The divergence and the weighted penalties, and the penalties as such: ``off_diagonal`` and ``diagonal``."""
        codes = codes.whole()
        covariance = code_covariance(codes.mean, codes.log_variance if self.variant == "ii" else None)
        off_diagonal, diagonal = distance_to_identity(covariance)
        lambda_d = self.lambda_d
        if lambda_d is None:
            lambda_d = self.lambda_od * (10 if self.variant == "i" else 1)
        total = codes.kl.sum(dim=1).mean() + self.lambda_od * off_diagonal + lambda_d * diagonal
        return {"regulariser": total, "off_diagonal": off_diagonal, "diagonal": diagonal}


def code_covariance(mean: Tensor, log_variance: Tensor | None = None) -> Tensor:
    """Covariance ``(d, d)`` of codes over the pictures of a batch, divided by their number.

    Args:
        mean: ``(n, d)``, of the posteriors; the covariance is taken over n (DIP-VAE-I).
        log_variance: ``(n, d)``, of the posteriors: the covariance is then that of codes drawn from them, the mean
            posterior variance on the diagonal included (DIP-VAE-II).
    """
    centred = mean - mean.mean(dim=0)
    # Not a matrix product, which autocast would round to bfloat16.
    covariance = (centred[:, :, None] * centred[:, None, :]).mean(dim=0)
    return covariance if log_variance is None else covariance + torch.diag(log_variance.exp().mean(dim=0))


def distance_to_identity(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance of a matrix ``(d, d)`` from the identity, summed off the diagonal and on it."""
    diagonal = covariance.diagonal()
    off_diagonal = covariance - torch.diag(diagonal)
    return off_diagonal.square().sum(), (diagonal - 1).square().sum()
