"""What the autoencoders with quantised codes minimise: QLAE and Tripod.

Hsu, Dorrell, Whittington, Wu, Finn, "Disentanglement via Latent Quantization", NeurIPS 2023, arXiv 2305.18378. Hsu,
Hamid, Burns, Finn, Wu, "Tripod: Three Complementary Inductive Biases for Disentangled Representation Learning",
ICML 2024, arXiv 2404.10282. As published, the reconstruction is averaged over pixels, not summed: that is what their
weights stand beside.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models.quantized import QLAE, Tripod
from disentangle.models.quantizers import straight_through
from disentangle.training.objectives.base import STRICT, Batch, Loss, Update, check_weights, due, whole
from disentangle.training.objectives.vae import reconstruction_loss

TINY_CURVATURE = 1e-10
"""Added to the denominator of the normalised Hessian penalty, as published: a function without curvature costs 0."""

TINY_SPREAD = 1e-6
"""Added in quadrature to a code's standard deviation, so that one that never changes has a kernel and a step, and a
gradient that is finite. Published (kylehkhsu/tripod): added to the deviation itself."""


@dataclass(frozen=True)
class QLAELoss(Loss):
    """The loss of the quantised-latent autoencoder: reconstruction, and what holds codes and values together.

    Attributes:
        quantization: weight of the values' distance to the codes, which moves the values.
        commitment: weight of the codes' distance to their values, which moves the encoder.
        likelihood: of the pixels.
    """

    __pydantic_config__ = STRICT
    family: ClassVar[str] = "vae"
    kind: Literal["qlae"] = "qlae"
    quantization: float = 0.01
    commitment: float = 0.01
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(quantization=self.quantization, commitment=self.commitment)

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One, of encoder, values and decoder together."""
        model: QLAE = networks["generator"]  # type: ignore[assignment]
        return [Update("qlae", QLAEObjective(model, self))]


@dataclass(frozen=True)
class TripodLoss(Loss):
    """Tripod's loss: reconstruction, dependence of the codes, and what one code does to another's effect.

    Attributes:
        multi_information: weight of the codes' multi-information (1e-4 for 3D Shapes, 1e-8 for MPI3D).
        hessian: weight of the normalised Hessian penalty (1e-2 for 3D Shapes, 1e-4 for MPI3D).
        hessian_every: steps from one Hessian penalty to the next, which counts as many times; published: 1. The penalty
            costs nine passes of the decoder.
        samples: directions of each kind that a picture's second differences are taken along.
        epsilon: their length, in standard deviations of each code.
        ratio: of curvature between codes to all curvature. picture, each picture's, moves the decoder and the codes, as
            published for a decoder without kinks; batch, that of the batch's averages, moves the decoder alone. One of
            ReLUs has pictures with next to no curvature, and none at all for codes that shrink to nothing.
        marginals: bandwidth of a single code's density: published, the code's whole standard deviation; or silverman,
            that of the joint density, whose own marginals these then are.
        likelihood: of the pixels.
    """

    __pydantic_config__ = STRICT
    family: ClassVar[str] = "vae"
    kind: Literal["tripod"] = "tripod"
    multi_information: float = 1e-4
    hessian: float = 1e-2
    hessian_every: int = 1
    samples: int = 2
    epsilon: float = 0.1
    ratio: Literal["batch", "picture"] = "batch"
    marginals: Literal["published", "silverman"] = "published"
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(multi_information=self.multi_information, hessian=self.hessian)
        if self.hessian_every < 1:
            raise UserError(f"loss.hessian_every must be at least 1, got {self.hessian_every}")
        if self.samples < 2:
            raise UserError(f"loss.samples must be at least 2, of which a variance is taken, got {self.samples}")
        if not 0 < self.epsilon < math.inf:
            raise UserError(f"loss.epsilon must be above 0 and finite, got {self.epsilon}")

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One, of encoder and decoder together."""
        model: Tripod = networks["generator"]  # type: ignore[assignment]
        return [Update("tripod", TripodObjective(model, self))]


class QLAEObjective(nn.Module):
    """Reconstruction through the nearest values, quantisation and commitment."""

    def __init__(self, model: QLAE, loss: QLAELoss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised; ``reconstruction``, in nats a pixel, ``quantization`` and
        ``commitment``, in squared units of the values, its parts."""
        images, loss = batch.images, self.loss
        codes = self.model.codes_of(images).to(images.dtype)
        nearest = self.model.snap(codes)
        logits = self.model.synthesis(straight_through(codes, nearest)).to(images.dtype)
        terms = {
            "reconstruction": pixel_loss(logits, images, loss.likelihood),
            "quantization": quantization_loss(codes, nearest),
            "commitment": commitment_loss(codes, nearest),
        }
        total = terms["reconstruction"] + loss.quantization * terms["quantization"]
        return {"loss": total + loss.commitment * terms["commitment"]} | terms


