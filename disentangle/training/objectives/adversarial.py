"""Losses of a discriminator's logits, and penalties of their gradient."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AdversarialLoss:
    """Losses of logits ``(n,)``: of real and fake pictures for the discriminator, of fake and real for the generator.

    Attributes:
        discriminator: what the discriminator minimises.
        generator: what the generator minimises.
        paired: whether the generator's loss looks at the real logits, which otherwise need not be computed.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    paired: bool = False


ADVERSARIAL = {
    "hinge": AdversarialLoss(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake, _: -fake.mean(),
    ),
    "eigengan-hinge": AdversarialLoss(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake, _: F.relu(1 - fake).mean(),
    ),
    "non-saturating": AdversarialLoss(
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
        lambda fake, _: F.softplus(-fake).mean(),
    ),
    "least-squares": AdversarialLoss(
        lambda real, fake: (real - 1).square().mean() + fake.square().mean(),
        lambda fake, _: (fake - 1).square().mean(),
    ),
    "wasserstein": AdversarialLoss(
        lambda real, fake: fake.mean() - real.mean(),
        lambda fake, _: -fake.mean(),
    ),
    "relativistic": AdversarialLoss(
        lambda real, fake: F.softplus(fake - real).mean(),
        lambda fake, real: F.softplus(real - fake).mean(),
        paired=True,
    ),
}
"""Hinge: Lim and Ye 2017, arXiv 1705.02894; EigenGAN's own stops the generator, too, at the margin. Non-saturating:
Goodfellow et al. 2014, arXiv 1406.2661. Least squares: Mao et al. 2017, arXiv 1611.04076. Wasserstein: Arjovsky et al.
2017, arXiv 1701.07875. Relativistic pairing: Jolicoeur-Martineau 2018, arXiv 1807.00734; with both zero-centred
penalties it is R3GAN's loss (Huang et al. 2024, arXiv 2501.05441)."""


def zero_centred_penalties(logits: Tensor, *images: Tensor) -> list[Tensor]:
    r"""The mean of :math:`\|\nabla D(x)\|^2` over each batch of pictures, in one backward pass.

    R1 of real pictures and R2 of generated ones (Mescheder, Geiger, Nowozin 2018, arXiv 1801.04406).

    Args:
        logits: of all pictures, each of its own picture alone.
        images: batches ``(n, c, h, w)`` of which the logits were computed, requiring gradients.
    """
    gradients = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return [gradient.square().sum(dim=(1, 2, 3)).mean() for gradient in gradients]


def one_centred_penalty(logits: Tensor, images: Tensor) -> Tensor:
    r"""The mean of :math:`(\|\nabla D(x)\| - 1)^2` over pictures (WGAN-GP: Gulrajani et al. 2017, arXiv 1704.00028).

    Args:
        logits: ``(n,)``, of ``images``.
        images: ``(n, c, h, w)``, requiring gradients; published are points between real and generated pictures.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    norms = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return torch.mean((norms - 1) ** 2)