class TripodObjective(nn.Module):
    """Reconstruction through the nearest points of the grid, multi-information and normalised Hessian penalty."""

    def __init__(self, model: Tripod, loss: TripodLoss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised; ``reconstruction``, in nats a pixel, ``multi_information``, in
        nats, and ``hessian``, a ratio summed over the decoder's layers, its parts."""
        images, loss = batch.images, self.loss
        codes = self.model.codes_of(images).to(images.dtype)
        latents = straight_through(codes, self.model.snap(codes))
        logits = self.model.synthesis(latents).to(images.dtype)
        everyone = whole(codes)
        spread = everyone.var(dim=0, correction=0).add(TINY_SPREAD**2).sqrt()
        joint = silverman(len(everyone), *spread.shape) * spread
        marginal = joint if loss.marginals == "silverman" else spread
        terms = {
            "reconstruction": pixel_loss(logits, images, loss.likelihood),
            "multi_information": multi_information(whole(latents), joint, marginal),
        }
        total = terms["reconstruction"] + loss.multi_information * terms["multi_information"]
        if loss.hessian > 0 and due(batch.draws.step, loss.hessian_every):
            where = (latents, spread) if loss.ratio == "picture" else (latents.detach(), spread.detach())
            terms["hessian"] = self._hessian(*where, batch)
            total = total + loss.hessian * loss.hessian_every * terms["hessian"]
        return {"loss": total} | terms

    def _hessian(self, latents: Tensor, spread: Tensor, batch: Batch) -> Tensor:
        shape = (self.loss.samples, latents.shape[1])
        signs = torch.where(batch.draws.uniform("hessian/rademacher", *shape) < 0.5, -1.0, 1.0).to(latents.dtype)
        normal = batch.draws.normal("hessian/gaussian", *shape)

        def layers(points: Tensor) -> Sequence[Tensor]:
            # All but the picture. A second difference of steps of a tenth has no digits left in bfloat16.
            with torch.autocast(points.device.type, enabled=False):
                return self.model.synthesis.features(points)[:-1]

        found = curvatures(layers, latents, signs * spread, normal * spread, self.loss.epsilon)
        return normalized_hessian_penalty([(whole(mixed), whole(every)) for mixed, every in found], self.loss.ratio)


def pixel_loss(logits: Tensor, images: Tensor, likelihood: str) -> Tensor:
    """Negative log-likelihood averaged over pixels (and channels) and pictures; see :func:`reconstruction_loss`."""
    return reconstruction_loss(logits, images, likelihood) / images[0].numel()


def quantization_loss(codes: Tensor, values: Tensor) -> Tensor:
    """Mean squared distance ``(n, d)`` of values to codes, whose gradient moves the values alone."""
    return (values - codes.detach()).square().mean()


def commitment_loss(codes: Tensor, values: Tensor) -> Tensor:
    """Mean squared distance ``(n, d)`` of codes to values, whose gradient moves the codes alone."""
    return (codes - values.detach()).square().mean()


def silverman(n: int, d: int) -> float:
    """Silverman's bandwidth, in standard deviations, of a Gaussian kernel density of ``n`` points in ``d`` dimensions:
    the best for Gaussian data (Silverman, "Density Estimation for Statistics and Data Analysis", 1986, section 4.3)."""
    return float((4 / ((d + 2) * n)) ** (1 / (d + 4)))


def multi_information(points: Tensor, joint: Tensor, marginal: Tensor) -> Tensor:
    r"""Multi-information (total correlation) of a sample by Gaussian kernel densities, in nats.

    :math:`\frac1n \sum_i [\log \hat q(z_i) - \sum_k \log \hat q_k(z_{ik})]`, the joint density with a product kernel,
    each point counted in its own density, as published. With the same bandwidths for joint and marginals, the latter
    are the joint's own, and the mean is that of a Kullback-Leibler divergence.

    Args:
        points: ``(n, d)``.
        joint: ``(d,)``, bandwidths (standard deviations) of the joint density's kernel.
        marginal: ``(d,)``, those of the marginal densities'.
    """
    n, d = points.shape
    squares = (points[:, None] - points).square()
    # The factors 1/n of each density and 1/√(2π) of each kernel: the latter cancel, and d - 1 of the former stay.
    log_joint = torch.logsumexp(-0.5 * (squares / joint.square()).sum(-1), dim=1) - joint.log().sum()
    log_marginals = torch.logsumexp(-0.5 * squares / marginal.square(), dim=1) - marginal.log()
    return (log_joint - log_marginals.sum(-1)).mean() + (d - 1) * math.log(n)


def curvatures(
    fn: Callable[[Tensor], Sequence[Tensor]], points: Tensor, rademacher: Tensor, gaussian: Tensor, epsilon: float
) -> list[tuple[Tensor, Tensor]]:
    r"""How much a function bends between different inputs, and how much in all: of each layer, ``(n,)`` and ``(n,)``.

    With second differences :math:`\delta(v) = [f(z + \epsilon v) - 2 f(z) + f(z - \epsilon v)] / \epsilon^2 \approx
    v^\top H v`, :math:`\operatorname{Var}_v \delta` is :math:`2 \sum_{i \ne j} H_{ij}^2` for Rademacher v (Peebles et
    al. 2020, arXiv 2008.10599) and :math:`2 \sum_{ij} H_{ij}^2` for Gaussian v. Both are averaged over the outputs.

    Args:
        fn: ``(m, d)`` to layers, each ``(m, …)``.
        points: ``(n, d)``.
        rademacher: ``(n, k, d)``: signs, times each input's unit.
        gaussian: ``(n, k, d)``: standard normal, times each input's unit.
        epsilon: length of the steps.
    """
    n, k, _ = rademacher.shape
    steps = epsilon * torch.cat([rademacher, gaussian], dim=1)
    around = torch.stack([points[:, None] + steps, points[:, None] - steps])
    found = []
    for centre, neighbours in zip(fn(points), fn(around.flatten(0, 2)), strict=True):
        above, below = neighbours.reshape(2, n, 2 * k, -1)
        seconds = (above - 2 * centre.reshape(n, 1, -1) + below) / epsilon**2
        mixed, every = seconds.unflatten(1, (2, k)).var(dim=2, correction=0).mean(-1).unbind(1)
        found.append((mixed, every))
    return found


def normalized_hessian_penalty(layers: Sequence[tuple[Tensor, Tensor]], ratio: str) -> Tensor:
    """The share of a function's curvature that is between different inputs, summed over layers: 0 where every input
    acts on its own. Of the expected variances it is at most 1 a layer; of a picture's, which are estimated from a few
    directions, it may be any number.

    Args:
        layers: what :func:`curvatures` finds, of the whole batch.
        ratio: ``"picture"``, each picture's own, then averaged, as published; or ``"batch"``, of the batch's averages.
    """
    if ratio == "batch":
        layers = [(mixed.mean(), every.mean()) for mixed, every in layers]
    return torch.stack([(mixed / (every + TINY_CURVATURE)).mean() for mixed, every in layers]).sum()
